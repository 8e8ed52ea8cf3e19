package redact

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/draw"
	_ "image/jpeg"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	xdraw "golang.org/x/image/draw"
)

// testEngine opens an engine on the models that the build installs.
func testEngine(t testing.TB, cfg Config) *Engine {
	t.Helper()
	cfg.Models = "../bin/models"
	e, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range e.Check(context.Background()) {
		if !c.OK {
			t.Fatalf("%s: %s (run make models)", c.Name, c.Detail)
		}
	}
	return e
}

// ffmpegRun makes test footage.
func ffmpegRun(t testing.TB, args ...string) {
	t.Helper()
	out, err := exec.Command("ffmpeg", append([]string{"-v", "error", "-y"}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("ffmpeg %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// photo reads one of the photographs of people that the build installs, scaled to a width.
func photo(t testing.TB, name string, width int) *image.RGBA {
	t.Helper()
	f, err := os.Open("../bin/footage/" + name)
	if err != nil {
		t.Fatalf("%v (run make footage)", err)
	}
	defer f.Close()
	im, _, err := image.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	b := im.Bounds()
	out := image.NewRGBA(image.Rect(0, 0, width, b.Dy()*width/b.Dx()))
	xdraw.ApproxBiLinear.Scale(out, out.Bounds(), im, b, draw.Src, nil)
	return out
}

// film pipes frames that draw gives through ffmpeg into a file.
func film(t testing.TB, path string, w, h, fps, frames int, draw func(i int, im *image.RGBA), args ...string) {
	t.Helper()
	cmd := exec.Command("ffmpeg", append(append([]string{"-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgba", "-s", fmt.Sprintf("%dx%d", w, h),
		"-r", fmt.Sprint(fps), "-i", "pipe:0"}, args...), path)...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	im := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range frames {
		draw(i, im)
		if _, err := in.Write(im.Pix); err != nil {
			t.Fatal(err, errs.String())
		}
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err, errs.String())
	}
}

var h264 = []string{"-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-pix_fmt", "yuv420p"}

// counter draws the frame number into the top left corner, as 12 squares that are black or white.
func counter(im *image.RGBA, i int) {
	for bit := range 12 {
		c := image.Black
		if i>>bit&1 == 1 {
			c = image.White
		}
		draw.Draw(im, image.Rect(bit*16, 0, bit*16+16, 16), c, image.Point{}, draw.Src)
	}
}

// readCounters decodes a file and reads the frame number of each frame.
func readCounters(t testing.TB, path string, args ...string) []int {
	t.Helper()
	var ns []int
	for _, f := range grays(t, path, 192, 16, append(args, "-vf", "crop=192:16:0:0")...) {
		n := 0
		for bit := range 12 {
			if f[8*192+bit*16+8] > 128 {
				n |= 1 << bit
			}
		}
		ns = append(ns, n)
	}
	return ns
}

// grays decodes a file to brightness.
func grays(t testing.TB, path string, w, h int, args ...string) [][]byte {
	t.Helper()
	in := []string{"-v", "error"}
	for len(args) > 0 && args[0] != "-vf" {
		in, args = append(in, args[0]), args[1:]
	}
	cmd := exec.Command("ffmpeg", append(append(append(in, "-i", path), args...), "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-")...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("decode %s: %v", path, err)
	}
	size := w*h + 2*((w/2)*(h/2))
	var fs [][]byte
	for len(out) >= size {
		fs = append(fs, out[:w*h])
		out = out[size:]
	}
	return fs
}

// doorbell films people that walk through the picture: a photograph that moves over a ground.
func doorbell(t testing.TB, path string, seconds float64, args ...string) {
	t.Helper()
	p := photo(t, "sample6.jpg", 900)
	film(t, path, 1280, 720, 15, int(seconds*15), func(i int, im *image.RGBA) {
		for k := range im.Pix {
			im.Pix[k] = byte(90 + (k/4%1280)/16)
		}
		x := 100 + int(60*math.Sin(float64(i)/12))
		draw.Draw(im, p.Bounds().Add(image.Pt(x, 20)), p, image.Point{}, draw.Src)
		counter(im, i)
	}, append(append([]string{}, args...), h264...)...)
}

// run redacts in and returns the report and the path of the copy.
func run(t testing.TB, e *Engine, in string, plan Plan, notice string) (Report, string) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out.mp4")
	r, err := e.Redact(context.Background(), Job{In: in, Plan: plan, Copies: []CopyOut{{Path: out, Notice: notice}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range r.Gates {
		if !g.OK {
			t.Errorf("gate %s: %s", g.Name, g.Detail)
		}
	}
	return r, out
}

func within(t *testing.T, what string, got, want, slack time.Duration) {
	t.Helper()
	if got < want-slack || got > want+slack {
		t.Errorf("%s is %s, not %s", what, got, want)
	}
}
