package main

import (
	"fmt"
)

// fromMediaPipe converts the full-range face detector to ONNX with free height and width (multiples
// of 32). Outputs: score, the logit of a face at each cell of 4 pixels; box, centre offset, width and
// height in pixels at that cell.
func fromMediaPipe(b []byte) ([]byte, error) {
	g, err := readTFLite(b)
	if err != nil {
		return nil, err
	}
	m := &model{name: "mediapipe_face_full"}
	names := map[int]string{g.in[0]: m.image(1/127.5, -1)}
	consts := map[int]tensor{}
	for i, t := range g.tensors {
		if t.data != nil {
			consts[i] = t
		}
	}
	reshaped := map[int]int{} // result of a reshape to what was reshaped
	for k, o := range g.ops {
		out := fmt.Sprintf("t%d", o.out[0])
		in := func(i int) string { return names[o.in[i]] }
		switch o.code {
		case opDequantize:
			consts[o.out[0]] = consts[o.in[0]]
			continue
		case opConv, opDepthwise:
			conv(m, g, consts, o, in(0), out)
		case opAdd:
			m.add("Add", out, []string{in(0), in(1)})
		case opRelu:
			m.add("Relu", out, []string{in(0)})
		case opMaxPool:
			m.add("MaxPool", out, []string{in(0)}, attr{"kernel_shape", []int{2, 2}}, attr{"strides", []int{2, 2}}, attr{"auto_pad", "SAME_UPPER"})
		case opPad:
			p := consts[o.in[1]].ints() // begin and end for batch, height, width, channel
			m.ints(out+"_pads", p[0], p[6], p[2], p[4], p[1], p[7], p[3], p[5])
			m.add("Pad", out, []string{in(0), out + "_pads"}, attr{"mode", "constant"})
		case opResizeBilinear:
			if o.options.byte(2) != 0 || o.options.byte(3) == 0 {
				return nil, fmt.Errorf("step %d: only half-pixel resizing is known", k)
			}
			m.floats(out+"_scales", []int{4}, []float32{1, 1, 2, 2})
			m.add("Resize", out, []string{in(0), "", out + "_scales"}, attr{"mode", "linear"}, attr{"coordinate_transformation_mode", "half_pixel"})
		case opReshape:
			reshaped[o.out[0]] = o.in[0]
			continue
		default:
			return nil, fmt.Errorf("step %d: operator %d is not known", k, o.code)
		}
		names[o.out[0]] = out
	}
	m.add("Identity", "score", []string{names[reshaped[g.out[1]]]})
	m.output("score", 1)
	m.add("Identity", "box", []string{names[reshaped[g.out[0]]]})
	m.output("box", 4)
	return m.bytes(), nil
}

// conv adds a convolution. Weights lie as output, height, width, input; or, depthwise, as 1, height,
// width, channel. Of the head that gives box and landmarks only the box is kept.
func conv(m *model, g graph, consts map[int]tensor, o operator, in, out string) {
	w, bias := consts[o.in[1]], consts[o.in[2]].floats()
	src := w.floats()
	n, kh, kw, ci, group := w.shape[0], w.shape[1], w.shape[2], w.shape[3], 1
	if o.code == opDepthwise {
		n, ci, group = w.shape[3], 1, w.shape[3]
	} else if n == 16 && o.in[1] == g.boxWeights() {
		n = 4
	}
	dst := make([]float32, 0, n*ci*kh*kw)
	for a := range n {
		for c := range ci {
			for y := range kh {
				for x := range kw {
					if group > 1 {
						dst = append(dst, src[(y*kw+x)*n+a])
					} else {
						dst = append(dst, src[((a*kh+y)*kw+x)*ci+c])
					}
				}
			}
		}
	}
	m.floats(out+"_w", []int{n, ci, kh, kw}, dst)
	m.floats(out+"_b", []int{n}, bias[:n])
	m.add("Conv", out, []string{in, out + "_w", out + "_b"}, attr{"kernel_shape", []int{kh, kw}},
		attr{"strides", []int{o.options.int(2, 0), o.options.int(1, 0)}}, attr{"group", group}, attr{"auto_pad", "SAME_UPPER"})
}

// boxWeights returns the tensor that weighs the head for box and landmarks.
func (g graph) boxWeights() int {
	last := g.ops[len(g.ops)-1] // the reshape of that head
	for _, o := range g.ops {
		if o.code == opConv && o.out[0] == last.in[0] {
			return o.in[1]
		}
	}
	return -1
}
