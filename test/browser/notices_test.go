package browser

import (
	"testing"

	"cliplease/relay"
	"cliplease/test/house"
)

// TestNotices gives a member a service, sends a test and chooses, as a person does.
func TestNotices(t *testing.T) {
	h := house.New(t)
	b := open(t, h.Site.Home)
	b.addPasskeys()
	b.visit("/join#" + h.Invite(relay.RoleHomeowner, "Ada", "ada@home.example"))
	b.click("form button")
	b.await("location.pathname === '/'")
	b.visit("/household")
	b.click("a[href='/notices']")
	b.awaitText("Your push or chat service")
	b.look("notices")
	b.fill("#url", "https://example.org/")
	b.click("form[action='/notices/service'] button")
	b.awaitText("Notices can go to ntfy, gotify, matrix, telegram and pushover.")
	b.fill("#url", "ntfy://ntfy.example.org/a-long-secret-topic")
	b.click("form[action='/notices/service'] button")
	b.awaitText("Notices go to ntfy at ntfy.example.org.")
	b.click("form[action='/notices/test'] button")
	b.awaitText("A test is being sent")
	members, err := h.Store.DB.Members(t.Context())
	b.ok(err)
	b.ok(h.Store.DB.NoticeTried(t.Context(), members[0].ID, "failed", "The service answered 403 Forbidden: look at the token or password in the address.", h.Now()))
	b.awaitText("could not be sent")
	b.says("The service answered 403 Forbidden")
	b.look("notices-failed")
	b.eval("document.querySelector('input[name=mail][value=request]').click()")
	b.eval("document.querySelector('input[name=service][value=watched]').click()")
	b.eval("window.before = true")
	b.click("form[action='/notices'] button")
	b.await("!window.before && document.readyState === 'complete' && !document.querySelector('input[name=mail][value=request]').checked")
	n, err := h.Store.DB.Notices(t.Context(), members[0].ID)
	b.ok(err)
	for _, k := range n.Mail {
		if k == relay.NoticeRequest {
			t.Error("a new request still goes by mail")
		}
	}
	b.eval("document.querySelector('input[name=service][value=watched]').checked || (() => { throw new Error('not kept'); })()")
	b.clean()
}
