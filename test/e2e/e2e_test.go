// Package e2e drives the built program from the outside through the whole life of a request, on
// SQLite with a folder and on PostgreSQL with MinIO, and through what may go wrong on the way.
package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/storage"
	"cliplease/test/driver"
	"cliplease/test/footage"
	"cliplease/test/servers"
)

// patience bounds one test.
const patience = 8 * time.Minute

// The people of the tests.
const (
	memberMail = "alex@home.example"
	agencyID   = "urn:cliplease:agency:us-mn-exampleville-pd"
	domain     = "pd.example"
	officer    = "det.rivera@pd.example"
	camera     = "front-door"
	clipName   = "door.mp4"
)

// engine is where a relay keeps its state and its objects.
type engine string

const (
	small engine = "SQLite and folder"
	large engine = "PostgreSQL and MinIO"
)

// onBoth runs a test on both engines.
func onBoth(t *testing.T, test func(t *testing.T, e engine)) {
	for _, e := range []engine{small, large} {
		t.Run(string(e), func(t *testing.T) { test(t, e) })
	}
}

// Servers are started once, when the first test needs them.
var (
	postgres = sync.OnceValues(func() (*servers.Postgres, error) {
		return servers.StartPostgres(context.Background(), os.Getenv("CLIPLEASE_TEST_POSTGRES"))
	})
	minio   = sync.OnceValues(func() (*servers.MinIO, error) { return servers.StartMinIO(context.Background(), "") })
	clipDir string
	clip    = sync.OnceValues(func() (string, error) {
		stills, err := footage.Stills()
		if err != nil {
			return "", err
		}
		path := filepath.Join(clipDir, clipName)
		return path, footage.Make(context.Background(), stills, footage.Short, path, nil)
	})
	started bool // PostgreSQL and MinIO
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if clipDir, err = os.MkdirTemp("", "cliplease-e2e-"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(clipDir)
		defer func() {
			if !started {
				return
			}
			if p, err := postgres(); err == nil {
				p.Stop()
			}
			if m, err := minio(); err == nil {
				m.Stop()
			}
		}()
		return m.Run()
	}())
}

// world is a relay with a home, a camera with a clip, and an agency.
type world struct {
	t      *testing.T
	ctx    context.Context
	dir    string
	mail   *servers.MailSink
	relay  *driver.Relay
	home   *driver.Home
	agency *driver.Agency
	clip   relay.Clip
	start  time.Time // of the clip
	codes  []string  // used up
	links  []string  // that came
}

// bare starts a relay that nobody has set up.
func bare(t *testing.T, e engine, env ...string) *world {
	t.Helper()
	// The test's own context ends before its cleanup, which still needs the relay.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	w := &world{t: t, ctx: ctx, dir: t.TempDir(), start: time.Now().Add(-2 * time.Hour).UTC().Truncate(time.Minute)}
	t.Cleanup(cancel)
	var err error
	if w.mail, err = servers.StartMailSink(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.mail.Stop)
	c := driver.Config{Data: filepath.Join(w.dir, "data"), Mail: w.mail, Env: env}
	if e == large {
		started = true
		p, err := postgres()
		if err != nil {
			t.Fatal(err)
		}
		if c.MinIO, err = minio(); err != nil {
			t.Fatal(err)
		}
		if c.Database, err = p.Database(ctx); err != nil {
			t.Fatal(err)
		}
		c.Bucket = "e2e-" + relay.NewID()[:12]
	}
	if w.relay, err = driver.Start(ctx, c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.finish)
	return w
}

// settled starts a relay, sets up its home, and brings a clip and an agency.
func settled(t *testing.T, e engine, env ...string) *world {
	t.Helper()
	w := bare(t, e, env...)
	var err error
	w.home, err = w.relay.Join(w.ctx, w.relay.SetUpLink, "Alex Homeowner", memberMail)
	w.must(err)
	w.must(w.home.SaveCamera(w.ctx, camera, "Front door"))
	w.bring()
	w.clip, err = w.relay.Clip(w.ctx, clipName)
	w.must(err)
	w.agency, err = w.relay.NewAgency(w.ctx, w.dir, agencyID, "Exampleville Police Department", domain)
	w.must(err)
	w.must(w.agency.Register(w.ctx))
	return w
}

// bring adds the clip on the command line.
func (w *world) bring() {
	w.t.Helper()
	path, err := clip()
	w.must(err)
	_, err = w.relay.Must(w.ctx, "clip", "add", path, "--camera", camera, "--start", relay.Stamp(w.start))
	w.must(err)
}

// finish ends a test: whatever it did, the relay's records must hold every promise, and the relay
// must end when asked to.
func (w *world) finish() {
	if w.t.Failed() {
		w.t.Log("the relay's log:\n" + w.relay.Log())
	}
	if err := w.relay.With(w.ctx, func(s *storage.Store) error {
		_, err := s.Verify(w.ctx)
		return err
	}); err != nil {
		w.t.Errorf("the records are not in order: %v", err)
	}
	if err := w.relay.Stop(); err != nil {
		w.t.Errorf("the relay did not end well: %v", err)
	}
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

// ask is a request for the clip's camera.
func (w *world) ask() driver.Ask {
	return driver.Ask{
		Camera: camera, From: w.start.Add(-time.Minute), To: w.start.Add(time.Minute), Case: "EPD-2026-001234", Purpose: relay.PurposeHitAndRun,
		Text:       "A car hit a cyclist in front of the house and drove away. We look for its make and colour.",
		Recipients: []relay.RecipientAsk{{Kind: relay.RecipientEmail, Addr: officer, Name: "Det. Rivera"}},
	}
}

// draft is a release of three seconds of the clip.
func (w *world) draft() driver.Draft {
	return driver.NewDraft(w.clip.ID, w.start.Add(time.Second), w.start.Add(4*time.Second))
}

// file files a request and returns its id.
func (w *world) file(k driver.Ask) string {
	w.t.Helper()
	r, err := w.agency.File(w.ctx, k)
	w.must(err)
	return r.RequestID
}

// reviewed prepares a release for a request and waits until it can be looked at.
func (w *world) reviewed(request string, d driver.Draft) string {
	w.t.Helper()
	release, err := w.home.Prepare(w.ctx, request, d)
	w.must(err)
	w.must(w.home.AwaitReview(w.ctx, release, nil))
	return release
}

// live makes a release that its recipient can watch, and returns it with its request.
func (w *world) live(k driver.Ask, d driver.Draft) (request, release string) {
	w.t.Helper()
	request = w.file(k)
	release = w.reviewed(request, d)
	_, err := w.home.Approve(w.ctx, release)
	w.must(err)
	return request, release
}

// link waits for the mail with the recipient's next link.
func (w *world) link() string {
	w.t.Helper()
	link, err := w.relay.AwaitLink(w.ctx, officer, w.links...)
	w.must(err)
	w.links = append(w.links, link)
	return link
}

// watch opens a link with a fresh code.
func (w *world) watch(link string) (*driver.Recipient, error) {
	w.t.Helper()
	v, err := w.relay.Open(w.ctx, link)
	if err != nil {
		return nil, err
	}
	w.must(v.AskCode(w.ctx))
	code, err := w.relay.AwaitCode(w.ctx, officer, w.codes...)
	w.must(err)
	w.codes = append(w.codes, code)
	return v, v.Verify(w.ctx, code)
}

// watching opens a link that must open.
func (w *world) watching(link string) *driver.Recipient {
	w.t.Helper()
	v, err := w.watch(link)
	w.must(err)
	return v
}

// poll asks how a request stands.
func (w *world) poll(request string) relay.AgencyView {
	w.t.Helper()
	v, _, err := w.agency.Poll(w.ctx, request)
	w.must(err)
	return v
}

// stands checks how a request stands for the agency.
func (w *world) stands(request string, want relay.AgencyView) {
	w.t.Helper()
	if got := w.poll(request); got != want {
		w.t.Errorf("a poll says %+v, want %+v", got, want)
	}
}

// plays fetches the whole clip and checks that it is the file of the grant.
func (w *world) plays(v *driver.Recipient, release string) {
	w.t.Helper()
	got, err := v.Play(w.ctx, io.Discard)
	w.must(err)
	rel, _, err := w.relay.Release(w.ctx, release)
	w.must(err)
	if got.SHA256 != rel.Copies[0].SHA256 || !strings.Contains(string(rel.Grant), got.SHA256) {
		w.t.Errorf("SHA-256 of what was played is %s, not that of the grant", got.SHA256)
	}
}

// command runs a command that must end with a code and say certain words.
func (w *world) command(code int, says string, args ...string) driver.Result {
	w.t.Helper()
	res, err := w.relay.Command(w.ctx, args...)
	w.must(err)
	w.ended(res, code, says, args)
	return res
}

func (w *world) ended(res driver.Result, code int, says string, args []string) {
	w.t.Helper()
	if res.Code != code || !strings.Contains(res.Out+res.Err, says) {
		w.t.Errorf("cliplease %s: exit code %d and %q, want %d and %q in it", strings.Join(args, " "), res.Code, strings.TrimSpace(res.Out+res.Err), code, says)
	}
}
