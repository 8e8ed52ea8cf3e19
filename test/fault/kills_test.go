package fault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/storage"
	"cliplease/test/driver"
)

// roundsVar says how often [TestRandomKills] kills the relay: "make kills" sets it to 100.
const roundsVar = "CLIPLEASE_TEST_KILLS"

const (
	rounds = 25 // when the variable is not set
	actors = 4  // releases that live at the same time
	window = 400 * time.Millisecond
)

// TestRandomKills kills the relay again and again while homeowners sign and revoke, recipients
// watch, and agencies file. After each kill everything that must always hold holds, and what the
// relay had said yes to is so.
func TestRandomKills(t *testing.T) {
	n := rounds
	if v := os.Getenv(roundsVar); v != "" {
		var err error
		if n, err = strconv.Atoi(v); err != nil || n < 1 {
			t.Fatalf("%s is %q, want how often the relay is killed", roundsVar, v)
		}
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("%d kills, seed %d", n, seed)
	dice := rand.New(rand.NewPCG(seed, 1))
	w := settled(t, false)
	l := &load{world: w, shelf: w.shelve(2*n + actors), said: map[string]promises{}}
	var agencies []agency
	w.must(w.relay.With(w.ctx, func(s *storage.Store) error {
		for range n {
			agencies = append(agencies, w.registers(s))
		}
		return nil
	}))
	for i := range n {
		ctx, cancel := context.WithCancel(w.ctx)
		var all sync.WaitGroup
		for range actors {
			all.Go(func() { l.act(ctx) })
		}
		all.Go(func() { l.files(ctx, agencies[i]) })
		wait := time.NewTimer(time.Duration(dice.Int64N(int64(window))))
		<-wait.C
		w.relay.Kill()
		cancel()
		all.Wait()
		w.must(w.relay.Start(w.ctx))
		w.holds()
		l.kept()
		if t.Failed() {
			t.Fatalf("kill %d of %d", i+1, n)
		}
	}
	l.finishes()
	if l.done < n/2 || l.filed == 0 {
		t.Errorf("only %d releases were lived through and %d requests filed in %d rounds: the test says little", l.done, l.filed, n)
	}
	t.Logf("%d releases were lived through, %d requests were filed", l.done, l.filed)
}

// promises are what the relay said yes to about one release.
type promises struct {
	signed, revoked bool
	views           int
}

// load is what goes on while the relay is killed.
type load struct {
	*world
	mu    sync.Mutex
	shelf []shelved
	begun []shelved // taken from the shelf and not ended yet
	done  int
	filed int
	said  map[string]promises
	ended []shelved

	passkey sync.Mutex // held while it signs: the home has one, and nobody signs two things at once
}

// take returns a release to go on with.
func (l *load) take() (r shelved, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.begun) > 0 {
		r, l.begun = l.begun[0], l.begun[1:]
		return r, true
	}
	if len(l.shelf) > 0 {
		r, l.shelf = l.shelf[0], l.shelf[1:]
		return r, true
	}
	return r, false
}

func (l *load) back(r shelved, over bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if over {
		l.done, l.ended = l.done+1, append(l.ended, r)
	} else {
		l.begun = append(l.begun, r)
	}
}

func (l *load) promised(r shelved, change func(*promises)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.said[r.ID]
	change(&p)
	l.said[r.ID] = p
}

// act takes releases through what is left of their lives, until ctx ends or the relay is gone.
func (l *load) act(ctx context.Context) {
	for ctx.Err() == nil {
		r, ok := l.take()
		if !ok {
			return
		}
		over, err := l.live(ctx, r)
		l.back(r, over)
		if err != nil {
			l.fault(ctx, err)
			return
		}
	}
}

// fault fails the test unless the error is that the relay is gone.
func (l *load) fault(ctx context.Context, err error) {
	var status *driver.StatusError
	if errors.As(err, &status) && status.Code != http.StatusTooManyRequests && ctx.Err() == nil {
		l.t.Errorf("the relay answered with %v", err)
	}
}

// live goes on with a release where it stands: sign, watch, revoke. The first link that came is
// opened once; who was interrupted asks for another code.
func (l *load) live(ctx context.Context, r shelved) (over bool, err error) {
	s, err := l.home.Standing(ctx, r.ID)
	if err != nil {
		return false, err
	}
	if s.State == relay.ReleaseInReview {
		l.passkey.Lock()
		_, err := l.home.Approve(ctx, r.ID)
		l.passkey.Unlock()
		if err != nil {
			return false, err
		}
		l.promised(r, func(p *promises) { p.signed = true })
	}
	if s.State == relay.ReleaseIsRevoked {
		return true, nil
	}
	if s.Views < 1 {
		if err := l.watch(ctx, r); err != nil {
			return false, err
		}
	}
	if err := l.home.Revoke(ctx, r.ID, ""); err != nil {
		return false, err
	}
	l.promised(r, func(p *promises) { p.revoked = true })
	return true, nil
}

func (l *load) watch(ctx context.Context, r shelved) error {
	link, err := l.relay.AwaitLink(ctx, r.mailbox)
	if err != nil {
		return err
	}
	v, err := l.relay.Open(ctx, link)
	if err != nil {
		return err
	}
	known := l.codes(r)
	if len(known) >= relay.CodesPerHour {
		return nil // no further code comes within the hour: it is revoked unseen
	}
	if err := v.AskCode(ctx); err != nil {
		var status *driver.StatusError
		if errors.As(err, &status) && status.Code == http.StatusTooManyRequests {
			return nil
		}
		return err
	}
	// The newest code is the one of this browser; those of others do not open it.
	code, err := l.relay.AwaitCode(ctx, r.mailbox, known...)
	if err != nil {
		return err
	}
	if err := v.Verify(ctx, code); err != nil {
		var status *driver.StatusError
		if errors.As(err, &status) && status.Code == http.StatusUnprocessableEntity {
			return nil // one that an interrupted browser had asked for came late
		}
		return err
	}
	l.promised(r, func(p *promises) { p.views++ })
	_, err = v.Play(ctx, io.Discard)
	return err
}

// codes are those that came to a mailbox so far.
func (l *load) codes(r shelved) (all []string) {
	for _, m := range l.relay.Mail.Mails() {
		if slices.Contains(m.To, r.mailbox) {
			if letter, err := driver.ReadMail(m); err == nil && letter.Code() != "" {
				all = append(all, letter.Code())
			}
		}
	}
	return all
}

// files files requests as fast as the agency may, each until there is an answer.
func (l *load) files(ctx context.Context, a agency) {
	for range 3 {
		raw := l.token(a, "det@"+domain)
		if _, err := l.post(raw); err != nil {
			l.fault(ctx, err)
			return
		}
		l.mu.Lock()
		l.filed++
		l.mu.Unlock()
	}
}

// kept checks that what the relay said yes to is so.
func (l *load) kept() {
	l.t.Helper()
	l.must(l.relay.With(l.ctx, func(s *storage.Store) error {
		for id, p := range l.said {
			rel, err := s.DB.Release(l.ctx, id)
			if err != nil {
				return err
			}
			links, err := s.DB.LinksOf(l.ctx, id)
			if err != nil {
				return err
			}
			if p.signed && rel.GrantedAt.IsZero() || p.revoked && rel.State != relay.ReleaseIsRevoked || len(links) > 1 || len(links) == 1 && links[0].ViewsUsed < p.views {
				l.t.Errorf("release %s is %s with %+v; the relay had said yes to %+v", id, rel.State, links, p)
			}
		}
		return nil
	}))
}

// finishes lets every release that was begun come to its end: nothing got stuck.
func (l *load) finishes() {
	l.t.Helper()
	l.shelf = nil
	for len(l.begun) > 0 {
		r, _ := l.take()
		over, err := l.live(l.ctx, r)
		l.must(err)
		l.back(r, over)
	}
	for _, r := range l.ended {
		if err := l.relay.AwaitGone(l.ctx, storage.Remains(r.Release)); err != nil {
			l.t.Fatal(fmt.Errorf("release %s: %w", r.ID, err))
		}
	}
	l.kept()
}
