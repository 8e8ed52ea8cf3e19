package api

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/server/token"

	"github.com/golang-jwt/jwt/v5"
)

const invalidRequest = `{"error":"invalid_request"}`

// TestJWTAcceptsNothingElse sends one good token and everything that is nearly one. The first
// 16 are those that golang-jwt takes with all its checks on.
func TestJWTAcceptsNothingElse(t *testing.T) {
	w := newWorld(t, wide())
	a, other := w.registers("first", relay.AlgEdDSA), w.registers("second", relay.AlgES256)
	head := fmt.Sprintf(`{"alg":"EdDSA","kid":%q,"typ":"cliplease-request+jwt"}`, a.public.KID)
	headWith := func(more string) string { return strings.TrimSuffix(head, "}") + "," + more + "}" }
	good := func() string { return text(t, w.claims(a)) }
	with := func(change func(claim)) string {
		c := w.claims(a)
		change(c)
		return text(t, c)
	}
	set := func(name string, v any) string { return with(func(c claim) { c[name] = v }) }
	without := func(name string) string { return with(func(c claim) { delete(c, name) }) }
	insert := func(more string) string { return "{" + more + "," + strings.TrimPrefix(good(), "{") }
	sign := func(header, payload string) string { return compact(t, a.signer, header, payload) }
	now := w.now.Unix()

	for _, tt := range []struct {
		name, raw, claim string // claim: the 422 that names it; empty: a 400
	}{
		{"1 unknown crit", sign(headWith(`"crit":["x"],"x":1`), good()), ""},
		{"2 crit b64", sign(headWith(`"crit":["b64"],"b64":false`), good()), ""},
		{"3 alg twice", sign(strings.Replace(head, `{`, `{"alg":"ES256",`, 1), good()), ""},
		{"4 other typ", sign(strings.Replace(head, "cliplease-request+jwt", "JWT", 1), good()), ""},
		{"4 typ of another call", sign(strings.Replace(head, "cliplease-request+jwt", token.Withdraw, 1), good()), ""},
		{"5 embedded jwk", sign(headWith(`"jwk":`+a.public.JWK), good()), ""},
		{"5 jku", sign(headWith(`"jku":"https://evil.example/keys"`), good()), ""},
		{"6 purpose twice", sign(head, insert(`"purpose":{"code":"theft","text":"another purpose, the first of two"}`)), "purpose"},
		{"7 PURPOSE", sign(head, insert(`"PURPOSE":{"code":"theft","text":"another purpose in capital letters"}`)), "PURPOSE"},
		{"8 purpoſe", sign(head, insert(`"purpoſe":{"code":"theft","text":"another purpose with a long s"}`)), "purpo?e"},
		{"9 bad UTF-8", sign(head, strings.Replace(good(), "officer:4711", "officer:\xff", 1)), "sub"},
		{"10 unknown member", sign(head, insert(`"admin":true`)), "admin"},
		{"11 exp as string", sign(head, set("exp", fmt.Sprint(now+300))), "exp"},
		{"12 exp in ten years", sign(head, set("exp", now+10*365*86400)), "exp"},
		{"13 iat five years ago", sign(head, set("iat", now-5*365*86400)), "exp"},
		{"14 no iat", sign(head, without("iat")), "iat"},
		{"15 aud names two", sign(head, set("aud", []string{w.site.API, "https://api.other.example"})), "aud"},
		{"16 CR LF in the signature", crlf(sign(head, good())), ""},

		{"none", unsigned(t, head, good(), "none"), ""},
		{"none with a signature", sign(strings.Replace(head, "EdDSA", "none", 1), good()), ""},
		{"HS256 with the public key", hs256(t, a, good()), ""},
		{"RS256", sign(strings.Replace(head, "EdDSA", "RS256", 1), good()), ""},
		{"EdDSA key called ES256", sign(strings.Replace(head, "EdDSA", "ES256", 1), good()), ""},
		{"key of another agency", compact(t, other.signer, fmt.Sprintf(`{"alg":"ES256","kid":%q,"typ":"cliplease-request+jwt"}`, other.public.KID), good()), "iss"},
		{"signature of another key", compact(t, other.signer, head, good()), ""},
		{"unknown kid", sign(strings.Replace(head, a.public.KID, strings.Repeat("A", 43), 1), good()), ""},
		{"no kid", sign(`{"alg":"EdDSA","typ":"cliplease-request+jwt"}`, good()), ""},
		{"kid is null", sign(`{"alg":"EdDSA","kid":null,"typ":"cliplease-request+jwt"}`, good()), ""},
		{"header is a list", sign(`["EdDSA","kid","cliplease-request+jwt"]`, good()), ""},
		{"header with trailing data", sign(head+"{}", good()), ""},
		{"one bit of the payload", flip(sign(head, good())), ""},
		{"trailing bits of base64", trailing(sign(head, good())), ""},
		{"padding", sign(head, good()) + "==", ""},
		{"four parts", sign(head, good()) + ".AAAA", ""},
		{"space before", " " + sign(head, good()), ""},
		{"newline after", sign(head, good()) + "\n", ""},
		{"empty", "", ""},
		{"JSON serialisation", `{"payload":"","protected":"","signature":""}`, ""},
		{"too long", strings.Repeat("A", token.MaxBytes+1), ""},

		{"no exp", sign(head, without("exp")), "exp"},
		{"exp is null", sign(head, set("exp", nil)), "exp"},
		{"exp is a fraction", sign(head, strings.Replace(good(), fmt.Sprint(now+300), fmt.Sprint(now+300)+".5", 1)), "exp"},
		{"exp with an exponent", sign(head, strings.Replace(good(), fmt.Sprint(now+300), "1.7e9", 1)), "exp"},
		{"exp before iat", sign(head, set("exp", now-1)), "exp"},
		{"a life of 301 s", sign(head, set("exp", now+301)), "exp"},
		{"expired", sign(head, with(func(c claim) { c["iat"], c["exp"] = now-330, now-30 })), "exp"},
		{"issued in the future", sign(head, with(func(c claim) { c["iat"], c["exp"] = now+31, now+300 })), "iat"},
		{"far overflow", sign(head, with(func(c claim) { c["iat"], c["exp"] = int64(-1)<<62, int64(1)<<62 })), "iat"},
		{"foreign aud", sign(head, set("aud", "https://api.other.example")), "aud"},
		{"aud with a slash", sign(head, set("aud", w.site.API+"/")), "aud"},
		{"iss of another", sign(head, set("iss", other.ID)), "iss"},
		{"iss empty", sign(head, set("iss", "")), "iss"},
		{"jti short", sign(head, set("jti", "abc")), "jti"},
		{"ver 2", sign(head, set("ver", "2")), "ver"},
		{"no case", sign(head, without("case")), "case"},
		{"payload is a list", sign(head, `["a","b","c","d","e","f"]`), ""},
		{"payload is null and space", sign(head, "null"+strings.Repeat(" ", 30)), "iss"},
		{"payload with trailing data", sign(head, good()+"{}"), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, body := w.answer(w.post("/a/v1/requests", tt.raw))
			switch {
			case strings.HasPrefix(tt.name, "payload is a list"), strings.HasPrefix(tt.name, "payload with"):
				if code != http.StatusUnprocessableEntity {
					t.Errorf("%d %s, want 422", code, body)
				}
			case tt.claim == "":
				if code != http.StatusBadRequest || body != invalidRequest {
					t.Errorf("%d %s, want 400 %s", code, body, invalidRequest)
				}
			default:
				if want := fmt.Sprintf(`{"error":"invalid_claim","claim":%q,"reason":`, tt.claim); code != http.StatusUnprocessableEntity || !strings.HasPrefix(body, want) {
					t.Errorf("%d %s, want 422 %s…", code, body, want)
				}
			}
		})
	}
	if n := w.requests(); n != 0 {
		t.Errorf("%d of these were stored", n)
	}

	t.Run("good ones", func(t *testing.T) {
		for name, raw := range map[string]string{
			"EdDSA":                 sign(head, good()),
			"Ed25519 (RFC 9864)":    sign(strings.Replace(head, "EdDSA", "Ed25519", 1), good()),
			"members in any order":  sign(fmt.Sprintf(`{ "typ":"cliplease-request+jwt","kid":%q, "alg":"EdDSA"}`, a.public.KID), good()),
			"clock 29 s behind":     sign(head, with(func(c claim) { c["iat"], c["exp"] = now+29, now+300 })),
			"expired for 29 s":      sign(head, with(func(c claim) { c["iat"], c["exp"] = now-300, now-29 })),
			"ES256":                 w.sign(other, token.Request, w.claims(other)),
			"amends left out":       sign(head, without("amends")),
			"compelled by a court":  sign(head, with(compel)),
			"letters of all people": sign(head, set("sub", "Łukasz Müller 王 \U0001F6E1")),
		} {
			if code, body := w.answer(w.post("/a/v1/requests", raw)); code != http.StatusAccepted {
				t.Errorf("%s: %d %s", name, code, body)
			}
		}
	})
	for _, err := range w.faults {
		t.Errorf("a fault: %v", err)
	}
}

func compel(c claim) {
	c["lane"] = "legal_process"
	c["legal_basis"] = claim{"kind": "warrant", "citation": "Order 12/2026", "document_sha256": hexSum("order"), "served": "2026-11-20", "compulsory": true}
}

func crlf(raw string) string { return raw[:len(raw)-10] + "\r\n" + raw[len(raw)-10:] }

func unsigned(t *testing.T, head, payload, alg string) string {
	b64 := base64.RawURLEncoding.EncodeToString
	return b64([]byte(strings.Replace(head, "EdDSA", alg, 1))) + "." + b64([]byte(payload)) + "."
}

// hs256 is signed with the public key as an HMAC secret.
func hs256(t *testing.T, a requester, payload string) string {
	b64 := base64.RawURLEncoding.EncodeToString
	signed := b64([]byte(fmt.Sprintf(`{"alg":"HS256","kid":%q,"typ":"cliplease-request+jwt"}`, a.public.KID))) + "." + b64([]byte(payload))
	m := hmac.New(sha256.New, []byte(a.public.JWK))
	m.Write([]byte(signed))
	return signed + "." + b64(append(m.Sum(nil), m.Sum(nil)...)) // of the length that we look for
}

func flip(raw string) string {
	at := strings.IndexByte(raw, '.') + 30
	letter := byte('A')
	if raw[at] == 'A' {
		letter = 'B'
	}
	return raw[:at] + string(letter) + raw[at+1:]
}

// trailing changes the bits that base64 of 64 bytes does not use.
func trailing(raw string) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	i := strings.IndexByte(letters, raw[len(raw)-1])
	return raw[:len(raw)-1] + string(letters[i^1])
}

// TestLibraryTakesThem shows why the library alone is not enough: if a version of it refuses
// these some day, this test says so.
func TestLibraryTakesThem(t *testing.T) {
	w := newWorld(t, wide())
	a := w.registers("first", relay.AlgEdDSA)
	head := fmt.Sprintf(`{"alg":"EdDSA","kid":%q,"typ":"JWT","crit":["x"],"x":1}`, a.public.KID)
	c := w.claims(a)
	c["exp"] = time.Now().AddDate(10, 0, 0).Unix()
	delete(c, "iat")
	raw := compact(t, a.signer, head, text(t, c))
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"EdDSA"}), jwt.WithAudience(w.site.API), jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithStrictDecoding())
	if _, err := parser.Parse(raw, func(*jwt.Token) (any, error) { return a.public.Key, nil }); err != nil {
		t.Errorf("the library refuses what it took: %v", err)
	}
	if _, err := token.Parse(raw, token.Request); err == nil {
		t.Error("token.Parse takes what it must not")
	}
}

// TestReplay: the same bytes bring the same receipt and one row; other bytes under the same
// jti are refused, and so is a token for another relay.
func TestReplay(t *testing.T) {
	w := newWorld(t, Limits{})
	a := w.registers("first", relay.AlgEdDSA)
	c := w.claims(a)
	raw := w.sign(a, token.Request, c)
	code, receipt := w.answer(w.post("/a/v1/requests", raw))
	if code != http.StatusAccepted {
		t.Fatal(code, receipt)
	}
	for range 12 { // more often than the limits allow requests
		w.now = w.now.Add(10 * time.Second)
		if code, again := w.answer(w.post("/a/v1/requests", raw)); code != http.StatusAccepted || again != receipt {
			t.Fatalf("sent again: %d %s, want %s", code, again, receipt)
		}
	}
	changed := maps.Clone(c)
	changed["sub"] = "officer:4712"
	if code, body := w.answer(w.post("/a/v1/requests", w.sign(a, token.Request, changed))); code != http.StatusUnprocessableEntity || !strings.Contains(body, `"claim":"jti"`) {
		t.Errorf("same jti, other bytes: %d %s", code, body)
	}
	if n := w.requests(); n != 1 {
		t.Errorf("%d requests are stored, want 1", n)
	}
	w.now = w.now.Add(10 * time.Minute)
	if code, body := w.answer(w.post("/a/v1/requests", raw)); code != http.StatusUnprocessableEntity || !strings.Contains(body, `"claim":"exp"`) {
		t.Errorf("after its time: %d %s", code, body)
	}
	// A poll, which leaves no row, is used up all the same.
	p := w.call(a, 60)
	p["request_ids"] = []string{"aaaaaaaaaaaaaaaaaaaaaaaaaa"}
	raw = w.sign(a, token.Poll, p)
	if code, _ := w.answer(w.post("/a/v1/requests/poll", raw)); code != http.StatusNotFound {
		t.Errorf("poll: %d", code)
	}
	if code, body := w.answer(w.post("/a/v1/requests/poll", raw)); code != http.StatusUnprocessableEntity || !strings.Contains(body, `"claim":"jti"`) {
		t.Errorf("poll again: %d %s", code, body)
	}
}

// TestTwin: of an ES256 signature (r, s) the twin (r, n-s) verifies, too. It is the same jti
// with other bytes.
func TestTwin(t *testing.T) {
	w := newWorld(t, wide())
	a := w.registers("first", relay.AlgES256)
	raw := w.sign(a, token.Request, w.claims(a))
	if code, body := w.answer(w.post("/a/v1/requests", raw)); code != http.StatusAccepted {
		t.Fatal(code, body)
	}
	dot := strings.LastIndexByte(raw, '.')
	sig, err := base64.RawURLEncoding.DecodeString(raw[dot+1:])
	w.ok(err)
	s := new(big.Int).Sub(elliptic.P256().Params().N, new(big.Int).SetBytes(sig[32:]))
	twin := raw[:dot+1] + base64.RawURLEncoding.EncodeToString(append(sig[:32:32], s.FillBytes(make([]byte, 32))...))
	sum := sha256.Sum256([]byte(raw[:dot]))
	if !ecdsa.Verify(a.public.Key.(*ecdsa.PublicKey), sum[:], new(big.Int).SetBytes(sig[:32]), s) {
		t.Fatal("the twin should verify")
	}
	if code, body := w.answer(w.post("/a/v1/requests", twin)); code != http.StatusUnprocessableEntity || !strings.Contains(body, `"claim":"jti"`) {
		t.Errorf("the twin: %d %s", code, body)
	}
	if n := w.requests(); n != 1 {
		t.Errorf("%d requests are stored, want 1", n)
	}
}

// TestOuterForm: the outside of a call is as strict as its inside.
func TestOuterForm(t *testing.T) {
	w := newWorld(t, wide())
	a := w.registers("first", relay.AlgEdDSA)
	for name, change := range map[string]func(*http.Request){
		"no type":           func(r *http.Request) { r.Header.Del("Content-Type") },
		"two types":         func(r *http.Request) { r.Header.Add("Content-Type", "application/jwt") },
		"type with charset": func(r *http.Request) { r.Header.Set("Content-Type", "application/jwt; charset=utf-8") },
		"JSON":              func(r *http.Request) { r.Header.Set("Content-Type", "application/json") },
		"gzip":              func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") },
		"query":             func(r *http.Request) { r.URL.RawQuery = "debug=1" },
	} {
		r := httptest.NewRequest("POST", "/a/v1/requests", strings.NewReader(w.sign(a, token.Request, w.claims(a))))
		r.Header.Set("Content-Type", "application/jwt")
		change(r)
		if code, body := w.answer(w.send(r)); code != http.StatusBadRequest || body != invalidRequest {
			t.Errorf("%s: %d %s", name, code, body)
		}
	}
}

// TestKeyInUse: a key signs only in its time and while it is in use.
func TestKeyInUse(t *testing.T) {
	w := newWorld(t, wide())
	a, b := w.registers("first", relay.AlgEdDSA), w.registers("second", relay.AlgEdDSA)
	w.ok(w.store.DB.SetKeyStatus(t.Context(), b.public.KID, relay.KeyCompromised, "command line", w.now))
	if code, body := w.answer(w.post("/a/v1/requests", w.sign(b, token.Request, w.claims(b)))); code != http.StatusBadRequest || body != invalidRequest {
		t.Errorf("compromised: %d %s", code, body)
	}
	w.now = w.now.AddDate(1, 0, 0)
	if code, body := w.answer(w.post("/a/v1/requests", w.sign(a, token.Request, w.claims(a)))); code != http.StatusBadRequest || body != invalidRequest {
		t.Errorf("after its time: %d %s", code, body)
	}
}
