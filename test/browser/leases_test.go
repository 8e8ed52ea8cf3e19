package browser

import (
	"slices"
	"strings"
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/storage"
	"cliplease/test/house"
)

// TestLeases: the list of leases follows what happens without a load of the page, says it once, and is
// drawn anew when a lease ends; declining is undone with one press.
func TestLeases(t *testing.T) {
	h := house.New(t)
	b := open(t, h.Site.Home)
	b.addPasskeys()
	b.visit("/join#" + h.Invite(relay.RoleHomeowner, "Ada", ""))
	b.click("form button")
	b.await("location.pathname === '/'")
	h.Furnish()
	h.Clip(taken(h))
	q := h.Request(taken(h), nil)

	b.visit("/requests/" + q.ID)
	b.click("form[action$='/decline'] button")
	b.awaitText("You declined this request.")
	b.look("request-declined")
	b.click("form[action$='/reconsider'] button")
	b.awaitText("Or say no")

	b.click("form[data-draft] button")
	b.await("location.pathname.startsWith('/releases/')")
	id := strings.TrimPrefix(b.eval("location.pathname"), "/releases/")
	h.Work(id, nil)
	b.awaitText("Watch it from start to end")
	b.click("[name=looked]")
	b.click("[data-first]")
	b.await("!document.querySelector('[data-second]').hidden")
	b.click("[data-second]")
	b.awaitText("Who holds it, and who watched")

	b.visit("/releases")
	b.says("Not watched yet; 5 times allowed")
	b.eval("window.sameLoad = true")
	links, err := h.Store.DB.LinksOf(t.Context(), id)
	b.ok(err)
	now := h.Now()
	b.ok(h.Store.DB.StartView(t.Context(), storage.Opened{Link: links[0], Release: h.Release(id)}, storage.ViewSession{TokenHash: strings.Repeat("ab", 32), LinkID: links[0].ID, Kind: "view", MediaPath: "m",
		CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(time.Hour)}, now))
	b.awaitText("Watched 1 of 5 times")
	b.says("may be watching now")
	live := h.Release(id)
	whose := slices.IndexFunc(live.Copies, func(c relay.Copy) bool { return c.ID == links[0].CopyID }) // made at one moment, so either may be first
	if got := b.eval("String(window.sameLoad) + document.querySelector('[data-said]').textContent"); got != "true"+live.Copies[whose].Recipient.Name+": Watched 1 of 5 times" {
		t.Errorf("the page was loaded anew, or says something else: %s", got)
	}
	b.look("releases-watched")

	b.click("form[action$='/extend'] button")
	b.await("location.pathname.startsWith('/releases/') && !location.pathname.endsWith('" + id + "')")
	b.says("The release copy is being made")

	b.visit("/releases")
	b.ok(h.Store.DB.RevokeRelease(t.Context(), id, "command line", "", h.Now()))
	b.awaitText("Nothing is shared.")
	b.visit("/releases/" + id)
	b.says("Not acknowledged by the agency yet.")
	b.clean()
}
