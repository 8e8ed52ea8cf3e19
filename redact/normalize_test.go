package redact

import (
	"context"
	"errors"
	"image"
	"image/color"
	"image/draw"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// plain films a ground with a counter and nothing to hide.
func plain(t testing.TB, path string, w, h, fps, frames int, args ...string) {
	t.Helper()
	film(t, path, w, h, fps, frames, func(i int, im *image.RGBA) {
		draw.Draw(im, im.Bounds(), image.NewUniform(color.RGBA{uint8(60 + i), 110, 130, 255}), image.Point{}, draw.Src)
		counter(im, i)
	}, args...)
}

func TestProbe(t *testing.T) {
	e := testEngine(t, Config{})
	dir := t.TempDir()
	for _, tt := range []struct {
		file   string
		args   []string
		format string
		codec  string
		w, h   int
	}{
		{"a.mp4", h264, "mp4", "h264", 640, 360},
		{"a.mov", h264, "mp4", "h264", 640, 360},
		{"a.mkv", []string{"-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none"}, "matroska", "hevc", 640, 360},
		{"a.webm", []string{"-c:v", "libvpx", "-deadline", "realtime", "-pix_fmt", "yuv420p"}, "matroska", "vp8", 640, 360},
		{"b.webm", []string{"-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-pix_fmt", "yuv420p"}, "matroska", "vp9", 640, 360},
		{"a.avi", []string{"-c:v", "mpeg4"}, "avi", "mpeg4", 640, 360},
		{"b.avi", []string{"-c:v", "mjpeg", "-pix_fmt", "yuvj420p"}, "avi", "mjpeg", 640, 360},
		{"-i;rm x.mp4", append([]string{"-metadata", "creation_time=2026-03-01T12:00:00Z"}, h264...), "mp4", "h264", 640, 360},
	} {
		t.Run(tt.file, func(t *testing.T) {
			p := filepath.Join(dir, tt.file)
			plain(t, p, 640, 360, 15, 45, tt.args...)
			f, err := e.Probe(context.Background(), p)
			if err != nil {
				t.Fatal(err)
			}
			if f.Format != tt.format || f.Codec != tt.codec || f.Width != tt.w || f.Height != tt.h || f.VariableRate || f.FPS != 15 {
				t.Errorf("%+v", f)
			}
			within(t, "duration", f.Duration, 3*time.Second, 100*time.Millisecond)
			if strings.HasPrefix(tt.file, "-i") && f.Created.Format(time.RFC3339) != "2026-03-01T12:00:00Z" {
				t.Errorf("created %s", f.Created)
			}
			r, out := run(t, e, p, Plan{Targets: []Target{Faces}}, "")
			if got := readCounters(t, out); len(got) != 45 || got[44] != 44 || r.Frames != 45 {
				t.Errorf("the copy shows frames %v", got)
			}
		})
	}
}

// TestTurned: a picture that a player would turn is turned for good.
func TestTurned(t *testing.T) {
	e := testEngine(t, Config{})
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a.mp4"), filepath.Join(dir, "b.mp4")
	plain(t, a, 640, 360, 15, 30, h264...)
	ffmpegRun(t, "-i", a, "-c", "copy", "-metadata:s:v", "rotate=90", b)
	r, _ := run(t, e, b, Plan{Targets: []Target{Faces}}, "")
	if r.Width != 360 || r.Height != 640 || r.Source.Rotation == 0 {
		t.Errorf("%d by %d, rotation %d", r.Width, r.Height, r.Source.Rotation)
	}
}

// TestVariableRate: frames that come when they like become a steady stream of the same length.
func TestVariableRate(t *testing.T) {
	e := testEngine(t, Config{})
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a.mp4"), filepath.Join(dir, "b.mp4")
	plain(t, a, 640, 360, 30, 90, h264...)
	ffmpegRun(t, "-i", a, "-vf", "select='not(between(mod(n,12),3,7))'", "-fps_mode", "vfr", "-c:v", "libx264", b)
	r, out := run(t, e, b, Plan{Targets: []Target{Faces}}, "")
	if !r.Source.VariableRate || r.FPS > 30 {
		t.Errorf("variable %v, %g frames a second", r.Source.VariableRate, r.FPS)
	}
	got := readCounters(t, out)
	within(t, "length", time.Duration(float64(len(got))/r.FPS*float64(time.Second)), 3*time.Second, 200*time.Millisecond)
	for i := 1; i < len(got); i++ {
		if got[i] < got[i-1] {
			t.Fatalf("frames run backwards: %v", got)
		}
	}
}

// TestSizeChange: the size of the picture changes in the middle, and regions stay where they belong.
func TestSizeChange(t *testing.T) {
	e := testEngine(t, Config{})
	dir := t.TempDir()
	a, b, c := filepath.Join(dir, "a.mkv"), filepath.Join(dir, "b.mkv"), filepath.Join(dir, "c.mkv")
	plain(t, a, 640, 360, 15, 30, h264...)
	plain(t, b, 1280, 720, 15, 30, h264...)
	list := filepath.Join(dir, "list")
	if err := os.WriteFile(list, []byte("file "+a+"\nfile "+b+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ffmpegRun(t, "-f", "concat", "-safe", "0", "-i", list, "-c", "copy", c)
	box := Edit{Kind: EditBox, Keys: []Key{{X: 0.5, Y: 0.5, W: 0.25, H: 0.25}}}
	out := filepath.Join(dir, "out.mp4")
	r, err := e.Redact(context.Background(), Job{In: c, Plan: Plan{Style: StyleSolid, Targets: []Target{Faces}, Edits: []Edit{box}}, Copies: []CopyOut{{Path: out}}})
	if errors.Is(err, ErrRefused) {
		return // refused is right, too
	}
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range grays(t, out, r.Width, r.Height) {
		if v := f[r.Height*5/8*r.Width+r.Width*5/8]; abs(int(v)-int(grey[0])) > 4 {
			t.Fatalf("frame %d shows brightness %d where the box is", i, v)
		}
	}
}

// TestEvilMedia: what cannot or must not be used is refused with a reason and what would work.
func TestEvilMedia(t *testing.T) {
	e := testEngine(t, Config{})
	dir := t.TempDir()
	good := filepath.Join(dir, "good.mp4")
	plain(t, good, 640, 360, 15, 60, append([]string{"-movflags", "+faststart"}, h264...)...)
	b, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(dir, "secret.mp4")
	plain(t, secret, 640, 360, 15, 30, h264...)
	short, sound, old := filepath.Join(dir, "short.mp4"), filepath.Join(dir, "sound.mp4"), filepath.Join(dir, "old.avi")
	plain(t, short, 640, 360, 15, 6, h264...)
	ffmpegRun(t, "-f", "lavfi", "-i", "sine=duration=3", "-c:a", "aac", sound)
	plain(t, old, 640, 360, 15, 30, "-c:v", "msmpeg4v3")
	noise := make([]byte, 1<<16)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	corrupt := append([]byte(nil), b...)
	for i := len(b) / 2; i < len(b)/2+3000 && i < len(b); i++ {
		corrupt[i] ^= 0x5a
	}
	write := func(name string, b []byte) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, tt := range []struct{ name, path, reason string }{
		{"empty", write("empty.mp4", nil), "empty"},
		{"a playlist", write("list.mp4", []byte("#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:2,\n"+secret+"\n")), "MP4"},
		{"a list of files", write("concat.mp4", []byte("ffconcat version 1.0\nfile "+secret+"\n")), "MP4"},
		{"an archive", write("zip.mp4", append([]byte("PK\x03\x04"), noise...)), "MP4"},
		{"noise with a good start", write("noise.mp4", append([]byte("\x00\x00\x00\x18ftypisom"), noise...)), "damaged"},
		{"cut off", write("cut.mp4", b[:len(b)*6/10]), "damaged"},
		{"damaged", write("corrupt.mp4", corrupt), "damaged"},
		{"too short", short, "seconds"},
		{"only sound", sound, "no video"},
		{"an old codec", old, "H.264"},
		{"a folder", dir, "not a file"},
		{"missing", filepath.Join(dir, "none.mp4"), "cannot be read"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out.mp4")
			_, err := e.Redact(context.Background(), Job{In: tt.path, Copies: []CopyOut{{Path: out}}})
			if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), tt.reason) {
				t.Errorf("got %v, want a refusal with %q", err, tt.reason)
			}
			if _, err := os.Stat(out); err == nil {
				t.Error("a copy was written")
			}
		})
	}
}

// TestCoverArt: a picture that travels with the video is not copied.
func TestCoverArt(t *testing.T) {
	e := testEngine(t, Config{})
	dir := t.TempDir()
	a, pic, c := filepath.Join(dir, "a.mp4"), filepath.Join(dir, "p.jpg"), filepath.Join(dir, "c.mp4")
	plain(t, a, 640, 360, 15, 30, h264...)
	ffmpegRun(t, "-f", "lavfi", "-i", "testsrc=size=320x180", "-frames:v", "1", pic)
	ffmpegRun(t, "-i", pic, "-i", a, "-map", "0", "-map", "1", "-c", "copy", "-disposition:v:0", "attached_pic", c)
	r, out := run(t, e, c, Plan{Targets: []Target{Faces}}, "")
	if r.Width != 640 || r.Frames != 30 {
		t.Errorf("%d wide, %d frames", r.Width, r.Frames)
	}
	if got := readCounters(t, out); len(got) != 30 || got[29] != 29 {
		t.Errorf("the copy shows frames %v", got)
	}
}

func TestStills(t *testing.T) {
	e := testEngine(t, Config{})
	dir := t.TempDir()
	a := filepath.Join(dir, "a.mp4")
	plain(t, a, 640, 360, 15, 60, h264...)
	paths, err := e.Stills(context.Background(), a, []time.Duration{0, 2 * time.Second, time.Hour}, 160, dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range paths {
		f, err := os.Open(p)
		if err != nil {
			t.Fatal(err)
		}
		c, _, err := image.DecodeConfig(f)
		f.Close()
		if err != nil || c.Width != 160 || c.Height != 90 {
			t.Errorf("%s: %+v %v", p, c, err)
		}
	}
}
