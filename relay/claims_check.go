package relay

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// check says which claim makes no sense, or nil.
func (c Claims) check(e Expected) error {
	for _, step := range []func(Expected) error{
		c.checkWhy, c.checkScope, c.checkAfter, c.checkRecipients, c.checkAnswer,
	} {
		if err := step(e); err != nil {
			return err
		}
	}
	return nil
}

// checkWhy checks who asks, in which lane, what for and with what right.
func (c Claims) checkWhy(e Expected) error {
	b := c.LegalBasis
	switch {
	case !length(c.Subject, 1, NameMax):
		return Invalid("sub", "Name the officer or role in 1 to %d characters.", NameMax)
	case !slices.Contains([]Lane{LaneVoluntary, LaneLegalProcess, LaneExigent}, c.Lane):
		return Invalid("lane", "The lane is voluntary, legal_process or exigent.")
	case !slices.Contains(Purposes(), c.Purpose.Code):
		return Invalid("purpose.code", "The purpose is one of %v.", Purposes())
	case !length(c.Purpose.Text, PurposeMin, PurposeMax):
		return Invalid("purpose.text", "Say in %d to %d characters what happened and what the footage is for.", PurposeMin, PurposeMax)
	case !slices.Contains([]BasisKind{BasisVoluntary, BasisWarrant, BasisSubpoena, BasisCourtOrder, BasisStatute, BasisExigent}, b.Kind):
		return Invalid("legal_basis.kind", "The legal basis is voluntary, warrant, subpoena, court_order, statute or exigent.")
	case !slices.Contains(basesOf[c.Lane], b.Kind):
		return Invalid("legal_basis.kind", "In the lane %s the legal basis is one of %v.", c.Lane, basesOf[c.Lane])
	case !length(b.Citation, 0, CitationMax):
		return Invalid("legal_basis.citation", "Cite the law or document in at most %d characters.", CitationMax)
	case b.Citation == "" && b.Kind != BasisVoluntary:
		return Invalid("legal_basis.citation", "Cite the law or document that this rests on.")
	case b.DocumentSHA256 != "" && !digest.MatchString(b.DocumentSHA256):
		return Invalid("legal_basis.document_sha256", "This is the document's SHA-256 in 64 small hexadecimal digits.")
	case b.Served != "" && !pastDate(b.Served, e.Now):
		return Invalid("legal_basis.served", "Write the date as 2006-01-02; it cannot lie ahead.")
	case b.Compulsory && (c.Lane != LaneLegalProcess || b.DocumentSHA256 == ""):
		return Invalid("legal_basis.compulsory", "Only the lane legal_process compels, and only with the document's digest.")
	case !length(c.Case.Ref, 1, CaseRefMax):
		return Invalid("case.ref", "Give the case's reference in 1 to %d characters.", CaseRefMax)
	case !pastDate(c.Case.Opened, e.Now):
		return Invalid("case.opened", "Write the date as 2006-01-02; it cannot lie ahead.")
	}
	return nil
}

// basesOf says on which legal bases a request may rest in each lane.
var basesOf = map[Lane][]BasisKind{
	LaneVoluntary:    {BasisVoluntary, BasisStatute},
	LaneLegalProcess: {BasisWarrant, BasisSubpoena, BasisCourtOrder, BasisStatute},
	LaneExigent:      {BasisExigent},
}

// pastDate reports whether s is a date that has come somewhere on earth.
func pastDate(s string, now time.Time) bool {
	d, err := time.Parse(time.DateOnly, s)
	return err == nil && d.Year() >= 1900 && d.Before(now.Add(14*time.Hour))
}

// checkScope checks which footage is asked for.
func (c Claims) checkScope(e Expected) error {
	s := c.Scope
	switch {
	case !length(s.Target.Handle, 1, HandleMax):
		return Invalid("scope.target.handle", "Name the camera in 1 to %d characters.", HandleMax)
	case !s.From.Before(s.To):
		return Invalid("scope.to", "The window ends after it starts.")
	case s.To.After(e.Now.Add(Leeway)):
		return Invalid("scope.to", "The window lies in the past: a request is for what was recorded, not for what will be.")
	case s.To.Sub(s.From) > WindowMax:
		return Invalid("scope.to", "The window spans at most %d hours.", int(WindowMax.Hours()))
	case s.From.Year() < 2000:
		return Invalid("scope.from", "The window starts in 2000 or later.")
	case s.MaxDuration < 1 || time.Duration(s.MaxDuration)*time.Second > MaxWindow:
		return Invalid("scope.max_duration_s", "Ask for 1 to %d seconds of footage.", int(MaxWindow.Seconds()))
	case !slices.Equal(s.Streams, []string{"video"}):
		return Invalid("scope.streams", `Streams are ["video"].`)
	case s.Faces != "redacted" && s.Faces != "unredacted_requested":
		return Invalid("scope.faces", "Faces are redacted or unredacted_requested.")
	case s.Audio:
		return Invalid("scope.audio", "Sound is never released; ask with false.")
	}
	return nil
}

// checkAfter checks what the agency says that it will do with the footage.
func (c Claims) checkAfter(Expected) error {
	r, o := c.Retention, c.Onward
	switch {
	case r.Days < 1 || r.Days > RetentionMaxDays:
		return Invalid("retention.days", "Say for how many days the clip is kept: 1 to %d.", RetentionMaxDays)
	case r.Trigger != "none" && r.Trigger != "case_close":
		return Invalid("retention.trigger", "The trigger is none or case_close.")
	case !length(r.Statement, 0, StatementMax):
		return Invalid("retention.statement", "Use at most %d characters.", StatementMax)
	case !slices.Contains([]string{"none", "listed", "law_only"}, o.Policy):
		return Invalid("onward.policy", "The policy is none, listed or law_only.")
	case o.Policy == "none" && (len(o.Recipients) > 0 || o.Federal || o.Immigration):
		return Invalid("onward.policy", "With none, nobody else is given the clip: no recipients, federal false, immigration false.")
	case o.Policy == "listed" && len(o.Recipients) == 0:
		return Invalid("onward.recipients", "Name whom the clip will be shared with.")
	case len(o.Recipients) > ListMax:
		return Invalid("onward.recipients", "Name at most %d.", ListMax)
	case len(o.Systems) > ListMax:
		return Invalid("onward.systems", "Name at most %d.", ListMax)
	case !length(o.Statement, 0, StatementMax):
		return Invalid("onward.statement", "Use at most %d characters.", StatementMax)
	}
	for i, x := range o.Recipients {
		if !length(x, 1, NameMax) {
			return Invalid(fmt.Sprintf("onward.recipients.%d", i), "Name the recipient in 1 to %d characters.", NameMax)
		}
	}
	for i, x := range o.Systems {
		if !length(x, 1, SystemMax) {
			return Invalid(fmt.Sprintf("onward.systems.%d", i), "Name the system in 1 to %d characters.", SystemMax)
		}
	}
	return nil
}

// checkRecipients checks who would get the release copies: mailboxes in the agency's own
// domains, and keys of the agency.
func (c Claims) checkRecipients(e Expected) error {
	if n := len(c.Recipients); n < 1 || n > RecipientsMax {
		return Invalid("recipients", "Name 1 to %d recipients.", RecipientsMax)
	}
	for i, r := range c.Recipients {
		at := fmt.Sprintf("recipients.%d", i)
		same := func(x RecipientAsk) bool { return x.KID == r.KID && strings.EqualFold(x.Addr, r.Addr) }
		switch {
		case r.Kind == RecipientEmail && (!mailbox.MatchString(r.Addr) || len(r.Addr) > 254 || strings.Contains(r.Addr, "..")):
			return Invalid(at+".addr", "This is no mail address such as officer@police.example.")
		case r.Kind == RecipientEmail && !e.Agency.MayReceive(r.Addr):
			return Invalid(at+".addr", "This is in none of the mail domains that the agency is registered with.")
		case r.Kind == RecipientEmail && !length(r.Name, 1, NameMax):
			return Invalid(at+".name", "Name the person in 1 to %d characters.", NameMax)
		case r.Kind == RecipientEmail && r.KID != "":
			return Invalid(at+".kid", "A recipient by email has no kid.")
		case r.Kind == RecipientKey && (r.Addr != "" || r.Name != ""):
			return Invalid(at+".kid", "A recipient by key has a kid alone.")
		case r.Kind == RecipientKey && !slices.ContainsFunc(e.Keys, func(k AgencyKey) bool { return k.KID == r.KID && k.Usable(e.Now) == nil }):
			return Invalid(at+".kid", "This is no key of the agency that is in use.")
		case r.Kind != RecipientEmail && r.Kind != RecipientKey:
			return Invalid(at+".kind", "A recipient's kind is email or key.")
		case slices.ContainsFunc(c.Recipients[:i], same):
			return Invalid(at, "This recipient is named twice.")
		}
	}
	return nil
}

// checkAnswer checks whom the homeowner may call, until when, and what the agency attests.
func (c Claims) checkAnswer(e Expected) error {
	least, most := RespondMin, RespondMax
	if c.Lane == LaneExigent {
		least, most = UrgentMin, UrgentMax
	}
	wait := c.RespondBy.Sub(time.Unix(c.IssuedAt, 0))
	switch {
	case !length(c.Contact.Name, 1, NameMax):
		return Invalid("contact.name", "Name the person to ask in 1 to %d characters.", NameMax)
	case !phone.MatchString(c.Contact.Phone):
		return Invalid("contact.phone", "Write a telephone number such as +1 555 0100.")
	case c.Contact.Callback != "registered":
		return Invalid("contact.callback", `The homeowner calls the number on record; callback is "registered".`)
	case wait < least || wait > most:
		return Invalid("respond_by", "In the lane %s this is %d to %d hours after iat.", c.Lane, int(least.Hours()), int(most.Hours()))
	case c.Attest != AttestID:
		return Invalid("attest", "attest is %q, the text of which is in the API's description.", AttestID)
	case c.Amends != nil && !digest.MatchString(*c.Amends):
		return Invalid("amends", "amends is null, or the request_sha256 of an earlier request of yours.")
	}
	return nil
}
