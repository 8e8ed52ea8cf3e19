package home

import (
	"strings"

	"cliplease/relay"
	"cliplease/templates"

	"github.com/gin-gonic/gin"
)

// History serves GET /history?agency=ID and, for one case of it, …&case=REF: what an agency asked for
// over time, what the rules said, what the home answered, and who watched what was released.
func (s *Server) History(c *gin.Context) error {
	ctx, ref := c.Request.Context(), c.Query("case")
	a, err := s.db.Agency(ctx, c.Query("agency"))
	if err != nil {
		return err
	}
	all, err := s.db.RequestsOf(ctx, a.ID)
	if err != nil {
		return err
	}
	zone := s.zone(ctx)
	p := templates.History{Layout: s.layout(c, "agencies", templates.Spoken(ctx).T("History of %s", a.Name)), Agency: a.Name, AgencyID: a.ID, Case: ref}
	p.Verified, p.Tone = verified(templates.Spoken(ctx), a, s.now(), zone)
	if ref != "" {
		p.Title = "Case " + ref + ", " + a.Name
	}
	seen := map[string]bool{}
	for _, q := range all {
		if name := strings.ToLower(q.Claims.Case.Ref); !seen[name] {
			seen[name] = true
			p.Cases = append(p.Cases, q.Claims.Case.Ref)
		}
		if ref != "" && !strings.EqualFold(ref, q.Claims.Case.Ref) {
			continue
		}
		row := templates.Asked{}
		if row.RequestCard, err = s.card(ctx, q); err != nil {
			return err
		}
		for _, f := range q.Verdict.Findings {
			if f.Rule == "relay" {
				continue // shown as a label
			}
			row.Findings = append(row.Findings, templates.Finding{Name: f.Name, Does: findingWords(f), Failed: f.Failed})
		}
		releases, err := s.db.ReleasesOf(ctx, q.ID)
		if err != nil {
			return err
		}
		for _, rel := range releases {
			made := templates.Made{}
			if made.ReleaseRow, err = s.row(ctx, rel); err != nil {
				return err
			}
			if !rel.GrantedAt.IsZero() {
				p.Released++
				p.Watched += made.Views
				if made.Leases, err = s.leases(ctx, rel); err != nil {
					return err
				}
			}
			row.Made = append(row.Made, made)
		}
		p.Stopped += stopped(q)
		p.Asked = append(p.Asked, row)
	}
	if ref != "" && len(p.Asked) == 0 {
		return relay.ErrNotFound
	}
	return page(c, "history", p)
}

// stopped is 1 for a request that a rule stopped or held.
func stopped(q relay.Request) int {
	if q.Reason == relay.ClosedByRule || q.Verdict.Hold {
		return 1
	}
	return 0
}
