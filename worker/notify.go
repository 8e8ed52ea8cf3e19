package worker

import (
	"context"
	"errors"
	"slices"
	"time"

	"cliplease/relay"
	"cliplease/storage"

	"github.com/riverqueue/river"
)

// notifyWorker lets the rules look at a request that has come, and tells the members of it
// unless a rule stops it.
type notifyWorker struct {
	river.WorkerDefaults[storage.NotifyJob]
	*Worker
}

const (
	quietStep = 5 * time.Minute // after which quiet hours are asked again
	quietMost = 24 * time.Hour  // that members are told late at most
)

// Timeout bounds one attempt.
func (*notifyWorker) Timeout(*river.Job[storage.NotifyJob]) time.Duration { return officeFor }

// Work queues the notices, once: a job that was cut off after that finds them.
func (w *notifyWorker) Work(ctx context.Context, job *river.Job[storage.NotifyJob]) error {
	const kind = "request"
	now := w.Now()
	q, err := w.Store.DB.JudgeRequest(ctx, job.Args.RequestID, now)
	if errors.Is(err, relay.ErrNotFound) || err == nil && !q.Open(now) {
		return nil
	}
	if err != nil {
		return err
	}
	mails, err := w.Store.DB.MailAbout(ctx, q.ID)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(mails, func(m storage.Mail) bool { return m.Kind == kind }) {
		return nil
	}
	quiet, err := w.quiet(ctx, q, now)
	if err != nil {
		return err
	}
	if quiet {
		return river.JobSnooze(quietStep)
	}
	return w.Store.DB.TellMembers(ctx, kind, q.ID, now)
}

// quiet says whether it is not yet time to tell the members of q. They are told within a day,
// and early enough to answer.
func (w *notifyWorker) quiet(ctx context.Context, q relay.Request, now time.Time) (bool, error) {
	if now.After(q.ReceivedAt.Add(quietMost)) || now.After(q.RespondBy.Add(-quietMost/2)) {
		return false, nil
	}
	rules, err := w.Store.DB.Rules(ctx)
	if err != nil {
		return false, err
	}
	f, err := w.Store.DB.Facts(ctx, q)
	return err == nil && relay.Quiet(ctx, rules, f, now), err
}
