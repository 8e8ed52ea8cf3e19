package detect

import (
	"fmt"

	ort "github.com/yalue/onnxruntime_go"
)

// net runs one model. All models take the same input: one picture of 8-bit RGB whose sides are
// multiples of 32.
type net struct {
	session *ort.DynamicAdvancedSession
	outs    int
	inputs  map[[2]int]*ort.Tensor[uint8] // by width and height
}

// mostSizes is how many sizes of pictures a model keeps room for; parts of pictures come in many.
const mostSizes = 8

func openNet(path string, outs []string, threads int) (*net, error) {
	opts, err := ort.NewSessionOptions()
	if err != nil {
		return nil, err
	}
	defer opts.Destroy()
	if err := opts.SetIntraOpNumThreads(threads); err != nil {
		return nil, err
	}
	if err := opts.SetInterOpNumThreads(1); err != nil {
		return nil, err
	}
	s, err := ort.NewDynamicAdvancedSession(path, []string{"image"}, outs, opts)
	if err != nil {
		return nil, err
	}
	return &net{session: s, outs: len(outs), inputs: map[[2]int]*ort.Tensor[uint8]{}}, nil
}

// plane is one output: channels of h rows and w columns.
type plane struct {
	v       []float32
	c, h, w int
}

// at returns channel c as its own slice.
func (p plane) at(c int) []float32 { return p.v[c*p.h*p.w : (c+1)*p.h*p.w] }

// run looks at the picture, padded with black at the right and below, and hands its outputs to read.
// They are only valid until read returns.
func (n *net) run(p Picture, read func([]plane)) error {
	w, h := (p.W+31)&^31, (p.H+31)&^31
	in := n.inputs[[2]int{w, h}]
	if in == nil {
		if len(n.inputs) >= mostSizes {
			for size, t := range n.inputs {
				t.Destroy()
				delete(n.inputs, size)
			}
		}
		var err error
		if in, err = ort.NewEmptyTensor[uint8](ort.NewShape(1, int64(h), int64(w), 3)); err != nil {
			return err
		}
		n.inputs[[2]int{w, h}] = in
	}
	dst := in.GetData()
	for y := range p.H {
		copy(dst[y*w*3:], p.Pix[y*p.W*3:(y+1)*p.W*3])
	}
	outs := make([]ort.Value, n.outs)
	defer func() {
		for _, o := range outs {
			if o != nil {
				o.Destroy()
			}
		}
	}()
	if err := n.session.Run([]ort.Value{in}, outs); err != nil {
		return err
	}
	planes := make([]plane, n.outs)
	for i, o := range outs {
		t, ok := o.(*ort.Tensor[float32])
		if !ok || len(t.GetShape()) != 4 {
			return fmt.Errorf("output %d is not a map of numbers", i)
		}
		s := t.GetShape()
		planes[i] = plane{t.GetData(), int(s[1]), int(s[2]), int(s[3])}
	}
	read(planes)
	return nil
}

func (n *net) close() error {
	for _, t := range n.inputs {
		t.Destroy()
	}
	return n.session.Destroy()
}
