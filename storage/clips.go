package storage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cliplease/relay"
)

const cameraColumns = "id, handle, name, zone, clock_offset, interior, masks, mask_version, retain_days, created_at"

func scanCamera(r scanner) (c relay.Camera, err error) {
	var offset int64
	err = r.Scan(&c.ID, &c.Handle, &c.Name, &c.Zone, &offset, &c.Interior, document{&c.Masks}, &c.MaskVersion, &c.RetainDays, at{&c.CreatedAt})
	c.ClockOffset = time.Duration(offset) * time.Millisecond
	return c, err
}

// SaveCamera stores a new camera, or new properties of one; the masks of a camera that is there
// are [DB.SetMasks]'s. A handle that another camera has fails with [relay.ErrConflict].
func (db *DB) SaveCamera(ctx context.Context, c relay.Camera, actor string, now time.Time) (err error) {
	defer wrap(&err, "save camera %s", c.Handle)
	return db.update(ctx, func(tx *Tx) error {
		if c.Masks == nil {
			c.Masks = []relay.Mask{}
		}
		if err := tx.exec("INSERT INTO cameras ("+cameraColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8, $9)
			ON CONFLICT (id) DO UPDATE SET handle = excluded.handle, name = excluded.name, zone = excluded.zone,
			clock_offset = excluded.clock_offset, interior = excluded.interior, retain_days = excluded.retain_days`,
			c.ID, c.Handle, c.Name, c.Zone, c.ClockOffset.Milliseconds(), c.Interior, text(c.Masks), c.RetainDays, ms(c.CreatedAt)); err != nil {
			return err
		}
		_, err := tx.append(relay.Event{Kind: relay.CameraChanged, Subject: c.ID, Actor: actor, At: now, Data: relay.Data{"retain_days": c.RetainDays}})
		return err
	})
}

// Cameras returns all cameras by name.
func (db *DB) Cameras(ctx context.Context) ([]relay.Camera, error) {
	return list(ctx, db.read, scanCamera, "SELECT "+cameraColumns+" FROM cameras ORDER BY name, id")
}

// Camera returns the camera with an id or a handle, or [relay.ErrNotFound].
func (db *DB) Camera(ctx context.Context, idOrHandle string) (relay.Camera, error) {
	return get(ctx, db.read, scanCamera, "SELECT "+cameraColumns+" FROM cameras WHERE id = $1 OR handle = $1", idOrHandle)
}

const clipColumns = "id, camera_id, name, start_at, duration, state, reason, object, bytes, sha256, salt, width, height, fps, codec, audio, stills, created_at"

func scanClip(r scanner) (c relay.Clip, err error) {
	var duration int64
	err = r.Scan(&c.ID, &c.CameraID, &c.Name, at{&c.Start}, &duration, &c.State, &c.Reason, &c.Object, &c.Bytes, &c.SHA256, &c.Salt,
		&c.Width, &c.Height, &c.FPS, &c.Codec, &c.Audio, document{&c.Stills}, at{&c.CreatedAt})
	c.Duration = time.Duration(duration) * time.Millisecond
	return c, err
}

// AddClip stores a clip whose original is sealed in the object store, and the job that looks
// at it. The same footage of the same camera and moment again fails with [relay.ErrConflict].
func (db *DB) AddClip(ctx context.Context, c relay.Clip, actor string, now time.Time) error {
	return db.addClip(ctx, c, actor, now, func(*Tx, string) error { return nil })
}

// addClip runs with in the same transaction.
func (db *DB) addClip(ctx context.Context, c relay.Clip, actor string, now time.Time, with func(tx *Tx, clipID string) error) (err error) {
	defer wrap(&err, "add clip")
	return db.update(ctx, func(tx *Tx) error {
		if err := tx.exec("INSERT INTO clips ("+clipColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)",
			c.ID, c.CameraID, c.Name, ms(c.Start), c.Duration.Milliseconds(), string(c.State), c.Reason, c.Object, c.Bytes, c.SHA256, c.Salt,
			c.Width, c.Height, c.FPS, c.Codec, c.Audio, "[]", ms(c.CreatedAt)); err != nil {
			return err
		}
		if _, err := tx.append(relay.Event{Kind: relay.ClipReceivedEv, Subject: c.ID, Actor: actor, At: now, Data: relay.Data{"camera": c.CameraID, "sha256": c.SHA256, "bytes": c.Bytes}}); err != nil {
			return err
		}
		if err := with(tx, c.ID); err != nil {
			return err
		}
		return tx.enqueue(ClipJob{ClipID: c.ID})
	})
}

// ClipLooked stores what the probe found: the clip becomes ready, or refused with a reason.
// Only a clip that is still received is changed.
func (db *DB) ClipLooked(ctx context.Context, c relay.Clip, now time.Time) (err error) {
	defer wrap(&err, "store the look at clip %s", c.ID)
	kind := relay.ClipReadyEv
	if c.State == relay.ClipRefused {
		kind = relay.ClipRefusedEv
	}
	if c.Stills == nil {
		c.Stills = []string{}
	}
	return db.update(ctx, func(tx *Tx) error {
		if err := tx.exec(`UPDATE clips SET state = $1, reason = $2, duration = $3, width = $4, height = $5, fps = $6, codec = $7, audio = $8, stills = $9
			WHERE id = $10 AND state = 'received'`,
			string(c.State), c.Reason, c.Duration.Milliseconds(), c.Width, c.Height, c.FPS, c.Codec, c.Audio, text(c.Stills), c.ID); err != nil {
			return err
		}
		_, err := tx.append(relay.Event{Kind: kind, Subject: c.ID, Actor: "relay", At: now})
		return err
	})
}

// DisposeClip gives up a clip: the record stays, its bytes are destroyed by a job. A clip
// that a release still needs, fails with [relay.ErrState], and one that a legal hold covers with [ErrHeld].
func (db *DB) DisposeClip(ctx context.Context, id, actor string, now time.Time) (err error) {
	defer wrap(&err, "dispose of clip")
	return db.update(ctx, func(tx *Tx) error {
		c, err := get(ctx, tx, scanClip, "SELECT "+clipColumns+" FROM clips WHERE id = $1", id)
		if err != nil {
			return err
		}
		return tx.dispose(c, actor, now)
	})
}

// dispose is the one way to give up a clip, whoever asks for it.
func (tx *Tx) dispose(c relay.Clip, actor string, now time.Time) error {
	if err := tx.held(c); err != nil {
		return err
	}
	if err := tx.exec(`UPDATE clips SET state = 'disposed', object = '', stills = '[]' WHERE id = $1 AND state <> 'disposed'
			AND NOT EXISTS (SELECT 1 FROM releases WHERE clip_id = $1 AND state IN ('preparing', 'failed', 'review'))`, c.ID); errors.Is(err, relay.ErrConflict) {
		return fmt.Errorf("the clip is gone already, or a release is being made from it: %w", relay.ErrState)
	} else if err != nil {
		return err
	}
	if _, err := tx.append(relay.Event{Kind: relay.ClipDisposedEv, Subject: c.ID, Actor: actor, At: now}); err != nil {
		return err
	}
	return tx.enqueue(DisposeJob{Objects: append(c.Stills, c.Object)})
}

// DisposeOutlived gives up clips that are over their camera's retention, each in a transaction
// of its own, and returns their ids. What an open request asks for, a legal hold covers or a
// release that is not over was made from stays, until none of these is so.
func (db *DB) DisposeOutlived(ctx context.Context, now time.Time) (gone []string, err error) {
	defer wrap(&err, "dispose of clips over their retention")
	old, err := list(ctx, db.read, scanClip, "SELECT "+clipColumns+` FROM clips WHERE state IN ('ready', 'refused')
		AND EXISTS (SELECT 1 FROM cameras k WHERE k.id = camera_id AND k.retain_days > 0 AND clips.created_at + k.retain_days * 86400000 <= $1)
		ORDER BY created_at, id`, ms(now))
	if err != nil {
		return nil, err
	}
	for _, c := range old {
		switch err := db.disposeOutlived(ctx, c.ID, now); {
		case errors.Is(err, relay.ErrState): // held, asked for, or used, since it was listed
		case err != nil:
			return gone, err
		default:
			gone = append(gone, c.ID)
		}
	}
	return gone, nil
}

// disposeOutlived gives up one clip; relay.ErrState says that it has to stay.
func (db *DB) disposeOutlived(ctx context.Context, id string, now time.Time) error {
	return db.update(ctx, func(tx *Tx) error {
		c, err := get(ctx, tx, scanClip, "SELECT "+clipColumns+" FROM clips WHERE id = $1", id)
		if err != nil {
			return err
		}
		camera, err := get(ctx, tx, scanCamera, "SELECT "+cameraColumns+" FROM cameras WHERE id = $1", c.CameraID)
		if err != nil {
			return err
		}
		open, err := list(ctx, tx, scanRequest, "SELECT "+requestColumns+" FROM requests WHERE state = 'pending'")
		if err != nil {
			return err
		}
		live, err := list(ctx, tx, func(r scanner) (id string, err error) { err = r.Scan(&id); return },
			"SELECT id FROM releases WHERE clip_id = $1 AND state = 'live'", id)
		if err != nil {
			return err
		}
		if len(live) > 0 || !c.Outlived(camera, open, now) {
			return fmt.Errorf("the clip is still needed: %w", relay.ErrState)
		}
		return tx.dispose(c, "relay", now)
	})
}

// Clip returns one clip, or [relay.ErrNotFound].
func (db *DB) Clip(ctx context.Context, id string) (relay.Clip, error) {
	return get(ctx, db.read, scanClip, "SELECT "+clipColumns+" FROM clips WHERE id = $1", id)
}

// ClipFilter chooses clips. Zero fields choose everything.
type ClipFilter struct {
	CameraID string
	From, To time.Time // clips that overlap the window
	State    relay.ClipState
	Limit    int // default 200
}

// Clips returns the clips that f chooses, newest first.
func (db *DB) Clips(ctx context.Context, f ClipFilter) ([]relay.Clip, error) {
	if f.Limit == 0 {
		f.Limit = 200
	}
	to := int64(1 << 62)
	if !f.To.IsZero() {
		to = ms(f.To)
	}
	return list(ctx, db.read, scanClip, "SELECT "+clipColumns+` FROM clips
		WHERE (camera_id = $1 OR $1 = '') AND start_at < $2 AND start_at + duration >= $3 AND (state = $4 OR $4 = '')
		ORDER BY start_at DESC, id LIMIT $5`, f.CameraID, to, ms(f.From), string(f.State), f.Limit)
}
