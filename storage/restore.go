package storage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"cliplease/relay"

	"github.com/riverqueue/river"
)

// IntakeClosed is how long no agency's token is taken after a restore: longer than any token
// lives, since the backup does not know which were used since.
const IntakeClosed = 10 * time.Minute

// intakeSetting keeps until when agencies' tokens are refused.
const intakeSetting = "intake_opens"

// Restored says what [Restore] brought back and what it ended.
type Restored struct {
	Backup Backup
	Ended  int // releases that were live in the backup
	Given  int // releases that were not signed yet and were given up
}

// Restore makes a relay in cfg.Dir, which must be empty, from the backup in the folder from and
// the keys in the folder keys, which [BackupKeys] made. What was revoked since the backup must
// not come back, so every release of it is over: live ones have expired, with the reason
// "restored", unsigned ones are discarded. Everybody is signed out, invitations and waiting mail
// are void, and agencies are refused for [IntakeClosed].
//
// The state gets its name last: a crash before leaves a folder that Restore refuses to use, and
// that no relay starts from with live releases.
func Restore(ctx context.Context, cfg Config, from, keys string, now time.Time) (r Restored, err error) {
	defer wrap(&err, "restore")
	if r.Backup, err = readBackup(from); err != nil {
		return r, err
	}
	if err := emptyFolder(cfg.Dir); err != nil {
		return r, err
	}
	for _, d := range []string{cfg.Dir, filepath.Join(cfg.Dir, "keys")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return r, err
		}
	}
	for _, name := range longKeys {
		b, err := os.ReadFile(filepath.Join(keys, name)) // removable disks often have no modes
		if errors.Is(err, fs.ErrNotExist) {
			return r, fmt.Errorf("%s is not in %s: name the folder with your copy of vault.key, relay.key, audit.key and mac.key", name, keys)
		}
		if err != nil {
			return r, err
		}
		if err := writeKeyFile(filepath.Join(cfg.Dir, "keys", name), b); err != nil {
			return r, err
		}
	}
	id, err := OpenIdentity(filepath.Join(cfg.Dir, "keys"), cfg.Site.LogOrigin())
	if err != nil {
		return r, err
	}
	if id.RelayKID != r.Backup.Relay {
		return r, fmt.Errorf("the keys in %s are those of another relay than the backup", keys)
	}
	k, err := OpenKeys(filepath.Join(cfg.Dir, "keys")) // new and empty
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, k.Close()) }()
	staged := filepath.Join(cfg.Dir, "restoring.db")
	if err := copyFile(filepath.Join(from, backupState), staged); err != nil {
		return r, err
	}
	if sum, err := fileSum(staged); err != nil || sum != r.Backup.State {
		return r, errors.Join(fmt.Errorf("%s is not as it was written: the backup is damaged", backupState), err)
	}
	objects, err := openObjectStore(ctx, cfg)
	if err != nil {
		return r, err
	}
	if err := putObjects(ctx, objects, filepath.Join(from, backupObjects)); err != nil {
		return r, err
	}
	db, err := OpenDB(ctx, DBConfig{Source: "sqlite:" + staged, Keys: k})
	if err != nil {
		return r, err
	}
	if err := db.restored(ctx, &r, now); err != nil {
		return r, errors.Join(err, db.Close())
	}
	if err := db.Close(); err != nil { // empties its WAL
		return r, err
	}
	if cfg.Database == "" {
		return r, errors.Join(os.Rename(staged, filepath.Join(cfg.Dir, "state.db")), syncDir(cfg.Dir))
	}
	if err := restoreInto(ctx, cfg.Database, staged, k); err != nil {
		return r, err
	}
	return r, os.Remove(staged)
}

// readBackup reads and checks what the folder says of itself.
func readBackup(folder string) (b Backup, err error) {
	raw, err := os.ReadFile(filepath.Join(folder, backupFacts))
	if errors.Is(err, fs.ErrNotExist) {
		return b, fmt.Errorf("%s is no finished backup: it has no %s", folder, backupFacts)
	}
	if err != nil {
		return b, err
	}
	if err := json.Unmarshal(raw, &b); err != nil {
		return b, fmt.Errorf("%s is damaged: %w", backupFacts, err)
	}
	if b.V != 1 {
		return b, fmt.Errorf("the backup has layout %d and this program knows 1: install a newer cliplease", b.V)
	}
	return b, nil
}

func emptyFolder(path string) error {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	return fmt.Errorf("%s is not empty: a restore never writes over a relay; name an empty folder", path)
}

func copyFile(from, to string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	if _, err := out.ReadFrom(f); err != nil {
		return full(err, filepath.Dir(to))
	}
	return errors.Join(out.Sync(), out.Close())
}

// putObjects stores the objects of a backup. Those that are there already stay.
func putObjects(ctx context.Context, objects Objects, folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !validName(entry.Name()) || !entry.Type().IsRegular() {
			continue
		}
		if err := putFile(ctx, objects, entry.Name(), filepath.Join(folder, entry.Name())); err != nil && !errors.Is(err, relay.ErrConflict) {
			return err
		}
	}
	return nil
}

func putFile(ctx context.Context, objects Objects, name, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return objects.Put(ctx, name, f, -1)
}

// restored ends what a backup must not bring back.
func (db *DB) restored(ctx context.Context, r *Restored, now time.Time) error {
	return db.update(ctx, func(tx *Tx) error {
		for _, statement := range []string{
			"DELETE FROM sessions",
			"DELETE FROM ceremonies",
			"UPDATE notices SET scheme = '', host = '', key_id = '', sealed = '', state = '', result = ''", // their keys are in no backup
			"DELETE FROM uploads",  // their pieces and keys are in no backup
			"DELETE FROM searches", // their keys are in no backup
			"DELETE FROM invitations WHERE used_at = 0",
			"DELETE FROM agency_invitations WHERE closed_at = 0",
			"UPDATE outbox SET state = 'failed', secret = '', failure = 'the relay was restored from a backup' WHERE state = 'waiting'",
			"DELETE FROM meta WHERE name IN ('keys_rotated', 'clock_frozen')",
		} {
			if err := tx.execAny(statement); err != nil {
				return err
			}
		}
		all, err := list(ctx, tx, scanRelease, "SELECT "+releaseColumns+" FROM releases WHERE state IN ('preparing', 'failed', 'review', 'live') ORDER BY created_at, id")
		if err != nil {
			return err
		}
		for _, rel := range all {
			from := rel
			e, err := rel.Restore(now)
			if err != nil {
				return err
			}
			if err := tx.saveRelease(rel, from); err != nil {
				return err
			}
			if from.State == relay.ReleaseIsLive {
				r.Ended++
				if err := db.ended(now)(tx, from, rel); err != nil {
					return err
				}
			} else {
				r.Given++
			}
			if _, err := tx.append(e); err != nil {
				return err
			}
		}
		if err := tx.set(intakeSetting, relay.Stamp(now.Add(IntakeClosed))); err != nil {
			return err
		}
		if _, err := tx.append(relay.Event{Kind: relay.RelayRestored, Subject: "relay", Actor: "command line", At: now,
			Data: relay.Data{"made_at": relay.Stamp(r.Backup.MadeAt), "ended": r.Ended, "discarded": r.Given}}); err != nil {
			return err
		}
		return tx.requeue()
	})
}

// requeue makes the job queue anew from the state: what is to be destroyed, looked at and
// mailed.
func (tx *Tx) requeue() error {
	if err := tx.execAny("DELETE FROM river_job"); err != nil {
		return err
	}
	id := func(r scanner) (id string, err error) { err = r.Scan(&id); return }
	for _, q := range []struct {
		query string
		job   func(id string) river.JobArgs
	}{
		{"SELECT id FROM releases WHERE state IN ('revoked', 'expired', 'discarded') AND shredded_at = 0 ORDER BY id", func(id string) river.JobArgs { return ShredJob{ReleaseID: id} }},
		{"SELECT id FROM clips WHERE state = 'received' ORDER BY id", func(id string) river.JobArgs { return ClipJob{ClipID: id} }},
		{"SELECT id FROM outbox WHERE state = 'waiting' ORDER BY id", func(id string) river.JobArgs { return MailJob{MailID: id} }},
	} {
		ids, err := list(tx.ctx, tx, id, q.query)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if err := tx.enqueue(q.job(id)); err != nil {
				return err
			}
		}
	}
	return nil
}

// restoreInto copies a restored state from a SQLite file into an empty PostgreSQL database.
func restoreInto(ctx context.Context, database, staged string, k *Keys) (err error) {
	db, err := OpenDB(ctx, DBConfig{Source: database, Keys: k})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	src, err := openPlain(staged, "ro")
	if err != nil {
		return err
	}
	defer src.Close()
	src.SetMaxOpenConns(2) // the list of tables, and the rows of one
	return db.update(ctx, func(tx *Tx) error {
		var entries, members int64
		if err := tx.QueryRowContext(ctx, "SELECT (SELECT size FROM log_state WHERE id = 1), (SELECT count(*) FROM members)").Scan(&entries, &members); err != nil {
			return err
		}
		if entries > 0 || members > 0 {
			return errors.New("the database holds a relay already: a restore never writes over one; name an empty database")
		}
		if err := copyTables(ctx, src, tx, src); err != nil {
			return err
		}
		return tx.requeue()
	})
}

// IntakeOpens returns until when agencies' tokens are refused after a restore; the zero time
// when they never were.
func (db *DB) IntakeOpens(ctx context.Context) (time.Time, error) {
	text, err := db.Setting(ctx, intakeSetting)
	if errors.Is(err, relay.ErrNotFound) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, err
	}
	return time.Parse(time.RFC3339, text)
}

// set stores a setting within a transaction.
func (tx *Tx) set(name, value string) error {
	return tx.execAny("INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value", name, value)
}
