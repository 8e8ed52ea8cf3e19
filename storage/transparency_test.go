package storage

import (
	"errors"
	"testing"
	"time"

	"cliplease/relay"
)

// TestAskedIn counts what was asked in half a year from both databases, and leaves an order out
// for as long as a court forbids to speak of it.
func TestAskedIn(t *testing.T) {
	forEachDB(t, func(t *testing.T, h *home) {
		half := relay.Half{Year: h.now.Year(), Second: h.now.Month() >= time.July}
		open := half.Opens()
		rel, _ := h.leases()
		h.ok(h.DB.RevokeRelease(h.ctx(), rel.ID, h.member.ID, "", h.now))
		h.asks()
		q := h.files(order)
		report := func(half relay.Half) relay.Transparency {
			t.Helper()
			all, err := h.DB.AskedIn(h.ctx(), half, open)
			h.ok(err)
			r, err := relay.NewTransparency("relay.example", half, all, half.Opens())
			h.ok(err)
			return r
		}
		r := report(half)
		if r.All != (relay.TransparencyRow{Name: "all", Asked: "1-4", Released: "1-4", NotReleased: "1-4"}) || r.Lanes[1].Asked != "1-4" || r.Releases.Revoked != "1-4" || r.Releases.Narrowed != "1-4" {
			t.Errorf("%+v", r)
		}
		next := relay.Half{Year: half.To().Year(), Second: half.To().Month() >= time.July}
		h.ok(h.DB.NoteGag(h.ctx(), q.ID, h.now.AddDate(0, 1, 0), h.member.ID, h.now))
		h.ok(h.DB.NoteGag(h.ctx(), q.ID, next.From().AddDate(0, 1, 0), h.member.ID, h.now))
		if r := report(half); r.Lanes[1].Asked != "0" {
			t.Errorf("a gagged order is counted: %+v", r.Lanes)
		}
		if r := report(next); r.Lanes[1].Asked != "1-4" || r.Lanes[0].Asked != "0" {
			t.Errorf("an order whose gag is over is not counted: %+v", r.Lanes)
		}
		h.fails(h.DB.NoteGag(h.ctx(), "none", h.now, h.member.ID, h.now), relay.ErrNotFound)
		size := h.logSize()
		var invalid *relay.InvalidError
		if err := h.DB.NoteGag(h.ctx(), rel.RequestID, h.now.AddDate(0, 1, 0), h.member.ID, h.now); !errors.As(err, &invalid) || h.logSize() != size {
			t.Errorf("a request that compels nobody: %v", err)
		}
	})
}
