package home

import (
	"context"
	"slices"
	"time"

	"cliplease/relay"
	"cliplease/templates"

	"github.com/gin-gonic/gin"
)

// liveLease is what changes about a lease while a member looks at the list, in words.
type liveLease struct {
	ID       string   `json:"id"`
	Name     string   `json:"name"`
	Watched  string   `json:"watched"`
	Watching bool     `json:"watching"` // may be watching now
	Views    []string `json:"views"`
}

// Leases serves GET /leases: every lease that runs, for the list that updates by itself. Mark changes
// with what a member has to load the page for: a release that began or ended, a lease that was revoked,
// or somebody who asked for more time.
func (s *Server) Leases(c *gin.Context) error {
	ctx := c.Request.Context()
	live, err := s.db.Releases(ctx, 200, relay.ReleaseIsLive)
	if err != nil {
		return err
	}
	out := struct {
		Mark   string      `json:"mark"`
		Leases []liveLease `json:"leases"`
	}{Leases: []liveLease{}}
	var all []templates.LiveRelease
	for _, rel := range live {
		leases, err := s.leases(ctx, rel)
		if err != nil {
			return err
		}
		all = append(all, templates.LiveRelease{ReleaseRow: templates.ReleaseRow{ID: rel.ID}, Leases: leases})
		for _, l := range leases {
			row := liveLease{ID: l.LinkID, Name: l.Recipient, Watched: l.Watched(templates.Spoken(ctx)), Views: []string{}}
			for _, v := range l.Views {
				row.Watching = row.Watching || l.Live && v.End.IsZero()
				row.Views = append(row.Views, v.Words(templates.Spoken(ctx)))
			}
			out.Leases = append(out.Leases, row)
		}
	}
	out.Mark = templates.LiveMark(all)
	c.JSON(200, out)
	return nil
}

// Extend handles POST /releases/:id/extend {"hours","link"}: a release of the same scope that ends later
// is prepared, for the recipient of one link or, without one, for all whose lease runs. It is looked at and
// signed like any other.
func (s *Server) Extend(c *gin.Context) error {
	var f struct {
		Hours int    `json:"hours"`
		Link  string `json:"link"`
	}
	if err := form(c, &f); err != nil {
		return err
	}
	if f.Hours < 1 || f.Hours > int(relay.MaxLease.Hours()) {
		return relay.Invalid("hours", "Give 1 hour to %d days more.", int(relay.MaxLease.Hours()/24))
	}
	ctx := c.Request.Context()
	rel, err := s.db.Release(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	q, err := s.db.Request(ctx, rel.RequestID)
	if err != nil {
		return err
	}
	if !q.Open(s.now()) {
		return relay.Invalid("", "The request that this rests on is closed, so it cannot be extended. The agency has to ask again.")
	}
	links, err := s.db.LinksOf(ctx, rel.ID)
	if err != nil {
		return err
	}
	var to []relay.Recipient
	for _, l := range links {
		i := slices.IndexFunc(rel.Copies, func(x relay.Copy) bool { return x.ID == l.CopyID })
		if i >= 0 && l.Playable(rel, s.now()) == nil && (f.Link == "" || f.Link == l.ID) {
			to = append(to, rel.Copies[i].Recipient)
		}
	}
	if len(to) == 0 {
		return relay.Invalid("", "Nobody has this lease any more, so there is nothing to extend.")
	}
	d, err := rel.Extension(to, time.Duration(f.Hours)*time.Hour, s.now())
	if err != nil {
		return err
	}
	longer, err := s.db.PrepareRelease(ctx, q.ID, rel.ClipID, d, member(c).ID, s.now())
	if err != nil {
		return err
	}
	return follow(c, "/releases/"+longer.ID)
}

// extendable reports whether the request that a release rests on is still open.
func (s *Server) extendable(ctx context.Context, rel relay.Release) bool {
	q, err := s.db.Request(ctx, rel.RequestID)
	return err == nil && q.Open(s.now())
}
