package storage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"cliplease/relay"
)

const ruleColumns = "id, name, preset, condition, effect, state, created_at"

func scanRule(r scanner) (v relay.Rule, err error) {
	var state string
	err = r.Scan(&v.ID, &v.Name, &v.Preset, &v.When, document{&v.Effect}, &state, at{&v.CreatedAt})
	v.On = state == "on"
	return v, err
}

const allRules = "SELECT " + ruleColumns + " FROM rules WHERE state <> 'removed' ORDER BY created_at, id"

// Rules returns the home's rules, oldest first, those that are off among them.
func (db *DB) Rules(ctx context.Context) ([]relay.Rule, error) {
	return list(ctx, db.read, scanRule, allRules)
}

// AddRule stores a rule that was checked. It applies to requests that come from now on.
func (db *DB) AddRule(ctx context.Context, r relay.Rule, actor string, now time.Time) (err error) {
	defer wrap(&err, "add rule")
	if err := r.Validate(ctx); err != nil {
		return err
	}
	return db.update(ctx, func(tx *Tx) error {
		var n int
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM rules WHERE state <> 'removed'").Scan(&n); err != nil {
			return err
		}
		if n >= relay.RulesMax {
			return relay.Invalid("", "There are %d rules already; remove one first.", n)
		}
		state := "off"
		if r.On {
			state = "on"
		}
		if err := tx.exec("INSERT INTO rules ("+ruleColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7)", r.ID, r.Name, r.Preset, r.When, text(r.Effect), state, ms(now)); err != nil {
			return err
		}
		sum := sha256.Sum256([]byte(r.When))
		_, err := tx.append(relay.Event{Kind: relay.RuleAdded, Subject: r.ID, Actor: actor, At: now,
			Data: relay.Data{"effect": string(r.Effect.Kind), "preset": r.Preset, "condition_sha256": hex.EncodeToString(sum[:]), "on": r.On}})
		return err
	})
}

// SwitchRule puts a rule on or off.
func (db *DB) SwitchRule(ctx context.Context, id string, on bool, actor string, now time.Time) (err error) {
	defer wrap(&err, "switch rule")
	to, from := "off", "on"
	if on {
		to, from = "on", "off"
	}
	return db.update(ctx, func(tx *Tx) error {
		if err := tx.exec("UPDATE rules SET state = $1 WHERE id = $2 AND state = $3", to, id, from); err != nil {
			return err
		}
		_, err := tx.append(relay.Event{Kind: relay.RuleChanged, Subject: id, Actor: actor, At: now, Data: relay.Data{"on": on}})
		return err
	})
}

// RemoveRule ends a rule for good. What it said of requests that came before stays.
func (db *DB) RemoveRule(ctx context.Context, id, actor string, now time.Time) (err error) {
	defer wrap(&err, "remove rule")
	return db.update(ctx, func(tx *Tx) error {
		if err := tx.exec("UPDATE rules SET state = 'removed' WHERE id = $1 AND state <> 'removed'", id); err != nil {
			return err
		}
		_, err := tx.append(relay.Event{Kind: relay.RuleRemoved, Subject: id, Actor: actor, At: now})
		return err
	})
}

// JudgeRequest lets the rules look at a request, once, before anyone is told of it, and
// returns it as it is then. A request that compels puts what it names under a legal hold in
// the same transaction. A request that was judged before, or that was closed before, is
// returned as it is.
func (db *DB) JudgeRequest(ctx context.Context, id string, now time.Time) (q relay.Request, err error) {
	defer wrap(&err, "judge request")
	err = db.update(ctx, func(tx *Tx) error {
		if q, err = get(ctx, tx, scanRequest, "SELECT "+requestColumns+" FROM requests WHERE id = $1", id); err != nil {
			return err
		}
		return tx.judge(&q, now)
	})
	return q, err
}

// judge judges q unless that was done before.
func (tx *Tx) judge(q *relay.Request, now time.Time) error {
	if !q.JudgedAt.IsZero() || q.State != relay.RequestPending {
		return nil
	}
	f, camera, err := factsOf(tx.ctx, tx, *q)
	if err != nil {
		return err
	}
	rules, err := list(tx.ctx, tx, scanRule, allRules)
	if err != nil {
		return err
	}
	from := *q
	e, err := q.Judge(relay.Judge(tx.ctx, rules, f, now), now)
	if err != nil {
		return err
	}
	if err := tx.saveRequest(*q, from); err != nil {
		return err
	}
	if h, placed, ok := relay.HoldFor("h"+relay.NewID(), *q, camera, now); ok {
		if err := tx.exec("INSERT INTO legal_holds (id, request_id, camera_id, handle, from_at, to_at, placed_at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
			h.ID, h.RequestID, h.CameraID, h.Handle, ms(h.From), ms(h.To), ms(h.PlacedAt)); err != nil {
			return err
		}
		if _, err := tx.append(placed); err != nil {
			return err
		}
	}
	_, err = tx.append(e)
	return err
}

// factsOf gathers what rules may know of a request. camera is nil when the home has none of
// the name.
func factsOf(ctx context.Context, from querier, r relay.Request) (f relay.Facts, camera *relay.Camera, err error) {
	a, err := get(ctx, from, scanAgency, "SELECT "+agencyColumns+" FROM agencies WHERE id = $1", r.AgencyID)
	if err != nil {
		return f, nil, err
	}
	c, err := get(ctx, from, scanCamera, "SELECT "+cameraColumns+" FROM cameras WHERE handle = $1", r.Claims.Scope.Target.Handle)
	switch {
	case err == nil:
		camera = &c
	case !errors.Is(err, relay.ErrNotFound):
		return f, nil, err
	}
	return relay.FactsOf(r, a, camera), camera, nil
}

// Facts returns what rules may know of a request.
func (db *DB) Facts(ctx context.Context, r relay.Request) (relay.Facts, error) {
	f, _, err := factsOf(ctx, db.read, r)
	return f, err
}

const holdColumns = "id, request_id, camera_id, handle, from_at, to_at, placed_at, lifted_at, lifted_by, reason"

func scanHold(r scanner) (h relay.LegalHold, err error) {
	err = r.Scan(&h.ID, &h.RequestID, &h.CameraID, &h.Handle, at{&h.From}, at{&h.To}, at{&h.PlacedAt}, at{&h.LiftedAt}, &h.LiftedBy, &h.Reason)
	return h, err
}

// Holds returns the legal holds that stand, oldest first.
func (db *DB) Holds(ctx context.Context) ([]relay.LegalHold, error) {
	return list(ctx, db.read, scanHold, "SELECT "+holdColumns+" FROM legal_holds WHERE lifted_at = 0 ORDER BY placed_at, id")
}

// HoldOf returns the legal hold that a request placed, or [relay.ErrNotFound].
func (db *DB) HoldOf(ctx context.Context, requestID string) (relay.LegalHold, error) {
	return get(ctx, db.read, scanHold, "SELECT "+holdColumns+" FROM legal_holds WHERE request_id = $1", requestID)
}

// LiftHold ends the legal hold of a request, with a reason for the record.
func (db *DB) LiftHold(ctx context.Context, requestID, member, reason string, now time.Time) (err error) {
	defer wrap(&err, "lift the legal hold")
	return db.update(ctx, func(tx *Tx) error {
		h, err := get(ctx, tx, scanHold, "SELECT "+holdColumns+" FROM legal_holds WHERE request_id = $1", requestID)
		if err != nil {
			return err
		}
		e, err := h.Lift(member, reason, now)
		if err != nil {
			return err
		}
		if err := tx.exec("UPDATE legal_holds SET lifted_at = $1, lifted_by = $2, reason = $3 WHERE id = $4 AND lifted_at = 0", ms(h.LiftedAt), h.LiftedBy, h.Reason, h.ID); err != nil {
			return err
		}
		_, err = tx.append(e)
		return err
	})
}

// ErrHeld says that a legal hold covers a clip. It is a [relay.ErrState].
var ErrHeld = fmt.Errorf("this footage is under a legal hold: %w", relay.ErrState)

// held fails with [ErrHeld] while a legal hold covers c. It is asked in the transaction
// that disposes of a clip.
func (tx *Tx) held(c relay.Clip) error {
	camera, err := get(tx.ctx, tx, scanCamera, "SELECT "+cameraColumns+" FROM cameras WHERE id = $1", c.CameraID)
	if err != nil {
		return err
	}
	holds, err := list(tx.ctx, tx, scanHold, "SELECT "+holdColumns+" FROM legal_holds WHERE lifted_at = 0")
	if err != nil {
		return err
	}
	for _, h := range holds {
		if h.Covers(c, camera) {
			return fmt.Errorf("request %s: %w", h.RequestID, ErrHeld)
		}
	}
	return nil
}

// checkRules checks that every rule, hold and verdict is as its events leave it.
func (k *check) checkRules() error {
	rules, err := list(k.ctx, k.q, func(r scanner) (v [2]string, err error) { err = r.Scan(&v[0], &v[1]); return },
		"SELECT id, state FROM rules")
	if err != nil {
		return err
	}
	for _, r := range rules {
		k.mustCount("rule", r[0], relay.RuleAdded, 1)
		k.mustCount("rule", r[0], relay.RuleRemoved, bit(r[1] == "removed"))
	}
	holds, err := list(k.ctx, k.q, scanHold, "SELECT "+holdColumns+" FROM legal_holds")
	if err != nil {
		return err
	}
	held := map[string]bool{}
	for _, h := range holds {
		held[h.RequestID] = true
		k.mustCount("legal hold", h.ID, relay.HoldPlaced, 1)
		k.mustCount("legal hold", h.ID, relay.HoldLifted, bit(!h.LiftedAt.IsZero()))
	}
	for _, q := range k.requests {
		stopped := q.Reason == relay.ClosedByRule
		k.mustCount("request", q.ID, relay.RequestStopped, bit(stopped))
		k.mustCount("request", q.ID, relay.RequestJudged, bit(!q.JudgedAt.IsZero() && !stopped))
		k.mustCount("request", q.ID, relay.RequestCalledBack, bit(!q.CalledAt.IsZero()))
		if q.Compelled() && !q.JudgedAt.IsZero() && !held[q.ID] {
			k.wrong("request %s compels, and nothing is held for it", q.ID)
		}
	}
	return nil
}
