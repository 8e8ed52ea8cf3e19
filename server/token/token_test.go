package token

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/storage"
)

func identity(t testing.TB) (storage.Identity, relay.PublicKey) {
	t.Helper()
	id, err := storage.OpenIdentity(t.TempDir(), "relay.example/audit")
	if err != nil {
		t.Fatal(err)
	}
	key, err := relay.NewPublicKey(id.Relay.Public())
	if err != nil {
		t.Fatal(err)
	}
	if key.KID != id.RelayKID {
		t.Fatalf("the relay's key is called %s and %s", key.KID, id.RelayKID)
	}
	return id, key
}

// TestReceipt: the same request gives the same receipt, which nobody else can have signed.
func TestReceipt(t *testing.T) {
	id, key := identity(t)
	now := time.Date(2026, 11, 22, 16, 5, 0, 123e6, time.UTC)
	q := relay.Request{ID: "abc", SHA256: strings.Repeat("0", 64), ReceivedAt: now, RespondBy: now.Add(time.Hour)}
	raw, err := MintReceipt(id, q)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := MintReceipt(id, q); err != nil || again != raw {
		t.Errorf("again: %s %v, want %s", again, err, raw)
	}
	got, err := ParseReceipt(raw, key)
	want := ReceiptClaims{RequestSHA256: q.SHA256, RequestID: "abc", ReceivedAt: "2026-11-22T16:05:00Z", RespondBy: "2026-11-22T17:05:00Z"}
	if err != nil || got != want {
		t.Errorf("got %+v %v, want %+v", got, err, want)
	}
	_, other := identity(t)
	if _, err := ParseReceipt(raw, other); !errors.Is(err, ErrInvalid) {
		t.Errorf("with another relay's key: %v", err)
	}
}

// TestLink: a link opens on the relay that signed it, until it expires.
func TestLink(t *testing.T) {
	id, _ := identity(t)
	site := relay.NewSite("relay.example", "", true)
	now := time.Date(2026, 11, 22, 16, 5, 0, 0, time.UTC)
	jti := NewLinkID()
	raw, err := MintLink(id, site, jti, "release", now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParseLink(id, site, raw, now.Add(time.Hour-time.Second)); err != nil || got != jti {
		t.Errorf("got %q %v, want %q", got, err, jti)
	}
	other, _ := identity(t)
	receipt, err := MintReceipt(id, relay.Request{})
	if err != nil {
		t.Fatal(err)
	}
	for name, try := range map[string]func() (string, error){
		"expired":       func() (string, error) { return ParseLink(id, site, raw, now.Add(time.Hour)) },
		"other site":    func() (string, error) { return ParseLink(id, relay.NewSite("other.example", "", true), raw, now) },
		"other relay":   func() (string, error) { return ParseLink(other, site, raw, now) },
		"a receipt":     func() (string, error) { return ParseLink(id, site, receipt, now) },
		"cut short":     func() (string, error) { return ParseLink(id, site, raw[:len(raw)-1], now) },
		"nothing":       func() (string, error) { return ParseLink(id, site, "", now) },
		"a changed bit": func() (string, error) { return ParseLink(id, site, strings.Replace(raw, "e", "f", 1), now) },
	} {
		if got, err := try(); !errors.Is(err, ErrInvalid) || got != "" {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
}

// FuzzParse: whatever comes, the parser takes only what can be written in one way, and no
// signature but the one that was made verifies.
func FuzzParse(f *testing.F) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	key, err := relay.NewPublicKey(private.Public())
	if err != nil {
		f.Fatal(err)
	}
	good, err := Sign(private, Request, map[string]string{"iss": "urn:cliplease:agency:somebody"})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{good, good + "\r\n", good[1:], strings.ReplaceAll(good, ".", ".."), "..", "", strings.Repeat("A", 400)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		p, err := Parse(raw, Request)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("%q: %v", raw, err)
			}
			return
		}
		if strings.Trim(raw, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.") != "" || strings.Count(raw, ".") != 2 {
			t.Errorf("takes %q", raw)
		}
		if p.Verify(key) == nil && raw != good {
			t.Errorf("a signature of nobody verifies: %q", raw)
		}
	})
}

// TestVerifyByKey: the key says how it is used, and the token only whether it agrees.
func TestVerifyByKey(t *testing.T) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := relay.NewPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	for alg, good := range map[string]bool{"EdDSA": true, "Ed25519": true, "ES256": false} {
		b64 := base64.RawURLEncoding.EncodeToString
		signed := b64([]byte(`{"alg":"`+alg+`","kid":"`+key.KID+`","typ":"`+Request+`"}`)) + "." + b64([]byte(`{"iss":"somebody at all"}`))
		p, err := Parse(signed+"."+b64(ed25519.Sign(private, []byte(signed))), Request)
		if err != nil {
			t.Fatal(alg, err)
		}
		if err := p.Verify(key); (err == nil) != good {
			t.Errorf("%s: %v", alg, err)
		}
	}
}
