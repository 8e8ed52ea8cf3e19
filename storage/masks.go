package storage

import (
	"context"
	"slices"
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
	return list(ctx, db.read, scanMaskSet, "SELECT camera_id, version, masks, set_by, since_at FROM camera_masks WHERE camera_id = $1 ORDER BY version DESC", cameraID)
}

func scanMaskSet(r scanner) (s relay.MaskSet, err error) {
	err = r.Scan(&s.CameraID, &s.Version, document{&s.Masks}, &s.By, at{&s.Since})
	return s, err
}

// checkMasks compares the masks of each camera with their history and with the log.
func (k *check) checkMasks() error {
	cameras, err := list(k.ctx, k.q, scanCamera, "SELECT "+cameraColumns+" FROM cameras")
	if err != nil {
		return err
	}
	for _, c := range cameras {
		k.mustCount("camera", c.ID, relay.CameraMasked, c.MaskVersion)
		sets, err := list(k.ctx, k.q, scanMaskSet, "SELECT camera_id, version, masks, set_by, since_at FROM camera_masks WHERE camera_id = $1 ORDER BY version", c.ID)
		if err != nil {
			return err
		}
		if len(sets) != c.MaskVersion || len(sets) > 0 && !slices.Equal(sets[len(sets)-1].Masks, c.Masks) {
			k.wrong("the masks of camera %s are not the last of their history", c.ID)
			continue
		}
		var named []any
		for _, e := range k.told[c.ID] {
			if e.kind == relay.CameraMasked {
				named = append(named, e.data["sha256"])
			}
		}
		for i, set := range sets {
			if hash, err := relay.HashMasks(set.Masks); err != nil || i >= len(named) || named[i] != hash {
				k.wrong("masks %d of camera %s are not those that the log names", set.Version, c.ID)
			}
		}
	}
	return nil
}
