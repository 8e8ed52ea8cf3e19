package token

import (
	"cliplease/relay"
	"cliplease/storage"

	"github.com/go-json-experiment/json"
)

// EndedClaims are the relay's notice to an agency that the last release to a request is over, and
// that copies of it are to be destroyed. They say neither why nor by whom: a lease that ran out and
// one that was taken back are told in the same words.
type EndedClaims struct {
	Audience  string `json:"aud"` // the agency's id
	RequestID string `json:"request_id"`
	ReleaseID string `json:"release_id"`
	EndedAt   string `json:"ended_at"` // RFC 3339, UTC, whole seconds
	Destroy   bool   `json:"destroy"`  // always true: copies are to be destroyed
}

// MintEnded signs the notice that the last release to q is over, or returns "" where there was none
// or it is not over. It reads no more of q than its agency's view does; the same end gives the same bytes.
func MintEnded(id storage.Identity, q relay.Request) (string, error) {
	if q.EndedAt.IsZero() {
		return "", nil
	}
	return Sign(id.Relay, Ended, EndedClaims{
		Audience: q.AgencyID, RequestID: q.ID, ReleaseID: q.ReleaseID, EndedAt: relay.Stamp(q.EndedAt), Destroy: true,
	})
}

// ParseEnded reads a notice and checks it with the relay's key. Without a key (its Key is nil) the
// form alone is checked.
func ParseEnded(raw string, key relay.PublicKey) (c EndedClaims, err error) {
	t, err := Parse(raw, Ended)
	if err != nil {
		return c, err
	}
	if key.Key != nil {
		if err := t.Verify(key); err != nil {
			return c, err
		}
	}
	if err := json.Unmarshal(t.Payload, &c, json.RejectUnknownMembers(true)); err != nil {
		return c, ErrInvalid
	}
	return c, nil
}
