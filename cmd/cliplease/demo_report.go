package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"time"

	"cliplease/relay"
	"cliplease/test/driver"
	"cliplease/test/footage"

	xdraw "golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

// moments is how many moments of the clip the contact sheet shows.
const moments = 6

// contactSheet writes contact-sheet.png, each row one moment before and after redaction, and
// returns it as a JPEG for the report.
func (r *demoRun) contactSheet(ctx context.Context) ([]byte, error) {
	const head = 36
	cell := image.Pt(640, 640*footage.Demo.Height/footage.Demo.Width)
	sheet := image.NewRGBA(image.Rect(0, 0, 2*cell.X+12, head+moments*(cell.Y+4)))
	draw.Draw(sheet, sheet.Bounds(), image.NewUniform(color.RGBA{22, 24, 28, 255}), image.Point{}, draw.Src)
	face, err := captions()
	if err != nil {
		return nil, err
	}
	defer face.Close()
	text := func(s string, x, y int) {
		d := font.Drawer{Dst: sheet, Src: image.White, Face: face, Dot: fixed.P(x, y)}
		d.DrawString(s)
	}
	text("Before: what the camera saw", 8, 24)
	text("After: what the recipient got", cell.X+20, 24)
	for column, file := range []string{r.before, r.released} {
		if err := r.column(ctx, file, func(row int, im image.Image) {
			at := image.Pt(column*(cell.X+12), head+row*(cell.Y+4))
			xdraw.CatmullRom.Scale(sheet, image.Rectangle{Min: at, Max: at.Add(cell)}, im, im.Bounds(), draw.Src, nil)
		}); err != nil {
			return nil, err
		}
	}
	f, err := os.Create(filepath.Join(r.to, "contact-sheet.png"))
	if err != nil {
		return nil, err
	}
	if err := errors.Join(png.Encode(f, sheet), f.Close()); err != nil {
		return nil, err
	}
	var small bytes.Buffer
	err = jpeg.Encode(&small, sheet, &jpeg.Options{Quality: 82})
	return small.Bytes(), err
}

// column calls show with the frames of a file that the contact sheet shows.
func (r *demoRun) column(ctx context.Context, file string, show func(row int, im image.Image)) error {
	frames := (demoTo - demoFrom) * footage.Demo.FPS
	i, row := 0, 0
	for f, err := range footage.Frames(ctx, file) {
		if err != nil {
			return err
		}
		if row < moments && i == row*(frames-1)/(moments-1) {
			show(row, f)
			row++
		}
		i++
	}
	if row != moments {
		return fmt.Errorf("%s has %d frames, which are too few", filepath.Base(file), i)
	}
	return nil
}

func captions() (font.Face, error) {
	f, err := opentype.Parse(goregular.TTF)
	if err != nil {
		return nil, err
	}
	return opentype.NewFace(f, &opentype.FaceOptions{Size: 17, DPI: 72, Hinting: font.HintingFull})
}

//go:embed demo_report.html
var demoReportPage string

var demoReportTemplate = template.Must(template.New("report").Parse(demoReportPage))

// demoReport is what the page of the report shows.
type demoReport struct {
	Kept     bool
	At       string
	Version  string
	Seconds  float64
	Steps    []demoStep
	Sheet    template.URL
	Store    string
	SHA256   string
	Hash     string
	Words    string
	Measured footage.Measured
	HidePct  float64
	SharpPct float64
	Cut      driver.Cut
	Tap      time.Duration
	Files    []string
	Limits   []string
}

// demoLimits is what nothing in the demo promises.
var demoLimits = []string{
	"A recipient who was able to watch can keep a copy (download, screen capture, filming the screen). Revoking stops future access through the relay and creates a signed record that permission ended. It does not delete copies.",
	"“View only” streaming is technically a download.",
	"A court can order what the software would not do. The relay records; it cannot refuse for you.",
	"Face detectors miss faces. The gate lowers the risk and forces a look; it proves nothing about zero misses.",
	"Redaction does not hide place, time, gait, clothing, voice (if enabled), or a person the agency already knows.",
	"Overwriting on SSDs is not guaranteed; crypto-shredding is as good as the deletion of a 32-byte key.",
	"If the relay box is malicious while a passkey is used, it can show one thing and ask for a signature over another.",
}

// report writes report.html, also of a run that failed.
func (r *demoRun) report(kept bool) error {
	p := demoReport{
		Kept: kept, At: relay.Stamp(r.began), Version: version, Seconds: time.Since(r.began).Seconds(), Steps: r.steps, Store: "a folder",
		Hash: r.approval.SHA256, Words: r.approval.CheckWords, Measured: r.measured, HidePct: 100 * r.measured.WorstSeen, SharpPct: 100 * r.measured.Sharp,
		Cut: r.cut, Tap: r.tap, Limits: demoLimits,
	}
	if r.minio != nil {
		p.Store = "a MinIO server"
	}
	if r.sheet != nil {
		p.Sheet = template.URL("data:image/jpeg;base64," + base64.StdEncoding.EncodeToString(r.sheet)) // our own picture
	}
	for _, name := range []string{"released.mp4", "evidence.zip", "custody.pdf", "log.jsonl", "contact-sheet.png"} {
		if _, err := os.Stat(filepath.Join(r.to, name)); err == nil {
			p.Files = append(p.Files, name)
		}
	}
	if len(r.granted.Outputs) > 0 {
		p.SHA256 = r.granted.Outputs[0].FileSHA256
	}
	var page bytes.Buffer
	if err := demoReportTemplate.Execute(&page, p); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.to, "report.html"), page.Bytes(), 0o644)
}
