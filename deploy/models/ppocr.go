package main

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// fromPPOCR gives the text detector the same input as the other models: its own graph stays as it is
// and is preceded by the colour order (BGR) and the normalisation that it was trained with.
func fromPPOCR(b []byte) ([]byte, error) {
	var out []byte
	err := fields(b, func(n protowire.Number, raw, val []byte) error {
		if n != 7 { // all but the graph
			out = append(out, raw...)
			return nil
		}
		g, err := prepend(val)
		out = msg(out, 7, g)
		return err
	})
	return out, err
}

func prepend(graph []byte) ([]byte, error) {
	m := &model{}
	m.ins = msg(nil, 11, valueInfo("image", onnxUint8, 1, "height", "width", 3))
	m.ints("image_bgr", 2, 1, 0)
	m.floats("image_scale", []int{1, 3, 1, 1}, []float32{1 / (255 * 0.229), 1 / (255 * 0.224), 1 / (255 * 0.225)})
	m.floats("image_shift", []int{1, 3, 1, 1}, []float32{-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225})
	m.add("Cast", "image_float", []string{"image"}, attr{"to", onnxFloat})
	m.add("Transpose", "image_rgb", []string{"image_float"}, attr{"perm", []int{0, 3, 1, 2}})
	m.add("Gather", "image_planes", []string{"image_rgb", "image_bgr"}, attr{"axis", 1})
	m.add("Mul", "image_scaled", []string{"image_planes", "image_scale"})

	var rest []byte
	inputs := 0
	err := fields(graph, func(n protowire.Number, raw, val []byte) error {
		if n != 11 {
			rest = append(rest, raw...)
			return nil
		}
		inputs++
		return fields(val, func(n protowire.Number, _, name []byte) error {
			if n == 1 {
				m.add("Add", string(name), []string{"image_scaled", "image_shift"})
			}
			return nil
		})
	})
	if err == nil && inputs != 1 {
		err = fmt.Errorf("the text detector has %d inputs, not one", inputs)
	}
	return append(append(append(m.nodes, m.consts...), m.ins...), rest...), err
}

// fields calls f for each field of a message with its number, all its bytes, and its value.
func fields(b []byte, f func(n protowire.Number, raw, val []byte) error) error {
	for len(b) > 0 {
		n, kind, tag := protowire.ConsumeTag(b)
		if tag < 0 {
			return fmt.Errorf("not an ONNX model: %w", protowire.ParseError(tag))
		}
		size := protowire.ConsumeFieldValue(n, kind, b[tag:])
		if size < 0 {
			return fmt.Errorf("not an ONNX model: %w", protowire.ParseError(size))
		}
		val := b[tag : tag+size]
		if kind == protowire.BytesType {
			val, _ = protowire.ConsumeBytes(val)
		}
		if err := f(n, b[:tag+size], val); err != nil {
			return err
		}
		b = b[tag+size:]
	}
	return nil
}
