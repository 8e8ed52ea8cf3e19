package home

import (
	"strings"

	"cliplease/relay"
	"cliplease/templates"
)

// What rules do and say, in plain words.

var presetWords = map[string]string{
	"immigration": "Requests for civil immigration enforcement, or that say immigration enforcement may get the clip.",
	"case_number": "Requests that name no case that looks like a number.",
	"local_only":  "Requests of agencies that you registered as county, state, federal or other.",
	"no_onward":   "Requests of agencies that say they may pass the clip on.",
	"no_federal":  "Requests of federal agencies, or that say federal agencies may get the clip.",
	"systems":     "Requests that say the clip will be put into one of these systems. Part of a name is enough.",
	"limit":       "A release can then never be larger, whoever in your home prepares it.",
	"quiet":       "In these hours nobody is told of a new request; you hear of it when they are over. Emergencies and court orders are told at once.",
	"mute":        "Its requests are closed without a word to anyone. The agency cannot tell.",
	"keyword":     "A request whose words hold one of these is shown with a label. Words prove nothing, so this only points them out.",
	"two_people":  "Every release then takes the passkeys of two people, whatever it is about. Some releases take two anyway.",
}

// does says what an effect does.
func does(l templates.Lang, e relay.Effect) string {
	switch e.Kind {
	case relay.EffectStop:
		return l.T("Stops the request. Nobody is told, and the agency cannot tell.")
	case relay.EffectHold:
		return l.T("Holds the request: you have to confirm that you read why.") + strings.Join(append([]string{""}, holdTerms(l, e.Quorum, e.KeyOnly, e.FullRedaction)...), " ")
	case relay.EffectCap:
		return strings.Join(limitTerms(l, e.MaxMinutes, e.MaxViews, e.MaxDays), " ")
	case relay.EffectLabel:
		return l.T("Shows the label “%s”.", e.Label)
	case relay.EffectQuiet:
		return l.T("Tells you later.")
	}
	return ""
}

func holdTerms(l templates.Lang, quorum int, keyOnly, full bool) (out []string) {
	if quorum > 1 {
		out = append(out, l.T("%s have to sign a release.", l.Plural(quorum, "member")))
	}
	if keyOnly {
		out = append(out, l.T("It can go only to systems that prove a key, not to mailboxes."))
	}
	if full {
		out = append(out, l.T("Faces and plates are hidden by solid colour."))
	}
	return out
}

func limitTerms(l templates.Lang, minutes, views, days int) (out []string) {
	if minutes > 0 {
		out = append(out, l.T("At most %s of footage can be given.", l.Plural(minutes, "minute")))
	}
	if views > 0 {
		out = append(out, l.T("Each recipient can watch at most %s.", l.Plural(views, "time")))
	}
	if days > 0 {
		out = append(out, l.T("A link works for at most %s.", l.Plural(days, "day")))
	}
	return out
}

// termWords says what a verdict leaves.
func termWords(l templates.Lang, v relay.Verdict) []string {
	return append(holdTerms(l, v.Quorum, v.KeyOnly, v.FullRedaction), limitTerms(l, v.MaxMinutes, v.MaxViews, v.MaxDays)...)
}

func findingWords(f relay.Finding) string {
	if f.Failed {
		return "could not be evaluated, and so holds the request"
	}
	switch f.Effect {
	case relay.EffectStop:
		return "stops it"
	case relay.EffectHold:
		return "holds it"
	case relay.EffectCap:
		return "limits what can be given"
	case relay.EffectLabel, relay.EffectQuiet:
	}
	return "points it out"
}

var widerWords = map[string]string{
	"window": "a longer time", "footage": "more footage", "recipients": "other recipients", "faces": "visible faces", "onward": "passing it on", "retention": "keeping it longer",
}

// relationWords says how an earlier request bears on the one that is shown.
func relationWords(l templates.Lang, line relay.LedgerLine) (out []string) {
	for _, r := range line.Relations {
		switch r {
		case relay.RelationAmended:
			out = append(out, l.T("The new request amends this one."))
		case relay.RelationSameCase:
			out = append(out, l.T("The same case."))
		case relay.RelationSameCamera:
			out = append(out, l.T("The same camera at another time."))
		case relay.RelationRepeated:
			out = append(out, l.T("Part of the same footage."))
		case relay.RelationWidened:
			var more []string
			for _, w := range line.Wider {
				more = append(more, l.T(widerWords[w]))
			}
			out = append(out, l.T("The new request asks for more: %s.", strings.Join(more, ", ")))
		}
	}
	return out
}

// ledgerWords sums a ledger up; empty when there is nothing to say.
func ledgerWords(l templates.Lang, all relay.Ledger) (out []string) {
	if all.Asked > 1 {
		out = append(out, l.T("In 30 days this agency has asked %s for this camera, for %s of footage together.", l.Plural(all.Asked, "time"), l.Span(all.Footage)))
	}
	if all.Agencies > 1 {
		out = append(out, l.T("%d agencies asked for part of the same footage.", all.Agencies))
	}
	return out
}

// ruleFields are what a rule written by hand can ask for.
var ruleFields = []templates.Option{
	{Value: "req.lane", Words: "voluntary, legal_process or exigent"},
	{Value: "req.purpose.code", Words: "burglary, assault, immigration_civil, …"},
	{Value: "req.purpose.text", Words: "their own words"},
	{Value: "req.basis.kind", Words: "voluntary, warrant, subpoena, court_order, statute or exigent"},
	{Value: "req.basis.compulsory", Words: "they say that you must"},
	{Value: "req.case.ref", Words: "their case"},
	{Value: "req.scope.minutes", Words: "of footage at most, such as 10.0"},
	{Value: "req.scope.window", Words: "minutes from the first to the last moment"},
	{Value: "req.scope.from, req.scope.to", Words: "times, such as timestamp(\"2026-11-03T14:00:00Z\")"},
	{Value: "req.scope.faces", Words: "they would like faces visible"},
	{Value: "req.retention.days", Words: "for how long they keep it"},
	{Value: "req.onward.policy", Words: "none, listed or law_only"},
	{Value: "req.onward.federal, req.onward.immigration", Words: "who else may get it"},
	{Value: "req.onward.recipients, req.onward.systems", Words: "lists of names"},
	{Value: "req.agency.id, .name, .level, .jurisdiction", Words: "as you registered it; levels are local, county, state, federal, other"},
	{Value: "req.agency.verified", Words: "your check of it is not older than a year"},
	{Value: "req.camera.handle, .known, .interior", Words: "the camera that they name"},
	{Value: "req.to.count, req.to.keys", Words: "recipients, and those of them that prove a key"},
	{Value: "req.amends", Words: "it amends an earlier request"},
	{Value: "now", Words: "the time, such as now.getHours(\"Europe/Amsterdam\")"},
}
