package browser

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"cliplease/relay"
	"cliplease/templates"
	"cliplease/test/driver"
	"cliplease/test/footage"
	"cliplease/test/servers"
)

// The people of the pictures.
const (
	officer = "det.rivera@exampleville.example"
	camera  = "front-door"
	zone    = "America/Chicago"
)

// street is a relay, the built program, whose home has a clip of a street and a request for it.
type street struct {
	ctx     context.Context
	relay   *driver.Relay
	agency  *driver.Agency
	start   time.Time // of the clip
	request string    // the request's id
	lang    templates.Lang
}

// startStreet starts the relay. Its home is not set up.
func startStreet(t *testing.T) *street {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 8*time.Minute)
	t.Cleanup(cancel)
	mail, err := servers.StartMailSink()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(mail.Stop)
	r, err := driver.Start(ctx, driver.Config{Data: filepath.Join(t.TempDir(), "data"), Mail: mail})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("the relay's log:\n" + r.Log())
		}
		if err := r.Stop(); err != nil {
			t.Errorf("the relay did not end well: %v", err)
		}
	})
	local, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	y, m, d := time.Now().In(local).AddDate(0, 0, -1).Date()
	return &street{ctx: ctx, relay: r, start: time.Date(y, m, d, 18, 42, 0, 0, local)}
}

// movesIn sets the home up in a browser of its homeowner, with one camera.
func (s *street) movesIn(t *testing.T) *tab {
	t.Helper()
	b := open(t, s.relay.Site.Home)
	b.livesIn(zone)
	b.addPasskeys()
	b.visit(strings.TrimPrefix(s.relay.SetUpLink, b.origin))
	b.fill("#name", "Alex")
	b.fill("#email", "alex@home.example")
	b.click("form button")
	b.await("location.pathname === '/recovery-codes'")
	b.visit("/cameras")
	b.fill("#name", "Front door")
	b.fill("#handle", camera)
	b.fill("#zone", zone)
	b.click("details[open] form button")
	b.await("document.querySelectorAll('section.card').length === 1")
	return b
}

// ask brings a clip, the agency and its request.
func (s *street) ask(t *testing.T, clip string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	_, err := s.relay.Must(s.ctx, "clip", "add", clip, "--camera", camera, "--start", relay.Stamp(s.start))
	must(err)
	_, err = s.relay.Clip(s.ctx, filepath.Base(clip))
	must(err)
	s.agency, err = s.relay.NewAgency(s.ctx, dir, "urn:cliplease:agency:us-mn-exampleville-pd", "Exampleville Police Department", "exampleville.example")
	must(err)
	must(s.agency.Register(s.ctx))
	receipt, err := s.agency.File(s.ctx, driver.Ask{
		Camera: camera, From: s.start.Add(-2 * time.Minute), To: s.start.Add(3 * time.Minute), Case: "EPD-2026-0417", Purpose: relay.PurposeHitAndRun,
		Text:       "A car hit a cyclist on Maple Street and drove away. We hope to see its make, its colour, and which way it went.",
		Recipients: []relay.RecipientAsk{{Kind: relay.RecipientEmail, Addr: officer, Name: "Det. Rivera"}},
	})
	must(err)
	s.request = receipt.RequestID
}

// TestScreenshots goes through the whole life of a request on the built program, with the real
// redactor, as the homeowner and the recipient see it. With CLIPLEASE_SCREENSHOTS it leaves a
// picture of every page there; no real person is in any of them.
func TestScreenshots(t *testing.T) {
	life(t, templates.English)
	if os.Getenv(picturesTo) != "" { // the same pages; their words are tested in templates
		for _, l := range templates.Languages()[1:] {
			life(t, l)
		}
	}
}

// life goes through the life of a request with browsers that ask for pages in a language.
func life(t *testing.T, l templates.Lang) {
	s := startStreet(t)
	s.lang = l
	b := open(t, s.relay.Site.Home)
	b.livesIn(zone)
	b.speaks(l)
	b.addPasskeys()
	b.visit("/sign-in")
	b.look("sign-in-new")
	b.visit(strings.TrimPrefix(s.relay.SetUpLink, b.origin))
	b.look("join")
	b.fill("#name", "Alex")
	b.fill("#email", "alex@home.example")
	b.click("form button")
	b.await("location.pathname === '/recovery-codes'")
	b.visit("/")
	b.look("inbox-empty")
	b.visit("/cameras")
	b.fill("#name", "Front door")
	b.fill("#handle", camera)
	b.fill("#zone", zone)
	b.click("details[open] form button")
	b.await("document.querySelectorAll('section.card').length === 1")
	b.look("cameras")
	clip := filepath.Join(t.TempDir(), "street.mp4")
	b.ok(footage.Make(s.ctx, "", footage.Street, clip, nil))
	s.ask(t, clip)
	b.visit("/agencies")
	b.look("agencies")
	b.visit(b.eval("new URL(document.querySelector('[href^=\"/history?\"]').href).pathname + new URL(document.querySelector('[href^=\"/history?\"]').href).search"))
	b.look("history")
	b.visit("/cameras")
	b.visit(b.eval("new URL(document.querySelector('dd a[href^=\"/cameras/\"]').href).pathname"))
	b.await("[...document.querySelectorAll('img')].every((i) => i.complete && i.naturalWidth > 0)")
	b.look("masks")
	b.visit("/clips")
	b.look("clips")
	b.visit("/")
	b.look("inbox")

	b.visit("/requests/" + s.request)
	b.await("[...document.querySelectorAll('.strip img')].every((i) => i.complete && i.naturalWidth > 0)")
	b.look("request")
	b.picture("request")
	b.click("form[data-draft] button")
	b.await("location.pathname.startsWith('/releases/')")
	release := strings.TrimPrefix(b.eval("location.pathname"), "/releases/")
	b.look("release-preparing")
	b.awaitText(l.T("Watch it from start to end"))
	const both = "[...document.querySelectorAll('.pair video')]"
	b.await(both + ".every((v) => v.readyState >= 2)")
	b.eval("(() => { const s = document.querySelector('[data-speed]'); s.value = '0.25'; s.dispatchEvent(new Event('change', { bubbles: true })); })()")
	b.click("[data-play]")
	b.await(both + ".every((v) => v.currentTime > 1.5)") // by then the player's own buttons are out of the way
	b.picture("review")
	b.click("[data-play]")
	b.look("release-review")
	b.click("[name=looked]")
	b.click("[data-first]")
	b.await("!document.querySelector('[data-second]').hidden")
	b.look("release-approve")
	b.click("[data-second]")
	b.awaitText(l.T("Who holds it, and who watched"))
	b.look("release-live")

	v := s.watch(t)
	const video = "document.querySelector('video')"
	v.eval("void (" + video + ".muted = true)")
	v.eval("void (" + video + ".playbackRate = 0.25)")
	v.eval("void " + video + ".play()")
	v.await(video + ".currentTime > 1.5")
	v.picture("view")
	v.eval("void " + video + ".pause()")
	v.look("view-watch")

	b.visit("/releases/" + release)
	b.await("Number(document.querySelector('[data-views]').dataset.views) > 0") // what the recipient did
	b.look("release-watched")
	b.click("form[action$='/revoke'] button.wide")
	b.awaitText(l.T("It is over"))
	b.look("release-revoked")
	v.eval("void (" + video + ".currentTime = 0)")
	v.eval("void " + video + ".play().catch(() => {})")
	v.awaitText(l.T("This view has ended"))
	v.look("view-over")
	v.forgive("404")
	v.clean()

	for _, path := range []string{"/requests", "/releases", "/household", "/notices", "/rules", "/activity"} {
		b.visit(path)
		b.look(path[1:])
	}
	b.visit("/nothing")
	b.look("error")
	b.forgive("404")
	b.visit("/")
	b.click("footer button")
	b.await("location.pathname === '/sign-in'")
	b.look("sign-in")
	b.clean()
}

// watch opens the recipient's link in a browser of its own, up to the page with the clip.
func (s *street) watch(t *testing.T) *tab {
	t.Helper()
	link, err := s.relay.AwaitLink(s.ctx, officer)
	if err != nil {
		t.Fatal(err)
	}
	v := open(t, s.relay.Site.View)
	v.livesIn(zone)
	v.speaks(s.lang)
	v.visit(strings.TrimPrefix(link, v.origin))
	v.look("view-landing")
	v.click("#open-form button")
	v.await("!document.querySelector('[data-step=code]').hidden")
	v.look("view-mailbox")
	v.click("#code-form button")
	v.await("!document.querySelector('[data-step=verify]').hidden")
	code, err := s.relay.AwaitCode(s.ctx, officer)
	if err != nil {
		t.Fatal(err)
	}
	v.fill("#code", code)
	v.look("view-code")
	v.click("#verify-form button")
	v.await("location.pathname === '/watch'")
	return v
}

// livesIn puts the browser into a time zone.
func (b *tab) livesIn(zone string) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: zone})
	b.ok(err)
}

// speaks makes the browser ask for pages in a language.
func (b *tab) speaks(l templates.Lang) {
	b.t.Helper()
	b.lang = l
	_, err := chromedp.Call(b.ctx, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{UserAgent: b.eval("navigator.userAgent"), AcceptLanguage: string(l)})
	b.ok(err)
}

// picture takes the picture of a page that the README shows: the top of it.
func (b *tab) picture(name string) {
	b.t.Helper()
	if os.Getenv(picturesTo) == "" || b.lang != templates.English { // the README is in English
		return
	}
	b.ok(chromedp.Do(b.ctx, chromedp.EmulateViewport(1200, 900)))
	b.eval("void scrollTo(0, 0)")
	shot, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	b.ok(err)
	b.save(name, shot)
}

// save keeps a picture, with few enough colours to be small.
func (b *tab) save(name string, shot []byte) {
	b.t.Helper()
	to := os.Getenv(picturesTo)
	b.ok(os.MkdirAll(to, 0o755))
	cmd := exec.CommandContext(b.ctx, "ffmpeg", "-nostdin", "-loglevel", "error", "-y", "-f", "png_pipe", "-i", "pipe:0",
		"-vf", "split[a][b];[a]palettegen=stats_mode=full[p];[b][p]paletteuse=dither=none", "-frames:v", "1", "-compression_level", "9", "-pred", "mixed", filepath.Join(to, name+".png"))
	cmd.Stdin = bytes.NewReader(shot)
	out, err := cmd.CombinedOutput()
	b.ok(wrap(err, string(out)))
}
