package footage

import (
	"fmt"
	"image"
	"iter"
	"math"
)

// Seen is how much of the detail in a part of one picture is still in the same part of another,
// 0 to 1. Both are brought to a small grid, from each point the mean around it is taken away, and
// what is left is correlated: a face or plate that can be recognised keeps its detail, one that
// was hidden keeps at most its colour. ok is false where there is no detail to begin with.
func Seen(before, after *image.RGBA, part image.Rectangle) (share float64, ok bool) {
	a, b := detail(before, part), detail(after, part)
	var ab, aa, bb float64
	for i := range a {
		ab += a[i] * b[i]
		aa += a[i] * a[i]
		bb += b[i] * b[i]
	}
	if aa < float64(len(a))*9 { // less than three steps of brightness
		return 0, false
	}
	if bb == 0 {
		return 0, true
	}
	// A hidden part may by chance resemble; but it has hardly any detail left.
	return max(0, ab/math.Sqrt(aa*bb)) * min(1, math.Sqrt(bb/aa)), true
}

// grid is the number of points along a side, and around how many of them the mean is taken.
const grid, around = 32, 4

// detail returns the detail of a part of a picture on the grid.
func detail(im *image.RGBA, part image.Rectangle) []float64 {
	part = part.Intersect(im.Bounds())
	g := make([]float64, grid*grid)
	n := make([]float64, grid*grid)
	for y := part.Min.Y; y < part.Max.Y; y++ {
		row := im.Pix[im.PixOffset(part.Min.X, y):]
		gy := (y - part.Min.Y) * grid / part.Dy()
		for x := range part.Dx() {
			i := gy*grid + x*grid/part.Dx()
			g[i] += 0.299*float64(row[4*x]) + 0.587*float64(row[4*x+1]) + 0.114*float64(row[4*x+2])
			n[i]++
		}
	}
	for i := range g {
		if n[i] > 0 {
			g[i] /= n[i]
		}
	}
	out := make([]float64, grid*grid)
	for y := range grid {
		for x := range grid {
			i := y*grid + x
			if n[i] == 0 {
				continue // the part is narrower than the grid
			}
			sum, count := 0.0, 0.0
			for v := max(0, y-around); v <= min(grid-1, y+around); v++ {
				for u := max(0, x-around); u <= min(grid-1, x+around); u++ {
					if n[v*grid+u] > 0 {
						sum += g[v*grid+u]
						count++
					}
				}
			}
			out[i] = g[i] - sum/count
		}
	}
	return out
}

// Measured is what [Measure] found.
type Measured struct {
	First, Last int     // numbers of the first and last frame of the copy
	Frames      int     // how many frames it has
	Targets     int     // faces and plates that should be hidden, over all frames
	Faces       int     // of these
	WorstSeen   float64 // the largest share of detail that is left of any of them, 0 to 1
	WorstFrame  int
	WorstKind   string
	Shown       int     // how many of them can still be seen
	Sharp       float64 // share of the rest of the picture that is as sharp as before, 0 to 1
}

// HiddenBelow is the share of detail below which a target counts as hidden. What can be
// recognised keeps more than 0.8.
const HiddenBelow = 0.4

// Measure compares every frame of a release copy with the same frame before redaction. Both have
// the frames' numbers in them, so the copy's window is known for certain; a frame without a
// number that can be read, out of order, or that the footage lacks, is an error.
func Measure(s Spec, before, after iter.Seq2[*image.RGBA, error]) (m Measured, err error) {
	next, stop := iter.Pull2(before)
	defer stop()
	tiles, sharp := 0, 0
	for f, err := range after {
		if err != nil {
			return m, err
		}
		n, ok := Number(f)
		switch {
		case !ok:
			return m, fmt.Errorf("the number of frame %d of the copy cannot be read", m.Frames)
		case m.Frames == 0:
			m.First = n
		case n != m.Last+1:
			return m, fmt.Errorf("in the copy, frame %d follows frame %d", n, m.Last)
		}
		m.Last = n
		m.Frames++
		was, err := seek(next, n)
		if err != nil {
			return m, err
		}
		if was.Bounds() != f.Bounds() || f.Bounds().Dx() != s.Width {
			return m, fmt.Errorf("the footage is %v, the copy is %v", was.Bounds().Size(), f.Bounds().Size())
		}
		targets := s.Targets(n)
		for _, x := range targets {
			m.look(x, n, was, f)
		}
		t, kept := sharpTiles(was, f, targets)
		tiles, sharp = tiles+t, sharp+kept
	}
	if tiles > 0 {
		m.Sharp = float64(sharp) / float64(tiles)
	}
	return m, nil
}

// seek reads on to the frame with a number.
func seek(next func() (*image.RGBA, error, bool), number int) (*image.RGBA, error) {
	for {
		f, err, ok := next()
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, fmt.Errorf("the footage has no frame %d", number)
		}
		if n, ok := Number(f); ok && n == number {
			return f, nil
		}
	}
}

// look measures one target.
func (m *Measured) look(x Target, frame int, before, after *image.RGBA) {
	m.Targets++
	if x.Kind == "face" {
		m.Faces++
	}
	seen, ok := Seen(before, after, x.Rectangle)
	if !ok {
		return
	}
	if seen >= m.WorstSeen {
		m.WorstSeen, m.WorstFrame, m.WorstKind = seen, frame, x.Kind
	}
	if seen >= HiddenBelow {
		m.Shown++
	}
}

// sharpTiles counts the tiles of a picture that have detail and lie away from every target, and
// how many of them kept it.
func sharpTiles(before, after *image.RGBA, targets []Target) (tiles, sharp int) {
	b := before.Bounds()
	side := max(16, b.Dy()/12)
	for y := b.Min.Y; y+side <= b.Max.Y; y += side {
		for x := b.Min.X; x+side <= b.Max.X; x += side {
			tile := image.Rect(x, y, x+side, y+side)
			near := false
			for _, t := range targets {
				// What hides a target is larger than the target: a head is larger than its face.
				near = near || tile.Overlaps(t.Inset(-max(t.Dx(), t.Dy())/2-4))
			}
			if near {
				continue
			}
			if seen, ok := Seen(before, after, tile); ok {
				tiles++
				if seen > 0.75 {
					sharp++
				}
			}
		}
	}
	return tiles, sharp
}
