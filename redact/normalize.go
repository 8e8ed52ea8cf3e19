package redact

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"
)

// refuse makes an error for footage that cannot be used.
func refuse(format string, a ...any) error {
	return fmt.Errorf("%w: %s", ErrRefused, fmt.Sprintf(format, a...))
}

// what works is said with every refusal of a kind of file.
const whatWorks = "use an MP4, MOV, MKV, WebM or AVI file with H.264, H.265, MPEG-4, MJPEG, VP8 or VP9 video"

// sniff looks at the first bytes and the size of a file and says which format it is.
func sniff(path string, maxSize int64) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", refuse("the file cannot be read (%v)", errors.Unwrap(err))
	}
	if !info.Mode().IsRegular() {
		return "", refuse("it is not a file; %s", whatWorks)
	}
	if info.Size() > maxSize {
		return "", refuse("it has %d MB, more than %d MB; cut a shorter piece out of it", info.Size()>>20, maxSize>>20)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", refuse("the file cannot be opened (%v)", errors.Unwrap(err))
	}
	defer f.Close()
	head := make([]byte, 16)
	if _, err := io.ReadFull(f, head); err != nil {
		return "", refuse("the file is empty or far too short; %s", whatWorks)
	}
	switch {
	case bytes.Equal(head[:4], []byte{0x1a, 0x45, 0xdf, 0xa3}):
		return "matroska", nil
	case string(head[:4]) == "RIFF" && string(head[8:12]) == "AVI ":
		return "avi", nil
	case strings.Contains("ftyp moov mdat wide free skip pnot", string(head[4:8])):
		return "mp4", nil
	}
	return "", refuse("it is not a kind of video that is known here; %s", whatWorks)
}

// probed is what ffprobe says of a file.
type probed struct {
	Streams []struct {
		Index       int               `json:"index"`
		Codec       string            `json:"codec_name"`
		Type        string            `json:"codec_type"`
		Width       int               `json:"width"`
		Height      int               `json:"height"`
		PixelRatio  string            `json:"sample_aspect_ratio"`
		Rate        string            `json:"r_frame_rate"`
		Average     string            `json:"avg_frame_rate"`
		Frames      string            `json:"nb_frames"`
		Duration    string            `json:"duration"`
		Disposition map[string]int    `json:"disposition"`
		Tags        map[string]string `json:"tags"`
		SideData    []struct {
			Rotation float64 `json:"rotation"`
		} `json:"side_data_list"`
	} `json:"streams"`
	Format struct {
		Duration string            `json:"duration"`
		Tags     map[string]string `json:"tags"`
	} `json:"format"`
}

// footage is what is known of a file before it is decoded.
type footage struct {
	Footage
	video, audio int // indexes of the streams; audio is -1 without sound
	rate         rate
}

// rate is a number of frames a second as a fraction.
type rate struct{ n, d int64 }

func (r rate) float() float64 { return float64(r.n) / float64(r.d) }
func (r rate) String() string { return fmt.Sprintf("%d/%d", r.n, r.d) }

func parseRate(s string) rate {
	a, b, _ := strings.Cut(s, "/")
	n, err1 := strconv.ParseInt(a, 10, 64)
	d, err2 := strconv.ParseInt(b, 10, 64)
	if err1 != nil || err2 != nil || n <= 0 || d <= 0 {
		return rate{0, 1}
	}
	return rate{n, d}
}

// probe says what the footage holds, and refuses what cannot be used.
func (e *Engine) probe(ctx context.Context, in string) (footage, error) {
	format, err := sniff(in, e.cfg.MaxSize)
	if err != nil {
		return footage{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var out bytes.Buffer
	c := e.box.child("ffprobe", e.cfg.FFprobe)
	c.args = probeArgs(c.read(in), format)
	c.limits.CPU, c.limits.Memory = 60, 4<<30
	c.stdout = &limitedBuffer{&out, 4 << 20}
	if err := e.box.run(ctx, c); err != nil {
		if ctx.Err() != nil {
			return footage{}, refuse("it could not be examined in time; the file is damaged")
		}
		var failed *childError
		if errors.As(err, &failed) {
			return footage{}, refuse("it cannot be read, it is damaged or not really a video; %s", whatWorks)
		}
		return footage{}, err
	}
	var p probed
	if err := json.Unmarshal(out.Bytes(), &p); err != nil {
		return footage{}, refuse("what it says of itself makes no sense; the file is damaged")
	}
	return e.judge(format, p)
}

// judge decides from what ffprobe said whether the footage can be used.
func (e *Engine) judge(format string, p probed) (footage, error) {
	f := footage{video: -1, audio: -1}
	f.Format = format
	for _, s := range p.Streams {
		switch {
		case s.Type == "audio" && f.audio < 0:
			f.audio, f.Audio = s.Index, true
		case s.Type == "video" && s.Disposition["attached_pic"] == 0 && s.Disposition["timed_thumbnails"] == 0 && f.video < 0:
			f.video, f.Codec = s.Index, s.Codec
			f.Width, f.Height = s.Width, s.Height
			if r := parseRate(strings.Replace(s.PixelRatio, ":", "/", 1)); r.n > 0 && r.n != r.d && r.float() > 0.1 && r.float() < 10 {
				f.Width = int(math.Round(float64(s.Width) * r.float()))
			}
			turn := 0.0
			for _, d := range s.SideData {
				if d.Rotation != 0 {
					turn = d.Rotation
				}
			}
			f.Rotation = ((int(math.Round(-turn/90))*90)%360 + 360) % 360
			if f.Rotation%180 != 0 {
				f.Width, f.Height = f.Height, f.Width
			}
			f.Frames, _ = strconv.Atoi(s.Frames)
			f.Duration = parseSeconds(s.Duration)
			r, avg := parseRate(s.Rate), parseRate(s.Average)
			f.rate = r
			f.VariableRate = avg.n > 0 && math.Abs(avg.float()/r.float()-1) > 0.005
			if r.n == 0 || r.float() > 120 || (f.VariableRate && r.float() > 2*avg.float()) {
				f.rate, f.VariableRate = rate{int64(math.Ceil(avg.float())), 1}, true
			}
		}
	}
	if f.video < 0 {
		return f, refuse("it holds no video; %s", whatWorks)
	}
	if !strings.Contains(","+videoDecoders+",", ","+f.Codec+",") || f.Codec == "" {
		return f, refuse("its video is %q; %s", f.Codec, whatWorks)
	}
	if f.Width < 64 || f.Height < 64 || f.Width*f.Height > maxPixels || max(f.Width, f.Height) > 8192 {
		return f, refuse("its pictures have %d by %d pixels; 64 by 64 to 4096 by 2304 work", f.Width, f.Height)
	}
	if f.Duration == 0 {
		f.Duration = parseSeconds(p.Format.Duration)
	}
	if f.Duration < e.cfg.MinLength {
		return f, refuse("it lasts %.1f seconds; at least %g are needed", f.Duration.Seconds(), e.cfg.MinLength.Seconds())
	}
	if f.Duration > e.cfg.MaxLength {
		return f, refuse("it lasts %.0f minutes; at most %g work, cut a shorter piece out of it", f.Duration.Minutes(), e.cfg.MaxLength.Minutes())
	}
	if f.rate.n == 0 {
		return f, refuse("it does not say how many pictures a second it has; the file is damaged")
	}
	f.FPS = f.rate.float()
	if t, err := time.Parse(time.RFC3339, p.Format.Tags["creation_time"]); err == nil && t.Year() > 1970 {
		f.Created = t.UTC()
	}
	return f, nil
}

func parseSeconds(s string) time.Duration {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || v < 0 || v > 1e7 {
		return 0
	}
	return time.Duration(v * float64(time.Second))
}

// normal says how the plan's window of the footage is normalised.
func (f footage) normal(p Plan) (normal, int, error) {
	n := normal{from: p.From, to: p.To}
	if p.From >= f.Duration {
		return n, 0, refuse("the window starts after the footage ends (%.1f seconds)", f.Duration.Seconds())
	}
	if p.To > f.Duration+time.Second {
		return n, 0, refuse("the window ends after the footage does (%.1f seconds)", f.Duration.Seconds())
	}
	r := f.rate
	if m := int64(math.Ceil(r.float()/p.MaxFPS - 1e-3)); m > 1 {
		r.d *= m
	}
	n.rate = r.String()
	n.w, n.h = fit(f.Width, f.Height, p.MaxHeight)
	n.lw, n.lh = lookSize(n.w, n.h)
	length := f.Duration - p.From
	if p.To > 0 {
		length = min(length, p.To-p.From)
	}
	frames := int(math.Round(length.Seconds() * r.float()))
	n.lossless = frames*n.w*n.h <= 3600*1280*720
	return n, frames, nil
}

// fit returns even sides whose shorter one has at most limit pixels.
func fit(w, h, limit int) (int, int) {
	if s := float64(limit) / float64(min(w, h)); s < 1 {
		w, h = int(math.Round(float64(w)*s)), int(math.Round(float64(h)*s))
	}
	return w &^ 1, h &^ 1
}

// lookSize is the size at which the detectors look: the longer side has 1280 pixels, but small
// pictures grow to no more than twice their size.
func lookSize(w, h int) (int, int) {
	s := min(1280/float64(max(w, h)), 2)
	return int(math.Round(float64(w)*s)) &^ 1, int(math.Round(float64(h)*s)) &^ 1
}

// limitedBuffer is a buffer that refuses to grow beyond a limit.
type limitedBuffer struct {
	b     *bytes.Buffer
	limit int
}

func (l *limitedBuffer) Write(p []byte) (int, error) {
	if l.b.Len()+len(p) > l.limit {
		return 0, errors.New("more output than expected")
	}
	return l.b.Write(p)
}
