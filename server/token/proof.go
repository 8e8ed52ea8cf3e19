package token

import (
	"cliplease/relay"

	"github.com/go-json-experiment/json"
)

// Proves reports whether raw is a token by which the holder of key says exactly want: that
// it wants to be known by that key, in that call and no other.
func Proves(raw string, key relay.PublicKey, want relay.KeyProof) bool {
	t, err := Parse(raw, KeyProof)
	if err != nil || t.Header.KID != key.KID || t.Verify(key) != nil {
		return false
	}
	var got relay.KeyProof
	return json.Unmarshal(t.Payload, &got, json.RejectUnknownMembers(true)) == nil && got == want
}
