package storage

import (
	"context"
	"time"

	"cliplease/relay"
)

// Bundle gathers the evidence of a release that is or was live, under a new checkpoint of the
// log. A release that was never signed is [relay.ErrNotFound]. The caller writes the bundle
// with [relay.WriteBundle] and the relay's key.
func (s *Store) Bundle(ctx context.Context, site relay.Site, releaseID string, now time.Time) (b relay.Bundle, err error) {
	defer wrap(&err, "evidence of release %s", releaseID)
	g, err := s.DB.GrantOf(ctx, releaseID)
	if err != nil {
		return b, err
	}
	rel, err := s.DB.Release(ctx, releaseID)
	if err != nil {
		return b, err
	}
	q, err := s.DB.Request(ctx, rel.RequestID)
	if err != nil {
		return b, err
	}
	key, err := s.DB.AgencyKey(ctx, q.KID)
	if err != nil {
		return b, err
	}
	public, err := key.Public()
	if err != nil {
		return b, err
	}
	b = relay.Bundle{Request: q.JWS, AgencyKey: public.JWK, Grant: g.Document, Assertion: g.Signature.assertion(), Site: site, AuditKey: s.Identity.AuditKey}
	others, err := s.DB.Approvals(ctx, releaseID)
	if err != nil {
		return b, err
	}
	for i, a := range others { // the grant's own record is the last who signed
		if i == 0 {
			b.Assertion = a.Signature.assertion()
		} else {
			b.Others = append(b.Others, a.Signature.assertion())
		}
	}
	if len(others) > 0 {
		b.Others = append(b.Others, g.Signature.assertion())
	}
	if b.Manifests, err = s.DB.Manifests(ctx, releaseID); err != nil {
		return b, err
	}
	if b.Checkpoint, err = s.DB.Checkpoint(ctx, site.LogOrigin(), s.Identity.Audit, now); err != nil {
		return b, err
	}
	verifier, err := s.Identity.AuditVerifier()
	if err != nil {
		return b, err
	}
	c, err := relay.OpenCheckpoint(b.Checkpoint, verifier)
	if err != nil {
		return b, err
	}
	b.Entry, b.Proof, err = s.DB.Proof(ctx, g.LogIndex, c.Size)
	return b, err
}
