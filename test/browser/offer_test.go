package browser

import (
	"strings"
	"testing"

	"cliplease/relay"
	"cliplease/test/house"
)

// TestOffer invites an agency, hands its name and keys over on the recipients' host, and finds them
// in the form that registers it.
func TestOffer(t *testing.T) {
	h := house.New(t)
	b := open(t, h.Site.Home)
	b.addPasskeys()
	b.visit("/join#" + h.Invite(relay.RoleHomeowner, "Ada", ""))
	b.click("form button")
	b.await("location.pathname === '/'")
	b.visit("/agencies")
	b.eval("void document.querySelectorAll('details.card').forEach((d) => { d.open = true })")
	b.fill("#whom", "The county sheriff")
	b.click("form[data-invite] button")
	b.await("!document.querySelector('[data-link]').hidden")
	link := b.eval("document.querySelector('[data-link] .secret').textContent")

	v := open(t, h.Site.View)
	v.visit("/offer")
	v.says("This address is not complete")
	v.visit(strings.TrimPrefix(link, h.Site.View))
	v.says("Tell the home who you are")
	if got := v.eval("location.href"); got != h.Site.View+"/offer" {
		t.Errorf("the address still is %s", got)
	}
	v.look("offer")
	v.fill("#name", "County Sheriff")
	v.fill("#id", "county")
	v.fill("#domains", "sheriff.example")
	v.fill("#jwks", `{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`)
	v.click("form button")
	v.awaitText("An agency's id is urn:cliplease:agency:")
	v.fill("#id", "urn:cliplease:agency:us-mn-county")
	v.click("form button")
	v.awaitText("Handed over")
	words := v.eval("document.querySelector('[data-list]').textContent")
	v.look("offer-done")
	v.forgive("422")
	v.clean()

	b.visit("/agencies")
	b.says("County Sheriff handed over its name and keys")
	b.look("agencies-offer")
	b.click("a.button[href*='offer=']")
	b.await("location.search.startsWith('?offer=')")
	b.fill("#phone", "+1 555 0100")
	b.click("form[data-compare] > button")
	b.await("!document.querySelector('[data-words]').hidden")
	if got := b.eval("document.querySelector('form[data-compare] [data-list]').textContent"); got != words || words == "" {
		t.Errorf("the home compares %q, the agency was shown %q", got, words)
	}
	b.clean()
}
