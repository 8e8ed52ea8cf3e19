package redact

import (
	"context"
	"fmt"
	"image/jpeg"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestMasksFollowThePicture: a mask lies over the same shares of the upright picture whatever the
// resolution of the footage and whichever way the camera was turned, in copy and proxy alike, and where
// the still shows it.
func TestMasksFollowThePicture(t *testing.T) {
	e := testEngine(t, Config{})
	mask := Mask{Points: []Point{{0.1, 0.55}, {0.4, 0.55}, {0.4, 0.75}, {0.1, 0.75}}}
	for _, tt := range []struct {
		name    string
		size    string
		turn    string // of the container; "" leaves it out
		w, h    int    // of the copy
		widest  int    // limit of the shorter side; 0: none
		squeeze string // pixels that are not square
	}{
		{"another resolution, made smaller", "1280x720", "", 640, 360, 360, "1"},
		{"turned right", "640x360", "90", 360, 640, 0, "1"},
		{"turned left", "640x360", "270", 360, 640, 0, "1"},
		{"pixels that are not square", "480x360", "", 640, 360, 0, "4/3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			in := filepath.Join(dir, "in.mp4")
			ffmpegRun(t, "-f", "lavfi", "-i", "testsrc2=s="+tt.size+":r=10:d=1.2,setsar="+tt.squeeze, "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", in)
			if tt.turn != "" {
				turned := filepath.Join(dir, "turned.mp4")
				ffmpegRun(t, "-i", in, "-c", "copy", "-metadata:s:v", "rotate="+tt.turn, turned)
				in = turned
			}
			copies := map[string]string{"masked": filepath.Join(dir, "masked.mp4"), "bare": filepath.Join(dir, "bare.mp4")}
			proxy := filepath.Join(dir, "proxy.mp4")
			for name, path := range copies {
				job := Job{In: in, WorkDir: dir, Copies: []CopyOut{{path, "For a test"}}, Plan: Plan{Targets: []Target{Faces}, MaxHeight: tt.widest}}
				if name == "masked" {
					job.Plan.Masks, job.Proxy = []Mask{mask}, proxy
				}
				if _, err := e.Redact(context.Background(), job); err != nil {
					t.Fatal(err)
				}
			}
			bare := grays(t, copies["bare"], tt.w, tt.h)
			for _, path := range []string{copies["masked"], proxy} {
				masked := grays(t, path, tt.w, tt.h)
				if len(masked) == 0 || len(masked) != len(bare) {
					t.Fatalf("%d frames, %d without the mask", len(masked), len(bare))
				}
				worst, hidden, outside := 0, 0, 0
				grey := int(masked[0][int(0.65*float64(tt.h))*tt.w+tt.w/4])
				for i, f := range masked {
					for y := range tt.h {
						for x := range tt.w {
							px, py := (float64(x)+0.5)/float64(tt.w), (float64(y)+0.5)/float64(tt.h)
							v, was := int(f[y*tt.w+x]), int(bare[i][y*tt.w+x])
							switch {
							case px > 0.1 && px < 0.4 && py > 0.55 && py < 0.75:
								hidden++
								worst = max(worst, abs(v-grey))
							case px > 0.1-0.02 && px < 0.4+0.02 && py > 0.55-0.02 && py < 0.75+0.02: // the edge
							case abs(v-was) > 60:
								outside++
							}
						}
					}
				}
				t.Logf("%s: %d pixels hidden, at most %d steps from the grey, %d others changed", filepath.Base(path), hidden, worst, outside)
				if hidden == 0 || worst > 24 {
					t.Errorf("%s: a pixel under the mask is %d steps from its grey", filepath.Base(path), worst)
				}
				if path != proxy && outside > hidden/200 {
					t.Errorf("%s: %d pixels beside the mask were changed", filepath.Base(path), outside)
				}
			}
			stills, err := e.Stills(context.Background(), in, []time.Duration{0}, 240, dir)
			if err != nil {
				t.Fatal(err)
			}
			f, err := os.Open(stills[0])
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			c, err := jpeg.DecodeConfig(f)
			if err != nil {
				t.Fatal(err)
			}
			if tall := c.Height > c.Width; tall != (tt.h > tt.w) {
				t.Errorf("the still is %s, the copy %d by %d: a mask drawn on it would lie elsewhere", fmt.Sprint(c.Width, " by ", c.Height), tt.w, tt.h)
			}
		})
	}
}
