package worker

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"cliplease/relay"
	"cliplease/storage"
)

// TestPrepareAgain: after an edit the footage is not searched again, and the copies get the bytes
// that a whole search gives. What is kept for it is sealed; damaged, it is searched for anew; and it
// goes with the release.
func TestPrepareAgain(t *testing.T) {
	h := newHome(t)
	ctx := t.Context()
	clip := h.ready("6")
	q := h.asks(clip)
	d := h.draft(clip, q)
	rel, err := h.DB.PrepareRelease(ctx, q.ID, clip.ID, d, h.member.ID, h.watch.now())
	h.ok(err)
	w := h.works(h.config())
	round := func(d relay.Draft) (relay.Release, storage.Search) {
		t.Helper()
		h.ok(h.DB.EditRelease(ctx, rel.ID, d, h.member.ID, h.watch.now()))
		rel := h.prepared(rel.ID)
		if rel.State != relay.ReleaseInReview {
			t.Fatalf("round %d is %s: %s", rel.Round, rel.State, rel.Failure)
		}
		search, err := h.DB.SearchOf(ctx, rel.ID)
		h.ok(err)
		return rel, search
	}
	h.prepared(rel.ID)
	first, err := h.DB.SearchOf(ctx, rel.ID)
	h.ok(err)
	sealed, err := os.ReadFile(findObject(t, h, first.Object))
	h.ok(err)
	if strings.HasPrefix(string(sealed), "\x1f\x8b") || int64(len(sealed)) <= first.Bytes {
		t.Error("what was found lies in the object store in the clear")
	}

	d.Edits = json.RawMessage(`[{"kind":"box","follow":true,"keys":[{"at_ns":500000000,"x":0.4,"y":0.4,"w":0.2,"h":0.2}]}]`)
	again, search := round(d)
	if search != first {
		t.Errorf("round %d searched again: %+v, want %+v", again.Round, search, first)
	}

	h.ok(os.WriteFile(findObject(t, h, first.Object), append(sealed[:len(sealed)-1], sealed[len(sealed)-1]^1), 0o600))
	anew, search := round(d)
	if search.KeyID == first.KeyID || search.Object == first.Object {
		t.Error("a damaged search is still the one that is kept")
	}
	for i := range anew.Copies {
		if a, b := again.Copies[i], anew.Copies[i]; a.SHA256 != b.SHA256 || a.SHA256 == "" {
			t.Errorf("copy %d has other bytes with what was known (%s) than without (%s)", i, a.SHA256, b.SHA256)
		}
	}
	h.await("the damaged search is gone", func() bool {
		return !slices.Contains(h.keys(), first.KeyID) && !slices.Contains(h.objects(), first.Object)
	})

	d.To = d.To.Add(1e9)
	if _, other := round(d); other.KeyID == search.KeyID {
		t.Error("another window takes over what was found in the one before")
	}
	h.ok(h.DB.DiscardRelease(ctx, rel.ID, h.member.ID, h.watch.now()))
	h.await("all of it is gone", func() bool { return len(h.keys()) == 0 && len(h.objects()) == 1 })
	if _, err := h.DB.SearchOf(ctx, rel.ID); !errors.Is(err, relay.ErrNotFound) {
		t.Errorf("after the end: %v", err)
	}
	h.stops(w)
	if !strings.Contains(h.log.String(), "searched again") {
		t.Error("the log does not say that a search was damaged")
	}
}

// TestSearchOrphan: what an attempt found and nobody recorded is swept up like any other orphan, and
// what is recorded stays.
func TestSearchOrphan(t *testing.T) {
	h := newHome(t)
	ctx := t.Context()
	clip := h.ready("6")
	q := h.asks(clip)
	rel, err := h.DB.PrepareRelease(ctx, q.ID, clip.ID, h.draft(clip, q), h.member.ID, h.watch.now())
	h.ok(err)
	w := &Worker{Config: h.config()}
	file := t.TempDir() + "/found"
	h.ok(os.WriteFile(file, []byte("what was found"), 0o600))
	m := made{worker: w, rel: rel}
	kept, err := m.sealSearch(ctx, file)
	h.ok(err)
	lost, err := (&made{worker: w, rel: rel}).sealSearch(ctx, file) // and killed here
	h.ok(err)
	h.ok(h.DB.Prepared(ctx, rel.ID, 1, rel.Copies, "", 0, relay.Summary{}, kept, h.watch.now()))
	h.ok(w.sweepOrphans(ctx))
	h.watch.pass(orphanAge * 2)
	h.ok(w.sweepOrphans(ctx))
	for id, want := range map[string]bool{kept.KeyID: true, lost.KeyID: false} {
		if slices.Contains(h.keys(), id) != want {
			t.Errorf("key %s is there: %t, want %t", id, !want, want)
		}
	}
	for name, want := range map[string]bool{kept.Object: true, lost.Object: false} {
		if slices.Contains(h.objects(), name) != want {
			t.Errorf("object %s is there: %t, want %t", name, !want, want)
		}
	}
	path, err := w.earlier(ctx, rel.ID, t.TempDir()+"/earlier")
	h.ok(err)
	if b, err := os.ReadFile(path); err != nil || string(b) != "what was found" {
		t.Errorf("%q, %v", b, err)
	}
}
