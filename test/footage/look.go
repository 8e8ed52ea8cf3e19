package footage

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"io"
	"iter"
	"os/exec"
	"strings"
)

// Probed is what ffprobe says of a file.
type Probed struct {
	Streams []struct {
		Type   string            `json:"codec_type"`
		Codec  string            `json:"codec_name"`
		Width  int               `json:"width"`
		Height int               `json:"height"`
		Tags   map[string]string `json:"tags"`
	} `json:"streams"`
	Format struct {
		Name     string            `json:"format_name"`
		Duration string            `json:"duration"`
		Tags     map[string]string `json:"tags"`
	} `json:"format"`
}

// Probe asks ffprobe what a file holds.
func Probe(ctx context.Context, path string) (p Probed, err error) {
	raw, err := output(ctx, "ffprobe", "-loglevel", "error", "-of", "json", "-show_streams", "-show_format", path)
	if err != nil {
		return p, err
	}
	return p, json.Unmarshal(raw, &p)
}

// Frames decodes every frame that a file holds, one after the other, those too that its edit list
// hides. It ends after the first error.
func Frames(ctx context.Context, path string) iter.Seq2[*image.RGBA, error] {
	return func(yield func(*image.RGBA, error) bool) {
		if err := frames(ctx, path, func(im *image.RGBA) bool { return yield(im, nil) }); err != nil {
			yield(nil, err)
		}
	}
}

func frames(ctx context.Context, path string, yield func(*image.RGBA) bool) error {
	p, err := Probe(ctx, path)
	if err != nil {
		return err
	}
	size := image.Point{}
	for _, s := range p.Streams {
		if s.Type == "video" {
			size = image.Pt(s.Width, s.Height)
		}
	}
	if size.X == 0 {
		return fmt.Errorf("%s holds no video", path)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends ffmpeg when the caller has seen enough
	cmd := exec.CommandContext(ctx, "ffmpeg", "-nostdin", "-loglevel", "error", "-ignore_editlist", "1", "-i", path,
		"-map", "0:v:0", "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgba", "pipe:1")
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	for {
		im := image.NewRGBA(image.Rectangle{Max: size})
		if _, err := io.ReadFull(out, im.Pix); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			cancel()
			return errors.Join(fmt.Errorf("%s: %w", path, err), cmd.Wait())
		}
		if !yield(im) {
			cancel()
			cmd.Wait() // it was told to stop
			return nil
		}
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("ffmpeg: %w: %s", err, strings.TrimSpace(complaint.String()))
	}
	return nil
}

func output(ctx context.Context, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(complaint.String()))
	}
	return out, nil
}
