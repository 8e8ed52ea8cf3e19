package storage

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"cliplease/relay"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// catchUp is how far back hours are filled that the relay slept through. What is older stays a
// gap, which says no more than that the relay was off.
const catchUp = 31 * 24

// GrowPublic brings the public tree up to the last full hour before now, rate leaves an hour
// (2 or more), each hour under a checkpoint of its own, and returns the hours it added. The
// commitments of published entries come first, oldest first; what does not fit waits for the
// next hour. One leaf of every hour commits to the root of the log, and the rest to nothing.
func (s *Store) GrowPublic(ctx context.Context, site relay.Site, rate int, now time.Time) (hours int, err error) {
	defer wrap(&err, "public log")
	if rate < 2 {
		return 0, fmt.Errorf("%d leaves an hour are too few: 2 or more", rate)
	}
	for {
		grew, err := s.DB.growHour(ctx, site.LogOrigin(), s.Identity.Audit, rate, now)
		if err != nil || !grew {
			return hours, err
		}
		hours++
	}
}

// publicLeaf is a leaf of the public tree and what it commits to.
type publicLeaf struct {
	commitment, kind string
	entry            int64
	opens, salt      string
}

func (db *DB) growHour(ctx context.Context, origin string, signer note.Signer, rate int, now time.Time) (grew bool, err error) {
	full := now.Unix()/3600 - 1 // the last hour that is over
	err = db.update(ctx, func(tx *Tx) error {
		grew = false
		var size, hour, next int64
		if err := tx.QueryRowContext(ctx, "UPDATE public_log SET size = size WHERE id = 1 RETURNING size, hour, next_entry").Scan(&size, &hour, &next); err != nil {
			return err
		}
		if hour >= full {
			return nil
		}
		if hour == 0 { // the first hour is the one that the relay was made in
			return tx.exec("UPDATE public_log SET hour = $1 WHERE id = 1", full)
		}
		hour = max(hour+1, full-catchUp)
		leaves, next, err := tx.hourLeaves(origin, rate, next, time.Unix((hour+1)*3600, 0))
		if err != nil {
			return err
		}
		for i, l := range leaves {
			if err := tx.appendPublic(size+int64(i), l, time.Unix(hour*3600, 0)); err != nil {
				return err
			}
		}
		size += int64(len(leaves))
		if err := tx.exec("UPDATE public_log SET size = $1, hour = $2, next_entry = $3 WHERE id = 1", size, hour, next); err != nil {
			return err
		}
		root, err := tlog.TreeHash(size, publicHashes{ctx, tx})
		if err != nil {
			return err
		}
		signed, err := note.Sign(&note.Note{Text: relay.FormatCheckpoint(relay.PublicOrigin(origin), size, root)}, signer)
		if err != nil {
			return err
		}
		grew = true
		return tx.exec("INSERT INTO public_checkpoints (size, note, created_at) VALUES ($1, $2, $3)", size, string(signed), ms(now))
	})
	return grew, err
}

// hourLeaves chooses the leaves of an hour, in an order that says nothing.
func (tx *Tx) hourLeaves(origin string, rate int, next int64, end time.Time) ([]publicLeaf, int64, error) {
	rows, err := tx.QueryContext(tx.ctx, "SELECT idx, leaf, kind FROM log_entries WHERE idx >= $1 AND at < $2 ORDER BY idx", next, ms(end))
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	var leaves []publicLeaf
	for len(leaves) < rate-1 && rows.Next() {
		var idx int64
		var leaf, kind string
		if err := rows.Scan(&idx, &leaf, &kind); err != nil {
			return nil, 0, err
		}
		next = idx + 1
		if !relay.EventKind(kind).Published() {
			continue
		}
		c, err := relay.Commitment(leaf)
		if err != nil {
			return nil, 0, fmt.Errorf("entry %d: %w", idx, err)
		}
		leaves = append(leaves, publicLeaf{commitment: c, kind: "entry", entry: idx})
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, 0, err
	}
	var size int64
	if err := tx.QueryRowContext(tx.ctx, "SELECT size FROM log_state WHERE id = 1").Scan(&size); err != nil {
		return nil, 0, err
	}
	root, err := tlog.TreeHash(size, hashReader{tx.ctx, tx})
	if err != nil {
		return nil, 0, err
	}
	l := publicLeaf{kind: "root", entry: size, opens: relay.FormatCheckpoint(origin, size, root)}
	l.commitment, l.salt = relay.Commit(l.opens)
	leaves = append(leaves, l)
	for len(leaves) < rate {
		leaves = append(leaves, publicLeaf{commitment: relay.CommitToNothing(), kind: "nothing", entry: -1})
	}
	return leaves, next, relay.Shuffle(len(leaves), func(i, j int) { leaves[i], leaves[j] = leaves[j], leaves[i] })
}

func (tx *Tx) appendPublic(n int64, l publicLeaf, hour time.Time) error {
	leaf := relay.PublicLeaf(hour, l.commitment)
	if err := tx.exec("INSERT INTO public_leaves (idx, leaf, kind, entry, opens, salt) VALUES ($1, $2, $3, $4, $5, $6)", n, leaf, l.kind, l.entry, l.opens, l.salt); err != nil {
		return err
	}
	hashes, err := tlog.StoredHashes(n, []byte(leaf), publicHashes{tx.ctx, tx})
	if err != nil {
		return err
	}
	first := tlog.StoredHashIndex(0, n)
	for i, h := range hashes {
		if err := tx.exec("INSERT INTO public_hashes (idx, hash) VALUES ($1, $2)", first+int64(i), h.String()); err != nil {
			return err
		}
	}
	return nil
}

// publicHashes reads stored hashes of the public tree.
type publicHashes struct {
	ctx context.Context
	q   querier
}

// ReadHashes implements [tlog.HashReader].
func (r publicHashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	return readHashes(r.ctx, r.q, "public_hashes", indexes)
}

// PublicCheckpoint returns the newest signed checkpoint of the public tree, with its size. It is
// [relay.ErrNotFound] in a relay's first hour.
func (db *DB) PublicCheckpoint(ctx context.Context) (signed string, size int64, err error) {
	err = db.read.QueryRowContext(ctx, "SELECT note, size FROM public_checkpoints ORDER BY size DESC LIMIT 1").Scan(&signed, &size)
	if errors.Is(err, sql.ErrNoRows) {
		err = relay.ErrNotFound
	}
	return signed, size, err
}

// PublicGrowth proves that the public tree of old leaves is the beginning of the newest one.
// old must be the size of a checkpoint, or 0.
func (db *DB) PublicGrowth(ctx context.Context, old int64) (p relay.GrowthProof, err error) {
	defer wrap(&err, "proof of growth")
	signed, size, err := db.PublicCheckpoint(ctx)
	if err != nil {
		return p, err
	}
	if old == 0 {
		return relay.NewGrowthProof("", signed, nil), nil
	}
	before, err := get(ctx, db.read, func(r scanner) (v string, err error) { err = r.Scan(&v); return }, "SELECT note FROM public_checkpoints WHERE size = $1", old)
	if err != nil {
		return p, err
	}
	t, err := tlog.ProveTree(size, old, publicHashes{ctx, db.read})
	return relay.NewGrowthProof(before, signed, t), err
}

// PublicProof proves that an entry stands in the public tree: as a leaf of its own, or under the
// root of the log that a leaf commits to. An entry that waits for the end of its hour, or for its
// turn, is [relay.ErrNotFound].
func (db *DB) PublicProof(ctx context.Context, entry int64) (p relay.EntryProof, err error) {
	defer wrap(&err, "proof of entry %d", entry)
	var size int64
	if p.Checkpoint, size, err = db.PublicCheckpoint(ctx); err != nil {
		return p, err
	}
	if p.Entry, err = get(ctx, db.read, scanEntry, "SELECT idx, leaf, event, salt FROM log_entries WHERE idx = $1", entry); err != nil {
		return p, err
	}
	type found struct {
		idx, covers       int64
		leaf, opens, salt string
	}
	scan := func(r scanner) (f found, err error) {
		err = r.Scan(&f.idx, &f.leaf, &f.covers, &f.opens, &f.salt)
		return f, err
	}
	f, err := get(ctx, db.read, scan, "SELECT idx, leaf, entry, opens, salt FROM public_leaves WHERE kind = 'entry' AND entry = $1 AND idx < $2", entry, size)
	if errors.Is(err, relay.ErrNotFound) {
		f, err = get(ctx, db.read, scan, "SELECT idx, leaf, entry, opens, salt FROM public_leaves WHERE kind = 'root' AND entry > $1 AND idx < $2 ORDER BY idx LIMIT 1", entry, size)
		if err != nil {
			return p, err
		}
		in, err := tlog.ProveRecord(f.covers, entry, hashReader{ctx, db.read})
		if err != nil {
			return p, err
		}
		p.Log = &relay.LogProof{Place: relay.NewTreeProof(entry, in), Root: f.opens, Salt: f.salt}
	}
	if err != nil {
		return p, err
	}
	p.Leaf = f.leaf
	in, err := tlog.ProveRecord(size, f.idx, publicHashes{ctx, db.read})
	p.Place = relay.NewTreeProof(f.idx, in)
	return p, err
}

// forgettable are the kinds of event whose content may be deleted: traces of everyday use, on
// which no proof rests. What was asked, decided, given and ended stays.
var forgettable = []relay.EventKind{relay.MemberSignedIn, relay.MailSent, relay.MailFailed, relay.LinkOpened, relay.LinkAsked, relay.CodeAccepted, relay.CodeRefused, relay.Started}

// Forgettable returns the kinds of event that [DB.Forget] deletes.
func Forgettable() []relay.EventKind { return slices.Clone(forgettable) }

// Forget deletes what the log says of everyday events before a moment, of one kind or, with an
// empty kind, of all that may be forgotten. Their leaves stay, so that the tree is what it was;
// without salt and event they tell nothing but the hour. It returns how many it deleted.
func (db *DB) Forget(ctx context.Context, kind relay.EventKind, before time.Time, actor string, now time.Time) (n int64, err error) {
	defer wrap(&err, "forget")
	kinds := forgettable
	if kind != "" {
		if !slices.Contains(forgettable, kind) {
			return 0, relay.Invalid("kind", "Events of the kind %q stay in the log. These can be forgotten: %s.", kind, join(forgettable))
		}
		kinds = []relay.EventKind{kind}
	}
	err = db.update(ctx, func(tx *Tx) error {
		n = 0
		for _, k := range kinds {
			res, err := tx.ExecContext(ctx, "UPDATE log_entries SET event = '', salt = '', kind = '', subject = '', at = at - at % 3600000 WHERE kind = $1 AND at < $2", string(k), ms(before))
			if err != nil {
				return err
			}
			m, err := res.RowsAffected()
			if err != nil {
				return err
			}
			n += m
		}
		if n == 0 {
			return nil
		}
		_, err := tx.append(relay.Event{Kind: relay.LogForgotten, Subject: "log", Actor: actor, At: now,
			Data: relay.Data{"entries": n, "kinds": strings.Split(join(kinds), ", "), "before": relay.Stamp(before)}})
		return err
	})
	return n, err
}

func join(kinds []relay.EventKind) string {
	var out []string
	for _, k := range kinds {
		out = append(out, string(k))
	}
	return strings.Join(out, ", ")
}

// Witnessed says what a witness last took.
type Witnessed struct {
	Size int64     `json:"size"` // leaves of the public tree
	At   time.Time `json:"at"`   // when; for one that never took any: since when it is tried
}

// Witnessed returns what the witness named name last took. It is [relay.ErrNotFound] for one
// that was never tried.
func (db *DB) Witnessed(ctx context.Context, name string) (w Witnessed, err error) {
	text, err := db.Setting(ctx, "witness."+name)
	if err != nil {
		return w, err
	}
	return w, json.Unmarshal([]byte(text), &w)
}

// SetWitnessed keeps what a witness took.
func (db *DB) SetWitnessed(ctx context.Context, name string, w Witnessed) error {
	return db.Set(ctx, "witness."+name, text(w))
}

// readHashes reads hashes of a tree from its table.
func readHashes(ctx context.Context, q querier, table string, indexes []int64) ([]tlog.Hash, error) {
	if len(indexes) == 0 {
		return nil, nil
	}
	marks := make([]string, len(indexes))
	args := make([]any, len(indexes))
	for i, x := range indexes {
		marks[i], args[i] = "$"+strconv.Itoa(i+1), x
	}
	rows, err := q.QueryContext(ctx, "SELECT idx, hash FROM "+table+" WHERE idx IN ("+strings.Join(marks, ",")+")", args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := make(map[int64]tlog.Hash, len(indexes))
	for rows.Next() {
		var i int64
		var s string
		if err := rows.Scan(&i, &s); err != nil {
			return nil, err
		}
		if found[i], err = tlog.ParseHash(s); err != nil {
			return nil, err
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		h, ok := found[x]
		if !ok {
			return nil, fmt.Errorf("hash %d of the log is missing", x)
		}
		out[i] = h
	}
	return out, nil
}

// public checks the public tree: its leaves, what they commit to, and its checkpoints.
func (k *check) public(verifier note.Verifier) error {
	stored, err := k.hashes("public_hashes")
	if err != nil {
		return err
	}
	rows, err := k.q.QueryContext(k.ctx, `SELECT p.idx, p.leaf, p.kind, COALESCE(e.leaf, ''), COALESCE(c.note, '')
		FROM public_leaves p LEFT JOIN log_entries e ON p.kind = 'entry' AND e.idx = p.entry
		LEFT JOIN public_checkpoints c ON c.size = p.idx + 1 ORDER BY p.idx`)
	if err != nil {
		return err
	}
	defer rows.Close()
	var tree relay.Tree
	for rows.Next() {
		var n int64
		var leaf, kind, entry, signed string
		if err := rows.Scan(&n, &leaf, &kind, &entry, &signed); err != nil {
			return err
		}
		if n != tree.Size() {
			k.wrong("log: public leaf %d is missing", tree.Size())
			return rows.Err()
		}
		if err := tree.Append(leaf); err != nil {
			return err
		}
		if i := tlog.StoredHashIndex(0, n); i >= int64(len(stored)) || stored[i] != tlog.RecordHash([]byte(leaf)) {
			k.wrong("log: public leaf %d is not the one that was published", n)
		}
		if kind == "entry" {
			mine, err1 := relay.Commitment(leaf)
			own, err2 := relay.Commitment(entry)
			if err := errors.Join(err1, err2); err != nil || mine != own {
				k.wrong("log: public leaf %d does not commit to its entry", n)
			}
		}
		if signed != "" {
			root, err := tree.Root()
			if err != nil {
				return err
			}
			if c, err := relay.OpenCheckpoint([]byte(signed), verifier); err != nil || c.Size != n+1 || c.Root != root || c.Origin != relay.PublicOrigin(verifier.Name()) {
				k.wrong("log: the public checkpoint of %d leaves is not that of the leaves", n+1)
			}
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	var size int64
	if err := k.q.QueryRowContext(k.ctx, "SELECT size FROM public_log WHERE id = 1").Scan(&size); err != nil {
		return err
	}
	if size != tree.Size() {
		k.wrong("log: the public log has %d leaves and says %d", tree.Size(), size)
	}
	return nil
}
