package token

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"regexp"
	"time"

	"cliplease/relay"
	"cliplease/storage"

	"github.com/go-json-experiment/json"
)

// linkClaims is the payload of a link: nothing personal.
type linkClaims struct {
	Issuer    string `json:"iss"` // the view host, also the only audience
	Audience  string `json:"aud"`
	ID        string `json:"jti"` // 32 random bytes in base64url: the secret
	ReleaseID string `json:"rid"`
	Expires   int64  `json:"exp"` // seconds since 1970
}

var linkID = regexp.MustCompile(`\A[A-Za-z0-9_-]{43}\z`)

// NewLinkID returns the secret of a new link: 32 random bytes in base64url.
func NewLinkID() string {
	b := make([]byte, 32)
	rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// LinkHash is what the link's row keeps of its secret ([relay.Link.TokenHash]).
func LinkHash(jti string) string {
	sum := sha256.Sum256([]byte(jti))
	return hex.EncodeToString(sum[:])
}

// MintLink signs the token of a link. Who has it still needs the row that its hash names:
// the token alone authorises nothing.
func MintLink(id storage.Identity, site relay.Site, jti, releaseID string, exp time.Time) (string, error) {
	return Sign(id.Relay, Link, linkClaims{Issuer: site.View, Audience: site.View, ID: jti, ReleaseID: releaseID, Expires: exp.Unix()})
}

// ParseLink checks a link's token and returns its secret. Anything wrong, an expired token
// too, is [ErrInvalid].
func ParseLink(id storage.Identity, site relay.Site, raw string, now time.Time) (jti string, err error) {
	t, err := Parse(raw, Link)
	if err != nil {
		return "", err
	}
	key, err := relay.NewPublicKey(id.Relay.Public())
	if err != nil {
		return "", err
	}
	if t.Header.KID != key.KID {
		return "", ErrInvalid
	}
	if err := t.Verify(key); err != nil {
		return "", err
	}
	var c linkClaims
	if err := json.Unmarshal(t.Payload, &c, json.RejectUnknownMembers(true)); err != nil {
		return "", ErrInvalid
	}
	if c.Issuer != site.View || c.Audience != site.View || !linkID.MatchString(c.ID) || now.Unix() >= c.Expires {
		return "", ErrInvalid
	}
	return c.ID, nil
}
