package browser

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"cliplease/relay"
	"cliplease/storage"
	"cliplease/test/house"
)

// network makes the browser's connection as slow as bytes a second upward, or cuts it.
func (b *tab) network(bytes float64, gone bool) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{
		MatchedNetworkConditions: []*network.Conditions{{DownloadThroughput: -1, UploadThroughput: bytes, Offline: gone}},
	})
	b.ok(err)
	_, err = chromedp.Call(b.ctx, network.OverrideNetworkState, network.OverrideNetworkStateParams{Offline: gone, DownloadThroughput: -1, UploadThroughput: bytes})
	b.ok(err)
}

// begun counts the uploads that the browser began.
func (b *tab) begun() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range b.asked {
		if strings.HasSuffix(a, "/uploads") {
			n++
		}
	}
	return n
}

// TestUploadLosesNetwork cuts the browser's network in the middle of an upload: it goes on by itself when the network
// is back. After a reload it goes on when the same file is chosen. Either way the relay has the same bytes as the file.
func TestUploadLosesNetwork(t *testing.T) {
	h := house.New(t)
	b := open(t, h.Site.Home)
	b.addPasskeys()
	b.visit("/join#" + h.Invite(relay.RoleHomeowner, "Ada", ""))
	b.click("form button")
	b.await("location.pathname === '/'")
	h.Furnish()
	film := house.Video(t)
	for n := 0; len(film) < 24<<20; n++ { // no two pieces of it are the same
		film = fmt.Appendf(film, "filling %d ", n)
	}
	path := filepath.Join(t.TempDir(), "2026-11-01_11-15-00.mp4")
	b.ok(os.WriteFile(path, film, 0o600))
	choose := func() {
		b.visit("/clips")
		b.eval("document.querySelector('form[data-upload]').closest('details').open = true")
		b.ok(chromedp.Do(b.ctx, chromedp.SetUploadFiles(chromedp.CSS("#file"), []string{path})))
	}
	under := func(percent int) {
		b.await(fmt.Sprintf("document.querySelector('[data-files] progress').value > %d", percent))
	}

	b.visit("/clips")
	choose()
	b.network(4<<20, false)
	b.click("form[data-upload] button:not([type])")
	under(20)
	b.await("/ % *, about \\d+ seconds left/.test(document.querySelector('[data-files]').innerText)")
	b.network(-1, true)
	b.awaitText("The connection is lost; this goes on by itself when it is back.")
	b.look("upload-lost")
	b.network(4<<20, false)
	under(50)

	b.network(256<<10, false) // slowly, so that there is a rest when the page is left
	choose()
	b.says("Unfinished uploads", "2026-11-01_11-15-00.mp4", "of 25.2 MB is here, sealed", "goes on at")
	b.network(-1, false)
	b.look("upload-unfinished")
	b.click("form[data-upload] button:not([type])")
	b.awaitText("being looked at")
	if n := b.begun(); n != 1 {
		t.Errorf("the browser began %d uploads of one file", n)
	}
	clips, err := h.Store.DB.Clips(t.Context(), storage.ClipFilter{})
	b.ok(err)
	if len(clips) != 1 {
		t.Fatalf("%d clips", len(clips))
	}
	original, err := h.Store.Vault.Open(t.Context(), h.Store.Objects, clips[0].Object)
	b.ok(err)
	defer original.Close()
	kept, err := io.ReadAll(original)
	b.ok(err)
	if !bytes.Equal(kept, film) {
		t.Errorf("the relay has %d bytes that are not the %d of the file", len(kept), len(film))
	}
	b.forgive("net::ERR_INTERNET_DISCONNECTED")
	b.clean()
}
