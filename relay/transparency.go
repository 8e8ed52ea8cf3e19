package relay

import (
	"fmt"
	"slices"
	"time"
)

// TransparencyDelay is how long after the end of a half-year its report can be made: late
// enough that no single answer can be read from it.
const TransparencyDelay = 6 // months

// medianOf is how many releases it takes before a median is stated.
const medianOf = 5

// Half is half a calendar year in UTC, such as the first of 2026.
type Half struct {
	Year   int
	Second bool
}

// ParseHalf reads "2026H1".
func ParseHalf(s string) (h Half, err error) {
	var n int
	if _, err := fmt.Sscanf(s, "%4dH%1d", &h.Year, &n); err == nil {
		h.Second = n == 2
	}
	if h.String() != s || h.Year < 2000 {
		return Half{}, Invalid("half", "%q is no half-year; write one such as 2026H1 or 2026H2.", s)
	}
	return h, nil
}

// String writes h as "2026H1".
func (h Half) String() string {
	if h.Second {
		return fmt.Sprintf("%04dH2", h.Year)
	}
	return fmt.Sprintf("%04dH1", h.Year)
}

// From is when h begins, To when it ends.
func (h Half) From() time.Time {
	month := time.January
	if h.Second {
		month = time.July
	}
	return time.Date(h.Year, month, 1, 0, 0, 0, 0, time.UTC)
}

// To is when h ends.
func (h Half) To() time.Time { return h.From().AddDate(0, 6, 0) }

// Opens is when the report on h can first be made.
func (h Half) Opens() time.Time { return h.To().AddDate(0, TransparencyDelay, 0) }

// LatestHalf is the newest half-year on which a report can be made at now.
func LatestHalf(now time.Time) Half {
	t := now.UTC().AddDate(-1, 0, 0)
	return Half{t.Year(), t.Month() >= time.July}
}

// Before is the half-year before h.
func (h Half) Before() Half {
	if h.Second {
		return Half{h.Year, false}
	}
	return Half{h.Year - 1, true}
}

// Gag is a court's order not to speak of a request for a while.
type Gag struct {
	RequestID string
	Until     time.Time
	By        string // the member or command that noted it
	At        time.Time
}

// NoteGag records that r, which compels the home, may not be spoken of until a day. Until then
// no report counts it; then it is counted in the half-year in which that ends.
func (r Request) NoteGag(until time.Time, actor string, now time.Time) (Gag, Event, error) {
	switch {
	case !r.Compelled():
		return Gag{}, Event{}, Invalid("request", "This request does not say that it compels the home, so it cannot forbid to speak of it.")
	case until.Before(r.ReceivedAt):
		return Gag{}, Event{}, Invalid("until", "The day lies before the request came.")
	case until.After(now.AddDate(10, 0, 0)):
		return Gag{}, Event{}, Invalid("until", "Give a day within ten years; it can be changed later.")
	}
	return Gag{RequestID: r.ID, Until: until, By: actor, At: now},
		Event{Kind: RequestGagged, Subject: r.ID, Actor: actor, At: now, Data: Data{"until": Stamp(until)}}, nil
}

// Asked is a request as a report on transparency counts it.
type Asked struct {
	Request  Request
	GagUntil time.Time // zero: it may be spoken of
	Releases []Release // that were ever live
	Missed   bool      // it came as an emergency, and the legal basis did not come in time
	Attested bool      // the agency stated that its copies are destroyed
}

// Counts is when a request counts: when it came, or when the order not to speak of it ended.
func (a Asked) Counts() time.Time {
	if a.GagUntil.After(a.Request.ReceivedAt) {
		return a.GagUntil
	}
	return a.Request.ReceivedAt
}

// Bucket is a number that says no more than its size: "0", "1-4", "5-9" or "10+".
type Bucket string

// bucket puts n into its bucket.
func bucket(n int) Bucket {
	switch {
	case n <= 0:
		return "0"
	case n < 5:
		return "1-4"
	case n < 10:
		return "5-9"
	}
	return "10+"
}

// TransparencyRow counts requests of one kind.
type TransparencyRow struct {
	Name        string `json:"name"`
	Asked       Bucket `json:"asked"`
	Released    Bucket `json:"released"`
	NotReleased Bucket `json:"not_released"` // declined, stopped by a rule, left alone, withdrawn: all the same
}

// Transparency is the report on half a year.
type Transparency struct {
	V        int               `json:"v"` // 1
	Relay    string            `json:"relay"`
	Half     string            `json:"half"`
	All      TransparencyRow   `json:"all"`
	Lanes    []TransparencyRow `json:"lanes"`
	Purposes []TransparencyRow `json:"purposes"`
	Releases struct {
		Made          Bucket `json:"made"`
		Narrowed      Bucket `json:"narrowed"`                 // to less time than was asked for
		Revoked       Bucket `json:"revoked"`                  // by the home, before their time
		Expired       Bucket `json:"expired"`                  // by time
		MedianMinutes int    `json:"median_minutes,omitempty"` // of footage, rounded up; 0 with fewer than five releases
	} `json:"releases"`
	Destroyed struct {
		Asked    Bucket `json:"asked"`    // requests whose releases asked the agency to say that copies are destroyed
		Received Bucket `json:"received"` // requests for which it did
	} `json:"destruction"`
	BasisMissed Bucket `json:"emergencies_without_basis"` // no legal basis came in time
}

// NewTransparency makes the report on half h from all that was asked, at now. It fails before
// the report may be made. What was asked in another half is left out.
func NewTransparency(relay string, h Half, all []Asked, now time.Time) (t Transparency, err error) {
	if now.Before(h.Opens()) {
		return t, Invalid("half", "The report on %s can be made from %s on: it comes out late, so that nobody can read a single answer from it.", h, h.Opens().Format("2 January 2006"))
	}
	all = slices.DeleteFunc(slices.Clone(all), func(a Asked) bool { at := a.Counts(); return at.Before(h.From()) || !at.Before(h.To()) })
	row := func(name string, counts func(Asked) bool) TransparencyRow {
		asked, released := 0, 0
		for _, a := range all {
			if counts(a) {
				asked++
				released += bit(len(a.Releases) > 0)
			}
		}
		return TransparencyRow{name, bucket(asked), bucket(released), bucket(asked - released)}
	}
	t = Transparency{V: 1, Relay: relay, Half: h.String(), All: row("all", func(Asked) bool { return true })}
	for _, lane := range []Lane{LaneVoluntary, LaneLegalProcess, LaneExigent} {
		t.Lanes = append(t.Lanes, row(string(lane), func(a Asked) bool { return a.Request.Claims.Lane == lane }))
	}
	for _, p := range Purposes() {
		t.Purposes = append(t.Purposes, row(string(p), func(a Asked) bool { return a.Request.Claims.Purpose.Code == p }))
	}
	made, narrowed, revoked, expired, asked, received, missed := 0, 0, 0, 0, 0, 0, 0
	var lengths []time.Duration
	for _, a := range all {
		s := a.Request.Claims.Scope
		for _, rel := range a.Releases {
			made++
			narrowed += bit(rel.Draft.From.After(s.From) || rel.Draft.To.Before(s.To))
			revoked += bit(rel.State == ReleaseIsRevoked)
			expired += bit(rel.State == ReleaseIsExpired)
			lengths = append(lengths, rel.Draft.To.Sub(rel.Draft.From))
		}
		asked += bit(len(a.Releases) > 0)
		received += bit(a.Attested)
		missed += bit(a.Missed)
	}
	t.Releases.Made, t.Releases.Narrowed, t.Releases.Revoked, t.Releases.Expired = bucket(made), bucket(narrowed), bucket(revoked), bucket(expired)
	if len(lengths) >= medianOf {
		slices.Sort(lengths)
		t.Releases.MedianMinutes = int((lengths[len(lengths)/2] + time.Minute - 1) / time.Minute)
	}
	t.Destroyed.Asked, t.Destroyed.Received, t.BasisMissed = bucket(asked), bucket(received), bucket(missed)
	return t, nil
}
