package redact

import (
	"bytes"
	"image"
	"image/color"
	"image/draw"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMetadataCanaries puts a canary into every place of a file where cameras and tools leave
// traces: none is in the copy.
func TestMetadataCanaries(t *testing.T) {
	e := testEngine(t, Config{})
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	a, in := filepath.Join(dir, "a.mp4"), filepath.Join(dir, "in.mp4")
	plain(t, a, 640, 360, 15, 30, h264...)
	chapters := file("chapters", ";FFMETADATA1\ntitle=CANARY-title\nlocation=+48.2082+016.3738/\ncomment=CANARY-comment\ncom.android.version=CANARY-android\nserial=CANARY-serial\n"+
		"[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1000\ntitle=CANARY-chapter\n")
	ffmpegRun(t, "-i", a, "-i", chapters, "-f", "lavfi", "-i", "sine=frequency=440:duration=2", "-map", "0:v", "-map", "2:a", "-c:a", "aac",
		"-map_metadata", "1", "-map_chapters", "1", "-c:v:0", "copy", "-bsf:v:0", "h264_metadata=sei_user_data=086f3693-b7b3-4f2c-9653-21492feee5b8+CANARY-sei",
		"-metadata:s:v:0", "handler_name=CANARY-handler", "-metadata:s:a:0", "title=CANARY-track",
		"-movflags", "use_metadata_tags", in)
	raw, err := os.ReadFile(in)
	if err != nil {
		t.Fatal(err)
	}
	raw = append(raw, "\x00\x00\x00\x27uuid0123456789abcdefCANARY-uuid-box"...)
	if err := os.WriteFile(in, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	look := func(path string) string {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		probe, err := exec.Command("ffprobe", "-v", "error", "-show_format", "-show_streams", "-show_chapters", path).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, probe)
		}
		text, err := exec.Command("ffmpeg", "-v", "error", "-i", path, "-map", "0:s?", "-f", "srt", "-").Output()
		if err != nil {
			text = nil // there is none
		}
		return string(bytes.Join([][]byte{raw, probe, text}, nil))
	}
	canaries := []string{"CANARY-title", "+48.2082", "CANARY-comment", "CANARY-android", "CANARY-serial", "CANARY-chapter", "CANARY-sei", "CANARY-handler", "CANARY-uuid-box"}
	before := look(in)
	for _, canary := range canaries {
		if !strings.Contains(before, canary) {
			t.Errorf("%q is not in the footage: the test would prove nothing of it", canary)
		}
	}
	r, out := run(t, e, in, Plan{Targets: []Target{Faces}}, "")
	after := look(out)
	for _, canary := range append(canaries, "CANARY", "x264 - core", filepath.Base(in)) {
		if strings.Contains(after, canary) {
			t.Errorf("%q is left in the copy", canary)
		}
	}
	if r.Frames != 30 || !strings.Contains(after, "nb_streams=1\n") {
		t.Errorf("%d frames, not 30, or more than one stream", r.Frames)
	}
}

// TestBoxInvariance films the same scene with different things where a region is hidden: the copies
// show the same there, to the pixel but for what coding does.
func TestBoxInvariance(t *testing.T) {
	e := testEngine(t, Config{})
	const w, h = 640, 360
	hidden := image.Rect(320, 90, 480, 270)
	box := Edit{Kind: EditBox, Keys: []Key{{X: float64(hidden.Min.X) / w, Y: float64(hidden.Min.Y) / h, W: float64(hidden.Dx()) / w, H: float64(hidden.Dy()) / h}}}
	shown := func(inside func(x, y, i int) color.RGBA) [][]byte {
		in := filepath.Join(t.TempDir(), "in.mp4")
		film(t, in, w, h, 15, 20, func(i int, im *image.RGBA) {
			draw.Draw(im, im.Bounds(), image.NewUniform(color.RGBA{80, 110, 130, 255}), image.Point{}, draw.Src)
			for y := hidden.Min.Y + 8; y < hidden.Max.Y-8; y++ {
				for x := hidden.Min.X + 8; x < hidden.Max.X-8; x++ {
					im.SetRGBA(x, y, inside(x, y, i))
				}
			}
		}, h264...)
		_, out := run(t, e, in, Plan{Style: StyleSolid, Targets: []Target{Faces}, Edits: []Edit{box}}, "")
		return grays(t, out, w, h)
	}
	dice := rand.New(rand.NewPCG(5, 6))
	black := shown(func(int, int, int) color.RGBA { return color.RGBA{A: 255} })
	noise := shown(func(int, int, int) color.RGBA { v := uint8(dice.Uint32()); return color.RGBA{v, v, v, 255} })
	if len(black) != 20 || len(noise) != 20 {
		t.Fatalf("%d and %d frames, not 20", len(black), len(noise))
	}
	core := hidden.Inset(12)
	for i := range black {
		for y := core.Min.Y; y < core.Max.Y; y++ {
			for x := core.Min.X; x < core.Max.X; x++ {
				if a, b := black[i][y*w+x], noise[i][y*w+x]; abs(int(a)-int(b)) > 4 {
					t.Fatalf("frame %d at %d, %d: %d over black, %d over noise: what was hidden shows through", i, x, y, a, b)
				}
			}
		}
	}
}
