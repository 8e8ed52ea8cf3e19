package view_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/server/token"
	"cliplease/test/lease"

	"golang.org/x/net/html"
)

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
