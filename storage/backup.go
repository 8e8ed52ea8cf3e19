package storage

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"cliplease/relay"

	"github.com/pressly/goose/v3"
)

// The files of a backup.
const (
	backupFacts   = "backup.json" // written last: a folder without it is an unfinished backup
	backupState   = "state.db"    // a SQLite database, whatever the relay runs on
	backupObjects = "objects"     // sealed originals and stills, one file each
)

// longKeys are the files of the keys folder that a relay needs for good. keys.db and the files
// kek-… are not among them and are never copied: what is revoked must stay revoked.
var longKeys = []string{"vault.key", "relay.key", "audit.key", "mac.key"}

// Backup says what a backup holds.
type Backup struct {
	V       int       `json:"v"`
	MadeAt  time.Time `json:"made_at"`
	Relay   string    `json:"relay"`   // thumbprint of the relay's key
	Entries int64     `json:"entries"` // of the log
	Objects int       `json:"objects"`
	Bytes   int64     `json:"bytes"`             // of the objects, sealed
	Missing []string  `json:"missing,omitempty"` // objects that a clip needs and the object store has lost
	State   string    `json:"sha256"`            // of state.db
}

// Backup copies the state and the sealed originals into the new folder dest, which must not be
// there. The relay may run meanwhile. No key is copied, and no release copy: the keys to those
// are in no backup, so that what was revoked cannot come back. A crash leaves a folder without
// backup.json, which [Restore] refuses.
func (s *Store) Backup(ctx context.Context, dest string, now time.Time) (b Backup, err error) {
	defer wrap(&err, "backup")
	if err := newFolder(dest); err != nil {
		return b, err
	}
	state := filepath.Join(dest, backupState)
	if err := s.DB.copyInto(ctx, state); err != nil {
		return b, err
	}
	b = Backup{V: 1, MadeAt: now.UTC(), Relay: s.Identity.RelayKID}
	// The objects of the copied state, not of the state as it is by now.
	names, err := copiedState(ctx, state, &b)
	if err != nil {
		return b, err
	}
	folder := filepath.Join(dest, backupObjects)
	if err := os.Mkdir(folder, 0o700); err != nil {
		return b, err
	}
	for _, name := range names {
		n, err := s.saveObject(ctx, name, filepath.Join(folder, name))
		if errors.Is(err, relay.ErrNotFound) {
			used, err := s.DB.ObjectInUse(ctx, name)
			if err != nil {
				return b, err
			}
			if used { // else it was disposed of in the meantime
				b.Missing = append(b.Missing, name)
			}
			continue
		}
		if err != nil {
			return b, err
		}
		b.Objects, b.Bytes = b.Objects+1, b.Bytes+n
	}
	if b.State, err = fileSum(state); err != nil {
		return b, err
	}
	raw, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return b, err
	}
	return b, errors.Join(syncDir(folder), writeFile(filepath.Join(dest, backupFacts), append(raw, '\n')), syncDir(dest))
}

// BackupKeys copies the keys that a restore needs from the data folder dir into the new folder
// dest: the vault's, and those that the relay signs with. Whoever has them and a backup can see
// the originals. The keys of release copies are not among them.
func BackupKeys(dir, dest string) (err error) {
	defer wrap(&err, "backup of the keys")
	if err := newFolder(dest); err != nil {
		return err
	}
	for _, name := range longKeys {
		b, err := readKeyFile(filepath.Join(dir, "keys", name))
		if err != nil {
			return err
		}
		if err := writeKeyFile(filepath.Join(dest, name), b); err != nil {
			return err
		}
	}
	return nil
}

// newFolder makes a folder that must not be there yet.
func newFolder(path string) error {
	err := os.Mkdir(path, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already: name a folder that is not", path)
	}
	return err
}

// copyInto writes the state as it is at one moment into a new SQLite file. Nothing that was
// deleted goes along.
func (db *DB) copyInto(ctx context.Context, path string) error {
	if db.pool == nil {
		if _, err := db.write.ExecContext(ctx, "VACUUM INTO $1", path); err != nil {
			return err
		}
		return syncFile(path)
	}
	dst, err := openPlain(path, "rwc")
	if err != nil {
		return err
	}
	defer dst.Close()
	if err := migrate(ctx, goose.DialectSQLite3, dst); err != nil {
		return err
	}
	src, err := db.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead})
	if err != nil {
		return err
	}
	defer src.Rollback()
	tx, err := dst.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := copyTables(ctx, src, tx, tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	return errors.Join(dst.Close(), syncFile(path))
}

// openPlain opens a SQLite file that nobody else uses, without a WAL beside it.
func openPlain(path, mode string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?mode="+mode+"&_time_format=sqlite&_pragma=synchronous(FULL)")
	if err == nil {
		db.SetMaxOpenConns(1)
	}
	return db, err
}

// executor is what writing rows needs.
type executor interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// copyTables copies every row of our own tables, but not of the job queue, which is made anew
// from them. schema is the SQLite side: its tables come in the order in which they were made,
// so that a row is written after those that it refers to.
func copyTables(ctx context.Context, from querier, to executor, schema querier) error {
	tables, err := list(ctx, schema, func(r scanner) (name string, err error) { err = r.Scan(&name); return },
		"SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name NOT LIKE 'river%' AND name NOT LIKE 'goose%' ORDER BY rowid")
	if err != nil {
		return err
	}
	for _, t := range slices.Backward(tables) { // rows that a migration made
		if _, err := to.ExecContext(ctx, "DELETE FROM "+t); err != nil {
			return err
		}
	}
	for _, t := range tables {
		if err := copyTable(ctx, from, to, t); err != nil {
			return fmt.Errorf("table %s: %w", t, err)
		}
	}
	return nil
}

func copyTable(ctx context.Context, from querier, to executor, table string) error {
	rows, err := from.QueryContext(ctx, "SELECT * FROM "+table)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	types, err := rows.ColumnTypes()
	if err != nil {
		return err
	}
	values, into, marks := make([]any, len(columns)), make([]any, len(columns)), make([]string, len(columns))
	for i := range columns {
		into[i], marks[i] = &values[i], fmt.Sprintf("$%d", i+1)
	}
	insert := "INSERT INTO " + table + " (" + strings.Join(columns, ", ") + ") VALUES (" + strings.Join(marks, ", ") + ")"
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		for i, t := range types {
			if n, ok := values[i].(int64); ok && t.DatabaseTypeName() == "BOOLEAN" { // as SQLite has them
				values[i] = n != 0
			}
		}
		if _, err := to.ExecContext(ctx, insert, values...); err != nil {
			return err
		}
	}
	return rows.Err()
}

// copiedState reads from a copied state which objects belong to it.
func copiedState(ctx context.Context, path string, b *Backup) (objects []string, err error) {
	db, err := openPlain(path, "ro")
	if err != nil {
		return nil, err
	}
	defer db.Close()
	if err := db.QueryRowContext(ctx, "SELECT size FROM log_state WHERE id = 1").Scan(&b.Entries); err != nil {
		return nil, err
	}
	clips, err := list(ctx, db, func(r scanner) (c relay.Clip, err error) { return c, r.Scan(&c.Object, document{&c.Stills}) },
		"SELECT object, stills FROM clips WHERE state <> 'disposed' ORDER BY created_at, id")
	for _, c := range clips {
		objects = append(append(objects, c.Object), c.Stills...)
	}
	return objects, err
}

// saveObject copies one sealed object into a new file.
func (s *Store) saveObject(ctx context.Context, name, path string) (n int64, err error) {
	body, err := s.Objects.Get(ctx, name, 0, -1)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if n, err = io.Copy(f, body); err != nil {
		return n, full(err, filepath.Dir(path))
	}
	return n, errors.Join(f.Sync(), f.Close())
}

func writeFile(path string, content []byte) error {
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return full(err, filepath.Dir(path))
	}
	return syncFile(path)
}

// syncFile makes a file private and durable.
func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Chmod(0o600), f.Sync(), f.Close())
}

func fileSum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), err
}
