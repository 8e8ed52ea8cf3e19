package browser

import (
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"cliplease/test/house"
)

// TestOffline cuts the browser's network: the page says so, and stops saying it when the network is back.
func TestOffline(t *testing.T) {
	h := house.New(t)
	b := open(t, h.Site.Home)
	b.visit("/sign-in")
	if got := b.eval("document.querySelector('.offline').textContent"); got != "" {
		t.Errorf("a page that is online says %q", got)
	}
	cut := func(gone bool) {
		_, err := chromedp.Call(b.ctx, network.OverrideNetworkState, network.OverrideNetworkStateParams{Offline: gone})
		b.ok(err)
	}
	cut(true)
	b.await("!navigator.onLine")
	b.await("document.querySelector('.offline').innerText.startsWith('You are offline.')")
	b.look("offline")
	cut(false)
	b.await("navigator.onLine && document.querySelector('.offline').textContent === ''")
}
