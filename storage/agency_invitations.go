package storage

import (
	"context"
	"time"

	"cliplease/relay"
)

const agencyInvitationColumns = "token_hash, name, invited_by, expires_at, offer, offered_at"

func scanAgencyInvitation(r scanner) (v relay.AgencyInvitation, err error) {
	err = r.Scan(&v.TokenHash, &v.Name, &v.InvitedBy, at{&v.ExpiresAt}, document{&v.Offer}, at{&v.OfferedAt})
	return v, err
}

// InviteAgency stores an invitation of an agency.
func (db *DB) InviteAgency(ctx context.Context, v relay.AgencyInvitation, now time.Time) (err error) {
	defer wrap(&err, "invite an agency")
	return db.update(ctx, func(tx *Tx) error {
		if err := tx.exec("INSERT INTO agency_invitations (token_hash, name, invited_by, expires_at) VALUES ($1, $2, $3, $4)", v.TokenHash, v.Name, v.InvitedBy, ms(v.ExpiresAt)); err != nil {
			return err
		}
		_, err := tx.append(relay.Event{Kind: relay.AgencyInvited, Subject: v.ID(), Actor: v.InvitedBy, At: now})
		return err
	})
}

// OfferAgency stores what an agency handed over for an invitation, and tells the members. An
// invitation that is unknown, answered, given up or too old is [relay.ErrNotFound].
func (db *DB) OfferAgency(ctx context.Context, tokenHash string, o relay.AgencyOffer, now time.Time) (err error) {
	defer wrap(&err, "answer an invitation")
	return db.update(ctx, func(tx *Tx) error {
		if err := tx.exec("UPDATE agency_invitations SET agency_id = $1, offer = $2, offered_at = $3 WHERE token_hash = $4 AND offered_at = 0 AND closed_at = 0 AND expires_at > $3",
			o.ID, text(o), ms(now), tokenHash); err != nil {
			return goneIfConflict(err)
		}
		v := relay.AgencyInvitation{TokenHash: tokenHash}
		if _, err := tx.append(relay.Event{Kind: relay.AgencyOffered, Subject: v.ID(), Actor: "relay", At: now}); err != nil {
			return err
		}
		return tx.tellMembers("offer", v.ID(), "", now)
	})
}

// AgencyInvitations returns the invitations that are open at now, newest answer first: neither
// given up, nor too old, nor followed by a check of the agency that answered.
func (db *DB) AgencyInvitations(ctx context.Context, now time.Time) ([]relay.AgencyInvitation, error) {
	return list(ctx, db.read, scanAgencyInvitation, "SELECT "+agencyInvitationColumns+` FROM agency_invitations v WHERE closed_at = 0 AND expires_at > $1
		AND NOT EXISTS (SELECT 1 FROM agencies a WHERE a.id = v.agency_id AND a.verified_at >= v.offered_at) ORDER BY offered_at DESC, expires_at DESC, token_hash`, ms(now))
}

// CloseAgencyInvitation gives an invitation up.
func (db *DB) CloseAgencyInvitation(ctx context.Context, id, actor string, now time.Time) (err error) {
	defer wrap(&err, "give an invitation up")
	return db.update(ctx, func(tx *Tx) error {
		if err := tx.exec("UPDATE agency_invitations SET closed_at = $1 WHERE substr(token_hash, 1, 16) = $2 AND closed_at = 0", ms(now), id); err != nil {
			return goneIfConflict(err)
		}
		_, err := tx.append(relay.Event{Kind: relay.AgencyUninvited, Subject: id, Actor: actor, At: now})
		return err
	})
}
