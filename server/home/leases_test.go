package home_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/storage"
)

// TestExtend: more time is a release of its own of the same scope, for one recipient or for all; what was
// signed stays as it is.
func TestExtend(t *testing.T) {
	h, p, clip, q := furnished(t)
	rel := reviewed(t, h, p, clip, q, "0", "1")
	to := "/releases/" + rel.ID
	p.post(to+"/extend", map[string]any{"hours": 24}).want(422) // nothing is live yet
	p.approve(rel.ID)
	live := h.Release(rel.ID)
	links, err := h.Store.DB.LinksOf(t.Context(), rel.ID)
	p.ok(err)
	for _, path := range []string{to, "/releases"} {
		p.page(path).says("Let them watch longer by", "Prepare a longer lease")
	}
	p.post(to+"/extend", map[string]any{"hours": 0}).refused("hours")
	p.post(to+"/extend", map[string]any{"hours": 30 * 24}).refused("hours") // with what is left more than a lease may run
	p.post(to+"/extend", map[string]any{"hours": 24, "link": "lnone"}).want(422)

	p.ok(h.Store.DB.AskMore(t.Context(), storage.Opened{Link: links[0], Release: live}, h.Now()))
	whose := slices.IndexFunc(live.Copies, func(c relay.Copy) bool { return c.ID == links[0].CopyID }) // made at one moment, so either may be first
	p.page("/releases").says("asked for more time", "Let "+live.Copies[whose].Recipient.Name+" watch longer by")
	for name, tt := range map[string]struct {
		link string
		to   int
	}{"one": {links[0].ID, 1}, "all": {"", 2}} {
		made := p.post(to+"/extend", map[string]any{"hours": 48, "link": tt.link}).want(200).text("location")
		longer := h.Release(strings.TrimPrefix(made, "/releases/"))
		d := longer.Draft
		if longer.ID == rel.ID || longer.State != relay.ReleaseIsPreparing || longer.RequestID != q.ID || longer.ClipID != clip.ID || !d.From.Equal(rel.Draft.From) || !d.To.Equal(rel.Draft.To) ||
			d.Style != rel.Draft.Style || d.MaxViews != rel.Draft.MaxViews || !d.Expires.Equal(live.ExpiresAt.Add(48*time.Hour)) || len(d.Recipients) != tt.to {
			t.Errorf("%s: %+v", name, longer)
		}
	}
	if now := h.Release(rel.ID); string(now.Grant) != string(live.Grant) || !now.ExpiresAt.Equal(live.ExpiresAt) || now.State != relay.ReleaseIsLive {
		t.Errorf("what was signed changed: %+v", now)
	}
	p.post(to+"/revoke", map[string]any{"reason": ""}).want(200)
	p.page(to).says("Not acknowledged by the agency yet.").silent("watch longer by")
	_, err = h.Store.DB.Acknowledge(t.Context(), storage.Acknowledgement{ReleaseID: rel.ID, AgencyID: h.Agency.ID, KID: "k", JWS: "a", SHA256: "b", CreatedAt: h.Now()})
	p.ok(err)
	p.page(to).says("acknowledged by the agency at").silent("Not acknowledged")
	p.page("/activity").says("acknowledges that its access is over.")
}

// TestExtendClosed: once the request is closed nothing can be extended, and the page does not offer it.
func TestExtendClosed(t *testing.T) {
	h, p, clip, q := furnished(t)
	rel := reviewed(t, h, p, clip, q)
	p.approve(rel.ID)
	p.ok(h.Store.DB.UpdateRequest(t.Context(), q.ID, func(q *relay.Request) (relay.Event, error) { return q.Withdraw(h.Now()) }))
	a := p.post("/releases/"+rel.ID+"/extend", map[string]any{"hours": 24}).want(422)
	if !strings.Contains(string(a.body), "has to ask again") {
		t.Errorf("%s", a.body)
	}
	p.page("/releases/" + rel.ID).says("Take it back").silent("watch longer by")
	p.page("/releases").says("Shared now").silent("watch longer by")
}

// TestLiveLeases: the list tells who watches, and its mark changes with who has access and nothing else.
func TestLiveLeases(t *testing.T) {
	h, p, clip, q := furnished(t)
	rel := reviewed(t, h, p, clip, q, "0", "1")
	type list struct {
		Mark   string
		Leases []struct {
			ID, Name, Watched string
			Watching          bool
			Views             []string
		}
	}
	read := func() (l list) {
		t.Helper()
		p.ok(json.Unmarshal(p.do("GET", "/leases", nil, nil).want(200).body, &l))
		return l
	}
	none := read()
	p.approve(rel.ID)
	first := read()
	if len(none.Leases) != 0 || len(first.Leases) != 2 || first.Mark == none.Mark || first.Leases[0].Watched != "Not watched yet; 5 times allowed" {
		t.Fatalf("%+v, then %+v", none, first)
	}
	p.page("/releases").says("Revoke for Det. J. Miller", "Revoke everywhere for Video lab")
	if !strings.Contains(string(p.do("GET", "/releases", nil, nil).want(200).body), `data-mark="`+first.Mark+`"`) {
		t.Error("the page has another mark than the list")
	}
	links, err := h.Store.DB.LinksOf(t.Context(), rel.ID)
	p.ok(err)
	now := h.Now()
	p.ok(h.Store.DB.StartView(t.Context(), storage.Opened{Link: links[0], Release: h.Release(rel.ID)}, storage.ViewSession{TokenHash: strings.Repeat("ab", 32), LinkID: links[0].ID, Kind: "view", MediaPath: "m",
		CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(time.Hour)}, now))
	watched := read()
	i := 0
	if watched.Leases[1].ID == links[0].ID {
		i = 1
	}
	if l := watched.Leases[i]; watched.Mark != first.Mark || l.Watched != "Watched 1 of 5 times" || !l.Watching || len(l.Views) != 1 || !strings.Contains(l.Views[0], "may be watching now") {
		t.Errorf("while it is watched: %+v", watched)
	}
	p.post("/links/"+links[0].ID+"/revoke", struct{}{}).want(200)
	over := read()
	if over.Mark == first.Mark || over.Leases[i].Watching || strings.Contains(over.Leases[i].Views[0], "now") {
		t.Errorf("after the link was revoked: %+v", over)
	}
}

// TestUndoDecline: declining can be taken back for ten minutes, with an event, and the agency sees neither.
func TestUndoDecline(t *testing.T) {
	h, p, _, q := furnished(t)
	path := "/requests/" + q.ID
	p.post(path+"/reconsider", struct{}{}).want(409)
	p.post(path+"/decline", struct{}{}).want(200)
	p.page(path).says("You declined this request.", "Undo")
	p.post(path+"/reconsider", struct{}{}).want(200)
	p.page(path).says("Prepare a release", "Or say no").silent("You declined this request.")
	p.page("/activity").says("took declining back.")
	p.post(path+"/decline", struct{}{}).want(200)
	h.Pass(relay.UndoFor)
	p.page(path).silent("You declined this request.")
	p.post(path+"/reconsider", struct{}{}).want(409)
	if _, err := h.Store.Verify(t.Context()); err != nil {
		t.Errorf("the log does not fit: %v", err)
	}
}
