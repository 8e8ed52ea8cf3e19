package redact

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"cliplease/redact/detect"
)

// world is a textured ground with a textured square that moves over it.
type world struct {
	w, h         int
	ground, face []byte
	size         int
}

func newWorld(size int) *world {
	rng := rand.New(rand.NewPCG(7, 9))
	texture := func(w, h int) []byte {
		g := make([]byte, w*h)
		const cell = 6
		grid := make([]byte, (w/cell+2)*(h/cell+2))
		for i := range grid {
			grid[i] = byte(40 + rng.IntN(160))
		}
		for y := range h {
			for x := range w {
				g[y*w+x] = grid[y/cell*(w/cell+2)+x/cell]
			}
		}
		return g
	}
	return &world{640, 360, texture(640, 360), texture(size, size), size}
}

// frame draws the world shifted by pan, with the square at x, y of the ground; a negative x hides it.
func (wd *world) frame(pan, x, y int) []byte {
	out := make([]byte, wd.w*wd.h)
	for row := range wd.h {
		for col := range wd.w {
			g := (col + pan) % wd.w
			v := wd.ground[row*wd.w+g]
			if u, q := g-x, row-y; x >= 0 && u >= 0 && u < wd.size && q >= 0 && q < wd.size {
				v = wd.face[q*wd.size+u]
			}
			out[row*wd.w+col] = v
		}
	}
	return out
}

// TestFollow: a thing that a detector sees in two frames of sixty has a box close to it in every frame.
func TestFollow(t *testing.T) {
	for _, tt := range []struct {
		name  string
		size  int
		pan   func(i int) int
		x, y  func(i int) int
		hits  []int
		first int // frames in which the track must at least be
		last  int
	}{
		{"stands, the camera turns", 40, func(i int) int { return 3 * i }, func(int) int { return 300 }, func(int) int { return 150 }, []int{10, 40}, 0, 59},
		{"walks", 40, func(int) int { return 0 }, func(i int) int { return 100 + 5*i }, func(i int) int { return 150 + i/2 }, []int{4, 20, 36, 52}, 0, 59},
		{"small and seen once", 18, func(i int) int { return i }, func(i int) int { return 300 }, func(int) int { return 200 }, []int{30}, 0, 59},
		{"small and walks", 20, func(int) int { return 0 }, func(i int) int { return 100 + 3*i }, func(int) int { return 150 }, []int{9, 18, 27, 36, 45}, 2, 55},
		{"runs", 40, func(int) int { return 0 }, func(i int) int { return 30 + 9*i }, func(int) int { return 150 }, []int{9, 18, 27, 36, 45, 54}, 0, 59},
		{"walks while the camera turns", 40, func(i int) int { return 4 * i }, func(i int) int { return 120 + 7*i }, func(int) int { return 150 }, []int{18, 36}, 0, 59},
		{"walks, seen late", 32, func(int) int { return 0 }, func(i int) int { return 80 + 4*i }, func(int) int { return 160 }, []int{40}, 0, 59},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wd := newWorld(tt.size)
			var trails []*trail
			tr := &tracker{w: 640, h: 360, fps: 15, emit: func(a *trail) error { trails = append(trails, a); return nil }}
			colour := func(rect, detect.Kind) []byte { return make([]byte, 3*cellsAcross*cellsAcross) }
			where := func(i int) rect {
				return rect{float64(tt.x(i) - tt.pan(i)), float64(tt.y(i)), float64(tt.size), float64(tt.size)}
			}
			for i := range 60 {
				var found []detect.Found
				for _, h := range tt.hits {
					if r := where(i); h == i {
						found = append(found, detect.Found{Kind: detect.Face, X: float32(r.x), Y: float32(r.y), W: float32(r.w), H: float32(r.h), Score: 0.9, Detector: "test"})
					}
				}
				if err := tr.step(newScene(i, wd.frame(tt.pan(i), tt.x(i), tt.y(i)), 640, 360), map[detect.Kind]bool{detect.Face: true}, found, colour); err != nil {
					t.Fatal(err)
				}
			}
			if err := tr.finish(); err != nil {
				t.Fatal(err)
			}
			if len(trails) != 1 {
				t.Fatalf("%d tracks instead of one", len(trails))
			}
			tracks := toTracks(trails, normal{w: 640, h: 360, lw: 640, lh: 360}, 15, 60)
			if len(tracks) != 1 {
				t.Fatalf("%d tracks instead of one", len(tracks))
			}
			h := tracks[0]
			if h.first > tt.first || h.first+len(h.boxes)-1 < tt.last {
				t.Errorf("hidden from frame %d to %d", h.first, h.first+len(h.boxes)-1)
			}
			for k, b := range h.boxes {
				want := where(h.first + k)
				if s := b.shared(want) / (want.w * want.h); s < 0.99 {
					t.Errorf("frame %d: %.0f %% covered: %v, want %v", h.first+k, 100*s, b, want)
				}
			}
		})
	}
}

// TestCut: what was followed is not followed across a cut.
func TestCut(t *testing.T) {
	wd := newWorld(40)
	var trails []*trail
	tr := &tracker{w: 640, h: 360, fps: 15, emit: func(a *trail) error { trails = append(trails, a); return nil }}
	colour := func(rect, detect.Kind) []byte { return make([]byte, 3*cellsAcross*cellsAcross) }
	for i := range 20 {
		f := wd.frame(0, 300, 150)
		if i >= 10 {
			for k := range f {
				f[k] = byte(k * 31 / 640)
			}
		}
		var found []detect.Found
		if i == 5 {
			found = []detect.Found{{Kind: detect.Face, X: 300, Y: 150, W: 40, H: 40, Score: 0.9}}
		}
		if err := tr.step(newScene(i, f, 640, 360), map[detect.Kind]bool{detect.Face: true}, found, colour); err != nil {
			t.Fatal(err)
		}
	}
	if len(trails) != 1 || trails[0].last().I != 9 {
		t.Errorf("tracks %+v", trails)
	}
}

func TestSpan(t *testing.T) {
	for _, tt := range []struct {
		from, to time.Duration
		a, b     int
	}{{0, 0, 0, 100}, {time.Second, 2 * time.Second, 15, 30}, {1010 * time.Millisecond, 2010 * time.Millisecond, 15, 31}, {0, time.Hour, 0, 100}} {
		if a, b := span(tt.from, tt.to, 15, 100); a != tt.a || b != tt.b {
			t.Errorf("span(%s, %s) = %d, %d", tt.from, tt.to, a, b)
		}
	}
}

// TestGroups: the same thing found twice is one, two that touch are two.
func TestGroups(t *testing.T) {
	at := func(x, score float32) detect.Found {
		return detect.Found{Kind: detect.Face, X: x, Y: 10, W: 30, H: 40, Score: score}
	}
	if got := groups([]detect.Found{at(10, .9), at(14, .5), at(38, .8)}, detect.Face); len(got) != 2 || math.Abs(got[0].score-0.9) > 1e-6 {
		t.Errorf("%+v", got)
	}
}

// TestAway counts frames to the nearest look.
func TestAway(t *testing.T) {
	var fs []seen
	for _, score := range []float64{0, 0, 0.9, 0, 0, 0, 0.5, 0} {
		fs = append(fs, seen{Score: score})
	}
	if got, want := away(fs), []int{2, 1, 0, 1, 2, 1, 0, 1}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
