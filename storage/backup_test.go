package storage

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cliplease/relay"
)

// TestBackup backs a relay up on each engine and restores it on each.
func TestBackup(t *testing.T) {
	for _, from := range engines {
		for _, to := range engines {
			t.Run(from.name+" to "+to.name, func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "data")
				h := newHome(t, Config{Dir: dir, Database: from.empty(t)})
				ctx := h.ctx()
				original := strings.Repeat("an original, ", 10000)
				c, err := h.KeepClip(ctx, relay.Clip{CameraID: "front-door", Name: "kept.mp4", Start: h.now}, strings.NewReader(original), h.member.ID, h.now)
				h.ok(err)
				gone, err := h.KeepClip(ctx, relay.Clip{CameraID: "front-door", Name: "gone.mp4", Start: h.now.Add(-time.Hour)}, strings.NewReader("x"), h.member.ID, h.now)
				h.ok(err)
				h.ok(h.DB.DisposeClip(ctx, gone.ID, h.member.ID, h.now))
				live, s := h.leases()
				h.watches(h.opens(s))
				over, _ := h.leases()
				h.ok(h.DB.RevokeRelease(ctx, over.ID, h.member.ID, "", h.now))
				reviewed := h.prepares(h.asks())
				_, err = h.DB.Checkpoint(ctx, h.site.LogOrigin(), h.Identity.Audit, h.now)
				h.ok(err)
				h.ok(h.DB.InviteAgency(ctx, relay.AgencyInvitation{TokenHash: hexSum("sheriff"), Name: "Sheriff", InvitedBy: h.member.ID, ExpiresAt: h.now.Add(relay.OfferLife)}, h.now))
				size := h.logSize()

				kept, keys := filepath.Join(t.TempDir(), "kept"), filepath.Join(t.TempDir(), "keys")
				b, err := h.Backup(ctx, kept, h.now)
				h.ok(err)
				if b.Objects != 1 || b.Entries != size || b.Relay != h.Identity.RelayKID || len(b.Missing) != 3 { // the clip of the home was never sealed, nor its stills
					t.Errorf("backed up %+v", b)
				}
				h.ok(BackupKeys(dir, keys))
				for _, path := range []string{kept, keys} {
					h.ok(filepath.Walk(path, func(path string, info os.FileInfo, err error) error {
						if err == nil && info.Mode().Perm()&0o077 != 0 {
							t.Errorf("others can read %s", path)
						}
						if err == nil && (strings.HasPrefix(info.Name(), "kek-") || info.Name() == "keys.db") {
							t.Errorf("%s is in the backup", path)
						}
						return err
					}))
				}
				if err := BackupKeys(dir, keys); err == nil || !strings.Contains(err.Error(), "is there already") {
					t.Errorf("over another backup: %v", err)
				}

				now := h.now.Add(time.Hour)
				target := Config{Dir: filepath.Join(t.TempDir(), "restored"), Database: to.empty(t), Site: h.site}
				r, err := Restore(ctx, target, kept, keys, now)
				h.ok(err)
				if diff := cmp.Diff(r, Restored{Backup: r.Backup, Ended: 1, Given: 1}); diff != "" {
					t.Error(diff)
				}
				back, err := Open(ctx, target)
				h.ok(err)
				defer back.Close()
				invariants(t, back)
				for id, want := range map[string]relay.ReleaseState{live.ID: relay.ReleaseIsExpired, over.ID: relay.ReleaseIsRevoked, reviewed.ID: relay.ReleaseIsDiscarded} {
					rel, err := back.DB.Release(ctx, id)
					h.ok(err)
					if rel.State != want || rel.Accessible(now) == nil || (id != over.ID) != (rel.EndReason == relay.EndedByRestore) {
						t.Errorf("a release is %s (%s), want %s", rel.State, rel.EndReason, want)
					}
				}
				body, err := back.Vault.Open(ctx, back.Objects, c.Object)
				h.ok(err)
				got, err := io.ReadAll(body)
				h.ok(err)
				if string(got) != original {
					t.Error("the original is another")
				}
				if open, err := back.DB.AgencyInvitations(ctx, now); err != nil || len(open) != 0 {
					t.Errorf("invitations of agencies still work: %+v, %v", open, err)
				}
				if until, err := back.DB.IntakeOpens(ctx); err != nil || !until.Equal(now.Add(IntakeClosed)) {
					t.Errorf("agencies are refused until %s, %v", until, err)
				}
				for kind, want := range map[string]int{"release.shred": 3, "clip.probe": 1} {
					var n int
					h.ok(back.DB.read.QueryRowContext(ctx, "SELECT count(*) FROM river_job WHERE kind = $1", kind).Scan(&n))
					if n != want {
						t.Errorf("%d jobs %s, want %d", n, kind, want)
					}
				}
				for id := range back.Keys.IDs(ctx) {
					if !strings.HasPrefix(id, "m") {
						t.Errorf("there is a key %s", id)
					}
				}
				if _, err := Restore(ctx, target, kept, keys, now); err == nil || !strings.Contains(err.Error(), "is not empty") {
					t.Errorf("over a relay: %v", err)
				}
				target.Dir = filepath.Join(t.TempDir(), "again")
				if to.name == "PostgreSQL" {
					if _, err := Restore(ctx, target, kept, keys, now); err == nil || !strings.Contains(err.Error(), "holds a relay") {
						t.Errorf("into a database that is used: %v", err)
					}
				}
			})
		}
	}
}

func TestRestoreRefuses(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	h := newHome(t, Config{Dir: dir})
	other := filepath.Join(t.TempDir(), "other")
	newHome(t, Config{Dir: other})
	keys, theirs := filepath.Join(t.TempDir(), "keys"), filepath.Join(t.TempDir(), "theirs")
	h.ok(BackupKeys(dir, keys))
	h.ok(BackupKeys(other, theirs))
	backup := func() string {
		kept := filepath.Join(t.TempDir(), "kept")
		_, err := h.Backup(h.ctx(), kept, h.now)
		h.ok(err)
		return kept
	}
	unfinished, damaged := backup(), backup()
	h.ok(os.Remove(filepath.Join(unfinished, backupFacts)))
	state, err := os.ReadFile(filepath.Join(damaged, backupState))
	h.ok(err)
	h.ok(os.WriteFile(filepath.Join(damaged, backupState), bytes.Replace(state, []byte("front-door"), []byte("frond-door"), 1), 0o600))
	for want, tt := range map[string]struct{ from, keys string }{
		"no finished backup":  {unfinished, keys},
		"backup is damaged":   {damaged, keys},
		"another relay":       {backup(), theirs},
		"vault.key is not in": {backup(), t.TempDir()},
	} {
		target := filepath.Join(t.TempDir(), "target")
		if _, err := Restore(h.ctx(), Config{Dir: target, Site: h.site}, tt.from, tt.keys, h.now); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
		if _, err := os.Stat(filepath.Join(target, "state.db")); err == nil {
			t.Errorf("%s: a relay could start from it", want)
		}
	}
}

// TestVaultKeyMissing: where originals are sealed to a vault key, no new one takes its place.
func TestVaultKeyMissing(t *testing.T) {
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			cfg := Config{Dir: filepath.Join(t.TempDir(), "data"), Database: e.empty(t)}
			h := newHome(t, cfg)
			path := filepath.Join(cfg.Dir, "keys", "vault.key")
			key, err := os.ReadFile(path)
			h.ok(err)
			h.ok(os.Remove(path))
			cfg.Site = h.site
			if s, err := Open(h.ctx(), cfg); err == nil || !strings.Contains(err.Error(), "put it back") {
				s.Close()
				t.Fatalf("opened without the vault key: %v", err)
			}
			if _, err := os.Stat(path); err == nil {
				t.Fatal("a new vault key was made")
			}
			h.ok(os.WriteFile(path, key, 0o600))
			s, err := Open(h.ctx(), cfg)
			h.ok(err)
			h.ok(s.Close())
		})
	}
}
