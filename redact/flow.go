package redact

import "math"

// gray is a picture of brightness.
type gray struct {
	pix  []byte
	w, h int
}

// scene is a frame as the tracker needs it: brightness at half the size of the look and coarser, each
// level half of the one before.
type scene struct {
	index  int
	levels []gray
	shift  [2]float64 // how the whole picture moved since the frame before, in pixels of the look
	cut    bool       // the picture has little to do with the frame before
	luma   float64    // mean brightness, 0 to 255
	detail float64    // mean step between neighbouring pixels, a measure of sharpness and noise
}

const sceneLevels = 4

// newScene reads the brightness of a raw frame.
func newScene(index int, y []byte, w, h int) *scene {
	s := &scene{index: index}
	g := gray{y, w, h}
	for range sceneLevels {
		g = halve(g)
		s.levels = append(s.levels, g)
	}
	small := s.levels[1]
	var sum, steps int
	for row := range small.h - 1 {
		p := small.pix[row*small.w : (row+1)*small.w]
		below := small.pix[(row+1)*small.w:]
		for x := range len(p) - 1 {
			v := int(p[x])
			sum += v
			steps += abs(v-int(p[x+1])) + abs(v-int(below[x]))
		}
	}
	n := float64((small.h - 1) * (small.w - 1))
	s.luma, s.detail = float64(sum)/n, float64(steps)/n
	return s
}

func abs(v int) int { return max(v, -v) }

func halve(g gray) gray {
	w, h := g.w/2, g.h/2
	out := gray{make([]byte, w*h), w, h}
	for y := range h {
		a, b := g.pix[2*y*g.w:2*y*g.w+2*w], g.pix[(2*y+1)*g.w:(2*y+1)*g.w+2*w]
		o := out.pix[y*w : (y+1)*w]
		for x := range o {
			o[x] = byte((int(a[2*x]) + int(a[2*x+1]) + int(b[2*x]) + int(b[2*x+1]) + 2) >> 2)
		}
	}
	return out
}

// follow finds how the whole picture moved from a to b: the shift of the middle of the picture that
// fits best, from coarse to fine.
func (b *scene) follow(a *scene) {
	mx, my := 0.0, 0.0
	best := math.Inf(1)
	for l := sceneLevels - 1; l >= 1; l-- {
		f := float64(int(2) << l)
		radius := 1
		if l == sceneLevels-1 {
			radius = 6
		}
		ga, gb := a.levels[l], b.levels[l]
		cx, cy := int(math.Round(mx/f)), int(math.Round(my/f))
		best = math.Inf(1)
		bx, by := cx, cy
		for dy := cy - radius; dy <= cy+radius; dy++ {
			for dx := cx - radius; dx <= cx+radius; dx++ {
				if d := shiftCost(ga, gb, dx, dy); d < best {
					best, bx, by = d, dx, dy
				}
			}
		}
		mx, my = float64(bx)*f, float64(by)*f
	}
	b.shift = [2]float64{mx, my}
	b.cut = best > 28
}

// shiftCost is the mean difference of b moved back by dx, dy from a, over the part that both show.
func shiftCost(a, b gray, dx, dy int) float64 {
	x0, x1 := max(0, -dx), min(a.w, b.w-dx)
	y0, y1 := max(0, -dy), min(a.h, b.h-dy)
	if x1-x0 < a.w/2 || y1-y0 < a.h/2 {
		return math.Inf(1)
	}
	sum := 0
	for y := y0; y < y1; y++ {
		p, q := a.pix[y*a.w+x0:y*a.w+x1], b.pix[(y+dy)*b.w+x0+dx:(y+dy)*b.w+x1+dx]
		for i, v := range p {
			sum += abs(int(v) - int(q[i]))
		}
	}
	return float64(sum) / float64((x1-x0)*(y1-y0))
}

// rect is a rectangle in pixels of the look.
type rect struct{ x, y, w, h float64 }

func (r rect) moved(dx, dy float64) rect { return rect{r.x + dx, r.y + dy, r.w, r.h} }

// grown makes the rectangle larger about its middle by a share of its sides.
func (r rect) grown(fx, fy float64) rect {
	return rect{r.x - r.w*fx/2, r.y - r.h*fy/2, r.w * (1 + fx), r.h * (1 + fy)}
}

func (r rect) cx() float64 { return r.x + r.w/2 }
func (r rect) cy() float64 { return r.y + r.h/2 }

// overlap is the shared area over the joint area.
func (r rect) overlap(o rect) float64 {
	s := r.shared(o)
	if s == 0 {
		return 0
	}
	return s / (r.w*r.h + o.w*o.h - s)
}

func (r rect) shared(o rect) float64 {
	w := min(r.x+r.w, o.x+o.w) - max(r.x, o.x)
	h := min(r.y+r.h, o.y+o.h) - max(r.y, o.y)
	if w <= 0 || h <= 0 {
		return 0
	}
	return w * h
}

// find looks for what is inside box of scene a in scene b, around the guessed shift dx, dy. It returns
// the shift and how well it fits: the correlation, 1 for the same, 0 for nothing in common.
func find(a *scene, box rect, b *scene, dx, dy float64, reach float64) (float64, float64, float64) {
	// Of small things some surroundings are taken along, or there would be too little to compare; of
	// larger ones not, since the ground behind someone who walks stays where it is.
	around := 0.4 * max(0, min(1, (24-min(box.w, box.h))/12))
	box = box.grown(around, around)
	size := max(box.w, box.h)
	coarse := 0
	for coarse < sceneLevels-1 && size/float64(int(2)<<coarse) > 24 {
		coarse++
	}
	fine := coarse
	for fine > 0 && size/float64(int(1)<<fine) <= 56 {
		fine--
	}
	fit := 0.0
	for l := coarse; l >= fine; l-- {
		f := float64(int(2) << l)
		radius := 2
		if l == coarse {
			radius = max(2, int(math.Ceil(reach/f)))
		}
		ga, gb := a.levels[l], b.levels[l]
		x0, y0 := int(math.Round(box.x/f)), int(math.Round(box.y/f))
		x1, y1 := int(math.Round((box.x+box.w)/f)), int(math.Round((box.y+box.h)/f))
		if x1-x0 < 5 {
			x0, x1 = x0-2, x1+2
		}
		if y1-y0 < 5 {
			y0, y1 = y0-2, y1+2
		}
		x0, y0, x1, y1 = max(0, x0), max(0, y0), min(ga.w, x1), min(ga.h, y1)
		if x1-x0 < 3 || y1-y0 < 3 {
			return dx, dy, 0
		}
		cx, cy := int(math.Round(dx/f)), int(math.Round(dy/f))
		best, bx, by := math.MaxFloat64, cx, cy
		for sy := cy - radius; sy <= cy+radius; sy++ {
			for sx := cx - radius; sx <= cx+radius; sx++ {
				if c := patchCost(ga, gb, x0, y0, x1, y1, sx, sy, best); c < best {
					best, bx, by = c, sx, sy
				}
			}
		}
		dx, dy = float64(bx)*f, float64(by)*f
		if l == fine {
			fit = correlation(ga, gb, x0, y0, x1, y1, bx, by)
			sx, sy := subpixel(ga, gb, x0, y0, x1, y1, bx, by, best)
			dx, dy = dx+sx*f, dy+sy*f
		}
	}
	return dx, dy, fit
}

// patchCost is the mean difference of a patch of a from b at a shift; it gives up above limit.
func patchCost(a, b gray, x0, y0, x1, y1, dx, dy int, limit float64) float64 {
	u0, u1 := max(x0, -dx), min(x1, b.w-dx)
	v0, v1 := max(y0, -dy), min(y1, b.h-dy)
	n := (u1 - u0) * (v1 - v0)
	if u1 <= u0 || v1 <= v0 || 3*n < (x1-x0)*(y1-y0) {
		return math.MaxFloat64
	}
	stop := math.MaxInt
	if limit < 1e6 {
		stop = int(limit * float64(n))
	}
	sum := 0
	for y := v0; y < v1; y++ {
		p, q := a.pix[y*a.w+u0:y*a.w+u1], b.pix[(y+dy)*b.w+u0+dx:(y+dy)*b.w+u1+dx]
		for i, v := range p {
			sum += abs(int(v) - int(q[i]))
		}
		if sum > stop {
			return math.MaxFloat64
		}
	}
	return float64(sum) / float64(n)
}

// subpixel refines a shift by the parabola through the costs beside it.
func subpixel(a, b gray, x0, y0, x1, y1, dx, dy int, c float64) (float64, float64) {
	cost := func(sx, sy int) float64 { return patchCost(a, b, x0, y0, x1, y1, dx+sx, dy+sy, math.MaxFloat64) }
	peak := func(l, r float64) float64 {
		if l > 1e6 || r > 1e6 || l+r-2*c <= 0 {
			return 0
		}
		return max(-0.5, min(0.5, (l-r)/(2*(l+r-2*c))))
	}
	return peak(cost(-1, 0), cost(1, 0)), peak(cost(0, -1), cost(0, 1))
}

func correlation(a, b gray, x0, y0, x1, y1, dx, dy int) float64 {
	u0, u1 := max(x0, -dx), min(x1, b.w-dx)
	v0, v1 := max(y0, -dy), min(y1, b.h-dy)
	if u1 <= u0 || v1 <= v0 {
		return 0
	}
	var n, sa, sb, saa, sbb, sab int
	for y := v0; y < v1; y++ {
		p, q := a.pix[y*a.w+u0:y*a.w+u1], b.pix[(y+dy)*b.w+u0+dx:(y+dy)*b.w+u1+dx]
		for i, v := range p {
			s, t := int(v), int(q[i])
			sa, sb, saa, sbb, sab = sa+s, sb+t, saa+s*s, sbb+t*t, sab+s*t
		}
		n += len(p)
	}
	va, vb := float64(n*saa-sa*sa), float64(n*sbb-sb*sb)
	flat := float64(n) * float64(n) * 9 // less than three steps of brightness: nothing to hold on to
	if va < flat || vb < flat {
		return 0.5
	}
	return float64(n*sab-sa*sb) / math.Sqrt(va*vb)
}
