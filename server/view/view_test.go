package view_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/server"
	"cliplease/server/token"
	"cliplease/storage"
	"cliplease/test/lease"

	"golang.org/x/net/html"
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

// TestScanner does what programs do that look at links in mail, the page's own script
// included: no view is used and no code is sent.
func TestScanner(t *testing.T) {
	p := newPlace(t, lease.Terms{})
	first := p.browser().do("GET", "/r", "").want(t, 200)
	for range 10 {
		b := p.browser()
		b.do("HEAD", "/r", "").want(t, 200)
		if again := b.do("GET", "/r?"+p.lease.Token, "").want(t, 200); again.body != first.body {
			t.Error("the landing page differs from link to link")
		}
		b.open().want(t, 200)
		for _, path := range []string{"/r/open", "/r/code", "/r/verify", "/r/more", "/r/end"} {
			if a := b.do("GET", path, ""); a.StatusCode != 405 {
				t.Errorf("GET %s: %d", path, a.StatusCode)
			}
		}
	}
	for _, secret := range []string{"Exampleville", "EPD-2026", "og:", "twitter:", "pd.example"} {
		if strings.Contains(first.body, secret) {
			t.Errorf("the landing page holds %q", secret)
		}
	}
	if got := first.Header.Get("X-Robots-Tag"); got != "noindex, nofollow, noarchive, nosnippet" {
		t.Errorf("X-Robots-Tag is %q", got)
	}
	if n, codes := p.viewsUsed(), p.mails("code"); n != 0 || codes != 0 {
		t.Errorf("%d views and %d codes were used up by looking", n, codes)
	}
}

// TestNotAvailable brings every link that opens nothing. The answers are the same.
func TestNotAvailable(t *testing.T) {
	var first string
	same := func(t *testing.T, a answer) {
		t.Helper()
		for _, own := range []string{"Date", "X-Ratelimit-Limit", "X-Ratelimit-Remaining", "X-Ratelimit-Reset"} { // these follow from when and how often the client asked
			a.Header.Del(own)
		}
		got := fmt.Sprint(a.StatusCode, a.Header, a.body)
		if a.StatusCode != 404 || strings.TrimSpace(a.body) != `{"error":"not_available"}` || len(a.Cookies()) > 0 {
			t.Errorf("answered %s", got)
		}
		if first == "" {
			first = got
		}
		if got != first {
			t.Errorf("answered %s, and another time %s", got, first)
		}
	}
	for _, tt := range []struct {
		name string
		do   func(p *place) (token string)
	}{
		{"empty", func(*place) string { return "" }},
		{"no token", func(*place) string { return "hello" }},
		{"long", func(*place) string { return strings.Repeat("a", 7000) }},
		{"changed signature", func(p *place) string {
			raw := []byte(p.lease.Token)
			raw[len(raw)-3] ^= 1
			return string(raw)
		}},
		{"never made", func(p *place) string {
			raw, err := token.MintLink(p.Identity, p.Site, token.NewLinkID(), p.lease.Release.ID, p.now.Add(time.Hour))
			p.ok(err)
			return raw
		}},
		{"of another relay", func(p *place) string {
			raw, err := token.MintLink(p.Identity, relay.NewSite("other.example", "", true), token.NewLinkID(), p.lease.Release.ID, p.now.Add(time.Hour))
			p.ok(err)
			return raw
		}},
		{"expired", func(p *place) string { p.wait(48 * time.Hour); return p.lease.Token }},
		{"link revoked", func(p *place) string {
			p.ok(p.DB.RevokeLink(p.t.Context(), p.lease.Link.ID, p.Member, p.now))
			return p.lease.Token
		}},
		{"release revoked", func(p *place) string {
			p.ok(p.DB.RevokeRelease(p.t.Context(), p.lease.Release.ID, p.Member, "", p.now))
			return p.lease.Token
		}},
		{"used up", func(p *place) string { p.browser().watch(); return p.lease.Token }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlace(t, lease.Terms{MaxViews: 1})
			raw := tt.do(p)
			same(t, p.browser().post("/r/open", map[string]string{"t": raw}))
		})
	}
	t.Run("a session that is over", func(t *testing.T) {
		p := newPlace(t, lease.Terms{})
		b := p.browser()
		b.open().want(t, 200)
		p.wait(relay.CodeLife)
		same(t, b.post("/r/code", struct{}{}))
		same(t, b.verify("ABCDEFGH"))
		same(t, p.browser().post("/r/code", struct{}{}))
		same(t, p.browser().do("GET", "/m/whatever/state", ""))
		same(t, p.browser().do("GET", "/m/whatever", ""))
		same(t, p.browser().do("GET", "/m/whatever/file", ""))
	})
}

// TestWayIn goes from the link to the footage as a recipient does.
func TestWayIn(t *testing.T) {
	p := newPlace(t, lease.Terms{Download: true})
	b := p.browser()
	var opened struct{ Masked, Until string }
	a := b.open().want(t, 200)
	p.ok(json.Unmarshal([]byte(a.body), &opened))
	if opened.Masked != "d…@pd.example" || opened.Until != "2026-11-25T10:00:00Z" {
		t.Errorf("opened %+v", opened)
	}
	checkCookie(t, b.cookies["__Host-cliplease_pre"], 600)
	code := b.code()
	typed := " " + strings.ToLower(code[:4]) + "-" + code[4:] + " "
	b.verify(typed).want(t, 200)
	if b.cookies["__Host-cliplease_pre"] != nil {
		t.Error("the cookie of the way in is still there")
	}
	checkCookie(t, b.cookies["__Host-cliplease_view"], 3600)
	if n := p.viewsUsed(); n != 1 {
		t.Errorf("%d views are used", n)
	}

	page := b.do("GET", "/watch", "").want(t, 200)
	for _, want := range []string{"EPD-2026-0042", "Exampleville Police", "d…@pd.example", "front-door", "2026-11-25 10:00:00 UTC", p.lease.Copy.SHA256, "Revoking ends access"} {
		if !strings.Contains(page.body, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if strings.Contains(page.body, lease.Mailbox) {
		t.Error("the page holds the whole address")
	}
	media := attribute(t, page.body, "video", "src")
	var got []byte
	for at := 0; at < len(p.content); {
		part := b.do("GET", media, "", fmt.Sprintf("Range: bytes=%d-", at), "Sec-Fetch-Dest: video").want(t, 206)
		got = append(got, part.body...)
		at = len(got)
	}
	if !bytes.Equal(got, p.content) {
		t.Error("other bytes came than were released")
	}
	if file := b.do("GET", media+"/file", "", "Sec-Fetch-Dest: document").want(t, 200); file.body != string(p.content) || !strings.HasPrefix(file.Header.Get("Content-Disposition"), "attachment") {
		t.Error("the file to keep is another")
	}
	b.do("GET", media+"/state", "").want(t, 200)
	views, err := p.DB.Views(t.Context(), p.lease.Release.ID)
	p.ok(err)
	if len(views) != 1 || views[0].Session.Bytes != 2*int64(len(p.content)) {
		t.Errorf("the record of views is %+v", views)
	}
	b.post("/r/end", struct{}{}).want(t, 200)
	b.do("GET", media+"/state", "").want(t, 404)
	if p.events(relay.ViewEnded) != 1 || len(b.cookies) != 0 {
		t.Error("the view was not closed")
	}
}

func checkCookie(t *testing.T, c *http.Cookie, age int) {
	t.Helper()
	if c == nil {
		t.Fatal("no cookie came")
	}
	if !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" || c.MaxAge != age || len(c.Value) != 43 {
		t.Errorf("the cookie is %s", c.Raw)
	}
}

// attribute returns an attribute of the first element of a kind.
func attribute(t *testing.T, page, element, name string) string {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	for n := range doc.Descendants() {
		if n.Type == html.ElementNode && n.Data == element {
			for _, a := range n.Attr {
				if a.Key == name {
					return a.Val
				}
			}
		}
	}
	t.Fatalf("the page has no <%s %s>", element, name)
	return ""
}

// TestCodeBound holds a code to its browser, its five tries, its ten minutes and its one use.
func TestCodeBound(t *testing.T) {
	t.Run("another browser", func(t *testing.T) {
		p := newPlace(t, lease.Terms{})
		a, b := p.browser(), p.browser()
		a.open().want(t, 200)
		b.open().want(t, 200)
		code := a.code()
		b.code()
		b.verify(code).want(t, 422)
		a.verify(code).want(t, 200)
	})
	t.Run("no code was asked for", func(t *testing.T) {
		p := newPlace(t, lease.Terms{})
		b := p.browser()
		b.open().want(t, 200)
		b.verify("").want(t, 422)
	})
	t.Run("used before", func(t *testing.T) {
		p := newPlace(t, lease.Terms{})
		b := p.browser()
		b.open().want(t, 200)
		pre := *b.cookies["__Host-cliplease_pre"]
		code := b.code()
		b.verify(code).want(t, 200)
		b.cookies["__Host-cliplease_pre"] = &pre
		b.verify(code).want(t, 404)
		if n := p.viewsUsed(); n != 1 {
			t.Errorf("%d views are used", n)
		}
	})
	t.Run("replaced by a newer one", func(t *testing.T) {
		p := newPlace(t, lease.Terms{})
		b := p.browser()
		b.open().want(t, 200)
		old := b.code()
		b.code()
		b.verify(old).want(t, 422)
	})
	t.Run("sixth try", func(t *testing.T) {
		p := newPlace(t, lease.Terms{})
		b := p.browser()
		b.open().want(t, 200)
		code := b.code()
		for range relay.CodeTries {
			b.verify("AAAAAAAA").want(t, 422)
		}
		b.verify(code).want(t, 422)
		if n, refused := p.viewsUsed(), p.events(relay.CodeRefused); n != 0 || refused != relay.CodeTries {
			t.Errorf("%d views are used, %d refusals recorded", n, refused)
		}
	})
	t.Run("fifth try", func(t *testing.T) {
		p := newPlace(t, lease.Terms{})
		b := p.browser()
		b.open().want(t, 200)
		code := b.code()
		for range relay.CodeTries - 1 {
			b.verify("AAAAAAAA").want(t, 422)
		}
		b.verify(code).want(t, 200)
	})
	t.Run("many tries at once", func(t *testing.T) {
		p := newPlace(t, lease.Terms{})
		b := p.browser()
		b.open().want(t, 200)
		b.code()
		var all sync.WaitGroup
		for range 40 {
			c := &browser{p, map[string]*http.Cookie{"x": b.cookies["__Host-cliplease_pre"]}}
			all.Go(func() { c.verify("AAAAAAAA") })
		}
		all.Wait()
		if refused := p.events(relay.CodeRefused); refused != relay.CodeTries {
			t.Errorf("%d codes were compared", refused)
		}
	})
	t.Run("eleventh minute", func(t *testing.T) {
		p := newPlace(t, lease.Terms{})
		b := p.browser()
		b.open().want(t, 200)
		p.wait(9 * time.Minute)
		code := b.code()
		p.wait(relay.CodeLife - time.Second) // its tenth minute, and the session's nineteenth
		c := &browser{p, map[string]*http.Cookie{"x": b.cookies["__Host-cliplease_pre"]}}
		p.wait(time.Second)
		c.verify(code).want(t, 404)
		p.wait(-time.Second)
		b.verify(code).want(t, 200)
	})
	t.Run("fourth code in an hour", func(t *testing.T) {
		p := newPlace(t, lease.Terms{})
		for range relay.CodesPerHour {
			b := p.browser()
			b.open().want(t, 200)
			b.code()
		}
		b := p.browser()
		b.open().want(t, 200)
		b.post("/r/code", struct{}{}).want(t, 429)
		if told := p.mails("codes"); told != 1 {
			t.Errorf("the home was told %d times", told)
		}
		p.wait(time.Hour)
		b = p.browser()
		b.open().want(t, 200)
		b.code()
	})
}

// TestViewRace brings good codes a hundred times at once: exactly as many views start as the
// home allowed.
func TestViewRace(t *testing.T) {
	const allowed = 2
	p := newPlace(t, lease.Terms{MaxViews: allowed})
	type try struct {
		b    *browser
		code string
	}
	var tries []try
	for range relay.CodesPerHour {
		b := p.browser()
		b.open().want(t, 200)
		tries = append(tries, try{b, b.code()})
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	status := map[int]int{}
	start := make(chan struct{})
	for i := range 100 {
		x := tries[i%len(tries)]
		c := &browser{p, map[string]*http.Cookie{"x": x.b.cookies["__Host-cliplease_pre"]}}
		all.Go(func() {
			<-start
			a := c.verify(x.code)
			mu.Lock()
			defer mu.Unlock()
			status[a.StatusCode]++
		})
	}
	close(start)
	all.Wait()
	views, err := p.DB.Views(t.Context(), p.lease.Release.ID)
	p.ok(err)
	if status[200] != allowed || p.viewsUsed() != allowed || len(views) != allowed || status[500] != 0 {
		t.Errorf("answers %v, %d views used, %d views", status, p.viewsUsed(), len(views))
	}
}

// TestViewEnds lets time pass, and takes access away in every way.
func TestViewEnds(t *testing.T) {
	for _, tt := range []struct {
		name  string
		terms lease.Terms
		end   func(p *place, b *browser, media string)
	}{
		{"idle", lease.Terms{}, func(p *place, b *browser, media string) {
			p.wait(relay.ViewIdle - time.Second)
			b.do("GET", media+"/state", "").want(t, 200) // no range: does not count as watching
			p.wait(time.Second)
		}},
		{"an hour", lease.Terms{}, func(p *place, b *browser, media string) {
			for range 5 {
				p.wait(relay.ViewIdle - 3*time.Minute)
				b.do("GET", media, "", "Range: bytes=0-9")
			}
		}},
		{"the lease", lease.Terms{For: 20 * time.Minute}, func(p *place, b *browser, media string) {
			p.wait(10 * time.Minute)
			b.do("GET", media, "", "Range: bytes=0-9").want(p.t, 206)
			p.wait(10 * time.Minute)
		}},
		{"release revoked", lease.Terms{}, func(p *place, b *browser, media string) {
			views, err := p.DB.Views(p.t.Context(), p.lease.Release.ID)
			p.ok(err)
			p.ok(p.DB.RevokeRelease(p.t.Context(), p.lease.Release.ID, p.Member, "", p.clock()))
			// A range that was allowed just before counts its bytes just after, and is denied.
			if err := p.DB.Watched(p.t.Context(), views[0].Session.TokenHash, 1, p.clock()); !errors.Is(err, relay.ErrNotFound) {
				p.t.Errorf("bytes were given out after the revocation: %v", err)
			}
		}},
		{"link revoked", lease.Terms{}, func(p *place, b *browser, media string) {
			p.ok(p.DB.RevokeLink(p.t.Context(), p.lease.Link.ID, p.Member, p.clock()))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlace(t, tt.terms)
			b := p.browser()
			media := b.watch()
			b.do("GET", media, "", "Range: bytes=0-9").want(t, 206)
			tt.end(p, b, media)
			b.do("GET", media, "", "Range: bytes=0-9").want(t, 404)
			b.do("GET", media+"/state", "").want(t, 404)
			b.do("GET", "/watch", "").want(t, 404)
		})
	}
}

// TestEmbedding asks for footage as other sites and other browsers would.
func TestEmbedding(t *testing.T) {
	p := newPlace(t, lease.Terms{})
	b, other := p.browser(), p.browser()
	media, others := b.watch(), other.watch()
	for _, tt := range []struct {
		name    string
		b       *browser
		path    string
		headers []string
		status  int
	}{
		{"our player", b, media, []string{"Sec-Fetch-Site: same-origin", "Sec-Fetch-Dest: video"}, 206},
		{"our script", b, media, []string{"Sec-Fetch-Dest: empty"}, 206},
		{"a program that says nothing", b, media, []string{"Sec-Fetch-Site: "}, 206},
		{"another site", b, media, []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Dest: video"}, 403},
		{"another host of ours", b, media, []string{"Sec-Fetch-Site: same-site", "Sec-Fetch-Dest: video"}, 403},
		{"an address that was typed", b, media, []string{"Sec-Fetch-Site: none", "Sec-Fetch-Dest: document"}, 403},
		{"a frame", b, media, []string{"Sec-Fetch-Dest: iframe"}, 403},
		{"an image", b, media, []string{"Sec-Fetch-Dest: image"}, 403},
		{"another browser's path", b, others, nil, 404},
		{"without a cookie", p.browser(), media, nil, 404},
		{"a file that was not offered", b, media + "/file", nil, 404},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.b.do("GET", tt.path, "", append([]string{"Range: bytes=0-9"}, tt.headers...)...).want(t, tt.status)
		})
	}
}

// TestPostsComeFromOurPages is the table of what may change something.
func TestPostsComeFromOurPages(t *testing.T) {
	p := newPlace(t, lease.Terms{})
	body := `{"t":"` + p.lease.Token + `"}`
	for _, tt := range []struct {
		name    string
		headers []string
		status  int
	}{
		{"our page", []string{"Origin: https://view.relay.example"}, 200},
		{"no Sec-Fetch-Site", []string{"Sec-Fetch-Site: "}, 403},
		{"typed", []string{"Sec-Fetch-Site: none"}, 403},
		{"same site", []string{"Sec-Fetch-Site: same-site"}, 403},
		{"another site", []string{"Sec-Fetch-Site: cross-site"}, 403},
		{"a form", []string{"Content-Type: application/x-www-form-urlencoded"}, 403},
		{"text", []string{"Content-Type: text/plain"}, 403},
		{"no type", []string{"Content-Type: "}, 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p.browser().do("POST", "/r/open", body, tt.headers...).want(t, tt.status)
		})
	}
	for name, bad := range map[string]string{"no JSON": "t=x", "two documents": body + body, "a stranger's member": `{"t":"x","u":1}`, "a number": `{"t":1}`, "nothing": ""} {
		t.Run(name, func(t *testing.T) { p.browser().do("POST", "/r/open", bad).want(t, 422) })
	}
	t.Run("large", func(t *testing.T) {
		p.browser().do("POST", "/r/open", `{"t":"`+strings.Repeat("a", 9000)+`"}`).want(t, 413)
	})
}

// TestNothingIsKept looks at the headers of every kind of answer.
func TestNothingIsKept(t *testing.T) {
	p := newPlace(t, lease.Terms{Download: true})
	b := p.browser()
	media := b.watch()
	for _, path := range []string{"/r", "/watch", media, media + "/file", media + "/state", "/nothing"} {
		a := b.do("GET", path, "", "Range: bytes=0-9")
		if cache := a.Header.Get("Cache-Control"); !strings.HasPrefix(cache, "no-store") {
			t.Errorf("%s: Cache-Control is %q", path, cache)
		}
		for name, want := range map[string]string{
			"Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin", "ETag": "", "Last-Modified": "",
			"Strict-Transport-Security": "max-age=63072000; includeSubDomains", "X-Robots-Tag": "noindex, nofollow, noarchive, nosnippet",
		} {
			if got := a.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
		policy := "default-src 'none'; sandbox"
		if path == "/r" || path == "/watch" || strings.HasSuffix(path, "/state") || path == "/nothing" {
			policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self'; form-action 'none'; base-uri 'none'; object-src 'none'; " +
				"frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
		}
		if got := a.Header.Get("Content-Security-Policy"); got != policy {
			t.Errorf("%s: Content-Security-Policy is %q", path, got)
		}
		for _, secret := range []string{p.lease.Token, "X-Amz-"} {
			if strings.Contains(a.body, secret) {
				t.Errorf("%s: the answer holds %.20q", path, secret)
			}
		}
	}
}

// TestDamagedCopy changes the stored copy: no view is used up, the home is told, and a view
// that runs is ended.
func TestDamagedCopy(t *testing.T) {
	p := newPlace(t, lease.Terms{})
	b := p.browser()
	media := b.watch()
	object := p.objectFile()
	raw, err := os.ReadFile(object)
	p.ok(err)
	changed := bytes.Clone(raw)
	changed[len(changed)/2] ^= 1
	p.ok(os.WriteFile(object, changed, 0o600))

	b.do("GET", media, "").want(t, 404)
	b.do("GET", media+"/state", "").want(t, 404)
	again := p.browser()
	again.open().want(t, 200)
	again.verify(again.code()).want(t, 404)
	if n := p.viewsUsed(); n != 1 {
		t.Errorf("%d views are used", n)
	}
	if p.events(relay.CopyDamaged) != 2 || p.events(relay.ViewEnded) != 1 || p.mails("damaged") != 2 {
		t.Errorf("%d events, %d mails", p.events(relay.CopyDamaged), p.mails("damaged"))
	}
}

// objectFile is the file that holds the release copy.
func (p *place) objectFile() (path string) {
	p.t.Helper()
	p.ok(filepath.WalkDir(filepath.Join(p.dir, "objects"), func(name string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasPrefix(filepath.Base(name), p.lease.Copy.Object) {
			path = name
		}
		return err
	}))
	if path == "" {
		p.t.Fatal("the object is in no file")
	}
	return path
}

// TestStoreAway takes the object store away: the answer says to come back, and no view is
// used up.
func TestStoreAway(t *testing.T) {
	p := newPlace(t, lease.Terms{})
	b := p.browser()
	media := b.watch()
	object := p.objectFile()
	p.ok(os.Rename(object, object+".away"))
	p.ok(os.Mkdir(object, 0o700)) // opens, and cannot be read
	b.do("GET", media, "", "Range: bytes=0-9").want(t, 503)
	again := p.browser()
	again.open().want(t, 200)
	again.verify(again.code()).want(t, 503)
	if n := p.viewsUsed(); n != 1 {
		t.Errorf("%d views are used", n)
	}
	// Taking back works without the store.
	p.ok(p.DB.RevokeRelease(t.Context(), p.lease.Release.ID, p.Member, "", p.clock()))
	b.do("GET", media, "", "Range: bytes=0-9").want(t, 404)
	if err := p.relay.HTTP().Close(); err != nil && !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
}
