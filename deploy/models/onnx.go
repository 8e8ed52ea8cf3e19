package main

import (
	"encoding/binary"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// A writer of ONNX models. The bytes depend on nothing but the calls, so that the result has a fixed digest.

const (
	onnxFloat = 1
	onnxUint8 = 2
	onnxInt64 = 7
)

// model collects the graph of an ONNX model.
type model struct {
	name                        string
	nodes, consts, ins, outputs []byte
}

func msg(b []byte, num protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), v)
}

func text(b []byte, num protowire.Number, s string) []byte { return msg(b, num, []byte(s)) }

func num(b []byte, n protowire.Number, v int64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), uint64(v))
}

// attr is an attribute of a node: an integer, a list of integers, a text or a number.
type attr struct {
	name  string
	value any
}

// add appends a node and returns the name of its output, which is also its own.
func (m *model) add(op, out string, in []string, attrs ...attr) string {
	m.nodes = msg(m.nodes, 1, node(op, out, in, attrs...))
	return out
}

func node(op, out string, in []string, attrs ...attr) []byte {
	var n []byte
	for _, i := range in {
		n = text(n, 1, i)
	}
	n = text(n, 2, out)
	n = text(n, 3, out)
	n = text(n, 4, op)
	for _, a := range attrs {
		b := text(nil, 1, a.name)
		switch v := a.value.(type) {
		case int:
			b = num(num(b, 3, int64(v)), 20, 2)
		case string:
			b = num(text(b, 4, v), 20, 3)
		case float32:
			b = protowire.AppendFixed32(protowire.AppendTag(b, 2, protowire.Fixed32Type), math.Float32bits(v))
			b = num(b, 20, 1)
		case []int:
			for _, i := range v {
				b = num(b, 8, int64(i))
			}
			b = num(b, 20, 7)
		default:
			panic("attribute " + a.name + " has a type that ONNX does not know")
		}
		n = msg(n, 5, b)
	}
	return n
}

func tensorProto(name string, kind int64, dims []int, raw []byte) []byte {
	var t []byte
	for _, d := range dims {
		t = num(t, 1, int64(d))
	}
	t = num(t, 2, kind)
	t = text(t, 8, name)
	return msg(t, 9, raw)
}

func floatBytes(vs []float32) []byte {
	raw := make([]byte, 0, 4*len(vs))
	for _, v := range vs {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	return raw
}

func intBytes(vs []int) []byte {
	var raw []byte
	for _, v := range vs {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(v))
	}
	return raw
}

// floats adds a constant and returns its name.
func (m *model) floats(name string, dims []int, vs []float32) string {
	m.consts = msg(m.consts, 5, tensorProto(name, onnxFloat, dims, floatBytes(vs)))
	return name
}

// ints adds a constant list of integers and returns its name.
func (m *model) ints(name string, vs ...int) string {
	m.consts = msg(m.consts, 5, tensorProto(name, onnxInt64, []int{len(vs)}, intBytes(vs)))
	return name
}

// valueInfo describes an input or output; a negative size is free.
func valueInfo(name string, kind int64, dims ...any) []byte {
	var shape []byte
	for _, d := range dims {
		var dim []byte
		switch v := d.(type) {
		case int:
			dim = num(nil, 1, int64(v))
		case string:
			dim = text(nil, 2, v)
		}
		shape = msg(shape, 1, dim)
	}
	t := msg(num(nil, 1, kind), 2, shape)
	return msg(text(nil, 1, name), 2, msg(nil, 1, t))
}

// image declares the input that every model takes: one picture of 8-bit RGB, height by width by colour.
// It returns the picture as floats, colour by height by width, scaled and shifted.
func (m *model) image(scale, shift float32) string {
	m.ins = msg(m.ins, 11, valueInfo("image", onnxUint8, 1, "height", "width", 3))
	m.add("Transpose", "image_bytes", []string{"image"}, attr{"perm", []int{0, 3, 1, 2}}) // bytes are turned faster than floats
	m.add("Cast", "image_planes", []string{"image_bytes"}, attr{"to", onnxFloat})
	if scale == 1 && shift == 0 {
		return "image_planes"
	}
	m.floats("image_scale", nil, []float32{scale})
	m.floats("image_shift", nil, []float32{shift})
	m.add("Mul", "image_scaled", []string{"image_planes", "image_scale"})
	return m.add("Add", "image_ready", []string{"image_scaled", "image_shift"})
}

// output declares a result with the given number of channels.
func (m *model) output(name string, channels int) {
	m.outputs = msg(m.outputs, 12, valueInfo(name, onnxFloat, 1, channels, name+"_h", name+"_w"))
}

// bytes returns the model in ONNX's form.
func (m *model) bytes() []byte {
	g := append([]byte(nil), m.nodes...)
	g = text(g, 2, m.name)
	g = append(g, m.consts...)
	g = append(g, m.ins...)
	g = append(g, m.outputs...)
	b := num(nil, 1, 8)
	b = text(b, 2, "cliplease")
	b = msg(b, 7, g)
	return msg(b, 8, num(text(nil, 1, ""), 2, 13))
}
