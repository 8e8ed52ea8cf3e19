package storage

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cliplease/relay"
)

// files stores a request changed by change.
func (h *home) files(change func(*relay.Claims)) relay.Request {
	h.t.Helper()
	c := h.claims()
	change(&c)
	q, e := relay.ReceiveRequest(relay.NewID(), h.kid, h.token(c), c, h.Identity.Secret("jitter"), h.now)
	q, _, err := h.DB.ReceiveRequest(h.ctx(), q, e, time.Time{}, nil)
	h.ok(err)
	return q
}

// invalid wants err to name what is wrong with the input.
func (h *home) invalid(err error) {
	h.t.Helper()
	var invalid *relay.InvalidError
	if !errors.As(err, &invalid) {
		h.t.Errorf("got %v, want a field that is wrong", err)
	}
}

func order(c *relay.Claims) {
	c.Lane = relay.LaneLegalProcess
	c.LegalBasis = relay.LegalBasis{Kind: relay.BasisCourtOrder, Citation: "4th District, 26-CV-17", DocumentSHA256: strings.Repeat("ab", 32), Served: "2026-11-20", Compulsory: true}
}

// TestRules: rules are kept, switched and removed, and judge a request once.
func TestRules(t *testing.T) {
	t.Parallel()
	forEachDB(t, func(t *testing.T, h *home) {
		stop := relay.Rule{ID: "a", Name: "Not from here", When: `req.agency.level == "local"`, Effect: relay.Effect{Kind: relay.EffectStop}}
		h.invalid(h.DB.AddRule(h.ctx(), relay.Rule{ID: "x", Name: "Bad", When: "req.nothing", Effect: stop.Effect}, h.member.ID, h.now))
		h.ok(h.DB.AddRule(h.ctx(), stop, h.member.ID, h.now))
		h.fails(h.DB.AddRule(h.ctx(), stop, h.member.ID, h.now), relay.ErrConflict)
		few := relay.Rule{ID: "b", Name: "Few", When: "true", On: true, Effect: relay.Effect{Kind: relay.EffectCap, MaxViews: 3}}
		h.ok(h.DB.AddRule(h.ctx(), few, h.member.ID, h.now.Add(time.Second)))

		q, err := h.DB.JudgeRequest(h.ctx(), h.asks().ID, h.now) // the first rule is off
		h.ok(err)
		if q.State != relay.RequestPending || q.Verdict.MaxViews != 3 || len(q.Verdict.Findings) != 1 || q.JudgedAt.IsZero() {
			t.Errorf("judged: %+v", q.Verdict)
		}
		if _, err := h.DB.PrepareRelease(h.ctx(), q.ID, h.clip.ID, h.draft(q), h.member.ID, h.now); err == nil {
			t.Error("more views than the rules allow")
		}
		h.ok(h.DB.SwitchRule(h.ctx(), "a", true, h.member.ID, h.now))
		h.fails(h.DB.SwitchRule(h.ctx(), "a", true, h.member.ID, h.now), relay.ErrConflict)
		again, err := h.DB.JudgeRequest(h.ctx(), q.ID, h.now.Add(time.Minute))
		h.ok(err)
		if !again.JudgedAt.Equal(q.JudgedAt) || again.State != relay.RequestPending {
			t.Error("a request was judged twice")
		}
		stopped, err := h.DB.JudgeRequest(h.ctx(), h.asks().ID, h.now)
		h.ok(err)
		if stopped.State != relay.RequestClosed || stopped.Reason != relay.ClosedByRule {
			t.Errorf("%s, %s", stopped.State, stopped.Reason)
		}
		if before, after := stopped.AgencyView(stopped.RespondBy.Add(-time.Second)), stopped.AgencyView(stopped.RespondBy); before.State != "pending" || after.State != "closed" {
			t.Errorf("its agency sees %+v before the deadline and %+v after", before, after)
		}
		if kinds := h.events(stopped.ID); !slices.Equal(kinds, []relay.EventKind{relay.RequestReceived, relay.RequestStopped}) {
			t.Errorf("events: %v", kinds)
		}
		// Nothing judged it yet: preparing does.
		late := h.asks()
		_, err = h.DB.PrepareRelease(h.ctx(), late.ID, h.clip.ID, h.draft(late), h.member.ID, h.now)
		h.fails(err, relay.ErrState)
		h.ok(h.DB.RemoveRule(h.ctx(), "a", h.member.ID, h.now))
		h.fails(h.DB.RemoveRule(h.ctx(), "a", h.member.ID, h.now), relay.ErrConflict)
		h.fails(h.DB.SwitchRule(h.ctx(), "a", false, h.member.ID, h.now), relay.ErrConflict)
		if rules, err := h.DB.Rules(h.ctx()); err != nil || len(rules) != 1 || rules[0].ID != "b" || rules[0].Effect != few.Effect {
			t.Errorf("rules: %+v, %v", rules, err)
		}
		if kinds := h.events("a"); !slices.Equal(kinds, []relay.EventKind{relay.RuleAdded, relay.RuleChanged, relay.RuleRemoved}) {
			t.Errorf("events: %v", kinds)
		}
	})
}

// TestCompelled: an order holds the footage that it names, also what is added later, and never
// a revocation; what is given to it is recorded as compelled, and both verifiers know the
// difference.
func TestCompelled(t *testing.T) {
	t.Parallel()
	second := filepath.Join(t.TempDir(), "bundle-verify")
	if out, err := exec.Command("go", "build", "-o", second, "cliplease/cmd/bundle-verify").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	forEachDB(t, func(t *testing.T, h *home) {
		q, err := h.DB.JudgeRequest(h.ctx(), h.files(order).ID, h.now)
		h.ok(err)
		later := h.film(q.Claims.Scope.From.Add(30 * time.Second))
		other := h.film(q.Claims.Scope.To.Add(time.Hour))
		for _, id := range []string{h.clip.ID, later.ID} {
			if err := h.DB.DisposeClip(h.ctx(), id, h.member.ID, h.now); !errors.Is(err, ErrHeld) || !errors.Is(err, relay.ErrState) {
				t.Errorf("dispose of held footage: %v", err)
			}
		}
		h.ok(h.DB.DisposeClip(h.ctx(), other.ID, h.member.ID, h.now))
		if holds, err := h.DB.Holds(h.ctx()); err != nil || len(holds) != 1 || holds[0].RequestID != q.ID {
			t.Errorf("holds: %+v, %v", holds, err)
		}

		rel := h.prepares(q)
		asConsent := h.grant(q, rel)
		h.fails(h.DB.SignRelease(h.ctx(), h.signing(q, rel, asConsent), h.now), relay.ErrPolicy)
		g := asConsent
		g.Type, g.Basis, g.Order = q.Claims.LegalBasis.Record()
		if g.Type != "cliplease.compelled" || g.Basis != "compelled" || g.Order.Citation != "4th District, 26-CV-17" {
			t.Errorf("the record is %s, %s, %+v", g.Type, g.Basis, g.Order)
		}
		other2 := g
		other2.Order = &relay.GrantOrder{Kind: "court_order", Citation: "another"}
		h.fails(h.DB.SignRelease(h.ctx(), h.signing(q, rel, other2), h.now), relay.ErrPolicy)
		h.ok(h.DB.SignRelease(h.ctx(), h.signing(q, rel, g), h.now))
		raw := h.evidence(rel.ID, nil)
		if _, err := relay.VerifyBundle(bytes.NewReader(raw), int64(len(raw))); err != nil {
			t.Error(err)
		}
		file := filepath.Join(t.TempDir(), "bundle.zip")
		h.ok(os.WriteFile(file, raw, 0o600))
		if out, err := exec.Command(second, file).CombinedOutput(); err != nil {
			t.Errorf("second verifier: %v: %s", err, out)
		}

		h.ok(h.DB.RevokeRelease(h.ctx(), rel.ID, h.member.ID, "", h.now)) // never blocked
		h.invalid(h.DB.LiftHold(h.ctx(), q.ID, h.member.ID, "short", h.now))
		h.ok(h.DB.LiftHold(h.ctx(), q.ID, h.member.ID, "The court withdrew its order.", h.now))
		h.fails(h.DB.LiftHold(h.ctx(), q.ID, h.member.ID, "The court withdrew its order.", h.now), relay.ErrState)
		h.fails(h.DB.LiftHold(h.ctx(), h.asks().ID, h.member.ID, "There is none to be lifted.", h.now), relay.ErrNotFound)
		h.ok(h.DB.DisposeClip(h.ctx(), h.clip.ID, h.member.ID, h.now))
	})
}

// TestCompelledIsNoConsent: where nothing compels, a record that says so is refused.
func TestCompelledIsNoConsent(t *testing.T) {
	t.Parallel()
	forEachDB(t, func(t *testing.T, h *home) {
		q := h.asks()
		rel := h.prepares(q)
		g := h.grant(q, rel)
		g.Type, g.Basis, g.Order = "cliplease.compelled", "compelled", &relay.GrantOrder{Kind: "court_order"}
		h.fails(h.DB.SignRelease(h.ctx(), h.signing(q, rel, g), h.now), relay.ErrPolicy)
	})
}

// TestRulesMigration: a database from before there were rules opens, and its requests are
// judged when something is made from them.
func TestRulesMigration(t *testing.T) {
	t.Parallel()
	forEachDB(t, func(t *testing.T, h *home) {
		q := h.asks()
		for _, s := range []string{
			"DROP TABLE legal_holds", "DROP TABLE rules", "ALTER TABLE requests DROP COLUMN judged_at", "ALTER TABLE requests DROP COLUMN verdict",
			"ALTER TABLE requests DROP COLUMN called_at", "ALTER TABLE requests DROP COLUMN call_note",
		} {
			h.corrupt(s)
		}
		raw, err := os.ReadFile("migrations/00003_rules.sql")
		h.ok(err)
		var plain []string // without comments, which may hold a semicolon
		for line := range strings.Lines(string(raw)) {
			line, _, _ = strings.Cut(line, "--")
			plain = append(plain, line)
		}
		for s := range strings.SplitSeq(strings.Join(plain, "\n"), ";") {
			if strings.TrimSpace(s) != "" {
				h.corrupt(s)
			}
		}
		h.ok(h.DB.AddRule(context.WithoutCancel(h.ctx()), relay.Rule{ID: "b", Name: "Few", When: "true", On: true, Effect: relay.Effect{Kind: relay.EffectCap, MaxViews: 5}}, h.member.ID, h.now))
		h.signs(q, h.prepares(q))
		if q, err = h.DB.Request(h.ctx(), q.ID); err != nil || q.Verdict.MaxViews != 5 {
			t.Errorf("%+v, %v", q.Verdict, err)
		}
	})
}

// TestRetention: footage is given up when its camera's retention is over, and not while an
// order, an open request or a release needs it.
func TestRetention(t *testing.T) {
	t.Parallel()
	forEachDB(t, func(t *testing.T, h *home) {
		const day = 24 * time.Hour
		outlived := func(what string, want ...string) {
			t.Helper()
			got, err := h.DB.DisposeOutlived(h.ctx(), h.now)
			if h.ok(err); !slices.Equal(got, want) {
				t.Errorf("%s: deleted %v, want %v", what, got, want)
			}
		}
		q := h.asks()
		other := h.film(q.Claims.Scope.To.Add(time.Hour))
		begin := h.now
		h.now = begin.Add(20 * time.Hour)
		young := h.film(q.Claims.Scope.To.Add(2 * time.Hour))
		h.now = begin.Add(day)
		outlived("kept until a member deletes it")
		h.camera.RetainDays = 1
		h.ok(h.DB.SaveCamera(h.ctx(), h.camera, h.member.ID, h.now))
		if c, err := h.DB.Camera(h.ctx(), h.camera.ID); err != nil || c.RetainDays != 1 {
			t.Errorf("the camera came back as %+v, %v", c, err)
		}
		h.now = begin.Add(day - time.Millisecond)
		outlived("a moment early")
		h.now = begin.Add(day)
		outlived("what an open request asks for stays", other.ID)
		gone, err := h.DB.Clip(h.ctx(), other.ID)
		h.ok(err)
		if gone.State != relay.ClipDisposed || gone.Object != "" || len(gone.Stills) != 0 || h.jobs("objects.dispose") != 1 {
			t.Errorf("after its retention: %+v, %d jobs", gone, h.jobs("objects.dispose"))
		}
		if kinds := h.events(other.ID); kinds[len(kinds)-1] != relay.ClipDisposedEv {
			t.Errorf("events %v", kinds)
		}
		outlived("once")

		h.now = begin
		rel := h.prepares(q)
		rel, _ = h.signs(q, rel)
		h.now = begin.Add(day)
		h.ok(h.DB.UpdateRequest(h.ctx(), q.ID, func(q *relay.Request) (relay.Event, error) { return q.Decline(h.member.ID, h.now) }))
		outlived("what a live release was made from stays")
		h.ok(h.DB.RevokeRelease(h.ctx(), rel.ID, h.member.ID, "", h.now))
		outlived("the release is over", h.clip.ID)

		h.now = begin.Add(21 * time.Hour)
		order, err := h.DB.JudgeRequest(h.ctx(), h.files(func(c *relay.Claims) {
			order(c)
			c.Scope.From, c.Scope.To = young.Start, young.End()
		}).ID, h.now)
		h.ok(err)
		h.now = begin.Add(3 * day)
		h.ok(h.DB.UpdateRequest(h.ctx(), order.ID, func(q *relay.Request) (relay.Event, error) { return q.Decline(h.member.ID, h.now) }))
		outlived("what an order names stays")
		h.ok(h.DB.LiftHold(h.ctx(), order.ID, h.member.ID, "The court withdrew its order.", h.now))
		outlived("the hold is lifted", young.ID)
		bad := h.camera
		bad.RetainDays = relay.MaxRetainDays + 1
		if err := h.DB.SaveCamera(h.ctx(), bad, h.member.ID, h.now); err == nil {
			t.Error("a retention that is too long was stored")
		}
		invariants(t, h.Store)
	})
}
