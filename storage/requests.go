package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"cliplease/relay"
)

func noRows(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return relay.ErrNotFound
	}
	return err
}

const requestColumns = "id, agency_id, kid, jti, jws, sha256, claims, received_at, respond_by, state, reason, closed_at, seen_at, withdrawn_at, release_id, released_at, ended_at, judged_at, verdict, called_at, call_note"

func scanRequest(r scanner) (q relay.Request, err error) {
	err = r.Scan(&q.ID, &q.AgencyID, &q.KID, &q.JTI, &q.JWS, &q.SHA256, document{&q.Claims}, at{&q.ReceivedAt}, at{&q.RespondBy},
		&q.State, &q.Reason, at{&q.ClosedAt}, at{&q.SeenAt}, at{&q.WithdrawnAt}, &q.ReleaseID, at{&q.ReleasedAt}, at{&q.EndedAt},
		at{&q.JudgedAt}, document{&q.Verdict}, at{&q.CalledAt}, &q.CallNote)
	return q, err
}

// agencyRequests finds the requests of one agency since a time, newest first.
const agencyRequests = "SELECT " + requestColumns + " FROM requests WHERE agency_id = $1 AND received_at >= $2 ORDER BY received_at DESC, id"

// ReceiveRequest stores a request, its event and the job that looks at it. The same token
// again returns the request as it was stored before and repeated; the same jti with other
// bytes fails with [relay.ErrConflict].
//
// admit, unless nil, is asked in the same transaction whether the agency may file one more
// beside those that it filed since then, newest first: two requests at once cannot both be
// the last that it may.
func (db *DB) ReceiveRequest(ctx context.Context, q relay.Request, e relay.Event, since time.Time, admit func(earlier []relay.Request) error) (stored relay.Request, repeated bool, err error) {
	defer wrap(&err, "receive request")
	err = db.update(ctx, func(tx *Tx) error {
		if err := tx.exec("UPDATE agencies SET status = status WHERE id = $1", q.AgencyID); err != nil { // locks the agency
			return err
		}
		old, err := get(ctx, tx, scanRequest, "SELECT "+requestColumns+" FROM requests WHERE agency_id = $1 AND jti = $2", q.AgencyID, q.JTI)
		if err == nil {
			if old.JWS != q.JWS {
				return fmt.Errorf("this jti was used for another request: %w", relay.ErrConflict)
			}
			stored, repeated = old, true
			return nil
		}
		if !errors.Is(err, relay.ErrNotFound) {
			return err
		}
		if admit != nil {
			earlier, err := list(ctx, tx, scanRequest, agencyRequests, q.AgencyID, ms(since))
			if err != nil {
				return err
			}
			if err := admit(earlier); err != nil {
				return err
			}
		}
		if err := tx.exec("INSERT INTO requests (id, agency_id, kid, jti, jws, sha256, claims, received_at, respond_by, state, reason) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'pending', '')",
			q.ID, q.AgencyID, q.KID, q.JTI, q.JWS, q.SHA256, text(q.Claims), ms(q.ReceivedAt), ms(q.RespondBy)); err != nil {
			return err
		}
		if _, err := tx.append(e); err != nil {
			return err
		}
		stored = q
		return tx.enqueue(NotifyJob{RequestID: q.ID})
	})
	return stored, repeated, err
}

// Request returns one request, or [relay.ErrNotFound].
func (db *DB) Request(ctx context.Context, id string) (relay.Request, error) {
	return get(ctx, db.read, scanRequest, "SELECT "+requestColumns+" FROM requests WHERE id = $1", id)
}

// AgencyRequest returns that of a request of one agency from which [relay.Request.AgencyView]
// follows, and no more: what the home or its rules wrote is not read, so that reading takes the
// same time whatever that is. A request of another agency is [relay.ErrNotFound], like one that
// does not exist.
func (db *DB) AgencyRequest(ctx context.Context, agencyID, id string) (relay.Request, error) {
	return get(ctx, db.read, func(r scanner) (q relay.Request, err error) {
		err = r.Scan(&q.ID, &q.AgencyID, at{&q.ReceivedAt}, at{&q.RespondBy}, at{&q.WithdrawnAt}, &q.ReleaseID, at{&q.ReleasedAt}, at{&q.EndedAt})
		return q, err
	}, "SELECT id, agency_id, received_at, respond_by, withdrawn_at, release_id, released_at, ended_at FROM requests WHERE id = $1 AND agency_id = $2", id, agencyID)
}

// Requests returns requests, newest first: those in state, or all when state is empty.
func (db *DB) Requests(ctx context.Context, state relay.RequestState, limit int) ([]relay.Request, error) {
	return list(ctx, db.read, scanRequest, "SELECT "+requestColumns+" FROM requests WHERE (state = $1 OR $1 = '') ORDER BY received_at DESC, id LIMIT $2", string(state), limit)
}

// RequestsOf returns all requests of an agency, newest first.
func (db *DB) RequestsOf(ctx context.Context, agencyID string) ([]relay.Request, error) {
	return list(ctx, db.read, scanRequest, agencyRequests, agencyID, 0)
}

// UpdateRequest applies change to a request and commits the request and its event together.
// If another writer moved it first, nothing is stored: [relay.ErrConflict].
func (db *DB) UpdateRequest(ctx context.Context, id string, change func(*relay.Request) (relay.Event, error)) (err error) {
	defer wrap(&err, "update request")
	return db.update(ctx, func(tx *Tx) error {
		q, err := get(ctx, tx, scanRequest, "SELECT "+requestColumns+" FROM requests WHERE id = $1", id)
		if err != nil {
			return err
		}
		from := q
		e, err := change(&q)
		if err != nil {
			return err
		}
		if err := tx.saveRequest(q, from); err != nil {
			return err
		}
		_, err = tx.append(e)
		return err
	})
}

func (tx *Tx) saveRequest(q, from relay.Request) error {
	return tx.exec(`UPDATE requests SET state = $1, reason = $2, closed_at = $3, seen_at = $4, withdrawn_at = $5, release_id = $6, released_at = $7, ended_at = $8,
		judged_at = $9, verdict = $10, called_at = $11, call_note = $12
		WHERE id = $13 AND state = $14 AND seen_at = $15 AND release_id = $16 AND ended_at = $17 AND withdrawn_at = $18 AND judged_at = $19 AND called_at = $20`,
		string(q.State), string(q.Reason), ms(q.ClosedAt), ms(q.SeenAt), ms(q.WithdrawnAt), q.ReleaseID, ms(q.ReleasedAt), ms(q.EndedAt),
		ms(q.JudgedAt), text(q.Verdict), ms(q.CalledAt), q.CallNote,
		q.ID, string(from.State), ms(from.SeenAt), from.ReleaseID, ms(from.EndedAt), ms(from.WithdrawnAt), ms(from.JudgedAt), ms(from.CalledAt))
}

// LapseRequests closes every pending request whose deadline has passed, each in its own
// transaction, and returns how many.
func (db *DB) LapseRequests(ctx context.Context, now time.Time) (n int, err error) {
	defer wrap(&err, "close requests past their deadline")
	due, err := list(ctx, db.read, scanRequest, "SELECT "+requestColumns+" FROM requests WHERE state = 'pending' AND respond_by <= $1", ms(now))
	for _, q := range due {
		err := db.UpdateRequest(ctx, q.ID, func(q *relay.Request) (relay.Event, error) { return q.Lapse(now) })
		if movedByAnother(err) {
			continue
		}
		if err != nil {
			return n, err
		}
		n++
	}
	return n, err
}
