package home_test

import (
	"strings"
	"testing"

	"cliplease/relay"
	"cliplease/test/house"
)

// TestNotices: a member chooses what they are told of and where it goes. The address of a service
// is never shown again, and other members neither see nor change it.
func TestNotices(t *testing.T) {
	h := house.New(t)
	p, other := joined(t, h, relay.RoleHomeowner), joined(t, h, relay.RoleMember)
	p.page("/household").says("Your notices")
	p.page("/notices").says("Add a service", "ntfy://ntfy.sh/", "A new request has come", "e-mail, always")
	p.post("/notices/test", struct{}{}).want(409)

	for _, wrong := range []string{"https://s3cret.example/", "generic+http://127.0.0.1/s3cret", "ntfy://ntfy.sh/s3cret?scheme=http", "matrix://:s3cret@matrix.example.org/?rooms=!a:b"} {
		if a := p.post("/notices/service", map[string]any{"url": wrong}).refused("url"); strings.Contains(string(a.body), "s3cret") {
			t.Errorf("the refusal repeats the address: %s", a.body)
		}
	}
	p.post("/notices/service", map[string]any{"url": " ntfy://ada:s3cret@ntfy.example.org/topic-s3cret?priority=high\n"}).want(200)
	page := p.get("/notices").want(200)
	if strings.Contains(string(page.body), "s3cret") {
		t.Error("the page shows the address")
	}
	p.page("/notices").says("Notices go to ntfy at ntfy.example.org", "Nothing was sent yet")
	other.page("/notices").silent("ntfy.example.org")
	var dump []string
	for _, m := range must(h.Store.DB.Members(t.Context()))(t) {
		n, err := h.Store.DB.Notices(t.Context(), m.ID)
		p.ok(err)
		dump = append(dump, n.Scheme)
	}
	if strings.Join(dump, ",") != "ntfy," && strings.Join(dump, ",") != ",ntfy" {
		t.Errorf("the services of the two are %q", dump)
	}

	p.post("/notices/test", struct{}{}).want(200)
	if state := p.do("GET", "/notices/state", nil, nil).want(200).text("state"); state != "trying" {
		t.Errorf("the test is %q", state)
	}
	p.page("/notices").says("A test is being sent")

	p.post("/notices", map[string]any{"mail": []string{"weather"}, "service": []string{}}).refused("mail")
	p.post("/notices", map[string]any{"mail": []string{relay.NoticeMore}, "service": []string{relay.NoticeWatched}}).want(200)
	members := must(h.Store.DB.Members(t.Context()))(t)
	for _, m := range members {
		n, err := h.Store.DB.Notices(t.Context(), m.ID)
		p.ok(err)
		if got := strings.Join(n.Mail, ","); n.Scheme != "" && got != "more,recovered" || n.Scheme == "" && len(n.Mail) != len(relay.NoticeKinds())-2 {
			t.Errorf("%s is told of %s", m.ID, got)
		}
	}

	p.post("/notices/service", map[string]any{"url": ""}).want(200)
	p.page("/notices").says("Add a service").silent("ntfy.example.org")
	p.page("/activity").says("changed their notices.")
}

// TestNoticesChosen: what a member does not want to be told of by mail is not sent; what another
// wants, is. A removed member's address is gone.
func TestNoticesChosen(t *testing.T) {
	h, ada, clip, q := furnished(t)
	rel := reviewed(t, h, ada, clip, q)
	count := func(kind string) (n int) {
		t.Helper()
		mails, err := h.Store.DB.MailAbout(t.Context(), q.ID)
		ada.ok(err)
		for _, m := range mails {
			if m.Kind == kind {
				n++
			}
		}
		return n
	}
	if n := count("ready"); n != 1 {
		t.Errorf("%d mails say that the copy is ready", n)
	}
	ada.post("/notices", map[string]any{"mail": []string{}, "service": []string{}}).want(200)
	ada.approve(rel.ID)
	if n := count("released"); n != 0 {
		t.Errorf("%d mails say that it was released", n)
	}

	guest := joined(t, h, relay.RoleMember)
	guest.post("/notices/service", map[string]any{"url": "ntfy://ntfy.example.org/topic"}).want(200)
	var id string
	for _, m := range must(h.Store.DB.Members(t.Context()))(t) {
		if n, err := h.Store.DB.Notices(t.Context(), m.ID); err == nil && n.Scheme != "" {
			id = m.ID
		}
	}
	ada.post("/household/"+id+"/remove", struct{}{}).want(200)
	if n, err := h.Store.DB.Notices(t.Context(), id); err != nil || n.Scheme != "" {
		t.Errorf("the service of a removed member is %+v, %v", n, err)
	}
	if _, err := h.Store.DB.NoticeAddress(t.Context(), id); err == nil {
		t.Error("the address of a removed member can be opened")
	}
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
