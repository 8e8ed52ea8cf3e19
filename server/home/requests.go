package home

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"cliplease/relay"
	"cliplease/storage"
	"cliplease/templates"

	"github.com/gin-gonic/gin"
)

// Inbox serves GET /: what waits for the member, and what is out there now.
func (s *Server) Inbox(c *gin.Context) error {
	ctx := c.Request.Context()
	open, err := s.waiting(ctx)
	if err != nil {
		return err
	}
	p := templates.Inbox{Layout: s.layout(c, "inbox", "Inbox")}
	for _, q := range open {
		card, err := s.card(ctx, q)
		if err != nil {
			return err
		}
		p.Open = append(p.Open, card)
	}
	under, err := s.db.Releases(ctx, 100, relay.ReleaseIsPreparing, relay.ReleaseIsFailed, relay.ReleaseInReview)
	if err != nil {
		return err
	}
	if p.UnderWay, err = s.rows(ctx, under); err != nil {
		return err
	}
	live, err := s.db.Releases(ctx, 100, relay.ReleaseIsLive)
	if err != nil {
		return err
	}
	if p.Live, err = s.rows(ctx, live); err != nil {
		return err
	}
	if p.NewHome, err = s.newHome(ctx); err != nil {
		return err
	}
	return page(c, "inbox", p)
}

// newHome says what a home still lacks before a request can come and be answered.
func (s *Server) newHome(ctx context.Context) (n templates.NewHome, err error) {
	cameras, err := s.db.Cameras(ctx)
	if err != nil {
		return n, err
	}
	agencies, err := s.db.Agencies(ctx)
	if err != nil {
		return n, err
	}
	n.Camera, n.Agency = len(cameras) == 0, len(agencies) == 0
	clips, err := s.db.Clips(ctx, storage.ClipFilter{Limit: 1})
	n.Clip = len(clips) == 0
	return n, err
}

// Requests serves GET /requests: all requests with how they ended.
func (s *Server) Requests(c *gin.Context) error {
	ctx := c.Request.Context()
	all, err := s.db.Requests(ctx, "", 500)
	if err != nil {
		return err
	}
	p := templates.Requests{Layout: s.layout(c, "inbox", "All requests")}
	for _, q := range all {
		card, err := s.card(ctx, q)
		if err != nil {
			return err
		}
		p.Requests = append(p.Requests, card)
	}
	return page(c, "requests", p)
}

// card is a request in a few lines.
func (s *Server) card(ctx context.Context, q relay.Request) (templates.RequestCard, error) {
	a, err := s.db.Agency(ctx, q.AgencyID)
	if err != nil {
		return templates.RequestCard{}, err
	}
	camera, zone, err := s.asked(ctx, q)
	if err != nil {
		return templates.RequestCard{}, err
	}
	card := templates.RequestCard{
		ID: q.ID, Agency: a.Name, Purpose: purpose(q.Claims.Purpose.Code), Case: q.Claims.Case.Ref, Lane: lane(q.Claims.Lane),
		Urgent: q.Claims.Lane == relay.LaneExigent, Camera: q.Claims.Scope.Target.Handle, CameraKnown: camera != nil,
		From: q.Claims.Scope.From.In(zone), To: q.Claims.Scope.To.In(zone), Received: q.ReceivedAt.In(zone),
		Deadline: q.RespondBy.In(zone), Left: q.RespondBy.Sub(s.now()), Open: q.Open(s.now()), Labels: q.Verdict.Labels,
	}
	if camera != nil {
		card.Camera = camera.Name
	}
	card.Verified, card.VerifiedTone = verified(templates.Spoken(ctx), a, s.now(), zone)
	card.State, card.StateTone = requestState(q, s.now())
	return card, nil
}

// asked returns the camera that a request names, or nil when the home has none of that name,
// and the zone in which its times are shown.
func (s *Server) asked(ctx context.Context, q relay.Request) (*relay.Camera, *time.Location, error) {
	camera, err := s.camera(ctx, q.Claims.Scope.Target.Handle)
	if errors.Is(err, relay.ErrNotFound) {
		return nil, s.zone(ctx), nil
	}
	if err != nil {
		return nil, nil, err
	}
	return &camera, location(camera.Zone), nil
}

// camera finds a camera by the handle that agencies use. An id is no handle.
func (s *Server) camera(ctx context.Context, handle string) (relay.Camera, error) {
	camera, err := s.db.Camera(ctx, handle)
	if err == nil && camera.Handle != handle {
		return camera, relay.ErrNotFound
	}
	return camera, err
}

// Request serves GET /requests/:id: who asks for what and why, and what the home can do.
func (s *Server) Request(c *gin.Context) error {
	ctx := c.Request.Context()
	q, err := s.db.Request(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	card, err := s.card(ctx, q)
	if err != nil {
		return err
	}
	a, err := s.db.Agency(ctx, q.AgencyID)
	if err != nil {
		return err
	}
	camera, _, err := s.asked(ctx, q)
	if err != nil {
		return err
	}
	k := q.Claims
	p := templates.Request{
		Layout: s.layout(c, "inbox", templates.Spoken(ctx).T("%s asks about %s", card.Agency, templates.Spoken(ctx).T(card.Purpose))), RequestCard: card,
		AgencyID: a.ID, Level: level(a.Level), Jurisdiction: a.Jurisdiction, Phone: a.Phone, Complaints: a.Complaints, VerifiedHow: a.VerifiedHow,
		Officer: k.Subject, Contact: k.Contact.Name, PurposeText: k.Purpose.Text, Citation: k.LegalBasis.Citation,
		Document: k.LegalBasis.DocumentSHA256, Served: k.LegalBasis.Served, CaseOpened: k.Case.Opened,
		MaxLength: time.Duration(k.Scope.MaxDuration) * time.Second, WantsFaces: k.Scope.Faces == "unredacted_requested", WantsSound: k.Scope.Audio,
		Keeps: keeps(templates.Spoken(ctx), k.Retention), KeepsText: k.Retention.Statement, Onward: onward(templates.Spoken(ctx), k.Onward), OnwardText: k.Onward.Statement,
		Attests: k.Attest == relay.AttestID, AttestText: relay.AttestText, SHA256: q.SHA256, Seen: !q.SeenAt.IsZero(),
		CanPrepare: member(c).Role.CanSign() && card.Open, CanDecline: card.Open, CanUndo: q.CanReconsider(s.now()),
	}
	p.Basis, p.Compulsory = basis(templates.Spoken(ctx), k.LegalBasis)
	for i, r := range k.Recipients {
		p.Recipients = append(p.Recipients, recipientAsk(i, r, a))
	}
	if p.Releases, err = s.releasesOf(ctx, q.ID); err != nil {
		return err
	}
	if err = s.terms(ctx, q, &p); err != nil {
		return err
	}
	if err = s.ledger(ctx, q, &p); err != nil {
		return err
	}
	if camera != nil {
		if camera.ClockOffset != 0 {
			p.ClockOffset = camera.ClockOffset.Abs()
			p.ClockAhead = camera.ClockOffset > 0
		}
		if p.Form, err = s.draftForm(ctx, q, *camera, nil); err != nil {
			return err
		}
	}
	return page(c, "request", p)
}

func recipientAsk(i int, r relay.RecipientAsk, a relay.Agency) templates.Recipient {
	out := templates.Recipient{Value: strconv.Itoa(i), Name: r.Name, Kind: string(r.Kind), Address: r.Addr, Known: true}
	if r.Kind == relay.RecipientEmail {
		out.Known = a.MayReceive(r.Addr)
	} else {
		out.Address = relay.Recipient(r).Display()
	}
	return out
}

func (s *Server) releasesOf(ctx context.Context, requestID string) ([]templates.ReleaseRow, error) {
	all, err := s.db.ReleasesOf(ctx, requestID)
	if err != nil {
		return nil, err
	}
	return s.rows(ctx, all)
}

// Seen handles POST /requests/:id/seen: a member has opened the request. The agency never
// learns it.
func (s *Server) Seen(c *gin.Context) error {
	err := s.db.UpdateRequest(c.Request.Context(), c.Param("id"), func(q *relay.Request) (relay.Event, error) {
		return q.See(member(c).ID, s.now())
	})
	if err != nil && !errors.Is(err, relay.ErrState) { // seen before
		return err
	}
	c.JSON(200, gin.H{})
	return nil
}

// Decline handles POST /requests/:id/decline.
func (s *Server) Decline(c *gin.Context) error {
	err := s.db.UpdateRequest(c.Request.Context(), c.Param("id"), func(q *relay.Request) (relay.Event, error) {
		return q.Decline(member(c).ID, s.now())
	})
	if err != nil {
		return err
	}
	return follow(c, "/requests/"+c.Param("id"))
}

// Reconsider handles POST /requests/:id/reconsider: declining is undone.
func (s *Server) Reconsider(c *gin.Context) error {
	err := s.db.UpdateRequest(c.Request.Context(), c.Param("id"), func(q *relay.Request) (relay.Event, error) {
		return q.Reconsider(member(c).ID, s.now())
	})
	if err != nil {
		return err
	}
	return follow(c, "/requests/"+c.Param("id"))
}

// draft is the form in which a member says what a release should be.
type draft struct {
	Clip       string   `json:"clip"`
	From       string   `json:"from"` // RFC 3339, or the camera's local time as 2006-01-02T15:04:05
	To         string   `json:"to"`
	Recipients []string `json:"recipients"` // "0", "1", …: their places in the request
	Hours      int      `json:"hours"`      // how long the lease runs
	MaxViews   int      `json:"max_views"`
	Download   string   `json:"download"`  // "yes" or "no"
	Style      string   `json:"style"`     // "blur" or "solid"
	Confirmed  bool     `json:"confirmed"` // read why the rules hold the request

	Edits json.RawMessage `json:"edits"` // what was drawn, on the window before it was changed; absent: as it was
}

// Prepare handles POST /requests/:id/prepare with a [draft].
func (s *Server) Prepare(c *gin.Context) error {
	ctx := c.Request.Context()
	var f draft
	if err := form(c, &f); err != nil {
		return err
	}
	q, err := s.db.Request(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	clip, err := s.clipFor(ctx, q, f.Clip)
	if err != nil {
		return err
	}
	d, err := s.draft(ctx, f, q, clip)
	if err != nil {
		return err
	}
	if err := d.Redraw(f.Edits, d.From); err != nil {
		return err
	}
	rel, err := s.db.PrepareRelease(ctx, q.ID, clip.ID, d, member(c).ID, s.now())
	if err != nil {
		return err
	}
	return follow(c, "/releases/"+rel.ID)
}

// clipFor returns a clip of the camera that the request names.
func (s *Server) clipFor(ctx context.Context, q relay.Request, id string) (relay.Clip, error) {
	if id == "" {
		return relay.Clip{}, relay.Invalid("clip", "Choose a clip.")
	}
	clip, err := s.db.Clip(ctx, id)
	if err != nil {
		return clip, err
	}
	camera, err := s.camera(ctx, q.Claims.Scope.Target.Handle)
	if err != nil {
		return clip, err
	}
	if clip.CameraID != camera.ID {
		return clip, relay.Invalid("clip", "This clip is from another camera than the one that was asked for.")
	}
	return clip, nil
}

// draft turns the form into what the rules check.
func (s *Server) draft(ctx context.Context, f draft, q relay.Request, clip relay.Clip) (d relay.Draft, err error) {
	camera, err := s.db.Camera(ctx, clip.CameraID)
	if err != nil {
		return d, err
	}
	zone := location(camera.Zone)
	d = relay.Draft{
		Style: relay.Style(f.Style), Targets: []string{"faces", "plates"}, MaxViews: f.MaxViews, Download: f.Download == "yes", Confirmed: f.Confirmed,
		Expires: s.now().Add(time.Duration(f.Hours) * time.Hour).UTC().Truncate(time.Second),
	}
	if f.Download != "yes" && f.Download != "no" {
		return d, relay.Invalid("download", "Choose whether the recipient is offered a file to keep.")
	}
	if f.Hours < 1 || f.Hours > int(relay.MaxLease.Hours()) {
		return d, relay.Invalid("hours", "A lease runs for 1 hour to %d days.", int(relay.MaxLease.Hours()/24))
	}
	if d.From, err = moment("from", f.From, zone, clip); err != nil {
		return d, err
	}
	if d.To, err = moment("to", f.To, zone, clip); err != nil {
		return d, err
	}
	for _, v := range f.Recipients {
		i, err := strconv.Atoi(v)
		if err != nil || i < 0 || i >= len(q.Claims.Recipients) {
			return d, relay.Invalid("recipients", "A release goes only to recipients that the request names.")
		}
		d.Recipients = append(d.Recipients, relay.Recipient(q.Claims.Recipients[i]))
	}
	return d, nil
}

// moment reads a time from a form: with an offset, or as the camera's clock shows it. In the
// hour that the clock shows twice a year, the reading that lies in the clip is meant.
func moment(field, text string, zone *time.Location, clip relay.Clip) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t.UTC(), nil
	}
	const wall, short = "2006-01-02T15:04:05", "2006-01-02T15:04"
	layout := wall
	if len(text) == len(short) { // browsers leave out seconds that are zero
		layout = short
	}
	first, err := time.ParseInLocation(layout, text, zone)
	if err != nil {
		return first, relay.Invalid(field, "Write the time as date and time of day, such as 2026-11-03T14:05:00.")
	}
	for _, t := range []time.Time{first, first.Add(time.Hour), first.Add(-time.Hour)} {
		if t.In(zone).Format(layout) == first.Format(layout) && !t.Before(clip.Start) && !t.After(clip.End()) {
			return t.UTC(), nil
		}
	}
	return first.UTC(), nil
}

// draftForm fills the form of a new release, or of one that is changed.
func (s *Server) draftForm(ctx context.Context, q relay.Request, camera relay.Camera, rel *relay.Release) (*templates.DraftForm, error) {
	zone := location(camera.Zone)
	scope, terms := q.Claims.Scope, q.Terms()
	f := &templates.DraftForm{
		Action: "/requests/" + q.ID + "/prepare", Zone: camera.Zone, Camera: camera.Name,
		MaxLength: min(time.Duration(scope.MaxDuration)*time.Second, terms.Length), Hours: 168, MaxViews: min(5, terms.Views), Style: string(relay.StyleBlur),
		Views: terms.Views, MaxHours: int(terms.Lease.Hours()), Solid: terms.FullRedaction, KeyOnly: terms.KeyOnly,
		Narrowed: terms.Length < time.Duration(scope.MaxDuration)*time.Second,
	}
	if terms.FullRedaction {
		f.Style = string(relay.StyleSolid)
	}
	if terms.Hold {
		f.Hold = holdReasons(templates.Spoken(ctx), q.Verdict)
	}
	chosen := map[relay.Recipient]bool{}
	if rel != nil {
		f.Action = "/releases/" + rel.ID + "/edit"
		f.MaxViews, f.Style, f.Download = rel.Draft.MaxViews, string(rel.Draft.Style), rel.Draft.Download
		f.Hours, f.Confirmed = nearestLease(rel.Draft.Expires.Sub(rel.UpdatedAt)), rel.Draft.Confirmed
		for _, r := range rel.Draft.Recipients {
			chosen[r] = true
		}
	}
	for f.Hours > f.MaxHours && f.Hours > templates.Leases[0] {
		f.Hours = templates.Leases[slices.Index(templates.Leases, f.Hours)-1]
	}
	a, err := s.db.Agency(ctx, q.AgencyID)
	if err != nil {
		return nil, err
	}
	for i, r := range q.Claims.Recipients {
		ask := recipientAsk(i, r, a)
		ask.Chosen = (rel == nil && ask.Known || chosen[relay.Recipient(r)]) && (!terms.KeyOnly || r.Kind == relay.RecipientKey)
		f.Recipients = append(f.Recipients, ask)
	}
	clips, err := s.db.Clips(ctx, storage.ClipFilter{CameraID: camera.ID, From: scope.From, To: scope.To, Limit: 50})
	if err != nil {
		return nil, err
	}
	for _, clip := range clips {
		if clip.State == relay.ClipDisposed || rel != nil && clip.ID != rel.ClipID {
			continue
		}
		from, to := window(scope, terms.Length, clip)
		choice := templates.ClipChoice{ID: clip.ID, Ready: clip.State == relay.ClipReady && from.Before(to), State: clipState(clip), From: from.In(zone), To: to.In(zone), Start: clip.Start.In(zone), End: clip.End().In(zone), Stills: stills(clip)}
		if rel != nil {
			choice.From, choice.To = rel.Draft.From.In(zone), rel.Draft.To.In(zone)
		}
		choice.Min, choice.Max = later(scope.From, clip.Start).In(zone), earlierOf(scope.To, clip.End()).In(zone)
		if choice.Ready && !f.Any {
			f.Any, choice.Chosen = true, true
			f.From, f.To, f.Min, f.Max = choice.From, choice.To, choice.Min, choice.Max
		}
		f.Clips = append(f.Clips, choice)
	}
	return f, nil
}

// window is the part of a clip that was asked for, in whole seconds and no longer than asked.
func window(scope relay.Scope, most time.Duration, clip relay.Clip) (from, to time.Time) {
	from, to = later(scope.From, clip.Start), earlierOf(scope.To, clip.End()).Truncate(time.Second)
	if whole := from.Truncate(time.Second); whole.Before(from) {
		from = whole.Add(time.Second)
	}
	if longest := from.Add(min(time.Duration(scope.MaxDuration)*time.Second, most)); to.After(longest) {
		to = longest
	}
	return from, to
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlierOf(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// nearestLease is the choice of the form that comes nearest to d, in hours.
func nearestLease(d time.Duration) int {
	best := templates.Leases[0]
	for _, h := range templates.Leases {
		if (time.Duration(h)*time.Hour - d).Abs() < (time.Duration(best)*time.Hour - d).Abs() {
			best = h
		}
	}
	return best
}

// stills are the addresses of a clip's thumbnails.
func stills(clip relay.Clip) []string {
	var out []string
	for i := range clip.Stills {
		out = append(out, fmt.Sprintf("/clips/%s/stills/%d", clip.ID, i))
	}
	return out
}
