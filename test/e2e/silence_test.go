package e2e

import (
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/storage"
	"cliplease/test/driver"
)

// TestSilence asks three times: for a camera that nobody has, for one whose home declines, and for
// one whose home looks and does nothing. What the agency gets is the same in all, to the byte.
func TestSilence(t *testing.T) {
	w := settled(t, small)
	// Limits count by case and by footage, so each asks for another part in another case.
	part := func(number string, from, to time.Duration) driver.Ask {
		k := w.ask()
		k.Case, k.From, k.To = "EPD-2026-"+number, w.start.Add(from), w.start.Add(to)
		return k
	}
	unknown := part("1", 0, time.Minute)
	unknown.Camera = "nowhere"
	declined, seen := w.file(part("2", -time.Minute, 3*time.Second)), w.file(part("3", 3*time.Second, time.Minute))
	requests := map[string]string{"unknown camera": w.file(unknown), "declined": declined, "looked at": seen}

	// Asking must not become pressing: what may be asked is bounded by the agency's own asking.
	fourth, err := w.agency.Write(part("4", time.Hour, 2*time.Hour), time.Now())
	w.must(err)
	w.command(1, "limit", "agency", "request", "--key", w.agency.Key, "--relay", w.relay.Site.API, "--file", fourth)

	_, err = w.home.Get(w.ctx, "/requests/"+seen)
	w.must(err)
	w.must(w.home.Post(w.ctx, "/requests/"+seen+"/seen", struct{}{}, nil))
	w.must(w.home.Decline(w.ctx, declined))
	same := func(want string) {
		t.Helper()
		for why, id := range requests {
			_, printed, err := w.agency.Poll(w.ctx, id)
			w.must(err)
			if printed != want {
				t.Errorf("%s: a poll prints %q, want %q", why, printed, want)
			}
		}
	}
	same("{\"state\":\"pending\"}\n")

	// Withdrawing what the home declined is like withdrawing what nobody has seen.
	for why, id := range requests {
		if err := w.agency.Withdraw(w.ctx, id); err != nil {
			t.Errorf("withdraw, %s: %v", why, err)
		}
	}
	same("{\"state\":\"closed\"}\n")
}

// TestWithdraw takes a request back while the home prepares a release of it: it can no longer be
// approved.
func TestWithdraw(t *testing.T) {
	w := settled(t, small)
	request := w.file(w.ask())
	release := w.reviewed(request, w.draft())
	w.must(w.agency.Withdraw(w.ctx, request))
	w.stands(request, relay.AgencyView{State: "closed"})
	if _, err := w.home.Approve(w.ctx, release); err == nil {
		t.Error("a request that was withdrawn was released")
	}
	if _, err := w.home.Prepare(w.ctx, request, w.draft()); err == nil {
		t.Error("a release of a withdrawn request was begun")
	}
	w.stands(request, relay.AgencyView{State: "closed"})
}

// TestDeadline lets a request's deadline pass: it closes by itself and can no longer be answered.
func TestDeadline(t *testing.T) {
	w := settled(t, small)
	request := w.file(w.ask())
	w.must(w.relay.With(w.ctx, func(s *storage.Store) error {
		n, err := s.DB.LapseRequests(w.ctx, time.Now().AddDate(0, 0, 10))
		if n != 1 {
			t.Errorf("%d requests lapsed, want 1", n)
		}
		return err
	}))
	if _, err := w.home.Prepare(w.ctx, request, w.draft()); err == nil {
		t.Error("a release of a lapsed request was begun")
	}
}
