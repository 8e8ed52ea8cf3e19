package driver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"fmt"

	"cliplease/relay"

	"github.com/descope/virtualwebauthn"
)

// Passkey is an authenticator in software that holds one passkey, and whose person always
// confirms.
type Passkey struct {
	site relay.Site
	auth virtualwebauthn.Authenticator
	key  virtualwebauthn.Credential
}

// NewPasskey makes an authenticator for the homeowner's pages of a site.
func NewPasskey(site relay.Site) (*Passkey, error) {
	p := &Passkey{site: site, auth: virtualwebauthn.NewAuthenticator()}
	for {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		// The library writes coordinates without leading zeros, which is no valid key.
		if point, err := key.PublicKey.Bytes(); err != nil || point[1] == 0 || point[33] == 0 {
			continue
		}
		raw, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, err
		}
		p.key = virtualwebauthn.NewCredentialWithImportedKey(virtualwebauthn.KeyTypeEC2, raw)
		p.auth.AddCredential(p.key)
		return p, nil
	}
}

func (p *Passkey) party() virtualwebauthn.RelyingParty {
	return virtualwebauthn.RelyingParty{ID: p.site.HomeHost(), Name: "cliplease", Origin: p.site.Home}
}

// ceremony is what the relay says to begin one.
type ceremony struct {
	PublicKey json.RawMessage `json:"publicKey"`
	Ceremony  string          `json:"ceremony"`
}

// register answers the beginning of a registration.
func (p *Passkey) register(c ceremony) (json.RawMessage, error) {
	o, err := virtualwebauthn.ParseAttestationOptions(string(c.PublicKey))
	if err != nil {
		return nil, fmt.Errorf("passkey: %w", err)
	}
	p.auth.Options.UserHandle = []byte(o.UserID)
	return json.RawMessage(virtualwebauthn.CreateAttestationResponse(p.party(), p.auth, p.key, *o)), nil
}

// sign answers the beginning of a sign-in or of a grant.
func (p *Passkey) sign(c ceremony) (json.RawMessage, error) {
	o, err := virtualwebauthn.ParseAssertionOptions(string(c.PublicKey))
	if err != nil {
		return nil, fmt.Errorf("passkey: %w", err)
	}
	p.key.Counter++
	return json.RawMessage(virtualwebauthn.CreateAssertionResponse(p.party(), p.auth, p.key, *o)), nil
}
