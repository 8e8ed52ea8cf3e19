package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"cliplease/test/driver"
	"cliplease/test/footage"
	"cliplease/test/servers"

	"github.com/mattn/go-isatty"
	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
)

func demoCommand() *cobra.Command {
	var out, store string
	var stay bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run the whole job by itself on real footage, or start a relay to click through",
		Long: `Runs the whole job by itself, on this machine alone: starts a relay and a mail server, registers
an agency, files a signed request, prepares and looks at the release, approves it with a passkey,
opens the mailed link with the mailed code, streams and saves the clip, revokes it during a
playback, and verifies evidence and log. It leaves a contact sheet, the released clip, the
evidence, the chain of custody and a report in a folder, and exits with 1 if any promise was broken.

With --serve it starts the same relay with a sample home for you to click through instead. Mails
are shown on the terminal. All it keeps is removed when you end it with Ctrl-C.`,
		Example: "  cliplease demo\n  cliplease demo --out /tmp/look --store minio\n  cliplease demo --serve",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if store != "dir" && store != "minio" {
				return exitWith(exitUsage, fmt.Errorf("--store %s: choose dir (a folder) or minio (a MinIO server, whose program CLIPLEASE_TEST_MINIO names)", store))
			}
			d, err := newDemo(cmd.OutOrStdout(), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, d.close()) }()
			if stay {
				return d.serve(cmd.Context(), store)
			}
			return d.run(cmd.Context(), out, store)
		},
	}
	cmd.Flags().StringVar(&out, "out", "demo-out", "`folder` for contact sheet, released clip, evidence and report")
	cmd.Flags().StringVar(&store, "store", "dir", "where objects are kept: dir or minio")
	cmd.Flags().BoolVar(&stay, "serve", false, "start a relay with a sample home to click through")
	return cmd
}

// What the people of the demo are called.
const (
	demoMember     = "Alex Homeowner"
	demoMailbox    = "alex@home.example"
	demoAgency     = "urn:cliplease:agency:us-mn-exampleville-pd"
	demoAgencyName = "Exampleville Police Department"
	demoDomain     = "pd.example"
	demoDetective  = "det.rivera@pd.example"
	demoCase       = "EPD-2026-001234"
	demoCamera     = "front-door"
	demoClip       = "front-door.mp4"
)

// demo is one run: a relay, a mail server and what they keep, in a folder of its own.
type demo struct {
	out, log io.Writer
	folder   string
	bar      bool // progress bars are drawn
	steps    []demoStep
	began    time.Time

	mail  *servers.MailSink
	minio *servers.MinIO
	relay *driver.Relay
	clip  string    // file of the footage
	start time.Time // of its first frame
}

// demoStep is one line of what was done.
type demoStep struct {
	Name, Detail string
	Seconds      float64
	Err          error
}

func newDemo(out, log io.Writer) (*demo, error) {
	folder, err := os.MkdirTemp("", "cliplease-demo-")
	if err != nil {
		return nil, err
	}
	d := &demo{out: out, log: log, folder: folder, began: time.Now(), clip: filepath.Join(folder, demoClip)}
	if f, ok := log.(*os.File); ok {
		d.bar = isatty.IsTerminal(f.Fd())
	}
	// The clip was taken two hours ago, at a whole minute.
	d.start = d.began.Add(-2 * time.Hour).UTC().Truncate(time.Minute)
	return d, nil
}

// close ends everything that the demo started and removes what was kept.
func (d *demo) close() error {
	var errs []error
	if d.relay != nil {
		errs = append(errs, d.relay.Stop())
	}
	if d.minio != nil {
		d.minio.Stop()
	}
	if d.mail != nil {
		d.mail.Stop()
	}
	return errors.Join(append(errs, os.RemoveAll(d.folder))...)
}

// step does one thing and prints a line about it. do returns what came of it, in a few words.
func (d *demo) step(ctx context.Context, name string, do func(context.Context) (string, error)) error {
	began := time.Now()
	detail, err := do(ctx)
	s := demoStep{Name: name, Detail: detail, Seconds: time.Since(began).Seconds(), Err: err}
	d.steps = append(d.steps, s)
	mark := "ok"
	if err != nil {
		mark, s.Detail = "NO", err.Error()
	}
	fmt.Fprintf(d.out, "%7.2f s  %s  %s", s.Seconds, mark, s.Name)
	if s.Detail != "" {
		fmt.Fprintf(d.out, ": %s", s.Detail)
	}
	fmt.Fprintln(d.out)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// progress draws a bar on a terminal, 0 to 1. done takes it away.
func (d *demo) progress(text string) (show func(float64), done func()) {
	if !d.bar {
		return func(float64) {}, func() {}
	}
	bar := progressbar.NewOptions(1000, progressbar.OptionSetWriter(d.log), progressbar.OptionSetWidth(30), progressbar.OptionSetDescription(text),
		progressbar.OptionClearOnFinish(), progressbar.OptionSetElapsedTime(false), progressbar.OptionSetPredictTime(false))
	// A bar that cannot be drawn is no reason to stop.
	return func(share float64) { _ = bar.Set(int(1000 * share)) }, func() { _ = bar.Finish() }
}

// makeFootage makes the clip.
func (d *demo) makeFootage(ctx context.Context) (string, error) {
	stills, err := footage.Stills()
	if err != nil {
		return "", err
	}
	show, done := d.progress("making footage")
	err = footage.Make(ctx, stills, footage.Demo, d.clip, show)
	done()
	if err != nil {
		return "", err
	}
	info, err := os.Stat(d.clip)
	if err != nil {
		return "", err
	}
	s := footage.Demo
	return fmt.Sprintf("%g s of %d×%d, %.1f MB, nine people and two cars; with sound, a place and a serial number in it", s.Seconds, s.Width, s.Height, float64(info.Size())/1e6), nil
}

// startRelay starts the mail server, the object store and the relay.
func (d *demo) startRelay(ctx context.Context, store string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	if d.mail, err = servers.StartMailSink(); err != nil {
		return "", fmt.Errorf("mail server: %w", err)
	}
	if store == "minio" {
		if d.minio, err = servers.StartMinIO(ctx, ""); err != nil {
			return "", err
		}
	}
	began := time.Now()
	d.relay, err = driver.Start(ctx, driver.Config{Bin: self, Data: filepath.Join(d.folder, "data"), Mail: d.mail, MinIO: d.minio, Bucket: "cliplease-demo"})
	if err != nil {
		return "", err
	}
	up := time.Since(began)
	if err := d.relay.Ready(ctx); err != nil {
		return "", err
	}
	where := "a folder"
	if d.minio != nil {
		where = "MinIO at " + d.minio.Endpoint
	}
	return fmt.Sprintf("%s, up in %d ms, objects in %s, mail by STARTTLS to %s", d.relay.Site.Home, up.Milliseconds(), where, d.mail.Addr), nil
}
