package e2e

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/test/footage"
)

// TestLife follows one request from the agency's file to a lease that was revoked during a
// playback, and the evidence of it.
func TestLife(t *testing.T) {
	onBoth(t, func(t *testing.T, e engine) {
		w := settled(t, e)
		request := w.file(w.ask())
		w.stands(request, relay.AgencyView{State: "pending"})

		release := w.reviewed(request, w.draft())
		w.stands(request, relay.AgencyView{State: "pending"})
		copies, err := w.home.Copies(w.ctx, release)
		w.must(err)
		looked, err := w.home.Play(w.ctx, copies[0], io.Discard)
		w.must(err)
		_, err = w.home.Approve(w.ctx, release)
		w.must(err)
		w.stands(request, relay.AgencyView{State: "released", ReleaseID: release})

		link := w.link()
		v := w.watching(link)
		saved := filepath.Join(w.dir, "released.mp4")
		f, err := os.Create(saved)
		w.must(err)
		got, err := v.Play(w.ctx, f)
		w.must(err)
		w.must(f.Close())
		if got.SHA256 != looked.SHA256 {
			t.Error("the recipient got another file than the homeowner looked at")
		}
		w.window(saved)

		_, has, err := w.relay.Release(w.ctx, release)
		w.must(err)
		second := w.watching(link)
		play := second.StartPlayback(w.ctx)
		w.must(play.Await(w.ctx, 512<<10))
		w.must(w.home.Revoke(w.ctx, release, ""))
		play.Mark()
		cut, err := play.Wait(w.ctx)
		w.must(err)
		if cut.After > 512<<10 || cut.End > time.Second {
			t.Errorf("after the revoke %d bytes came and the player knew after %s", cut.After, cut.End)
		}
		_, err = second.Play(w.ctx, io.Discard)
		w.refused(err, http.StatusNotFound, "a range after the revoke")
		_, err = w.relay.Open(w.ctx, link)
		w.refused(err, http.StatusNotFound, "the link after the revoke")
		w.stands(request, relay.AgencyView{State: "closed", Ended: true})
		w.command(0, `"recorded_at"`, "agency", "acknowledge", "--key", w.agency.Key, "--relay", w.relay.Site.API, request)
		w.must(w.relay.AwaitGone(w.ctx, has))

		evidence, err := w.home.Get(w.ctx, "/releases/"+release+"/evidence.zip")
		w.must(err)
		bundle := filepath.Join(w.dir, "evidence.zip")
		w.must(os.WriteFile(bundle, evidence, 0o600))
		w.command(0, "signed, for every file", "bundle", "verify", bundle)
		report := filepath.Join(w.dir, "custody.pdf")
		w.command(0, "", "release", "report", release, "--out", report)
		page, err := os.ReadFile(report)
		w.must(err)
		if !strings.HasPrefix(string(page), "%PDF-") {
			t.Errorf("the report begins with %.20q", page)
		}
		w.command(0, `"for": "recipient"`, "release", "report", release, "--recipient", officer, "--json")
		w.command(1, "has no recipient", "release", "report", release, "--recipient", "nobody@pd.example")
		w.command(1, "there is no release", "release", "report", "none", "--json")
		w.command(0, "", "log", "verify")
		w.command(0, "", "doctor")
	})
}

// window checks that the copy holds exactly the frames of the draft, and no metadata.
func (w *world) window(file string) {
	w.t.Helper()
	path, err := clip()
	w.must(err)
	m, err := footage.Measure(footage.Short, footage.Frames(w.ctx, path), footage.Frames(w.ctx, file))
	w.must(err)
	if first, last := footage.Short.FPS, 4*footage.Short.FPS-1; m.First != first || m.Last != last {
		w.t.Errorf("the copy holds frames %d to %d, want %d to %d", m.First, m.Last, first, last)
	}
	raw, err := os.ReadFile(file)
	w.must(err)
	for _, secret := range []string{footage.Canary, footage.Place} {
		if strings.Contains(string(raw), secret) {
			w.t.Errorf("the copy still holds %q", secret)
		}
	}
}
