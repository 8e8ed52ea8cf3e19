package api

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/server/token"
	"cliplease/storage"
)

// opens calls open for a release.
func (w *world) opens(a requester, releaseID string) (int, opening, string) {
	w.t.Helper()
	c := w.call(a, 60)
	c["release_id"] = releaseID
	code, body := w.answer(w.post("/a/v1/releases/open", w.sign(a, token.Open, c)))
	var o opening
	if code == http.StatusOK {
		w.ok(json.Unmarshal([]byte(body), &o))
	}
	return code, o, body
}

// ranges asks for a range of an opened release.
func (w *world) ranges(session, spec string) reply {
	r := httptest.NewRequest("GET", "/a/v1/releases/media", nil)
	if session != "" {
		r.Header.Set("Authorization", "Bearer "+session)
	}
	if spec != "" {
		r.Header.Set("Range", spec)
	}
	return w.send(r)
}

// fetches reads a whole release as a client does.
func (w *world) fetches(o opening) []byte {
	w.t.Helper()
	var got []byte
	for int64(len(got)) < o.Bytes {
		res := w.ranges(o.Session, fmt.Sprintf("bytes=%d-", len(got)))
		code, body := w.answer(res)
		if code != http.StatusPartialContent || len(body) == 0 || len(body) > relay.RangeMax {
			w.t.Fatalf("at %d: %d and %d bytes", len(got), code, len(body))
		}
		got = append(got, body...)
	}
	return got
}

func footage(t testing.TB, size int) []byte {
	b := make([]byte, size)
	rand.Read(b)
	return b
}

// TestOpenRelease: the key that a request named fetches its own copy, range by range, until
// the lease ends.
func TestOpenRelease(t *testing.T) {
	w := newWorld(t, wide())
	a, b := w.registers("first", relay.AlgEdDSA), w.registers("second", relay.AlgES256)
	id := w.files(a, w.claims(a))
	film := footage(t, 700_000)
	rel := w.leases(id, film, time.Hour, 3)
	if code, body := w.polls(a, id); code != http.StatusOK || body != fmt.Sprintf(`{"requests":[{"request_id":%q,"state":"released","release_id":%q}]}`, id, rel.ID) {
		t.Fatalf("poll: %d %s", code, body)
	}
	code, o, body := w.opens(a, rel.ID)
	if code != http.StatusOK || o.Bytes != int64(len(film)) || !o.Download || o.Until != relay.Stamp(w.now.Add(time.Hour)) {
		t.Fatalf("open: %d %s", code, body)
	}
	got := w.fetches(o)
	sum := sha256.Sum256(got)
	if !bytes.Equal(got, film) || hex.EncodeToString(sum[:]) != o.SHA256 {
		t.Error("the bytes are not those of the copy")
	}
	for spec, want := range map[string]string{"": "bytes 0-262143/700000", "bytes=0-": "bytes 0-262143/700000", "bytes=10-19": "bytes 10-19/700000", "bytes=-5": "bytes 699995-699999/700000",
		"bytes=0-1,5-6": "bytes 0-262143/700000"} {
		if res := w.ranges(o.Session, spec); res.StatusCode != http.StatusPartialContent || res.Header.Get("Content-Range") != want {
			t.Errorf("%q: %s %s, want %s", spec, res.Status, res.Header.Get("Content-Range"), want)
		}
	}
	if res := w.ranges(o.Session, "bytes=700000-"); res.StatusCode != http.StatusRequestedRangeNotSatisfiable {
		t.Errorf("outside: %s", res.Status)
	}
	views, err := w.store.DB.Views(t.Context(), rel.ID)
	w.ok(err)
	if len(views) != 1 || views[0].Session.Bytes < int64(len(film)) || views[0].Link.ViewsUsed != 1 {
		t.Errorf("views: %+v", views)
	}

	nothing := func(name string, code int, body string) {
		t.Helper()
		if code != http.StatusNotFound || body != notAvailable {
			t.Errorf("%s: %d %s", name, code, body)
		}
	}
	code, _, body = w.opens(b, rel.ID)
	nothing("another agency", code, body)
	code, _, body = w.opens(a, "aaaaaaaaaaaaaaaaaaaaaaaaaa")
	nothing("no such release", code, body)
	for name, session := range map[string]string{"none": "", "wrong": strings.Repeat("A", 43), "short": "abc"} {
		code, body := w.answer(w.ranges(session, "bytes=0-"))
		nothing(name, code, body)
	}
	// A second key of the same agency has no copy.
	signer, public := w.key(relay.AlgEdDSA)
	w.ok(w.store.DB.AddAgencyKey(t.Context(), public.Pin(a.ID, w.now, a.VerifiedUntil), "command line", w.now))
	code, _, body = w.opens(requester{a.Agency, signer, public}, rel.ID)
	nothing("another key", code, body)

	// Views run out.
	for range 2 {
		if code, _, body := w.opens(a, rel.ID); code != http.StatusOK {
			t.Fatal(code, body)
		}
	}
	code, _, body = w.opens(a, rel.ID)
	nothing("the fourth of three views", code, body)
	// Fifteen minutes without a range end a session, an hour ends it anyway.
	w.now = w.now.Add(relay.ViewIdle + time.Second)
	code, body = w.answer(w.ranges(o.Session, "bytes=0-"))
	nothing("idle", code, body)
	for _, err := range w.faults {
		t.Errorf("a fault: %v", err)
	}
}

// TestRevokeCutsKeys: after a revocation, an expiry, or the end of one link there is nothing
// more for a key recipient.
func TestRevokeCutsKeys(t *testing.T) {
	for name, end := range map[string]func(w *world, rel relay.Release){
		"revoked": func(w *world, rel relay.Release) {
			w.ok(w.store.DB.RevokeRelease(context.Background(), rel.ID, w.member.ID, "enough", w.now))
		},
		"run out": func(w *world, rel relay.Release) { w.now = rel.ExpiresAt },
		"link ended": func(w *world, rel relay.Release) {
			links, err := w.store.DB.LinksOf(context.Background(), rel.ID)
			w.ok(err)
			for _, l := range links {
				w.ok(w.store.DB.RevokeLink(context.Background(), l.ID, w.member.ID, w.now))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, wide())
			a := w.registers("first", relay.AlgEdDSA)
			rel := w.leases(w.files(a, w.claims(a)), footage(t, 1000), 11*time.Minute, 5)
			_, o, _ := w.opens(a, rel.ID)
			if res := w.ranges(o.Session, "bytes=0-9"); res.StatusCode != http.StatusPartialContent {
				t.Fatal(res.Status)
			}
			end(w, rel)
			if code, body := w.answer(w.ranges(o.Session, "bytes=10-19")); code != http.StatusNotFound || body != notAvailable {
				t.Errorf("range: %d %s", code, body)
			}
			if code, _, body := w.opens(a, rel.ID); code != http.StatusNotFound || body != notAvailable {
				t.Errorf("open: %d %s", code, body)
			}
		})
	}
}

// TestViewRace: a hundred calls at once open exactly as often as the grant allows.
func TestViewRace(t *testing.T) {
	w := newWorld(t, wide())
	a := w.registers("first", relay.AlgEdDSA)
	rel := w.leases(w.files(a, w.claims(a)), footage(t, 1000), time.Hour, 5)
	var group sync.WaitGroup
	var mu sync.Mutex
	codes := map[int]int{}
	for range 100 {
		c := w.call(a, 60)
		c["release_id"] = rel.ID
		raw := w.sign(a, token.Open, c)
		group.Go(func() {
			code := w.post("/a/v1/releases/open", raw).StatusCode
			mu.Lock()
			defer mu.Unlock()
			codes[code]++
		})
	}
	group.Wait()
	if codes[200] != 5 || codes[404] != 95 {
		t.Errorf("got %v, want 5 opened and 95 refused", codes)
	}
}

// TestBrowserSessionIsNoKey: the session of a recipient by mail opens nothing here.
func TestBrowserSessionIsNoKey(t *testing.T) {
	w := newWorld(t, wide())
	a := w.registers("first", relay.AlgEdDSA)
	rel := w.leases(w.files(a, w.claims(a)), footage(t, 1000), time.Hour, 5)
	links, err := w.store.DB.LinksOf(t.Context(), rel.ID)
	w.ok(err)
	for _, l := range links {
		bearer := strings.Repeat("B", 43)
		o, err := w.store.DB.LinkByToken(t.Context(), l.TokenHash)
		w.ok(err)
		if o.Copy.Recipient.Kind != relay.RecipientEmail {
			continue
		}
		w.ok(w.store.DB.StartView(t.Context(), o, storage.ViewSession{TokenHash: sessionHash(bearer), LinkID: l.ID, Kind: "view", CreatedAt: w.now, SeenAt: w.now, ExpiresAt: w.now.Add(time.Hour)}, w.now))
		if code, body := w.answer(w.ranges(bearer, "bytes=0-9")); code != http.StatusNotFound || body != notAvailable {
			t.Errorf("%d %s", code, body)
		}
		return
	}
	t.Fatal("no recipient by mail")
}

// TestTampered: bytes that are not those of the grant are never given out, and cost no view.
func TestTampered(t *testing.T) {
	w := newWorld(t, wide())
	a := w.registers("first", relay.AlgEdDSA)
	rel := w.leases(w.files(a, w.claims(a)), footage(t, 1000), time.Hour, 1)
	for _, c := range rel.Copies {
		w.ok(w.store.Objects.Delete(t.Context(), c.Object))
		w.ok(w.store.Objects.Put(t.Context(), c.Object, bytes.NewReader(footage(t, 1032)), -1))
	}
	if code, _, body := w.opens(a, rel.ID); code != http.StatusNotFound || body != notAvailable {
		t.Errorf("%d %s", code, body)
	}
	links, err := w.store.DB.LinksOf(t.Context(), rel.ID)
	w.ok(err)
	for _, l := range links {
		if l.ViewsUsed != 0 {
			t.Error("it cost a view")
		}
	}
}

// TestDestroyed: an attestation is kept once, with its event, and only about an own release.
func TestDestroyed(t *testing.T) {
	w := newWorld(t, wide())
	a, b := w.registers("first", relay.AlgEdDSA), w.registers("second", relay.AlgEdDSA)
	rel := w.leases(w.files(a, w.claims(a)), footage(t, 1000), time.Hour, 1)
	w.ok(w.store.DB.RevokeRelease(t.Context(), rel.ID, w.member.ID, "enough", w.now))
	attest := func(by requester, id string, change func(claim)) string {
		c := w.call(by, 300)
		c["release_id"], c["destroyed_at"], c["statement"] = id, relay.Stamp(w.now), "deleted from the evidence system"
		if change != nil {
			change(c)
		}
		return w.sign(by, token.Destroyed, c)
	}
	raw := attest(a, rel.ID, nil)
	want := fmt.Sprintf(`{"release_id":%q,"recorded_at":%q}`, rel.ID, relay.Stamp(w.now))
	for range 2 {
		if code, body := w.answer(w.post("/a/v1/releases/destroyed", raw)); code != http.StatusOK || body != want {
			t.Errorf("%d %s, want %s", code, body, want)
		}
		w.now = w.now.Add(time.Minute)
	}
	kept, err := w.store.DB.AttestationsOf(t.Context(), rel.ID)
	w.ok(err)
	if len(kept) != 1 || kept[0].JWS != raw || kept[0].Statement != "deleted from the evidence system" {
		t.Errorf("kept: %+v", kept)
	}
	for name, tt := range map[string]struct {
		raw  string
		code int
		body string
	}{
		"another agency": {attest(b, rel.ID, nil), http.StatusNotFound, notAvailable},
		"no release":     {attest(a, "aaaaaaaaaaaaaaaaaaaaaaaaaa", nil), http.StatusNotFound, notAvailable},
		"in the future":  {attest(a, rel.ID, func(c claim) { c["destroyed_at"] = relay.Stamp(w.now.Add(time.Hour)) }), http.StatusUnprocessableEntity, `"claim":"destroyed_at"`},
		"says nothing":   {attest(a, rel.ID, func(c claim) { c["statement"] = " " }), http.StatusUnprocessableEntity, `"claim":"statement"`},
		"same jti":       {attest(a, rel.ID, func(c claim) { c["jti"] = kept[0].JTI }), http.StatusUnprocessableEntity, `"claim":"jti"`},
	} {
		if code, body := w.answer(w.post("/a/v1/releases/destroyed", tt.raw)); code != tt.code || !strings.Contains(body, tt.body) {
			t.Errorf("%s: %d %s", name, code, body)
		}
	}
}

// TestAcknowledge: after the end of a release its agency gets a signed notice, always the same bytes,
// and acknowledges it once. Nothing of it exists for a request to which nothing was released.
func TestAcknowledge(t *testing.T) {
	w := newWorld(t, wide())
	a, b := w.registers("first", relay.AlgEdDSA), w.registers("second", relay.AlgES256)
	id := w.files(a, w.claims(a))
	rel := w.leases(id, footage(t, 1000), time.Hour, 1)
	polled := func() standing {
		t.Helper()
		code, body := w.polls(a, id)
		var out standings
		w.ok(json.Unmarshal([]byte(body), &out))
		if code != http.StatusOK || len(out.Requests) != 1 {
			t.Fatal(code, body)
		}
		return out.Requests[0]
	}
	acknowledge := func(by requester, release, notice string, change func(claim)) string {
		c := w.call(by, 300)
		sum := sha256.Sum256([]byte(notice))
		c["release_id"], c["notice_sha256"] = release, hex.EncodeToString(sum[:])
		if change != nil {
			change(c)
		}
		return w.sign(by, token.Acknowledge, c)
	}
	post := func(raw string) (int, string) { return w.answer(w.post("/a/v1/releases/acknowledge", raw)) }

	if s := polled(); s.Notice != "" {
		t.Errorf("a live release has a notice of its end: %+v", s)
	}
	if code, body := post(acknowledge(a, rel.ID, "", nil)); code != http.StatusNotFound || body != notAvailable {
		t.Errorf("while it is live: %d %s", code, body)
	}
	w.ok(w.store.DB.RevokeRelease(t.Context(), rel.ID, w.member.ID, "enough", w.now))
	ended := w.now
	s := polled()
	public, err := relay.NewPublicKey(w.store.Identity.Relay.Public())
	w.ok(err)
	notice, err := token.ParseEnded(s.Notice, public)
	w.ok(err)
	if want := (token.EndedClaims{Audience: a.ID, RequestID: id, ReleaseID: rel.ID, EndedAt: relay.Stamp(ended), Destroy: true}); notice != want || !s.Ended || s.State != "closed" {
		t.Errorf("the notice says %+v, want %+v", notice, want)
	}
	w.now = w.now.Add(time.Hour)
	if again := polled(); again != s {
		t.Errorf("the notice changed: %+v, then %+v", s, again)
	}
	first := acknowledge(a, rel.ID, s.Notice, nil)
	want := fmt.Sprintf(`{"release_id":%q,"recorded_at":%q}`, rel.ID, relay.Stamp(w.now))
	for _, raw := range []string{first, first, acknowledge(a, rel.ID, s.Notice, nil)} {
		if code, body := post(raw); code != http.StatusOK || body != want {
			t.Errorf("%d %s, want %s", code, body, want)
		}
		w.now = w.now.Add(time.Minute)
	}
	kept, err := w.store.DB.AcknowledgementOf(t.Context(), rel.ID)
	w.ok(err)
	if kept.JWS != first || kept.AgencyID != a.ID || kept.KID != a.public.KID {
		t.Errorf("kept: %+v", kept)
	}
	log, err := w.store.DB.History(t.Context(), rel.ID)
	w.ok(err)
	n := 0
	for _, e := range log {
		if strings.Contains(string(e.Event), string(relay.ReleaseAcknowledged)) {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d events, want 1", n)
	}
	silent := w.files(b, w.claims(b))
	never, err := w.store.DB.Request(t.Context(), silent)
	w.ok(err)
	w.now = never.RespondBy
	if code, body := w.polls(b, silent); code != http.StatusOK || body != fmt.Sprintf(`{"requests":[{"request_id":%q,"state":"closed"}]}`, silent) {
		t.Errorf("a request that was never answered: %d %s", code, body)
	}
	for name, tt := range map[string]struct {
		raw  string
		code int
		body string
	}{
		"another agency": {acknowledge(b, rel.ID, s.Notice, nil), http.StatusNotFound, notAvailable},
		"no release":     {acknowledge(a, "aaaaaaaaaaaaaaaaaaaaaaaaaa", s.Notice, nil), http.StatusNotFound, notAvailable},
		"other notice":   {acknowledge(a, rel.ID, s.Notice+"x", nil), http.StatusUnprocessableEntity, `"claim":"notice_sha256"`},
		"no digest":      {acknowledge(a, rel.ID, s.Notice, func(c claim) { c["notice_sha256"] = "ff" }), http.StatusUnprocessableEntity, `"claim":"notice_sha256"`},
		"no id":          {acknowledge(a, "R", s.Notice, nil), http.StatusUnprocessableEntity, `"claim":"release_id"`},
	} {
		if code, body := post(tt.raw); code != tt.code || !strings.Contains(body, tt.body) {
			t.Errorf("%s: %d %s", name, code, body)
		}
	}
}
