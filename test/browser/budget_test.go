package browser

import (
	"net/url"
	"strconv"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"cliplease/relay"
	"cliplease/test/house"
	"cliplease/test/lease"
)

// What a page may cost.
const (
	maxScript = 60 << 10  // bytes of one script
	maxPage   = 150 << 10 // bytes of a page with all that it loads, videos apart
	maxWait   = 1000      // milliseconds until a page can be used, on a processor slowed four times
	maxShift  = 0.001     // of its layout while it loads; less is rounding, a hundredth of what a person notices
)

// loaded are all loads of a page but videos.
const loaded = "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')].filter((e) => e.initiatorType !== 'video')"

// TestBudgets: the pages of the home and of recipients are small, do not jump about, and are there
// within a second on a slow phone. Sizes are those without compression.
func TestBudgets(t *testing.T) {
	h := house.New(t)
	b := open(t, h.Site.Home)
	b.addPasskeys()
	b.phone()
	b.within("/sign-in")
	b.visit("/join#" + h.Invite(relay.RoleHomeowner, "Ada", ""))
	b.click("form button")
	b.await("location.pathname === '/'")
	h.Furnish()
	h.Clip(taken(h))
	q := h.Request(taken(h), nil)
	for _, path := range []string{"/", "/requests", "/requests/" + q.ID, "/clips", "/cameras", "/agencies", "/rules", "/household", "/activity", "/releases", "/history?agency=" + url.QueryEscape(h.Agency.ID)} {
		b.within(path)
	}
	b.visit("/requests/" + q.ID)
	b.click("form[data-draft] button")
	b.await("location.pathname.startsWith('/releases/')")
	at := b.eval("location.pathname")
	h.Work(at[len("/releases/"):], nil)
	b.within(at) // under review
	b.click("input[name=looked]")
	b.click("[data-first]")
	b.await("!document.querySelector('[data-second]').hidden")
	b.click("[data-second]")
	b.awaitText("Who holds it, and who watched")
	b.within(at) // live
	b.within("/releases")
	b.clean()
}

// TestRecipientBudgets is TestBudgets for the pages behind a link.
func TestRecipientBudgets(t *testing.T) {
	l := newLeased(t, film(t, 2), lease.Terms{})
	b := open(t, l.Site.View)
	b.phone()
	for _, path := range []string{"/r", "/check", "/transparency", "/offer"} {
		b.within(path)
	}
	b.visit("/r#" + l.lease.Token)
	b.click("#open-form button")
	b.awaitText("d…@pd.example")
	b.click("#code-form button")
	b.awaitText("Type the code")
	b.fill("#code", l.code())
	b.click("#verify-form button")
	b.await("location.pathname === '/watch'")
	b.within("/watch")
	b.clean()
}

// within wants that a page holds its budgets. Of several loads the fastest counts: the machine may be
// busy with something else.
func (b *tab) within(path string) {
	b.t.Helper()
	b.slow(4)
	defer b.slow(1)
	fastest := 0
	for try := 0; try < 5 && (try == 0 || fastest > maxWait); try++ {
		b.visit(path)
		b.await("document.readyState === 'complete' && performance.getEntriesByType('paint').length > 0")
		ms := b.number("Math.ceil(Math.max(performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd, ...performance.getEntriesByType('paint').map((p) => p.startTime)))")
		if fastest == 0 || ms < fastest {
			fastest = ms
		}
	}
	if fastest > maxWait {
		b.t.Errorf("%s can be used after %d ms, want %d", path, fastest, maxWait)
	}
	bytes, script := b.number(loaded+".reduce((n, e) => n + e.decodedBodySize, 0)"), b.number("Math.max(0, ..."+loaded+".filter((e) => e.initiatorType === 'script').map((e) => e.decodedBodySize))")
	if bytes > maxPage || bytes < 1000 {
		b.t.Errorf("%s loads %d bytes, want at most %d", path, bytes, maxPage)
	}
	if script > maxScript || script == 0 {
		b.t.Errorf("%s has a script of %d bytes, want at most %d", path, script, maxScript)
	}
	shift, err := chromedp.Run(b.ctx, chromedp.Evaluate[float64]("new Promise((done) => { let sum = 0; new PerformanceObserver((l) => { for (const e of l.getEntries()) if (!e.hadRecentInput) sum += e.value; }).observe({ type: 'layout-shift', buffered: true }); requestAnimationFrame(() => setTimeout(() => done(sum), 50)); })", chromedp.EvalAwaitPromise))
	b.ok(wrap(err, path))
	if shift > maxShift {
		b.t.Errorf("%s jumps by %g while it loads", path, shift)
	}
	b.t.Logf("%s: %d ms, %d bytes, largest script %d, shift %g", path, fastest, bytes, script, shift)
}

// slow makes the browser's processor so many times slower.
func (b *tab) slow(rate float64) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetCPUThrottlingRate, emulation.SetCPUThrottlingRateParams{Rate: rate})
	b.ok(err)
}

func (b *tab) number(expression string) int {
	b.t.Helper()
	n, err := strconv.Atoi(b.eval(expression))
	b.ok(wrap(err, expression))
	return n
}
