package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/storage"
)

// TestExpiry lets a lease run out while it is watched: like a revoke, but nobody acts.
func TestExpiry(t *testing.T) {
	onBoth(t, func(t *testing.T, e engine) {
		w := settled(t, e)
		request, release := w.live(w.ask(), w.draft())
		link := w.link()
		v := w.watching(link)
		w.plays(v, release)
		rel, has, err := w.relay.Release(w.ctx, release)
		w.must(err)
		// What the relay does every few seconds, at the hour at which the lease ends.
		w.must(w.relay.With(w.ctx, func(s *storage.Store) error {
			early, err := s.DB.ExpireReleases(w.ctx, rel.ExpiresAt.Add(-time.Second))
			if err != nil {
				return err
			}
			ended, err := s.DB.ExpireReleases(w.ctx, rel.ExpiresAt)
			if len(early) != 0 || len(ended) != 1 || ended[0] != release {
				t.Errorf("a second before the end %v ended, at the end %v", early, ended)
			}
			return err
		}))
		_, err = v.Play(w.ctx, io.Discard)
		w.refused(err, http.StatusNotFound, "a range after the end")
		_, err = w.relay.Open(w.ctx, link)
		w.refused(err, http.StatusNotFound, "the link after the end")
		w.stands(request, relay.AgencyView{State: "closed", Ended: true})
		w.must(w.relay.AwaitGone(w.ctx, has))
	})
}

// TestMaxViews opens a link as often as the grant allows, and once more.
func TestMaxViews(t *testing.T) {
	w := settled(t, small)
	d := w.draft()
	d.MaxViews = 2
	_, release := w.live(w.ask(), d)
	link := w.link()
	w.plays(w.watching(link), release)
	last := w.watching(link)
	if _, err := w.relay.Open(w.ctx, link); err == nil {
		t.Error("the link opened a third time")
	} else {
		w.refused(err, http.StatusNotFound, "the link after its last view")
	}
	w.plays(last, release) // the view that was counted goes on
}

// TestKeyRecipient makes a release for a system of the agency, which proves itself by its key.
func TestKeyRecipient(t *testing.T) {
	onBoth(t, func(t *testing.T, e engine) {
		w := settled(t, e)
		k := w.ask()
		k.Recipients = []relay.RecipientAsk{{Kind: relay.RecipientKey, KID: w.agency.KID}}
		_, release := w.live(k, w.draft())
		out := filepath.Join(w.dir, "fetched.mp4")
		res, err := w.agency.Open(w.ctx, release, out)
		w.must(err)
		w.ended(res, 0, "SHA-256", []string{"agency", "open"})
		raw, err := os.ReadFile(out)
		w.must(err)
		rel, has, err := w.relay.Release(w.ctx, release)
		w.must(err)
		if sum := sha256.Sum256(raw); hex.EncodeToString(sum[:]) != rel.Copies[0].SHA256 {
			t.Error("what was fetched is not the released file")
		}
		for _, m := range w.mail.Mails() {
			if m.To[0] != memberMail {
				t.Errorf("a mail went to %s, though the recipient is a key", m.To)
			}
		}

		// Another agency with a good key of its own gets nothing.
		other, err := w.relay.NewAgency(w.ctx, w.dir, "urn:cliplease:agency:us-mn-elsewhere-pd", "Elsewhere Police Department", "elsewhere.example")
		w.must(err)
		w.must(other.Register(w.ctx))
		res, err = other.Open(w.ctx, release, filepath.Join(w.dir, "stolen.mp4"))
		w.must(err)
		w.ended(res, 1, "", []string{"agency", "open", "by another agency"})

		w.must(w.home.Revoke(w.ctx, release, ""))
		res, err = w.agency.Open(w.ctx, release, filepath.Join(w.dir, "late.mp4"))
		w.must(err)
		w.ended(res, 1, "", []string{"agency", "open", "after the revoke"})
		w.must(w.relay.AwaitGone(w.ctx, has))
		for _, name := range []string{"stolen.mp4", "late.mp4"} {
			if _, err := os.Stat(filepath.Join(w.dir, name)); !os.IsNotExist(err) {
				t.Errorf("%s was written", name)
			}
		}
	})
}

// TestTwoRecipients makes one release for two people: each has a copy, a link and a mailbox of
// their own, and the link of one does not open with the code of the other.
func TestTwoRecipients(t *testing.T) {
	const second = "sgt.lee@pd.example"
	w := settled(t, small)
	k, d := w.ask(), w.draft()
	k.Recipients = append(k.Recipients, relay.RecipientAsk{Kind: relay.RecipientEmail, Addr: second, Name: "Sgt. Lee"})
	d.Recipients = []string{"0", "1"}
	_, release := w.live(k, d)
	mine := w.watching(w.link())
	link, err := w.relay.AwaitLink(w.ctx, second)
	w.must(err)
	theirs, err := w.relay.Open(w.ctx, link)
	w.must(err)
	w.must(theirs.AskCode(w.ctx))
	code, err := w.relay.AwaitCode(w.ctx, second)
	w.must(err)
	if err := theirs.Verify(w.ctx, w.codes[0]); err == nil {
		t.Error("the code of the other recipient opened the link")
	}
	w.must(theirs.Verify(w.ctx, code))
	a, err := mine.Play(w.ctx, io.Discard)
	w.must(err)
	b, err := theirs.Play(w.ctx, io.Discard)
	w.must(err)
	if a.SHA256 == b.SHA256 {
		t.Error("both recipients got the same file")
	}
	rel, _, err := w.relay.Release(w.ctx, release)
	w.must(err)
	if len(rel.Copies) != 2 || a.SHA256 != rel.Copies[0].SHA256 || b.SHA256 != rel.Copies[1].SHA256 {
		t.Error("the files are not the two copies of the release")
	}
}
