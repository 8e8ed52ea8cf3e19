// Package silence measures whether an agency could tell by a clock what it is not told: whether a
// home has the camera, has footage, has looked, or has said no.
package silence

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"math"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/server"
	"cliplease/server/token"
	"cliplease/storage"
)

const (
	samples = 2000 // of each cause
	leak    = 4.5  // |t| from which two causes count as told apart
)

// home is a relay in this process, whose clock the test moves.
type home struct {
	t      *testing.T
	ctx    context.Context
	store  *storage.Store
	site   relay.Site
	server http.Handler
	now    time.Time
	member string
	camera relay.Camera
	asked  int
}

func newHome(t *testing.T) *home {
	t.Helper()
	// In memory: what the disk takes is the same for all, and noise.
	dir, err := os.MkdirTemp("/dev/shm", "cliplease-silence-")
	if err != nil {
		dir = t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	h := &home{t: t, ctx: context.WithoutCancel(t.Context()), site: relay.NewSite("relay.example", "", true), now: time.Date(2026, 11, 22, 16, 5, 0, 0, time.UTC), member: relay.NewID()}
	h.store, err = storage.Open(h.ctx, storage.Config{Dir: dir + "/data", Site: h.site})
	h.ok(err)
	t.Cleanup(func() { h.ok(h.store.Close()) })
	h.server, err = server.New(server.Config{Store: h.store, Site: h.site, Version: "test", MaxUpload: 1, Now: func() time.Time { return h.now },
		Log: slog.New(slog.DiscardHandler), Ready: func(context.Context) []server.Check { return nil }})
	h.ok(err)
	h.camera = relay.Camera{ID: relay.NewID(), Handle: "front-door", Name: "Front door", Zone: "Europe/Amsterdam", CreatedAt: h.now}
	h.ok(h.store.DB.SaveCamera(h.ctx, h.camera, h.member, h.now))
	return h
}

func (h *home) ok(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// clip adds footage of the last hours.
func (h *home) clip() relay.Clip {
	h.t.Helper()
	c := relay.Clip{ID: relay.NewID(), CameraID: h.camera.ID, Name: "clip.mp4", Start: h.now.Add(-2 * time.Hour), State: relay.ClipReceived, Object: "o" + relay.NewID(),
		Bytes: 1 << 20, SHA256: strings.Repeat("a", 64), Salt: strings.Repeat("b", 64), CreatedAt: h.now}
	h.ok(h.store.DB.AddClip(h.ctx, c, h.member, h.now))
	c.State, c.Duration, c.Width, c.Height, c.FPS, c.Codec = relay.ClipReady, 2*time.Minute, 1280, 720, 30, "h264"
	h.ok(h.store.DB.ClipLooked(h.ctx, c, h.now))
	return c
}

// agency is one that asks for one cause.
type agency struct {
	id  string
	key crypto.Signer
}

func (h *home) agency(i int) agency {
	h.t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	h.ok(err)
	public, err := relay.NewPublicKey(key.Public())
	h.ok(err)
	a := agency{fmt.Sprintf("urn:cliplease:agency:number-%02d", i), key}
	until := h.now.AddDate(2000, 0, 0)
	h.ok(h.store.DB.RegisterAgency(h.ctx, relay.Agency{ID: a.id, Name: fmt.Sprintf("Agency %02d", i), Level: relay.LevelLocal, Domains: []string{"pd.example"}, Status: relay.AgencyActive,
		VerifiedBy: "command line", VerifiedHow: "called", VerifiedAt: h.now, VerifiedUntil: until, CreatedAt: h.now},
		[]relay.AgencyKey{public.Pin(a.id, h.now, until)}, "command line", h.now))
	return a
}

func (h *home) sign(a agency, typ string, life int64, more map[string]any) string {
	h.t.Helper()
	claims := map[string]any{"iss": a.id, "aud": h.site.API, "iat": h.now.Unix(), "exp": h.now.Unix() + life, "jti": rand.Text(), "ver": "1"}
	for k, v := range more {
		claims[k] = v
	}
	raw, err := token.Sign(a.key, typ, claims)
	h.ok(err)
	return raw
}

// request is a token that asks for a camera's footage from a time on.
func (h *home) request(a agency, camera string, from time.Time) string {
	return h.sign(a, token.Request, 300, map[string]any{
		"sub": "officer:4711", "lane": "voluntary", "purpose": relay.Purpose{Code: relay.PurposeBurglary, Text: "Burglary at 12 Elm Street; a man ran past the camera."},
		"legal_basis": relay.LegalBasis{Kind: relay.BasisVoluntary}, "case": relay.Case{Ref: "EPD-2026-1", Opened: "2026-11-20"},
		"scope":     relay.Scope{Target: relay.Target{Handle: camera}, From: from.Truncate(time.Second), To: from.Add(time.Minute).Truncate(time.Second), MaxDuration: 60, Streams: []string{"video"}, Faces: "redacted"},
		"retention": relay.Retention{Days: 30, Trigger: "case_close", Statement: "Destroyed with the case."}, "onward": relay.Onward{Policy: "none", Recipients: []string{}, Systems: []string{}, Statement: "To nobody."},
		"recipients": []relay.RecipientAsk{{Kind: relay.RecipientEmail, Addr: "det@pd.example", Name: "Det. Rivera"}}, "contact": relay.Contact{Name: "Records office", Phone: "+16125550100", Callback: "registered"},
		"respond_by": relay.Stamp(h.now.Add(73 * time.Hour)), "attest": relay.AttestID, "amends": nil,
	})
}

// post sends a token through the whole server and returns the answer with how long it took.
// Each comes from another address, of which the relay would refuse too many.
func (h *home) post(path, raw string, want int) (string, time.Duration) {
	r := httptest.NewRequest(http.MethodPost, h.site.API+path, strings.NewReader(raw))
	r.Header.Set("Content-Type", "application/jwt")
	h.asked++
	r.RemoteAddr = fmt.Sprintf("10.%d.%d.%d:4711", h.asked>>16&255, h.asked>>8&255, h.asked&255)
	rec := httptest.NewRecorder()
	began := time.Now()
	h.server.ServeHTTP(rec, r)
	took := time.Since(began)
	if rec.Code != want {
		body, _ := io.ReadAll(rec.Body)
		h.t.Fatalf("%s: %d %s", path, rec.Code, body)
	}
	return rec.Body.String(), took
}

// measure takes samples of all causes, each round in another order.
func (h *home) measure(causes []string, round func(), sample func(cause int) time.Duration) [][]float64 {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // between rounds, so that it falls into no sample
	dice := mathrand.New(mathrand.NewPCG(1, 2))
	all := make([][]float64, len(causes))
	for i := range samples {
		if i%100 == 0 {
			runtime.GC()
		}
		if round != nil {
			round()
		}
		for _, cause := range dice.Perm(len(causes)) {
			all[cause] = append(all[cause], float64(sample(cause).Nanoseconds()))
		}
	}
	return all
}

// alike fails the test when Welch's test tells two causes apart, by all samples or by those
// that no other work of the machine disturbed: the faster nine tenths of all.
func alike(t *testing.T, causes []string, all [][]float64) {
	t.Helper()
	pooled := slices.Sorted(slices.Values(slices.Concat(all...)))
	for _, share := range []float64{1, 0.9} {
		most := pooled[int(share*float64(len(pooled)-1))]
		worst := 0.0
		for i := range causes {
			for j := range i {
				v := welch(upTo(all[i], most), upTo(all[j], most))
				if worst = math.Max(worst, math.Abs(v)); math.Abs(v) >= leak {
					t.Errorf("%q and %q can be told apart by the time they take: |t| = %.1f, means %.0f and %.0f ns", causes[i], causes[j], math.Abs(v), mean(upTo(all[i], most)), mean(upTo(all[j], most)))
				}
			}
		}
		t.Logf("fastest %.0f%%: worst |t| = %.2f of %d pairs, %d samples each, median %.0f µs", share*100, worst, len(causes)*(len(causes)-1)/2, samples, pooled[len(pooled)/2]/1000)
	}
}

func upTo(all []float64, most float64) (some []float64) {
	for _, v := range all {
		if v <= most {
			some = append(some, v)
		}
	}
	return some
}

func mean(x []float64) (m float64) {
	for _, v := range x {
		m += v / float64(len(x))
	}
	return m
}

// welch is Welch's t of two samples.
func welch(x, y []float64) float64 {
	spread := func(x []float64) (v float64) {
		m := mean(x)
		for _, s := range x {
			v += (s - m) * (s - m) / float64(len(x)-1)
		}
		return v / float64(len(x))
	}
	return (mean(x) - mean(y)) / math.Sqrt(spread(x)+spread(y))
}

// TestWelch proves that the measure sees a difference where there is one, and none where not.
func TestWelch(t *testing.T) {
	dice := mathrand.New(mathrand.NewPCG(3, 4))
	draw := func(mean float64) (x []float64) {
		for range samples {
			x = append(x, mean+100*dice.NormFloat64())
		}
		return x
	}
	if v := welch(draw(1000), draw(1000)); math.Abs(v) >= leak {
		t.Errorf("t = %.2f of two samples of the same", v)
	}
	if v := welch(draw(1000), draw(1025)); math.Abs(v) < leak {
		t.Errorf("t = %.2f of two samples a quarter of their spread apart", v)
	}
	if v := welch([]float64{1, 2, 3, 4}, []float64{2, 4, 6, 8}); math.Abs(v+1.7320508) > 1e-6 {
		t.Errorf("t = %v, want -√3", v)
	}
}

// TestSilenceTiming: whatever the home has, is, or decides, a receipt and a poll take the same
// time.
func TestSilenceTiming(t *testing.T) {
	t.Run("receipt", receipts)
	t.Run("poll", polls)
}

// receipts times the filing of requests for footage that is there, for a camera that is not, and
// for a time of which there is none.
func receipts(t *testing.T) {
	h := newHome(t)
	causes := []string{"footage", "unknown camera", "no footage in the window"}
	agencies := make([]agency, len(causes))
	for i := range agencies {
		agencies[i] = h.agency(i)
	}
	alike(t, causes, h.measure(causes, func() {
		h.now = h.now.AddDate(0, 0, 100) // until no earlier request counts
		h.clip()
	}, func(cause int) time.Duration {
		from := h.now.Add(-2 * time.Hour)
		camera := "front-door"
		switch cause {
		case 1:
			camera = "side-alley"
		case 2:
			from = from.AddDate(0, 0, -20)
		}
		_, took := h.post("/a/v1/requests", h.request(agencies[cause], camera, from), http.StatusAccepted)
		return took
	}))
}

// polls times how requests stand, while they may still be answered and when that time is over.
func polls(t *testing.T) {
	h := newHome(t)
	clip := h.clip()
	change := func(id string, f func(*relay.Request) (relay.Event, error)) {
		h.ok(h.store.DB.UpdateRequest(h.ctx, id, f))
	}
	var deadline time.Time
	asks := []struct {
		cause, camera string
		from          time.Time
		then          func(id string)
		late          func(id string) // when the deadline is over
	}{
		{cause: "ignored"},
		{cause: "unknown camera", camera: "side-alley"},
		{cause: "no footage in the window", from: clip.Start.AddDate(0, 0, -20)},
		{cause: "seen", then: func(id string) {
			change(id, func(q *relay.Request) (relay.Event, error) { return q.See(h.member, h.now) })
		}},
		{cause: "declined", then: func(id string) {
			change(id, func(q *relay.Request) (relay.Event, error) { return q.Decline(h.member, h.now) })
		}},
		{cause: "prepared and not signed", then: func(id string) {
			q, err := h.store.DB.Request(h.ctx, id)
			h.ok(err)
			_, err = h.store.DB.PrepareRelease(h.ctx, id, clip.ID, relay.Draft{From: q.Claims.Scope.From, To: q.Claims.Scope.To, Style: relay.StyleBlur, Targets: []string{"faces", "plates"},
				Recipients: []relay.Recipient{relay.Recipient(q.Claims.Recipients[0])}, Expires: h.now.Add(time.Hour), MaxViews: 1}, h.member, h.now)
			h.ok(err)
		}},
		{cause: "agency suspended afterwards", then: func(id string) {
			q, err := h.store.DB.Request(h.ctx, id)
			h.ok(err)
			h.ok(h.store.DB.SetAgencyStatus(h.ctx, q.AgencyID, relay.AgencySuspended, h.member, h.now))
		}},
		{cause: "members told", then: func(id string) { h.ok(h.store.DB.TellMembers(h.ctx, "request", id, h.now)) }},
		{cause: "stopped by a rule", then: func(id string) {
			h.ok(h.store.DB.AddRule(h.ctx, relay.Rule{ID: relay.NewID(), Name: "Not from here", When: "true", Effect: relay.Effect{Kind: relay.EffectStop}, On: true, CreatedAt: h.now}, h.member, h.now))
			q, err := h.store.DB.JudgeRequest(h.ctx, id, h.now)
			h.ok(err)
			if q.State != relay.RequestClosed {
				t.Fatalf("the request is %s though a rule stops it", q.State)
			}
		}},
		{cause: "closed by the sweeper", late: func(id string) {
			change(id, func(q *relay.Request) (relay.Event, error) { return q.Lapse(h.now) })
		}},
	}
	causes, ids, agencies := make([]string, len(asks)), make([]string, len(asks)), make([]agency, len(asks))
	for i, ask := range asks {
		if ask.camera == "" {
			ask.camera = "front-door"
		}
		if ask.from.IsZero() {
			ask.from = clip.Start
		}
		causes[i], agencies[i] = ask.cause, h.agency(i)
		raw, _ := h.post("/a/v1/requests", h.request(agencies[i], ask.camera, ask.from), http.StatusAccepted)
		receipt, err := token.ParseReceipt(raw, relay.PublicKey{})
		h.ok(err)
		until, err := time.Parse(time.RFC3339, receipt.RespondBy)
		h.ok(err)
		ids[i] = receipt.RequestID
		if until.After(deadline) {
			deadline = until
		}
		if ask.then != nil {
			ask.then(ids[i])
		}
	}
	poll := func(want string) func(int) time.Duration {
		return func(cause int) time.Duration {
			body, took := h.post("/a/v1/requests/poll", h.sign(agencies[cause], token.Poll, 60, map[string]any{"request_ids": []string{ids[cause]}}), http.StatusOK)
			if body != fmt.Sprintf(`{"requests":[{"request_id":%q,"state":%q}]}`, ids[cause], want) {
				t.Fatalf("%s: %s", causes[cause], body)
			}
			return took
		}
	}
	alike(t, causes, h.measure(causes, nil, poll("pending")))
	h.now = deadline.Add(time.Hour)
	for i, ask := range asks {
		if ask.late != nil {
			ask.late(ids[i])
		}
	}
	alike(t, causes, h.measure(causes, nil, poll("closed")))
}
