// Package browser tests the pages in a real Chromium.
package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"cliplease/templates"
)

// picturesTo names the folder into which pictures of the pages go; empty: none are taken.
const picturesTo = "CLIPLEASE_SCREENSHOTS"

// tab is a tab of a browser that a test drives. It notes every error that a page causes and
// every address that it asks for.
type tab struct {
	t      *testing.T
	ctx    context.Context
	origin string
	lang   templates.Lang // that it asks for; none for the browser's own

	mu     sync.Mutex
	errors []string
	asked  []string
}

// open starts a browser with an empty profile. It ends with the test.
func open(t *testing.T, origin string) *tab {
	t.Helper()
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.Flag("autoplay-policy", "no-user-gesture-required"))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 5*time.Minute)
	t.Cleanup(cancel)
	b := &tab{t: t, ctx: ctx, origin: origin}
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start a browser: %v", err)
	}
	b.ok(chromedp.Listen(ctx, b.hear))
	_, err := chromedp.Call(ctx, network.Enable, network.EnableParams{})
	b.ok(err)
	_, err = chromedp.Call(ctx, log.Enable, struct{}{})
	b.ok(err)
	b.desktop()
	return b
}

func (b *tab) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			b.errors = append(b.errors, e.Entry.Text+" "+e.Entry.URL)
		}
	case *runtime.EventExceptionThrown:
		b.errors = append(b.errors, e.ExceptionDetails.Text)
	case *network.EventRequestWillBeSent:
		b.asked = append(b.asked, e.Request.URL)
	}
}

func (b *tab) ok(err error) {
	b.t.Helper()
	if err != nil {
		text, _ := chromedp.Run(context.WithoutCancel(b.ctx), chromedp.Evaluate[string]("location.href + '\\n' + (document.querySelector('main') || document.body).innerText"))
		b.t.Fatalf("%v\non %s\nerrors: %v", err, text, b.errors)
	}
}

// addPasskeys gives the browser an authenticator whose person always confirms.
func (b *tab) addPasskeys() {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, webauthn.Enable, webauthn.EnableParams{})
	b.ok(err)
	_, err = chromedp.Call(b.ctx, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
		Protocol: "ctap2", Transport: "internal", HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
	}})
	b.ok(err)
}

func (b *tab) desktop() { b.t.Helper(); b.ok(chromedp.Do(b.ctx, chromedp.EmulateViewport(1200, 900))) }

func (b *tab) phone() {
	b.t.Helper()
	b.ok(chromedp.Do(b.ctx, chromedp.EmulateViewport(360, 740)))
}

// visit goes to a path. A path that differs from the one before by its fragment alone is loaded
// anew as well.
func (b *tab) visit(path string) {
	b.t.Helper()
	b.ok(chromedp.Do(b.ctx, chromedp.Navigate("about:blank"), chromedp.Navigate(b.origin+path)))
}

func (b *tab) click(selector string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 45*time.Second)
	defer cancel()
	b.ok(wrap(chromedp.Do(ctx, chromedp.ScrollIntoView(chromedp.CSS(selector)), chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible)), "click "+selector))
}

// fill puts text into a field as if it had been typed.
func (b *tab) fill(selector, text string) {
	b.t.Helper()
	b.eval(fmt.Sprintf(`(() => { const f = document.querySelector(%q); f.value = %q; f.dispatchEvent(new Event("input", { bubbles: true })); f.dispatchEvent(new Event("change", { bubbles: true })); })()`, selector, text))
}

// files chooses files of the given content.
func (b *tab) files(selector string, content map[string][]byte) {
	b.t.Helper()
	var paths []string
	dir := b.t.TempDir()
	for name, body := range content {
		path := filepath.Join(dir, name)
		b.ok(os.WriteFile(path, body, 0o600))
		paths = append(paths, path)
	}
	b.ok(chromedp.Do(b.ctx, chromedp.SetUploadFiles(chromedp.CSS(selector), paths)))
}

// eval returns what an expression is on the page, as text.
func (b *tab) eval(expression string) string {
	b.t.Helper()
	raw, err := chromedp.Run(b.ctx, chromedp.Evaluate[string]("(() => { const v = ("+expression+"); return v === undefined || v === null ? '' : typeof v === 'string' ? v : JSON.stringify(v); })()"))
	b.ok(wrap(err, expression))
	return raw
}

// await waits until an expression is true on a page that has loaded, across loads of pages.
func (b *tab) await(expression string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 45*time.Second)
	defer cancel()
	tick := time.NewTicker(30 * time.Millisecond)
	defer tick.Stop()
	for {
		v, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("(() => { try { return document.readyState !== 'loading' && !!("+expression+"); } catch { return false; } })()"))
		if err == nil && v {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			b.ok(fmt.Errorf("waited in vain for %s", expression))
		}
	}
}

func (b *tab) awaitText(text string) {
	b.t.Helper()
	raw, err := json.Marshal(text)
	b.ok(err)
	b.await("document.querySelector('main').innerText.includes(" + string(raw) + ")")
}

// says wants the page to say all of these now.
func (b *tab) says(sentences ...string) {
	b.t.Helper()
	text := b.eval("document.querySelector('main').innerText")
	for _, s := range sentences {
		if !strings.Contains(text, s) {
			b.t.Errorf("%s does not say %q; it says:\n%s", b.eval("location.pathname"), s, text)
		}
	}
}

// look checks that the page is accessible, and takes pictures of it on a desktop and on a phone, in light and dark, when
// somebody asked for them.
func (b *tab) look(name string) {
	b.t.Helper()
	b.accessible(name)
	if os.Getenv(picturesTo) == "" {
		return
	}
	for _, scheme := range []string{"light", "dark"} {
		_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		b.ok(err)
		for _, size := range []struct {
			name string
			set  func()
		}{{"phone", b.phone}, {"desktop", b.desktop}} {
			size.set()
			b.eval("scrollTo(0, 0)")
			shot, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
			b.ok(err)
			b.save(b.name(name)+"-"+size.name+"-"+scheme, shot)
		}
	}
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{})
	b.ok(err)
}

// name is what a picture is called: in another language than English that comes first.
func (b *tab) name(page string) string {
	if b.lang == "" || b.lang == templates.English {
		return page
	}
	return string(b.lang) + "-" + page
}

// forgive drops the errors that were expected: those whose text has part.
func (b *tab) forgive(part string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	var left []string
	for _, e := range b.errors {
		if !strings.Contains(e, part) {
			left = append(left, e)
		}
	}
	b.errors = left
}

// clean wants that no page broke its content policy or threw, and that the browser asked no
// other host for anything.
func (b *tab) clean() {
	b.t.Helper()
	b.forgive("422 (Unprocessable Entity)")
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.errors {
		b.t.Errorf("the browser reports: %s", e)
	}
	for _, a := range b.asked {
		if a != "about:blank" && !sameHost(b.origin, a) {
			b.t.Errorf("the page asked for %s", a)
		}
	}
}

func wrap(err error, what string) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
