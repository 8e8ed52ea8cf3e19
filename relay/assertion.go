package relay

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
)

// Assertion is what a passkey made when a member signed: all that a third party needs to check
// it without the relay.
type Assertion struct {
	ClientData        []byte // clientDataJSON as the browser made it
	AuthenticatorData []byte
	Signature         []byte
	PublicKey         []byte // COSE_Key: ES256, EdDSA or RS256
}

// Flags of authenticator data.
const (
	flagUserPresent  = 0x01
	flagUserVerified = 0x04
)

// CheckAssertion says why a is not the answer of a verified person's passkey to challenge, or
// returns the origin at which it was given. The relying party's id must be that origin's host.
func CheckAssertion(a Assertion, challenge []byte) (origin string, err error) {
	var client struct {
		Type        string `json:"type"`
		Challenge   string `json:"challenge"`
		Origin      string `json:"origin"`
		CrossOrigin bool   `json:"crossOrigin"`
	}
	if err := json.Unmarshal(a.ClientData, &client); err != nil {
		return "", fmt.Errorf("clientDataJSON cannot be read: %w", err)
	}
	rp := sha256.Sum256([]byte(hostOf(client.Origin)))
	switch {
	case client.Type != "webauthn.get" || client.CrossOrigin:
		return "", errors.New("clientDataJSON is not of signing on the relay's own page")
	case client.Challenge != base64.RawURLEncoding.EncodeToString(challenge):
		return "", errors.New("the passkey signed another document")
	case len(a.AuthenticatorData) < 37 || !bytes.Equal(a.AuthenticatorData[:32], rp[:]):
		return "", errors.New("the passkey belongs to another site")
	case a.AuthenticatorData[32]&flagUserPresent == 0 || a.AuthenticatorData[32]&flagUserVerified == 0:
		return "", errors.New("the passkey did not verify its holder")
	}
	sum := sha256.Sum256(a.ClientData)
	if err := verifyCOSE(a.PublicKey, append(bytes.Clone(a.AuthenticatorData), sum[:]...), a.Signature); err != nil {
		return "", err
	}
	return client.Origin, nil
}

var errPasskeySignature = errors.New("the passkey's signature is not over this document")

// verifyCOSE checks sig over message with a COSE key (RFC 9052).
func verifyCOSE(key, message, sig []byte) error {
	numbers, blobs, err := parseCOSE(key)
	if err != nil {
		return err
	}
	digest := sha256.Sum256(message)
	good := false
	switch kty, alg, curve := numbers[1], numbers[3], numbers[-1]; {
	case kty == 2 && alg == -7 && curve == 1 && len(blobs[-2]) == 32 && len(blobs[-3]) == 32: // ES256
		point := append(append([]byte{4}, blobs[-2]...), blobs[-3]...)
		public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
		if err != nil {
			return fmt.Errorf("the passkey's public key: %w", err)
		}
		good = ecdsa.VerifyASN1(public, digest[:], sig)
	case kty == 1 && alg == -8 && curve == 6 && len(blobs[-2]) == ed25519.PublicKeySize: // EdDSA
		good = ed25519.Verify(blobs[-2], message, sig)
	case kty == 3 && alg == -257 && len(blobs[-1]) >= 256 && len(blobs[-2]) > 0 && len(blobs[-2]) <= 4: // RS256
		e := new(big.Int).SetBytes(blobs[-2])
		public := &rsa.PublicKey{N: new(big.Int).SetBytes(blobs[-1]), E: int(e.Int64())}
		good = rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], sig) == nil
	default:
		return fmt.Errorf("the passkey's key is of kind %d with algorithm %d; ES256, EdDSA and RS256 are known", kty, alg)
	}
	if !good {
		return errPasskeySignature
	}
	return nil
}

// parseCOSE reads a CBOR map from small integers to integers and byte strings, which is all
// that a COSE key holds.
func parseCOSE(raw []byte) (numbers map[int64]int64, blobs map[int64][]byte, err error) {
	bad := errors.New("the passkey's public key is damaged")
	head := func() (major byte, n uint64, ok bool) {
		if len(raw) == 0 {
			return 0, 0, false
		}
		major, n, raw = raw[0]>>5, uint64(raw[0]&31), raw[1:]
		if n < 24 {
			return major, n, true
		}
		size := 1 << (n - 24)
		if n > 26 || len(raw) < size {
			return 0, 0, false
		}
		n = 0
		for _, b := range raw[:size] {
			n = n<<8 | uint64(b)
		}
		raw = raw[size:]
		return major, n, true
	}
	number := func() (int64, bool) {
		major, n, ok := head()
		if major == 1 {
			return -1 - int64(n), ok
		}
		return int64(n), ok && major == 0
	}
	major, pairs, ok := head()
	if !ok || major != 5 || pairs > 16 {
		return nil, nil, bad
	}
	numbers, blobs = map[int64]int64{}, map[int64][]byte{}
	for range pairs {
		label, ok := number()
		_, again := numbers[label]
		_, blobAgain := blobs[label]
		if !ok || again || blobAgain || len(raw) == 0 {
			return nil, nil, bad
		}
		if raw[0]>>5 != 2 {
			if numbers[label], ok = number(); !ok {
				return nil, nil, bad
			}
			continue
		}
		_, n, ok := head()
		if !ok || n > uint64(len(raw)) {
			return nil, nil, bad
		}
		blobs[label], raw = raw[:n], raw[n:]
	}
	if len(raw) != 0 {
		return nil, nil, bad
	}
	return numbers, blobs, nil
}
