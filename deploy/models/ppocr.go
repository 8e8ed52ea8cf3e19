package main

import (
	"fmt"
	"slices"
)

// fromPPOCR rewrites the graph of the text detector (PP-OCRv4, exported from Paddle) into one that does the
// same in half the time. As exported, two thirds of the time go into single additions and multiplications,
// each over a whole map; here they are folded into the convolutions beside them, where that changes nothing.
// Its input becomes that of the other models: the colour order (BGR) and the normalisation come first.
func fromPPOCR(b []byte) ([]byte, error) {
	g, err := readONNX(b)
	if err != nil {
		return nil, err
	}
	if len(g.ins) != 1 || len(g.outs) != 1 {
		return nil, fmt.Errorf("the text detector has %d inputs and %d outputs, not one each", len(g.ins), len(g.outs))
	}
	g.hardSwish()
	g.foldBack()
	g.foldOn()
	g.joinPointwise()
	g.plusOne()

	m := &model{name: "ppocr"}
	m.image(1, 0)
	m.ints("image_bgr", 2, 1, 0)
	m.floats("image_scale", []int{1, 3, 1, 1}, []float32{1 / (255 * 0.229), 1 / (255 * 0.224), 1 / (255 * 0.225)})
	m.floats("image_shift", []int{1, 3, 1, 1}, []float32{-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225})
	m.add("Gather", "image_turned", []string{"image_planes", "image_bgr"}, attr{"axis", 1})
	m.add("Mul", "image_scaled", []string{"image_turned", "image_scale"})
	m.add("Add", g.ins[0], []string{"image_scaled", "image_shift"})
	end, err := g.unfoldEnd(m)
	if err != nil {
		return nil, err
	}
	m.add("DepthToSpace", "likelihood", []string{end}, attr{"blocksize", 4}, attr{"mode", "DCR"})
	m.output("likelihood", 1)
	return m.bytes(), nil
}

// hardSwish finds x·clip(x+3, 0, 6)/6, written as four operations, and writes it as x·hardSigmoid(x). The
// second factor is a depthwise convolution of one pixel with an activation, which is the form that the
// runtime computes beside other convolutions without turning the map around in memory.
func (g *onnxGraph) hardSwish() {
	for _, div := range slices.Clone(g.nodes) {
		if div.op != "Div" {
			continue
		}
		mul := g.maker(div.in[0])
		if mul == nil || mul.op != "Mul" {
			continue
		}
		clip := g.maker(mul.in[1])
		if clip == nil || clip.op != "Clip" {
			continue
		}
		add := g.maker(clip.in[0])
		x := mul.in[0]
		if add == nil || add.op != "Add" || add.in[0] != x || g.scalar(add.in[1]) != 3 || g.scalar(clip.in[1]) != 0 ||
			g.scalar(clip.in[2]) != 6 || g.scalar(div.in[1]) != 6 {
			continue
		}
		out := div.out
		for _, n := range []*onnxNode{add, clip, mul} {
			g.remove(n)
		}
		*div = onnxNode{op: "HardSwish", in: []string{x}, out: out}
	}
}

// foldBack folds every scale and shift that follows a convolution, and nothing else does, into it.
func (g *onnxGraph) foldBack() {
	for _, conv := range slices.Clone(g.nodes) {
		if conv.op != "Conv" && conv.op != "ConvTranspose" {
			continue
		}
		for {
			uses := g.users(conv.out)
			if len(uses) != 1 {
				break
			}
			a, ok := g.affine(uses[0], conv.out)
			if !ok {
				break
			}
			w, bias := g.consts[conv.in[1]], g.bias(conv)
			w = w.clone()
			for o := range bias {
				s, t := a.at(o)
				bias[o] = bias[o]*s + t
				w.eachOf(o, conv.op == "ConvTranspose", func(v *float32) { *v *= s })
			}
			g.setWeights(conv, w, bias)
			conv.out = uses[0].out
			g.remove(uses[0])
		}
	}
}

// foldOn folds a scale and shift into what follows it when all of that are convolutions of one pixel.
// Before a convolution with a margin only the scale could be folded, since the margin counts as nothing: there
// both stay together as a depthwise convolution of one pixel.
func (g *onnxGraph) foldOn() {
	for _, mul := range slices.Clone(g.nodes) {
		if mul.op != "Mul" || !slices.Contains(g.nodes, mul) {
			continue
		}
		x := mul.in[1]
		a, ok := g.affine(mul, x)
		if !ok {
			continue
		}
		last := mul
		if uses := g.users(mul.out); len(uses) == 1 {
			if more, ok := g.affine(uses[0], mul.out); ok && uses[0].op == "Add" {
				a, last = affine{a.scale, more.shift}, uses[0]
			}
		}
		uses := g.users(last.out)
		if slices.ContainsFunc(uses, func(n *onnxNode) bool { return n.op != "Conv" || !g.pointwise(n) }) {
			channels := g.channels(x)
			w := onnxTensor{dims: []int{channels, 1, 1, 1}, v: make([]float32, channels)}
			bias := make([]float32, channels)
			for c := range channels {
				w.v[c], bias[c] = a.at(c)
			}
			if last != mul {
				g.remove(mul)
			}
			*last = onnxNode{op: "Conv", in: []string{x}, out: last.out, attrs: map[string]any{"group": channels, "kernel_shape": []int{1, 1}}}
			g.setWeights(last, w, bias)
			continue
		}
		for _, conv := range uses {
			w, bias := g.consts[conv.in[1]].clone(), g.bias(conv)
			per := len(w.v) / len(bias)
			for o := range bias {
				var sum float64
				for i := range per {
					s, t := a.at(i)
					sum += float64(w.v[o*per+i]) * float64(t)
					w.v[o*per+i] *= s
				}
				bias[o] += float32(sum)
			}
			g.setWeights(conv, w, bias)
			conv.in[0] = x
		}
		g.remove(mul)
		if last != mul {
			g.remove(last)
		}
	}
}

// joinPointwise multiplies two convolutions of one pixel that follow one another.
func (g *onnxGraph) joinPointwise() {
	for _, second := range slices.Clone(g.nodes) {
		if second.op != "Conv" || !g.pointwise(second) {
			continue
		}
		first := g.maker(second.in[0])
		if first == nil || first.op != "Conv" || !g.pointwise(first) || len(g.users(first.out)) != 1 {
			continue
		}
		u, ub, v, vb := g.consts[first.in[1]], g.bias(first), g.consts[second.in[1]], g.bias(second)
		in, mid, out := u.dims[1], u.dims[0], v.dims[0]
		w := onnxTensor{dims: []int{out, in, 1, 1}, v: make([]float32, out*in)}
		for o := range out {
			shift := float64(vb[o])
			sums := make([]float64, in)
			for k := range mid {
				f := float64(v.v[o*mid+k])
				shift += f * float64(ub[k])
				for i := range in {
					sums[i] += f * float64(u.v[k*in+i])
				}
			}
			vb[o] = float32(shift)
			for i, s := range sums {
				w.v[o*in+i] = float32(s)
			}
		}
		second.in[0] = first.in[0]
		g.setWeights(second, w, vb)
		g.remove(first)
	}
}

// plusOne writes x + x·s, with one s for each channel, as x·(1+s).
func (g *onnxGraph) plusOne() {
	for _, add := range g.nodes {
		if add.op != "Add" {
			continue
		}
		mul := g.maker(add.in[1])
		if mul == nil || mul.op != "Mul" || mul.in[0] != add.in[0] || len(g.users(mul.out)) != 1 {
			continue
		}
		one := "one"
		g.consts[one] = onnxTensor{v: []float32{1}}
		factor := mul.out
		*mul = onnxNode{op: "Add", in: []string{mul.in[1], one}, out: factor}
		*add = onnxNode{op: "Mul", in: []string{add.in[0], factor}, out: add.out}
	}
}

// unfoldEnd writes all nodes into m. The two transposed convolutions at the end, each of which makes four
// pixels of one, become convolutions of one pixel that compute the four as channels: 16 channels, four rows
// of four, for each pixel. It returns their name.
func (g *onnxGraph) unfoldEnd(m *model) (string, error) {
	var ups []*onnxNode
	for _, n := range g.nodes {
		if n.op == "ConvTranspose" {
			ups = append(ups, n)
		}
	}
	if len(ups) != 2 {
		return "", fmt.Errorf("the text detector ends in %d steps up, not two", len(ups))
	}
	first, second := ups[0], ups[1]
	u, ub, v, vb := g.consts[first.in[1]], g.bias(first), g.consts[second.in[1]], g.bias(second)
	in, mid := u.dims[0], u.dims[1]
	if !slices.Equal(u.dims, []int{in, mid, 2, 2}) || !slices.Equal(v.dims, []int{mid, 1, 2, 2}) {
		return "", fmt.Errorf("the text detector's steps up are of %v and %v", u.dims, v.dims)
	}
	wide := onnxTensor{dims: []int{4 * mid, in, 1, 1}, v: make([]float32, 4*mid*in)}
	wideBias := make([]float32, 4*mid)
	tall := onnxTensor{dims: []int{16, 4 * mid, 1, 1}, v: make([]float32, 16*4*mid)}
	tallBias := slices.Repeat(vb, 16)
	for ab := range 4 { // row and column of the first step
		for o := range mid {
			wideBias[ab*mid+o] = ub[o]
			for i := range in {
				wide.v[(ab*mid+o)*in+i] = u.v[(i*mid+o)*4+ab]
			}
			for cd := range 4 { // and of the second
				pixel := (2*(ab/2)+cd/2)*4 + 2*(ab%2) + cd%2
				tall.v[pixel*4*mid+ab*mid+o] = v.v[o*4+cd]
			}
		}
	}
	for n, w := range map[*onnxNode]onnxTensor{first: wide, second: tall} {
		n.op, n.attrs = "Conv", map[string]any{"kernel_shape": []int{1, 1}}
		g.setWeights(n, w, map[*onnxNode][]float32{first: wideBias, second: tallBias}[n])
	}
	for _, n := range g.nodes {
		if n.op == "HardSwish" {
			channels := g.channels(n.in[0])
			gate := onnxNode{op: "Conv", in: []string{n.in[0]}, out: n.out + "_part", attrs: map[string]any{"group": channels, "kernel_shape": []int{1, 1}}}
			g.setWeights(&gate, onnxTensor{dims: []int{channels, 1, 1, 1}, v: slices.Repeat([]float32{1}, channels)}, make([]float32, channels))
			g.write(m, &gate)
			m.add("HardSigmoid", n.out+"_gate", []string{gate.out}, attr{"alpha", float32(1. / 6)}, attr{"beta", float32(0.5)})
			m.add("Mul", n.out, []string{n.in[0], n.out + "_gate"})
			continue
		}
		g.write(m, n)
	}
	return g.outs[0], nil
}
