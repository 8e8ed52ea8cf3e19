// Package fault kills the relay where it hurts: at named moments, with a program built for that,
// and at random under load. Each time it starts anew, everything that must always hold holds, and
// everybody can go on.
package fault

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/server/token"
	"cliplease/storage"
	"cliplease/test/driver"
	"cliplease/test/footage"
	"cliplease/test/servers"
)

const (
	patience = 10 * time.Minute // bounds one test
	domain   = "pd.example"
	camera   = "front-door"
	clipName = "door.mp4"
	fileSize = 300_000 // bytes of a release copy: two ranges
)

var (
	work string // folder of the program and the clip
	// program is the relay that can be told at which moment to end.
	program = sync.OnceValues(func() (string, error) {
		bin := filepath.Join(work, "cliplease")
		out, err := exec.Command("go", "build", "-buildvcs=false", "-tags", "fault", "-o", bin, "cliplease/cmd/cliplease").CombinedOutput()
		if err != nil {
			err = fmt.Errorf("build the program: %w: %s", err, out)
		}
		return bin, err
	})
	clip = sync.OnceValues(func() (string, error) {
		stills, err := footage.Stills()
		if err != nil {
			return "", err
		}
		path := filepath.Join(work, clipName)
		return path, footage.Make(context.Background(), stills, footage.Short, path, nil)
	})
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if work, err = os.MkdirTemp("", "cliplease-fault-"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(work)
		return m.Run()
	}())
}

// world is a relay with a home, a clip and a shelf of releases that wait to be signed.
type world struct {
	t     testing.TB
	ctx   context.Context
	file  string // names the moment at which the relay ends
	relay *driver.Relay
	home  *driver.Home
	start time.Time // of the clip
	clip  relay.Clip
}

// settled starts a relay and sets up its home. With footage, its clip is real and can be
// prepared; else it is one in name.
func settled(t testing.TB, real bool) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	t.Cleanup(cancel)
	dir := t.TempDir()
	w := &world{t: t, ctx: ctx, file: filepath.Join(dir, "moment"), start: time.Now().Add(-2 * time.Hour).UTC().Truncate(time.Minute)}
	mail, err := servers.StartMailSink()
	w.must(err)
	t.Cleanup(mail.Stop)
	bin, err := program()
	w.must(err)
	w.relay, err = driver.Start(ctx, driver.Config{Bin: bin, Data: filepath.Join(dir, "data"), Mail: mail, Env: []string{"FAULT_FILE=" + w.file}})
	w.must(err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("the relay's log:\n" + w.relay.Log())
		}
		if err := w.relay.Stop(); err != nil {
			t.Errorf("the relay did not end well: %v", err)
		}
		w.holds()
	})
	w.home, err = w.relay.Join(ctx, w.relay.SetUpLink, "Alex Homeowner", "alex@home.example")
	w.must(err)
	w.must(w.home.SaveCamera(ctx, camera, "Front door"))
	if real {
		path, err := clip()
		w.must(err)
		_, err = w.relay.Must(ctx, "clip", "add", path, "--camera", camera, "--start", relay.Stamp(w.start))
		w.must(err)
		w.clip, err = w.relay.Clip(ctx, clipName)
		w.must(err)
		return w
	}
	w.must(w.relay.With(ctx, func(s *storage.Store) error {
		w.clip, err = s.KeepClip(ctx, relay.Clip{CameraID: camera, Name: clipName, Start: w.start}, strings.NewReader("footage that nobody looks at"), "command line", time.Now())
		return err
	}))
	w.must(driver.Until(ctx, func() (looked bool, err error) { // and finds no footage in it
		err = w.relay.With(ctx, func(s *storage.Store) error {
			c, err := s.DB.Clip(ctx, w.clip.ID)
			looked = c.State != relay.ClipReceived
			return err
		})
		return looked, err
	}))
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// refused checks that err is the relay's answer with a status.
func (w *world) refused(err error, code int, what string) {
	w.t.Helper()
	var status *driver.StatusError
	if !errors.As(err, &status) || status.Code != code {
		w.t.Errorf("%s: %v, want status %d", what, err, code)
	}
}

// holds checks everything that must hold at any moment.
func (w *world) holds() {
	w.t.Helper()
	if err := w.relay.With(w.ctx, func(s *storage.Store) error {
		_, err := s.Verify(w.ctx)
		return err
	}); err != nil {
		w.t.Errorf("what must always hold does not: %v", err)
	}
}

// dies runs act, which must make the relay reach the moment, and starts the relay anew.
func (w *world) dies(moment string, act func() error) {
	w.t.Helper()
	w.must(os.WriteFile(w.file, []byte(moment), 0o600))
	said := act()
	w.down(moment, said)
	w.must(w.relay.Start(w.ctx))
	w.holds()
}

// down waits until the relay has ended by itself.
func (w *world) down(moment string, said error) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, 90*time.Second)
	defer cancel()
	if err := driver.Until(ctx, func() (bool, error) { ended, _ := w.relay.Ended(); return ended, nil }); err != nil {
		w.t.Fatalf("the relay did not reach %q (%v)", moment, said)
	}
	if _, err := os.Stat(w.file); err == nil {
		w.t.Fatalf("the relay ended, but not at %q", moment)
	}
}

// agency is one that the relay knows.
type agency struct {
	relay.Agency
	key crypto.Signer
	kid string
}

func (w *world) registers(s *storage.Store) agency {
	w.t.Helper()
	now := time.Now()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	w.must(err)
	public, err := relay.NewPublicKey(key.Public())
	w.must(err)
	a := agency{key: key, kid: public.KID, Agency: relay.Agency{ID: "urn:cliplease:agency:" + relay.NewID(), Name: "Exampleville Police Department", Level: relay.LevelLocal,
		Domains: []string{domain}, Status: relay.AgencyActive, VerifiedBy: "command line", VerifiedHow: "called", VerifiedAt: now, VerifiedUntil: now.AddDate(1, 0, 0), CreatedAt: now}}
	w.must(s.DB.RegisterAgency(w.ctx, a.Agency, []relay.AgencyKey{public.Pin(a.ID, now, a.VerifiedUntil)}, "command line", now))
	return a
}

// token is a request that a signs for itself, with one recipient.
func (w *world) token(a agency, mailbox string) string {
	w.t.Helper()
	now := time.Now()
	raw, err := token.Sign(a.key, token.Request, map[string]any{
		"iss": a.ID, "aud": w.relay.Site.API, "iat": now.Unix(), "exp": now.Unix() + 300, "jti": strings.ToLower(rand.Text()), "ver": "1", "sub": "officer:4711", "lane": "voluntary",
		"purpose":     relay.Purpose{Code: relay.PurposeHitAndRun, Text: "A car hit a cyclist in front of the house and drove away. We look for its make and colour."},
		"legal_basis": relay.LegalBasis{Kind: relay.BasisVoluntary}, "case": relay.Case{Ref: "EPD-" + rand.Text()[:8], Opened: now.AddDate(0, 0, -1).Format(time.DateOnly)},
		"scope":     relay.Scope{Target: relay.Target{Handle: camera}, From: w.start.Add(-time.Minute), To: w.start.Add(time.Minute), MaxDuration: 60, Streams: []string{"video"}, Faces: "redacted"},
		"retention": relay.Retention{Days: 30, Trigger: "case_close", Statement: "Destroyed with the case."}, "onward": relay.Onward{Policy: "none", Recipients: []string{}, Systems: []string{}, Statement: "To nobody."},
		"recipients": []relay.RecipientAsk{{Kind: relay.RecipientEmail, Addr: mailbox, Name: "Det. Rivera"}}, "contact": relay.Contact{Name: "Records office", Phone: "+16125550100", Callback: "registered"},
		"respond_by": relay.Stamp(now.Add(73 * time.Hour)), "attest": relay.AttestID, "amends": nil,
	})
	w.must(err)
	return raw
}

// post files a token as the agency's own client does, and returns the receipt.
func (w *world) post(raw string) (string, error) {
	b := w.relay.Browser(w.relay.Site.API)
	resp, err := b.Do(w.ctx, http.MethodPost, "/a/v1/requests", strings.NewReader(raw), http.Header{"Content-Type": {"application/jwt"}})
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusAccepted {
		err = &driver.StatusError{Code: resp.StatusCode, Text: string(body)}
	}
	return string(body), err
}

// shelved is a release that waits to be signed.
type shelved struct {
	relay.Release
	mailbox string
}

// receives stores a request as if its agency had sent it.
func (w *world) receives(s *storage.Store, a agency, mailbox string) (q relay.Request) {
	w.t.Helper()
	raw := w.token(a, mailbox)
	parsed, err := token.Parse(raw, token.Request)
	w.must(err)
	keys, err := s.DB.AgencyKeys(w.ctx, a.ID)
	w.must(err)
	now := time.Now()
	claims, err := relay.ParseClaims(parsed.Payload, relay.Expected{Agency: a.Agency, Keys: keys, Audience: w.relay.Site.API, Now: now, MaxLife: 5 * time.Minute})
	w.must(err)
	q, e := relay.ReceiveRequest(relay.NewID(), a.kid, raw, claims, s.Identity.Secret("jitter"), now)
	q, _, err = s.DB.ReceiveRequest(w.ctx, q, e, now, nil)
	w.must(err)
	return q
}

// shelve stops the relay, lays n releases on the shelf, and starts it again. It does what a worker
// does, but with bytes that are no footage: nothing here depends on what they show.
func (w *world) shelve(n int) (out []shelved) {
	w.t.Helper()
	w.must(w.relay.Stop())
	content := bytes.Repeat([]byte("no footage"), fileSize/10)
	w.must(w.relay.With(w.ctx, func(s *storage.Store) error {
		if w.clip.State != relay.ClipReady {
			w.clip = w.ready(s)
		}
		a := w.registers(s)
		members, err := s.DB.Members(w.ctx)
		w.must(err)
		for range n {
			now := time.Now()
			mailbox := relay.NewID()[:12] + "@" + domain
			q := w.receives(s, a, mailbox)
			d := relay.Draft{From: w.start, To: w.start.Add(3 * time.Second), Style: relay.StyleBlur, Targets: []string{"faces", "plates"}, Expires: now.Add(24 * time.Hour).Truncate(time.Second),
				MaxViews: 3, Recipients: []relay.Recipient{relay.Recipient(q.Claims.Recipients[0])}}
			rel, err := s.DB.PrepareRelease(w.ctx, q.ID, w.clip.ID, d, members[0].ID, now)
			w.must(err)
			seal := func(id string) (string, storage.Sealed) {
				key, err := s.Keys.New(w.ctx, id, rel.ID)
				w.must(err)
				object := "o" + relay.NewID()
				sealed, err := storage.SealTo(w.ctx, s.Objects, object, key, bytes.NewReader(content))
				w.must(err)
				return object, sealed
			}
			c := &rel.Copies[0]
			object, sealed := seal(c.ID)
			c.Object, c.Bytes, c.SHA256 = object, sealed.Bytes, hex.EncodeToString(sealed.SHA256[:])
			proxy, sealed := seal(storage.ProxyKey(rel.ID, rel.Round))
			w.must(s.DB.Prepared(w.ctx, rel.ID, rel.Round, rel.Copies, proxy, sealed.Bytes, relay.Summary{Frames: 75, FPS: 25, Width: 640, Height: 360,
				Gates: []relay.Gate{{Name: "streams", OK: true}}, SourceSHA: c.SHA256}, nil, now))
			rel, err = s.DB.Release(w.ctx, rel.ID)
			w.must(err)
			out = append(out, shelved{rel, mailbox})
		}
		return nil
	}))
	w.must(w.relay.Start(w.ctx))
	return out
}

// ready adds a clip that is called ready though it holds no footage.
func (w *world) ready(s *storage.Store) relay.Clip {
	w.t.Helper()
	now := time.Now()
	c := w.clip
	c.ID, c.Object, c.Name, c.State, c.Reason, c.SHA256 = relay.NewID(), "o"+relay.NewID(), "shelf.mp4", relay.ClipReceived, "", strings.Repeat("a", 64)
	_, err := s.Vault.Seal(w.ctx, s.Objects, c.Object, strings.NewReader("no footage"))
	w.must(err)
	w.must(s.DB.AddClip(w.ctx, c, "command line", now))
	c.State, c.Duration, c.Width, c.Height, c.FPS, c.Codec = relay.ClipReady, 6*time.Second, 640, 360, 25, "h264"
	w.must(s.DB.ClipLooked(w.ctx, c, now))
	return c
}

// standing is a release and its one link as they are kept; the link is empty before it is signed.
func (w *world) standing(id string) (rel relay.Release, link relay.Link) {
	w.t.Helper()
	w.must(w.relay.With(w.ctx, func(s *storage.Store) (err error) {
		if rel, err = s.DB.Release(w.ctx, id); err != nil {
			return err
		}
		links, err := s.DB.LinksOf(w.ctx, id)
		if len(links) > 1 {
			w.t.Errorf("release %s has %d links, want one", id, len(links))
		}
		if len(links) > 0 {
			link = links[0]
		}
		return err
	}))
	return rel, link
}

// stands checks the state of a release and how many views were counted.
func (w *world) stands(r shelved, state relay.ReleaseState, views int) {
	w.t.Helper()
	if rel, link := w.standing(r.ID); rel.State != state || link.ViewsUsed != views {
		w.t.Errorf("the release is %s with %d views, want %s with %d", rel.State, link.ViewsUsed, state, views)
	}
}

// asked opens the link that came and has a code mailed that is not among those known.
func (w *world) asked(r shelved, known ...string) (*driver.Recipient, string) {
	w.t.Helper()
	link, err := w.relay.AwaitLink(w.ctx, r.mailbox)
	w.must(err)
	v, err := w.relay.Open(w.ctx, link)
	w.must(err)
	w.must(v.AskCode(w.ctx))
	code, err := w.relay.AwaitCode(w.ctx, r.mailbox, known...)
	w.must(err)
	return v, code
}

// watching opens the link that came.
func (w *world) watching(r shelved) *driver.Recipient {
	w.t.Helper()
	v, code := w.asked(r)
	w.must(v.Verify(w.ctx, code))
	return v
}

// plays fetches the whole and checks that it is what was signed.
func (w *world) plays(v *driver.Recipient, r shelved) {
	w.t.Helper()
	got, err := v.Play(w.ctx, io.Discard)
	w.must(err)
	if got.SHA256 != r.Copies[0].SHA256 {
		w.t.Errorf("what was played is not what was signed")
	}
}

// approved signs a release.
func (w *world) approved(r shelved) {
	w.t.Helper()
	_, err := w.home.Approve(w.ctx, r.ID)
	w.must(err)
}

// gone checks that nobody watches a release any more and that nothing of it is kept in the end.
func (w *world) gone(v *driver.Recipient, r shelved) {
	w.t.Helper()
	_, err := v.Play(w.ctx, io.Discard)
	w.refused(err, http.StatusNotFound, "a range after the end")
	ctx, cancel := context.WithTimeout(w.ctx, time.Minute)
	defer cancel()
	w.must(w.relay.AwaitGone(ctx, storage.Remains(r.Release)))
	w.must(driver.Until(ctx, func() (bool, error) { rel, _ := w.standing(r.ID); return !rel.ShreddedAt.IsZero(), nil }))
}
