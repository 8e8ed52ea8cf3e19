package storage

import (
	"context"
	"time"

	"cliplease/relay"
)

// SetMasks gives a camera the masks that member drew when its masks were of version, see
// [relay.Camera.SetMasks]. The change, its place in the history and its event commit together.
func (db *DB) SetMasks(ctx context.Context, cameraID string, masks []relay.Mask, version int, member string, now time.Time) (c relay.Camera, err error) {
	defer wrap(&err, "set masks of camera")
	err = db.update(ctx, func(tx *Tx) error {
		if c, err = get(ctx, tx, scanCamera, "SELECT "+cameraColumns+" FROM cameras WHERE id = $1", cameraID); err != nil {
			return err
		}
		if masks == nil {
			masks = []relay.Mask{}
		}
		e, err := c.SetMasks(masks, version, member, now)
		if err != nil {
			return err
		}
		if err := tx.exec("UPDATE cameras SET masks = $1, mask_version = $2 WHERE id = $3 AND mask_version = $4", text(c.Masks), c.MaskVersion, c.ID, version); err != nil {
			return err
		}
		if err := tx.exec("INSERT INTO camera_masks (camera_id, version, masks, set_by, since_at) VALUES ($1, $2, $3, $4, $5)",
			c.ID, c.MaskVersion, text(c.Masks), member, ms(now)); err != nil {
			return err
		}
		_, err = tx.append(e)
		return err
	})
	return c, err
}

// MaskSets returns the masks that a camera has had, newest first. What it was stored with at first
// is not among them.
func (db *DB) MaskSets(ctx context.Context, cameraID string) ([]relay.MaskSet, error) {
	return list(ctx, db.read, func(r scanner) (s relay.MaskSet, err error) {
		err = r.Scan(&s.CameraID, &s.Version, document{&s.Masks}, &s.By, at{&s.Since})
		return s, err
	}, "SELECT camera_id, version, masks, set_by, since_at FROM camera_masks WHERE camera_id = $1 ORDER BY version DESC", cameraID)
}
