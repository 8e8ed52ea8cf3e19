package relay

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
)

// Verdict is what the rules say of a request: the strictest of all that apply. It is reached
// once, when the request has come, and stays with it: a rule that is changed later widens
// nothing. The zero verdict binds nothing.
type Verdict struct {
	Stop          bool      `json:"stop,omitempty"`
	Hold          bool      `json:"hold,omitempty"`           // a member confirms that they read why
	Quorum        int       `json:"quorum,omitempty"`         // this many members sign; 0: as without rules
	KeyOnly       bool      `json:"key_only,omitempty"`       // recipients that prove a key alone
	FullRedaction bool      `json:"full_redaction,omitempty"` // solid colour, nothing uncovered by hand
	MaxMinutes    int       `json:"max_minutes,omitempty"`    // of footage; 0: no limit
	MaxViews      int       `json:"max_views,omitempty"`      // for each recipient; 0: no limit
	MaxDays       int       `json:"max_days,omitempty"`       // of the lease; 0: no limit
	Labels        []string  `json:"labels,omitempty"`
	Findings      []Finding `json:"findings,omitempty"` // why
}

// Finding is one reason that a rule, or the relay itself, gives.
type Finding struct {
	Rule   string     `json:"rule"` // id of the rule; "relay" for what is not up to the home
	Name   string     `json:"name"` // what the rule is called
	Effect EffectKind `json:"effect"`
	Failed bool       `json:"failed,omitempty"` // it could not be evaluated, and so counts as true
}

// RuleFailed labels a request for which a rule could not be evaluated.
const RuleFailed = "A rule could not be evaluated"

// Labels that the relay gives by itself.
const (
	LabelVague      = "The reason is vague"
	LabelNotStopped = "A rule would stop this, but no rule stops what claims to be a court's order"
)

// Join returns the verdict that is as strict as both. It is commutative, associative and
// idempotent, so that the order of rules cannot matter.
func (v Verdict) Join(w Verdict) Verdict {
	v.Stop = v.Stop || w.Stop
	v.Hold = v.Hold || w.Hold
	v.Quorum = max(v.Quorum, w.Quorum)
	v.KeyOnly = v.KeyOnly || w.KeyOnly
	v.FullRedaction = v.FullRedaction || w.FullRedaction
	v.MaxMinutes = lower(v.MaxMinutes, w.MaxMinutes)
	v.MaxViews = lower(v.MaxViews, w.MaxViews)
	v.MaxDays = lower(v.MaxDays, w.MaxDays)
	v.Labels = union(v.Labels, w.Labels, strings.Compare)
	v.Findings = union(v.Findings, w.Findings, func(a, b Finding) int {
		return cmp.Or(strings.Compare(a.Rule, b.Rule), strings.Compare(a.Name, b.Name), strings.Compare(string(a.Effect), string(b.Effect)), cmp.Compare(bit(a.Failed), bit(b.Failed)))
	})
	return v
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// lower is the lower of two limits, of which 0 is none.
func lower(a, b int) int {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// union returns what is in a or b, once each and in order; nil when both are empty.
func union[T comparable](a, b []T, order func(T, T) int) []T {
	out := slices.Concat(a, b)
	slices.SortFunc(out, order)
	if out = slices.Compact(out); len(out) == 0 {
		return nil
	}
	return out
}

// Judge says what rules make of f at now. A rule that is off does nothing. A rule that cannot
// be evaluated, for whatever reason, holds the request and narrows it as though it were true.
// What claims to be a court's order is held where a rule would stop it: the home must know
// of it.
func Judge(ctx context.Context, rules []Rule, f Facts, now time.Time) Verdict {
	v := inherent(f)
	for _, r := range rules {
		if r.On {
			v = v.Join(r.judge(ctx, f, now))
		}
	}
	if v.Stop && f.Basis.Compulsory {
		v.Stop = false
		v = v.Join(Verdict{Hold: true, Labels: []string{LabelNotStopped}})
	}
	return v
}

// judge is the verdict of one rule.
func (r Rule) judge(ctx context.Context, f Facts, now time.Time) Verdict {
	if r.Effect.Kind == EffectQuiet {
		return Verdict{}
	}
	match, err := holds(ctx, r.When, f, now)
	if err == nil && !match {
		return Verdict{}
	}
	e := r.Effect
	v := Verdict{
		Stop: e.Kind == EffectStop && err == nil, Hold: e.Kind == EffectHold, Quorum: e.Quorum, KeyOnly: e.KeyOnly, FullRedaction: e.FullRedaction,
		MaxMinutes: e.MaxMinutes, MaxViews: e.MaxViews, MaxDays: e.MaxDays,
		Findings: []Finding{{Rule: r.ID, Name: r.Name, Effect: e.Kind, Failed: err != nil}},
	}
	if e.Label != "" {
		v.Labels = []string{e.Label}
	}
	if err != nil || !slices.Contains(Effects(), e.Kind) {
		v = v.Join(Verdict{Hold: true, Labels: []string{RuleFailed}})
	}
	return v
}

// Quiet says whether members are to be told of f later than now. What is urgent or ordered is
// told at once, and a rule that cannot be evaluated delays nothing.
func Quiet(ctx context.Context, rules []Rule, f Facts, now time.Time) bool {
	if f.Lane == string(LaneExigent) || f.Basis.Compulsory {
		return false
	}
	return slices.ContainsFunc(rules, func(r Rule) bool {
		if !r.On || r.Effect.Kind != EffectQuiet {
			return false
		}
		match, err := holds(ctx, r.When, f, now)
		return err == nil && match
	})
}

// inherent is what the relay points out whatever the rules of the home are.
func inherent(f Facts) (v Verdict) {
	if Vague(f.Purpose.Text) {
		v = Verdict{Labels: []string{LabelVague}, Findings: []Finding{{Rule: "relay", Name: LabelVague, Effect: EffectLabel}}}
	}
	return v
}

// Vague says whether the text of a purpose names nothing that could be checked: it is made of
// words that fit every case, such as "footage for an ongoing police investigation".
func Vague(text string) bool {
	specific := map[string]bool{}
	for w := range strings.FieldsFuncSeq(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		if len([]rune(w)) >= 3 && !general[w] {
			specific[w] = true
		}
	}
	return len(specific) < 4
}

// general are words that say nothing about one case.
var general = func() map[string]bool {
	out := map[string]bool{}
	for w := range strings.FieldsSeq(`
		the and for with that this from into our your their his her its was were are has have had will would may might can could should shall
		been being who whom which what when where why how any all some such other more most very not but per via upon about also only than then there these those
		please kindly help assist assistance support matter matters purpose purposes reason reasons use used using
		investigation investigations investigate investigating investigative investigator ongoing current active pending open official criminal crime crimes
		incident incidents event events case cases file inquiry enquiry police officer officers law enforcement agency department unit
		evidence footage video videos clip clips camera cameras recording recordings record records surveillance image images cctv doorbell
		request requests requested requesting need needs needed require requires required obtain obtaining provide providing review reviewing
		general area vicinity neighborhood neighbourhood location scene address street person persons people individual individuals subject subjects suspect suspects
		activity activities suspicious related relating regarding concerning relevant information intelligence public safety security
		possible potential possibly certain various routine important urgent time date day night days hours
	`) {
		out[w] = true
	}
	return out
}()

// Judge stores the verdict of the rules with r, and closes r when they stop it. The agency's
// view does not change: it sees what it would have seen anyway.
func (r *Request) Judge(v Verdict, now time.Time) (Event, error) {
	if !r.JudgedAt.IsZero() {
		return Event{}, fmt.Errorf("the rules have looked at this request: %w", ErrState)
	}
	e := Event{Kind: RequestJudged, Subject: r.ID, Actor: "relay", At: now}
	if v.Stop {
		var err error
		if e, err = r.close(ClosedByRule, RequestStopped, "relay", now); err != nil {
			return e, err
		}
	} else if r.State != RequestPending {
		return e, fmt.Errorf("the request is %s: %w", r.State, ErrState)
	}
	r.Verdict, r.JudgedAt = v, now
	var rules []any
	for _, f := range v.Findings {
		rules = append(rules, f.Rule)
	}
	e.Data = Data{"rules": rules, "hold": v.Hold, "quorum": v.Quorum, "max_minutes": v.MaxMinutes, "max_views": v.MaxViews, "max_days": v.MaxDays}
	return e, nil
}
