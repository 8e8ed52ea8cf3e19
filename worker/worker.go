// Package worker does what happens without a person: it looks at clips, makes release copies,
// sends mail, ends what has run out, destroys what has ended, and keeps the house in order.
//
// Jobs are in the database and were stored with the change that caused them. Each can be cut
// off at any point and run again: a job begins by looking whether there is still something to
// do, and what a cut-off attempt left behind is destroyed by the next attempt or by the sweep
// of orphans. The process that was killed in a job takes it up again when it starts.
package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"cliplease/redact"
	"cliplease/relay"
	"cliplease/source"
	"cliplease/storage"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// Config says what a worker works on.
type Config struct {
	Store   *storage.Store
	Site    relay.Site
	Engine  *redact.Engine
	SMTP    SMTPConfig
	TempDir string // private folder for plaintext under way; made 0700, emptied at start and after each job
	Now     func() time.Time
	Log     *slog.Logger
	Version string // of the program, for the record of a redaction

	NoticeHosts []string // hosts of push and chat services that the operator vouches for; see [relay.ParseService]

	Witness WitnessConfig // who keeps checkpoints of the log

	Watch source.Folder // Base, Quiet and MaxBytes of the watched folders; no Base: none are watched

	// Clock is what the rest of the process tells the time by; nil makes one from Now.
	Clock *storage.Clock

	// OnEnded is called with every release that was ended because its time was over, so that
	// playback in this process is cut at once. It may be nil.
	OnEnded func(releaseID string)

	// MediaOnly is for a process that only looks at clips and makes release copies, beside
	// the one that does everything else.
	MediaOnly bool

	// Name tells the processes apart that work on one database. The caller makes sure, by a
	// lock, that no two of one name run at once: jobs that the name left running are taken up
	// again. Default "relay", or "media" with MediaOnly.
	Name string
}

// How long a job may take. River takes a job for stuck after the longest.
const (
	prepareFor = 4 * time.Hour // half an hour of footage on a slow machine
	clipFor    = 20 * time.Minute
	officeFor  = 2 * time.Minute
	shredFor   = 10 * time.Minute
	stuckAfter = prepareFor + 10*time.Minute
	softStop   = 2 * time.Second // for running jobs to end by themselves when the worker stops
)

// Worker works off the jobs of a relay.
type Worker struct {
	Config
	every intervals

	jobs     storage.Jobs
	stop     context.CancelFunc
	routines sync.WaitGroup

	mu      sync.Mutex
	orphans map[string]time.Time // keys that nothing refers to, and since when that is known
}

// New makes a worker. Nothing runs until [Worker.Start].
func New(cfg Config) (*Worker, error) {
	switch {
	case cfg.Store == nil || cfg.Engine == nil || cfg.Now == nil || cfg.Log == nil:
		return nil, errors.New("worker: store, engine, clock and log are needed")
	case cfg.TempDir == "":
		return nil, errors.New("worker: name a folder for temporary files")
	}
	if err := cfg.SMTP.check(); err != nil {
		return nil, err
	}
	if err := cfg.Witness.Check(); err != nil {
		return nil, fmt.Errorf("worker: witness: %w", err)
	}
	cfg.Name = cmp.Or(cfg.Name, "relay")
	if cfg.MediaOnly && cfg.Name == "relay" {
		cfg.Name = "media"
	}
	if cfg.Watch.Base != "" && (cfg.Watch.Quiet <= 0 || cfg.Watch.MaxBytes <= 0) {
		return nil, errors.New("worker: say how long a file in a watched folder must be still, and how large it may be")
	}
	return &Worker{Config: cfg, every: usual, orphans: map[string]time.Time{}}, nil
}

// Start takes up the jobs that this worker left when it was killed, and begins to work. ctx
// bounds the start alone; the worker runs until [Worker.Stop].
func (w *Worker) Start(ctx context.Context) error {
	if err := w.emptyTemp(); err != nil {
		return err
	}
	if w.Clock == nil {
		clock, err := storage.OpenClock(ctx, w.Store.DB, w.Config.Now, storage.SinceBoot)
		if err != nil {
			return err
		}
		w.Clock = clock
	}
	n, err := w.Store.DB.RecoverJobs(ctx, w.Name, w.Config.Now())
	if err != nil {
		return err
	}
	if n > 0 {
		w.Log.Info("taking up jobs that were cut off", "jobs", n)
	}
	if w.SMTP.Host != "" && !w.MediaOnly { // perhaps it was only just set
		if err := w.Store.DB.WakeJobs(ctx, storage.MailJob{}.Kind(), w.Config.Now()); err != nil {
			return err
		}
	}
	if w.jobs, err = w.Store.DB.Workers(w.river()); err != nil {
		return err
	}
	if err := w.jobs.Start(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	if !w.MediaOnly {
		var run context.Context
		run, w.stop = context.WithCancel(context.WithoutCancel(ctx))
		w.keepHouse(run)
	}
	return nil
}

func (w *Worker) river() *river.Config {
	workers := river.NewWorkers()
	river.AddWorker(workers, &clipWorker{Worker: w})
	river.AddWorker(workers, &prepareWorker{Worker: w})
	c := &river.Config{
		ID: w.Name, Workers: workers, Logger: slog.New(quiet{w.Log.Handler()}),
		Queues:               map[string]river.QueueConfig{storage.QueueMedia: {MaxWorkers: 1}},
		JobTimeout:           officeFor,
		RescueStuckJobsAfter: stuckAfter,
		SoftStopTimeout:      softStop,
		ErrorHandler:         faults{w.Log},
	}
	if w.MediaOnly {
		// A leader would throw away stuck jobs of kinds that it does not know.
		c.LeaderElectionDisabled = true
		return c
	}
	river.AddWorker(workers, &mailWorker{Worker: w})
	river.AddWorker(workers, &shredWorker{Worker: w})
	river.AddWorker(workers, &disposeWorker{Worker: w})
	river.AddWorker(workers, &notifyWorker{Worker: w})
	river.AddWorker(workers, &noticeWorker{Worker: w})
	c.Queues[storage.QueueOffice] = river.QueueConfig{MaxWorkers: 4}
	return c
}

// Stop ends the worker. Jobs that do not end by themselves within two seconds are cut off and
// run again after the next start.
func (w *Worker) Stop(ctx context.Context) error {
	if w.jobs == nil {
		return nil
	}
	if w.stop != nil {
		w.stop()
	}
	err := w.jobs.Stop(ctx)
	w.routines.Wait()
	if !w.MediaOnly {
		err = errors.Join(err, w.checkpoint(ctx))
		if wrong := w.Clock.Keep(ctx); wrong != nil {
			w.Log.Error("the clock is not right", "error", wrong)
		}
	}
	return errors.Join(err, w.emptyTemp())
}

// Now is the time that the worker acts by.
func (w *Worker) Now() time.Time { return w.Clock.Now() }

// aside returns a context for cleaning up after ctx has ended.
func aside(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
}

// faults logs what jobs fail with. River tries them again.
type faults struct{ log *slog.Logger }

func (f faults) HandleError(_ context.Context, job *rivertype.JobRow, err error) *river.ErrorHandlerResult {
	f.log.Warn("a job failed", "job", job.Kind, "attempt", job.Attempt, "of", job.MaxAttempts, "error", err)
	return nil
}

func (f faults) HandlePanic(_ context.Context, job *rivertype.JobRow, value any, trace string) *river.ErrorHandlerResult {
	f.log.Error("a job panicked", "job", job.Kind, "attempt", job.Attempt, "of", job.MaxAttempts, "panic", value, "trace", trace)
	return nil
}

// quiet passes on only what River warns of: its chatter about elections and every failed
// attempt is no news for an operator.
type quiet struct{ slog.Handler }

func (q quiet) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && q.Handler.Enabled(ctx, level)
}

func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(attrs)} }
func (q quiet) WithGroup(name string) slog.Handler       { return quiet{q.Handler.WithGroup(name)} }
