package storage

import (
	"crypto/ed25519"
	"crypto/rand"
	"testing"

	"cliplease/relay"
)

// TestStolenKey: marking a key as stolen closes what it signed and nobody answered, leaves what
// was released, and shows the agency nothing.
func TestStolenKey(t *testing.T) {
	forEachDB(t, func(t *testing.T, h *home) {
		waits := h.asks()
		rel, _ := h.leases()
		before := waits.AgencyView(h.now)
		h.ok(h.DB.SetKeyStatus(h.ctx(), h.kid, relay.KeyCompromised, h.member.ID, h.now))
		q, err := h.DB.Request(h.ctx(), waits.ID)
		h.ok(err)
		if q.State != relay.RequestClosed || q.Reason != relay.ClosedKey || q.AgencyView(h.now) != before {
			t.Errorf("the request that waited is %s (%s), and its agency sees %+v", q.State, q.Reason, q.AgencyView(h.now))
		}
		if _, err := h.DB.PrepareRelease(h.ctx(), q.ID, h.clip.ID, h.draft(q), h.member.ID, h.now); err == nil {
			t.Error("a release was begun for a request whose key was stolen")
		}
		if rel, err = h.DB.Release(h.ctx(), rel.ID); err != nil || rel.State != relay.ReleaseIsLive {
			t.Errorf("what was released is %s: %v", rel.State, err)
		}
	})
}

// TestRecheckAgency: a person checks an agency again; keys that it no longer has are retired, and
// none comes back.
func TestRecheckAgency(t *testing.T) {
	forEachDB(t, func(t *testing.T, h *home) {
		public, _, err := ed25519.GenerateKey(rand.Reader)
		h.ok(err)
		key, err := relay.NewPublicKey(public)
		h.ok(err)
		pin := func(at int) []relay.AgencyKey {
			return []relay.AgencyKey{key.Pin(h.agency.ID, h.now.AddDate(0, at, 0), h.now.AddDate(2, at, 0))}
		}
		h.ok(h.DB.AddAgencyKey(h.ctx(), pin(1)[0], h.agency.ID, h.now))
		mails, err := h.DB.MailAbout(h.ctx(), h.agency.ID)
		h.ok(err)
		if len(mails) == 0 || mails[0].Kind != "key" {
			t.Errorf("nobody is told of a key that an agency brings: %+v", mails)
		}
		a := h.agency
		a.Phone, a.VerifiedHow, a.VerifiedUntil = "+1 555 0199", "called again", h.now.AddDate(1, 0, 0)
		h.ok(h.DB.RecheckAgency(h.ctx(), a, pin(0), h.member.ID, h.now))
		got, err := h.DB.Agency(h.ctx(), a.ID)
		h.ok(err)
		kept, err := h.DB.AgencyKey(h.ctx(), key.KID)
		h.ok(err)
		gone, err := h.DB.AgencyKey(h.ctx(), h.kid)
		h.ok(err)
		if got.Phone != a.Phone || got.VerifiedHow != a.VerifiedHow || kept.Usable(h.now) != nil || gone.Status != relay.KeyRetired {
			t.Errorf("%+v, keeps %+v, retires %+v", got, kept, gone)
		}
		size := h.logSize()
		h.fails(h.DB.RecheckAgency(h.ctx(), a, []relay.AgencyKey{gone}, h.member.ID, h.now), relay.ErrConflict)
		a.ID = "urn:cliplease:agency:nobody"
		h.fails(h.DB.RecheckAgency(h.ctx(), a, nil, h.member.ID, h.now), relay.ErrConflict)
		if h.logSize() != size {
			t.Error("a check that failed is in the log")
		}
	})
}
