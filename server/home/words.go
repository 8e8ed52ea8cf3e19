package home

import (
	"strings"
	"time"

	"cliplease/relay"
	"cliplease/templates"
)

// What the codes of requests mean, in words that need no explanation.

var purposeWords = map[relay.PurposeCode]string{
	relay.PurposeBurglary:         "a burglary",
	relay.PurposeRobbery:          "a robbery",
	relay.PurposeTheft:            "a theft",
	relay.PurposeVehicleTheft:     "a stolen vehicle",
	relay.PurposeAssault:          "an assault",
	relay.PurposeHomicide:         "a killing",
	relay.PurposeSexualOffence:    "a sexual offence",
	relay.PurposeHitAndRun:        "a hit-and-run",
	relay.PurposeTrafficCollision: "a traffic accident",
	relay.PurposeVandalism:        "vandalism",
	relay.PurposeArson:            "arson",
	relay.PurposeMissingPerson:    "a missing person",
	relay.PurposeFraud:            "fraud",
	relay.PurposeInsuranceClaim:   "an insurance claim",
	relay.PurposeImmigration:      "civil immigration enforcement",
	relay.PurposeOther:            "something that is not in our list",
}

func purpose(p relay.PurposeCode) string {
	if w, ok := purposeWords[p]; ok {
		return w
	}
	return strings.ReplaceAll(string(p), "_", " ")
}

// basis says on what the agency rests its request, and whether the home must answer.
func basis(l templates.Lang, b relay.LegalBasis) (words string, compulsory bool) {
	switch b.Kind {
	case relay.BasisVoluntary:
		words = l.T("They ask for your help. You are free to say no, or to say nothing.")
	case relay.BasisWarrant:
		words = l.T("They say that a judge has issued a warrant.")
	case relay.BasisSubpoena:
		words = l.T("They say that they have a subpoena.")
	case relay.BasisCourtOrder:
		words = l.T("They say that a court has ordered it.")
	case relay.BasisStatute:
		words = l.T("They say that a law allows them to ask.")
	case relay.BasisExigent:
		words = l.T("They say that a life is in danger and that there is no time for a court.")
	default:
		words = l.T("They rest it on: %s", string(b.Kind))
	}
	if b.Compulsory {
		words += " " + l.T("They say that you must answer. Ask for the paper, and ask a lawyer before you refuse.")
	}
	return words, b.Compulsory
}

func lane(l relay.Lane) string {
	switch l {
	case relay.LaneVoluntary:
		return "Voluntary"
	case relay.LaneLegalProcess:
		return "Legal process"
	case relay.LaneExigent:
		return "Emergency"
	}
	return string(l)
}

// keeps says for how long the agency promises to keep the clip.
func keeps(l templates.Lang, r relay.Retention) string {
	s := l.T("for %s, then destroyed", l.Plural(r.Days, "day"))
	if r.Trigger == "case_close" {
		s = l.T("until the case is closed and %s after, then destroyed", l.Plural(r.Days, "day"))
	}
	return s
}

// onward says with whom the agency promises to share the clip, one sentence each.
func onward(l templates.Lang, o relay.Onward) []string {
	var out []string
	switch o.Policy {
	case "none":
		out = append(out, l.T("They say they will pass it on to nobody."))
	case "listed":
		out = append(out, l.T("They say they may pass it on to: %s.", strings.Join(o.Recipients, ", ")))
	case "law_only":
		out = append(out, l.T("They say they will pass it on only where a law makes them."))
	}
	if o.Federal {
		out = append(out, l.T("They say federal agencies may get it."))
	}
	if o.Immigration {
		out = append(out, l.T("They say immigration enforcement may get it."))
	}
	if len(o.Systems) > 0 {
		out = append(out, l.T("They will keep it in: %s.", strings.Join(o.Systems, ", ")))
	}
	return out
}

// verified says how much the relay knows of who an agency is.
func verified(l templates.Lang, a relay.Agency, now time.Time, zone *time.Location) (words, tone string) {
	switch {
	case a.Status == relay.AgencySuspended:
		return l.T("Suspended by your home"), "bad"
	case !a.VerifiedUntil.IsZero() && now.After(a.VerifiedUntil):
		return l.T("Verified %s; due to be checked again", l.Time(in(a.VerifiedAt, zone), "2 January 2006")), "warn"
	}
	return l.T("Verified on %s", l.Time(in(a.VerifiedAt, zone), "2 January 2006")), "good"
}

func level(l relay.Level) string {
	switch l {
	case relay.LevelLocal:
		return "local agency"
	case relay.LevelCounty:
		return "county agency"
	case relay.LevelState:
		return "state agency"
	case relay.LevelFederal:
		return "federal agency"
	case relay.LevelOther:
		return "agency"
	}
	return string(l)
}

// roleWord is what a role is called on pages.
func roleWord(r relay.Role) string { return string(r) }

// roleMeans says what a role may do.
func roleMeans(r relay.Role) string {
	switch r {
	case relay.RoleHomeowner:
		return "decides everything, and looks after agencies, cameras and the household"
	case relay.RoleApprover:
		return "looks at footage, prepares and approves releases"
	case relay.RoleMember:
		return "sees requests and releases, can decline and revoke"
	case relay.RoleOperator:
		return "keeps the machine running; sees no footage"
	}
	return string(r)
}

// sensitive says why several members have to sign a release, to follow "because".
func sensitive(why relay.Sensitivity) string {
	switch why {
	case relay.SensitiveSound:
		return "it has sound"
	case relay.SensitiveLong:
		return "it is longer than 15 minutes"
	case relay.SensitiveUrgent:
		return "they say it is an emergency"
	case relay.SensitiveInterior:
		return "the camera looks into your home"
	case relay.SensitiveFederal:
		return "they say federal agencies may get it"
	case relay.SensitiveUnredacted:
		return "something is left unhidden"
	case relay.SensitiveRule:
		return "a rule of your home asks for it"
	}
	return string(why)
}

// requestState says how a request stands, for the home alone.
func requestState(q relay.Request, now time.Time) (words, tone string) {
	switch {
	case !q.EndedAt.IsZero():
		return "Shared, and ended", ""
	case !q.ReleasedAt.IsZero():
		return "Shared", "good"
	case q.State == relay.RequestClosed:
		switch q.Reason {
		case relay.ClosedDeclined:
			return "Declined", ""
		case relay.ClosedWithdrawn:
			return "Taken back by the agency", ""
		case relay.ClosedByRule:
			return "Stopped by a rule", ""
		case relay.ClosedKey:
			return "Closed: the agency's key was compromised", "bad"
		case relay.ClosedDeadline:
		}
		return "Deadline passed", ""
	case !q.Open(now):
		return "Deadline passed", ""
	}
	return "Waits for you", "info"
}

// releaseState says how a release stands.
func releaseState(r relay.Release, now time.Time) (words, tone string) {
	switch r.State {
	case relay.ReleaseIsPreparing:
		return "Being prepared", "info"
	case relay.ReleaseIsFailed:
		return "Could not be prepared", "bad"
	case relay.ReleaseInReview:
		return "Waits for your look", "warn"
	case relay.ReleaseIsLive:
		if r.Accessible(now) != nil {
			return "Expired", ""
		}
		return "Live", "good"
	case relay.ReleaseIsRevoked:
		return "Revoked", ""
	case relay.ReleaseIsExpired:
		return "Expired", ""
	case relay.ReleaseIsDiscarded:
		return "Discarded", ""
	}
	return string(r.State), ""
}
