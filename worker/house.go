package worker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"cliplease/relay"
)

// intervals says how often the worker does what no job asks for.
type intervals struct {
	expire, clock, checkpoint, publish, rotate, orphans, retain, watch, progress time.Duration
}

// usual are the intervals outside tests.
var usual = intervals{
	expire: 10 * time.Second, clock: 30 * time.Second, checkpoint: time.Hour, publish: 5 * time.Minute, rotate: time.Hour, orphans: time.Hour, retain: time.Hour, watch: 2 * time.Second, progress: time.Second,
}

const (
	orphanAge  = time.Hour      // before anything that nothing refers to is destroyed: it may be under way
	rotateAge  = 24 * time.Hour // of the key that wraps the keys
	rotateMark = "keys_rotated" // setting: when that key was last changed
)

// keepHouse starts the rounds that need no person and no job. They are no jobs of the queue
// themselves: each is safe to run in several processes at once, and must run here, since the
// playback to be cut is here.
func (w *Worker) keepHouse(ctx context.Context) {
	for _, round := range []struct {
		what  string
		every time.Duration
		do    func(context.Context) error
	}{
		{"the clock is not right", w.every.clock, w.Clock.Keep},
		{"leases could not be ended", w.every.expire, w.expire},
		{"clips over their retention could not be deleted", w.every.retain, w.retain},
		{"what cameras dropped could not be taken in", w.every.watch, w.watchFolders},
		{"the log could not be sealed", w.every.checkpoint, w.checkpoint},
		{"the public log could not be published", w.every.publish, w.publish},
		{"the object store is not as it must be", w.every.orphans, w.watchObjects},
		{"the key store could not be renewed", w.every.rotate, w.rotate},
		{"orphans could not be destroyed", w.every.orphans, w.sweepOrphans},
	} {
		w.routines.Go(func() {
			tick := time.NewTicker(round.every)
			defer tick.Stop()
			for {
				if err := round.do(ctx); err != nil && ctx.Err() == nil {
					w.Log.Error(round.what, "error", err)
				}
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
			}
		})
	}
}

// expire ends leases, requests and uploads whose time is over, and views that are idle. Access ended
// before, by comparison; this destroys. So it waits while the clock is in doubt.
func (w *Worker) expire(ctx context.Context) error {
	if w.Clock.Settled() != nil { // the clock's own round says so
		return nil
	}
	now := w.Now()
	_, err := w.Store.DB.LapseRequests(ctx, now)
	ended, err2 := w.Store.DB.ExpireReleases(ctx, now)
	for _, id := range ended {
		w.Log.Info("a lease has run out", "release", id)
		if w.OnEnded != nil {
			w.OnEnded(id)
		}
	}
	return errors.Join(err, err2, w.Store.DB.RemindRecipients(ctx, now), w.Store.SweepUploads(ctx, now), w.Store.DB.Sweep(ctx, now))
}

// retain gives up clips that are over their camera's retention. It destroys, so it waits while
// the clock is in doubt.
func (w *Worker) retain(ctx context.Context) error {
	if w.Clock.Settled() != nil { // the clock's own round says so
		return nil
	}
	gone, err := w.Store.DB.DisposeOutlived(ctx, w.Now())
	if len(gone) > 0 {
		w.Log.Info("deleted clips that were over their retention", "clips", len(gone))
	}
	return err
}

// checkpoint signs the log as it is.
func (w *Worker) checkpoint(ctx context.Context) error {
	_, err := w.Store.DB.Checkpoint(ctx, w.Site.LogOrigin(), w.Store.Identity.Audit, w.Now())
	return err
}

// rotate changes the key that wraps the keys once a day, so that older images of the key
// store, which a disk may keep, open nothing.
func (w *Worker) rotate(ctx context.Context) error {
	now := w.Now()
	last, err := w.Store.DB.Setting(ctx, rotateMark)
	switch {
	case errors.Is(err, relay.ErrNotFound): // a new relay: the key is new, too
	case err != nil:
		return err
	default:
		if at, err := time.Parse(time.RFC3339, last); err == nil && now.Sub(at) < rotateAge {
			return nil
		}
		if err := w.Store.Keys.Rotate(ctx); err != nil {
			return err
		}
	}
	return w.Store.DB.Set(ctx, rotateMark, relay.Stamp(now))
}

// sweepOrphans destroys keys and objects that no record needs: what a crash between bytes and
// row has left.
func (w *Worker) sweepOrphans(ctx context.Context) error {
	return errors.Join(w.sweepKeys(ctx), w.sweepObjects(ctx))
}

// sweepKeys destroys a key when it was an orphan for an hour: keys have no age, and one that
// was just made may have a record that is not committed yet.
func (w *Worker) sweepKeys(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	now, still := w.Now(), map[string]time.Time{}
	for id, err := range w.Store.Keys.IDs(ctx) {
		if err != nil {
			return err
		}
		used, err := w.Store.DB.InUse(ctx, id)
		if err != nil {
			return err
		}
		if used {
			continue
		}
		since, known := w.orphans[id]
		switch {
		case !known:
			still[id] = now
		case now.Sub(since) < orphanAge:
			still[id] = since
		default:
			if err := w.Store.Keys.Destroy(ctx, id); err != nil {
				return err
			}
			w.Log.Info("destroyed a key that nothing needs")
		}
	}
	w.orphans = still
	return nil
}

// ownerPrefix begins the name of the object that says whose object store it is.
const ownerPrefix = "relay-"

// sweepObjects deletes objects of this relay that no record names and that are older than an
// hour. An object store that belongs to another relay as well is left alone: to this relay all
// of the other's footage looks like orphans.
func (w *Worker) sweepObjects(ctx context.Context) error {
	mine := ownerPrefix + w.Store.Identity.RelayKID
	for o, err := range w.Store.Objects.List(ctx, ownerPrefix) {
		if err != nil {
			return err
		}
		if o.Name != mine {
			return fmt.Errorf("the object store belongs to another relay (it holds %s), so nothing is deleted from it; give each relay a bucket of its own, or delete that object if the other relay is gone", o.Name)
		}
	}
	if err := w.Store.Objects.Put(ctx, mine, strings.NewReader("This bucket belongs to one relay.\n"), -1); err != nil && !errors.Is(err, relay.ErrConflict) {
		return err
	}
	var old []string
	now := w.Now()
	for o, err := range w.Store.Objects.List(ctx, "o") {
		if err != nil {
			return err
		}
		if now.Sub(o.Modified) >= orphanAge {
			old = append(old, o.Name)
		}
	}
	all, err := w.Store.DB.UsedObjects(ctx)
	if err != nil {
		return err
	}
	for _, name := range old {
		if all[name] {
			continue
		}
		if used, err := w.Store.DB.ObjectInUse(ctx, name); err != nil {
			return err
		} else if used {
			continue
		}
		if err := w.Store.Objects.Delete(ctx, name); err != nil {
			return err
		}
		w.Log.Info("deleted an object that nothing needs", "object", name)
	}
	return nil
}
