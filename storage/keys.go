package storage

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"cliplease/relay"
)

// Keys holds the keys of release copies, so that destroying a key ends a copy for good. It
// lives apart from the database and is never backed up: a backup must not bring a revoked
// copy back.
//
// Its folder holds keys.db, in which every key is wrapped with XChaCha20-Poly1305, and one
// file kek-ID with the 32-byte key that wraps them (KEK). Older images of keys.db, which a
// disk or a snapshot may keep, die when [Keys.Rotate] destroys the KEK they were wrapped
// under. What a drive keeps of an overwritten file is out of reach.
//
// KEKs are read from their files each time and never kept, so that a destroyed one is gone.
// Several processes may use one folder.
type Keys struct {
	dir string
	db  *sql.DB
}

// keysVersion is the layout of keys.db.
const keysVersion = 1

const keysSchema = `
CREATE TABLE current (one INTEGER PRIMARY KEY CHECK (one = 1), kek TEXT NOT NULL) STRICT;
CREATE TABLE keys (
	id      TEXT PRIMARY KEY CHECK (id <> ''),
	context TEXT NOT NULL, -- of the caller; bound to the key and kept to wrap it anew
	kek     TEXT NOT NULL, -- the KEK under which the key is wrapped
	wrapped BLOB NOT NULL  -- nonce and sealed key
) STRICT, WITHOUT ROWID;
PRAGMA user_version = 1;`

const kekPrefix = "kek-"

// OpenKeys opens the key store in the folder dir and makes it when it is missing (0700, its
// files 0600). It refuses files that others can read, and finishes a rotation that a crash
// cut off. The caller closes the store.
func OpenKeys(dir string) (_ *Keys, err error) {
	defer wrap(&err, "open the key store")
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "keys.db")
	// Made here and not by SQLite, whose files others could read. Its journal takes the mode
	// of this file.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = private(f)
	f.Close()
	if err != nil {
		return nil, err
	}
	// No WAL: deleted keys stay in it. secure_delete overwrites a deleted row in the file,
	// TRUNCATE empties the journal that still holds it before a change returns, and nothing
	// goes to temporary files.
	dsn := url.URL{Scheme: "file", Path: path, RawQuery: "_txlock=immediate" +
		"&_pragma=busy_timeout(10000)&_pragma=secure_delete(ON)&_pragma=journal_mode(TRUNCATE)" +
		"&_pragma=synchronous(FULL)&_pragma=temp_store(MEMORY)"}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	k := &Keys{dir: dir, db: db}
	if err := k.mend(context.Background()); err != nil {
		db.Close()
		return nil, err
	}
	return k, nil
}

// mend brings the folder to order whatever step a crash stopped at: it makes the layout and
// the first KEK, checks that every KEK in use can be read, and destroys the others.
func (k *Keys) mend(ctx context.Context) error {
	var mode string
	var secure int
	if err := k.db.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil {
		return err
	}
	if err := k.db.QueryRowContext(ctx, "PRAGMA secure_delete").Scan(&secure); err != nil {
		return err
	}
	if mode != "truncate" || secure != 1 {
		return fmt.Errorf("%s/keys.db does not forget what is deleted (journal %s, secure_delete %d); end whatever else has it open", k.dir, mode, secure)
	}
	return k.update(ctx, func(tx *sql.Tx) error {
		var version int
		if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
			return err
		}
		switch {
		case version > keysVersion:
			return fmt.Errorf("%s/keys.db has layout %d and this program knows %d; run a newer version of the program", k.dir, version, keysVersion)
		case version == 0:
			if _, err := tx.ExecContext(ctx, keysSchema); err != nil {
				return err
			}
			kek, err := k.newKEK()
			if err != nil {
				return err
			}
			// A crash before the commit leaves an empty database and a KEK that is not used:
			// the next start sweeps it and makes another.
			if _, err := tx.ExecContext(ctx, "INSERT INTO current (one, kek) VALUES (1, $1)", kek); err != nil {
				return err
			}
		}
		used, err := k.used(ctx, tx)
		if err != nil {
			return err
		}
		for kek := range used {
			if _, err := k.kek(kek); errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("%s is missing, and without it no live release copy can be opened; put it back, or move %s away to start with no keys, which ends every live release", k.kekFile(kek), k.dir)
			} else if err != nil {
				return err
			}
		}
		return k.sweep(used)
	})
}

// New makes a random key and stores it under id. context is whatever the key is for, such as
// release and recipient; Get must give the same. An id that exists is [relay.ErrConflict].
// The key is durable when New returns.
func (k *Keys) New(ctx context.Context, id, context string) (key Key, err error) {
	defer wrap(&err, "make key %s", id)
	if id == "" {
		return Key{}, errors.New("a key needs an id")
	}
	key = NewKey()
	err = k.update(ctx, func(tx *sql.Tx) error {
		var kek string
		if err := tx.QueryRowContext(ctx, "SELECT kek FROM current").Scan(&kek); err != nil {
			return err
		}
		secret, err := k.kek(kek)
		if err != nil {
			return err
		}
		result, err := tx.ExecContext(ctx, "INSERT INTO keys (id, context, kek, wrapped) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
			id, context, kek, wrapKey(secret, id, context, key))
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 1 {
			return err
		}
		return fmt.Errorf("it exists already: %w", relay.ErrConflict)
	})
	if err != nil {
		return Key{}, err
	}
	return key, nil
}

// Get returns the key id. It is [relay.ErrNotFound] where there is none or no longer, and
// [ErrTampered] where the key was made for another context or the store was changed.
func (k *Keys) Get(ctx context.Context, id, context string) (_ Key, err error) {
	defer wrap(&err, "get key %s", id)
	// Row and KEK are read under one read lock: a rotation cannot commit in between, and it
	// destroys the old KEK only after its commit.
	tx, err := k.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return Key{}, err
	}
	defer tx.Rollback()
	var kek string
	var wrapped []byte
	err = tx.QueryRowContext(ctx, "SELECT kek, wrapped FROM keys WHERE id = $1", id).Scan(&kek, &wrapped)
	if errors.Is(err, sql.ErrNoRows) {
		return Key{}, relay.ErrNotFound
	}
	if err != nil {
		return Key{}, err
	}
	secret, err := k.kek(kek)
	if err != nil {
		return Key{}, err
	}
	return unwrapKey(secret, id, context, wrapped)
}

// Destroy removes the keys. When it returns nil, no file of the store holds them, wrapped or
// not. Ids that are not there are no error, so that it can be repeated.
func (k *Keys) Destroy(ctx context.Context, ids ...string) (err error) {
	defer wrap(&err, "destroy %d keys", len(ids))
	return k.update(ctx, func(tx *sql.Tx) error {
		for _, id := range ids {
			if _, err := tx.ExecContext(ctx, "DELETE FROM keys WHERE id = $1", id); err != nil {
				return err
			}
		}
		return nil
	})
}

// IDs yields the ids of all keys as they were when it began, sorted. Keys may be destroyed
// within the loop. It ends after the first error.
func (k *Keys) IDs(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		ids, err := k.ids(ctx)
		if err != nil {
			yield("", fmt.Errorf("list keys: %w", err))
			return
		}
		for _, id := range ids {
			if !yield(id, nil) {
				return
			}
		}
	}
}

// ids reads the list to its end first, since the store has one connection.
func (k *Keys) ids(ctx context.Context) (ids []string, err error) {
	rows, err := k.db.QueryContext(ctx, "SELECT id FROM keys ORDER BY id")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// Rotate wraps every key under a new KEK and destroys the old one. After it, no older image
// of keys.db opens anything.
func (k *Keys) Rotate(ctx context.Context) (err error) {
	defer wrap(&err, "rotate the key that wraps the keys")
	err = k.update(ctx, func(tx *sql.Tx) error {
		kek, err := k.newKEK()
		if err != nil {
			return err
		}
		// A crash from here to the commit: keys.db is as before and the new KEK a file that
		// nothing refers to, which OpenKeys destroys. No other process takes it for that now,
		// since sweeping needs the write lock that this transaction holds.
		if err := k.rewrap(ctx, tx, kek); err != nil {
			return errors.Join(err, destroyFile(k.kekFile(kek)))
		}
		return nil
	})
	if err != nil {
		return err
	}
	// A crash from here on: keys.db has all keys under the new KEK, and the old one is a
	// file that nothing refers to, which OpenKeys destroys.
	return k.update(ctx, func(tx *sql.Tx) error {
		used, err := k.used(ctx, tx) // asked anew: another rotation may have come between
		if err != nil {
			return err
		}
		return k.sweep(used)
	})
}

// rewrap wraps all keys under kek and makes it the current one.
func (k *Keys) rewrap(ctx context.Context, tx *sql.Tx, kek string) error {
	to, err := k.kek(kek)
	if err != nil {
		return err
	}
	type row struct {
		id, context, kek string
		wrapped          []byte
	}
	var all []row
	rows, err := tx.QueryContext(ctx, "SELECT id, context, kek, wrapped FROM keys")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var r row
		if err := rows.Scan(&r.id, &r.context, &r.kek, &r.wrapped); err != nil {
			return err
		}
		all = append(all, r)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, r := range all {
		from, err := k.kek(r.kek)
		if err != nil {
			return err
		}
		key, err := unwrapKey(from, r.id, r.context, r.wrapped)
		if err != nil {
			return fmt.Errorf("key %s: %w", r.id, err)
		}
		if _, err := tx.ExecContext(ctx, "UPDATE keys SET kek = $1, wrapped = $2 WHERE id = $3",
			kek, wrapKey(to, r.id, r.context, key), r.id); err != nil {
			return err
		}
	}
	_, err = tx.ExecContext(ctx, "UPDATE current SET kek = $1", kek)
	return err
}

// Close closes the store.
func (k *Keys) Close() error { return k.db.Close() }

// update runs do in a transaction that has the write lock from its start.
func (k *Keys) update(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := k.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // does nothing after Commit
	if err := do(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// used returns the KEKs that keys.db refers to.
func (k *Keys) used(ctx context.Context, tx *sql.Tx) (map[string]bool, error) {
	rows, err := tx.QueryContext(ctx, "SELECT kek FROM current UNION SELECT kek FROM keys")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	used := map[string]bool{}
	for rows.Next() {
		var kek string
		if err := rows.Scan(&kek); err != nil {
			return nil, err
		}
		used[kek] = true
	}
	return used, rows.Err()
}

func (k *Keys) kekFile(id string) string { return filepath.Join(k.dir, kekPrefix+id) }

// newKEK makes a KEK file and returns its id.
func (k *Keys) newKEK() (string, error) {
	id, secret := relay.NewID(), NewKey()
	return id, writeKeyFile(k.kekFile(id), secret[:])
}

// kek reads a KEK. It fails with [fs.ErrNotExist] when it is not there.
func (k *Keys) kek(id string) (Key, error) {
	b, err := readKeyFile(k.kekFile(id))
	if err != nil {
		return Key{}, err
	}
	if len(b) != len(Key{}) {
		return Key{}, fmt.Errorf("%s has %d bytes and must have %d; put the right file back", k.kekFile(id), len(b), len(Key{}))
	}
	return Key(b), nil
}

// sweep destroys the KEKs that are not used, and key files that a crash cut off. The caller
// holds the write lock.
func (k *Keys) sweep(used map[string]bool) error {
	entries, err := os.ReadDir(k.dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		id, isKEK := strings.CutPrefix(entry.Name(), kekPrefix)
		if isKEK && !used[id] {
			err = destroyFile(k.kekFile(id))
		} else if strings.HasPrefix(entry.Name(), unfinished) {
			err = destroyFile(filepath.Join(k.dir, entry.Name()))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// destroyFile overwrites a key file and removes it. A crash in between leaves a file that is
// swept at the next start.
func destroyFile(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if _, err := f.Write(make([]byte, info.Size())); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// wrapKey seals key under kek for id and context.
func wrapKey(kek Key, id, context string, key Key) []byte {
	aead, err := chacha20poly1305.NewX(kek[:])
	if err != nil {
		panic(err) // only for a wrong key length
	}
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(key)+aead.Overhead())
	rand.Read(nonce) // never fails
	return aead.Seal(nonce, nonce, key[:], keyContext(id, context))
}

// unwrapKey is the inverse of wrapKey. Anything that does not fit is [ErrTampered].
func unwrapKey(kek Key, id, context string, wrapped []byte) (Key, error) {
	aead, err := chacha20poly1305.NewX(kek[:])
	if err != nil {
		return Key{}, err
	}
	if len(wrapped) != aead.NonceSize()+len(Key{})+aead.Overhead() {
		return Key{}, fmt.Errorf("a wrapped key of %d bytes: %w", len(wrapped), ErrTampered)
	}
	plain, err := aead.Open(nil, wrapped[:aead.NonceSize()], wrapped[aead.NonceSize():], keyContext(id, context))
	if err != nil {
		return Key{}, fmt.Errorf("wrapped for something else, or changed: %w", ErrTampered)
	}
	return Key(plain), nil
}

// keyContext joins id and context so that no two pairs give the same bytes.
func keyContext(id, context string) []byte {
	b := binary.BigEndian.AppendUint32([]byte("cliplease-key-v1\x00"), uint32(len(id)))
	return append(append(b, id...), context...)
}
