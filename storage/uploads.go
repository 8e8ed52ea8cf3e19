package storage

import (
	"context"
	"errors"
	"io"
	"time"

	"cliplease/relay"
)

const uploadColumns = "id, member_id, camera_id, name, start_at, size, modified, clip_id, created_at, expires_at"

func scanUpload(r scanner) (u relay.Upload, err error) {
	err = r.Scan(&u.ID, &u.MemberID, &u.CameraID, &u.Name, at{&u.Start}, &u.Size, &u.Modified, &u.ClipID, at{&u.CreatedAt}, at{&u.ExpiresAt})
	return u, err
}

func unfinishedUploads(ctx context.Context, q querier, memberID string, now time.Time) ([]relay.Upload, error) {
	return list(ctx, q, scanUpload, "SELECT "+uploadColumns+" FROM uploads WHERE member_id = $1 AND clip_id = '' AND expires_at > $2 ORDER BY created_at, id", memberID, ms(now))
}

// BeginUpload stores u, an upload of at most most bytes, as [relay.Upload.Begin] makes it. When its
// member has an unfinished one of the same file, that one is returned instead.
//
// The key comes before the row: a crash in between leaves a key that opens nothing, which the
// sweeper of orphans destroys.
func (s *Store) BeginUpload(ctx context.Context, u relay.Upload, most int64, now time.Time) (_ relay.Upload, err error) {
	defer wrap(&err, "begin an upload")
	begun, err := unfinishedUploads(ctx, s.DB.read, u.MemberID, now)
	if err != nil {
		return u, err
	}
	for _, old := range begun {
		if old.Same(u) {
			return old, nil
		}
	}
	u.ID = "u" + relay.NewID()
	if _, err := s.Keys.New(ctx, u.ID, uploadContext); err != nil {
		return u, err
	}
	return u, s.DB.update(ctx, func(tx *Tx) error {
		begun, err := unfinishedUploads(ctx, tx, u.MemberID, now)
		if err != nil {
			return err
		}
		next, e, err := u.Begin(begun, most, now)
		if err != nil {
			return err
		}
		u = next
		if err := tx.exec("INSERT INTO uploads ("+uploadColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, '', $8, $9)",
			u.ID, u.MemberID, u.CameraID, u.Name, ms(u.Start), u.Size, u.Modified, ms(u.CreatedAt), ms(u.ExpiresAt)); err != nil {
			return err
		}
		_, err = tx.append(e)
		return err
	})
}

// Upload returns an upload of a member. One of somebody else and one that is over are
// [relay.ErrNotFound]; one that became a clip is there until its time is over, so that a browser that
// lost the last answer can ask again.
func (db *DB) Upload(ctx context.Context, id, memberID string, now time.Time) (relay.Upload, error) {
	return get(ctx, db.read, scanUpload, "SELECT "+uploadColumns+" FROM uploads WHERE id = $1 AND member_id = $2 AND expires_at > $3", id, memberID, ms(now))
}

// Uploads returns the unfinished uploads of a member, oldest first.
func (db *DB) Uploads(ctx context.Context, memberID string, now time.Time) ([]relay.Upload, error) {
	return unfinishedUploads(ctx, db.read, memberID, now)
}

// DropUpload gives an upload up and destroys what has come of it: the row first, so that nobody
// adds to it, then its key, then the bytes that nothing opens any more. What a crash in between
// leaves, [Store.SweepUploads] and the sweeper of orphans destroy.
func (s *Store) DropUpload(ctx context.Context, u relay.Upload, actor, why string, now time.Time) (err error) {
	defer wrap(&err, "give up an upload")
	if err := s.DB.update(ctx, func(tx *Tx) error {
		up, err := get(ctx, tx, scanUpload, "SELECT "+uploadColumns+" FROM uploads WHERE id = $1", u.ID)
		if err != nil {
			return err
		}
		e, err := up.Drop(actor, why, now)
		if err != nil {
			return err
		}
		if err := tx.exec("DELETE FROM uploads WHERE id = $1 AND clip_id = ''", u.ID); err != nil {
			return err
		}
		_, err = tx.append(e)
		return err
	}); err != nil {
		return err
	}
	return s.shredUpload(ctx, u.ID)
}

// shredUpload destroys the key and the pieces of an upload. It can be repeated.
func (s *Store) shredUpload(ctx context.Context, id string) error {
	return errors.Join(s.Keys.Destroy(ctx, id), s.spool.remove(id))
}

// SweepUploads destroys what has come of uploads whose time is over, forgets those that became
// clips, and removes pieces that no upload needs, which a crash left.
func (s *Store) SweepUploads(ctx context.Context, now time.Time) (err error) {
	defer wrap(&err, "sweep uploads")
	pieces, err := s.spool.ids() // before the rows: a piece has its row already
	if err != nil {
		return err
	}
	all, err := list(ctx, s.DB.read, scanUpload, "SELECT "+uploadColumns+" FROM uploads")
	if err != nil {
		return err
	}
	need := map[string]bool{}
	for _, u := range all {
		switch {
		case u.Unfinished(now):
			need[u.ID] = true
		case u.ClipID == "":
			if err := s.DropUpload(ctx, u, "relay", "expired", now); err != nil && !errors.Is(err, relay.ErrNotFound) && !errors.Is(err, relay.ErrState) {
				return err
			}
		case !now.Before(u.ExpiresAt):
			if err := s.DB.update(ctx, func(tx *Tx) error { return tx.execAny("DELETE FROM uploads WHERE id = $1", u.ID) }); err != nil {
				return err
			}
		}
	}
	for _, id := range pieces {
		if need[id] {
			continue
		}
		if err := s.shredUpload(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// Uploaded keeps the clip of an upload whose last piece has come: the upload becomes it in the
// transaction that stores the clip. It is a Keeper as source knows it, as [Store] is.
type Uploaded struct {
	*Store
	Upload relay.Upload
}

// KeepClip is [Store.KeepClip], and destroys the pieces once the original is sealed. An upload that
// was taken in or given up meanwhile fails with [relay.ErrState], and keeps nothing.
func (u Uploaded) KeepClip(ctx context.Context, c relay.Clip, original io.Reader, actor string, now time.Time) (relay.Clip, error) {
	c, err := u.keepClip(ctx, c, original, actor, now, func(tx *Tx, clipID string) error {
		up, err := get(ctx, tx, scanUpload, "SELECT "+uploadColumns+" FROM uploads WHERE id = $1", u.Upload.ID)
		if errors.Is(err, relay.ErrNotFound) {
			return relay.ErrState
		}
		if err != nil {
			return err
		}
		if up, err = up.Take(clipID, now); err != nil {
			return err
		}
		return tx.exec("UPDATE uploads SET clip_id = $1 WHERE id = $2 AND clip_id = ''", up.ClipID, up.ID)
	})
	if err != nil {
		return c, err
	}
	return c, u.shredUpload(context.WithoutCancel(ctx), u.Upload.ID)
}
