package main

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// A reader of ONNX models, and what it takes to rewrite one. Field numbers are those of onnx.proto.

// onnxTensor is a constant: numbers, or a list of integers.
type onnxTensor struct {
	dims []int
	v    []float32
	ints []int
}

func (t onnxTensor) clone() onnxTensor {
	t.v = slices.Clone(t.v)
	return t
}

// eachOf calls f for the weights of output channel o; a transposed convolution has its inputs first.
func (t onnxTensor) eachOf(o int, transposed bool, f func(*float32)) {
	if !transposed {
		per := len(t.v) / t.dims[0]
		for i := range per {
			f(&t.v[o*per+i])
		}
		return
	}
	area := t.dims[2] * t.dims[3]
	for i := range t.dims[0] {
		for k := range area {
			f(&t.v[(i*t.dims[1]+o)*area+k])
		}
	}
}

// onnxNode is an operation with one output.
type onnxNode struct {
	op    string
	in    []string
	out   string
	attrs map[string]any
}

type onnxGraph struct {
	nodes     []*onnxNode // in an order in which they can run
	consts    map[string]onnxTensor
	ins, outs []string
	written   map[string]bool // constants that are in the model already
}

// readONNX reads a model of which every node has one output.
func readONNX(b []byte) (*onnxGraph, error) {
	g := &onnxGraph{consts: map[string]onnxTensor{}, written: map[string]bool{}}
	err := fields(b, func(field int, _ uint64, model []byte) error {
		if field != 7 {
			return nil
		}
		return fields(model, func(field int, _ uint64, val []byte) error {
			switch field {
			case 1:
				return g.readNode(val)
			case 5:
				name, t, err := readTensor(val)
				g.consts[name] = t
				return err
			case 11, 12:
				list := &g.ins
				if field == 12 {
					list = &g.outs
				}
				return fields(val, func(field int, _ uint64, name []byte) error {
					if field == 1 {
						*list = append(*list, string(name))
					}
					return nil
				})
			}
			return nil
		})
	})
	return g, err
}

func (g *onnxGraph) readNode(b []byte) error {
	node := &onnxNode{attrs: map[string]any{}}
	outs := 0
	var value onnxTensor
	err := fields(b, func(field int, _ uint64, val []byte) error {
		switch field {
		case 1:
			node.in = append(node.in, string(val))
		case 2:
			node.out = string(val)
			outs++
		case 4:
			node.op = string(val)
		case 5:
			name, v, err := readAttr(val)
			if t, ok := v.(onnxTensor); ok {
				value = t
			} else if v != nil {
				node.attrs[name] = v
			}
			return err
		}
		return nil
	})
	if err != nil {
		return err
	}
	if outs != 1 {
		return fmt.Errorf("node %s has %d outputs", node.op, outs)
	}
	if node.op == "Constant" {
		g.consts[node.out] = value
		return nil
	}
	g.nodes = append(g.nodes, node)
	return nil
}

func readAttr(b []byte) (string, any, error) {
	var name string
	var v any
	err := fields(b, func(field int, num uint64, val []byte) error {
		var err error
		switch field {
		case 1:
			name = string(val)
		case 2:
			v = math.Float32frombits(uint32(num))
		case 3:
			v = int(num)
		case 4:
			v = string(val)
		case 5:
			_, v, err = readTensor(val)
		case 8:
			list, _ := v.([]int)
			var more []int
			more, err = readInts(num, val)
			v = append(list, more...)
		}
		return err
	})
	return name, v, err
}

// readInts reads one integer, or a packed list of them.
func readInts(num uint64, packed []byte) ([]int, error) {
	if packed == nil {
		return []int{int(num)}, nil
	}
	var out []int
	for len(packed) > 0 {
		v, n := protowire.ConsumeVarint(packed)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		out, packed = append(out, int(v)), packed[n:]
	}
	return out, nil
}

func readTensor(b []byte) (string, onnxTensor, error) {
	var t onnxTensor
	var name string
	var kind int
	var raw []byte
	err := fields(b, func(field int, num uint64, val []byte) error {
		switch field {
		case 1:
			dims, err := readInts(num, val)
			t.dims = append(t.dims, dims...)
			return err
		case 2:
			kind = int(num)
		case 4: // numbers, packed or not
			if val == nil {
				t.v = append(t.v, math.Float32frombits(uint32(num)))
			}
			for ; len(val) >= 4; val = val[4:] {
				t.v = append(t.v, math.Float32frombits(binary.LittleEndian.Uint32(val)))
			}
		case 7:
			ints, err := readInts(num, val)
			t.ints = append(t.ints, ints...)
			return err
		case 8:
			name = string(val)
		case 9:
			raw = val
		}
		return nil
	})
	switch kind {
	case onnxFloat:
		for ; len(raw) >= 4; raw = raw[4:] {
			t.v = append(t.v, math.Float32frombits(binary.LittleEndian.Uint32(raw)))
		}
	case onnxInt64:
		for ; len(raw) >= 8; raw = raw[8:] {
			t.ints = append(t.ints, int(binary.LittleEndian.Uint64(raw)))
		}
	default:
		err = fmt.Errorf("constant %s has type %d, which is neither numbers nor integers", name, kind)
	}
	return name, t, err
}

// fields calls f for each field of a message with its number, and its value as a number or as bytes.
func fields(b []byte, f func(field int, num uint64, val []byte) error) error {
	for len(b) > 0 {
		n, kind, tag := protowire.ConsumeTag(b)
		if tag < 0 {
			return fmt.Errorf("not an ONNX model: %w", protowire.ParseError(tag))
		}
		size := protowire.ConsumeFieldValue(n, kind, b[tag:])
		if size < 0 {
			return fmt.Errorf("not an ONNX model: %w", protowire.ParseError(size))
		}
		var num uint64
		var val []byte
		switch kind {
		case protowire.VarintType:
			num, _ = protowire.ConsumeVarint(b[tag:])
		case protowire.Fixed32Type:
			v, _ := protowire.ConsumeFixed32(b[tag:])
			num = uint64(v)
		case protowire.BytesType:
			val, _ = protowire.ConsumeBytes(b[tag:])
		default: // no field that is read has another type
		}
		if err := f(int(n), num, val); err != nil {
			return err
		}
		b = b[tag+size:]
	}
	return nil
}

// maker is the node whose output has that name, or nil.
func (g *onnxGraph) maker(name string) *onnxNode {
	for _, n := range g.nodes {
		if n.out == name {
			return n
		}
	}
	return nil
}

// users are the nodes that take the value of that name.
func (g *onnxGraph) users(name string) []*onnxNode {
	var out []*onnxNode
	for _, n := range g.nodes {
		if slices.Contains(n.in, name) {
			out = append(out, n)
		}
	}
	return out
}

func (g *onnxGraph) remove(n *onnxNode) {
	g.nodes = slices.DeleteFunc(g.nodes, func(m *onnxNode) bool { return m == n })
}

// scalar is the one number of a constant, or not a number.
func (g *onnxGraph) scalar(name string) float32 {
	if t := g.consts[name]; len(t.v) == 1 {
		return t.v[0]
	}
	return float32(math.NaN())
}

// affine is a scale and a shift, one for all channels or one for each.
type affine struct {
	scale, shift []float32
}

func (a affine) at(c int) (scale, shift float32) {
	return a.scale[c%len(a.scale)], a.shift[c%len(a.shift)]
}

// affine says what n does to the value x, if that is only a scale and a shift.
func (g *onnxGraph) affine(n *onnxNode, x string) (affine, bool) {
	switch n.op {
	case "Mul", "Add":
		other := n.in[0]
		if other == x {
			other = n.in[1]
		}
		t, ok := g.consts[other]
		// One number, or one for each channel and nothing for height and width.
		if !ok || (len(t.v) != 1 && (len(t.dims) != 4 || t.dims[1] != len(t.v))) {
			return affine{}, false
		}
		if n.op == "Mul" {
			return affine{t.v, []float32{0}}, true
		}
		return affine{[]float32{1}, t.v}, true
	case "BatchNormalization":
		a := affine{make([]float32, len(g.consts[n.in[1]].v)), make([]float32, len(g.consts[n.in[1]].v))}
		eps, _ := n.attrs["epsilon"].(float32)
		for c := range a.scale {
			gamma, beta, mean, variance := g.consts[n.in[1]].v[c], g.consts[n.in[2]].v[c], g.consts[n.in[3]].v[c], g.consts[n.in[4]].v[c]
			s := float64(gamma) / math.Sqrt(float64(variance)+float64(eps))
			a.scale[c], a.shift[c] = float32(s), float32(float64(beta)-float64(mean)*s)
		}
		return a, true
	}
	return affine{}, false
}

// pointwise reports whether a convolution looks at one pixel of all channels.
func (g *onnxGraph) pointwise(n *onnxNode) bool {
	w := g.consts[n.in[1]]
	group, ok := n.attrs["group"].(int)
	return len(w.dims) == 4 && w.dims[2] == 1 && w.dims[3] == 1 && (!ok || group == 1)
}

// channels counts the channels of a value that is made of a convolution's.
func (g *onnxGraph) channels(name string) int {
	n := g.maker(name)
	if n.op == "Conv" {
		return g.consts[n.in[1]].dims[0]
	}
	return g.channels(n.in[0])
}

// bias is a copy of a convolution's, zeros where it has none.
func (g *onnxGraph) bias(n *onnxNode) []float32 {
	if len(n.in) > 2 {
		return slices.Clone(g.consts[n.in[2]].v)
	}
	w := g.consts[n.in[1]]
	if n.op == "ConvTranspose" {
		return make([]float32, w.dims[1])
	}
	return make([]float32, w.dims[0])
}

// setWeights gives a convolution weights of its own.
func (g *onnxGraph) setWeights(n *onnxNode, w onnxTensor, bias []float32) {
	var name string
	for i := 0; ; i++ { // a name may hold the weights that these are made of, which others may use
		name = fmt.Sprintf("%s_%d", n.out, i)
		if _, used := g.consts[name+"_w"]; !used {
			break
		}
	}
	g.consts[name+"_w"], g.consts[name+"_b"] = w, onnxTensor{dims: []int{len(bias)}, v: bias}
	n.in = []string{n.in[0], name + "_w", name + "_b"}
}

// write appends a node to m.
func (g *onnxGraph) write(m *model, n *onnxNode) {
	var attrs []attr
	for _, name := range slices.Sorted(maps.Keys(n.attrs)) {
		attrs = append(attrs, attr{name, n.attrs[name]})
	}
	m.add(n.op, n.out, n.in, attrs...)
	for _, in := range n.in {
		if t, ok := g.consts[in]; ok && !g.written[in] {
			m.floats(in, t.dims, t.v)
			g.written[in] = true
		}
	}
}
