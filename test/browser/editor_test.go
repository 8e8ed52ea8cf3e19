package browser

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"iter"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"golang.org/x/image/draw"

	"cliplease/relay"
	"cliplease/test/driver"
	"cliplease/test/footage"
	"cliplease/test/house"
)

// point is a place in the window, in its pixels.
type point struct{ x, y float64 }

// spot is the place in the picture that selector shows, in shares of it, as it is in the window.
func (b *tab) spot(selector string, x, y float64) point {
	b.t.Helper()
	b.eval("void document.querySelector(" + strconv.Quote(selector) + ").scrollIntoView({ block: 'center' })")
	type box struct{ X, Y, Width, Height float64 }
	var r, before box
	for still := 0; still < 3; before = r { // the page may still be laying itself out
		b.ok(json.Unmarshal([]byte(b.eval("JSON.stringify(document.querySelector("+strconv.Quote(selector)+").getBoundingClientRect())")), &r))
		if still++; r != before {
			still = 0
		}
	}
	return point{r.X + x*r.Width, r.Y + y*r.Height}
}

// drag presses the mouse at one place and lets it go at another.
func (b *tab) drag(from, to point) {
	b.t.Helper()
	b.ok(chromedp.Do(b.ctx, chromedp.EmulateViewport(1200, 900)))
	for _, e := range []struct {
		kind    input.DispatchMouseEventType
		at      point
		buttons int64
	}{{"mouseMoved", from, 0}, {"mousePressed", from, 1}, {"mouseMoved", point{(from.x + to.x) / 2, (from.y + to.y) / 2}, 1}, {"mouseMoved", to, 1}, {"mouseReleased", to, 0}} {
		p := input.DispatchMouseEventParams{Type: e.kind, X: e.at.x, Y: e.at.y, Button: "left", Buttons: e.buttons, ClickCount: 1}
		if e.kind == "mouseMoved" && e.buttons == 0 {
			p.Button, p.ClickCount = "none", 0
		}
		_, err := chromedp.Call(b.ctx, input.DispatchMouseEvent, p)
		b.ok(err)
	}
}

// swipe puts a finger down at one place and lifts it at another.
func (b *tab) swipe(from, to point) {
	b.t.Helper()
	for _, e := range []struct {
		kind input.DispatchTouchEventType
		at   []*input.TouchPoint
	}{
		{"touchStart", []*input.TouchPoint{{X: from.x, Y: from.y}}}, {"touchMove", []*input.TouchPoint{{X: (from.x + to.x) / 2, Y: (from.y + to.y) / 2}}},
		{"touchMove", []*input.TouchPoint{{X: to.x, Y: to.y}}}, {"touchEnd", []*input.TouchPoint{}},
	} {
		_, err := chromedp.Call(b.ctx, input.DispatchTouchEvent, input.DispatchTouchEventParams{Type: e.kind, TouchPoints: e.at})
		b.ok(err)
	}
}

// drawn is what the editor would send.
func (b *tab) drawn() (edits []relay.Edit) {
	b.t.Helper()
	b.ok(json.Unmarshal([]byte(b.eval("document.querySelector('[name=edits]').value")), &edits))
	return edits
}

// at jumps to a moment and waits until both pictures show it.
func (b *tab) at(seconds string) {
	b.t.Helper()
	b.await("document.querySelector('[data-main]').readyState >= 2")
	b.eval("void (document.querySelector('[data-main]').currentTime = " + seconds + ")")
	b.await("!document.querySelector('[data-main]').seeking && Math.abs(document.querySelector('[data-main]').currentTime - " + seconds + ") < 0.001")
}

func near(a, b float64) bool { return math.Abs(a-b) < 0.02 }

// TestEditor draws by mouse, finger and keyboard, and sees that what was drawn goes into the next
// round and stays there, and that nothing is approved that it is not in.
func TestEditor(t *testing.T) {
	h := house.New(t)
	b := open(t, h.Site.Home)
	b.addPasskeys()
	b.visit("/join#" + h.Invite(relay.RoleHomeowner, "Ada", "ada@home.example"))
	b.click("form button")
	b.await("location.pathname === '/'")
	h.Furnish()
	h.Clip(taken(h))
	q := h.Request(taken(h), nil)
	b.visit("/requests/" + q.ID)
	b.click("form[data-draft] button")
	b.await("location.pathname.startsWith('/releases/')")
	id := strings.TrimPrefix(b.eval("location.pathname"), "/releases/")
	h.Work(id, nil)
	b.awaitText("Does something still show?")

	// The timeline: a lane goes to where it is touched, a mark to the doubtful moment, and the buttons from doubt to doubt.
	b.await("document.querySelector('[data-main]').readyState >= 2")
	b.click("[data-jump='1']")
	b.await("Math.abs(document.querySelector('[data-main]').currentTime - 2.4) < 0.01")
	b.click("[data-jump='1']")
	b.await("Math.abs(document.querySelector('[data-main]').currentTime - 6.08) < 0.01")
	b.click("[data-jump='-1']")
	b.await("Math.abs(document.querySelector('[data-main]').currentTime - 2.4) < 0.01")
	b.click(".lanes li:nth-child(3) button")
	b.await("Math.abs(document.querySelector('[data-main]').currentTime - 4) < 0.01")
	p := b.spot(".lanes li:nth-child(2) svg", 0.875, 0.5)
	b.drag(p, p)
	b.await("Math.abs(document.querySelector('[data-main]').currentTime - 7) < 0.05")
	p = b.spot(".lanes li:nth-child(3) svg", 6.05/8, 0.5)
	b.drag(p, p)
	b.await("Math.abs(document.querySelector('[data-main]').currentTime - 6.08) < 0.01")

	// By mouse: drawn, moved, resized, and undone one by one.
	b.at("2")
	b.drag(b.spot("[data-main]", 0.2, 0.2), b.spot("[data-main]", 0.4, 0.5))
	e := b.drawn()
	if len(e) != 1 || e[0].Kind != relay.EditBox || !e[0].Follow || len(e[0].Keys) != 1 || !near(e[0].Keys[0].X, 0.2) || !near(e[0].Keys[0].Y, 0.2) || !near(e[0].Keys[0].W, 0.2) || !near(e[0].Keys[0].H, 0.3) || e[0].Keys[0].At.Seconds() != 2.02 {
		t.Fatalf("drawn: %+v", e)
	}
	b.drag(b.spot("[data-beside]", 0.3, 0.35), b.spot("[data-beside]", 0.5, 0.45))
	if k := b.drawn()[0].Keys[0]; !near(k.X, 0.4) || !near(k.Y, 0.3) || !near(k.W, 0.2) {
		t.Errorf("moved: %+v", k)
	}
	p = b.spot(".region.chosen [data-handle=se]", 0.5, 0.5)
	b.drag(p, point{p.x + 30, p.y + 30})
	if k := b.drawn()[0].Keys[0]; !near(k.X, 0.4) || k.W < 0.23 || k.H < 0.35 {
		t.Errorf("resized: %+v", k)
	}
	if got := b.eval("document.querySelector('[data-first]').disabled"); got != "true" {
		t.Error("a copy can be approved in which what was drawn is not hidden")
	}
	b.says("What you drew is not in this copy yet.")
	b.look("editor-drawn")
	b.click("[data-undo]")
	if k := b.drawn()[0].Keys[0]; !near(k.X, 0.4) || !near(k.W, 0.2) {
		t.Errorf("undone once: %+v", k)
	}

	// At another moment the same region gets another key, and it can be held in place.
	b.at("4")
	b.drag(b.spot("[data-main]", 0.5, 0.45), b.spot("[data-main]", 0.8, 0.8))
	if k := b.drawn()[0].Keys; len(k) != 2 || k[1].At.Seconds() != 4.02 || !near(k[1].X, 0.7) {
		t.Errorf("two moments: %+v", k)
	}
	b.fill("[data-regions] select", "stay")
	if e := b.drawn()[0]; e.Follow || len(e.Keys) != 2 {
		t.Errorf("held: %+v", e)
	}

	// By keyboard.
	b.click("[data-add]")
	b.ok(chromedp.Do(b.ctx, chromedp.SendKeys(chromedp.CSS(".region.chosen"), kb.ArrowRight)))
	if e := b.drawn(); len(e) != 2 || e[1].Keys[0].X != 0.41 {
		t.Errorf("by keyboard: %+v", e)
	}
	b.fill("[data-regions] li:nth-child(2) select", "outside")
	if e := b.drawn()[1]; e.Kind != relay.EditOutside || len(e.Points) != 4 || e.Keys != nil {
		t.Errorf("everything except: %+v", e)
	}
	b.fill("[data-regions] li:nth-child(2) select", "area")
	b.look("editor-two")

	// By finger, once the button says so; else a finger scrolls.
	b.phone()
	_, err := chromedp.Call(b.ctx, emulation.SetTouchEmulationEnabled, emulation.SetTouchEmulationEnabledParams{Enabled: true})
	b.ok(err)
	b.click("[data-draw]")
	b.swipe(b.spot("[data-main]", 0.05, 0.1), b.spot("[data-main]", 0.15, 0.3))
	if e := b.drawn(); len(e) != 3 || !near(e[2].Keys[0].X, 0.05) || !near(e[2].Keys[0].H, 0.2) {
		t.Errorf("by finger: %+v", e)
	}
	b.click("[data-regions] li:nth-child(3) button:last-child")
	want := b.drawn()
	b.swipe(b.spot("[data-main]", 0.05, 0.1), b.spot("[data-main]", 0.15, 0.3)) // last: the page scrolls on for a while
	if n := len(b.drawn()); n != len(want) {
		t.Errorf("a finger that scrolls drew region %d", n)
	}
	if len(want) != 2 {
		t.Errorf("removed: %+v", want)
	}
	_, err = chromedp.Call(b.ctx, emulation.SetTouchEmulationEnabled, emulation.SetTouchEmulationEnabledParams{})
	b.ok(err)
	b.desktop()

	b.click("[data-again]")
	b.awaitText("The release copy is being made")
	for round := 2; round < 4; round++ {
		rel := h.Release(id)
		got, err := relay.ParseEdits(rel.Draft.Edits, rel.Draft.To.Sub(rel.Draft.From))
		b.ok(err)
		if len(got) != 2 || got[0].Kind != relay.EditBox || len(got[0].Keys) != 2 || got[1].Kind != relay.EditArea || rel.Round != round {
			t.Fatalf("round %d has %s", rel.Round, rel.Draft.Edits)
		}
		h.Work(id, nil)
		b.awaitText("Does something still show?")
		if n := len(b.drawn()); n != 2 {
			t.Errorf("the page of round %d shows %d regions", round, n)
		}
		if got := b.eval("document.querySelector('[data-first]').disabled"); got != "false" {
			t.Error("what is in the copy cannot be approved")
		}
		if round == 2 { // the form below keeps what was drawn
			b.eval("document.querySelector('form[data-draft]').closest('details').open = true")
			b.click("form[data-draft] button.wide")
			b.awaitText("The release copy is being made")
		}
	}
	b.forgive("404 (Not Found)") // the players may ask once more for the copy that a new round has replaced
	b.clean()
}

// The face that the detectors miss: where it is in each picture of its clip, and how large.
const (
	missedFrames = 60 // six seconds: a release is of whole ones
	missedSize   = 110
)

func missedAt(frame int) image.Rectangle {
	return image.Rect(0, 0, missedSize, missedSize).Add(image.Pt(260+9*frame, 230+2*frame))
}

// faint is the negative of a brightness, with four fifths of its contrast.
func faint(v byte) byte { return byte(128 + (127-int(v))*80/100) }

// missed makes a clip of a face that goes through the picture upside down and in negative, in which
// no detector sees a face.
func missed(ctx context.Context, out string) error {
	dir, err := footage.Stills()
	if err != nil {
		return err
	}
	f, err := os.Open(filepath.Join(dir, "sample5.jpg"))
	if err != nil {
		return err
	}
	defer f.Close()
	photo, _, err := image.Decode(f)
	if err != nil {
		return err
	}
	face := image.NewRGBA(image.Rect(0, 0, missedSize, missedSize))
	draw.BiLinear.Scale(face, face.Rect, photo, image.Rect(765, 120, 960, 335), draw.Src, nil)
	for i, j := 0, len(face.Pix)-4; i <= j; i, j = i+4, j-4 {
		for c := range 3 {
			face.Pix[i+c], face.Pix[j+c] = faint(face.Pix[j+c]), faint(face.Pix[i+c])
		}
	}
	cmd := exec.CommandContext(ctx, "ffmpeg", "-nostdin", "-loglevel", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgba", "-s", "1280x720", "-r", "10", "-i", "pipe:0",
		"-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-pix_fmt", "yuv420p", "-movflags", "+faststart", out)
	var raw bytes.Buffer
	for i := range missedFrames {
		im := image.NewRGBA(image.Rect(0, 0, 1280, 720))
		for k := range im.Pix {
			im.Pix[k] = byte(100 + (k/4%1280)/20)
			if k%4 == 3 {
				im.Pix[k] = 255
			}
		}
		draw.Draw(im, missedAt(i), face, image.Point{}, draw.Src)
		raw.Write(im.Pix)
	}
	cmd.Stdin = &raw
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ffmpeg: %w: %s", err, said)
	}
	return nil
}

// copyShows fetches the copy under review as the page plays it and says in which frames the face
// can be seen.
func (b *tab) copyShows(clip string) (frames []int) {
	b.t.Helper()
	path := filepath.Join(b.t.TempDir(), "copy.mp4")
	b.ok(os.WriteFile(path, b.film("[data-main]"), 0o600))
	before, stop := iter.Pull2(footage.Frames(b.ctx, clip))
	defer stop()
	n := 0
	for after, err := range footage.Frames(b.ctx, path) {
		b.ok(err)
		was, err, more := before()
		b.ok(err)
		if !more {
			b.t.Fatalf("the copy has more than %d frames", n)
		}
		if after.Rect != was.Rect {
			b.t.Fatalf("the copy is %v, the clip %v", after.Rect, was.Rect)
		}
		if seen, ok := footage.Seen(was, after, missedAt(n)); !ok || seen >= footage.HiddenBelow {
			frames = append(frames, n)
		}
		n++
	}
	if n != missedFrames {
		b.t.Fatalf("the copy has %d frames, the clip %d", n, missedFrames)
	}
	return frames
}

// TestMissedFace takes a request from its mail to a signed release on a phone, on the built program
// with the real redactor, and counts the taps; and covers a face that was missed with three actions.
func TestMissedFace(t *testing.T) {
	s := startStreet(t)
	b := s.movesIn(t)
	clip := filepath.Join(t.TempDir(), "missed.mp4")
	b.ok(missed(b.ctx, clip))
	s.ask(t, clip)

	b.click("footer button")
	b.await("location.pathname === '/sign-in'")
	b.phone()
	taps := 0
	tap := func(selector string) {
		t.Helper()
		taps++
		b.click(selector)
	}
	link := "/requests/" + s.request
	_, err := s.relay.AwaitMail(s.ctx, "alex@home.example", func(l driver.Letter) bool { return strings.Contains(l.Text, b.origin+link) })
	b.ok(err)
	taps++ // the link in the mail
	b.visit(link)
	b.await("location.pathname === '/sign-in'")
	tap("form button")
	b.await("location.pathname === '" + link + "'")
	tap("form[data-draft] button")
	b.await("location.pathname.startsWith('/releases/')")
	b.awaitText("Does something still show?")
	if n := len(b.copyShows(clip)); n != missedFrames {
		t.Fatalf("the face was missed in %d frames of %d: this clip shows nothing", n, missedFrames)
	}

	// The face was missed: draw, and prepare again. On a touch screen a button says that a finger draws.
	b.await("document.querySelector('[data-main]').readyState >= 2")
	b.at("3")
	_, err = chromedp.Call(b.ctx, emulation.SetTouchEmulationEnabled, emulation.SetTouchEmulationEnabledParams{Enabled: true})
	b.ok(err)
	at := missedAt(30)
	actions := 0
	act := func(do func()) { actions++; do() }
	act(func() { b.click("[data-draw]") })
	act(func() {
		b.swipe(b.spot("[data-main]", float64(at.Min.X)/1280, float64(at.Min.Y)/720), b.spot("[data-main]", float64(at.Max.X)/1280, float64(at.Max.Y)/720))
	})
	b.look("editor-missed")
	b.phone()
	act(func() { b.click("[data-again]") })
	if actions > 3 {
		t.Errorf("covering a face took %d actions", actions)
	}
	b.awaitText("The release copy is being made")
	b.awaitText("Does something still show?")
	if shown := b.copyShows(clip); len(shown) > 0 {
		t.Errorf("the face that was covered shows in frames %v", shown)
	}
	b.says("Drawn by you 1")
	b.look("editor-covered")
	b.phone()

	if b.eval("document.querySelector('[name=looked]').required") == "true" {
		tap("[name=looked]")
	}
	tap("[data-first]")
	b.await("!document.querySelector('[data-second]').hidden")
	tap("[data-second]")
	b.awaitText("Who holds it, and who watched")
	t.Logf("%d taps from the mail to the signed release, and %d actions to cover the face", taps, actions)
	if taps > 6 {
		t.Errorf("from the mail to the signed release took %d taps", taps)
	}
	b.clean()
}
