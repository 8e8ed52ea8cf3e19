package footage

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/gomedium"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
	"golang.org/x/image/vector"
)

// car is the rear of a car with its plate.
type car struct {
	paint   color.RGBA
	number  string
	caption string // small, above the number; empty: a long plate
	ground  color.RGBA
	ink     color.RGBA
}

var (
	grey = car{
		paint: color.RGBA{86, 104, 132, 255}, number: "KLM 482", caption: "MINNESOTA",
		ground: color.RGBA{244, 246, 248, 255}, ink: color.RGBA{22, 40, 92, 255},
	}
	red = car{
		paint: color.RGBA{126, 32, 34, 255}, number: "GX-482-T",
		ground: color.RGBA{245, 199, 26, 255}, ink: color.RGBA{16, 16, 16, 255},
	}
)

// carSize is the size of a car's drawing.
var carSize = image.Pt(1200, 860)

// plate is where the plate is in the drawing.
func (c car) plate() image.Rectangle {
	if c.caption == "" {
		return image.Rect(340, 560, 860, 672)
	}
	return image.Rect(430, 500, 770, 672)
}

// draw draws the car on nothing.
func (c car) draw() (*image.RGBA, error) {
	im := image.NewRGBA(image.Rectangle{Max: carSize})
	shade := func(by float64) color.RGBA {
		f := func(v uint8) uint8 { return uint8(min(255, float64(v)*by)) }
		return color.RGBA{f(c.paint.R), f(c.paint.G), f(c.paint.B), 255}
	}
	black, glass := color.RGBA{18, 18, 20, 255}, color.RGBA{38, 48, 58, 255}
	shape(im, black, 120, 700, 290, 700, 290, 860, 120, 860)   // tyres
	shape(im, black, 910, 700, 1080, 700, 1080, 860, 910, 860) //
	shape(im, shade(0.85), 250, 40, 950, 40, 1060, 330, 140, 330)
	shape(im, glass, 300, 80, 900, 80, 985, 300, 215, 300)
	shape(im, color.RGBA{92, 108, 122, 255}, 330, 95, 520, 95, 440, 285, 260, 285) // the sky in the glass
	shape(im, shade(1.1), 120, 320, 1080, 320, 1140, 400, 60, 400)
	shape(im, c.paint, 60, 395, 1140, 395, 1160, 700, 40, 700)
	shape(im, shade(0.7), 40, 690, 1160, 690, 1130, 780, 70, 780)
	for _, x := range []float32{70, 930} { // lamps
		shape(im, color.RGBA{150, 12, 16, 255}, x, 410, x+200, 410, x+190, 520, x+10, 520)
		shape(im, color.RGBA{236, 62, 54, 255}, x+20, 425, x+120, 425, x+110, 470, x+30, 470)
		shape(im, color.RGBA{232, 226, 214, 255}, x+130, 470, x+185, 470, x+180, 510, x+130, 510)
	}
	shape(im, black, 330, 480, 870, 480, 890, 688, 310, 688) // where the plate is mounted
	return im, c.drawPlate(im)
}

func (c car) drawPlate(im *image.RGBA) error {
	p := c.plate()
	draw.Draw(im, p, image.NewUniform(c.ink), image.Point{}, draw.Src)
	draw.Draw(im, p.Inset(5), image.NewUniform(c.ground), image.Point{}, draw.Src)
	if c.caption == "" {
		band := image.Rect(p.Min.X+5, p.Min.Y+5, p.Min.X+55, p.Max.Y-5)
		draw.Draw(im, band, image.NewUniform(color.RGBA{20, 60, 150, 255}), image.Point{}, draw.Src)
		return write(im, gobold.TTF, 92, c.number, c.ink, image.Rect(band.Max.X, p.Min.Y, p.Max.X, p.Max.Y))
	}
	line := p.Min.Y + 44
	if err := write(im, gomedium.TTF, 32, c.caption, color.RGBA{150, 26, 34, 255}, image.Rect(p.Min.X, p.Min.Y+6, p.Max.X, line)); err != nil {
		return err
	}
	return write(im, gobold.TTF, 72, c.number, c.ink, image.Rect(p.Min.X, line, p.Max.X, p.Max.Y-8))
}

// write centres text in r.
func write(im draw.Image, ttf []byte, size float64, text string, ink color.Color, r image.Rectangle) error {
	f, err := opentype.Parse(ttf)
	if err != nil {
		return fmt.Errorf("footage: %w", err)
	}
	face, err := opentype.NewFace(f, &opentype.FaceOptions{Size: size, DPI: 72, Hinting: font.HintingNone})
	if err != nil {
		return fmt.Errorf("footage: %w", err)
	}
	defer face.Close()
	d := font.Drawer{Dst: im, Src: image.NewUniform(ink), Face: face}
	height := face.Metrics().CapHeight
	d.Dot = fixed.Point26_6{
		X: fixed.I(r.Min.X) + (fixed.I(r.Dx())-d.MeasureString(text))/2,
		Y: fixed.I(r.Min.Y) + (fixed.I(r.Dy())+height)/2,
	}
	d.DrawString(text)
	return nil
}

// shape fills the polygon with the corners x, y, x, y, ….
func shape(im draw.Image, c color.Color, at ...float32) {
	z := vector.NewRasterizer(im.Bounds().Dx(), im.Bounds().Dy())
	z.MoveTo(at[0], at[1])
	for i := 2; i < len(at); i += 2 {
		z.LineTo(at[i], at[i+1])
	}
	z.ClosePath()
	z.Draw(im, im.Bounds(), image.NewUniform(c), image.Point{})
}

// drawStreet draws the road in front of the people: kerb, asphalt and a line.
func drawStreet(im *image.RGBA) {
	w, h := im.Bounds().Dx(), im.Bounds().Dy()
	band := func(from, to float64, c color.Color) {
		draw.Draw(im, image.Rect(0, int(from*float64(h)), w, int(to*float64(h))), image.NewUniform(c), image.Point{}, draw.Src)
	}
	band(roadside-0.002, roadside+0.022, color.RGBA{176, 172, 164, 255})
	band(roadside+0.022, 1, color.RGBA{74, 76, 80, 255})
	for x := 0; x < w; x += w / 10 {
		dash := image.Rect(x, int(0.80*float64(h)), x+w/20, int(0.815*float64(h)))
		draw.Draw(im, dash, image.NewUniform(color.RGBA{226, 222, 206, 255}), image.Point{}, draw.Src)
	}
	for x := 0; x < w; x += w / 40 { // stones of the kerb
		joint := image.Rect(x, int((roadside-0.002)*float64(h)), x+max(1, w/640), int((roadside+0.022)*float64(h)))
		draw.Draw(im, joint, image.NewUniform(color.RGBA{120, 116, 110, 255}), image.Point{}, draw.Src)
	}
}
