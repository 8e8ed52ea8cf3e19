package main

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// fromRetinaFace converts the ncnn text graph and its weights to ONNX with free height and width
// (multiples of 32). Outputs for each stride 32, 16 and 8: scoreN, logits of background and face for
// two anchors; boxN, offsets of centre and size for two anchors.
func fromRetinaFace(params, weights []byte) ([]byte, error) {
	m := &model{name: "retinaface_mnet25"}
	names := map[string]string{"data": m.image(1, 0)}
	for _, line := range strings.Split(strings.TrimSpace(string(params)), "\n")[2:] {
		f := strings.Fields(line)
		nin, _ := strconv.Atoi(f[2])
		nout, _ := strconv.Atoi(f[3])
		in, outs := f[4:4+nin], f[4+nin:4+nin+nout]
		opt := map[int]float64{}
		for _, kv := range f[4+nin+nout:] {
			k, v, _ := strings.Cut(kv, "=")
			key, _ := strconv.Atoi(k)
			opt[key], _ = strconv.ParseFloat(v, 64)
		}
		out := outs[0]
		src := make([]string, nin)
		for i, s := range in {
			src[i] = names[s]
		}
		switch f[0] {
		case "Input":
			continue
		case "Convolution", "ConvolutionDepthWise":
			var err error
			if weights, err = ncnnConv(m, weights, opt, src[0], out); err != nil {
				return nil, fmt.Errorf("%s: %w", f[1], err)
			}
			if opt[9] == 1 {
				names[out] = m.add("Relu", out+"_act", []string{out})
				continue
			}
		case "Split":
			for _, o := range outs {
				names[o] = src[0]
			}
			continue
		case "Crop": // the sizes agree when the sides are multiples of 32
			names[out] = src[0]
			continue
		case "Concat":
			m.add("Concat", out, src, attr{"axis", 1})
		case "ReLU":
			m.add("Relu", out, src)
		case "Interp":
			m.floats(out+"_scales", []int{4}, []float32{1, 1, 2, 2})
			m.add("Resize", out, []string{src[0], "", out + "_scales"}, attr{"mode", "nearest"},
				attr{"coordinate_transformation_mode", "asymmetric"}, attr{"nearest_mode", "floor"})
		case "BinaryOp":
			m.add("Add", out, src)
		case "Reshape", "Softmax": // done where the scores are read
			continue
		default:
			return nil, fmt.Errorf("layer %s is not known", f[0])
		}
		names[out] = out
	}
	if len(weights) != 0 {
		return nil, fmt.Errorf("%d bytes of weights are left over", len(weights))
	}
	for _, s := range []string{"32", "16", "8"} {
		m.add("Identity", "score"+s, []string{names["face_rpn_cls_score_stride"+s]})
		m.output("score"+s, 4)
		m.add("Identity", "box"+s, []string{names["face_rpn_bbox_pred_stride"+s]})
		m.output("box"+s, 8)
	}
	return m.bytes(), nil
}

// ncnnConv adds a convolution and returns the weights that follow its own.
func ncnnConv(m *model, b []byte, opt map[int]float64, in, out string) ([]byte, error) {
	n, k, count := int(opt[0]), int(opt[1]), int(opt[6])
	stride, group := max(1, int(opt[3])), max(1, int(opt[7]))
	if len(b) < 4 {
		return nil, fmt.Errorf("its weights are missing")
	}
	flag := binary.LittleEndian.Uint32(b)
	b = b[4:]
	w := make([]float32, count)
	switch flag {
	case 0x01306B47: // half precision, padded to four bytes
		size := (2*count + 3) &^ 3
		if len(b) < size {
			return nil, fmt.Errorf("its weights are cut off")
		}
		for i := range w {
			w[i] = half(binary.LittleEndian.Uint16(b[2*i:]))
		}
		b = b[size:]
	case 0:
		if len(b) < 4*count {
			return nil, fmt.Errorf("its weights are cut off")
		}
		for i := range w {
			w[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
		b = b[4*count:]
	default:
		return nil, fmt.Errorf("weights of kind %#x are not known", flag)
	}
	if len(b) < 4*n {
		return nil, fmt.Errorf("its bias is cut off")
	}
	bias := make([]float32, n)
	for i := range bias {
		bias[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	m.floats(out+"_w", []int{n, count / n / k / k, k, k}, w)
	m.floats(out+"_b", []int{n}, bias)
	pad := int(opt[4])
	m.add("Conv", out, []string{in, out + "_w", out + "_b"}, attr{"kernel_shape", []int{k, k}}, attr{"strides", []int{stride, stride}},
		attr{"group", group}, attr{"pads", []int{pad, pad, pad, pad}})
	return b[4*n:], nil
}
