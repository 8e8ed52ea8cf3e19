package relay

import (
	"fmt"
	"reflect"
	"time"
)

// Limits bound how much one agency may ask of one relay, so that asking cannot become
// pressing. They are reckoned from the agency's own requests and from nothing of the home.
type Limits struct {
	Open    int           // requests whose answer is awaited
	Filed   int           // requests within Window
	Case    int           // requests of one case within Window
	Urgent  int           // requests in the lane exigent within Window
	Window  time.Duration //
	CoolOff time.Duration // after a request ended, for which the same footage is asked again only as an amendment; 0: no such rule
}

// DefaultLimits are the limits of a relay that nobody configured.
func DefaultLimits() Limits {
	const month = 30 * 24 * time.Hour
	return Limits{Open: 3, Filed: 10, Case: 2, Urgent: 2, Window: month, CoolOff: month}
}

// History is how far back requests matter to l: for the cool-off of one whose release ended
// as late as possible.
func (l Limits) History() time.Duration {
	return max(l.Window, l.CoolOff+RespondMax+time.Hour+MaxLease)
}

// Admit says why a new request may not be filed beside the agency's earlier ones (newest
// first), or nil. It is [ErrPolicy] for every limit, which one stays untold, and an
// [InvalidError] when the request amends none of the agency's own.
func (l Limits) Admit(c Claims, earlier []Request, now time.Time) error {
	var open, filed, ofCase, urgent int
	var amended, overlaps *Request
	for i := range earlier {
		q := &earlier[i]
		if q.AgencyView(now).State == "pending" {
			open++
		}
		if q.ReceivedAt.After(now.Add(-l.Window)) {
			filed++
			if q.Claims.Case.Ref == c.Case.Ref {
				ofCase++
			}
			if q.Claims.Lane == LaneExigent {
				urgent++
			}
		}
		if c.Amends != nil && q.SHA256 == *c.Amends {
			amended = q
		}
		if overlaps == nil && l.CoolOff > 0 && q.coolsOff(c.Scope, l.CoolOff, now) {
			overlaps = q
		}
	}
	if c.Amends != nil && amended == nil {
		return Invalid("amends", "This is no request of yours that the relay still counts; use null for a new one.")
	}
	over := func(what string) error { return fmt.Errorf("%s: %w", what, ErrPolicy) }
	switch {
	case open >= l.Open:
		return over("too many open requests")
	case filed >= l.Filed:
		return over("too many requests")
	case ofCase >= l.Case:
		return over("too many requests of one case")
	case c.Lane == LaneExigent && urgent >= l.Urgent:
		return over("too many urgent requests")
	case overlaps != nil && (amended != overlaps || reflect.DeepEqual(amended.Claims.Scope, c.Scope) && !overlaps.awaits(c.Lane)):
		return over("the same footage was asked for before")
	}
	return nil
}

// awaits reports whether r came as an emergency, whose legal basis follows in lane l.
func (r *Request) awaits(l Lane) bool {
	return r.Claims.Lane == LaneExigent && l == LaneLegalProcess
}

// coolsOff reports whether r asked for footage of the scope and is open, or ended less than
// the time given ago, as its agency sees it.
func (r *Request) coolsOff(s Scope, rest time.Duration, now time.Time) bool {
	was := r.Claims.Scope
	if was.Target != s.Target || !was.From.Before(s.To) || !s.From.Before(was.To) {
		return false
	}
	ended := r.RespondBy
	switch {
	case !r.EndedAt.IsZero():
		ended = r.EndedAt
	case !r.ReleasedAt.IsZero():
		return true
	case !r.WithdrawnAt.IsZero() && r.WithdrawnAt.Before(ended):
		ended = r.WithdrawnAt
	}
	return now.Before(ended.Add(rest))
}
