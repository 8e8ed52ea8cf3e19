package api

import (
	"errors"
	"net/http"
	"time"

	"cliplease/relay"
	"cliplease/server/token"

	"github.com/gin-gonic/gin"
)

// keyDelay is how long a new key waits, so that the home can object.
const keyDelay = 48 * time.Hour

// rotation is the answer to a new key.
type rotation struct {
	KID       string `json:"kid"`
	NotBefore string `json:"not_before"` // when it may sign, unless the home objects
	NotAfter  string `json:"not_after"`  // when the agency's registration ends
}

// RotateKey handles POST /a/v1/keys/rotate: an agency's key that is in use brings another.
func (s *Server) RotateKey(c *gin.Context) error {
	out, err := s.rotateKey(c)
	if err != nil {
		return s.refuse(c, err)
	}
	return s.answer(c, http.StatusAccepted, out)
}

func (s *Server) rotateKey(c *gin.Context) (rotation, error) {
	by, err := s.authenticate(c, token.KeyRotate, lifeLong)
	if err != nil {
		return rotation{}, err
	}
	claims, key, err := relay.ParseRotate(by.token.Payload, by.expects)
	if err != nil {
		return rotation{}, err
	}
	want := relay.KeyProof{Issuer: claims.Issuer, Audience: claims.Audience, TokenID: claims.TokenID}
	if !token.Proves(claims.Proof, key, want) {
		return rotation{}, relay.Invalid("proof", "proof is a token of type %s with iss, aud and jti of this one, signed by the new key.", token.KeyProof)
	}
	ctx, now := c.Request.Context(), by.expects.Now
	if err := s.once(ctx, by, claims.Call); err != nil {
		return rotation{}, err
	}
	if by.agency.Status != relay.AgencyActive || !now.Add(keyDelay).Before(by.agency.VerifiedUntil) {
		return rotation{}, relay.ErrPolicy
	}
	inUse := 0
	for _, k := range by.expects.Keys {
		if k.KID == key.KID && k.Status == relay.KeyActive {
			return rotated(k), nil // sent again after an answer that was lost
		}
		if k.Status == relay.KeyActive && now.Before(k.NotAfter) {
			inUse++
		}
	}
	if inUse >= relay.AgencyKeysMax {
		return rotation{}, relay.Invalid("jwk", "The agency has %d keys already; ask the home to retire one.", inUse)
	}
	pinned := key.Pin(by.agency.ID, now.Add(keyDelay), by.agency.VerifiedUntil)
	pinned.Since = now
	err = s.store.DB.AddAgencyKey(ctx, pinned, by.agency.ID, now)
	if errors.Is(err, relay.ErrConflict) {
		return rotation{}, relay.Invalid("jwk", "This key was registered before; make a new one.")
	}
	return rotated(pinned), err
}

func rotated(k relay.AgencyKey) rotation {
	return rotation{KID: k.KID, NotBefore: relay.Stamp(k.NotBefore), NotAfter: relay.Stamp(k.NotAfter)}
}
