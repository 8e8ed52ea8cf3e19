package relay

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestHalf(t *testing.T) {
	day := func(s string) time.Time { d, _ := time.Parse(time.DateOnly, s); return d }
	for _, s := range []string{"2026H3", "2026", "2026H1x", "26H1", "2026h1", "H1", "1999H1", "2026H"} {
		if _, err := ParseHalf(s); err == nil {
			t.Errorf("%q was read as a half-year", s)
		}
	}
	h, err := ParseHalf("2026H2")
	if err != nil || h.String() != "2026H2" || h.From() != day("2026-07-01") || h.To() != day("2027-01-01") || h.Opens() != day("2027-07-01") || h.Before().String() != "2026H1" || h.Before().Before().String() != "2025H2" {
		t.Errorf("%v, %v", h, err)
	}
	for now, want := range map[string]string{"2027-06-30": "2026H1", "2027-07-01": "2026H2", "2027-12-31": "2026H2", "2028-01-01": "2027H1"} {
		got := LatestHalf(day(now))
		if got.String() != want || day(now).Before(got.Opens()) {
			t.Errorf("on %s the newest is %s, want %s", now, got, want)
		}
	}
}

// TestTransparency counts in buckets, late, and tells a refusal from silence by nothing.
func TestTransparency(t *testing.T) {
	h := Half{2026, false}
	at := h.From().AddDate(0, 1, 0)
	of := func(change func(*Asked)) Asked {
		q, _, d := asked()
		q.ReceivedAt, q.Claims.Lane, q.Claims.Purpose.Code = at, LaneVoluntary, PurposeBurglary
		a := Asked{Request: q, Releases: []Release{{State: ReleaseIsExpired, Draft: d}}}
		if change != nil {
			change(&a)
		}
		return a
	}
	refused := func(r CloseReason) Asked {
		return of(func(a *Asked) { a.Releases, a.Request.State, a.Request.Reason = nil, RequestClosed, r })
	}
	open := h.Opens()
	var invalid *InvalidError
	if _, err := NewTransparency("r", h, nil, open.Add(-time.Second)); !errors.As(err, &invalid) || !strings.Contains(err.Error(), "1 January 2027") {
		t.Errorf("before its time: %v", err)
	}
	report := func(all ...Asked) Transparency {
		t.Helper()
		r, err := NewTransparency("r", h, all, open)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for n, want := range map[int]Bucket{0: "0", 1: "1-4", 4: "1-4", 5: "5-9", 9: "5-9", 10: "10+", 99: "10+"} {
		all := make([]Asked, n)
		for i := range all {
			all[i] = of(nil)
		}
		r := report(all...)
		if r.All != (TransparencyRow{"all", want, want, "0"}) || r.Lanes[0].Asked != want || r.Lanes[1].Asked != "0" || r.Purposes[0].Released != want || r.Releases.Expired != want {
			t.Errorf("%d: %+v", n, r)
		}
		if (r.Releases.MedianMinutes > 0) != (n >= 5) {
			t.Errorf("%d releases have a median of %d minutes", n, r.Releases.MedianMinutes)
		}
	}
	first := report(refused(ClosedDeclined))
	for _, why := range []CloseReason{ClosedByRule, ClosedDeadline, ClosedWithdrawn, ClosedKey} {
		if got := report(refused(why)); got.All != first.All || got.Releases != first.Releases || got.All.NotReleased != "1-4" {
			t.Errorf("%s reads %+v, declined reads %+v", why, got, first)
		}
	}
	// A gagged order is counted once that is over, and not before.
	gagged := of(func(a *Asked) { a.Request.Claims.Lane, a.GagUntil = LaneLegalProcess, h.To().AddDate(0, 2, 0) })
	if got := report(gagged); got.All.Asked != "0" || got.Lanes[1].Asked != "0" {
		t.Errorf("gagged: %+v", got)
	}
	later, err := NewTransparency("r", Half{2026, true}, []Asked{gagged}, Half{2026, true}.Opens())
	if err != nil || later.Lanes[1].Asked != "1-4" {
		t.Errorf("after the gag: %+v, %v", later, err)
	}
	odd := report(of(func(a *Asked) {
		a.Releases[0].State, a.Attested, a.Missed, a.Request.Claims.Lane = ReleaseIsRevoked, true, true, LaneExigent
	}))
	if odd.Releases.Revoked != "1-4" || odd.Releases.Expired != "0" || odd.Destroyed.Received != "1-4" || odd.BasisMissed != "1-4" || odd.Lanes[2].Released != "1-4" {
		t.Errorf("%+v", odd)
	}
	if got := report(of(func(a *Asked) { a.Request.ReceivedAt = h.To() })); got.All.Asked != "0" {
		t.Error("what came in the next half is counted")
	}
}

func TestNoteGag(t *testing.T) {
	q, _, _ := asked()
	if _, _, err := q.NoteGag(start.AddDate(0, 1, 0), "m1", start); err == nil {
		t.Error("a request that compels nobody was gagged")
	}
	q.Claims.LegalBasis.Compulsory = true
	for _, until := range []time.Time{q.ReceivedAt.Add(-time.Hour), start.AddDate(11, 0, 0)} {
		if _, _, err := q.NoteGag(until, "m1", start); err == nil {
			t.Errorf("a gag until %s was noted", until)
		}
	}
	g, e, err := q.NoteGag(start.AddDate(1, 0, 0), "m1", start)
	if err != nil || g.RequestID != q.ID || e.Kind != RequestGagged || e.Subject != q.ID {
		t.Errorf("%+v, %+v, %v", g, e, err)
	}
}
