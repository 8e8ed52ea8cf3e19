package home

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"cliplease/relay"
	"cliplease/storage"
	"cliplease/templates"

	"github.com/gin-gonic/gin"
)

// Releases serves GET /releases: live leases first, and how all others ended.
func (s *Server) Releases(c *gin.Context) error {
	ctx := c.Request.Context()
	p := templates.Releases{Layout: s.layout(c, "releases", "Releases"), CanRevoke: member(c).Role.CanRevoke()}
	var err error
	if p.NotBefore, err = s.frozen(ctx); err != nil {
		return err
	}
	live, err := s.db.Releases(ctx, 200, relay.ReleaseIsLive)
	if err != nil {
		return err
	}
	for _, rel := range live {
		row, err := s.row(ctx, rel)
		if err != nil {
			return err
		}
		leases, err := s.leases(ctx, rel)
		if err != nil {
			return err
		}
		p.Live = append(p.Live, templates.LiveRelease{ReleaseRow: row, Leases: leases, CanExtend: member(c).Role.CanSign() && s.extendable(ctx, rel)})
	}
	under, err := s.db.Releases(ctx, 200, relay.ReleaseIsPreparing, relay.ReleaseIsFailed, relay.ReleaseInReview)
	if err != nil {
		return err
	}
	if p.UnderWay, err = s.rows(ctx, under); err != nil {
		return err
	}
	over, err := s.db.Releases(ctx, 200, relay.ReleaseIsRevoked, relay.ReleaseIsExpired, relay.ReleaseIsDiscarded)
	if err != nil {
		return err
	}
	if p.Over, err = s.rows(ctx, over); err != nil {
		return err
	}
	return page(c, "releases", p)
}

func (s *Server) rows(ctx context.Context, all []relay.Release) ([]templates.ReleaseRow, error) {
	var out []templates.ReleaseRow
	for _, rel := range all {
		row, err := s.row(ctx, rel)
		if err != nil {
			return nil, err
		}
		out = append(out, row)
	}
	return out, nil
}

// row is a release in a line.
func (s *Server) row(ctx context.Context, rel relay.Release) (templates.ReleaseRow, error) {
	q, err := s.db.Request(ctx, rel.RequestID)
	if err != nil {
		return templates.ReleaseRow{}, err
	}
	a, err := s.db.Agency(ctx, q.AgencyID)
	if err != nil {
		return templates.ReleaseRow{}, err
	}
	camera, zone, err := s.shot(ctx, rel)
	if err != nil {
		return templates.ReleaseRow{}, err
	}
	row := templates.ReleaseRow{
		ID: rel.ID, Agency: a.Name, Case: q.Claims.Case.Ref, Purpose: purpose(q.Claims.Purpose.Code), Camera: camera.Name,
		From: rel.Draft.From.In(zone), To: rel.Draft.To.In(zone), Expires: in(rel.ExpiresAt, zone), Ended: in(rel.EndedAt, zone), Progress: rel.Progress,
	}
	if !rel.ExpiresAt.IsZero() {
		row.Left = rel.ExpiresAt.Sub(s.now())
	}
	row.State, row.StateTone = releaseState(rel, s.now())
	links, err := s.db.LinksOf(ctx, rel.ID)
	for _, l := range links {
		row.Views += l.ViewsUsed
	}
	return row, err
}

// shot returns the camera that a release's clip is from, and the camera's zone.
func (s *Server) shot(ctx context.Context, rel relay.Release) (relay.Camera, *time.Location, error) {
	clip, err := s.db.Clip(ctx, rel.ClipID)
	if err != nil {
		return relay.Camera{}, nil, err
	}
	camera, err := s.db.Camera(ctx, clip.CameraID)
	return camera, location(camera.Zone), err
}

// leases says who holds what of a signed release, and who watched it when.
func (s *Server) leases(ctx context.Context, rel relay.Release) ([]templates.Lease, error) {
	_, zone, err := s.shot(ctx, rel)
	if err != nil {
		return nil, err
	}
	links, err := s.db.LinksOf(ctx, rel.ID)
	if err != nil {
		return nil, err
	}
	views, err := s.db.Views(ctx, rel.ID)
	if err != nil {
		return nil, err
	}
	mails, err := s.db.MailAbout(ctx, rel.ID)
	if err != nil {
		return nil, err
	}
	var out []templates.Lease
	for _, l := range links {
		i := slices.IndexFunc(rel.Copies, func(c relay.Copy) bool { return c.ID == l.CopyID })
		if i < 0 {
			return nil, fmt.Errorf("link %s names a copy that its release does not have", l.ID)
		}
		to := rel.Copies[i].Recipient
		lease := templates.Lease{
			LinkID: l.ID, Recipient: recipientName(to), Address: recipientAddress(to), Kind: string(to.Kind),
			ViewsUsed: l.ViewsUsed, MaxViews: l.MaxViews, Expires: l.ExpiresAt.In(zone), Revoked: in(l.RevokedAt, zone), Asked: in(l.AskedAt, zone),
			Live: l.Playable(rel, s.now()) == nil,
		}
		for _, m := range mails {
			if m.Kind == "link" && m.Address == to.Addr {
				lease.Mail, lease.MailFailure = m.State, m.Failure
			}
		}
		for _, v := range views {
			if v.Link.ID == l.ID {
				lease.Views = append(lease.Views, templates.Viewing{
					Start: v.Session.CreatedAt.In(zone), End: in(v.Session.EndedAt, zone), Last: v.Session.SeenAt.In(zone), Bytes: v.Session.Bytes,
				})
			}
		}
		out = append(out, lease)
	}
	return out, nil
}

func recipientName(r relay.Recipient) string {
	if r.Kind == relay.RecipientKey {
		return "A system of the agency"
	}
	if r.Name == "" {
		return r.Addr
	}
	return r.Name
}

func recipientAddress(r relay.Recipient) string {
	if r.Kind == relay.RecipientKey {
		return r.Display()
	}
	return r.Addr
}

// Release serves GET /releases/:id: a release in whatever state it is.
func (s *Server) Release(c *gin.Context) error {
	ctx := c.Request.Context()
	rel, err := s.db.Release(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	q, err := s.db.Request(ctx, rel.RequestID)
	if err != nil {
		return err
	}
	row, err := s.row(ctx, rel)
	if err != nil {
		return err
	}
	card, err := s.card(ctx, q)
	if err != nil {
		return err
	}
	camera, zone, err := s.shot(ctx, rel)
	if err != nil {
		return err
	}
	role, open := member(c).Role, q.Open(s.now())
	waits := rel.State == relay.ReleaseInReview || rel.State == relay.ReleaseIsFailed
	p := templates.Release{
		Layout: s.layout(c, "releases", templates.Spoken(ctx).T("Release to %s", row.Agency)), ReleaseRow: row, Request: card, Phase: string(rel.State), Zone: camera.Zone,
		Failure: rel.Failure, Style: string(rel.Draft.Style), Download: rel.Draft.Download, MaxViews: rel.Draft.MaxViews, LeaseEnds: rel.Draft.Expires.In(zone),
		Granted: in(rel.GrantedAt, zone), EndReason: rel.EndReason, Shredded: in(rel.ShreddedAt, zone), NeedsLook: rel.NeedsLook,
		Keeps: keeps(templates.Spoken(ctx), q.Claims.Retention), Compulsory: q.Claims.LegalBasis.Compulsory, Onward: onward(templates.Spoken(ctx), q.Claims.Onward), EvidenceName: evidenceName(rel),
		CanEdit: role.CanSign() && waits && open, CanDiscard: role.CanSign() && (waits || rel.State == relay.ReleaseIsPreparing),
		CanRevoke: role.CanRevoke() && rel.State == relay.ReleaseIsLive, CanExtend: role.CanSign() && open && rel.State == relay.ReleaseIsLive, CanPreview: rel.State == relay.ReleaseInReview || rel.State == relay.ReleaseIsLive && rel.Accessible(s.now()) == nil,
		Closed: !open,
	}
	if p.PreparedBy, err = s.memberName(ctx, rel.PreparedBy); err != nil {
		return err
	}
	if p.EndedBy, err = s.memberName(ctx, rel.EndedBy); err != nil {
		return err
	}
	for _, copy := range rel.Copies {
		p.Copies = append(p.Copies, templates.CopyView{
			ID: copy.ID, Recipient: recipientName(copy.Recipient), Address: recipientAddress(copy.Recipient), Size: copy.Bytes, SHA256: copy.SHA256,
			Video: "/releases/" + rel.ID + "/copies/" + copy.ID + "/video",
		})
	}
	if rel.State == relay.ReleaseInReview && rel.Proxy != "" {
		p.Original = "/releases/" + rel.ID + "/original/video"
	}
	if p.Summary, err = summary(templates.Spoken(ctx), rel); err != nil {
		return err
	}
	if rel.State == relay.ReleaseInReview {
		if p.NotBefore, err = s.frozen(ctx); err != nil {
			return err
		}
		open, err := rel.Exceptions()
		if err != nil {
			return err
		}
		if p.Uncovered, err = s.uncovered(ctx, open); err != nil {
			return err
		}
		if p.Quorum, err = s.quorum(ctx, rel, relay.QuorumOf(q, rel.Draft, camera, len(open)), member(c).ID, zone); err != nil {
			return err
		}
	}
	if p.CameraID = camera.ID; rel.State == relay.ReleaseInReview {
		p.Masked = rel.CheckMasks(camera.Masks) != nil
	}
	p.CanSign = !p.Masked && p.NotBefore == "" && (p.Quorum == nil || !p.Quorum.Mine) && role.CanSign() && rel.State == relay.ReleaseInReview && open && p.Summary != nil && len(p.Summary.Failed) == 0
	if p.Original != "" {
		p.Scripts = append(p.Scripts, "compare.js")
	}
	if p.CanEdit && rel.State == relay.ReleaseInReview {
		if p.Able, err = s.able(ctx); err != nil {
			return err
		}
		p.Edits, p.Scripts = "[]", append(p.Scripts, "draw.js", "editor.js")
		if len(rel.Draft.Edits) > 0 {
			p.Edits = string(rel.Draft.Edits)
		}
	}
	if p.CanEdit {
		if p.Form, err = s.draftForm(ctx, q, camera, &rel); err != nil {
			return err
		}
	}
	if rel.Grant != nil {
		if p.Words, err = relay.CheckWords(relay.GrantHash(rel.Grant), 4); err != nil {
			return err
		}
		p.GrantID, p.GrantHash = rel.GrantID, relay.GrantHash(rel.Grant)
		g, err := s.db.GrantOf(ctx, rel.ID)
		if err != nil {
			return err
		}
		if p.SignedBy, err = s.signedBy(ctx, g); err != nil {
			return err
		}
		if p.Leases, err = s.leases(ctx, rel); err != nil {
			return err
		}
	}
	if err := s.answered(ctx, rel, zone, &p); err != nil {
		return err
	}
	if p.Log, err = s.history(ctx, zone, rel.ID); err != nil {
		return err
	}
	return page(c, "release", p)
}

// answered says what the agency answered to the end of a release.
func (s *Server) answered(ctx context.Context, rel relay.Release, zone *time.Location, p *templates.Release) error {
	a, err := s.db.AcknowledgementOf(ctx, rel.ID)
	if err != nil && !errors.Is(err, relay.ErrNotFound) {
		return err
	}
	p.Acknowledged = in(a.CreatedAt, zone)
	said, err := s.db.AttestationsOf(ctx, rel.ID)
	if len(said) > 0 {
		p.Destroyed = said[len(said)-1].CreatedAt.In(zone)
	}
	return err
}

// signedBy names all who signed a grant.
func (s *Server) signedBy(ctx context.Context, g storage.GrantRecord) (string, error) {
	earlier, err := s.db.Approvals(ctx, g.ReleaseID)
	if err != nil {
		return "", err
	}
	var names []string
	for _, a := range earlier {
		name, err := s.memberName(ctx, a.MemberID)
		if err != nil {
			return "", err
		}
		names = append(names, name)
	}
	name, err := s.memberName(ctx, g.MemberID)
	return strings.Join(append(names, name), templates.Spoken(ctx).T(" and ")), err
}

// summary puts what the redactor reports into words.
func summary(l templates.Lang, rel relay.Release) (*templates.Summary, error) {
	if len(rel.Summary) == 0 {
		return nil, nil
	}
	var v relay.Summary
	if err := json.Unmarshal(rel.Summary, &v); err != nil {
		return nil, fmt.Errorf("release %s: its summary is damaged: %w", rel.ID, err)
	}
	out := &templates.Summary{
		Frames: v.Frames, FPS: v.FPS, Width: v.Width, Height: v.Height, Length: rel.Draft.To.Sub(rel.Draft.From),
		Uncovered: v.Tracks["uncovered"], Faces: v.Tracks["face"], Plates: v.Tracks["plate"], Areas: v.Tracks["mask"] + v.Tracks["manual"] + v.Tracks["edit"],
	}
	for _, g := range v.Gates {
		if g.OK {
			out.Passed++
		} else {
			out.Failed = append(out.Failed, templates.FailedCheck{Name: g.Name, Detail: g.Detail})
		}
	}
	for _, d := range v.Findings {
		if d.Why == "gate" {
			continue // stands among the failed checks
		}
		out.Doubts = append(out.Doubts, templates.Moment{At: d.At, Kind: doubtKind(d.Kind), Why: doubtWhy(d.Why)})
	}
	count := map[string]int{}
	for _, t := range v.Spans {
		count[t.Kind]++
		lane := templates.Lane{Name: laneName(t.Kind), Number: count[t.Kind], From: t.From, To: t.To, Sure: sureWords[t.Sure], Open: t.Open}
		if len(t.Keys) > 0 {
			places, err := json.Marshal(t.Keys)
			if err != nil {
				return nil, err
			}
			lane.Track, lane.Places = t.ID, string(places)
		}
		for _, d := range v.Findings {
			if d.Kind == t.Kind && d.At >= t.From && d.At <= t.To {
				lane.Doubts = append(lane.Doubts, d.At)
			}
		}
		out.Lanes = append(out.Lanes, lane)
	}
	out.Masks = maskNames(v.Masks)
	for _, name := range out.Masks {
		out.Lanes = append(out.Lanes, templates.Lane{Name: l.T("Mask: %s", name), To: out.Seconds(), Sure: "of the camera, in every picture"})
	}
	for _, n := range v.Tracks {
		out.MoreLanes += n
	}
	out.MoreLanes -= len(v.Spans) + v.Tracks["mask"]
	return out, nil
}

func laneName(kind string) string {
	switch kind {
	case "face":
		return "Face"
	case "plate":
		return "Plate"
	}
	return "Drawn by you"
}

// sureWords say how well the detectors saw something at its best moment.
var sureWords = map[string]string{"clear": "seen clearly", "fair": "seen fairly well", "faint": "seen faintly", "": "as you drew it"}

func doubtKind(kind string) string {
	switch kind {
	case "face":
		return "A face"
	case "plate":
		return "A number plate"
	case "edit":
		return "What you drew"
	}
	return "The picture"
}

var doubtWords = map[string]string{
	"weak":      "seen with little certainty",
	"lost":      "lost sight of in the middle of the picture",
	"visible":   "a second look may still see it",
	"dark":      "too dark to be sure that nothing was missed",
	"blurred":   "too blurred to be sure that nothing was missed",
	"disagree":  "one detector saw it, another did not",
	"uncovered": "left visible; look that nothing else shows in its place",
	"excepted":  "a second look sees something in what was left visible",
	"unmatched": "what was to be left visible was not found again, so it is hidden",
}

// doubtWhy puts a finding's reason into words; a reason that is a sentence already stays.
func doubtWhy(why string) string {
	if w, ok := doubtWords[why]; ok {
		return w
	}
	return why
}

// memberName is what a member is called, also one who has left; other actors have names of
// their own.
func (s *Server) memberName(ctx context.Context, id string) (string, error) {
	switch id {
	case "", "relay", "command line":
		return id, nil
	}
	m, err := s.db.Member(ctx, id)
	if errors.Is(err, relay.ErrNotFound) {
		return templates.Spoken(ctx).T("someone who has left the home"), nil
	}
	return m.Name, err
}

// ReleaseState serves GET /releases/:id/state: how far preparing is, for the page that waits.
func (s *Server) ReleaseState(c *gin.Context) error {
	rel, err := s.db.Release(c.Request.Context(), c.Param("id"))
	if err != nil {
		return err
	}
	links, err := s.db.LinksOf(c.Request.Context(), rel.ID)
	if err != nil {
		return err
	}
	views := 0
	for _, l := range links {
		views += l.ViewsUsed
	}
	c.JSON(200, gin.H{"state": rel.State, "progress": rel.Progress, "round": rel.Round, "views": views})
	return nil
}

// Edit handles POST /releases/:id/edit with a [draft]: the release is prepared anew.
func (s *Server) Edit(c *gin.Context) error {
	ctx := c.Request.Context()
	var f draft
	if err := form(c, &f); err != nil {
		return err
	}
	rel, err := s.db.Release(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	q, err := s.db.Request(ctx, rel.RequestID)
	if err != nil {
		return err
	}
	clip, err := s.db.Clip(ctx, rel.ClipID)
	if err != nil {
		return err
	}
	d, err := s.draft(ctx, f, q, clip)
	if err != nil {
		return err
	}
	if f.Edits == nil {
		f.Edits = rel.Draft.Edits
	}
	if f.Edits, err = rel.Except(f.Edits, member(c).ID); err != nil {
		return err
	}
	if err := d.Redraw(f.Edits, rel.Draft.From); err != nil {
		return err
	}
	if err := s.db.EditRelease(ctx, rel.ID, d, member(c).ID, s.now()); err != nil {
		return err
	}
	s.media.Cut(rel.ID)
	return follow(c, "/releases/"+rel.ID)
}

// Discard handles POST /releases/:id/discard.
func (s *Server) Discard(c *gin.Context) error {
	rel, err := s.db.Release(c.Request.Context(), c.Param("id"))
	if err != nil {
		return err
	}
	if err := s.db.DiscardRelease(c.Request.Context(), rel.ID, member(c).ID, s.now()); err != nil {
		return err
	}
	s.media.Cut(rel.ID)
	return follow(c, "/requests/"+rel.RequestID)
}

// Revoke handles POST /releases/:id/revoke {"reason"}: access is over when this answers.
func (s *Server) Revoke(c *gin.Context) error {
	var f struct {
		Reason string `json:"reason"`
	}
	if err := form(c, &f); err != nil {
		return err
	}
	id := c.Param("id")
	if err := s.db.RevokeRelease(c.Request.Context(), id, member(c).ID, strings.TrimSpace(f.Reason), s.now()); err != nil {
		return err
	}
	s.media.Cut(id)
	return follow(c, "/releases/"+id)
}

// RevokeLink handles POST /links/:id/revoke: one recipient's access ends, others keep theirs.
func (s *Server) RevokeLink(c *gin.Context) error {
	ctx, id := c.Request.Context(), c.Param("id")
	l, err := s.db.Link(ctx, id)
	if err != nil {
		return err
	}
	if err := s.db.RevokeLink(ctx, id, member(c).ID, s.now()); err != nil {
		return err
	}
	s.media.CutLink(id)
	return follow(c, "/releases/"+l.ReleaseID)
}

// evidenceName is the file name of a release's evidence.
func evidenceName(rel relay.Release) string {
	return "cliplease-evidence-" + rel.ID + ".zip"
}

// accessible says whether a member may still watch the copies of a release.
func accessible(rel relay.Release, now time.Time) error {
	if rel.State == relay.ReleaseInReview {
		return nil
	}
	return rel.Accessible(now)
}
