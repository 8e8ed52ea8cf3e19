package detect

import "runtime"

// RuntimeFile is the name of the ONNX Runtime library in the models folder.
const RuntimeFile = "libonnxruntime.so.1"

// Spec describes one detector: a model and how it is used. A better detector is a new line in [Table].
type Spec struct {
	Name      string
	Model     string // file in the models folder
	Licence   string // of the model where it comes from
	Finds     Kind
	Levels    []Level
	Threshold float32 // least score of what is up to 32 pixels high
	Turns     int     // quarter turns to the right that the picture is given before the look, for faces that lie or hang
	Local     bool    // what it is for is small, so that it can look at the part of a picture that changed
	Large     float32 // least score of what is 128 pixels high or more: a false alarm of that size hides much
	family    family
}

// Level is a size at which a picture is looked at.
type Level struct {
	Scale float64 // share of the picture's sides; a look costs the square of it
	Most  float32 // height in pixels of the picture up to which this level is believed; 0 for any
}

// Table names every detector that the engine uses.
var Table = []Spec{
	{
		Name: "retinaface-far", Model: "retinaface-mnet25.onnx", Licence: "MIT", Finds: Face,
		Levels: []Level{{1.5, 160}}, Local: true, Threshold: 0.18, Large: 0.6, family: retinaface,
	},
	{
		Name: "retinaface-near", Model: "retinaface-mnet25.onnx", Licence: "MIT", Finds: Face,
		Levels: []Level{{0.5, 400}, {0.25, 0}}, Threshold: 0.5, Large: 0.6, family: retinaface,
	},
	{
		Name: "retinaface-second", Model: "retinaface-mnet25.onnx", Licence: "MIT", Finds: Face,
		Levels: []Level{{1, 300}}, Threshold: 0.3, Large: 0.6, family: retinaface,
	},
	{
		Name: "retinaface-left", Model: "retinaface-mnet25.onnx", Licence: "MIT", Finds: Face, Turns: 1,
		Levels: []Level{{0.5, 250}}, Threshold: 0.8, Large: 0.9, family: retinaface,
	},
	{
		Name: "retinaface-down", Model: "retinaface-mnet25.onnx", Licence: "MIT", Finds: Face, Turns: 2,
		Levels: []Level{{0.5, 250}}, Threshold: 0.8, Large: 0.9, family: retinaface,
	},
	{
		Name: "retinaface-right", Model: "retinaface-mnet25.onnx", Licence: "MIT", Finds: Face, Turns: 3,
		Levels: []Level{{0.5, 250}}, Threshold: 0.8, Large: 0.9, family: retinaface,
	},
	{
		Name: "mediapipe-full", Model: "mediapipe-face-full.onnx", Licence: "Apache-2.0", Finds: Face,
		Levels: []Level{{0.5, 300}, {0.25, 0}}, Threshold: 0.4, Large: 0.6, family: mediapipe,
	},
	{
		Name: "posenet", Model: "posenet.onnx", Licence: "Apache-2.0", Finds: Face,
		Levels: []Level{{1, 200}, {0.5, 0}}, Local: true, Threshold: 0.25, Large: 0.6, family: posenet,
	},
	{
		Name: "ppocr-text", Model: "ppocr-v4-det.onnx", Licence: "Apache-2.0", Finds: Plate,
		Levels: []Level{{1, 0}}, Local: true, Threshold: 0.6, Large: 0.6, family: ppocr,
	},
	{
		Name: "ppocr-far", Model: "ppocr-v4-det.onnx", Licence: "Apache-2.0", Finds: Plate,
		Levels: []Level{{1.5, 160}}, Local: true, Threshold: 0.6, Large: 0.6, family: ppocr,
	},
	{
		Name: "posenet-second", Model: "posenet.onnx", Licence: "Apache-2.0", Finds: Face,
		Levels: []Level{{0.75, 0}}, Threshold: 0.25, Large: 0.6, family: posenet,
	},
	{
		Name: "ppocr-second", Model: "ppocr-v4-det.onnx", Licence: "Apache-2.0", Finds: Plate,
		Levels: []Level{{0.75, 0}}, Threshold: 0.7, Large: 0.7, family: ppocr,
	},
}

// least is the least score of something of height h, in pixels.
func (s Spec) least(h float32) float32 {
	u := max(0, min(1, (h-32)/(128-32)))
	return s.Threshold + (s.Large-s.Threshold)*u
}

// Lookup returns the detector of that name.
func Lookup(name string) (Spec, bool) {
	for _, s := range Table {
		if s.Name == name {
			return s, true
		}
	}
	return Spec{}, false
}

// sums are the SHA-256 digests of the files in the models folder.
var sums = map[string]string{
	"mediapipe-face-full.onnx": "74cdc634e14775e8a55604ef563672e30bc84c49e273bc0e4530cec801ec9fb4",
	"retinaface-mnet25.onnx":   "6917b5f0d1cdc68ddb63ca09d56f04e6049d5206f7e1e744e81d031de4a3a743",
	"posenet.onnx":             "e41ca82fc81650c99450472bcd4d2b6fb1a3ed6569a1836d68d87a4d81de8ed6",
	"ppocr-v4-det.onnx":        "e02b91983c404928c6ed3d9f2f01aa6b2e3f339734432bad205ded4d772068bf",
}

var runtimeSums = map[string]string{
	"amd64": "ffb75a925ba05e47b235bb66e3e3911714a80b328a9c9425539feb204aa32a23",
	"arm64": "1f549d46250b005580b597f4164984aaf75b3bcb9f3aeb07c7f8a8fe60b23c76",
}

// Sum returns the SHA-256 digest, in hexadecimal, that a file of the models folder must have.
func Sum(name string) (string, bool) {
	if name == RuntimeFile {
		s, ok := runtimeSums[runtime.GOARCH]
		return s, ok
	}
	s, ok := sums[name]
	return s, ok
}

// family is a way of reading a model's outputs.
type family int

const (
	mediapipe family = iota
	retinaface
	posenet
	ppocr
)

// outputs names what the model gives.
func (s Spec) outputs() []string {
	switch s.family {
	case mediapipe:
		return []string{"score", "box"}
	case retinaface:
		return []string{"score32", "box32", "score16", "box16", "score8", "box8"}
	case posenet:
		return []string{"heat", "offset", "forward", "backward"}
	default:
		return []string{"likelihood"}
	}
}

func (s Spec) build(n *net) Detector {
	switch s.family {
	case mediapipe:
		return &pyramid{spec: s, net: n, read: readMediaPipe}
	case retinaface:
		return &pyramid{spec: s, net: n, read: readRetinaFace}
	case posenet:
		return &pyramid{spec: s, net: n, read: readHeads}
	default:
		return &pyramid{spec: s, net: n, read: readText}
	}
}
