package relay

import (
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var arrival = time.Date(2026, 11, 22, 16, 5, 0, 0, time.UTC)

// expected is what a relay holds against the requests of one agency.
func expected() Expected {
	return Expected{Agency: Agency{ID: "urn:cliplease:agency:first", Domains: []string{"pd.example"}}, Audience: "https://api.relay.example", Now: arrival, MaxLife: 300 * time.Second,
		Keys: []AgencyKey{
			{KID: strings.Repeat("k", 43), Status: KeyActive, NotBefore: arrival, NotAfter: arrival.AddDate(1, 0, 0)},
			{KID: strings.Repeat("r", 43), Status: KeyRetired, NotBefore: arrival, NotAfter: arrival.AddDate(1, 0, 0)}}}
}

type doc = map[string]any

func goodClaims() doc {
	return doc{
		"iss": "urn:cliplease:agency:first", "sub": "officer:4711", "aud": "https://api.relay.example", "iat": arrival.Unix(), "exp": arrival.Unix() + 300,
		"jti": "abcdefghijklmnopqrstuvwx", "ver": "1", "lane": "voluntary",
		"purpose":     doc{"code": "burglary", "text": "Burglary at 12 Elm Street; a man ran past."},
		"legal_basis": doc{"kind": "voluntary", "citation": "", "compulsory": false},
		"case":        doc{"ref": "EPD-1", "opened": "2026-11-20"},
		"scope": doc{"target": doc{"handle": "front-door"}, "from": "2026-11-22T14:00:00Z", "to": "2026-11-22T14:10:00Z", "max_duration_s": 600,
			"streams": []any{"video"}, "faces": "redacted", "audio": false},
		"retention":  doc{"days": 30, "trigger": "none", "statement": ""},
		"onward":     doc{"policy": "none", "recipients": []any{}, "federal": false, "immigration": false, "systems": []any{}, "statement": ""},
		"recipients": []any{doc{"kind": "email", "addr": "det@pd.example", "name": "Det. X"}},
		"contact":    doc{"name": "Det. X", "phone": "+1 555 0100", "callback": "registered"},
		"respond_by": "2026-11-25T16:05:00Z", "attest": AttestID, "amends": nil,
	}
}

// set puts v at a dotted place of d.
func (w *walker) set(at string, v any) {
	d := w.d
	parts := strings.Split(at, ".")
	for _, p := range parts[:len(parts)-1] {
		d = d[p].(doc)
	}
	d[parts[len(parts)-1]] = v
}

type walker struct{ d doc }

func claimsWith(t testing.TB, changes doc) []byte {
	t.Helper()
	w := &walker{goodClaims()}
	for at, v := range changes {
		w.set(at, v)
	}
	raw, err := json.Marshal(w.d)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestParseClaims has a row for every rule of a request.
func TestParseClaims(t *testing.T) {
	hash := strings.Repeat("0a", 32)
	for _, tt := range []struct {
		name, claim string // claim: what the refusal names; empty: it is taken
		changes     doc
	}{
		{"as it is", "", nil},
		{"by statute", "", doc{"legal_basis.kind": "statute", "legal_basis.citation": "§ 12"}},
		{"warrant", "", doc{"lane": "legal_process", "legal_basis": doc{"kind": "warrant", "citation": "12/26", "document_sha256": hash, "served": "2026-11-20", "compulsory": true}}},
		{"urgent", "", doc{"lane": "exigent", "legal_basis.kind": "exigent", "legal_basis.citation": "danger to life", "respond_by": "2026-11-22T17:05:00Z"}},
		{"purpose of 20 letters in two bytes", "", doc{"purpose.text": strings.Repeat("é", 20)}},
		{"thousand", "", doc{"purpose.text": strings.Repeat("é", 1000)}},
		{"a day to answer", "", doc{"respond_by": "2026-11-23T16:05:00Z"}},
		{"thirty days to answer", "", doc{"respond_by": "2026-12-22T16:05:00Z"}},
		{"listed", "", doc{"onward.policy": "listed", "onward.recipients": []any{"county attorney"}, "onward.federal": true}},
		{"amends", "", doc{"amends": hash}},
		{"by key", "", doc{"recipients": []any{doc{"kind": "key", "kid": strings.Repeat("k", 43)}}}},

		{"retired key", "recipients.0.kid", doc{"recipients": []any{doc{"kind": "key", "kid": strings.Repeat("r", 43)}}}},
		{"subject of spaces", "sub", doc{"sub": "  "}},
		{"other lane", "lane", doc{"lane": "express"}},
		{"other purpose", "purpose.code", doc{"purpose.code": "investigation"}},
		{"19 letters", "purpose.text", doc{"purpose.text": strings.Repeat("é", 19)}},
		{"1001 letters", "purpose.text", doc{"purpose.text": strings.Repeat("é", 1001)}},
		{"19 letters and spaces", "purpose.text", doc{"purpose.text": strings.Repeat("x", 19) + "     "}},
		{"consent by warrant", "legal_basis.kind", doc{"legal_basis.kind": "warrant", "legal_basis.citation": "12/26"}},
		{"urgent by consent", "legal_basis.kind", doc{"lane": "exigent"}},
		{"process by consent", "legal_basis.kind", doc{"lane": "legal_process"}},
		{"statute uncited", "legal_basis.citation", doc{"legal_basis.kind": "statute"}},
		{"compelled by consent", "legal_basis.compulsory", doc{"legal_basis.compulsory": true}},
		{"compelled without a document", "legal_basis.compulsory", doc{"lane": "legal_process", "legal_basis": doc{"kind": "warrant", "citation": "12/26", "compulsory": true}}},
		{"digest in capitals", "legal_basis.document_sha256", doc{"legal_basis.document_sha256": strings.Repeat("0A", 32)}},
		{"served ahead", "legal_basis.served", doc{"legal_basis.served": "2026-11-24"}},
		{"no such day", "case.opened", doc{"case.opened": "2026-02-30"}},
		{"window backward", "scope.to", doc{"scope.to": "2026-11-22T13:00:00Z"}},
		{"empty window", "scope.to", doc{"scope.to": "2026-11-22T14:00:00Z"}},
		{"window ahead", "scope.to", doc{"scope.to": "2026-11-22T16:06:00Z"}},
		{"window of two days", "scope.to", doc{"scope.from": "2026-11-20T14:00:00Z"}},
		{"window in 1970", "scope.from", doc{"scope.from": "1970-01-01T00:00:00Z", "scope.to": "1970-01-01T00:10:00Z"}},
		{"other zone", "scope.from", doc{"scope.from": "2026-11-22T14:00:00+00:00"}},
		{"fraction", "scope.from", doc{"scope.from": "2026-11-22T14:00:00.5Z"}},
		{"leap second", "scope.from", doc{"scope.from": "2026-11-22T13:59:60Z"}},
		{"half an hour and a second", "scope.max_duration_s", doc{"scope.max_duration_s": 1801}},
		{"sound", "scope.audio", doc{"scope.audio": true}},
		{"audio stream", "scope.streams", doc{"scope.streams": []any{"video", "audio"}}},
		{"forever", "retention.days", doc{"retention.days": 3651}},
		{"none and yet federal", "onward.policy", doc{"onward.federal": true}},
		{"none and yet named", "onward.policy", doc{"onward.recipients": []any{"x"}}},
		{"listed and nobody", "onward.recipients", doc{"onward.policy": "listed"}},
		{"nobody", "recipients", doc{"recipients": []any{}}},
		{"number they chose", "contact.callback", doc{"contact.callback": "+1 555 0199"}},
		{"phone with a script", "contact.phone", doc{"contact.phone": "<script>"}},
		{"23 hours to answer", "respond_by", doc{"respond_by": "2026-11-23T15:05:00Z"}},
		{"31 days to answer", "respond_by", doc{"respond_by": "2026-12-23T16:05:01Z"}},
		{"urgent, four days", "respond_by", doc{"lane": "exigent", "legal_basis.kind": "exigent", "legal_basis.citation": "x", "respond_by": "2026-11-26T16:05:00Z"}},
		{"attests nothing", "attest", doc{"attest": ""}},
		{"amends a name", "amends", doc{"amends": "EPD-1"}},

		{"turned text", "purpose.text", doc{"purpose.text": "Burglary at 12 Elm\u202e teertS mlE 21 ta"}},
		{"isolated text", "case.ref", doc{"case.ref": "EPD\u2066-1"}},
		{"newline", "case.ref", doc{"case.ref": "EPD-1\nFrom: x"}},
		{"no width", "contact.name", doc{"contact.name": "Det.\u200b X"}},
		{"not NFC", "sub", doc{"sub": "Mu\u0308ller"}},
		{"hidden in a list", "onward.systems.1", doc{"onward.systems": []any{"a", "b\u0000"}}},
		{"null in a list", "onward.systems.0", doc{"onward.systems": []any{nil}}},
		{"null for an object", "scope.target", doc{"scope.target": nil}},
		{"null for a list", "recipients", doc{"recipients": nil}},
		{"object for a text", "sub", doc{"sub": doc{}}},
		{"unknown deep down", "scope.target.cells", doc{"scope.target.cells": []any{"x"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseClaims(claimsWith(t, tt.changes), expected())
			var invalid *InvalidError
			switch {
			case tt.claim == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.claim != "" && (!errors.As(err, &invalid) || invalid.Field != tt.claim || len(invalid.Reason) < 12):
				t.Errorf("got %v, want a refusal of %s", err, tt.claim)
			case tt.claim == "" && got.Issuer != "urn:cliplease:agency:first":
				t.Errorf("got %+v", got)
			}
		})
	}
}

// TestParseClaimsOrder: the first step that fails is the one that is named.
func TestParseClaimsOrder(t *testing.T) {
	changes := doc{}
	for _, step := range []struct {
		claim string
		wrong any
	}{{"attest", ""}, {"recipients", []any{}}, {"retention.days", 0}, {"scope.max_duration_s", 0}, {"sub", ""}, {"ver", "2"}, {"jti", "x"},
		{"exp", 0}, {"aud", "x"}, {"iss", "x"}, {"case.ref", "\u0000"}, {"more", 1}} {
		changes = maps.Clone(changes)
		changes[step.claim] = step.wrong
		var invalid *InvalidError
		if _, err := ParseClaims(claimsWith(t, changes), expected()); !errors.As(err, &invalid) || invalid.Field != step.claim {
			t.Errorf("got %v, want %s", err, step.claim)
		}
	}
}

// TestParseJWK: public keys of two kinds, and nothing else.
func TestParseJWK(t *testing.T) {
	const (
		ed  = `{"crv":"Ed25519","kty":"OKP","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}` // RFC 8037, appendix A
		kid = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
		ec  = `{"crv":"P-256","kty":"EC","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}` // RFC 7517, appendix A
	)
	k, err := ParseJWK([]byte(ed))
	if err != nil || k.KID != kid || k.Alg != AlgEdDSA || k.JWK != ed {
		t.Errorf("Ed25519: %+v %v", k, err)
	}
	if n := len(strings.Fields(k.Words())); n != 8 {
		t.Errorf("%d words", n)
	}
	if k, err := ParseJWK([]byte(ec)); err != nil || k.Alg != AlgES256 || k.JWK != ec {
		t.Errorf("P-256: %+v %v", k, err)
	}
	if k, err := ParseJWK([]byte(strings.Replace(ed, "{", `{"use":"sig","alg":"Ed25519","kid":"`+kid+`",`, 1))); err != nil || k.JWK != ed {
		t.Errorf("with kid, alg and use: %+v %v", k, err)
	}
	for name, raw := range map[string]string{
		"private": strings.Replace(ed, "{", `{"d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",`, 1), "another kid": strings.Replace(ed, "{", `{"kid":"x",`, 1),
		"another alg": strings.Replace(ed, "{", `{"alg":"ES256",`, 1), "for encryption": strings.Replace(ed, "{", `{"use":"enc",`, 1),
		"unknown member": strings.Replace(ed, "{", `{"x5u":"https://evil.example",`, 1), "twice": strings.Replace(ed, "{", `{"kty":"OKP",`, 1),
		"off the curve": strings.Replace(ec, "4Etl", "5Etl", 1), "RSA": `{"kty":"RSA","n":"AQAB","e":"AQAB"}`, "short": strings.Replace(ed, "URo\"", "\"", 1),
		"P-384": strings.Replace(ec, "P-256", "P-384", 1), "symmetric": `{"kty":"oct","k":"AAAA"}`, "empty": "", "list": "[]",
	} {
		var invalid *InvalidError
		if _, err := ParseJWK([]byte(raw)); !errors.As(err, &invalid) || invalid.Field != "jwk" {
			t.Errorf("%s: %v", name, err)
		}
	}
	set, err := ParseJWKS([]byte(`{"keys":[` + ed + `,` + ec + `]}`))
	if err != nil || len(set) != 2 {
		t.Errorf("a set: %v %v", set, err)
	}
	for name, raw := range map[string]string{"none": `{"keys":[]}`, "twice": `{"keys":[` + ed + `,` + ed + `]}`, "five": `{"keys":[` + ed + strings.Repeat(","+ed, 4) + `]}`} {
		if _, err := ParseJWKS([]byte(raw)); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	pinned := k.Pin("urn:cliplease:agency:first", arrival, arrival.AddDate(1, 0, 0))
	if again, err := pinned.Public(); err != nil || cmp.Diff(again.KID, k.KID) != "" {
		t.Errorf("from the record: %v", err)
	}
	pinned.KID = strings.Repeat("A", 43)
	if _, err := pinned.Public(); err == nil {
		t.Error("a record with the wrong kid is taken")
	}
}

// FuzzParseClaims: whatever it says, a payload is refused with the name of a claim, or it is
// taken and says the same when it is written anew.
func FuzzParseClaims(f *testing.F) {
	for _, changes := range []doc{nil, {"lane": "exigent"}, {"amends": strings.Repeat("0", 64)}, {"scope.to": nil}} {
		f.Add(claimsWith(f, changes))
	}
	f.Add([]byte(`{"iss":1e400,"a":[[[[[[]]]]]]}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		c, err := ParseClaims(payload, expected())
		if err != nil {
			var invalid *InvalidError
			if !errors.As(err, &invalid) || invalid.Reason == "" || len(invalid.Field) > 300 {
				t.Errorf("%v", err)
			}
			return
		}
		raw, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseClaims(raw, expected())
		if err != nil {
			t.Fatalf("written anew it is refused: %v\n%s", err, raw)
		}
		if diff := cmp.Diff(c, again); diff != "" {
			t.Error(diff)
		}
	})
}
