package storage

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cliplease/relay"
)

// second is another member of the home, with a passkey.
type second struct {
	member relay.Member
	pass   passkey
}

// admits lets a member join.
func (h *home) admits(role relay.Role) second {
	h.t.Helper()
	token := hexSum(relay.NewID())
	h.ok(h.DB.Invite(h.ctx(), Invitation{TokenHash: token, Role: role, Name: "Bo", InvitedBy: h.member.ID, ExpiresAt: h.now.Add(time.Hour)}, h.now))
	s := second{relay.Member{ID: relay.NewID(), Name: "Bo", Email: "bo@home.example", Role: role, CreatedAt: h.now}, newPasskey(h.t)}
	h.ok(h.DB.Join(h.ctx(), token, s.member, Credential{ID: s.pass.id, MemberID: s.member.ID, Name: "Key", Record: "{}"}, h.now))
	return s
}

// federal files a request that one member cannot answer alone.
func (h *home) federal() relay.Request {
	h.t.Helper()
	c := h.claims()
	c.Onward.Federal = true
	q, e := relay.ReceiveRequest(relay.NewID(), h.kid, h.token(c), c, h.Identity.Secret("jitter"), h.now)
	q, _, err := h.DB.ReceiveRequest(h.ctx(), q, e, time.Time{}, nil)
	h.ok(err)
	return q
}

// needsTwo is the grant of a release to such a request.
func (h *home) needsTwo(q relay.Request, rel relay.Release) relay.Grant {
	g := h.grant(q, rel)
	g.Quorum = &relay.GrantQuorum{Needed: 2, Why: []relay.Sensitivity{relay.SensitiveFederal}}
	return g
}

// by is what the home's pages store when another member signs g.
func (s second) by(h *home, q relay.Request, rel relay.Release, g relay.Grant) Signing {
	h.t.Helper()
	own := *h
	own.member, own.pass = s.member, s.pass
	return own.signing(q, rel, g)
}

func TestQuorum(t *testing.T) {
	forEachDB(t, func(t *testing.T, h *home) {
		ctx, db := h.ctx(), h.DB
		bo, mel := h.admits(relay.RoleApprover), h.admits(relay.RoleMember)
		q := h.federal()
		rel := h.prepares(q)
		state := func(want relay.ReleaseState, waiting int) {
			t.Helper()
			got, err := db.Release(ctx, rel.ID)
			h.ok(err)
			all, err := db.Approvals(ctx, rel.ID)
			h.ok(err)
			links, err := db.LinksOf(ctx, rel.ID)
			h.ok(err)
			if got.State != want || len(all) != waiting || (len(links) > 0) != (want == relay.ReleaseIsLive) {
				t.Fatalf("the release is %s with %d signatures waiting and %d links, want %s and %d", got.State, len(all), len(links), want, waiting)
			}
		}
		plain := func() error { return db.SignRelease(ctx, h.signing(q, rel, h.grant(q, rel)), h.now) }
		invented := func() error {
			g := h.grant(q, rel)
			g.Quorum = &relay.GrantQuorum{Needed: 2, Why: []relay.Sensitivity{relay.SensitiveFederal, relay.SensitiveInterior}}
			return db.SignRelease(ctx, h.signing(q, rel, g), h.now)
		}
		h.allFail(relay.ErrPolicy, map[string]func() error{"as if one were enough": plain, "for a reason that is none": invented})
		g := h.needsTwo(q, rel)
		first := h.signing(q, rel, g)
		h.ok(db.SignRelease(ctx, first, h.now))
		state(relay.ReleaseInReview, 1)
		h.fails(db.SignRelease(ctx, first, h.now), relay.ErrConflict) // the ceremony is used
		invariants(t, h.Store)

		var invalid *relay.InvalidError
		if err := db.SignRelease(ctx, h.signing(q, rel, g), h.now); !errors.As(err, &invalid) {
			t.Errorf("the same member signed twice: %v", err)
		}
		more := newPasskey(t)
		h.ok(db.AddCredential(ctx, Credential{ID: more.id, MemberID: h.member.ID, Name: "Second", Record: "{}"}, h.now))
		if err := db.SignRelease(ctx, second{h.member, more}.by(h, q, rel, g), h.now); !errors.As(err, &invalid) {
			t.Errorf("the same member signed with two passkeys: %v", err)
		}
		h.allFail(relay.ErrPolicy, map[string]func() error{"by a role that may not": func() error { return db.SignRelease(ctx, mel.by(h, q, rel, g), h.now) }})
		h.allFail(relay.ErrConflict, map[string]func() error{"another grant": func() error { return db.SignRelease(ctx, bo.by(h, q, rel, h.needsTwo(q, rel)), h.now) }})
		state(relay.ReleaseInReview, 1)

		// A change makes what was signed void.
		h.ok(db.EditRelease(ctx, rel.ID, h.draft(q), h.member.ID, h.now))
		rel = h.works(rel.ID)
		state(relay.ReleaseInReview, 0)
		h.allFail(relay.ErrPolicy, map[string]func() error{"the grant of the round before": func() error { return db.SignRelease(ctx, bo.by(h, q, rel, g), h.now) }})

		// So does the end of the passkey that signed, and of its member.
		g = h.needsTwo(q, rel)
		h.ok(db.SignRelease(ctx, h.signing(q, rel, g), h.now))
		h.ok(db.RevokeCredential(ctx, h.member.ID, h.pass.id, "", h.now))
		state(relay.ReleaseInReview, 0)
		h.fails(db.SignRelease(ctx, bo.by(h, q, rel, g), h.now), relay.ErrPolicy) // it names the other as the first
		h.pass = more
		cy := h.admits(relay.RoleApprover)
		g = h.needsTwo(q, rel)
		g.By.Member = cy.member.ID
		h.ok(db.SignRelease(ctx, cy.by(h, q, rel, g), h.now))
		h.ok(db.RemoveMember(ctx, cy.member.ID, h.member.ID, h.now))
		state(relay.ReleaseInReview, 0)

		g = h.needsTwo(q, rel)
		h.ok(db.SignRelease(ctx, h.signing(q, rel, g), h.now))
		h.ok(db.SignRelease(ctx, bo.by(h, q, rel, g), h.now))
		state(relay.ReleaseIsLive, 1)
		kinds := h.events(rel.ID)
		if n := len(kinds); kinds[n-2] != relay.ReleaseApproved || kinds[n-1] != relay.ReleaseGranted {
			t.Errorf("the log says %v", kinds)
		}
		cosign := 0
		mails, err := db.MailAbout(ctx, q.ID)
		h.ok(err)
		for _, m := range mails {
			if m.Kind == "cosign" && m.Address == "bo@home.example" {
				cosign++
			}
		}
		if cosign == 0 {
			t.Error("the other member was not told")
		}
	})
}

// TestQuorumOfRelease is every reason for which one passkey is not enough, in the database's eyes.
func TestQuorumOfRelease(t *testing.T) {
	h := newHome(t, Config{Dir: t.TempDir() + "/data"})
	q := h.asks()
	rel := h.prepares(q)
	h.camera.Interior = true
	h.ok(h.DB.SaveCamera(h.ctx(), h.camera, h.member.ID, h.now))
	h.fails(h.DB.SignRelease(h.ctx(), h.signing(q, rel, h.grant(q, rel)), h.now), relay.ErrPolicy)
	h.camera.Interior = false
	h.ok(h.DB.SaveCamera(h.ctx(), h.camera, h.member.ID, h.now))
	h.ok(h.DB.SignRelease(h.ctx(), h.signing(q, rel, h.grant(q, rel)), h.now))
	invariants(t, h.Store)
}

// TestQuorumRaces lets approvers meet: whatever the order, there is one grant with two
// members, or none.
func TestQuorumRaces(t *testing.T) {
	forEachDB(t, func(t *testing.T, h *home) {
		ctx, db := h.ctx(), h.DB
		bo, cy := h.admits(relay.RoleApprover), h.admits(relay.RoleApprover)
		meet := func(moves ...func() error) (won int) {
			var wg sync.WaitGroup
			errs, start := make([]error, len(moves)), make(chan struct{})
			for i, move := range moves {
				wg.Go(func() {
					<-start
					errs[i] = move()
				})
			}
			close(start)
			wg.Wait()
			for _, err := range errs {
				if err == nil {
					won++
				} else if invalid := new(relay.InvalidError); !errors.Is(err, relay.ErrConflict) && !errors.Is(err, relay.ErrState) && !errors.Is(err, relay.ErrPolicy) && !errors.As(err, &invalid) {
					t.Error(err)
				}
			}
			return won
		}
		for range 6 {
			q := h.federal()
			rel := h.prepares(q)
			mine, its := h.needsTwo(q, rel), h.needsTwo(q, rel)
			its.By.Member = bo.member.ID
			s1, s2 := h.signing(q, rel, mine), bo.by(h, q, rel, its)
			if n := meet(func() error { return db.SignRelease(ctx, s1, h.now) }, func() error { return db.SignRelease(ctx, s2, h.now) }); n != 1 {
				t.Fatalf("%d of two first signatures over different grants were taken", n)
			}
			all, err := db.Approvals(ctx, rel.ID)
			h.ok(err)
			g := mine
			others := []second{bo, cy}
			if all[0].MemberID == bo.member.ID {
				g, others = its, []second{{h.member, h.pass}, cy}
			}
			a, b := others[0].by(h, q, rel, g), others[1].by(h, q, rel, g)
			if n := meet(func() error { return db.SignRelease(ctx, a, h.now) }, func() error { return db.SignRelease(ctx, b, h.now) }); n != 1 {
				t.Fatalf("%d of two last signatures made the release live", n)
			}

			// A passkey that is revoked while another member adds the second signature.
			q = h.federal()
			rel = h.prepares(q)
			g = h.needsTwo(q, rel)
			g.By.Member = cy.member.ID
			h.ok(db.SignRelease(ctx, cy.by(h, q, rel, g), h.now))
			s := bo.by(h, q, rel, g)
			meet(func() error { return db.SignRelease(ctx, s, h.now) }, func() error { return db.RevokeCredential(ctx, cy.member.ID, cy.pass.id, "", h.now) })
			cy = h.admits(relay.RoleApprover)

			// Everything ends while something is signed.
			q = h.asks()
			rel = h.prepares(q)
			s = h.signing(q, rel, h.grant(q, rel))
			meet(func() error { return db.SignRelease(ctx, s, h.now) }, func() error {
				_, err := db.EndEverything(ctx, bo.member.ID, time.Hour, "", h.now)
				return err
			})
			live, err := db.Releases(ctx, 10, relay.ReleaseIsLive)
			h.ok(err)
			if len(live) != 0 {
				t.Fatal("something is live after everything ended")
			}
			h.now = h.now.Add(2 * time.Hour)
		}
	})
}

func TestEndEverything(t *testing.T) {
	forEachDB(t, func(t *testing.T, h *home) {
		ctx, db := h.ctx(), h.DB
		a, s := h.leases()
		b, _ := h.leases()
		o := h.watches(h.opens(s))
		if _, err := db.EndEverything(ctx, h.member.ID, 15*24*time.Hour, "", h.now); err == nil {
			t.Error("a freeze of 15 days was taken")
		}
		ended, err := db.EndEverything(ctx, h.member.ID, 6*time.Hour, "enough", h.now)
		h.ok(err)
		slices.Sort(ended)
		want := []string{a.ID, b.ID}
		slices.Sort(want)
		if diff := cmp.Diff(want, ended); diff != "" {
			t.Error(diff)
		}
		_, err = db.View(ctx, o.TokenHash, "view")
		h.fails(err, relay.ErrNotFound)
		q := h.asks()
		rel := h.prepares(q)
		var invalid *relay.InvalidError
		size := h.logSize()
		if err := db.SignRelease(ctx, h.signing(q, rel, h.grant(q, rel)), h.now); !errors.As(err, &invalid) || h.logSize() != size {
			t.Errorf("signed while approvals were frozen: %v", err)
		}
		f, err := db.Frozen(ctx, h.now)
		h.ok(err)
		if f.Why != relay.FrozenByPanic || f.By != h.member.ID || !f.Until.Equal(h.now.Add(6*time.Hour)) {
			t.Errorf("frozen: %+v", f)
		}
		h.now = h.now.Add(6 * time.Hour)
		if f, err = db.Frozen(ctx, h.now); err != nil || f != (relay.Freeze{}) {
			t.Errorf("still frozen: %+v %v", f, err)
		}
		h.ok(db.SignRelease(ctx, h.signing(q, rel, h.grant(q, rel)), h.now))

		// One recipient, everywhere: the other one of the same releases goes on.
		_, s2 := h.leases()
		h.now = h.now.Add(time.Second)
		gone, err := db.RevokeRecipient(ctx, s2.Links[0].Link.ID, h.member.ID, h.now)
		h.ok(err)
		if len(gone) != 2 {
			t.Errorf("%d links ended, want those of two releases", len(gone))
		}
		again, err := db.RevokeRecipient(ctx, s2.Links[0].Link.ID, h.member.ID, h.now)
		h.ok(err)
		if len(again) != 0 {
			t.Errorf("%d links ended a second time", len(again))
		}
		live, err := db.Releases(ctx, 10, relay.ReleaseIsLive)
		h.ok(err)
		for _, rel := range live {
			links, err := db.LinksOf(ctx, rel.ID)
			h.ok(err)
			for _, l := range links {
				o, err := db.LinkByToken(ctx, l.TokenHash)
				h.ok(err)
				if wantGone := o.Copy.Recipient.Kind == relay.RecipientEmail; l.RevokedAt.IsZero() == wantGone {
					t.Errorf("the link of %+v: revoked at %s", o.Copy.Recipient, l.RevokedAt)
				}
			}
		}
		_, err = db.RevokeRecipient(ctx, "none", h.member.ID, h.now)
		h.fails(err, relay.ErrNotFound)
	})
}

func TestRecovery(t *testing.T) {
	forEachDB(t, func(t *testing.T, h *home) {
		ctx, db := h.ctx(), h.DB
		bo := h.admits(relay.RoleHomeowner)
		codes := []string{hexSum("one"), hexSum("two")}
		h.ok(db.SetRecoveryCodes(ctx, bo.member.ID, []string{hexSum("old")}, h.now))
		h.ok(db.SetRecoveryCodes(ctx, bo.member.ID, codes, h.now))
		if n, err := db.RecoveryCodes(ctx, bo.member.ID); err != nil || n != 2 {
			t.Errorf("%d codes, %v", n, err)
		}
		_, err := db.CodeMember(ctx, hexSum("old"))
		h.fails(err, relay.ErrNotFound)
		m, err := db.CodeMember(ctx, codes[0])
		h.ok(err)
		if m.ID != bo.member.ID {
			t.Errorf("the code is of %s", m.Name)
		}
		n := 0
		recover := func(code, member string) error {
			n++
			id := fmt.Sprint("c", n)
			return db.Recover(ctx, code, Credential{ID: "new-" + id, MemberID: member, Name: "New", Record: "{}"},
				Session{TokenHash: hexSum(id), MemberID: member, CreatedAt: h.now, SeenAt: h.now, ExpiresAt: h.now.Add(time.Hour)}, h.now)
		}
		h.fails(recover(codes[0], h.member.ID), relay.ErrConflict) // another's code
		h.fails(recover(hexSum("old"), bo.member.ID), relay.ErrConflict)
		if f, err := db.Frozen(ctx, h.now); err != nil || f.Why != "" {
			t.Errorf("a wrong code froze approvals: %+v %v", f, err)
		}
		rel, _ := h.leases()
		h.ok(recover(codes[0], bo.member.ID))
		h.fails(recover(codes[0], bo.member.ID), relay.ErrConflict)
		creds, err := db.Credentials(ctx, bo.member.ID)
		h.ok(err)
		if len(creds) != 2 {
			t.Errorf("%d passkeys", len(creds))
		}
		mails, err := db.MailAbout(ctx, bo.member.ID)
		h.ok(err)
		if len(mails) != 2 || mails[0].Kind != "recovered" {
			t.Errorf("mails: %+v", mails)
		}
		q := h.asks()
		review := h.prepares(q)
		h.now = h.now.Add(relay.RecoveryFreeze - time.Second)
		var invalid *relay.InvalidError
		if err := db.SignRelease(ctx, h.signing(q, review, h.grant(q, review)), h.now); !errors.As(err, &invalid) {
			t.Errorf("signed in the freeze: %v", err)
		}
		h.ok(db.RevokeRelease(ctx, rel.ID, bo.member.ID, "", h.now)) // taking back goes on
		h.now = h.now.Add(time.Second)

		// From the relay's own machine.
		link := hexSum("link")
		h.ok(db.InviteBack(ctx, Invitation{TokenHash: link, Role: bo.member.Role, Name: "Bo", InvitedBy: "command line", ExpiresAt: h.now.Add(time.Hour), MemberID: bo.member.ID}, h.now))
		v, err := db.Invitation(ctx, link, h.now)
		h.ok(err)
		if v.MemberID != bo.member.ID {
			t.Errorf("the invitation is for %q", v.MemberID)
		}
		if f, err := db.Frozen(ctx, h.now); err != nil || f.Why != relay.FrozenByRecovery || f.By != "command line" {
			t.Errorf("not frozen: %+v %v", f, err)
		}
		fresh := relay.Member{ID: relay.NewID(), Name: "Mallory", Role: relay.RoleHomeowner, CreatedAt: h.now}
		h.allFail(relay.ErrConflict, map[string]func() error{
			"join with it as somebody new": func() error { return db.Join(ctx, link, fresh, Credential{ID: "x", MemberID: fresh.ID}, h.now) },
			"come back as another":         func() error { return db.ComeBack(ctx, link, Credential{ID: "x", MemberID: h.member.ID}, h.now) },
			"come back too late": func() error {
				return db.ComeBack(ctx, link, Credential{ID: "x", MemberID: bo.member.ID}, h.now.Add(time.Hour))
			},
		})
		h.ok(db.ComeBack(ctx, link, Credential{ID: "back", MemberID: bo.member.ID, Name: "Back", Record: "{}"}, h.now))
		h.fails(db.ComeBack(ctx, link, Credential{ID: "again", MemberID: bo.member.ID}, h.now), relay.ErrConflict)
		h.fails(db.InviteBack(ctx, Invitation{TokenHash: hexSum("l2"), Role: relay.RoleMember, InvitedBy: "command line", ExpiresAt: h.now.Add(time.Hour), MemberID: "none"}, h.now), relay.ErrNotFound)
	})
}

func TestPasskeysEnd(t *testing.T) {
	forEachDB(t, func(t *testing.T, h *home) {
		ctx, db := h.ctx(), h.DB
		h.ok(db.RenameCredential(ctx, h.member.ID, h.pass.id, "Old phone"))
		creds, err := db.Credentials(ctx, h.member.ID)
		h.ok(err)
		if creds[0].Name != "Old phone" {
			t.Errorf("it is called %q", creds[0].Name)
		}
		bo := h.admits(relay.RoleMember)
		h.allFail(relay.ErrPolicy, map[string]func() error{"the last of the last homeowner": func() error { return db.RevokeCredential(ctx, h.member.ID, h.pass.id, "", h.now) }})
		h.allFail(relay.ErrNotFound, map[string]func() error{
			"another's":        func() error { return db.RevokeCredential(ctx, bo.member.ID, h.pass.id, "", h.now) },
			"rename another's": func() error { return db.RenameCredential(ctx, bo.member.ID, h.pass.id, "x") },
			"one that is none": func() error { return db.RevokeCredential(ctx, bo.member.ID, "none", "", h.now) },
		})
		keep := Session{TokenHash: hexSum("keep"), MemberID: h.member.ID, CreatedAt: h.now, SeenAt: h.now, ExpiresAt: h.now.Add(time.Hour)}
		other := keep
		other.TokenHash = hexSum("other")
		h.ok(db.StartSession(ctx, keep, h.now))
		h.ok(db.StartSession(ctx, other, h.now))
		cy := h.admits(relay.RoleHomeowner)
		h.ok(db.RevokeCredential(ctx, h.member.ID, h.pass.id, keep.TokenHash, h.now))
		sessions, err := db.Sessions(ctx, h.member.ID)
		h.ok(err)
		if len(sessions) != 1 || sessions[0].TokenHash != keep.TokenHash {
			t.Errorf("sessions left: %+v", sessions)
		}
		q := h.asks()
		rel := h.prepares(q)
		h.fails(db.SignRelease(ctx, h.signing(q, rel, h.grant(q, rel)), h.now), relay.ErrConflict)
		// Who is left is the last, also against being removed.
		h.allFail(relay.ErrPolicy, map[string]func() error{"remove the last with a passkey": func() error { return db.RemoveMember(ctx, cy.member.ID, h.member.ID, h.now) }})
		h.ok(db.EndSessions(ctx, h.member.ID))
		if sessions, err = db.Sessions(ctx, h.member.ID); err != nil || len(sessions) != 0 {
			t.Errorf("%d sessions, %v", len(sessions), err)
		}
	})
}

// TestBundleQuorum proves the consent of two members offline, with both verifiers.
func TestBundleQuorum(t *testing.T) {
	second := buildVerifier(t)
	h := newHome(t, Config{Dir: t.TempDir() + "/data"})
	bo := h.admits(relay.RoleApprover)
	signed := func(change func(*relay.Grant)) relay.Release {
		q := h.federal()
		rel := h.prepares(q)
		g := h.needsTwo(q, rel)
		if change != nil {
			change(&g)
		}
		h.ok(h.DB.SignRelease(h.ctx(), h.signing(q, rel, g), h.now))
		h.ok(h.DB.SignRelease(h.ctx(), bo.by(h, q, rel, g), h.now))
		return rel
	}
	rel := signed(nil)
	good := h.evidence(rel.ID, nil)
	rep, err := relay.VerifyBundle(bytes.NewReader(good), int64(len(good)))
	h.ok(err)
	if diff := cmp.Diff([]string{h.member.ID, bo.member.ID}, rep.Signers); diff != "" || rep.Member != h.member.ID {
		t.Error(diff)
	}
	c := corpus{t: t, dir: t.TempDir(), second: second}
	c.add("good", true, good)
	members := unzip(t, good)
	parts := []string{"authenticatorData", "clientDataJSON", "credential_pubkey.cose", "signature"}
	variant := func(name string, want bool, change func(m map[string][]byte)) {
		m := map[string][]byte{}
		for k, v := range members {
			m[k] = bytes.Clone(v)
		}
		change(m)
		resign(m, h.Identity.Relay)
		c.add(name, want, rezip(m))
	}
	variant("nothing changed", true, func(map[string][]byte) {})
	variant("without the second", false, func(m map[string][]byte) {
		for _, p := range parts {
			delete(m, p+".2")
		}
	})
	variant("the first twice", false, func(m map[string][]byte) {
		for _, p := range parts {
			m[p+".2"] = m[p]
		}
	})
	variant("the two in the other order", false, func(m map[string][]byte) {
		for _, p := range parts {
			m[p], m[p+".2"] = m[p+".2"], m[p]
		}
	})
	variant("a third", false, func(m map[string][]byte) {
		for _, p := range parts {
			m[p+".3"] = m[p]
		}
	})
	variant("a sixth", false, func(m map[string][]byte) { m["signature.6"] = m["signature"] })
	variant("a number behind another member", false, func(m map[string][]byte) { m["grant.json.2"] = m["grant.json"] })
	for _, p := range parts {
		variant("without "+p+".2", false, func(m map[string][]byte) { delete(m, p+".2") })
		for i := 0; i < len(members[p+".2"]); i += 7 {
			variant(fmt.Sprintf("%s.2 byte %d", p, i), false, func(m map[string][]byte) { m[p+".2"][i] ^= 1 << (i % 7) })
		}
	}
	for from, to := range map[string]string{`"needed":2`: `"needed":1`, `"why":["federal"]`: `"why":["interior"]`} {
		variant("grant with "+to, false, func(m map[string][]byte) {
			m["grant.json"] = bytes.Replace(m["grant.json"], []byte(from), []byte(to), 1)
		})
	}
	// A relay that writes one member twice into its log, for two passkeys of that member.
	var g relay.Grant
	doc, err := h.DB.GrantOf(h.ctx(), rel.ID)
	h.ok(err)
	h.ok(json.Unmarshal(doc.Document, &g))
	forged := func(second string) []byte {
		entry := func(member, part string) map[string]any {
			return map[string]any{"member": member, "key_sha256": hexSum(string(members[part]))}
		}
		h.ok(h.DB.Record(h.ctx(), relay.Event{Kind: relay.ReleaseGranted, Subject: rel.ID, Actor: second, At: h.now, Data: relay.Data{
			"grant": g.GrantID, "grant_sha256": relay.GrantHash(doc.Document), "request_sha256": g.Request.SHA256, "looked": true,
			"signers": []any{entry(h.member.ID, "credential_pubkey.cose"), entry(second, "credential_pubkey.cose.2")},
		}}))
		return h.evidence(rel.ID, func(b *relay.Bundle) {
			var err error
			b.Entry, b.Proof, err = h.DB.Proof(h.ctx(), h.logSize()-1, h.logSize())
			h.ok(err)
			b.Manifests = nil // they name the entry of before
		})
	}
	c.add("the log names both, once more", true, forged(bo.member.ID))
	c.add("the log names one member twice", false, forged(h.member.ID))
	// A relay that leaves the quorum out of the grant, and signs and logs all of it as if one
	// passkey were enough, is found out by the request.
	q := h.asks()
	alone, _ := h.signs(q, h.prepares(q))
	lone := unzip(t, h.evidence(alone.ID, nil))
	for name, raw := range lone {
		variant("with "+name+" of a grant for one", name == "README.txt" || strings.HasPrefix(name, "SHA256SUMS") || bytes.Equal(raw, members[name]), func(m map[string][]byte) { m[name] = raw })
	}
	claims := h.claims()
	claims.Onward.Federal = true
	token := h.token(claims)
	claims.Onward.Federal = false
	lie, e := relay.ReceiveRequest(relay.NewID(), h.kid, token, claims, h.Identity.Secret("jitter"), h.now)
	lie, _, err = h.DB.ReceiveRequest(h.ctx(), lie, e, time.Time{}, nil)
	h.ok(err)
	hidden, _ := h.signs(lie, h.prepares(lie))
	c.add("one passkey for a request that takes two", false, h.evidence(hidden.ID, nil))
	c.run()
}
