package view

import (
	"net/http"
	"strings"

	"cliplease/relay"
	"cliplease/templates"

	"github.com/gin-gonic/gin"
)

// Transparency handles GET /transparency: what agencies asked, late and in round numbers, where
// the home chose to say it.
func (s *Server) Transparency(c *gin.Context) error {
	if !s.open {
		return relay.ErrNotFound
	}
	now := s.now()
	var halves []templates.TransparencyHalf
	for h := relay.LatestHalf(now); len(halves) < 2; h = h.Before() {
		all, err := s.store.DB.AskedIn(c.Request.Context(), h, now)
		if err != nil {
			return err
		}
		t, err := relay.NewTransparency(s.site.Name, h, all, now)
		if err != nil {
			return err
		}
		halves = append(halves, inWords(h, t))
	}
	return page(c, http.StatusOK, "view_transparency", templates.NewViewTransparency(s.site.Name, halves))
}

// inWords is a report for a person.
func inWords(h relay.Half, t relay.Transparency) templates.TransparencyHalf {
	rows := func(in []relay.TransparencyRow, name func(string) string) (out []templates.TransparencyRow) {
		for _, r := range in {
			out = append(out, templates.TransparencyRow{Name: name(r.Name), Asked: number(r.Asked), Released: number(r.Released), NotReleased: number(r.NotReleased)})
		}
		return out
	}
	return templates.TransparencyHalf{
		From: h.From(), To: h.To().AddDate(0, 0, -1), All: rows([]relay.TransparencyRow{t.All}, func(string) string { return "All requests" })[0],
		Lanes: rows(t.Lanes, laneName), Purposes: rows(t.Purposes, func(s string) string {
			s = strings.ReplaceAll(s, "_", " ")
			return strings.ToUpper(s[:1]) + s[1:]
		}),
		Made: number(t.Releases.Made), Narrowed: number(t.Releases.Narrowed), Revoked: number(t.Releases.Revoked), Expired: number(t.Releases.Expired), Median: t.Releases.MedianMinutes,
		DestroyedAsked: number(t.Destroyed.Asked), Destroyed: number(t.Destroyed.Received), BasisMissed: number(t.BasisMissed),
	}
}

// number writes a bucket with the dash that numbers have.
func number(b relay.Bucket) string { return strings.ReplaceAll(string(b), "-", "–") }

func laneName(lane string) string {
	switch relay.Lane(lane) {
	case relay.LaneLegalProcess:
		return "With a court's document"
	case relay.LaneExigent:
		return "As an emergency"
	default:
		return "As a favour"
	}
}
