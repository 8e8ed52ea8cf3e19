package storage

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cliplease/relay"
)

func TestMembers(t *testing.T) {
	forEachDB(t, func(t *testing.T, h *home) {
		ctx, db := h.ctx(), h.DB
		invite := func(role relay.Role) string {
			v := Invitation{TokenHash: hexSum(relay.NewID()), Role: role, Name: "Bo", Email: "bo@home.example", InvitedBy: h.member.ID, ExpiresAt: h.now.Add(time.Hour)}
			h.ok(db.Invite(ctx, v, h.now))
			got, err := db.Invitation(ctx, v.TokenHash, h.now)
			h.ok(err)
			if diff := cmp.Diff(v, got); diff != "" {
				t.Error(diff)
			}
			return v.TokenHash
		}
		token := invite(relay.RoleApprover)
		_, err := db.Invitation(ctx, token, h.now.Add(time.Hour))
		h.fails(err, relay.ErrNotFound)
		bo := relay.Member{ID: relay.NewID(), Name: "Bo", Email: "bo@home.example", Role: relay.RoleApprover, CreatedAt: h.now}
		cred := Credential{ID: "cred-bo", MemberID: bo.ID, Name: "Key", Record: `{"n":1}`}
		h.allFail(relay.ErrConflict, map[string]func() error{
			"join too late":      func() error { return db.Join(ctx, token, bo, cred, h.now.Add(time.Hour)) },
			"join without being": func() error { return db.Join(ctx, hexSum("x"), bo, cred, h.now) },
			"with another's key": func() error { c := cred; c.ID = h.pass.id; return db.Join(ctx, token, bo, c, h.now) },
			"as somebody else":   func() error { m := bo; m.ID = h.member.ID; return db.Join(ctx, token, m, cred, h.now) },
			"one invitation hashed": func() error {
				return db.Invite(ctx, Invitation{TokenHash: token, Role: relay.RoleMember, ExpiresAt: h.now}, h.now)
			},
		})
		h.ok(db.Join(ctx, token, bo, cred, h.now))
		h.fails(db.Join(ctx, token, bo, cred, h.now), relay.ErrConflict)
		h.ok(db.AddCredential(ctx, Credential{ID: "cred-bo-2", MemberID: bo.ID, Name: "Phone", Record: "{}"}, h.now.Add(time.Second)))
		creds, err := db.Credentials(ctx, bo.ID)
		h.ok(err)
		if len(creds) != 2 || creds[0].ID != cred.ID || creds[0].Record != cred.Record {
			t.Errorf("passkeys: %+v", creds)
		}
		n, err := db.CountMembers(ctx)
		h.ok(err)
		all, err := db.Members(ctx)
		h.ok(err)
		if n != 2 || len(all) != 2 {
			t.Errorf("%d members counted, %d listed", n, len(all))
		}
		got, err := db.Member(ctx, bo.ID)
		h.ok(err)
		if diff := cmp.Diff(bo, got); diff != "" {
			t.Error(diff)
		}

		// Sessions.
		ceremony := Ceremony{ID: "c1", Kind: "sign_in", MemberID: bo.ID, Subject: "s", Session: `{"challenge":"x"}`, Document: "d", ExpiresAt: h.now.Add(5 * time.Minute)}
		h.ok(db.SaveCeremony(ctx, ceremony))
		gotC, err := db.Ceremony(ctx, "c1", "sign_in", h.now)
		h.ok(err)
		if diff := cmp.Diff(ceremony, gotC); diff != "" {
			t.Error(diff)
		}
		_, err = db.Ceremony(ctx, "c1", "grant", h.now)
		h.fails(err, relay.ErrNotFound)
		s := Session{TokenHash: hexSum("session"), MemberID: bo.ID, Agent: "Firefox", CreatedAt: h.now, SeenAt: h.now, ExpiresAt: h.now.Add(12 * time.Hour)}
		cred.Record = `{"n":2}`
		h.ok(db.SignIn(ctx, "c1", cred, s, h.now))
		h.allFail(relay.ErrConflict, map[string]func() error{"sign in twice": func() error { return db.SignIn(ctx, "c1", cred, s, h.now) }})
		creds, err = db.Credentials(ctx, bo.ID)
		h.ok(err)
		if creds[0].Record != `{"n":2}` || !creds[0].UsedAt.Equal(h.now) {
			t.Errorf("the passkey's counter is lost: %+v", creds[0])
		}
		gotS, gotM, err := db.SessionMember(ctx, s.TokenHash, 30*time.Minute, h.now)
		h.ok(err)
		if diff := cmp.Diff(s, gotS); diff != "" || gotM.ID != bo.ID {
			t.Error(diff)
		}
		for name, now := range map[string]time.Time{"idle": h.now.Add(30 * time.Minute), "old": s.ExpiresAt} {
			if _, _, err := db.SessionMember(ctx, s.TokenHash, 30*time.Minute, now); !errors.Is(err, relay.ErrNotFound) {
				t.Errorf("an %s session works: %v", name, err)
			}
		}
		h.ok(db.TouchSession(ctx, s.TokenHash, h.now.Add(29*time.Minute)))
		_, _, err = db.SessionMember(ctx, s.TokenHash, 30*time.Minute, h.now.Add(58*time.Minute))
		h.ok(err)
		h.ok(db.EndSession(ctx, h.member.ID, s.TokenHash)) // another's: nothing happens
		list, err := db.Sessions(ctx, bo.ID)
		h.ok(err)
		if len(list) != 1 {
			t.Errorf("%d sessions", len(list))
		}
		h.ok(db.EndSession(ctx, bo.ID, s.TokenHash))
		_, _, err = db.SessionMember(ctx, s.TokenHash, 30*time.Minute, h.now)
		h.fails(err, relay.ErrNotFound)
		h.ok(db.SaveCeremony(ctx, Ceremony{ID: "c2", Kind: "register", Session: "{}", ExpiresAt: h.now.Add(time.Minute)}))
		h.ok(db.TakeCeremony(ctx, "c2", h.now))
		h.fails(db.TakeCeremony(ctx, "c2", h.now), relay.ErrConflict)

		// Leaving.
		s.TokenHash = hexSum("session 2")
		h.ok(db.StartSession(ctx, s, h.now))
		h.ok(db.RemoveMember(ctx, bo.ID, h.member.ID, h.now))
		h.allFail(relay.ErrConflict, map[string]func() error{"remove twice": func() error { return db.RemoveMember(ctx, bo.ID, h.member.ID, h.now) }})
		h.allFail(relay.ErrPolicy, map[string]func() error{"remove the last": func() error { return db.RemoveMember(ctx, h.member.ID, h.member.ID, h.now) }})
		_, _, err = db.SessionMember(ctx, s.TokenHash, 30*time.Minute, h.now)
		h.fails(err, relay.ErrNotFound)
		_, err = db.Member(ctx, bo.ID)
		h.fails(err, relay.ErrNotFound)
		if creds, err = db.Credentials(ctx, bo.ID); err != nil || len(creds) != 0 {
			t.Errorf("a member who left has passkeys: %v, %v", creds, err)
		}
		h.ok(db.SaveCeremony(ctx, Ceremony{ID: "c3", Kind: "sign_in", Session: "{}", ExpiresAt: h.now.Add(time.Minute)}))
		h.fails(db.SignIn(ctx, "c3", cred, s, h.now), relay.ErrConflict)
	})
}

func TestAgencies(t *testing.T) {
	forEachDB(t, func(t *testing.T, h *home) {
		ctx, db := h.ctx(), h.DB
		got, err := db.Agency(ctx, h.agency.ID)
		h.ok(err)
		if diff := cmp.Diff(h.agency, got); diff != "" {
			t.Error(diff)
		}
		other := h.agency
		other.ID, other.Name = "urn:cliplease:agency:another", "Another"
		bad := other
		bad.Domains = []string{"PD.example"}
		if invalid := new(relay.InvalidError); !errors.As(db.RegisterAgency(ctx, bad, nil, "x", h.now), &invalid) {
			t.Error("an agency with a wrong domain was taken")
		}
		keys, err := db.AgencyKeys(ctx, h.agency.ID)
		h.ok(err)
		h.allFail(relay.ErrConflict, map[string]func() error{
			"the same again":            func() error { return db.RegisterAgency(ctx, h.agency, nil, "x", h.now) },
			"another with the same key": func() error { return db.RegisterAgency(ctx, other, keys, "x", h.now) },
			"a key that is there":       func() error { return db.AddAgencyKey(ctx, keys[0], "x", h.now) },
			"activate what is":          func() error { return db.SetAgencyStatus(ctx, h.agency.ID, relay.AgencyActive, "x", h.now) },
			"suspend whom nobody knows": func() error { return db.SetAgencyStatus(ctx, "x", relay.AgencySuspended, "x", h.now) },
			"make a key what it is":     func() error { return db.SetKeyStatus(ctx, h.kid, relay.KeyActive, "x", h.now) },
			"retire what nobody pinned": func() error { return db.SetKeyStatus(ctx, "x", relay.KeyRetired, "x", h.now) },
		})
		h.ok(db.SetAgencyStatus(ctx, h.agency.ID, relay.AgencySuspended, h.member.ID, h.now))
		h.ok(db.SetKeyStatus(ctx, h.kid, relay.KeyRetired, h.member.ID, h.now))
		h.allFail(relay.ErrConflict, map[string]func() error{
			"a retired key becomes active": func() error { return db.SetKeyStatus(ctx, h.kid, relay.KeyActive, "x", h.now) },
		})
		h.ok(db.SetKeyStatus(ctx, h.kid, relay.KeyCompromised, h.member.ID, h.now))
		for _, status := range []relay.KeyStatus{relay.KeyActive, relay.KeyRetired} {
			h.fails(db.SetKeyStatus(ctx, h.kid, status, "x", h.now), relay.ErrConflict)
		}
		k, err := db.AgencyKey(ctx, h.kid)
		h.ok(err)
		if k.Status != relay.KeyCompromised || k.Usable(h.now) == nil {
			t.Errorf("the key is %+v", k)
		}
		all, err := db.Agencies(ctx)
		h.ok(err)
		if len(all) != 1 || all[0].Status != relay.AgencySuspended {
			t.Errorf("agencies: %+v", all)
		}
		_, err = db.Agency(ctx, "none")
		h.fails(err, relay.ErrNotFound)
		_, err = db.AgencyKey(ctx, "none")
		h.fails(err, relay.ErrNotFound)
		h.ok(db.UseToken(ctx, h.agency.ID, "a", h.now))
		h.fails(db.UseToken(ctx, h.agency.ID, "a", h.now), relay.ErrConflict)
		h.ok(db.UseToken(ctx, "urn:other", "a", h.now))
	})
}

func TestRequests(t *testing.T) {
	forEachDB(t, func(t *testing.T, h *home) {
		ctx, db := h.ctx(), h.DB
		q := h.asks()
		got, err := db.Request(ctx, q.ID)
		h.ok(err)
		if diff := cmp.Diff(q, got); diff != "" {
			t.Error(diff)
		}
		size := h.logSize()
		again, e := relay.ReceiveRequest(relay.NewID(), h.kid, q.JWS, q.Claims, nil, h.now)
		stored, repeated, err := db.ReceiveRequest(ctx, again, e, h.now, func([]relay.Request) error { return relay.ErrPolicy })
		h.ok(err)
		if !repeated || stored.ID != q.ID || h.logSize() != size {
			t.Errorf("the same token again: %+v", stored)
		}
		h.allFail(relay.ErrConflict, map[string]func() error{"a jti for another request": func() error {
			other, e := relay.ReceiveRequest(relay.NewID(), h.kid, q.JWS+"x", q.Claims, nil, h.now)
			_, _, err := db.ReceiveRequest(ctx, other, e, h.now, nil)
			return err
		}})
		h.allFail(relay.ErrPolicy, map[string]func() error{"more than it may": func() error {
			c := h.claims()
			next, e := relay.ReceiveRequest(relay.NewID(), h.kid, h.token(c), c, nil, h.now)
			_, _, err := db.ReceiveRequest(ctx, next, e, h.now.Add(-time.Hour), func(earlier []relay.Request) error {
				if len(earlier) != 1 || earlier[0].ID != q.ID {
					t.Errorf("earlier requests: %+v", earlier)
				}
				return relay.ErrPolicy
			})
			return err
		}})
		_, err = db.AgencyRequest(ctx, "urn:other", q.ID)
		h.fails(err, relay.ErrNotFound)
		_, err = db.Request(ctx, "none")
		h.fails(err, relay.ErrNotFound)

		move := func(change func(*relay.Request) (relay.Event, error)) error {
			return db.UpdateRequest(ctx, q.ID, change)
		}
		h.ok(move(func(q *relay.Request) (relay.Event, error) { return q.See(h.member.ID, h.now) }))
		h.allFail(relay.ErrState, map[string]func() error{
			"seen twice": func() error {
				return move(func(q *relay.Request) (relay.Event, error) { return q.See(h.member.ID, h.now) })
			},
			"too early": func() error { return move(func(q *relay.Request) (relay.Event, error) { return q.Lapse(h.now) }) },
		})
		// Somebody else moves it between the reading and the writing.
		h.allFail(relay.ErrConflict, map[string]func() error{"a lost race": func() error {
			return move(func(q *relay.Request) (relay.Event, error) {
				q.ID = "gone" // what the condition looks for is not there
				return q.Decline(h.member.ID, h.now)
			})
		}})
		before, err := db.Request(ctx, q.ID)
		h.ok(err)
		h.ok(move(func(q *relay.Request) (relay.Event, error) { return q.Decline(h.member.ID, h.now) }))
		after, err := db.Request(ctx, q.ID)
		h.ok(err)
		if diff := cmp.Diff(before.AgencyView(h.now), after.AgencyView(h.now)); diff != "" || after.Reason != relay.ClosedDeclined {
			t.Errorf("the agency sees that it was declined: %s", diff)
		}
		// The agency cannot learn from its withdrawal either.
		h.ok(move(func(q *relay.Request) (relay.Event, error) { return q.Withdraw(h.now) }))
		h.fails(move(func(q *relay.Request) (relay.Event, error) { return q.Withdraw(h.now) }), relay.ErrState)
		open, err := db.Requests(ctx, relay.RequestPending, 10)
		h.ok(err)
		all, err := db.Requests(ctx, "", 10)
		h.ok(err)
		if len(open) != 0 || len(all) != 1 {
			t.Errorf("%d pending of %d", len(open), len(all))
		}
		_, err = db.PrepareRelease(ctx, q.ID, h.clip.ID, h.draft(q), h.member.ID, h.now)
		h.fails(err, relay.ErrState)
	})
}

func TestClips(t *testing.T) {
	forEachDB(t, func(t *testing.T, h *home) {
		ctx, db := h.ctx(), h.DB
		got, err := db.Clip(ctx, h.clip.ID)
		h.ok(err)
		if diff := cmp.Diff(h.clip, got); diff != "" {
			t.Error(diff)
		}
		for _, key := range []string{h.camera.ID, h.camera.Handle} {
			cam, err := db.Camera(ctx, key)
			h.ok(err)
			if diff := cmp.Diff(h.camera, cam); diff != "" {
				t.Error(diff)
			}
		}
		renamed := h.camera
		renamed.Name, renamed.Interior, renamed.Masks = "Porch", true, nil
		h.ok(db.SaveCamera(ctx, renamed, h.member.ID, h.now))
		second := relay.Camera{ID: relay.NewID(), Handle: h.camera.Handle, Name: "Back", Zone: "UTC", CreatedAt: h.now}
		again := h.clip
		again.ID = relay.NewID()
		h.allFail(relay.ErrConflict, map[string]func() error{
			"a handle that is taken":  func() error { return db.SaveCamera(ctx, second, h.member.ID, h.now) },
			"the same footage again":  func() error { return db.AddClip(ctx, again, h.member.ID, h.now) },
			"a look at what is ready": func() error { return db.ClipLooked(ctx, h.clip, h.now) },
			"a look at what is not":   func() error { return db.ClipLooked(ctx, again, h.now) },
		})
		cams, err := db.Cameras(ctx)
		h.ok(err)
		if len(cams) != 1 || cams[0].Name != "Porch" || !cams[0].Interior || len(cams[0].Masks) != 1 { // masks have a way of their own
			t.Errorf("cameras: %+v", cams)
		}
		bad := relay.Clip{ID: relay.NewID(), CameraID: h.camera.ID, Start: h.now, State: relay.ClipReceived, Object: "o1", SHA256: "s", CreatedAt: h.now}
		h.ok(db.AddClip(ctx, bad, h.member.ID, h.now))
		bad.State, bad.Reason = relay.ClipRefused, "no video in it"
		h.ok(db.ClipLooked(ctx, bad, h.now))
		for _, tt := range []struct {
			name string
			f    ClipFilter
			want int
		}{
			{"all", ClipFilter{}, 2},
			{"ready", ClipFilter{State: relay.ClipReady}, 1},
			{"one camera", ClipFilter{CameraID: h.camera.ID}, 2},
			{"no camera", ClipFilter{CameraID: "none"}, 0},
			{"inside", ClipFilter{From: h.clip.Start.Add(time.Minute), To: h.clip.Start.Add(70 * time.Second)}, 1},
			{"before", ClipFilter{To: h.clip.Start}, 0},
			{"after", ClipFilter{From: h.clip.End().Add(time.Second), State: relay.ClipReady}, 0},
			{"one", ClipFilter{Limit: 1}, 1},
		} {
			clips, err := db.Clips(ctx, tt.f)
			if err != nil || len(clips) != tt.want {
				t.Errorf("%s: %d clips, %v; want %d", tt.name, len(clips), err, tt.want)
			}
		}
		h.ok(db.SaveCamera(ctx, h.camera, h.member.ID, h.now)) // looks outside again: one member can sign
		rel, _ := h.leases()                                   // a live lease does not need the original
		h.ok(db.DisposeClip(ctx, h.clip.ID, h.member.ID, h.now))
		h.fails(db.DisposeClip(ctx, h.clip.ID, h.member.ID, h.now), relay.ErrState)
		h.fails(db.DisposeClip(ctx, "none", h.member.ID, h.now), relay.ErrNotFound)
		gone, err := db.Clip(ctx, h.clip.ID)
		h.ok(err)
		if gone.State != relay.ClipDisposed || gone.Object != "" || len(gone.Stills) != 0 || gone.SHA256 != h.clip.SHA256 {
			t.Errorf("after disposal: %+v", gone)
		}
		h.ok(rel.Accessible(h.now))
	})
}
