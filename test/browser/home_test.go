package browser

import (
	"bytes"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/test/house"
)

// taken is when the footage of these tests was taken.
func taken(h *house.House) time.Time {
	y, m, d := h.Now().Add(-48 * time.Hour).Date()
	return time.Date(y, m, d, 20, 50, 0, 0, time.UTC)
}

// TestHome walks the homeowner's pages in a real browser with a passkey: from the set-up link
// over a request, the review and the approval to the revocation.
func TestHome(t *testing.T) {
	h := house.New(t)
	b := open(t, h.Site.Home)
	b.addPasskeys()

	b.visit("/sign-in")
	b.says("This relay has no home yet")
	b.look("sign-in-new")
	b.visit("/join")
	b.says("This address is not complete")
	b.visit("/join#" + h.Invite(relay.RoleHomeowner, "", ""))
	b.look("join")
	if got := b.eval("location.hash"); got != "" {
		t.Errorf("the token stays in the address: %q", got)
	}
	b.click("form button")
	b.awaitText("Say what you are called")
	b.fill("#name", "Ada")
	b.fill("#email", "ada@home.example")
	b.click("form button")
	b.await("location.pathname === '/'")
	b.says("Get your home ready", "Nobody is asking for anything")
	b.look("inbox-empty")

	h.Furnish()
	at := taken(h)
	h.Clip(at)
	h.Clip(at.Add(time.Minute))
	q := h.Request(at, nil)
	h.Request(at.Add(24*time.Hour), func(c *relay.Claims) {
		c.Lane, c.LegalBasis, c.Scope.Target.Handle = relay.LaneExigent, relay.LegalBasis{Kind: relay.BasisExigent}, "back-door"
		c.Purpose.Code, c.Case.Ref, c.Onward.Federal, c.Onward.Immigration, c.Scope.Faces, c.Scope.Audio = relay.PurposeMissingPerson, "EPD-2026-0999", true, true, "unredacted_requested", true
	})
	b.visit("/")
	b.look("inbox")
	b.click("a[href='/requests/" + q.ID + "']")
	b.await("location.pathname.startsWith('/requests/')")
	b.says("We hope to see the car", "Prepare a release", "Or say no")
	b.look("request")
	b.await("document.querySelector('.strip img').complete && document.querySelector('.strip img').naturalWidth === 320")

	// A mistake is shown beside its field, and what was typed stays.
	b.eval("document.querySelector('form[data-draft] details').open = true")
	b.eval("document.querySelector('#max_views').removeAttribute('max')")
	b.fill("#max_views", "101")
	b.click("form[data-draft] button")
	b.await("document.activeElement.id === 'max_views'")
	b.says("Allow 1 to 100 views.")
	if got := b.eval("document.querySelector('#max_views').value"); got != "101" {
		t.Errorf("what was typed became %q", got)
	}
	b.look("request-mistake")
	b.fill("#max_views", "3")
	b.click("form[data-draft] button")
	b.await("location.pathname.startsWith('/releases/')")
	b.says("The release copy is being made")
	b.look("release-preparing")
	id := strings.TrimPrefix(b.eval("location.pathname"), "/releases/")
	h.Work(id, nil)
	b.awaitText("2 doubtful moments") // the page noticed by itself

	b.await("document.querySelector('[data-main]').readyState >= 2 && document.querySelector('[data-beside]').readyState >= 2")
	b.click("[data-seek='6.08']")
	b.await("Math.abs(document.querySelector('[data-main]').currentTime - 6.08) < 0.05 && Math.abs(document.querySelector('[data-beside]').currentTime - 6.08) < 0.05")
	b.look("release-review")
	b.click("[data-play]")
	b.await("document.querySelector('[data-main]').currentTime > 6.3 && document.querySelector('[data-beside]').currentTime > 6.2")
	b.click("[data-play]")
	b.await("document.querySelector('[data-main]').paused && document.querySelector('[data-beside]').paused")

	b.click("[data-first]") // without saying that one looked: the browser asks for the box
	if got := b.eval("document.querySelector('[data-check]').hidden"); got != "true" {
		t.Error("the words appeared without a look")
	}
	b.click("[name=looked]")
	b.click("[data-first]")
	b.await("!document.querySelector('[data-second]').hidden")
	words := b.eval("document.querySelector('[data-words]').textContent")
	b.look("release-approve")
	b.click("[data-second]")
	b.awaitText("Who holds it, and who watched")
	b.says("Revoke now", words)
	rel := h.Release(id)
	if got, err := relay.CheckWords(relay.GrantHash(rel.Grant), 4); err != nil || got != words || rel.State != relay.ReleaseIsLive {
		t.Errorf("the page showed %q, the grant has %q; the release is %s", words, got, rel.State)
	}
	b.look("release-live")
	b.click("a[href$='/receipt']")
	b.await("location.pathname.endsWith('/receipt')")
	b.says("What you allowed", words, relay.GrantHash(rel.Grant), rel.GrantID, "view only", "/releases/"+id+"/evidence.zip")
	b.look("receipt")
	b.visit("/releases")
	b.look("releases")
	b.visit("/history?agency=" + url.QueryEscape(h.Agency.ID))
	b.look("history")
	b.visit("/clips")
	b.look("clips")
	b.visit("/cameras")
	b.look("cameras")
	b.visit("/agencies")
	b.look("agencies")
	b.visit("/household")
	b.look("household")
	b.visit("/activity")
	b.look("activity")
	b.visit("/requests")
	b.look("requests")
	b.visit("/nothing")
	b.says("There is nothing here")
	b.look("error")
	b.forgive("404")

	b.visit("/releases/" + id)
	b.click("form[action$='/revoke'] button.wide")
	b.awaitText("It is over")
	if s := h.Release(id).State; s != relay.ReleaseIsRevoked {
		t.Errorf("the release is %s", s)
	}
	b.look("release-revoked")

	// The form of a new agency shows the words of its keys before it registers anything.
	b.visit("/agencies")
	b.eval("document.querySelector('#register').open = true")
	b.fill("#name", "County Sheriff")
	b.fill("#id", "urn:cliplease:agency:us-mn-county")
	b.fill("#domains", "sheriff.example")
	b.fill("#phone", "+1 555 0123")
	b.fill("#jwks", `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`)
	b.click("form[data-compare] button")
	b.await("!document.querySelector('[data-words]').hidden")
	if n := len(strings.Fields(b.eval("document.querySelector('[data-list] p').textContent"))); n != 8 {
		t.Errorf("%d words to compare", n)
	}
	b.look("agency-words")
	b.fill("#how", "Called the number from the county's site")
	b.click("[data-agree]")
	b.click("form[data-compare] button")
	b.awaitText("County Sheriff")
	b.awaitText("Suspend: it can file no requests")

	// Another passkey for the same member is refused on the same device; then out, and in again.
	b.visit("/household")
	b.eval("document.querySelector('details.more').open = true")
	b.fill("#name", "Grace")
	b.click("form[data-invite] button")
	b.await("!document.querySelector('[data-link]').hidden")
	if link := b.eval("document.querySelector('.secret').textContent"); !strings.HasPrefix(link, h.Site.Home+"/join#") {
		t.Errorf("the link is %q", link)
	}
	b.click("form[data-finish='/passkeys/finish'] button")
	b.awaitText("This device has a passkey for this home already.")
	b.phone()
	b.click("footer button")
	b.await("location.pathname === '/sign-in'")
	b.look("sign-in")
	b.click("form button")
	b.await("location.pathname === '/'")
	b.visit("/requests/" + q.ID)
	b.says("Shared, and ended")
	b.visit("/household")
	b.says("Ada")
	b.clean()
}

// TestUpload sends files through the page, as a person does.
func TestUpload(t *testing.T) {
	h := house.New(t)
	b := open(t, h.Site.Home)
	b.addPasskeys()
	b.visit("/join#" + h.Invite(relay.RoleHomeowner, "Ada", ""))
	b.click("form button")
	b.await("location.pathname === '/'")
	h.Furnish()
	b.visit("/clips")
	b.fill("#start", taken(h).Format("2006-01-02T15:04:05"))
	b.files("#file", map[string][]byte{"notes.mp4": bytes.Repeat([]byte("no video at all\n"), 200)})
	b.click("form[data-upload] button")
	b.awaitText("notes.mp4: This is text, not a video.")
	b.files("#file", map[string][]byte{"door.mp4": house.Video(t)})
	b.click("form[data-upload] button")
	b.awaitText("being looked at")
	clips := b.eval("document.querySelectorAll('li.card').length")
	if clips != "1" {
		t.Errorf("%s clips", clips)
	}

	refused := filepath.Join(h.Watch, h.Camera.Handle, "refused")
	b.ok(os.MkdirAll(refused, 0o700))
	b.ok(os.WriteFile(filepath.Join(refused, "20261101_101500-a-rather-long-name-of-a-recorder.mp4"), []byte("text"), 0o600))
	b.ok(os.WriteFile(filepath.Join(refused, "20261101_101500-a-rather-long-name-of-a-recorder.mp4.why.txt"), []byte("This is text, not a video."), 0o600))

	// Several files are dropped: each starts when its name says. One that is wrong holds up no other.
	b.visit("/clips")
	b.eval("document.querySelector('form[data-upload]').closest('details').open = true")
	drop := `(() => { const d = new DataTransfer(); for (const [name, body] of %s) d.items.add(new File([body], name));
		document.querySelector('form[data-upload]').dispatchEvent(new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer: d })); })()`
	b.eval(fmt.Sprintf(drop, `[["20261101_101500.mp4", "text ".repeat(500)], ["2026-11-01_11-15-00.mp4", "\0\0\0 ftypisom" + "video ".repeat(500)], ["door.mp4", "\0\0\0 ftypisom" + "video ".repeat(500)]]`))
	b.says("20261101_101500.mp4", "2026-11-01_11-15-00.mp4")
	b.look("clips-dropped")
	b.fill("#start", "2026-11-01T10:00:00")
	b.click("form[data-upload] button")
	b.awaitText("Several clips do not start at one moment")
	b.fill("#start", "")
	b.click("form[data-upload] button")
	b.awaitText("1 of 3 files were uploaded.")
	b.says("20261101_101500.mp4 This is text", "door.mp4 Say when the clip starts")
	b.look("clips-partly")
	if got := b.eval("[...document.querySelector('#file').files].map((f) => f.name).join()"); got != "20261101_101500.mp4,door.mp4" {
		t.Errorf("still chosen: %s", got)
	}
	b.visit("/clips?day=2026-11-01")
	if got := b.eval("document.querySelectorAll('li.card').length"); got != "1" {
		t.Errorf("%s clips of the day", got)
	}
	b.forgive("422")
	b.clean()
}

// TestSmallScreen: no page is wider than a small phone, in either colour scheme, and with text
// twice as large nothing is cut off.
func TestSmallScreen(t *testing.T) {
	h := house.New(t)
	b := open(t, h.Site.Home)
	b.addPasskeys()
	b.visit("/join#" + h.Invite(relay.RoleHomeowner, "Ada", ""))
	b.click("form button")
	b.await("location.pathname === '/'")
	h.Furnish()
	h.Clip(taken(h))
	q := h.Request(taken(h), func(c *relay.Claims) {
		c.Case.Ref = strings.Repeat("EPD-2026-0417-", 5)
		c.Recipients = append(c.Recipients, relay.RecipientAsk{Kind: relay.RecipientEmail, Addr: strings.Repeat("long-name.", 5) + "officer@pd.example", Name: "An officer with a long name"})
	})
	b.phone()
	paths := []string{"/", "/requests", "/requests/" + q.ID, "/releases", "/history?agency=" + url.QueryEscape(h.Agency.ID), "/clips", "/cameras", "/agencies", "/household", "/notices", "/activity", "/sign-in", "/join", "/recover", "/recovery-codes"}
	for _, path := range paths {
		b.visit(path)
		for _, size := range []string{"100%", "200%"} {
			b.eval("document.documentElement.style.fontSize = " + fmt.Sprintf("%q", size))
			if wide := b.eval("document.documentElement.scrollWidth"); wide != "360" {
				t.Errorf("%s with text at %s is %s pixels wide: %s", path, size, wide, b.eval(`[...document.querySelectorAll("main *")].filter(e => e.getBoundingClientRect().right > 361).map(e => e.tagName + "." + e.className).slice(0, 4).join(" ")`))
			}
		}
	}
	b.visit("/")
	b.click("summary")
	if got := b.eval("getComputedStyle(document.querySelector('.menu nav')).display"); got == "none" {
		t.Error("the menu does not open")
	}
	b.look("menu")
	b.clean()
}

// sameHost reports whether an address is of the home host, or of no host at all.
func sameHost(origin, address string) bool {
	u, err := url.Parse(address)
	return err == nil && (u.Scheme == "data" || u.Scheme == "blob" || u.Scheme+"://"+u.Host == origin)
}
