package detect

import (
	"math"
	"sort"
)

// pyramid looks at a picture at several sizes and returns the plain union of what it found there:
// suppressing across sizes loses one of two faces that touch.
type pyramid struct {
	spec Spec
	net  *net
	read func(out []plane, threshold float32) []Found
}

func (d *pyramid) Detect(p Picture) ([]Found, error) {
	var all []Found
	for _, level := range d.spec.Levels {
		q, back := scaled(p, level.Scale)
		q = turned(q, d.spec.Turns)
		err := d.net.run(q, func(out []plane) {
			for _, f := range d.read(out, d.spec.Threshold) {
				f = turnedBack(f, q, d.spec.Turns)
				f.X, f.Y, f.W, f.H = f.X*back, f.Y*back, f.W*back, f.H*back
				f.Kind = d.spec.Finds
				if f.Detector == "" {
					f.Detector = d.spec.Name
				}
				if (level.Most > 0 && f.H > level.Most) || f.Score < d.spec.least(f.H) {
					continue
				}
				if f = clip(f, p); f.W > 1 && f.H > 1 {
					all = append(all, f)
				}
			}
		})
		if err != nil {
			return nil, err
		}
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].Score > all[j].Score })
	return all, nil
}

func (d *pyramid) Close() error { return d.net.close() }

// clip drops what lies outside the picture.
func clip(f Found, p Picture) Found {
	x0, y0 := max(f.X, 0), max(f.Y, 0)
	x1, y1 := min(f.X+f.W, float32(p.W)), min(f.Y+f.H, float32(p.H))
	f.X, f.Y, f.W, f.H = x0, y0, x1-x0, y1-y0
	return f
}

// scaled returns the picture at a share of its size, and the factor that leads back.
func scaled(p Picture, share float64) (Picture, float32) {
	if share == 1 {
		return p, 1
	}
	if n := int(math.Round(1 / share)); share < 1 && math.Abs(1/share-float64(n)) < 1e-9 {
		return shrink(p, n), float32(n)
	}
	w, h := int(float64(p.W)*share), int(float64(p.H)*share)
	return enlarge(p, w, h), float32(float64(p.W) / float64(w))
}

// turned gives the picture quarter turns to the right.
func turned(p Picture, turns int) Picture {
	if turns == 0 {
		return p
	}
	q := Picture{make([]byte, len(p.Pix)), p.W, p.H}
	if turns%2 == 1 {
		q.W, q.H = p.H, p.W
	}
	i := 0
	for y := range q.H {
		for x := range q.W {
			var from int
			switch turns {
			case 1:
				from = (p.H-1-x)*p.W + y
			case 2:
				from = (p.H-1-y)*p.W + p.W - 1 - x
			default:
				from = x*p.W + p.W - 1 - y
			}
			copy(q.Pix[i:i+3], p.Pix[3*from:3*from+3])
			i += 3
		}
	}
	return q
}

// turnedBack says where something that was found in the turned picture q is in the picture.
func turnedBack(f Found, q Picture, turns int) Found {
	w, h := float32(q.W), float32(q.H)
	switch turns {
	case 1:
		f.X, f.Y, f.W, f.H = f.Y, w-f.X-f.W, f.H, f.W
	case 2:
		f.X, f.Y = w-f.X-f.W, h-f.Y-f.H
	case 3:
		f.X, f.Y, f.W, f.H = h-f.Y-f.H, f.X, f.H, f.W
	}
	return f
}

// shrink averages squares of n by n pixels.
func shrink(p Picture, n int) Picture {
	w, h := p.W/n, p.H/n
	q := Picture{make([]byte, w*h*3), w, h}
	div := uint32(n * n)
	sums := make([]uint32, w*3)
	for y := range h {
		clear(sums)
		for dy := range n {
			row := p.Pix[(y*n+dy)*p.W*3:]
			i := 0
			for x := range w {
				var r, g, b uint32
				for range n {
					r += uint32(row[i])
					g += uint32(row[i+1])
					b += uint32(row[i+2])
					i += 3
				}
				sums[3*x] += r
				sums[3*x+1] += g
				sums[3*x+2] += b
			}
		}
		out := q.Pix[y*w*3 : (y+1)*w*3]
		for i, s := range sums {
			out[i] = byte((s + div/2) / div)
		}
	}
	return q
}

// enlarge scales by linear interpolation.
func enlarge(p Picture, w, h int) Picture {
	q := Picture{make([]byte, w*h*3), w, h}
	type tap struct{ a, b, f int }
	taps := func(n, m int) []tap {
		ts := make([]tap, n)
		for i := range ts {
			s := (float64(i)+0.5)*float64(m)/float64(n) - 0.5
			s = math.Max(0, math.Min(float64(m-1), s))
			a := int(s)
			ts[i] = tap{a, min(a+1, m-1), int((s - float64(a)) * 256)}
		}
		return ts
	}
	xs, ys := taps(w, p.W), taps(h, p.H)
	for y, ty := range ys {
		ra, rb := p.Pix[ty.a*p.W*3:], p.Pix[ty.b*p.W*3:]
		out := q.Pix[y*w*3:]
		for x, tx := range xs {
			a, b := tx.a*3, tx.b*3
			for c := range 3 {
				top := int(ra[a+c])*(256-tx.f) + int(ra[b+c])*tx.f
				bot := int(rb[a+c])*(256-tx.f) + int(rb[b+c])*tx.f
				out[3*x+c] = byte((top*(256-ty.f) + bot*ty.f) >> 16)
			}
		}
	}
	return q
}

// suppress keeps the best of things that overlap by more than limit. The input is sorted, best first.
func suppress(fs []Found, limit float32) []Found {
	sort.SliceStable(fs, func(i, j int) bool { return fs[i].Score > fs[j].Score })
	var kept []Found
next:
	for _, f := range fs {
		for _, k := range kept {
			if overlap(f, k) > limit {
				continue next
			}
		}
		kept = append(kept, f)
	}
	return kept
}

// overlap is the shared area of a and b over their joint area.
func overlap(a, b Found) float32 {
	w := min(a.X+a.W, b.X+b.W) - max(a.X, b.X)
	h := min(a.Y+a.H, b.Y+b.H) - max(a.Y, b.Y)
	if w <= 0 || h <= 0 {
		return 0
	}
	return w * h / (a.W*a.H + b.W*b.H - w*h)
}

func sigmoid(v float32) float32 { return float32(1 / (1 + math.Exp(-float64(v)))) }

// logit is the inverse of sigmoid.
func logit(p float32) float32 { return float32(math.Log(float64(p) / (1 - float64(p)))) }
