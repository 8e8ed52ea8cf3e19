package storage

import (
	"testing"
	"time"

	"cliplease/relay"
)

// TestAgencyInvitations: an invitation is answered once, tells the members, and is over once
// the agency was checked.
func TestAgencyInvitations(t *testing.T) {
	forEachDB(t, func(t *testing.T, h *home) {
		v := relay.AgencyInvitation{TokenHash: hexSum("token"), Name: "Sheriff", InvitedBy: h.member.ID, ExpiresAt: h.now.Add(time.Hour)}
		h.ok(h.DB.InviteAgency(h.ctx(), v, h.now))
		o := relay.AgencyOffer{ID: h.agency.ID, Name: "Sheriff", Level: relay.LevelCounty, Domains: []string{"sheriff.example"}, JWKS: "{}"}
		answer := func() error { return h.DB.OfferAgency(h.ctx(), v.TokenHash, o, h.now.Add(time.Minute)) }
		h.ok(answer())
		h.fails(answer(), relay.ErrNotFound)
		open, err := h.DB.AgencyInvitations(h.ctx(), h.now)
		h.ok(err)
		if len(open) != 1 || open[0].Offer.Name != "Sheriff" || open[0].OfferedAt.IsZero() {
			t.Errorf("open: %+v", open)
		}
		mails, err := h.DB.MailAbout(h.ctx(), v.ID())
		h.ok(err)
		if len(mails) == 0 || mails[0].Kind != "offer" {
			t.Errorf("nobody was told: %+v", mails)
		}
		a := h.agency
		a.VerifiedAt = h.now.Add(2 * time.Minute)
		h.ok(h.DB.RecheckAgency(h.ctx(), a, nil, h.member.ID, h.now))
		if open, err = h.DB.AgencyInvitations(h.ctx(), h.now); err != nil || len(open) != 0 {
			t.Errorf("after the check: %+v, %v", open, err)
		}
		late := relay.AgencyInvitation{TokenHash: hexSum("late"), Name: "Late", InvitedBy: h.member.ID, ExpiresAt: h.now}
		h.ok(h.DB.InviteAgency(h.ctx(), late, h.now))
		h.fails(h.DB.OfferAgency(h.ctx(), late.TokenHash, o, h.now), relay.ErrNotFound)
		h.fails(h.DB.OfferAgency(h.ctx(), hexSum("unknown"), o, h.now), relay.ErrNotFound)
	})
}
