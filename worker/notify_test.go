package worker

import (
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/storage"

	"github.com/riverqueue/river"
)

// TestRulesFirst: a request that a rule stops disturbs nobody, one in quiet hours disturbs
// nobody yet, and any other is told once.
func TestRulesFirst(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	clip := h.ready("5")
	worker, err := New(h.config())
	h.ok(err)
	told := func(q relay.Request) (n int, snoozed bool) {
		t.Helper()
		w := &notifyWorker{Worker: worker}
		for range 2 { // as when the first attempt was cut off
			err := w.Work(t.Context(), &river.Job[storage.NotifyJob]{Args: storage.NotifyJob{RequestID: q.ID}})
			var snooze *river.JobSnoozeError
			if snoozed = asSnooze(err, &snooze); err != nil && !snoozed {
				t.Fatal(err)
			}
		}
		mails, err := h.DB.MailAbout(t.Context(), q.ID)
		h.ok(err)
		return len(mails), snoozed
	}
	if n, _ := told(h.asks(clip)); n != 1 {
		t.Errorf("%d members told of a request, want 1", n)
	}
	quiet := relay.Rule{ID: "quiet", Name: "Quiet", When: "true", On: true, Effect: relay.Effect{Kind: relay.EffectQuiet}}
	h.ok(h.DB.AddRule(t.Context(), quiet, h.member.ID, h.watch.now()))
	later := h.asks(clip)
	if n, snoozed := told(later); n != 0 || !snoozed {
		t.Errorf("%d members told in quiet hours, and the job waits: %v", n, snoozed)
	}
	h.watch.pass(quietMost + time.Minute) // quiet for ever is not
	if n, _ := told(later); n != 1 {
		t.Errorf("%d members told a day later, want 1", n)
	}
	mute := relay.Rule{ID: "mute", Name: "Mute", When: `req.agency.level == "local"`, On: true, Effect: relay.Effect{Kind: relay.EffectStop}}
	h.ok(h.DB.AddRule(t.Context(), mute, h.member.ID, h.watch.now()))
	stopped := h.asks(clip)
	if n, _ := told(stopped); n != 0 {
		t.Errorf("%d members told of a request that a rule stops", n)
	}
	q, err := h.DB.Request(t.Context(), stopped.ID)
	h.ok(err)
	if q.Reason != relay.ClosedByRule || q.AgencyView(h.watch.now()).State != "pending" {
		t.Errorf("%s; its agency sees %+v", q.Reason, q.AgencyView(h.watch.now()))
	}
}

func asSnooze(err error, to **river.JobSnoozeError) bool {
	v, ok := err.(*river.JobSnoozeError) //nolint:errorlint // as River returns it
	*to = v
	return ok
}
