// Package house starts the web side of a relay inside a test, with a real store, and plays
// the worker and the agency: clips become ready and release copies are made at once, from
// footage that ffmpeg draws. People are played by the tests themselves.
package house

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/server"
	"cliplease/storage"
)

// House is a relay that listens on a free port of this machine.
type House struct {
	T      testing.TB
	Store  *storage.Store
	Site   relay.Site
	Addr   string // what it listens on
	Server *server.Server
	Agency relay.Agency
	Camera relay.Camera
	Watch  string // holds the folders that cameras drop into
	kid    string
	clock  clock
}

// clock is a clock that a test moves.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

// Now is the house's time.
func (h *House) Now() time.Time {
	h.clock.mu.Lock()
	defer h.clock.mu.Unlock()
	return time.Now().UTC().Add(h.clock.ahead)
}

// Pass lets time pass.
func (h *House) Pass(d time.Duration) {
	h.clock.mu.Lock()
	defer h.clock.mu.Unlock()
	h.clock.ahead += d
}

// New starts a relay without members, agencies or cameras. It ends with the test.
func New(t testing.TB) *House {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	h := &House{T: t, Site: relay.NewSite("localhost", port, false), Addr: l.Addr().String()}
	dir := t.TempDir()
	h.Watch = filepath.Join(dir, "watch")
	h.Store, err = storage.Open(context.Background(), storage.Config{Dir: filepath.Join(dir, "data"), Site: h.Site})
	h.ok(err)
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	if testing.Verbose() {
		log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo}))
	}
	h.Server, err = server.New(server.Config{
		Store: h.Store, Site: h.Site, Version: "test", MaxUpload: 50 << 20, Watch: h.Watch, Now: h.Now, Log: log,
		Ready: func(context.Context) []server.Check { return nil },
	})
	h.ok(err)
	s := h.Server.HTTP()
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-done; err != nil && err != http.ErrServerClosed { //nolint:errorlint // returned as it is
			t.Error(err)
		}
		if _, err := h.Store.Verify(context.Background()); err != nil {
			t.Errorf("what must always hold does not: %v", err)
		}
		h.ok(h.Store.Close())
	})
	return h
}

func (h *House) ok(err error) {
	h.T.Helper()
	if err != nil {
		h.T.Fatal(err)
	}
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// Invite makes an invitation and returns its token.
func (h *House) Invite(role relay.Role, name, email string) string {
	h.T.Helper()
	token := relay.NewID()
	h.ok(h.Store.DB.Invite(context.Background(), storage.Invitation{TokenHash: digest(token), Role: role, Name: name, Email: email, InvitedBy: "command line", ExpiresAt: h.Now().Add(time.Hour)}, h.Now()))
	return token
}

// Furnish adds an agency and a camera.
func (h *House) Furnish() {
	h.T.Helper()
	ctx, now := context.Background(), h.Now()
	h.Agency = relay.Agency{
		ID: "urn:cliplease:agency:us-mn-exampleville-pd", Name: "Exampleville Police Department", Level: relay.LevelLocal, Jurisdiction: "Exampleville, Minnesota",
		Domains: []string{"pd.example"}, Phone: "+1 555 0100", Complaints: "the civilian review board, 12 Main Street", Status: relay.AgencyActive,
		VerifiedBy: "command line", VerifiedHow: "called the records office on the number from the city's site and compared the words", VerifiedAt: now, VerifiedUntil: now.AddDate(1, 0, 0), CreatedAt: now,
	}
	public, err := relay.NewPublicKey(h.Store.Identity.Relay.Public())
	h.ok(err)
	h.kid = public.KID
	h.ok(h.Store.DB.RegisterAgency(ctx, h.Agency, []relay.AgencyKey{public.Pin(h.Agency.ID, now, now.AddDate(2, 0, 0))}, "command line", now))
	h.Camera = relay.Camera{ID: relay.NewID(), Handle: "front-door", Name: "Front door", Zone: "America/Chicago", CreatedAt: now}
	h.ok(h.Store.DB.SaveCamera(ctx, h.Camera, "command line", now))
}

// Clip adds a clip of eight seconds that starts at start and is ready.
func (h *House) Clip(start time.Time) relay.Clip {
	h.T.Helper()
	ctx := context.Background()
	video, still := footage(h.T)
	c, err := h.Store.KeepClip(ctx, relay.Clip{CameraID: h.Camera.ID, Name: "front.mp4", Start: start}, bytes.NewReader(video), "command line", h.Now())
	h.ok(err)
	for range 4 {
		name := "o" + relay.NewID()
		_, err := h.Store.Vault.Seal(ctx, h.Store.Objects, name, bytes.NewReader(still))
		h.ok(err)
		c.Stills = append(c.Stills, name)
	}
	c.State, c.Duration, c.Width, c.Height, c.FPS, c.Codec = relay.ClipReady, 8*time.Second, 640, 360, 25, "h264"
	h.ok(h.Store.DB.ClipLooked(ctx, c, h.Now()))
	return c
}

// Request files a request of the agency for the minute around start, changed by change.
func (h *House) Request(start time.Time, change func(*relay.Claims)) relay.Request {
	h.T.Helper()
	now := h.Now()
	c := relay.Claims{
		Issuer: h.Agency.ID, Subject: "Det. J. Miller", Audience: h.Site.API, IssuedAt: now.Unix(), Expires: now.Add(time.Minute).Unix(), TokenID: relay.NewID(), Version: "1",
		Lane:       relay.LaneVoluntary,
		Purpose:    relay.Purpose{Code: relay.PurposeBurglary, Text: "A burglar left the house across the street at about this time. We hope to see the car that waited for him."},
		LegalBasis: relay.LegalBasis{Kind: relay.BasisVoluntary, Citation: "consent of the camera's owner"},
		Case:       relay.Case{Ref: "EPD-2026-0417", Opened: "2026-11-02"},
		Scope:      relay.Scope{Target: relay.Target{Handle: "front-door"}, From: start.Add(-time.Minute).Truncate(time.Second), To: start.Add(2 * time.Minute).Truncate(time.Second), MaxDuration: 60, Streams: []string{"video"}, Faces: "redacted"},
		Retention:  relay.Retention{Days: 30, Trigger: "case_close", Statement: "Kept in the case file and destroyed with it."},
		Onward:     relay.Onward{Policy: "none", Recipients: []string{}, Systems: []string{"Evidence locker"}, Statement: "Not passed on."},
		Recipients: []relay.RecipientAsk{{Kind: relay.RecipientEmail, Addr: "j.miller@pd.example", Name: "Det. J. Miller"}, {Kind: relay.RecipientEmail, Addr: "lab@pd.example", Name: "Video lab"}},
		Contact:    relay.Contact{Name: "Sgt. A. Ortiz", Phone: "+1 555 0199", Callback: "registered"},
		RespondBy:  now.Add(5 * 24 * time.Hour), Attest: relay.AttestID,
	}
	if change != nil {
		change(&c)
	}
	q, e := relay.ReceiveRequest(relay.NewID(), h.kid, "header."+relay.NewID()+".signature", c, h.Store.Identity.Secret("jitter"), now)
	q, _, err := h.Store.DB.ReceiveRequest(context.Background(), q, e, now.Add(-time.Hour), nil)
	h.ok(err)
	return q
}

// Work does what a worker does with a release that is being prepared: it makes the copies,
// and the release waits for a look. change may add to what it reports.
func (h *House) Work(releaseID string, change func(*relay.Summary)) relay.Release {
	h.T.Helper()
	ctx := context.Background()
	rel := h.Release(releaseID)
	video, _ := footage(h.T)
	seal := func(key storage.Key) (object string, sealed storage.Sealed) {
		object = "o" + relay.NewID()
		sealed, err := storage.SealTo(ctx, h.Store.Objects, object, key, bytes.NewReader(video))
		h.ok(err)
		return object, sealed
	}
	copies := append([]relay.Copy(nil), rel.Copies...)
	for i := range copies {
		key, err := h.Store.Keys.New(ctx, copies[i].ID, rel.ID)
		h.ok(err)
		object, sealed := seal(key)
		copies[i].Object, copies[i].Bytes, copies[i].SHA256 = object, sealed.Bytes, hex.EncodeToString(sealed.SHA256[:])
	}
	key, err := h.Store.Keys.New(ctx, storage.ProxyKey(rel.ID, rel.Round), rel.ID)
	h.ok(err)
	proxy, sealed := seal(key)
	s := relay.Summary{
		Frames: 200, FPS: 25, Width: 640, Height: 360, Tracks: map[string]int{"face": 2, "plate": 1},
		Gates: []relay.Gate{{Name: "streams", OK: true}, {Name: "metadata", OK: true}, {Name: "second look", OK: true}},
		Spans: []relay.TrackSpan{
			{Kind: "face", From: 0.4, To: 3.2, Sure: "faint", ID: "face-1", Keys: place(0.4, 3.2)},
			{Kind: "face", From: 2, To: 8, Sure: "clear", ID: "face-2", Keys: place(2, 5.9)},
			{Kind: "plate", From: 4, To: 6.5, Sure: "fair", ID: "plate-1", Keys: place(4, 5.9)},
		},
		Findings:  []relay.Doubt{{At: 2.4, Kind: "face", Why: "weak"}, {At: 6.08, Kind: "plate", Why: "lost"}},
		Detectors: []relay.Tool{{Name: "faces", SHA256: strings.Repeat("a", 64)}}, Tools: []relay.Tool{{Name: "ffmpeg", Version: "test"}}, SourceSHA: strings.Repeat("b", 64),
	}
	camera, err := h.Store.DB.Camera(ctx, h.Camera.ID)
	h.ok(err)
	if s.Masks, s.MaskSet = camera.Masks, camera.MaskVersion; len(s.Masks) > 0 {
		s.Tracks["mask"] = len(s.Masks)
	}
	if change != nil {
		change(&s)
	}
	h.ok(h.Store.DB.Prepared(ctx, rel.ID, rel.Round, copies, proxy, sealed.Bytes, s, nil, h.Now()))
	return h.Release(releaseID)
}

// place is where something is that stays where it is, from one second to another.
func place(from, to float64) []relay.EditKey {
	at := func(seconds float64) relay.EditKey {
		return relay.EditKey{At: time.Duration(seconds * float64(time.Second)), X: 0.1 + from/10, Y: 0.3, W: 0.1, H: 0.2}
	}
	return []relay.EditKey{at(from + 0.02), at(to - 0.02)}
}

// Release returns a release as it is now.
func (h *House) Release(id string) relay.Release {
	h.T.Helper()
	rel, err := h.Store.DB.Release(context.Background(), id)
	h.ok(err)
	return rel
}

// drawn is what ffmpeg drew, once for all tests of a program.
var drawn struct {
	once         sync.Once
	video, still []byte
	err          error
}

// footage returns a video of eight seconds and a picture of it.
func footage(t testing.TB) (video, still []byte) {
	t.Helper()
	drawn.once.Do(func() {
		dir, err := os.MkdirTemp("", "cliplease-house")
		if err != nil {
			drawn.err = err
			return
		}
		defer os.RemoveAll(dir)
		run := func(name string, args ...string) []byte {
			path := filepath.Join(dir, name)
			out, err := exec.Command("ffmpeg", append(append([]string{"-v", "error", "-f", "lavfi"}, args...), path)...).CombinedOutput()
			if err != nil {
				drawn.err = fmt.Errorf("ffmpeg: %w: %s", err, out)
				return nil
			}
			b, err := os.ReadFile(path)
			if err != nil {
				drawn.err = err
			}
			return b
		}
		drawn.video = run("clip.mp4", "-i", "testsrc2=size=640x360:rate=25:duration=8", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-movflags", "+faststart")
		drawn.still = run("still.jpg", "-i", "testsrc2=size=320x180:rate=1:duration=1", "-frames:v", "1")
	})
	if drawn.err != nil {
		t.Fatal(drawn.err)
	}
	return drawn.video, drawn.still
}

// Video is a playable MP4 of eight seconds.
func Video(t testing.TB) []byte {
	t.Helper()
	video, _ := footage(t)
	return video
}
