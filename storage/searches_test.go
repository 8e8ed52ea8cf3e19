package storage

import (
	"strings"
	"testing"
	"time"

	"cliplease/relay"
)

// TestSearches: what was found is kept from round to round, gives way to what a later round found,
// and goes in the same change that signs the release or gives it up.
func TestSearches(t *testing.T) {
	forEachDB(t, func(t *testing.T, h *home) {
		ctx, db := h.ctx(), h.DB
		kept := func(rel relay.Release, want *Search) {
			t.Helper()
			got, err := db.SearchOf(ctx, rel.ID)
			if want == nil {
				h.fails(err, relay.ErrNotFound)
				return
			}
			h.ok(err)
			if got != *want {
				t.Errorf("kept is %+v, want %+v", got, *want)
			}
		}
		search := func() *Search { return &Search{KeyID: "s" + relay.NewID(), Object: "o" + relay.NewID(), Bytes: 7} }
		used := func(s *Search, want bool) {
			t.Helper()
			key, err := db.InUse(ctx, s.KeyID)
			h.ok(err)
			object, err := db.ObjectInUse(ctx, s.Object)
			h.ok(err)
			all, err := db.UsedObjects(ctx)
			h.ok(err)
			if key != want || object != want || all[s.Object] != want {
				t.Errorf("in use: key %t, object %t, listed %t; want %t", key, object, all[s.Object], want)
			}
		}
		begin := func(s *Search) (relay.Request, relay.Release) {
			t.Helper()
			q := h.asks()
			rel, err := db.PrepareRelease(ctx, q.ID, h.clip.ID, h.draft(q), h.member.ID, h.now)
			h.ok(err)
			h.search = s
			return q, h.works(rel.ID)
		}
		first, second := search(), search()
		q, rel := begin(first)
		kept(rel, first)
		used(first, true)
		before := h.jobs("objects.dispose")
		h.ok(db.EditRelease(ctx, rel.ID, h.draft(q), h.member.ID, h.now))
		kept(rel, first)
		h.ok(db.PrepareFailed(ctx, rel.ID, 2, "no luck", h.now))
		kept(rel, first)
		h.ok(db.EditRelease(ctx, rel.ID, h.draft(q), h.member.ID, h.now))
		h.search = nil
		rel = h.works(rel.ID) // it took over what was found
		kept(rel, first)
		h.ok(db.EditRelease(ctx, rel.ID, h.draft(q), h.member.ID, h.now))
		h.search = second
		rel = h.works(rel.ID)
		kept(rel, second)
		used(first, false)
		used(second, true)
		if n := h.jobs("objects.dispose") - before; n != 4 { // of three rounds, and of the first search
			t.Errorf("%d disposals are queued, want 4", n)
		}
		_, err := h.Verify(ctx)
		h.ok(err)
		h.signs(q, rel)
		kept(rel, nil)
		used(second, false)

		third := search()
		_, rel = begin(third)
		h.ok(db.DiscardRelease(ctx, rel.ID, h.member.ID, h.now))
		kept(rel, nil)
		used(third, false)

		fourth := search()
		q, rel = begin(fourth)
		h.now = q.Claims.RespondBy.Add(time.Hour)
		_, err = db.LapseRequests(ctx, h.now)
		h.ok(err)
		_, err = db.ExpireReleases(ctx, h.now)
		h.ok(err)
		kept(rel, nil)
		used(fourth, false)
		_, err = h.Verify(ctx)
		h.ok(err)

		h.corrupt("INSERT INTO searches (release_id, round, key_id, object, bytes) VALUES ($1, 1, 's', 'o', 1)", rel.ID)
		if _, err = h.Verify(ctx); err == nil || !strings.Contains(err.Error(), "what was found in its footage is kept") {
			t.Errorf("a search of a release that is over: %v", err)
		}
		h.corrupt("DELETE FROM searches")
	})
}
