package storage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cliplease/relay"
)

// Attestation is an agency's signed statement that it destroyed its copies of a release.
type Attestation struct {
	AgencyID    string
	JTI         string
	ReleaseID   string
	KID         string // the key that signed it
	JWS         string // the compact token exactly as received
	SHA256      string // hex digest of JWS
	DestroyedAt time.Time
	Statement   string
	CreatedAt   time.Time
}

const attestationColumns = "agency_id, jti, release_id, kid, jws, sha256, destroyed_at, statement, created_at"

func scanAttestation(r scanner) (a Attestation, err error) {
	err = r.Scan(&a.AgencyID, &a.JTI, &a.ReleaseID, &a.KID, &a.JWS, &a.SHA256, at{&a.DestroyedAt}, &a.Statement, at{&a.CreatedAt})
	return a, err
}

// AddAttestation stores an attestation with its event and returns it. The same token again
// returns what was stored before; the same jti with other bytes fails with
// [relay.ErrConflict].
func (db *DB) AddAttestation(ctx context.Context, a Attestation) (stored Attestation, err error) {
	defer wrap(&err, "store an attestation")
	err = db.update(ctx, func(tx *Tx) error {
		old, err := get(ctx, tx, scanAttestation, "SELECT "+attestationColumns+" FROM attestations WHERE agency_id = $1 AND jti = $2", a.AgencyID, a.JTI)
		if err == nil {
			if old.JWS != a.JWS {
				return fmt.Errorf("this jti was used for another attestation: %w", relay.ErrConflict)
			}
			stored = old
			return nil
		}
		if !errors.Is(err, relay.ErrNotFound) {
			return err
		}
		if err := tx.exec("INSERT INTO attestations ("+attestationColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
			a.AgencyID, a.JTI, a.ReleaseID, a.KID, a.JWS, a.SHA256, ms(a.DestroyedAt), a.Statement, ms(a.CreatedAt)); err != nil {
			return err
		}
		stored = a
		_, err = tx.append(relay.Event{Kind: relay.CopyDestroyed, Subject: a.ReleaseID, Actor: a.AgencyID, At: a.CreatedAt,
			Data: relay.Data{"attestation_sha256": a.SHA256, "destroyed_at": relay.Stamp(a.DestroyedAt)}})
		return err
	})
	return stored, err
}

// AttestationsOf returns what was attested about a release, newest first.
func (db *DB) AttestationsOf(ctx context.Context, releaseID string) ([]Attestation, error) {
	return list(ctx, db.read, scanAttestation, "SELECT "+attestationColumns+" FROM attestations WHERE release_id = $1 ORDER BY created_at DESC, jti", releaseID)
}
