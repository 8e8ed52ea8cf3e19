package home_test

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/test/house"
)

// start is when the footage of these tests was taken: ten to three in the afternoon.
func start(h *house.House) time.Time {
	y, m, d := h.Now().Add(-48 * time.Hour).Date()
	return time.Date(y, m, d, 20, 50, 0, 0, time.UTC)
}

// draftOf is what the form of a release sends, for a window of six seconds.
func draftOf(c relay.Clip, change func(map[string]any)) map[string]any {
	d := map[string]any{
		"clip": c.ID, "from": relay.Stamp(c.Start.Add(time.Second)), "to": relay.Stamp(c.Start.Add(7 * time.Second)), "recipients": []string{"0"},
		"hours": 24, "max_views": 5, "download": "no", "style": "blur",
	}
	if change != nil {
		change(d)
	}
	return d
}

// furnished is a house with a homeowner, an agency, a camera, a clip and a request.
func furnished(t *testing.T) (*house.House, *person, relay.Clip, relay.Request) {
	t.Helper()
	h := house.New(t)
	p := joined(t, h, relay.RoleHomeowner)
	h.Furnish()
	return h, p, h.Clip(start(h)), h.Request(start(h), nil)
}

// reviewed prepares a release and does the worker's part.
func reviewed(t *testing.T, h *house.House, p *person, c relay.Clip, q relay.Request, recipients ...string) relay.Release {
	t.Helper()
	d := draftOf(c, func(d map[string]any) {
		if len(recipients) > 0 {
			d["recipients"] = recipients
		}
	})
	to := p.post("/requests/"+q.ID+"/prepare", d).want(200).text("location")
	return h.Work(strings.TrimPrefix(to, "/releases/"), nil)
}

// approve signs a release and returns its begun ceremony.
func (p *person) approve(id string) answer {
	p.t.Helper()
	begun := p.post("/releases/"+id+"/grant/begin", map[string]any{"looked": true}).want(200)
	p.post("/releases/"+id+"/grant/finish", map[string]any{"looked": true, "ceremony": begun.text("ceremony"), "credential": p.sign(begun)}).want(200)
	return begun
}

// TestWholeJob walks the homeowner's part from the request to the end of the lease.
func TestWholeJob(t *testing.T) {
	h, p, clip, q := furnished(t)

	p.page("/").says("Waiting for your answer", "Exampleville Police Department asks about a burglary", "Verified on", "Front door", "EPD-2026-0417")
	p.page("/requests/"+q.ID).says(
		"They ask for your help. You are free to say no", "We hope to see the car", "Det. J. Miller", "without sound", "1 minute of footage",
		"They say they will pass it on to nobody.", "until the case is closed and 30 days after", "Sgt. A. Ortiz", "14:49:00", "UTC", "The agency cannot tell a no from no answer")
	if q, err := h.Store.DB.Request(t.Context(), q.ID); err != nil || !q.SeenAt.IsZero() {
		t.Fatalf("a GET changed the request: %v", err)
	}
	p.post("/requests/"+q.ID+"/seen", struct{}{}).want(200)
	p.post("/requests/"+q.ID+"/seen", struct{}{}).want(200) // opened again
	if q, err := h.Store.DB.Request(t.Context(), q.ID); err != nil || q.SeenAt.IsZero() {
		t.Fatalf("not seen: %v", err)
	}

	to := p.post("/requests/"+q.ID+"/prepare", draftOf(clip, func(d map[string]any) { d["recipients"] = []string{"0", "1"} })).want(200).text("location")
	id := strings.TrimPrefix(to, "/releases/")
	p.page(to).says("The release copy is being made", "Discard this release").silent("Approve")
	if got := p.do("GET", to+"/state", nil, nil).want(200).text("state"); got != "preparing" {
		t.Fatalf("state %q", got)
	}
	rel := h.Work(id, nil)
	review := p.page(to).says("Look at what Exampleville Police Department would get", "2 doubtful moments", "seen with little certainty",
		"What you cannot take back", "Revoking ends access; it does not delete copies already made.", "Your original", "view only")
	if !slices.Contains(review.forms(), to+"/grant/begin") {
		t.Fatalf("no form to approve: %v", review.forms())
	}
	p.page("/").says("You are working on", "Waits for your look")

	for _, path := range []string{to + "/copies/" + rel.Copies[0].ID + "/video", to + "/copies/" + rel.Copies[1].ID + "/video", to + "/original/video"} {
		a := p.do("GET", path, nil, map[string]string{"Range": "bytes=0-99", "Sec-Fetch-Dest": "video"}).want(206)
		if len(a.body) != 100 || a.header.Get("Content-Type") != "video/mp4" || !strings.Contains(a.header.Get("Cache-Control"), "no-store") {
			t.Fatalf("%s: %d bytes, %v", path, len(a.body), a.header)
		}
		p.do("GET", path, nil, map[string]string{"Range": "bytes=0-99", "Sec-Fetch-Site": "cross-site"}).want(403)
	}

	p.post(to+"/grant/begin", map[string]any{"looked": false}).refused("looked")
	p.do("GET", to+"/evidence.zip", nil, nil).want(404)
	if kept := p.do("GET", to+"/custody.json", nil, nil).want(200).body; !bytes.Contains(kept, []byte(`"state": "review"`)) {
		t.Errorf("the record under review: %s", kept)
	}
	begun := p.approve(id)
	if n := len(strings.Fields(begun.text("check_words"))); n != 4 {
		t.Errorf("%d check words", n)
	}
	rel = h.Release(id)
	if rel.State != relay.ReleaseIsLive || relay.GrantHash(rel.Grant) != begun.text("grant_sha256") {
		t.Fatalf("state %s, grant %s", rel.State, relay.GrantHash(rel.Grant))
	}
	p.do("GET", to+"/original/video", nil, nil).want(404)
	p.do("GET", to+"/copies/"+rel.Copies[0].ID+"/video", nil, map[string]string{"Range": "bytes=0-9"}).want(206)
	live := p.page(to).says("Who holds it, and who watched", "Det. J. Miller", "Video lab", "Not watched yet; 5 times allowed", begun.text("check_words"), "Revoke now", "the mail with the link waits to be sent")
	p.page("/releases").says("Shared now", "Det. J. Miller")

	links, err := h.Store.DB.LinksOf(t.Context(), id)
	p.ok(err)
	if len(links) != 2 || !slices.Contains(live.forms(), "/links/"+links[0].ID+"/revoke") {
		t.Fatalf("links %v, forms %v", links, live.forms())
	}
	checkMails(t, h, rel)
	checkEvidence(t, p.do("GET", to+"/evidence.zip", nil, nil).want(200).body, rel)

	p.post("/links/"+links[0].ID+"/revoke", struct{}{}).want(200)
	p.post("/links/"+links[0].ID+"/revoke", struct{}{}).want(409)
	p.page(to).says("revoked")
	if h.Release(id).State != relay.ReleaseIsLive {
		t.Fatal("revoking one link ended the release")
	}
	p.post(to+"/revoke", map[string]any{"reason": strings.Repeat("x", 301)}).refused("reason")
	p.post(to+"/revoke", map[string]any{"reason": "The neighbour asked."}).want(200)
	p.post(to+"/revoke", map[string]any{"reason": ""}).want(409)
	p.do("GET", to+"/copies/"+rel.Copies[1].ID+"/video", nil, nil).want(404)
	p.page(to).says("It is over", "The neighbour asked.", "It did not delete copies", "Ada revoked a release.")
	p.do("GET", to+"/evidence.zip", nil, nil).want(200)
	if kept := p.do("GET", to+"/custody.pdf", nil, nil).want(200).body; !bytes.HasPrefix(kept, []byte("%PDF-")) {
		t.Errorf("the record begins with %.20q", kept)
	}
	p.page("/activity").says("Ada approved a release with a passkey.", "Ada revoked a release.", "Ada joined the home.")
	p.page("/requests").says("Shared, and ended")
	if lines := bytes.Count(p.do("GET", "/log.jsonl", nil, nil).want(200).body, []byte("\n")); lines < 10 {
		t.Errorf("the log has %d lines", lines)
	}
}

// checkMails looks at what the outbox holds for a release that was just signed: one link for
// each recipient, the secret in none of the rows.
func checkMails(t *testing.T, h *house.House, rel relay.Release) {
	t.Helper()
	mails, err := h.Store.DB.MailAbout(t.Context(), rel.ID)
	if err != nil {
		t.Fatal(err)
	}
	var to []string
	for _, m := range mails {
		if m.Kind != "link" {
			continue
		}
		to = append(to, m.Address)
		full, err := h.Store.DB.WaitingMail(t.Context(), m.ID)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(full.Secret, h.Site.View+"/r#") || full.Data["agency"] != h.Agency.Name || full.Data["until"] != relay.Stamp(rel.ExpiresAt) || full.Data["views"] != "5" {
			t.Errorf("mail to %s: %v, link %.40s…", m.Address, full.Data, full.Secret)
		}
	}
	slices.Sort(to)
	if !slices.Equal(to, []string{"j.miller@pd.example", "lab@pd.example"}) {
		t.Errorf("links go to %v", to)
	}
}

func checkEvidence(t *testing.T, raw []byte, rel relay.Release) {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"grant.json", "manifest.jws", "request.jws", "signature"} {
		f, err := z.Open(name)
		if err != nil {
			t.Error(err)
			continue
		}
		var b bytes.Buffer
		if _, err := b.ReadFrom(f); err != nil {
			t.Error(err)
		}
		if name == "grant.json" && !bytes.Equal(b.Bytes(), rel.Grant) {
			t.Error("the evidence holds another grant")
		}
		f.Close()
	}
}

// TestCeremonySingleUse: a signature counts once, for one release, from one browser, with the
// person verified, made on the relay's own page.
func TestCeremonySingleUse(t *testing.T) {
	h, p, clip, q := furnished(t)
	rel := reviewed(t, h, p, clip, q)
	path := "/releases/" + rel.ID + "/grant/"
	begin := func(who *person) answer {
		return who.post(path+"begin", map[string]any{"looked": true}).want(200)
	}
	finish := func(who *person, begun answer, credential json.RawMessage) answer {
		return who.post(path+"finish", map[string]any{"looked": true, "ceremony": begun.text("ceremony"), "credential": credential})
	}
	unsigned := func(what string) {
		t.Helper()
		if s := h.Release(rel.ID).State; s != relay.ReleaseInReview {
			t.Fatalf("%s: the release is %s", what, s)
		}
	}

	lazy := *p
	lazy.auth.Options.UserNotVerified = true
	begun := begin(p)
	finish(p, begun, lazy.sign(begun)).refused("")
	unsigned("without verifying the person")

	elsewhere := *p
	elsewhere.party.Origin = "http://localhost.evil.example"
	finish(p, begun, elsewhere.sign(begun)).refused("")
	unsigned("from another origin")

	other := begin(p)
	finish(p, begun, p.sign(other)).refused("")
	unsigned("with the signature over another grant")

	stranger := visitor(t, h)
	stranger.auth.Options.UserHandle = p.auth.Options.UserHandle
	finish(p, begun, stranger.sign(begun)).refused("")
	unsigned("with another passkey")

	twin := reviewed(t, h, p, clip, q)
	p.post("/releases/"+twin.ID+"/grant/finish", map[string]any{"looked": true, "ceremony": begun.text("ceremony"), "credential": p.sign(begun)}).refused("")
	unsigned("sent to another release")

	second := joined(t, h, relay.RoleApprover)
	finish(second, begun, second.sign(begun)).refused("")
	unsigned("by another member")

	again := *p // the same member in another browser
	again.cookie = ""
	in := again.post("/sign-in/begin", struct{}{}).want(200)
	again.post("/sign-in/finish", map[string]any{"ceremony": in.text("ceremony"), "credential": again.sign(in)}).want(200)
	p.key.Counter = again.key.Counter
	finish(&again, begun, again.sign(begun)).refused("")
	unsigned("from another browser")
	p.key.Counter = again.key.Counter

	p.post("/releases/"+rel.ID+"/grant/finish", map[string]any{"ceremony": begun.text("ceremony"), "credential": p.sign(begun), "looked": false}).refused("looked")
	unsigned("without saying that one looked")

	h.Pass(6 * time.Minute)
	finish(p, begun, p.sign(begun)).refused("")
	unsigned("after five minutes")

	begun = begin(p)
	credential := p.sign(begun)
	var wg sync.WaitGroup
	codes := make([]int, 8)
	for i := range codes {
		wg.Go(func() {
			one := *p
			codes[i] = finish(&one, begun, credential).code
		})
	}
	wg.Wait()
	if n := len(slices.DeleteFunc(slices.Clone(codes), func(c int) bool { return c != http.StatusOK })); n != 1 {
		t.Fatalf("one signature was taken %d times: %v", n, codes)
	}
	if s := h.Release(rel.ID).State; s != relay.ReleaseIsLive {
		t.Fatalf("the release is %s", s)
	}
}

// TestGrantIsExact: what is signed is what was looked at.
func TestGrantIsExact(t *testing.T) {
	h, p, clip, q := furnished(t)
	rel := reviewed(t, h, p, clip, q)
	begun := p.post("/releases/"+rel.ID+"/grant/begin", map[string]any{"looked": true}).want(200)
	p.post("/releases/"+rel.ID+"/edit", draftOf(clip, func(d map[string]any) { d["style"] = "solid" })).want(200)
	finish := map[string]any{"looked": true, "ceremony": begun.text("ceremony"), "credential": p.sign(begun)}
	p.post("/releases/"+rel.ID+"/grant/finish", finish).want(409)
	rel = h.Work(rel.ID, nil)
	p.post("/releases/"+rel.ID+"/grant/finish", finish).refused("")
	if s := h.Release(rel.ID).State; s != relay.ReleaseInReview {
		t.Fatalf("the release is %s", s)
	}

	p.post("/releases/"+rel.ID+"/edit", draftOf(clip, nil)).want(200)
	rel = h.Work(rel.ID, func(s *relay.Summary) {
		s.Gates = append(s.Gates, relay.Gate{Name: "metadata", Detail: "the file names a device"})
	})
	p.page("/releases/"+rel.ID).says("This copy failed a check and cannot be released.", "the file names a device", "It cannot be approved as it is.")
	p.post("/releases/"+rel.ID+"/grant/begin", map[string]any{"looked": true}).refused("")

	p.post("/releases/"+rel.ID+"/edit", draftOf(clip, nil)).want(200)
	rel = h.Work(rel.ID, nil)
	begun = p.post("/releases/"+rel.ID+"/grant/begin", map[string]any{"looked": true}).want(200)
	p.ok(h.Store.DB.UpdateRequest(t.Context(), q.ID, func(q *relay.Request) (relay.Event, error) { return q.Withdraw(h.Now()) }))
	p.post("/releases/"+rel.ID+"/grant/finish", map[string]any{"looked": true, "ceremony": begun.text("ceremony"), "credential": p.sign(begun)}).refused("")
	p.page("/releases/" + rel.ID).says("The request is closed, so this can no longer be released.")
	p.post("/releases/"+rel.ID+"/discard", struct{}{}).want(200)
	p.post("/releases/"+rel.ID+"/discard", struct{}{}).want(409)
}

// TestDraft: what the form can get wrong, and what the homeowner is told.
func TestDraft(t *testing.T) {
	h, p, clip, q := furnished(t)
	for _, tt := range []struct {
		name, field string
		change      func(map[string]any)
	}{
		{"no clip", "clip", func(d map[string]any) { d["clip"] = "" }},
		{"before the clip", "from", func(d map[string]any) { d["from"] = relay.Stamp(clip.Start.Add(-time.Second)) }},
		{"after the clip", "from", func(d map[string]any) { d["to"] = relay.Stamp(clip.End().Add(time.Second)) }},
		{"backwards", "to", func(d map[string]any) { d["to"] = relay.Stamp(clip.Start) }},
		{"no time", "to", func(d map[string]any) { d["to"] = "at noon" }},
		{"nobody", "recipients", func(d map[string]any) { d["recipients"] = []string{} }},
		{"somebody else", "recipients", func(d map[string]any) { d["recipients"] = []string{"2"} }},
		{"the same twice", "recipients", func(d map[string]any) { d["recipients"] = []string{"0", "0"} }},
		{"not a place", "recipients", func(d map[string]any) { d["recipients"] = []string{"mallory@evil.example"} }},
		{"no time to watch", "hours", func(d map[string]any) { d["hours"] = 0 }},
		{"for ever", "hours", func(d map[string]any) { d["hours"] = 721 }},
		{"no views", "max_views", func(d map[string]any) { d["max_views"] = 0 }},
		{"too many views", "max_views", func(d map[string]any) { d["max_views"] = 101 }},
		{"undecided", "download", func(d map[string]any) { d["download"] = "" }},
		{"no style", "style", func(d map[string]any) { d["style"] = "none" }},
		{"an unknown field", "", func(d map[string]any) { d["targets"] = []string{} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := *p
			p.t = t
			p.post("/requests/"+q.ID+"/prepare", draftOf(clip, tt.change)).refused(tt.field)
		})
	}
	p.post("/requests/"+q.ID+"/prepare", draftOf(clip, func(d map[string]any) { d["clip"] = relay.NewID() })).want(404)
	p.post("/requests/"+relay.NewID()+"/prepare", draftOf(clip, nil)).want(404)
	// The camera's own clock, as the form sends it; in the zone of this camera it is five or six hours earlier.
	zone, err := time.LoadLocation(h.Camera.Zone)
	p.ok(err)
	to := p.post("/requests/"+q.ID+"/prepare", draftOf(clip, func(d map[string]any) {
		d["from"], d["to"] = clip.Start.In(zone).Format("2006-01-02T15:04"), clip.Start.Add(5*time.Second).In(zone).Format("2006-01-02T15:04:05")
	})).want(200).text("location")
	if rel := h.Release(strings.TrimPrefix(to, "/releases/")); !rel.Draft.From.Equal(clip.Start) || rel.Draft.To.Sub(rel.Draft.From) != 5*time.Second {
		t.Errorf("the window is %s to %s, want from %s", rel.Draft.From, rel.Draft.To, clip.Start)
	}
	other := relay.Camera{ID: relay.NewID(), Handle: "garage", Name: "Garage", Zone: "UTC", CreatedAt: h.Now()}
	p.ok(h.Store.DB.SaveCamera(t.Context(), other, "command line", h.Now()))
	elsewhere := h.Request(clip.Start, func(c *relay.Claims) { c.Scope.Target.Handle = "garage" })
	p.post("/requests/"+elsewhere.ID+"/prepare", draftOf(clip, nil)).refused("clip")
	p.page("/requests/" + elsewhere.ID).says("There is no clip of Garage in this window")
	unknown := h.Request(clip.Start, func(c *relay.Claims) { c.Scope.Target.Handle = "back-door" })
	p.page("/requests/"+unknown.ID).says("you have no camera of this name", "They ask for a camera called “back-door”")
}

// TestAmbiguousHour: in the hour that a clock shows twice, the reading inside the clip is meant.
func TestAmbiguousHour(t *testing.T) {
	h := house.New(t)
	p := joined(t, h, relay.RoleHomeowner)
	h.Furnish()
	for _, at := range []time.Time{time.Date(2025, 11, 2, 6, 30, 0, 0, time.UTC), time.Date(2025, 11, 2, 7, 30, 0, 0, time.UTC)} { // both 1:30 in Chicago
		clip, q := h.Clip(at), h.Request(at, nil)
		to := p.post("/requests/"+q.ID+"/prepare", draftOf(clip, func(d map[string]any) { d["from"], d["to"] = "2025-11-02T01:30:00", "2025-11-02T01:30:04" })).want(200).text("location")
		if rel := h.Release(strings.TrimPrefix(to, "/releases/")); !rel.Draft.From.Equal(at) {
			t.Errorf("clip at %s: the window starts at %s", at, rel.Draft.From)
		}
	}
}

// TestHostileWords: what an agency writes is text on every page.
func TestHostileWords(t *testing.T) {
	h, p, _, _ := furnished(t)
	evil := `<img src=x onerror=alert(1)><script>alert(2)</script>"'`
	q := h.Request(start(h), func(c *relay.Claims) {
		c.Purpose.Text, c.Case.Ref, c.Subject, c.Onward.Statement, c.Contact.Name, c.LegalBasis.Citation = evil, evil, evil, evil, evil, evil
		c.Recipients[0].Name, c.Scope.Target.Handle = evil, evil
	})
	for _, path := range []string{"/", "/requests", "/requests/" + q.ID, "/activity"} {
		page := p.page(path)
		for n := range page.doc.Descendants() {
			if n.Data == "img" && attr(n, "onerror") != "" || n.Data == "script" && attr(n, "src") == "" {
				t.Errorf("%s: <%s> from an agency's words", path, n.Data)
			}
		}
	}
	p.page("/requests/" + q.ID).says("alert(1)")
}

// TestHeaders: every page says what a browser must not do with it, and is kept by none.
func TestHeaders(t *testing.T) {
	_, p, _, q := furnished(t)
	for _, path := range []string{"/", "/join", "/sign-in", "/requests/" + q.ID, "/releases", "/clips", "/cameras", "/agencies", "/household", "/activity"} {
		a := p.get(path).want(200)
		for key, want := range map[string]string{
			"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin",
			"Cross-Origin-Resource-Policy": "same-origin",
		} {
			if got := a.header.Get(key); got != want {
				t.Errorf("%s: %s is %q, want %q", path, key, got, want)
			}
		}
		if csp := a.header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "require-trusted-types-for 'script'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", path, csp)
		}
		if len(a.body) > 150<<10 {
			t.Errorf("%s has %d bytes", path, len(a.body))
		}
	}
	a := p.do("GET", "/static/app.css?v=1", nil, nil).want(200)
	if !strings.HasPrefix(a.header.Get("Content-Type"), "text/css") {
		t.Errorf("style as %s", a.header.Get("Content-Type"))
	}
	for _, path := range []string{"/static/", "/static/../layout.html", "/static/nothing.js", "/static/%2e%2e/templates.go"} {
		if code := p.do("GET", path, nil, nil).code; code != http.StatusNotFound {
			t.Errorf("%s: %d", path, code)
		}
	}
}

// TestStills: a thumbnail is there for members and for nobody else.
func TestStills(t *testing.T) {
	h, p, clip, _ := furnished(t)
	a := p.do("GET", "/clips/"+clip.ID+"/stills/0", nil, nil).want(200)
	if a.header.Get("Content-Type") != "image/jpeg" || !bytes.HasPrefix(a.body, []byte{0xff, 0xd8}) {
		t.Errorf("no picture: %v", a.header)
	}
	for _, path := range []string{"/stills/4", "/stills/-1", "/stills/x"} {
		p.do("GET", "/clips/"+clip.ID+path, nil, nil).want(404)
	}
	p.do("GET", "/clips/"+clip.ID+"/stills/0", nil, map[string]string{"Sec-Fetch-Site": "cross-site"}).want(403)
	visitor(t, h).do("GET", "/clips/"+clip.ID+"/stills/0", nil, nil).want(401)
	p.post("/clips/"+clip.ID+"/dispose", struct{}{}).want(200)
	p.do("GET", "/clips/"+clip.ID+"/stills/0", nil, nil).want(404)
	p.page("/clips").says("deleted")
}
