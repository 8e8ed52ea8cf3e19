package storage

import (
	"context"
	"slices"
	"time"

	"cliplease/relay"
)

const agencyColumns = "id, name, level, jurisdiction, domains, phone, complaints, status, verified_by, verified_how, verified_at, verified_until, created_at"

func scanAgency(r scanner) (a relay.Agency, err error) {
	err = r.Scan(&a.ID, &a.Name, &a.Level, &a.Jurisdiction, document{&a.Domains}, &a.Phone, &a.Complaints, &a.Status,
		&a.VerifiedBy, &a.VerifiedHow, at{&a.VerifiedAt}, at{&a.VerifiedUntil}, at{&a.CreatedAt})
	return a, err
}

const keyColumns = "kid, agency_id, alg, jwk, not_before, not_after, status, since"

func scanKey(r scanner) (k relay.AgencyKey, err error) {
	err = r.Scan(&k.KID, &k.AgencyID, &k.Alg, &k.JWK, at{&k.NotBefore}, at{&k.NotAfter}, &k.Status, at{&k.Since})
	return k, err
}

// RegisterAgency stores an agency that a person has verified, with its keys. It fails with
// [relay.ErrConflict] when the agency or one of the keys is registered already.
func (db *DB) RegisterAgency(ctx context.Context, a relay.Agency, keys []relay.AgencyKey, actor string, now time.Time) (err error) {
	defer wrap(&err, "register agency %s", a.ID)
	if err := a.Validate(); err != nil {
		return err
	}
	return db.update(ctx, func(tx *Tx) error {
		if err := tx.exec("INSERT INTO agencies ("+agencyColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
			a.ID, a.Name, a.Level, a.Jurisdiction, text(a.Domains), a.Phone, a.Complaints, a.Status,
			a.VerifiedBy, a.VerifiedHow, ms(a.VerifiedAt), ms(a.VerifiedUntil), ms(a.CreatedAt)); err != nil {
			return err
		}
		if _, err := tx.append(relay.Event{Kind: relay.AgencyRegistered, Subject: a.ID, Actor: actor, At: now, Data: relay.Data{"level": string(a.Level)}}); err != nil {
			return err
		}
		for _, k := range keys {
			if err := tx.addKey(k, actor, now); err != nil {
				return err
			}
		}
		return nil
	})
}

func (tx *Tx) addKey(k relay.AgencyKey, actor string, now time.Time) error {
	if err := tx.exec("INSERT INTO agency_keys ("+keyColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
		k.KID, k.AgencyID, k.Alg, k.JWK, ms(k.NotBefore), ms(k.NotAfter), string(k.Status), ms(k.Since)); err != nil {
		return err
	}
	_, err := tx.append(relay.Event{Kind: relay.KeyAdded, Subject: k.KID, Actor: actor, At: now, Data: relay.Data{"agency": k.AgencyID, "alg": k.Alg}})
	return err
}

// AddAgencyKey pins another key to an agency. When the agency itself brought it, the members
// are told, so that they can object before it works.
func (db *DB) AddAgencyKey(ctx context.Context, k relay.AgencyKey, actor string, now time.Time) (err error) {
	defer wrap(&err, "add key %s", k.KID)
	return db.update(ctx, func(tx *Tx) error {
		if err := tx.addKey(k, actor, now); err != nil || actor != k.AgencyID {
			return err
		}
		return tx.tellMembers("key", k.AgencyID, "", now)
	})
}

// SetKeyStatus retires a key or marks it compromised, which closes the pending requests that it
// signed. A key never becomes active again. What was released already stays until a member
// revokes it.
func (db *DB) SetKeyStatus(ctx context.Context, kid string, status relay.KeyStatus, actor string, now time.Time) (err error) {
	defer wrap(&err, "change key %s", kid)
	return db.update(ctx, func(tx *Tx) error {
		if err := tx.exec("UPDATE agency_keys SET status = $1, since = $2 WHERE kid = $3 AND $1 <> 'active' AND (status = 'active' OR status = 'retired' AND $1 = 'compromised')", string(status), ms(now), kid); err != nil {
			return err
		}
		if _, err := tx.append(relay.Event{Kind: relay.KeyChanged, Subject: kid, Actor: actor, At: now, Data: relay.Data{"status": string(status)}}); err != nil {
			return err
		}
		if status != relay.KeyCompromised {
			return nil
		}
		open, err := list(ctx, tx, scanRequest, "SELECT "+requestColumns+" FROM requests WHERE kid = $1 AND state = 'pending' ORDER BY received_at, id", kid)
		if err != nil {
			return err
		}
		for _, q := range open {
			from := q
			e, err := q.KeyStolen(actor, now)
			if err != nil {
				return err
			}
			if err := tx.saveRequest(q, from); err != nil {
				return err
			}
			if _, err := tx.append(e); err != nil {
				return err
			}
		}
		return nil
	})
}

// RecheckAgency stores that a person verified a registered agency again, with what they wrote
// down and the keys that the agency has now: new ones are pinned, those that it no longer names
// are retired. A key that was retired or stolen before, or is another agency's, fails with
// [relay.ErrConflict].
func (db *DB) RecheckAgency(ctx context.Context, a relay.Agency, keys []relay.AgencyKey, actor string, now time.Time) (err error) {
	defer wrap(&err, "check agency %s again", a.ID)
	if err := a.Validate(); err != nil {
		return err
	}
	return db.update(ctx, func(tx *Tx) error {
		if err := tx.exec("UPDATE agencies SET name = $1, level = $2, jurisdiction = $3, domains = $4, phone = $5, complaints = $6, verified_by = $7, verified_how = $8, verified_at = $9, verified_until = $10 WHERE id = $11",
			a.Name, a.Level, a.Jurisdiction, text(a.Domains), a.Phone, a.Complaints, a.VerifiedBy, a.VerifiedHow, ms(a.VerifiedAt), ms(a.VerifiedUntil), a.ID); err != nil {
			return err
		}
		if _, err := tx.append(relay.Event{Kind: relay.AgencyChanged, Subject: a.ID, Actor: actor, At: now, Data: relay.Data{"status": "checked"}}); err != nil {
			return err
		}
		old, err := list(ctx, tx, scanKey, "SELECT "+keyColumns+" FROM agency_keys WHERE agency_id = $1 AND status = 'active' ORDER BY kid", a.ID)
		if err != nil {
			return err
		}
		named := func(kid string) func(relay.AgencyKey) bool {
			return func(k relay.AgencyKey) bool { return k.KID == kid }
		}
		for _, k := range keys {
			if slices.ContainsFunc(old, named(k.KID)) { // it was pinned before, and a person has heard its words
				err = tx.exec("UPDATE agency_keys SET not_before = CASE WHEN not_before < $1 THEN not_before ELSE $1 END, not_after = $2 WHERE kid = $3", ms(k.NotBefore), ms(k.NotAfter), k.KID)
			} else {
				err = tx.addKey(k, actor, now)
			}
			if err != nil {
				return err
			}
		}
		for _, k := range old {
			if slices.ContainsFunc(keys, named(k.KID)) {
				continue
			}
			if err := tx.exec("UPDATE agency_keys SET status = 'retired', since = $1 WHERE kid = $2 AND status = 'active'", ms(now), k.KID); err != nil {
				return err
			}
			if _, err := tx.append(relay.Event{Kind: relay.KeyChanged, Subject: k.KID, Actor: actor, At: now, Data: relay.Data{"status": string(relay.KeyRetired)}}); err != nil {
				return err
			}
		}
		return nil
	})
}

// SetAgencyStatus suspends an agency or lets it file requests again.
func (db *DB) SetAgencyStatus(ctx context.Context, id string, status relay.AgencyStatus, actor string, now time.Time) (err error) {
	defer wrap(&err, "change agency %s", id)
	return db.update(ctx, func(tx *Tx) error {
		if err := tx.exec("UPDATE agencies SET status = $1 WHERE id = $2 AND status <> $1", string(status), id); err != nil {
			return err
		}
		_, err := tx.append(relay.Event{Kind: relay.AgencyChanged, Subject: id, Actor: actor, At: now, Data: relay.Data{"status": string(status)}})
		return err
	})
}

// Agencies returns every registered agency by name.
func (db *DB) Agencies(ctx context.Context) ([]relay.Agency, error) {
	return list(ctx, db.read, scanAgency, "SELECT "+agencyColumns+" FROM agencies ORDER BY name, id")
}

// Agency returns one agency, or [relay.ErrNotFound].
func (db *DB) Agency(ctx context.Context, id string) (relay.Agency, error) {
	return get(ctx, db.read, scanAgency, "SELECT "+agencyColumns+" FROM agencies WHERE id = $1", id)
}

// AgencyKeys returns the keys of an agency, newest first.
func (db *DB) AgencyKeys(ctx context.Context, agencyID string) ([]relay.AgencyKey, error) {
	return list(ctx, db.read, scanKey, "SELECT "+keyColumns+" FROM agency_keys WHERE agency_id = $1 ORDER BY not_before DESC, kid", agencyID)
}

// AgencyKey returns the key named kid, or [relay.ErrNotFound].
func (db *DB) AgencyKey(ctx context.Context, kid string) (relay.AgencyKey, error) {
	return get(ctx, db.read, scanKey, "SELECT "+keyColumns+" FROM agency_keys WHERE kid = $1", kid)
}

// UseToken records that agency's token jti was used, so that it cannot be used again: a
// second use fails with [relay.ErrConflict].
func (db *DB) UseToken(ctx context.Context, agencyID, jti string, expires time.Time) error {
	return db.update(ctx, func(tx *Tx) error {
		return tx.exec("INSERT INTO seen_tokens (agency_id, jti, expires_at) VALUES ($1, $2, $3)", agencyID, jti, ms(expires))
	})
}
