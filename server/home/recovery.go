package home

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"strings"
	"time"

	"cliplease/relay"
	"cliplease/templates"

	"github.com/gin-gonic/gin"
	"github.com/go-webauthn/webauthn/webauthn"
)

// codes is how many recovery codes a member gets.
const codes = 10

// newCode returns a recovery code of 130 random bits, in groups that a person can copy.
func newCode() string {
	var groups []string
	raw := rand.Text()
	for ; len(raw) > 6; raw = raw[5:] {
		groups = append(groups, raw[:5])
	}
	return strings.Join(append(groups, raw), "-")
}

// codeHash is how a code is stored, whatever a person put between its letters. The code has
// too many bits to be guessed from its hash.
func codeHash(code string) string {
	return digest(strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' || r >= '2' && r <= '7' {
			return r
		}
		return -1
	}, strings.ToUpper(code)))
}

// RecoveryCodes serves GET /recovery-codes, the page on which a member makes codes and prints
// them.
func (s *Server) RecoveryCodes(c *gin.Context) error {
	left, err := s.db.RecoveryCodes(c.Request.Context(), member(c).ID)
	if err != nil {
		return err
	}
	return page(c, "recovery_codes", templates.RecoveryCodes{Layout: s.layout(c, "household", "Recovery codes"), Left: left, Name: member(c).Name, Address: s.site.Home + "/recover"})
}

// MakeCodes handles POST /recovery-codes: ten new codes, told once. Earlier ones are void.
func (s *Server) MakeCodes(c *gin.Context) error {
	if err := form(c, &struct{}{}); err != nil {
		return err
	}
	made, hashes := make([]string, codes), make([]string, codes)
	for i := range made {
		made[i] = newCode()
		hashes[i] = codeHash(made[i])
	}
	if err := s.db.SetRecoveryCodes(c.Request.Context(), member(c).ID, hashes, s.now()); err != nil {
		return err
	}
	c.JSON(http.StatusOK, gin.H{"codes": made})
	return nil
}

// Recover serves GET /recover, for a member who lost every passkey.
func (s *Server) Recover(c *gin.Context) error {
	return page(c, "recover", templates.Recover{Layout: templates.Layout{Title: "Come back with a recovery code", Scripts: []string{"home.js"}}})
}

var errCode = relay.Invalid("code", "This is no recovery code of this home, or it was used. Each works once, and new ones make the old void.")

// codeMember is whose unused recovery code has the hash.
func (s *Server) codeMember(ctx context.Context, hash string) (relay.Member, error) {
	m, err := s.db.CodeMember(ctx, hash)
	if errors.Is(err, relay.ErrNotFound) {
		return m, errCode
	}
	return m, err
}

// RecoverBegin handles POST /recover/begin {"code", "device"}: it starts the registration of a
// new passkey. The code is used up when that is finished.
func (s *Server) RecoverBegin(c *gin.Context) error {
	var f struct {
		Code   string `json:"code"`
		Device string `json:"device"`
	}
	if err := form(c, &f); err != nil {
		return err
	}
	hash := codeHash(f.Code)
	m, err := s.codeMember(c.Request.Context(), hash)
	if err != nil {
		return err
	}
	return s.beginBack(c, m, hash)
}

// beginBack starts the registration of a new passkey for somebody who belongs to the home.
func (s *Server) beginBack(c *gin.Context, m relay.Member, subject string) error {
	p, _, err := s.person(c.Request.Context(), m)
	if err != nil {
		return err
	}
	creation, data, err := s.passkeys.BeginRegistration(p, algorithms, webauthn.WithExclusions(webauthn.Credentials(p.keys).CredentialDescriptors()))
	if err != nil {
		return err
	}
	id, err := s.begin(c, "register", m.ID, subject, "", data)
	if err != nil {
		return err
	}
	c.JSON(http.StatusOK, gin.H{"publicKey": creation.Response, "ceremony": id})
	return nil
}

// RecoverFinish handles POST /recover/finish: the code is used up, the member is in, nothing
// can be approved for a while, and everybody is told.
func (s *Server) RecoverFinish(c *gin.Context) error {
	var f finished
	if err := form(c, &f); err != nil {
		return err
	}
	ctx := c.Request.Context()
	v, data, err := s.pending(c, f.Ceremony, "register")
	if err != nil {
		return err
	}
	if v.Subject == "" || codeHash(f.Code) != v.Subject {
		return errCode
	}
	m, err := s.codeMember(ctx, v.Subject)
	if err != nil {
		return err
	}
	if m.ID != v.MemberID {
		return errCeremony
	}
	p, _, err := s.person(ctx, m)
	if err != nil {
		return err
	}
	key, err := s.registered(c, v, data, p, f)
	if err != nil {
		return err
	}
	started, token := s.newSession(c, m.ID)
	if err := s.db.Recover(ctx, v.Subject, key, started, s.now()); errors.Is(err, relay.ErrConflict) {
		return errCode
	} else if err != nil {
		return err
	}
	setCookie(c, token)
	return follow(c, "/household")
}

// frozen says until when and why nothing can be approved, or nothing.
func (s *Server) frozen(ctx context.Context) (string, error) {
	f, err := s.db.Frozen(ctx, s.now())
	if err != nil {
		return "", err
	}
	if err := f.Check(s.now()); err != nil {
		var invalid *relay.InvalidError
		if errors.As(err, &invalid) {
			return invalid.Say(templates.Spoken(ctx).Sentence), nil
		}
		return "", err
	}
	return "", nil
}

// EndEverything handles POST /end-everything {"hours", "reason"}: every live release ends, and
// nothing can be approved for so many hours.
func (s *Server) EndEverything(c *gin.Context) error {
	var f struct {
		Hours  int    `json:"hours"`
		Reason string `json:"reason"`
	}
	if err := form(c, &f); err != nil {
		return err
	}
	if f.Hours < 1 || f.Hours > int(relay.MaxFreeze.Hours()) {
		return relay.Invalid("hours", "Choose for how long nothing can be approved: 1 to %d hours.", int(relay.MaxFreeze.Hours()))
	}
	reason := strings.TrimSpace(f.Reason)
	if len(reason) > relay.ReasonMaxBytes {
		return relay.Invalid("reason", "Say why in at most %d characters.", relay.ReasonMaxBytes)
	}
	ended, err := s.db.EndEverything(c.Request.Context(), member(c).ID, time.Duration(f.Hours)*time.Hour, reason, s.now())
	for _, id := range ended {
		s.media.Cut(id)
	}
	if err != nil {
		return err
	}
	return follow(c, "/releases")
}

// RevokeRecipient handles POST /links/:id/revoke-recipient: whoever holds the link loses every
// link that they hold.
func (s *Server) RevokeRecipient(c *gin.Context) error {
	if err := form(c, &struct{}{}); err != nil {
		return err
	}
	l, err := s.db.Link(c.Request.Context(), c.Param("id"))
	if err != nil {
		return err
	}
	ended, err := s.db.RevokeRecipient(c.Request.Context(), l.ID, member(c).ID, s.now())
	for _, id := range ended {
		s.media.CutLink(id)
	}
	if err != nil {
		return err
	}
	return follow(c, "/releases/"+l.ReleaseID)
}

// quorum says who has signed a release under review that several members have to sign, or nil.
func (s *Server) quorum(ctx context.Context, rel relay.Release, need *relay.GrantQuorum, me string, zone *time.Location) (*templates.Quorum, error) {
	if need == nil {
		return nil, nil
	}
	q := &templates.Quorum{Needed: need.Needed}
	for _, why := range need.Why {
		q.Why = append(q.Why, sensitive(why))
	}
	earlier, err := s.db.Approvals(ctx, rel.ID)
	if err != nil {
		return nil, err
	}
	for _, a := range earlier {
		name, err := s.memberName(ctx, a.MemberID)
		if err != nil {
			return nil, err
		}
		q.Signed = append(q.Signed, templates.Signed{Name: name, At: a.CreatedAt.In(zone)})
		q.Mine = q.Mine || a.MemberID == me
		if q.Words, err = relay.CheckWords(relay.GrantHash(a.Document), 4); err != nil {
			return nil, err
		}
	}
	q.Able, err = s.able(ctx)
	return q, err
}

// able is how many members may sign.
func (s *Server) able(ctx context.Context) (n int, err error) {
	members, err := s.db.Members(ctx)
	for _, m := range members {
		if m.Role.CanSign() {
			n++
		}
	}
	return n, err
}
