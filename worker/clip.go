package worker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"cliplease/redact"
	"cliplease/relay"
	"cliplease/storage"

	"github.com/riverqueue/river"
)

// What a clip must be, and how its stills are made.
const (
	clipShortest = 5 * time.Second
	clipLongest  = 30 * time.Minute
	stillWidth   = 480 // pixels
	stillsMost   = 12
	notReadyWait = 30 * time.Second // until a machine that cannot look at clips is asked again
)

// clipWorker looks at a clip that arrived: what it holds, and stills of it.
type clipWorker struct {
	river.WorkerDefaults[storage.ClipJob]
	*Worker
}

// Timeout bounds one look.
func (*clipWorker) Timeout(*river.Job[storage.ClipJob]) time.Duration { return clipFor }

// Work looks at the clip once. A clip that cannot be used is refused, for good; a fault of
// the relay is tried again.
func (w *clipWorker) Work(ctx context.Context, job *river.Job[storage.ClipJob]) error {
	clip, err := w.Store.DB.Clip(ctx, job.Args.ClipID)
	if errors.Is(err, relay.ErrNotFound) || err == nil && clip.State != relay.ClipReceived {
		return nil
	}
	if err != nil {
		return err
	}
	looked, err := w.look(ctx, clip)
	switch {
	case err == nil:
	case ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded):
		return ctx.Err() // the relay stops; the job runs again
	case errors.Is(err, redact.ErrNotReady):
		w.Log.Error("clips cannot be looked at", "error", err)
		return river.JobSnooze(notReadyWait)
	case errors.Is(err, redact.ErrRefused):
		looked = refused(clip, sentence(strings.TrimPrefix(err.Error(), redact.ErrRefused.Error()+": ")))
	case errors.Is(err, storage.ErrTampered):
		looked = refused(clip, "The sealed original was changed or damaged in the object store. Bring the clip again, and find out who can write there.")
	case job.Attempt >= job.MaxAttempts:
		w.Log.Error("a clip could not be looked at", "clip", clip.ID, "error", err)
		looked = refused(clip, "This relay could not look at the clip, because of a fault of its own. Its log says more. Bring the clip again.")
	default:
		return fmt.Errorf("look at clip %s: %w", clip.ID, err)
	}
	stop, cancel := aside(ctx)
	defer cancel()
	err = w.Store.DB.ClipLooked(stop, looked, w.Now())
	if errors.Is(err, relay.ErrConflict) { // disposed of in the meantime
		return w.dispose(stop, nil, looked.Stills)
	}
	return err
}

func refused(clip relay.Clip, reason string) relay.Clip {
	clip.State, clip.Reason = relay.ClipRefused, reason
	return clip
}

// look finds out what the clip holds and seals stills of it. A crash leaves stills that no
// record names, which the sweep of orphans deletes.
func (w *Worker) look(ctx context.Context, clip relay.Clip) (_ relay.Clip, err error) {
	dir, original, clear, err := w.workshop(ctx, clip)
	if err != nil {
		return clip, err
	}
	defer clear()
	f, err := w.Engine.Probe(ctx, original)
	if err != nil {
		return clip, err
	}
	if f.Duration < clipShortest || f.Duration > clipLongest {
		return clip, fmt.Errorf("%w: it lasts %s, and 5 seconds to 30 minutes work; cut a piece of that length out of it", redact.ErrRefused, f.Duration.Round(100*time.Millisecond))
	}
	files, err := w.Engine.Stills(ctx, original, stillTimes(f.Duration), stillWidth, dir)
	if err != nil {
		return clip, err
	}
	defer func() {
		if err != nil {
			stop, cancel := aside(ctx)
			defer cancel()
			if err := w.dispose(stop, nil, clip.Stills); err != nil {
				w.Log.Warn("stills of a clip are left for the sweep of orphans", "clip", clip.ID, "error", err)
			}
		}
	}()
	for _, file := range files {
		name := "o" + relay.NewID()
		if err := w.sealStill(ctx, name, file); err != nil {
			return clip, err
		}
		clip.Stills = append(clip.Stills, name)
	}
	clip.State, clip.Reason = relay.ClipReady, ""
	clip.Duration, clip.Width, clip.Height, clip.FPS, clip.Codec, clip.Audio = f.Duration.Truncate(time.Millisecond), f.Width, f.Height, f.FPS, f.Codec, f.Audio
	return clip, nil
}

func (w *Worker) sealStill(ctx context.Context, name, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = w.Store.Vault.Seal(ctx, w.Store.Objects, name, f)
	return err
}

// stillTimes spreads stills over a clip: one for about every five seconds, three to twelve,
// each in the middle of its share.
func stillTimes(length time.Duration) []time.Duration {
	n := min(max(int(length/(5*time.Second)), 3), stillsMost)
	at := make([]time.Duration, n)
	for i := range at {
		at[i] = (length*time.Duration(2*i+1)/time.Duration(2*n) + time.Millisecond).Truncate(time.Millisecond)
	}
	return at
}

// sentence gives text a capital letter and a full stop.
func sentence(text string) string {
	r, n := utf8.DecodeRuneInString(text)
	text = string(unicode.ToUpper(r)) + text[n:]
	if !strings.HasSuffix(text, ".") {
		text += "."
	}
	return text
}
