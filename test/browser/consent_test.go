package browser

import (
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"cliplease/relay"
	"cliplease/test/house"
)

// TestRecovery loses every passkey and comes back with a printed code; a release that takes two
// members waits for the second; and one tap ends everything.
func TestRecovery(t *testing.T) {
	h := house.New(t)
	b := open(t, h.Site.Home)
	b.addPasskeys()
	b.visit("/join#" + h.Invite(relay.RoleHomeowner, "Ada", "ada@home.example"))
	b.click("form button")
	b.await("location.pathname === '/'")

	h.Furnish()
	h.Clip(taken(h))
	q := h.Request(taken(h), func(c *relay.Claims) { c.Onward.Federal = true })
	b.visit("/requests/" + q.ID)
	b.click("form[data-draft] button")
	b.await("location.pathname.startsWith('/releases/')")
	id := strings.TrimPrefix(b.eval("location.pathname"), "/releases/")
	h.Work(id, nil)
	b.awaitText("This takes the passkeys of 2 members")
	b.look("quorum-waiting")
	b.click("[name=looked]")
	b.click("[data-first]")
	b.await("!document.querySelector('[data-second]').hidden")
	words := b.eval("document.querySelector('[data-words]').textContent")
	b.click("[data-second]")
	b.awaitText("1 of 2 signed")
	b.says("Signed by Ada", words)
	b.look("quorum-one")
	if s := h.Release(id).State; s != relay.ReleaseInReview {
		t.Errorf("one passkey of two made the release %s", s)
	}

	b.visit("/household")
	b.says("You have no recovery codes.")
	b.click("a[href='/recovery-codes']")
	b.await("location.pathname === '/recovery-codes'")
	b.look("recovery-codes-before")
	b.click("form[data-codes] button")
	b.await("document.querySelectorAll('[data-list] li').length === 10")
	code := b.eval("document.querySelector('[data-list] li:nth-child(7)').textContent")
	b.look("recovery-codes")
	b.visit("/household")
	b.says("You have 10 recovery codes left.")
	b.eval("document.querySelectorAll('section[aria-labelledby=passkeys] details').forEach(d => { d.open = true })")
	b.look("household-passkeys")
	b.click("form[action='/sign-out-everywhere'] button")
	b.await("location.pathname === '/sign-in'")

	// The device is lost, with its passkey.
	_, err := chromedp.Call(b.ctx, webauthn.Disable, cdp.Empty{})
	b.ok(err)
	b.addPasskeys()
	b.click("a[href='/recover']")
	b.await("location.pathname === '/recover'")
	b.look("recover")
	b.fill("#code", "AAAAA-AAAAA")
	b.click("form button")
	b.awaitText("This is no recovery code of this home")
	b.fill("#code", strings.ToLower(code))
	b.click("form button")
	b.await("location.pathname === '/household'")
	b.says("Nothing can be approved until", "You have 9 recovery codes left.")
	b.look("household-frozen")
	b.visit("/releases")
	b.says("Nothing can be approved until")
	b.eval("window.before = true")
	b.click("form[action='/end-everything'] button")
	b.await("!window.before && document.querySelector('main').innerText.includes('Nothing can be approved until')")
	b.look("releases-end")
	b.clean()
}
