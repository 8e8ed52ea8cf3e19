package detect

import "sort"

// readText reads the text detector's map of likelihood: every connected patch of it is a piece of
// text; pieces side by side are one plate. The map marks the core of a text, so patches are grown.
func readText(out []plane, threshold float32) []Found {
	const floor = 0.25 // likelihood of a pixel to be text at all
	m := out[0]
	v := m.at(0)
	label := make([]int32, len(v))
	var parts []Found
	var stack []int32
	for i := range v {
		if v[i] < floor || label[i] != 0 {
			continue
		}
		x0, y0, x1, y1, n := m.w, m.h, 0, 0, 0
		var sum float32
		stack = append(stack[:0], int32(i))
		label[i] = 1
		for len(stack) > 0 {
			p := int(stack[len(stack)-1])
			stack = stack[:len(stack)-1]
			x, y := p%m.w, p/m.w
			x0, x1, y0, y1 = min(x0, x), max(x1, x), min(y0, y), max(y1, y)
			n++
			sum += v[p]
			for _, q := range [4]int{p - 1, p + 1, p - m.w, p + m.w} {
				if q < 0 || q >= len(v) || (q == p-1 && x == 0) || (q == p+1 && x == m.w-1) {
					continue
				}
				if label[q] == 0 && v[q] >= floor {
					label[q] = 1
					stack = append(stack, int32(q))
				}
			}
		}
		w, h := float32(x1-x0+1), float32(y1-y0+1)
		score := sum / float32(n)
		if n < 10 || w < 4 || h < 2 || score < threshold {
			continue
		}
		grow := 1.6 * w * h / (2 * (w + h))
		parts = append(parts, Found{X: float32(x0) - grow, Y: float32(y0) - grow, W: w + 2*grow, H: h + 2*grow, Score: score})
	}
	return joinText(parts)
}

// joinText joins pieces of similar height that stand side by side, as the groups of a plate do.
func joinText(parts []Found) []Found {
	sort.Slice(parts, func(i, j int) bool { return parts[i].X < parts[j].X })
	used := make([]bool, len(parts))
	var out []Found
	for i, p := range parts {
		if used[i] {
			continue
		}
		for j := i + 1; j < len(parts); j++ {
			q := parts[j]
			h := max(p.H, q.H)
			if used[j] || q.X-(p.X+p.W) > 0.5*h || min(p.H, q.H) < 0.6*h {
				continue
			}
			if mid := (p.Y + p.H/2) - (q.Y + q.H/2); mid > 0.3*h || mid < -0.3*h {
				continue
			}
			x1, y0, y1 := max(p.X+p.W, q.X+q.W), min(p.Y, q.Y), max(p.Y+p.H, q.Y+q.H)
			p.W, p.Y, p.H, p.Score = x1-p.X, y0, y1-y0, max(p.Score, q.Score)
			used[j] = true
		}
		out = append(out, p)
	}
	return out
}
