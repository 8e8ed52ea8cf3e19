package storage

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cliplease/relay"
)

// TestLife goes the whole way once: asked, prepared, signed, opened, watched, revoked, shredded.
func TestLife(t *testing.T) {
	forEachDB(t, func(t *testing.T, h *home) {
		q := h.asks()
		h.ok(h.DB.UpdateRequest(h.ctx(), q.ID, func(q *relay.Request) (relay.Event, error) { return q.See(h.member.ID, h.now) }))
		rel := h.prepares(q)
		if rel.State != relay.ReleaseInReview || rel.Progress != 100 || len(rel.Copies) != 2 {
			t.Fatalf("after preparing: %+v", rel)
		}
		rel, s := h.signs(q, rel)
		if rel.State != relay.ReleaseIsLive || string(rel.Grant) != string(s.Canonical) || !rel.ExpiresAt.Equal(rel.Draft.Expires) {
			t.Fatalf("after signing: %+v", rel)
		}
		q, err := h.DB.AgencyRequest(h.ctx(), h.agency.ID, q.ID)
		h.ok(err)
		if diff := cmp.Diff(relay.AgencyView{State: "released", ReleaseID: rel.ID}, q.AgencyView(h.now)); diff != "" {
			t.Error(diff)
		}
		o := h.opens(s)
		v := h.watches(o)
		h.ok(h.DB.Watched(h.ctx(), v.TokenHash, 1<<33, h.now.Add(time.Minute)))
		got, err := h.DB.View(h.ctx(), v.TokenHash, "view")
		h.ok(err)
		if got.Link.ViewsUsed != 1 || got.Session.Bytes != 1<<33 || got.Copy.ID != o.Link.CopyID || got.Link.Playable(got.Release, h.now) != nil {
			t.Errorf("while watching: %+v", got)
		}
		h.now = h.now.Add(2 * time.Minute)
		h.ok(h.DB.RevokeRelease(h.ctx(), rel.ID, h.member.ID, "enough", h.now))
		_, err = h.DB.View(h.ctx(), v.TokenHash, "view")
		h.fails(err, relay.ErrNotFound)
		invariants(t, h.Store)
		h.shreds(rel.ID)
		q, err = h.DB.Request(h.ctx(), q.ID)
		h.ok(err)
		if diff := cmp.Diff(relay.AgencyView{State: "closed", Ended: true}, q.AgencyView(h.now)); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]relay.EventKind{relay.ReleasePreparing, relay.ReleasePrepared, relay.ReleaseGranted, relay.LinkOpened, relay.CodeAccepted,
			relay.ViewEnded, relay.ReleaseRevoked, relay.ReleaseShredded}, h.events(rel.ID)); diff != "" {
			t.Error(diff)
		}
		for kind, want := range map[string]int{"clip.probe": 1, "request.notify": 1, "release.prepare": 1, "objects.dispose": 1, "release.shred": 1} {
			if n := h.jobs(kind); n != want {
				t.Errorf("%d jobs %s, want %d", n, kind, want)
			}
		}
		mails := map[string]int{}
		for _, subject := range []string{q.ID, rel.ID} {
			about, err := h.DB.MailAbout(h.ctx(), subject)
			h.ok(err)
			for _, m := range about {
				mails[m.Kind]++
			}
		}
		if diff := cmp.Diff(map[string]int{"ready": 1, "released": 1, "ended": 1, "link": 1, "code": 1, "over": 1}, mails); diff != "" {
			t.Error(diff)
		}
	})
}
