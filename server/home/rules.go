package home

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"cliplease/relay"
	"cliplease/templates"

	"github.com/gin-gonic/gin"
)

// Rules serves GET /rules: the home's standing rules, and the forms that add one.
func (s *Server) Rules(c *gin.Context) error {
	ctx := c.Request.Context()
	rules, err := s.db.Rules(ctx)
	if err != nil {
		return err
	}
	hits, err := s.hits(ctx)
	if err != nil {
		return err
	}
	p := templates.Rules{Layout: s.layout(c, "rules", "Rules", "rules.js"), Fields: ruleFields}
	for _, r := range rules {
		p.Rules = append(p.Rules, templates.RuleRow{ID: r.ID, Name: r.Name, Does: does(templates.Spoken(ctx), r.Effect), When: r.When, ByHand: r.Preset == "", On: r.On, Hits: hits[r.ID]})
	}
	for _, preset := range relay.Presets() {
		f := templates.PresetForm{ID: preset.ID, Name: preset.Name, About: presetWords[preset.ID], Choose: preset.Choose}
		for _, x := range preset.Fields {
			f.Fields = append(f.Fields, templates.PresetField(x))
		}
		p.Presets = append(p.Presets, f)
	}
	agencies, err := s.db.Agencies(ctx)
	if err != nil {
		return err
	}
	for _, a := range agencies {
		p.Agencies = append(p.Agencies, templates.Option{Value: a.ID, Words: a.Name})
	}
	for h := range 24 {
		p.Hours = append(p.Hours, templates.Option{Value: fmt.Sprint(h), Words: fmt.Sprintf("%02d:00", h)})
	}
	return page(c, "rules", p)
}

// hits counts on how many of the latest requests each rule had an effect.
func (s *Server) hits(ctx context.Context) (map[string]int, error) {
	all, err := s.db.Requests(ctx, "", 500)
	out := map[string]int{}
	for _, q := range all {
		for _, f := range q.Verdict.Findings {
			out[f.Rule]++
		}
	}
	return out, err
}

// AddRule handles POST /rules: a rule by one of the forms.
func (s *Server) AddRule(c *gin.Context) error {
	var f struct {
		Preset  string `json:"preset"`
		Then    string `json:"then"`
		Systems string `json:"systems"`
		Words   string `json:"words"`
		Label   string `json:"label"`
		Minutes string `json:"minutes"`
		Views   string `json:"views"`
		Days    string `json:"days"`
		From    string `json:"from"`
		To      string `json:"to"`
		Agency  string `json:"agency"`
	}
	if err := form(c, &f); err != nil {
		return err
	}
	ctx := c.Request.Context()
	r, err := relay.PresetRule(f.Preset, map[string]string{
		"systems": f.Systems, "words": f.Words, "label": f.Label, "minutes": f.Minutes, "views": f.Views, "days": f.Days, "from": f.From, "to": f.To, "agency": f.Agency,
	}, relay.EffectKind(f.Then), s.zone(ctx).String())
	if err != nil {
		return err
	}
	return s.addRule(c, r)
}

// AddRuleByHand handles POST /rules/by-hand: a rule whose condition is written in CEL.
func (s *Server) AddRuleByHand(c *gin.Context) error {
	var f struct {
		Name          string `json:"name"`
		When          string `json:"when"`
		Effect        string `json:"effect"`
		Quorum        int    `json:"quorum"`
		KeyOnly       bool   `json:"key_only"`
		FullRedaction bool   `json:"full_redaction"`
		MaxMinutes    int    `json:"max_minutes"`
		MaxViews      int    `json:"max_views"`
		MaxDays       int    `json:"max_days"`
		Label         string `json:"label"`
	}
	if err := form(c, &f); err != nil {
		return err
	}
	r := relay.Rule{Name: strings.TrimSpace(f.Name), When: strings.TrimSpace(f.When), On: true, Effect: relay.Effect{Kind: relay.EffectKind(f.Effect)}}
	switch r.Effect.Kind { // the form sends every field; what belongs to other effects is left out
	case relay.EffectHold:
		r.Effect.Quorum, r.Effect.KeyOnly, r.Effect.FullRedaction = f.Quorum, f.KeyOnly, f.FullRedaction
	case relay.EffectCap:
		r.Effect.MaxMinutes, r.Effect.MaxViews, r.Effect.MaxDays = f.MaxMinutes, f.MaxViews, f.MaxDays
	case relay.EffectLabel:
		r.Effect.Label = strings.TrimSpace(f.Label)
	case relay.EffectStop, relay.EffectQuiet:
	}
	return s.addRule(c, r)
}

func (s *Server) addRule(c *gin.Context, r relay.Rule) error {
	r.ID = "rule-" + relay.NewID()
	if err := s.db.AddRule(c.Request.Context(), r, member(c).ID, s.now()); err != nil {
		return err
	}
	return follow(c, "/rules")
}

// TryRule handles POST /rules/try {"when"}: on which of the requests that have come a
// condition would have held. Nothing is stored.
func (s *Server) TryRule(c *gin.Context) error {
	var f struct {
		When string `json:"when"`
	}
	if err := form(c, &f); err != nil {
		return err
	}
	ctx := c.Request.Context()
	probe := relay.Rule{Name: "try", When: strings.TrimSpace(f.When), Effect: relay.Effect{Kind: relay.EffectStop}}
	if err := probe.Validate(ctx); err != nil {
		return err
	}
	const most = 100
	all, err := s.db.Requests(ctx, "", most)
	if err != nil {
		return err
	}
	matches, failed := []gin.H{}, 0
	for _, q := range all {
		facts, err := s.db.Facts(ctx, q)
		if err != nil {
			return err
		}
		match, err := relay.Matches(ctx, probe.When, facts, q.ReceivedAt)
		if err != nil {
			failed++
		}
		if !match {
			continue
		}
		matches = append(matches, gin.H{"location": "/requests/" + q.ID, "words": fmt.Sprintf("%s, case %s, %s", facts.Agency.Name, q.Claims.Case.Ref, in(q.ReceivedAt, s.zone(ctx)).Format("2 January 2006"))})
	}
	c.JSON(http.StatusOK, gin.H{"tried": len(all), "matches": matches, "failed": failed})
	return nil
}

// SwitchRule handles POST /rules/:id/switch {"on"}.
func (s *Server) SwitchRule(c *gin.Context) error {
	var f struct {
		On bool `json:"on"`
	}
	if err := form(c, &f); err != nil {
		return err
	}
	if err := s.db.SwitchRule(c.Request.Context(), c.Param("id"), f.On, member(c).ID, s.now()); err != nil {
		return err
	}
	return follow(c, "/rules")
}

// RemoveRule handles POST /rules/:id/remove.
func (s *Server) RemoveRule(c *gin.Context) error {
	if err := s.db.RemoveRule(c.Request.Context(), c.Param("id"), member(c).ID, s.now()); err != nil {
		return err
	}
	return follow(c, "/rules")
}

// CalledBack handles POST /requests/:id/called {"note"}: a member called the agency about an
// emergency, on the number that the home registered.
func (s *Server) CalledBack(c *gin.Context) error {
	var f struct {
		Note string `json:"note"`
	}
	if err := form(c, &f); err != nil {
		return err
	}
	err := s.db.UpdateRequest(c.Request.Context(), c.Param("id"), func(q *relay.Request) (relay.Event, error) {
		return q.CallBack(member(c).ID, strings.TrimSpace(f.Note), s.now())
	})
	if err != nil {
		return err
	}
	return follow(c, "/requests/"+c.Param("id")+"#prepare")
}

// LiftHold handles POST /requests/:id/hold/lift {"reason"}: the footage need not be kept for
// the order any more.
func (s *Server) LiftHold(c *gin.Context) error {
	var f struct {
		Reason string `json:"reason"`
	}
	if err := form(c, &f); err != nil {
		return err
	}
	if err := s.db.LiftHold(c.Request.Context(), c.Param("id"), member(c).ID, strings.TrimSpace(f.Reason), s.now()); err != nil {
		return err
	}
	return follow(c, "/requests/"+c.Param("id"))
}

// holdReasons says why the rules hold a request, to a member who confirms it.
func holdReasons(l templates.Lang, v relay.Verdict) (out []string) {
	for _, f := range v.Findings {
		if f.Effect == relay.EffectHold || f.Effect == relay.EffectStop || f.Failed {
			out = append(out, f.Name+": "+l.T(findingWords(f)))
		}
	}
	return append(out, termWords(l, v)...)
}

// terms says what the rules and the lane of a request leave.
func (s *Server) terms(ctx context.Context, q relay.Request, p *templates.Request) error {
	t := q.Terms()
	p.Held = q.Verdict.Hold
	for _, f := range q.Verdict.Findings {
		if f.Rule == "relay" {
			continue // shown as a label
		}
		p.Findings = append(p.Findings, templates.Finding{Name: f.Name, Does: findingWords(f), Failed: f.Failed})
	}
	p.Terms = termWords(templates.Spoken(ctx), q.Verdict)
	if q.Claims.Lane == relay.LaneExigent {
		p.CallBack, p.CalledAt, p.CallNote = t.CallBack, q.CalledAt, q.CallNote
		p.ExigentMinutes, p.ExigentHours = int(relay.ExigentMaxWindow.Minutes()), int(relay.ExigentMaxLease.Hours())
	}
	h, err := s.db.HoldOf(ctx, q.ID)
	switch {
	case errors.Is(err, relay.ErrNotFound):
	case err != nil:
		return err
	default:
		p.Hold = &templates.Hold{Placed: h.PlacedAt, Lifted: h.LiftedAt, Reason: h.Reason}
		if p.Hold.LiftedBy, err = s.memberName(ctx, h.LiftedBy); err != nil {
			return err
		}
	}
	return nil
}

// ledger sets a request beside the earlier ones that bear on it.
func (s *Server) ledger(ctx context.Context, q relay.Request, p *templates.Request) error {
	all, err := s.db.Requests(ctx, "", 500)
	if err != nil {
		return err
	}
	const most = 10
	l := relay.NewLedger(q, all)
	p.Widens = l.Widens()
	p.LedgerWords = ledgerWords(templates.Spoken(ctx), l)
	for _, line := range l.Lines[:min(len(l.Lines), most)] {
		card, err := s.card(ctx, line.Request)
		if err != nil {
			return err
		}
		p.Ledger = append(p.Ledger, templates.LedgerLine{RequestCard: card, Relations: relationWords(templates.Spoken(ctx), line)})
	}
	if f, owed := q.FollowUp(all, s.now()); owed {
		p.FollowUp = &templates.FollowUp{Due: f.Due, Breached: f.Breached}
		if f.Request != "" {
			p.FollowUp.Link = "/requests/" + f.Request
		}
	}
	return nil
}
