package worker

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/storage"
)

// TestExpiry: a lease that has run out is ended, playback is told, and nothing of it stays.
func TestExpiry(t *testing.T) {
	h := newHome(t)
	rel, q := h.leases()
	var mu sync.Mutex
	var cut []string
	cfg := h.config()
	cfg.OnEnded = func(id string) {
		mu.Lock()
		defer mu.Unlock()
		cut = append(cut, id)
	}
	w := h.works(cfg)
	h.watch.pass(47 * time.Hour)
	h.ok(w.expire(t.Context()))
	if h.release(rel.ID).State != relay.ReleaseIsLive {
		t.Fatal("ended an hour early")
	}
	h.watch.pass(time.Hour + time.Second)
	h.await("it is destroyed", func() bool { return !h.release(rel.ID).ShreddedAt.IsZero() })
	if s := h.release(rel.ID).State; s != relay.ReleaseIsExpired {
		t.Errorf("it is %s", s)
	}
	if n := len(h.objects()); n != 0 {
		t.Errorf("%d objects stay", n)
	}
	for _, c := range rel.Copies {
		if slices.Contains(h.keys(), c.ID) {
			t.Errorf("the key of copy %s stays", c.ID)
		}
	}
	mu.Lock()
	if !slices.Equal(cut, []string{rel.ID}) {
		t.Errorf("playback was cut for %v", cut)
	}
	mu.Unlock()
	kinds := h.events(rel.ID)
	if !slices.Contains(kinds, relay.ReleaseExpired) || !slices.Contains(kinds, relay.ReleaseShredded) {
		t.Errorf("events %v", kinds)
	}
	h.watch.pass(48 * time.Hour)
	h.await("the request is past its deadline", func() bool {
		q, err := h.DB.Request(t.Context(), q.ID)
		return err == nil && q.State == relay.RequestClosed
	})
}

// TestShredWithoutObjects: an object store that is away delays the deleting, never the end of
// the keys.
func TestShredWithoutObjects(t *testing.T) {
	h := newHome(t)
	rel, _ := h.leases()
	for _, c := range rel.Copies { // a folder in place of an object cannot be deleted as one
		path := findObject(t, h, c.Object)
		h.ok(os.Remove(path))
		h.ok(os.MkdirAll(filepath.Join(path, "in the way"), 0o700))
	}
	h.ok(h.DB.RevokeRelease(t.Context(), rel.ID, h.member.ID, "", h.watch.now()))
	h.works(h.config())
	h.await("the keys are gone", func() bool {
		return !slices.ContainsFunc(h.keys(), func(id string) bool { return id == rel.Copies[0].ID || id == rel.Copies[1].ID })
	})
	if !h.release(rel.ID).ShreddedAt.IsZero() {
		t.Error("recorded as destroyed while its objects are there")
	}
	for _, c := range rel.Copies {
		h.ok(os.RemoveAll(findObject(t, h, c.Object)))
	}
	h.ok(h.DB.WakeJobs(t.Context(), "release.shred", time.Now()))
	h.await("it is recorded", func() bool { return !h.release(rel.ID).ShreddedAt.IsZero() })
}

// TestClockJumpsAhead: leases end by it at once, but nothing is destroyed until it stood for a
// day; and when it was wrong, nothing was lost.
func TestClockJumpsAhead(t *testing.T) {
	h := newHome(t)
	rel, _ := h.leases()
	w := h.works(h.config())
	h.watch.jump(30 * 24 * time.Hour)
	if rel.Accessible(w.Now()) == nil {
		t.Error("a lease that has run out by the clock can be watched")
	}
	h.ok(w.expire(t.Context()))
	h.watch.pass(23 * time.Hour)
	h.ok(w.expire(t.Context()))
	if s := h.release(rel.ID).State; s != relay.ReleaseIsLive {
		t.Fatalf("a clock that jumped made it %s", s)
	}
	h.watch.jump(-30 * 24 * time.Hour)
	h.ok(w.expire(t.Context()))
	if rel.Accessible(w.Now()) != nil || h.release(rel.ID).State != relay.ReleaseIsLive {
		t.Error("the clock was put right, and the lease did not come back")
	}
	h.watch.jump(30 * 24 * time.Hour)
	h.ok(w.expire(t.Context()))
	h.watch.pass(25 * time.Hour)
	h.await("a clock that stood for a day is believed", func() bool { return h.release(rel.ID).State == relay.ReleaseIsExpired })
}

// TestClockGoesBack: the relay's time never does, not even over a restart.
func TestClockGoesBack(t *testing.T) {
	h := newHome(t)
	rel, _ := h.leases()
	w := h.works(h.config())
	h.watch.pass(49 * time.Hour)
	h.await("the lease has run out", func() bool { return h.release(rel.ID).State == relay.ReleaseIsExpired })
	h.ok(w.Clock.Keep(t.Context()))
	h.watch.jump(-48 * time.Hour)
	if rel.Accessible(w.Now()) == nil {
		t.Error("setting the clock back brings the lease back")
	}
	if err := w.Clock.Keep(t.Context()); err == nil || !strings.Contains(err.Error(), "too early") {
		t.Errorf("nobody says that the clock is wrong: %v", err)
	}
	h.stops(w)
	w = h.works(h.config())
	if rel.Accessible(w.Now()) == nil {
		t.Error("a restart under a clock set back brings the lease back")
	}
	h.watch.jump(48 * time.Hour)
	if err := w.Clock.Keep(t.Context()); err == nil || !strings.Contains(err.Error(), "clock ack") {
		t.Errorf("the clock is right again, and nobody had to look at it: %v", err)
	}
	h.ok(w.Clock.Acknowledge(t.Context(), h.member.ID))
	h.ok(w.Clock.Keep(t.Context()))
}

// TestClockAcknowledged: a clock that was set back and is said to be right is followed, whoever
// says so in whatever process; what was over stays over.
func TestClockAcknowledged(t *testing.T) {
	h := newHome(t)
	rel, _ := h.leases()
	ctx := t.Context()
	cfg := h.config()
	h.ok(cfg.Clock.Frozen(ctx))
	h.watch.pass(49 * time.Hour)
	h.ok(cfg.Clock.Keep(ctx))
	h.watch.jump(-48 * time.Hour)
	for range 2 {
		if cfg.Clock.Frozen(ctx) == nil || cfg.Clock.Settled() == nil {
			t.Fatal("the clock went back, and the relay goes on")
		}
	}
	other := h.config() // as another process has it
	if other.Clock.Frozen(ctx) == nil {
		t.Error("a restart thaws the relay")
	}
	h.ok(other.Clock.Acknowledge(ctx, "command line"))
	if err := other.Clock.Acknowledge(ctx, "command line"); !errors.Is(err, relay.ErrState) {
		t.Errorf("acknowledged twice: %v", err)
	}
	h.ok(cfg.Clock.Frozen(ctx))
	h.ok(cfg.Clock.Keep(ctx))
	if got := h.watch.now().Sub(cfg.Clock.Now()).Abs(); got > time.Minute {
		t.Errorf("the relay's time is off by %s", got)
	}
	if s := h.release(rel.ID).State; s != relay.ReleaseIsExpired {
		t.Errorf("a lease that was over came back with the clock: it is %s", s)
	}
	if kinds := h.events("relay"); !slices.Equal(kinds, []relay.EventKind{relay.ClockFrozen, relay.ClockAcknowledged}) {
		t.Errorf("events %v", kinds)
	}
}

func TestCheckpoint(t *testing.T) {
	h := newHome(t)
	w := h.works(h.config())
	h.await("the log is sealed at the start", func() bool { notes, err := h.DB.Checkpoints(t.Context()); return err == nil && len(notes) == 1 })
	h.ok(h.DB.Record(t.Context(), relay.Event{Kind: relay.Started, Subject: "relay", Actor: "relay", At: h.watch.now()}))
	h.stops(w)
	notes, err := h.DB.Checkpoints(t.Context())
	h.ok(err)
	if len(notes) != 2 {
		t.Errorf("%d checkpoints after the stop, want 2", len(notes))
	}
}

// TestRotate: the key that wraps the keys changes once a day, over restarts too, and all keys
// stay usable.
func TestRotate(t *testing.T) {
	h := newHome(t)
	rel, _ := h.leases()
	kek := func() string {
		found, err := filepath.Glob(filepath.Join(h.dir, "keys", "kek-*"))
		h.ok(err)
		if len(found) != 1 {
			t.Fatalf("%d wrapping keys, want 1: %v", len(found), found)
		}
		return found[0]
	}
	w := &Worker{Config: h.config()}
	h.ok(w.rotate(t.Context()))
	first := kek()
	h.watch.pass(23 * time.Hour)
	h.ok(w.rotate(t.Context()))
	if kek() != first {
		t.Error("rotated before a day was over")
	}
	h.watch.pass(2 * time.Hour)
	w = &Worker{Config: h.config()}
	h.ok(w.rotate(t.Context()))
	if kek() == first {
		t.Error("not rotated after a day")
	}
	if _, err := h.opens(rel.Copies[0]); err != nil {
		t.Error(err)
	}
}

// TestOrphans: what a crash between bytes and row left goes after an hour, and nothing else.
func TestOrphans(t *testing.T) {
	h := newHome(t)
	rel, _ := h.leases()
	ctx := t.Context()
	_, err := h.Keys.New(ctx, "rorphan", "x")
	h.ok(err)
	h.ok(h.Objects.Put(ctx, "oorphan", strings.NewReader("x"), -1))
	w := &Worker{Config: h.config()}
	has := func() (key, object bool) {
		return slices.Contains(h.keys(), "rorphan"), slices.Contains(h.objects(), "oorphan")
	}
	for range 2 {
		h.ok(w.sweepOrphans(ctx))
		h.watch.pass(25 * time.Minute)
	}
	if key, object := has(); !key || !object {
		t.Fatal("orphans of less than an hour were destroyed: they may be under way")
	}
	h.watch.pass(25 * time.Minute)
	h.ok(w.sweepOrphans(ctx))
	if key, object := has(); key || object {
		t.Errorf("orphans stay: key %t, object %t", key, object)
	}
	for _, c := range rel.Copies {
		if _, err := h.opens(c); err != nil {
			t.Errorf("a live copy was taken for an orphan: %v", err)
		}
	}
	for _, m := range []string{"det@pd.example", "sgt@pd.example"} {
		if got, err := h.DB.WaitingMail(ctx, h.mail(rel.ID, "link", m).ID); err != nil || got.Secret == "" {
			t.Errorf("the secret of a waiting mail was taken for an orphan: %v", err)
		}
	}
}

// TestSharedObjects: two relays that were given one bucket do not destroy each other's footage.
func TestSharedObjects(t *testing.T) {
	h, other := newHome(t), newHome(t)
	rel, _ := h.leases()
	ours := &Worker{Config: h.config()}
	h.ok(ours.sweepObjects(t.Context()))
	theirs := &Worker{Config: other.config()}
	shared := *other.Store
	shared.Objects = h.Objects
	theirs.Store = &shared
	other.watch.pass(2 * time.Hour)
	if err := theirs.sweepObjects(t.Context()); err == nil || !strings.Contains(err.Error(), "another relay") {
		t.Errorf("the other relay swept our objects: %v", err)
	}
	if _, err := h.opens(rel.Copies[0]); err != nil {
		t.Error(err)
	}
}

// TestMediaOnly: the process beside the relay looks at clips and leaves all else alone.
func TestMediaOnly(t *testing.T) {
	h := newHome(t)
	rel, q := h.leases()
	clip := h.receives(film(t, "6"))
	cfg := h.config()
	cfg.MediaOnly = true
	h.works(cfg)
	if c := h.looked(clip.ID); c.State != relay.ClipReady {
		t.Errorf("%s: %s", c.State, c.Reason)
	}
	h.watch.pass(49 * time.Hour)
	for _, m := range []storage.Mail{h.mail(rel.ID, "link", "det@pd.example"), h.mail(q.ID, "released", h.member.Email)} {
		if m.State != "waiting" || m.Failure != "" {
			t.Errorf("it touched a mail: %+v", m)
		}
	}
	if notes, err := h.DB.Checkpoints(t.Context()); err != nil || len(notes) != 0 {
		t.Errorf("it sealed the log: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	h := newHome(t)
	for name, change := range map[string]func(*Config){
		"no store":       func(c *Config) { c.Store = nil },
		"no engine":      func(c *Config) { c.Engine = nil },
		"no temp folder": func(c *Config) { c.TempDir = "" },
		"bad mail":       func(c *Config) { c.SMTP = SMTPConfig{Host: "mail.example", From: "nobody"} },
	} {
		cfg := h.config()
		change(&cfg)
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	w, err := New(h.config())
	h.ok(err)
	h.ok(w.Stop(context.Background())) // before it was started
}

// TestRetention: clips go when their time is over, and their bytes with them; while the clock
// is in doubt nothing does.
func TestRetention(t *testing.T) {
	h := newHome(t)
	w := h.works(h.config())
	clip := h.looked(h.receives(film(t, "6")).ID)
	cameras, err := h.DB.Cameras(t.Context())
	h.ok(err)
	cameras[0].RetainDays = 30
	h.ok(h.DB.SaveCamera(t.Context(), cameras[0], h.member.ID, h.watch.now()))
	state := func() relay.ClipState {
		c, err := h.DB.Clip(t.Context(), clip.ID)
		h.ok(err)
		return c.State
	}
	h.watch.jump(60 * 24 * time.Hour)
	h.ok(w.retain(t.Context()))
	if s := state(); s != relay.ClipReady {
		t.Fatalf("by a clock that jumped it is %s", s)
	}
	h.watch.jump(-60 * 24 * time.Hour)
	h.watch.pass(29 * 24 * time.Hour)
	h.ok(w.retain(t.Context()))
	if s := state(); s != relay.ClipReady {
		t.Fatalf("a day early it is %s", s)
	}
	h.watch.pass(24*time.Hour + time.Second)
	h.await("it is deleted", func() bool { return state() == relay.ClipDisposed })
	h.await("the bytes are gone", func() bool {
		return !slices.ContainsFunc(h.objects(), func(name string) bool { return name == clip.Object || slices.Contains(clip.Stills, name) })
	})
}
