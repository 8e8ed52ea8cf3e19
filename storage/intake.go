package storage

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"time"

	"cliplease/relay"
)

// KeepClip seals an original and stores its clip, with the job that looks at it. It sets all
// of c but Name and Start. CameraID may be the camera's handle. Start is what the camera's
// clock showed at the first frame; it is corrected by the camera's clock offset. The same
// footage of the same camera and moment again fails with [relay.ErrConflict].
//
// Bytes come first, then the row. A crash in between, or a body that breaks off, leaves at
// most a sealed object that no record names, which the sweeper of orphans deletes.
func (s *Store) KeepClip(ctx context.Context, c relay.Clip, original io.Reader, actor string, now time.Time) (relay.Clip, error) {
	return s.keepClip(ctx, c, original, actor, now, func(*Tx, string) error { return nil })
}

// keepClip does besides, in the transaction that stores the clip, what with does. When with
// fails with [relay.ErrState], nothing is kept.
func (s *Store) keepClip(ctx context.Context, c relay.Clip, original io.Reader, actor string, now time.Time, with func(tx *Tx, clipID string) error) (_ relay.Clip, err error) {
	defer wrap(&err, "keep clip")
	camera, err := s.DB.Camera(ctx, c.CameraID)
	if errors.Is(err, relay.ErrNotFound) {
		return c, relay.Invalid("camera", "There is no camera %q; choose one of yours, or add it first.", c.CameraID)
	}
	if err != nil {
		return c, err
	}
	salt := make([]byte, 32)
	rand.Read(salt)
	c.ID, c.CameraID, c.Start = relay.NewID(), camera.ID, c.Start.Add(-camera.ClockOffset).UTC()
	c.State, c.Object, c.Salt, c.CreatedAt = relay.ClipReceived, "o"+relay.NewID(), hex.EncodeToString(salt), now
	sealed, err := s.Vault.Seal(ctx, s.Objects, c.Object, original)
	if err != nil {
		return c, err
	}
	c.Bytes, c.SHA256 = sealed.Bytes, hex.EncodeToString(sealed.SHA256[:])
	if err := s.DB.addClip(ctx, c, actor, now, with); err != nil {
		// Only where the row cannot be there: after any other error the answer to a commit
		// may be what was lost, and the original must not go.
		if errors.Is(err, relay.ErrConflict) || errors.Is(err, relay.ErrState) {
			err = errors.Join(err, s.Objects.Delete(context.WithoutCancel(ctx), c.Object))
		}
		return c, err
	}
	return c, nil
}
