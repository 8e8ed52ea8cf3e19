package fault

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/server/token"
	"cliplease/storage"
	"cliplease/test/driver"
	"cliplease/test/servers"
)

// TestFaults ends the relay at every moment that matters, from the receipt of a request to the
// destruction of the last key, and starts it anew: everything that must always hold holds, what
// was under way is neither half done nor done twice, and everybody can go on.
func TestFaults(t *testing.T) {
	w := settled(t, true)
	t.Run("preparing", func(t *testing.T) { w.in(t).preparing() })
	t.Run("uploading", func(t *testing.T) { w.in(t).uploading() })
	tests := []struct {
		moment string
		test   func(w *world, moment string, r shelved)
	}{
		{"before request.received", (*world).filing},
		{"after request.received", (*world).filing},
		{"before request.judged", (*world).filing},
		{"after request.judged", (*world).filing},
		{"mail leaves: request", (*world).filing},
		{"before release.granted", (*world).signing},
		{"after release.granted", (*world).signing},
		{"mail leaves: link", (*world).mailing},
		{"mail left: link", (*world).mailing},
		{"before link.opened", (*world).asking},
		{"after link.opened", (*world).asking},
		{"before code.accepted", (*world).proving},
		{"after code.accepted", (*world).proving},
		{"piece sent", (*world).playing},
		{"before release.revoked", (*world).revoking},
		{"after release.revoked", (*world).revoking},
		{"keys destroyed", (*world).revoking},
		{"before release.shredded", (*world).revoking},
		{"after release.shredded", (*world).revoking},
	}
	shelf := w.shelve(len(tests))
	for i, tt := range tests {
		t.Run(tt.moment, func(t *testing.T) { tt.test(w.in(t), tt.moment, shelf[i]) })
	}
	if out, err := w.relay.Must(w.ctx, "log", "verify"); err != nil {
		t.Error(err, out)
	}
}

// in is the world of a subtest.
func (w *world) in(t *testing.T) *world {
	of := *w
	of.t = t
	return &of
}

// requests returns how many requests of an agency are kept.
func (w *world) requests(a agency) (n int) {
	w.t.Helper()
	w.must(w.relay.With(w.ctx, func(s *storage.Store) error {
		all, err := s.DB.Requests(w.ctx, "", 1000)
		for _, q := range all {
			if q.AgencyID == a.ID {
				n++
			}
		}
		return err
	}))
	return n
}

// filing: an agency that got no answer sends the same token again. One request is kept, with one
// receipt, and the members learn of it once the relay is back.
func (w *world) filing(moment string, _ shelved) {
	var a agency
	w.must(w.relay.With(w.ctx, func(s *storage.Store) error { a = w.registers(s); return nil }))
	raw := w.token(a, "det@"+domain)
	before := len(w.relay.Mail.Mails())
	w.dies(moment, func() error { _, err := w.post(raw); return err })
	kept := 1
	if moment == "before request.received" {
		kept = 0
	}
	if n := w.requests(a); n != kept {
		w.t.Errorf("%d requests are kept after the crash, want %d", n, kept)
	}
	first, err := w.post(raw)
	w.must(err)
	again, err := w.post(raw)
	w.must(err)
	if first != again || w.requests(a) != 1 {
		w.t.Errorf("%d requests are kept, and the receipts are the same: %t", w.requests(a), first == again)
	}
	receipt, err := token.ParseReceipt(first, relay.PublicKey{})
	w.must(err)
	w.must(driver.Until(w.ctx, func() (bool, error) {
		return slices.ContainsFunc(w.relay.Mail.Mails()[before:], func(m servers.Mail) bool {
			l, err := driver.ReadMail(m)
			return err == nil && strings.Contains(l.Text, receipt.RequestID)
		}), nil
	}))
}

// signing: before the commit nothing is released, and the homeowner signs again; after it the
// release is live, once, and its link comes.
func (w *world) signing(moment string, r shelved) {
	w.dies(moment, func() error { _, err := w.home.Approve(w.ctx, r.ID); return err })
	if moment == "before release.granted" {
		w.stands(r, relay.ReleaseInReview, 0)
		w.approved(r)
	} else if _, err := w.home.Approve(w.ctx, r.ID); err == nil {
		w.t.Error("it was signed a second time")
	}
	w.stands(r, relay.ReleaseIsLive, 0)
	w.plays(w.watching(r), r)
	w.stands(r, relay.ReleaseIsLive, 1)
}

// mailing: the link is mailed in the end, and what comes twice is the same link.
func (w *world) mailing(moment string, r shelved) {
	w.dies(moment, func() error { _, err := w.home.Approve(w.ctx, r.ID); return err })
	w.plays(w.watching(r), r)
	w.must(driver.Until(w.ctx, func() (sent bool, err error) { // a second one may still be on its way
		err = w.relay.With(w.ctx, func(s *storage.Store) error {
			mails, err := s.DB.MailAbout(w.ctx, r.ID)
			sent = !slices.ContainsFunc(mails, func(m storage.Mail) bool { return m.Kind == "link" && m.State == "waiting" })
			return err
		})
		return sent, err
	}))
	links := map[string]int{}
	for _, m := range w.relay.Mail.Mails() {
		if l, err := driver.ReadMail(m); err == nil && slices.Contains(m.To, r.mailbox) && l.Link() != "" {
			links[l.Link()]++
		}
	}
	if len(links) != 1 {
		w.t.Errorf("%d different links were mailed, want one", len(links))
	}
	w.stands(r, relay.ReleaseIsLive, 1)
}

// asking: a code is asked for again, and one that works comes.
func (w *world) asking(moment string, r shelved) {
	w.approved(r)
	link, err := w.relay.AwaitLink(w.ctx, r.mailbox)
	w.must(err)
	v, err := w.relay.Open(w.ctx, link)
	w.must(err)
	w.dies(moment, func() error { return v.AskCode(w.ctx) })
	w.stands(r, relay.ReleaseIsLive, 0)
	var known []string
	if moment == "after link.opened" { // it was on its way
		code, err := w.relay.AwaitCode(w.ctx, r.mailbox)
		w.must(err)
		known = append(known, code)
	}
	v, code := w.asked(r, known...)
	w.must(v.Verify(w.ctx, code))
	w.plays(v, r)
}

// proving: a view that was not counted leaves its code good; one that was is used up, though the
// recipient never saw the answer.
func (w *world) proving(moment string, r shelved) {
	w.approved(r)
	v, code := w.asked(r)
	w.dies(moment, func() error { return v.Verify(w.ctx, code) })
	if moment == "before code.accepted" {
		w.stands(r, relay.ReleaseIsLive, 0)
		w.must(v.Verify(w.ctx, code))
		w.plays(v, r)
		w.stands(r, relay.ReleaseIsLive, 1)
		return
	}
	w.stands(r, relay.ReleaseIsLive, 1)
	if err := v.Verify(w.ctx, code); err == nil {
		w.t.Error("a code was used twice")
	}
	v, code = w.asked(r, code)
	w.must(v.Verify(w.ctx, code))
	w.plays(v, r)
	w.stands(r, relay.ReleaseIsLive, 2)
}

// playing: the player goes on where it was, and no further view is used.
func (w *world) playing(moment string, r shelved) {
	w.approved(r)
	v := w.watching(r)
	w.dies(moment, func() error { _, err := v.Play(w.ctx, io.Discard); return err })
	w.plays(v, r)
	w.stands(r, relay.ReleaseIsLive, 1)
}

// revoking: before the commit everything is as it was; after it access is over, and keys and bytes
// are destroyed in the end, whatever was done of it.
func (w *world) revoking(moment string, r shelved) {
	w.approved(r)
	v := w.watching(r)
	w.dies(moment, func() error { return w.home.Revoke(w.ctx, r.ID, "") })
	if moment == "before release.revoked" {
		w.stands(r, relay.ReleaseIsLive, 1)
		w.plays(v, r)
		w.must(w.home.Revoke(w.ctx, r.ID, ""))
	}
	w.stands(r, relay.ReleaseIsRevoked, 1)
	w.gone(v, r)
	_, err := w.home.Approve(w.ctx, r.ID)
	if err == nil {
		w.t.Error("it was signed again")
	}
}

// preparing: an attempt that was cut off leaves no file behind, and the next one makes the copies;
// what came under review stays as it was.
func (w *world) preparing() {
	var a agency
	var q relay.Request
	mailbox := relay.NewID()[:12] + "@" + domain
	w.must(w.relay.With(w.ctx, func(s *storage.Store) error {
		a = w.registers(s)
		q = w.receives(s, a, mailbox)
		return nil
	}))
	var id string
	w.dies("copies made", func() (err error) {
		id, err = w.home.Prepare(w.ctx, q.ID, driver.NewDraft(w.clip.ID, w.start.Add(time.Second), w.start.Add(2*time.Second)))
		return err
	})
	for _, moment := range []string{"before release.prepared", "after release.prepared"} {
		w.dies(moment, func() error { return nil })
	}
	rel, _ := w.standing(id)
	if rel.State != relay.ReleaseInReview {
		w.t.Fatalf("the release is %s, want review", rel.State)
	}
	left, err := os.ReadDir(filepath.Join(w.relay.Data, "tmp"))
	w.must(err)
	for _, entry := range left {
		w.t.Errorf("%s is left of an attempt that was cut off", entry.Name())
	}
	r := shelved{rel, mailbox}
	w.approved(r)
	w.plays(w.watching(r), r)
}

// uploading: footage whose row was not written can be brought again, and is then there once.
func (w *world) uploading() {
	const name = "again.mp4"
	start := w.start.AddDate(0, 0, -1)
	path, err := clip()
	w.must(err)
	bring := func() error {
		f, err := os.Open(path)
		w.must(err)
		defer f.Close()
		return w.home.Upload(w.ctx, camera, name, start, f)
	}
	w.dies("before clip.received", bring)
	w.must(bring())
	_, err = w.relay.Clip(w.ctx, name)
	w.must(err)
	if err := bring(); err == nil {
		w.t.Error("the same footage was taken twice")
	} else {
		w.refused(err, http.StatusUnprocessableEntity, "the same footage")
	}
	w.must(w.relay.With(w.ctx, func(s *storage.Store) error {
		all, err := s.DB.Clips(w.ctx, storage.ClipFilter{Limit: 100})
		n := 0
		for _, c := range all {
			if c.Name == name {
				n++
			}
		}
		if err == nil && n != 1 {
			err = fmt.Errorf("%d clips are kept, want one", n)
		}
		return err
	}))
}
