// Package lease makes a relay with a live release in it, without a camera, a redaction or a
// passkey: for tests of what recipients may do.
package lease

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"cliplease/relay"
	"cliplease/server/token"
	"cliplease/storage"
)

// Mailbox is the recipient's.
const Mailbox = "det@pd.example"

// Home is a relay with one homeowner, agency, camera and clip.
type Home struct {
	*storage.Store
	Site   relay.Site
	Member string // id of the homeowner
	Now    func() time.Time
	agency relay.Agency
	clip   relay.Clip
	pass   storage.Credential
}

// Lease is one live release to [Mailbox].
type Lease struct {
	Release relay.Release
	Copy    relay.Copy
	Link    relay.Link
	Token   string // what stands behind the # of the link
}

// Terms are what a release is signed with. Zero fields choose two days and five views.
type Terms struct {
	For      time.Duration
	MaxViews int
	Download bool
	Also     string // mailbox of a second recipient
}

// New fills an empty store.
func New(ctx context.Context, store *storage.Store, site relay.Site, now func() time.Time) (*Home, error) {
	h := &Home{Store: store, Site: site, Now: now}
	at, digest := now(), digestOf([]byte(relay.NewID()))
	invitation := storage.Invitation{TokenHash: digestOf([]byte(relay.NewID())), Role: relay.RoleHomeowner, Name: "Ada", Email: "ada@home.example", InvitedBy: "command line", ExpiresAt: at.Add(time.Hour)}
	if err := store.DB.Invite(ctx, invitation, at); err != nil {
		return nil, err
	}
	h.Member = relay.NewID()
	h.pass = storage.Credential{ID: relay.NewID(), MemberID: h.Member, Name: "Phone", Record: "{}"}
	m := relay.Member{ID: h.Member, Name: "Ada", Email: "ada@home.example", Role: relay.RoleHomeowner, CreatedAt: at}
	if err := store.DB.Join(ctx, invitation.TokenHash, m, h.pass, at); err != nil {
		return nil, err
	}
	h.agency = relay.Agency{ID: "urn:cliplease:agency:us-mn-exampleville-pd", Name: "Exampleville Police", Level: relay.LevelLocal, Domains: []string{"pd.example"},
		Status: relay.AgencyActive, VerifiedBy: "command line", VerifiedHow: "called", VerifiedAt: at, VerifiedUntil: at.AddDate(1, 0, 0), CreatedAt: at}
	key := relay.AgencyKey{KID: strings.Repeat("k", 43), AgencyID: h.agency.ID, Alg: "EdDSA", JWK: "{}", NotBefore: at, NotAfter: at.AddDate(1, 0, 0), Status: relay.KeyActive, Since: at}
	if err := store.DB.RegisterAgency(ctx, h.agency, []relay.AgencyKey{key}, "command line", at); err != nil {
		return nil, err
	}
	camera := relay.Camera{ID: relay.NewID(), Handle: "front-door", Name: "Front door", Zone: "Europe/Amsterdam", CreatedAt: at}
	if err := store.DB.SaveCamera(ctx, camera, h.Member, at); err != nil {
		return nil, err
	}
	h.clip = relay.Clip{ID: relay.NewID(), CameraID: camera.ID, Name: "clip.mp4", Start: at.Add(-2 * time.Hour).Truncate(time.Second), State: relay.ClipReceived,
		Object: "o" + relay.NewID(), Bytes: 1 << 20, SHA256: digest, Salt: digest, CreatedAt: at}
	if err := store.DB.AddClip(ctx, h.clip, h.Member, at); err != nil {
		return nil, err
	}
	h.clip.State, h.clip.Duration, h.clip.Width, h.clip.Height, h.clip.FPS, h.clip.Codec = relay.ClipReady, 2*time.Minute, 1280, 720, 25, "h264"
	return h, store.DB.ClipLooked(ctx, h.clip, at)
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Sign makes a release whose copy for [Mailbox] is content, and signs it.
func (h *Home) Sign(ctx context.Context, content []byte, terms Terms) (l Lease, err error) {
	if terms.For == 0 {
		terms.For = 48 * time.Hour
	}
	if terms.MaxViews == 0 {
		terms.MaxViews = 5
	}
	now := h.Now()
	from := h.clip.Start
	to := []relay.RecipientAsk{{Kind: relay.RecipientEmail, Addr: Mailbox, Name: "Det. Müller"}}
	if terms.Also != "" {
		to = append(to, relay.RecipientAsk{Kind: relay.RecipientEmail, Addr: terms.Also, Name: "Sgt. Okafor"})
	}
	c := relay.Claims{Issuer: h.agency.ID, Subject: "officer:4711", Audience: h.Site.API, IssuedAt: now.Unix(), Expires: now.Add(5 * time.Minute).Unix(),
		TokenID: relay.NewID(), Version: "1", Lane: relay.LaneVoluntary,
		Purpose: relay.Purpose{Code: relay.PurposeBurglary, Text: "Burglary at 12 Elm Street; a man ran past the camera."}, LegalBasis: relay.LegalBasis{Kind: relay.BasisVoluntary},
		Case:       relay.Case{Ref: "EPD-2026-0042", Opened: "2026-11-20"},
		Scope:      relay.Scope{Target: relay.Target{Handle: "front-door"}, From: from, To: from.Add(time.Minute), MaxDuration: 60, Streams: []string{"video"}, Faces: "redacted"},
		Recipients: to, RespondBy: now.Add(72 * time.Hour).Truncate(time.Second), Attest: relay.AttestID}
	q, e := relay.ReceiveRequest(relay.NewID(), strings.Repeat("k", 43), "token "+c.TokenID, c, h.Identity.Secret("jitter"), now)
	if q, _, err = h.DB.ReceiveRequest(ctx, q, e, time.Time{}, nil); err != nil {
		return l, err
	}
	draft := relay.Draft{From: from, To: from.Add(30 * time.Second), Style: relay.StyleBlur, Targets: []string{"faces", "plates"}, Expires: now.Add(terms.For).Truncate(time.Second),
		MaxViews: terms.MaxViews, Download: terms.Download}
	for _, r := range to {
		draft.Recipients = append(draft.Recipients, relay.Recipient(r))
	}
	rel, err := h.DB.PrepareRelease(ctx, q.ID, h.clip.ID, draft, h.Member, now)
	if err != nil {
		return l, err
	}
	for i := range rel.Copies {
		c, content := &rel.Copies[i], content
		if i > 0 {
			content = append(bytes.Clone(content), "for another"...)
		}
		key, err := h.Keys.New(ctx, c.ID, rel.ID)
		if err != nil {
			return l, err
		}
		c.Object = "o" + relay.NewID()
		if _, err := storage.SealTo(ctx, h.Objects, c.Object, key, bytes.NewReader(content)); err != nil {
			return l, err
		}
		c.Bytes, c.SHA256 = int64(len(content)), digestOf(content)
	}
	if err := h.DB.Prepared(ctx, rel.ID, rel.Round, rel.Copies, "", 0, relay.Summary{Frames: 750, FPS: 25, Width: 1280, Height: 720, SourceSHA: digestOf(content)}, nil, now); err != nil {
		return l, err
	}
	if rel, err = h.DB.Release(ctx, rel.ID); err != nil {
		return l, err
	}
	l.Copy = rel.Copies[0]
	g := relay.Grant{V: 1, Type: "cliplease.grant", Nonce: relay.NewID(), Relay: h.Site.Name, GrantID: relay.NewID(), Basis: "consent",
		Request:   relay.GrantRequest{SHA256: q.SHA256, Agency: q.AgencyID, Case: c.Case.Ref, Purpose: string(c.Purpose.Code)},
		By:        relay.GrantBy{Member: h.Member, Role: string(relay.RoleHomeowner), Credential: h.pass.ID},
		DecidedAt: relay.Stamp(now), Scope: relay.GrantScope{Camera: "front-door", From: relay.Stamp(draft.From), To: relay.Stamp(draft.To), Streams: []string{"video"}},
		Access:     relay.GrantAccess{NotBefore: relay.Stamp(now), Expires: relay.Stamp(draft.Expires), MaxViews: draft.MaxViews, Download: draft.Download},
		Conditions: relay.GrantConditions{Use: "case EPD-2026-0042 only", Onward: "none", RetainDays: 30, DestroyAttest: true},
	}
	if _, g.Redaction.StaticMasks, err = rel.MadeWith(); err != nil {
		return l, err
	}
	for _, c := range rel.Copies {
		g.Outputs = append(g.Outputs, relay.GrantOutput{Recipient: c.ID, Kind: "email", Display: c.Recipient.Display(), FileSHA256: c.SHA256, Bytes: c.Bytes})
	}
	canonical, err := g.Canonical()
	if err != nil {
		return l, err
	}
	jti := token.NewLinkID()
	if l.Token, err = token.MintLink(h.Identity, h.Site, jti, rel.ID, draft.Expires); err != nil {
		return l, err
	}
	ceremony := storage.Ceremony{ID: relay.NewID(), Kind: "grant", MemberID: h.Member, Subject: rel.ID, Session: "{}", Document: string(canonical), ExpiresAt: now.Add(5 * time.Minute)}
	if err := h.DB.SaveCeremony(ctx, ceremony); err != nil {
		return l, err
	}
	l.Link = relay.Link{ID: relay.NewID(), TokenHash: token.LinkHash(jti), CopyID: l.Copy.ID, ExpiresAt: draft.Expires, MaxViews: draft.MaxViews}
	signing := storage.Signing{ReleaseID: rel.ID, CeremonyID: ceremony.ID, Grant: g, Canonical: canonical, Member: h.Member, Key: h.Identity.Relay,
		Signature: storage.Signature{ClientData: []byte("{}"), AuthenticatorData: []byte("a"), Signature: []byte("s"), PublicKey: []byte("k"), Credential: h.pass},
		Links: []storage.SignedLink{{Link: l.Link, Token: h.Site.View + "/r#" + l.Token, Mail: Mailbox, Data: map[string]string{
			"name": "Det. Müller", "agency": h.agency.Name, "case": c.Case.Ref, "until": relay.Stamp(draft.Expires), "views": fmt.Sprint(draft.MaxViews), "download": fmt.Sprint(draft.Download)}}}}
	if terms.Also != "" {
		signing.Links = append(signing.Links, storage.SignedLink{Link: relay.Link{ID: relay.NewID(), TokenHash: relay.NewID(), CopyID: rel.Copies[1].ID, ExpiresAt: draft.Expires, MaxViews: draft.MaxViews}})
	}
	err = h.DB.SignRelease(ctx, signing, now)
	if err != nil {
		return l, err
	}
	l.Release, err = h.DB.Release(ctx, rel.ID)
	return l, err
}
