package home

import (
	"context"
	"encoding/json"
	"fmt"
	"math"

	"cliplease/relay"
	"cliplease/storage"
	"cliplease/templates"

	"github.com/gin-gonic/gin"
)

// maskStills is on how many clips' stills masks can be drawn.
const maskStills = 6

// Masks serves GET /cameras/:id: the masks of a camera on a still, what they mean for its releases,
// and which applied when.
func (s *Server) Masks(c *gin.Context) error {
	ctx := c.Request.Context()
	camera, err := s.db.Camera(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	zone := location(camera.Zone)
	p := templates.Masks{
		Layout: s.layout(c, "cameras", templates.Spoken(ctx).T("Masks of %s", camera.Name), "draw.js", "masks.js"), ID: camera.ID, Camera: camera.Name,
		Names: maskNames(camera.Masks), Hidden: hiddenWords(camera.Masks), Version: camera.MaskVersion,
	}
	p.CanDraw = p.Manage
	drawn, err := json.Marshal(camera.Masks)
	if err != nil {
		return err
	}
	p.Masks = string(drawn)
	clips, err := s.db.Clips(ctx, storage.ClipFilter{CameraID: camera.ID, State: relay.ClipReady, Limit: maskStills})
	if err != nil {
		return err
	}
	for _, clip := range clips {
		all := stills(clip)
		if len(all) == 0 {
			continue
		}
		p.Stills = append(p.Stills, templates.MaskStill{Address: all[len(all)/2], At: clip.Start.In(zone)})
		p.Shapes = p.Shapes || math.Abs(float64(clip.Width*clips[0].Height)-float64(clip.Height*clips[0].Width)) > 0.02*float64(clip.Height*clips[0].Width)
	}
	if p.Affected, err = s.affected(ctx, camera); err != nil {
		return err
	}
	sets, err := s.db.MaskSets(ctx, camera.ID)
	if err != nil {
		return err
	}
	for _, set := range sets {
		by, err := s.memberName(ctx, set.By)
		if err != nil {
			return err
		}
		p.History = append(p.History, templates.MaskSet{Version: set.Version, Since: set.Since.In(zone), By: by, Hidden: hiddenWords(set.Masks), Names: maskNames(set.Masks)})
	}
	return page(c, "masks", p)
}

// affected lists the releases from camera that are not over, with what its masks mean for each.
func (s *Server) affected(ctx context.Context, camera relay.Camera) ([]templates.MaskedRelease, error) {
	releases, err := s.db.Releases(ctx, 200, relay.ReleaseIsPreparing, relay.ReleaseInReview, relay.ReleaseIsLive)
	if err != nil {
		return nil, err
	}
	var out []templates.MaskedRelease
	for _, rel := range releases {
		clip, err := s.db.Clip(ctx, rel.ClipID)
		if err != nil {
			return nil, err
		}
		if clip.CameraID != camera.ID {
			continue
		}
		row, err := s.row(ctx, rel)
		if err != nil {
			return nil, err
		}
		v := templates.MaskedRelease{ID: rel.ID, Agency: row.Agency, Case: row.Case, State: row.State, Tone: row.StateTone}
		shows := rel.State != relay.ReleaseIsPreparing && rel.CheckMasks(camera.Masks) != nil
		switch {
		case rel.State == relay.ReleaseIsPreparing:
			v.Words = "It is being prepared with the masks of when that began. If they hide less than those of now, it cannot be approved and has to be prepared again."
		case shows && rel.State == relay.ReleaseInReview:
			v.Words = "This copy shows what a mask hides now. It cannot be approved: open it and prepare it again."
		case shows:
			v.Words = "It was signed with other masks and shows what a mask hides now. Whoever holds it still sees that: revoke it if it matters."
		default:
			v.Words = "It hides all that the masks hide now."
		}
		out = append(out, v)
	}
	return out, nil
}

// SetMasks handles POST /cameras/:id/masks: all masks of a camera, as they were drawn on those of version.
func (s *Server) SetMasks(c *gin.Context) error {
	var f struct {
		Masks   []relay.Mask `json:"masks"`
		Version int          `json:"version"`
	}
	if err := form(c, &f); err != nil {
		return err
	}
	camera, err := s.db.SetMasks(c.Request.Context(), c.Param("id"), f.Masks, f.Version, member(c).ID, s.now())
	if err != nil {
		return err
	}
	return follow(c, "/cameras/"+camera.ID)
}

// maskNames are what the home calls masks; one from before masks had names has a number.
func maskNames(masks []relay.Mask) []string {
	var names []string
	for i, m := range masks {
		if m.Name == "" {
			m.Name = fmt.Sprintf("area %d", i+1)
		}
		names = append(names, m.Name)
	}
	return names
}

// hiddenWords says how much of the picture masks hide.
func hiddenWords(masks []relay.Mask) string {
	return fmt.Sprintf("%.1f %%", 100*relay.HiddenShare(masks))
}
