package relay

import (
	"slices"
	"strings"
	"time"
)

// Relation says how an earlier request bears on another.
type Relation string

// The relations.
const (
	RelationAmended    Relation = "amended"     // the newer one amends it
	RelationSameCase   Relation = "same_case"   // of the same agency
	RelationSameCamera Relation = "same_camera" // another moment
	RelationRepeated   Relation = "repeated"    // the same footage, or part of it
	RelationWidened    Relation = "widened"     // the newer one asks for more of it
)

// LedgerLine is an earlier request beside a newer one.
type LedgerLine struct {
	Request   Request
	Relations []Relation
	Wider     []string // in which respects the newer one asks for more: "window", "footage", "recipients", "faces", "onward", "retention"
}

// Ledger is what was asked before that bears on a request, so that small requests cannot add
// up unseen.
type Ledger struct {
	Lines    []LedgerLine  // what repeats or widens first, then newest first
	Asked    int           // requests of this agency for this camera in the 30 days before, this one among them
	Footage  time.Duration // that they ask for together
	Agencies int           // that asked for part of the same footage, this one among them
}

// Widens reports whether the request asks again for what was asked before, or for more.
func (l Ledger) Widens() bool {
	return slices.ContainsFunc(l.Lines, func(x LedgerLine) bool {
		return slices.Contains(x.Relations, RelationRepeated) || slices.Contains(x.Relations, RelationWidened)
	})
}

// NewLedger sets r beside earlier requests. Those of other agencies count where they asked
// for the same footage.
func NewLedger(r Request, earlier []Request) Ledger {
	l := Ledger{Asked: 1, Footage: time.Duration(r.Claims.Scope.MaxDuration) * time.Second}
	agencies := map[string]bool{r.AgencyID: true}
	for _, q := range earlier {
		if q.ID == r.ID || q.ReceivedAt.After(r.ReceivedAt) {
			continue
		}
		line := r.beside(q)
		if len(line.Relations) == 0 {
			continue
		}
		l.Lines = append(l.Lines, line)
		if slices.Contains(line.Relations, RelationRepeated) {
			agencies[q.AgencyID] = true
		}
		if q.AgencyID == r.AgencyID && q.Claims.Scope.Target == r.Claims.Scope.Target && q.ReceivedAt.After(r.ReceivedAt.Add(-30*24*time.Hour)) {
			l.Asked++
			l.Footage += time.Duration(q.Claims.Scope.MaxDuration) * time.Second
		}
	}
	l.Agencies = len(agencies)
	rank := func(x LedgerLine) int {
		switch {
		case slices.Contains(x.Relations, RelationWidened), slices.Contains(x.Relations, RelationRepeated):
			return 0
		case slices.Contains(x.Relations, RelationSameCase), slices.Contains(x.Relations, RelationAmended):
			return 1
		}
		return 2
	}
	slices.SortStableFunc(l.Lines, func(a, b LedgerLine) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		return b.Request.ReceivedAt.Compare(a.Request.ReceivedAt)
	})
	return l
}

// beside says how q, which came earlier, bears on r.
func (r Request) beside(q Request) LedgerLine {
	line := LedgerLine{Request: q}
	add := func(x Relation, is bool) bool {
		if is {
			line.Relations = append(line.Relations, x)
		}
		return is
	}
	was, is := q.Claims.Scope, r.Claims.Scope
	same := q.AgencyID == r.AgencyID
	camera := was.Target == is.Target
	amended := add(RelationAmended, same && r.Claims.Amends != nil && *r.Claims.Amends == q.SHA256)
	inCase := add(RelationSameCase, same && strings.EqualFold(q.Claims.Case.Ref, r.Claims.Case.Ref))
	repeated := add(RelationRepeated, camera && was.From.Before(is.To) && is.From.Before(was.To))
	add(RelationSameCamera, same && camera && !repeated)
	if same && (amended || repeated || inCase && camera) {
		line.Wider = r.wider(q)
		add(RelationWidened, len(line.Wider) > 0)
	}
	return line
}

// wider lists in which respects r asks for more than q did.
func (r Request) wider(q Request) (out []string) {
	a, b := q.Claims, r.Claims
	more := func(what string, is bool) {
		if is {
			out = append(out, what)
		}
	}
	more("window", b.Scope.From.Before(a.Scope.From) || b.Scope.To.After(a.Scope.To))
	more("footage", b.Scope.MaxDuration > a.Scope.MaxDuration)
	more("recipients", slices.ContainsFunc(b.Recipients, func(x RecipientAsk) bool { return !slices.Contains(a.Recipients, x) }))
	more("faces", b.Scope.Faces != "redacted" && a.Scope.Faces == "redacted")
	more("onward", a.Onward.Policy == "none" && b.Onward.Policy != "none" || b.Onward.Federal && !a.Onward.Federal || b.Onward.Immigration && !a.Onward.Immigration)
	more("retention", b.Retention.Days > a.Retention.Days)
	return out
}
