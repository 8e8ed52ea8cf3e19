package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
)

// fromPoseNet converts the TensorFlow.js graph of PoseNet (MobileNet 0.75, stride 16) and its weights
// to ONNX with free height and width (multiples of 16). It is a chain of convolutions with four heads:
// heat, the logit of each of 17 points of the body in each cell; offset, from the cell to the point, y
// before x; forward and backward, from one point to the next along the body.
func fromPoseNet(graph, weights []byte) ([]byte, error) {
	var g struct {
		Topology struct {
			Nodes []struct {
				Name, Op string
				Input    []string
				Attr     map[string]struct {
					List struct{ I, S []string } `json:"list"`
				}
			} `json:"node"`
		} `json:"modelTopology"`
		Manifest []struct {
			Weights []struct {
				Name, Dtype string
				Shape       []int
			}
		} `json:"weightsManifest"`
	}
	if err := json.Unmarshal(graph, &g); err != nil {
		return nil, err
	}
	type tensor struct {
		shape []int
		v     []float32
	}
	tensors := map[string]tensor{}
	for _, part := range g.Manifest {
		for _, w := range part.Weights {
			n := 1
			for _, d := range w.Shape {
				n *= d
			}
			if w.Dtype != "float32" || len(weights) < 4*n {
				return nil, fmt.Errorf("weights %s are not %d numbers", w.Name, n)
			}
			v := make([]float32, n)
			for i := range v {
				v[i] = math.Float32frombits(binary.LittleEndian.Uint32(weights[4*i:]))
			}
			tensors[w.Name], weights = tensor{w.Shape, v}, weights[4*n:]
		}
	}
	if len(weights) != 0 {
		return nil, fmt.Errorf("%d bytes of weights are left over", len(weights))
	}
	m := &model{name: "posenet"}
	names := map[string]string{"image": m.image(1/127.5, -1)}
	m.floats("six", nil, []float32{6})
	m.floats("zero", nil, []float32{0})
	for _, n := range g.Topology.Nodes {
		depthwise := n.Op == "FusedDepthwiseConv2dNative"
		switch {
		case n.Op == "Const" || n.Op == "Placeholder":
			continue
		case n.Op != "_FusedConv2D" && !depthwise:
			return nil, fmt.Errorf("%s: operation %s is not known", n.Name, n.Op)
		}
		w, bias := tensors[n.Input[1]], tensors[n.Input[2]]
		if len(w.shape) != 4 {
			return nil, fmt.Errorf("%s: its weights are missing", n.Name)
		}
		kh, kw, in, out := w.shape[0], w.shape[1], w.shape[2], w.shape[3]
		group := 1
		if depthwise {
			in, out, group = 1, in, in
		}
		turned := make([]float32, len(w.v)) // from height, width, in, out to out, in, height, width
		for y := range kh {
			for x := range kw {
				for i := range in {
					for o := range out {
						turned[((o*in+i)*kh+y)*kw+x] = w.v[((y*kw+x)*in+i)*out+o]
					}
				}
			}
		}
		m.floats(n.Name+"_w", []int{out, in, kh, kw}, turned)
		m.floats(n.Name+"_b", []int{out}, bias.v)
		step := 1
		if slices.Equal(n.Attr["strides"].List.I, []string{"1", "2", "2", "1"}) {
			step = 2
		}
		// The same padding on both sides puts the middle of cell i at pixel 16·i, whatever the size.
		pad := kh / 2
		y := m.add("Conv", n.Name, []string{names[n.Input[0]], n.Name + "_w", n.Name + "_b"}, attr{"kernel_shape", []int{kh, kw}},
			attr{"strides", []int{step, step}}, attr{"group", group}, attr{"pads", []int{pad, pad, pad, pad}})
		if len(n.Attr["fused_ops"].List.S) == 2 { // bias and ReLU6
			y = m.add("Clip", n.Name+"_act", []string{y, "zero", "six"})
		}
		names[n.Name] = y
	}
	for _, o := range []struct {
		name, from string
		channels   int
	}{{"heat", "heatmap_2", 17}, {"offset", "offset_2", 34}, {"forward", "displacement_fwd_2", 32}, {"backward", "displacement_bwd_2", 32}} {
		m.add("Identity", o.name, []string{names["MobilenetV1/"+o.from+"/BiasAdd"]})
		m.output(o.name, o.channels)
	}
	return m.bytes(), nil
}
