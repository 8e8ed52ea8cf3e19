package e2e

import (
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/storage"
	"cliplease/test/driver"
	"cliplease/test/servers"
)

// TestMailServerDown approves a release while the mail server says "later": the link waits, the
// home can see it, and it goes out once the server takes mail again.
func TestMailServerDown(t *testing.T) {
	w := settled(t, small)
	request := w.file(w.ask())
	release := w.reviewed(request, w.draft())
	w.mail.Answer(servers.Later)
	_, err := w.home.Approve(w.ctx, release)
	w.must(err)
	w.must(w.relay.With(w.ctx, func(s *storage.Store) error {
		return driver.Until(w.ctx, func() (bool, error) {
			mails, err := s.DB.MailAbout(w.ctx, release)
			for _, m := range mails {
				if m.Kind == "link" && m.Failure != "" {
					if m.State != "waiting" {
						return false, errors.New("the mail is " + m.State + ", not waiting")
					}
					return true, nil
				}
			}
			return false, err
		})
	}))
	w.stands(request, relay.AgencyView{State: "released", ReleaseID: release})
	w.mail.Answer(servers.Accept)
	w.plays(w.watching(w.link()), release)
}

// TestMailRefused approves a release for a mailbox that does not exist: the home learns it, and
// nobody else gets the link.
func TestMailRefused(t *testing.T) {
	w := settled(t, small)
	request := w.file(w.ask())
	release := w.reviewed(request, w.draft())
	w.mail.Answer(servers.Never)
	_, err := w.home.Approve(w.ctx, release)
	w.must(err)
	w.must(w.relay.With(w.ctx, func(s *storage.Store) error {
		return driver.Until(w.ctx, func() (bool, error) {
			mails, err := s.DB.MailAbout(w.ctx, release)
			for _, m := range mails {
				if m.Kind == "link" && m.State == "failed" {
					return true, nil
				}
			}
			return false, err
		})
	}))
	for _, m := range w.mail.Mails() {
		if l, err := driver.ReadMail(m); err == nil && l.Link() != "" {
			t.Errorf("a link was mailed to %s", l.To)
		}
	}
}

// TestObjectStoreDown stops the object store from answering while a recipient watches and while
// the homeowner revokes. Nothing can be played, no view is lost, and the revoke ends access at
// once; what is left is deleted when the store is back.
func TestObjectStoreDown(t *testing.T) {
	w := settled(t, large)
	request, release := w.live(w.ask(), w.draft())
	v := w.watching(w.link())
	store, err := minio()
	w.must(err)

	w.must(store.Pause())
	resumed := false
	resume := func() {
		if !resumed {
			resumed = true
			w.must(store.Resume())
		}
	}
	defer resume()
	_, err = v.Play(w.ctx, io.Discard)
	w.refused(err, http.StatusServiceUnavailable, "a range while the store does not answer")
	if err := w.relay.Ready(w.ctx); err == nil {
		t.Error("the relay says that it is ready while the store does not answer")
	}
	resume()
	w.plays(v, release)

	_, has, err := w.relay.Release(w.ctx, release)
	w.must(err)
	resumed = false
	w.must(store.Pause())
	began := time.Now()
	w.must(w.home.Revoke(w.ctx, release, ""))
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the revoke waited %s for the object store", took)
	}
	_, err = v.Play(w.ctx, io.Discard)
	w.refused(err, http.StatusNotFound, "a range after the revoke")
	w.stands(request, relay.AgencyView{State: "closed", Ended: true})
	resume()
	w.must(w.relay.AwaitGone(w.ctx, has))
}
