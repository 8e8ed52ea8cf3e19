package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"cliplease/redact"
)

// redactCommand is cliplease redact: the engine of the service on one file, without a server.
func redactCommand() *cobra.Command {
	var in, out, report, style, targets, notice, proxy string
	var noNotice, asJSON, audio bool
	var from, to time.Duration
	var cfg redact.Config
	cmd := &cobra.Command{
		Use:   "redact --in FILE --out FILE.mp4",
		Short: "Hide faces and plates in one video file",
		Long: `Hides every face and plate that the engine of the service finds in one video file, beyond recovery,
and writes an MP4 without sound and metadata. No server is needed.

Exit codes: 0 done; 3 done, but a person should look before the file goes anywhere; 1 refused.`,
		Example: `  cliplease redact --in door.mp4 --out redacted.mp4 --report report.json
  cliplease redact --in door.mp4 --out redacted.mp4 --style solid --targets faces --from 10s --to 25s`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			plan := redact.Plan{From: from, To: to, Style: redact.Style(style), Audio: audio}
			for _, t := range strings.Split(targets, ",") {
				plan.Targets = append(plan.Targets, redact.Target(strings.TrimSpace(t)))
			}
			if noNotice {
				notice = ""
			}
			engine, err := redact.Open(cfg)
			if err != nil {
				return err
			}
			job := redact.Job{In: in, Plan: plan, Proxy: proxy, Copies: []redact.CopyOut{{Path: out, Notice: notice}}}
			show, end := redactProgress(cmd.ErrOrStderr(), asJSON)
			job.Progress = show
			r, err := engine.Redact(cmd.Context(), job)
			end()
			if err != nil {
				return err
			}
			return redactResult(cmd.OutOrStdout(), r, report, asJSON)
		},
	}
	f := cmd.Flags()
	f.StringVar(&in, "in", "", "video to redact: MP4, MOV, MKV, WebM or AVI")
	f.StringVar(&out, "out", "", "MP4 to write; replaced if it exists")
	f.StringVar(&report, "report", "", "also write the report (JSON) to this file")
	f.StringVar(&style, "style", "blur", "how to hide: blur (soft colours) or solid (one colour)")
	f.StringVar(&targets, "targets", "faces,plates", "what to hide: faces, plates or both")
	f.StringVar(&notice, "notice", "Redacted copy. Faces and plates are hidden.", "text shown in every frame")
	f.BoolVar(&noNotice, "no-notice", false, "show no text in the frames")
	f.StringVar(&proxy, "proxy", "", "also write the same window without redaction, for your own comparison")
	f.DurationVar(&from, "from", 0, "start of the window")
	f.DurationVar(&to, "to", 0, "end of the window (default: the end)")
	f.BoolVar(&audio, "audio", false, "keep the sound")
	f.BoolVar(&asJSON, "json", false, "print the report (JSON) on standard output")
	f.StringVar(&cfg.Models, "models", "", "folder of the models (default: beside the binary)")
	f.IntVar(&cfg.Threads, "threads", 0, "processor cores to use (default: all)")
	f.StringVar(&cfg.Preset, "preset", "", "x264 preset (default: veryfast)")
	f.BoolVar(&cfg.Unsafe, "unsafe-without-sandbox", false, "decode even where no sandbox works")
	for _, name := range []string{"in", "out"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err)
		}
	}
	return cmd
}

// redactResult prints what was done and says how to exit.
func redactResult(w io.Writer, r redact.Report, path string, asJSON bool) error {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	b = append(b, '\n')
	if path != "" {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
	}
	if asJSON {
		if _, err := w.Write(b); err != nil {
			return err
		}
	} else {
		count := map[string]int{}
		for _, t := range r.Tracks {
			count[t.Kind]++
		}
		total := 0.0
		for _, s := range r.Seconds {
			total += s
		}
		fmt.Fprintf(w, "%s: %d frames, %d faces and %d plates hidden, %.1f s\n", r.Copies[0].Path, r.Frames, count["face"], count["plate"], total)
		for i, f := range r.Findings {
			if i == 20 {
				fmt.Fprintf(w, "  … and %d more\n", len(r.Findings)-i)
				break
			}
			fmt.Fprintf(w, "  look at %.1f s: %s\n", f.At, f.Detail)
		}
	}
	if r.NeedsLook() {
		return exitWith(exitLook, fmt.Errorf("a person should look before the file goes anywhere (%d findings)", len(r.Findings)))
	}
	return nil
}

// redactProgress shows a bar on a terminal and nothing elsewhere.
func redactProgress(w io.Writer, quiet bool) (func(redact.Progress), func()) {
	f, ok := w.(*os.File)
	if !ok || quiet || !isatty.IsTerminal(f.Fd()) {
		return nil, func() {}
	}
	bar := progressbar.NewOptions(1000, progressbar.OptionSetWriter(f), progressbar.OptionSetWidth(30),
		progressbar.OptionClearOnFinish(), progressbar.OptionSetElapsedTime(false), progressbar.OptionSetPredictTime(false))
	show := func(p redact.Progress) {
		text := p.Stage
		if p.Left > 0 {
			text += fmt.Sprintf(", about %s left", p.Left)
		}
		bar.Describe(text)
		_ = bar.Set(int(1000 * p.Done)) // a bar that cannot be drawn is no reason to stop
	}
	return show, func() { _ = bar.Finish() }
}

// sandboxChildCommand runs this binary as one of the engine's own children. It is not for people.
func sandboxChildCommand() *cobra.Command {
	return &cobra.Command{
		Use:                "sandbox-child",
		Hidden:             true,
		DisableFlagParsing: true,
		RunE: func(*cobra.Command, []string) error {
			if code, ran := redact.Child(); !ran || code != 0 {
				return exitWith(exitRefused, errors.New("the task failed"))
			}
			return nil
		},
	}
}
