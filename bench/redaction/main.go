// Command redaction measures the redaction engine over a folder of clips with truth.
//
// The folder holds NAME.mp4 and NAME.json for each clip; the JSON says for every frame where the faces
// and plates are:
//
//	{"width":…, "height":…, "fps":…, "variant":"night", "frames":[{"boxes":[{"kind":"face","track":"f0","x":…,"y":…,"w":…,"h":…,"ignore":false}]}]}
//
// It prints, by kind and size, the share of boxes that were covered, the share of tracks that were
// covered in every frame, the share of the rest of the picture that was hidden, whether a finding
// points at what was missed, and the time that it took beside a plain transcode of the same clips.
//
//	go run ./bench/redaction -clips DIR -out DIR
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"hash/fnv"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"syscall"
	"time"

	"cliplease/redact"
)

// options say which clips to run and how.
type options struct {
	clips, out, only, part, models, style string
	transcode, landlock, rivals           bool
	reuse                                 bool
}

func main() {
	if code, ran := redact.Child(); ran {
		os.Exit(code)
	}
	var o options
	flag.StringVar(&o.clips, "clips", "", "folder of clips with truth")
	flag.StringVar(&o.out, "out", "", "folder for copies and reports")
	flag.StringVar(&o.only, "only", "", "only clips whose name contains this")
	flag.StringVar(&o.part, "part", "all", "all, tune (two thirds of the clips) or held (the last third)")
	flag.StringVar(&o.models, "models", "bin/models", "folder of the models")
	flag.StringVar(&o.style, "style", "blur", "blur or solid")
	flag.BoolVar(&o.landlock, "landlock", false, "use the Landlock sandbox, under which processor time and memory can be measured")
	flag.BoolVar(&o.transcode, "transcode", false, "also time a plain transcode of each clip")
	flag.BoolVar(&o.rivals, "rivals", false, "also run what else hides faces on the same clips: facebl0r and Haar cascades")
	flag.BoolVar(&o.reuse, "score-only", false, "do not run the engine, only score the reports in -out")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "redaction:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	if o.clips == "" || o.out == "" {
		return fmt.Errorf("name a folder of clips with -clips and a folder to write with -out")
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return err
	}
	paths, err := filepath.Glob(filepath.Join(o.clips, "*.mp4"))
	if err != nil {
		return err
	}
	sort.Strings(paths)
	cfg := redact.Config{Models: o.models}
	if o.landlock {
		cfg.Bwrap = "none"
	}
	engine, err := redact.Open(cfg)
	if err != nil {
		return err
	}
	sum, others := newSummary(), newRivals()
	for _, p := range paths {
		name := strings.TrimSuffix(filepath.Base(p), ".mp4")
		if !strings.Contains(name, o.only) || !o.takes(name) {
			continue
		}
		t, err := readTruth(filepath.Join(o.clips, name+".json"))
		if err != nil {
			return err
		}
		r, took, cpu, err := o.redact(ctx, engine, p, name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		var plain time.Duration
		if o.transcode {
			if plain, err = transcode(ctx, p, filepath.Join(o.out, "plain.mp4")); err != nil {
				return fmt.Errorf("transcode %s: %w", name, err)
			}
		}
		if o.rivals {
			if err := others.add(ctx, p, t); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		line := sum.add(name, t, r, took, cpu, plain)
		fmt.Println(line)
	}
	sum.print(os.Stdout)
	if o.rivals {
		others.print(os.Stdout)
	}
	var u syscall.Rusage
	if o.landlock && syscall.Getrusage(syscall.RUSAGE_CHILDREN, &u) == nil {
		fmt.Printf("largest child: %d MB resident\n", u.Maxrss>>10)
	}
	return nil
}

// takes says whether a clip is in the chosen part: a third of them, by name, is held back from tuning.
func (o options) takes(name string) bool {
	h := fnv.New32a()
	h.Write([]byte(strings.TrimSuffix(name, "_small")))
	held := h.Sum32()%3 == 0
	return o.part == "all" || (o.part == "held") == held
}

// redact runs the engine on one clip, or reads what an earlier run left. Times are wall and processor.
func (o options) redact(ctx context.Context, e *redact.Engine, in, name string) (redact.Report, time.Duration, time.Duration, error) {
	path := filepath.Join(o.out, name+".report.json")
	var r redact.Report
	if o.reuse {
		b, err := os.ReadFile(path)
		if err == nil {
			err = json.Unmarshal(b, &r)
		}
		total := 0.0
		for _, s := range r.Seconds {
			total += s
		}
		return r, time.Duration(total * float64(time.Second)), 0, err
	}
	start, before := time.Now(), processorTime()
	r, err := e.Redact(ctx, redact.Job{In: in, Plan: redact.Plan{Style: redact.Style(o.style)}, Copies: []redact.CopyOut{{Path: filepath.Join(o.out, name+".mp4")}}})
	if err != nil {
		return r, 0, 0, err
	}
	took, cpu := time.Since(start), processorTime()-before
	b, err := json.Marshal(r)
	if err == nil {
		err = os.WriteFile(path, b, 0o644)
	}
	return r, took, cpu, err
}

// processorTime is what this process and its finished children have used.
func processorTime() time.Duration {
	total := time.Duration(0)
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if syscall.Getrusage(who, &u) == nil {
			total += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
	}
	return total
}

// transcode times ffmpeg alone on the same clip with the same settings.
func transcode(ctx context.Context, in, out string) (time.Duration, error) {
	start := time.Now()
	cmd := exec.CommandContext(ctx, "ffmpeg", "-y", "-v", "error", "-i", in, "-an", "-c:v", "libx264", "-preset", "veryfast", "-crf", "23",
		"-threads", fmt.Sprint(runtime.NumCPU()), "-pix_fmt", "yuv420p", out)
	err := cmd.Run()
	return time.Since(start), err
}
