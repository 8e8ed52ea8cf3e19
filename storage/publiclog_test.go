package storage

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cliplease/relay"
)

// grows lets hours pass and brings the public tree up to them.
func (h *home) grows(hours int) {
	h.t.Helper()
	h.now = h.now.Add(time.Duration(hours) * time.Hour)
	_, err := h.GrowPublic(h.ctx(), h.site, relay.PublicRate, h.now)
	h.ok(err)
}

// publicSize is how many leaves the public tree has.
func (h *home) publicSize() (n int64) {
	h.t.Helper()
	h.ok(h.DB.read.QueryRowContext(h.ctx(), "SELECT size FROM public_log WHERE id = 1").Scan(&n))
	return n
}

func TestPublicLog(t *testing.T) {
	forEachDB(t, func(t *testing.T, h *home) {
		ctx, db := h.ctx(), h.DB
		if _, _, err := db.PublicCheckpoint(ctx); !errors.Is(err, relay.ErrNotFound) {
			t.Errorf("a checkpoint before the first hour: %v", err)
		}
		h.grows(0)
		rel, _ := h.leases()
		h.ok(db.RevokeRelease(ctx, rel.ID, h.member.ID, "", h.now))
		if n := h.publicSize(); n != 0 {
			t.Fatalf("%d leaves within the first hour", n)
		}
		// Whatever happens, an hour is twelve leaves.
		h.grows(1)
		busy := h.publicSize()
		for range 40 {
			h.ok(db.Record(ctx, relay.Event{Kind: relay.RequestReceived, Subject: "x", Actor: "y", At: h.now}))
		}
		last := h.logSize() - 1
		h.grows(1)
		crowded := h.publicSize()
		if _, err := db.PublicProof(ctx, last); err != nil {
			t.Errorf("an entry that waits for its turn stands under the root: %v", err)
		}
		h.grows(1)
		h.grows(3)
		if quiet := h.publicSize(); busy != 12 || crowded != 24 || quiet != 72 {
			t.Errorf("%d, %d and %d leaves, want 12, 24 and 72", busy, crowded, quiet)
		}
		key, err := h.Identity.AuditVerifier()
		h.ok(err)
		own := 0
		for i := range h.logSize() {
			p, err := db.PublicProof(ctx, i)
			h.ok(err)
			h.ok(p.Verify(key))
			if p.Log == nil {
				own++
			}
			for name, change := range map[string]func(*relay.EntryProof){
				"another entry": func(p *relay.EntryProof) {
					p.Entry.Index++
					p.Entry.Leaf = strings.Replace(p.Entry.Leaf, `"c":"`, `"c":"x`, 1)
				},
				"another event": func(p *relay.EntryProof) { p.Entry.Event = json.RawMessage(`{}`) },
				"another leaf":  func(p *relay.EntryProof) { p.Leaf = strings.Replace(p.Leaf, `"c":"`, `"c":"x`, 1) },
				"another place": func(p *relay.EntryProof) { p.Place.Index ^= 1 },
				"another relay's": func(p *relay.EntryProof) {
					p.Checkpoint = strings.Replace(p.Checkpoint, "relay.example", "other.example", 1)
				},
				"a shorter proof":  func(p *relay.EntryProof) { p.Place.Hashes = p.Place.Hashes[1:] },
				"a root of theirs": func(p *relay.EntryProof) { p.Log = &relay.LogProof{Root: "x", Salt: strings.Repeat("0", 64)} },
			} {
				raw, err := json.Marshal(p)
				h.ok(err)
				var changed relay.EntryProof
				h.ok(json.Unmarshal(raw, &changed))
				change(&changed)
				if changed.Verify(key) == nil {
					t.Fatalf("entry %d with %s verifies", i, name)
				}
			}
		}
		if own < 40 {
			t.Errorf("%d entries have a leaf of their own", own)
		}
		for _, old := range []int64{0, 12, 24, 72} {
			p, err := db.PublicGrowth(ctx, old)
			h.ok(err)
			h.ok(p.Verify(key))
			if old == 24 {
				p.Old = strings.Replace(p.Old, "\n24\n", "\n36\n", 1)
				if p.Verify(key) == nil {
					t.Error("a growth from another size verifies")
				}
			}
		}
		if _, err := db.PublicGrowth(ctx, 13); !errors.Is(err, relay.ErrNotFound) {
			t.Errorf("a growth from no checkpoint: %v", err)
		}
		// Leaves tell nothing: all look alike, and so do all hours.
		rows, err := list(ctx, db.read, func(r scanner) (leaf string, err error) { err = r.Scan(&leaf); return }, "SELECT leaf FROM public_leaves ORDER BY idx")
		h.ok(err)
		seen := map[string]bool{}
		for i, leaf := range rows {
			var l struct{ C, H string }
			h.ok(json.Unmarshal([]byte(leaf), &l))
			hour := time.Date(2026, 11, 22, 16+i/12, 0, 0, 0, time.UTC).Format("2006-01-02T15")
			if len(leaf) != len(rows[0]) || seen[l.C] || l.H != hour {
				t.Errorf("leaf %d is %s", i, leaf)
			}
			seen[l.C] = true
		}
		if _, err := h.GrowPublic(ctx, h.site, 1, h.now); err == nil {
			t.Error("a rate of one leaf is accepted")
		}
		h.now = h.now.Add(100 * 24 * time.Hour)
		if hours, err := h.GrowPublic(ctx, h.site, 2, h.now); err != nil || hours != catchUp+1 {
			t.Errorf("after a long sleep it grew by %d hours, %v", hours, err)
		}
		if n := h.publicSize(); n != 72+(catchUp+1)*2 {
			t.Errorf("after a long sleep there are %d leaves", n)
		}
		if got := h.publicBroken("UPDATE public_leaves SET leaf = replace(leaf, '2026-11-22T17', '2026-11-22T18') WHERE idx = 13"); !strings.Contains(got, "public leaf 13") {
			t.Errorf("a changed leaf: %s", got)
		}
	})
}

// publicBroken returns what Verify finds after a statement in a copy of the relay.
func (h *home) publicBroken(statement string) string {
	h.t.Helper()
	dir := filepath.Join(h.t.TempDir(), "copy")
	h.ok(h.DB.copyInto(h.ctx(), dir))
	db, err := OpenDB(h.ctx(), DBConfig{Source: "sqlite:" + dir, Keys: h.Keys})
	h.ok(err)
	defer db.Close()
	if _, err := db.write.ExecContext(h.ctx(), statement); err != nil {
		h.t.Fatal(err)
	}
	s := *h.Store
	s.DB = db
	if _, err := s.Verify(h.ctx()); err != nil {
		return err.Error()
	}
	return ""
}

func TestForget(t *testing.T) {
	forEachDB(t, func(t *testing.T, h *home) {
		ctx, db := h.ctx(), h.DB
		h.grows(0)
		h.leases()
		for range 3 {
			h.ok(db.Record(ctx, relay.Event{Kind: relay.MemberSignedIn, Subject: h.member.ID, Actor: h.member.ID, At: h.now}))
			h.ok(db.Record(ctx, relay.Event{Kind: relay.Started, Subject: "relay", Actor: "relay", At: h.now}))
			h.grows(1)
		}
		_, err := db.Checkpoint(ctx, h.site.LogOrigin(), h.Identity.Audit, h.now)
		h.ok(err)
		_, err = db.Forget(ctx, relay.ReleaseGranted, h.now, "command line", h.now)
		if invalid := new(relay.InvalidError); !errors.As(err, &invalid) {
			t.Errorf("a grant can be forgotten: %v", err)
		}
		size := h.logSize()
		if n, err := db.Forget(ctx, relay.MemberSignedIn, h.now.Add(-time.Hour), "command line", h.now); err != nil || n != 2 {
			t.Errorf("%d sign-ins forgotten, %v", n, err)
		}
		if n, err := db.Forget(ctx, "", h.now.Add(time.Hour), "command line", h.now); err != nil || n != 4 {
			t.Errorf("%d of all that may be are forgotten, %v", n, err)
		}
		if n, err := db.Forget(ctx, "", h.now.Add(time.Hour), "command line", h.now); err != nil || n != 0 || h.logSize() != size+2 {
			t.Errorf("nothing to forget: %d, %v; the log has %d entries", n, err, h.logSize())
		}
		text, checkpoints := h.export()
		if strings.Contains(text, `"kind":"`+string(relay.MemberSignedIn)) {
			t.Error("the export still says who signed in")
		}
		_, err = relay.VerifyLog(strings.NewReader(text), checkpoints)
		h.ok(err)
		var left int
		h.ok(db.read.QueryRowContext(ctx, "SELECT count(*) FROM log_entries WHERE event = '' AND (salt <> '' OR kind <> '' OR subject <> '' OR at % 3600000 <> 0)").Scan(&left))
		if left > 0 {
			t.Errorf("%d forgotten entries say more than their hour", left)
		}
		if p, err := db.PublicProof(ctx, size-1); err != nil || p.Entry.Event != nil {
			t.Errorf("the proof of a forgotten entry: %+v, %v", p.Entry, err)
		}
	})
}
