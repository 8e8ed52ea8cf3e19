// Command bundle-verify checks evidence bundles a second time, independently: it shares no code
// with cliplease and needs the standard library alone. It is short, so that whoever relies on
// a bundle can read it first.
//
// For each file it prints one line, "ok" with the keys that everything rests on, or what does
// not hold. It exits with 1 unless every file holds.
package main

import (
	"archive/zip"
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"math/big"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const names = "README.txt agency-key.jwk authenticatorData clientDataJSON credential_pubkey.cose grant-entry.json grant.json grant.tlog-proof keys.json request.jws signature"

// answer lists the members that several passkeys have each; a number follows from the second on.
const answer = "authenticatorData clientDataJSON credential_pubkey.cose signature"

// failure is what a check panics with; verify turns it into an error.
type failure struct{ error }

func must(holds bool, format string, args ...any) {
	if !holds {
		panic(failure{fmt.Errorf(format, args...)})
	}
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: bundle-verify FILE…")
		os.Exit(2)
	}
	code := 0
	for _, path := range os.Args[1:] {
		said, err := verify(path)
		if err != nil {
			said, code = err.Error(), 1
		}
		fmt.Printf("%s: %s\n", path, said)
	}
	os.Exit(code)
}

func verify(path string) (said string, err error) {
	defer func() {
		if f, ok := recover().(failure); ok {
			err = f
		}
	}()
	m := read(path)
	var keys struct {
		V      int
		Relay  string
		Origin string
		RPID   string `json:"rp_id"`
		Audit  string `json:"audit_key"`
		Key    string `json:"relay_key"`
	}
	decode("keys.json", m["keys.json"], &keys)
	list := ""
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if !strings.HasPrefix(name, "SHA256SUMS") {
			list += fmt.Sprintf("%x  %s\n", sha256.Sum256(m[name]), name)
		}
	}
	must(list == string(m["SHA256SUMS"]), "SHA256SUMS does not list these members")
	relayKey := parseJWK("keys.json", keys.Key)
	must(relayKey.alg == "EdDSA" && relayKey.verifies([]byte("cliplease-bundle-v1\x00"+list), m["SHA256SUMS.sig"]), "the relay's key did not sign SHA256SUMS")

	// The agency's request.
	agencyKey := parseJWK("agency-key.jwk", string(m["agency-key.jwk"]))
	var asked struct {
		Iss     string
		Purpose struct{ Code string }
		Case    struct{ Ref string }
		Scope   struct{ From, To time.Time }
		Lane    string
		Onward  struct{ Federal bool }
		Basis   struct {
			Kind, Citation, Served string
			DocumentSHA256         string `json:"document_sha256"`
			Compulsory             bool
		} `json:"legal_basis"`
	}
	decodeLoose("request.jws", agencyKey.token("request.jws", string(m["request.jws"]), "cliplease-request+jwt"), &asked)

	// The grant, and the passkey's signature over it.
	var grant struct {
		V          int
		Typ, Basis string
		Relay      string
		Order      *struct {
			Kind, Citation, Served string
			DocumentSHA256         string `json:"document_sha256"`
		}
		GrantID string `json:"grant_id"`
		By      struct{ Member string }
		Request struct {
			SHA256, Agency, Case string
			Purpose              string `json:"purpose_code"`
		}
		Scope struct {
			From, To time.Time
			Audio    bool
		}
		Redaction struct {
			Exceptions []struct {
				Kind, Reason, By string
				From             int64 `json:"from_ms"`
				To               int64 `json:"to_ms"`
			}
		}
		Quorum *struct {
			Needed int
			Why    []string
		}
	}
	decodeLoose("grant.json", m["grant.json"], &grant)
	challenge := sha256.Sum256(append([]byte("cliplease-grant-v1\x00"), m["grant.json"]...))
	signatures := 1
	if q := grant.Quorum; q != nil {
		must(q.Needed >= 2 && q.Needed <= 5 && len(q.Why) > 0, "the grant asks for a number of signatures that cannot be")
		signatures = q.Needed
	}
	for why, holds := range map[string]bool{"sound": grant.Scope.Audio, "long": grant.Scope.To.Sub(grant.Scope.From) > 15*time.Minute, "exigent": asked.Lane == "exigent",
		"federal": asked.Onward.Federal, "unredacted": len(grant.Redaction.Exceptions) > 0} {
		must(!holds || grant.Quorum != nil && slices.Contains(grant.Quorum.Why, why), "the grant does not say that several have to sign it (%s)", why)
	}
	for _, x := range grant.Redaction.Exceptions {
		n := utf8.RuneCountInString(x.Reason)
		must((x.Kind == "face" || x.Kind == "plate") && x.By != "" && n >= 15 && n <= 200 && 0 <= x.From && x.From < x.To &&
			x.From <= grant.Scope.To.Sub(grant.Scope.From).Milliseconds(), "the grant leaves something visible without saying what, why, or by whom")
	}
	for n := 1; n <= 5; n++ {
		part := func(name string) []byte {
			if n > 1 {
				name += fmt.Sprintf(".%d", n)
			}
			must(n <= signatures || m[name] == nil, "%s: the grant needs fewer signatures", name)
			return m[name]
		}
		said, auth, key, sig := part("clientDataJSON"), part("authenticatorData"), part("credential_pubkey.cose"), part("signature")
		if n > signatures {
			continue
		}
		var client struct {
			Type, Challenge, Origin string
			CrossOrigin             bool
		}
		decodeLoose("clientDataJSON", said, &client)
		must(client.Type == "webauthn.get" && !client.CrossOrigin, "clientDataJSON is of something else")
		must(client.Challenge == base64.RawURLEncoding.EncodeToString(challenge[:]), "the passkey signed another grant")
		home, err := url.Parse(client.Origin)
		must(err == nil && client.Origin == keys.Origin && home.Hostname() == keys.RPID && grant.Relay == keys.Relay, "the grant was signed elsewhere")
		rp, clientSum := sha256.Sum256([]byte(keys.RPID)), sha256.Sum256(said)
		must(len(auth) >= 37 && bytes.Equal(auth[:32], rp[:]) && auth[32]&5 == 5, "the passkey is of another site, or did not verify its holder")
		checkCOSE(key, slices.Concat(auth, clientSum[:]), sig)
	}
	b, o := asked.Basis, grant.Order
	if b.Compulsory {
		must(grant.Typ == "cliplease.compelled" && grant.Basis == "compelled" && o != nil && o.Kind == b.Kind && o.Citation == b.Citation && o.Served == b.Served &&
			o.DocumentSHA256 == b.DocumentSHA256, "the agency compelled this, and the grant does not say so")
	} else {
		must(grant.Typ == "cliplease.grant" && grant.Basis == "consent" && o == nil, "the grant says that it was compelled, and the agency did not")
	}
	must(grant.V == 1 && grant.Request.SHA256 == hexSum(m["request.jws"]) && grant.Request.Agency == asked.Iss &&
		grant.Request.Case == asked.Case.Ref && grant.Request.Purpose == asked.Purpose.Code, "the grant does not answer this request")
	must(!grant.Scope.From.Before(asked.Scope.From) && !grant.Scope.To.After(asked.Scope.To) && grant.Scope.From.Before(grant.Scope.To), "the grant gives more than was asked for")

	// The log.
	var entry struct {
		Index int64
		Leaf  string
		Event json.RawMessage
		Salt  string
	}
	var leaf struct{ C string }
	var event struct {
		Kind, Actor, Subject string
		Data                 map[string]any
	}
	decode("grant-entry.json", m["grant-entry.json"], &entry)
	decodeLoose("grant-entry.json", []byte(entry.Leaf), &leaf)
	decodeLoose("grant-entry.json", entry.Event, &event)
	salt, err := hex.DecodeString(entry.Salt)
	mac := hmac.New(sha256.New, salt)
	mac.Write(entry.Event)
	must(err == nil && len(salt) == 32 && base64.StdEncoding.EncodeToString(mac.Sum(nil)) == leaf.C, "the leaf does not open to the event")
	must(event.Kind == "release.granted" && event.Data["grant"] == grant.GrantID && event.Data["request_sha256"] == grant.Request.SHA256 &&
		event.Data["grant_sha256"] == hex.EncodeToString(challenge[:]), "the log's entry is of another grant")
	// Whose passkeys they are: the log says it where there are several.
	signers, _ := event.Data["signers"].([]any)
	members, passkeys := []string{grant.By.Member}, []string{}
	if grant.Quorum != nil {
		members = nil
	}
	must(grant.Quorum != nil || event.Data["signers"] == nil, "the log names several signers")
	for i, v := range signers {
		s, _ := v.(map[string]any)
		member, _ := s["member"].(string)
		key, _ := s["key_sha256"].(string)
		name := strings.TrimSuffix(fmt.Sprintf("credential_pubkey.cose.%d", i+1), ".1")
		must(member != "" && key == hexSum(m[name]) && !slices.Contains(members, member) && !slices.Contains(passkeys, key), "the log names other signers, or one of them twice")
		members, passkeys = append(members, member), append(passkeys, key)
	}
	must(len(members) == signatures && members[0] == grant.By.Member && members[len(members)-1] == event.Actor, "the log names other signers than the grant needs")
	checkProof(string(m["grant.tlog-proof"]), keys.Audit, keys.Relay+"/audit", entry.Index, entry.Leaf)
	checkManifests(m, relayKey, tree{
		"v": 1.0, "relay": keys.Relay, "release_id": event.Subject, "request_sha256": grant.Request.SHA256, "grant_id": grant.GrantID, "grant_sha256": hex.EncodeToString(challenge[:]),
		"window.asked.from": stamp(asked.Scope.From), "window.asked.to": stamp(asked.Scope.To),
		"log.origin": keys.Relay + "/audit", "log.index": float64(entry.Index), "log.size": float64(entry.Index + 1),
	})
	visible := ""
	for _, x := range grant.Redaction.Exceptions {
		visible += fmt.Sprintf("; left visible: a %s, since: %s", x.Kind, x.Reason)
	}
	return fmt.Sprintf("ok: grant %s to %s; agency key %s, relay key %s, log key %s", grant.GrantID, asked.Iss, agencyKey.kid, relayKey.kid, keys.Audit) + visible, nil
}

// tree is a JSON object.
type tree map[string]any

// at returns what stands at a dotted path; an empty list is nil.
func (t tree) at(path string) any {
	head, rest, deeper := strings.Cut(path, ".")
	v := t[head]
	if inner, ok := v.(map[string]any); ok && deeper {
		return tree(inner).at(rest)
	}
	if list, ok := v.([]any); deeper || ok && len(list) == 0 {
		return nil
	}
	return v
}

// checkManifests checks what the relay states of each file: the same as the grant, and what
// want has by path. A bundle has a manifest of each file, or none.
func checkManifests(m map[string][]byte, relayKey jwk, want tree) {
	var grant tree
	decodeLoose("grant.json", m["grant.json"], &grant)
	outputs, _ := grant["outputs"].([]any)
	held := 0
	for name := range m {
		if strings.HasPrefix(name, "manifest.jws") {
			held++
		}
	}
	must(held == 0 || held == len(outputs), "%d files have %d manifests", len(outputs), held)
	for i := range held {
		name := strings.TrimSuffix(fmt.Sprintf("manifest.jws.%d", i+1), ".1")
		must(m[name] != nil, "%s is missing", name)
		var said tree
		decodeLoose(name, relayKey.token(name, string(m[name]), "cliplease-manifest+jwt"), &said)
		file, _ := outputs[i].(map[string]any)
		for ours, theirs := range map[string]any{
			"recipient.id": file["recipient"], "recipient.kind": file["kind"], "recipient.display": file["display"], "output.sha256": file["file_sha256"], "output.bytes": file["bytes"],
			"source.commit": grant.at("source.commit"), "source.camera": grant.at("scope.camera"), "window.approved.from": grant.at("scope.from"), "window.approved.to": grant.at("scope.to"),
			"redaction.profile": grant.at("redaction.profile"), "redaction.static_masks": grant.at("redaction.static_masks"),
			"redaction.manual_boxes": grant.at("redaction.manual_boxes"), "redaction.exceptions": grant.at("redaction.exceptions"),
		} {
			must(reflect.DeepEqual(said.at(ours), theirs), "%s says something else than the grant: %s", name, ours)
		}
		for path, v := range want {
			must(said.at(path) == v, "%s says something else than the bundle: %s", name, path)
		}
		gates, _ := said["gates"].([]any)
		for _, g := range gates {
			gate, _ := g.(map[string]any)
			must(gate["ok"] == true, "%s says that a check of the file failed", name)
		}
	}
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

func hexSum(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }

func read(path string) map[string][]byte {
	z, err := zip.OpenReader(path)
	must(err == nil, "not a bundle: %v", err)
	defer z.Close()
	m := map[string][]byte{}
	for _, f := range z.File {
		plain := f.Name
		if i := len(plain) - 2; i > 0 && plain[i] == '.' && (plain[i+1] >= '2' && plain[i+1] <= '5' && slices.Contains(strings.Fields(answer), plain[:i]) ||
			plain[i+1] >= '2' && plain[i+1] <= '8' && plain[:i] == "manifest.jws") {
			plain = plain[:i]
		}
		must(slices.Contains(strings.Fields(names+" manifest.jws SHA256SUMS SHA256SUMS.sig"), plain) && m[f.Name] == nil && f.UncompressedSize64 <= 1<<20, "%q does not belong here", f.Name)
		r, err := f.Open()
		must(err == nil, "%s: %v", f.Name, err)
		b, err := io.ReadAll(io.LimitReader(r, 1<<20))
		must(err == nil, "%s: %v", f.Name, err)
		m[f.Name] = append([]byte{}, b...)
	}
	whole, err := os.ReadFile(path)
	must(err == nil && bytes.Equal(pack(m), whole), "the file is not packed as bundles are")
	for _, name := range strings.Fields(names + " SHA256SUMS SHA256SUMS.sig") {
		must(m[name] != nil, "%s is missing", name)
	}
	return m
}

// pack writes members as the only ZIP file that a bundle of them may be: sorted, stored, dated
// 1980-01-01, nothing between or behind them.
func pack(m map[string][]byte) []byte {
	var files, directory bytes.Buffer
	put := func(to io.Writer, fields ...any) {
		for _, f := range fields {
			must(binary.Write(to, binary.LittleEndian, f) == nil, "cannot pack")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		n, head := uint32(len(m[name])), new(bytes.Buffer)
		put(head, uint16(20), uint16(0), uint16(0), uint16(0), uint16(0x21), crc32.ChecksumIEEE(m[name]), n, n, uint16(len(name)), uint16(0))
		put(&directory, []byte("PK\x01\x02\x14\x00"), head.Bytes(), make([]byte, 10), uint32(files.Len()), []byte(name))
		put(&files, []byte("PK\x03\x04"), head.Bytes(), []byte(name), m[name])
	}
	start, n := uint32(files.Len()), uint16(len(m))
	put(&files, directory.Bytes(), []byte("PK\x05\x06"), uint32(0), n, n, uint32(directory.Len()), start, uint16(0))
	return files.Bytes()
}

// decode reads one JSON document that holds nothing that v does not name; decodeLoose lets it.
func decode(name string, raw []byte, v any) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	must(err == nil && len(bytes.TrimSpace(raw[d.InputOffset():])) == 0, "%s cannot be read: %v", name, err)
}

func decodeLoose(name string, raw []byte, v any) {
	err := json.Unmarshal(raw, v)
	must(err == nil, "%s cannot be read: %v", name, err)
}

func unb64(name, s string) []byte {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	must(err == nil && !strings.ContainsAny(s, "\r\n"), "%s: not base64url", name)
	return b
}

// jwk is a public key whose text is exactly the one that RFC 7638 hashes.
type jwk struct {
	alg, kid string
	verifies func(message, sig []byte) bool
}

func parseJWK(name, text string) jwk {
	var k struct{ Crv, Kty, X, Y string }
	decode(name, []byte(text), &k)
	x, sum := unb64(name, k.X), sha256.Sum256([]byte(text))
	kid := base64.RawURLEncoding.EncodeToString(sum[:])
	if text == fmt.Sprintf(`{"crv":"Ed25519","kty":"OKP","x":"%s"}`, k.X) && len(x) == 32 {
		return jwk{"EdDSA", kid, func(message, sig []byte) bool { return ed25519.Verify(x, message, sig) }}
	}
	must(text == fmt.Sprintf(`{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}`, k.X, k.Y), "%s: not a key in the form of its thumbprint", name)
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x, unb64(name, k.Y)))
	must(err == nil && len(x) == 32, "%s: not a P-256 key", name)
	return jwk{"ES256", kid, func(message, sig []byte) bool {
		sum := sha256.Sum256(message)
		return len(sig) == 64 && ecdsa.Verify(public, sum[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:]))
	}}
}

// token returns the payload of a compact JWS that k signed.
func (k jwk) token(name, token, typ string) []byte {
	p := strings.Split(token, ".")
	must(len(p) == 3, "%s: not a compact token", name)
	var h struct{ Alg, Kid, Typ string }
	decode(name, unb64(name, p[0]), &h)
	must((h.Alg == k.alg || h.Alg == "Ed25519" && k.alg == "EdDSA") && h.Kid == k.kid && (typ == "" || h.Typ == typ), "%s: of another key or kind", name)
	must(k.verifies([]byte(p[0]+"."+p[1]), unb64(name, p[2])), "%s: not signed by its key", name)
	return unb64(name, p[1])
}

// checkCOSE checks sig with the passkey's public key: a CBOR map of integers and byte strings.
func checkCOSE(key, message, sig []byte) {
	item := func() (major byte, n int64) {
		must(len(key) > 0, "the passkey's key is cut off")
		major, n, key = key[0]>>5, int64(key[0]&31), key[1:]
		if n >= 24 {
			width := 1 << (n - 24)
			must(n <= 26 && len(key) >= width, "the passkey's key is damaged")
			n = int64(binary.BigEndian.Uint32(append(make([]byte, 4-width), key[:width]...)))
			key = key[width:]
		}
		if major == 1 {
			return 0, -1 - n
		}
		return major, n
	}
	numbers, blobs, seen := map[int64]int64{}, map[int64][]byte{}, map[int64]bool{}
	major, pairs := item()
	must(major == 5 && pairs <= 16, "the passkey's key is no map")
	for range pairs {
		major, label := item()
		must(major == 0 && !seen[label], "the passkey's key is damaged")
		seen[label] = true
		switch major, n := item(); {
		case major == 0:
			numbers[label] = n
		default:
			must(major == 2 && n <= int64(len(key)), "the passkey's key is damaged")
			blobs[label], key = key[:n], key[n:]
		}
	}
	must(len(key) == 0, "something follows the passkey's key")
	sum, good := sha256.Sum256(message), false
	switch [3]int64{numbers[1], numbers[3], numbers[-1]} {
	case [3]int64{2, -7, 1}:
		must(len(blobs[-2]) == 32, "the passkey's key is damaged")
		public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, blobs[-2], blobs[-3]))
		good = err == nil && ecdsa.VerifyASN1(public, sum[:], sig)
	case [3]int64{1, -8, 6}:
		good = len(blobs[-2]) == 32 && ed25519.Verify(blobs[-2], message, sig)
	case [3]int64{3, -257, 0}:
		n, e := blobs[-1], new(big.Int).SetBytes(blobs[-2])
		good = len(n) >= 256 && e.BitLen() <= 32 && rsa.VerifyPKCS1v15(&rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(e.Int64())}, crypto.SHA256, sum[:], sig) == nil
	}
	must(good, "the passkey did not sign this grant")
}

// checkProof checks a C2SP tlog-proof: the checkpoint's signature, and that leaf is in its tree.
func checkProof(text, verifier, origin string, index int64, leaf string) {
	part := strings.Split(text, "\n\n")
	must(len(part) == 3, "grant.tlog-proof has another form")
	rows := strings.Split(part[0], "\n")
	must(len(rows) >= 2 && rows[0] == "c2sp.org/tlog-proof@v1" && rows[1] == fmt.Sprintf("index %d", index), "grant.tlog-proof is of another entry")
	key := strings.SplitN(verifier, "+", 3)
	must(len(key) == 3 && key[0] == origin, "the log has another name than the relay")
	public, err := base64.StdEncoding.DecodeString(key[2])
	must(err == nil && len(public) == 33 && public[0] == 1, "the log's key is no Ed25519 key")
	id := sha256.Sum256(slices.Concat([]byte(key[0]+"\n"), public))
	must(key[1] == hex.EncodeToString(id[:4]), "the log's key has another name")
	body, signed := part[1]+"\n", false
	for line := range strings.Lines(part[2]) {
		name, text, ok := strings.Cut(strings.TrimPrefix(line, "— "), " ")
		sig, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(text, "\n"))
		must(ok && err == nil && len(sig) > 4 && line == "— "+name+" "+base64.StdEncoding.EncodeToString(sig)+"\n", "the checkpoint's signatures are damaged")
		signed = signed || name == origin && bytes.Equal(sig[:4], id[:4]) && ed25519.Verify(public[1:], []byte(body), sig[4:])
	}
	must(signed, "the log's key did not sign the checkpoint")
	said := strings.Split(body, "\n")
	must(len(said) == 4 && said[0] == origin, "the checkpoint is not of this log")
	size, err := strconv.ParseInt(said[1], 10, 64)
	must(err == nil && said[1] == strconv.FormatInt(size, 10) && index >= 0 && index < size, "the checkpoint is not of this log")
	// RFC 9162, section 2.1.3.2.
	hash := sha256.Sum256([]byte("\x00" + leaf))
	at, last := index, size-1
	for _, row := range rows[2:] {
		h, err := base64.StdEncoding.Strict().DecodeString(row)
		must(err == nil && len(h) == 32 && last > 0, "grant.tlog-proof has a line that is no hash")
		if at&1 == 1 || at == last {
			hash = sha256.Sum256(slices.Concat([]byte{1}, h, hash[:]))
			for at&1 == 0 && at != 0 {
				at, last = at>>1, last>>1
			}
		} else {
			hash = sha256.Sum256(slices.Concat([]byte{1}, hash[:], h))
		}
		at, last = at>>1, last>>1
	}
	must(last == 0 && base64.StdEncoding.EncodeToString(hash[:]) == said[2], "the entry is not under the checkpoint")
}
