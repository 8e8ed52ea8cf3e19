package redact

import (
	"image"

	"cliplease/redact/detect"
)

// A camera that hangs still sees the same picture most of the time. A detector that looks again where nothing
// changed finds again what it found, so it looks only at the part that did change, and often enough at all of
// it. What counts as a change is judged against the picture at which that part was last looked at, so that slow
// changes add up.

const (
	motionCell  = 8   // pixels; brightness is compared in means over cells of this size, and over four of them
	cellChange  = 8   // least difference of a cell that counts, in steps of brightness
	blockChange = 4   // and of four cells together, which noise moves less
	lookMargin  = 64  // pixels around what changed
	lookGrid    = 128 // pixels; sizes of parts are rounded up to this, since every new size costs a detector time
	partLooks   = 2   // looks at parts between two looks at all
	partShare   = 0.6 // of the picture; a larger part is no gain
	dimPicture  = 60  // mean brightness under which changes are too faint to be judged, and all is looked at
)

// motion decides for one detector what it looks at.
type motion struct {
	w, h  int // of the picture
	cells []int16
	parts int // looks at parts since the last at all
}

// part returns the part of a frame that has to be looked at; empty when nothing changed.
func (m *motion) part(luma []byte) image.Rectangle {
	all := image.Rect(0, 0, m.w, m.h)
	now, mean := cellMeans(luma, m.w, m.h)
	if m.cells == nil || m.parts >= partLooks || mean < dimPicture {
		m.cells, m.parts = now, 0
		return all
	}
	cw := m.w / motionCell
	part := changed(m.cells, now, cw)
	if !part.Empty() {
		part = grid(part.Inset(-lookMargin), all)
	}
	if part.Dx()*part.Dy() > int(partShare*float64(m.w*m.h)) {
		m.cells, m.parts = now, 0
		return all
	}
	m.parts++
	for y := part.Min.Y / motionCell; y < min(part.Max.Y/motionCell, len(now)/cw); y++ {
		from, to := y*cw+part.Min.X/motionCell, y*cw+min(part.Max.X/motionCell, cw)
		copy(m.cells[from:to], now[from:to])
	}
	return part
}

// cellMeans returns the mean brightness of each cell, row after row, and of the picture.
func cellMeans(luma []byte, w, h int) (cells []int16, mean int) {
	cw, ch := w/motionCell, h/motionCell
	cells = make([]int16, cw*ch)
	sums := make([]int, cw)
	for y := range ch {
		clear(sums)
		for row := y * motionCell; row < (y+1)*motionCell; row++ {
			line := luma[row*w : row*w+cw*motionCell]
			for x := range sums {
				for _, v := range line[x*motionCell : (x+1)*motionCell] {
					sums[x] += int(v)
				}
			}
		}
		for x, s := range sums {
			cells[y*cw+x] = int16(s / (motionCell * motionCell))
			mean += s
		}
	}
	return cells, mean / max(1, cw*ch*motionCell*motionCell)
}

// changed returns the rectangle, in pixels, around all cells that differ.
func changed(a, b []int16, cw int) image.Rectangle {
	var r image.Rectangle
	add := func(x, y, n int) {
		r = r.Union(image.Rect(x*motionCell, y*motionCell, (x+n)*motionCell, (y+n)*motionCell))
	}
	for y := range len(a) / cw {
		for x := range cw {
			i := y*cw + x
			d := int(b[i]) - int(a[i])
			if abs(d) >= cellChange {
				add(x, y, 1)
			}
			if x+1 < cw && i+cw+1 < len(a) {
				four := d + int(b[i+1]-a[i+1]) + int(b[i+cw]-a[i+cw]) + int(b[i+cw+1]-a[i+cw+1])
				if abs(four) >= 4*blockChange {
					add(x, y, 2)
				}
			}
		}
	}
	return r
}

// grid rounds a part up to whole steps of size and moves it into the picture.
func grid(r, all image.Rectangle) image.Rectangle {
	up := func(n, most int) int { return min(most, (n+lookGrid-1)/lookGrid*lookGrid) }
	r = r.Intersect(all)
	w, h := up(r.Dx(), all.Dx()), up(r.Dy(), all.Dy())
	x := max(0, min(r.Min.X, all.Dx()-w)) / motionCell * motionCell
	y := max(0, min(r.Min.Y, all.Dy()-h)) / motionCell * motionCell
	return image.Rect(x, y, x+w, y+h)
}

// crop copies a part of a picture.
func crop(p detect.Picture, r image.Rectangle) detect.Picture {
	q := detect.Picture{Pix: make([]byte, 3*r.Dx()*r.Dy()), W: r.Dx(), H: r.Dy()}
	for y := range q.H {
		from := 3 * ((r.Min.Y+y)*p.W + r.Min.X)
		copy(q.Pix[3*y*q.W:3*(y+1)*q.W], p.Pix[from:from+3*q.W])
	}
	return q
}

// remember joins what a detector found in a part with what it had found before outside it. Things that
// reach over the rim of the part were seen whole before and are cut off now.
func remember(before, now []detect.Found, part image.Rectangle, w, h int) []detect.Found {
	rim := func(f detect.Found) bool {
		return part.Min.X > 0 && f.X < float32(part.Min.X+2) || part.Min.Y > 0 && f.Y < float32(part.Min.Y+2) ||
			part.Max.X < w && f.X+f.W > float32(part.Max.X-2) || part.Max.Y < h && f.Y+f.H > float32(part.Max.Y-2)
	}
	var out []detect.Found
	for _, f := range before {
		if rim(f) {
			out = append(out, f)
		}
	}
	known := len(out)
next:
	for _, f := range now {
		if rim(f) {
			for _, g := range out[:known] {
				if f.X < g.X+g.W && g.X < f.X+f.W && f.Y < g.Y+g.H && g.Y < f.Y+f.H {
					continue next
				}
			}
		}
		out = append(out, f)
	}
	return out
}
