package view_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/server"
	"cliplease/test/lease"
)

// TestCheck: a released file is known and its lease with it; everything else gets one answer.
func TestCheck(t *testing.T) {
	p := newPlace(t, lease.Terms{Also: "okafor@pd.example"})
	b := p.browser()
	ask := func(sum string) string {
		t.Helper()
		return b.post("/check", map[string]string{"sha256": sum}).want(t, 200).body
	}
	sum := p.lease.Copy.SHA256
	until := relay.Stamp(p.lease.Release.ExpiresAt)
	if got, want := ask(sum), `{"released":true,"runs":true,"at":"`+until+`"}`; got != want {
		t.Errorf("a released file: %s, want %s", got, want)
	}
	nothing := ask(strings.Repeat("0", 64))
	for name, body := range map[string]string{
		"capitals": `{"sha256":"` + strings.ToUpper(sum) + `"}`, "half": `{"sha256":"` + sum[:32] + `"}`, "nothing": `{}`, "no document": `{`, "a number": `{"sha256":7}`,
		"more": `{"sha256":"` + sum + `","release":"` + p.lease.Release.ID + `"}`, "a pattern": `{"sha256":"%"}`, "long": `{"sha256":"` + strings.Repeat("a", 9<<10) + `"}`,
		"the original": `{"sha256":"` + p.digestOfOriginal() + `"}`,
	} {
		got := b.do("POST", "/check", body)
		if got.StatusCode != 200 || got.body != nothing || got.body != `{"released":false}` {
			t.Errorf("%s: %d %s, want what an unknown file gets: %s", name, got.StatusCode, got.body, nothing)
		}
	}
	b.do("POST", "/check", `{"sha256":"`+sum+`"}`, "Sec-Fetch-Site: cross-site").want(t, 403)
	// One link that ends says nothing of the other, and the end of the release ends both.
	p.wait(time.Minute)
	revoked := relay.Stamp(p.clock())
	p.ok(p.DB.RevokeLink(t.Context(), p.lease.Link.ID, p.Member, p.clock()))
	over := `{"released":true,"at":"` + revoked + `"}`
	if got := ask(sum); got != over {
		t.Errorf("after the link was revoked: %s, want %s", got, over)
	}
	other := p.lease.Release.Copies[1].SHA256
	if got := ask(other); !strings.Contains(got, `"runs":true`) {
		t.Errorf("the other recipient's file: %s", got)
	}
	p.wait(3 * 24 * time.Hour)
	if got, want := ask(other), `{"released":true,"at":"`+until+`"}`; got != want {
		t.Errorf("after the lease: %s, want %s", got, want)
	}
	if got := ask(sum); got != over {
		t.Errorf("the first, later: %s, want %s", got, over)
	}
	for range 25 {
		b.post("/check", map[string]string{"sha256": sum})
	}
	b.post("/check", map[string]string{"sha256": sum}).want(t, 429)
	b.open().want(t, 404) // other posts have a limit of their own
}

func (p *place) digestOfOriginal() string {
	p.t.Helper()
	clip, err := p.DB.Clip(p.t.Context(), p.lease.Release.ClipID)
	p.ok(err)
	return clip.SHA256
}

// TestTransparency: the reports are nowhere unless the home wants them there, and say nothing that
// leads to anybody.
func TestTransparency(t *testing.T) {
	p := newPlace(t, lease.Terms{})
	p.browser().do("GET", "/transparency", "").want(t, 404)
	var err error
	p.relay, err = server.New(server.Config{Store: p.Store, Site: p.Site, Version: "test", MaxUpload: 1 << 20, Now: p.clock, Log: slog.New(slog.DiscardHandler),
		Ready: func(context.Context) []server.Check { return nil }, Transparency: true})
	p.ok(err)
	p.server.Config.Handler = p.relay
	early := p.browser().do("GET", "/transparency", "").want(t, 200).body
	if !strings.Contains(early, "January to June 2025") || strings.Contains(early, "<td>1–4</td>") {
		t.Errorf("what was asked this year shows: %s", early)
	}
	p.wait(365 * 24 * time.Hour)
	late := p.browser().do("GET", "/transparency", "").want(t, 200).body
	for _, want := range []string{"July to December 2026", "January to June 2026", "<td>1–4</td>", "not said: there are fewer than five", "Immigration civil"} {
		if !strings.Contains(late, want) {
			t.Errorf("%q is not there: %s", want, late)
		}
	}
	for _, canary := range []string{p.lease.Release.ID, p.lease.Release.RequestID, "EPD-2026", "Exampleville", "front-door", lease.Mailbox, "Ada", "Elm Street"} {
		if strings.Contains(late, canary) {
			t.Errorf("%q is there", canary)
		}
	}
}

// TestUnsigned: a file that nobody signed is not known.
func TestUnsigned(t *testing.T) {
	p := newPlace(t, lease.Terms{})
	found, err := p.DB.Released(t.Context(), p.digestOfOriginal())
	if err != nil || len(found) != 0 {
		t.Errorf("the original: %v, %v", found, err)
	}
}

// TestCustody: whoever watches gets the record of their own copy, and nobody else does.
func TestCustody(t *testing.T) {
	p := newPlace(t, lease.Terms{Also: "okafor@pd.example"})
	b := p.browser()
	media := b.watch()
	pdf := b.do("GET", media+"/custody.pdf", "").want(t, 200)
	if !strings.HasPrefix(pdf.body, "%PDF-") || pdf.Header.Get("Content-Type") != "application/pdf" || !strings.HasPrefix(pdf.Header.Get("Content-Disposition"), "attachment") {
		t.Errorf("%.20q, %v", pdf.body, pdf.Header)
	}
	raw := b.do("GET", media+"/custody.json", "").want(t, 200)
	if !strings.Contains(raw.body, p.lease.Copy.SHA256) || strings.Contains(raw.body, "okafor") || strings.Contains(raw.body, "Ada") {
		t.Errorf("the record: %s", raw.body)
	}
	for _, kind := range []string{"pdf", "json"} {
		p.browser().do("GET", media+"/custody."+kind, "").want(t, 404)
		b.do("GET", media+"/custody."+kind, "", "Sec-Fetch-Site: cross-site").want(t, 403)
	}
	p.ok(p.DB.RevokeRelease(t.Context(), p.lease.Release.ID, p.Member, "", p.clock()))
	b.do("GET", media+"/custody.pdf", "").want(t, 404)
}
