package relay

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
)

// The algorithms that agencies and relays sign with. "Ed25519" (RFC 9864) is another name
// for "EdDSA" and means the same key.
const (
	AlgEdDSA = "EdDSA"
	AlgES256 = "ES256"
)

// PublicKey is one public key with everything that follows from it.
type PublicKey struct {
	Alg string           // "EdDSA" or "ES256"
	KID string           // RFC 7638 thumbprint, base64url, 43 characters
	JWK string           // the required members alone, as RFC 7638 orders them
	Key crypto.PublicKey // [ed25519.PublicKey] or [*ecdsa.PublicKey]
}

// AgencyKeysMax is how many keys an agency may have that are neither retired nor compromised.
const AgencyKeysMax = 4

// jwk is the strict form of a public key as JSON (RFC 7517). Members that are not named here
// are refused, above all "d": a private key that somebody pasted by mistake.
type jwk struct {
	KTY string `json:"kty"`
	CRV string `json:"crv"`
	X   string `json:"x"`
	Y   string `json:"y,omitempty"`
	KID string `json:"kid,omitempty"`
	Alg string `json:"alg,omitempty"`
	Use string `json:"use,omitempty"`
	D   string `json:"d,omitempty"`
}

// ParseJWK reads one public key: Ed25519 or P-256, and nothing else. Its errors are
// [InvalidError] for field "jwk".
func ParseJWK(raw []byte) (PublicKey, error) {
	var k jwk
	if err := json.Unmarshal(raw, &k, json.RejectUnknownMembers(true)); err != nil {
		return PublicKey{}, Invalid("jwk", "This is no public key as JSON (RFC 7517) with the members kty, crv, x and, for P-256, y; kid, alg and use may stand beside them.")
	}
	return k.public()
}

func (k jwk) public() (PublicKey, error) {
	no := func(format string, args ...any) (PublicKey, error) {
		return PublicKey{}, Invalid("jwk", format, args...)
	}
	if k.D != "" {
		return no("This is a private key, and now it is known. Make a new one, and give only its public half.")
	}
	p := PublicKey{}
	x, err := base64.RawURLEncoding.Strict().DecodeString(k.X)
	if err != nil || len(x) != 32 {
		return no("x is 32 bytes in base64url.")
	}
	switch {
	case k.KTY == "OKP" && k.CRV == "Ed25519" && k.Y == "":
		p.Key, p.Alg = ed25519.PublicKey(x), AlgEdDSA
	case k.KTY == "EC" && k.CRV == "P-256":
		y, err := base64.RawURLEncoding.Strict().DecodeString(k.Y)
		if err != nil || len(y) != 32 {
			return no("y is 32 bytes in base64url.")
		}
		point := append(append([]byte{4}, x...), y...)
		if p.Key, err = ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point); err != nil {
			return no("x and y are no point of P-256.")
		}
		p.Alg = AlgES256
	default:
		return no("Keys are Ed25519 (kty OKP, crv Ed25519) or P-256 (kty EC, crv P-256); no other kind is taken.")
	}
	p.JWK, p.KID = identify(p.Key)
	switch {
	case k.KID != "" && k.KID != p.KID:
		return no("kid is the key's RFC 7638 thumbprint: %s.", p.KID)
	case k.Alg != "" && k.Alg != p.Alg && !(k.Alg == "Ed25519" && p.Alg == AlgEdDSA):
		return no("alg of this key is %s.", p.Alg)
	case k.Use != "" && k.Use != "sig":
		return no(`use is "sig": the key signs.`)
	}
	return p, nil
}

// NewPublicKey describes an Ed25519 or P-256 public key.
func NewPublicKey(key crypto.PublicKey) (PublicKey, error) {
	p := PublicKey{Key: key}
	switch k := key.(type) {
	case ed25519.PublicKey:
		p.Alg = AlgEdDSA
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return p, fmt.Errorf("key: the curve %s is not P-256", k.Curve.Params().Name)
		}
		p.Alg = AlgES256
	default:
		return p, fmt.Errorf("key: %T is neither Ed25519 nor P-256", key)
	}
	p.JWK, p.KID = identify(key)
	return p, nil
}

// identify returns the required members of a key as JSON, and their digest (RFC 7638).
func identify(key crypto.PublicKey) (text, kid string) {
	b64 := base64.RawURLEncoding.EncodeToString
	switch k := key.(type) {
	case ed25519.PublicKey:
		text = `{"crv":"Ed25519","kty":"OKP","x":"` + b64(k) + `"}`
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil {
			panic(fmt.Sprintf("relay: a P-256 key without a point: %v", err)) // callers checked it
		}
		text = `{"crv":"P-256","kty":"EC","x":"` + b64(point[1:33]) + `","y":"` + b64(point[33:]) + `"}`
	}
	sum := sha256.Sum256([]byte(text))
	return text, b64(sum[:])
}

// ParseJWKS reads the keys that an agency hands over: a set ({"keys": […]}) of one to
// [AgencyKeysMax] public keys, or one key alone. Its errors are [InvalidError] for "jwks".
func ParseJWKS(raw []byte) ([]PublicKey, error) {
	var set struct {
		Keys []jwk `json:"keys"`
	}
	if err := json.Unmarshal(raw, &set, json.RejectUnknownMembers(true)); err != nil {
		one, err := ParseJWK(raw)
		if err != nil {
			return nil, inField("jwks", err)
		}
		return []PublicKey{one}, nil
	}
	if n := len(set.Keys); n < 1 || n > AgencyKeysMax {
		return nil, Invalid("jwks", "Give 1 to %d public keys; this set has %d.", AgencyKeysMax, n)
	}
	seen := map[string]bool{}
	var out []PublicKey
	for _, k := range set.Keys {
		p, err := k.public()
		if err != nil {
			return nil, inField("jwks", err)
		}
		if seen[p.KID] {
			return nil, Invalid("jwks", "The key %s stands in the set twice.", p.KID)
		}
		seen[p.KID] = true
		out = append(out, p)
	}
	return out, nil
}

// inField names another field as the one that is wrong.
func inField(field string, err error) error {
	if invalid, ok := err.(*InvalidError); ok { //nolint:errorlint // made by our own caller, never wrapped
		invalid.Field = field
		return invalid
	}
	return err
}

// Words are the eight words of the key's thumbprint, which the homeowner and the agency read
// to each other over the telephone.
func (p PublicKey) Words() string {
	w, err := CheckWords(p.KID, 8)
	if err != nil {
		panic(err) // a thumbprint is always 32 bytes of base64url
	}
	return w
}

// Pin makes p a key of an agency, usable from one moment to another.
func (p PublicKey) Pin(agencyID string, from, until time.Time) AgencyKey {
	return AgencyKey{KID: p.KID, AgencyID: agencyID, Alg: p.Alg, JWK: p.JWK, NotBefore: from, NotAfter: until, Status: KeyActive, Since: from}
}

// Public returns the key itself, from the record.
func (k AgencyKey) Public() (PublicKey, error) {
	p, err := ParseJWK([]byte(k.JWK))
	if err != nil {
		return p, fmt.Errorf("key %s: %w", k.KID, err)
	}
	if p.KID != k.KID || p.Alg != k.Alg {
		return p, fmt.Errorf("key %s: the record holds the key %s (%s)", k.KID, p.KID, p.Alg)
	}
	return p, nil
}
