package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
)

// Rivals are what else on a Debian machine hides faces: ffmpeg with frei0r's facebl0r, and OpenCV's
// Haar cascades frame by frame, with the margins that our own engine gives to a face.

const cascade = "/usr/share/opencv4/haarcascades/haarcascade_frontalface_default.xml"

// rivals counts what each rival covers, by kind and size.
type rivals struct {
	facebl0r, haar map[string]*tally
}

func newRivals() *rivals {
	return &rivals{map[string]*tally{}, map[string]*tally{}}
}

// add runs both on a clip.
func (r *rivals) add(ctx context.Context, clip string, t truth) error {
	if _, err := os.Stat(cascade); err != nil {
		return fmt.Errorf("%w: install Debian's frei0r-plugins, opencv-data and python3-opencv", err)
	}
	if err := r.blur(ctx, clip, t); err != nil {
		return fmt.Errorf("facebl0r: %w", err)
	}
	if err := r.cascades(ctx, clip, t); err != nil {
		return fmt.Errorf("haar: %w", err)
	}
	return nil
}

// gray starts ffmpeg and returns its pictures of brightness as one stream.
func gray(ctx context.Context, clip, filter string) (*exec.Cmd, io.Reader, error) {
	cmd := exec.CommandContext(ctx, "ffmpeg", "-nostdin", "-v", "error", "-i", clip, "-vf", filter, "-f", "rawvideo", "-pix_fmt", "gray", "-")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	return cmd, bufio.NewReaderSize(out, 1<<20), cmd.Start()
}

// blur compares each frame before and after facebl0r. It blurs an ellipse, so a box counts as covered
// when half of its pixels changed.
func (r *rivals) blur(ctx context.Context, clip string, t truth) error {
	plain, before, err := gray(ctx, clip, "null")
	if err != nil {
		return err
	}
	blurred, after, err := gray(ctx, clip, "frei0r=facebl0r:"+cascade)
	if err != nil {
		return errors.Join(err, plain.Process.Kill())
	}
	a, b := make([]byte, t.Width*t.Height), make([]byte, t.Width*t.Height)
	for _, f := range t.Frames {
		if _, err := io.ReadFull(before, a); err != nil {
			return err
		}
		if _, err := io.ReadFull(after, b); err != nil {
			return err
		}
		for _, box := range f.Boxes {
			if box.Ignore || box.Kind != "face" {
				continue
			}
			n, changed := 0, 0
			for y := max(0, int(box.Y)); y < min(t.Height, int(box.Y+box.H)); y++ {
				for x := max(0, int(box.X)); x < min(t.Width, int(box.X+box.W)); x++ {
					n++
					if d := int(a[y*t.Width+x]) - int(b[y*t.Width+x]); d > 2 || d < -2 {
						changed++
					}
				}
			}
			count(r.facebl0r, size(box), 2*changed >= n)
		}
	}
	_, errA := io.Copy(io.Discard, before)
	_, errB := io.Copy(io.Discard, after)
	return errors.Join(errA, errB, plain.Wait(), blurred.Wait())
}

// cascades grows what the cascades find as the engine would and asks what that covers.
func (r *rivals) cascades(ctx context.Context, clip string, t truth) error {
	script := filepath.Join("bench", "redaction", "haar.py")
	out, err := exec.CommandContext(ctx, "/usr/bin/python3", script, clip).Output()
	if err != nil {
		return err
	}
	gw, gh := t.Width/grid, t.Height/grid
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	for i, f := range t.Frames {
		if i >= len(lines) {
			return fmt.Errorf("only %d of %d frames", len(lines), len(t.Frames))
		}
		var found [][5]any
		if err := json.Unmarshal(lines[i], &found); err != nil {
			return err
		}
		hid := make([]bool, gw*gh)
		for _, b := range found {
			x, y, w, h := b[1].(float64), b[2].(float64), b[3].(float64), b[4].(float64)
			mark(hid, gw, gh, x-0.35*w, y-0.4*h, 1.7*w, 1.75*h)
		}
		for _, box := range f.Boxes {
			if !box.Ignore {
				count(r.haar, size(box), coverage(hid, gw, gh, box) >= 0.9)
			}
		}
	}
	return nil
}

func (r *rivals) print(w io.Writer) {
	for _, rival := range []struct {
		name  string
		boxes map[string]*tally
	}{{"ffmpeg, frei0r facebl0r", r.facebl0r}, {"OpenCV, Haar cascades", r.haar}} {
		fmt.Fprintf(w, "\n%s: boxes covered\n", rival.name)
		var keys []string
		for k := range rival.boxes {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		for _, k := range keys {
			fmt.Fprintf(w, "  %-24s %s\n", k, rival.boxes[k])
		}
	}
}
