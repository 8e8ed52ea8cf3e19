package storage

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"cliplease/relay"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// append writes e to the log, in the transaction of the change that it records, and returns
// its index. Transactions follow one another, so entries are numbered in order of commit.
func (tx *Tx) append(e relay.Event) (int64, error) {
	var n int64
	if err := tx.QueryRowContext(tx.ctx, "UPDATE log_state SET size = size + 1 WHERE id = 1 RETURNING size").Scan(&n); err != nil {
		return 0, fmt.Errorf("log: %w", err)
	}
	n--
	event, err := e.Canonical()
	if err != nil {
		return 0, err
	}
	salt := make([]byte, 32)
	rand.Read(salt)
	entry, err := relay.NewEntry(n, event, salt, e.At)
	if err != nil {
		return 0, err
	}
	if err := tx.exec("INSERT INTO log_entries (idx, leaf, event, salt, kind, subject, at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
		n, entry.Leaf, string(entry.Event), entry.Salt, string(e.Kind), e.Subject, ms(e.At)); err != nil {
		return 0, fmt.Errorf("log: %w", err)
	}
	hashes, err := tlog.StoredHashes(n, []byte(entry.Leaf), hashReader{tx.ctx, tx})
	if err != nil {
		return 0, fmt.Errorf("log: %w", err)
	}
	first := tlog.StoredHashIndex(0, n)
	for i, h := range hashes {
		if err := tx.exec("INSERT INTO log_hashes (idx, hash) VALUES ($1, $2)", first+int64(i), h.String()); err != nil {
			return 0, fmt.Errorf("log: %w", err)
		}
	}
	tx.records = e.Kind
	return n, nil
}

// Record writes an event that goes with no other change of state.
func (db *DB) Record(ctx context.Context, e relay.Event) (err error) {
	defer wrap(&err, "record %s", e.Kind)
	return db.update(ctx, func(tx *Tx) error {
		_, err := tx.append(e)
		return err
	})
}

// hashReader reads stored hashes of the tree.
type hashReader struct {
	ctx context.Context
	q   querier
}

func (r hashReader) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	return readHashes(r.ctx, r.q, "log_hashes", indexes)
}

// Checkpoint signs the log's size and root as they are now, stores the note and returns it.
// origin names the log: the relay's host and "/audit".
func (db *DB) Checkpoint(ctx context.Context, origin string, signer note.Signer, now time.Time) (signed []byte, err error) {
	defer wrap(&err, "checkpoint")
	err = db.update(ctx, func(tx *Tx) error {
		var n int64
		if err := tx.QueryRowContext(ctx, "UPDATE log_state SET size = size WHERE id = 1 RETURNING size").Scan(&n); err != nil {
			return err
		}
		root, err := tlog.TreeHash(n, hashReader{ctx, tx})
		if err != nil {
			return err
		}
		if signed, err = note.Sign(&note.Note{Text: relay.FormatCheckpoint(origin, n, root)}, signer); err != nil {
			return err
		}
		return tx.execAny("INSERT INTO checkpoints (size, note, created_at) VALUES ($1, $2, $3) ON CONFLICT (size) DO UPDATE SET note = excluded.note",
			n, string(signed), ms(now))
	})
	return signed, err
}

// Checkpoints returns every stored checkpoint note, oldest first.
func (db *DB) Checkpoints(ctx context.Context) ([]string, error) {
	return list(ctx, db.read, func(r scanner) (v string, err error) { err = r.Scan(&v); return },
		"SELECT note FROM checkpoints ORDER BY size")
}

// ExportLog writes every entry, one line of JSON each, in order.
func (db *DB) ExportLog(ctx context.Context, w io.Writer) (err error) {
	defer wrap(&err, "export the log")
	tx, err := db.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead})
	if err != nil {
		return err
	}
	defer tx.Rollback()
	// The hashes of the leaves, as they were stored with them.
	stored, err := tx.QueryContext(ctx, "SELECT idx, hash FROM log_hashes ORDER BY idx")
	if err != nil {
		return err
	}
	defer stored.Close()
	hashes := map[int64]string{}
	for stored.Next() {
		var i int64
		var h string
		if err := stored.Scan(&i, &h); err != nil {
			return err
		}
		if level, n := tlog.SplitStoredHashIndex(i); level == 0 {
			hashes[n] = h
		}
	}
	if err := stored.Err(); err != nil {
		return err
	}
	rows, err := tx.QueryContext(ctx, "SELECT idx, leaf, event, salt FROM log_entries ORDER BY idx")
	if err != nil {
		return err
	}
	defer rows.Close()
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for rows.Next() {
		e, err := scanEntry(rows)
		if err != nil {
			return err
		}
		if err := enc.Encode(relay.ExportedEntry{Entry: e, Hash: hashes[e.Index]}); err != nil {
			return err
		}
	}
	return rows.Err()
}

func scanEntry(r scanner) (e relay.Entry, err error) {
	var event string
	err = r.Scan(&e.Index, &e.Leaf, &event, &e.Salt)
	if event != "" {
		e.Event = json.RawMessage(event)
	}
	return e, err
}

// History returns the entries about subject, oldest first.
func (db *DB) History(ctx context.Context, subject string) ([]relay.Entry, error) {
	return list(ctx, db.read, scanEntry, "SELECT idx, leaf, event, salt FROM log_entries WHERE subject = $1 ORDER BY idx", subject)
}

// Recent returns the newest entries before index before (0: from the end), newest first.
func (db *DB) Recent(ctx context.Context, before int64, limit int) ([]relay.Entry, error) {
	if before <= 0 {
		before = 1 << 62
	}
	return list(ctx, db.read, scanEntry, "SELECT idx, leaf, event, salt FROM log_entries WHERE idx < $1 ORDER BY idx DESC LIMIT $2", before, limit)
}

// Proof returns entry index and its inclusion proof in the tree of size entries.
func (db *DB) Proof(ctx context.Context, index, size int64) (e relay.Entry, p tlog.RecordProof, err error) {
	defer wrap(&err, "proof of entry %d", index)
	if e, err = get(ctx, db.read, scanEntry, "SELECT idx, leaf, event, salt FROM log_entries WHERE idx = $1", index); err != nil {
		return e, nil, err
	}
	p, err = tlog.ProveRecord(size, index, hashReader{ctx, db.read})
	return e, p, err
}
