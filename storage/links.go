package storage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cliplease/relay"
)

const linkColumns = "l.id, l.token_hash, l.release_id, l.copy_id, l.expires_at, l.max_views, l.views_used, l.revoked_at, l.epoch, l.created_at, l.asked_at"

func linkFields(l *relay.Link) []any {
	return []any{&l.ID, &l.TokenHash, &l.ReleaseID, &l.CopyID, at{&l.ExpiresAt}, &l.MaxViews, &l.ViewsUsed, at{&l.RevokedAt}, &l.Epoch, at{&l.CreatedAt}, at{&l.AskedAt}}
}

func scanLink(r scanner) (l relay.Link, err error) {
	err = r.Scan(linkFields(&l)...)
	return l, err
}

// addLink stores a link of a release that was just signed, and the mail that brings it.
func (tx *Tx) addLink(s SignedLink, rel relay.Release, now time.Time) error {
	l := s.Link
	if err := tx.exec("INSERT INTO links (id, token_hash, release_id, copy_id, expires_at, max_views, epoch, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
		l.ID, l.TokenHash, rel.ID, l.CopyID, ms(l.ExpiresAt), l.MaxViews, rel.Epoch, ms(now)); err != nil {
		return err
	}
	if s.Token == "" {
		return nil
	}
	return tx.queueMail(Mail{Kind: "link", Address: s.Mail, Data: s.Data, Secret: s.Token, Subject: rel.ID, ExpiresAt: l.ExpiresAt}, now)
}

// LinksOf returns the links of a release.
func (db *DB) LinksOf(ctx context.Context, releaseID string) ([]relay.Link, error) {
	return list(ctx, db.read, scanLink, "SELECT "+linkColumns+" FROM links l WHERE l.release_id = $1 ORDER BY l.created_at, l.id", releaseID)
}

// Link returns one link, or [relay.ErrNotFound].
func (db *DB) Link(ctx context.Context, id string) (relay.Link, error) {
	return get(ctx, db.read, scanLink, "SELECT "+linkColumns+" FROM links l WHERE l.id = $1", id)
}

// RevokeLink ends one recipient's access and leaves the others of the release as they are.
func (db *DB) RevokeLink(ctx context.Context, linkID, actor string, now time.Time) (err error) {
	defer wrap(&err, "revoke link")
	return db.update(ctx, func(tx *Tx) error {
		l, err := get(ctx, tx, scanLink, "SELECT "+linkColumns+" FROM links l WHERE l.id = $1", linkID)
		if err != nil {
			return err
		}
		if err := tx.exec("UPDATE links SET revoked_at = $1 WHERE id = $2 AND revoked_at = 0", ms(now), linkID); err != nil {
			return err
		}
		if err := tx.endViews(now, "link_id = $2", linkID); err != nil {
			return err
		}
		if _, err := tx.append(relay.Event{Kind: relay.LinkRevoked, Subject: l.ReleaseID, Actor: actor, At: now, Data: relay.Data{"link": linkID}}); err != nil {
			return err
		}
		return tx.enqueue(DisposeJob{Keys: []string{l.CopyID}})
	})
}

// AskMore notes that the recipient of a link asks for more time, and tells the members. A second
// time within a day fails with [relay.ErrPolicy].
func (db *DB) AskMore(ctx context.Context, o Opened, now time.Time) (err error) {
	defer wrap(&err, "ask for more time")
	return db.update(ctx, func(tx *Tx) error {
		l, err := get(ctx, tx, scanLink, "SELECT "+linkColumns+" FROM links l WHERE l.id = $1", o.Link.ID)
		if err != nil {
			return err
		}
		e, err := l.AskMore(o.Release, now)
		if err != nil {
			return err
		}
		if err := tx.exec("UPDATE links SET asked_at = $1 WHERE id = $2 AND revoked_at = 0", ms(l.AskedAt), l.ID); err != nil {
			return err
		}
		if _, err := tx.append(e); err != nil {
			return err
		}
		return tx.tellMembers("more", o.Release.RequestID, o.Release.ID, now)
	})
}

// RemindRecipients tells each mailbox whose lease ends soon that it does, once, and the members who want to know. A lease that has no
// view left is not worth a mail.
func (db *DB) RemindRecipients(ctx context.Context, now time.Time) (err error) {
	defer wrap(&err, "remind recipients")
	due, err := list(ctx, db.read, scanLink, "SELECT "+linkColumns+` FROM links l JOIN releases r ON r.id = l.release_id
		WHERE r.state = 'live' AND l.revoked_at = 0 AND l.reminded_at = 0 AND l.views_used < l.max_views AND l.expires_at > $1 ORDER BY l.expires_at, l.id`, ms(now))
	if err != nil {
		return err
	}
	for _, l := range due {
		if at := l.RemindAt(); at.IsZero() || now.Before(at) {
			continue
		}
		if err := db.update(ctx, func(tx *Tx) error { return tx.remind(l, now) }); err != nil && !movedByAnother(err) {
			return err
		}
	}
	return nil
}

func (tx *Tx) remind(l relay.Link, now time.Time) error {
	if err := tx.exec("UPDATE links SET reminded_at = $1 WHERE id = $2 AND reminded_at = 0 AND revoked_at = 0", ms(now), l.ID); err != nil {
		return err
	}
	rel, err := get(tx.ctx, tx, scanRelease, "SELECT "+releaseColumns+" FROM releases WHERE id = $1 AND state = 'live'", l.ReleaseID)
	if err != nil {
		return goneIsMoved(err)
	}
	q, err := get(tx.ctx, tx, scanRequest, "SELECT "+requestColumns+" FROM requests WHERE id = $1", rel.RequestID)
	if err != nil {
		return err
	}
	if err := tx.tellMembers(relay.NoticeEnds, rel.RequestID, rel.ID, now); err != nil {
		return err
	}
	for _, c := range rel.Copies {
		if c.ID != l.CopyID || c.Recipient.Kind != relay.RecipientEmail {
			continue
		}
		return tx.queueMail(Mail{Kind: "soon", Address: c.Recipient.Addr, Data: map[string]string{
			"name": c.Recipient.Name, "case": q.Claims.Case.Ref, "until": relay.Stamp(l.ExpiresAt),
		}, Subject: rel.ID, ExpiresAt: l.ExpiresAt}, now)
	}
	return nil
}

// goneIsMoved turns [relay.ErrNotFound] into [relay.ErrState]: what was there a moment ago has moved on.
func goneIsMoved(err error) error {
	if errors.Is(err, relay.ErrNotFound) {
		return relay.ErrState
	}
	return err
}

// ViewSession is a recipient's browser: "pre" once it brought a good token, "view" once it
// brought a good code as well. Its token is stored as a hash.
type ViewSession struct {
	TokenHash   string
	LinkID      string
	Kind        string
	MediaPath   string
	CodeMAC     string
	CodeExpires time.Time
	CodeTries   int
	CreatedAt   time.Time
	SeenAt      time.Time
	ExpiresAt   time.Time
	Bytes       int64
	EndedAt     time.Time
}

// Opened is a link with what it opens.
type Opened struct {
	Session ViewSession
	Link    relay.Link
	Release relay.Release
	Copy    relay.Copy
}

const viewColumns = "v.token_hash, v.link_id, v.kind, v.media_path, v.code_mac, v.code_expires, v.code_tries, v.created_at, v.seen_at, v.expires_at, v.bytes, v.ended_at"

func viewFields(v *ViewSession) []any {
	return []any{&v.TokenHash, &v.LinkID, &v.Kind, &v.MediaPath, &v.CodeMAC, at{&v.CodeExpires}, &v.CodeTries, at{&v.CreatedAt}, at{&v.SeenAt}, at{&v.ExpiresAt}, &v.Bytes, at{&v.EndedAt}}
}

// releaseGate are the columns of a release that decide on access, and its copies.
const releaseGate = "r.id, r.request_id, r.state, r.epoch, r.expires_at, r.copies, r.draft, r.grant_doc"

func (o *Opened) scan(r scanner, session bool) error {
	var grant string
	fields := linkFields(&o.Link)
	if session {
		fields = append(viewFields(&o.Session), fields...)
	}
	err := noRows(r.Scan(append(fields, &o.Release.ID, &o.Release.RequestID, &o.Release.State, &o.Release.Epoch, at{&o.Release.ExpiresAt},
		document{&o.Release.Copies}, document{&o.Release.Draft}, &grant)...))
	if err != nil {
		return err
	}
	o.Release.Grant = []byte(grant)
	for _, c := range o.Release.Copies {
		if c.ID == o.Link.CopyID {
			o.Copy = c
			return nil
		}
	}
	return fmt.Errorf("link %s names a copy that its release does not have", o.Link.ID)
}

// LinkByToken returns the link whose token has the hash, with what it opens, whether or not
// it may be opened now: callers ask [relay.Link.Usable].
func (db *DB) LinkByToken(ctx context.Context, tokenHash string) (o Opened, err error) {
	row := db.read.QueryRowContext(ctx, "SELECT "+linkColumns+", "+releaseGate+" FROM links l JOIN releases r ON r.id = l.release_id WHERE l.token_hash = $1", tokenHash)
	return o, o.scan(row, false)
}

// LinkOfKey returns the newest link of a release for a key recipient, or [relay.ErrNotFound].
func (db *DB) LinkOfKey(ctx context.Context, releaseID, copyID string) (o Opened, err error) {
	row := db.read.QueryRowContext(ctx, "SELECT "+linkColumns+", "+releaseGate+" FROM links l JOIN releases r ON r.id = l.release_id WHERE l.release_id = $1 AND l.copy_id = $2 ORDER BY l.created_at DESC LIMIT 1", releaseID, copyID)
	return o, o.scan(row, false)
}

// View returns the session with what it opens, in one read. It is asked for every range:
// callers then ask [relay.Link.Playable] and compare the session's times.
func (db *DB) View(ctx context.Context, tokenHash, kind string) (o Opened, err error) {
	row := db.read.QueryRowContext(ctx, "SELECT "+viewColumns+", "+linkColumns+", "+releaseGate+` FROM view_sessions v
		JOIN links l ON l.id = v.link_id JOIN releases r ON r.id = l.release_id WHERE v.token_hash = $1 AND v.kind = $2 AND v.ended_at = 0`, tokenHash, kind)
	return o, o.scan(row, true)
}

// StartPre stores the session of a browser that brought a good token.
func (db *DB) StartPre(ctx context.Context, v ViewSession) error {
	return db.update(ctx, func(tx *Tx) error { return tx.startView(v) })
}

func (tx *Tx) startView(v ViewSession) error {
	return tx.exec("INSERT INTO view_sessions (token_hash, link_id, kind, media_path, code_mac, code_expires, code_tries, created_at, seen_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $8, $9)",
		v.TokenHash, v.LinkID, v.Kind, v.MediaPath, v.CodeMAC, ms(v.CodeExpires), ms(v.CreatedAt), ms(v.SeenAt), ms(v.ExpiresAt))
}

// SendCode stores the MAC of a new code in a pre session and queues the mail that brings the
// code to the granted address. More than [relay.CodesPerHour] for one link within an hour
// fail with [relay.ErrPolicy]; with the last of them the members are told. The session lives
// as long as its code.
func (db *DB) SendCode(ctx context.Context, o Opened, code, mac string, data map[string]string, now time.Time) (err error) {
	defer wrap(&err, "send code")
	return db.update(ctx, func(tx *Tx) error {
		if err := tx.execAny("DELETE FROM codes_sent WHERE sent_at <= $1", ms(now.Add(-time.Hour))); err != nil {
			return err
		}
		if err := tx.exec("UPDATE links SET views_used = views_used WHERE id = $1 AND revoked_at = 0", o.Link.ID); err != nil {
			return err
		}
		var sent int
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM codes_sent WHERE link_id = $1", o.Link.ID).Scan(&sent); err != nil {
			return err
		}
		if sent >= relay.CodesPerHour {
			return fmt.Errorf("too many codes: %w", relay.ErrPolicy)
		}
		if err := tx.exec("INSERT INTO codes_sent (link_id, sent_at) VALUES ($1, $2)", o.Link.ID, ms(now)); err != nil {
			return err
		}
		if err := tx.exec("UPDATE view_sessions SET code_mac = $1, code_expires = $2, expires_at = $2, code_tries = 0 WHERE token_hash = $3 AND kind = 'pre'",
			mac, ms(now.Add(relay.CodeLife)), o.Session.TokenHash); err != nil {
			return err
		}
		if _, err := tx.append(relay.Event{Kind: relay.LinkOpened, Subject: o.Release.ID, Actor: o.Link.ID, At: now}); err != nil {
			return err
		}
		if sent+1 == relay.CodesPerHour {
			if err := tx.tellMembers("codes", o.Release.RequestID, o.Release.ID, now); err != nil {
				return err
			}
		}
		return tx.queueMail(Mail{Kind: "code", Address: o.Copy.Recipient.Addr, Data: data, Secret: code, Subject: o.Release.ID, ExpiresAt: now.Add(relay.CodeLife)}, now)
	})
}

// TryCode takes one of the tries that a code in a pre session has, before anybody looks at
// what was typed, so that many tries at once are no more than [relay.CodeTries]. It fails
// with [relay.ErrNotFound] when there is no code, it is too old, or no try is left.
func (db *DB) TryCode(ctx context.Context, tokenHash string, now time.Time) error {
	return db.update(ctx, func(tx *Tx) error {
		return goneIfConflict(tx.exec("UPDATE view_sessions SET code_tries = code_tries + 1 WHERE token_hash = $1 AND kind = 'pre' AND code_mac <> '' AND code_expires > $2 AND code_tries < $3",
			tokenHash, ms(now), relay.CodeTries))
	})
}

// RefuseCode records that a wrong code was brought.
func (db *DB) RefuseCode(ctx context.Context, o Opened, now time.Time) error {
	return db.Record(ctx, relay.Event{Kind: relay.CodeRefused, Subject: o.Release.ID, Actor: o.Link.ID, At: now})
}

// StartView uses up the code of pre session o and one view of its link, and starts view. It
// fails with [relay.ErrNotFound] when the code was used, the views are used up, or the lease
// has ended in the meantime. o.Session may be empty for a key recipient, who has no code.
func (db *DB) StartView(ctx context.Context, o Opened, view ViewSession, now time.Time) (err error) {
	defer wrap(&err, "start view")
	return db.update(ctx, func(tx *Tx) error {
		if err := tx.exec(`UPDATE links SET views_used = views_used + 1 WHERE id = $1 AND revoked_at = 0 AND expires_at > $2 AND views_used < max_views
			AND epoch = (SELECT epoch FROM releases WHERE id = release_id AND state = 'live' AND expires_at > $2)`, o.Link.ID, ms(now)); err != nil {
			return goneIfConflict(err)
		}
		if o.Session.TokenHash != "" {
			if err := tx.exec("DELETE FROM view_sessions WHERE token_hash = $1 AND link_id = $2 AND kind = 'pre' AND code_mac = $3 AND code_mac <> '' AND code_expires > $4 AND code_tries <= $5",
				o.Session.TokenHash, o.Link.ID, o.Session.CodeMAC, ms(now), relay.CodeTries); err != nil {
				return goneIfConflict(err)
			}
		}
		if err := tx.startView(view); err != nil {
			return err
		}
		kind := relay.CodeAccepted
		if o.Session.TokenHash == "" {
			kind = relay.KeyOpened
		}
		if _, err := tx.append(relay.Event{Kind: kind, Subject: o.Release.ID, Actor: o.Link.ID, At: now, Data: relay.Data{"view": view.TokenHash[:16]}}); err != nil {
			return err
		}
		return tx.tellMembers(relay.NoticeWatched, o.Release.RequestID, o.Release.ID, now)
	})
}

// goneIfConflict is [relay.ErrNotFound] for a row that did not meet its condition; a fault
// stays what it is.
func goneIfConflict(err error) error {
	if errors.Is(err, relay.ErrConflict) {
		return relay.ErrNotFound
	}
	return err
}

// endViews ends the sessions that still run and meet the condition, in which $1 is now, and
// records what each view got.
func (tx *Tx) endViews(now time.Time, condition string, args ...any) error {
	type over struct {
		hash, link, kind, release string
		bytes                     int64
	}
	done, err := list(tx.ctx, tx, func(r scanner) (o over, err error) {
		err = r.Scan(&o.hash, &o.link, &o.kind, &o.bytes, &o.release)
		return o, err
	}, "UPDATE view_sessions SET ended_at = $1 WHERE ended_at = 0 AND "+condition+
		" RETURNING token_hash, link_id, kind, bytes, (SELECT release_id FROM links WHERE id = link_id)", append([]any{ms(now)}, args...)...)
	if err != nil {
		return err
	}
	for _, o := range done {
		if o.kind != "view" {
			continue
		}
		if _, err := tx.append(relay.Event{Kind: relay.ViewEnded, Subject: o.release, Actor: o.link, At: now, Data: relay.Data{"view": o.hash[:16], "bytes": o.bytes}}); err != nil {
			return err
		}
	}
	return nil
}

// EndView ends a view that its recipient closes.
func (db *DB) EndView(ctx context.Context, tokenHash string, now time.Time) (err error) {
	defer wrap(&err, "end view")
	return db.update(ctx, func(tx *Tx) error { return tx.endViews(now, "token_hash = $2", tokenHash) })
}

// Damaged records that the stored bytes of a release copy are not what was sealed, ends its
// views and tells the members.
func (db *DB) Damaged(ctx context.Context, o Opened, now time.Time) (err error) {
	defer wrap(&err, "record a damaged copy")
	return db.update(ctx, func(tx *Tx) error {
		if err := tx.endViews(now, "link_id IN (SELECT id FROM links WHERE copy_id = $2)", o.Copy.ID); err != nil {
			return err
		}
		if _, err := tx.append(relay.Event{Kind: relay.CopyDamaged, Subject: o.Release.ID, Actor: "relay", At: now, Data: relay.Data{"copy": o.Copy.ID}}); err != nil {
			return err
		}
		return tx.tellMembers("damaged", o.Release.RequestID, o.Release.ID, now)
	})
}

// Watched adds bytes that are about to be given out to a view. A view that has ended in the
// meantime is [relay.ErrNotFound]: nothing leaves after the end of a release has committed.
func (db *DB) Watched(ctx context.Context, tokenHash string, bytes int64, now time.Time) error {
	return db.update(ctx, func(tx *Tx) error {
		return goneIfConflict(tx.exec("UPDATE view_sessions SET bytes = bytes + $1, seen_at = $2 WHERE token_hash = $3 AND ended_at = 0", bytes, ms(now), tokenHash))
	})
}

// Views returns who watched a release: its view sessions, newest first.
func (db *DB) Views(ctx context.Context, releaseID string) ([]Opened, error) {
	return list(ctx, db.read, func(r scanner) (o Opened, err error) {
		err = o.scan(r, true)
		return o, err
	}, "SELECT "+viewColumns+", "+linkColumns+", "+releaseGate+` FROM view_sessions v JOIN links l ON l.id = v.link_id JOIN releases r ON r.id = l.release_id
		WHERE l.release_id = $1 AND v.kind = 'view' ORDER BY v.created_at DESC`, releaseID)
}

// Sweep ends views whose time is over, each with an event, and forgets pre sessions,
// ceremonies, sessions and tokens that are too old to matter.
func (db *DB) Sweep(ctx context.Context, now time.Time) (err error) {
	defer wrap(&err, "sweep")
	return db.update(ctx, func(tx *Tx) error {
		if err := tx.endViews(now, "kind = 'view' AND (expires_at <= $1 OR seen_at <= $2)", ms(now.Add(-relay.ViewIdle))); err != nil {
			return err
		}
		for _, q := range []string{
			"DELETE FROM view_sessions WHERE kind = 'pre' AND expires_at <= $1",
			"DELETE FROM ceremonies WHERE expires_at <= $1",
			"DELETE FROM sessions WHERE expires_at <= $1",
			"DELETE FROM seen_tokens WHERE expires_at <= $1",
		} {
			if err := tx.execAny(q, ms(now)); err != nil {
				return err
			}
		}
		return nil
	})
}
