package footage

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMake makes a short clip and reads it back: every frame carries its number through the
// encoder, the metadata has what a camera might betray, and there is sound to be taken out.
func TestMake(t *testing.T) {
	stills, err := Stills()
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "clip.mp4")
	if err := Make(t.Context(), stills, Short, out, nil); err != nil {
		t.Fatal(err)
	}
	i := 0
	for f, err := range Frames(t.Context(), out) {
		if err != nil {
			t.Fatal(err)
		}
		if n, ok := Number(f); !ok || n != i {
			t.Errorf("frame %d reads %d, %t", i, n, ok)
		}
		i++
	}
	if i != Short.Frames() {
		t.Errorf("%d frames, want %d", i, Short.Frames())
	}
	probe, err := exec.CommandContext(t.Context(), "ffprobe", "-loglevel", "error", "-show_streams", "-show_format", out).Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{Canary, Place, "codec_name=h264", "codec_name=aac"} {
		if !strings.Contains(string(probe), want) {
			t.Errorf("ffprobe does not show %q", want)
		}
	}
}

func TestTargets(t *testing.T) {
	for s, faces := range map[Spec]int{Demo: 9, Short: 9, Street: 0} {
		for i := range s.Frames() {
			kinds := map[string]int{}
			for _, x := range s.Targets(i) {
				kinds[x.Kind]++
				if x.Dx() < s.Width/40 && x.Min.X > 0 && x.Max.X < s.Width || !x.In(image.Rect(0, 0, s.Width, s.Height)) {
					t.Errorf("frame %d: %s %v", i, x.Kind, x.Rectangle)
				}
			}
			if kinds["face"] != faces || kinds["plate"] != 2 {
				t.Errorf("frame %d: %v", i, kinds)
			}
		}
	}
}

// TestMakeRefuses says no to what it cannot make, in words.
func TestMakeRefuses(t *testing.T) {
	out := filepath.Join(t.TempDir(), "clip.mp4")
	if err := Make(t.Context(), t.TempDir(), Short, out, nil); err == nil || !strings.Contains(err.Error(), "sample6.jpg") {
		t.Errorf("without photographs: %v", err)
	}
	if err := Make(t.Context(), "", Spec{Seconds: 1, Width: 641, Height: 360, FPS: 10}, out, nil); err == nil {
		t.Error("an odd width was taken")
	}
	stills, err := Stills()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Make(ctx, stills, Short, out, nil); err == nil {
		t.Error("it did not end with its context")
	}
}

func TestNumber(t *testing.T) {
	im := image.NewRGBA(image.Rect(0, 0, 640, 360))
	if n, ok := Number(im); ok {
		t.Errorf("an empty picture reads %d", n)
	}
	for _, want := range []int{0, 1, 2047, 4095} {
		drawNumber(im, want)
		if n, ok := Number(im); !ok || n != want {
			t.Errorf("%d reads %d, %t", want, n, ok)
		}
	}
	drawNumber(im, 5)
	copy(im.Pix[im.PixOffset(0, 0):], bytes.Repeat([]byte{128}, 8))
	b := numberCell(im.Bounds(), numberBits+1)
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			im.Pix[im.PixOffset(x, y)] ^= 255
			im.Pix[im.PixOffset(x, y)+1] ^= 255
			im.Pix[im.PixOffset(x, y)+2] ^= 255
		}
	}
	if n, ok := Number(im); ok {
		t.Errorf("a damaged number reads %d", n)
	}
}

func ExampleSpec_Targets() {
	for _, target := range Demo.Targets(0) {
		fmt.Println(target.Kind)
	}
	// Output:
	// face
	// face
	// face
	// face
	// face
	// face
	// face
	// face
	// face
	// plate
	// plate
}
