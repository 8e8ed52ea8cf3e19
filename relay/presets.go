package relay

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Preset is a rule that many homes want, made by a form.
type Preset struct {
	ID     string
	Name   string        // what the form offers
	Fields []PresetField // what the form asks for
	Choose bool          // the home chooses between stopping, holding and labelling
}

// PresetField is one field of a preset's form.
type PresetField struct {
	Name  string // of the field
	Label string
	Kind  string // "number", "lines", "agency" or "hour"
	Value string // proposed
}

// Presets lists every preset.
func Presets() []Preset {
	return []Preset{
		{ID: "immigration", Name: "Never for immigration enforcement", Choose: true},
		{ID: "case_number", Name: "Only with a case number", Choose: true},
		{ID: "local_only", Name: "Only local agencies", Choose: true},
		{ID: "no_onward", Name: "Nobody who passes it on", Choose: true},
		{ID: "no_federal", Name: "Nothing for federal agencies", Choose: true},
		{ID: "systems", Name: "Not into certain evidence systems", Choose: true, Fields: []PresetField{{"systems", "Names of the systems, one a line", "lines", "axon\nflock"}}},
		{ID: "limit", Name: "Give at most so much", Fields: []PresetField{
			{"minutes", "Minutes of footage", "number", "5"}, {"views", "Views for each recipient (0: no limit)", "number", "0"}, {"days", "Days that the link works (0: no limit)", "number", "0"},
		}},
		{ID: "quiet", Name: "Quiet hours", Fields: []PresetField{{"from", "From", "hour", "22"}, {"to", "Until", "hour", "7"}}},
		{ID: "mute", Name: "Hear nothing from one agency", Fields: []PresetField{{"agency", "Agency", "agency", ""}}},
		{ID: "keyword", Name: "Point out certain words", Fields: []PresetField{{"words", "Words, one a line", "lines", ""}, {"label", "Label", "text", "Look at the words"}}},
		{ID: "two_people", Name: "Two people for every release"},
	}
}

// PresetRule makes the rule that a preset's form describes. then is "stop", "hold" or "label"
// where the preset leaves the choice; zone is the home's time zone (IANA). The rule has no id.
func PresetRule(id string, values map[string]string, then EffectKind, zone string) (Rule, error) {
	i := slices.IndexFunc(Presets(), func(p Preset) bool { return p.ID == id })
	if i < 0 {
		return Rule{}, Invalid("preset", "Choose one of the rules that are offered.")
	}
	p := Presets()[i]
	r := Rule{Name: p.Name, Preset: id, On: true}
	if p.Choose {
		switch then {
		case EffectStop, EffectHold:
			r.Effect = Effect{Kind: then}
		case EffectLabel:
			r.Effect = Effect{Kind: then, Label: p.Name}
		default:
			return r, Invalid("then", "Choose what happens: stop, hold or label.")
		}
	}
	var err error
	switch id {
	case "immigration":
		r.When = `req.purpose.code == "immigration_civil" || req.onward.immigration`
	case "case_number":
		r.When = `!req.case.ref.matches("^[A-Za-z0-9/. -]*[0-9][A-Za-z0-9/. -]{2,}$")`
	case "local_only":
		r.When = `req.agency.level != "local"`
	case "no_onward":
		r.When = `req.onward.policy != "none"`
	case "no_federal":
		r.When = `req.onward.federal || req.agency.level == "federal"`
	case "systems":
		err = r.anyOf(values, "systems", "Name at least one system.", "req.onward.systems.exists(s, %s.exists(w, s.lowerAscii().contains(w)))")
		r.Name += ": " + strings.Join(lines(values["systems"]), ", ")
	case "keyword":
		err = r.anyOf(values, "words", "Name at least one word.", "%s.exists(w, req.purpose.text.lowerAscii().contains(w))")
		r.Effect = Effect{Kind: EffectLabel, Label: strings.TrimSpace(values["label"])}
		r.Name += ": " + strings.Join(lines(values["words"]), ", ")
	case "limit":
		err = r.limit(values)
	case "quiet":
		err = r.quiet(values, zone)
	case "mute":
		agency := strings.TrimSpace(values["agency"])
		if CheckAgencyID(agency) != nil {
			return r, Invalid("agency", "Choose an agency.")
		}
		r.When, r.Effect = "req.agency.id == "+quote(agency), Effect{Kind: EffectStop}
		r.Name = "Hear nothing from " + agency
	case "two_people":
		r.When, r.Effect = "true", Effect{Kind: EffectHold, Quorum: 2}
	}
	if n := []rune(r.Name); len(n) > RuleNameMax {
		r.Name = string(n[:RuleNameMax-1]) + "…"
	}
	return r, err
}

// anyOf fills a condition with the list of words in a field.
func (r *Rule) anyOf(values map[string]string, field, missing, condition string) error {
	words := lines(values[field])
	if len(words) == 0 {
		return Invalid(field, "%s", missing)
	}
	if len(words) > ListMax {
		return Invalid(field, "Name at most %d.", ListMax)
	}
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = quote(w)
	}
	r.When = fmt.Sprintf(condition, "["+strings.Join(quoted, ", ")+"]")
	return nil
}

func (r *Rule) limit(values map[string]string) (err error) {
	r.When, r.Effect.Kind = "true", EffectCap
	var said []string
	for _, f := range []struct {
		field, unit string
		to          *int
		most        int
	}{
		{"minutes", "minute", &r.Effect.MaxMinutes, int(MaxWindow.Minutes())},
		{"views", "view", &r.Effect.MaxViews, MaxViews},
		{"days", "day", &r.Effect.MaxDays, int(MaxLease.Hours() / 24)},
	} {
		text := strings.TrimSpace(values[f.field])
		if text == "" {
			continue
		}
		if *f.to, err = strconv.Atoi(text); err != nil || *f.to < 0 || *f.to > f.most {
			return Invalid(f.field, "Write a number from 1 to %d, or 0 for no limit.", f.most)
		}
		if *f.to > 0 {
			unit := f.unit
			if *f.to > 1 {
				unit += "s"
			}
			said = append(said, fmt.Sprintf("%d %s", *f.to, unit))
		}
	}
	if len(said) == 0 {
		return Invalid("minutes", "Say what is limited: minutes, views or days.")
	}
	r.Name = "Give at most " + strings.Join(said, ", ")
	return nil
}

func (r *Rule) quiet(values map[string]string, zone string) error {
	from, err := hour(values["from"])
	if err != nil {
		return Invalid("from", "Choose an hour from 0 to 23.")
	}
	to, err := hour(values["to"])
	if err != nil || to == from {
		return Invalid("to", "Choose another hour from 0 to 23.")
	}
	if _, err := time.LoadLocation(zone); err != nil || zone == "" || zone == "Local" {
		zone = "UTC"
	}
	and := "||" // over midnight
	if from < to {
		and = "&&"
	}
	at := fmt.Sprintf("now.getHours(%s)", quote(zone))
	r.When, r.Effect = fmt.Sprintf("%s >= %d %s %s < %d", at, from, and, at, to), Effect{Kind: EffectQuiet}
	r.Name = fmt.Sprintf("Quiet hours from %d:00 to %d:00 (%s)", from, to, zone)
	return nil
}

func hour(text string) (int, error) {
	h, err := strconv.Atoi(strings.TrimSpace(text))
	if err == nil && (h < 0 || h > 23) {
		err = strconv.ErrRange
	}
	return h, err
}

// lines are the words of a field, one a line or between commas, small and once each.
func lines(text string) (out []string) {
	for w := range strings.FieldsFuncSeq(strings.ToLower(text), func(r rune) bool { return r == '\n' || r == ',' || r == '\r' }) {
		if w = strings.TrimSpace(w); w != "" && !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	return out
}

// quote writes s as a string of CEL.
func quote(s string) string { return strconv.Quote(strings.ToValidUTF8(s, "")) }
