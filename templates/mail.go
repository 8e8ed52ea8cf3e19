package templates

import (
	"embed"
	"errors"
	"fmt"
	"html"
	"net/url"
	"path"
	"strings"
	"sync"
	"text/template"
	"time"
	"unicode"
	"unicode/utf8"
)

//go:embed mail/*.txt
var mailFiles embed.FS

// MailData fills a mail.
type MailData struct {
	Lang   Lang              // of the person who reads it; English when not known
	Home   string            // origin of the homeowner's pages, such as "https://home.relay.example"
	Values map[string]string // what the mail was queued with
	Secret string            // the link or the code that the mail brings; empty for notices
}

// Mail writes the mail of a kind, as plain text and as HTML with the same words. Kinds are
// the names of the files in mail/; see [MailKinds]. No value can add a header, a line or
// markup: a subject holds no values, and values are one line each.
func Mail(kind string, d MailData) (subject, text, htmlText string, err error) {
	set, err := parsedMail()
	if err != nil {
		return "", "", "", err
	}
	l := d.Lang
	if !l.Known() {
		l = English
	}
	t, ok := set[l][kind]
	if !ok {
		return "", "", "", fmt.Errorf("there is no mail %q", kind)
	}
	values := map[string]string{"secret": d.Secret, "home": strings.TrimSuffix(d.Home, "/")}
	for k, v := range d.Values {
		if k != "secret" && k != "home" {
			values[k] = oneLine(v)
		}
	}
	if strings.ContainsFunc(d.Secret, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", "", "", fmt.Errorf("mail %s: its link or code has characters that no link or code has", kind)
	}
	var out strings.Builder
	if err := t.Execute(&out, values); err != nil {
		return "", "", "", fmt.Errorf("mail %s: %w", kind, err)
	}
	head, body, _ := strings.Cut(out.String(), "\n")
	subject, ok = strings.CutPrefix(head, "Subject: ")
	if !ok {
		return "", "", "", fmt.Errorf("mail %s: its first line is no subject", kind)
	}
	blocks, err := parseBlocks(body)
	if err != nil {
		return "", "", "", fmt.Errorf("mail %s: %w", kind, err)
	}
	return subject, mailText(blocks), mailHTML(l, subject, blocks), nil
}

// MailKinds lists the kinds of mail.
func MailKinds() []string {
	set, err := parsedMail()
	if err != nil {
		return nil
	}
	var kinds []string
	for k := range set[English] {
		kinds = append(kinds, k)
	}
	return kinds
}

// parsedMail holds every mail in every language.
var parsedMail = sync.OnceValues(func() (map[Lang]map[string]*template.Template, error) {
	names, err := mailFiles.ReadDir("mail")
	if err != nil {
		return nil, err
	}
	sets := map[Lang]map[string]*template.Template{}
	for _, l := range Languages() {
		sets[l] = make(map[string]*template.Template, len(names))
		functions := template.FuncMap{"moment": func(stamp string) string { return moment(l, stamp) }, "id": url.PathEscape, "t": l.look}
		for _, n := range names {
			raw, err := mailFiles.ReadFile("mail/" + n.Name())
			if err != nil {
				return nil, err
			}
			kind := strings.TrimSuffix(n.Name(), path.Ext(n.Name()))
			t, err := template.New(kind).Funcs(functions).Option("missingkey=zero").Parse(translateLines(string(raw), l.look))
			if err != nil {
				return nil, fmt.Errorf("mail %s in %s: %w", kind, l, err)
			}
			sets[l][kind] = t
		}
	}
	return sets, nil
})

// moment writes a stamp for a person, with its zone. What is no stamp stays as it is.
func moment(l Lang, stamp string) string {
	t, err := time.Parse(time.RFC3339, stamp)
	if err != nil {
		return stamp
	}
	return l.Time(t.UTC(), "Monday 2 January 2006, 15:04 UTC")
}

// oneLine makes v one line of at most 300 bytes without control or direction characters.
func oneLine(v string) string {
	v = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case r == utf8.RuneError, unicode.IsControl(r), unicode.Is(unicode.Cf, r), unicode.Is(unicode.Zl, r), unicode.Is(unicode.Zp, r):
			return -1
		}
		return r
	}, v)
	v = strings.Join(strings.Fields(v), " ")
	if len(v) > 300 {
		v = strings.ToValidUTF8(v[:300], "") + "…"
	}
	return v
}

// The mails are written in a few plain forms, from which both the text and the HTML follow.
// Blocks stand apart by an empty line:
//
//	Words: value        lines that begin with "- " are a list of facts
//	=> LINK LABEL       a link to follow
//	## CODE             a code to type
//	anything else       a paragraph
type block struct {
	kind  string // "facts", "link", "code" or "paragraph"
	lines []string
	label string
}

func parseBlocks(body string) ([]block, error) {
	var blocks []block
	for part := range strings.SplitSeq(body, "\n\n") {
		lines := strings.FieldsFunc(part, func(r rune) bool { return r == '\n' })
		if len(lines) == 0 || strings.TrimSpace(part) == "" {
			continue
		}
		if target, ok := strings.CutPrefix(lines[0], "=> "); ok {
			target, label, _ := strings.Cut(target, " ")
			u, err := url.Parse(target)
			if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
				return nil, errors.New("its link is none")
			}
			blocks = append(blocks, block{kind: "link", lines: []string{target}, label: label})
		} else if code, ok := strings.CutPrefix(lines[0], "## "); ok {
			blocks = append(blocks, block{kind: "code", lines: []string{code}})
		} else if strings.HasPrefix(lines[0], "- ") {
			for i := range lines {
				lines[i] = strings.TrimPrefix(lines[i], "- ")
			}
			blocks = append(blocks, block{kind: "facts", lines: lines})
		} else {
			blocks = append(blocks, block{kind: "paragraph", lines: []string{strings.Join(lines, " ")}})
		}
	}
	return blocks, nil
}

func mailText(blocks []block) string {
	var out strings.Builder
	for i, b := range blocks {
		if i > 0 {
			out.WriteString("\n")
		}
		switch b.kind {
		case "link":
			fmt.Fprintf(&out, "%s:\n%s\n", b.label, b.lines[0])
		case "code":
			fmt.Fprintf(&out, "    %s\n", b.lines[0])
		case "facts":
			for _, l := range b.lines {
				out.WriteString(wrapped("  "+l, "    "))
			}
		default:
			out.WriteString(wrapped(b.lines[0], ""))
		}
	}
	return out.String()
}

// wrapped breaks a line at spaces so that it has at most 72 characters where it can.
func wrapped(line, indent string) string {
	var out strings.Builder
	lead := line[:len(line)-len(strings.TrimLeft(line, " "))]
	out.WriteString(lead)
	width := len(lead)
	for i, w := range strings.Fields(line) {
		n := utf8.RuneCountInString(w)
		switch {
		case i == 0:
		case width+1+n > 72:
			out.WriteString("\n" + indent)
			width = len(indent)
		default:
			out.WriteString(" ")
			width++
		}
		out.WriteString(w)
		width += n
	}
	out.WriteString("\n")
	return out.String()
}

func mailHTML(l Lang, subject string, blocks []block) string {
	e := html.EscapeString
	var out strings.Builder
	fmt.Fprintf(&out, `<!doctype html>
<html lang="%s"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark"><title>%s</title></head>
<body style="margin:0;padding:24px;font:16px/1.5 system-ui,sans-serif"><div style="max-width:36em;margin:0 auto">
<h1 style="font-size:20px;line-height:1.3;margin:0 0 16px">%s</h1>
`, l, e(subject), e(subject))
	for _, b := range blocks {
		switch b.kind {
		case "link":
			fmt.Fprintf(&out, `<p style="margin:20px 0"><a href="%s" style="display:inline-block;padding:10px 18px;border-radius:6px;background:#1f4fa3;color:#ffffff;text-decoration:none">%s</a></p>
<p style="margin:0 0 16px;font-size:13px;word-break:break-all">%s</p>
`, e(b.lines[0]), e(b.label), e(l.T("If that does not open, copy this address: %s", b.lines[0])))
		case "code":
			fmt.Fprintf(&out, `<p style="margin:20px 0;font:bold 26px/1.2 ui-monospace,monospace;letter-spacing:3px">%s</p>
`, e(b.lines[0]))
		case "facts":
			out.WriteString(`<table role="presentation" style="margin:0 0 16px;border-collapse:collapse">` + "\n")
			for _, l := range b.lines {
				name, value, _ := strings.Cut(l, ": ")
				fmt.Fprintf(&out, `<tr><td style="padding:2px 16px 2px 0;vertical-align:top;white-space:nowrap">%s</td><td style="padding:2px 0"><b>%s</b></td></tr>
`, e(name), e(value))
			}
			out.WriteString("</table>\n")
		default:
			fmt.Fprintf(&out, "<p style=\"margin:0 0 16px\">%s</p>\n", e(b.lines[0]))
		}
	}
	out.WriteString("</div></body></html>\n")
	return out.String()
}
