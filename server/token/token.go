// Package token reads and writes the signed tokens of the relay and of its agencies: compact
// JWS (RFC 7515) of one fixed shape. golang-jwt signs and verifies; everything around it is
// stricter than the library, whose parser takes much that must be refused.
package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"

	"cliplease/relay"

	"github.com/go-json-experiment/json"
	"github.com/golang-jwt/jwt/v5"
)

// The types of token, each for one use: a token of one type is nothing anywhere else.
const (
	Request     = "cliplease-request+jwt"
	Poll        = "cliplease-poll+jwt"
	Withdraw    = "cliplease-withdraw+jwt"
	Open        = "cliplease-open+jwt"
	Destroyed   = "cliplease-destroyed+jwt"
	KeyRotate   = "cliplease-keyrotate+jwt"
	KeyProof    = "cliplease-keyproof+jwt"
	Receipt     = "cliplease-receipt+jwt"
	Ended       = "cliplease-ended+jwt"       // the relay's notice that a release is over
	Acknowledge = "cliplease-acknowledge+jwt" // that the agency has it
	Link        = "cliplease-link+jwt"
)

// MaxBytes is the longest token that is looked at.
const MaxBytes = 32 << 10

// ErrInvalid means that a token is not one of ours, whatever is wrong with it.
var ErrInvalid = errors.New("invalid token")

// shape of a compact token. Both algorithms have signatures of 64 bytes, so 86 characters.
var (
	shape = regexp.MustCompile(`\A([A-Za-z0-9_-]{20,512})\.([A-Za-z0-9_-]{20,})\.([A-Za-z0-9_-]{86})\z`)
	kid   = regexp.MustCompile(`\A[A-Za-z0-9_-]{43}\z`)
)

// Header is the protected header: exactly these members, each once.
type Header struct {
	Alg string `json:"alg"`
	KID string `json:"kid"`
	Typ string `json:"typ"`
}

// Token is a token whose form is right. Nothing in it may be believed before [Token.Verify].
type Token struct {
	Header  Header
	Payload []byte
	signed  string
	sig     []byte
}

// Parse takes a compact token of one type apart. Anything that is not exactly of our shape
// is [ErrInvalid].
func Parse(raw, typ string) (Token, error) {
	if len(raw) > MaxBytes {
		return Token{}, ErrInvalid
	}
	m := shape.FindStringSubmatch(raw)
	if m == nil {
		return Token{}, ErrInvalid
	}
	b64 := base64.RawURLEncoding.Strict()
	head, err := b64.DecodeString(m[1])
	if err != nil {
		return Token{}, ErrInvalid
	}
	t := Token{signed: raw[:len(m[1])+1+len(m[2])]}
	if t.Payload, err = b64.DecodeString(m[2]); err != nil {
		return Token{}, ErrInvalid
	}
	if t.sig, err = b64.DecodeString(m[3]); err != nil {
		return Token{}, ErrInvalid
	}
	// Strict: no member twice, none in other letters, none that is not named (crit, b64, jwk,
	// jku, x5u, x5c, zip, cty), no bytes that are not UTF-8.
	if err := json.Unmarshal(head, &t.Header, json.RejectUnknownMembers(true)); err != nil {
		return Token{}, ErrInvalid
	}
	if t.Header.Typ != typ || !kid.MatchString(t.Header.KID) || t.Header.Algorithm() == "" {
		return Token{}, ErrInvalid
	}
	return t, nil
}

// Algorithm is the algorithm as our records name it, or "" for one that is not taken.
func (h Header) Algorithm() string {
	switch h.Alg {
	case relay.AlgEdDSA, "Ed25519": // two names of one thing (RFC 9864)
		return relay.AlgEdDSA
	case relay.AlgES256:
		return relay.AlgES256
	}
	return ""
}

// Verify checks the signature with a key whose algorithm is the key's own and not the
// token's. Failing, it is [ErrInvalid].
func (t Token) Verify(key relay.PublicKey) error {
	if t.Header.Algorithm() != key.Alg {
		return ErrInvalid
	}
	method, err := method(key.Key)
	if err != nil {
		return err
	}
	if err := method.Verify(t.signed, t.sig, key.Key); err != nil {
		return ErrInvalid
	}
	return nil
}

// method picks the only way to use a key: by the type of the key.
func method(key crypto.PublicKey) (jwt.SigningMethod, error) {
	switch key.(type) {
	case ed25519.PublicKey:
		return jwt.SigningMethodEdDSA, nil
	case *ecdsa.PublicKey:
		return jwt.SigningMethodES256, nil
	}
	return nil, fmt.Errorf("token: %T signs no token", key)
}

// Sign makes a token of one type with the claims as its payload. With an Ed25519 key the
// same claims give the same bytes.
func Sign(key crypto.Signer, typ string, claims any) (raw string, err error) {
	public, err := relay.NewPublicKey(key.Public())
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(claims, json.Deterministic(true))
	if err != nil {
		return "", fmt.Errorf("token: %w", err)
	}
	head, err := json.Marshal(Header{public.Alg, public.KID, typ})
	if err != nil {
		return "", fmt.Errorf("token: %w", err)
	}
	method, err := method(public.Key)
	if err != nil {
		return "", err
	}
	b64 := base64.RawURLEncoding.EncodeToString
	signed := b64(head) + "." + b64(payload)
	sig, err := method.Sign(signed, key)
	if err != nil {
		return "", fmt.Errorf("token: %w", err)
	}
	return signed + "." + b64(sig), nil
}
