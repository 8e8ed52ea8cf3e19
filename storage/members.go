package storage

import (
	"context"
	"fmt"
	"time"

	"cliplease/relay"
)

// Credential is a member's passkey.
type Credential struct {
	ID        string // base64url of the credential id
	MemberID  string
	Name      string // what the member calls it
	Record    string // JSON of the WebAuthn library's credential, with the public key
	CreatedAt time.Time
	UsedAt    time.Time
	RevokedAt time.Time
}

// SetUp is who "invited" the first homeowner: the relay's first start.
const SetUp = "set-up"

// Invitation lets one person join the home. Its token is stored as a hash.
type Invitation struct {
	TokenHash string
	Role      relay.Role
	Name      string
	Email     string
	InvitedBy string
	ExpiresAt time.Time
	UsedAt    time.Time
	MemberID  string // of somebody who comes back; empty for a new member
}

// Session is one signed-in browser. Its token is stored as a hash.
type Session struct {
	TokenHash string
	MemberID  string
	Agent     string
	CreatedAt time.Time
	SeenAt    time.Time
	ExpiresAt time.Time
}

// Ceremony is a passkey ceremony under way.
type Ceremony struct {
	ID        string
	Kind      string // "register", "sign_in" or "grant"
	MemberID  string
	Subject   string // release id for a grant, hash of the invitation for a registration
	Session   string // JSON of the WebAuthn library's session data
	Document  string // canonical grant
	ExpiresAt time.Time
}

const memberColumns = "id, name, email, role, created_at, removed_at, language, zone"

func scanMember(r scanner) (m relay.Member, err error) {
	err = r.Scan(&m.ID, &m.Name, &m.Email, &m.Role, at{&m.CreatedAt}, at{&m.RemovedAt}, &m.Language, &m.Zone)
	return m, err
}

// Members returns everyone who belongs to the home, in the order in which they joined.
func (db *DB) Members(ctx context.Context) ([]relay.Member, error) {
	return list(ctx, db.read, scanMember, "SELECT "+memberColumns+" FROM members WHERE removed_at = 0 ORDER BY created_at, id")
}

// SetMemberWords sets in which language and time zone a member reads pages and mails. It is a matter
// of how things are shown, and no event.
func (db *DB) SetMemberWords(ctx context.Context, id, language, zone string) error {
	return db.update(ctx, func(tx *Tx) error {
		return tx.exec("UPDATE members SET language = $1, zone = $2 WHERE id = $3 AND removed_at = 0", language, zone, id)
	})
}

// Member returns one member who belongs to the home, or [relay.ErrNotFound].
func (db *DB) Member(ctx context.Context, id string) (relay.Member, error) {
	return get(ctx, db.read, scanMember, "SELECT "+memberColumns+" FROM members WHERE id = $1 AND removed_at = 0", id)
}

// RemoveMember takes a member out of the home: sessions end, passkeys stop working, the
// record stays. The last homeowner with a passkey cannot be removed.
func (db *DB) RemoveMember(ctx context.Context, id, actor string, now time.Time) (err error) {
	defer wrap(&err, "remove member")
	return db.update(ctx, func(tx *Tx) error {
		if err := tx.exec("UPDATE members SET removed_at = $1 WHERE id = $2 AND removed_at = 0", ms(now), id); err != nil {
			return err
		}
		if err := tx.keepHomeowner(); err != nil {
			return err
		}
		if err := tx.execAny("UPDATE credentials SET revoked_at = $1 WHERE member_id = $2 AND revoked_at = 0", ms(now), id); err != nil {
			return err
		}
		if err := tx.voidApprovals(); err != nil {
			return err
		}
		for _, statement := range []string{
			"DELETE FROM sessions WHERE member_id = $1",
			"DELETE FROM notices WHERE member_id = $1", // the key of an address is an orphan then, and is destroyed
		} {
			if err := tx.execAny(statement, id); err != nil {
				return err
			}
		}
		_, err := tx.append(relay.Event{Kind: relay.MemberRemoved, Subject: id, Actor: actor, At: now})
		return err
	})
}

const invitationColumns = "token_hash, role, name, email, invited_by, expires_at, used_at, member_id"

func scanInvitation(r scanner) (v Invitation, err error) {
	err = r.Scan(&v.TokenHash, &v.Role, &v.Name, &v.Email, &v.InvitedBy, at{&v.ExpiresAt}, at{&v.UsedAt}, &v.MemberID)
	return v, err
}

// Invite stores an invitation.
func (db *DB) Invite(ctx context.Context, v Invitation, now time.Time) (err error) {
	defer wrap(&err, "invite")
	return db.update(ctx, func(tx *Tx) error {
		if err := tx.invite(v); err != nil {
			return err
		}
		_, err := tx.append(relay.Event{Kind: relay.MemberInvited, Subject: v.TokenHash[:16], Actor: v.InvitedBy, At: now, Data: relay.Data{"role": string(v.Role)}})
		return err
	})
}

func (tx *Tx) invite(v Invitation) error {
	return tx.exec("INSERT INTO invitations ("+invitationColumns+") VALUES ($1, $2, $3, $4, $5, $6, 0, $7)",
		v.TokenHash, string(v.Role), v.Name, v.Email, v.InvitedBy, ms(v.ExpiresAt), v.MemberID)
}

// Invitation returns an invitation that can still be used, or [relay.ErrNotFound].
func (db *DB) Invitation(ctx context.Context, tokenHash string, now time.Time) (Invitation, error) {
	return get(ctx, db.read, scanInvitation, "SELECT "+invitationColumns+" FROM invitations WHERE token_hash = $1 AND used_at = 0 AND expires_at > $2", tokenHash, ms(now))
}

// Join makes the member that an invitation asks for, with a first passkey, and uses up the
// invitation: of two who try at once, one fails with [relay.ErrConflict].
func (db *DB) Join(ctx context.Context, invitationHash string, m relay.Member, c Credential, now time.Time) (err error) {
	defer wrap(&err, "join")
	return db.update(ctx, func(tx *Tx) error {
		if err := tx.exec("UPDATE invitations SET used_at = $1 WHERE token_hash = $2 AND member_id = '' AND used_at = 0 AND expires_at > $1", ms(now), invitationHash); err != nil {
			return err
		}
		// A link that sets up the home is worth nothing once somebody belongs to it.
		if err := tx.execAny("DELETE FROM invitations WHERE invited_by = $1 AND token_hash <> $2", SetUp, invitationHash); err != nil {
			return err
		}
		if err := tx.exec("INSERT INTO members ("+memberColumns+") VALUES ($1, $2, $3, $4, $5, 0, $6, $7)", m.ID, m.Name, m.Email, string(m.Role), ms(m.CreatedAt), m.Language, m.Zone); err != nil {
			return err
		}
		if _, err := tx.append(relay.Event{Kind: relay.MemberJoined, Subject: m.ID, Actor: m.ID, At: now, Data: relay.Data{"role": string(m.Role)}}); err != nil {
			return err
		}
		return tx.addCredential(c, now)
	})
}

func (tx *Tx) addCredential(c Credential, now time.Time) error {
	if err := tx.exec("INSERT INTO credentials (id, member_id, name, record, created_at) VALUES ($1, $2, $3, $4, $5)", c.ID, c.MemberID, c.Name, c.Record, ms(now)); err != nil {
		return err
	}
	_, err := tx.append(relay.Event{Kind: relay.PasskeyAdded, Subject: c.MemberID, Actor: c.MemberID, At: now, Data: relay.Data{"credential": c.ID}})
	return err
}

// AddCredential stores another passkey of a member.
func (db *DB) AddCredential(ctx context.Context, c Credential, now time.Time) (err error) {
	defer wrap(&err, "add passkey")
	return db.update(ctx, func(tx *Tx) error { return tx.addCredential(c, now) })
}

const credentialColumns = "id, member_id, name, record, created_at, used_at, revoked_at"

func scanCredential(r scanner) (c Credential, err error) {
	err = r.Scan(&c.ID, &c.MemberID, &c.Name, &c.Record, at{&c.CreatedAt}, at{&c.UsedAt}, at{&c.RevokedAt})
	return c, err
}

// Credentials returns the passkeys of a member that still work.
func (db *DB) Credentials(ctx context.Context, memberID string) ([]Credential, error) {
	return list(ctx, db.read, scanCredential, "SELECT "+credentialColumns+" FROM credentials WHERE member_id = $1 AND revoked_at = 0 ORDER BY created_at", memberID)
}

// CountMembers returns how many people belong to the home; 0 means that it is not set up.
func (db *DB) CountMembers(ctx context.Context) (int, error) {
	return get(ctx, db.read, func(r scanner) (n int, err error) { err = r.Scan(&n); return }, "SELECT count(*) FROM members WHERE removed_at = 0")
}

// SaveCeremony stores a ceremony that was begun.
func (db *DB) SaveCeremony(ctx context.Context, c Ceremony) (err error) {
	defer wrap(&err, "begin %s ceremony", c.Kind)
	return db.update(ctx, func(tx *Tx) error {
		return tx.exec("INSERT INTO ceremonies (id, kind, member_id, subject, session, document, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
			c.ID, c.Kind, c.MemberID, c.Subject, c.Session, c.Document, ms(c.ExpiresAt))
	})
}

func scanCeremony(r scanner) (c Ceremony, err error) {
	err = r.Scan(&c.ID, &c.Kind, &c.MemberID, &c.Subject, &c.Session, &c.Document, at{&c.ExpiresAt})
	return c, err
}

// Ceremony returns a ceremony that can still be finished, or [relay.ErrNotFound]. It is used
// up by the change that it allows: [DB.SignIn], [DB.SignRelease], or [DB.TakeCeremony].
func (db *DB) Ceremony(ctx context.Context, id, kind string, now time.Time) (Ceremony, error) {
	return get(ctx, db.read, scanCeremony, "SELECT id, kind, member_id, subject, session, document, expires_at FROM ceremonies WHERE id = $1 AND kind = $2 AND expires_at > $3", id, kind, ms(now))
}

func (tx *Tx) takeCeremony(id string, now time.Time) error {
	if err := tx.exec("DELETE FROM ceremonies WHERE id = $1 AND expires_at > $2", id, ms(now)); err != nil {
		return fmt.Errorf("this passkey prompt was used or is too old; start again: %w", err)
	}
	return nil
}

// TakeCeremony uses up a registration ceremony.
func (db *DB) TakeCeremony(ctx context.Context, id string, now time.Time) error {
	return db.update(ctx, func(tx *Tx) error { return tx.takeCeremony(id, now) })
}

// SignIn uses up the ceremony, notes the use of the passkey and starts the session.
func (db *DB) SignIn(ctx context.Context, ceremonyID string, c Credential, s Session, now time.Time) (err error) {
	defer wrap(&err, "sign in")
	return db.update(ctx, func(tx *Tx) error {
		if err := tx.takeCeremony(ceremonyID, now); err != nil {
			return err
		}
		if err := tx.useCredential(c, now); err != nil {
			return err
		}
		return tx.startSession(s, now)
	})
}

// StartSession starts a session right after a member joined.
func (db *DB) StartSession(ctx context.Context, s Session, now time.Time) (err error) {
	defer wrap(&err, "start session")
	return db.update(ctx, func(tx *Tx) error { return tx.startSession(s, now) })
}

func (tx *Tx) startSession(s Session, now time.Time) error {
	if err := tx.exec("INSERT INTO sessions (token_hash, member_id, agent, created_at, seen_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)",
		s.TokenHash, s.MemberID, s.Agent, ms(s.CreatedAt), ms(s.SeenAt), ms(s.ExpiresAt)); err != nil {
		return err
	}
	_, err := tx.append(relay.Event{Kind: relay.MemberSignedIn, Subject: s.MemberID, Actor: s.MemberID, At: now})
	return err
}

// useCredential stores the new counter of a passkey that was just used. A passkey that was
// revoked in the meantime fails with [relay.ErrConflict].
func (tx *Tx) useCredential(c Credential, now time.Time) error {
	return tx.exec("UPDATE credentials SET record = $1, used_at = $2 WHERE id = $3 AND member_id = $4 AND revoked_at = 0", c.Record, ms(now), c.ID, c.MemberID)
}

// SessionMember returns the session with its member, unless it is idle for longer than idle,
// expired, or the member was removed: [relay.ErrNotFound].
func (db *DB) SessionMember(ctx context.Context, tokenHash string, idle time.Duration, now time.Time) (s Session, m relay.Member, err error) {
	row := db.read.QueryRowContext(ctx, `SELECT s.token_hash, s.member_id, s.agent, s.created_at, s.seen_at, s.expires_at,
		m.id, m.name, m.email, m.role, m.created_at, m.removed_at, m.language, m.zone
		FROM sessions s JOIN members m ON m.id = s.member_id
		WHERE s.token_hash = $1 AND s.expires_at > $2 AND s.seen_at > $3 AND m.removed_at = 0`, tokenHash, ms(now), ms(now.Add(-idle)))
	err = noRows(row.Scan(&s.TokenHash, &s.MemberID, &s.Agent, at{&s.CreatedAt}, at{&s.SeenAt}, at{&s.ExpiresAt},
		&m.ID, &m.Name, &m.Email, &m.Role, at{&m.CreatedAt}, at{&m.RemovedAt}, &m.Language, &m.Zone))
	return s, m, err
}

// TouchSession notes that a session was used. Callers do so at most once a minute.
func (db *DB) TouchSession(ctx context.Context, tokenHash string, now time.Time) error {
	return db.update(ctx, func(tx *Tx) error {
		return tx.execAny("UPDATE sessions SET seen_at = $1 WHERE token_hash = $2", ms(now), tokenHash)
	})
}

// Sessions returns the sessions of a member, last used first.
func (db *DB) Sessions(ctx context.Context, memberID string) ([]Session, error) {
	return list(ctx, db.read, func(r scanner) (s Session, err error) {
		err = r.Scan(&s.TokenHash, &s.MemberID, &s.Agent, at{&s.CreatedAt}, at{&s.SeenAt}, at{&s.ExpiresAt})
		return s, err
	}, "SELECT token_hash, member_id, agent, created_at, seen_at, expires_at FROM sessions WHERE member_id = $1 ORDER BY seen_at DESC", memberID)
}

// EndSession signs a browser out. A session that is gone already is no error.
func (db *DB) EndSession(ctx context.Context, memberID, tokenHash string) error {
	return db.update(ctx, func(tx *Tx) error {
		return tx.execAny("DELETE FROM sessions WHERE token_hash = $1 AND member_id = $2", tokenHash, memberID)
	})
}
