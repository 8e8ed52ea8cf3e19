package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"

	"cliplease/relay"
	"cliplease/storage"
	"cliplease/test/driver"
)

// again kills the relay as a power cut does and starts it anew.
func (w *world) again() {
	w.t.Helper()
	w.relay.Kill()
	w.must(w.relay.Start(w.ctx))
}

// TestKill kills the relay at every step of the main job. Each time it starts anew, the job goes
// on; nothing is released twice, and nothing is lost.
func TestKill(t *testing.T) {
	onBoth(t, func(t *testing.T, e engine) {
		w := settled(t, e)

		// Right after a clip came in, before anybody looked at it.
		path, err := clip()
		w.must(err)
		_, err = w.relay.Must(w.ctx, "clip", "add", path, "--camera", camera, "--start", relay.Stamp(w.start.AddDate(0, 0, -1)))
		w.must(err)
		w.again()
		w.bothClips()

		// Right after a request was filed: the receipt stands.
		request := w.file(w.ask())
		w.again()
		w.stands(request, relay.AgencyView{State: "pending"})

		// While the worker prepares.
		release, err := w.home.Prepare(w.ctx, request, w.draft())
		w.must(err)
		w.must(w.working(release))
		w.again()
		w.must(w.home.AwaitReview(w.ctx, release, nil))

		// While a person looks: what they see stays the file that will be released.
		before := w.shown(release)
		w.again()
		if after := w.shown(release); after != before {
			t.Error("after the restart the page shows another copy")
		}

		// Right after the approval, before or while the mail goes out.
		_, err = w.home.Approve(w.ctx, release)
		w.must(err)
		w.again()
		link := w.link()
		if _, err := w.home.Approve(w.ctx, release); err == nil {
			t.Error("the release was approved a second time")
		}

		// While the recipient watches: the view goes on, and was counted once. Whether the player
		// notices depends on where in a range it was.
		v := w.watching(link)
		watched, closeTab := context.WithCancel(w.ctx)
		play := v.StartPlayback(watched)
		w.must(play.Await(w.ctx, 64<<10))
		w.again()
		closeTab()
		if _, err := play.Wait(w.ctx); err != nil {
			t.Error(err)
		}
		w.plays(v, release)
		if s, err := w.home.Standing(w.ctx, release); err != nil || s.Views != 1 {
			t.Errorf("%d views are counted, want 1 (%v)", s.Views, err)
		}

		// Right after the revoke, before keys and objects are destroyed.
		_, has, err := w.relay.Release(w.ctx, release)
		w.must(err)
		w.must(w.home.Revoke(w.ctx, release, ""))
		w.again()
		_, err = v.Play(w.ctx, io.Discard)
		w.refused(err, http.StatusNotFound, "a range after the revoke")
		w.must(w.relay.AwaitGone(w.ctx, has))
		w.stands(request, relay.AgencyView{State: "closed", Ended: true})
		w.once(request, release)
	})
}

// bothClips waits until both clips of the same name are ready.
func (w *world) bothClips() {
	w.t.Helper()
	w.must(w.relay.With(w.ctx, func(s *storage.Store) error {
		return driver.Until(w.ctx, func() (bool, error) {
			all, err := s.DB.Clips(w.ctx, storage.ClipFilter{Limit: 10})
			ready := 0
			for _, c := range all {
				switch c.State {
				case relay.ClipReady:
					ready++
				case relay.ClipRefused:
					return false, fmt.Errorf("clip %s was refused: %s", c.ID, c.Reason)
				default:
				}
			}
			return ready == 2, err
		})
	}))
}

// working waits until the worker has begun to prepare a release and is not done with it.
func (w *world) working(release string) error {
	return driver.Until(w.ctx, func() (bool, error) {
		s, err := w.home.Standing(w.ctx, release)
		if err == nil && s.State != relay.ReleaseIsPreparing {
			err = fmt.Errorf("the release is %s before it could be caught preparing", s.State)
		}
		return s.Progress > 0, err
	})
}

// shown is the SHA-256 of the copy that the page of a release shows.
func (w *world) shown(release string) string {
	w.t.Helper()
	copies, err := w.home.Copies(w.ctx, release)
	w.must(err)
	got, err := w.home.Play(w.ctx, copies[0], io.Discard)
	w.must(err)
	return got.SHA256
}

// once checks that a request led to one release with one link and one mail of it.
func (w *world) once(request, release string) {
	w.t.Helper()
	w.must(w.relay.With(w.ctx, func(s *storage.Store) error {
		all, err := s.DB.ReleasesOf(w.ctx, request)
		if err != nil {
			return err
		}
		links, err := s.DB.LinksOf(w.ctx, release)
		if err != nil {
			return err
		}
		if len(all) != 1 || len(links) != 1 || links[0].ViewsUsed != 1 {
			w.t.Errorf("%d releases and %d links, used %+v; want one of each, used once", len(all), len(links), links)
		}
		return nil
	}))
	known := map[string]bool{}
	for _, m := range w.mail.Mails() {
		if l, err := driver.ReadMail(m); err == nil && l.Link() != "" {
			known[l.Link()] = true
		}
	}
	if len(known) != 1 {
		w.t.Errorf("%d different links were mailed, want 1", len(known))
	}
}

// TestStop ends the relay in an orderly way while a recipient watches: it does not hang.
func TestStop(t *testing.T) {
	w := settled(t, small)
	_, release := w.live(w.ask(), w.draft())
	v := w.watching(w.link())
	play := v.StartPlayback(w.ctx)
	w.must(play.Await(w.ctx, 64<<10))
	w.must(w.relay.Stop())
	if _, err := play.Wait(w.ctx); err != nil {
		t.Error(err)
	}
	w.must(w.relay.Start(w.ctx))
	w.plays(v, release)
	if err := w.relay.Ready(context.WithoutCancel(w.ctx)); err != nil {
		t.Error(err)
	}
}
