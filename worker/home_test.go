package worker

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cliplease/redact"
	"cliplease/relay"
	"cliplease/source"
	"cliplease/storage"
)

func TestMain(m *testing.M) {
	if code, ran := redact.Child(); ran {
		os.Exit(code)
	}
	if dir := os.Getenv(victimEnv); dir != "" {
		os.Exit(victim(storage.Config{Dir: dir, Database: os.Getenv(victimDatabaseEnv), Site: site}))
	}
	os.Exit(m.Run())
}

// kid names the agency's key, with which nothing is signed here.
var kid = strings.Repeat("k", 43)

var site = relay.NewSite("localhost", "8080", false)

// watch is a machine's clock that a test moves.
type watch struct {
	mu            sync.Mutex
	wall, elapsed time.Duration // beyond the real ones
	start         time.Time
}

func (c *watch) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().UTC().Round(0).Add(c.wall)
}

func (c *watch) since() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Since(c.start) + c.elapsed
}

// pass lets time pass; jump moves the clock alone.
func (c *watch) pass(d time.Duration) { c.move(d, d) }
func (c *watch) jump(d time.Duration) { c.move(d, 0) }

func (c *watch) move(wall, elapsed time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall += wall
	c.elapsed += elapsed
}

// home is a relay with a homeowner, an agency and a camera.
type home struct {
	*storage.Store
	t      *testing.T
	dir    string
	cfg    storage.Config
	watch  *watch
	member relay.Member
	agency relay.Agency
	camera relay.Camera
	log    *bytes.Buffer // what the workers log; read it after they stopped
	logMu  sync.Mutex
}

func newHome(t *testing.T) *home {
	t.Helper()
	return newHomeOn(t, "")
}

// newHomeOn makes a home on a database as [storage.Config] names it.
func newHomeOn(t *testing.T, database string) *home {
	t.Helper()
	return newHomeIn(t, storage.Config{Database: database})
}

// newHomeIn makes a home in a data folder of its own, with the stores that cfg names.
func newHomeIn(t *testing.T, cfg storage.Config) *home {
	t.Helper()
	h := &home{t: t, cfg: cfg, dir: filepath.Join(t.TempDir(), "data"), watch: &watch{start: time.Now()}, log: &bytes.Buffer{}}
	h.cfg.Dir, h.cfg.Site = h.dir, site
	h.open()
	t.Cleanup(func() { h.Close() })
	now, ctx := h.watch.now(), t.Context()
	token := hash(relay.NewID())
	h.member = relay.Member{ID: relay.NewID(), Name: "Ada", Email: "ada@home.example", Role: relay.RoleHomeowner, CreatedAt: now}
	h.ok(h.DB.Invite(ctx, storage.Invitation{TokenHash: token, Role: h.member.Role, InvitedBy: "command line", ExpiresAt: now.Add(time.Hour)}, now))
	h.ok(h.DB.Join(ctx, token, h.member, storage.Credential{ID: "pass", MemberID: h.member.ID, Name: "Phone", Record: "{}"}, now))
	h.agency = relay.Agency{ID: "urn:cliplease:agency:us-mn-exampleville-pd", Name: "Exampleville Police", Level: relay.LevelLocal, Domains: []string{"pd.example"},
		Status: relay.AgencyActive, VerifiedBy: "command line", VerifiedAt: now, VerifiedUntil: now.AddDate(1, 0, 0), CreatedAt: now}
	h.ok(h.DB.RegisterAgency(ctx, h.agency, []relay.AgencyKey{{KID: kid, AgencyID: h.agency.ID, Alg: "EdDSA", JWK: "{}", NotBefore: now, NotAfter: now.AddDate(1, 0, 0), Status: relay.KeyActive, Since: now}}, "command line", now))
	h.camera = relay.Camera{ID: relay.NewID(), Handle: "front-door", Name: "Front door", Zone: "UTC", Masks: []relay.Mask{{X: 0, Y: 0, W: 0.25, H: 0.25}}, CreatedAt: now}
	h.ok(h.DB.SaveCamera(ctx, h.camera, h.member.ID, now))
	return h
}

func (h *home) open() {
	h.t.Helper()
	var err error
	h.Store, err = storage.Open(h.t.Context(), h.cfg)
	h.ok(err)
}

func (h *home) ok(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// Write collects what the workers log.
func (h *home) Write(p []byte) (int, error) {
	h.logMu.Lock()
	defer h.logMu.Unlock()
	return h.log.Write(p)
}

// engine is the real one, as small footage needs it.
func engine(t testing.TB, cfg redact.Config) *redact.Engine {
	t.Helper()
	if cfg.Models == "" && os.Getenv("CLIPLEASE_MODELS") == "" {
		cfg.Models = "../bin/models"
	}
	e, err := redact.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// config is that of a worker of this home.
func (h *home) config() Config {
	clock, err := storage.OpenClock(h.t.Context(), h.DB, h.watch.now, h.watch.since)
	h.ok(err)
	return Config{Store: h.Store, Site: site, Engine: engine(h.t, redact.Config{}), TempDir: filepath.Join(h.dir, "tmp"),
		Now: h.watch.now, Clock: clock, Log: slog.New(slog.NewTextHandler(h, nil)), Version: "test"}
}

// works starts a worker that is stopped at the end of the test, if not before.
func (h *home) works(cfg Config) *Worker {
	h.t.Helper()
	w, err := New(cfg)
	h.ok(err)
	w.every = intervals{expire: 20 * time.Millisecond, clock: 20 * time.Millisecond, checkpoint: time.Hour, publish: time.Hour, rotate: time.Hour, orphans: time.Hour, retain: 20 * time.Millisecond, watch: 20 * time.Millisecond, progress: 20 * time.Millisecond}
	h.ok(w.Start(h.t.Context()))
	h.t.Cleanup(func() { h.stops(w) })
	return w
}

func (h *home) stops(w *Worker) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := w.Stop(ctx); err != nil {
		h.t.Errorf("stop: %v", err)
	}
	w.jobs = nil
	if left, err := os.ReadDir(w.TempDir); err != nil || len(left) > 0 {
		h.t.Errorf("the folder for temporary files holds %v, %v", left, err)
	}
}

// await waits until done says yes, and fails the test when that takes too long.
func (h *home) await(what string, done func() bool) {
	h.t.Helper()
	tick := time.NewTicker(15 * time.Millisecond)
	defer tick.Stop()
	late := time.After(90 * time.Second)
	for !done() {
		select {
		case <-tick.C:
		case <-late:
			h.logMu.Lock()
			defer h.logMu.Unlock()
			h.t.Fatalf("not within 90 seconds: %s\n%s", what, h.log)
		}
	}
}

// film makes plain footage with ffmpeg: seconds long, 320 by 240. What the engine makes of real
// footage is tested where it is.
func film(t testing.TB, seconds string, more ...string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "film.mp4")
	args := append([]string{"-nostdin", "-v", "error", "-f", "lavfi", "-i", "color=c=0x708090:size=320x240:rate=5:duration=" + seconds}, more...)
	args = append(args, "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", out)
	if b, err := exec.CommandContext(t.Context(), "ffmpeg", args...).CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v: %s", err, b)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// receives takes footage in.
func (h *home) receives(footage []byte) relay.Clip {
	h.t.Helper()
	start := h.watch.now().Add(-2 * time.Hour).Truncate(time.Second)
	c, err := source.Receive(h.t.Context(), h.Store, source.Incoming{CameraID: h.camera.ID, Name: "door.mp4", Start: start, Body: bytes.NewReader(footage), Actor: h.member.ID}, h.watch.now())
	h.ok(err)
	return c
}

// looked waits until a clip was looked at.
func (h *home) looked(id string) (c relay.Clip) {
	h.t.Helper()
	h.await("the clip is looked at", func() bool {
		var err error
		c, err = h.DB.Clip(h.t.Context(), id)
		h.ok(err)
		return c.State != relay.ClipReceived
	})
	return c
}

// ready stores a clip that was looked at already, so that a test need not wait for it.
func (h *home) ready(seconds string) relay.Clip {
	h.t.Helper()
	c := h.receives(film(h.t, seconds))
	length, err := time.ParseDuration(seconds + "s")
	h.ok(err)
	c.State, c.Duration, c.Width, c.Height, c.FPS, c.Codec = relay.ClipReady, length, 320, 240, 5, "h264"
	h.ok(h.DB.ClipLooked(h.t.Context(), c, h.watch.now()))
	return c
}

// asks files a request for the whole of clip.
func (h *home) asks(clip relay.Clip) relay.Request {
	h.t.Helper()
	now := h.watch.now()
	c := relay.Claims{Issuer: h.agency.ID, TokenID: strings.ToLower(rand.Text()), Version: "1", Lane: relay.LaneVoluntary,
		Case:       relay.Case{Ref: "EPD-2026-1"},
		Scope:      relay.Scope{Target: relay.Target{Handle: "front-door"}, From: clip.Start, To: clip.End(), MaxDuration: 60, Streams: []string{"video"}},
		Recipients: []relay.RecipientAsk{{Kind: relay.RecipientEmail, Addr: "det@pd.example", Name: "Det. X"}, {Kind: relay.RecipientEmail, Addr: "sgt@pd.example", Name: "Sgt. Y"}},
		RespondBy:  now.Add(72 * time.Hour), Attest: relay.AttestID}
	q, e := relay.ReceiveRequest(relay.NewID(), kid, "token "+c.TokenID, c, h.Identity.Secret("jitter"), now)
	q, _, err := h.DB.ReceiveRequest(h.t.Context(), q, e, time.Time{}, nil)
	h.ok(err)
	return q
}

func (h *home) draft(clip relay.Clip, q relay.Request) relay.Draft {
	d := relay.Draft{From: clip.Start.Add(time.Second), To: clip.Start.Add(3 * time.Second), Style: relay.StyleSolid, Targets: []string{"faces", "plates"},
		Expires: h.watch.now().Add(48 * time.Hour).Truncate(time.Second), MaxViews: 5}
	for _, r := range q.Claims.Recipients {
		d.Recipients = append(d.Recipients, relay.Recipient(r))
	}
	return d
}

func (h *home) release(id string) relay.Release {
	h.t.Helper()
	rel, err := h.DB.Release(h.t.Context(), id)
	h.ok(err)
	return rel
}

// prepared waits until a release is no longer preparing.
func (h *home) prepared(id string) (rel relay.Release) {
	h.t.Helper()
	h.await("the release is prepared", func() bool { rel = h.release(id); return rel.State != relay.ReleaseIsPreparing })
	return rel
}

// leases makes a live release without footage of its own: its copies are a few bytes.
func (h *home) leases() (relay.Release, relay.Request) {
	h.t.Helper()
	ctx, now := h.t.Context(), h.watch.now()
	clip := relay.Clip{ID: relay.NewID(), CameraID: h.camera.ID, Name: "x.mp4", Start: now.Add(-time.Hour), State: relay.ClipReceived,
		Object: "o" + relay.NewID(), Bytes: 1, SHA256: hash(relay.NewID()), Salt: hash("salt"), CreatedAt: now}
	h.ok(h.DB.AddClip(ctx, clip, h.member.ID, now))
	clip.State, clip.Duration = relay.ClipReady, time.Minute
	h.ok(h.DB.ClipLooked(ctx, clip, now))
	q := h.asks(clip)
	rel, err := h.DB.PrepareRelease(ctx, q.ID, clip.ID, h.draft(clip, q), h.member.ID, now)
	h.ok(err)
	m := made{worker: &Worker{Config: Config{Store: h.Store}}, rel: rel}
	file := filepath.Join(h.t.TempDir(), "copy")
	h.ok(os.WriteFile(file, []byte("a release copy"), 0o600))
	for i := range rel.Copies {
		h.ok(m.sealCopy(ctx, &rel.Copies[i], redact.Copy{Path: file, SHA256: hash("a release copy")}))
	}
	proxy, size, err := m.sealProxy(ctx, file)
	h.ok(err)
	h.ok(h.DB.Prepared(ctx, rel.ID, 1, rel.Copies, proxy, size, relay.Summary{Frames: 10, FPS: 5, Masks: h.camera.Masks}, nil, now))
	rel = h.release(rel.ID)

	g := relay.Grant{V: 1, Type: "cliplease.grant", Nonce: base64.RawURLEncoding.EncodeToString(make([]byte, 32)), Relay: site.Name, GrantID: relay.NewID(), Basis: "consent",
		Request: relay.GrantRequest{SHA256: q.SHA256, Agency: q.AgencyID}, By: relay.GrantBy{Member: h.member.ID, Credential: "pass"}, DecidedAt: relay.Stamp(now),
		Scope:  relay.GrantScope{Camera: "front-door", From: relay.Stamp(rel.Draft.From), To: relay.Stamp(rel.Draft.To), Streams: []string{"video"}},
		Access: relay.GrantAccess{NotBefore: relay.Stamp(now), Expires: relay.Stamp(rel.Draft.Expires), MaxViews: rel.Draft.MaxViews}}
	_, g.Redaction.StaticMasks, err = rel.MadeWith()
	h.ok(err)
	for _, c := range rel.Copies {
		g.Outputs = append(g.Outputs, relay.GrantOutput{Recipient: c.ID, Kind: "email", FileSHA256: c.SHA256, Bytes: c.Bytes})
	}
	canonical, err := g.Canonical()
	h.ok(err)
	s := storage.Signing{ReleaseID: rel.ID, CeremonyID: relay.NewID(), Grant: g, Canonical: canonical, Member: h.member.ID, Looked: true, Key: h.Identity.Relay,
		Signature: storage.Signature{ClientData: []byte("{}"), AuthenticatorData: []byte("a"), Signature: []byte("s"), PublicKey: []byte("p"), Credential: storage.Credential{ID: "pass", MemberID: h.member.ID, Record: "{}"}}}
	h.ok(h.DB.SaveCeremony(ctx, storage.Ceremony{ID: s.CeremonyID, Kind: "grant", MemberID: h.member.ID, Subject: rel.ID, Session: "{}", Document: string(canonical), ExpiresAt: now.Add(time.Minute)}))
	for _, c := range rel.Copies {
		s.Links = append(s.Links, storage.SignedLink{Link: relay.Link{ID: relay.NewID(), TokenHash: hash(c.ID), CopyID: c.ID, ExpiresAt: rel.Draft.Expires, MaxViews: 5},
			Token: site.View + "/r#token-" + c.ID, Mail: c.Recipient.Addr, Data: map[string]string{"name": c.Recipient.Name, "agency": h.agency.Name, "case": "EPD-2026-1", "until": relay.Stamp(rel.Draft.Expires), "views": "5"}})
	}
	h.ok(h.DB.SignRelease(ctx, s, now))
	return h.release(rel.ID), q
}

// keys and objects return what the stores hold, but for what says whose the objects are.
func (h *home) keys() (ids []string) {
	h.t.Helper()
	for id, err := range h.Keys.IDs(h.t.Context()) {
		h.ok(err)
		ids = append(ids, id)
	}
	return ids
}

func (h *home) objects() (names []string) {
	h.t.Helper()
	for o, err := range h.Objects.List(h.t.Context(), "o") {
		h.ok(err)
		names = append(names, o.Name)
	}
	return names
}

// open returns the plaintext of one copy.
func (h *home) opens(c relay.Copy) ([]byte, error) {
	key, err := h.Keys.Get(h.t.Context(), c.ID, c.ReleaseID)
	if err != nil {
		return nil, err
	}
	body, err := storage.OpenRange(h.t.Context(), h.Objects, c.Object, key, c.Bytes, 0, -1)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(body)
}

// events returns the kinds of event about subject, oldest first.
func (h *home) events(subject string) (kinds []relay.EventKind) {
	h.t.Helper()
	entries, err := h.DB.History(h.t.Context(), subject)
	h.ok(err)
	for _, e := range entries {
		var v relay.Event
		h.ok(json.Unmarshal(e.Event, &v))
		kinds = append(kinds, v.Kind)
	}
	return kinds
}

// mail returns the mail of a kind about subject, and fails unless there is one.
func (h *home) mail(subject, kind, address string) storage.Mail {
	h.t.Helper()
	mails, err := h.DB.MailAbout(h.t.Context(), subject)
	h.ok(err)
	i := slices.IndexFunc(mails, func(m storage.Mail) bool { return m.Kind == kind && m.Address == address })
	if i < 0 {
		h.t.Fatalf("no mail %s to %s about %s among %+v", kind, address, subject, mails)
	}
	return mails[i]
}
