package home_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/test/house"

	"github.com/descope/virtualwebauthn"
)

// roles says, for every kind of caller of a route, which roles it lets in.
var roles = map[string][]relay.Role{
	"member": relay.Roles(),
	"see":    {relay.RoleHomeowner, relay.RoleApprover, relay.RoleMember},
	"revoke": {relay.RoleHomeowner, relay.RoleApprover, relay.RoleMember},
	"sign":   {relay.RoleHomeowner, relay.RoleApprover},
	"manage": {relay.RoleHomeowner},
}

// TestWhoMayCallWhat walks every route of the home host as everybody: who is not let in gets
// an answer that says so, and none of the rest.
func TestWhoMayCallWhat(t *testing.T) {
	h := house.New(t)
	people := map[relay.Role]*person{}
	for _, r := range relay.Roles() {
		people[r] = joined(t, h, r)
	}
	stranger := visitor(t, h)
	call := func(p *person, method, path string) int {
		path = strings.NewReplacer(":id", "nothing", ":copy", "nothing", ":n", "0", "*file", "app.css").Replace(path)
		return p.do(method, path, strings.NewReader("{}"), nil).code
	}
	walked := 0
	for _, r := range h.Server.Routes {
		if r.Host != "home" || r.Path == "/sign-out" || r.Path == "/sign-out-everywhere" {
			continue // these end the session; TestSessions and TestHousehold do it
		}
		walked++
		name := r.Method + " " + r.Path
		if r.Who == "anyone" {
			if code := call(stranger, r.Method, r.Path); code == http.StatusUnauthorized || code == http.StatusForbidden {
				t.Errorf("%s is for anyone, and says %d to a stranger", name, code)
			}
			continue
		}
		may, ok := roles[r.Who]
		if !ok {
			t.Errorf("%s is for %q, whom this test does not know", name, r.Who)
		}
		if code := call(stranger, r.Method, r.Path); code != http.StatusUnauthorized {
			t.Errorf("%s says %d to a stranger", name, code)
		}
		for _, role := range relay.Roles() {
			let := false
			for _, m := range may {
				let = let || m == role
			}
			code := call(people[role], r.Method, r.Path)
			if refused := code == http.StatusForbidden || code == http.StatusUnauthorized; refused == let {
				t.Errorf("%s for %s says %d to a member with role %s", name, r.Who, code, role)
			}
			if code >= 500 {
				t.Errorf("%s says %d to a member with role %s", name, code, role)
			}
		}
	}
	if walked < 40 {
		t.Errorf("only %d routes were walked", walked)
	}
}

// TestNoGetChanges: asking for every page and file leaves the log as it was.
func TestNoGetChanges(t *testing.T) {
	h, p, clip, q := furnished(t)
	rel := reviewed(t, h, p, clip, q)
	before := len(p.do("GET", "/log.jsonl", nil, nil).want(200).body)
	for _, r := range h.Server.Routes {
		if r.Host != "home" || r.Method != http.MethodGet {
			continue
		}
		for _, id := range []string{q.ID, rel.ID, clip.ID} {
			p.get(strings.NewReplacer(":id", id, ":copy", rel.Copies[0].ID, ":n", "0", "*file", "app.css").Replace(r.Path))
		}
	}
	if after := len(p.do("GET", "/log.jsonl", nil, nil).want(200).body); after != before {
		t.Errorf("the log grew by %d bytes", after-before)
	}
}

// TestOnlyOwnPages: what a page of another site makes a browser send is refused.
func TestOnlyOwnPages(t *testing.T) {
	h, p, _, q := furnished(t)
	path := "/requests/" + q.ID + "/decline"
	for i, header := range []map[string]string{
		{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "none"}, {"Sec-Fetch-Site": ""},
		{"Origin": "http://evil.example", "Sec-Fetch-Site": ""}, {"Content-Type": "text/plain"}, {"Content-Type": "application/x-www-form-urlencoded"}, {"Content-Type": ""},
	} {
		if a := p.do("POST", path, strings.NewReader("{}"), header); a.code != http.StatusForbidden {
			t.Errorf("header set %d: %d", i, a.code)
		}
	}
	if got, err := h.Store.DB.Request(t.Context(), q.ID); err != nil || got.State != relay.RequestPending {
		t.Fatalf("the request is %s: %v", got.State, err)
	}
	p.post(path, struct{}{}).want(200)
	p.post(path, struct{}{}).want(409)
	p.page("/requests/"+q.ID).says("Declined").silent("Or say no", "Prepare a release")
}

// TestSessions: a session ends by itself, at sign-out, from another browser, and with its
// member; a new one has a new token.
func TestSessions(t *testing.T) {
	h := house.New(t)
	p := joined(t, h, relay.RoleHomeowner)
	first := p.cookie
	signIn := func(p *person) answer {
		begun := p.post("/sign-in/begin", struct{}{}).want(200)
		return p.post("/sign-in/finish", map[string]any{"ceremony": begun.text("ceremony"), "credential": p.sign(begun)})
	}

	a := p.get("/").want(200)
	if a.header.Get("Set-Cookie") != "" {
		t.Error("every page sets the cookie")
	}
	two := *p
	two.cookie = ""
	set := signIn(&two).want(200).header.Get("Set-Cookie")
	for _, part := range []string{"__Host-cliplease_home=", "Path=/", "HttpOnly", "Secure", "SameSite=Strict"} {
		if !strings.Contains(set, part) {
			t.Errorf("the cookie %q lacks %s", set, part)
		}
	}
	if two.cookie == first || len(two.cookie) != 43 {
		t.Errorf("the token is %q", two.cookie)
	}
	p.key.Counter = two.key.Counter

	h.Pass(29 * time.Minute)
	p.get("/").want(200)
	h.Pass(29 * time.Minute)
	p.get("/").want(200)
	two.get("/").want(http.StatusSeeOther) // idle for 58 minutes
	h.Pass(31 * time.Minute)
	p.get("/").want(http.StatusSeeOther)
	signIn(p).want(200)
	for range 25 { // used all the time, for more than twelve hours
		h.Pass(29 * time.Minute)
		p.get("/")
	}
	p.get("/").want(http.StatusSeeOther)

	signIn(p).want(200)
	two = *p
	two.cookie = ""
	signIn(&two).want(200)
	p.key.Counter = two.key.Counter
	var other string
	for _, action := range p.page("/household").forms() {
		if strings.HasPrefix(action, "/sessions/") {
			other = action
		}
	}
	p.post("/sessions/ffffffffffffffff/end", struct{}{}).want(404)
	p.post(other, struct{}{}).want(200)
	two.get("/").want(http.StatusSeeOther)
	p.get("/").want(200)

	old := p.cookie
	out := p.post("/sign-out", struct{}{}).want(200)
	if out.header.Get("Clear-Site-Data") == "" {
		t.Error("sign-out leaves what the browser keeps")
	}
	p.cookie = old
	p.get("/").want(http.StatusSeeOther)
	p.cookie = ""
	signIn(p).want(200)

	// A member who is removed is out at once, and cannot come in again.
	grace := joined(t, h, relay.RoleMember)
	members, err := h.Store.DB.Members(t.Context())
	p.ok(err)
	p.post("/household/"+members[1].ID+"/remove", struct{}{}).want(200)
	grace.get("/").want(http.StatusSeeOther)
	grace.cookie = ""
	signIn(grace).refused("")
	p.post("/household/"+members[0].ID+"/remove", struct{}{}).refused("")
}

// TestSignInCeremony: used once, and only with a passkey of this home and its person.
func TestSignInCeremony(t *testing.T) {
	h := house.New(t)
	p := joined(t, h, relay.RoleHomeowner)
	begun := p.post("/sign-in/begin", struct{}{}).want(200)
	finish := func(who *person, credential any) answer {
		v := *who
		v.cookie = ""
		return v.post("/sign-in/finish", map[string]any{"ceremony": begun.text("ceremony"), "credential": credential})
	}
	lazy := *p
	lazy.auth.Options.UserNotVerified = true
	finish(&lazy, lazy.sign(begun)).refused("")
	elsewhere := *p
	elsewhere.party.Origin = h.Site.View
	finish(&elsewhere, elsewhere.sign(begun)).refused("")
	stranger := visitor(t, h)
	stranger.auth.Options.UserHandle = p.auth.Options.UserHandle
	finish(stranger, stranger.sign(begun)).refused("")
	finish(p, map[string]any{}).refused("")
	finish(p, "nonsense").refused("")
	copied := *p // an authenticator whose counter does not move
	p.key.Counter = 7
	finish(p, p.sign(begun)).want(200)
	finish(p, p.sign(begun)).refused("") // used
	begun = p.post("/sign-in/begin", struct{}{}).want(200)
	finish(&copied, copied.sign(begun)).refused("")
	h.Pass(6 * time.Minute)
	finish(p, p.sign(begun)).refused("")
}

// TestJoin: an invitation works once, for its role, and only with its token.
func TestJoin(t *testing.T) {
	h := house.New(t)
	p := visitor(t, h)
	p.post("/join/begin", map[string]any{"token": "nothing", "name": "Ada", "email": ""}).refused("")
	token := h.Invite(relay.RoleHomeowner, "", "")
	p.post("/join/begin", map[string]any{"token": token, "name": "", "email": ""}).refused("name")
	p.post("/join/begin", map[string]any{"token": token, "name": "Ada\r\nBcc: x", "email": ""}).refused("name")
	p.post("/join/begin", map[string]any{"token": token, "name": "Ada", "email": "ada@home.example\r\nBcc: x@evil.example"}).refused("email")
	begun := p.post("/join/begin", map[string]any{"token": token, "name": "Ada", "email": "ada@home.example"}).want(200)
	p.post("/join/finish", map[string]any{"token": "another", "ceremony": begun.text("ceremony"), "credential": p.register(begun)}).refused("")
	lazy := *p
	lazy.auth.Options.UserNotVerified = true
	p.post("/join/finish", map[string]any{"token": token, "ceremony": begun.text("ceremony"), "credential": lazy.register(begun)}).refused("")

	var wg sync.WaitGroup
	rivals := make([]*person, 4)
	codes, finish := make([]int, len(rivals)), make([]map[string]any, len(rivals))
	for i := range rivals {
		rivals[i] = visitor(t, h)
		begun := rivals[i].post("/join/begin", map[string]any{"token": token, "name": fmt.Sprint("Rival ", i), "email": ""}).want(200)
		finish[i] = map[string]any{"token": token, "ceremony": begun.text("ceremony"), "credential": rivals[i].register(begun)}
	}
	for i := range rivals {
		wg.Go(func() { codes[i] = rivals[i].post("/join/finish", finish[i]).code })
	}
	wg.Wait()
	members, err := h.Store.DB.Members(t.Context())
	p.ok(err)
	if len(members) != 1 || members[0].Role != relay.RoleHomeowner {
		t.Fatalf("members %v, answers %v", members, codes)
	}
	p.post("/join/begin", map[string]any{"token": token, "name": "Ada", "email": ""}).refused("")
	late := h.Invite(relay.RoleMember, "Grace", "")
	h.Pass(61 * time.Minute)
	p.post("/join/begin", map[string]any{"token": late, "name": "", "email": ""}).refused("")
}

// TestPasskeys: another passkey signs the same member in; one that is there already does not
// come twice.
func TestPasskeys(t *testing.T) {
	h := house.New(t)
	p := joined(t, h, relay.RoleMember)
	begun := p.post("/passkeys/begin", map[string]any{"device": "Tablet"}).want(200)
	if !bytes.Contains(begun.raw("publicKey"), []byte("excludeCredentials")) {
		t.Error("the passkey that is there is not excluded")
	}
	more := *p
	more.key = visitor(t, h).key
	more.auth = virtualwebauthn.NewAuthenticator()
	finish := map[string]any{"device": "Tablet", "ceremony": begun.text("ceremony"), "credential": more.register(begun)}
	other := joined(t, h, relay.RoleMember)
	other.post("/passkeys/finish", finish).refused("") // begun by somebody else
	p.post("/passkeys/finish", finish).want(200)
	p.post("/passkeys/finish", finish).refused("")
	p.page("/household").says("Tablet", "Firefox on Linux")
	more.cookie = ""
	in := more.post("/sign-in/begin", struct{}{}).want(200)
	more.post("/sign-in/finish", map[string]any{"ceremony": in.text("ceremony"), "credential": more.sign(in)}).want(200)
	more.page("/household").says("Tablet")
}

// TestInvite: the link is shown once, mailed where there is an address, and kept nowhere.
func TestInvite(t *testing.T) {
	h := house.New(t)
	p := joined(t, h, relay.RoleHomeowner)
	for field, in := range map[string]map[string]any{
		"name":  {"name": "", "email": "", "role": "member"},
		"email": {"name": "Grace", "email": "grace", "role": "member"},
		"role":  {"name": "Grace", "email": "", "role": "king"},
	} {
		p.post("/household/invite", in).refused(field)
	}
	link := p.post("/household/invite", map[string]any{"name": "Grace", "email": "grace@home.example", "role": "approver"}).want(200).text("link")
	token, ok := strings.CutPrefix(link, h.Site.Home+"/join#")
	if !ok {
		t.Fatalf("the link is %q", link)
	}
	if log := p.do("GET", "/log.jsonl", nil, nil).want(200).body; bytes.Contains(log, []byte(token)) || bytes.Contains(log, []byte("grace@")) {
		t.Error("the log holds the token or the address")
	}
	grace := visitor(t, h)
	begun := grace.post("/join/begin", map[string]any{"token": token, "name": "", "email": "mallory@evil.example"}).want(200)
	grace.post("/join/finish", map[string]any{"token": token, "ceremony": begun.text("ceremony"), "credential": grace.register(begun)}).want(200)
	members, err := h.Store.DB.Members(t.Context())
	p.ok(err)
	if m := members[1]; m.Name != "Grace" || m.Email != "grace@home.example" || m.Role != relay.RoleApprover {
		t.Errorf("joined as %+v", m)
	}
}

// TestRefusedFiles: what a watched folder could not take in is shown with its reason, as text.
func TestRefusedFiles(t *testing.T) {
	h := house.New(t)
	p := joined(t, h, relay.RoleHomeowner)
	h.Furnish()
	p.page("/clips").silent("Could not be taken in")
	folder := filepath.Join(h.Watch, h.Camera.Handle, "refused")
	p.ok(os.MkdirAll(folder, 0o700))
	p.ok(os.WriteFile(filepath.Join(folder, "letter.mp4"), []byte("letter"), 0o600))
	p.ok(os.WriteFile(filepath.Join(folder, "letter.mp4.why.txt"), []byte("This is <b>text</b>, not a video.\n"), 0o600))
	p.page("/clips").says("Could not be taken in", "letter.mp4", "This is <b>text</b>, not a video.")
	p.page("/clips?day=2020-01-01").silent("letter.mp4")
	p.page("/cameras").says(filepath.Dir(folder))
	p.ok(os.RemoveAll(folder))
	p.ok(os.Symlink(t.TempDir(), filepath.Join(h.Watch, "other")))
	p.ok(os.RemoveAll(filepath.Dir(folder)))
	p.ok(os.Symlink(filepath.Join(h.Watch, "other"), filepath.Dir(folder)))
	p.page("/clips").says("watched folder cannot be read")
}

// TestCameras: what a homeowner can get wrong.
func TestCameras(t *testing.T) {
	h := house.New(t)
	p := joined(t, h, relay.RoleHomeowner)
	camera := func(change map[string]any) map[string]any {
		in := map[string]any{"id": "", "name": "Front door", "handle": "front-door", "zone": "Europe/Amsterdam", "offset": 0, "interior": false}
		for k, v := range change {
			in[k] = v
		}
		return in
	}
	for _, tt := range []struct {
		field  string
		change map[string]any
	}{
		{"name", map[string]any{"name": " "}}, {"handle", map[string]any{"handle": "Front Door"}}, {"handle", map[string]any{"handle": "-x"}}, {"handle", map[string]any{"handle": strings.Repeat("x", 65)}},
		{"zone", map[string]any{"zone": "Amsterdam"}}, {"zone", map[string]any{"zone": ""}}, {"zone", map[string]any{"zone": "Local"}}, {"offset", map[string]any{"offset": 400 * 86400}},
		{"retain", map[string]any{"retain": -1}}, {"retain", map[string]any{"retain": 3651}},
	} {
		p.post("/cameras", camera(tt.change)).refused(tt.field)
	}
	p.post("/cameras", camera(nil)).want(200)
	p.post("/cameras", camera(nil)).refused("handle")
	cameras, err := h.Store.DB.Cameras(t.Context())
	p.ok(err)
	p.post("/cameras", camera(map[string]any{"id": cameras[0].ID, "name": "Porch", "offset": -90, "retain": 14})).want(200)
	p.post("/cameras", camera(map[string]any{"id": "nothing"})).want(404)
	p.page("/cameras").says("for 14 days after they arrive", "Porch", "front-door", "-90 seconds ahead")
}

// TestAgencies: keys are compared by word before an agency is registered.
func TestAgencies(t *testing.T) {
	h := house.New(t)
	p := joined(t, h, relay.RoleHomeowner)
	agency := func(change map[string]any) map[string]any {
		in := map[string]any{
			"id": "urn:cliplease:agency:us-mn-county", "name": "County Sheriff", "level": "county", "jurisdiction": "", "domains": []string{"Sheriff.example"}, "phone": "+1 555 0100", "complaints": "",
			"how": "", "jwks": `{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`, "compared": false,
		}
		for k, v := range change {
			in[k] = v
		}
		return in
	}
	for _, tt := range []struct {
		field  string
		change map[string]any
	}{
		{"id", map[string]any{"id": "county"}}, {"name", map[string]any{"name": ""}}, {"level", map[string]any{"level": "city"}}, {"domains", map[string]any{"domains": []string{}}},
		{"domains", map[string]any{"domains": []string{"x@y"}}}, {"phone", map[string]any{"phone": ""}}, {"jwks", map[string]any{"jwks": "{}"}}, {"how", map[string]any{"compared": true}},
	} {
		p.post("/agencies", agency(tt.change)).refused(tt.field)
	}
	if a := p.post("/agencies", agency(nil)).want(200); !bytes.Contains(a.body, []byte(`"words"`)) || a.text("location") != "" {
		t.Errorf("answered %s", a.body)
	}
	if all, err := h.Store.DB.Agencies(t.Context()); err != nil || len(all) != 0 {
		t.Fatalf("registered before the words were compared: %v %v", all, err)
	}
	done := agency(map[string]any{"compared": true, "how": "called the number from the county's site"})
	p.post("/agencies", done).want(200)
	keys := func() []relay.AgencyKey {
		t.Helper()
		out, err := h.Store.DB.AgencyKeys(t.Context(), "urn:cliplease:agency:us-mn-county")
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	h.Pass(300 * 24 * time.Hour)
	begun := p.post("/sign-in/begin", struct{}{}).want(200) // the session is long over
	p.post("/sign-in/finish", map[string]any{"ceremony": begun.text("ceremony"), "credential": p.sign(begun)}).want(200)
	done["how"] = "called again, and the words are still the same"
	p.post("/agencies", done).want(200) // checked again, as it must be once a year
	a, err := h.Store.DB.Agency(t.Context(), "urn:cliplease:agency:us-mn-county")
	if err != nil || a.VerifiedUntil.Before(h.Now().AddDate(0, 11, 0)) || len(keys()) != 1 || keys()[0].NotAfter.Before(a.VerifiedUntil) {
		t.Errorf("checked again: %+v with %+v, %v", a, keys(), err)
	}
	p.page("/activity").says("Ada checked County Sheriff again.")
	p.page("/agencies").says("County Sheriff", "sheriff.example", "by Ada: called again", "Suspend", "It was stolen")
	id := "/agencies/urn:cliplease:agency:us-mn-county/status"
	p.post(id, map[string]any{"status": "gone"}).refused("status")
	p.post(id, map[string]any{"status": "suspended"}).want(200)
	p.page("/agencies").says("Suspended by your home", "Let it ask again")
	p.post(id, map[string]any{"status": "active"}).want(200)

	kid := keys()[0].KID
	key := "/agencies/urn:cliplease:agency:us-mn-county/keys/" + kid + "/status"
	p.post(key, map[string]any{"status": "active"}).refused("status")
	p.post("/agencies/urn:cliplease:agency:other/keys/"+kid+"/status", map[string]any{"status": "retired"}).want(404)
	p.post("/agencies/urn:cliplease:agency:us-mn-county/keys/none/status", map[string]any{"status": "retired"}).want(404)
	p.post(key, map[string]any{"status": "retired"}).want(200)
	p.page("/agencies").says("EdDSA key, retired").silent("It was stolen")
	p.post(key, map[string]any{"status": "retired"}).want(409)
	p.post("/agencies", done).refused("jwks") // a key does not come back
}

// TestInviteAgency: an invited agency hands over its keys once, which registers nothing; the home
// registers it as ever.
func TestInviteAgency(t *testing.T) {
	h := house.New(t)
	p := joined(t, h, relay.RoleHomeowner)
	p.post("/agencies/invite", map[string]any{"name": " "}).refused("name")
	link := p.post("/agencies/invite", map[string]any{"name": "The county sheriff"}).want(200).text("link")
	address, token, _ := strings.Cut(link, "#")
	if address != h.Site.View+"/offer" || len(token) != 43 {
		t.Fatalf("the link is %s", link)
	}
	p.page("/agencies").says("The county sheriff was invited by Ada and has not answered yet")
	const jwks = `{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`
	offer := func(change map[string]any) answer {
		t.Helper()
		in := map[string]any{"t": token, "id": "urn:cliplease:agency:us-mn-county", "name": "County <b>Sheriff", "level": "county", "jurisdiction": "", "domains": []string{"Sheriff.example "}, "complaints": "", "jwks": jwks}
		for k, v := range change {
			in[k] = v
		}
		raw, err := json.Marshal(in)
		p.ok(err)
		stranger := *visitor(t, h)
		return stranger.do("POST", "/offer", bytes.NewReader(raw), map[string]string{"Host": h.Site.ViewHost(), "Content-Type": "application/json"})
	}
	offer(map[string]any{"id": "county"}).refused("id")
	offer(map[string]any{"jwks": "{}"}).refused("jwks")
	offer(map[string]any{"complaints": strings.Repeat("x", 301)}).refused("complaints")
	offer(map[string]any{"jurisdiction": strings.Repeat("x", 201)}).refused("jurisdiction")
	offer(map[string]any{"t": "x"}).refused("")
	if a := offer(nil).want(200); !bytes.Contains(a.body, []byte(`"words":["`)) {
		t.Errorf("answered %s", a.body)
	}
	offer(nil).refused("") // it answers once
	if all, err := h.Store.DB.Agencies(t.Context()); err != nil || len(all) != 0 {
		t.Fatalf("it registered itself: %v, %v", all, err)
	}
	p.page("/agencies").says("County <b>Sheriff handed over its name and keys")
	open, err := h.Store.DB.AgencyInvitations(t.Context(), h.Now())
	if err != nil || len(open) != 1 || open[0].Offer.Domains[0] != "sheriff.example" {
		t.Fatalf("%+v, %v", open, err)
	}
	filled := p.get("/agencies?offer=" + open[0].ID()).want(200).body
	if !bytes.Contains(filled, []byte(`value="County &lt;b&gt;Sheriff"`)) || !bytes.Contains(filled, []byte("11qYAYKxCrfVS")) || bytes.Contains(filled, []byte(`name="phone" type="tel" value`)) {
		t.Error("the form does not begin with what was handed over")
	}
	p.post("/agencies", map[string]any{"id": open[0].Offer.ID, "name": open[0].Offer.Name, "level": "county", "jurisdiction": "", "domains": open[0].Offer.Domains, "phone": "+1 555 0100", "complaints": "",
		"how": "called the number from the county's site", "jwks": jwks, "compared": true}).want(200)
	p.page("/agencies").silent("handed over its name and keys")

	second := p.post("/agencies/invite", map[string]any{"name": "Another"}).want(200).text("link")
	_, token, _ = strings.Cut(second, "#")
	if open, err = h.Store.DB.AgencyInvitations(t.Context(), h.Now()); err != nil || len(open) != 1 {
		t.Fatalf("%+v, %v", open, err)
	}
	p.post("/agency-invitations/"+open[0].ID()+"/close", struct{}{}).want(200)
	p.post("/agency-invitations/"+open[0].ID()+"/close", struct{}{}).want(404)
	offer(map[string]any{"id": "urn:cliplease:agency:another"}).refused("")

	third := p.post("/agencies/invite", map[string]any{"name": "Too late"}).want(200).text("link")
	_, token, _ = strings.Cut(third, "#")
	h.Pass(relay.OfferLife)
	offer(map[string]any{"id": "urn:cliplease:agency:late"}).refused("")
}

// TestSignInReturns: whoever followed a link from a mail goes on there after signing in, and
// nowhere else than to a page of the home.
func TestSignInReturns(t *testing.T) {
	h := house.New(t)
	p := joined(t, h, relay.RoleHomeowner)
	out := *p
	for _, tt := range []struct{ asks, signsInAt string }{
		{"/requests/abc2", "/sign-in?to=%2Frequests%2Fabc2"}, {"/releases/abc2", "/sign-in?to=%2Freleases%2Fabc2"}, {"/", "/sign-in"}, {"/releases", "/sign-in"}, {"/releases/abc2/receipt", "/sign-in"},
	} {
		out.cookie = ""
		if got := out.get(tt.asks).want(303).header.Get("Location"); got != tt.signsInAt {
			t.Errorf("%s leads to %s, want %s", tt.asks, got, tt.signsInAt)
		}
	}
	if body := string(out.get("/sign-in?to=%2Frequests%2Fabc2").want(200).body); !strings.Contains(body, `name="to" value="/requests/abc2"`) {
		t.Error("the page forgets where its reader wanted to go")
	}
	for _, tt := range []struct{ to, goes string }{
		{"/requests/abc2", "/requests/abc2"}, {"/releases/abc2", "/releases/abc2"}, {"", "/"}, {"//evil.example", "/"}, {"https://evil.example/requests/a", "/"}, {"/requests/../sign-out", "/"}, {"/requests/a\n", "/"},
	} {
		out.cookie = ""
		begun := out.post("/sign-in/begin", struct{}{}).want(200)
		got := out.post("/sign-in/finish", map[string]any{"ceremony": begun.text("ceremony"), "credential": out.sign(begun), "to": tt.to}).want(200).text("location")
		if got != tt.goes {
			t.Errorf("%q led to %s, want %s", tt.to, got, tt.goes)
		}
	}
}
