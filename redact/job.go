package redact

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"cliplease/redact/detect"
)

// workState is one job on its way.
type workState struct {
	e       *Engine
	job     Job
	dir     string // intermediate files
	in      string
	src     footage
	n       normal
	fps     float64
	expect  int // frames that the footage should have
	frames  int // frames that it has
	sound   string
	start   time.Time
	last    time.Time
	trails  []*trail
	states  []lookState
	looks   map[string]int // of each detector
	tracks  []hidden
	notices []rect // where each copy's notice stands
	report  Report
}

// Redact makes the copies that job asks for and says what it did. An error means that nothing usable
// was made, and no copy is written. A report whose [Report.Passed] is false, or that
// [Report.NeedsLook], must not be released before a person has looked. A copy that exists is replaced.
func (e *Engine) Redact(ctx context.Context, job Job) (Report, error) {
	if err := job.Plan.Validate(); err != nil {
		return Report{}, fmt.Errorf("plan: %w", err)
	}
	if len(job.Copies) == 0 || len(job.Copies) > 16 {
		return Report{}, fmt.Errorf("a job makes 1 to 16 copies, not %d", len(job.Copies))
	}
	if err := e.prepare(ctx); err != nil {
		return Report{}, err
	}
	if err := detect.Verify(e.cfg.Models); err != nil {
		return Report{}, fmt.Errorf("%w: %w", err, ErrNotReady)
	}
	dir, err := os.MkdirTemp(job.WorkDir, "redact-")
	if err != nil {
		return Report{}, fmt.Errorf("make a folder for intermediate files: %w", err)
	}
	defer os.RemoveAll(dir)
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return Report{}, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return Report{}, err
	}
	in, done, err := e.own(job.In)
	if err != nil {
		return Report{}, err
	}
	defer done()
	job.Plan = job.Plan.withDefaults()
	w := &workState{e: e, job: job, dir: dir, in: in, start: time.Now()}
	w.report = Report{Version: Version, Plan: job.Plan.Canonical(), Seconds: map[string]float64{}, Tracks: []Track{}, Findings: []Finding{},
		Tools: map[string]string{"ffmpeg": e.version, "sandbox": e.box.kind}}
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"reading", w.read}, {"searching", w.search}, {"tracking", w.track}, {"hiding", w.hide}, {"checking", w.check}, {"finishing", w.deliver},
	} {
		t := time.Now()
		if err := step.do(ctx); err != nil {
			return Report{}, err
		}
		w.report.Seconds[step.name] = math.Round(time.Since(t).Seconds()*1000) / 1000
	}
	w.progress("done", 1)
	return w.report, nil
}

// progress tells how far the job is.
func (w *workState) progress(stage string, done float64) {
	if w.job.Progress == nil || (time.Since(w.last) < 100*time.Millisecond && done < 1) {
		return
	}
	w.last = time.Now()
	p := Progress{Stage: stage, Done: done}
	if spent := time.Since(w.start); done > 0.03 && spent > time.Second {
		p.Left = time.Duration(float64(spent) * (1 - done) / done).Round(time.Second)
	}
	w.job.Progress(p)
}

// Shares of a job's time, for its progress.
const (
	searchShare = 0.72
	hideShare   = 0.14
)

func (w *workState) read(ctx context.Context) error {
	w.progress("reading", 0)
	var err error
	if w.report.Input, err = digest(w.in); err != nil {
		return err
	}
	if w.src, err = w.e.probe(ctx, w.in); err != nil {
		return err
	}
	if w.n, w.expect, err = w.src.normal(w.job.Plan); err != nil {
		return err
	}
	r := parseRate(w.n.rate)
	w.fps = r.float()
	w.src.Footage.FPS = w.fps
	w.report.Source = w.src.Footage
	w.report.FPS = math.Round(w.fps*1000) / 1000
	w.report.Width, w.report.Height = w.n.w, w.n.h
	return nil
}

// timeout is how long a child may work on this footage before it is stopped.
func (w *workState) timeout() time.Duration {
	return 2*time.Minute + time.Duration(40*float64(w.expect)/15*float64(time.Second)*float64(w.n.w*w.n.h)/(1280*720))
}

// uses says which detectors look at which frames.
func (w *workState) uses() []use {
	var us []use
	if w.job.Plan.has(Faces) {
		us = append(us,
			use{"retinaface-near", w.every(1.0 / 3), 0}, use{"posenet", w.every(0.7), w.every(0.1)},
			use{"retinaface-far", w.every(1.2), 0}, use{"mediapipe-full", w.every(0.8), w.every(0.3)},
			use{"retinaface-left", w.every(1.5), w.every(0.2)}, use{"retinaface-down", w.every(1.5), w.every(0.7)}, use{"retinaface-right", w.every(1.5), w.every(1.2)})
	}
	if w.job.Plan.has(Plates) {
		us = append(us, use{"ppocr-far", w.every(2.4), 0}, use{"ppocr-text", w.every(1.2), w.every(0.6)})
	}
	return us
}

// every turns a time between looks, in seconds, into frames.
func (w *workState) every(seconds float64) int { return max(1, int(math.Round(seconds*w.fps))) }

// look normalises the footage and finds what there is to hide, in one pass: one child decodes, the
// other looks, and the pictures go straight from one to the other. Without uses it only follows what a
// person marked.
func (w *workState) look(parent context.Context, uses []use) error {
	ctx, cancel := context.WithTimeoutCause(parent, w.timeout(), context.DeadlineExceeded)
	defer cancel()
	pictures, give, err := os.Pipe()
	if err != nil {
		return err
	}
	lines, tell, err := os.Pipe()
	if err != nil {
		return err
	}
	defer lines.Close()
	order := lookOrder{W: w.n.lw, H: w.n.lh, FPS: w.fps, Workers: w.e.cfg.Threads, Uses: uses, Seeds: seeds(w.job.Plan, w.n, w.fps)}
	look := w.e.lookChild(order, pictures, tell)
	dec := w.e.box.child("decoding", w.e.cfg.FFmpeg)
	audio := -1
	if w.job.Plan.Audio && w.src.audio >= 0 {
		audio, w.sound = w.src.audio, filepath.Join(w.dir, "sound.m4a")
	}
	dec.args = normaliseArgs(dec.read(w.in), dec.write(w.dir), w.src.Format, w.src.video, w.n, audio)
	dec.limits.Memory = 6 << 30
	dec.stdout = give
	looking, err := w.e.box.start(ctx, look)
	if err != nil {
		give.Close()
		return err
	}
	decoding, err := w.e.box.start(ctx, dec)
	if err != nil {
		cancel()
		return errors.Join(err, looking.wait())
	}
	end, readErr := w.readLines(lines)
	if readErr != nil {
		cancel()
	}
	decodeErr, lookErr := decoding.wait(), looking.wait()
	if parent.Err() != nil {
		return context.Cause(parent)
	}
	// When one child dies the other loses its pipe: blame the footage only for what the decoder said first.
	starved := lookErr == nil || strings.Contains(lookErr.Error(), cutOff)
	switch {
	case !starved:
		return fmt.Errorf("search for faces and plates: %w", lookErr)
	case decodeErr != nil:
		return decodeError(decodeErr)
	case lookErr != nil || readErr != nil:
		return fmt.Errorf("search for faces and plates: %w", errors.Join(lookErr, readErr))
	case end == nil:
		return errors.New("the search for faces and plates ended early")
	}
	w.frames = end.Frames
	w.report.Frames = end.Frames
	w.looks = end.Looks
	if err := w.whole(); err != nil {
		return err
	}
	m, err := digest(filepath.Join(w.dir, "mezzanine.mkv"))
	w.report.Mezzanine = m.SHA256
	return err
}

// lookChild makes the child that looks at raw pictures.
func (e *Engine) lookChild(o lookOrder, pictures, lines *os.File) *child {
	c := e.box.child("looking", e.box.self)
	o.Models = c.read(e.cfg.Models)
	c.args = []string{childArg, "look", orderJSON(o)}
	c.limits.File = 1 << 20
	c.limits.CPU = 4 * 3600
	c.stdin, c.stdout = pictures, lines
	return c
}

func (w *workState) noteDetectors(looks map[string]int) {
	for _, s := range detect.Table {
		if looks[s.Name] == 0 {
			continue
		}
		found := false
		for i := range w.report.Detectors {
			if d := &w.report.Detectors[i]; d.Name == s.Name {
				d.Looks += looks[s.Name]
				found = true
			}
		}
		if !found {
			sum, _ := detect.Sum(s.Model)
			w.report.Detectors = append(w.report.Detectors, DetectorUse{Name: s.Name, Model: s.Model, SHA256: sum, Finds: string(s.Finds), Looks: looks[s.Name]})
		}
	}
}

// readLines reads the looking child's report. What it says is checked, since it has seen the footage.
func (w *workState) readLines(r io.Reader) (*lookEnd, error) {
	var end *lookEnd
	err := eachLine(r, func(l lookLine) error {
		switch {
		case l.Progress > 0:
			w.progress("searching", searchShare*min(1, float64(l.Progress)/float64(max(1, w.expect))))
		case l.Track != nil:
			if err := l.Track.check(); err != nil {
				return err
			}
			w.trails = append(w.trails, l.Track)
		case l.State != nil:
			w.states = append(w.states, *l.State)
		case l.End != nil:
			end = l.End
		}
		return nil
	})
	return end, err
}

func eachLine(r io.Reader, f func(lookLine) error) error {
	dec := json.NewDecoder(bufio.NewReaderSize(r, 1<<16))
	for {
		var l lookLine
		if err := dec.Decode(&l); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read the report of the search: %w", err)
		}
		if err := f(l); err != nil {
			return err
		}
	}
}

// check refuses a trail that the rest of the engine could not rely on.
func (t *trail) check() error {
	if len(t.Frames) == 0 || len(t.Cells) != 3*cellsAcross*cellsAcross || (t.Kind != detect.Face && t.Kind != detect.Plate && t.Kind != marked) {
		return errors.New("the search reported an impossible track")
	}
	for i, f := range t.Frames {
		if !finite(f.X, f.Y, f.W, f.H) || f.W <= 0 || f.H <= 0 || f.W > 1e5 || f.H > 1e5 || math.Abs(f.X) > 1e5 || math.Abs(f.Y) > 1e5 ||
			f.I != t.Frames[0].I+i || f.I < 0 {
			return errors.New("the search reported an impossible track")
		}
	}
	return nil
}

// whole refuses footage that was cut off: decoders end quietly where data end.
func (w *workState) whole() error {
	if w.frames == 0 {
		return refuse("no picture could be read in the window")
	}
	slack := max(w.fps, 0.03*float64(w.expect))
	full := w.job.Plan.From == 0 && w.job.Plan.To == 0
	if full && !w.src.VariableRate && w.src.Frames > 0 && math.Abs(float64(w.src.Frames)-float64(w.expect)) < 3 {
		slack = 3
	}
	if float64(w.frames) < float64(w.expect)-slack {
		return refuse("it is cut off: only %d of %d pictures are there; copy it from the camera again", w.frames, w.expect)
	}
	return nil
}

func (w *workState) track(ctx context.Context) error {
	w.tracks = toTracks(w.trails, w.n, w.fps, w.frames)
	w.except()
	w.tracks = append(w.tracks, editTracks(w.job.Plan, w.n, w.fps, w.frames)...)
	for _, t := range w.tracks {
		w.report.Tracks = append(w.report.Tracks, t.Track)
	}
	return nil
}

// notice is the picture of a notice and where it stands.
type notice struct {
	path string // empty for none
	x, y int
}

// rendering is what the one pass that makes all copies needs.
type rendering struct {
	w, h    int
	rate    string
	notices []notice // of each copy
	sound   string
	proxy   bool
	masks   string
	preset  string
}

func (w *workState) hide(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, w.timeout(), context.DeadlineExceeded)
	defer cancel()
	c := w.e.box.child("encoding", w.e.cfg.FFmpeg)
	folder := c.write(w.dir)
	r := rendering{w: w.n.w, h: w.n.h, rate: w.n.rate, preset: w.e.cfg.Preset, proxy: w.job.Proxy != ""}
	for i, out := range w.job.Copies {
		at, drawn := rect{}, notice{}
		if out.Notice != "" {
			name := fmt.Sprintf("notice%d.png", i)
			size, err := writeNotice(filepath.Join(w.dir, name), out.Notice, w.n.w, w.n.h)
			if err != nil {
				return fmt.Errorf("draw the notice: %w", err)
			}
			pad := (min(w.n.w, w.n.h) / 60) &^ 1
			drawn = notice{folder + "/" + name, pad, (w.n.h - size.Y - pad) &^ 1}
			at = rect{float64(drawn.x), float64(drawn.y), float64(size.X), float64(size.Y)}
		}
		w.notices = append(w.notices, at)
		r.notices = append(r.notices, drawn)
	}
	if w.sound != "" {
		r.sound = folder + "/sound.m4a"
	}
	if r.proxy && len(w.job.Plan.Masks) > 0 {
		if err := writeMasks(filepath.Join(w.dir, "masks.png"), w.job.Plan.Masks, w.n.w, w.n.h); err != nil {
			return fmt.Errorf("draw the masks: %w", err)
		}
		r.masks = folder + "/masks.png"
	}
	c.args = renderArgs(folder+"/mezzanine.mkv", folder, r)
	c.limits.Memory = 6 << 30
	patches, give, err := os.Pipe()
	if err != nil {
		return err
	}
	progress, tell, err := os.Pipe()
	if err != nil {
		return err
	}
	defer progress.Close()
	c.stdin, c.stdout = patches, tell
	enc, err := w.e.box.start(ctx, c)
	if err != nil {
		give.Close()
		return err
	}
	painted := make(chan error, 1)
	go func() {
		defer give.Close()
		p := newPainter(w.job.Plan, w.n, w.fps, w.frames, w.tracks)
		for i := range w.frames {
			if _, err := give.Write(p.frame(i)); err != nil {
				painted <- err
				return
			}
		}
		painted <- nil
	}()
	w.watch(progress)
	encErr, paintErr := enc.wait(), <-painted
	if encErr != nil {
		return fmt.Errorf("make the copies: %w", encErr)
	}
	if paintErr != nil {
		return fmt.Errorf("make the copies: %w", paintErr)
	}
	return nil
}

// watch reads ffmpeg's progress to its end.
func (w *workState) watch(r io.Reader) {
	s := bufio.NewScanner(r)
	for s.Scan() {
		if v, ok := strings.CutPrefix(s.Text(), "frame="); ok {
			n, _ := strconv.Atoi(strings.TrimSpace(v))
			w.progress("hiding", searchShare+hideShare*min(1, float64(n)/float64(max(1, w.frames))))
		}
	}
}

// deliver puts the copies where they were asked for. Stopping here leaves whole copies or none under
// their names.
func (w *workState) deliver(ctx context.Context) error {
	for i, out := range w.job.Copies {
		info, err := move(filepath.Join(w.dir, fmt.Sprintf("copy%d.mp4", i)), out.Path)
		if err != nil {
			return fmt.Errorf("write %s: %w", out.Path, err)
		}
		if i == 0 {
			w.report.Output = info
		}
		w.report.Copies = append(w.report.Copies, Copy{Path: out.Path, SHA256: info.SHA256, Size: info.Size, Notice: out.Notice})
	}
	if w.job.Proxy != "" {
		info, err := move(filepath.Join(w.dir, "proxy.mp4"), w.job.Proxy)
		if err != nil {
			return fmt.Errorf("write %s: %w", w.job.Proxy, err)
		}
		w.report.Proxy = &info
	}
	return nil
}

// move puts a finished file in its place and returns its digest.
func move(from, to string) (FileInfo, error) {
	info, err := digest(from)
	if err != nil {
		return info, err
	}
	if err := os.Chmod(from, 0o600); err != nil {
		return info, err
	}
	if os.Rename(from, to) == nil {
		return info, nil
	}
	part := to + ".part" // another file system
	if err := copyFile(from, part); err != nil {
		os.Remove(part)
		return info, err
	}
	return info, os.Rename(part, to)
}
