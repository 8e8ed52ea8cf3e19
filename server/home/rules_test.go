package home_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/test/house"
)

// judged files a request and lets the rules look at it, as the worker does.
func judged(h *house.House, change func(*relay.Claims)) relay.Request {
	h.T.Helper()
	q, err := h.Store.DB.JudgeRequest(h.T.Context(), h.Request(start(h), change).ID, h.Now())
	if err != nil {
		h.T.Fatal(err)
	}
	return q
}

// TestRules: rules are added by form and by hand, checked at once, tried on what has come,
// and bind what can be released.
func TestRules(t *testing.T) {
	h, p, clip, _ := furnished(t)
	p.page("/rules").says("There are no rules yet", "Never for immigration enforcement", "Write a rule")
	for path, in := range map[string]map[string]any{
		"/rules":         {"preset": "nothing"},
		"/rules/by-hand": {"name": "Mine", "when": "req.porpoise.code == \"x\"", "effect": "stop"},
		"/rules/try":     {"when": "req.purpose.code"},
	} {
		p.post(path, in).want(422)
	}
	p.post("/rules/by-hand", map[string]any{"name": "Mine", "when": `req.agency.levle == "x"`, "effect": "stop"}).refused("when")
	p.post("/rules", map[string]any{"preset": "systems", "then": "stop", "systems": ""}).refused("systems")

	tried := p.post("/rules/try", map[string]any{"when": `req.purpose.code == "burglary"`}).want(200)
	if got := string(tried.raw("tried")); got != "1" || !strings.Contains(string(tried.raw("matches")), "EPD-2026-0417") {
		t.Errorf("tried on %s requests: %s", got, tried.body)
	}
	p.post("/rules", map[string]any{"preset": "immigration", "then": "stop"}).want(200)
	p.post("/rules", map[string]any{"preset": "limit", "minutes": "1", "views": "3", "days": "2"}).want(200)
	p.post("/rules/by-hand", map[string]any{"name": "Old cases", "when": `req.case.opened < "2026-11-10"`, "effect": "hold", "full_redaction": true, "label": "left out"}).want(200)
	p.post("/rules/by-hand", map[string]any{"name": "Broken later", "when": `req.to.count == 2 && dyn(req).nothing`, "effect": "label", "label": "x"}).want(200)
	p.page("/rules").says("Give at most 1 minute, 3 views, 2 days", "Old cases", "Faces and plates are hidden by solid colour.")

	stopped := judged(h, func(c *relay.Claims) { c.Onward.Policy, c.Onward.Immigration = "law_only", true })
	if stopped.State != relay.RequestClosed || stopped.AgencyView(h.Now()).State != "pending" {
		t.Errorf("the request is %s, its agency sees %+v", stopped.State, stopped.AgencyView(h.Now()))
	}
	p.page("/").silent("/requests/" + stopped.ID)
	p.page("/requests/"+stopped.ID).says("Stopped by a rule", "Never for immigration enforcement: stops it").silent("Prepare a release")

	q := judged(h, nil)
	p.page("/requests/"+q.ID).says("Held by your rules", "Old cases: holds it", relay.RuleFailed, "Broken later: could not be evaluated", "At most 1 minute of footage")
	prepare := func(change func(map[string]any)) answer {
		return p.post("/requests/"+q.ID+"/prepare", draftOf(clip, func(d map[string]any) {
			d["max_views"], d["style"], d["confirmed"] = 3, "solid", true
			if change != nil {
				change(d)
			}
		}))
	}
	prepare(func(d map[string]any) { d["confirmed"] = false }).refused("confirmed")
	prepare(func(d map[string]any) { d["style"] = "blur" }).refused("style")
	prepare(func(d map[string]any) { d["max_views"] = 4 }).refused("max_views")
	prepare(func(d map[string]any) { d["hours"] = 49 }).refused("hours")
	to := prepare(nil).want(200).text("location")
	rel := h.Work(strings.TrimPrefix(to, "/releases/"), nil)
	p.post(to+"/edit", draftOf(clip, func(d map[string]any) { d["style"], d["confirmed"], d["max_views"] = "solid", true, 5 })).refused("max_views")

	// What is changed later widens nothing.
	rules, err := h.Store.DB.Rules(t.Context())
	p.ok(err)
	for _, r := range rules {
		p.post("/rules/"+r.ID+"/switch", map[string]any{"on": true}).want(409)
		p.post("/rules/"+r.ID+"/switch", map[string]any{"on": false}).want(200)
		p.post("/rules/"+r.ID+"/remove", struct{}{}).want(200)
		p.post("/rules/"+r.ID+"/remove", struct{}{}).want(409)
	}
	p.post(to+"/edit", draftOf(clip, func(d map[string]any) { d["style"], d["confirmed"], d["max_views"] = "solid", true, 5 })).refused("max_views")
	p.approve(rel.ID)
	p.page("/activity").says("added a rule.", "switched a rule off.", "removed a rule.", "A rule stopped a request.", "The rules looked at a request.")
}

// TestUnjudged: a release is never prepared before the rules have looked, also when the worker
// has not come to it yet.
func TestUnjudged(t *testing.T) {
	h, p, clip, q := furnished(t)
	p.post("/rules", map[string]any{"preset": "local_only", "then": "hold"}).want(200)
	p.post("/rules/by-hand", map[string]any{"name": "All", "when": "true", "effect": "hold", "key_only": true}).want(200)
	p.post("/requests/"+q.ID+"/prepare", draftOf(clip, nil)).refused("confirmed")
	p.post("/requests/"+q.ID+"/prepare", draftOf(clip, func(d map[string]any) { d["confirmed"] = true })).refused("recipients")
	mute := map[string]any{"preset": "mute", "agency": h.Agency.ID}
	p.post("/rules", mute).want(200)
	p.post("/requests/"+q.ID+"/prepare", draftOf(clip, func(d map[string]any) { d["confirmed"] = true })).want(409)
}

// TestEmergency: nothing is prepared before the agency was called, what is given is small and
// short, and the basis that it owes is waited for.
func TestEmergency(t *testing.T) {
	h, p, clip, _ := furnished(t)
	urgent := func(c *relay.Claims) {
		c.Lane, c.LegalBasis = relay.LaneExigent, relay.LegalBasis{Kind: relay.BasisExigent, Citation: "danger to life"}
		c.RespondBy = h.Now().Add(24 * time.Hour)
	}
	q := judged(h, urgent)
	p.page("/requests/"+q.ID).says("Call them first", h.Agency.Phone, "at most 15 minutes of footage, for at most 72 hours").silent("+1 555 0199")
	p.post("/requests/"+q.ID+"/prepare", draftOf(clip, nil)).refused("")
	p.post("/requests/"+q.ID+"/called", map[string]any{"note": "ok"}).refused("note")
	p.post("/requests/"+q.ID+"/called", map[string]any{"note": "Sgt. Ortiz at the desk knew of the case."}).want(200)
	p.post("/requests/"+q.ID+"/called", map[string]any{"note": "Sgt. Ortiz at the desk knew of the case."}).want(409)
	p.post("/requests/"+q.ID+"/prepare", draftOf(clip, func(d map[string]any) { d["hours"] = 73 })).refused("hours")
	p.post("/requests/"+q.ID+"/prepare", draftOf(clip, nil)).want(200)
	p.page("/requests/"+q.ID).says("You called them", "Sgt. Ortiz at the desk knew of the case.")
}

// TestOrder: what claims to be a court's order is told as such, is stopped by no rule, and
// keeps its footage until a member lifts the hold.
func TestOrder(t *testing.T) {
	h, p, clip, _ := furnished(t)
	p.post("/rules", map[string]any{"preset": "mute", "agency": h.Agency.ID}).want(200)
	q := judged(h, func(c *relay.Claims) {
		c.Lane = relay.LaneLegalProcess
		c.LegalBasis = relay.LegalBasis{Kind: relay.BasisCourtOrder, Citation: "4th District, 26-CV-17", DocumentSHA256: strings.Repeat("ab", 32), Compulsory: true}
	})
	p.page("/requests/"+q.ID).says("You may be obliged", "Talk to a lawyer", "recorded as compelled, never as your consent", relay.LabelNotStopped, "This footage is kept")
	other := h.Clip(start(h).Add(time.Hour)) // another time
	p.page("/clips").says("under a legal hold", "until the hold is lifted")
	p.page("/clips").silent("in 1 release")
	p.post("/clips/"+other.ID+"/dispose", struct{}{}).want(200)
	p.post("/clips/"+clip.ID+"/dispose", struct{}{}).refused("")
	p.post("/requests/"+q.ID+"/hold/lift", map[string]any{"reason": "no"}).refused("reason")
	p.post("/requests/"+q.ID+"/hold/lift", map[string]any{"reason": "The court withdrew its order on Monday."}).want(200)
	p.post("/requests/"+q.ID+"/hold/lift", map[string]any{"reason": "The court withdrew its order on Monday."}).want(409)
	p.page("/clips").silent("under a legal hold")
	p.page("/requests/"+q.ID).says("The hold was lifted", "The court withdrew its order on Monday.")
	p.post("/clips/"+clip.ID+"/dispose", struct{}{}).want(200)
	p.page("/activity").says("An order put footage under a legal hold.", "lifted a legal hold.")
}

// TestLedger: what repeats or widens an earlier request is shown beside it.
func TestLedger(t *testing.T) {
	h, p, _, first := furnished(t)
	p.page("/requests/"+first.ID).silent("asked before", "Asked before")
	h.Pass(time.Minute)
	second := judged(h, func(c *relay.Claims) {
		c.Scope.To, c.Scope.MaxDuration, c.Onward.Policy, c.Onward.Federal = c.Scope.To.Add(time.Hour), 120, "law_only", true
	})
	p.page("/requests/"+second.ID).says("This was asked before", "The same case.", "Part of the same footage.", "The new request asks for more: a longer time, more footage, passing it on.",
		"In 30 days this agency has asked 2 times for this camera, for 3 minutes of footage together.")
	p.page("/requests/" + first.ID).silent("asked before")
	for i := range 12 {
		h.Pass(time.Minute)
		judged(h, func(c *relay.Claims) { c.Case.Ref = fmt.Sprint("OTHER-", i) })
	}
	p.page("/requests/" + second.ID).says("This was asked before")
}
