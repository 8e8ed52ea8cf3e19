package storage

import (
	"context"
	"errors"
	"time"

	"cliplease/relay"
)

// Acknowledgement is an agency's signed word that it has the notice of the end of a release.
type Acknowledgement struct {
	ReleaseID string
	AgencyID  string
	KID       string // the key that signed it
	JWS       string // the compact token exactly as received
	SHA256    string // hex digest of JWS
	CreatedAt time.Time
}

const acknowledgementColumns = "release_id, agency_id, kid, jws, sha256, created_at"

func scanAcknowledgement(r scanner) (a Acknowledgement, err error) {
	err = r.Scan(&a.ReleaseID, &a.AgencyID, &a.KID, &a.JWS, &a.SHA256, at{&a.CreatedAt})
	return a, err
}

// Acknowledge stores that an agency has the notice of the end of a release, with its event, and
// returns it. The first stays: one that comes later returns what was stored before. It fails with
// [relay.ErrState] where the release is not over.
func (db *DB) Acknowledge(ctx context.Context, a Acknowledgement) (stored Acknowledgement, err error) {
	defer wrap(&err, "store an acknowledgement")
	err = db.update(ctx, func(tx *Tx) error {
		rel, err := get(ctx, tx, scanRelease, "SELECT "+releaseColumns+" FROM releases WHERE id = $1", a.ReleaseID)
		if err != nil {
			return err
		}
		e, err := rel.Acknowledge(a.AgencyID, a.SHA256, a.CreatedAt)
		if err != nil {
			return err
		}
		err = tx.exec("INSERT INTO acknowledgements ("+acknowledgementColumns+") VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (release_id) DO NOTHING",
			a.ReleaseID, a.AgencyID, a.KID, a.JWS, a.SHA256, ms(a.CreatedAt))
		if errors.Is(err, relay.ErrConflict) { // acknowledged before
			stored, err = get(ctx, tx, scanAcknowledgement, "SELECT "+acknowledgementColumns+" FROM acknowledgements WHERE release_id = $1", a.ReleaseID)
			return err
		}
		if err != nil {
			return err
		}
		stored = a
		_, err = tx.append(e)
		return err
	})
	return stored, err
}

// AcknowledgementOf returns the agency's acknowledgement of the end of a release, or [relay.ErrNotFound].
func (db *DB) AcknowledgementOf(ctx context.Context, releaseID string) (Acknowledgement, error) {
	return get(ctx, db.read, scanAcknowledgement, "SELECT "+acknowledgementColumns+" FROM acknowledgements WHERE release_id = $1", releaseID)
}
