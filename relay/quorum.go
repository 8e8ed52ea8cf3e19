package relay

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Sensitivity is a reason for which one passkey is not enough for a grant.
type Sensitivity string

// The reasons.
const (
	SensitiveSound      Sensitivity = "sound"      // the copies have sound
	SensitiveLong       Sensitivity = "long"       // more footage than [LongWindow]
	SensitiveUrgent     Sensitivity = "exigent"    // an emergency is claimed, which is how fraud hurries people
	SensitiveInterior   Sensitivity = "interior"   // the camera looks into the home
	SensitiveFederal    Sensitivity = "federal"    // the agency says that federal agencies may get it
	SensitiveUnredacted Sensitivity = "unredacted" // something that is otherwise hidden is left visible
	SensitiveRule       Sensitivity = "rule"       // a rule of the home asks for it
)

// LongWindow is how much footage one member can give away alone.
const LongWindow = 15 * time.Minute

// QuorumLimit is the most signatures that a grant can need.
const QuorumLimit = 5

// GrantQuorum says that a grant needs the passkeys of several members. It is part of what each
// of them signs, so that nobody can take a signature of several for one that is enough.
type GrantQuorum struct {
	Needed int           `json:"needed"` // 2 to [QuorumLimit]
	Why    []Sensitivity `json:"why"`    // sorted
}

// Signer is one who signed a grant, as far as the rules care.
type Signer struct {
	Member string
	Role   Role
	Key    string // hex SHA-256 of the passkey's public key
	Looked bool   // said that they looked at the doubtful moments
}

// QuorumOf says which quorum a grant of draft d to request r needs when its copies leave so many
// things visible, or nil when one passkey is enough.
func QuorumOf(r Request, d Draft, c Camera, exceptions int) *GrantQuorum {
	return quorum(r.Claims, d.To.Sub(d.From), false, exceptions, c.Interior, r.Verdict.Quorum)
}

func quorum(c Claims, window time.Duration, sound bool, exceptions int, interior bool, byRule int) *GrantQuorum {
	var why []Sensitivity
	for reason, holds := range map[Sensitivity]bool{
		SensitiveSound: sound, SensitiveLong: window > LongWindow, SensitiveUrgent: c.Lane == LaneExigent, SensitiveInterior: interior,
		SensitiveFederal: c.Onward.Federal, SensitiveUnredacted: exceptions > 0, SensitiveRule: byRule > 1,
	} {
		if holds {
			why = append(why, reason)
		}
	}
	if why == nil {
		return nil
	}
	slices.Sort(why)
	return &GrantQuorum{Needed: min(max(2, byRule), QuorumLimit), Why: why}
}

// same reports whether g asks for what need does.
func (g *GrantQuorum) same(need *GrantQuorum) bool {
	if g == nil || need == nil {
		return g == need
	}
	return g.Needed == need.Needed && slices.Equal(g.Why, need.Why)
}

// Signatures is how many passkeys have to sign g.
func (g Grant) Signatures() int {
	if g.Quorum == nil {
		return 1
	}
	return g.Quorum.Needed
}

// checkQuorum says why g does not name the quorum that it and request c alone show to be
// needed, or nil. What else made the home ask for more, g may name.
func (g Grant) checkQuorum(c Claims, window time.Duration) error {
	if need := quorum(c, window, g.Scope.Audio, len(g.Redaction.Exceptions), false, 0); need != nil {
		for _, why := range need.Why {
			if g.Quorum == nil || !slices.Contains(g.Quorum.Why, why) {
				return fmt.Errorf("the grant does not say that several have to sign it (%s)", why)
			}
		}
	}
	if q := g.Quorum; q != nil && (q.Needed < 2 || q.Needed > QuorumLimit || len(q.Why) == 0) {
		return errors.New("the grant asks for a number of signatures that cannot be")
	}
	return nil
}

// checkSigners says why the members who signed g up to now may not have, or nil.
func (rel Release) checkSigners(g Grant, by []Signer) error {
	switch {
	case len(by) == 0 || len(by) > g.Signatures():
		return fmt.Errorf("%d signatures for a grant that needs %d: %w", len(by), g.Signatures(), ErrState)
	case by[0].Member != g.By.Member:
		return fmt.Errorf("the grant is another member's: %w", ErrPolicy)
	}
	for i, s := range by {
		if !s.Role.CanSign() {
			return fmt.Errorf("member %s may not sign: %w", s.Member, ErrPolicy)
		}
		if rel.NeedsLook && !s.Looked {
			return Invalid("looked", "Look at the moments where the redactor was unsure, then say that you did.")
		}
		for _, earlier := range by[:i] {
			if earlier.Member == s.Member || earlier.Key == s.Key {
				return Invalid("", "You have signed this release already. It takes the passkey of another member who may approve.")
			}
		}
	}
	return nil
}

// signersData is by as an event holds it.
func signersData(by []Signer) []any {
	var out []any
	for _, s := range by {
		out = append(out, map[string]any{"member": s.Member, "key_sha256": s.Key})
	}
	return out
}

// Freeze stops approvals for a time: after somebody came in with a recovery code, or after
// everything was ended at once. Nothing lifts it early, since whoever could would be the one
// that it is for. What is given can be taken back all the while.
type Freeze struct {
	Why   FreezeReason
	By    string // member, or "command line"
	Since time.Time
	Until time.Time
}

// FreezeReason is why approvals are frozen.
type FreezeReason string

// The reasons.
const (
	FrozenByRecovery FreezeReason = "recovery" // a member came back without a passkey
	FrozenByPanic    FreezeReason = "panic"    // a member ended everything
)

// Limits of a freeze.
const (
	RecoveryFreeze = 48 * time.Hour
	MaxFreeze      = 14 * 24 * time.Hour
)

// Check refuses an approval at now while f lasts.
func (f Freeze) Check(now time.Time) error {
	if !now.Before(f.Until) {
		return nil
	}
	why := "somebody came back to this home without a passkey"
	if f.Why == FrozenByPanic {
		why = "a member ended everything"
	}
	return Invalid("", "Nothing can be approved until %s, because %s. Taking back and declining work as always.", f.Until.UTC().Format("2 January 2006, 15:04 UTC"), why)
}
