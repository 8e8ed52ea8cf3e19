package redact

import (
	"maps"
	"math"
	"slices"
	"sort"

	"cliplease/redact/detect"
)

// The tracker runs in the child that sees the pictures. It turns what the detectors found in some
// frames into tracks that have a box in every frame in which the thing can be seen: it follows a
// thing from frame to frame by its looks, forward until it is lost and, when it is new, backward
// through the frames that it still holds.

const (
	holdSeconds = 3.0  // how long a thing is followed without being found again
	backSeconds = 3.0  // how far back a new thing is followed
	keepFit     = 0.55 // least fit of a thing that is followed
)

// marked is the kind of what a person marked.
const marked detect.Kind = "edit"

// seen is one frame of a track, in pixels of the look.
type seen struct {
	I     int     `json:"i"`
	X     float64 `json:"x"`
	Y     float64 `json:"y"`
	W     float64 `json:"w"`
	H     float64 `json:"h"`
	Score float64 `json:"s,omitempty"` // of the detector; 0 when followed
	Src   string  `json:"d"`           // detector, or "tracked"
	Fit   float64 `json:"f,omitempty"`
}

func (s seen) rect() rect { return rect{s.X, s.Y, s.W, s.H} }

// trail is a track as the child reports it.
type trail struct {
	Kind   detect.Kind `json:"kind"`
	Frames []seen      `json:"frames"`
	Hits   int         `json:"hits"`  // frames in which a detector found it
	Best   float64     `json:"best"`  // best score
	Cells  []byte      `json:"cells"` // colours: Y, U, V of each cell
	Lost   bool        `json:"lost"`  // it was lost in the middle of the picture
	Edit   int         `json:"edit"`  // number of the edit that marked it

	ref    *scene // frame in which it was last found, and where
	refBox rect
	vx, vy float64
	hitAt  int // index in Frames of the last hit
}

// lastHit is the index of the last frame in which a detector found it.
func (t *trail) lastHit() int {
	for i := len(t.Frames) - 1; i > 0; i-- {
		if t.Frames[i].Score > 0 {
			return i
		}
	}
	return 0
}

// only says whether nothing but these detectors ever found it.
func (t *trail) only(detectors ...string) bool {
	for _, f := range t.Frames {
		if f.Score > 0 && !slices.Contains(detectors, f.Src) {
			return false
		}
	}
	return true
}

func (t *trail) last() seen { return t.Frames[len(t.Frames)-1] }

// tracker holds the tracks that go on and the last frames.
type tracker struct {
	w, h   float64
	fps    float64
	ring   []*scene
	active []*trail
	seeds  []seed
	emit   func(*trail) error
}

// step takes the next frame; looked says whether the detectors looked at it, and found what they
// found. colour reads the colours of a region of this frame.
func (t *tracker) step(s *scene, kinds map[detect.Kind]bool, found []detect.Found, colour func(rect, detect.Kind) []byte) error {
	if n := len(t.ring); n > 0 {
		s.follow(t.ring[n-1])
	}
	t.ring = append(t.ring, s)
	if limit := int(backSeconds*t.fps) + 1; len(t.ring) > limit {
		t.ring = append(t.ring[:0:0], t.ring[len(t.ring)-limit:]...)
	}
	if s.cut {
		if err := t.finish(); err != nil {
			return err
		}
	}
	for _, a := range t.active {
		t.advance(a, s)
	}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) { // a fixed order: the same footage gives the same bytes
		t.match(s, kind, found, colour)
	}
	for _, sd := range t.seeds {
		if sd.I == s.index {
			a := t.begin(s, marked, group{rect{sd.X, sd.Y, sd.W, sd.H}, 1, "edit"}, colour)
			a.Edit = sd.Edit
			t.active = append(t.active, a)
		}
	}
	return t.drop(s)
}

// advance follows a track into frame s.
func (t *tracker) advance(a *trail, s *scene) {
	last := a.last()
	gx, gy := last.X-a.refBox.x, last.Y-a.refBox.y // shift since it was last found
	px, py := gx+s.shift[0], gy+s.shift[1]
	if a.Hits > 1 {
		px, py = gx+a.vx, gy+a.vy
	}
	reach := max(16, 0.5*max(a.refBox.w, a.refBox.h))
	dx, dy, fit := find(a.ref, a.refBox, s, px, py, reach)
	if d := math.Hypot(s.shift[0]-a.vx, s.shift[1]-a.vy); d > 6 && fit < 0.85 {
		if dx2, dy2, fit2 := find(a.ref, a.refBox, s, gx+s.shift[0], gy+s.shift[1], reach); fit2 > fit {
			dx, dy, fit = dx2, dy2, fit2
		}
	}
	if fit < keepFit { // nothing to hold on to: go with the picture
		dx, dy = gx+s.shift[0], gy+s.shift[1]
	}
	vx, vy := a.refBox.x+dx-last.X, a.refBox.y+dy-last.Y
	a.vx, a.vy = 0.5*a.vx+0.5*vx, 0.5*a.vy+0.5*vy
	a.Frames = append(a.Frames, seen{I: s.index, X: a.refBox.x + dx, Y: a.refBox.y + dy, W: last.W, H: last.H, Src: "tracked", Fit: fit})
}

// group is one thing that one or more detectors found.
type group struct {
	rect
	score    float64
	detector string
}

// groups joins what overlaps: the same thing found at several sizes or by several detectors.
func groups(found []detect.Found, kind detect.Kind) []group {
	var gs []group
	var weight []float64
	for _, f := range found { // best first
		if f.Kind != kind {
			continue
		}
		r := rect{float64(f.X), float64(f.Y), float64(f.W), float64(f.H)}
		best, at := 0.0, -1
		for i, g := range gs {
			if o := r.overlap(g.rect); o > best {
				best, at = o, i
			}
		}
		if best < 0.45 {
			gs = append(gs, group{r, float64(f.Score), f.Detector})
			weight = append(weight, float64(f.Score))
			continue
		}
		g, w, v := &gs[at], weight[at], float64(f.Score)
		g.x, g.y = (g.x*w+r.x*v)/(w+v), (g.y*w+r.y*v)/(w+v)
		g.w, g.h = (g.w*w+r.w*v)/(w+v), (g.h*w+r.h*v)/(w+v)
		g.score = max(g.score, v)
		weight[at] += v
	}
	sort.SliceStable(gs, func(i, j int) bool { return gs[i].score > gs[j].score })
	return gs
}

// match gives what was found in frame s to the tracks that were expected there, and starts tracks
// for the rest.
func (t *tracker) match(s *scene, kind detect.Kind, found []detect.Found, colour func(rect, detect.Kind) []byte) {
	gs := groups(found, kind)
	type pair struct {
		g, a int
		cost float64
	}
	var pairs []pair
	for i, g := range gs {
		for j, a := range t.active {
			if a.Kind != kind {
				continue
			}
			p := a.last().rect()
			size := math.Sqrt(g.w * g.h)
			d := math.Hypot(g.cx()-p.cx(), g.cy()-p.cy()) / max(size, math.Sqrt(p.w*p.h))
			ratio := size / math.Sqrt(p.w*p.h)
			if o := g.overlap(p); (o > 0.2 || d < 0.6) && ratio > 0.4 && ratio < 2.5 {
				pairs = append(pairs, pair{i, j, d - o})
			}
		}
	}
	sort.SliceStable(pairs, func(i, j int) bool { return pairs[i].cost < pairs[j].cost })
	usedG, usedA := make([]bool, len(gs)), make([]bool, len(t.active))
	for _, p := range pairs {
		if usedG[p.g] || usedA[p.a] {
			continue
		}
		usedG[p.g], usedA[p.a] = true, true
		t.hit(t.active[p.a], s, gs[p.g], colour)
	}
	for i, g := range gs {
		if usedG[i] {
			continue
		}
		t.active = append(t.active, t.begin(s, kind, g, colour))
	}
}

// hit notes that a track was found again and spreads the error of the frames since over them.
func (t *tracker) hit(a *trail, s *scene, g group, colour func(rect, detect.Kind) []byte) {
	n := len(a.Frames) - 1
	was := a.Frames[n]
	r := g.rect
	// Sizes jitter from look to look: follow them slowly, but never let the box shrink below what was found.
	r = rect{r.x, r.y, math.Max(r.w, 0.5*(was.W+r.w)), math.Max(r.h, 0.5*(was.H+r.h))}
	r.x, r.y = g.cx()-r.w/2, g.cy()-r.h/2
	ex, ey := r.cx()-was.rect().cx(), r.cy()-was.rect().cy()
	from := a.hitAt
	for i := from + 1; i <= n; i++ {
		f := &a.Frames[i]
		u := float64(i-from) / float64(n-from)
		cx, cy := f.X+f.W/2+ex*u, f.Y+f.H/2+ey*u
		f.W, f.H = f.W+(r.w-f.W)*u, f.H+(r.h-f.H)*u
		f.X, f.Y = cx-f.W/2, cy-f.H/2
	}
	a.Frames[n] = seen{I: s.index, X: r.x, Y: r.y, W: r.w, H: r.h, Score: g.score, Src: g.detector, Fit: was.Fit}
	if k := n - from; k > 0 {
		p := a.Frames[from].rect()
		a.vx, a.vy = (r.cx()-p.cx())/float64(k), (r.cy()-p.cy())/float64(k)
	}
	a.Hits++
	a.hitAt = n
	a.ref, a.refBox = s, r
	if g.score > a.Best {
		a.Best, a.Cells = g.score, colour(r, a.Kind)
	}
}

// begin starts a track and follows it back through the frames that are still held.
func (t *tracker) begin(s *scene, kind detect.Kind, g group, colour func(rect, detect.Kind) []byte) *trail {
	a := &trail{Kind: kind, Hits: 1, Best: g.score, ref: s, refBox: g.rect, Cells: colour(g.rect, kind)}
	first := seen{I: s.index, X: g.x, Y: g.y, W: g.w, H: g.h, Score: g.score, Src: g.detector, Fit: 1}
	var back []seen
	dx, dy := 0.0, 0.0
	vx, vy := 0.0, 0.0
	misses := 0
	for i := len(t.ring) - 2; i >= 0 && !t.ring[i+1].cut; i-- {
		b := t.ring[i]
		sx, sy := -t.ring[i+1].shift[0], -t.ring[i+1].shift[1]
		px, py := dx+sx, dy+sy
		nx, ny, fit := find(s, g.rect, b, px, py, max(16, 0.5*max(g.w, g.h)))
		if len(back) > 1 && fit < 0.85 {
			if mx, my, other := find(s, g.rect, b, dx+vx, dy+vy, max(16, 0.5*max(g.w, g.h))); other > fit {
				nx, ny, fit = mx, my, other
			}
		}
		if fit < keepFit {
			nx, ny = px, py
			if misses++; float64(misses) > 0.4*t.fps {
				break
			}
		} else {
			misses = 0
		}
		vx, vy = nx-dx, ny-dy
		dx, dy = nx, ny
		r := g.rect.moved(dx, dy)
		if t.gone(r) {
			break
		}
		back = append(back, seen{I: b.index, X: r.x, Y: r.y, W: r.w, H: r.h, Src: "tracked", Fit: fit})
	}
	for i := len(back) - 1; i >= 0; i-- {
		a.Frames = append(a.Frames, back[i])
	}
	a.Frames = append(a.Frames, first)
	a.hitAt = len(a.Frames) - 1
	if len(back) > 0 {
		a.vx, a.vy = g.x-back[0].X, g.y-back[0].Y
	}
	return a
}

// gone says whether a box has left the picture.
func (t *tracker) gone(r rect) bool {
	return r.shared(rect{0, 0, t.w, t.h}) < 0.25*r.w*r.h
}

// drop ends the tracks that were lost or have left.
func (t *tracker) drop(s *scene) error {
	kept := t.active[:0]
	for _, a := range t.active {
		idle := len(a.Frames) - 1 - a.hitAt
		bad := 0
		for i := len(a.Frames) - 1; i > a.hitAt && a.Frames[i].Fit < keepFit; i-- {
			bad++
		}
		r := a.last().rect()
		limit := holdSeconds
		if a.Hits == 1 && a.Best < 0.5 {
			limit = 1.5
		}
		if a.Kind == marked {
			limit = math.Inf(1)
		}
		switch {
		case t.gone(r):
		case float64(idle) > limit*t.fps || float64(bad) > 0.5*t.fps:
			edge := r.x < 0.03*t.w || r.y < 0.03*t.h || r.x+r.w > 0.97*t.w || r.y+r.h > 0.97*t.h
			a.Lost = !edge
		default:
			kept = append(kept, a)
			continue
		}
		if err := t.emit(a); err != nil {
			return err
		}
	}
	t.active = kept
	return nil
}

// finish ends all tracks.
func (t *tracker) finish() error {
	for _, a := range t.active {
		if err := t.emit(a); err != nil {
			return err
		}
	}
	t.active = nil
	return nil
}
