package redact

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sort"
	"time"
)

// The painter draws the patch stream: pictures that are transparent except where something is hidden.
// What it paints depends on no pixel of the frame that it covers: with solid on none at all, with blur
// on two by two coarse colours that were taken once for the whole life of a track.

// grey is the colour of solid regions, areas and masks: Y, U, V.
var grey = [3]byte{56, 128, 128}

// shape is one region in one frame.
type shape struct {
	rect
	cells []byte // nil for grey
}

// painter draws one frame after another.
type painter struct {
	w, h    int
	style   Style
	tracks  []hidden
	masks   [][]Point
	areas   []area
	buf     []byte // yuva420p
	touched []rect
	whole   bool // the frame before covered more than rectangles
}

type area struct {
	from, to int // frames
	points   []Point
	outside  bool
}

func newPainter(p Plan, n normal, fps float64, frames int, tracks []hidden) *painter {
	pt := &painter{w: n.w, h: n.h, style: p.Style, tracks: tracks, buf: make([]byte, frameSize(n.w, n.h)+n.w*n.h)}
	for _, e := range p.Edits {
		from, to := span(e.From, e.To, fps, frames)
		switch e.Kind {
		case EditArea, EditOutside:
			pt.areas = append(pt.areas, area{from, to, e.Points, e.Kind == EditOutside})
		case EditBox, EditException: // told in the tracks
		}
	}
	for _, m := range p.Masks {
		pt.masks = append(pt.masks, m.Points)
	}
	return pt
}

// span turns a time span into frames from, inclusive, to to, exclusive.
func span(from, to time.Duration, fps float64, frames int) (int, int) {
	a := int(math.Floor(from.Seconds()*fps + 1e-6))
	b := frames
	if to > 0 {
		b = min(frames, int(math.Ceil(to.Seconds()*fps-1e-6)))
	}
	return a, b
}

func frameSize(w, h int) int { return w*h + 2*((w/2)*(h/2)) }

// shapes returns what is hidden in frame i as rectangles.
func (p *painter) shapes(i int) []shape {
	var ss []shape
	for _, t := range p.tracks {
		if k := i - t.first; k >= 0 && k < len(t.boxes) && !t.opened(i) {
			s := shape{rect: t.boxes[k]}
			if p.style == StyleBlur {
				s.cells = t.cells
			}
			ss = append(ss, s)
		}
	}
	// The larger region is drawn over the smaller, so that what is hidden inside a hidden region shows nowhere.
	slices.SortStableFunc(ss, func(a, b shape) int { return cmp.Compare(a.w*a.h, b.w*b.h) })
	return ss
}

// frame draws frame i; the result is valid until the next call.
func (p *painter) frame(i int) []byte {
	alpha := p.buf[frameSize(p.w, p.h):]
	if p.whole {
		clear(alpha)
	}
	for _, r := range p.touched {
		x0, y0, x1, y1 := p.bounds(r)
		for y := y0; y < y1; y++ {
			clear(alpha[y*p.w+x0 : y*p.w+x1])
		}
	}
	p.touched, p.whole = p.touched[:0], false
	for _, m := range p.masks {
		p.polygon(m, false)
	}
	for _, a := range p.areas {
		if i >= a.from && i < a.to {
			p.polygon(a.points, a.outside)
		}
	}
	for _, s := range p.shapes(i) {
		p.shape(s)
		p.touched = append(p.touched, s.rect)
	}
	return p.buf
}

// bounds returns the whole pixels that a rectangle touches, at even places so that colour and
// brightness agree.
func (p *painter) bounds(r rect) (x0, y0, x1, y1 int) {
	x0 = max(0, int(math.Floor(r.x))&^1)
	y0 = max(0, int(math.Floor(r.y))&^1)
	x1 = min(p.w, (int(math.Ceil(r.x+r.w))+1)&^1)
	y1 = min(p.h, (int(math.Ceil(r.y+r.h))+1)&^1)
	return x0, y0, max(x0, x1), max(y0, y1)
}

// feather is the width in pixels of the soft edge inside a blurred region.
func feather(r rect) float64 { return math.Max(1, math.Min(6, 0.05*math.Min(r.w, r.h))) }

func (p *painter) shape(s shape) {
	x0, y0, x1, y1 := p.bounds(s.rect)
	if x1 <= x0 || y1 <= y0 {
		return
	}
	planes := p.planes()
	if s.cells == nil {
		for y := y0; y < y1; y++ {
			fill(planes[3][y*p.w+x0:y*p.w+x1], 255)
			fill(planes[0][y*p.w+x0:y*p.w+x1], grey[0])
		}
		cw := p.w / 2
		for y := y0 / 2; y < y1/2; y++ {
			fill(planes[1][y*cw+x0/2:y*cw+x1/2], grey[1])
			fill(planes[2][y*cw+x0/2:y*cw+x1/2], grey[2])
		}
		return
	}
	edge := feather(s.rect)
	soft := func(v, a, b float64) float64 { return math.Max(0, math.Min(1, math.Min(v-a, b-v)/edge)) }
	// Rows and columns of weights, so that the inner loops only multiply.
	ax := make([]float64, x1-x0)
	inner := [2]int{x1, x0} // columns that the cover hides wholly
	for x := range ax {
		if ax[x] = soft(float64(x0+x)+0.5, s.x, s.x+s.w); ax[x] == 1 {
			inner = [2]int{min(inner[0], x0+x), x0 + x + 1}
		}
	}
	if inner[0] >= inner[1] {
		inner = [2]int{x0, x0}
	}
	wide := taps(x0, x1, 1, s.x, s.w)
	half := taps(x0/2, x1/2, 2, s.x, s.w)
	for y := y0; y < y1; y++ {
		ay := soft(float64(y)+0.5, s.y, s.y+s.h)
		line := mix(s.cells, 0, float64(y)+0.5, s.y, s.h)
		py, pa := planes[0][y*p.w:], planes[3][y*p.w:]
		edges := [2][2]int{{x0, inner[0]}, {inner[1], x1}}
		if ay < 1 {
			edges = [2][2]int{{x0, x1}}
		} else {
			row(py[inner[0]:inner[1]], line, wide[inner[0]-x0:])
			fill(pa[inner[0]:inner[1]], 255)
		}
		for _, part := range edges {
			for x := part[0]; x < part[1]; x++ {
				t := wide[x-x0]
				v := line[t.a] + (line[t.b]-line[t.a])*t.f
				a := byte(255*ay*ax[x-x0] + 0.5)
				if pa[x] != 0 && a < 255 { // over another region: keep the denser cover
					old := float64(py[x])
					v = old + (v-old)*float64(a)/255
					a = max(a, pa[x])
				}
				py[x], pa[x] = byte(v+0.5), a
			}
		}
	}
	cw := p.w / 2
	for y := y0 / 2; y < y1/2; y++ {
		for c := 1; c <= 2; c++ {
			line := mix(s.cells, c, float64(2*y+1), s.y, s.h)
			row(planes[c][y*cw+x0/2:y*cw+x1/2], line, half)
		}
	}
}

// row paints one row of a region between the colours of its cells.
func row(out []byte, line [cellsAcross]float64, at []tap) {
	for i := 0; i < len(out); {
		// Pixels between the same two cells come one after another: for them only the share changes.
		t, from := at[i], i
		base, step := line[t.a]+0.5, line[t.b]-line[t.a]
		for ; i < len(out) && at[i].a == t.a && at[i].b == t.b; i++ {
		}
		if step == 0 {
			fill(out[from:i], byte(base))
			continue
		}
		for j, u := range at[from:i] {
			out[from+j] = byte(base + step*u.f)
		}
	}
}

// tap says between which two cells a pixel lies and how far.
type tap struct {
	a, b int
	f    float64
}

// taps places the pixels from x0 to x1 (each step pixels wide) among the cells of a region.
func taps(x0, x1, step int, origin, size float64) []tap {
	ts := make([]tap, x1-x0)
	for i := range ts {
		ts[i] = cellAt((float64((x0+i)*step) + 0.5*float64(step) - origin) / size)
	}
	return ts
}

func cellAt(u float64) tap {
	v := max(0, min(cellsAcross-1, u*cellsAcross-0.5))
	a := min(int(v), cellsAcross-1)
	return tap{a, min(a+1, cellsAcross-1), v - float64(a)}
}

// mix returns one row of cell values at height y.
func mix(cells []byte, plane int, y, origin, size float64) [cellsAcross]float64 {
	t := cellAt((y - origin) / size)
	var line [cellsAcross]float64
	for i := range line {
		a := float64(cells[3*(t.a*cellsAcross+i)+plane])
		b := float64(cells[3*(t.b*cellsAcross+i)+plane])
		line[i] = a + (b-a)*t.f
	}
	return line
}

func fill(b []byte, v byte) {
	for i := range b {
		b[i] = v
	}
}

// planes returns Y, U, V and transparency.
func (p *painter) planes() [4][]byte {
	n, c := p.w*p.h, (p.w/2)*(p.h/2)
	return [4][]byte{p.buf[:n], p.buf[n : n+c], p.buf[n+c : n+2*c], p.buf[n+2*c:]}
}

// polygon covers the inside, or the outside, of a polygon with grey.
func (p *painter) polygon(ps []Point, outside bool) {
	planes := p.planes()
	cw := p.w / 2
	p.whole = true
	for y := range p.h {
		for _, s := range spans(ps, p.w, p.h, y, outside) {
			x0, x1 := s[0]&^1, min(p.w, (s[1]+1)&^1)
			fill(planes[0][y*p.w+x0:y*p.w+x1], grey[0])
			fill(planes[3][y*p.w+x0:y*p.w+x1], 255)
			fill(planes[1][y/2*cw+x0/2:y/2*cw+x1/2], grey[1])
			fill(planes[2][y/2*cw+x0/2:y/2*cw+x1/2], grey[2])
		}
	}
}

// spans returns the pixels of row y that a polygon covers, as half-open ranges.
func spans(ps []Point, w, h, y int, outside bool) [][2]int {
	cy := (float64(y) + 0.5) / float64(h)
	var xs []float64
	for i, a := range ps {
		b := ps[(i+1)%len(ps)]
		if (a.Y <= cy) != (b.Y <= cy) {
			xs = append(xs, (a.X+(b.X-a.X)*(cy-a.Y)/(b.Y-a.Y))*float64(w))
		}
	}
	sort.Float64s(xs)
	var in [][2]int
	for i := 0; i+1 < len(xs); i += 2 {
		a, b := max(0, int(math.Floor(xs[i]))), min(w, int(math.Ceil(xs[i+1])))
		if b > a {
			in = append(in, [2]int{a, b})
		}
	}
	if !outside {
		return in
	}
	var out [][2]int
	x := 0
	for _, s := range in {
		if s[0] > x {
			out = append(out, [2]int{x, s[0]})
		}
		x = max(x, s[1])
	}
	if x < w {
		out = append(out, [2]int{x, w})
	}
	return out
}

// editTracks turns the boxes that a person drew into tracks.
func editTracks(p Plan, n normal, fps float64, frames int) []hidden {
	var out []hidden
	for k, e := range p.Edits {
		if e.Kind != EditBox || e.Follow {
			continue
		}
		from, to := span(e.From, e.To, fps, frames)
		h := hidden{first: from}
		h.ID, h.Kind = fmt.Sprintf("edit-%d", k+1), "edit"
		for i := from; i < to; i++ {
			r := e.at(time.Duration(float64(i) / fps * float64(time.Second)))
			r = rect{r.x * float64(n.w), r.y * float64(n.h), r.w * float64(n.w), r.h * float64(n.h)}
			h.boxes = append(h.boxes, r)
			h.Frames = append(h.Frames, Box{I: i, X: round1(r.x), Y: round1(r.y), W: round1(r.w), H: round1(r.h), Source: "edit"})
		}
		if len(h.boxes) > 0 {
			out = append(out, h)
		}
	}
	return out
}

// seeds are what a person marked to be followed, in pixels of the look.
func seeds(p Plan, n normal, fps float64) []seed {
	var out []seed
	for k, e := range p.Edits {
		if e.Kind != EditBox || !e.Follow {
			continue
		}
		for _, key := range e.Keys {
			out = append(out, seed{I: int(key.At.Seconds()*fps + 1e-6), X: key.X * float64(n.lw), Y: key.Y * float64(n.lh), W: key.W * float64(n.lw), H: key.H * float64(n.lh), Edit: k})
		}
	}
	return out
}

// at returns the box at a moment: between two keyframes on the straight line from one to the other.
func (e Edit) at(t time.Duration) rect {
	box := func(k Key) rect { return rect{k.X, k.Y, k.W, k.H} }
	i := slices.IndexFunc(e.Keys, func(k Key) bool { return k.At > t })
	switch {
	case i == 0:
		return box(e.Keys[0])
	case i < 0:
		return box(e.Keys[len(e.Keys)-1])
	}
	a, b := e.Keys[i-1], e.Keys[i]
	u := float64(t-a.At) / float64(b.At-a.At)
	return rect{a.X + (b.X-a.X)*u, a.Y + (b.Y-a.Y)*u, a.W + (b.W-a.W)*u, a.H + (b.H-a.H)*u}
}
