package storage

import (
	"context"
	"errors"
	"slices"
	"time"

	"cliplease/relay"
)

// NoteGag stores that a court forbade to speak of a request until a day, or another day for it.
func (db *DB) NoteGag(ctx context.Context, requestID string, until time.Time, actor string, now time.Time) (err error) {
	defer wrap(&err, "note a gag")
	return db.update(ctx, func(tx *Tx) error {
		q, err := get(ctx, tx, scanRequest, "SELECT "+requestColumns+" FROM requests WHERE id = $1", requestID)
		if err != nil {
			return err
		}
		g, e, err := q.NoteGag(until, actor, now)
		if err != nil {
			return err
		}
		if err := tx.exec(`INSERT INTO gags (request_id, until_at, noted_by, noted_at) VALUES ($1, $2, $3, $4)
			ON CONFLICT (request_id) DO UPDATE SET until_at = excluded.until_at, noted_by = excluded.noted_by, noted_at = excluded.noted_at`,
			g.RequestID, ms(g.Until), g.By, ms(g.At)); err != nil {
			return err
		}
		_, err = tx.append(e)
		return err
	})
}

// AskedIn returns the requests that count in half-year h, as [relay.NewTransparency] takes them.
func (db *DB) AskedIn(ctx context.Context, h relay.Half, now time.Time) (all []relay.Asked, err error) {
	defer wrap(&err, "what was asked in %s", h)
	requests, err := list(ctx, db.read, scanRequest, "SELECT "+requestColumns+` FROM requests WHERE received_at >= $1 AND received_at < $2
		OR id IN (SELECT request_id FROM gags WHERE until_at >= $1 AND until_at < $2) ORDER BY received_at, id`, ms(h.From()), ms(h.To()))
	if err != nil {
		return nil, err
	}
	for _, q := range requests {
		a := relay.Asked{Request: q}
		a.GagUntil, err = get(ctx, db.read, func(r scanner) (t time.Time, err error) { err = r.Scan(at{&t}); return t, err }, "SELECT until_at FROM gags WHERE request_id = $1", q.ID)
		if err != nil && !errors.Is(err, relay.ErrNotFound) {
			return nil, err
		}
		if a.Releases, err = db.ReleasesOf(ctx, q.ID); err != nil {
			return nil, err
		}
		a.Releases = slices.DeleteFunc(a.Releases, func(rel relay.Release) bool { return rel.GrantedAt.IsZero() })
		for _, rel := range a.Releases {
			said, err := db.AttestationsOf(ctx, rel.ID)
			if err != nil {
				return nil, err
			}
			a.Attested = a.Attested || len(said) > 0
		}
		if q.Claims.Lane == relay.LaneExigent {
			later, err := list(ctx, db.read, scanRequest, agencyRequests, q.AgencyID, ms(q.ReceivedAt))
			if err != nil {
				return nil, err
			}
			owes, owed := q.FollowUp(later, now)
			a.Missed = owed && owes.Breached
		}
		all = append(all, a)
	}
	return all, nil
}
