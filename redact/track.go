package redact

import (
	"fmt"
	"math"
	"sort"

	"cliplease/redact/detect"
)

// From trails to tracks: what the looking child followed becomes what is hidden.

// margins say by how much a box grows, as shares of its sides, left and right, up and down.
type margins struct{ side, up, down float64 }

// The detectors' boxes are no true outlines: the face detectors leave out hair, chin and ears, and
// the text detector frames the characters of a plate, not the plate.
var grow = map[detect.Kind]margins{
	detect.Face:  {side: 0.35, up: 0.40, down: 0.35},
	detect.Plate: {side: 0.25, up: 0.45, down: 0.45},
	marked:       {side: 0.05, up: 0.05, down: 0.05},
}

// hidden is a track ready to be drawn: a box in pixels of the release copy for each frame of a span.
type hidden struct {
	Track
	cells []byte
	first int
	boxes []rect // from frame first on
	open  [2]int // frames from, inclusive, to, exclusive, in which a person left it visible
}

// toTracks turns trails into tracks of the release copy: scaled, smoothed, extended at both ends and
// grown by the margins.
func toTracks(trails []*trail, n normal, fps float64, frames int) []hidden {
	sx, sy := float64(n.w)/float64(n.lw), float64(n.h)/float64(n.lh)
	sort.SliceStable(trails, func(i, j int) bool { return trails[i].Frames[0].I < trails[j].Frames[0].I })
	var out []hidden
	count := map[detect.Kind]int{}
	for _, t := range trails {
		if !believable(t) {
			continue
		}
		count[t.Kind]++
		h := hidden{cells: t.Cells}
		h.ID = fmt.Sprintf("%s-%d", t.Kind, count[t.Kind])
		if t.Kind == marked {
			h.ID = fmt.Sprintf("edit-%d.%d", t.Edit+1, count[t.Kind])
		}
		h.Kind = string(t.Kind)
		extended := extend(smooth(trusted(t, fps)), int(math.Ceil(0.4*fps)), frames)
		h.first = extended[0].I
		m := grow[t.Kind]
		if t.Kind == detect.Face && t.Best < 0.7 && !t.only("posenet", detect.PoseNetBody) { // the less certain the face, the less certain its outline
			m = margins{side: m.side + 0.15, up: m.up + 0.15, down: m.down + 0.15}
		}
		if t.Kind == detect.Face && t.only(detect.PoseNetBody) { // where a head belongs is a guess, and mostly too small
			m = margins{side: m.side + 0.4, up: m.up + 0.4, down: m.down + 0.4}
		}
		far := away(extended)
		for i, f := range extended {
			r := rect{f.X * sx, f.Y * sy, f.W * sx, f.H * sy}
			// The further from a look, the less certain the place.
			if t.Kind != marked {
				drift := min(0.2, 0.01*float64(far[i])) * min(r.w, r.h)
				r = rect{r.x - drift, r.y - drift, r.w + 2*drift, r.h + 2*drift}
			}
			// The text detector's box of a plate is short of the plate by a share of its height at the sides too.
			side := m.side * r.w
			if t.Kind == detect.Plate {
				side = 0.45*r.h + 0.05*r.w
			}
			least := 2.0
			if t.Kind == detect.Plate { // of a small plate the rim and the blur are a large share
				least += 5 * max(0, min(1, (32-r.h)/20))
			}
			r = rect{r.x - side - least, r.y - m.up*r.h - least, r.w + 2*side + 2*least, r.h*(1+m.up+m.down) + 2*least}
			h.boxes = append(h.boxes, r)
			h.Frames = append(h.Frames, Box{I: f.I, X: round1(r.x), Y: round1(r.y), W: round1(r.w), H: round1(r.h), Score: math.Round(f.Score*1000) / 1000, Source: f.Src})
		}
		out = append(out, h)
	}
	return out
}

// away says for each frame of a track how many frames away it was last, or will next be, found.
func away(fs []seen) []int {
	out := make([]int, len(fs))
	n := len(fs)
	for i := range fs {
		if n++; fs[i].Score > 0 {
			n = 0
		}
		out[i] = n
	}
	n = len(fs)
	for i := len(fs) - 1; i >= 0; i-- {
		if n++; fs[i].Score > 0 {
			n = 0
		}
		out[i] = min(out[i], n)
	}
	return out
}

func round1(v float64) float64 { return math.Round(v*10) / 10 }

// believable says whether there is enough behind a track to hide something.
func believable(t *trail) bool {
	if t.Kind == detect.Face && t.only("posenet", detect.PoseNetBody) { // it knows people, and takes many things for them
		return t.Hits >= 3 || t.Best >= 0.7
	}
	return t.Hits >= 2 || t.Best >= 0.5
}

// trusted shortens a trail that hides much on the word of one look to the time around that look.
// Small ones keep their length: they hide little, and small things are hard to find twice.
func trusted(t *trail, fps float64) []seen {
	hit := t.Frames[t.lastHit()]
	if t.Hits > 1 || t.Kind == marked || t.Best >= 0.9 && t.Kind == detect.Face || min(hit.W, hit.H) < 48 {
		return t.Frames
	}
	n := int(math.Ceil(0.5 * fps))
	return t.Frames[max(0, t.lastHit()-n):min(len(t.Frames), t.lastHit()+n+1)]
}

// smooth evens out places and sizes over a few frames; a box never becomes smaller than it was found.
func smooth(fs []seen) []seen {
	out := make([]seen, len(fs))
	for i, f := range fs {
		var w, h, cx, cy, n float64
		for k := max(0, i-2); k <= min(len(fs)-1, i+2); k++ {
			weight := 3 - math.Abs(float64(k-i))
			g := fs[k].rect()
			cx, cy, n = cx+weight*g.cx(), cy+weight*g.cy(), n+weight
			w, h = max(w, g.w), max(h, g.h)
		}
		cx, cy = cx/n, cy/n
		// Keep what the frame itself says inside.
		r := f.rect()
		w = max(w, 2*math.Max(math.Abs(cx-r.x), math.Abs(r.x+r.w-cx)))
		h = max(h, 2*math.Max(math.Abs(cy-r.y), math.Abs(r.y+r.h-cy)))
		f.X, f.Y, f.W, f.H = cx-w/2, cy-h/2, w, h
		out[i] = f
	}
	return out
}

// extend lets a track start earlier and end later by n frames, moving on as it moved.
func extend(fs []seen, n, frames int) []seen {
	drift := func(a, b seen) (float64, float64) {
		k := float64(b.I - a.I)
		if k == 0 {
			return 0, 0
		}
		return (b.rect().cx() - a.rect().cx()) / k, (b.rect().cy() - a.rect().cy()) / k
	}
	span := min(len(fs)-1, 3)
	var out []seen
	vx, vy := drift(fs[0], fs[span])
	for i := max(0, fs[0].I-n); i < fs[0].I; i++ {
		k := float64(i - fs[0].I)
		out = append(out, seen{I: i, X: fs[0].X + vx*k, Y: fs[0].Y + vy*k, W: fs[0].W, H: fs[0].H, Src: "extended"})
	}
	out = append(out, fs...)
	last := fs[len(fs)-1]
	vx, vy = drift(fs[len(fs)-1-span], last)
	for i := last.I + 1; i <= min(frames-1, last.I+n); i++ {
		k := float64(i - last.I)
		out = append(out, seen{I: i, X: last.X + vx*k, Y: last.Y + vy*k, W: last.W, H: last.H, Src: "extended"})
	}
	return out
}
