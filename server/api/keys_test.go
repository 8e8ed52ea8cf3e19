package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/server/token"
)

// TestRotateKey: a key in use brings another, which signs two days later; nobody brings a key
// that they do not hold.
func TestRotateKey(t *testing.T) {
	w := newWorld(t, wide())
	a, b := w.registers("first", relay.AlgEdDSA), w.registers("second", relay.AlgEdDSA)
	signer, public := w.key(relay.AlgES256)
	rotate := func(key relay.PublicKey, by requester, change func(claim)) (claim, string) {
		c := w.call(a, 300)
		c["jwk"] = json.RawMessage(key.JWK)
		c["proof"] = w.sign(by, token.KeyProof, relay.KeyProof{Issuer: a.ID, Audience: w.site.API, TokenID: c["jti"].(string)})
		if change != nil {
			change(c)
		}
		return c, w.sign(a, token.KeyRotate, c)
	}
	next := requester{a.Agency, signer, public}
	_, private := rotate(public, next, func(c claim) {
		c["jwk"] = json.RawMessage(strings.Replace(public.JWK, "}", `,"d":"AAAA"}`, 1))
	})
	_, foreign := rotate(b.public, next, nil)
	_, stolen := rotate(public, next, func(c claim) {
		c["proof"] = w.sign(next, token.KeyProof, relay.KeyProof{Issuer: b.ID, Audience: w.site.API, TokenID: c["jti"].(string)})
	})
	_, taken := rotate(b.public, b, nil)
	for name, tt := range map[string]struct{ raw, claim string }{
		"a private key":               {private, "jwk"},
		"a key that another holds":    {foreign, "proof"},
		"a proof for another agency":  {stolen, "proof"},
		"a key registered for others": {taken, "jwk"},
	} {
		if code, body := w.answer(w.post("/a/v1/keys/rotate", tt.raw)); code != http.StatusUnprocessableEntity || !strings.Contains(body, fmt.Sprintf(`"claim":%q`, tt.claim)) {
			t.Errorf("%s: %d %s", name, code, body)
		}
	}
	want := fmt.Sprintf(`{"kid":%q,"not_before":%q,"not_after":%q}`, public.KID, relay.Stamp(w.now.Add(48*time.Hour)), relay.Stamp(a.VerifiedUntil))
	for range 2 { // the second because the first answer may be lost
		_, raw := rotate(public, next, nil)
		if code, body := w.answer(w.post("/a/v1/keys/rotate", raw)); code != http.StatusAccepted || body != want {
			t.Fatalf("%d %s, want %s", code, body, want)
		}
	}
	files := func() int {
		code, _ := w.answer(w.post("/a/v1/requests", w.sign(next, token.Request, w.claims(a))))
		return code
	}
	if code := files(); code != http.StatusBadRequest {
		t.Errorf("at once: %d", code)
	}
	w.now = w.now.Add(48 * time.Hour)
	if code := files(); code != http.StatusAccepted {
		t.Errorf("after two days: %d", code)
	}
	for i := range 3 {
		signer, public := w.key(relay.AlgEdDSA)
		_, raw := rotate(public, requester{a.Agency, signer, public}, nil)
		code, body := w.answer(w.post("/a/v1/keys/rotate", raw))
		if want := map[bool]int{true: http.StatusAccepted, false: http.StatusUnprocessableEntity}[i < 2]; code != want {
			t.Errorf("key %d: %d %s", i+3, code, body)
		}
	}
	for _, err := range w.faults {
		t.Errorf("a fault: %v", err)
	}
}
