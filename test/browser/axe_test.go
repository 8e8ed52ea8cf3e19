package browser

import (
	"os"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// axe is the checker of accessibility that package.json pins.
const axe = "node_modules/axe-core/axe.min.js"

// accessible wants that axe finds nothing serious on the page, on a desktop in light and on a
// phone in dark colours.
func (b *tab) accessible(name string) {
	b.t.Helper()
	checker, err := os.ReadFile(axe)
	if err != nil {
		b.t.Fatalf("the checker of accessibility is not there: run make setup-test: %v", err)
	}
	_, err = chromedp.Run(b.ctx, chromedp.Evaluate[bool]("typeof window.axe === 'object' || (() => { "+string(checker)+"\n; return true; })()"))
	b.ok(wrap(err, "axe"))
	for _, v := range []struct {
		scheme string
		size   func()
	}{{"light", b.desktop}, {"dark", b.phone}} {
		v.size()
		b.scheme(v.scheme)
		found, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`axe.run(document, { resultTypes: ["violations"] }).then((r) => r.violations
			.filter((v) => v.impact === "serious" || v.impact === "critical")
			.map((v) => v.id + ": " + v.help + "\n  " + v.nodes.map((n) => n.target.join(" ") + " " + n.failureSummary.replace(/\s+/g, " ")).join("\n  ")).join("\n"))`, chromedp.EvalAwaitPromise))
		b.ok(wrap(err, "axe"))
		if strings.TrimSpace(found) != "" {
			b.t.Errorf("%s in %s: %s", name, v.scheme, found)
		}
	}
	b.desktop()
	b.scheme("")
}

// scheme sets the colours that the browser prefers; "" leaves them to the machine.
func (b *tab) scheme(name string) {
	b.t.Helper()
	var p emulation.SetEmulatedMediaParams
	if name != "" {
		p.Features = []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}}
	}
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, p)
	b.ok(err)
}

// TestAxeSees proves that the checker finds what it should: text that cannot be read, a field
// without a name.
func TestAxeSees(t *testing.T) {
	b := open(t, "about:blank")
	b.ok(chromedp.Do(b.ctx, chromedp.Navigate("data:text/html,<html lang=en><title>t</title><main><h1>t</h1><p style='color:%23ddd;background:%23fff'>pale<input></main>")))
	checker, err := os.ReadFile(axe)
	b.ok(err)
	found, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](string(checker)+"\n; axe.run().then((r) => r.violations.map((v) => v.id).join(' '))", chromedp.EvalAwaitPromise))
	b.ok(err)
	for _, want := range []string{"color-contrast", "label"} {
		if !strings.Contains(found, want) {
			t.Errorf("axe found %q, not %s", found, want)
		}
	}
}
