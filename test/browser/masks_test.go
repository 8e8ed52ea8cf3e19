package browser

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"cliplease/relay"
	"cliplease/test/footage"
	"cliplease/test/house"
)

// masks are the masks that the page shows, as their fields say.
func (b *tab) masks() (out []relay.Mask) {
	b.t.Helper()
	b.ok(json.Unmarshal([]byte(b.eval(`JSON.stringify([...document.querySelectorAll("[data-list] > li")].map((li) => {
		const [name, x, y, w, h] = [...li.querySelectorAll("input")].map((f) => f.value);
		return { name, x: x / 100, y: y / 100, w: w / 100, h: h / 100 };
	}))`)), &out))
	return out
}

// TestMasks draws masks by mouse, finger, keyboard and number, and sees what is saved; and that a copy
// that shows what has been masked since cannot be approved until it is prepared again.
func TestMasks(t *testing.T) {
	h := house.New(t)
	b := open(t, h.Site.Home)
	b.addPasskeys()
	b.visit("/join#" + h.Invite(relay.RoleHomeowner, "Ada", "ada@home.example"))
	b.click("form button")
	b.await("location.pathname === '/'")
	h.Furnish()
	path := "/cameras/" + h.Camera.ID
	b.visit("/cameras")
	b.click("a[href='" + path + "']")
	b.awaitText("There is no clip of this camera yet")
	b.look("masks-no-clip")
	h.Clip(taken(h))
	h.Clip(taken(h).Add(-3600e9))
	b.visit(path)
	b.await("document.querySelector('[data-still]').naturalWidth > 0")
	if b.eval("document.querySelector('[data-save]').disabled") != "true" {
		t.Error("nothing can be saved and the button says it can")
	}

	// By mouse: drawn, moved, resized, undone.
	b.drag(b.spot("[data-still]", 0.1, 0.2), b.spot("[data-still]", 0.4, 0.4))
	m := b.masks()
	if len(m) != 1 || !near(m[0].X, 0.1) || !near(m[0].Y, 0.2) || !near(m[0].W, 0.3) || !near(m[0].H, 0.2) {
		t.Fatalf("drawn: %+v", m)
	}
	b.says("What you changed is not saved yet.", "6.0 %")
	b.click("[data-save]")
	if got := b.eval("document.activeElement.validity.valueMissing"); got != "true" {
		t.Error("a mask without a name was sent")
	}
	b.fill("[data-list] input", "the neighbours' window")
	b.drag(b.spot("[data-still]", 0.25, 0.3), b.spot("[data-still]", 0.35, 0.5))
	if m = b.masks(); !near(m[0].X, 0.2) || !near(m[0].Y, 0.4) || !near(m[0].W, 0.3) {
		t.Errorf("moved: %+v", m)
	}
	p := b.spot(".region.chosen [data-handle=se]", 0.5, 0.5)
	b.drag(p, point{p.x + 60, p.y + 40})
	if m = b.masks(); !near(m[0].X, 0.2) || m[0].W < 0.33 || m[0].H < 0.22 {
		t.Errorf("resized: %+v", m)
	}
	b.click("[data-undo]")
	if m = b.masks(); !near(m[0].W, 0.3) || !near(m[0].X, 0.2) {
		t.Errorf("undone: %+v", m)
	}

	// By keyboard, and by number.
	b.click("[data-add]")
	b.ok(chromedp.Do(b.ctx, chromedp.SendKeys(chromedp.CSS(".region.chosen"), kb.ArrowRight+kb.ArrowDown+kb.ArrowDown), chromedp.KeyEvent(kb.ArrowRight, chromedp.KeyModifiers(chromedp.ModifierShift))))
	if m = b.masks(); len(m) != 2 || m[1].X != 0.41 || m[1].Y != 0.42 || m[1].W != 0.21 || m[1].H != 0.2 {
		t.Errorf("by keyboard: %+v", m)
	}
	b.fill("[data-list] li:nth-child(2) input", "the street")
	for i, value := range []string{"60", "70", "40", "30"} {
		b.fill(fmt.Sprintf("[data-list] li:nth-child(2) .places label:nth-child(%d) input", i+1), value)
	}
	if m = b.masks(); m[1].X != 0.6 || m[1].Y != 0.7 || m[1].W != 0.4 || m[1].H != 0.3 {
		t.Errorf("by number: %+v", m)
	}
	b.click("[data-pick]:nth-child(2)")
	if got := b.eval("document.querySelector('[data-still]').src === document.querySelector('[data-pick]:nth-child(2) img').src"); got != "true" {
		t.Error("the other still is not shown")
	}
	b.look("masks-drawn")

	// By finger.
	b.phone()
	_, err := chromedp.Call(b.ctx, emulation.SetTouchEmulationEnabled, emulation.SetTouchEmulationEnabledParams{Enabled: true})
	b.ok(err)
	b.click("[data-draw]")
	b.swipe(b.spot("[data-still]", 0.7, 0.1), b.spot("[data-still]", 0.9, 0.3))
	if m = b.masks(); len(m) != 3 || !near(m[2].X, 0.7) || !near(m[2].W, 0.2) {
		t.Errorf("by finger: %+v", m)
	}
	for _, size := range []string{"100%", "200%"} {
		b.eval("document.documentElement.style.fontSize = '" + size + "'")
		if wide := b.eval("document.documentElement.scrollWidth"); wide != "360" {
			t.Errorf("with text at %s the page is %s pixels wide", size, wide)
		}
	}
	b.eval("document.documentElement.style.fontSize = ''")
	b.look("masks-phone")
	b.phone()
	b.click("[data-list] li:nth-child(3) > button")
	_, err = chromedp.Call(b.ctx, emulation.SetTouchEmulationEnabled, emulation.SetTouchEmulationEnabledParams{})
	b.ok(err)
	b.desktop()
	b.click("[data-save]")
	b.awaitText("Set 1, by Ada: the neighbours' window, the street")
	camera, err := h.Store.DB.Camera(b.ctx, h.Camera.ID)
	b.ok(err)
	if m := camera.Masks; len(m) != 2 || camera.MaskVersion != 1 || m[1] != (relay.Mask{Name: "the street", X: 0.6, Y: 0.7, W: 0.4, H: 0.3}) || !near(m[0].X, 0.2) || !near(m[0].H, 0.2) {
		t.Errorf("saved: version %d, %+v", camera.MaskVersion, m)
	}

	// A copy under review, and a mask after it.
	q := h.Request(taken(h), nil)
	b.visit("/requests/" + q.ID)
	b.click("form[data-draft] button")
	b.await("location.pathname.startsWith('/releases/')")
	id := strings.TrimPrefix(b.eval("location.pathname"), "/releases/")
	h.Work(id, nil)
	b.awaitText("Mask: the street, 0:00.0 to 0:08.0")
	b.swipes()
	b.visit(path)
	b.click("[data-add]")
	b.fill("[data-list] li:nth-child(3) input", "the garden")
	b.click("[data-save]")
	b.awaitText("It cannot be approved: open it and prepare it again.")
	b.look("masks-affected")
	b.visit("/releases/" + id)
	b.awaitText("This copy shows what a mask hides now.")
	b.look("release-masked")
	if got := b.eval("String(document.querySelector('[data-first]'))"); got != "null" {
		t.Error("the copy can be approved")
	}
	b.click("[data-remask]")
	b.awaitText("The release copy is being made")
	h.Work(id, nil)
	b.awaitText("Mask: the garden")
	if rel := h.Release(id); rel.Round != 2 {
		t.Errorf("round %d", rel.Round)
	}
	b.click("[name=looked]")
	b.click("[data-first]")
	b.await("!document.querySelector('[data-second]').hidden")
	b.click("[data-second]")
	b.awaitText("Who holds it, and who watched")
	b.forgive("404 (Not Found)")
	b.clean()
}

// swipes lays the original over the copy and moves the divider by mouse and keyboard.
func (b *tab) swipes() {
	b.t.Helper()
	at := func() string {
		return b.eval("document.querySelector('.divider').getAttribute('aria-valuenow') + ' ' + getComputedStyle(document.querySelector('[data-beside]').closest('.stage')).clipPath")
	}
	b.await("document.querySelector('[data-main]').readyState >= 2")
	b.click("[data-swipe]")
	if got := at(); got != "50 inset(0px 0px 0px 50%)" {
		b.t.Errorf("the divider is at %s", got)
	}
	over := func() {
		b.t.Helper()
		box := func(video string) string {
			return b.eval("JSON.stringify(document.querySelector('[data-" + video + "]').getBoundingClientRect())")
		}
		if one, two := box("main"), box("beside"); one != two {
			b.t.Errorf("the pictures do not lie over one another: %s and %s", one, two)
		}
	}
	over()
	b.ok(chromedp.Do(b.ctx, chromedp.SendKeys(chromedp.CSS(".divider"), kb.ArrowRight+kb.ArrowRight+kb.ArrowLeft+kb.ArrowRight)))
	if got := at(); got != "54 inset(0px 0px 0px 54%)" {
		b.t.Errorf("by keyboard the divider is at %s", got)
	}
	b.drag(b.spot(".divider", 0.5, 0.3), b.spot("[data-main]", 0.25, 0.3))
	if got := b.eval("Math.abs(document.querySelector('.divider').getAttribute('aria-valuenow') - 25) < 3"); got != "true" {
		b.t.Errorf("by mouse the divider is at %s", at())
	}
	b.look("review-swiped")
	b.phone()
	if wide := b.eval("document.documentElement.scrollWidth"); wide != "360" {
		b.t.Errorf("the page is %s pixels wide", wide)
	}
	over()
	b.desktop()
	b.click("[data-swipe]")
	if got := b.eval("String(document.querySelector('.divider')) + getComputedStyle(document.querySelector('[data-beside]').closest('.stage')).clipPath"); got != "nullnone" {
		b.t.Errorf("side by side again there is %s", got)
	}
}

// windowed is what the mask of [TestMaskHides] covers of a picture of 1280 by 720.
var windowed = image.Rect(256, 360, 640, 576)

// TestMaskHides draws a mask on the page of the built program, and measures the copy that the real
// redactor makes: in every picture the window shows nothing, and the rest is as it was.
func TestMaskHides(t *testing.T) {
	s := startStreet(t)
	b := s.movesIn(t)
	clip := filepath.Join(t.TempDir(), "window.mp4")
	said, err := exec.CommandContext(b.ctx, "ffmpeg", "-nostdin", "-loglevel", "error", "-y", "-f", "lavfi", "-i", "mandelbrot=s=1280x720:r=10", "-t", "6",
		"-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-pix_fmt", "yuv420p", "-movflags", "+faststart", clip).CombinedOutput()
	if err != nil {
		t.Fatalf("ffmpeg: %v: %s", err, said)
	}
	s.ask(t, clip)
	b.visit("/cameras")
	b.click("section.card a[href^='/cameras/']")
	b.await("document.querySelector('[data-still]').naturalWidth > 0")
	spot := func(x, y int) point { return b.spot("[data-still]", float64(x)/1280, float64(y)/720) }
	b.drag(spot(windowed.Min.X, windowed.Min.Y), spot(windowed.Max.X, windowed.Max.Y))
	b.fill("[data-list] input", "the neighbours' window")
	b.look("masks-real")
	b.click("[data-save]")
	b.awaitText("Set 1, by Alex: the neighbours' window")
	b.visit("/requests/" + s.request)
	b.click("form[data-draft] button")
	b.await("location.pathname.startsWith('/releases/')")
	b.awaitText("Mask: the neighbours' window")
	b.look("review-masked-real")

	for _, which := range []string{"[data-main]", "[data-beside]"} {
		frames, worst, least := 0, 0.0, 1.0
		for was, after := range b.pictures(which, clip) {
			seen, ok := footage.Seen(was, after, windowed.Inset(4))
			if !ok {
				continue // a picture without detail there
			}
			frames++
			worst = max(worst, seen)
			if beside, ok := footage.Seen(was, after, windowed.Add(image.Pt(windowed.Dx()+8, -windowed.Dy()))); ok {
				least = min(least, beside)
			}
		}
		t.Logf("%s: %d pictures; at most %.2f of the window's detail is left, and at least %.2f beside it", which, frames, worst, least)
		if frames < 50 || worst >= footage.HiddenBelow || least < 0.8 {
			t.Errorf("%s: in %d pictures %.2f of the window is left, and %.2f beside it", which, frames, worst, least)
		}
	}
	b.clean()
}

// pictures pairs each picture of a clip with that of the video which selector plays.
func (b *tab) pictures(selector, clip string) iter.Seq2[*image.RGBA, *image.RGBA] {
	path := filepath.Join(b.t.TempDir(), "played.mp4")
	b.ok(os.WriteFile(path, b.film(selector), 0o600))
	return func(yield func(*image.RGBA, *image.RGBA) bool) {
		ctx, cancel := context.WithCancel(b.ctx)
		defer cancel()
		before, stop := iter.Pull2(footage.Frames(ctx, clip))
		defer stop()
		for after, err := range footage.Frames(ctx, path) {
			b.ok(err)
			was, err, more := before()
			b.ok(err)
			if !more || after.Rect != was.Rect {
				b.t.Fatalf("the copy is longer than the clip, or of another size: %v", after.Rect)
			}
			if !yield(was, after) {
				return
			}
		}
	}
}

// film fetches the video that selector plays.
func (b *tab) film(selector string) []byte {
	b.t.Helper()
	b.eval(fmt.Sprintf(`void (window.copy = "", fetch(document.querySelector(%q).src).then((r) => r.blob()).then((v) => { const f = new FileReader(); f.onload = () => { window.copy = f.result.split(",")[1]; }; f.readAsDataURL(v); }))`, selector))
	b.await("window.copy !== ''")
	body, err := base64.StdEncoding.DecodeString(b.eval("window.copy"))
	b.ok(err)
	return body
}
