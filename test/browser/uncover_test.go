package browser

import (
	"strings"
	"testing"

	"cliplease/relay"
	"cliplease/test/house"
)

// TestUncover shows what the software hid: a home of one is told why it cannot; in a home of two one member
// chooses and says why, and both sign.
func TestUncover(t *testing.T) {
	h := house.New(t)
	join := func(role relay.Role, name, mail string) *tab {
		b := open(t, h.Site.Home)
		b.addPasskeys()
		b.visit("/join#" + h.Invite(role, name, mail))
		b.click("form button")
		b.await("location.pathname === '/'")
		return b
	}
	ada := join(relay.RoleHomeowner, "Ada", "ada@home.example")
	h.Furnish()
	h.Clip(taken(h))
	q := h.Request(taken(h), nil)
	ada.visit("/requests/" + q.ID)
	ada.click("form[data-draft] button")
	ada.await("location.pathname.startsWith('/releases/')")
	id := strings.TrimPrefix(ada.eval("location.pathname"), "/releases/")
	h.Work(id, nil)
	ada.awaitText("Does something still show?")
	ada.eval("void document.querySelectorAll('[data-editor] details').forEach((d) => { d.open = true })")
	ada.says("Only one member of your home may approve, so nothing can be uncovered.")
	ada.await("!document.querySelector('[data-uncover]')")
	ada.look("uncover-alone")

	bo := join(relay.RoleApprover, "Bo", "bo@home.example")
	ada.visit("/releases/" + id)
	ada.eval("void document.querySelectorAll('[data-editor] details').forEach((d) => { d.open = true })")
	ada.at("1")
	ada.click("[data-uncover='face-1']")
	ada.await("document.activeElement.matches('[data-reason]') && document.querySelector('[data-uncover]').hidden && document.querySelector('[data-first]').disabled")
	ada.await("!document.querySelector('.region.exception').hidden && Math.abs(document.querySelector('[data-main]').currentTime - 3.18) < 0.01")
	if e := ada.drawn(); len(e) != 1 || e[0].Track != "face-1" || len(e[0].Keys) != 0 {
		t.Fatalf("drawn: %+v", e)
	}
	// It stands where it was found: neither a mouse nor a key moves it.
	ada.drag(ada.spot(".region.exception", 0.5, 0.5), ada.spot("[data-main]", 0.8, 0.8))
	ada.eval("void document.querySelector('.region.exception').dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowLeft', bubbles: true }))")
	if e := ada.drawn(); len(e) != 1 || e[0].Track != "face-1" || len(e[0].Keys) != 0 {
		t.Fatalf("it was moved: %+v", e)
	}
	ada.click("[data-regions] li button:last-child")
	if e := ada.drawn(); len(e) != 0 {
		t.Fatalf("hidden again: %+v", e)
	}
	ada.click("[data-undo]")
	ada.fill("[data-reason]", "a poster")
	ada.click("[data-again]")
	ada.await("!document.querySelector('[data-reason]').validity.valid && location.pathname === '/releases/" + id + "'")
	if rel := h.Release(id); rel.Round != 1 {
		t.Fatal("half a reason was taken")
	}
	ada.fill("[data-reason]", "a poster in the window opposite")
	ada.look("uncover-reason")
	ada.click("[data-again]")
	ada.awaitText("The release copy is being made")
	var e relay.Edit
	edits, err := relay.ParseEdits(h.Release(id).Draft.Edits, h.Release(id).Draft.To.Sub(h.Release(id).Draft.From))
	ada.ok(err)
	if e = edits[0]; e.Reason != "a poster in the window opposite" || e.Of != "face" || len(e.Keys) != 2 {
		t.Fatalf("the draft has %+v", e)
	}
	h.Work(id, func(s *relay.Summary) {
		s.Exceptions = []relay.Exception{{Kind: "face", FromMS: 400, ToMS: 3200, Reason: e.Reason, By: e.By}}
		s.Spans[0].Open, s.Tracks = true, map[string]int{"face": 1, "plate": 1, "uncovered": 1}
		s.Findings = append(s.Findings, relay.Doubt{At: 0.4, Until: 3.2, Kind: "face", Why: "A face was left visible here (" + e.Reason + "). Look that nothing else shows in its place."})
	})
	ada.awaitText("1 thing uncovered")
	ada.says("a poster in the window opposite", "by Ada", "This takes the passkeys of 2 members")
	ada.at("1")
	ada.await("!document.querySelector('.region.exception').hidden")
	ada.look("uncover-review")
	sign := func(b *tab, then string) {
		b.click("[name=looked]")
		b.click("[data-first]")
		b.await("!document.querySelector('[data-second]').hidden")
		b.click("[data-second]")
		b.awaitText(then)
	}
	sign(ada, "1 of 2 signed")
	bo.visit("/releases/" + id)
	bo.says("1 thing uncovered", "by Ada", "Signed by Ada")
	bo.look("uncover-second")
	sign(bo, "Take it back")
	if s := h.Release(id).State; s != relay.ReleaseIsLive {
		t.Errorf("after both signed it is %s", s)
	}
	bo.visit("/releases/" + id + "/receipt")
	bo.says("1 thing uncovered", "a poster in the window opposite")
	bo.look("uncover-receipt")
	ada.clean()
	bo.clean()
}
