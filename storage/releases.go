package storage

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"time"

	"cliplease/relay"
)

const releaseColumns = `id, request_id, clip_id, draft, state, round, epoch, prepared_by, failure, progress, copies, proxy, proxy_bytes, summary,
	needs_look, grant_id, grant_doc, granted_at, expires_at, ended_at, end_reason, ended_by, shredded_at, created_at, updated_at`

func scanRelease(r scanner) (v relay.Release, err error) {
	var summary, grant string
	err = r.Scan(&v.ID, &v.RequestID, &v.ClipID, document{&v.Draft}, &v.State, &v.Round, &v.Epoch, &v.PreparedBy, &v.Failure, &v.Progress,
		document{&v.Copies}, &v.Proxy, &v.ProxyBytes, &summary, &v.NeedsLook, &v.GrantID, &grant, at{&v.GrantedAt}, at{&v.ExpiresAt},
		at{&v.EndedAt}, &v.EndReason, &v.EndedBy, at{&v.ShreddedAt}, at{&v.CreatedAt}, at{&v.UpdatedAt})
	if summary != "" {
		v.Summary = json.RawMessage(summary)
	}
	if grant != "" {
		v.Grant = []byte(grant)
	}
	return v, err
}

// ProxyKey is the name of the key that seals a release's review proxy in one round.
func ProxyKey(releaseID string, round int) string { return "p" + releaseID + "-" + text(round) }

// PrepareRelease starts a release of clip for request as member chose it, with the job that
// makes it.
func (db *DB) PrepareRelease(ctx context.Context, requestID, clipID string, d relay.Draft, member string, now time.Time) (rel relay.Release, err error) {
	defer wrap(&err, "prepare release")
	err = db.update(ctx, func(tx *Tx) error {
		q, c, err := tx.askedClip(requestID, clipID)
		if err != nil {
			return err
		}
		if err := tx.judge(&q, now); err != nil { // no release before the rules have looked
			return err
		}
		var e relay.Event
		if rel, e, err = relay.PrepareRelease(relay.NewID(), q, c, d, member, now); err != nil {
			return err
		}
		if err := tx.exec("INSERT INTO releases ("+releaseColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25)`,
			rel.ID, rel.RequestID, rel.ClipID, text(rel.Draft), string(rel.State), rel.Round, rel.Epoch, rel.PreparedBy, "", 0, text(rel.Copies), "", 0, "",
			false, "", "", 0, 0, 0, "", "", 0, ms(rel.CreatedAt), ms(rel.UpdatedAt)); err != nil {
			return err
		}
		if _, err := tx.append(e); err != nil {
			return err
		}
		return tx.enqueue(PrepareJob{ReleaseID: rel.ID, Round: rel.Round})
	})
	return rel, err
}

func (tx *Tx) askedClip(requestID, clipID string) (q relay.Request, c relay.Clip, err error) {
	if q, err = get(tx.ctx, tx, scanRequest, "SELECT "+requestColumns+" FROM requests WHERE id = $1", requestID); err != nil {
		return q, c, err
	}
	c, err = get(tx.ctx, tx, scanClip, "SELECT "+clipColumns+" FROM clips WHERE id = $1", clipID)
	return q, c, err
}

// updateRelease applies change to a release and commits the release and its event together,
// with what after adds, which gets the release before and after the change.
func (db *DB) updateRelease(ctx context.Context, id string, change func(*Tx, *relay.Release) (relay.Event, error), after func(tx *Tx, from, to relay.Release) error) error {
	return db.update(ctx, func(tx *Tx) error {
		rel, err := get(ctx, tx, scanRelease, "SELECT "+releaseColumns+" FROM releases WHERE id = $1", id)
		if err != nil {
			return err
		}
		from := rel
		e, err := change(tx, &rel)
		if err != nil {
			return err
		}
		if err := tx.saveRelease(rel, from); err != nil {
			return err
		}
		if from.State == relay.ReleaseInReview { // whatever was signed of it is void
			if err := tx.execAny("DELETE FROM approvals WHERE release_id = $1", id); err != nil {
				return err
			}
		}
		if after != nil {
			if err := after(tx, from, rel); err != nil {
				return err
			}
		}
		_, err = tx.append(e)
		return err
	})
}

func (tx *Tx) saveRelease(rel, from relay.Release) error {
	return tx.exec(`UPDATE releases SET draft = $1, state = $2, round = $3, epoch = $4, failure = $5, progress = $6, copies = $7, proxy = $8, proxy_bytes = $9,
		summary = $10, needs_look = $11, grant_id = $12, grant_doc = $13, granted_at = $14, expires_at = $15, ended_at = $16, end_reason = $17, ended_by = $18,
		shredded_at = $19, updated_at = $20
		WHERE id = $21 AND state = $22 AND round = $23 AND epoch = $24 AND shredded_at = $25`,
		text(rel.Draft), string(rel.State), rel.Round, rel.Epoch, rel.Failure, rel.Progress, text(rel.Copies), rel.Proxy, rel.ProxyBytes,
		string(rel.Summary), rel.NeedsLook, rel.GrantID, string(rel.Grant), ms(rel.GrantedAt), ms(rel.ExpiresAt), ms(rel.EndedAt), rel.EndReason, rel.EndedBy,
		ms(rel.ShreddedAt), ms(rel.UpdatedAt), rel.ID, string(from.State), from.Round, from.Epoch, ms(from.ShreddedAt))
}

// SetProgress notes how far the preparation of a round is, 0 to 100. It is no event.
func (db *DB) SetProgress(ctx context.Context, id string, round, percent int) error {
	return db.update(ctx, func(tx *Tx) error {
		return tx.execAny("UPDATE releases SET progress = $1 WHERE id = $2 AND round = $3 AND state = 'preparing'", percent, id, round)
	})
}

// Prepared moves a release to review with what the worker made, and keeps what the detectors
// found, if it searched anew. The bytes are in the object store by now: a crash before this leaves
// objects that the sweeper of orphans finds.
func (db *DB) Prepared(ctx context.Context, id string, round int, copies []relay.Copy, proxy string, proxyBytes int64, s relay.Summary, search *Search, now time.Time) (err error) {
	defer wrap(&err, "finish preparing")
	return db.updateRelease(ctx, id, func(_ *Tx, rel *relay.Release) (relay.Event, error) {
		return rel.Prepared(round, copies, proxy, proxyBytes, s, now)
	}, func(tx *Tx, _, rel relay.Release) error {
		if search != nil {
			if err := tx.keepSearch(rel, *search); err != nil {
				return err
			}
		}
		return tx.tellMembers("ready", rel.RequestID, rel.ID, now)
	})
}

// PrepareFailed records why a release could not be made.
func (db *DB) PrepareFailed(ctx context.Context, id string, round int, reason string, now time.Time) (err error) {
	defer wrap(&err, "record the failure")
	return db.updateRelease(ctx, id, func(_ *Tx, rel *relay.Release) (relay.Event, error) { return rel.Fail(round, reason, now) }, nil)
}

// EditRelease prepares a release anew with another draft. What the round before made is
// destroyed by a job.
func (db *DB) EditRelease(ctx context.Context, id string, d relay.Draft, member string, now time.Time) (err error) {
	defer wrap(&err, "edit release")
	return db.updateRelease(ctx, id, func(tx *Tx, rel *relay.Release) (relay.Event, error) {
		q, c, err := tx.askedClip(rel.RequestID, rel.ClipID)
		if err != nil {
			return relay.Event{}, err
		}
		able, err := tx.approvers()
		if err != nil {
			return relay.Event{}, err
		}
		if err := d.Approvers(able); err != nil {
			return relay.Event{}, err
		}
		return rel.Edit(q, c, d, member, now)
	}, func(tx *Tx, from, rel relay.Release) error {
		if err := tx.enqueue(DisposeJob(Remains(from))); err != nil {
			return err
		}
		return tx.enqueue(PrepareJob{ReleaseID: id, Round: rel.Round})
	})
}

// Leftover names the keys and objects of a release.
type Leftover struct {
	Keys    []string
	Objects []string
}

// Remains returns every key and object that round rel.Round of a release has or may have.
func Remains(rel relay.Release) Leftover {
	l := Leftover{Keys: []string{ProxyKey(rel.ID, rel.Round)}}
	for _, c := range rel.Copies {
		l.Keys = append(l.Keys, c.ID)
		if c.Object != "" {
			l.Objects = append(l.Objects, c.Object)
		}
	}
	if rel.Proxy != "" {
		l.Objects = append(l.Objects, rel.Proxy)
	}
	return l
}

// DiscardRelease gives a release up before it is signed.
func (db *DB) DiscardRelease(ctx context.Context, id, member string, now time.Time) (err error) {
	defer wrap(&err, "discard release")
	return db.updateRelease(ctx, id, func(_ *Tx, rel *relay.Release) (relay.Event, error) { return rel.Discard(member, now) },
		func(tx *Tx, _, rel relay.Release) error {
			if err := tx.dropSearch(id); err != nil {
				return err
			}
			return tx.enqueue(ShredJob{ReleaseID: id})
		})
}

// SignedLink is one link to be made when a release is signed. Token is the whole secret that
// is mailed; the row keeps only its hash.
type SignedLink struct {
	Link  relay.Link
	Token string // empty for a key recipient, who is told nothing by mail
	Mail  string // address
	Data  map[string]string
}

// Signature is what a passkey made over a grant.
type Signature struct {
	ClientData        []byte
	AuthenticatorData []byte
	Signature         []byte
	PublicKey         []byte // COSE
	Credential        Credential
}

func (s Signature) assertion() relay.Assertion {
	return relay.Assertion{ClientData: s.ClientData, AuthenticatorData: s.AuthenticatorData, Signature: s.Signature, PublicKey: s.PublicKey}
}

// GrantRecord is a signed grant as it is kept.
type GrantRecord struct {
	ID           string
	ReleaseID    string
	MemberID     string
	Document     []byte
	Signature    Signature
	CredentialID string
	LogIndex     int64
	CreatedAt    time.Time
}

// Signing is everything that a signed grant changes.
type Signing struct {
	ReleaseID  string
	CeremonyID string
	Grant      relay.Grant
	Canonical  []byte
	Member     string
	Looked     bool
	Signature  Signature
	Links      []SignedLink
	Key        ed25519.PrivateKey // the relay's: it signs the manifests
}

// SignRelease makes a release live. In one transaction the ceremony is used up, the release
// moves, the grant, the manifests, the links and the mails are stored, and the agency's view becomes
// "released". A crash before the commit leaves the release in review. Where several members
// have to sign and this is not the last of them, the ceremony is used up, the signature is
// kept, and the release stays in review.
func (db *DB) SignRelease(ctx context.Context, s Signing, now time.Time) (err error) {
	defer wrap(&err, "sign release")
	var index int64
	return db.update(ctx, func(tx *Tx) error {
		if err := tx.takeGrantCeremony(s, now); err != nil {
			return err
		}
		if err := tx.useCredential(s.Signature.Credential, now); err != nil {
			return err
		}
		rel, err := get(ctx, tx, scanRelease, "SELECT "+releaseColumns+" FROM releases WHERE id = $1", s.ReleaseID)
		if err != nil {
			return err
		}
		q, err := get(ctx, tx, scanRequest, "SELECT "+requestColumns+" FROM requests WHERE id = $1", rel.RequestID)
		if err != nil {
			return err
		}
		from, wasAsked := rel, q
		by, err := tx.signers(s)
		if err != nil {
			return err
		}
		need, camera, err := tx.quorum(rel, q)
		if err != nil {
			return err
		}
		e, err := rel.Sign(q, s.Grant, s.Canonical, need, by, camera.Masks, now)
		if err != nil {
			return err
		}
		if err := tx.saveRelease(rel, from); err != nil {
			return err
		}
		if rel.State != relay.ReleaseIsLive {
			if err := tx.approve(rel, s, len(by), now); err != nil {
				return err
			}
			if _, err := tx.append(e); err != nil {
				return err
			}
			return tx.thawed(now)
		}
		q.ReleaseID, q.ReleasedAt, q.EndedAt = rel.ID, now, time.Time{}
		if err := tx.saveRequest(q, wasAsked); err != nil {
			return err
		}
		if index, err = tx.append(e); err != nil {
			return err
		}
		if err := tx.thawed(now); err != nil {
			return err
		}
		if err := tx.exec("INSERT INTO grants ("+grantColumns+`)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`, rel.GrantID, rel.ID, s.Member, string(s.Canonical),
			s.Signature.ClientData, s.Signature.AuthenticatorData, s.Signature.Signature, s.Signature.PublicKey, s.Signature.Credential.ID, index, ms(now)); err != nil {
			return err
		}
		if err := tx.addManifests(rel, q, s, index, now); err != nil {
			return err
		}
		for _, l := range s.Links {
			if err := tx.addLink(l, rel, now); err != nil {
				return err
			}
		}
		if err := tx.dropSearch(rel.ID); err != nil {
			return err
		}
		if rel.Proxy != "" { // nobody needs the unredacted proxy any more
			if err := tx.enqueue(DisposeJob{Keys: []string{ProxyKey(rel.ID, rel.Round)}, Objects: []string{rel.Proxy}}); err != nil {
				return err
			}
		}
		return tx.tellMembers("released", rel.RequestID, rel.ID, now)
	})
}

// RevokeRelease ends a live release. Access is over when it returns: views are ended in the
// same transaction, and keys and objects are destroyed by a job.
func (db *DB) RevokeRelease(ctx context.Context, id, actor, reason string, now time.Time) (err error) {
	defer wrap(&err, "revoke release")
	return db.updateRelease(ctx, id, func(_ *Tx, rel *relay.Release) (relay.Event, error) { return rel.Revoke(actor, reason, now) }, db.ended(now))
}

// ended does what the end of a live release brings with it.
func (db *DB) ended(now time.Time) func(tx *Tx, from, rel relay.Release) error {
	return func(tx *Tx, _, rel relay.Release) error {
		if err := tx.execAny("UPDATE requests SET ended_at = $1 WHERE id = $2 AND release_id = $3", ms(now), rel.RequestID, rel.ID); err != nil {
			return err
		}
		// Links before views: whoever starts a view holds the link's row, so that no view can
		// begin between the two statements and be missed.
		if err := tx.execAny("UPDATE links SET revoked_at = $1 WHERE release_id = $2 AND revoked_at = 0", ms(now), rel.ID); err != nil {
			return err
		}
		if err := tx.endViews(now, "link_id IN (SELECT id FROM links WHERE release_id = $2)", rel.ID); err != nil {
			return err
		}
		if err := tx.tellRecipients(rel, now); err != nil {
			return err
		}
		if err := tx.tellMembers("ended", rel.RequestID, rel.ID, now); err != nil {
			return err
		}
		return tx.enqueue(ShredJob{ReleaseID: rel.ID})
	}
}

// ExpireReleases ends every live release whose time is over, and gives up those that were
// never signed before their request closed. It returns the ids of those that were live.
func (db *DB) ExpireReleases(ctx context.Context, now time.Time) (ended []string, err error) {
	defer wrap(&err, "expire releases")
	due, err := list(ctx, db.read, scanRelease, "SELECT "+releaseColumns+" FROM releases WHERE state = 'live' AND expires_at <= $1", ms(now))
	if err != nil {
		return nil, err
	}
	for _, rel := range due {
		err := db.updateRelease(ctx, rel.ID, func(_ *Tx, rel *relay.Release) (relay.Event, error) { return rel.Expire(now) }, db.ended(now))
		if movedByAnother(err) {
			continue
		}
		if err != nil {
			return ended, err
		}
		ended = append(ended, rel.ID)
	}
	stale, err := list(ctx, db.read, scanRelease, "SELECT "+releaseColumns+` FROM releases WHERE state IN ('preparing', 'failed', 'review')
		AND request_id IN (SELECT id FROM requests WHERE state = 'closed')`)
	if err != nil {
		return ended, err
	}
	for _, rel := range stale {
		if err := db.DiscardRelease(ctx, rel.ID, "relay", now); err != nil && !movedByAnother(err) {
			return ended, err
		}
	}
	return ended, nil
}

// movedByAnother reports whether err says that another writer made the same move, or one
// that makes it needless.
func movedByAnother(err error) bool {
	return errors.Is(err, relay.ErrState) || errors.Is(err, relay.ErrConflict)
}

// Shredded records that all keys and objects of a release are destroyed.
func (db *DB) Shredded(ctx context.Context, id string, now time.Time) (err error) {
	defer wrap(&err, "record the destruction")
	return db.updateRelease(ctx, id, func(_ *Tx, rel *relay.Release) (relay.Event, error) { return rel.Shred(now) }, nil)
}

// Release returns one release, or [relay.ErrNotFound].
func (db *DB) Release(ctx context.Context, id string) (relay.Release, error) {
	return get(ctx, db.read, scanRelease, "SELECT "+releaseColumns+" FROM releases WHERE id = $1", id)
}

// ReleasesOf returns the releases made for a request, newest first.
func (db *DB) ReleasesOf(ctx context.Context, requestID string) ([]relay.Release, error) {
	return list(ctx, db.read, scanRelease, "SELECT "+releaseColumns+" FROM releases WHERE request_id = $1 ORDER BY created_at DESC, id", requestID)
}

// Releases returns the releases in any of states (all when none is named), newest first.
func (db *DB) Releases(ctx context.Context, limit int, states ...relay.ReleaseState) ([]relay.Release, error) {
	all, err := list(ctx, db.read, scanRelease, "SELECT "+releaseColumns+" FROM releases WHERE (state IN ($1, $2, $3, $4, $5, $6, $7) OR $8) ORDER BY created_at DESC, id LIMIT $9",
		append(padStates(states), len(states) == 0, limit)...)
	return all, err
}

func padStates(states []relay.ReleaseState) []any {
	out := make([]any, 7)
	for i := range out {
		out[i] = ""
		if i < len(states) {
			out[i] = string(states[i])
		}
	}
	return out
}

const grantColumns = "id, release_id, member_id, document, client_data, authenticator_data, signature, public_key, credential_id, log_index, created_at"

func scanGrant(r scanner) (g GrantRecord, err error) {
	var doc string
	err = r.Scan(&g.ID, &g.ReleaseID, &g.MemberID, &doc, &g.Signature.ClientData, &g.Signature.AuthenticatorData, &g.Signature.Signature,
		&g.Signature.PublicKey, &g.CredentialID, &g.LogIndex, at{&g.CreatedAt})
	g.Document = []byte(doc)
	return g, err
}

// GrantOf returns the signed grant of a release, or [relay.ErrNotFound].
func (db *DB) GrantOf(ctx context.Context, releaseID string) (GrantRecord, error) {
	return get(ctx, db.read, scanGrant, "SELECT "+grantColumns+" FROM grants WHERE release_id = $1", releaseID)
}
