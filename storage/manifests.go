package storage

import (
	"context"
	"errors"
	"time"

	"cliplease/relay"
)

// addManifests signs and stores what the relay states about each copy of a release that goes
// live, in the transaction in which it does.
func (tx *Tx) addManifests(rel relay.Release, q relay.Request, s Signing, index int64, now time.Time) error {
	if s.Key == nil {
		return errors.New("nothing goes live without a manifest, and there is no key to sign it")
	}
	camera, err := get(tx.ctx, tx, scanCamera, "SELECT "+cameraColumns+" FROM cameras WHERE id = (SELECT camera_id FROM clips WHERE id = $1)", rel.ClipID)
	if err != nil {
		return err
	}
	all, err := relay.Manifests(rel, q, s.Grant, camera, index, now)
	if err != nil {
		return err
	}
	for i, m := range all {
		token, err := m.Sign(s.Key)
		if err != nil {
			return err
		}
		if err := tx.exec("INSERT INTO manifests (copy_id, release_id, place, sha256, token, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
			m.Recipient.ID, rel.ID, i+1, m.Output.SHA256, token, ms(now)); err != nil {
			return err
		}
	}
	return nil
}

const manifestsOf = "SELECT token FROM manifests WHERE release_id = $1 ORDER BY place"

func scanText(r scanner) (s string, err error) { err = r.Scan(&s); return s, err }

// Manifests returns the signed manifests of a release, in the order of its grant's outputs.
// A release that was never live has none.
func (db *DB) Manifests(ctx context.Context, releaseID string) ([]string, error) {
	return list(ctx, db.read, scanText, manifestsOf, releaseID)
}

// Released returns the links of release copies with a digest (hex SHA-256), each with the gate
// of its release. It is empty for what was never signed, and for what is no digest at all,
// after the same look into the database.
func (db *DB) Released(ctx context.Context, sha256 string) ([]Opened, error) {
	return list(ctx, db.read, func(r scanner) (o Opened, err error) { return o, o.scan(r, false) },
		"SELECT "+linkColumns+", "+releaseGate+" FROM manifests m JOIN links l ON l.copy_id = m.copy_id JOIN releases r ON r.id = m.release_id WHERE m.sha256 = $1", sha256)
}

// manifests checks that a release which is or was live has a manifest of each copy, which the
// relay signed and which says what the grant does.
func (k *check) manifests(rel relay.Release, g relay.Grant, r GrantRecord) error {
	tokens, err := list(k.ctx, k.q, scanText, manifestsOf, rel.ID)
	if err != nil {
		return err
	}
	if len(tokens) != len(g.Outputs) {
		k.wrong("release %s has %d copies and %d manifests", rel.ID, len(g.Outputs), len(tokens))
		return nil
	}
	for i, token := range tokens {
		m, err := relay.OpenManifest(token, k.key)
		if err == nil {
			err = m.Matches(g, relay.GrantHash(r.Document), g.Outputs[i], k.requests[rel.RequestID].Claims, r.LogIndex, rel.ID)
		}
		if err != nil {
			k.wrong("release %s: manifest %d: %w", rel.ID, i+1, err)
		}
	}
	return nil
}
