package storage

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cliplease/relay"
)

// TestVerify breaks one promise after the other behind the service's back, and wants each found.
func TestVerify(t *testing.T) {
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			h := newHome(t, Config{Dir: filepath.Join(t.TempDir(), "data"), Database: e.empty(t)})
			ctx := h.ctx()
			live, s := h.leases()
			w := h.watches(h.opens(s))
			over, _ := h.leases()
			h.ok(h.DB.RevokeRelease(ctx, over.ID, h.member.ID, "", h.now))
			h.shreds(over.ID)
			ending, _ := h.leases()
			h.ok(h.DB.RevokeRelease(ctx, ending.ID, h.member.ID, "", h.now))
			garden := relay.Mask{Name: "garden", X: 0.5, Y: 0.5, W: 0.2, H: 0.2}
			_, err := h.DB.SetMasks(ctx, h.camera.ID, []relay.Mask{garden}, 0, h.member.ID, h.now)
			h.ok(err)
			_, err = h.DB.SetMasks(ctx, h.camera.ID, nil, 1, h.member.ID, h.now)
			h.ok(err)
			_, err = h.DB.Checkpoint(ctx, h.site.LogOrigin(), h.Identity.Audit, h.now)
			h.ok(err)
			v, err := h.Verify(ctx)
			h.ok(err)
			if v.Entries != h.logSize() || v.Signed != v.Entries || v.Checkpoints != 1 || v.Requests != 3 || v.Releases != 3 || v.Keys == 0 {
				t.Errorf("verified %+v", v)
			}
			for _, tt := range []struct{ finding, statement, id string }{
				{"entry 5", "UPDATE log_entries SET event = replace(event, 'actor', 'actr') WHERE idx = 5", ""},
				{"filed as", "UPDATE log_entries SET kind = 'clip.received' WHERE idx = 5", ""},
				{"one of them was changed", "UPDATE log_entries SET leaf = replace(leaf, '2026', '2025'), event = '', salt = '' WHERE idx = 5", ""},
				{"entry 7 is missing", "DELETE FROM log_entries WHERE idx = 7", ""},
				{"entry 5: stored hash 8", "UPDATE log_entries SET leaf = replace(leaf, '2026', '2025'), event = '', salt = '' WHERE idx = 5", ""},
				{"entry 2: stored hash 3", "UPDATE log_hashes SET hash = (SELECT hash FROM log_hashes WHERE idx = 4) WHERE idx = 3", ""},
				{"entry 2: stored hash 3", "DELETE FROM log_hashes WHERE idx = 3", ""},
				{"stored hash 2 is not that of entries 0 to 1", "DELETE FROM log_hashes WHERE idx = 2", ""},
				{"says", "UPDATE log_state SET size = size + 1", ""},
				{"not this relay's", "UPDATE checkpoints SET note = replace(note, 'relay', 'other')", ""},
				{"a checkpoint states", "DELETE FROM log_entries WHERE idx = (SELECT max(idx) FROM log_entries)", ""},
				{"its events leave it", "UPDATE releases SET state = 'expired', ended_at = 1, epoch = 1 WHERE id = $1", live.ID},
				{"its events leave it", "UPDATE releases SET state = 'live', epoch = 0, ended_at = 0 WHERE id = $1", ending.ID},
				{"its events leave it", "UPDATE releases SET round = 2 WHERE id = $1", live.ID},
				{"with 0 grants", "DELETE FROM grants WHERE release_id = $1", live.ID},
				{"not the one of its grant", "UPDATE releases SET expires_at = expires_at + 3600000 WHERE id = $1", live.ID},
				{"the grant names another access", "UPDATE releases SET draft = replace(draft, '\"max_views\":5', '\"max_views\":6') WHERE id = $1", live.ID},
				{"the grant names another file", "UPDATE releases SET copies = replace(copies, '\"SHA256\":\"', '\"SHA256\":\"0') WHERE id = $1", live.ID},
				{"passkey did not sign", "UPDATE grants SET signature = client_data WHERE release_id = $1", live.ID},
				{"the log does not name its grant", "UPDATE grants SET log_index = log_index - 1 WHERE release_id = $1", live.ID},
				{"its token was changed", "UPDATE requests SET jws = jws || 'x' WHERE release_id = $1", live.ID},
				{"request.withdrawn", "UPDATE requests SET withdrawn_at = 1 WHERE release_id = $1", live.ID},
				{"request.declined", "UPDATE requests SET state = 'closed', reason = 'declined' WHERE release_id = $1", live.ID},
				{"does not follow", "UPDATE requests SET ended_at = 1 WHERE release_id = $1", live.ID},
				{"a release that is none", "UPDATE requests SET release_id = 'x' WHERE release_id = $1", live.ID},
				{"goes further", "UPDATE links SET max_views = 6 WHERE release_id = $1", live.ID},
				{"goes further", "UPDATE links SET expires_at = expires_at + 1000 WHERE release_id = $1", live.ID},
				{"1 views were started and 2 counted", "UPDATE links SET views_used = views_used + 1 WHERE id = $1", s.Links[0].Link.ID},
				{"whether it has ended", "UPDATE links SET revoked_at = 0 WHERE release_id = $1", over.ID},
				{"whether it has ended", "UPDATE links SET revoked_at = 1 WHERE release_id = $1", live.ID},
				{"sessions still run", "UPDATE links SET revoked_at = 1 WHERE id = $1", w.LinkID},
				{"does not name", "UPDATE links SET copy_id = 'x' WHERE release_id = $1", live.ID},
				{"nothing is queued", "DELETE FROM river_job WHERE kind = 'release.shred'", ""},
				{"clip.disposed", "UPDATE clips SET state = 'disposed'", ""},
				{"clip.refused", "UPDATE clips SET state = 'refused'", ""},
				{"member.removed", "UPDATE members SET removed_at = 1", ""},
				{"member.joined", "INSERT INTO members (id, name, email, role, created_at) VALUES ('x', '', '', 'homeowner', 1)", ""},
				{"not the last of their history", "UPDATE cameras SET masks = '[{\"x\":0,\"y\":0,\"w\":1,\"h\":1}]'", ""},
				{"not the last of their history", "DELETE FROM camera_masks WHERE version = 1", ""},
				{"camera.masked", "UPDATE cameras SET mask_version = 1", ""},
				{"masks 1 of camera", "UPDATE camera_masks SET masks = '[]' WHERE version = 1", ""},
				{"its secret is kept", "UPDATE outbox SET state = 'sent' WHERE kind = 'link'", ""},
			} {
				if got := h.broken(tt.statement, tt.id); !strings.Contains(got, tt.finding) {
					t.Errorf("%s: found %q, want %q", tt.statement, got, tt.finding)
				}
			}
			if _, err := h.Keys.New(ctx, over.Copies[0].ID, over.ID); err != nil {
				t.Fatal(err)
			}
			if _, err := h.Verify(ctx); err == nil || !strings.Contains(err.Error(), "called shredded") {
				t.Errorf("a key of a shredded release: found %v", err)
			}
			h.ok(h.Keys.Destroy(ctx, over.Copies[0].ID))
			h.ok(func() error { _, err := h.Verify(ctx); return err }())
		})
	}
}

// broken returns what Verify finds after statement, and undoes the statement.
func (h *home) broken(statement, id string) string {
	h.t.Helper()
	ctx := context.Background()
	conn, err := h.DB.write.Conn(ctx)
	h.ok(err)
	tables := []string{"log_entries", "log_hashes", "log_state", "checkpoints", "releases", "grants", "requests", "links", "view_sessions", "clips", "cameras", "camera_masks", "members", "outbox", "river_job"}
	exec := func(q string, args ...any) {
		h.t.Helper()
		if _, err := conn.ExecContext(ctx, q, args...); err != nil {
			h.t.Fatalf("%s: %v", q, err)
		}
	}
	off, on := "PRAGMA foreign_keys = OFF", "PRAGMA foreign_keys = ON"
	if h.DB.pool != nil {
		off, on = "SET session_replication_role = replica", "SET session_replication_role = origin"
	}
	exec(off)
	for _, name := range tables {
		exec("CREATE TABLE kept_" + name + " AS SELECT * FROM " + name)
	}
	var args []any
	if id != "" {
		args = []any{id}
	}
	exec(statement, args...)
	conn.Close()
	_, found := h.Verify(ctx)
	conn, err = h.DB.write.Conn(ctx)
	h.ok(err)
	for _, name := range tables {
		exec("DELETE FROM " + name)
		exec("INSERT INTO " + name + " SELECT * FROM kept_" + name)
		exec("DROP TABLE kept_" + name)
	}
	exec(on)
	conn.Close()
	if found == nil {
		return ""
	}
	return found.Error()
}

// TestImpossibleRows asks the database itself to refuse rows that no move makes.
func TestImpossibleRows(t *testing.T) {
	forEachDB(t, func(t *testing.T, h *home) {
		live, s := h.leases()
		review := h.prepares(h.asks())
		for _, q := range []string{
			"UPDATE releases SET state = 'sent'",
			"UPDATE releases SET grant_doc = '' WHERE id = '" + live.ID + "'",
			"UPDATE releases SET state = 'live' WHERE id = '" + review.ID + "'",
			"UPDATE releases SET state = 'revoked' WHERE id = '" + live.ID + "'",
			"UPDATE releases SET shredded_at = 1 WHERE id = '" + live.ID + "'",
			"UPDATE releases SET clip_id = 'none'",
			"UPDATE requests SET state = 'closed'",
			"UPDATE requests SET reason = 'declined'",
			"UPDATE requests SET ended_at = 1 WHERE release_id = ''",
			"UPDATE requests SET agency_id = 'none'",
			"UPDATE links SET views_used = max_views + 1",
			"UPDATE links SET views_used = -1",
			"UPDATE links SET token_hash = '" + s.Links[0].Link.TokenHash + "'",
			"UPDATE clips SET state = 'lost'",
			"UPDATE members SET role = 'admin'",
			"UPDATE agencies SET status = 'new'",
			"UPDATE agency_keys SET kid = 'short'",
			"UPDATE agency_keys SET alg = 'HS256'",
			"UPDATE outbox SET state = 'new'",
			"INSERT INTO log_state (id, size) VALUES (2, 0)",
			"DELETE FROM agencies",
			"DELETE FROM releases",
		} {
			if _, err := h.DB.write.ExecContext(h.ctx(), q); err == nil {
				t.Errorf("the database took %s", q)
			}
		}
	})
}

func TestSettings(t *testing.T) {
	forEachDB(t, func(t *testing.T, h *home) {
		ctx, db := h.ctx(), h.DB
		_, err := db.Setting(ctx, "a")
		h.fails(err, relay.ErrNotFound)
		for _, value := range []string{"one", "two"} {
			got, err := db.SetOnce(ctx, "a", value)
			h.ok(err)
			if got != "one" {
				t.Errorf("the setting is %q", got)
			}
		}
		h.ok(db.Set(ctx, "a", "three"))
		if got, err := db.Setting(ctx, "a"); err != nil || got != "three" {
			t.Errorf("the setting is %q, %v", got, err)
		}
		h.ok(db.Check(ctx))
	})
}

// TestOpenAgain opens a store of an older and of a newer version.
func TestOpenAgain(t *testing.T) {
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			cfg := Config{Dir: filepath.Join(t.TempDir(), "data"), Database: e.empty(t), Site: testSite}
			h := newHome(t, cfg)
			live, _ := h.leases()
			again, err := Open(h.ctx(), cfg)
			h.ok(err)
			got, err := again.DB.Release(h.ctx(), live.ID)
			h.ok(err)
			if got.State != relay.ReleaseIsLive {
				t.Errorf("after another start it is %s", got.State)
			}
			invariants(t, again)
			h.ok(again.Close())
			h.corrupt("INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, TRUE)")
			if _, err := Open(h.ctx(), cfg); err == nil || !strings.Contains(err.Error(), "install the newer cliplease") {
				t.Errorf("a newer database was opened: %v", err)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		want string
		cfg  Config
	}{
		{"chmod 700", Config{Dir: dir}},
		{"is no database", Config{Dir: filepath.Join(t.TempDir(), "a"), Database: "mysql://x"}},
		{"open the database", Config{Dir: filepath.Join(t.TempDir(), "b"), Database: "postgres://nobody@127.0.0.1:1/x?sslmode=disable&connect_timeout=2"}},
	} {
		tt.cfg.Site = testSite
		s, err := Open(t.Context(), tt.cfg)
		if err == nil || !strings.Contains(err.Error(), tt.want) || s != nil {
			t.Errorf("%+v: error %v, want %q", tt.cfg, err, tt.want)
		}
	}
	garbage := filepath.Join(t.TempDir(), "state.db")
	if err := os.WriteFile(garbage, []byte(strings.Repeat("not a database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenDB(t.Context(), DBConfig{Source: "sqlite:" + garbage}); err == nil {
		t.Error("garbage was opened as a database")
	}
}

// TestStartTogether starts several processes' worth of stores on one empty database at once.
func TestStartTogether(t *testing.T) {
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			cfg := Config{Dir: filepath.Join(t.TempDir(), "data"), Database: e.empty(t), Site: testSite}
			type opened struct {
				s   *Store
				err error
			}
			results := make(chan opened)
			for range 4 {
				go func() {
					s, err := Open(context.Background(), cfg)
					results <- opened{s, err}
				}()
			}
			for range 4 {
				o := <-results
				if o.err != nil {
					t.Errorf("one of four starts fails: %v", o.err)
					continue
				}
				if err := o.s.DB.Record(t.Context(), relay.Event{Kind: relay.Started, Subject: "relay", Actor: "relay", At: time.Unix(1e9, 0)}); err != nil {
					t.Error(err)
				}
				defer o.s.Close()
			}
		})
	}
}
