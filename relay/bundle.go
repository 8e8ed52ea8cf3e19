package relay

import (
	"archive/zip"
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gowebpki/jcs"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Bundle is the evidence of one release: what the agency asked and signed, what a member of the
// home granted and signed, and that the log holds the grant. It is checked without the relay.
type Bundle struct {
	Request    string // the agency's compact token, exactly as received
	AgencyKey  string // JWK that verifies it
	Grant      []byte // canonical JSON, exactly as signed
	Assertion  Assertion
	Others     []Assertion // where several members had to sign: the others, in the order in which they did
	Manifests  []string    // the relay's signed manifest of each copy, in the order of the grant's outputs; may be empty
	Entry      Entry       // the log's entry of the grant
	Proof      tlog.RecordProof
	Checkpoint []byte // signed note
	Site       Site   // where the relay was reached
	AuditKey   string // verifier key of the log (golang.org/x/mod/sumdb/note)
}

// bundleKeys is keys.json: what the other members are checked against.
type bundleKeys struct {
	V      int    `json:"v"`
	Relay  string `json:"relay"`     // name of the relay, as in the grant
	Origin string `json:"origin"`    // of the home's pages
	RPID   string `json:"rp_id"`     // of the passkey
	Audit  string `json:"audit_key"` // verifier key of the log
	Key    string `json:"relay_key"` // JWK of the key that signs this bundle and the manifest
}

// Names of the members of a bundle.
const (
	sumsName = "SHA256SUMS"
	sumsSig  = "SHA256SUMS.sig"
	manifest = "manifest.jws" // of the first copy; see nameOf for the others
)

// bundleLabel keeps a signature over a bundle from being one over anything else.
const bundleLabel = "cliplease-bundle-v1\x00"

// proofHeader is the first line of a C2SP tlog-proof.
const proofHeader = "c2sp.org/tlog-proof@v1\n"

//go:embed bundle.txt
var bundleReadme []byte

// bundleNames lists the members that every bundle has, besides the sums.
var bundleNames = []string{
	"README.txt", "agency-key.jwk", "authenticatorData", "clientDataJSON", "credential_pubkey.cose",
	"grant-entry.json", "grant.json", "grant.tlog-proof", "keys.json", "request.jws", "signature",
}

// assertionNames are the members that hold one passkey's answer. Those of the second member
// who signed, the third and so on have the number behind a full stop.
var assertionNames = []string{"authenticatorData", "clientDataJSON", "credential_pubkey.cose", "signature"}

// nameOf is the name of a member of the answer in place n, counted from 1.
func nameOf(name string, n int) string {
	if n == 1 {
		return name
	}
	return name + "." + strconv.Itoa(n)
}

// assertion is the passkey's answer in place n.
func assertionOf(m map[string][]byte, n int) Assertion {
	return Assertion{AuthenticatorData: m[nameOf("authenticatorData", n)], ClientData: m[nameOf("clientDataJSON", n)],
		PublicKey: m[nameOf("credential_pubkey.cose", n)], Signature: m[nameOf("signature", n)]}
}

// BundleReport is what a bundle that holds says.
type BundleReport struct {
	Relay     string      `json:"relay"`
	Agency    string      `json:"agency"`
	Officer   string      `json:"officer"` // as the agency says
	Case      string      `json:"case"`
	Purpose   string      `json:"purpose"`
	GrantID   string      `json:"grant_id"`
	GrantHash string      `json:"grant_sha256"` // see [GrantHash]
	Member    string      `json:"member"`       // who signed first, by the relay's id
	Signers   []string    `json:"signers"`      // all who signed
	DecidedAt string      `json:"decided_at"`
	LoggedAt  string      `json:"logged_at"`
	Scope     GrantScope  `json:"scope"`
	Access    GrantAccess `json:"access"`
	Files     []string    `json:"files_sha256"` // of the release copies
	Uncovered []Exception `json:"uncovered"`    // what was found and is left visible in them
	LogIndex  int64       `json:"log_index"`
	LogSize   int64       `json:"log_size"`  // entries under the checkpoint
	Manifests []Manifest  `json:"manifests"` // of the files, in their order; none when the bundle has none
	// The keys that all of this rests on. Compare them with what the parties published.
	AgencyKID string `json:"agency_key"` // RFC 7638 thumbprint
	RelayKID  string `json:"relay_key"`  // RFC 7638 thumbprint
	AuditKey  string `json:"audit_key"`  // verifier key
}

// WriteBundle writes b as a ZIP file that key, the relay's, signs. The same bundle and key make
// the same bytes.
func WriteBundle(w io.Writer, b Bundle, key ed25519.PrivateKey) error {
	members := map[string][]byte{
		"README.txt": bundleReadme, "agency-key.jwk": []byte(b.AgencyKey), "request.jws": []byte(b.Request), "grant.json": b.Grant,
	}
	for i, a := range append([]Assertion{b.Assertion}, b.Others...) {
		for k, raw := range map[string][]byte{"authenticatorData": a.AuthenticatorData, "clientDataJSON": a.ClientData, "credential_pubkey.cose": a.PublicKey, "signature": a.Signature} {
			members[nameOf(k, i+1)] = raw
		}
	}
	for i, token := range b.Manifests {
		members[nameOf(manifest, i+1)] = []byte(token)
	}
	public, err := NewPublicKey(key.Public())
	if err != nil {
		return err
	}
	if members["keys.json"], err = jsonLine(bundleKeys{1, b.Site.Name, b.Site.Home, b.Site.HomeHost(), b.AuditKey, public.JWK}); err != nil {
		return err
	}
	if members["grant-entry.json"], err = jsonLine(b.Entry); err != nil {
		return err
	}
	proof := proofHeader + "index " + strconv.FormatInt(b.Entry.Index, 10) + "\n"
	for _, h := range b.Proof {
		proof += h.String() + "\n"
	}
	members["grant.tlog-proof"] = []byte(proof + "\n" + string(b.Checkpoint))
	members[sumsName] = bundleSums(members)
	members[sumsSig] = ed25519.Sign(key, append([]byte(bundleLabel), members[sumsName]...))
	_, err = w.Write(packBundle(members))
	return err
}

// packBundle puts members into a ZIP file in the one form that bundles have: sorted by name,
// stored, without times, comments or anything else that could be changed unnoticed.
// The form is written out here, so that it never changes with a library.
func packBundle(members map[string][]byte) []byte {
	var out, directory []byte
	put := func(to []byte, fields ...uint32) []byte {
		for _, f := range fields {
			to = binary.LittleEndian.AppendUint32(to, f)
		}
		return to
	}
	const (
		version = 20           // of the format: 2.0; no flags
		stored  = 0x0021 << 16 // method 0 at 00:00 of the 1st of January 1980, as two halves
	)
	for _, name := range slices.Sorted(maps.Keys(members)) {
		raw := members[name]
		size, offset := uint32(len(raw)), uint32(len(out))
		// Flags, method, time and date, checksum, both sizes, and the lengths of name and extra.
		common := put(nil, 0, stored, crc32.ChecksumIEEE(raw), size, size, uint32(len(name)))
		out = binary.LittleEndian.AppendUint16(put(out, 0x04034b50), version)
		out = append(append(append(out, common...), name...), raw...)
		directory = put(directory, 0x02014b50, version<<16|version)
		directory = append(directory, common...)
		directory = append(put(append(directory, make([]byte, 6)...), 0, offset), name...)
	}
	start, n := uint32(len(out)), uint32(len(members))
	out = append(out, directory...)
	return append(put(out, 0x06054b50, 0, n<<16|n, uint32(len(directory)), start), 0, 0)
}

// jsonLine is v as JSON in which the bytes of a raw message stay as they are.
func jsonLine(v any) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return out.Bytes(), err
}

// bundleSums lists the digests of members as sha256sum does.
func bundleSums(members map[string][]byte) []byte {
	var out []byte
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if name != sumsName && name != sumsSig {
			out = fmt.Appendf(out, "%x  %s\n", sha256.Sum256(members[name]), name)
		}
	}
	return out
}

// VerifyBundle checks the bundle in r, of size bytes, offline: that the agency's key signed the
// request, that a passkey with its holder verified signed exactly this grant for exactly that
// request (as many passkeys of different members as a sensitive grant needs), that the log's
// entry names this grant and lies under the signed checkpoint, and
// that the relay's key signed the whole. The error says what does not hold.
//
// Whether the keys are those of the agency and the relay that they name is for the caller to
// compare: the report has them.
func VerifyBundle(r io.ReaderAt, size int64) (rep BundleReport, err error) {
	m, err := readBundle(r, size)
	if err != nil {
		return rep, err
	}
	var keys bundleKeys
	if err := strict(m["keys.json"], &keys); err != nil {
		return rep, fmt.Errorf("keys.json: %w", err)
	}
	relayKey, err := exactJWK(keys.Key)
	if err != nil {
		return rep, fmt.Errorf("keys.json: %w", err)
	}
	if !bytes.Equal(m[sumsName], bundleSums(m)) {
		return rep, errors.New("a member is not the one that SHA256SUMS lists")
	}
	if relayKey.Alg != AlgEdDSA || !verifyWith(relayKey, append([]byte(bundleLabel), m[sumsName]...), m[sumsSig]) {
		return rep, errors.New("SHA256SUMS is not signed by the relay's key")
	}
	rep.RelayKID, rep.AuditKey, rep.Relay = relayKey.KID, keys.Audit, keys.Relay

	agencyKey, err := exactJWK(string(m["agency-key.jwk"]))
	if err != nil {
		return rep, fmt.Errorf("agency-key.jwk: %w", err)
	}
	payload, err := verifyToken(string(m["request.jws"]), agencyKey, "cliplease-request+jwt")
	if err != nil {
		return rep, fmt.Errorf("request.jws: %w", err)
	}
	var claims Claims
	if err := json.Unmarshal(payload, &claims); err != nil {
		return rep, fmt.Errorf("request.jws: %w", err)
	}
	g, err := verifyGrant(m, keys, claims)
	if err != nil {
		return rep, err
	}
	hash := GrantHash(m["grant.json"])
	event, index, logSize, err := verifyEntry(m, keys, g, hash)
	if err != nil {
		return rep, err
	}
	if rep.Signers, err = verifySigners(m, g, event); err != nil {
		return rep, err
	}
	if rep.Manifests, err = verifyManifests(m, relayKey, g, claims, index, event.Subject); err != nil {
		return rep, err
	}
	rep.Agency, rep.Officer, rep.Case, rep.Purpose, rep.AgencyKID = claims.Issuer, claims.Subject, claims.Case.Ref, string(claims.Purpose.Code), agencyKey.KID
	rep.GrantID, rep.GrantHash, rep.Member, rep.DecidedAt, rep.Scope, rep.Access = g.GrantID, hash, g.By.Member, g.DecidedAt, g.Scope, g.Access
	rep.Uncovered = g.Redaction.Exceptions
	rep.LogIndex, rep.LogSize, rep.LoggedAt = index, logSize, Stamp(event.At)
	for _, o := range g.Outputs {
		rep.Files = append(rep.Files, o.FileSHA256)
	}
	return rep, nil
}

// readBundle reads the members and refuses any that does not belong.
func readBundle(r io.ReaderAt, size int64) (map[string][]byte, error) {
	if size > 4<<20 {
		return nil, errors.New("this is no bundle: it is too large")
	}
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, fmt.Errorf("this is no bundle: %w", err)
	}
	m := map[string][]byte{}
	for _, f := range z.File {
		known := slices.Contains(bundleNames, f.Name) || f.Name == sumsName || f.Name == sumsSig
		for n := 1; n <= RecipientsMax; n++ {
			known = known || f.Name == nameOf(manifest, n)
		}
		for n := 2; n <= QuorumLimit; n++ {
			known = known || slices.ContainsFunc(assertionNames, func(name string) bool { return f.Name == nameOf(name, n) })
		}
		if _, twice := m[f.Name]; twice || !known || f.UncompressedSize64 > 1<<20 {
			return nil, fmt.Errorf("%q does not belong in a bundle", f.Name)
		}
		in, err := f.Open()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		m[f.Name], err = io.ReadAll(io.LimitReader(in, 1<<20))
		if err = errors.Join(err, in.Close()); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	// Whatever the directory leaves out or could be read in two ways is refused with this.
	whole := make([]byte, size)
	if _, err := r.ReadAt(whole, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if !bytes.Equal(packBundle(m), whole) {
		return nil, errors.New("the file is not packed as bundles are: it was changed, or packed anew")
	}
	for _, name := range append([]string{sumsName, sumsSig}, bundleNames...) {
		if _, ok := m[name]; !ok {
			return nil, fmt.Errorf("%s is missing", name)
		}
	}
	return m, nil
}

// strict reads one JSON document with no member that v does not name.
func strict(raw []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the document")
	}
	return nil
}

// exactJWK reads a public key that is written as [PublicKey.JWK] writes it.
func exactJWK(raw string) (PublicKey, error) {
	p, err := ParseJWK([]byte(raw))
	if err == nil && p.JWK != raw {
		err = errors.New("the key is not in the form of its thumbprint")
	}
	return p, err
}

// verifyWith checks a signature in the form that tokens have.
func verifyWith(key PublicKey, message, sig []byte) bool {
	switch public := key.Key.(type) {
	case ed25519.PublicKey:
		return ed25519.Verify(public, message, sig)
	case *ecdsa.PublicKey:
		digest := sha256.Sum256(message)
		return len(sig) == 64 && ecdsa.Verify(public, digest[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:]))
	}
	return false
}

// verifyToken checks a compact token of kind typ (any, when it is empty) and returns its payload.
func verifyToken(token string, key PublicKey, typ string) (payload []byte, err error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, errors.New("it is no compact token")
	}
	var raw [3][]byte
	for i, p := range parts {
		if raw[i], err = base64.RawURLEncoding.Strict().DecodeString(p); err != nil || strings.ContainsAny(p, "\r\n") {
			return nil, errors.New("it is no compact token")
		}
	}
	var h struct {
		Alg string `json:"alg"`
		KID string `json:"kid"`
		Typ string `json:"typ"`
	}
	if err := strict(raw[0], &h); err != nil {
		return nil, fmt.Errorf("the header: %w", err)
	}
	if h.Alg == "Ed25519" {
		h.Alg = AlgEdDSA // RFC 9864 gave it another name
	}
	if h.Alg != key.Alg || h.KID != key.KID || typ != "" && h.Typ != typ {
		return nil, errors.New("the token names another key, algorithm or kind")
	}
	if !verifyWith(key, []byte(parts[0]+"."+parts[1]), raw[2]) {
		return nil, errors.New("it is not signed by the key that comes with it")
	}
	return raw[1], nil
}

// verifyGrant checks that as many passkeys signed the grant as it takes, and that the grant
// answers the request.
func verifyGrant(m map[string][]byte, keys bundleKeys, c Claims) (g Grant, err error) {
	raw := m["grant.json"]
	if canonical, err := jcs.Transform(raw); err != nil || !bytes.Equal(canonical, raw) {
		return g, errors.New("grant.json is not canonical JSON")
	}
	if err := strict(raw, &g); err != nil {
		return g, fmt.Errorf("grant.json: %w", err)
	}
	for n := 1; n <= max(g.Signatures(), 1); n++ {
		origin, err := CheckAssertion(assertionOf(m, n), GrantChallenge(raw))
		if err != nil {
			return g, fmt.Errorf("signature %d of %d: %w", n, g.Signatures(), err)
		}
		if origin != keys.Origin || hostOf(origin) != keys.RPID || g.Relay != keys.Relay {
			return g, errors.New("the grant was signed at another relay than the one in keys.json")
		}
	}
	for name := range m {
		for _, part := range assertionNames {
			for n := max(g.Signatures(), 1) + 1; n <= QuorumLimit; n++ {
				if name == nameOf(part, n) {
					return g, fmt.Errorf("%s: the grant needs fewer signatures", name)
				}
			}
		}
	}
	sum := sha256.Sum256(m["request.jws"])
	if !g.records(c.LegalBasis) || g.Request.SHA256 != hex.EncodeToString(sum[:]) || g.Request.Agency != c.Issuer ||
		g.Request.Case != c.Case.Ref || g.Request.Purpose != string(c.Purpose.Code) {
		return g, errors.New("the grant does not answer this request")
	}
	from, err1 := time.Parse(time.RFC3339, g.Scope.From)
	to, err2 := time.Parse(time.RFC3339, g.Scope.To)
	if err1 != nil || err2 != nil || from.Before(c.Scope.From) || to.After(c.Scope.To) || !from.Before(to) {
		return g, errors.New("the grant gives footage that was not asked for")
	}
	if err := g.checkExceptions(to.Sub(from)); err != nil {
		return g, err
	}
	return g, g.checkQuorum(c, to.Sub(from))
}

// verifySigners checks that the log says of each passkey whose it is, and that where several
// had to sign no member signed twice. It returns the members in the order in which they signed.
func verifySigners(m map[string][]byte, g Grant, e Event) ([]string, error) {
	if g.Quorum == nil {
		if e.Actor != g.By.Member || e.Data["signers"] != nil {
			return nil, errors.New("the log names another signer than the grant")
		}
		return []string{g.By.Member}, nil
	}
	list, _ := e.Data["signers"].([]any)
	var members, keys []string
	for _, v := range list {
		s, _ := v.(map[string]any)
		member, _ := s["member"].(string)
		key, _ := s["key_sha256"].(string)
		sum := sha256.Sum256(m[nameOf("credential_pubkey.cose", len(members)+1)])
		if member == "" || key != hex.EncodeToString(sum[:]) || slices.Contains(members, member) || slices.Contains(keys, key) {
			return nil, errors.New("the log names other signers than those whose passkeys signed, or one of them twice")
		}
		members, keys = append(members, member), append(keys, key)
	}
	if len(members) != g.Quorum.Needed || members[0] != g.By.Member || members[len(members)-1] != e.Actor {
		return nil, errors.New("the log names other signers than the grant needs")
	}
	return members, nil
}

// verifyManifests checks the manifests of all copies: one for each, or none at all.
func verifyManifests(m map[string][]byte, key PublicKey, g Grant, c Claims, index int64, subject string) ([]Manifest, error) {
	out := []Manifest{}
	for n := 1; n <= RecipientsMax; n++ {
		token, ok := m[nameOf(manifest, n)]
		if !ok {
			continue
		}
		if n > len(g.Outputs) || len(out) != n-1 {
			return nil, fmt.Errorf("%s is of no file of the grant", nameOf(manifest, n))
		}
		one, err := OpenManifest(string(token), key)
		if err == nil {
			err = one.Matches(g, GrantHash(m["grant.json"]), g.Outputs[n-1], c, index, subject)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", nameOf(manifest, n), err)
		}
		out = append(out, one)
	}
	if len(out) != 0 && len(out) != len(g.Outputs) {
		return nil, fmt.Errorf("%d files have %d manifests", len(g.Outputs), len(out))
	}
	return out, nil
}

// verifyEntry checks that the log names the grant, under the checkpoint.
func verifyEntry(m map[string][]byte, keys bundleKeys, g Grant, hash string) (event Event, index, size int64, err error) {
	verifier, err := note.NewVerifier(keys.Audit)
	if err != nil {
		return event, 0, 0, fmt.Errorf("keys.json: the log's key: %w", err)
	}
	head, checkpoint, _ := strings.Cut(string(m["grant.tlog-proof"]), "\n\n")
	lines, ok := strings.CutPrefix(head, proofHeader)
	rows := strings.Split(lines, "\n")
	number, okIndex := strings.CutPrefix(rows[0], "index ")
	index, errIndex := strconv.ParseInt(number, 10, 64)
	if !ok || !okIndex || errIndex != nil || number != strconv.FormatInt(index, 10) {
		return event, 0, 0, errors.New("grant.tlog-proof is not a proof")
	}
	var proof tlog.RecordProof
	for _, row := range rows[1:] {
		h, err := tlog.ParseHash(row)
		if err != nil || h.String() != row {
			return event, 0, 0, errors.New("grant.tlog-proof has a line that is no hash")
		}
		proof = append(proof, h)
	}
	c, err := OpenCheckpoint([]byte(checkpoint), verifier)
	if err != nil {
		return event, 0, 0, fmt.Errorf("grant.tlog-proof: %w", err)
	}
	var e Entry
	if err := strict(m["grant-entry.json"], &e); err != nil {
		return event, 0, 0, fmt.Errorf("grant-entry.json: %w", err)
	}
	if e.Event == nil {
		return event, 0, 0, errors.New("grant-entry.json does not open its leaf")
	}
	if err := e.Check(); err != nil {
		return event, 0, 0, fmt.Errorf("grant-entry.json: %w", err)
	}
	if err := json.Unmarshal(e.Event, &event); err != nil {
		return event, 0, 0, fmt.Errorf("grant-entry.json: %w", err)
	}
	switch {
	case event.Kind != ReleaseGranted || event.Data["grant"] != g.GrantID ||
		event.Data["grant_sha256"] != hash || event.Data["request_sha256"] != g.Request.SHA256:
		return event, 0, 0, errors.New("the log's entry is of another grant")
	case e.Index != index || index < 0 || index >= c.Size || tlog.CheckRecord(proof, c.Size, c.Root, index, e.LeafHash()) != nil:
		return event, 0, 0, errors.New("the log's entry is not under the checkpoint")
	case c.Origin != verifier.Name() || c.Origin != keys.Relay+"/audit":
		return event, 0, 0, errors.New("the checkpoint is of another log")
	}
	return event, index, c.Size, nil
}
