package storage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"cliplease/relay"
)

// Approval is a signature of a grant that several members have to sign, all but the last,
// which is in the [GrantRecord].
type Approval struct {
	ReleaseID    string
	Place        int // 1, 2, …
	Round        int // of the release; a later round makes it void
	MemberID     string
	Looked       bool
	Document     []byte // canonical grant, the same for every place
	Signature    Signature
	CredentialID string
	CreatedAt    time.Time
}

const approvalColumns = "release_id, place, round, member_id, looked, document, client_data, authenticator_data, signature, public_key, credential_id, created_at"

func scanApproval(r scanner) (a Approval, err error) {
	var doc string
	err = r.Scan(&a.ReleaseID, &a.Place, &a.Round, &a.MemberID, &a.Looked, &doc, &a.Signature.ClientData, &a.Signature.AuthenticatorData,
		&a.Signature.Signature, &a.Signature.PublicKey, &a.CredentialID, at{&a.CreatedAt})
	a.Document = []byte(doc)
	return a, err
}

const approvalsOf = "SELECT " + approvalColumns + " FROM approvals WHERE release_id = $1 ORDER BY place"

// Approvals returns the signatures that a release has besides the one that made it live, in
// the order in which they were given.
func (db *DB) Approvals(ctx context.Context, releaseID string) ([]Approval, error) {
	return list(ctx, db.read, scanApproval, approvalsOf, releaseID)
}

// takeGrantCeremony uses up the ceremony of s, which must have been begun by the same member
// for the same release and exactly this grant.
func (tx *Tx) takeGrantCeremony(s Signing, now time.Time) error {
	if err := tx.exec("DELETE FROM ceremonies WHERE id = $1 AND expires_at > $2 AND kind = 'grant' AND member_id = $3 AND subject = $4 AND document = $5",
		s.CeremonyID, ms(now), s.Member, s.ReleaseID, string(s.Canonical)); err != nil {
		return fmt.Errorf("this passkey prompt was used, is too old, or was for something else; start again: %w", err)
	}
	return nil
}

// keySum names a passkey's public key.
func keySum(s Signature) string {
	sum := sha256.Sum256(s.PublicKey)
	return hex.EncodeToString(sum[:])
}

// signers returns who signed the grant of s up to now, the signer of s last. A passkey
// that was revoked in the meantime counts for nothing. While somebody's signature waits, only the same grant can be signed.
func (tx *Tx) signers(s Signing) (by []relay.Signer, err error) {
	role := func(id string) (relay.Role, error) {
		m, err := get(tx.ctx, tx, scanMember, "SELECT "+memberColumns+" FROM members WHERE id = $1 AND removed_at = 0", id)
		return m.Role, err
	}
	earlier, err := list(tx.ctx, tx, scanApproval, approvalsOf, s.ReleaseID)
	if err != nil {
		return nil, err
	}
	for _, a := range earlier {
		if string(a.Document) != string(s.Canonical) {
			return nil, fmt.Errorf("another member has signed this release in the meantime, and the next signature must be over the same grant: %w", relay.ErrConflict)
		}
		if err := tx.exec("UPDATE credentials SET used_at = used_at WHERE id = $1 AND revoked_at = 0", a.CredentialID); err != nil {
			return nil, err
		}
		r, err := role(a.MemberID)
		if err != nil {
			return nil, err
		}
		by = append(by, relay.Signer{Member: a.MemberID, Role: r, Key: keySum(a.Signature), Looked: a.Looked})
	}
	r, err := role(s.Member)
	return append(by, relay.Signer{Member: s.Member, Role: r, Key: keySum(s.Signature), Looked: s.Looked}), err
}

// quorum is what the home needs for a grant of rel at this moment, and the camera it was made with.
func (tx *Tx) quorum(rel relay.Release, q relay.Request) (*relay.GrantQuorum, relay.Camera, error) {
	camera, err := get(tx.ctx, tx, scanCamera, "SELECT "+cameraColumns+" FROM cameras WHERE id = (SELECT camera_id FROM clips WHERE id = $1)", rel.ClipID)
	if err != nil {
		return nil, camera, err
	}
	open, err := rel.Exceptions()
	return relay.QuorumOf(q, rel.Draft, camera, len(open)), camera, err
}

// approvers is how many members of the home may sign.
func (tx *Tx) approvers() (n int, err error) {
	members, err := list(tx.ctx, tx, scanMember, "SELECT "+memberColumns+" FROM members WHERE removed_at = 0")
	for _, m := range members {
		if m.Role.CanSign() {
			n++
		}
	}
	return n, err
}

// approve keeps a signature that is not the last: of two
// members who sign at once, one is told to sign again, after the other.
func (tx *Tx) approve(rel relay.Release, s Signing, place int, now time.Time) error {
	if err := tx.exec("INSERT INTO approvals ("+approvalColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
		rel.ID, place, rel.Round, s.Member, s.Looked, string(s.Canonical), s.Signature.ClientData, s.Signature.AuthenticatorData,
		s.Signature.Signature, s.Signature.PublicKey, s.Signature.Credential.ID, ms(now)); err != nil {
		return err
	}
	return tx.tellMembers("cosign", rel.RequestID, rel.ID, now)
}

// Frozen returns the freeze of approvals that lasts longest at now; the zero value when there
// is none.
func (db *DB) Frozen(ctx context.Context, now time.Time) (relay.Freeze, error) {
	return frozen(ctx, db.read, now)
}

func frozen(ctx context.Context, q querier, now time.Time) (relay.Freeze, error) {
	f, err := get(ctx, q, func(r scanner) (f relay.Freeze, err error) {
		err = r.Scan(&f.Why, &f.By, at{&f.Since}, at{&f.Until})
		return f, err
	}, "SELECT why, actor, since_at, until_at FROM freezes WHERE until_at > $1 ORDER BY until_at DESC LIMIT 1", ms(now))
	if errors.Is(err, relay.ErrNotFound) {
		return relay.Freeze{}, nil
	}
	return f, err
}

// thawed fails while approvals are frozen. It is asked after the log was written to: whoever
// freezes writes to the log as well, so that of an approval and a freeze at the same moment
// the one that comes first in the log is seen by the other.
func (tx *Tx) thawed(now time.Time) error {
	f, err := frozen(tx.ctx, tx, now)
	if err != nil {
		return err
	}
	return f.Check(now)
}

// freeze stops approvals from f.Since until f.Until.
func (tx *Tx) freeze(f relay.Freeze) error {
	if err := tx.exec("INSERT INTO freezes (id, why, actor, since_at, until_at) VALUES ($1, $2, $3, $4, $5)",
		relay.NewID(), string(f.Why), f.By, ms(f.Since), ms(f.Until)); err != nil {
		return err
	}
	_, err := tx.append(relay.Event{Kind: relay.ApprovalsFrozen, Subject: f.By, Actor: f.By, At: f.Since, Data: relay.Data{"why": string(f.Why), "until": relay.Stamp(f.Until)}})
	return err
}

// EndEverything freezes approvals for d and then revokes every live release. It returns the
// ids of those that it ended, also when it could not end all. Nothing goes live in between:
// what is signed before the freeze is found, what is signed after it is refused.
func (db *DB) EndEverything(ctx context.Context, actor string, d time.Duration, reason string, now time.Time) (ended []string, err error) {
	defer wrap(&err, "end everything")
	if d <= 0 || d > relay.MaxFreeze {
		return nil, relay.Invalid("hours", "Freeze approvals for 1 hour to %d days.", int(relay.MaxFreeze.Hours()/24))
	}
	if err := db.update(ctx, func(tx *Tx) error {
		return tx.freeze(relay.Freeze{Why: relay.FrozenByPanic, By: actor, Since: now, Until: now.Add(d)})
	}); err != nil {
		return nil, err
	}
	live, err := list(ctx, db.write, func(r scanner) (id string, err error) { err = r.Scan(&id); return }, "SELECT id FROM releases WHERE state = 'live' ORDER BY granted_at, id")
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, id := range live {
		switch err := db.RevokeRelease(ctx, id, actor, reason, now); {
		case err == nil:
			ended = append(ended, id)
		case !movedByAnother(err):
			errs = append(errs, err) // the others must still end
		}
	}
	return ended, errors.Join(errs...)
}

// RevokeRecipient ends every live link of the recipient of one link: the same mailbox or the
// same key, in whatever release. It returns the ids of the links that it ended.
func (db *DB) RevokeRecipient(ctx context.Context, linkID, actor string, now time.Time) (ended []string, err error) {
	defer wrap(&err, "revoke recipient")
	one, err := db.Link(ctx, linkID)
	if err != nil {
		return nil, err
	}
	who, err := db.recipientOf(ctx, one)
	if err != nil {
		return nil, err
	}
	links, err := list(ctx, db.read, scanLink, "SELECT "+linkColumns+" FROM links l JOIN releases r ON r.id = l.release_id WHERE r.state = 'live' AND l.revoked_at = 0 ORDER BY l.created_at, l.id")
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, l := range links {
		to, err := db.recipientOf(ctx, l)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if to.Kind != who.Kind || to.KID != who.KID || !strings.EqualFold(to.Addr, who.Addr) {
			continue
		}
		switch err := db.RevokeLink(ctx, l.ID, actor, now); {
		case err == nil:
			ended = append(ended, l.ID)
		case !movedByAnother(err):
			errs = append(errs, err)
		}
	}
	return ended, errors.Join(errs...)
}

func (db *DB) recipientOf(ctx context.Context, l relay.Link) (relay.Recipient, error) {
	rel, err := db.Release(ctx, l.ReleaseID)
	if err != nil {
		return relay.Recipient{}, err
	}
	i := slices.IndexFunc(rel.Copies, func(c relay.Copy) bool { return c.ID == l.CopyID })
	if i < 0 {
		return relay.Recipient{}, fmt.Errorf("link %s names a copy that its release does not have", l.ID)
	}
	return rel.Copies[i].Recipient, nil
}
