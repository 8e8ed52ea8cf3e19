package storage

import (
	"context"

	"cliplease/relay"
)

// Search names what the detectors found in the footage of an open release, as it is kept for its
// next round: an object sealed under a key of its own, in the context of the release. The record is
// made in the change that ends the searching round, and goes in the one that ends the release's
// preparing for good.
type Search struct {
	KeyID  string // "s" and an id
	Object string
	Bytes  int64 // of the plaintext
}

// SearchOf returns what is kept of the newest search for a release, or [relay.ErrNotFound].
func (db *DB) SearchOf(ctx context.Context, releaseID string) (Search, error) {
	return searchOf(ctx, db.read, releaseID)
}

func searchOf(ctx context.Context, q querier, releaseID string) (Search, error) {
	return get(ctx, q, func(r scanner) (s Search, err error) {
		err = r.Scan(&s.KeyID, &s.Object, &s.Bytes)
		return s, err
	}, "SELECT key_id, object, bytes FROM searches WHERE release_id = $1", releaseID)
}

// keepSearch keeps s in the place of an earlier search, which a job destroys.
func (tx *Tx) keepSearch(rel relay.Release, s Search) error {
	if err := tx.dropSearch(rel.ID); err != nil {
		return err
	}
	return tx.exec("INSERT INTO searches (release_id, round, key_id, object, bytes) VALUES ($1, $2, $3, $4, $5)", rel.ID, rel.Round, s.KeyID, s.Object, s.Bytes)
}

// dropSearch forgets what was found for a release, and has it destroyed. There may be nothing.
func (tx *Tx) dropSearch(releaseID string) error {
	all, err := list(tx.ctx, tx, func(r scanner) (s Search, err error) { err = r.Scan(&s.KeyID, &s.Object); return s, err },
		"DELETE FROM searches WHERE release_id = $1 RETURNING key_id, object", releaseID)
	for _, s := range all {
		if err := tx.enqueue(DisposeJob{Keys: []string{s.KeyID}, Objects: []string{s.Object}}); err != nil {
			return err
		}
	}
	return err
}

// checkSearches holds the kept searches to releases that can still be prepared again.
func (k *check) checkSearches() error {
	type row struct {
		release string
		round   int
	}
	rows, err := list(k.ctx, k.q, func(r scanner) (v row, err error) { err = r.Scan(&v.release, &v.round); return v, err },
		"SELECT release_id, round FROM searches")
	for _, v := range rows {
		switch rel := k.releases[v.release]; {
		case rel.State != relay.ReleaseIsPreparing && rel.State != relay.ReleaseIsFailed && rel.State != relay.ReleaseInReview:
			k.wrong("release %s is %s, and what was found in its footage is kept", v.release, rel.State)
		case v.round > rel.Round:
			k.wrong("release %s is in round %d, and what was found in its round %d is kept", v.release, rel.Round, v.round)
		}
	}
	return err
}
