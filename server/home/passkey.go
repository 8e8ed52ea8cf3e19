package home

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/mail"
	"strings"
	"time"
	"unicode/utf8"

	"cliplease/relay"
	"cliplease/storage"
	"cliplease/templates"

	"github.com/gin-gonic/gin"
	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
)

const ceremonyLife = 5 * time.Minute

// algorithms are those whose signatures every verifier of the evidence can check: EdDSA,
// ES256 and RS256.
var algorithms = webauthn.WithCredentialParameters(webauthn.CredentialParametersRecommendedL3())

// person is a member as the WebAuthn library wants one.
type person struct {
	id, name string
	keys     []webauthn.Credential
}

func (p person) WebAuthnID() []byte                         { return []byte(p.id) }
func (p person) WebAuthnName() string                       { return p.name }
func (p person) WebAuthnDisplayName() string                { return p.name }
func (p person) WebAuthnCredentials() []webauthn.Credential { return p.keys }

// person returns a member with the passkeys that still work.
func (s *Server) person(ctx context.Context, m relay.Member) (person, []storage.Credential, error) {
	stored, err := s.db.Credentials(ctx, m.ID)
	if err != nil {
		return person{}, nil, err
	}
	p := person{id: m.ID, name: m.Name}
	for _, c := range stored {
		var k webauthn.Credential
		if err := json.Unmarshal([]byte(c.Record), &k); err != nil {
			return p, nil, fmt.Errorf("passkey %s is damaged: %w", c.ID, err)
		}
		p.keys = append(p.keys, k)
	}
	return p, stored, nil
}

// pending is what a ceremony keeps between its two calls.
type pending struct {
	Library webauthn.SessionData `json:"library"`
	Browser string               `json:"browser"` // hash of the session that began it; empty before there is one
}

// begin stores a ceremony. It is good for five minutes, once, in the same browser session.
func (s *Server) begin(c *gin.Context, kind, memberID, subject, document string, data *webauthn.SessionData) (id string, err error) {
	raw, err := json.Marshal(pending{Library: *data, Browser: session(c).TokenHash})
	if err != nil {
		return "", err
	}
	id = relay.NewID()
	return id, s.db.SaveCeremony(c.Request.Context(), storage.Ceremony{
		ID: id, Kind: kind, MemberID: memberID, Subject: subject, Session: string(raw), Document: document, ExpiresAt: s.now().Add(ceremonyLife),
	})
}

var errCeremony = relay.Invalid("", "This passkey prompt was used or is older than five minutes. Start again.")

// pending reads a ceremony that this browser began and that was not used yet.
func (s *Server) pending(c *gin.Context, id, kind string) (storage.Ceremony, webauthn.SessionData, error) {
	var p pending
	v, err := s.db.Ceremony(c.Request.Context(), id, kind, s.now())
	if errors.Is(err, relay.ErrNotFound) {
		return v, p.Library, errCeremony
	}
	if err != nil {
		return v, p.Library, err
	}
	if err := json.Unmarshal([]byte(v.Session), &p); err != nil {
		return v, p.Library, err
	}
	if p.Browser != session(c).TokenHash || v.MemberID != member(c).ID && kind != "register" {
		return v, p.Library, errCeremony
	}
	return v, p.Library, nil
}

// refused is the answer to a passkey that did not prove what it should. The library's reason
// goes to the log; it may quote what the browser sent.
func (s *Server) refused(err error) error {
	reason := err.Error()
	var detail *protocol.Error
	if errors.As(err, &detail) {
		reason = detail.Details + " " + detail.DevInfo
	}
	s.log.Info("passkey refused", "reason", reason)
	return relay.Invalid("", "This passkey was not accepted. Use a passkey that belongs to this home, with your fingerprint, face or PIN.")
}

// use turns a verified passkey into what is stored of it. A counter that went backwards means
// that the passkey was copied.
func (s *Server) use(used *webauthn.Credential, memberID string) (storage.Credential, error) {
	if used.Authenticator.CloneWarning {
		return storage.Credential{}, s.refused(errors.New("the counter went backwards"))
	}
	record, err := json.Marshal(used)
	return storage.Credential{ID: credentialID(used.ID), MemberID: memberID, Record: string(record)}, err
}

func credentialID(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }

// Join serves GET /join. The invitation's token is in the fragment, which no server sees; the
// page sends it when its owner acts.
func (s *Server) Join(c *gin.Context) error {
	return page(c, "join", templates.Join{Layout: templates.Layout{Title: "Join this home", Scripts: []string{"home.js"}}})
}

var errInvitation = relay.Invalid("", "This link was used before, or it has expired. Ask the homeowner for a new one; on the relay's own machine, “cliplease member invite” prints one.")

// joining is what a new member said of themselves, kept in the ceremony.
type joining struct {
	Name  string `json:"name"`
	Email string `json:"email"`
}

// JoinBegin handles POST /join/begin {"token", "name", "email"}: it starts the registration of
// a first passkey for whoever holds an invitation.
func (s *Server) JoinBegin(c *gin.Context) error {
	var f struct {
		Token  string `json:"token"`
		Name   string `json:"name"`
		Email  string `json:"email"`
		Device string `json:"device"`
	}
	if err := form(c, &f); err != nil {
		return err
	}
	v, err := s.db.Invitation(c.Request.Context(), digest(f.Token), s.now())
	if errors.Is(err, relay.ErrNotFound) {
		return errInvitation
	}
	if err != nil {
		return err
	}
	if v.MemberID != "" { // somebody who belongs to the home already
		m, err := s.db.Member(c.Request.Context(), v.MemberID)
		if err != nil {
			return errInvitation
		}
		return s.beginBack(c, m, v.TokenHash)
	}
	name := strings.TrimSpace(f.Name)
	if name == "" {
		name = v.Name
	}
	if err := checkName(name); err != nil {
		return err
	}
	email := strings.TrimSpace(f.Email)
	if v.Email != "" {
		email = v.Email // who invites says where notices go
	}
	if email != "" {
		if err := checkEmail("email", email); err != nil {
			return err
		}
	}
	who, err := json.Marshal(joining{name, email})
	if err != nil {
		return err
	}
	creation, data, err := s.passkeys.BeginRegistration(person{id: relay.NewID(), name: name}, algorithms)
	if err != nil {
		return err
	}
	id, err := s.begin(c, "register", string(data.UserID), v.TokenHash, string(who), data)
	if err != nil {
		return err
	}
	c.JSON(http.StatusOK, gin.H{"publicKey": creation.Response, "ceremony": id})
	return nil
}

// finished is what the page sends when the passkey has answered.
type finished struct {
	Ceremony   string          `json:"ceremony"`
	Credential json.RawMessage `json:"credential"`
	Token      string          `json:"token"` // of the invitation, when joining
	Name       string          `json:"name"`  // the form sends name and email again; those told at the beginning count
	Email      string          `json:"email"`
	Device     string          `json:"device"` // what the member calls the passkey
	Looked     bool            `json:"looked"` // when signing
	To         string          `json:"to"`     // when signing in: the page that was asked for
	Code       string          `json:"code"`   // when coming back
}

// JoinFinish handles POST /join/finish: it makes the member and signs them in.
func (s *Server) JoinFinish(c *gin.Context) error {
	var f finished
	if err := form(c, &f); err != nil {
		return err
	}
	ctx, now := c.Request.Context(), s.now()
	v, data, err := s.pending(c, f.Ceremony, "register")
	if err != nil {
		return err
	}
	invited, err := s.db.Invitation(ctx, v.Subject, now)
	if errors.Is(err, relay.ErrNotFound) || err == nil && digest(f.Token) != v.Subject {
		return errInvitation
	}
	if err != nil {
		return err
	}
	if invited.MemberID != "" {
		return s.comeBack(c, v, data, f)
	}
	var who joining
	if err := json.Unmarshal([]byte(v.Document), &who); err != nil {
		return err
	}
	m := relay.Member{ID: v.MemberID, Name: who.Name, Email: who.Email, Role: invited.Role, CreatedAt: now}
	key, err := s.registered(c, v, data, person{id: m.ID, name: m.Name}, f)
	if err != nil {
		return err
	}
	if err := s.db.Join(ctx, v.Subject, m, key, now); errors.Is(err, relay.ErrConflict) {
		return errInvitation
	} else if err != nil {
		return err
	}
	started, token := s.newSession(c, m.ID)
	if err := s.db.StartSession(ctx, started, now); err != nil {
		return err
	}
	setCookie(c, token)
	if invited.InvitedBy == storage.SetUp {
		return follow(c, "/recovery-codes") // while nobody else could let this person in again
	}
	return follow(c, start(m.Role))
}

// comeBack finishes JoinFinish for a member who lost every passkey, and whom the relay's own
// machine let in.
func (s *Server) comeBack(c *gin.Context, v storage.Ceremony, data webauthn.SessionData, f finished) error {
	ctx, now := c.Request.Context(), s.now()
	m, err := s.db.Member(ctx, v.MemberID)
	if err != nil {
		return errInvitation
	}
	p, _, err := s.person(ctx, m)
	if err != nil {
		return err
	}
	key, err := s.registered(c, v, data, p, f)
	if err != nil {
		return err
	}
	if err := s.db.ComeBack(ctx, v.Subject, key, now); errors.Is(err, relay.ErrConflict) {
		return errInvitation
	} else if err != nil {
		return err
	}
	started, token := s.newSession(c, m.ID)
	if err := s.db.StartSession(ctx, started, now); err != nil {
		return err
	}
	setCookie(c, token)
	return follow(c, "/household")
}

// registered checks a new passkey and uses up its ceremony.
func (s *Server) registered(c *gin.Context, v storage.Ceremony, data webauthn.SessionData, p person, f finished) (storage.Credential, error) {
	parsed, err := protocol.ParseCredentialCreationResponseBytes(f.Credential)
	if err != nil {
		return storage.Credential{}, s.refused(err)
	}
	made, err := s.passkeys.CreateCredential(p, data, parsed)
	if err != nil {
		return storage.Credential{}, s.refused(err)
	}
	if err := s.db.TakeCeremony(c.Request.Context(), v.ID, s.now()); errors.Is(err, relay.ErrConflict) {
		return storage.Credential{}, errCeremony
	} else if err != nil {
		return storage.Credential{}, err
	}
	record, err := json.Marshal(made)
	name := strings.TrimSpace(f.Device)
	if name == "" || utf8.RuneCountInString(name) > 60 {
		name = device(c.Request.UserAgent())
	}
	return storage.Credential{ID: credentialID(made.ID), MemberID: p.id, Name: name, Record: string(record), CreatedAt: s.now()}, err
}

// start is the page that a member sees first.
func start(r relay.Role) string {
	if r.CanSee() {
		return "/"
	}
	return "/household"
}

// SignInBegin handles POST /sign-in/begin. It asks for any passkey of this relay, so that
// nobody has to type who they are.
func (s *Server) SignInBegin(c *gin.Context) error {
	assertion, data, err := s.passkeys.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return err
	}
	id, err := s.begin(c, "sign_in", "", "", "", data)
	if err != nil {
		return err
	}
	c.JSON(http.StatusOK, gin.H{"publicKey": assertion.Response, "ceremony": id})
	return nil
}

// SignInFinish handles POST /sign-in/finish: it starts a new session.
func (s *Server) SignInFinish(c *gin.Context) error {
	var f finished
	if err := form(c, &f); err != nil {
		return err
	}
	ctx := c.Request.Context()
	v, data, err := s.pending(c, f.Ceremony, "sign_in")
	if err != nil {
		return err
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(f.Credential)
	if err != nil {
		return s.refused(err)
	}
	var m relay.Member
	_, used, err := s.passkeys.ValidatePasskeyLogin(func(_, handle []byte) (webauthn.User, error) {
		if m, err = s.db.Member(ctx, string(handle)); err != nil {
			return nil, err
		}
		p, _, err := s.person(ctx, m)
		return p, err
	}, data, parsed)
	if err != nil {
		return s.refused(err)
	}
	key, err := s.use(used, m.ID)
	if err != nil {
		return err
	}
	started, token := s.newSession(c, m.ID)
	if err := s.db.SignIn(ctx, v.ID, key, started, s.now()); errors.Is(err, relay.ErrConflict) {
		return errCeremony
	} else if err != nil {
		return err
	}
	setCookie(c, token)
	if m.Role.CanSee() && returnTo.MatchString(f.To) {
		return follow(c, f.To)
	}
	return follow(c, start(m.Role))
}

// PasskeyBegin handles POST /passkeys/begin: another passkey for the signed-in member.
func (s *Server) PasskeyBegin(c *gin.Context) error {
	p, _, err := s.person(c.Request.Context(), member(c))
	if err != nil {
		return err
	}
	creation, data, err := s.passkeys.BeginRegistration(p, algorithms, webauthn.WithExclusions(webauthn.Credentials(p.keys).CredentialDescriptors()))
	if err != nil {
		return err
	}
	id, err := s.begin(c, "register", p.id, "", "", data)
	if err != nil {
		return err
	}
	c.JSON(http.StatusOK, gin.H{"publicKey": creation.Response, "ceremony": id})
	return nil
}

// PasskeyFinish handles POST /passkeys/finish.
func (s *Server) PasskeyFinish(c *gin.Context) error {
	var f finished
	if err := form(c, &f); err != nil {
		return err
	}
	v, data, err := s.pending(c, f.Ceremony, "register")
	if err != nil {
		return err
	}
	if v.MemberID != member(c).ID || v.Subject != "" {
		return errCeremony
	}
	p, _, err := s.person(c.Request.Context(), member(c))
	if err != nil {
		return err
	}
	key, err := s.registered(c, v, data, p, f)
	if err != nil {
		return err
	}
	if err := s.db.AddCredential(c.Request.Context(), key, s.now()); err != nil {
		return err
	}
	return follow(c, "/household")
}

// checkEmail checks an address to which mail will go.
func checkEmail(field, addr string) error {
	parsed, err := mail.ParseAddress(addr)
	if err != nil || parsed.Address != addr || len(addr) > 254 || strings.ContainsAny(addr, "\r\n") {
		return relay.Invalid(field, "This is no mail address; write it like anna@home.example.")
	}
	return nil
}

// checkName checks what a person is called.
func checkName(name string) error {
	if name == "" || utf8.RuneCountInString(name) > 80 || strings.ContainsAny(name, "\r\n\t\x00") {
		return relay.Invalid("name", "Say what you are called (up to 80 characters).")
	}
	return nil
}
