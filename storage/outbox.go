package storage

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"cliplease/relay"

	"golang.org/x/crypto/chacha20poly1305"
)

// Mail is one mail that waits or was sent.
type Mail struct {
	ID        string
	Kind      string            // the template: "request", "ready", "cosign", "released", "ended", "codes", "damaged", "recovered", "key", "offer", "more", "watched", "ends", "link", "code", "invitation", "soon", "over"
	Address   string            //
	Data      map[string]string // for the template; nothing secret
	Secret    string            // link or code; sealed in the database and gone once sent
	State     string            // "waiting", "sent" or "failed"
	Failure   string            // the mail server's last answer
	Subject   string            // request or release it is about
	ExpiresAt time.Time         // no attempt after this
	CreatedAt time.Time
	SentAt    time.Time
}

// queueMail stores a mail and the job that sends it. The secret is sealed under a key of its
// own in the key store. The key is made before the transaction commits: a crash in between
// leaves a key that opens nothing, which the sweeper of orphans destroys.
func (tx *Tx) queueMail(m Mail, now time.Time) error {
	m.ID = "m" + relay.NewID()
	language, err := tx.mailLanguage(m.Address)
	if err != nil {
		return err
	}
	if language != "" && m.Data["lang"] == "" {
		m.Data = maps.Clone(m.Data)
		if m.Data == nil {
			m.Data = map[string]string{}
		}
		m.Data["lang"] = language
	}
	var sealed string
	if m.Secret != "" {
		var err error
		if sealed, err = tx.db.sealSecret(tx.ctx, m.ID, "outbox", m.Secret); err != nil {
			return err
		}
	}
	if m.Data == nil {
		m.Data = map[string]string{}
	}
	if err := tx.exec("INSERT INTO outbox (id, kind, address, data, secret, state, failure, subject, expires_at, created_at) VALUES ($1, $2, $3, $4, $5, 'waiting', '', $6, $7, $8)",
		m.ID, m.Kind, m.Address, text(m.Data), sealed, m.Subject, ms(m.ExpiresAt), ms(now)); err != nil {
		return err
	}
	return tx.enqueue(MailJob{MailID: m.ID})
}

// QueueMail stores a mail that goes with no other change, such as an invitation.
func (db *DB) QueueMail(ctx context.Context, m Mail, now time.Time) (err error) {
	defer wrap(&err, "queue mail")
	return db.update(ctx, func(tx *Tx) error { return tx.queueMail(m, now) })
}

// tellMembers queues a notice to every member who may see requests and chose to be told, by mail, to
// their service, or both. It holds no name and no
// case: whoever reads the mailbox learns only that something waits.
func (tx *Tx) tellMembers(kind, requestID, releaseID string, now time.Time) error {
	members, err := list(tx.ctx, tx, scanMember, "SELECT "+memberColumns+" FROM members WHERE removed_at = 0")
	if err != nil {
		return err
	}
	for _, m := range members {
		if !m.Role.CanSee() {
			continue
		}
		n, err := notices(tx.ctx, tx, m.ID)
		if err != nil {
			return err
		}
		if err := tx.push(n, kind, now); err != nil {
			return err
		}
		if m.Email == "" || !slices.Contains(n.Mail, kind) {
			continue
		}
		if err := tx.queueMail(Mail{Kind: kind, Address: m.Email, Data: map[string]string{"name": m.Name, "request": requestID, "release": releaseID},
			Subject: requestID, ExpiresAt: now.Add(7 * 24 * time.Hour)}, now); err != nil {
			return err
		}
	}
	return nil
}

// TellMembers queues a notice to the members about a request that has come.
func (db *DB) TellMembers(ctx context.Context, kind, requestID string, now time.Time) error {
	return db.update(ctx, func(tx *Tx) error { return tx.tellMembers(kind, requestID, "", now) })
}

// mailLanguage is the language of a mail: that of the member whose address it is, and for all others
// that of the home, which is the one that its first homeowner chose.
func (tx *Tx) mailLanguage(address string) (string, error) {
	found, err := list(tx.ctx, tx, func(r scanner) (l string, err error) { err = r.Scan(&l); return },
		"SELECT language FROM members WHERE removed_at = 0 ORDER BY CASE WHEN email = $1 THEN 0 WHEN role = 'homeowner' THEN 1 ELSE 2 END, created_at, id LIMIT 1", address)
	if err != nil || len(found) == 0 {
		return "", err
	}
	return found[0], nil
}

// tellRecipients queues a notice that the lease is over to the mailboxes that had it.
func (tx *Tx) tellRecipients(rel relay.Release, now time.Time) error {
	q, err := get(tx.ctx, tx, scanRequest, "SELECT "+requestColumns+" FROM requests WHERE id = $1", rel.RequestID)
	if err != nil {
		return err
	}
	for _, c := range rel.Copies {
		if c.Recipient.Kind != relay.RecipientEmail {
			continue
		}
		if err := tx.queueMail(Mail{Kind: "over", Address: c.Recipient.Addr, Data: map[string]string{
			"name": c.Recipient.Name, "case": q.Claims.Case.Ref, "state": string(rel.State), "ended": relay.Stamp(rel.EndedAt),
		}, Subject: rel.ID, ExpiresAt: now.Add(7 * 24 * time.Hour)}, now); err != nil {
			return err
		}
	}
	return nil
}

const mailColumns = "id, kind, address, data, secret, state, failure, subject, expires_at, created_at, sent_at"

func scanMail(r scanner) (m Mail, err error) {
	err = r.Scan(&m.ID, &m.Kind, &m.Address, document{&m.Data}, &m.Secret, &m.State, &m.Failure, &m.Subject, at{&m.ExpiresAt}, at{&m.CreatedAt}, at{&m.SentAt})
	return m, err
}

// WaitingMail returns a mail that waits, with its secret opened. A mail that was sent, or
// whose secret was destroyed, is [relay.ErrNotFound].
func (db *DB) WaitingMail(ctx context.Context, id string) (m Mail, err error) {
	defer wrap(&err, "mail %s", id)
	if m, err = get(ctx, db.read, scanMail, "SELECT "+mailColumns+" FROM outbox WHERE id = $1 AND state = 'waiting'", id); err != nil || m.Secret == "" {
		return m, err
	}
	plain, err := db.openSecret(ctx, id, "outbox", m.Secret)
	if err != nil {
		return m, err
	}
	m.Secret = plain
	return m, nil
}

// sealSecret seals a short secret for a row of the database, under a new key of the key store.
func (db *DB) sealSecret(ctx context.Context, keyID, context, secret string) (string, error) {
	key, err := db.keys.New(ctx, keyID, context)
	if err != nil {
		return "", err
	}
	aead, err := chacha20poly1305.NewX(key[:])
	if err != nil {
		return "", err
	}
	nonce := make([]byte, aead.NonceSize())
	rand.Read(nonce)
	return base64.RawStdEncoding.EncodeToString(aead.Seal(nonce, nonce, []byte(secret), []byte(keyID))), nil
}

// openSecret opens what sealSecret sealed. [relay.ErrNotFound] says that its key was destroyed.
func (db *DB) openSecret(ctx context.Context, keyID, context, stored string) (string, error) {
	key, err := db.keys.Get(ctx, keyID, context)
	if err != nil {
		return "", err
	}
	sealed, err := base64.RawStdEncoding.DecodeString(stored)
	if err != nil {
		return "", err
	}
	aead, err := chacha20poly1305.NewX(key[:])
	if err != nil {
		return "", err
	}
	if len(sealed) < aead.NonceSize() {
		return "", errors.New("the sealed secret is too short")
	}
	plain, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], []byte(keyID))
	if err != nil {
		return "", fmt.Errorf("the sealed secret is damaged: %w", err)
	}
	return string(plain), nil
}

// MailDone records that a mail was sent, or failed for good when failure is not empty. Its
// secret is destroyed either way.
func (db *DB) MailDone(ctx context.Context, m Mail, failure string, now time.Time) (err error) {
	defer wrap(&err, "record mail %s", m.ID)
	state, kind := "sent", relay.MailSent
	if failure != "" {
		state, kind = "failed", relay.MailFailed
	}
	if err := db.update(ctx, func(tx *Tx) error {
		if err := tx.exec("UPDATE outbox SET state = $1, failure = $2, secret = '', sent_at = $3 WHERE id = $4 AND state = 'waiting'", state, failure, ms(now), m.ID); err != nil {
			return err
		}
		_, err := tx.append(relay.Event{Kind: kind, Subject: m.Subject, Actor: "relay", At: now, Data: relay.Data{"mail": m.ID, "kind": m.Kind}})
		return err
	}); err != nil {
		return err
	}
	return db.keys.Destroy(ctx, m.ID)
}

// MailTried notes the answer of a mail server that may take the mail later.
func (db *DB) MailTried(ctx context.Context, id, answer string) error {
	return db.update(ctx, func(tx *Tx) error {
		return tx.execAny("UPDATE outbox SET failure = $1 WHERE id = $2 AND state = 'waiting'", answer, id)
	})
}

// MailAbout returns the mails about a request or release, newest first, without secrets.
func (db *DB) MailAbout(ctx context.Context, subject string) ([]Mail, error) {
	mails, err := list(ctx, db.read, scanMail, "SELECT "+mailColumns+" FROM outbox WHERE subject = $1 ORDER BY created_at DESC, id", subject)
	for i := range mails {
		mails[i].Secret = ""
	}
	return mails, err
}

// InUse reports whether any record still needs the key id, for the sweeper of orphans.
func (db *DB) InUse(ctx context.Context, keyID string) (bool, error) {
	return get(ctx, db.read, func(r scanner) (n bool, err error) { err = r.Scan(&n); return },
		`SELECT EXISTS (SELECT 1 FROM outbox WHERE id = $1 AND state = 'waiting') OR EXISTS (SELECT 1 FROM searches WHERE key_id = $1)
		OR EXISTS (SELECT 1 FROM notices WHERE key_id = $1)
		OR EXISTS (SELECT 1 FROM uploads WHERE id = $1 AND clip_id = '')
		OR EXISTS (SELECT 1 FROM releases WHERE state IN ('preparing', 'failed', 'review', 'live') AND (copies LIKE $2 OR $1 = 'p' || id || '-' || round))`,
		keyID, "%"+keyID+"%")
}

// ObjectInUse reports whether any record still needs the object name.
func (db *DB) ObjectInUse(ctx context.Context, name string) (bool, error) {
	return get(ctx, db.read, func(r scanner) (n bool, err error) { err = r.Scan(&n); return },
		`SELECT EXISTS (SELECT 1 FROM clips WHERE state <> 'disposed' AND (object = $1 OR stills LIKE $2)) OR EXISTS (SELECT 1 FROM searches WHERE object = $1)
		OR EXISTS (SELECT 1 FROM releases WHERE shredded_at = 0 AND (proxy = $1 OR copies LIKE $2))`, name, "%"+name+"%")
}
