package footage

import (
	"image"
	"image/color"
	"image/draw"
)

// drawHouses draws what is across the road on an evening: sky, houses, trees and a lawn.
func drawHouses(im *image.RGBA) {
	w, h := float32(im.Bounds().Dx()), float32(im.Bounds().Dy())
	at := func(c color.RGBA, points ...float32) { // in shares of the picture
		scaled := make([]float32, len(points))
		for i := 0; i < len(points); i += 2 {
			scaled[i], scaled[i+1] = points[i]*w, points[i+1]*h
		}
		shape(im, c, scaled...)
	}
	box := func(c color.RGBA, x0, y0, x1, y1 float32) { at(c, x0, y0, x1, y0, x1, y1, x0, y1) }
	const ground = 0.64
	for y := range int(ground*h) + 1 { // the sky, lighter towards the roofs
		t := float32(y) / (ground * h)
		mix := func(from, to float32) uint8 { return uint8(from + (to-from)*t) }
		line := image.Rect(0, y, im.Bounds().Dx(), y+1)
		draw.Draw(im, line, image.NewUniform(color.RGBA{mix(118, 214), mix(156, 206), mix(196, 200), 255}), image.Point{}, draw.Src)
	}
	box(color.RGBA{104, 132, 84, 255}, 0, ground, 1, roadside)

	tree := func(x, top, width float32) {
		box(color.RGBA{84, 66, 52, 255}, x-width*0.08, top+0.2, x+width*0.08, ground)
		for i, leaf := range []color.RGBA{{62, 92, 60, 255}, {74, 106, 68, 255}} {
			d := width * (0.5 - 0.16*float32(i))
			y := top + 0.02*float32(i)
			at(leaf, x-d*0.5, y, x+d*0.5, y, x+d, y+0.09, x+d*0.9, y+0.2, x+d*0.4, y+0.26, x-d*0.4, y+0.26, x-d*0.9, y+0.2, x-d, y+0.09)
		}
	}
	white, glass, lit, door := color.RGBA{236, 234, 228, 255}, color.RGBA{92, 112, 130, 255}, color.RGBA{244, 214, 146, 255}, color.RGBA{88, 60, 50, 255}
	window := func(x, y, width, height float32, pane color.RGBA) {
		box(white, x-0.005, y-0.009, x+width+0.005, y+height+0.012)
		box(pane, x, y, x+width, y+height)
		box(white, x+width/2-0.0015, y, x+width/2+0.0015, y+height)
		box(white, x, y+height/2-0.0026, x+width, y+height/2+0.0026)
	}
	house := func(x, width, eaves float32, wall, roof color.RGBA, light int) {
		box(wall, x, eaves, x+width, ground)
		for y := eaves + 0.02; y < ground; y += 0.022 { // boards
			box(color.RGBA{wall.R - 9, wall.G - 9, wall.B - 9, 255}, x, y, x+width, y+0.0025)
		}
		at(roof, x-0.02, eaves, x+width*0.16, eaves-0.15, x+width*0.84, eaves-0.15, x+width+0.02, eaves)
		box(color.RGBA{roof.R - 16, roof.G - 16, roof.B - 16, 255}, x-0.02, eaves-0.002, x+width+0.02, eaves+0.012)
		for i := range 3 {
			pane := glass
			if i == light {
				pane = lit
			}
			window(x+width*(0.1+0.3*float32(i)), eaves+0.055, width*0.19, 0.1, pane)
		}
		window(x+width*0.1, eaves+0.22, width*0.24, 0.1, glass)
		box(white, x+width*0.62, eaves+0.195, x+width*0.85, ground)
		box(door, x+width*0.645, eaves+0.21, x+width*0.825, ground)
		box(color.RGBA{168, 162, 152, 255}, x+width*0.6, ground-0.008, x+width*0.87, ground+0.012)
		at(color.RGBA{150, 146, 138, 255}, x+width*0.64, ground+0.012, x+width*0.83, ground+0.012, x+width*0.88, roadside, x+width*0.59, roadside)
	}
	tree(0.335, 0.16, 0.15)
	tree(0.675, 0.2, 0.13)
	house(0.02, 0.27, 0.28, color.RGBA{176, 190, 196, 255}, color.RGBA{86, 82, 88, 255}, 1)
	house(0.375, 0.25, 0.26, color.RGBA{206, 192, 166, 255}, color.RGBA{122, 78, 64, 255}, 2)
	house(0.725, 0.255, 0.3, color.RGBA{168, 178, 156, 255}, color.RGBA{74, 78, 84, 255}, 0)
	for i := range 14 { // the hedge
		x := float32(i) * 0.0735
		if i%5 == 3 { // where one walks through
			continue
		}
		at(color.RGBA{58, uint8(84 + 4*(i%3)), 58, 255}, x, 0.655, x+0.008, 0.618, x+0.03, 0.606, x+0.055, 0.612, x+0.072, 0.632, x+0.074, 0.672, x, 0.672)
	}
}
