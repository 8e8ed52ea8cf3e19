package relay

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

var start = time.Date(2026, 11, 22, 16, 0, 0, 0, time.UTC)

// asked is a pending request, a clip that answers it and a draft that fits both.
func asked() (Request, Clip, Draft) {
	c := Claims{Issuer: "urn:cliplease:agency:a", TokenID: "jti", Case: Case{Ref: "C-1"}, Purpose: Purpose{Code: PurposeBurglary},
		Scope:      Scope{From: start.Add(-time.Hour), To: start.Add(-50 * time.Minute), MaxDuration: 300},
		Recipients: []RecipientAsk{{Kind: RecipientEmail, Addr: "a@pd.example", Name: "A"}, {Kind: RecipientKey, KID: "k"}},
		RespondBy:  start.Add(24 * time.Hour)}
	q, _ := ReceiveRequest("q1", "k", "a.b.c", c, []byte("jitter key"), start)
	clip := Clip{ID: "c1", State: ClipReady, Start: c.Scope.From.Add(-time.Minute), Duration: 20 * time.Minute}
	d := Draft{From: c.Scope.From, To: c.Scope.From.Add(2 * time.Minute), Style: StyleBlur, Targets: []string{"faces", "plates"},
		Recipients: []Recipient{{Kind: RecipientEmail, Addr: "a@pd.example", Name: "A"}}, Expires: start.Add(24 * time.Hour), MaxViews: 3}
	return q, clip, d
}

// grantOf is the grant that covers exactly rel.
func grantOf(q Request, rel Release) Grant {
	g := Grant{V: 1, Type: "cliplease.grant", Basis: "consent", GrantID: "g1", By: GrantBy{Member: "m1"},
		Request: GrantRequest{SHA256: q.SHA256, Agency: q.AgencyID},
		Scope:   GrantScope{From: Stamp(rel.Draft.From), To: Stamp(rel.Draft.To)},
		Access:  GrantAccess{Expires: Stamp(rel.Draft.Expires), MaxViews: rel.Draft.MaxViews, Download: rel.Draft.Download}}
	if _, made, err := rel.MadeWith(); err == nil {
		g.Redaction.StaticMasks = made
	}
	for _, c := range rel.Copies {
		g.Outputs = append(g.Outputs, GrantOutput{Recipient: c.ID, Kind: string(c.Recipient.Kind), FileSHA256: c.SHA256, Bytes: c.Bytes})
	}
	return g
}

// signedBy is member m1 alone.
func signedBy(looked bool) []Signer {
	return []Signer{{Member: "m1", Role: RoleHomeowner, Key: "k1", Looked: looked}}
}

// releaseIn is a release in a state, as the moves that lead there leave it.
func releaseIn(t *testing.T, state ReleaseState, q Request, clip Clip, d Draft) Release {
	t.Helper()
	rel, _, err := PrepareRelease("r1", q, clip, d, "m1", start)
	must := func(_ Event, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(Event{}, err)
	review := func() {
		copies := slices.Clone(rel.Copies)
		for i := range copies {
			copies[i].SHA256, copies[i].Bytes, copies[i].Object = strings.Repeat("ab", 32), 9, "o1"
		}
		must(rel.Prepared(1, copies, "proxy", 1, Summary{}, start))
	}
	live := func() {
		review()
		g := grantOf(q, rel)
		canonical, err := g.Canonical()
		must(Event{}, err)
		must(rel.Sign(q, g, canonical, nil, signedBy(false), nil, start))
	}
	switch state {
	case ReleaseIsPreparing:
	case ReleaseIsFailed:
		must(rel.Fail(1, "broken", start))
	case ReleaseInReview:
		review()
	case ReleaseIsLive:
		live()
	case ReleaseIsRevoked:
		live()
		must(rel.Revoke("m1", "", start))
	case ReleaseIsExpired:
		live()
		must(rel.Expire(d.Expires))
	case ReleaseIsDiscarded:
		must(rel.Discard("m1", start))
	}
	if rel.State != state {
		t.Fatalf("the moves to %s lead to %s", state, rel.State)
	}
	return rel
}

var releaseStates = []ReleaseState{ReleaseIsPreparing, ReleaseIsFailed, ReleaseInReview, ReleaseIsLive, ReleaseIsRevoked, ReleaseIsExpired, ReleaseIsDiscarded}

// TestReleaseMoves tries every move in every state: a move is possible exactly where the table
// says, its event is the one that the log knows, and a refused move changes nothing.
func TestReleaseMoves(t *testing.T) {
	q, clip, d := asked()
	for _, move := range []struct {
		name  string
		from  []ReleaseState
		to    ReleaseState // "" keeps the state
		event EventKind
		do    func(*Release) (Event, error)
	}{
		{"prepared", []ReleaseState{ReleaseIsPreparing}, ReleaseInReview, ReleasePrepared, func(r *Release) (Event, error) {
			return r.Prepared(1, r.Copies, "p", 1, Summary{}, start)
		}},
		{"fail", []ReleaseState{ReleaseIsPreparing}, ReleaseIsFailed, ReleaseFailed, func(r *Release) (Event, error) { return r.Fail(1, "x", start) }},
		{"edit", []ReleaseState{ReleaseInReview, ReleaseIsFailed}, ReleaseIsPreparing, ReleaseEdited, func(r *Release) (Event, error) {
			return r.Edit(q, clip, d, "m1", start)
		}},
		{"discard", []ReleaseState{ReleaseIsPreparing, ReleaseIsFailed, ReleaseInReview}, ReleaseIsDiscarded, ReleaseDiscarded, func(r *Release) (Event, error) {
			return r.Discard("m1", start)
		}},
		{"sign", []ReleaseState{ReleaseInReview}, ReleaseIsLive, ReleaseGranted, func(r *Release) (Event, error) {
			g := grantOf(q, *r)
			canonical, err := g.Canonical()
			if err != nil {
				return Event{}, err
			}
			return r.Sign(q, g, canonical, nil, signedBy(false), nil, start)
		}},
		{"revoke", []ReleaseState{ReleaseIsLive}, ReleaseIsRevoked, ReleaseRevoked, func(r *Release) (Event, error) { return r.Revoke("m1", "no", start) }},
		{"expire", []ReleaseState{ReleaseIsLive}, ReleaseIsExpired, ReleaseExpired, func(r *Release) (Event, error) { return r.Expire(d.Expires) }},
		{"shred", []ReleaseState{ReleaseIsRevoked, ReleaseIsExpired, ReleaseIsDiscarded}, "", ReleaseShredded, func(r *Release) (Event, error) { return r.Shred(start) }},
	} {
		for _, state := range releaseStates {
			t.Run(move.name+" when "+string(state), func(t *testing.T) {
				rel := releaseIn(t, state, q, clip, d)
				before := rel
				before.Copies = slices.Clone(rel.Copies)
				e, err := move.do(&rel)
				allowed := slices.Contains(move.from, state)
				after, known := state.After(move.event)
				if known != allowed {
					t.Errorf("the log allows it: %t, the rules: %t", known, allowed)
				}
				if !allowed {
					if !errors.Is(err, ErrState) || e.Kind != "" {
						t.Errorf("got event %q and error %v, want ErrState alone", e.Kind, err)
					}
					if diff := cmp.Diff(before, rel); diff != "" {
						t.Errorf("a refused move changed the release: %s", diff)
					}
					return
				}
				want := move.to
				if want == "" {
					want = state
				}
				if err != nil || rel.State != want || after != want || e.Kind != move.event || e.Subject != "r1" || e.Actor == "" || e.At.IsZero() {
					t.Errorf("is %s (the log says %s) with event %+v, error %v; want %s", rel.State, after, e, err, want)
				}
				if ended := rel.State.Ended(); ended != (rel.Epoch == 1) || ended == rel.EndedAt.IsZero() {
					t.Errorf("%s in epoch %d, ended at %s", rel.State, rel.Epoch, rel.EndedAt)
				}
				if (rel.Accessible(start) == nil) != (rel.State == ReleaseIsLive) {
					t.Errorf("a release that is %s: %v", rel.State, rel.Accessible(start))
				}
				if _, err := move.do(&rel); err == nil && move.name != "edit" {
					t.Error("the same move went twice")
				}
			})
		}
	}
	if _, ok := ReleaseState("").After(ReleasePreparing); !ok {
		t.Error("the log does not let a release begin")
	}
	if _, ok := ReleaseState("").After(LinkOpened); ok {
		t.Error("the log lets a link be opened before there is a release")
	}
}

// TestNoReleaseWithoutGrant walks many random ways through all moves, for requests that one
// member can answer and for those that take two, with members who may sign and who may not,
// copies that passed their checks and copies that did not: whatever the order, a release is
// only ever accessible between a grant with as many different signers as it needs and its end,
// and never with a failed check.
func TestNoReleaseWithoutGrant(t *testing.T) {
	signers := []Signer{
		{Member: "m1", Role: RoleHomeowner, Key: "k1", Looked: true}, {Member: "m2", Role: RoleApprover, Key: "k2", Looked: true},
		{Member: "m1", Role: RoleHomeowner, Key: "k3", Looked: true}, {Member: "m3", Role: RoleMember, Key: "k4", Looked: true},
		{Member: "m4", Role: RoleApprover, Key: "k1", Looked: true}, {Member: "m5", Role: RoleApprover, Key: "k5"},
	}
	lives := map[int]int{}
	for seed := range 6000 {
		dice := rand.New(rand.NewPCG(uint64(seed), 1))
		q, clip, d := asked()
		q.Claims.Onward.Federal = dice.IntN(2) == 0
		need := QuorumOf(q, d, Camera{Interior: dice.IntN(3) == 0}, 0)
		rel, _, err := PrepareRelease("r1", q, clip, d, "m1", start)
		if err != nil {
			t.Fatal(err)
		}
		var by []Signer
		signed, ended, failed := false, false, false
		for range 12 {
			switch dice.IntN(9) {
			case 0, 1:
				copies := slices.Clone(rel.Copies)
				for i := range copies {
					copies[i].SHA256 = "ab"
				}
				bad := dice.IntN(4) == 0
				if _, err := rel.Prepared(rel.Round, copies, "p", 1, Summary{Gates: []Gate{{Name: "g", OK: !bad}}}, start); err == nil {
					failed, by = bad, nil
				}
			case 2:
				if dice.IntN(3) == 0 {
					_, _ = rel.Fail(rel.Round, "x", start)
				}
			case 3:
				if _, err := rel.Edit(q, clip, d, "m1", start); err == nil {
					by = nil
				}
			case 4:
				if dice.IntN(4) == 0 {
					_, _ = rel.Discard("m1", start)
				}
			case 5, 6:
				g := grantOf(q, rel)
				g.Quorum = need
				if dice.IntN(8) == 0 {
					g.Quorum = nil // as if one were enough
				}
				canonical, _ := g.Canonical()
				next := append(slices.Clone(by), signers[dice.IntN(len(signers))])
				if e, err := rel.Sign(q, g, canonical, need, next, nil, start); err == nil {
					by, signed = next, e.Kind == ReleaseGranted
				}
			case 7:
				if _, err := rel.Revoke("m1", "", start); err == nil {
					ended = true
				}
			case 8:
				if _, err := rel.Expire(d.Expires); err == nil {
					ended = true
				}
			}
			open := rel.Accessible(start) == nil
			if open != (signed && !ended) || open && len(rel.Grant) == 0 {
				t.Fatalf("way %d: accessible %t, signed %t, ended %t, state %s", seed, open, signed, ended, rel.State)
			}
			if !open {
				continue
			}
			members, keys := map[string]bool{}, map[string]bool{}
			for _, s := range by {
				members[s.Member], keys[s.Key] = true, true
				if !s.Role.CanSign() || rel.NeedsLook && !s.Looked {
					t.Fatalf("way %d: live by %+v", seed, s)
				}
			}
			want := 1
			if need != nil {
				want = need.Needed
			}
			if len(members) != want || len(keys) != want || len(by) != want || failed {
				t.Fatalf("way %d: live with %+v, want %d different signers; a check failed: %t", seed, by, want, failed)
			}
			lives[want]++
		}
	}
	if lives[1] < 50 || lives[2] < 50 {
		t.Errorf("too few ways lead anywhere: %v", lives)
	}
}

// TestQuorum lists what one member cannot give away alone, and what counts as a signature.
func TestQuorum(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Request, *Draft, *Camera)
		want   *GrantQuorum
	}{
		{"plain", func(*Request, *Draft, *Camera) {}, nil},
		{"exactly 15 minutes", func(_ *Request, d *Draft, _ *Camera) { d.To = d.From.Add(15 * time.Minute) }, nil},
		{"longer", func(_ *Request, d *Draft, _ *Camera) { d.To = d.From.Add(15*time.Minute + time.Second) }, &GrantQuorum{2, []Sensitivity{SensitiveLong}}},
		{"urgent", func(q *Request, _ *Draft, _ *Camera) { q.Claims.Lane = LaneExigent }, &GrantQuorum{2, []Sensitivity{SensitiveUrgent}}},
		{"interior", func(_ *Request, _ *Draft, c *Camera) { c.Interior = true }, &GrantQuorum{2, []Sensitivity{SensitiveInterior}}},
		{"federal", func(q *Request, _ *Draft, _ *Camera) { q.Claims.Onward.Federal = true }, &GrantQuorum{2, []Sensitivity{SensitiveFederal}}},
		{"by rule", func(q *Request, _ *Draft, _ *Camera) { q.Verdict.Quorum = 3 }, &GrantQuorum{3, []Sensitivity{SensitiveRule}}},
		{"by a rule that asks for more than there can be", func(q *Request, _ *Draft, _ *Camera) { q.Verdict.Quorum = 9 }, &GrantQuorum{5, []Sensitivity{SensitiveRule}}},
		{"several", func(q *Request, _ *Draft, c *Camera) { q.Claims.Onward.Federal, c.Interior = true, true }, &GrantQuorum{2, []Sensitivity{SensitiveFederal, SensitiveInterior}}},
	} {
		q, _, d := asked()
		var c Camera
		tt.change(&q, &d, &c)
		if diff := cmp.Diff(tt.want, QuorumOf(q, d, c, 0)); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
	q, _, d := asked()
	if diff := cmp.Diff(&GrantQuorum{2, []Sensitivity{SensitiveUnredacted}}, QuorumOf(q, d, Camera{}, 1)); diff != "" {
		t.Errorf("something left visible: %s", diff)
	}
	if quorum(Claims{}, time.Minute, true, 0, false, 0) == nil || quorum(Claims{}, time.Minute, false, 1, false, 0) == nil {
		t.Error("sound or something unhidden needs no second signature")
	}
	f := Freeze{Why: FrozenByPanic, Until: start}
	if f.Check(start) != nil || f.Check(start.Add(-1)) == nil {
		t.Error("a freeze ends at another moment than it says")
	}
}

func TestSign(t *testing.T) {
	q, clip, d := asked()
	for _, tt := range []struct {
		name   string
		change func(*Release, *Request, *Grant)
		looked bool
		now    time.Time
		err    error // nil with field: an InvalidError
		field  string
	}{
		{"unsure, not looked", func(r *Release, _ *Request, _ *Grant) { r.NeedsLook = true }, false, start, nil, "looked"},
		{"request declined", func(_ *Release, q *Request, _ *Grant) { q.State = RequestClosed }, false, start, ErrState, ""},
		{"request past its deadline", func(*Release, *Request, *Grant) {}, false, q.RespondBy, ErrState, ""},
		{"grant expired", func(*Release, *Request, *Grant) {}, false, d.Expires, ErrState, ""},
		{"a check failed", func(r *Release, _ *Request, _ *Grant) {
			r.Summary = []byte(`{"gates":[{"name":"streams","ok":true},{"name":"metadata","ok":false}]}`)
		}, true, start, nil, "-"},
		{"a summary that cannot be read", func(r *Release, _ *Request, _ *Grant) { r.Summary = nil }, true, start, nil, ""},
		{"by another than the grant says", func(_ *Release, _ *Request, g *Grant) { g.By.Member = "m2" }, false, start, ErrPolicy, ""},
		{"for two, as if for one", func(_ *Release, q *Request, _ *Grant) { q.Claims.Onward.Federal = true }, false, start, ErrPolicy, ""},
		{"for one, as if for two", func(_ *Release, _ *Request, g *Grant) { g.Quorum = &GrantQuorum{2, []Sensitivity{SensitiveInterior}} }, false, start, ErrPolicy, ""},
		{"copy without a digest", func(r *Release, _ *Request, g *Grant) { r.Copies[0].SHA256, g.Outputs[0].FileSHA256 = "", "" }, false, start, ErrPolicy, ""},
		{"a copy too much", func(_ *Release, _ *Request, g *Grant) { g.Outputs = append(g.Outputs, g.Outputs[0]) }, false, start, ErrPolicy, ""},
		{"another agency", func(_ *Release, _ *Request, g *Grant) { g.Request.Agency = "urn:x" }, false, start, ErrPolicy, ""},
		{"more bytes", func(_ *Release, _ *Request, g *Grant) { g.Outputs[0].Bytes++ }, false, start, ErrPolicy, ""},
		{"another set of masks", func(_ *Release, _ *Request, g *Grant) { g.Redaction.StaticMasks = strings.Repeat("0", 64) }, false, start, ErrPolicy, ""},
		{"another kind", func(_ *Release, _ *Request, g *Grant) { g.Outputs[0].Kind = "key" }, false, start, ErrPolicy, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := d
			if tt.name == "request past its deadline" {
				d.Expires = start.Add(30 * 24 * time.Hour)
			}
			q := q
			rel := releaseIn(t, ReleaseInReview, q, clip, d)
			g := grantOf(q, rel)
			tt.change(&rel, &q, &g)
			_, err := rel.Sign(q, g, []byte("{}"), nil, signedBy(tt.looked), nil, tt.now)
			invalid := new(InvalidError)
			if err == nil || tt.field != "" && (!errors.As(err, &invalid) || invalid.Field != strings.Trim(tt.field, "-")) || tt.err != nil && !errors.Is(err, tt.err) || rel.State != ReleaseInReview {
				t.Errorf("got %v in state %s", err, rel.State)
			}
		})
	}
	rel := releaseIn(t, ReleaseIsLive, q, clip, d)
	if _, err := rel.Revoke("m1", strings.Repeat("x", ReasonMaxBytes+1), start); err == nil || rel.State != ReleaseIsLive {
		t.Errorf("a reason too long: %v, %s", err, rel.State)
	}
	if _, err := rel.Expire(d.Expires.Add(-time.Nanosecond)); !errors.Is(err, ErrState) {
		t.Errorf("it expired early: %v", err)
	}
	if rel.Accessible(d.Expires.Add(-time.Nanosecond)) != nil || rel.Accessible(d.Expires) == nil {
		t.Error("access ends at another moment than the lease")
	}
}

func TestDraft(t *testing.T) {
	q, clip, good := asked()
	for _, tt := range []struct {
		field  string
		change func(*Draft, *Request, *Clip)
	}{
		{"", func(*Draft, *Request, *Clip) {}},
		{"", func(d *Draft, _ *Request, _ *Clip) { d.To = d.From.Add(time.Second) }},
		{"clip", func(_ *Draft, _ *Request, c *Clip) { c.State = ClipReceived }},
		{"clip", func(_ *Draft, _ *Request, c *Clip) { c.State = ClipDisposed }},
		{"to", func(d *Draft, _ *Request, _ *Clip) { d.To = d.From }},
		{"to", func(d *Draft, _ *Request, _ *Clip) { d.To = d.From.Add(time.Second - 1) }},
		{"from", func(d *Draft, q *Request, _ *Clip) { d.From = q.Claims.Scope.From.Add(-1) }},
		{"from", func(d *Draft, q *Request, _ *Clip) { d.To = q.Claims.Scope.To.Add(1) }},
		{"from", func(d *Draft, _ *Request, c *Clip) { c.Start = d.From.Add(1) }},
		{"from", func(d *Draft, _ *Request, c *Clip) { c.Duration = d.To.Sub(c.Start) - 1 }},
		{"to", func(d *Draft, _ *Request, _ *Clip) { d.To = d.From.Add(300*time.Second + 1) }},
		{"to", func(d *Draft, q *Request, c *Clip) {
			q.Claims.Scope.To, q.Claims.Scope.MaxDuration, c.Duration, d.To = d.From.Add(time.Hour), 3600, 2*time.Hour, d.From.Add(MaxWindow+1)
		}},
		{"style", func(d *Draft, _ *Request, _ *Clip) { d.Style = "mosaic" }},
		{"", func(d *Draft, _ *Request, _ *Clip) {
			d.Edits = json.RawMessage(`[{"kind":"box","keys":[{"at_ns":0,"x":0,"y":0,"w":1,"h":1}],"follow":true}]`)
		}},
		{"edits", func(d *Draft, _ *Request, _ *Clip) { d.Edits = json.RawMessage(`[{"kind":"exception"}]`) }},
		{"recipients", func(d *Draft, _ *Request, _ *Clip) { d.Recipients = nil }},
		{"recipients", func(d *Draft, _ *Request, _ *Clip) { d.Recipients[0].Addr = "b@pd.example" }},
		{"recipients", func(d *Draft, _ *Request, _ *Clip) { d.Recipients = append(d.Recipients, d.Recipients[0]) }},
		{"expires", func(d *Draft, _ *Request, _ *Clip) { d.Expires = start.Add(10 * time.Minute) }},
		{"expires", func(d *Draft, _ *Request, _ *Clip) { d.Expires = start.Add(MaxLease + 1) }},
		{"max_views", func(d *Draft, _ *Request, _ *Clip) { d.MaxViews = 0 }},
		{"max_views", func(d *Draft, _ *Request, _ *Clip) { d.MaxViews = MaxViews + 1 }},
		{"targets", func(d *Draft, _ *Request, _ *Clip) { d.Targets = []string{"faces"} }},
		{"targets", func(d *Draft, _ *Request, _ *Clip) { d.Targets = []string{"plates"} }},
	} {
		q, clip, d := q, clip, good
		d.Recipients = slices.Clone(good.Recipients)
		tt.change(&d, &q, &clip)
		err := d.Check(q, clip, start)
		if invalid := new(InvalidError); (err == nil) != (tt.field == "") || err != nil && (!errors.As(err, &invalid) || invalid.Field != tt.field) {
			t.Errorf("%+v: got %v, want one about %q", d, err, tt.field)
		}
	}
}

// TestAgencyView compares what an agency sees after everything that a home can do without
// releasing: it is the same at every moment, and its own withdrawal works the same.
func TestAgencyView(t *testing.T) {
	silent := map[string]func(*Request) (Event, error){
		"left":     func(*Request) (Event, error) { return Event{}, nil },
		"seen":     func(q *Request) (Event, error) { return q.See("m1", start) },
		"declined": func(q *Request) (Event, error) { return q.Decline("m1", start) },
		"declined, and not after all": func(q *Request) (Event, error) {
			if e, err := q.Decline("m1", start); err != nil {
				return e, err
			}
			return q.Reconsider("m1", start.Add(time.Minute))
		},
		"its key was stolen": func(q *Request) (Event, error) { return q.KeyStolen("m1", start) },
		"by rule": func(q *Request) (Event, error) {
			q.State, q.Reason, q.ClosedAt = RequestClosed, ClosedByRule, start
			return Event{}, nil
		},
	}
	for name, act := range silent {
		q, _, _ := asked()
		plain := q
		if _, err := act(&q); err != nil {
			t.Fatal(err)
		}
		for _, at := range []time.Duration{0, time.Hour, 24*time.Hour - 1, q.RespondBy.Sub(start) - 1, q.RespondBy.Sub(start), 1000 * time.Hour} {
			if diff := cmp.Diff(plain.AgencyView(start.Add(at)), q.AgencyView(start.Add(at))); diff != "" {
				t.Errorf("%s, after %s: %s", name, at, diff)
			}
			w, p := q, plain
			_, got := w.Withdraw(start.Add(at))
			_, want := p.Withdraw(start.Add(at))
			if errors.Is(got, ErrState) != errors.Is(want, ErrState) {
				t.Errorf("%s, after %s: withdrawing says %v and %v", name, at, got, want)
			}
			if diff := cmp.Diff(p.AgencyView(start.Add(at)), w.AgencyView(start.Add(at))); diff != "" {
				t.Errorf("%s, withdrawn after %s: %s", name, at, diff)
			}
		}
	}
	q, _, _ := asked()
	if j := q.RespondBy.Sub(q.Claims.RespondBy); j < 0 || j >= time.Hour || Jitter([]byte("a"), "q1") == Jitter([]byte("b"), "q1") {
		t.Errorf("the jitter is %s", j)
	}
	q.ReleasedAt, q.ReleaseID = start, "r1"
	if v := q.AgencyView(start.Add(1000 * time.Hour)); v != (AgencyView{State: "released", ReleaseID: "r1"}) {
		t.Errorf("released: %+v", v)
	}
	q.EndedAt = start
	if v := q.AgencyView(start); v != (AgencyView{State: "closed", Ended: true}) {
		t.Errorf("ended: %+v", v)
	}
	if _, err := q.Lapse(q.RespondBy.Add(-1)); !errors.Is(err, ErrState) {
		t.Errorf("lapsed early: %v", err)
	}
	for _, move := range []func(*Request) (Event, error){
		func(q *Request) (Event, error) { return q.Decline("m1", start) },
		func(q *Request) (Event, error) { return q.Lapse(q.RespondBy) },
		func(q *Request) (Event, error) { return q.KeyStolen("m1", start) },
	} {
		q, _, _ := asked()
		if _, err := move(&q); err != nil || q.State != RequestClosed {
			t.Errorf("closing: %v, %s", err, q.State)
		}
		if _, err := move(&q); !errors.Is(err, ErrState) {
			t.Errorf("closing twice: %v", err)
		}
	}
}

func TestLinkUsable(t *testing.T) {
	q, clip, d := asked()
	live := releaseIn(t, ReleaseIsLive, q, clip, d)
	good := Link{ReleaseID: live.ID, ExpiresAt: d.Expires, MaxViews: 3, Epoch: live.Epoch}
	for _, tt := range []struct {
		name           string
		change         func(*Link, *Release)
		at             time.Time
		usable, played bool
	}{
		{"good", func(*Link, *Release) {}, start, true, true},
		{"views used", func(l *Link, _ *Release) { l.ViewsUsed = 3 }, start, false, true},
		{"expired", func(*Link, *Release) {}, d.Expires, false, false},
		{"its own end", func(l *Link, _ *Release) { l.ExpiresAt = start }, start, false, false},
		{"revoked", func(l *Link, _ *Release) { l.RevokedAt = start }, start, false, false},
		{"release revoked", func(_ *Link, r *Release) { _, _ = r.Revoke("m", "", start) }, start, false, false},
		{"an earlier epoch", func(l *Link, _ *Release) { l.Epoch = -1 }, start, false, false},
		{"of another release", func(_ *Link, r *Release) { r.ID = "r2" }, start, false, false},
		{"not yet live", func(_ *Link, r *Release) { r.State = ReleaseInReview }, start, false, false},
	} {
		l, rel := good, live
		tt.change(&l, &rel)
		usable, played := l.Usable(rel, tt.at), l.Playable(rel, tt.at)
		if (usable == nil) != tt.usable || (played == nil) != tt.played {
			t.Errorf("%s: usable %v, playable %v", tt.name, usable, played)
		}
		for _, err := range []error{usable, played} { // a stranger cannot tell them apart
			if err != nil && (!errors.Is(err, ErrNotFound) || err.Error() != "not available: not found") {
				t.Errorf("%s: %v", tt.name, err)
			}
		}
	}
}

func TestGrantCanonical(t *testing.T) {
	a := Grant{Conditions: GrantConditions{Use: "Mu\u0308ller <&> \u2028"}, Outputs: []GrantOutput{{Bytes: 1<<53 - 1}}}
	b := a
	b.Conditions.Use = "M\u00fcller <&> \u2028"
	ca, err := a.Canonical()
	if err != nil {
		t.Fatal(err)
	}
	cb, err := b.Canonical()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(ca, cb) || !bytes.Contains(ca, []byte("M\u00fcller <&> \u2028")) || !bytes.Contains(ca, []byte("9007199254740991")) {
		t.Errorf("canonical forms: %s and %s", ca, cb)
	}
	if !bytes.HasPrefix(ca, []byte(`{"access":{`)) {
		t.Errorf("not sorted: %s", ca)
	}
	if h := GrantHash([]byte("{}")); len(h) != 64 || h == GrantHash([]byte("{} ")) {
		t.Errorf("hash %s", h)
	}
}

func TestEntry(t *testing.T) {
	salt := bytes.Repeat([]byte{7}, 32)
	raw, err := Event{Kind: LinkOpened, Subject: "r1", Actor: "l1", At: start.Add(999 * time.Millisecond), Data: Data{"b": 2, "a": "<\u2028>"}}.Canonical()
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"actor":"l1","at":"2026-11-22T16:00:00Z","data":{"a":"<` + "\u2028" + `>","b":2},"kind":"link.opened","subject":"r1","v":1}`; string(raw) != want {
		t.Errorf("got  %s\nwant %s", raw, want)
	}
	e, err := NewEntry(3, raw, salt, start)
	if err != nil || e.Check() != nil {
		t.Fatal(err, e.Check())
	}
	if strings.Contains(e.Leaf, "link") || strings.Contains(e.Leaf, "r1") {
		t.Errorf("the public leaf tells: %s", e.Leaf)
	}
	other, _ := NewEntry(4, []byte(`{}`), salt, start)
	if len(other.Leaf) != len(e.Leaf) {
		t.Error("the length of a leaf tells of its event")
	}
	for name, change := range map[string]func(*Entry){
		"event":               func(e *Entry) { e.Event = json.RawMessage(strings.Replace(string(e.Event), "l1", "l2", 1)) },
		"salt":                func(e *Entry) { e.Salt = strings.Replace(e.Salt, "07", "08", 1) },
		"short":               func(e *Entry) { e.Salt = e.Salt[2:] },
		"hex":                 func(e *Entry) { e.Salt = "x" + e.Salt[1:] },
		"leaf":                func(e *Entry) { e.Leaf = other.Leaf },
		"json":                func(e *Entry) { e.Leaf = "{" },
		"event alone is gone": func(e *Entry) { e.Event = nil },
		"salt alone is gone":  func(e *Entry) { e.Salt = "" },
	} {
		x := e
		if change(&x); x.Check() == nil {
			t.Errorf("%s changed, and the entry opens its leaf", name)
		}
	}
	forgotten := Entry{Index: 3, Leaf: e.Leaf}
	if forgotten.Check() != nil || forgotten.LeafHash() != e.LeafHash() {
		t.Error("a forgotten entry does not stand in the tree")
	}
}

func TestCheckpoint(t *testing.T) {
	private, public, err := note.GenerateKey(nil, "relay.example/audit")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(text string) []byte {
		t.Helper()
		raw, err := note.Sign(&note.Note{Text: text}, signer)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	root := tlog.RecordHash([]byte("x"))
	good := FormatCheckpoint("relay.example/audit", 1, root)
	c, err := OpenCheckpoint(sign(good), verifier)
	if err != nil || c.Size != 1 || c.Root != root || c.Origin != "relay.example/audit" {
		t.Errorf("%+v, %v", c, err)
	}
	for _, text := range []string{good + "more\n", strings.Replace(good, "\n1\n", "\n01\n", 1), "a\n1\n", "a\nx\ny\n", strings.Replace(good, "=", "", 1)} {
		if _, err := OpenCheckpoint(sign(text), verifier); err == nil {
			t.Errorf("%q was read as a checkpoint", text)
		}
	}
	if _, err := OpenCheckpoint(bytes.Replace(sign(good), []byte("\n1\n"), []byte("\n2\n"), 1), verifier); err == nil {
		t.Error("a changed checkpoint was taken")
	}
	if _, err := VerifyLog(strings.NewReader(""), nil); err == nil {
		t.Error("a log was verified against nothing")
	}
	for root, want := range map[tlog.Hash]bool{emptyRoot: true, root: false} {
		if _, err := VerifyLog(strings.NewReader(""), []Checkpoint{{Size: 0, Root: root}}); (err == nil) != want {
			t.Errorf("the empty log: %v", err)
		}
	}
}

func TestWords(t *testing.T) {
	if len(words) != 256 {
		t.Fatalf("%d words", len(words))
	}
	if sorted := slices.Compact(slices.Sorted(slices.Values(words))); len(sorted) != 256 {
		t.Errorf("%d different words", len(sorted))
	}
	hex, err := CheckWords("00ff", 2)
	if err != nil || hex != "acorn violin" {
		t.Errorf("%q, %v", hex, err)
	}
	if _, err := CheckWords("00ff", 3); err == nil {
		t.Error("two bytes make three words")
	}
	if _, err := CheckWords("!", 1); err == nil {
		t.Error("! is a digest")
	}
}

// TestMoreTime: who can watch may ask for more time once a day, and is told of the end a day before.
func TestMoreTime(t *testing.T) {
	rel := Release{ID: "r1", State: ReleaseIsLive, ExpiresAt: start.Add(72 * time.Hour)}
	for _, tt := range []struct {
		name   string
		asked  time.Duration // before; 0: never
		ends   time.Duration
		revoke bool
		err    error
	}{
		{"the first time", 0, 72 * time.Hour, false, nil},
		{"again after a day", 24 * time.Hour, 72 * time.Hour, false, nil},
		{"again within a day", 24*time.Hour - time.Second, 72 * time.Hour, false, ErrPolicy},
		{"after the end", 0, 0, false, ErrNotFound},
		{"after a revocation", 0, 72 * time.Hour, true, ErrNotFound},
	} {
		l := Link{ID: "l1", ReleaseID: rel.ID, ExpiresAt: start.Add(tt.ends), CreatedAt: start.Add(-time.Hour)}
		if tt.asked > 0 {
			l.AskedAt = start.Add(-tt.asked)
		}
		if tt.revoke {
			l.RevokedAt = start
		}
		before := l.AskedAt
		e, err := l.AskMore(rel, start)
		if !errors.Is(err, tt.err) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.err)
		}
		if asked := l.AskedAt.Equal(start); asked != (err == nil) || !asked && !l.AskedAt.Equal(before) {
			t.Errorf("%s: asked at %s", tt.name, l.AskedAt)
		}
		if err == nil && (e.Kind != LinkAsked || e.Subject != "r1" || e.Actor != "l1") {
			t.Errorf("%s: event %+v", tt.name, e)
		}
	}
	for length, want := range map[time.Duration]time.Time{time.Hour: {}, 48*time.Hour - time.Second: {}, 48 * time.Hour: start.Add(24 * time.Hour), 720 * time.Hour: start.Add(696 * time.Hour)} {
		if got := (Link{CreatedAt: start, ExpiresAt: start.Add(length)}).RemindAt(); !got.Equal(want) {
			t.Errorf("a lease of %s: reminder at %s, want %s", length, got, want)
		}
	}
}
