package templates

import "time"

// Rules is the page of the home's standing rules.
type Rules struct {
	Layout
	Rules    []RuleRow
	Presets  []PresetForm
	Agencies []Option
	Hours    []Option
	Fields   []Option // that a rule written by hand can ask for
}

// RuleRow is one rule.
type RuleRow struct {
	ID, Name, Does, When string
	ByHand, On           bool
	Hits                 int // requests on which it had an effect
}

// PresetForm is the form of a usual rule.
type PresetForm struct {
	ID, Name, About string
	Choose          bool // whether it stops, holds or labels is the home's choice
	Fields          []PresetField
}

// PresetField is a field of such a form.
type PresetField struct {
	Name, Label string
	Kind        string // "number", "lines", "agency", "hour" or "text"
	Value       string
}

// Option is one of a list, with what it means.
type Option struct{ Value, Words string }

// Finding is one reason that a rule gave.
type Finding struct {
	Name, Does string
	Failed     bool
}

// Hold is a legal hold.
type Hold struct {
	Placed, Lifted   time.Time // Lifted is zero while it stands
	LiftedBy, Reason string
}

// LedgerLine is an earlier request that bears on the one that is shown.
type LedgerLine struct {
	RequestCard
	Relations []string
}

// FollowUp is the legal basis that an agency owes after an emergency.
type FollowUp struct {
	Due      time.Time
	Link     string // the request that gives it; "" while there is none
	Breached bool
}
