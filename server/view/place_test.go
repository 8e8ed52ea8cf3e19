package view_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/server"
	"cliplease/storage"
	"cliplease/test/lease"
)

// place is a relay with one live release, its whole server, and a clock that the test moves.
type place struct {
	t testing.TB
	*lease.Home
	lease   lease.Lease
	content []byte
	dir     string
	server  *httptest.Server
	relay   *server.Server

	mu  sync.Mutex
	now time.Time
}

func (p *place) clock() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

func (p *place) wait(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = p.now.Add(d)
}

func (p *place) ok(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func newPlace(t testing.TB, terms lease.Terms) *place {
	t.Helper()
	p := &place{t: t, now: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC), dir: filepath.Join(t.TempDir(), "data"), content: bytes.Repeat([]byte("0123456789abcdef"), 20<<10)}
	site := relay.NewSite("relay.example", "", true)
	store, err := storage.Open(t.Context(), storage.Config{Dir: p.dir, Site: site})
	p.ok(err)
	t.Cleanup(func() { store.Close() })
	p.Home, err = lease.New(t.Context(), store, site, p.clock)
	p.ok(err)
	p.lease, err = p.Sign(t.Context(), p.content, terms)
	p.ok(err)
	p.relay, err = server.New(server.Config{Store: store, Site: site, Version: "test", MaxUpload: 1 << 20, Now: p.clock, Log: slog.New(slog.DiscardHandler),
		Ready: func(context.Context) []server.Check { return nil }})
	p.ok(err)
	p.server = httptest.NewUnstartedServer(nil)
	p.server.Config = p.relay.HTTP()
	p.server.Start()
	t.Cleanup(p.server.Close)
	return p
}

// browser keeps cookies and says of itself what browsers say.
type browser struct {
	*place
	cookies map[string]*http.Cookie
}

func (p *place) browser() *browser { return &browser{p, map[string]*http.Cookie{}} }

// answer is a response that was read.
type answer struct {
	*http.Response
	body string
}

// do sends a request; headers are "Name: value", and an empty value takes a header away.
func (b *browser) do(method, path, body string, headers ...string) answer {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.server.URL+path, strings.NewReader(body))
	b.ok(err)
	req.Host = "view.relay.example"
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	if method == "POST" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if req.Header.Del(name); value != "" {
			req.Header.Set(name, value)
		}
	}
	for _, c := range b.cookies {
		req.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
	}
	resp, err := b.server.Client().Do(req)
	b.ok(err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	b.ok(err)
	for _, c := range resp.Cookies() {
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		} else {
			b.cookies[c.Name] = c
		}
	}
	return answer{resp, string(raw)}
}

func (b *browser) post(path string, v any) answer {
	b.t.Helper()
	raw, err := json.Marshal(v)
	b.ok(err)
	return b.do("POST", path, string(raw))
}

// want fails the test unless the answer has the status.
func (a answer) want(t testing.TB, status int) answer {
	t.Helper()
	if a.StatusCode != status {
		t.Fatalf("%s %s: status %d, want %d: %.300s", a.Request.Method, a.Request.URL.Path, a.StatusCode, status, a.body)
	}
	return a
}

func (b *browser) open() answer {
	b.t.Helper()
	return b.post("/r/open", map[string]string{"t": b.lease.Token})
}

// code asks for a code and reads it from the mail that waits to be sent.
func (b *browser) code() string {
	b.t.Helper()
	b.post("/r/code", struct{}{}).want(b.t, 200)
	mails, err := b.DB.MailAbout(b.t.Context(), b.lease.Release.ID)
	b.ok(err)
	i := slices.IndexFunc(mails, func(m storage.Mail) bool { return m.Kind == "code" && m.State == "waiting" })
	if i < 0 {
		b.t.Fatal("no mail with a code waits")
	}
	m, err := b.DB.WaitingMail(b.t.Context(), mails[i].ID)
	b.ok(err)
	if m.Address != lease.Mailbox {
		b.t.Errorf("the code goes to %s", m.Address)
	}
	b.ok(b.DB.MailDone(b.t.Context(), m, "", b.clock()))
	return m.Secret
}

func (p *place) mails(kind string) (n int) {
	p.t.Helper()
	for _, subject := range []string{p.lease.Release.ID, p.lease.Release.RequestID} {
		mails, err := p.DB.MailAbout(p.t.Context(), subject)
		p.ok(err)
		for _, m := range mails {
			if m.Kind == kind {
				n++
			}
		}
	}
	return n
}

// verify brings a code.
func (b *browser) verify(code string) answer {
	b.t.Helper()
	return b.post("/r/verify", map[string]string{"code": code})
}

// watch goes the whole way in and returns the path of the media.
func (b *browser) watch() string {
	b.t.Helper()
	b.open().want(b.t, 200)
	var out struct{ Location, Media string }
	b.ok(json.Unmarshal([]byte(b.verify(b.code()).want(b.t, 200).body), &out))
	if out.Location != "/watch" || !strings.HasPrefix(out.Media, "/m/") {
		b.t.Fatalf("the way in ends at %+v", out)
	}
	return out.Media
}

func (p *place) viewsUsed() int {
	p.t.Helper()
	links, err := p.DB.LinksOf(p.t.Context(), p.lease.Release.ID)
	p.ok(err)
	return links[0].ViewsUsed
}

func (p *place) events(kind relay.EventKind) (n int) {
	p.t.Helper()
	entries, err := p.DB.History(p.t.Context(), p.lease.Release.ID)
	p.ok(err)
	for _, e := range entries {
		if strings.Contains(string(e.Event), `"`+string(kind)+`"`) {
			n++
		}
	}
	return n
}
