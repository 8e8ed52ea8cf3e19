package home

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"cliplease/relay"
	"cliplease/server/token"
	"cliplease/storage"
	"cliplease/templates"

	"github.com/gin-gonic/gin"
	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
)

// GrantBegin handles POST /releases/:id/grant/begin {"looked"}: it writes down exactly what
// the member is about to approve, and asks their passkey to sign it. Nothing changes yet.
func (s *Server) GrantBegin(c *gin.Context) error {
	ctx := c.Request.Context()
	var f struct {
		Looked bool `json:"looked"`
	}
	if err := form(c, &f); err != nil {
		return err
	}
	rel, q, err := s.underReview(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	if rel.NeedsLook && !f.Looked {
		return relay.Invalid("looked", "Look at the moments where the redactor was unsure, then say that you did.")
	}
	m := member(c)
	p, _, err := s.person(ctx, m)
	if err != nil {
		return err
	}
	if len(p.keys) == 0 {
		return relay.Invalid("", "None of your passkeys works any more. Add one on the page Household.")
	}
	g, canonical, err := s.toSign(ctx, rel, q, m)
	if err != nil {
		return err
	}
	// The challenge is unpredictable because the grant holds a random nonce.
	assertion, data, err := s.passkeys.BeginLogin(p, webauthn.WithChallenge(relay.GrantChallenge(canonical)), webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return err
	}
	id, err := s.begin(c, "grant", m.ID, rel.ID, string(canonical), data)
	if err != nil {
		return err
	}
	hash := relay.GrantHash(canonical)
	words, err := relay.CheckWords(hash, 4)
	if err != nil {
		return err
	}
	c.JSON(http.StatusOK, gin.H{"publicKey": assertion.Response, "ceremony": id, "grant_id": g.GrantID, "grant_sha256": hash, "check_words": words})
	return nil
}

// toSign returns the grant that m may sign now, with its canonical form: a new one, or the one
// that another member has signed already where several have to.
func (s *Server) toSign(ctx context.Context, rel relay.Release, q relay.Request, m relay.Member) (g relay.Grant, canonical []byte, err error) {
	earlier, err := s.db.Approvals(ctx, rel.ID)
	if err != nil {
		return g, nil, err
	}
	for _, a := range earlier {
		if a.MemberID == m.ID {
			return g, nil, relay.Invalid("", "You have signed this release. It waits for the passkey of another member who may approve.")
		}
	}
	if len(earlier) > 0 {
		canonical = earlier[0].Document
		return g, canonical, json.Unmarshal(canonical, &g)
	}
	if g, err = s.grant(ctx, rel, q, m); err != nil {
		return g, nil, err
	}
	canonical, err = g.Canonical()
	return g, canonical, err
}

// underReview returns a release that can be signed now, with its request. A release copy that
// failed a check is never signed, and nothing is while approvals are frozen.
func (s *Server) underReview(ctx context.Context, id string) (relay.Release, relay.Request, error) {
	rel, err := s.db.Release(ctx, id)
	if err != nil {
		return rel, relay.Request{}, err
	}
	q, err := s.db.Request(ctx, rel.RequestID)
	if err != nil {
		return rel, q, err
	}
	if rel.State != relay.ReleaseInReview {
		return rel, q, relay.ErrState
	}
	f, err := s.db.Frozen(ctx, s.now())
	if err != nil {
		return rel, q, err
	}
	if err := f.Check(s.now()); err != nil {
		return rel, q, err
	}
	if !q.Open(s.now()) {
		return rel, q, relay.Invalid("", "The request is closed: its deadline has passed, or it was taken back. Nothing can be released to it any more.")
	}
	if !rel.Draft.Expires.After(s.now()) {
		return rel, q, relay.Invalid("", "The lease that you chose would be over by now. Change the release and prepare it again.")
	}
	camera, _, err := s.shot(ctx, rel)
	if err != nil {
		return rel, q, err
	}
	v, err := summary(templates.English, rel)
	if err != nil {
		return rel, q, err
	}
	if v != nil {
		if err := rel.CheckMasks(camera.Masks); err != nil {
			return rel, q, err
		}
	}
	if v == nil || len(v.Failed) > 0 {
		return rel, q, relay.Invalid("", "A check of the release copy failed, so it cannot be released. Change the release and prepare it again.")
	}
	return rel, q, nil
}

// grant writes down what an approval of rel allows.
func (s *Server) grant(ctx context.Context, rel relay.Release, q relay.Request, m relay.Member) (g relay.Grant, err error) {
	clip, err := s.db.Clip(ctx, rel.ClipID)
	if err != nil {
		return g, err
	}
	camera, err := s.db.Camera(ctx, clip.CameraID)
	if err != nil {
		return g, err
	}
	salt, err := hex.DecodeString(clip.Salt)
	if err != nil {
		return g, err
	}
	open, err := rel.Exceptions()
	if err != nil {
		return g, err
	}
	now := s.now()
	g = relay.Grant{
		V: 1, Nonce: newToken(), Relay: s.site.Name, GrantID: relay.NewID(),
		Request:   relay.GrantRequest{SHA256: q.SHA256, Agency: q.AgencyID, Case: q.Claims.Case.Ref, Purpose: string(q.Claims.Purpose.Code)},
		By:        relay.GrantBy{Member: m.ID, Role: string(m.Role)},
		DecidedAt: relay.Stamp(now),
		Scope: relay.GrantScope{
			Camera: camera.Handle, From: relay.Stamp(rel.Draft.From), To: relay.Stamp(rel.Draft.To), Streams: []string{"video"},
			Narrowed: rel.Draft.From.After(q.Claims.Scope.From) || rel.Draft.To.Before(q.Claims.Scope.To),
		},
		Source:    relay.GrantSource{Commit: commit(salt, clip.SHA256)},
		Redaction: relay.GrantRedaction{Profile: "faces+plates-" + string(rel.Draft.Style) + "-v1", Exceptions: append([]relay.Exception{}, open...)},
		Access:    relay.GrantAccess{NotBefore: relay.Stamp(now), Expires: relay.Stamp(rel.Draft.Expires), MaxViews: rel.Draft.MaxViews, Download: rel.Draft.Download},
		Conditions: relay.GrantConditions{
			Use: "case " + q.Claims.Case.Ref + " only", Onward: q.Claims.Onward.Policy, RetainDays: q.Claims.Retention.Days, DestroyAttest: true,
		},
		Quorum: relay.QuorumOf(q, rel.Draft, camera, len(open)),
		UI:     relay.GrantUI{Template: "release", Lang: "en", App: s.version},
	}
	g.Type, g.Basis, g.Order = q.Claims.LegalBasis.Record()
	if _, g.Redaction.StaticMasks, err = rel.MadeWith(); err != nil {
		return g, err
	}
	edits := rel.Draft.Edits
	if len(edits) == 0 {
		edits = json.RawMessage("[]")
	}
	if g.Redaction.ManualBoxes, err = relay.CanonicalHash(edits); err != nil {
		return g, err
	}
	if g.UI.TemplateSHA256, err = templates.Digest(templates.Spoken(ctx), "release"); err != nil {
		return g, err
	}
	for _, c := range rel.Copies {
		g.Outputs = append(g.Outputs, relay.GrantOutput{
			Recipient: c.ID, Kind: string(c.Recipient.Kind), AddrCommit: commit(salt, c.Recipient.Addr+c.Recipient.KID), Display: c.Recipient.Display(),
			FileSHA256: c.SHA256, Bytes: c.Bytes,
		})
	}
	return g, nil
}

// commit is the hex HMAC-SHA256 of text: whoever holds the salt can show what was meant.
func commit(salt []byte, text string) string {
	m := hmac.New(sha256.New, salt)
	m.Write([]byte(text))
	return hex.EncodeToString(m.Sum(nil))
}

// GrantFinish handles POST /releases/:id/grant/finish: the signature is checked, and in one
// transaction the ceremony is used up and the release goes live, or waits for the passkeys of
// other members where several have to sign.
func (s *Server) GrantFinish(c *gin.Context) error {
	ctx := c.Request.Context()
	var f finished
	if err := form(c, &f); err != nil {
		return err
	}
	v, data, err := s.pending(c, f.Ceremony, "grant")
	if err != nil {
		return err
	}
	if v.Subject != c.Param("id") {
		return errCeremony
	}
	rel, q, err := s.underReview(ctx, v.Subject)
	if err != nil {
		return err
	}
	m := member(c)
	p, stored, err := s.person(ctx, m)
	if err != nil {
		return err
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(f.Credential)
	if err != nil {
		return s.refused(err)
	}
	used, err := s.passkeys.ValidateLogin(p, data, parsed)
	if err != nil {
		return s.refused(err)
	}
	key, err := s.use(used, m.ID)
	if err != nil {
		return err
	}
	for _, k := range stored {
		if k.ID == key.ID {
			key.Name, key.CreatedAt = k.Name, k.CreatedAt
		}
	}
	var g relay.Grant
	if err := json.Unmarshal([]byte(v.Document), &g); err != nil {
		return err
	}
	links, err := s.links(ctx, rel, q)
	if err != nil {
		return err
	}
	err = s.db.SignRelease(ctx, storage.Signing{
		ReleaseID: rel.ID, CeremonyID: v.ID, Grant: g, Canonical: []byte(v.Document), Member: m.ID, Looked: f.Looked, Links: links, Key: s.store.Identity.Relay,
		Signature: storage.Signature{
			ClientData: parsed.Raw.AssertionResponse.ClientDataJSON, AuthenticatorData: parsed.Raw.AssertionResponse.AuthenticatorData,
			Signature: parsed.Raw.AssertionResponse.Signature, PublicKey: used.PublicKey, Credential: key,
		},
	}, s.now())
	if errors.Is(err, relay.ErrPolicy) {
		return relay.Invalid("", "The release was changed since you looked. Load the page again, look, and approve what is there now.")
	}
	if err != nil {
		return err
	}
	if rel, err = s.db.Release(ctx, rel.ID); err != nil {
		return err
	}
	if rel.State == relay.ReleaseIsLive {
		s.media.Cut(rel.ID) // the original ends with the review
	}
	return follow(c, "/releases/"+rel.ID)
}

// links makes a link for every recipient of a grant. Their secrets are known to the outbox
// alone, until each is mailed.
func (s *Server) links(ctx context.Context, rel relay.Release, q relay.Request) ([]storage.SignedLink, error) {
	a, err := s.db.Agency(ctx, q.AgencyID)
	if err != nil {
		return nil, err
	}
	var out []storage.SignedLink
	for _, copy := range rel.Copies {
		jti := token.NewLinkID()
		l := storage.SignedLink{Link: relay.Link{
			ID: "l" + relay.NewID(), TokenHash: token.LinkHash(jti), ReleaseID: rel.ID, CopyID: copy.ID, ExpiresAt: rel.Draft.Expires, MaxViews: rel.Draft.MaxViews,
		}}
		if copy.Recipient.Kind == relay.RecipientEmail {
			raw, err := token.MintLink(s.store.Identity, s.site, jti, rel.ID, rel.Draft.Expires)
			if err != nil {
				return nil, err
			}
			l.Token, l.Mail = s.site.View+"/r#"+raw, copy.Recipient.Addr
			l.Data = map[string]string{
				"name": copy.Recipient.Name, "agency": a.Name, "case": q.Claims.Case.Ref, "until": rel.Draft.Expires.UTC().Format(time.RFC3339),
				"views": strconv.Itoa(rel.Draft.MaxViews), "download": strconv.FormatBool(rel.Draft.Download),
			}
		}
		out = append(out, l)
	}
	return out, nil
}
