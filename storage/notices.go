package storage

import (
	"context"
	"errors"
	"slices"
	"time"

	"cliplease/relay"

	"github.com/riverqueue/river"
)

// NoticeJob brings one notice to a member's push or chat service. It names a kind and nothing else:
// no notice can say more than that.
type NoticeJob struct {
	MemberID string    `json:"member_id"`
	Notice   string    `json:"notice"` // one of [relay.NoticeKinds], or [relay.NoticeTest]
	Since    time.Time `json:"since"`
}

// Kind names the job for River.
func (NoticeJob) Kind() string { return "notice.send" }

// InsertOpts lets a notice be tried until its time is over.
func (NoticeJob) InsertOpts() river.InsertOpts { return river.InsertOpts{MaxAttempts: 60, Priority: 2} }

const noticeColumns = "member_id, mail, service, scheme, host, state, result, tried_at"

func scanNotices(r scanner) (n relay.Notices, err error) {
	err = r.Scan(&n.MemberID, document{&n.Mail}, document{&n.Service}, &n.Scheme, &n.Host, &n.State, &n.Result, at{&n.TriedAt})
	return n, err
}

func notices(ctx context.Context, q querier, memberID string) (relay.Notices, error) {
	n, err := get(ctx, q, scanNotices, "SELECT "+noticeColumns+" FROM notices WHERE member_id = $1", memberID)
	if errors.Is(err, relay.ErrNotFound) {
		return relay.DefaultNotices(memberID), nil
	}
	return n, err
}

// Notices returns what a member wants to be told of. One who chose nothing has the default.
func (db *DB) Notices(ctx context.Context, memberID string) (relay.Notices, error) {
	return notices(ctx, db.read, memberID)
}

// push queues a notice to the member's service, if there is one and the member wants it there.
func (tx *Tx) push(n relay.Notices, kind string, now time.Time) error {
	if n.Scheme == "" || !slices.Contains(n.Service, kind) {
		return nil
	}
	return tx.enqueue(NoticeJob{MemberID: n.MemberID, Notice: kind, Since: now.UTC()})
}

// saveNotices stores n but for the sealed address.
func (tx *Tx) saveNotices(n relay.Notices) error {
	return tx.exec("INSERT INTO notices (member_id, mail, service) VALUES ($1, $2, $3) ON CONFLICT (member_id) DO UPDATE SET mail = excluded.mail, service = excluded.service",
		n.MemberID, text(n.Mail), text(n.Service))
}

// ChooseNotices stores of what a member is told by mail and by their service.
func (db *DB) ChooseNotices(ctx context.Context, memberID string, mail, service []string, now time.Time) (err error) {
	defer wrap(&err, "choose notices")
	return db.update(ctx, func(tx *Tx) error {
		n, err := notices(ctx, tx, memberID)
		if err != nil {
			return err
		}
		n, e, err := n.Choose(mail, service, now)
		if err != nil {
			return err
		}
		if err := tx.saveNotices(n); err != nil {
			return err
		}
		_, err = tx.append(e)
		return err
	})
}

// SetNoticeService stores the address of a member's service, of the kind and host that
// [relay.ParseService] found; an empty address takes the service away. The key is made before the
// row and that of an earlier address is destroyed after it: what a crash in between leaves opens
// nothing, and the sweeper of orphans destroys it.
func (db *DB) SetNoticeService(ctx context.Context, memberID, address, scheme, host string, now time.Time) (err error) {
	defer wrap(&err, "set the service of notices")
	var keyID, sealed string
	if address != "" {
		keyID = "n" + relay.NewID()
		if sealed, err = db.sealSecret(ctx, keyID, noticeContext, address); err != nil {
			return err
		}
	}
	var old string
	if err := db.update(ctx, func(tx *Tx) error {
		n, err := notices(ctx, tx, memberID)
		if err != nil {
			return err
		}
		n, e := n.SetService(scheme, host, now)
		if err := tx.saveNotices(n); err != nil {
			return err
		}
		if old, err = get(ctx, tx, func(r scanner) (id string, err error) { err = r.Scan(&id); return }, "SELECT key_id FROM notices WHERE member_id = $1", memberID); err != nil {
			return err
		}
		if err := tx.exec("UPDATE notices SET scheme = $1, host = $2, key_id = $3, sealed = $4, state = '', result = '', tried_at = 0 WHERE member_id = $5",
			n.Scheme, n.Host, keyID, sealed, memberID); err != nil {
			return err
		}
		_, err = tx.append(e)
		return err
	}); err != nil {
		return err
	}
	return db.keys.Destroy(ctx, old)
}

const noticeContext = "notices" // of the key of a service's address

// TryNotice queues a notice to a member's service that says only that it works. Without a service
// it fails with [relay.ErrState].
func (db *DB) TryNotice(ctx context.Context, memberID string, now time.Time) (err error) {
	defer wrap(&err, "try the service of notices")
	return db.update(ctx, func(tx *Tx) error {
		n, err := notices(ctx, tx, memberID)
		if err != nil {
			return err
		}
		if n, err = n.Try(); err != nil {
			return err
		}
		if err := tx.exec("UPDATE notices SET state = $1, result = $2 WHERE member_id = $3", n.State, n.Result, memberID); err != nil {
			return err
		}
		return tx.enqueue(NoticeJob{MemberID: memberID, Notice: relay.NoticeTest, Since: now.UTC()})
	})
}

// NoticeAddress opens the address of a member's service. It is [relay.ErrNotFound] when there is
// none, or the member is gone.
func (db *DB) NoticeAddress(ctx context.Context, memberID string) (_ string, err error) {
	defer wrap(&err, "address of a service")
	row, err := get(ctx, db.read, func(r scanner) (v [2]string, err error) { err = r.Scan(&v[0], &v[1]); return },
		"SELECT key_id, sealed FROM notices WHERE sealed <> '' AND member_id = (SELECT id FROM members WHERE id = $1 AND removed_at = 0)", memberID)
	if err != nil {
		return "", err
	}
	return db.openSecret(ctx, row[0], noticeContext, row[1])
}

// NoticeTried records how the newest notice to a member's service went: "sent", "trying" again, or
// "failed", with what went wrong.
func (db *DB) NoticeTried(ctx context.Context, memberID, state, result string, now time.Time) error {
	return db.update(ctx, func(tx *Tx) error {
		return tx.execAny("UPDATE notices SET state = $1, result = $2, tried_at = $3 WHERE member_id = $4 AND sealed <> ''", state, result, ms(now), memberID)
	})
}
