package relay

import (
	"errors"
	"slices"
	"testing"
	"time"
)

// TestLanes: each lane has limits of its own, which no draft can pass.
func TestLanes(t *testing.T) {
	t.Parallel()
	q, clip, d := asked()
	q.Claims.Lane, q.Claims.Scope.MaxDuration = LaneExigent, int(MaxWindow.Seconds())
	now := q.ReceivedAt
	d.Confirmed = false
	var invalid *InvalidError
	if err := d.Check(q, clip, now); !errors.As(err, &invalid) {
		t.Errorf("before the agency was called: %v", err)
	}
	if _, err := q.CallBack("m1", "too short", now); err == nil {
		t.Error("a call of which nothing was written down")
	}
	if e, err := q.CallBack("m1", "Spoke to Sgt. Ortiz.", now); err != nil || e.Kind != RequestCalledBack {
		t.Fatal(e, err)
	}
	if _, err := q.CallBack("m1", "Spoke to Sgt. Ortiz.", now); !errors.Is(err, ErrState) {
		t.Errorf("a second call: %v", err)
	}
	if err := d.Check(q, clip, now); err != nil {
		t.Errorf("after the call: %v", err)
	}
	long := d
	long.Expires = now.Add(ExigentMaxLease + time.Second)
	if err := long.Check(q, clip, now); !errors.As(err, &invalid) || invalid.Field != "hours" {
		t.Errorf("more than 72 hours: %v", err)
	}
	if got := q.Terms().Length; got != ExigentMaxWindow {
		t.Errorf("an emergency gets %s", got)
	}
	voluntary, _, _ := asked()
	if _, err := voluntary.CallBack("m1", "Spoke to Sgt. Ortiz.", now); !errors.Is(err, ErrState) {
		t.Errorf("a call about no emergency: %v", err)
	}
}

// TestFollowUp: the legal basis of an emergency is owed once something was released.
func TestFollowUp(t *testing.T) {
	t.Parallel()
	q, _, _ := asked()
	q.Claims.Lane = LaneExigent
	at := q.ReceivedAt
	if _, owed := q.FollowUp(nil, at); owed {
		t.Error("owed before anything was released")
	}
	q.ReleasedAt = at.Add(time.Hour)
	due := q.ReleasedAt.Add(FollowUpWithin)
	basis := q
	basis.ID, basis.Claims.Lane, basis.Claims.Amends = "later", LaneLegalProcess, &q.SHA256
	for _, c := range []struct {
		now, came time.Time
		later     bool
		breached  bool
	}{
		{due, time.Time{}, false, false},
		{due.Add(time.Second), time.Time{}, false, true},
		{due.Add(time.Second), due, true, false},
		{due.Add(time.Hour), due.Add(time.Second), true, true},
	} {
		var later []Request
		if c.later {
			basis.ReceivedAt = c.came
			later = []Request{basis}
		}
		f, owed := q.FollowUp(later, c.now)
		if !owed || f.Breached != c.breached || (f.Request != "") != c.later || !f.Due.Equal(due) {
			t.Errorf("%+v: %+v, %v", c, f, owed)
		}
	}
	// The relay lets it come, though it asks for the same footage.
	if err := DefaultLimits().Admit(basis.Claims, []Request{q}, at.Add(2*time.Hour)); err != nil {
		t.Errorf("the basis is refused: %v", err)
	}
	again := basis.Claims
	again.Lane = LaneExigent
	if err := DefaultLimits().Admit(again, []Request{q}, at.Add(2*time.Hour)); !errors.Is(err, ErrPolicy) {
		t.Errorf("the same emergency again: %v", err)
	}
}

// TestLedger: repetition and widening are found, whoever asks.
func TestLedger(t *testing.T) {
	t.Parallel()
	first, _, _ := asked()
	first.ID, first.SHA256, first.Claims.Scope.Faces = "first", "aa", "redacted"
	change := func(id string, by func(*Request)) Request {
		q := first
		q.ID, q.SHA256, q.ReceivedAt = id, id, first.ReceivedAt.Add(time.Hour)
		q.Claims.Recipients = slices.Clone(first.Claims.Recipients)
		by(&q)
		return q
	}
	for name, c := range map[string]struct {
		change func(*Request)
		want   []Relation
		wider  []string
	}{
		"again":        {func(*Request) {}, []Relation{RelationSameCase, RelationRepeated}, nil},
		"longer":       {func(q *Request) { q.Claims.Scope.To = q.Claims.Scope.To.Add(time.Hour) }, []Relation{RelationSameCase, RelationRepeated, RelationWidened}, []string{"window"}},
		"faces":        {func(q *Request) { q.Claims.Scope.Faces = "unredacted_requested" }, []Relation{RelationSameCase, RelationRepeated, RelationWidened}, []string{"faces"}},
		"other case":   {func(q *Request) { q.Claims.Case.Ref = "other" }, []Relation{RelationRepeated}, nil},
		"other agency": {func(q *Request) { q.AgencyID, q.Claims.Case.Ref = "other", "other" }, []Relation{RelationRepeated}, nil},
		"another time": {func(q *Request) {
			q.Claims.Case.Ref = "other"
			q.Claims.Scope.From = q.Claims.Scope.To
			q.Claims.Scope.To = q.Claims.Scope.To.Add(time.Minute)
		}, []Relation{RelationSameCamera}, nil},
		"nothing alike": {func(q *Request) { q.Claims.Case.Ref, q.Claims.Scope.Target.Handle = "other", "garage" }, nil, nil},
		"amended":       {func(q *Request) { q.Claims.Amends = &first.SHA256; q.Claims.Scope.MaxDuration++ }, []Relation{RelationAmended, RelationSameCase, RelationRepeated, RelationWidened}, []string{"footage"}},
	} {
		q := change(name, c.change)
		l := NewLedger(q, []Request{q, first})
		if c.want == nil {
			if len(l.Lines) != 0 || l.Widens() {
				t.Errorf("%s: %+v", name, l)
			}
			continue
		}
		if len(l.Lines) != 1 || !slices.Equal(l.Lines[0].Relations, c.want) || !slices.Equal(l.Lines[0].Wider, c.wider) {
			t.Errorf("%s: %+v", name, l.Lines)
		}
		if n := len(NewLedger(first, []Request{q, first}).Lines); n != 0 {
			t.Errorf("%s: the earlier request shows %d later ones", name, n)
		}
	}
}
