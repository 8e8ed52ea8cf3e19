package footage

import (
	"image"
	"image/draw"
	"path/filepath"
	"strings"
	"testing"

	xdraw "golang.org/x/image/draw"
)

// TestSeen holds the measure to what a person would say: an unchanged, re-encoded or noisy face
// is seen, one that was painted over or made into a few cells is not.
func TestSeen(t *testing.T) {
	stills, err := Stills()
	if err != nil {
		t.Fatal(err)
	}
	r, err := newRenderer(stills, Demo)
	if err != nil {
		t.Fatal(err)
	}
	pictures := func(frame int) (*image.RGBA, []Target) {
		if err := r.write(discard{}, frame); err != nil {
			t.Fatal(err)
		}
		im := image.NewRGBA(r.frame.Bounds())
		copy(im.Pix, r.frame.Pix)
		return im, Demo.Targets(frame)
	}
	for _, frame := range []int{0, 110, 224} {
		before, targets := pictures(frame)
		noisy, _ := pictures(frame) // other noise
		for _, x := range targets {
			if seen, ok := Seen(before, noisy, x.Rectangle); !ok || seen < 0.8 {
				t.Errorf("frame %d: %s %v as it was: %.2f", frame, x.Kind, x.Rectangle, seen)
			}
			for _, cells := range []image.Point{{1, 1}, {2, 2}, {4, 4}} {
				hidden := image.NewRGBA(before.Bounds())
				copy(hidden.Pix, before.Pix)
				small := image.NewRGBA(image.Rectangle{Max: cells})
				xdraw.BiLinear.Scale(small, small.Bounds(), before, x.Rectangle, draw.Src, nil)
				xdraw.BiLinear.Scale(hidden, x.Rectangle, small, small.Bounds(), draw.Src, nil)
				if seen, _ := Seen(before, hidden, x.Rectangle); seen >= HiddenBelow {
					t.Errorf("frame %d: %s hidden in %v cells: %.2f", frame, x.Kind, cells, seen)
				}
			}
		}
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// TestMeasure measures a clip against itself: every target is seen, the window is known, and all
// is sharp. A copy that lacks a frame is found out.
func TestMeasure(t *testing.T) {
	stills, err := Stills()
	if err != nil {
		t.Fatal(err)
	}
	clip := filepath.Join(t.TempDir(), "clip.mp4")
	if err := Make(t.Context(), stills, Short, clip, nil); err != nil {
		t.Fatal(err)
	}
	m, err := Measure(Short, Frames(t.Context(), clip), Frames(t.Context(), clip))
	if err != nil {
		t.Fatal(err)
	}
	if m.First != 0 || m.Last != Short.Frames()-1 || m.Shown != m.Targets || m.Sharp < 0.999 {
		t.Errorf("a clip against itself: %+v", m)
	}
	gap := func(yield func(*image.RGBA, error) bool) {
		i := 0
		for f, err := range Frames(t.Context(), clip) {
			if i++; i != 5 && !yield(f, err) {
				return
			}
		}
	}
	if _, err := Measure(Short, Frames(t.Context(), clip), gap); err == nil || !strings.Contains(err.Error(), "frame 5 follows frame 3") {
		t.Errorf("a copy that lacks frame 4: %v", err)
	}
	if _, err := Measure(Short, gap, Frames(t.Context(), clip)); err == nil {
		t.Error("a copy with a frame that the footage lacks was taken")
	}
}
