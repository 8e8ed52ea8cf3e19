package redact

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	xdraw "golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"

	"cliplease/redact/detect"
)

const side = 64 // pixels of a region that is put together from many frames

// region cuts a box out of a frame and brings it to side by side pixels.
func region(frame []byte, w, h int, b Box) []float64 {
	out := make([]float64, side*side)
	for y := range side {
		for x := range side {
			u := clampInt(b.X+b.W*(float64(x)+0.5)/side, w-1)
			v := clampInt(b.Y+b.H*(float64(y)+0.5)/side, h-1)
			out[y*side+x] = float64(frame[v*w+u])
		}
	}
	return out
}

// average adds up a region over all frames of a track, as an attacker would to be rid of noise.
func average(frames [][]byte, w, h int, tr Track) []float64 {
	sum := make([]float64, side*side)
	for _, b := range tr.Frames {
		for i, v := range region(frames[b.I], w, h, b) {
			sum[i] += v / float64(len(tr.Frames))
		}
	}
	return sum
}

// sharpen removes what is coarser than a quarter of the region: what is left is what a likeness needs.
func sharpen(p []float64) []float64 {
	const cell = side / 4
	out := make([]float64, len(p))
	for y := range side {
		for x := range side {
			sum, n := 0.0, 0.0
			for v := max(0, y-cell/2); v <= min(side-1, y+cell/2); v++ {
				for u := max(0, x-cell/2); u <= min(side-1, x+cell/2); u++ {
					sum, n = sum+p[v*side+u], n+1
				}
			}
			out[y*side+x] = p[y*side+x] - sum/n
		}
	}
	return out
}

// likeness is the correlation of two regions.
func likeness(a, b []float64) float64 {
	var sa, sb, saa, sbb, sab float64
	n := float64(len(a))
	for i := range a {
		sa, sb, saa, sbb, sab = sa+a[i], sb+b[i], saa+a[i]*a[i], sbb+b[i]*b[i], sab+a[i]*b[i]
	}
	va, vb := saa-sa*sa/n, sbb-sb*sb/n
	if va < 1 || vb < 1 {
		return 0
	}
	return (sab - sa*sb/n) / math.Sqrt(va*vb)
}

// TestAttackFaces tries to get faces back from both styles: by adding up frames, sharpening, and
// looking for faces again in what comes out. The same attacks on a mild blur must succeed, or they
// would prove nothing.
func TestAttackFaces(t *testing.T) {
	e := testEngine(t, Config{})
	dir := t.TempDir()
	in := filepath.Join(dir, "in.mp4")
	doorbell(t, in, 3)
	mild := filepath.Join(dir, "mild.mp4")
	ffmpegRun(t, "-i", in, "-vf", "gblur=sigma=3", "-c:v", "libx264", "-crf", "18", mild)
	bare := grays(t, in, 1280, 720)
	spec, _ := detect.Lookup("retinaface-second")
	finder, err := detect.Open("../bin/models", spec, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer finder.Close()
	again := func(p []float64) bool {
		pic := detect.Picture{Pix: make([]byte, 256*256*3), W: 256, H: 256}
		for i := range pic.Pix {
			x, y := i/3%256, i/3/256
			pic.Pix[i] = clamp8(int(p[y/4*side+x/4]))
		}
		found, err := finder.Detect(pic)
		if err != nil {
			t.Fatal(err)
		}
		return len(found) > 0
	}
	attack := func(path string, r Report) (best float64, faces int) {
		frames := grays(t, path, 1280, 720)
		for _, tr := range r.Tracks {
			if tr.Kind != "face" || tr.Frames[0].H < 60 {
				continue
			}
			true1 := sharpen(average(bare, 1280, 720, tr))
			got := average(frames, 1280, 720, tr)
			best = math.Max(best, likeness(true1, sharpen(got)))
			if again(got) {
				faces++
			}
		}
		return best, faces
	}
	for _, style := range []Style{StyleBlur, StyleSolid} {
		r, out := run(t, e, in, Plan{Style: style}, "")
		best, faces := attack(out, r)
		if best > 0.35 || faces > 0 {
			t.Errorf("%s: a likeness of %.2f came back, %d faces were found again", style, best, faces)
		}
		control, seen := attack(mild, r)
		if control < 0.6 || seen == 0 {
			t.Errorf("the attack is too weak to prove anything: from a mild blur it gets a likeness of %.2f and %d faces", control, seen)
		}
		t.Logf("%s: likeness %.2f, faces found again %d; mild blur: %.2f, %d", style, best, faces, control, seen)
	}
}

// TestAttackPlate hides a plate and compares what is left with drawings of many numbers: the true one
// must not stand out.
func TestAttackPlate(t *testing.T) {
	e := testEngine(t, Config{})
	in := filepath.Join(t.TempDir(), "in.mp4")
	const number = "WK 37 XE"
	film(t, in, 1280, 720, 15, 30, func(i int, im *image.RGBA) {
		draw.Draw(im, im.Bounds(), image.NewUniform(color.RGBA{70, 80, 90, 255}), image.Point{}, draw.Src)
		draw.Draw(im, image.Rect(380+i, 250, 880+i, 560), image.NewUniform(color.RGBA{110, 30, 30, 255}), image.Point{}, draw.Src)
		p := drawPlate(t, number)
		draw.Draw(im, p.Bounds().Add(image.Pt(540+i, 440)), p, image.Point{}, draw.Src)
	}, h264...)
	r, out := run(t, e, in, Plan{}, "")
	var plate *Track
	for i, tr := range r.Tracks {
		b := tr.Frames[len(tr.Frames)/2]
		if tr.Kind == "plate" && b.X < 545+float64(b.I) && b.X+b.W > 715+float64(b.I) && len(tr.Frames) == r.Frames {
			plate = &r.Tracks[i]
		}
	}
	if plate == nil {
		t.Fatalf("the plate is not hidden in all frames: %+v", r.Tracks)
	}
	rank := func(frames [][]byte) (int, float64) {
		left := sharpen(average(frames, 1280, 720, *plate))
		b := plate.Frames[0]
		score := func(n string) float64 {
			ground := make([]byte, 1280*720)
			for i := range ground {
				ground[i] = 55
			}
			p := drawPlate(t, n)
			for y := range p.Bounds().Dy() {
				for x := range p.Bounds().Dx() {
					ground[(440+y)*1280+540+b.I+x] = p.RGBAAt(x, y).G
				}
			}
			return likeness(left, sharpen(region(ground, 1280, 720, b)))
		}
		truth, above := score(number), 0
		rng := rand.New(rand.NewPCG(3, 4))
		const letters = "ABCDEFGHJKLMNPRSTUVWXYZ"
		for range 200 {
			n := string([]byte{letters[rng.IntN(23)], letters[rng.IntN(23)], ' ', byte('0' + rng.IntN(10)), byte('0' + rng.IntN(10)), ' ', letters[rng.IntN(23)], letters[rng.IntN(23)]})
			if score(n) > truth {
				above++
			}
		}
		return above, truth
	}
	if above, s := rank(grays(t, in, 1280, 720)); above > 0 {
		t.Errorf("the attack is too weak to prove anything: in the open, %d of 200 numbers match better (%.2f)", above, s)
	}
	above, s := rank(grays(t, out, 1280, 720))
	if above < 10 && s > 0.2 {
		t.Errorf("only %d of 200 numbers match what is left better than the true one (%.2f)", above, s)
	}
	t.Logf("%d of 200 numbers match better than the true one; likeness %.2f", above, s)
}

// drawPlate draws a plate of 180 by 44 pixels.
func drawPlate(t *testing.T, number string) *image.RGBA {
	t.Helper()
	f, err := opentype.Parse(gobold.TTF)
	if err != nil {
		t.Fatal(err)
	}
	face, err := opentype.NewFace(f, &opentype.FaceOptions{Size: 34, DPI: 72})
	if err != nil {
		t.Fatal(err)
	}
	defer face.Close()
	im := image.NewRGBA(image.Rect(0, 0, 180, 44))
	draw.Draw(im, im.Bounds(), image.White, image.Point{}, draw.Src)
	d := font.Drawer{Dst: im, Src: image.Black, Face: face, Dot: fixed.P(10, 34)}
	d.DrawString(number)
	small := image.NewRGBA(im.Bounds())
	xdraw.BiLinear.Scale(small, small.Bounds(), im, im.Bounds(), draw.Src, nil)
	return small
}

// TestMutated runs footage with random damage through the whole engine with all of the picture
// masked: it is refused, or every frame of the copy is covered. CLIPLEASE_MUTANTS says which of them, as
// FROM-TO; each number is one damage.
func TestMutated(t *testing.T) {
	first, end := 0, 8
	if v := os.Getenv("CLIPLEASE_MUTANTS"); v != "" {
		if _, err := fmt.Sscanf(v, "%d-%d", &first, &end); err != nil || end <= first {
			t.Fatalf("CLIPLEASE_MUTANTS is %q, not FROM-TO such as 0-10000", v)
		}
	}
	e := testEngine(t, Config{})
	dir := t.TempDir()
	var seeds [][]byte
	for _, name := range []string{"a.mp4", "a.mkv", "a.avi"} {
		p := filepath.Join(dir, name)
		codec := h264
		if name == "a.avi" {
			codec = []string{"-c:v", "mjpeg", "-pix_fmt", "yuvj420p"}
		}
		plain(t, p, 320, 180, 15, 18, codec...)
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		seeds = append(seeds, b)
	}
	plan := Plan{Targets: []Target{Plates}, Masks: []Mask{{Points: []Point{{0, 0}, {1, 0}, {1, 1}, {0, 1}}}}}
	refused := 0
	for i := first; i < end; i++ {
		rng := rand.New(rand.NewPCG(5, uint64(i)))
		b := mutate(rng, seeds[rng.IntN(len(seeds))])
		in, out := filepath.Join(dir, "mutant"), filepath.Join(dir, "out.mp4")
		if err := os.WriteFile(in, b, 0o600); err != nil {
			t.Fatal(err)
		}
		os.Remove(out)
		r, err := e.Redact(context.Background(), Job{In: in, Plan: plan, Copies: []CopyOut{{Path: out}}})
		if err != nil {
			refused++
			if _, err := os.Stat(out); err == nil {
				t.Errorf("mutant %d: refused, but a copy was written", i)
			}
			continue
		}
		for k, f := range grays(t, out, r.Width, r.Height) {
			for at, v := range f {
				if abs(int(v)-int(grey[0])) > 6 {
					t.Fatalf("mutant %d: frame %d shows brightness %d at %d", i, k, v, at)
				}
			}
		}
	}
	t.Logf("%d of %d refused", refused, end-first)
}

// mutate damages a file: bits, runs, lengths, order.
func mutate(rng *rand.Rand, seed []byte) []byte {
	b := append([]byte(nil), seed...)
	for range 1 + rng.IntN(6) {
		at := rng.IntN(len(b))
		if rng.IntN(2) == 0 {
			at = rng.IntN(min(len(b), 4000)) // headers
		}
		switch rng.IntN(5) {
		case 0:
			b[at] ^= 1 << rng.IntN(8)
		case 1:
			for k := at; k < min(len(b), at+1+rng.IntN(64)); k++ {
				b[k] = byte(rng.Uint32())
			}
		case 2:
			b = b[:max(64, at)]
		case 3:
			to := rng.IntN(len(b))
			copy(b[to:], seed[min(at, len(seed)-1):min(len(seed), at+256)])
		case 4:
			for k := at; k < min(len(b), at+4); k++ {
				b[k] = 0xff
			}
		}
	}
	return b
}
