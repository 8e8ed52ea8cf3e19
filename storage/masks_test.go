package storage

import (
	"context"
	"slices"
	"testing"
	"time"

	"cliplease/relay"

	"github.com/google/go-cmp/cmp"
)

// TestSetMasks: masks, their history and the event come together or not at all, of two members who draw
// at once one is told, and a change of the camera's name keeps what was drawn.
func TestSetMasks(t *testing.T) {
	forEachDB(t, func(t *testing.T, h *home) {
		ctx, db := h.ctx(), h.DB
		window := relay.Mask{Name: "the neighbours' window", X: 0.1, Y: 0.2, W: 0.3, H: 0.25}
		before := h.logSize()
		c, err := db.SetMasks(ctx, h.camera.ID, []relay.Mask{window}, 0, h.member.ID, h.now)
		h.ok(err)
		if c.MaskVersion != 1 || !slices.Equal(c.Masks, []relay.Mask{window}) || h.logSize() != before+1 {
			t.Errorf("version %d, masks %v, %d events", c.MaskVersion, c.Masks, h.logSize()-before)
		}
		if k := h.events(h.camera.ID); k[len(k)-1] != relay.CameraMasked {
			t.Errorf("events %v", k)
		}
		h.invalid(func() error { _, err := db.SetMasks(ctx, h.camera.ID, nil, 0, h.member.ID, h.now); return err }())
		h.invalid(func() error {
			_, err := db.SetMasks(ctx, h.camera.ID, []relay.Mask{{Name: "x", X: 2, W: 1, H: 1}}, 1, h.member.ID, h.now)
			return err
		}())
		_, err = db.SetMasks(ctx, "nothing", nil, 0, h.member.ID, h.now)
		h.fails(err, relay.ErrNotFound)
		stopped, stop := context.WithCancel(ctx)
		stop()
		if _, err := db.SetMasks(stopped, h.camera.ID, nil, 1, h.member.ID, h.now); err == nil {
			t.Error("a change that was broken off went through")
		}
		renamed := h.camera
		renamed.Name, renamed.Masks = "Porch", nil
		h.ok(db.SaveCamera(ctx, renamed, h.member.ID, h.now))
		later := h.now.Add(time.Hour)
		_, err = db.SetMasks(ctx, h.camera.ID, nil, 1, h.member.ID, later)
		h.ok(err)
		sets, err := db.MaskSets(ctx, h.camera.ID)
		h.ok(err)
		want := []relay.MaskSet{{CameraID: h.camera.ID, Version: 2, Masks: []relay.Mask{}, By: h.member.ID, Since: later}, {CameraID: h.camera.ID, Version: 1, Masks: []relay.Mask{window}, By: h.member.ID, Since: h.now}}
		if diff := cmp.Diff(want, sets); diff != "" {
			t.Error(diff)
		}
		got, err := db.Camera(ctx, h.camera.ID)
		h.ok(err)
		if got.Name != "Porch" || got.MaskVersion != 2 || len(got.Masks) != 0 {
			t.Errorf("the camera is %+v", got)
		}
	})
}

// TestSignMasked: what was prepared before a mask was drawn over more of the picture is not signed, and
// nothing of the try stays; when the mask goes, it is, and its grant names the masks that are in it.
func TestSignMasked(t *testing.T) {
	forEachDB(t, func(t *testing.T, h *home) {
		ctx, db := h.ctx(), h.DB
		q := h.asks()
		rel := h.prepares(q)
		s := h.signing(q, rel, h.grant(q, rel))
		more := append(slices.Clone(h.camera.Masks), relay.Mask{Name: "garden", X: 0.6, Y: 0.6, W: 0.2, H: 0.2})
		more[0].Name = "window"
		_, err := db.SetMasks(ctx, h.camera.ID, more, 0, h.member.ID, h.now)
		h.ok(err)
		before := h.logSize()
		h.invalid(db.SignRelease(ctx, s, h.now))
		if got, err := db.Release(ctx, rel.ID); err != nil || got.State != relay.ReleaseInReview || h.logSize() != before {
			t.Errorf("the release is %s, %d events, %v", got.State, h.logSize()-before, err)
		}
		_, err = db.SetMasks(ctx, h.camera.ID, nil, 1, h.member.ID, h.now)
		h.ok(err)
		h.ok(db.SignRelease(ctx, s, h.now))
		made, err := relay.HashMasks(h.camera.Masks)
		h.ok(err)
		if s.Grant.Redaction.StaticMasks != made {
			t.Errorf("the grant names the masks %s, want %s", s.Grant.Redaction.StaticMasks, made)
		}
	})
}
