package redact

import (
	"image"
	"math/rand/v2"
	"slices"
	"testing"

	"cliplease/redact/detect"
)

func flat(w, h int, v byte) []byte {
	b := make([]byte, w*h)
	for i := range b {
		b[i] = v
	}
	return b
}

func drawn(luma []byte, w int, r image.Rectangle, v byte) []byte {
	out := slices.Clone(luma)
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			out[y*w+x] = v
		}
	}
	return out
}

func TestMotion(t *testing.T) {
	const w, h = 1280, 720
	all := image.Rect(0, 0, w, h)
	bright := flat(w, h, 120)
	looked := func() *motion {
		m := &motion{w: w, h: h}
		if got := m.part(bright); got != all {
			t.Fatalf("the first look is at %v, not at all", got)
		}
		return m
	}

	t.Run("nothing changed, then all again", func(t *testing.T) {
		m := looked()
		for i := range partLooks {
			if got := m.part(bright); !got.Empty() {
				t.Fatalf("look %d is at %v though nothing changed", i, got)
			}
		}
		if got := m.part(bright); got != all {
			t.Fatalf("after %d looks at parts comes one at %v", partLooks, got)
		}
	})

	t.Run("what changes is looked at with a margin", func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		for range 500 {
			m := looked()
			x, y := r.IntN(w-12), r.IntN(h-12)
			thing := image.Rect(x, y, x+12, y+12)
			got := m.part(drawn(bright, w, thing, byte([]int{60, 180}[r.IntN(2)])))
			if want := thing.Inset(-(lookMargin - motionCell)).Intersect(all); !want.In(got) || !got.In(all) {
				t.Fatalf("something at %v: looked at %v, which must hold %v", thing, got, want)
			}
			if got.Dx() > 256 || got.Dy() > 256 {
				t.Fatalf("something of 12 pixels: looked at %v", got)
			}
		}
	})

	t.Run("one small cell that changes a little", func(t *testing.T) {
		m := looked()
		cell := image.Rect(640, 320, 640+motionCell, 320+motionCell)
		if got := m.part(drawn(bright, w, cell, 120+cellChange)); !cell.In(got) {
			t.Errorf("looked at %v, which does not hold %v", got, cell)
		}
	})

	t.Run("four cells that change less", func(t *testing.T) {
		m := looked()
		block := image.Rect(640, 320, 640+2*motionCell, 320+2*motionCell)
		if got := m.part(drawn(bright, w, block, 120+blockChange+1)); !block.In(got) {
			t.Errorf("looked at %v, which does not hold %v", got, block)
		}
	})

	t.Run("what was looked at is known", func(t *testing.T) {
		m := looked()
		now := drawn(bright, w, image.Rect(500, 300, 560, 360), 30)
		m.part(now)
		if got := m.part(now); !got.Empty() {
			t.Errorf("looked at %v though nothing changed since", got)
		}
	})

	t.Run("slow changes add up", func(t *testing.T) {
		m := looked()
		place := image.Rect(200, 200, 240, 240)
		for i := 1; ; i++ {
			m.parts = 0 // only the changes are asked for
			if got := m.part(drawn(bright, w, place, byte(120+i))); !got.Empty() {
				if !place.In(got) {
					t.Errorf("looked at %v, which does not hold %v", got, place)
				}
				return
			}
			if i > cellChange {
				t.Fatal("a change in small steps was never looked at")
			}
		}
	})

	t.Run("noise is no change", func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		m := looked()
		noisy := make([]byte, w*h)
		for i := range noisy {
			noisy[i] = byte(120 + 6*r.NormFloat64())
		}
		if got := m.part(noisy); !got.Empty() {
			t.Errorf("noise made it look at %v", got)
		}
	})

	t.Run("a change of all, and darkness", func(t *testing.T) {
		m := looked()
		if got := m.part(flat(w, h, 140)); got != all {
			t.Errorf("the light changed, and it looks at %v", got)
		}
		m = looked()
		dark := flat(w, h, 30)
		m.part(dark)
		if got := m.part(dark); got != all {
			t.Errorf("in the dark it looks at %v", got)
		}
	})
}

func TestRemember(t *testing.T) {
	part := image.Rect(128, 128, 384, 384)
	f := func(x, y, w, h float32) detect.Found { return detect.Found{Kind: detect.Face, X: x, Y: y, W: w, H: h} }
	for name, c := range map[string]struct{ before, now, want []detect.Found }{
		"outside stays":                    {[]detect.Found{f(500, 500, 40, 40)}, nil, []detect.Found{f(500, 500, 40, 40)}},
		"inside is looked at anew":         {[]detect.Found{f(200, 200, 40, 40)}, nil, nil},
		"inside is found again":            {[]detect.Found{f(200, 200, 40, 40)}, []detect.Found{f(210, 200, 40, 40)}, []detect.Found{f(210, 200, 40, 40)}},
		"over the rim was seen whole":      {[]detect.Found{f(110, 200, 40, 40)}, []detect.Found{f(128, 200, 22, 40)}, []detect.Found{f(110, 200, 40, 40)}},
		"new at the rim is kept":           {nil, []detect.Found{f(128, 200, 22, 40)}, []detect.Found{f(128, 200, 22, 40)}},
		"both inside and outside are kept": {[]detect.Found{f(10, 10, 20, 20)}, []detect.Found{f(200, 200, 40, 40)}, []detect.Found{f(10, 10, 20, 20), f(200, 200, 40, 40)}},
	} {
		if got := remember(c.before, c.now, part, 1280, 720); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, not %v", name, got, c.want)
		}
	}
	if got := remember([]detect.Found{f(10, 10, 20, 20)}, nil, image.Rectangle{}, 1280, 720); len(got) != 1 {
		t.Errorf("nothing changed, and of what was known %v is left", got)
	}
	// At the picture's own rim nothing is cut off.
	if got := remember([]detect.Found{f(0, 10, 40, 40)}, nil, image.Rect(0, 0, 256, 256), 1280, 720); len(got) != 0 {
		t.Errorf("at the rim of the picture %v stays though it was looked at anew", got)
	}
}
