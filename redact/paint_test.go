package redact

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func onlyTrack(style Style, boxes ...rect) *painter {
	cells := make([]byte, 3*cellsAcross*cellsAcross)
	for i := range cells {
		cells[i] = byte(40 + i*3)
	}
	return newPainter(Plan{Style: style}, normal{w: 320, h: 180}, 15, len(boxes), []hidden{{Track: Track{ID: "face-1"}, cells: cells, boxes: boxes}})
}

// TestPaintSame: a region that moves shows the same colours wherever it is, so that frames cannot be
// added up into a picture.
func TestPaintSame(t *testing.T) {
	p := onlyTrack(StyleBlur, rect{20, 20, 60, 60}, rect{140, 80, 60, 60})
	cut := func(i, x, y int) []byte {
		f := p.frame(i)
		var b []byte
		for row := y; row < y+60; row++ {
			b = append(b, f[row*320+x:row*320+x+60]...)
		}
		return b
	}
	if a := cut(0, 20, 20); !bytes.Equal(a, cut(1, 140, 80)) {
		t.Error("the region changed its colours as it moved")
	}
}

// TestPaintClean: what was hidden in one frame is not in the next, where it has moved on.
func TestPaintClean(t *testing.T) {
	p := onlyTrack(StyleSolid, rect{20, 20, 60, 60}, rect{140, 80, 60, 60})
	p.frame(0)
	alpha := p.frame(1)[frameSize(320, 180):]
	if alpha[40*320+40] != 0 || alpha[100*320+160] != 255 {
		t.Error("the cover stayed behind")
	}
}

// TestPaintCorners: regions that stick out of the picture, or lie outside of it, do no harm.
func TestPaintCorners(t *testing.T) {
	for _, style := range []Style{StyleBlur, StyleSolid} {
		p := onlyTrack(style, rect{-30, -30, 60, 60}, rect{300, 160, 60, 60}, rect{-500, 90, 10, 10}, rect{10, 1000, 5, 5}, rect{100.3, 50.7, 0.4, 0.4}, rect{-1000, -1000, 5000, 5000})
		for i := range 6 {
			p.frame(i)
		}
		if alpha := p.frame(5)[frameSize(320, 180):]; alpha[90*320+160] != 255 {
			t.Error("a region over all of the picture does not cover its middle")
		}
	}
}

func TestSpans(t *testing.T) {
	tri := []Point{{0, 0}, {1, 0}, {0, 1}}
	if got := spans(tri, 100, 100, 50, false); len(got) != 1 || got[0][0] != 0 || got[0][1] < 48 || got[0][1] > 51 {
		t.Errorf("inside: %v", got)
	}
	if got := spans(tri, 100, 100, 50, true); len(got) != 1 || got[0][1] != 100 {
		t.Errorf("outside: %v", got)
	}
}

func TestValidate(t *testing.T) {
	box := func(k ...Key) Plan { return Plan{Edits: []Edit{{Kind: EditBox, Keys: k}}} }
	for _, tt := range []struct {
		name string
		plan Plan
		want string // part of the error; nothing for a good plan
	}{
		{"nothing said", Plan{}, ""},
		{"unknown style", Plan{Style: "mosaic"}, "blur or solid"},
		{"unknown target", Plan{Targets: []Target{"cats"}}, "faces"},
		{"ends before it starts", Plan{From: 2 * time.Second, To: time.Second}, "window"},
		{"starts before the beginning", Plan{From: -1}, "window"},
		{"huge", Plan{MaxHeight: 9000}, "144 to 2160"},
		{"too many frames", Plan{MaxFPS: 500}, "1 to 60"},
		{"mask of two corners", Plan{Masks: []Mask{{Points: []Point{{0, 0}, {1, 1}}}}}, "corners"},
		{"mask outside", Plan{Masks: []Mask{{Points: []Point{{0, 0}, {1, 1}, {2, 0}}}}}, "outside"},
		{"box without keys", box(), "keyframe"},
		{"box", box(Key{W: .1, H: .1}), ""},
		{"box without size", box(Key{}), "outside"},
		{"keys out of order", box(Key{At: 5, W: .1, H: .1}, Key{At: 5, W: .1, H: .1}), "later"},
		{"exception without reason", Plan{Edits: []Edit{{Kind: EditException, Of: "face", Keys: []Key{{W: 1, H: 1}}}}}, "reason"},
		{"exception of a drawn region", Plan{Edits: []Edit{{Kind: EditException, Of: "edit", Reason: "why", Keys: []Key{{W: 1, H: 1}}}}}, "face or plate"},
		{"exception from nowhere", Plan{Edits: []Edit{{Kind: EditException, Of: "face", Reason: "why"}}}, "keyframe"},
		{"unknown edit", Plan{Edits: []Edit{{Kind: "zap"}}}, "not known"},
	} {
		err := tt.plan.Validate()
		if (err == nil) != (tt.want == "") || (err != nil && !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestDigest(t *testing.T) {
	a := Plan{Targets: []Target{Plates, Faces}}
	if b := (Plan{Style: StyleBlur, Targets: []Target{Faces, Plates, Faces}, MaxHeight: 1080}); a.Digest() != b.Digest() {
		t.Errorf("%s and %s", a.Canonical(), b.Canonical())
	}
	if a.Digest() == (Plan{Style: StyleSolid}).Digest() {
		t.Error("two plans have one digest")
	}
}
