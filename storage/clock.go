package storage

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"cliplease/relay"
)

// How far a clock may move against the time that passed.
const (
	clockBack   = time.Minute    // further back: the clock is not followed
	clockAhead  = time.Hour      // further ahead: nothing is destroyed because of it…
	clockSettle = 24 * time.Hour // …until it has stood so long
)

const (
	clockSetting  = "clock"
	frozenSetting = "clock_frozen" // when the relay froze; gone once a person has acknowledged it
)

// Clock is the time that a relay acts by: the machine's, but it never runs backward. A lease
// that is over stays over when the machine's clock is set back, even while the relay was off,
// since the highest time is kept in the database. A clock that jumps far ahead ends leases at
// once, as it must, but destroys nothing for a day: a wrong clock must not cost footage.
//
// A clock that went back by more than a minute freezes the relay until a person has looked at it
// ([Clock.Frozen], [Clock.Acknowledge]): nobody from outside is let in meanwhile.
type Clock struct {
	db      *DB
	wall    func() time.Time
	elapsed func() time.Duration // since any fixed moment; goes on while the machine sleeps

	mu     sync.Mutex
	base   time.Time     // a time that was right…
	at     time.Duration // …when elapsed was at
	jumped time.Duration // when elapsed was jumped, the clock jumped ahead; valid with ahead
	ahead  bool
	frozen bool // frozenSetting was there when it was last read
}

// OpenClock starts a clock on wall, the machine's ([time.Now]), with elapsed ([SinceBoot]) to
// check it by. Where the
// machine's clock shows less than the highest time that was kept, the relay's goes on from
// there.
func OpenClock(ctx context.Context, db *DB, wall func() time.Time, elapsed func() time.Duration) (*Clock, error) {
	c := &Clock{db: db, wall: wall, elapsed: elapsed, base: wall().Round(0), at: elapsed()}
	switch kept, err := db.Setting(ctx, clockSetting); {
	case errors.Is(err, relay.ErrNotFound):
	case err != nil:
		return nil, fmt.Errorf("open the clock: %w", err)
	default:
		ms, err := strconv.ParseInt(kept, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("open the clock: the time kept in the database is damaged: %w", err)
		}
		if highest := time.UnixMilli(ms); highest.Sub(c.base) > clockBack {
			c.base = highest
		}
	}
	switch _, err := db.Setting(ctx, frozenSetting); {
	case err == nil:
		c.frozen = true
	case !errors.Is(err, relay.ErrNotFound):
		return nil, fmt.Errorf("open the clock: %w", err)
	}
	return c, nil
}

// SinceBoot is the time since the machine started, with the time that it slept: what a relay's
// clock is checked by.
func SinceBoot() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		panic("storage: no clock: " + err.Error()) // every Linux that Go runs on has it
	}
	return time.Duration(t.Nano())
}

// expected is the time that it must be, by what passed since it was last right.
func (c *Clock) expected() time.Time { return c.base.Add(c.elapsed() - c.at) }

// Now returns the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, expected := c.wall().Round(0), c.expected()
	if expected.Sub(now) > clockBack {
		return expected
	}
	return now
}

// Machine is what the machine's clock shows.
func (c *Clock) Machine() time.Time { return c.wall() }

// Keep compares the machine's clock with the time that passed and stores the highest right
// time. The worker calls it every half minute. Its error says that the clock is wrong, or
// that the time could not be stored.
func (c *Clock) Keep(ctx context.Context) error {
	frozen := c.Frozen(ctx)
	trusted, wrong := c.compare()
	return errors.Join(wrong, frozen, c.db.Set(ctx, clockSetting, strconv.FormatInt(trusted.UnixMilli(), 10)))
}

func (c *Clock) compare() (trusted time.Time, wrong error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, expected, elapsed := c.wall().Round(0), c.expected(), c.elapsed()
	switch {
	case expected.Sub(now) > clockBack:
		c.ahead = false
		return expected, fmt.Errorf("the machine's clock shows %s, which is %s too early; the relay goes by %s. Set the machine's clock right",
			relay.Stamp(now), expected.Sub(now).Round(time.Second), relay.Stamp(expected))
	case now.Sub(expected) <= clockAhead:
		c.ahead = false
	case !c.ahead:
		c.ahead, c.jumped = true, elapsed
		fallthrough
	case elapsed-c.jumped < clockSettle:
		return expected, fmt.Errorf("the machine's clock jumped ahead by %s, to %s. Leases end by it, but nothing is destroyed until it has stood for %s. If it is wrong, set it right",
			now.Sub(expected).Round(time.Second), relay.Stamp(now), clockSettle-(elapsed-c.jumped).Round(time.Second))
	default:
		c.ahead = false // it stood for a day: it is right
	}
	c.base, c.at = now, elapsed
	return now, nil
}

// Settled says why nothing may be destroyed by the clock now, or nil.
func (c *Clock) Settled() error {
	if _, wrong := c.compare(); wrong != nil {
		return wrong
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.frozen {
		return errFrozen
	}
	return nil
}

var errFrozen = errors.New("the machine's clock went back, and nobody from outside is let in until a person has looked at it: " +
	"see that the machine's clock is right, then acknowledge it on the Activity page or with \"cliplease admin clock ack\"")

// Frozen says why the relay lets nobody in from outside, or nil: the machine's clock went back,
// and nobody has acknowledged that yet. It freezes the relay when it finds that out.
func (c *Clock) Frozen(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.frozen { // perhaps another process has acknowledged it
		switch _, err := c.db.Setting(ctx, frozenSetting); {
		case errors.Is(err, relay.ErrNotFound):
			c.thaw()
		case err != nil:
			return err
		default:
			return errFrozen
		}
	}
	now, expected := c.wall().Round(0), c.expected()
	if expected.Sub(now) <= clockBack {
		return nil
	}
	if err := c.db.freeze(ctx, now, expected); err != nil {
		return err
	}
	c.frozen = true
	return errFrozen
}

// thaw starts anew from the machine's clock.
func (c *Clock) thaw() {
	c.frozen, c.ahead = false, false
	c.base, c.at = c.wall().Round(0), c.elapsed()
}

// Acknowledge says that actor has looked at the machine's clock and that it is right now. The
// relay goes by it from here on and lets people in again. Leases that were over by the time
// until now stay over. It fails with [relay.ErrState] when the relay is not frozen.
func (c *Clock) Acknowledge(ctx context.Context, actor string) (err error) {
	defer wrap(&err, "acknowledge the clock")
	c.mu.Lock()
	defer c.mu.Unlock()
	kept, err := c.db.Setting(ctx, clockSetting)
	if err != nil && !errors.Is(err, relay.ErrNotFound) {
		return err
	}
	highest := c.expected()
	if ms, err := strconv.ParseInt(kept, 10, 64); err == nil && time.UnixMilli(ms).After(highest) {
		highest = time.UnixMilli(ms)
	}
	if _, err := c.db.Setting(ctx, frozenSetting); errors.Is(err, relay.ErrNotFound) {
		return fmt.Errorf("the relay is not frozen: %w", relay.ErrState)
	} else if err != nil {
		return err
	}
	if _, err := c.db.ExpireReleases(ctx, highest); err != nil {
		return err
	}
	now := c.wall().Round(0)
	if err := c.db.update(ctx, func(tx *Tx) error {
		if err := tx.exec("DELETE FROM meta WHERE name = $1", frozenSetting); err != nil {
			return err
		}
		if err := tx.set(clockSetting, strconv.FormatInt(now.UnixMilli(), 10)); err != nil {
			return err
		}
		_, err := tx.append(relay.Event{Kind: relay.ClockAcknowledged, Subject: "relay", Actor: actor, At: now, Data: relay.Data{"until_then": relay.Stamp(highest)}})
		return err
	}); err != nil {
		return err
	}
	c.thaw()
	return nil
}

// freeze records that the clock went back, once.
func (db *DB) freeze(ctx context.Context, now, expected time.Time) (err error) {
	defer wrap(&err, "freeze the relay")
	return db.update(ctx, func(tx *Tx) error {
		res, err := tx.ExecContext(ctx, "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING", frozenSetting, relay.Stamp(expected))
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return err
		}
		_, err = tx.append(relay.Event{Kind: relay.ClockFrozen, Subject: "relay", Actor: "relay", At: expected, Data: relay.Data{"machine": relay.Stamp(now)}})
		return err
	})
}
