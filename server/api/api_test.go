package api

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/server/media"
	"cliplease/server/token"
	"cliplease/storage"

	"github.com/gin-gonic/gin"
)

// world is a relay with a home, a camera and a clip, at a moment that the test moves.
type world struct {
	t      testing.TB
	store  *storage.Store
	site   relay.Site
	now    time.Time
	media  *media.Server
	server *Server
	routes http.Handler
	camera relay.Camera
	clip   relay.Clip
	member relay.Member
	faults []error // errors that a handler returned instead of answering
}

// requester is an agency with its signing key.
type requester struct {
	relay.Agency
	signer crypto.Signer
	public relay.PublicKey
}

func newWorld(t testing.TB, limits Limits) *world {
	t.Helper()
	w := &world{t: t, site: relay.NewSite("relay.example", "", true), now: time.Date(2026, 11, 22, 16, 5, 0, 0, time.UTC)}
	var err error
	w.store, err = storage.Open(context.Background(), storage.Config{Dir: filepath.Join(t.TempDir(), "data"), Site: w.site})
	w.ok(err)
	t.Cleanup(func() {
		if _, err := w.store.Verify(context.Background()); err != nil {
			t.Errorf("invariants: %v", err)
		}
		w.ok(w.store.Close())
	})
	clock, log := func() time.Time { return w.now }, slog.New(slog.NewTextHandler(io.Discard, nil))
	w.media = media.New(media.Config{Store: w.store, Now: clock, Log: log})
	w.server = New(Config{Store: w.store, Site: w.site, Media: w.media, Limits: limits, Now: clock, Log: log})
	w.routes = w.router()
	w.settles()
	return w
}

// wide are limits that no test but those of limits reaches.
func wide() Limits {
	return Limits{Open: 1e6, Filed: 1e6, Case: 1e6, Urgent: 1e6, Window: 30 * 24 * time.Hour}
}

func (w *world) router() http.Handler {
	gin.SetMode(gin.TestMode)
	r := gin.New()
	on := func(method, path string, f func(*gin.Context) error) {
		r.Handle(method, path, func(c *gin.Context) {
			if err := f(c); err != nil {
				w.faults = append(w.faults, err)
				c.AbortWithStatus(http.StatusInternalServerError)
			}
		})
	}
	on("POST", "/a/v1/requests", w.server.FileRequest)
	on("POST", "/a/v1/requests/poll", w.server.Poll)
	on("POST", "/a/v1/requests/withdraw", w.server.Withdraw)
	on("POST", "/a/v1/releases/open", w.server.OpenRelease)
	on("POST", "/a/v1/releases/destroyed", w.server.Destroyed)
	on("POST", "/a/v1/releases/acknowledge", w.server.Acknowledge)
	on("POST", "/a/v1/keys/rotate", w.server.RotateKey)
	on("GET", "/a/v1/releases/media", w.server.Media)
	on("GET", "/openapi.json", w.server.OpenAPI)
	return r
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func hexSum(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// settles makes a homeowner, a camera and a clip.
func (w *world) settles() {
	ctx := context.Background()
	join := relay.NewID()
	w.ok(w.store.DB.Invite(ctx, storage.Invitation{TokenHash: hexSum(join), Role: relay.RoleHomeowner, Name: "Ada", Email: "ada@home.example", InvitedBy: "command line", ExpiresAt: w.now.Add(time.Hour)}, w.now))
	w.member = relay.Member{ID: relay.NewID(), Name: "Ada", Email: "ada@home.example", Role: relay.RoleHomeowner, CreatedAt: w.now}
	w.ok(w.store.DB.Join(ctx, hexSum(join), w.member, storage.Credential{ID: "pass", MemberID: w.member.ID, Name: "Phone", Record: "{}"}, w.now))
	w.camera = relay.Camera{ID: relay.NewID(), Handle: "front-door", Name: "Front door", Zone: "Europe/Amsterdam", CreatedAt: w.now}
	w.ok(w.store.DB.SaveCamera(ctx, w.camera, w.member.ID, w.now))
	c := relay.Clip{ID: relay.NewID(), CameraID: w.camera.ID, Name: "clip.mp4", Start: w.now.Add(-2 * time.Hour), State: relay.ClipReceived, Object: "o" + relay.NewID(),
		Bytes: 1 << 20, SHA256: hexSum("original"), Salt: hexSum("salt"), CreatedAt: w.now}
	w.ok(w.store.DB.AddClip(ctx, c, w.member.ID, w.now))
	c.State, c.Duration, c.Width, c.Height, c.FPS, c.Codec = relay.ClipReady, 2*time.Minute, 1280, 720, 30, "h264"
	w.ok(w.store.DB.ClipLooked(ctx, c, w.now))
	w.clip = c
}

// registers makes an agency with a key of a kind.
func (w *world) registers(name, alg string) requester {
	w.t.Helper()
	a := requester{Agency: relay.Agency{ID: "urn:cliplease:agency:" + name, Name: name, Level: relay.LevelLocal, Domains: []string{name + ".example"}, Status: relay.AgencyActive,
		VerifiedBy: "command line", VerifiedHow: "called", VerifiedAt: w.now, VerifiedUntil: w.now.AddDate(1, 0, 0), CreatedAt: w.now}}
	a.signer, a.public = w.key(alg)
	w.ok(w.store.DB.RegisterAgency(context.Background(), a.Agency, []relay.AgencyKey{a.public.Pin(a.ID, w.now, a.VerifiedUntil)}, "command line", w.now))
	return a
}

func (w *world) key(alg string) (crypto.Signer, relay.PublicKey) {
	w.t.Helper()
	var signer crypto.Signer
	var err error
	if alg == relay.AlgES256 {
		signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	} else {
		_, signer, err = ed25519.GenerateKey(rand.Reader)
	}
	w.ok(err)
	public, err := relay.NewPublicKey(signer.Public())
	w.ok(err)
	return signer, public
}

// claim is the payload of a good request, which tests change.
type claim = map[string]any

// call is what every token says.
func (w *world) call(a requester, life int64) claim {
	return claim{"iss": a.ID, "aud": w.site.API, "iat": w.now.Unix(), "exp": w.now.Unix() + life, "jti": strings.ToLower(rand.Text()), "ver": "1"}
}

func (w *world) claims(a requester) claim {
	c := w.call(a, 300)
	from := w.clip.Start
	for k, v := range (claim{
		"sub": "officer:4711", "lane": "voluntary",
		"purpose":     claim{"code": "burglary", "text": "Burglary at 12 Elm Street; a man ran past the camera."},
		"legal_basis": claim{"kind": "voluntary", "citation": "", "compulsory": false},
		"case":        claim{"ref": "EPD-2026-" + rand.Text()[:6], "opened": "2026-11-20"},
		"scope": claim{"target": claim{"handle": "front-door"}, "from": relay.Stamp(from), "to": relay.Stamp(from.Add(time.Minute)),
			"max_duration_s": 60, "streams": []string{"video"}, "faces": "redacted", "audio": false},
		"retention":  claim{"days": 30, "trigger": "case_close", "statement": "deleted when the case closes"},
		"onward":     claim{"policy": "none", "recipients": []string{}, "federal": false, "immigration": false, "systems": []string{"axon_evidence"}, "statement": ""},
		"recipients": []claim{{"kind": "key", "kid": a.public.KID}, {"kind": "email", "addr": "det.x@" + a.Domains[0], "name": "Det. X"}},
		"contact":    claim{"name": "Det. X", "phone": "+1 555 0100", "callback": "registered"},
		"respond_by": relay.Stamp(w.now.Add(72 * time.Hour)), "attest": relay.AttestID, "amends": nil,
	}) {
		c[k] = v
	}
	return c
}

// sign makes a token that says c.
func (w *world) sign(a requester, typ string, c any) string {
	w.t.Helper()
	raw, err := token.Sign(a.signer, typ, c)
	w.ok(err)
	return raw
}

// compact makes a token of any header and payload, signed like a good one.
func compact(t testing.TB, signer crypto.Signer, header, payload string) string {
	t.Helper()
	b64 := base64.RawURLEncoding.EncodeToString
	signed := b64([]byte(header)) + "." + b64([]byte(payload))
	switch k := signer.(type) {
	case ed25519.PrivateKey:
		return signed + "." + b64(ed25519.Sign(k, []byte(signed)))
	case *ecdsa.PrivateKey:
		sum := sha256.Sum256([]byte(signed))
		r, s, err := ecdsa.Sign(rand.Reader, k, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return signed + "." + b64(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
	}
	t.Fatalf("cannot sign with %T", signer)
	return ""
}

func text(t testing.TB, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// reply is an answer that was read to its end.
type reply struct {
	StatusCode int
	Status     string
	Header     http.Header
	Body       string
}

// post sends a token as an agency does.
func (w *world) post(path, raw string) reply {
	w.t.Helper()
	r := httptest.NewRequest("POST", path, strings.NewReader(raw))
	r.Header.Set("Content-Type", "application/jwt")
	return w.send(r)
}

func (w *world) send(r *http.Request) reply {
	w.t.Helper()
	rec := httptest.NewRecorder()
	w.routes.ServeHTTP(rec, r)
	res := rec.Result()
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	w.ok(err)
	return reply{res.StatusCode, res.Status, res.Header, string(body)}
}

// answer checks how an answer is framed, and returns its code and body.
func (w *world) answer(res reply) (int, string) {
	w.t.Helper()
	if got, want := res.Header.Get("Content-Length"), fmt.Sprint(len(res.Body)); got != want {
		w.t.Errorf("Content-Length %q of a body of %s bytes", got, want)
	}
	if got := res.Header.Get("Cache-Control"); !strings.HasPrefix(got, "no-store") {
		w.t.Errorf("Cache-Control %q", got)
	}
	return res.StatusCode, res.Body
}

// files files a request and returns its id.
func (w *world) files(a requester, c claim) string {
	w.t.Helper()
	code, body := w.answer(w.post("/a/v1/requests", w.sign(a, token.Request, c)))
	if code != http.StatusAccepted {
		w.t.Fatalf("%d %s", code, body)
	}
	key, err := relay.NewPublicKey(w.store.Identity.Relay.Public())
	w.ok(err)
	receipt, err := token.ParseReceipt(body, key)
	w.ok(err)
	return receipt.RequestID
}

// polls returns the answer to a poll of ids.
func (w *world) polls(a requester, ids ...string) (int, string) {
	w.t.Helper()
	c := w.call(a, 60)
	c["request_ids"] = ids
	return w.answer(w.post("/a/v1/requests/poll", w.sign(a, token.Poll, c)))
}

// requests returns how many requests the relay holds.
func (w *world) requests() int {
	w.t.Helper()
	all, err := w.store.DB.Requests(context.Background(), "", 1000)
	w.ok(err)
	return len(all)
}

// decide is what the home does with a request.
func (w *world) decide(id string, change func(*relay.Request) (relay.Event, error)) {
	w.t.Helper()
	w.ok(w.store.DB.UpdateRequest(context.Background(), id, change))
}

// leases prepares and signs a release of a request, with footage as its copies.
func (w *world) leases(requestID string, footage []byte, life time.Duration, views int) relay.Release {
	w.t.Helper()
	ctx := context.Background()
	q, err := w.store.DB.Request(ctx, requestID)
	w.ok(err)
	d := relay.Draft{From: q.Claims.Scope.From, To: q.Claims.Scope.To, Style: relay.StyleBlur, Targets: []string{"faces", "plates"},
		Expires: w.now.Add(life).Truncate(time.Second), MaxViews: views, Download: true}
	for _, r := range q.Claims.Recipients {
		d.Recipients = append(d.Recipients, relay.Recipient(r))
	}
	rel, err := w.store.DB.PrepareRelease(ctx, q.ID, w.clip.ID, d, w.member.ID, w.now)
	w.ok(err)
	for i := range rel.Copies {
		c := &rel.Copies[i]
		key, err := w.store.Keys.New(ctx, c.ID, rel.ID)
		w.ok(err)
		c.Object = "o" + relay.NewID()
		sealed, err := storage.SealTo(ctx, w.store.Objects, c.Object, key, strings.NewReader(string(footage)))
		w.ok(err)
		c.Bytes, c.SHA256 = sealed.Bytes, hex.EncodeToString(sealed.SHA256[:])
	}
	w.ok(w.store.DB.Prepared(ctx, rel.ID, rel.Round, rel.Copies, "", 0, relay.Summary{Frames: 1, FPS: 30}, nil, w.now))
	rel, err = w.store.DB.Release(ctx, rel.ID)
	w.ok(err)
	w.signs(q, rel)
	rel, err = w.store.DB.Release(ctx, rel.ID)
	w.ok(err)
	return rel
}

// signs makes a prepared release live.
func (w *world) signs(q relay.Request, rel relay.Release) {
	w.t.Helper()
	ctx := context.Background()
	g := relay.Grant{V: 1, Type: "cliplease.grant", Nonce: rand.Text(), Relay: w.site.Name, GrantID: relay.NewID(), Basis: "consent",
		Request: relay.GrantRequest{SHA256: q.SHA256, Agency: q.AgencyID}, By: relay.GrantBy{Member: w.member.ID, Role: "homeowner"}, DecidedAt: relay.Stamp(w.now),
		Scope:  relay.GrantScope{From: relay.Stamp(rel.Draft.From), To: relay.Stamp(rel.Draft.To), Streams: []string{"video"}},
		Access: relay.GrantAccess{NotBefore: relay.Stamp(w.now), Expires: relay.Stamp(rel.Draft.Expires), MaxViews: rel.Draft.MaxViews, Download: rel.Draft.Download}}
	var err error
	_, g.Redaction.StaticMasks, err = rel.MadeWith()
	w.ok(err)
	for _, c := range rel.Copies {
		g.Outputs = append(g.Outputs, relay.GrantOutput{Recipient: c.ID, Kind: string(c.Recipient.Kind), FileSHA256: c.SHA256, Bytes: c.Bytes})
	}
	canonical, err := g.Canonical()
	w.ok(err)
	s := storage.Signing{ReleaseID: rel.ID, CeremonyID: relay.NewID(), Grant: g, Canonical: canonical, Member: w.member.ID, Key: w.store.Identity.Relay,
		Signature: w.passkey(relay.GrantChallenge(canonical))}
	w.ok(w.store.DB.SaveCeremony(ctx, storage.Ceremony{ID: s.CeremonyID, Kind: "grant", MemberID: w.member.ID, Subject: rel.ID, Session: "{}", Document: string(canonical), ExpiresAt: w.now.Add(time.Minute)}))
	for _, c := range rel.Copies {
		s.Links = append(s.Links, storage.SignedLink{Link: relay.Link{ID: relay.NewID(), TokenHash: hexSum(relay.NewID()), CopyID: c.ID, ExpiresAt: rel.Draft.Expires, MaxViews: rel.Draft.MaxViews}})
	}
	w.ok(w.store.DB.SignRelease(ctx, s, w.now))
}

// passkey is what a software authenticator of the member answers to a challenge.
func (w *world) passkey(challenge []byte) storage.Signature {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	w.ok(err)
	client := fmt.Sprintf(`{"type":"webauthn.get","challenge":%q,"origin":%q,"crossOrigin":false}`, base64.RawURLEncoding.EncodeToString(challenge), w.site.Home)
	rp, sum := sha256.Sum256([]byte(w.site.HomeHost())), sha256.Sum256([]byte(client))
	data := append(rp[:], 5, 0, 0, 0, 1)
	cose := append([]byte{0xa4, 0x01, 0x01, 0x03, 0x27, 0x20, 0x06, 0x21, 0x58, 0x20}, public...)
	return storage.Signature{ClientData: []byte(client), AuthenticatorData: data, PublicKey: cose, Signature: ed25519.Sign(private, append(data[:len(data):len(data)], sum[:]...)),
		Credential: storage.Credential{ID: "pass", MemberID: w.member.ID, Record: "{}"}}
}
