package storage

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/test/servers"
)

// postgres is one server for all tests of the package, started by the first that needs it.
var postgres struct {
	once   sync.Once
	server *servers.Postgres
	err    error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if postgres.server != nil {
		postgres.server.Stop()
	}
	os.Exit(code)
}

// emptyPostgres returns the address of a new, empty database.
func emptyPostgres(t testing.TB) string {
	t.Helper()
	postgres.once.Do(func() {
		postgres.server, postgres.err = servers.StartPostgres(context.Background(), os.Getenv("CLIPLEASE_TEST_POSTGRES"))
	})
	if postgres.err != nil {
		t.Fatal(postgres.err)
	}
	address, err := postgres.server.Database(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// engines are the databases that every test of the state runs on. Each returns a new, empty
// one, as [Config.Database] names it.
var engines = []struct {
	name  string
	empty func(testing.TB) string
}{
	{"SQLite", func(testing.TB) string { return "" }},
	{"PostgreSQL", emptyPostgres},
}

// forEachDB runs test on a new home on each engine, and checks all invariants afterwards.
func forEachDB(t *testing.T, test func(t *testing.T, h *home)) {
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			h := newHome(t, Config{Dir: filepath.Join(t.TempDir(), "data"), Database: e.empty(t)})
			test(t, h)
			invariants(t, h.Store)
		})
	}
}

// invariants fails t unless everything that s holds fits together.
func invariants(t testing.TB, s *Store) {
	t.Helper()
	if _, err := s.Verify(context.Background()); err != nil {
		t.Errorf("invariants: %v", err)
	}
}

// home is a relay with one homeowner, one agency, one camera and one clip, at a moment that
// the test moves.
type home struct {
	*Store
	t      testing.TB
	site   relay.Site
	now    time.Time
	agency relay.Agency
	key    ed25519.PrivateKey
	kid    string
	camera relay.Camera
	clip   relay.Clip
	member relay.Member
	pass   passkey
	search *Search           // that the worker's next rounds keep
	open   []relay.Exception // that they leave visible
}

var testSite = relay.NewSite("relay.example", "", true)

func newHome(t testing.TB, cfg Config) *home {
	t.Helper()
	cfg.Site = testSite
	s, err := Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	h := &home{Store: s, t: t, site: cfg.Site, now: time.Date(2026, 11, 22, 16, 5, 0, 0, time.UTC)}
	h.joins()
	h.registers()
	h.camera = relay.Camera{ID: relay.NewID(), Handle: "front-door", Name: "Front door", Zone: "Europe/Amsterdam",
		ClockOffset: -1500 * time.Millisecond, Masks: []relay.Mask{{X: 0.1, Y: 0.2, W: 0.25, H: 0.5}}, CreatedAt: h.now}
	h.ok(h.DB.SaveCamera(h.ctx(), h.camera, h.member.ID, h.now))
	h.clip = h.film(h.now.Add(-2 * time.Hour))
	return h
}

func (h *home) ctx() context.Context { return h.t.Context() }

// ok fails the test at once unless err is nil.
func (h *home) ok(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// fails reports an error that is not want.
func (h *home) fails(err, want error) {
	h.t.Helper()
	if !errors.Is(err, want) {
		h.t.Errorf("got error %v, want %v", err, want)
	}
}

func hexSum(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func (h *home) joins() {
	h.t.Helper()
	token := relay.NewID()
	h.ok(h.DB.Invite(h.ctx(), Invitation{TokenHash: hexSum(token), Role: relay.RoleHomeowner, Name: "Ada", Email: "ada@home.example", InvitedBy: "command line", ExpiresAt: h.now.Add(time.Hour)}, h.now))
	h.member = relay.Member{ID: relay.NewID(), Name: "Ada", Email: "ada@home.example", Role: relay.RoleHomeowner, CreatedAt: h.now}
	h.pass = newPasskey(h.t)
	h.ok(h.DB.Join(h.ctx(), hexSum(token), h.member, Credential{ID: h.pass.id, MemberID: h.member.ID, Name: "Phone", Record: "{}"}, h.now))
}

func (h *home) registers() {
	h.t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	h.ok(err)
	jwk := `{"crv":"Ed25519","kty":"OKP","x":"` + base64.RawURLEncoding.EncodeToString(public) + `"}`
	sum := sha256.Sum256([]byte(jwk))
	h.key, h.kid = private, base64.RawURLEncoding.EncodeToString(sum[:])
	h.agency = relay.Agency{ID: "urn:cliplease:agency:us-mn-exampleville-pd", Name: "Exampleville Police", Level: relay.LevelLocal, Domains: []string{"pd.example"},
		Status: relay.AgencyActive, VerifiedBy: "command line", VerifiedHow: "called", VerifiedAt: h.now, VerifiedUntil: h.now.AddDate(1, 0, 0), CreatedAt: h.now}
	h.ok(h.DB.RegisterAgency(h.ctx(), h.agency, []relay.AgencyKey{{KID: h.kid, AgencyID: h.agency.ID, Alg: "EdDSA", JWK: jwk,
		NotBefore: h.now, NotAfter: h.now.AddDate(1, 0, 0), Status: relay.KeyActive, Since: h.now}}, "command line", h.now))
}

// film adds a clip of two minutes and has it looked at.
func (h *home) film(start time.Time) relay.Clip {
	h.t.Helper()
	c := relay.Clip{ID: relay.NewID(), CameraID: h.camera.ID, Name: "clip <1>.mp4", Start: start, State: relay.ClipReceived, Object: "o" + relay.NewID(),
		Bytes: 1 << 33, SHA256: hexSum(relay.NewID()), Salt: hexSum(relay.NewID()), CreatedAt: h.now}
	h.ok(h.DB.AddClip(h.ctx(), c, h.member.ID, h.now))
	c.State, c.Duration, c.Width, c.Height, c.FPS, c.Codec, c.Audio = relay.ClipReady, 2*time.Minute, 1280, 720, 29.97, "h264", true
	c.Stills = []string{"o" + relay.NewID(), "o" + relay.NewID()}
	h.ok(h.DB.ClipLooked(h.ctx(), c, h.now))
	return c
}

// token signs claims as the agency does.
func (h *home) token(c relay.Claims) string {
	h.t.Helper()
	return h.tokenBy(c, "EdDSA", h.kid, func(signed []byte) []byte { return ed25519.Sign(h.key, signed) })
}

// tokenBy makes a compact token of claims.
func (h *home) tokenBy(c relay.Claims, alg, kid string, sign func([]byte) []byte) string {
	h.t.Helper()
	payload, err := json.Marshal(c)
	h.ok(err)
	b64 := base64.RawURLEncoding.EncodeToString
	signed := b64([]byte(`{"alg":"`+alg+`","kid":"`+kid+`","typ":"cliplease-request+jwt"}`)) + "." + b64(payload)
	return signed + "." + b64(sign([]byte(signed)))
}

func (h *home) claims() relay.Claims {
	from := h.clip.Start
	return relay.Claims{Issuer: h.agency.ID, Subject: "officer:4711", Audience: h.site.API, IssuedAt: h.now.Unix(), Expires: h.now.Add(5 * time.Minute).Unix(),
		TokenID: strings.ToLower(rand.Text()), Version: "1", Lane: relay.LaneVoluntary,
		Purpose:    relay.Purpose{Code: relay.PurposeBurglary, Text: "Burglary at 12 Elm Street; a man ran past the camera."},
		LegalBasis: relay.LegalBasis{Kind: relay.BasisVoluntary}, Case: relay.Case{Ref: "EPD-2026-1 <&> \u2028", Opened: "2026-11-20"},
		Scope:      relay.Scope{Target: relay.Target{Handle: "front-door"}, From: from, To: from.Add(time.Minute), MaxDuration: 60, Streams: []string{"video"}, Faces: "redacted"},
		Retention:  relay.Retention{Days: 30, Trigger: "case_close", Statement: "deleted when the case closes"},
		Onward:     relay.Onward{Policy: "none", Recipients: []string{}, Systems: []string{}},
		Recipients: []relay.RecipientAsk{{Kind: relay.RecipientEmail, Addr: "det@pd.example", Name: "Det. Müller"}, {Kind: relay.RecipientKey, KID: h.kid}},
		Contact:    relay.Contact{Name: "Det. Müller", Phone: "+1 555 0100", Callback: "registered"},
		RespondBy:  h.now.Add(72 * time.Hour).Truncate(time.Second), Attest: relay.AttestID}
}

// asks files a request.
func (h *home) asks() relay.Request {
	h.t.Helper()
	c := h.claims()
	q, e := relay.ReceiveRequest(relay.NewID(), h.kid, h.token(c), c, h.Identity.Secret("jitter"), h.now)
	stored, repeated, err := h.DB.ReceiveRequest(h.ctx(), q, e, time.Time{}, nil)
	h.ok(err)
	if repeated {
		h.t.Fatal("a new request is called a repetition")
	}
	return stored
}

func (h *home) draft(q relay.Request) relay.Draft {
	d := relay.Draft{From: q.Claims.Scope.From.Add(10 * time.Second), To: q.Claims.Scope.To, Style: relay.StyleBlur, Targets: []string{"faces", "plates"},
		Expires: h.now.Add(48 * time.Hour).Truncate(time.Second), MaxViews: 5}
	for _, r := range q.Claims.Recipients {
		d.Recipients = append(d.Recipients, relay.Recipient(r))
	}
	return d
}

// prepares makes a release, and stores copies of it as the worker does.
func (h *home) prepares(q relay.Request) relay.Release {
	h.t.Helper()
	rel, err := h.DB.PrepareRelease(h.ctx(), q.ID, h.clip.ID, h.draft(q), h.member.ID, h.now)
	h.ok(err)
	return h.works(rel.ID)
}

// works does the worker's part of a release that is preparing.
func (h *home) works(id string) relay.Release {
	h.t.Helper()
	rel, err := h.DB.Release(h.ctx(), id)
	h.ok(err)
	for i := range rel.Copies {
		c := &rel.Copies[i]
		key, err := h.Keys.New(h.ctx(), c.ID, rel.ID)
		h.ok(err)
		c.Object = "o" + relay.NewID()
		sealed, err := SealTo(h.ctx(), h.Objects, c.Object, key, strings.NewReader("release copy for "+c.ID))
		h.ok(err)
		c.Bytes, c.SHA256 = sealed.Bytes, hex.EncodeToString(sealed.SHA256[:])
	}
	_, err = h.Keys.New(h.ctx(), ProxyKey(rel.ID, rel.Round), rel.ID)
	h.ok(err)
	h.ok(h.DB.Prepared(h.ctx(), rel.ID, rel.Round, rel.Copies, "o"+relay.NewID(), 4096, relay.Summary{Frames: 1500, FPS: 30, SourceSHA: hexSum("source"), Masks: h.camera.Masks, Exceptions: h.open}, h.search, h.now))
	rel, err = h.DB.Release(h.ctx(), rel.ID)
	h.ok(err)
	return rel
}

// grant is the grant of rel as the home's pages make it.
func (h *home) grant(q relay.Request, rel relay.Release) relay.Grant {
	nonce := make([]byte, 32)
	rand.Read(nonce)
	g := relay.Grant{V: 1, Type: "cliplease.grant", Nonce: base64.RawURLEncoding.EncodeToString(nonce), Relay: h.site.Name, GrantID: relay.NewID(), Basis: "consent",
		Request:   relay.GrantRequest{SHA256: q.SHA256, Agency: q.AgencyID, Case: q.Claims.Case.Ref, Purpose: string(q.Claims.Purpose.Code)},
		By:        relay.GrantBy{Member: h.member.ID, Role: string(h.member.Role), Credential: h.pass.id},
		DecidedAt: relay.Stamp(h.now),
		Scope:     relay.GrantScope{Camera: "front-door", From: relay.Stamp(rel.Draft.From), To: relay.Stamp(rel.Draft.To), Narrowed: true, Streams: []string{"video"}},
		Access:    relay.GrantAccess{NotBefore: relay.Stamp(h.now), Expires: relay.Stamp(rel.Draft.Expires), MaxViews: rel.Draft.MaxViews, Download: rel.Draft.Download}}
	var err error
	_, g.Redaction.StaticMasks, err = rel.MadeWith()
	h.ok(err)
	for _, c := range rel.Copies {
		g.Outputs = append(g.Outputs, relay.GrantOutput{Recipient: c.ID, Kind: string(c.Recipient.Kind), Display: c.Recipient.Display(), FileSHA256: c.SHA256, Bytes: c.Bytes})
	}
	return g
}

// signing is what the home's pages store when the passkey has signed g.
func (h *home) signing(q relay.Request, rel relay.Release, g relay.Grant) Signing {
	h.t.Helper()
	canonical, err := g.Canonical()
	h.ok(err)
	ceremony := Ceremony{ID: relay.NewID(), Kind: "grant", MemberID: h.member.ID, Subject: rel.ID, Session: "{}", Document: string(canonical), ExpiresAt: h.now.Add(5 * time.Minute)}
	h.ok(h.DB.SaveCeremony(h.ctx(), ceremony))
	s := Signing{ReleaseID: rel.ID, CeremonyID: ceremony.ID, Grant: g, Canonical: canonical, Member: h.member.ID, Key: h.Identity.Relay,
		Signature: h.pass.sign(h.site, relay.GrantChallenge(canonical))}
	s.Signature.Credential = Credential{ID: h.pass.id, MemberID: h.member.ID, Record: `{"count":1}`}
	for _, c := range rel.Copies {
		l := SignedLink{Link: relay.Link{ID: relay.NewID(), TokenHash: hexSum(relay.NewID()), CopyID: c.ID, ExpiresAt: rel.Draft.Expires, MaxViews: rel.Draft.MaxViews}}
		if c.Recipient.Kind == relay.RecipientEmail {
			l.Token, l.Mail, l.Data = "https://view.relay.example/r#secret-"+l.Link.ID, c.Recipient.Addr, map[string]string{"name": c.Recipient.Name}
		}
		s.Links = append(s.Links, l)
	}
	return s
}

// signs makes rel live.
func (h *home) signs(q relay.Request, rel relay.Release) (relay.Release, Signing) {
	h.t.Helper()
	s := h.signing(q, rel, h.grant(q, rel))
	h.ok(h.DB.SignRelease(h.ctx(), s, h.now))
	rel, err := h.DB.Release(h.ctx(), rel.ID)
	h.ok(err)
	return rel, s
}

// leases goes all the way to a live release.
func (h *home) leases() (relay.Release, Signing) {
	h.t.Helper()
	q := h.asks()
	return h.signs(q, h.prepares(q))
}

// opens is a recipient's browser that brought a good token.
func (h *home) opens(s Signing) Opened {
	h.t.Helper()
	o, err := h.DB.LinkByToken(h.ctx(), s.Links[0].Link.TokenHash)
	h.ok(err)
	pre := ViewSession{TokenHash: hexSum(relay.NewID()), LinkID: o.Link.ID, Kind: "pre", CreatedAt: h.now, SeenAt: h.now, ExpiresAt: h.now.Add(relay.CodeLife)}
	h.ok(h.DB.StartPre(h.ctx(), pre))
	o, err = h.DB.View(h.ctx(), pre.TokenHash, "pre")
	h.ok(err)
	return o
}

func (h *home) view(o Opened) ViewSession {
	return ViewSession{TokenHash: hexSum(relay.NewID()), LinkID: o.Link.ID, Kind: "view", MediaPath: relay.NewID(), CreatedAt: h.now, SeenAt: h.now, ExpiresAt: h.now.Add(relay.ViewLife)}
}

// watches brings the code of o and starts a view.
func (h *home) watches(o Opened) ViewSession {
	h.t.Helper()
	h.ok(h.DB.SendCode(h.ctx(), o, "ABCD2345", hexSum("code"), map[string]string{"name": "Det."}, h.now))
	o, err := h.DB.View(h.ctx(), o.Session.TokenHash, "pre")
	h.ok(err)
	v := h.view(o)
	h.ok(h.DB.StartView(h.ctx(), o, v, h.now))
	return v
}

// shreds does what the worker does after the end of a release.
func (h *home) shreds(id string) {
	h.t.Helper()
	rel, err := h.DB.Release(h.ctx(), id)
	h.ok(err)
	left := Remains(rel)
	h.ok(h.Keys.Destroy(h.ctx(), left.Keys...))
	h.ok(h.DB.Shredded(h.ctx(), id, h.now))
}

// jobs returns how many jobs of a kind wait.
func (h *home) jobs(kind string) (n int) {
	h.t.Helper()
	h.ok(h.DB.read.QueryRowContext(h.ctx(), "SELECT count(*) FROM river_job WHERE kind = $1", kind).Scan(&n))
	return n
}

func (h *home) logSize() (n int64) {
	h.t.Helper()
	h.ok(h.DB.read.QueryRowContext(h.ctx(), "SELECT size FROM log_state").Scan(&n))
	return n
}

// corrupt changes the database behind the back of everybody.
func (h *home) corrupt(statement string, args ...any) {
	h.t.Helper()
	if _, err := h.DB.write.ExecContext(context.Background(), statement, args...); err != nil {
		h.t.Fatal(err)
	}
}

// passkey is a software authenticator.
type passkey struct {
	id   string
	cose []byte
	key  crypto.Signer
}

func newPasskeyOf(key crypto.Signer, cose []byte) passkey {
	return passkey{base64.RawURLEncoding.EncodeToString([]byte(rand.Text())), cose, key}
}

func newPasskey(t testing.TB) passkey { // ES256
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes() // 4, x, y
	if err != nil {
		t.Fatal(err)
	}
	return newPasskeyOf(key, slices.Concat([]byte{0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20}, point[1:33], []byte{0x22, 0x58, 0x20}, point[33:]))
}

func newPasskey25519(t testing.TB) passkey { // EdDSA
	t.Helper()
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return newPasskeyOf(key, slices.Concat([]byte{0xa4, 0x01, 0x01, 0x03, 0x27, 0x20, 0x06, 0x21, 0x58, 0x20}, public))
}

func newPasskeyRSA(t testing.TB) passkey { // RS256
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return newPasskeyOf(key, slices.Concat([]byte{0xa4, 0x01, 0x03, 0x03, 0x39, 0x01, 0x00, 0x20, 0x59, 0x01, 0x00}, key.N.Bytes(), []byte{0x21, 0x43, 1, 0, 1}))
}

// sign answers a challenge as an authenticator with user verification does.
func (p passkey) sign(site relay.Site, challenge []byte) Signature {
	return p.answer(prompt{"webauthn.get", site.Home, site.HomeHost(), false, 0x05}, challenge)
}

// prompt is how and where a passkey was asked.
type prompt struct {
	kind, origin, rp string
	cross            bool
	flags            byte
}

func (p passkey) answer(how prompt, challenge []byte) Signature {
	client := fmt.Appendf(nil, `{"type":%q,"challenge":%q,"origin":%q,"crossOrigin":%t}`, how.kind, base64.RawURLEncoding.EncodeToString(challenge), how.origin, how.cross)
	rp := sha256.Sum256([]byte(how.rp))
	auth := binary.BigEndian.AppendUint32(append(rp[:], how.flags), 1)
	sum := sha256.Sum256(client)
	message := slices.Concat(auth, sum[:])
	digestBy := crypto.SHA256
	if _, ok := p.key.(ed25519.PrivateKey); ok {
		digestBy = 0
	} else {
		digest := sha256.Sum256(message)
		message = digest[:]
	}
	sig, err := p.key.Sign(rand.Reader, message, digestBy)
	if err != nil {
		panic(err)
	}
	return Signature{ClientData: client, AuthenticatorData: auth, Signature: sig, PublicKey: p.cose}
}

// events returns the kinds of event about subject, oldest first.
func (h *home) events(subject string) (kinds []relay.EventKind) {
	h.t.Helper()
	entries, err := h.DB.History(h.ctx(), subject)
	h.ok(err)
	for _, e := range entries {
		var v relay.Event
		h.ok(json.Unmarshal(e.Event, &v))
		kinds = append(kinds, v.Kind)
	}
	return kinds
}
