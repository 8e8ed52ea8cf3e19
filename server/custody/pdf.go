package custody

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"codeberg.org/go-pdf/fpdf"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/gomono"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/sfnt"
)

// Measures of the page, in millimetres.
const (
	margin = 18.0
	width  = 210 - 2*margin
	label  = 42.0 // column of names
	line   = 5.0
)

// sheet is a PDF that grows from top to bottom.
type sheet struct {
	*fpdf.Fpdf
	drawable func(r rune) bool
}

// glyphs reports which characters the font of texts has.
var glyphs = sync.OnceValues(func() (func(r rune) bool, error) {
	f, err := sfnt.Parse(goregular.TTF)
	if err != nil {
		return nil, err
	}
	var buffer sfnt.Buffer
	var mu sync.Mutex
	return func(r rune) bool {
		mu.Lock()
		defer mu.Unlock()
		i, err := f.GlyphIndex(&buffer, r)
		return err == nil && i != 0
	}, nil
})

// clean writes a character that the font lacks as its number, so that two names never look
// alike, and keeps text on its line.
func (s sheet) clean(text string) string {
	var out strings.Builder
	for _, r := range text {
		switch {
		case r == '\n' || r == '\t':
			out.WriteByte(' ')
		case r >= ' ' && s.drawable(r):
			out.WriteRune(r)
		default:
			fmt.Fprintf(&out, "[U+%04X]", r)
		}
	}
	return out.String()
}

// PDF writes r to file or print, on pages of A4. The same log makes the same bytes.
func (r Report) PDF(w io.Writer) error {
	drawable, err := glyphs()
	if err != nil {
		return err
	}
	s := sheet{fpdf.New("P", "mm", "A4", ""), drawable}
	// Copies, since the library writes into the bytes that it is given.
	s.AddUTF8FontFromBytes("text", "", bytes.Clone(goregular.TTF))
	s.AddUTF8FontFromBytes("text", "B", bytes.Clone(gobold.TTF))
	s.AddUTF8FontFromBytes("mono", "", bytes.Clone(gomono.TTF))
	s.SetCatalogSort(true)
	s.SetCreationDate(r.AsOf)
	s.SetModificationDate(r.AsOf)
	s.SetTitle("Chain of custody of release "+r.ReleaseID, true)
	s.SetCreator("cliplease", true)
	s.SetLang("en-GB")
	s.SetMargins(margin, margin, margin)
	s.SetAutoPageBreak(true, margin+4)
	s.AliasNbPages("")
	s.SetFooterFunc(func() {
		s.SetY(-margin)
		s.SetFont("text", "", 7.5)
		s.SetTextColor(90, 90, 90)
		s.CellFormat(width*0.8, line, "Chain of custody, release "+r.ReleaseID, "", 0, "L", false, 0, "")
		s.CellFormat(width*0.2, line, fmt.Sprintf("Page %d of {nb}", s.PageNo()), "", 0, "R", false, 0, "")
	})
	s.AddPage()
	r.title(s)
	r.facts(s)
	r.making(s)
	r.chain(s)
	r.limits(s)
	var out bytes.Buffer
	if err := errors.Join(s.Error(), s.Output(&out)); err != nil {
		return fmt.Errorf("custody report: %w", err)
	}
	_, err = out.WriteTo(w)
	return err
}

func (s sheet) ink(shade int) { s.SetTextColor(shade, shade, shade) }

// heading begins a part, on a new page when little room is left on this one.
func (s sheet) heading(text string) {
	if s.GetY() > 297-margin-35 {
		s.AddPage()
	}
	s.Ln(3)
	s.SetFont("text", "B", 12)
	s.ink(0)
	s.CellFormat(width, 7, text, "", 1, "L", false, 0, "")
	s.SetDrawColor(150, 150, 150)
	s.Line(margin, s.GetY(), margin+width, s.GetY())
	s.Ln(2)
}

func (s sheet) paragraph(text string) {
	s.SetFont("text", "", 9)
	s.ink(30)
	s.MultiCell(width, line-0.4, s.clean(text), "", "L", false)
	s.Ln(1)
}

// fact writes a name and its value; a value that is empty is left out.
func (s sheet) fact(name, value string) { s.row(name, value, "text", 9) }

// digest is a fact that is a digest.
func (s sheet) digest(name, sum string) { s.row(name, sum, "mono", 7.5) }

func (s sheet) row(name, value, font string, size float64) {
	if value == "" {
		return
	}
	if s.GetY() > 297-margin-14 {
		s.AddPage()
	}
	y := s.GetY()
	s.SetFont("text", "", 9)
	s.ink(90)
	s.MultiCell(label-2, line, name, "", "L", false)
	below := s.GetY()
	s.SetXY(margin+label, y)
	s.SetFont(font, "", size)
	s.ink(0)
	s.MultiCell(width-label, line, s.clean(value), "", "L", false)
	s.SetXY(margin, max(below, s.GetY()))
}

func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") + " UTC" }

// stamp writes a moment of a document for a person; what is none stays as it is.
func stamp(text string) string {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return text
	}
	if t.Nanosecond() != 0 {
		return t.UTC().Format("2006-01-02 15:04:05.000") + " UTC"
	}
	return moment(t)
}

func (r Report) title(s sheet) {
	s.SetFont("text", "B", 18)
	s.ink(0)
	s.CellFormat(width, 10, "Chain of custody", "", 1, "L", false, 0, "")
	s.SetFont("text", "", 10)
	s.ink(60)
	s.MultiCell(width, line, s.clean(fmt.Sprintf("of footage released to %s, case %s", r.Request.Agency, r.Request.Case)), "", "L", false)
	s.Ln(2)
	whose := "This is the home's own copy: it names the members of the home and every recipient."
	if r.For == "recipient" {
		whose = "This copy is for one recipient. It has what concerns that recipient's file, and no more."
	}
	s.paragraph("Made by the relay " + r.Relay + " from its audit log, up to " + moment(r.AsOf) + ". " + whose)
	s.Ln(1)
	s.fact("Release", r.ReleaseID)
	s.fact("State", r.state())
}

// state puts the release's state into words. It does not ask the clock: the same log makes the
// same report.
func (r Report) state() string {
	switch r.State {
	case "live":
		return "granted; access ends by itself on " + stamp(r.Ends)
	case "revoked":
		return "revoked by the home on " + stamp(r.Ended)
	case "expired":
		return "ended by time on " + stamp(r.Ended)
	case "discarded":
		return "given up before it was signed, on " + stamp(r.Ended)
	}
	return "not granted (" + r.State + ")"
}

func (r Report) facts(s sheet) {
	q := r.Request
	s.heading("What was asked")
	s.fact("Agency", q.Agency+" ("+q.AgencyID+")")
	s.fact("On behalf of it", q.Officer+", as the agency says")
	s.fact("Case", q.Case)
	s.fact("Purpose", q.Purpose+" ("+strings.ReplaceAll(q.Code, "_", " ")+")")
	basis := strings.ReplaceAll(q.Basis, "_", " ")
	if q.Citation != "" {
		basis += ", " + q.Citation
	}
	s.fact("Legal basis", basis)
	given := "with the consent of the home"
	if q.Record == "compelled" {
		given = "because the agency says that the home is obliged; not as consent"
	}
	s.fact("Given", given)
	s.digest("Request, SHA-256", q.SHA256)

	s.heading("What was given")
	s.fact("Camera", r.Source.Camera)
	if r.Source.ClockOffsetMS == 0 {
		s.fact("Camera's clock", "no deviation known")
	} else {
		s.fact("Camera's clock", fmt.Sprintf("%+.3f seconds against the true time; corrected in all times here", float64(r.Source.ClockOffsetMS)/1000))
	}
	if w := r.Window; w != nil {
		s.fact("Asked for", stamp(w.Asked.From)+" to "+stamp(w.Asked.To))
		s.fact("Approved", stamp(w.Approved.From)+" to "+stamp(w.Approved.To))
		if w.Actual.From != "" {
			s.fact("In the file", stamp(w.Actual.From)+" to "+stamp(w.Actual.To))
		}
		for _, g := range w.Gaps {
			s.fact("Left out", stamp(g.From)+" to "+stamp(g.To)+": "+gap(g.Why))
		}
		if len(w.Gaps) == 0 {
			s.fact("Left out", "nothing of what was asked for")
		}
	}
	for _, f := range r.Files {
		s.Ln(1)
		s.fact("Release copy", fmt.Sprintf("for %s, %d bytes", f.Recipient, f.Bytes))
		s.digest("SHA-256", f.SHA256)
	}
	s.Ln(1)
	s.digest("Original, SHA-256", r.Source.Original)
	s.digest("Original, commitment", r.Source.Commit)
	s.digest("Normalised, SHA-256", r.Source.Normalised)
	if r.Made != nil {
		s.digest("Grant, SHA-256", r.Made.Grant)
	}
}

func (r Report) making(s sheet) {
	m := r.Made
	if m == nil {
		return
	}
	s.heading("How the file was made")
	s.fact("Hidden", strings.Join(m.Redaction.Targets, " and ")+", style "+string(m.Redaction.Style)+" ("+m.Redaction.Profile+")")
	var edits []string
	for _, e := range m.Edits {
		edits = append(edits, edit(e))
	}
	s.fact("Changes", strings.Join(edits, "; "))
	for _, x := range m.Redaction.Exceptions {
		s.fact("Left visible", exception(x))
	}
	s.fact("Pictures", fmt.Sprintf("%d, %g a second", m.Frames, m.FPS))
	s.digest("Plan, SHA-256", m.Redaction.PlanSHA256)
	for _, d := range m.Detectors {
		s.fact("Detector", strings.TrimSpace(d.Name+" "+d.Version))
		s.digest("  its model, SHA-256", d.SHA256)
	}
	var tools []string
	for _, t := range m.Tools {
		if t.Version != "" {
			tools = append(tools, t.Name+" "+t.Version)
		}
	}
	s.fact("Programs", strings.Join(tools, "; "))
	var gates []string
	for _, g := range m.Gates {
		if g.OK {
			gates = append(gates, g.Name)
		}
	}
	slices.Sort(gates)
	s.fact("Checks passed", strings.Join(gates, ", "))
}

// chain lists what happened.
func (r Report) chain(s sheet) {
	s.heading("What happened")
	s.paragraph("Every entry stands in the relay's audit log, where none can be changed or left out unseen. All times are in UTC.")
	for _, e := range r.Entries {
		if s.GetY() > 297-margin-12-4*float64(len(e.In)+len(e.Out)) {
			s.AddPage()
		}
		y := s.GetY() + 0.8
		s.SetXY(margin, y)
		s.SetFont("text", "", 8.5)
		s.ink(90)
		s.CellFormat(8, line-0.5, fmt.Sprint(e.N), "", 0, "L", false, 0, "")
		s.CellFormat(label-8, line-0.5, e.At.Format("2006-01-02 15:04:05"), "", 0, "L", false, 0, "")
		s.ink(0)
		s.MultiCell(width-label, line-0.5, s.clean(e.What), "", "L", false)
		s.SetX(margin + label)
		s.ink(90)
		by := "by " + e.Who
		for _, article := range []string{"The ", "A "} {
			if rest, ok := strings.CutPrefix(e.Who, article); ok {
				by = "by " + strings.ToLower(article) + rest
			}
		}
		if e.Log != nil {
			by += fmt.Sprintf("; log entry %d", *e.Log)
		}
		s.MultiCell(width-label, line-0.8, s.clean(by), "", "L", false)
		for _, side := range []struct {
			name string
			list []Digest
		}{{"in", e.In}, {"out", e.Out}} {
			for _, d := range side.list {
				s.SetX(margin + label)
				s.SetFont("text", "", 7.5)
				s.CellFormat(width-label, 3.6, s.clean(side.name+": "+d.Of), "", 1, "L", false, 0, "")
				s.SetX(margin + label)
				s.SetFont("mono", "", 7)
				s.CellFormat(width-label, 3.6, s.clean(d.SHA256), "", 1, "L", false, 0, "")
			}
		}
		s.SetDrawColor(215, 215, 215)
		s.Line(margin, s.GetY()+0.8, margin+width, s.GetY()+0.8)
		s.Ln(1)
	}
}

func (r Report) limits(s sheet) {
	s.heading("What this proves, and what not")
	for _, text := range []string{
		"It is the relay's own account. The evidence bundle of the release has the signatures and the proof from the log, and is checked without the relay.",
		"It does not prove that every face and number plate is hidden: software finds them and may miss some.",
		"Revoking ends access through the relay. It does not delete copies that somebody kept.",
		"Whether a file is one of these, unchanged, and whether its lease still runs, can be asked by whoever holds it: " + r.Check,
		"What a recipient did with a file after it was given out is not known to the relay.",
	} {
		s.paragraph("- " + text)
	}
}

// Serve answers with the report as kind, "pdf" or "json", to be kept as a file.
func (r Report) Serve(w http.ResponseWriter, kind string) error {
	var out bytes.Buffer
	media := "application/pdf"
	if kind == "json" {
		raw, err := r.JSON()
		if err != nil {
			return err
		}
		media = "application/json"
		out.Write(raw)
	} else if err := r.PDF(&out); err != nil {
		return err
	}
	w.Header().Set("Content-Type", media)
	w.Header().Set("Content-Disposition", `attachment; filename="`+r.FileName()+"."+kind+`"`)
	w.WriteHeader(http.StatusOK)
	out.WriteTo(w) //nolint:errcheck // a client that hung up is no fault
	return nil
}
