package home

import (
	"errors"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"cliplease/relay"
	"cliplease/source"
	"cliplease/storage"
	"cliplease/templates"

	"github.com/gin-gonic/gin"
)

// Clips serves GET /clips: the library, by day, and the form to add to it.
func (s *Server) Clips(c *gin.Context) error {
	ctx := c.Request.Context()
	cameras, err := s.db.Cameras(ctx)
	if err != nil {
		return err
	}
	p := templates.Clips{Layout: s.layout(c, "clips", "Clips", "upload.js"), CanUpload: member(c).Role.CanSign(), MaxUpload: s.maxUpload, Camera: c.Query("camera")}
	byID := map[string]relay.Camera{}
	for _, v := range cameras {
		byID[v.ID] = v
		p.Cameras = append(p.Cameras, templates.CameraChoice{ID: v.ID, Name: v.Name, Zone: v.Zone, Chosen: v.ID == p.Camera})
	}
	if p.CanUpload {
		if p.Unfinished, err = s.unfinished(ctx, member(c).ID, byID); err != nil {
			return err
		}
	}
	filter := storage.ClipFilter{CameraID: p.Camera, Limit: 500}
	if text := c.Query("day"); text != "" {
		day, err := time.Parse(time.DateOnly, text)
		if err != nil {
			return relay.Invalid("day", "Write the day as year, month and day, such as 2026-11-20.")
		}
		// Wide enough for the day in every zone; which day a clip is of, its camera's zone says below.
		p.Day, filter.From, filter.To = text, day.Add(-24*time.Hour), day.Add(48*time.Hour)
	}
	clips, err := s.db.Clips(ctx, filter)
	if err != nil {
		return err
	}
	holds, err := s.db.Holds(ctx)
	if err != nil {
		return err
	}
	releases, err := s.db.Releases(ctx, 1000, relay.ReleaseIsPreparing, relay.ReleaseIsFailed, relay.ReleaseInReview, relay.ReleaseIsLive)
	if err != nil {
		return err
	}
	needed := map[string]int{}
	for _, rel := range releases {
		needed[rel.ClipID]++
	}
	for _, clip := range clips {
		camera := byID[clip.CameraID]
		zone := location(camera.Zone)
		row := templates.ClipRow{
			ID: clip.ID, Name: clip.Name, Camera: camera.Name, Start: clip.Start.In(zone), Length: clip.Duration, Size: clip.Bytes, Stills: stills(clip),
			State: clipState(clip), Ready: clip.State == relay.ClipReady, Reason: clip.Reason, Width: clip.Width, Height: clip.Height, Audio: clip.Audio,
			Gone: clip.State == relay.ClipDisposed, CanDispose: p.Manage && clip.State != relay.ClipDisposed,
			Held: slices.ContainsFunc(holds, func(h relay.LegalHold) bool { return h.Covers(clip, camera) }), Releases: needed[clip.ID],
		}
		day := row.Start.Format(time.DateOnly)
		if p.Day != "" && day != p.Day {
			continue
		}
		row.CanDispose = row.CanDispose && !row.Held
		if until := clip.RetainedUntil(camera); !until.IsZero() && !row.Gone {
			row.KeptUntil = until.In(zone)
		}
		p.Working = p.Working || clip.State == relay.ClipReceived
		if n := len(p.Days); n == 0 || p.Days[n-1].Key != day {
			p.Days = append(p.Days, templates.ClipDay{Key: day, Day: row.Start})
		}
		last := &p.Days[len(p.Days)-1]
		last.Clips = append(last.Clips, row)
	}
	for _, v := range cameras {
		if s.watch == "" || p.Camera != "" && p.Camera != v.ID {
			continue
		}
		files, err := source.RefusedIn(s.watch, v.Handle)
		if err != nil {
			s.log.Error("refused files cannot be listed", "error", err)
			p.RefusedUnknown = true
		}
		for _, f := range files {
			if at := f.At.In(location(v.Zone)); p.Day == "" || at.Format(time.DateOnly) == p.Day {
				p.Refused = append(p.Refused, templates.RefusedFile{Name: f.Name, Camera: v.Name, Reason: f.Reason, Size: f.Size, At: at})
			}
		}
	}
	return page(c, "clips", p)
}

func clipState(clip relay.Clip) string {
	switch clip.State {
	case relay.ClipReceived:
		return "being looked at"
	case relay.ClipReady:
		return "ready"
	case relay.ClipRefused:
		return "cannot be used"
	case relay.ClipDisposed:
		return "deleted"
	}
	return string(clip.State)
}

// DisposeClip handles POST /clips/:id/dispose.
func (s *Server) DisposeClip(c *gin.Context) error {
	err := s.db.DisposeClip(c.Request.Context(), c.Param("id"), member(c).ID, s.now())
	if errors.Is(err, storage.ErrHeld) {
		return relay.Invalid("", "An order names this footage, so it cannot be deleted. Look at the request; the hold can be lifted there when a lawyer agrees.")
	}
	if err != nil {
		return err
	}
	return follow(c, "/clips")
}

// Cameras serves GET /cameras.
func (s *Server) Cameras(c *gin.Context) error {
	cameras, err := s.db.Cameras(c.Request.Context())
	if err != nil {
		return err
	}
	p := templates.Cameras{Layout: s.layout(c, "cameras", "Cameras"), Zone: s.zone(c.Request.Context()).String()}
	if p.Zone == "Local" {
		p.Zone = "UTC"
	}
	for _, v := range cameras {
		p.Cameras = append(p.Cameras, templates.CameraForm{
			ID: v.ID, Handle: v.Handle, Name: v.Name, Zone: v.Zone, OffsetSeconds: int(v.ClockOffset / time.Second), Interior: v.Interior, Masks: len(v.Masks), Hidden: hiddenWords(v.Masks), RetainDays: v.RetainDays,
			Now: s.now().In(location(v.Zone)),
		})
		if s.watch != "" && p.Manage {
			p.Cameras[len(p.Cameras)-1].Folder = filepath.Join(s.watch, v.Handle)
		}
	}
	return page(c, "cameras", p)
}

var handle = regexp.MustCompile(`\A[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?\z`)

// SaveCamera handles POST /cameras: a new camera, or new properties of one.
func (s *Server) SaveCamera(c *gin.Context) error {
	ctx := c.Request.Context()
	var f struct {
		ID       string `json:"id"`
		Name     string `json:"name"`
		Handle   string `json:"handle"`
		Zone     string `json:"zone"`
		Offset   int    `json:"offset"` // seconds that the camera's clock is ahead
		Interior bool   `json:"interior"`
		Retain   int    `json:"retain"` // days; 0: until a member deletes it
	}
	if err := form(c, &f); err != nil {
		return err
	}
	camera := relay.Camera{ID: relay.NewID(), CreatedAt: s.now()}
	if f.ID != "" {
		old, err := s.db.Camera(ctx, f.ID)
		if err != nil {
			return err
		}
		camera = old
	}
	camera.Name, camera.Handle, camera.Zone = strings.TrimSpace(f.Name), strings.TrimSpace(f.Handle), strings.TrimSpace(f.Zone)
	camera.Interior, camera.ClockOffset = f.Interior, time.Duration(f.Offset)*time.Second
	camera.RetainDays = f.Retain
	_, err := time.LoadLocation(camera.Zone)
	switch {
	case camera.Name == "" || len(camera.Name) > 80:
		return relay.Invalid("name", "Give the camera a name, such as Front door.")
	case !handle.MatchString(camera.Handle):
		return relay.Invalid("handle", "Use small letters, digits and dashes, such as front-door.")
	case err != nil || camera.Zone == "" || camera.Zone == "Local":
		return relay.Invalid("zone", "Write the time zone by its name, such as Europe/Amsterdam or America/Chicago.")
	case camera.RetainDays < 0 || camera.RetainDays > relay.MaxRetainDays:
		return relay.Invalid("retain", "Write a number of days up to %d, or 0 to keep clips until somebody deletes them.", relay.MaxRetainDays)
	case camera.ClockOffset.Abs() > 366*24*time.Hour:
		return relay.Invalid("offset", "A clock that is off by more than a year should be set right first.")
	}
	if other, err := s.camera(ctx, camera.Handle); err == nil && other.ID != camera.ID {
		return relay.Invalid("handle", "Another camera has this handle.")
	}
	if err := s.db.SaveCamera(ctx, camera, member(c).ID, s.now()); err != nil {
		return err
	}
	return follow(c, "/cameras")
}
