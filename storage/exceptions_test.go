package storage

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"cliplease/relay"
)

// TestExceptions: something that was found is left visible only in a home of two, with the passkeys of
// two over what it is and why; two verifiers read it in the evidence, and refuse it with any of that changed.
func TestExceptions(t *testing.T) {
	second := buildVerifier(t)
	h := newHome(t, Config{Dir: t.TempDir() + "/data"})
	ctx, db := h.ctx(), h.DB
	q := h.asks()
	rel := h.prepares(q)
	const reason = "A poster in the window, no person"
	d := h.draft(q)
	d.Edits = json.RawMessage(`[{"kind":"exception","of":"face","keys":[{"at_ns":1000000000,"x":0.1,"y":0.1,"w":0.2,"h":0.2}],"reason":"` + reason + `","by":"` + h.member.ID + `"}]`)
	var invalid *relay.InvalidError
	if err := db.EditRelease(ctx, rel.ID, d, h.member.ID, h.now); !errors.As(err, &invalid) {
		t.Fatalf("a home of one uncovers something: %v", err)
	}
	h.admits(relay.RoleMember)
	if err := db.EditRelease(ctx, rel.ID, d, h.member.ID, h.now); !errors.As(err, &invalid) {
		t.Fatalf("with a member who may not sign: %v", err)
	}
	bo := h.admits(relay.RoleApprover)
	h.ok(db.EditRelease(ctx, rel.ID, d, h.member.ID, h.now))
	h.open = []relay.Exception{{Kind: "face", FromMS: 400, ToMS: 3200, Reason: reason, By: h.member.ID}}
	rel = h.works(rel.ID)

	alone := h.grant(q, rel)
	alone.Redaction.Exceptions = h.open
	h.fails(db.SignRelease(ctx, h.signing(q, rel, alone), h.now), relay.ErrPolicy)
	silent := h.needsTwo(q, rel)
	silent.Quorum.Why = []relay.Sensitivity{relay.SensitiveUnredacted}
	h.fails(db.SignRelease(ctx, h.signing(q, rel, silent), h.now), relay.ErrPolicy)
	g := silent
	g.Redaction.Exceptions = h.open
	h.ok(db.SignRelease(ctx, h.signing(q, rel, g), h.now))
	if now, err := db.Release(ctx, rel.ID); err != nil || now.State != relay.ReleaseInReview {
		t.Fatalf("after one signature it is %s, %v", now.State, err)
	}
	h.ok(db.SignRelease(ctx, bo.by(h, q, rel, g), h.now))
	good := h.evidence(rel.ID, nil)
	rep, err := relay.VerifyBundle(bytes.NewReader(good), int64(len(good)))
	h.ok(err)
	if len(rep.Uncovered) != 1 || rep.Uncovered[0] != h.open[0] || len(rep.Signers) != 2 || len(rep.Manifests) != 2 || len(rep.Manifests[1].Redaction.Exceptions) != 1 {
		t.Errorf("the report says %+v", rep)
	}
	c := corpus{t: t, dir: t.TempDir(), second: second}
	c.add("good", true, good)
	for name, change := range map[string][2]string{
		"another reason":    {reason, "A poster in the window, my friend"},
		"another member":    {`"by":"` + h.member.ID, `"by":"` + bo.member.ID},
		"another kind":      {`"kind":"face"`, `"kind":"plate"`},
		"for longer":        {`"to_ms":3200`, `"to_ms":9200`},
		"one signature":     {`"needed":2`, `"needed":1`},
		"without the cause": {`"unredacted"`, `"federal"`},
	} {
		m := unzip(t, good)
		changed := bytes.Replace(m["grant.json"], []byte(change[0]), []byte(change[1]), 1)
		if bytes.Equal(changed, m["grant.json"]) {
			t.Fatalf("%s: nothing was changed in %s", name, changed)
		}
		m["grant.json"] = changed
		resign(m, h.Identity.Relay)
		c.add(name, false, rezip(m))
	}
	for name, open := range map[string][]relay.Exception{"none": {}, "another": {{Kind: "face", ToMS: 1, Reason: reason, By: "m"}}, "twice": append(h.open, h.open...)} {
		c.add("a manifest with "+name, false, h.evidence(rel.ID, func(b *relay.Bundle) {
			key, err := relay.NewPublicKey(h.Identity.Relay.Public())
			h.ok(err)
			m, err := relay.OpenManifest(b.Manifests[0], key)
			h.ok(err)
			m.Redaction.Exceptions = open
			b.Manifests[0], err = m.Sign(h.Identity.Relay)
			h.ok(err)
		}))
	}
	c.run()
	invariants(t, h.Store)
}
