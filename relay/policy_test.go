package relay

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var judgedAt = time.Date(2026, 11, 3, 23, 30, 0, 0, time.UTC)

// randomRule makes a rule with any effect, whose condition is true, false, or fails.
func randomRule(r *rand.Rand, i int) Rule {
	conditions := []string{
		"true", "false", `req.purpose.code == "burglary"`, `req.onward.systems.exists(s, s == "axon")`, `req.scope.minutes > 5.0`, `req.agency.level == "federal"`,
		`dyn(req).nothing == 1`, `[1][req.to.count] == 1`, `now.getHours("Nowhere/Atall") == 1`, `req.gone`, `1 +`, `"text"`,
	}
	rule := Rule{ID: fmt.Sprintf("r%03d", i), Name: "rule", On: r.IntN(5) > 0, When: conditions[r.IntN(len(conditions))]}
	switch rule.Effect.Kind = Effects()[r.IntN(len(Effects()))]; rule.Effect.Kind {
	case EffectHold:
		rule.Effect.Quorum, rule.Effect.KeyOnly, rule.Effect.FullRedaction = []int{0, 2, 3}[r.IntN(3)], r.IntN(2) == 0, r.IntN(2) == 0
	case EffectCap:
		rule.Effect.MaxMinutes, rule.Effect.MaxViews, rule.Effect.MaxDays = r.IntN(9), r.IntN(9), 1+r.IntN(9)
	case EffectLabel:
		rule.Effect.Label = fmt.Sprint("label ", r.IntN(5))
	case EffectStop, EffectQuiet: // nothing goes with them
	}
	return rule
}

func randomFacts(r *rand.Rand) Facts {
	pick := func(s ...string) string { return s[r.IntN(len(s))] }
	f := samples[1]
	f.Lane, f.Purpose.Code, f.Agency.Level = pick("voluntary", "legal_process", "exigent"), pick("burglary", "immigration_civil"), pick("local", "federal")
	f.Purpose.Text = pick("An investigation of the police.", "The red Ford that hit the cyclist at Elm Street.")
	f.Onward.Systems, f.Scope.Minutes, f.To.Count = []string{pick("axon", "locker")}, float64(r.IntN(30)), int64(r.IntN(3))
	f.Basis.Compulsory = r.IntN(4) == 0
	return f
}

// noMilder says why w permits something that v does not, or "".
func noMilder(v, w Verdict) string {
	limit := func(v, w int) bool { return v == 0 || w != 0 && w <= v }
	for what, ok := range map[string]bool{
		"stop": !v.Stop || w.Stop, "hold": !v.Hold || w.Hold || w.Stop, "quorum": w.Quorum >= v.Quorum, "key only": !v.KeyOnly || w.KeyOnly,
		"full redaction": !v.FullRedaction || w.FullRedaction, "minutes": limit(v.MaxMinutes, w.MaxMinutes), "views": limit(v.MaxViews, w.MaxViews), "days": limit(v.MaxDays, w.MaxDays),
		"labels": !slices.ContainsFunc(v.Labels, func(l string) bool { return !slices.Contains(w.Labels, l) }),
	} {
		if !ok {
			return what
		}
	}
	return ""
}

// TestPolicyMonotone: over random rules and requests, the order of rules does not matter, a
// rule more never makes a verdict milder, a rule that cannot be evaluated holds, and nothing
// that a verdict can say approves.
func TestPolicyMonotone(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(6, 2))
	stops, fails := 0, 0
	for range 300 {
		f := randomFacts(r)
		var rules []Rule
		v := Judge(t.Context(), nil, f, judgedAt)
		if v.Stop || v.Hold {
			t.Fatalf("without rules: %+v", v)
		}
		for i := range 1 + r.IntN(8) {
			rules = append(rules, randomRule(r, i))
			w := Judge(t.Context(), rules, f, judgedAt)
			if what := noMilder(v, w); what != "" {
				t.Fatalf("one rule more is milder (%s): %+v\nbefore %+v\nafter  %+v", what, rules[i], v, w)
			}
			v = w
		}
		mixed := slices.Clone(rules)
		r.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
		if diff := cmp.Diff(v, Judge(t.Context(), mixed, f, judgedAt)); diff != "" {
			t.Fatalf("another order, another verdict: %s", diff)
		}
		if diff := cmp.Diff(v, v.Join(v)); diff != "" {
			t.Fatalf("a verdict joined with itself is another: %s", diff)
		}
		if slices.ContainsFunc(v.Findings, func(x Finding) bool { return x.Failed }) {
			fails++
			if !v.Stop && !v.Hold || !slices.Contains(v.Labels, RuleFailed) {
				t.Fatalf("a rule failed, and nothing is held: %+v", v)
			}
		}
		if v.Stop {
			stops++
			if f.Basis.Compulsory {
				t.Fatal("a rule stopped what claims to be an order")
			}
		}
	}
	if stops < 20 || fails < 20 {
		t.Errorf("only %d stops and %d failures: the test tries too little", stops, fails)
	}
	for _, e := range Effects() {
		if strings.Contains(string(e), "approve") || strings.Contains(string(e), "release") {
			t.Errorf("there is an effect %s", e)
		}
	}
	for f := range reflect.TypeFor[Verdict]().Fields() {
		switch f.Name {
		case "Stop", "Hold", "Quorum", "KeyOnly", "FullRedaction", "MaxMinutes", "MaxViews", "MaxDays", "Labels", "Findings":
		default:
			t.Errorf("the verdict has a new field %s; say here that it only stops, holds, narrows or points out", f.Name)
		}
	}
}

// TestRuleErrors: whatever goes wrong with a rule holds the request, also under a cancelled
// context or with a condition that costs too much.
func TestRuleErrors(t *testing.T) {
	t.Parallel()
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	many := "[" + strings.Repeat("1,", 400) + "1]"
	costly := many + ".all(x, " + many + ".all(y, x == y))"
	for name, c := range map[string]struct {
		ctx  context.Context
		when string
	}{
		"type":      {t.Context(), `req.purpose`},
		"name":      {t.Context(), `req.porpoise.code == ""`},
		"syntax":    {t.Context(), `req.`},
		"zone":      {t.Context(), `now.getHours("Mars/Olympus") > 1`},
		"dynamic":   {t.Context(), `dyn(req).nothing`},
		"cost":      {t.Context(), costly},
		"cancelled": {cancelled, many + ".all(x, x == 1)"},
	} {
		for _, kind := range Effects()[:4] {
			rule := Rule{ID: "r", Name: "n", When: c.when, On: true, Effect: Effect{Kind: kind}}
			v := Judge(c.ctx, []Rule{rule}, samples[1], judgedAt)
			if !v.Hold || v.Stop || !slices.Contains(v.Labels, RuleFailed) || !v.Findings[0].Failed {
				t.Errorf("%s, %s: %+v", name, kind, v)
			}
		}
	}
	if n := len(costly); n > RuleMax {
		t.Logf("the costly condition has %d characters: the parser refuses it before", n)
	}
	v := Judge(t.Context(), []Rule{{ID: "r", Name: "n", When: "req.", On: true, Effect: Effect{Kind: EffectCap, MaxMinutes: 3}}}, samples[1], judgedAt)
	if v.MaxMinutes != 3 {
		t.Errorf("a limit that could not be evaluated does not bind: %+v", v)
	}
	if v := Judge(t.Context(), []Rule{{ID: "r", When: "true", On: true, Effect: Effect{Kind: "approve"}}}, samples[1], judgedAt); !v.Hold {
		t.Errorf("an effect that there is not: %+v", v)
	}
}

// TestRuleValidate: what is wrong with a rule is found when it is saved.
func TestRuleValidate(t *testing.T) {
	t.Parallel()
	good := Rule{Name: "Mine", When: `req.agency.level == "federal"`, Effect: Effect{Kind: EffectStop}}
	if err := good.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	cost := "[" + strings.Repeat("1,", 99) + "1]"
	for _, c := range []struct {
		field  string
		change func(*Rule)
	}{
		{"name", func(r *Rule) { r.Name = "" }},
		{"when", func(r *Rule) { r.When = "" }},
		{"when", func(r *Rule) { r.When = `req.porpoise == "x"` }},
		{"when", func(r *Rule) { r.When = `req.purpose.code` }},
		{"when", func(r *Rule) { r.When = `req.purpose.code == 1` }},
		{"when", func(r *Rule) { r.When = `req.case.ref.matches("(")` }},
		{"when", func(r *Rule) { r.When = `now.getHours("Mars/Olympus") > 3` }},
		{"when", func(r *Rule) { r.When = strings.Repeat("true || ", 300) + "true" }},
		{"when", func(r *Rule) { r.When = cost + ".all(a, " + cost + ".all(b, " + cost + ".exists(c, c == a + b + 1)))" }},
		{"when", func(r *Rule) {
			r.When = cost + ".all(a, " + cost + ".all(b, " + strings.Repeat("a == b && ", 60) + "true))"
		}},
		{"effect", func(r *Rule) { r.Effect.Kind = "approve" }},
		{"effect", func(r *Rule) { r.Effect.Quorum = 2 }},
		{"quorum", func(r *Rule) { r.Effect = Effect{Kind: EffectHold, Quorum: 1} }},
		{"max_minutes", func(r *Rule) { r.Effect = Effect{Kind: EffectCap} }},
		{"max_views", func(r *Rule) { r.Effect = Effect{Kind: EffectCap, MaxViews: -1} }},
		{"label", func(r *Rule) { r.Effect = Effect{Kind: EffectLabel} }},
	} {
		r := good
		c.change(&r)
		var invalid *InvalidError
		if err := r.Validate(t.Context()); err == nil {
			t.Errorf("%+v passes", r)
		} else if !asInvalid(err, &invalid) || invalid.Field != c.field {
			t.Errorf("%+v: %v, want field %s", r, err, c.field)
		}
	}
}

func asInvalid(err error, to **InvalidError) bool {
	v, ok := err.(*InvalidError) //nolint:errorlint // as it is returned
	*to = v
	return ok
}

// TestPresets: every form makes a rule that passes, and that does what its name says.
func TestPresets(t *testing.T) {
	t.Parallel()
	base := samples[1]
	base.Onward, base.Agency.ID = FactsOnward{Policy: "none"}, "urn:cliplease:agency:us-x-pd"
	base.Purpose.Text = "The red Ford that hit the cyclist at Elm Street."
	with := func(change func(*Facts)) Facts { f := base; change(&f); return f }
	for _, c := range []struct {
		id        string
		values    map[string]string
		yes, no   Facts
		otherwise string // value of the first field that is refused
	}{
		{id: "immigration", yes: with(func(f *Facts) { f.Onward.Immigration = true }), no: base},
		{id: "immigration", yes: with(func(f *Facts) { f.Purpose.Code = "immigration_civil" }), no: base},
		{id: "case_number", yes: with(func(f *Facts) { f.Case.Ref = "investigation" }), no: base},
		{id: "local_only", yes: with(func(f *Facts) { f.Agency.Level = "state" }), no: base},
		{id: "no_onward", yes: with(func(f *Facts) { f.Onward.Policy = "law_only" }), no: base},
		{id: "no_federal", yes: with(func(f *Facts) { f.Onward.Federal = true }), no: base},
		{id: "systems", values: map[string]string{"systems": "axon\nFlock, \"odd\\"}, yes: with(func(f *Facts) { f.Onward.Systems = []string{"Locker", "AXON Evidence"} }), no: with(func(f *Facts) { f.Onward.Systems = []string{"Locker"} })},
		{id: "mute", values: map[string]string{"agency": "urn:cliplease:agency:us-x-pd"}, yes: base, no: with(func(f *Facts) { f.Agency.ID = "urn:cliplease:agency:us-y-pd" })},
		{id: "keyword", values: map[string]string{"words": "drone\nprotest", "label": "Odd words"}, yes: with(func(f *Facts) { f.Purpose.Text = "A window was broken during the PROTEST on Main Street at noon." }), no: base},
		{id: "two_people", yes: base},
		{id: "limit", values: map[string]string{"minutes": "5", "days": "2"}, yes: base},
	} {
		r, err := PresetRule(c.id, c.values, EffectStop, "Europe/Amsterdam")
		if err != nil {
			t.Errorf("%s: %v", c.id, err)
			continue
		}
		if err := r.Validate(t.Context()); err != nil {
			t.Errorf("%s: %v", c.id, err)
		}
		r.ID = "r"
		if v := Judge(t.Context(), []Rule{r}, c.yes, judgedAt); len(v.Findings) != 1 || v.Findings[0].Failed {
			t.Errorf("%s does not apply: %+v (%s)", c.id, v, r.When)
		}
		if c.id != "limit" && c.id != "two_people" {
			if v := Judge(t.Context(), []Rule{r}, c.no, judgedAt); len(v.Findings) != 0 {
				t.Errorf("%s applies where it should not: %+v", c.id, v)
			}
		}
	}
	quiet, err := PresetRule("quiet", map[string]string{"from": "22", "to": "7"}, "", "Europe/Amsterdam")
	if err != nil || quiet.Validate(t.Context()) != nil {
		t.Fatal(err, quiet.Validate(t.Context()))
	}
	for hour, want := range map[int]bool{20: false, 21: true, 23: true, 5: true, 6: false, 12: false} { // UTC; Amsterdam is one ahead
		at := time.Date(2026, 11, 3, hour, 10, 0, 0, time.UTC)
		if got := Quiet(t.Context(), []Rule{quiet}, base, at); got != want {
			t.Errorf("quiet at %s: %v", at, got)
		}
		if Quiet(t.Context(), []Rule{quiet}, with(func(f *Facts) { f.Lane = "exigent" }), at) {
			t.Error("an emergency waits for the morning")
		}
	}
	if v := Judge(t.Context(), []Rule{quiet}, base, judgedAt); v.Hold || v.Stop {
		t.Errorf("quiet hours hold: %+v", v)
	}
	for id, values := range map[string]map[string]string{
		"nothing": {}, "systems": {}, "keyword": {"label": "x"}, "limit": {"minutes": "0"}, "quiet": {"from": "7", "to": "7"}, "mute": {"agency": `" || true || "`},
	} {
		if _, err := PresetRule(id, values, EffectStop, "UTC"); err == nil {
			t.Errorf("%s %v passes", id, values)
		}
	}
	if _, err := PresetRule("immigration", nil, EffectCap, "UTC"); err == nil {
		t.Error("a preset that stops was let to limit")
	}
}

// TestVague tells reasons that fit every case from those that name one.
func TestVague(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"Investigation. Investigation.":                                               true,
		"Footage is needed for an ongoing police investigation.":                      true,
		"We need the camera recordings for our current criminal case, please help us": true,
		"suspicious activity in the area, possible crime related incident":            true,
		"A burglar left the house across the street in a white van at about nine.":    false,
		"Missing child, aged six, red coat, last seen walking towards the canal.":     false,
		"Hit and run: a cyclist was struck by a dark pickup with a broken headlamp.":  false,
	} {
		if got := Vague(text); got != want {
			t.Errorf("%q: vague is %v", text, got)
		}
	}
}
