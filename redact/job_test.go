package redact

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/draw"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestRedact runs the whole engine on people who move, and looks at the copy from outside.
func TestRedact(t *testing.T) {
	e := testEngine(t, Config{})
	in := filepath.Join(t.TempDir(), "in.mp4")
	doorbell(t, in, 3, "-f", "lavfi", "-i", "sine=frequency=440:duration=3", "-metadata", "title=Front Door", "-metadata", "location=+48.2+16.3/", "-c:a", "aac")
	for _, style := range []Style{StyleBlur, StyleSolid} {
		t.Run(string(style), func(t *testing.T) {
			r, out := run(t, e, in, Plan{Style: style}, "For officer@example.org, case 17/2026")
			if r.Frames != 45 || r.Width != 1280 || r.Height != 720 || r.FPS != 15 {
				t.Errorf("%d frames of %d by %d at %g a second", r.Frames, r.Width, r.Height, r.FPS)
			}
			faces := 0
			for _, tr := range r.Tracks {
				if tr.Kind == "face" && len(tr.Frames) == 45 {
					faces++
				}
			}
			if faces < 4 {
				t.Errorf("%d faces are hidden in all frames, not 4 or more", faces)
			}
			for i, n := range readCounters(t, out) {
				if n != i {
					t.Fatalf("frame %d of the copy shows frame %d of the footage", i, n)
				}
			}
			if style == StyleSolid {
				constant(t, out, r)
			}
			b, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			for _, canary := range []string{"Front Door", "+48.2", "x264 - core", "Lavf"} {
				if bytes.Contains(b, []byte(canary)) {
					t.Errorf("%q is left in the copy", canary)
				}
			}
			probe, err := exec.Command("ffprobe", "-v", "error", "-show_entries", "stream=codec_type", "-of", "csv=p=0", out).Output()
			if err != nil || strings.TrimSpace(string(probe)) != "video" {
				t.Errorf("streams of the copy: %s %v", probe, err)
			}
		})
	}
}

// constant checks that every region of a solid copy has one brightness in all frames, give or take
// what coding does, away from the notice and from the rim, where coding mixes inside and outside.
func constant(t *testing.T, path string, r Report) {
	t.Helper()
	frames := grays(t, path, r.Width, r.Height)
	for _, tr := range r.Tracks {
		for _, b := range tr.Frames {
			for y := max(0, int(b.Y)+8); y < min(620, int(b.Y+b.H)-8); y++ {
				for x := max(0, int(b.X)+8); x < min(r.Width, int(b.X+b.W)-8); x++ {
					if v := int(frames[b.I][y*r.Width+x]); abs(v-int(grey[0])) > 4 {
						t.Fatalf("%s, frame %d: brightness %d at %d,%d, not %d", tr.ID, b.I, v, x, y, grey[0])
					}
				}
			}
		}
	}
}

func TestSameBytes(t *testing.T) {
	e := testEngine(t, Config{})
	in := filepath.Join(t.TempDir(), "in.mp4")
	doorbell(t, in, 1.4)
	a, _ := run(t, e, in, Plan{}, "to A")
	b, _ := run(t, e, in, Plan{}, "to A")
	if a.Output != b.Output || a.Mezzanine != b.Mezzanine {
		t.Error("the same plan and footage gave other bytes")
	}
	c, _ := run(t, e, in, Plan{Style: StyleSolid}, "to A")
	if a.Output == c.Output {
		t.Error("another plan gave the same bytes")
	}
}

// TestWindowExact proves by a counter in the picture that no frame outside the window is in the file, even
// for a reader that ignores edit lists.
func TestWindowExact(t *testing.T) {
	e := testEngine(t, Config{})
	in := filepath.Join(t.TempDir(), "in.mp4")
	doorbell(t, in, 6)
	r, out := run(t, e, in, Plan{From: 2 * time.Second, To: 4 * time.Second, Targets: []Target{Faces}}, "")
	if r.Frames != 30 {
		t.Errorf("%d frames, not 30", r.Frames)
	}
	for _, args := range [][]string{nil, {"-ignore_editlist", "1"}} {
		got := readCounters(t, out, args...)
		if len(got) != 30 || got[0] != 30 || got[29] != 59 {
			t.Errorf("with %v the copy shows frames %v", args, got)
		}
	}
}

// TestCopies makes two copies with their own notices and a proxy in one job.
func TestCopies(t *testing.T) {
	e := testEngine(t, Config{})
	dir := t.TempDir()
	in := filepath.Join(dir, "in.mp4")
	doorbell(t, in, 1.4)
	job := Job{In: in, WorkDir: dir, Proxy: filepath.Join(dir, "proxy.mp4"), Copies: []CopyOut{{filepath.Join(dir, "a.mp4"), "To A"}, {filepath.Join(dir, "b.mp4"), "To B"}},
		Plan: Plan{Masks: []Mask{{Points: []Point{{0.5, 0.5}, {1, 0.5}, {1, 1}, {0.5, 1}}}}}}
	var stages []string
	job.Progress = func(p Progress) { stages = append(stages, p.Stage) }
	r, err := e.Redact(context.Background(), job)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Passed() || len(r.Copies) != 2 || r.Copies[0].SHA256 == r.Copies[1].SHA256 || r.Proxy == nil {
		t.Errorf("copies %+v, proxy %+v, gates %+v", r.Copies, r.Proxy, r.Gates)
	}
	if len(stages) < 2 || stages[len(stages)-1] != "done" {
		t.Errorf("progress %v", stages)
	}
	// The mask hides in copies and proxy alike.
	for _, p := range []string{"a.mp4", "b.mp4", "proxy.mp4"} {
		f := grays(t, filepath.Join(dir, p), 1280, 720)
		if len(f) != 21 {
			t.Fatalf("%s has %d frames", p, len(f))
		}
		for _, at := range [][2]int{{700, 400}, {1200, 600}} {
			if a, b := f[3][at[1]*1280+at[0]], f[20][at[1]*1280+at[0]+40]; abs(int(a)-int(b)) > 4 {
				t.Errorf("%s: the mask shows brightness %d and %d", p, a, b)
			}
		}
	}
	left, _ := filepath.Glob(filepath.Join(dir, "redact-*"))
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestEdits(t *testing.T) {
	e := testEngine(t, Config{})
	in := filepath.Join(t.TempDir(), "in.mp4")
	doorbell(t, in, 1.4)
	plan := Plan{Style: StyleSolid, Targets: []Target{Plates}, Edits: []Edit{
		{Kind: EditBox, Keys: []Key{{At: 0, X: 0.8, Y: 0.1, W: 0.1, H: 0.1}, {At: time.Second, X: 0.8, Y: 0.5, W: 0.1, H: 0.1}}},
		{Kind: EditArea, From: 500 * time.Millisecond, Points: []Point{{0, 0.8}, {0.2, 0.8}, {0.2, 1}, {0, 1}}},
	}}
	_, out := run(t, e, in, plan, "")
	f := grays(t, out, 1280, 720)
	at := func(i, x, y int) int { return int(f[i][y*1280+x]) }
	for _, p := range []struct {
		name    string
		i, x, y int
		hidden  bool
	}{
		{"box at its first key", 0, 1088, 108, true}, {"box half way", 7, 1088, 250, true}, {"box has left", 15, 1088, 108, false},
		{"box at its last key", 20, 1088, 396, true}, {"area later", 3, 100, 650, false}, {"area now", 10, 100, 650, true},
	} {
		if got := abs(at(p.i, p.x, p.y)-int(grey[0])) <= 4; got != p.hidden {
			t.Errorf("%s: hidden %v, brightness %d", p.name, got, at(p.i, p.x, p.y))
		}
	}
}

// TestFollowEdit: what a person marks in one frame is followed, forward and back.
func TestFollowEdit(t *testing.T) {
	e := testEngine(t, Config{})
	in := filepath.Join(t.TempDir(), "in.mp4")
	p := photo(t, "sample5.jpg", 200)
	at := func(i int) int { return 200 + 12*i }
	film(t, in, 1280, 720, 15, 45, func(i int, im *image.RGBA) {
		for k := range im.Pix {
			im.Pix[k] = byte(90 + (k/4%1280)/16)
		}
		draw.Draw(im, image.Rect(at(i), 300, at(i)+120, 400), p, image.Pt(40, 20), draw.Src)
	}, h264...)
	mark := Edit{Kind: EditBox, Follow: true, Keys: []Key{{At: time.Second, X: float64(at(15)) / 1280, Y: 300.0 / 720, W: 120.0 / 1280, H: 100.0 / 720}}}
	r, _ := run(t, e, in, Plan{Targets: []Target{Plates}, Edits: []Edit{mark}}, "")
	for _, tr := range r.Tracks {
		if tr.Kind != "edit" {
			continue
		}
		if len(tr.Frames) != 45 {
			t.Errorf("followed in %d frames of 45", len(tr.Frames))
		}
		for _, b := range tr.Frames {
			if x := float64(at(b.I)); b.X > x+1 || b.X+b.W < x+119 || b.Y > 301 || b.Y+b.H < 399 {
				t.Errorf("frame %d: hidden at %+v, marked thing at %g", b.I, b, x)
			}
		}
		return
	}
	t.Errorf("nothing was followed: %+v", r.Tracks)
}

func TestCancel(t *testing.T) {
	e := testEngine(t, Config{})
	dir := t.TempDir()
	in := filepath.Join(dir, "in.mp4")
	doorbell(t, in, 4)
	ctx, cancel := context.WithCancel(context.Background())
	job := Job{In: in, WorkDir: dir, Copies: []CopyOut{{Path: filepath.Join(dir, "out.mp4")}}}
	job.Progress = func(p Progress) {
		if p.Stage == "searching" {
			cancel()
		}
	}
	start := time.Now()
	_, err := e.Redact(ctx, job)
	if !errors.Is(err, context.Canceled) || time.Since(start) > 30*time.Second {
		t.Errorf("stopped after %s with %v", time.Since(start), err)
	}
	left, _ := filepath.Glob(filepath.Join(dir, "*"))
	if len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

func TestNotReady(t *testing.T) {
	for _, cfg := range []Config{{Models: t.TempDir()}, {FFmpeg: "/nonexistent/ffmpeg", Models: "../bin/models"}} {
		e, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		_, err = e.Redact(context.Background(), Job{In: "/dev/null", Copies: []CopyOut{{Path: "/nonexistent/x.mp4"}}})
		if !errors.Is(err, ErrNotReady) {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}

// TestModelFails: when the search fails while the footage is fine, the footage is not blamed, and no
// copy is made.
func TestModelFails(t *testing.T) {
	dir := t.TempDir()
	models := filepath.Join(dir, "models")
	if err := os.CopyFS(models, os.DirFS("../bin/models")); err != nil {
		t.Fatal(err)
	}
	in, out := filepath.Join(dir, "in.mp4"), filepath.Join(dir, "out.mp4")
	plain(t, in, 640, 360, 15, 60, h264...)
	e, err := Open(Config{Models: models})
	if err != nil {
		t.Fatal(err)
	}
	job := Job{In: in, Copies: []CopyOut{{Path: out}}}
	job.Progress = func(Progress) { // the engine has checked the models; now one of them changes
		if err := os.WriteFile(filepath.Join(models, "retinaface-mnet25.onnx"), []byte("altered"), 0o600); err != nil {
			t.Error(err)
		}
	}
	_, err = e.Redact(context.Background(), job)
	if err == nil || errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "digest") {
		t.Errorf("got %v, want an error about the model", err)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a copy was made")
	}
}
