package detect

import (
	"cmp"
	"math"
	"slices"
)

// The points of a body that PoseNet knows, as far as a head needs them.
const (
	nose = iota
	leftEye
	rightEye
	leftEar
	rightEar
	leftShoulder
	rightShoulder
	points
)

// bones lead from one point to the next; n is the number of the bone in PoseNet's order.
var bones = [...]struct{ from, to, n int }{
	{nose, leftEye, 0}, {leftEye, leftEar, 1}, {nose, rightEye, 2}, {rightEye, rightEar, 3}, {nose, leftShoulder, 4}, {nose, rightShoulder, 10},
}

// point is a place in the picture and how likely it is what it should be.
type point struct{ x, y, score float32 }

// poseStride is how many pixels lie between the cells of PoseNet's maps.
const poseStride = 16

// pose reads the four maps of one look.
type pose struct{ heat, offset, forward, backward plane }

// at returns point k as the cell nearest to x, y sees it.
func (p pose) at(k int, x, y float32) point {
	cx := max(0, min(p.heat.w-1, int(math.Round(float64(x/poseStride)))))
	cy := max(0, min(p.heat.h-1, int(math.Round(float64(y/poseStride)))))
	i := cy*p.heat.w + cx
	return point{float32(cx*poseStride) + p.offset.at(17 + k)[i], float32(cy*poseStride) + p.offset.at(k)[i], sigmoid(p.heat.at(k)[i])}
}

// along goes from a point along bone n to point k.
func (p pose) along(m plane, n, k int, a point) point {
	cx := max(0, min(m.w-1, int(math.Round(float64(a.x/poseStride)))))
	cy := max(0, min(m.h-1, int(math.Round(float64(a.y/poseStride)))))
	i := cy*m.w + cx
	return p.at(k, a.x+m.at(16 + n)[i], a.y+m.at(n)[i])
}

// person finds the other points of the person whose point k is at a.
func (p pose) person(k int, a point) [points]point {
	var ps [points]point
	ps[k] = a
	for k != nose { // back along the body
		for _, b := range bones {
			if b.to == k {
				ps[b.from] = p.along(p.backward, b.n, b.from, ps[k])
				k = b.from
				break
			}
		}
	}
	for _, b := range bones {
		if ps[b.to] == (point{}) {
			ps[b.to] = p.along(p.forward, b.n, b.to, ps[b.from])
		}
	}
	return ps
}

// bodySure is the least score of a shoulder that is believed to belong to a person without a head being seen.
const bodySure = 0.4

// readHeads finds heads by the nose, eyes and ears of people, also of those who are turned away; and where
// only shoulders show, by where the head belongs to them.
func readHeads(out []plane, threshold float32) []Found {
	p := pose{out[0], out[1], out[2], out[3]}
	type known struct {
		ps   [points]point
		size float32
	}
	var people []known
	var fs []Found
	apart := func(a, b point) float32 { return float32(math.Hypot(float64(a.x-b.x), float64(a.y-b.y))) }
next:
	for _, s := range p.seeds(nose, rightEar, threshold) {
		for _, o := range people {
			if apart(s.point, o.ps[s.k]) < 0.3*o.size {
				continue next
			}
		}
		ps := p.person(s.k, s.point)
		f := head(ps)
		f.Score = s.score
		people = append(people, known{ps, f.H})
		fs = append(fs, f)
	}
bodies:
	for _, s := range p.seeds(leftShoulder, rightShoulder, bodySure) {
		ps := p.person(s.k, s.point)
		for _, o := range people {
			if apart(s.point, o.ps[s.k]) < 0.6*o.size || apart(ps[nose], o.ps[nose]) < 0.6*o.size {
				continue bodies
			}
		}
		f := head(ps)
		f.Score, f.Detector = 0.6*s.score, PoseNetBody
		people = append(people, known{ps, f.H})
		fs = append(fs, f)
	}
	return suppress(fs, 0.4)
}

// seed is a place at which a point of a body shows best.
type seed struct {
	k int
	point
}

// seeds are the places of points from to to, best first.
func (p pose) seeds(from, to int, threshold float32) []seed {
	var out []seed
	least := logit(threshold)
	for k := from; k <= to; k++ {
		m := p.heat.at(k)
		for i, v := range m {
			if v >= least && p.peak(m, i, v) {
				x, y := i%p.heat.w, i/p.heat.w
				out = append(out, seed{k, p.at(k, float32(x*poseStride), float32(y*poseStride))})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b seed) int { return cmp.Compare(b.score, a.score) })
	return out
}

// peak says whether cell i is the highest of its neighbourhood.
func (p pose) peak(m []float32, i int, v float32) bool {
	x, y := i%p.heat.w, i/p.heat.w
	for yy := max(0, y-1); yy <= min(p.heat.h-1, y+1); yy++ {
		for xx := max(0, x-1); xx <= min(p.heat.w-1, x+1); xx++ {
			if m[yy*p.heat.w+xx] > v {
				return false
			}
		}
	}
	return true
}

// head guesses the outline of a face, or of where it would be in a head that is turned away, from the
// points of a person. How far points lie apart, as a share of a face's height, was measured on the
// annotated photographs that the engine was tuned with; the two largest guesses count, since a short
// distance may only mean that the head is turned.
func head(ps [points]point) Found {
	apart := func(a, b int) float32 {
		return float32(math.Hypot(float64(ps[a].x-ps[b].x), float64(ps[a].y-ps[b].y)))
	}
	const sure = 0.4
	both := func(a, b int) bool { return ps[a].score > sure && ps[b].score > sure }
	var spread float32
	for a := nose; a <= rightEar; a++ {
		for b := nose; b < a; b++ {
			spread = max(spread, apart(a, b))
		}
	}
	sizes := []float32{spread / 0.81}
	if both(leftEye, rightEye) {
		sizes = append(sizes, apart(leftEye, rightEye)/0.32)
	}
	ear := leftEar
	if ps[rightEar].score > ps[leftEar].score {
		ear = rightEar
	}
	if both(nose, ear) {
		sizes = append(sizes, apart(nose, ear)/0.55)
	}
	if both(leftEar, rightEar) {
		sizes = append(sizes, apart(leftEar, rightEar)/0.84)
	}
	if both(leftShoulder, rightShoulder) {
		mid := point{x: (ps[leftShoulder].x + ps[rightShoulder].x) / 2, y: (ps[leftShoulder].y + ps[rightShoulder].y) / 2}
		sizes = append(sizes, float32(math.Hypot(float64(mid.x-ps[nose].x), float64(mid.y-ps[nose].y)))/0.81)
	}
	slices.Sort(sizes)
	h := sizes[len(sizes)-1]
	if n := len(sizes); n > 1 {
		h = (h + sizes[n-2]) / 2
	}
	w := 0.85 * h
	var x, y, n float32
	for k := nose; k <= rightEar; k++ { // each has some score, however small
		x, y, n = x+ps[k].x*ps[k].score, y+ps[k].y*ps[k].score, n+ps[k].score
	}
	return Found{X: x/n - w/2, Y: y/n + 0.06*h - h/2, W: w, H: h}
}
