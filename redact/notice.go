package redact

import (
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"os"
	"strings"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

// The notice is a line of text in every frame that says for whom a copy was made. It is drawn here,
// not by ffmpeg, so that no text ever becomes part of a filter graph.

// writeNotice draws text, white on a dark ground, for pictures of w by h pixels, and returns the
// size of the drawing.
func writeNotice(path, text string, w, h int) (image.Point, error) {
	f, err := opentype.Parse(goregular.TTF)
	if err != nil {
		return image.Point{}, err
	}
	size := max(9, 0.028*float64(min(w, h)))
	face, err := opentype.NewFace(f, &opentype.FaceOptions{Size: size, DPI: 72, Hinting: font.HintingFull})
	if err != nil {
		return image.Point{}, err
	}
	defer face.Close()
	pad := int(size/2) &^ 1
	lines := wrap(face, text, w-4*pad, 4)
	wide := 0
	for _, l := range lines {
		wide = max(wide, font.MeasureString(face, l).Ceil())
	}
	step := int(size * 1.3)
	b := image.Pt((wide+2*pad+1)&^1, (step*len(lines)+2*pad+1)&^1)
	im := image.NewNRGBA(image.Rectangle{Max: b})
	draw.Draw(im, im.Bounds(), image.NewUniform(color.NRGBA{0, 0, 0, 200}), image.Point{}, draw.Src)
	for i, l := range lines {
		d := font.Drawer{Dst: im, Src: image.White, Face: face, Dot: fixed.P(pad, pad+step*i+int(size))}
		d.DrawString(l)
	}
	return b, writePNG(path, im)
}

// wrap breaks text into at most limit lines that fit into width pixels; what is left over is cut off
// with an ellipsis.
func wrap(face font.Face, text string, width, limit int) []string {
	clean := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
	fits := func(s string) bool { return font.MeasureString(face, s).Ceil() <= width }
	var lines []string
	line := ""
	for _, word := range strings.Fields(clean) {
		for !fits(word) { // a word longer than a line
			cut := len([]rune(word)) - 1
			for cut > 1 && !fits(string([]rune(word)[:cut])) {
				cut--
			}
			if line != "" {
				lines = append(lines, line)
			}
			line, word = string([]rune(word)[:cut]), string([]rune(word)[cut:])
		}
		switch next := strings.TrimSpace(line + " " + word); {
		case fits(next):
			line = next
		default:
			lines, line = append(lines, line), word
		}
	}
	lines = append(lines, line)
	if len(lines) > limit {
		lines = lines[:limit]
		last := []rune(lines[limit-1])
		for len(last) > 0 && !fits(string(last)+"…") {
			last = last[:len(last)-1]
		}
		lines[limit-1] = string(last) + "…"
	}
	return lines
}

// writeMasks draws the fixed masks of a camera, transparent elsewhere.
func writeMasks(path string, masks []Mask, w, h int) error {
	im := image.NewNRGBA(image.Rect(0, 0, w, h))
	for _, m := range masks {
		for y := range h {
			for _, s := range spans(m.Points, w, h, y, false) {
				for x := s[0]; x < s[1]; x++ {
					im.SetNRGBA(x, y, color.NRGBA{40, 40, 40, 255})
				}
			}
		}
	}
	return writePNG(path, im)
}

func writePNG(path string, im image.Image) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := png.Encode(f, im); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
