package browser

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/server"
	"cliplease/storage"
	"cliplease/test/lease"
)

// leased is a relay on a free port with one live release, for the pages of recipients.
type leased struct {
	*lease.Home
	t      *testing.T
	lease  lease.Lease
	server *server.Server
}

func newLeased(t *testing.T, content []byte, terms lease.Terms) *leased {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	l := &leased{t: t}
	site := relay.NewSite("localhost", port, false)
	store, err := storage.Open(t.Context(), storage.Config{Dir: filepath.Join(t.TempDir(), "data"), Site: site})
	l.ok(err)
	now := func() time.Time { return time.Now().UTC() }
	l.Home, err = lease.New(t.Context(), store, site, now)
	l.ok(err)
	l.lease, err = l.Sign(t.Context(), content, terms)
	l.ok(err)
	l.server, err = server.New(server.Config{Store: store, Site: site, Version: "test", MaxUpload: 1 << 20, Now: now, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Transparency: true,
		Ready: func(context.Context) []server.Check { return nil }})
	l.ok(err)
	s := l.server.HTTP()
	done := make(chan error, 1)
	go func() { done <- s.Serve(listener) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
		store.Close()
	})
	return l
}

func (l *leased) ok(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// code waits for the newest mail with a code and reads it.
func (l *leased) code() string {
	l.t.Helper()
	mails, err := l.DB.MailAbout(l.t.Context(), l.lease.Release.ID)
	l.ok(err)
	i := slices.IndexFunc(mails, func(m storage.Mail) bool { return m.Kind == "code" && m.State == "waiting" })
	if i < 0 {
		l.t.Fatal("no code was mailed")
	}
	m, err := l.DB.WaitingMail(l.t.Context(), mails[i].ID)
	l.ok(err)
	l.ok(l.DB.MailDone(l.t.Context(), m, "", l.Now()))
	return m.Secret
}

// given is how many bytes left the relay in all views.
func (l *leased) given() (n int64) {
	l.t.Helper()
	views, err := l.DB.Views(l.t.Context(), l.lease.Release.ID)
	l.ok(err)
	for _, v := range views {
		n += v.Session.Bytes
	}
	return n
}

// film draws a noisy video, of which a browser cannot hold all at once.
func film(t *testing.T, seconds int) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "film.mp4")
	cmd := exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-f", "lavfi", "-i", fmt.Sprintf("testsrc2=size=640x360:rate=25:duration=%d,noise=alls=60:allf=t", seconds),
		"-c:v", "libx264", "-preset", "ultrafast", "-b:v", "16M", "-maxrate", "16M", "-bufsize", "16M", "-g", "25", "-pix_fmt", "yuv420p", "-movflags", "+faststart", path)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v: %s", err, out)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestRecipient goes from the link in the mail to the player in a real browser, plays, seeks,
// and has the release revoked while it plays.
func TestRecipient(t *testing.T) {
	l := newLeased(t, film(t, 60), lease.Terms{MaxViews: 3, Download: true})
	b := open(t, l.Site.View)

	b.visit("/r")
	b.says("Protected file", "Nothing has been opened yet")
	b.look("view-landing")
	b.click("#open-form button") // without a link there is nothing to open: the box for it comes
	if b.eval("document.getElementById('by-hand').open + ' ' + document.activeElement.id") != "true link" {
		t.Error("without a link the box for it is closed, or cannot be typed into")
	}
	b.fill("#link", l.Site.View+"/r#"+l.lease.Token[:40])
	b.click("#open-form button")
	b.awaitText("There is nothing to open here")
	b.look("view-nothing")

	b.visit("/r#" + l.lease.Token)
	if got := b.eval("location.href"); got != l.Site.View+"/r" {
		t.Errorf("the address still is %s", got)
	}
	b.await("document.readyState === 'complete'")
	b.mu.Lock()
	if posted := slices.DeleteFunc(slices.Clone(b.asked), func(a string) bool { return !strings.HasSuffix(a, "/r/open") }); len(posted) != 1 {
		t.Errorf("before a person acted on the second link, %d links were posted, want the first alone", len(posted))
	}
	b.mu.Unlock()
	b.click("#open-form button")
	b.awaitText("d…@pd.example")
	b.look("view-mailbox")
	b.click("#code-form button")
	b.awaitText("Type the code")
	code := l.code()
	b.fill("#code", "AAAAAAAA")
	b.click("#verify-form button")
	b.awaitText("Tries left: 4.")
	b.look("view-code")
	b.fill("#code", strings.ToLower(code))
	b.click("#verify-form button")
	b.await("location.pathname === '/watch'")
	b.says("Footage for case EPD-2026-0042", "front-door", "Pass it on to nobody.", "Revoking ends access through this relay")
	if n := l.given(); n != 0 {
		t.Errorf("%d bytes left before a person pressed play", n)
	}
	b.look("view-watch")

	const video = "document.querySelector('video')"
	b.eval(video + ".muted = true")
	b.eval(video + ".play().then(() => {}, (e) => { window.refused = String(e) })")
	b.await(video + ".currentTime > 0.5 && " + video + ".videoWidth === 640")
	b.eval(video + ".pause()")
	b.eval(video + ".currentTime = 55")
	b.await("!" + video + ".seeking && Math.abs(" + video + ".currentTime - 55) < 0.1")
	b.click("[data-frame='1']")
	b.await("!" + video + ".seeking && Math.abs(" + video + ".currentTime - 55.04) < 0.02")
	b.eval(video + ".currentTime = 2")
	b.await("!" + video + ".seeking")
	b.eval(video + ".play().then(() => {}, () => {})")
	b.await(video + ".currentTime > 2.3")
	b.look("view-playing")

	b.eval("void " + video + ".addEventListener('error', (e) => { window.broke = e.target.error && e.target.error.code })")
	l.ok(l.DB.RevokeRelease(t.Context(), l.lease.Release.ID, l.Member, "", l.Now()))
	l.server.Cut(l.lease.Release.ID)
	before := l.given()
	b.eval("void (" + video + ".currentTime = 30)")
	b.awaitText("This view has ended")
	if got := b.eval("window.broke"); got == "" {
		t.Error("the player reported no error")
	}
	b.look("view-over")
	if after := l.given(); after != before {
		t.Errorf("%d bytes left after the revocation", after-before)
	}
	b.visit("/watch")
	b.says("Not available")
	b.look("view-gone")
	b.visit("/r#" + l.lease.Token)
	b.click("#open-form button")
	b.awaitText("There is nothing to open here")
	b.forgive("404")
	b.forgive("ERR_CONNECTION_RESET")
	b.forgive("ERR_EMPTY_RESPONSE")
	b.clean()
}

// TestRecipientCloses closes the view, and looks at what stays in the browser.
func TestRecipientCloses(t *testing.T) {
	l := newLeased(t, film(t, 2), lease.Terms{})
	b := open(t, l.Site.View)
	b.visit("/r#" + l.lease.Token)
	b.click("#open-form button")
	b.await("!document.querySelector('[data-step=code]').hidden")
	b.click("#code-form button")
	b.await("!document.querySelector('[data-step=verify]').hidden")
	b.fill("#code", l.code())
	b.click("#verify-form button")
	b.await("location.pathname === '/watch'")
	if b.eval("document.cookie") != "" {
		t.Error("scripts can read the cookie")
	}
	if b.eval("!!document.querySelector('a[download]')") != "false" {
		t.Error("a file to keep is offered although the grant has none")
	}
	b.phone()
	if b.eval("document.documentElement.scrollWidth > innerWidth") != "false" {
		t.Error("the page is wider than a phone")
	}
	b.click("form[action='/r/end'] button")
	b.await("location.pathname === '/r'")
	b.visit("/watch")
	b.says("Not available")
	b.forgive("404")
	b.clean()
}
