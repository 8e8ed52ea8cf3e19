package main

import (
	"encoding/binary"
	"fmt"
	"math"
)

// The few parts of TensorFlow Lite's FlatBuffers schema that the face detector uses.

const (
	opAdd            = 0
	opConv           = 3
	opDepthwise      = 4
	opDequantize     = 6
	opMaxPool        = 17
	opRelu           = 19
	opReshape        = 22
	opResizeBilinear = 23
	opPad            = 34

	typeFloat32 = 0
	typeFloat16 = 1
)

// table is a FlatBuffers table: a position in the file and the way to its fields.
type table struct {
	b   []byte
	pos int
}

func (t table) u32(p int) int { return int(binary.LittleEndian.Uint32(t.b[p:])) }

// field returns the position of field i, or 0 when it is absent and so has its default.
func (t table) field(i int) int {
	vt := t.pos - int(int32(binary.LittleEndian.Uint32(t.b[t.pos:])))
	size := int(binary.LittleEndian.Uint16(t.b[vt:]))
	if 4+2*i >= size {
		return 0
	}
	off := int(binary.LittleEndian.Uint16(t.b[vt+4+2*i:]))
	if off == 0 {
		return 0
	}
	return t.pos + off
}

func (t table) int(i, def int) int {
	if p := t.field(i); p != 0 {
		return int(int32(binary.LittleEndian.Uint32(t.b[p:])))
	}
	return def
}

func (t table) byte(i int) int {
	if p := t.field(i); p != 0 {
		return int(t.b[p])
	}
	return 0
}

func (t table) sub(i int) table {
	p := t.field(i)
	return table{t.b, p + t.u32(p)}
}

// vector returns where the elements of vector i start and how many there are.
func (t table) vector(i int) (pos, n int) {
	p := t.field(i)
	if p == 0 {
		return 0, 0
	}
	p += t.u32(p)
	return p + 4, t.u32(p)
}

func (t table) tables(i int) []table {
	p, n := t.vector(i)
	ts := make([]table, n)
	for k := range ts {
		q := p + 4*k
		ts[k] = table{t.b, q + t.u32(q)}
	}
	return ts
}

func (t table) ints(i int) []int {
	p, n := t.vector(i)
	vs := make([]int, n)
	for k := range vs {
		vs[k] = int(int32(binary.LittleEndian.Uint32(t.b[p+4*k:])))
	}
	return vs
}

func (t table) string(i int) string {
	p, n := t.vector(i)
	return string(t.b[p : p+n])
}

// tensor is one value of the graph; data is nil for what is computed.
type tensor struct {
	name  string
	shape []int
	kind  int
	data  []byte
}

// floats returns the constant's values, widening half precision.
func (t tensor) floats() []float32 {
	switch t.kind {
	case typeFloat32:
		vs := make([]float32, len(t.data)/4)
		for i := range vs {
			vs[i] = math.Float32frombits(binary.LittleEndian.Uint32(t.data[4*i:]))
		}
		return vs
	case typeFloat16:
		vs := make([]float32, len(t.data)/2)
		for i := range vs {
			vs[i] = half(binary.LittleEndian.Uint16(t.data[2*i:]))
		}
		return vs
	}
	panic(fmt.Sprintf("tensor %s holds no floats", t.name))
}

func (t tensor) ints() []int {
	vs := make([]int, len(t.data)/4)
	for i := range vs {
		vs[i] = int(int32(binary.LittleEndian.Uint32(t.data[4*i:])))
	}
	return vs
}

// half widens a half-precision number.
func half(h uint16) float32 {
	sign, exp, frac := uint32(h>>15)<<31, uint32(h>>10&31), uint32(h&1023)
	switch exp {
	case 0:
		v := float32(frac) / (1 << 24)
		if sign != 0 {
			v = -v
		}
		return v
	case 31:
		return math.Float32frombits(sign | 0x7f800000 | frac<<13)
	}
	return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
}

// operator is one step of the graph.
type operator struct {
	code    int
	in, out []int
	options table
}

// graph is a model of one subgraph.
type graph struct {
	tensors []tensor
	ops     []operator
	in, out []int
}

func readTFLite(b []byte) (graph, error) {
	if len(b) < 8 || string(b[4:8]) != "TFL3" {
		return graph{}, fmt.Errorf("not a TensorFlow Lite model")
	}
	root := table{b: b}
	root.pos = root.u32(0)
	codes, buffers := root.tables(1), root.tables(4)
	sub := root.tables(2)[0]
	g := graph{in: sub.ints(1), out: sub.ints(2)}
	for _, t := range sub.tables(0) {
		v := tensor{name: t.string(3), shape: t.ints(0), kind: t.byte(1)}
		if p, n := buffers[t.int(2, 0)].vector(0); n > 0 {
			v.data = b[p : p+n]
		}
		g.tensors = append(g.tensors, v)
	}
	for _, o := range sub.tables(3) {
		code := codes[o.int(0, 0)]
		c := max(code.byte(0), code.int(3, 0))
		op := operator{code: c, in: o.ints(1), out: o.ints(2)}
		if o.field(4) != 0 {
			op.options = o.sub(4)
		}
		g.ops = append(g.ops, op)
	}
	return g, nil
}
