package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/server/token"
	"cliplease/storage"

	"github.com/google/go-cmp/cmp"
)

const notAvailable = `{"error":"not_available"}`

// whole is an answer as it goes over the wire, without the date.
func whole(w *world, res reply) string {
	var b strings.Builder
	fmt.Fprintln(&b, res.Status)
	w.ok(res.Header.WriteSubset(&b, map[string]bool{"Date": true}))
	_, body := w.answer(res)
	return b.String() + "\n" + body
}

// TestSilenceGolden: whatever the home has, is, or decides, the agency gets the same bytes at
// the same moment: the receipt, every poll before and after the deadline, and the answer to a
// withdrawal.
func TestSilenceGolden(t *testing.T) {
	handle := func(name string) func(claim) {
		return func(c claim) { c["scope"].(claim)["target"] = claim{"handle": name} }
	}
	causes := []struct {
		name  string
		ask   func(claim)
		after func(w *world, id string) // once it is filed
	}{
		{"ignored", nil, nil},
		{"unknown camera", handle("no-such-camera"), nil},
		{"no footage in the window", func(c claim) {
			c["scope"].(claim)["from"], c["scope"].(claim)["to"] = "2026-11-01T10:00:00Z", "2026-11-01T10:01:00Z"
		}, nil},
		{"seen", nil, func(w *world, id string) {
			w.decide(id, func(q *relay.Request) (relay.Event, error) { return q.See(w.member.ID, w.now) })
		}},
		{"declined", nil, func(w *world, id string) {
			w.decide(id, func(q *relay.Request) (relay.Event, error) { return q.Decline(w.member.ID, w.now) })
		}},
		{"declined, and not after all", nil, func(w *world, id string) {
			w.decide(id, func(q *relay.Request) (relay.Event, error) { return q.Decline(w.member.ID, w.now) })
			w.decide(id, func(q *relay.Request) (relay.Event, error) { return q.Reconsider(w.member.ID, w.now) })
		}},
		{"prepared and not signed", nil, func(w *world, id string) {
			q, err := w.store.DB.Request(context.Background(), id)
			w.ok(err)
			d := relay.Draft{From: q.Claims.Scope.From, To: q.Claims.Scope.To, Style: relay.StyleBlur, Targets: []string{"faces", "plates"},
				Recipients: []relay.Recipient{relay.Recipient(q.Claims.Recipients[0])}, Expires: w.now.Add(time.Hour), MaxViews: 1}
			_, err = w.store.DB.PrepareRelease(context.Background(), id, w.clip.ID, d, w.member.ID, w.now)
			w.ok(err)
		}},
		{"agency suspended afterwards", nil, func(w *world, id string) {
			q, err := w.store.DB.Request(context.Background(), id)
			w.ok(err)
			w.ok(w.store.DB.SetAgencyStatus(context.Background(), q.AgencyID, relay.AgencySuspended, w.member.ID, w.now))
		}},
		{"members told", nil, func(w *world, id string) { w.ok(w.store.DB.TellMembers(context.Background(), "request", id, w.now)) }},
		{"stopped by a rule", nil, func(w *world, id string) { w.judges(id, relay.EffectStop, relay.RequestClosed) }},
		{"held by a rule", nil, func(w *world, id string) { w.judges(id, relay.EffectHold, relay.RequestPending) }},
		{"closed by the sweeper", nil, nil},
	}
	// Names and the deadline's jitter are random, and so masked; their lengths are not.
	var first []string
	for i, cause := range causes {
		w := newWorld(t, Limits{})
		a := w.registers("first", relay.AlgEdDSA)
		c := w.claims(a)
		c["case"] = claim{"ref": "EPD-2026-1", "opened": "2026-11-20"}
		if cause.ask != nil {
			cause.ask(c)
		}
		res := w.post("/a/v1/requests", w.sign(a, token.Request, c))
		if res.StatusCode != http.StatusAccepted {
			t.Fatalf("%s: %s", cause.name, whole(w, res))
		}
		_, receipt := w.answer(res)
		parsed, err := token.ParseReceipt(receipt, relay.PublicKey{})
		w.ok(err)
		masked := func(s string) string { return strings.ReplaceAll(s, parsed.RequestID, "REQUEST") }
		got := []string{fmt.Sprintf("%s %v %d", res.Status, res.Header, len(receipt))}
		poll := func() {
			p := w.call(a, 60)
			p["request_ids"] = []string{parsed.RequestID}
			got = append(got, masked(whole(w, w.post("/a/v1/requests/poll", w.sign(a, token.Poll, p)))))
		}
		poll()
		if cause.after != nil {
			cause.after(w, parsed.RequestID)
		}
		poll()
		deadline, err := time.Parse(time.RFC3339, parsed.RespondBy)
		w.ok(err)
		if wait := deadline.Sub(w.now); wait < 72*time.Hour || wait > 73*time.Hour {
			t.Errorf("%s: respond_by is %s away", cause.name, wait)
		}
		w.now = deadline.Add(-time.Second)
		poll()
		w.now = deadline
		poll()
		if cause.name == "closed by the sweeper" {
			_, err := w.store.DB.LapseRequests(context.Background(), w.now)
			w.ok(err)
		}
		w.now = w.now.Add(time.Hour)
		poll()
		wd := w.call(a, 60)
		wd["request_id"] = parsed.RequestID
		got = append(got, masked(whole(w, w.post("/a/v1/requests/withdraw", w.sign(a, token.Withdraw, wd)))))
		poll()
		if i == 0 {
			first = got
			if !strings.HasSuffix(got[3], `{"requests":[{"request_id":"REQUEST","state":"pending"}]}`) || !strings.HasSuffix(got[4], `{"requests":[{"request_id":"REQUEST","state":"closed"}]}`) {
				t.Fatalf("the timeline is wrong:\n%s", strings.Join(got, "\n---\n"))
			}
			continue
		}
		if diff := cmp.Diff(first, got); diff != "" {
			t.Errorf("%s can be told from %s:\n%s", cause.name, causes[0].name, diff)
		}
		if len(w.faults) > 0 {
			t.Error(w.faults)
		}
	}
}

// judges lets a rule with an effect look at a request.
func (w *world) judges(id string, effect relay.EffectKind, want relay.RequestState) {
	w.t.Helper()
	rule := relay.Rule{ID: relay.NewID(), Name: "Not like this", When: "true", Effect: relay.Effect{Kind: effect}, On: true, CreatedAt: w.now}
	if effect == relay.EffectHold {
		rule.Effect.Quorum = 2
	}
	w.ok(w.store.DB.AddRule(context.Background(), rule, w.member.ID, w.now))
	q, err := w.store.DB.JudgeRequest(context.Background(), id, w.now)
	w.ok(err)
	if q.State != want {
		w.t.Errorf("after the rule %s the request is %s, want %s", effect, q.State, want)
	}
}

// TestWithdraw: at once or after the home declined, the answers are the same.
func TestWithdraw(t *testing.T) {
	w := newWorld(t, wide())
	a := w.registers("first", relay.AlgEdDSA)
	var answers []string
	for _, declined := range []bool{false, true} {
		id := w.files(a, w.claims(a))
		if declined {
			w.decide(id, func(q *relay.Request) (relay.Event, error) { return q.Decline(w.member.ID, w.now) })
		}
		for range 2 {
			c := w.call(a, 300)
			c["request_id"] = id
			answers = append(answers, strings.ReplaceAll(whole(w, w.post("/a/v1/requests/withdraw", w.sign(a, token.Withdraw, c))), id, "REQUEST"))
		}
		q, err := w.store.DB.Request(context.Background(), id)
		w.ok(err)
		if q.WithdrawnAt.IsZero() || q.State != relay.RequestClosed {
			t.Errorf("declined %t: %+v", declined, q)
		}
	}
	for _, got := range answers {
		if got != answers[0] || !strings.HasSuffix(got, `{"requests":[{"request_id":"REQUEST","state":"closed"}]}`) {
			t.Errorf("got\n%s\nwant\n%s", got, answers[0])
		}
	}
}

// TestForeignIsUnknown: another agency's request is like none.
func TestForeignIsUnknown(t *testing.T) {
	w := newWorld(t, wide())
	a, b := w.registers("first", relay.AlgEdDSA), w.registers("second", relay.AlgES256)
	id := w.files(a, w.claims(a))
	for _, ids := range [][]string{{id}, {"aaaaaaaaaaaaaaaaaaaaaaaaaa"}} {
		if code, body := w.polls(b, ids...); code != http.StatusNotFound || body != notAvailable {
			t.Errorf("poll: %d %s", code, body)
		}
		c := w.call(b, 60)
		c["request_id"] = ids[0]
		if code, body := w.answer(w.post("/a/v1/requests/withdraw", w.sign(b, token.Withdraw, c))); code != http.StatusNotFound || body != notAvailable {
			t.Errorf("withdraw: %d %s", code, body)
		}
	}
	second := w.files(a, w.claims(a))
	if code, body := w.polls(a, id, second); code != http.StatusOK || body != fmt.Sprintf(`{"requests":[{"request_id":%q,"state":"pending"},{"request_id":%q,"state":"pending"}]}`, id, second) {
		t.Errorf("own ones: %d %s", code, body)
	}
	if code, body := w.polls(a, id, "aaaaaaaaaaaaaaaaaaaaaaaaaa"); code != http.StatusNotFound || body != notAvailable {
		t.Errorf("one of two unknown: %d %s", code, body)
	}
	for _, ids := range [][]string{{}, {id, id}, {"../../etc"}, make([]string, 21)} {
		if code, body := w.polls(a, ids...); code != http.StatusUnprocessableEntity {
			t.Errorf("%v: %d %s", ids, code, body)
		}
	}
}

// tooMany is the answer to whatever limit.
func (w *world) tooMany(a requester, c claim) {
	w.t.Helper()
	res := w.post("/a/v1/requests", w.sign(a, token.Request, c))
	code, body := w.answer(res)
	if code != http.StatusTooManyRequests || body != `{"error":"too_many_requests"}` || res.Header.Get("Retry-After") != "86400" {
		w.t.Errorf("%d %s, Retry-After %q", code, body, res.Header.Get("Retry-After"))
	}
}

// at moves the window of a request, so that no two overlap.
func (w *world) at(c claim, n int) claim {
	from := w.clip.Start.Add(-time.Duration(n) * time.Hour)
	c["scope"].(claim)["from"], c["scope"].(claim)["to"] = relay.Stamp(from), relay.Stamp(from.Add(time.Minute))
	return c
}

// TestLimits: each limit bites where it should, and with the same answer.
func TestLimits(t *testing.T) {
	t.Run("three open", func(t *testing.T) {
		w := newWorld(t, Limits{})
		a := w.registers("first", relay.AlgEdDSA)
		var last string
		for i := range 3 {
			last = w.files(a, w.at(w.claims(a), i))
		}
		w.tooMany(a, w.at(w.claims(a), 3))
		// The home's answer changes nothing; the agency's own withdrawal does.
		w.decide(last, func(q *relay.Request) (relay.Event, error) { return q.Decline(w.member.ID, w.now) })
		w.tooMany(a, w.at(w.claims(a), 3))
		w.decide(last, func(q *relay.Request) (relay.Event, error) { return q.Withdraw(w.now) })
		w.files(a, w.at(w.claims(a), 3))
		b := w.registers("second", relay.AlgEdDSA)
		w.files(b, w.claims(b))
	})
	t.Run("ten in thirty days", func(t *testing.T) {
		w := newWorld(t, Limits{})
		a := w.registers("first", relay.AlgEdDSA)
		for i := range 10 {
			w.files(a, w.at(w.claims(a), i))
			w.now = w.now.Add(74 * time.Hour) // past the deadline: none is open
		}
		w.now = w.now.Add(-74 * time.Hour * 10).Add(30*24*time.Hour - time.Second)
		w.tooMany(a, w.at(w.claims(a), 10))
		w.now = w.now.Add(time.Second)
		w.files(a, w.at(w.claims(a), 10))
	})
	t.Run("two of a case", func(t *testing.T) {
		w := newWorld(t, Limits{})
		a := w.registers("first", relay.AlgEdDSA)
		of := func(n int) claim {
			c := w.at(w.claims(a), n)
			c["case"].(claim)["ref"] = "EPD-1"
			return c
		}
		w.files(a, of(0))
		w.files(a, of(1))
		w.tooMany(a, of(2))
	})
	t.Run("two urgent", func(t *testing.T) {
		w := newWorld(t, Limits{})
		a := w.registers("first", relay.AlgEdDSA)
		urgent := func(n int) claim {
			c := w.at(w.claims(a), n)
			c["lane"], c["respond_by"] = "exigent", relay.Stamp(w.now.Add(2*time.Hour))
			c["legal_basis"] = claim{"kind": "exigent", "citation": "danger to life", "compulsory": false}
			return c
		}
		w.files(a, urgent(0))
		w.files(a, urgent(1))
		w.now = w.now.Add(4 * time.Hour)
		w.tooMany(a, urgent(2))
		w.files(a, w.at(w.claims(a), 3))
	})
	t.Run("suspended, and past its verification", func(t *testing.T) {
		w := newWorld(t, Limits{})
		a := w.registers("first", relay.AlgEdDSA)
		w.ok(w.store.DB.SetAgencyStatus(t.Context(), a.ID, relay.AgencySuspended, w.member.ID, w.now))
		w.tooMany(a, w.claims(a))
	})
	t.Run("at once", func(t *testing.T) {
		w := newWorld(t, Limits{})
		a := w.registers("first", relay.AlgEdDSA)
		var group sync.WaitGroup
		var mu sync.Mutex
		codes := map[int]int{}
		for i := range 12 {
			raw := w.sign(a, token.Request, w.at(w.claims(a), i))
			group.Go(func() {
				code := w.post("/a/v1/requests", raw).StatusCode
				mu.Lock()
				defer mu.Unlock()
				codes[code]++
			})
		}
		group.Wait()
		if diff := cmp.Diff(map[int]int{202: 3, 429: 9}, codes); diff != "" {
			t.Error(diff)
		}
	})
}

// TestAskingAgain: the same footage is asked for again only as an amendment that changes
// something, as long as the first is open and thirty days beyond.
func TestAskingAgain(t *testing.T) {
	w := newWorld(t, Limits{})
	a, b := w.registers("first", relay.AlgEdDSA), w.registers("second", relay.AlgEdDSA)
	first := w.sign(a, token.Request, w.claims(a))
	code, receipt := w.answer(w.post("/a/v1/requests", first))
	if code != http.StatusAccepted {
		t.Fatal(code, receipt)
	}
	parsed, err := token.ParseReceipt(receipt, relay.PublicKey{})
	w.ok(err)
	again := func(amends any, seconds int) claim {
		c := w.claims(a)
		c["amends"] = amends
		c["scope"].(claim)["max_duration_s"] = seconds
		return c
	}
	w.tooMany(a, again(nil, 60))
	w.tooMany(a, again(nil, 30))
	w.tooMany(a, again(parsed.RequestSHA256, 60)) // nothing changed
	if code, body := w.answer(w.post("/a/v1/requests", w.sign(a, token.Request, again(hexSum("other"), 30)))); code != http.StatusUnprocessableEntity || !strings.Contains(body, `"claim":"amends"`) {
		t.Errorf("amends none: %d %s", code, body)
	}
	c := w.claims(b)
	c["amends"] = parsed.RequestSHA256
	if code, body := w.answer(w.post("/a/v1/requests", w.sign(b, token.Request, c))); code != http.StatusUnprocessableEntity || !strings.Contains(body, `"claim":"amends"`) {
		t.Errorf("amends another agency's: %d %s", code, body)
	}
	w.files(b, w.claims(b)) // another agency may ask for the same
	w.now = w.now.Add(73*time.Hour + 29*24*time.Hour)
	w.tooMany(a, again(nil, 60))
	w.files(a, again(parsed.RequestSHA256, 30))
	w.now = w.now.Add(73*time.Hour + 30*24*time.Hour)
	w.files(a, again(nil, 60))
}

// TestDomains: recipients by mail are in the agency's own domains, those by key have a key
// that is in use.
func TestDomains(t *testing.T) {
	w := newWorld(t, wide())
	a, b := w.registers("first", relay.AlgEdDSA), w.registers("second", relay.AlgEdDSA)
	for name, tt := range map[string]struct {
		recipients []claim
		claim      string
	}{
		"another domain":   {[]claim{{"kind": "email", "addr": "x@second.example", "name": "X"}}, "recipients.0.addr"},
		"a subdomain":      {[]claim{{"kind": "email", "addr": "x@mail.first.example", "name": "X"}}, "recipients.0.addr"},
		"two at signs":     {[]claim{{"kind": "email", "addr": "x@evil.example@first.example", "name": "X"}}, "recipients.0.addr"},
		"a line break":     {[]claim{{"kind": "email", "addr": "x@first.example\r\nBcc: y@evil.example", "name": "X"}}, "recipients.0.addr"},
		"break in name":    {[]claim{{"kind": "email", "addr": "x@first.example", "name": "X\r\nBcc: y@evil.example"}}, "recipients.0.name"},
		"key of another":   {[]claim{{"kind": "key", "kid": b.public.KID}}, "recipients.0.kid"},
		"none":             {[]claim{}, "recipients"},
		"the same twice":   {[]claim{{"kind": "key", "kid": a.public.KID}, {"kind": "key", "kid": a.public.KID}}, "recipients.1"},
		"the same mailbox": {[]claim{{"kind": "email", "addr": "x@first.example", "name": "X"}, {"kind": "email", "addr": "X@First.example", "name": "Y"}}, "recipients.1"},
		"both kinds":       {[]claim{{"kind": "key", "kid": a.public.KID, "addr": "x@first.example"}}, "recipients.0.kid"},
		"fax":              {[]claim{{"kind": "fax"}}, "recipients.0.kind"},
	} {
		c := w.claims(a)
		c["recipients"] = tt.recipients
		code, body := w.answer(w.post("/a/v1/requests", w.sign(a, token.Request, c)))
		if want := fmt.Sprintf(`{"error":"invalid_claim","claim":%q`, tt.claim); code != http.StatusUnprocessableEntity || !strings.HasPrefix(body, want) {
			t.Errorf("%s: %d %s, want %s", name, code, body, want)
		}
	}
	if n := w.requests(); n != 0 {
		t.Errorf("%d were stored", n)
	}
}

// TestFault: a relay that cannot store answers with a fault and not with a refusal, and tells
// nothing.
func TestFault(t *testing.T) {
	w := newWorld(t, wide())
	a := w.registers("first", relay.AlgEdDSA)
	broken, err := storage.OpenDB(t.Context(), storage.DBConfig{Source: "sqlite:" + t.TempDir() + "/state.db", Keys: w.store.Keys})
	w.ok(err)
	w.ok(broken.Close())
	good := w.store.DB
	w.store.DB = broken
	res := w.post("/a/v1/requests", w.sign(a, token.Request, w.claims(a)))
	w.store.DB = good
	if res.StatusCode != http.StatusInternalServerError || len(w.faults) != 1 {
		t.Errorf("%s, faults %v", res.Status, w.faults)
	}
}
