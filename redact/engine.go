package redact

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"cliplease/redact/detect"
)

// Engine redacts footage. It is safe for use by several goroutines, but a job uses all the cores that
// it may, so run one at a time.
type Engine struct {
	cfg Config
	box *sandbox

	mu       sync.Mutex
	prepared bool
	version  string // of ffmpeg
}

// Open prepares an engine. It is cheap: nothing is loaded or started. What is missing shows in
// [Engine.Check], and stops every job with [ErrNotReady].
func Open(cfg Config) (*Engine, error) {
	if cfg.Models == "" {
		cfg.Models = ModelsDir()
	}
	if cfg.Threads <= 0 {
		cfg.Threads = min(runtime.NumCPU(), 8)
	}
	if cfg.MaxSize <= 0 {
		cfg.MaxSize = 500 << 20
	}
	if cfg.MaxLength <= 0 {
		cfg.MaxLength = 30 * time.Minute
	}
	if cfg.MinLength <= 0 {
		cfg.MinLength = time.Second
	}
	if cfg.Preset == "" {
		cfg.Preset = "veryfast"
	}
	if !strings.Contains(" ultrafast superfast veryfast faster fast medium slow slower ", " "+cfg.Preset+" ") {
		return nil, fmt.Errorf("preset %q is not one of x264's: use veryfast, fast or medium", cfg.Preset)
	}
	models, err := filepath.Abs(cfg.Models)
	if err != nil {
		return nil, fmt.Errorf("models folder: %w", err)
	}
	cfg.Models = models
	return &Engine{cfg: cfg}, nil
}

// ModelsDir is where the models are when nothing else is said: the folder that the environment
// variable CLIPLEASE_MODELS names, else the folder models beside the running binary, else
// /usr/share/cliplease/models.
func ModelsDir() string {
	if d := os.Getenv("CLIPLEASE_MODELS"); d != "" {
		return d
	}
	if exe, err := os.Executable(); err == nil {
		if exe, err = filepath.EvalSymlinks(exe); err == nil {
			if d := filepath.Join(filepath.Dir(exe), "models"); isDir(d) {
				return d
			}
		}
	}
	return "/usr/share/cliplease/models"
}

func isDir(p string) bool {
	info, err := os.Stat(p)
	return err == nil && info.IsDir()
}

// prepare finds the tools and the sandbox, once.
func (e *Engine) prepare(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.prepared {
		return nil
	}
	box, err := openSandbox(e.cfg)
	if err != nil {
		return err
	}
	ffmpeg, err := lookTool(e.cfg.FFmpeg, "ffmpeg")
	if err != nil {
		return fmt.Errorf("%w: %w", err, ErrNotReady)
	}
	ffprobe, err := lookTool(e.cfg.FFprobe, "ffprobe")
	if err != nil {
		return fmt.Errorf("%w: %w", err, ErrNotReady)
	}
	version, err := ffmpegVersion(ctx, box, ffmpeg)
	if err != nil {
		return err
	}
	e.box, e.version, e.prepared = box, version, true
	e.cfg.FFmpeg, e.cfg.FFprobe = ffmpeg, ffprobe
	return nil
}

// ffmpegVersion starts ffmpeg in the sandbox and reads its first line.
func ffmpegVersion(ctx context.Context, box *sandbox, ffmpeg string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	var out strings.Builder
	c := box.child("ffmpeg", ffmpeg)
	c.args = []string{"-hide_banner", "-version"}
	c.stdout = &out
	if err := box.run(ctx, c); err != nil {
		return "", fmt.Errorf("ffmpeg does not start in the sandbox: %w: %w", err, ErrNotReady)
	}
	line, _, _ := strings.Cut(out.String(), "\n")
	f := strings.Fields(line)
	if len(f) < 3 || f[0] != "ffmpeg" {
		return "", fmt.Errorf("%s does not say its version, so it is not ffmpeg: %w", ffmpeg, ErrNotReady)
	}
	return f[2], nil
}

// Check says for each thing that the engine needs whether it is there and right. Digests of models are
// kept between calls while their files do not change.
func (e *Engine) Check(ctx context.Context) []Check {
	tools := Check{Name: "ffmpeg"}
	box := Check{Name: "sandbox"}
	models := Check{Name: "models", OK: true, Detail: e.cfg.Models}
	if err := detect.Verify(e.cfg.Models); err != nil {
		models.OK, models.Detail = false, err.Error()
	}
	if err := e.prepare(ctx); err != nil {
		tools.Detail, box.Detail = err.Error(), err.Error()
		if s, err := openSandbox(e.cfg); err == nil {
			box.OK, box.Detail = s.kind != byNothing, s.kind
		} else if _, err := lookTool(e.cfg.FFmpeg, "ffmpeg"); err == nil {
			tools.Detail = "not started: there is no sandbox to start it in"
		}
	} else {
		tools.OK, tools.Detail = true, e.version
		box.OK, box.Detail = true, e.box.kind
		if e.box.kind == byNothing {
			box.Detail = "none: footage is decoded without protection because the configuration says so"
		}
	}
	return []Check{tools, models, box}
}

// Probe says what the file in holds, decoding nothing. Footage that cannot be used is refused with an
// error that wraps [ErrRefused].
func (e *Engine) Probe(ctx context.Context, in string) (Footage, error) {
	if err := e.prepare(ctx); err != nil {
		return Footage{}, err
	}
	in, done, err := e.own(in)
	if err != nil {
		return Footage{}, err
	}
	defer done()
	f, err := e.probe(ctx, in)
	return f.Footage, err
}

// Stills writes a JPEG of the given width in pixels for each moment of at into dir and returns their
// paths in the same order. They show the footage as it is, so they are for the homeowner only.
func (e *Engine) Stills(ctx context.Context, in string, at []time.Duration, width int, dir string) ([]string, error) {
	if err := e.prepare(ctx); err != nil {
		return nil, err
	}
	if width < 16 || width > 4096 {
		return nil, fmt.Errorf("a still of %d pixels is out of range: use 16 to 4096", width)
	}
	in, done, err := e.own(in)
	if err != nil {
		return nil, err
	}
	defer done()
	f, err := e.probe(ctx, in)
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute+time.Duration(len(at))*10*time.Second)
	defer cancel()
	var paths []string
	for i, t := range at {
		name := fmt.Sprintf("still-%04d.jpg", i)
		last := f.Duration - time.Duration(1.5*float64(time.Second)/f.FPS)
		c := e.box.child("ffmpeg", e.cfg.FFmpeg)
		c.args = stillArgs(c.read(in), f.Format, f.video, max(0, min(t, last)), width&^1, c.write(dir)+"/"+name)
		c.limits.CPU, c.limits.File, c.limits.Memory = 120, 64<<20, 4<<30
		if err := e.box.run(ctx, c); err != nil {
			return nil, decodeError(err)
		}
		p := filepath.Join(dir, name)
		if _, err := os.Stat(p); err != nil {
			return nil, refuse("no picture could be read at %s", t)
		}
		paths = append(paths, p)
	}
	return paths, nil
}

// own returns a path under which the sandbox can read the file: children drop the right to read other
// people's files, so a file of somebody else's is copied.
func (e *Engine) own(in string) (string, func(), error) {
	nothing := func() {}
	if _, err := sniff(in, e.cfg.MaxSize); err != nil {
		return "", nothing, err
	}
	in, err := filepath.Abs(in)
	if err != nil {
		return "", nothing, err
	}
	if in, err = filepath.EvalSymlinks(in); err != nil {
		return "", nothing, err
	}
	mine, err := ownedByMe(in)
	if err != nil || mine {
		return in, nothing, err
	}
	dir, err := os.MkdirTemp("", "redact-in-")
	if err != nil {
		return "", nothing, err
	}
	done := func() { os.RemoveAll(dir) }
	p := filepath.Join(dir, "clip")
	if err := copyFile(in, p); err != nil {
		done()
		return "", nothing, err
	}
	return p, done, nil
}

// decodeError turns the failure of a decoder into a refusal; other errors stay what they are.
func decodeError(err error) error {
	var failed *childError
	if errors.As(err, &failed) {
		return fmt.Errorf("%w: it is damaged and cannot be read to its end (%w)", ErrRefused, failed)
	}
	return err
}

func copyFile(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err := io.Copy(dst, src); err != nil {
		dst.Close()
		return err
	}
	return dst.Close()
}

// digest returns the SHA-256 and size of a file.
func digest(path string) (FileInfo, error) {
	f, err := os.Open(path)
	if err != nil {
		return FileInfo{}, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	return FileInfo{SHA256: hex.EncodeToString(h.Sum(nil)), Size: n}, err
}

// orderJSON writes an order for a child.
func orderJSON(o lookOrder) string {
	b, err := json.Marshal(o)
	if err != nil {
		panic("an order holds only numbers and text: " + err.Error())
	}
	return string(b)
}
