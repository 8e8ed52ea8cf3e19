package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cliplease/relay"
	"cliplease/storage"
	"cliplease/storage/fault"

	"github.com/riverqueue/river"
)

// dispose destroys keys, then deletes objects. After the keys nothing can be opened any more,
// whether or not the object store answers; so an object store that is away delays only the
// deleting. Both can be repeated.
func (w *Worker) dispose(ctx context.Context, keys, objects []string) error {
	if len(keys) > 0 {
		if err := w.Store.Keys.Destroy(ctx, keys...); err != nil {
			return err
		}
	}
	fault.Point("keys destroyed")
	var errs []error
	for _, name := range objects {
		if name == "" {
			continue
		}
		if err := w.Store.Objects.Delete(ctx, name); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// patiently is when a job that must be done in the end is tried again: soon at first, then
// every ten minutes.
func patiently(attempt int, now time.Time) time.Time {
	return now.Add(min(time.Duration(attempt*attempt)*2*time.Second, 10*time.Minute))
}

// shredWorker destroys the keys and objects of an ended release.
type shredWorker struct {
	river.WorkerDefaults[storage.ShredJob]
	*Worker
}

// Timeout bounds one attempt.
func (*shredWorker) Timeout(*river.Job[storage.ShredJob]) time.Duration { return shredFor }

// NextRetry says when the next attempt is.
func (*shredWorker) NextRetry(job *river.Job[storage.ShredJob]) time.Time {
	return patiently(job.Attempt, time.Now())
}

// Work destroys what is left of the release and records it. Access was over before: ending
// the release is what ends access.
func (w *shredWorker) Work(ctx context.Context, job *river.Job[storage.ShredJob]) error {
	rel, err := w.Store.DB.Release(ctx, job.Args.ReleaseID)
	if err != nil {
		return err
	}
	if !rel.State.Ended() {
		return river.JobCancel(fmt.Errorf("release %s is %s and is not to be destroyed", rel.ID, rel.State))
	}
	if !rel.ShreddedAt.IsZero() {
		return nil
	}
	remains := storage.Remains(rel)
	if err := w.dispose(ctx, remains.Keys, remains.Objects); err != nil {
		return fmt.Errorf("destroy release %s: %w", rel.ID, err)
	}
	err = w.Store.DB.Shredded(ctx, rel.ID, w.Now())
	if errors.Is(err, relay.ErrState) || errors.Is(err, relay.ErrConflict) { // another attempt recorded it
		return nil
	}
	return err
}

// disposeWorker destroys keys and objects that nothing refers to any more.
type disposeWorker struct {
	river.WorkerDefaults[storage.DisposeJob]
	*Worker
}

// Timeout bounds one attempt.
func (*disposeWorker) Timeout(*river.Job[storage.DisposeJob]) time.Duration { return shredFor }

// NextRetry says when the next attempt is.
func (*disposeWorker) NextRetry(job *river.Job[storage.DisposeJob]) time.Time {
	return patiently(job.Attempt, time.Now())
}

// Work destroys them.
func (w *disposeWorker) Work(ctx context.Context, job *river.Job[storage.DisposeJob]) error {
	return w.dispose(ctx, job.Args.Keys, job.Args.Objects)
}
