package browser

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"cliplease/test/lease"
)

// TestCheckFile asks the public page about a file in a real browser: as it was released, with
// one bit changed, dropped on the page, and after its lease. Of the file nothing but its
// fingerprint leaves the browser.
func TestCheckFile(t *testing.T) {
	content := bytes.Repeat([]byte("a release copy of more than one piece\n"), 250_000) // 9.5 MB
	l := newLeased(t, content, lease.Terms{})
	b := open(t, l.Site.View)
	b.visit("/check")
	b.says("Check a file", "The file stays on your machine")
	b.look("check")
	b.files("#file", map[string][]byte{"evidence.mp4": content})
	b.awaitText("Released here, unchanged")
	b.says("Its lease runs until", l.lease.Copy.SHA256)
	b.look("check-released")

	other := bytes.Clone(content)
	other[5<<20] ^= 1
	b.files("#file", map[string][]byte{"changed.mp4": other})
	b.awaitText("Not known here")
	b.look("check-unknown")

	l.ok(l.DB.RevokeRelease(t.Context(), l.lease.Release.ID, l.Member, "", l.Now()))
	b.eval(`void (() => {
		const data = new DataTransfer();
		data.items.add(new File(["a release copy of more than one piece\n".repeat(250000)], "dropped.mp4"));
		document.getElementById("drop").dispatchEvent(new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer: data }));
	})()`)
	b.awaitText("its lease is over")
	b.says("“dropped.mp4” is a copy that this relay released", "Its lease ended on")
	b.look("check-over")
	b.phone()
	if b.eval("document.documentElement.scrollWidth > innerWidth") != "false" {
		t.Error("the page is wider than a phone")
	}
	b.clean()
}

// TestTransparencyPage looks at the public report, also on a phone.
func TestTransparencyPage(t *testing.T) {
	l := newLeased(t, []byte("x"), lease.Terms{})
	b := open(t, l.Site.View)
	b.visit("/transparency")
	b.says("What agencies asked", "As an emergency", "Not released")
	b.look("transparency")
	b.click("details summary")
	b.says("Immigration civil")
	b.phone()
	if b.eval("document.documentElement.scrollWidth > innerWidth") != "false" {
		t.Error("the page is wider than a phone")
	}
	b.clean()
}

// largeZeros is the SHA-256 of 500 MiB of zeros, by sha256sum.
const largeZeros = "a08a92258f621b55d08ad1e84c90c2ea6286fc6b6c9a4dfa7156afb16c190170"

// TestCheckLargeFile hashes a file of 500 MB, of which the page never holds more than a piece.
func TestCheckLargeFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "large.mp4")
	f, err := os.Create(path)
	if err == nil {
		err = f.Truncate(500 << 20) // nothing but zeros, and no room on the disk
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	l := newLeased(t, []byte("x"), lease.Terms{})
	b := open(t, l.Site.View)
	b.visit("/check")
	b.eval("void (window.most = 0, window.sampler = setInterval(() => { window.most = Math.max(window.most, performance.memory.usedJSHeapSize) }, 50))")
	b.ok(chromedp.Do(b.ctx, chromedp.SetUploadFiles(chromedp.CSS("#file"), []string{path})))
	b.await("!document.getElementById('result').hidden")
	if got, want := b.eval("document.querySelector('[data-sum]').textContent"), largeZeros; got != want {
		t.Errorf("the fingerprint is %s, want %s", got, want)
	}
	if most := b.number("Math.ceil(window.most / 1048576)"); most > 300 {
		t.Errorf("the page held %d MB", most)
	}
	t.Logf("%s ms, at most %s bytes of script memory", b.eval("Math.round(performance.now())"), strings.TrimSpace(b.eval("window.most")))
	b.clean()
}
