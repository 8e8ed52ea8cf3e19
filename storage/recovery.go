package storage

import (
	"context"
	"fmt"
	"time"

	"cliplease/relay"
)

// SetRecoveryCodes gives a member new recovery codes, by their hashes. Those that the member
// had are void.
func (db *DB) SetRecoveryCodes(ctx context.Context, memberID string, hashes []string, now time.Time) (err error) {
	defer wrap(&err, "set recovery codes")
	return db.update(ctx, func(tx *Tx) error {
		if err := tx.execAny("DELETE FROM recovery_codes WHERE member_id = $1 AND used_at = 0", memberID); err != nil {
			return err
		}
		for _, h := range hashes {
			if err := tx.exec("INSERT INTO recovery_codes (hash, member_id, created_at) VALUES ($1, $2, $3)", h, memberID, ms(now)); err != nil {
				return err
			}
		}
		_, err := tx.append(relay.Event{Kind: relay.CodesMade, Subject: memberID, Actor: memberID, At: now, Data: relay.Data{"codes": len(hashes)}})
		return err
	})
}

// RecoveryCodes returns how many recovery codes a member has left.
func (db *DB) RecoveryCodes(ctx context.Context, memberID string) (int, error) {
	return get(ctx, db.read, func(r scanner) (n int, err error) { err = r.Scan(&n); return }, "SELECT count(*) FROM recovery_codes WHERE member_id = $1 AND used_at = 0", memberID)
}

// CodeMember returns the member whose unused recovery code has the hash, or [relay.ErrNotFound].
func (db *DB) CodeMember(ctx context.Context, hash string) (relay.Member, error) {
	return get(ctx, db.read, scanMember, "SELECT "+memberColumns+" FROM members WHERE removed_at = 0 AND id = (SELECT member_id FROM recovery_codes WHERE hash = $1 AND used_at = 0)", hash)
}

// Recover uses up a recovery code, stores the passkey that its member made
// instead of those that are lost, and starts the session. Approvals are frozen for
// [relay.RecoveryFreeze] and every member is told, so that who came in with somebody else's
// code can give nothing away before it is noticed. Of two who bring the same code at once, one
// fails with [relay.ErrConflict].
func (db *DB) Recover(ctx context.Context, codeHash string, c Credential, s Session, now time.Time) (err error) {
	defer wrap(&err, "recover")
	return db.update(ctx, func(tx *Tx) error {
		if err := tx.exec("UPDATE recovery_codes SET used_at = $1 WHERE hash = $2 AND member_id = $3 AND used_at = 0", ms(now), codeHash, c.MemberID); err != nil {
			return err
		}
		if err := tx.recovered(c.MemberID, c.MemberID, "a recovery code", now); err != nil {
			return err
		}
		if err := tx.addCredential(c, now); err != nil {
			return err
		}
		return tx.startSession(s, now)
	})
}

// recovered records that a member comes back without a passkey, by what means, freezes
// approvals and tells everybody.
func (tx *Tx) recovered(memberID, actor, how string, now time.Time) error {
	m, err := get(tx.ctx, tx, scanMember, "SELECT "+memberColumns+" FROM members WHERE id = $1 AND removed_at = 0", memberID)
	if err != nil {
		return err
	}
	until := now.Add(relay.RecoveryFreeze)
	if _, err := tx.append(relay.Event{Kind: relay.MemberRecovered, Subject: memberID, Actor: actor, At: now, Data: relay.Data{"how": how}}); err != nil {
		return err
	}
	if err := tx.freeze(relay.Freeze{Why: relay.FrozenByRecovery, By: actor, Since: now, Until: until}); err != nil {
		return err
	}
	all, err := list(tx.ctx, tx, scanMember, "SELECT "+memberColumns+" FROM members WHERE removed_at = 0")
	if err != nil {
		return err
	}
	for _, to := range all {
		n, err := notices(tx.ctx, tx, to.ID)
		if err != nil {
			return err
		}
		if err := tx.push(n, relay.NoticeRecovered, now); err != nil {
			return err
		}
		if to.Email == "" {
			continue
		}
		if err := tx.queueMail(Mail{Kind: "recovered", Address: to.Email, Data: map[string]string{"name": to.Name, "who": m.Name, "how": how, "until": relay.Stamp(until)},
			Subject: memberID, ExpiresAt: now.Add(7 * 24 * time.Hour)}, now); err != nil {
			return err
		}
	}
	return nil
}

// InviteBack stores an invitation with which a member who lost every passkey makes a new one.
// It is for the relay's own machine alone: approvals are frozen and everybody is told, as with
// [DB.Recover].
func (db *DB) InviteBack(ctx context.Context, v Invitation, now time.Time) (err error) {
	defer wrap(&err, "invite back")
	return db.update(ctx, func(tx *Tx) error {
		if err := tx.invite(v); err != nil {
			return err
		}
		return tx.recovered(v.MemberID, v.InvitedBy, "the relay's own machine", now)
	})
}

// ComeBack uses up an invitation of [DB.InviteBack] and stores the passkey that its member
// made. Of two who try at once, one fails with [relay.ErrConflict].
func (db *DB) ComeBack(ctx context.Context, invitationHash string, c Credential, now time.Time) (err error) {
	defer wrap(&err, "come back")
	return db.update(ctx, func(tx *Tx) error {
		if err := tx.exec(`UPDATE invitations SET used_at = $1 WHERE token_hash = $2 AND member_id = $3 AND used_at = 0 AND expires_at > $1
			AND EXISTS (SELECT 1 FROM members WHERE id = $3 AND removed_at = 0)`, ms(now), invitationHash, c.MemberID); err != nil {
			return err
		}
		return tx.addCredential(c, now)
	})
}

// RenameCredential changes what a member calls a passkey.
func (db *DB) RenameCredential(ctx context.Context, memberID, id, name string) (err error) {
	defer wrap(&err, "rename passkey")
	return db.update(ctx, func(tx *Tx) error {
		return goneIfConflict(tx.exec("UPDATE credentials SET name = $1 WHERE id = $2 AND member_id = $3 AND revoked_at = 0", name, id, memberID))
	})
}

// RevokeCredential makes a member's passkey worth nothing: it signs nobody in, signs nothing,
// a signature of it that waits for others is void, and every session of the member but
// keepSession ends, since any of them may have begun with it. The last passkey of the last
// homeowner stays: [relay.ErrPolicy].
func (db *DB) RevokeCredential(ctx context.Context, memberID, id, keepSession string, now time.Time) (err error) {
	defer wrap(&err, "revoke passkey")
	return db.update(ctx, func(tx *Tx) error {
		if err := tx.exec("UPDATE credentials SET revoked_at = $1 WHERE id = $2 AND member_id = $3 AND revoked_at = 0", ms(now), id, memberID); err != nil {
			return goneIfConflict(err)
		}
		if err := tx.keepHomeowner(); err != nil {
			return err
		}
		if err := tx.voidApprovals(); err != nil {
			return err
		}
		if err := tx.execAny("DELETE FROM sessions WHERE member_id = $1 AND token_hash <> $2", memberID, keepSession); err != nil {
			return err
		}
		_, err := tx.append(relay.Event{Kind: relay.PasskeyRevoked, Subject: memberID, Actor: memberID, At: now, Data: relay.Data{"credential": id}})
		return err
	})
}

// keepHomeowner fails unless the home has a homeowner who can sign in.
func (tx *Tx) keepHomeowner() error {
	var left int
	if err := tx.QueryRowContext(tx.ctx, `SELECT count(*) FROM members m WHERE removed_at = 0 AND role = 'homeowner'
		AND EXISTS (SELECT 1 FROM credentials c WHERE c.member_id = m.id AND c.revoked_at = 0)`).Scan(&left); err != nil {
		return err
	}
	if left == 0 {
		return fmt.Errorf("a home keeps at least one homeowner with a passkey: %w", relay.ErrPolicy)
	}
	return nil
}

// voidApprovals deletes signatures that wait for others and whose passkey is revoked, with
// those that follow them: all must be over the grant that the first one signed.
func (tx *Tx) voidApprovals() error {
	return tx.execAny(`DELETE FROM approvals WHERE release_id IN (SELECT id FROM releases WHERE state = 'review') AND release_id IN
		(SELECT a.release_id FROM approvals a JOIN credentials c ON c.id = a.credential_id WHERE c.revoked_at > 0)`)
}

// EndSessions signs a member out in every browser.
func (db *DB) EndSessions(ctx context.Context, memberID string) error {
	return db.update(ctx, func(tx *Tx) error {
		return tx.execAny("DELETE FROM sessions WHERE member_id = $1", memberID)
	})
}
