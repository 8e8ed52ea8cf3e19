package relay

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestReconsider: declining can be undone for a while, and then the request is as it was.
func TestReconsider(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before func(*Request) error
		at     time.Duration
		err    error
	}{
		{"at once", func(q *Request) error { _, err := q.Decline("m1", start); return err }, 0, nil},
		{"in time", func(q *Request) error { _, err := q.Decline("m1", start); return err }, UndoFor - 1, nil},
		{"too late", func(q *Request) error { _, err := q.Decline("m1", start); return err }, UndoFor, ErrState},
		{"past the deadline", func(q *Request) error {
			q.RespondBy = start.Add(time.Minute)
			_, err := q.Decline("m1", start)
			return err
		}, time.Minute, ErrState},
		{"not declined", func(*Request) error { return nil }, 0, ErrState},
		{"withdrawn after it was declined", func(q *Request) error {
			if _, err := q.Decline("m1", start); err != nil {
				return err
			}
			_, err := q.Withdraw(start)
			return err
		}, time.Minute, ErrState},
		{"closed since its key was stolen", func(q *Request) error { _, err := q.KeyStolen("m1", start); return err }, 0, ErrState},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q, _, _ := asked()
			plain := q
			if err := tt.before(&q); err != nil {
				t.Fatal(err)
			}
			declined := q
			now := start.Add(tt.at)
			e, err := q.Reconsider("m2", now)
			if !errors.Is(err, tt.err) {
				t.Fatalf("%v, want %v", err, tt.err)
			}
			if diff := cmp.Diff(declined.AgencyView(now), q.AgencyView(now)); diff != "" {
				t.Errorf("the agency sees it: %s", diff)
			}
			want := declined
			if tt.err == nil {
				want = plain
			}
			if diff := cmp.Diff(want, q); diff != "" {
				t.Error(diff)
			}
			if made := e.Kind == RequestReconsidered && e.Subject == q.ID && e.Actor == "m2"; made != (tt.err == nil) {
				t.Errorf("event %+v", e)
			}
		})
	}
}
