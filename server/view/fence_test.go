package view_test

import (
	"strings"
	"testing"

	"cliplease/test/lease"
)

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
