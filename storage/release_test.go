package storage

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cliplease/relay"
)

// allFail runs moves that must fail with want and leave neither a log entry nor a job.
func (h *home) allFail(want error, moves map[string]func() error) {
	h.t.Helper()
	for name, move := range moves {
		size, jobs := h.logSize(), h.allJobs()
		if err := move(); !errors.Is(err, want) {
			h.t.Errorf("%s: got error %v, want %v", name, err, want)
		}
		if h.logSize() != size || h.allJobs() != jobs {
			h.t.Errorf("%s failed and left an entry or a job behind", name)
		}
	}
}

func (h *home) allJobs() (n int) {
	h.t.Helper()
	h.ok(h.DB.read.QueryRowContext(h.ctx(), "SELECT count(*) FROM river_job").Scan(&n))
	return n
}

func TestReleaseMoves(t *testing.T) {
	forEachDB(t, func(t *testing.T, h *home) {
		ctx, db := h.ctx(), h.DB
		q := h.asks()
		_, err := db.PrepareRelease(ctx, "none", h.clip.ID, h.draft(q), h.member.ID, h.now)
		h.fails(err, relay.ErrNotFound)
		_, err = db.PrepareRelease(ctx, q.ID, "none", h.draft(q), h.member.ID, h.now)
		h.fails(err, relay.ErrNotFound)
		bad := h.draft(q)
		bad.To = bad.To.Add(time.Second)
		_, err = db.PrepareRelease(ctx, q.ID, h.clip.ID, bad, h.member.ID, h.now)
		if invalid := new(relay.InvalidError); !errors.As(err, &invalid) || invalid.Field != "from" {
			t.Errorf("a window outside the request: %v", err)
		}

		rel, err := db.PrepareRelease(ctx, q.ID, h.clip.ID, h.draft(q), h.member.ID, h.now)
		h.ok(err)
		stored, err := db.Release(ctx, rel.ID)
		h.ok(err)
		if diff := cmp.Diff(rel, stored); diff != "" {
			t.Error(diff)
		}
		h.ok(db.SetProgress(ctx, rel.ID, 1, 40))
		h.ok(db.SetProgress(ctx, rel.ID, 2, 99)) // of a round that is not this one
		if stored, _ = db.Release(ctx, rel.ID); stored.Progress != 40 {
			t.Errorf("progress is %d", stored.Progress)
		}
		h.allFail(relay.ErrConflict, map[string]func() error{
			"fail another round":   func() error { return db.PrepareFailed(ctx, rel.ID, 2, "late", h.now) },
			"finish another round": func() error { return db.Prepared(ctx, rel.ID, 2, rel.Copies, "o", 1, relay.Summary{}, nil, h.now) },
		})
		h.ok(db.PrepareFailed(ctx, rel.ID, 1, "no frame could be read", h.now))
		h.allFail(relay.ErrState, map[string]func() error{
			"finish a failed release": func() error { return db.Prepared(ctx, rel.ID, 1, rel.Copies, "o", 1, relay.Summary{}, nil, h.now) },
			"revoke a failed release": func() error { return db.RevokeRelease(ctx, rel.ID, h.member.ID, "", h.now) },
			"shred a failed release":  func() error { return db.Shredded(ctx, rel.ID, h.now) },
			"dispose of its clip":     func() error { return db.DisposeClip(ctx, h.clip.ID, h.member.ID, h.now) },
		})
		h.ok(db.EditRelease(ctx, rel.ID, h.draft(q), h.member.ID, h.now))
		rel = h.works(rel.ID)
		if rel.Round != 2 || rel.Failure != "" {
			t.Errorf("after an edit: %+v", rel)
		}
		first := rel.Copies
		h.ok(db.EditRelease(ctx, rel.ID, h.draft(q), h.member.ID, h.now))
		rel = h.works(rel.ID)
		for _, c := range rel.Copies {
			if slices.ContainsFunc(first, func(x relay.Copy) bool { return x.ID == c.ID }) {
				t.Error("a copy kept its id, and so its key, over an edit")
			}
		}
		if n := h.jobs("objects.dispose"); n != 2 {
			t.Errorf("%d jobs dispose of earlier rounds, want 2", n)
		}
		h.ok(db.DiscardRelease(ctx, rel.ID, h.member.ID, h.now))
		h.allFail(relay.ErrState, map[string]func() error{
			"discard twice": func() error { return db.DiscardRelease(ctx, rel.ID, h.member.ID, h.now) },
			"edit":          func() error { return db.EditRelease(ctx, rel.ID, h.draft(q), h.member.ID, h.now) },
			"sign":          func() error { return db.SignRelease(ctx, h.signing(q, rel, h.grant(q, rel)), h.now) },
		})
		h.shreds(rel.ID)
		h.fails(db.Shredded(ctx, rel.ID, h.now), relay.ErrState)

		live, _ := h.signs(q, h.prepares(q))
		h.allFail(relay.ErrState, map[string]func() error{
			"discard": func() error { return db.DiscardRelease(ctx, live.ID, h.member.ID, h.now) },
			"edit":    func() error { return db.EditRelease(ctx, live.ID, h.draft(q), h.member.ID, h.now) },
			"prepare": func() error { return db.Prepared(ctx, live.ID, 1, live.Copies, "o", 1, relay.Summary{}, nil, h.now) },
			"shred":   func() error { return db.Shredded(ctx, live.ID, h.now) },
		})
		got, err := db.Releases(ctx, 10, relay.ReleaseIsLive, relay.ReleaseInReview)
		h.ok(err)
		all, err := db.Releases(ctx, 10)
		h.ok(err)
		of, err := db.ReleasesOf(ctx, q.ID)
		h.ok(err)
		if len(got) != 1 || got[0].ID != live.ID || len(all) != 2 || len(of) != 2 {
			t.Errorf("%d live, %d in all, %d of the request", len(got), len(all), len(of))
		}
		_, err = db.Release(ctx, "none")
		h.fails(err, relay.ErrNotFound)
		_, err = db.GrantOf(ctx, rel.ID)
		h.fails(err, relay.ErrNotFound)
		g, err := db.GrantOf(ctx, live.ID)
		h.ok(err)
		if g.MemberID != h.member.ID || g.CredentialID != h.pass.id || string(g.Document) != string(live.Grant) || !g.CreatedAt.Equal(h.now) {
			t.Errorf("the grant is %+v", g)
		}
	})
}

// TestCeremonySingleUse signs with ceremonies that are used, too old, or of nobody, and with
// grants of something else than what is under review.
func TestCeremonySingleUse(t *testing.T) {
	forEachDB(t, func(t *testing.T, h *home) {
		ctx, db := h.ctx(), h.DB
		q := h.asks()
		rel := h.prepares(q)
		sign := func(change func(*Signing)) func() error {
			return func() error {
				s := h.signing(q, rel, h.grant(q, rel))
				change(&s)
				return db.SignRelease(ctx, s, h.now)
			}
		}
		regrant := func(change func(*relay.Grant)) func() error {
			return func() error {
				g := h.grant(q, rel)
				change(&g)
				return db.SignRelease(ctx, h.signing(q, rel, g), h.now)
			}
		}
		h.allFail(relay.ErrConflict, map[string]func() error{
			"no such ceremony": sign(func(s *Signing) { s.CeremonyID = "none" }),
			"no such passkey":  sign(func(s *Signing) { s.Signature.Credential.ID = "none" }),
			"another grant": sign(func(s *Signing) {
				s.Grant = h.grant(q, rel)
				s.Canonical, _ = s.Grant.Canonical()
			}),
			"begun by another":   sign(func(s *Signing) { s.Member = "none" }),
			"another's passkey":  sign(func(s *Signing) { s.Signature.Credential.MemberID = "none" }),
			"link with old hash": sign(func(s *Signing) { s.Links[1].Link.TokenHash = s.Links[0].Link.TokenHash }),
		})
		h.allFail(relay.ErrPolicy, map[string]func() error{
			"more views":     regrant(func(g *relay.Grant) { g.Access.MaxViews++ }),
			"longer":         regrant(func(g *relay.Grant) { g.Access.Expires = relay.Stamp(h.now.Add(100 * time.Hour)) }),
			"another file":   regrant(func(g *relay.Grant) { g.Outputs[0].FileSHA256 = hexSum("other") }),
			"fewer copies":   regrant(func(g *relay.Grant) { g.Outputs = g.Outputs[:1] }),
			"sound":          regrant(func(g *relay.Grant) { g.Scope.Audio = true }),
			"download":       regrant(func(g *relay.Grant) { g.Access.Download = true }),
			"another asker":  regrant(func(g *relay.Grant) { g.Request.SHA256 = hexSum("other") }),
			"wider window":   regrant(func(g *relay.Grant) { g.Scope.To = relay.Stamp(rel.Draft.To.Add(time.Second)) }),
			"not a grant":    regrant(func(g *relay.Grant) { g.Type = "cliplease.compelled" }),
			"not of consent": regrant(func(g *relay.Grant) { g.Basis = "compelled" }),
		})
		s := h.signing(q, rel, h.grant(q, rel))
		h.ok(db.SignRelease(ctx, s, h.now))
		h.fails(db.SignRelease(ctx, s, h.now), relay.ErrConflict)
		_, err := db.Ceremony(ctx, s.CeremonyID, "grant", h.now)
		h.fails(err, relay.ErrNotFound)

		rel = h.prepares(q)
		s = h.signing(q, rel, h.grant(q, rel))
		h.now = h.now.Add(5 * time.Minute)
		h.fails(db.SignRelease(ctx, s, h.now), relay.ErrConflict)
		_, err = db.Ceremony(ctx, s.CeremonyID, "grant", h.now)
		h.fails(err, relay.ErrNotFound)

		// A release that the redactor was unsure of needs a person's word.
		rel, err = db.PrepareRelease(ctx, q.ID, h.clip.ID, h.draft(q), h.member.ID, h.now)
		h.ok(err)
		for i := range rel.Copies {
			rel.Copies[i].SHA256, rel.Copies[i].Bytes, rel.Copies[i].Object = hexSum(rel.Copies[i].ID), 9, "o"
		}
		h.ok(db.Prepared(ctx, rel.ID, 1, rel.Copies, "", 0, relay.Summary{Masks: h.camera.Masks, Findings: []relay.Doubt{{At: 1, Kind: "face", Why: "small"}}}, nil, h.now))
		rel, err = db.Release(ctx, rel.ID)
		h.ok(err)
		if invalid := new(relay.InvalidError); !errors.As(sign(func(*Signing) {})(), &invalid) || invalid.Field != "looked" {
			t.Error("it was signed without a look")
		}
		h.ok(sign(func(s *Signing) { s.Looked = true })())
	})
}

// TestRaces lets moves that exclude one another meet.
func TestRaces(t *testing.T) {
	forEachDB(t, func(t *testing.T, h *home) {
		ctx, db := h.ctx(), h.DB
		both := func(moves ...func() error) (won int) {
			errs := make([]error, len(moves))
			var wg sync.WaitGroup
			start := make(chan struct{})
			for i, move := range moves {
				wg.Go(func() { <-start; errs[i] = move() })
			}
			close(start)
			wg.Wait()
			for _, err := range errs {
				if err == nil {
					won++
				} else if !errors.Is(err, relay.ErrConflict) && !errors.Is(err, relay.ErrState) && !errors.Is(err, relay.ErrNotFound) {
					t.Errorf("a lost race fails with %v", err)
				}
			}
			return won
		}
		q := h.asks()
		for range 5 {
			rel := h.prepares(q)
			s1, s2 := h.signing(q, rel, h.grant(q, rel)), h.signing(q, rel, h.grant(q, rel))
			if n := both(func() error { return db.SignRelease(ctx, s1, h.now) }, func() error { return db.SignRelease(ctx, s2, h.now) }); n != 1 {
				t.Errorf("two approvers at once: %d won", n)
			}
			if n := both(
				func() error { return db.RevokeRelease(ctx, rel.ID, h.member.ID, "", h.now) },
				func() error { return db.RevokeRelease(ctx, rel.ID, "command line", "", h.now) },
			); n != 1 {
				t.Errorf("two revokes at once: %d won", n)
			}
			// Approve and revoke: whichever comes first, nothing is live once revoke has said yes.
			rel = h.prepares(q)
			s := h.signing(q, rel, h.grant(q, rel))
			var revoked error
			both(func() error { return db.SignRelease(ctx, s, h.now) }, func() error {
				revoked = db.RevokeRelease(ctx, rel.ID, h.member.ID, "", h.now)
				return revoked
			})
			after, err := db.Release(ctx, rel.ID)
			h.ok(err)
			if revoked == nil && after.State != relay.ReleaseIsRevoked || revoked != nil && after.State != relay.ReleaseIsLive {
				t.Errorf("revoke said %v and the release is %s", revoked, after.State)
			}
			// Edit and discard, discard and sign.
			rel = h.prepares(q)
			s = h.signing(q, rel, h.grant(q, rel))
			if n := both(
				func() error { return db.DiscardRelease(ctx, rel.ID, h.member.ID, h.now) },
				func() error { return db.SignRelease(ctx, s, h.now) },
			); n != 1 {
				t.Errorf("discard and sign at once: %d won", n)
			}
		}
		// A view that begins while the lease is revoked is over when revoke returns.
		for range 10 {
			rel, s := h.signs(q, h.prepares(q))
			o := h.opens(s)
			h.ok(db.SendCode(ctx, o, "ABCD2345", hexSum("code"), nil, h.now))
			o, err := db.View(ctx, o.Session.TokenHash, "pre")
			h.ok(err)
			v := h.view(o)
			both(func() error { return db.RevokeRelease(ctx, rel.ID, h.member.ID, "", h.now) }, func() error { return db.StartView(ctx, o, v, h.now) })
			if _, err := db.View(ctx, v.TokenHash, "view"); !errors.Is(err, relay.ErrNotFound) {
				t.Errorf("a view runs on after the revoke: %v", err)
			}
		}
		// The agency's withdrawal and the end of its lease touch the same rows.
		rel, _ := h.signs(q, h.prepares(q))
		if n := both(
			func() error { return db.RevokeRelease(ctx, rel.ID, h.member.ID, "", h.now) },
			func() error {
				return db.UpdateRequest(ctx, q.ID, func(q *relay.Request) (relay.Event, error) { return q.Withdraw(h.now) })
			},
		); n == 0 {
			t.Error("neither withdrawal nor revoke went through")
		}
		// The same token twice at once is one request.
		c := h.claims()
		jws := h.token(c)
		file := func() error {
			q, e := relay.ReceiveRequest(relay.NewID(), h.kid, jws, c, nil, h.now)
			_, _, err := db.ReceiveRequest(ctx, q, e, h.now, nil)
			return err
		}
		if n := both(file, file, file, file); n != 4 {
			t.Errorf("one token four times: %d were answered", n)
		}
	})
}

// TestViewRace lets 100 browsers verify at once: exactly max_views get in.
func TestViewRace(t *testing.T) {
	forEachDB(t, func(t *testing.T, h *home) {
		_, s := h.leases()
		opened := make([]Opened, 100)
		for i := range opened {
			opened[i] = h.opens(s)
			mac := hexSum(opened[i].Session.TokenHash)
			h.corrupt("UPDATE view_sessions SET code_mac = $1, code_expires = $2 WHERE token_hash = $3", mac, ms(h.now.Add(relay.CodeLife)), opened[i].Session.TokenHash)
			opened[i].Session.CodeMAC = mac
		}
		var wg sync.WaitGroup
		errs := make([]error, len(opened))
		for i, o := range opened {
			v := h.view(o)
			wg.Go(func() { errs[i] = h.DB.StartView(h.ctx(), o, v, h.now) })
		}
		wg.Wait()
		in := 0
		for _, err := range errs {
			if err == nil {
				in++
			} else if !errors.Is(err, relay.ErrNotFound) {
				t.Error(err)
			}
		}
		if in != 5 {
			t.Errorf("%d of 100 came in, want 5", in)
		}
	})
}

func TestExpire(t *testing.T) {
	forEachDB(t, func(t *testing.T, h *home) {
		ctx, db := h.ctx(), h.DB
		rel, s := h.leases()
		o := h.opens(s)
		v := h.watches(o)
		review := h.prepares(h.asks())
		ended, err := db.ExpireReleases(ctx, rel.ExpiresAt.Add(-time.Second))
		h.ok(err)
		if len(ended) != 0 {
			t.Errorf("%v ended early", ended)
		}
		h.now = rel.ExpiresAt
		got, err := db.LinkByToken(ctx, s.Links[0].Link.TokenHash)
		h.ok(err)
		h.fails(got.Link.Usable(got.Release, h.now), relay.ErrNotFound) // before anybody swept
		ended, err = db.ExpireReleases(ctx, h.now)
		h.ok(err)
		if diff := cmp.Diff([]string{rel.ID}, ended); diff != "" {
			t.Error(diff)
		}
		_, err = db.View(ctx, v.TokenHash, "view")
		h.fails(err, relay.ErrNotFound)
		h.fails(db.RevokeRelease(ctx, rel.ID, h.member.ID, "", h.now), relay.ErrState)

		n, err := db.LapseRequests(ctx, h.now.Add(30*24*time.Hour))
		h.ok(err)
		if n != 2 {
			t.Errorf("%d requests lapsed, want 2", n)
		}
		n, err = db.LapseRequests(ctx, h.now.Add(30*24*time.Hour))
		h.ok(err)
		if n != 0 {
			t.Errorf("%d requests lapsed twice", n)
		}
		_, err = db.ExpireReleases(ctx, h.now)
		h.ok(err)
		if review, err = db.Release(ctx, review.ID); err != nil || review.State != relay.ReleaseIsDiscarded {
			t.Errorf("a release of a closed request is %s, %v", review.State, err)
		}
		h.shreds(rel.ID)
		h.shreds(review.ID)
		for _, id := range keysOf(t, h.Keys) {
			if id[0] != 'm' { // of a mail that waits
				t.Errorf("key %s is left", id)
			}
		}
	})
}

func keysOf(t *testing.T, k *Keys) (ids []string) {
	t.Helper()
	for id, err := range k.IDs(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}
