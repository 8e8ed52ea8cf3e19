package storage

import (
	"archive/zip"
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cliplease/relay"
)

// buildVerifier builds the second verifier.
func buildVerifier(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bundle-verify")
	if out, err := exec.Command("go", "build", "-o", path, "cliplease/cmd/bundle-verify").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}

// evidence writes the bundle of a release.
func (h *home) evidence(releaseID string, change func(*relay.Bundle)) []byte {
	h.t.Helper()
	b, err := h.Bundle(h.ctx(), h.site, releaseID, h.now)
	h.ok(err)
	if change != nil {
		change(&b)
	}
	var out bytes.Buffer
	h.ok(relay.WriteBundle(&out, b, h.Identity.Relay))
	return out.Bytes()
}

func unzip(t *testing.T, raw []byte) map[string][]byte {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	m := map[string][]byte{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := b.ReadFrom(r); err != nil {
			t.Fatal(err)
		}
		m[f.Name] = b.Bytes()
	}
	return m
}

// rezip packs m with the standard library in the form that bundles have.
func rezip(m map[string][]byte) []byte { return repack(m, slices.Sorted(maps.Keys(m))...) }

func repack(m map[string][]byte, names ...string) []byte {
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, name := range names {
		n := uint64(len(m[name]))
		w, err := z.CreateRaw(&zip.FileHeader{Name: name, CreatorVersion: 20, ReaderVersion: 20,
			ModifiedDate: 0x21, //nolint:staticcheck // CreateRaw writes this field, not Modified
			CRC32:        crc32.ChecksumIEEE(m[name]), CompressedSize64: n, UncompressedSize64: n})
		if err == nil {
			_, err = w.Write(m[name])
		}
		if err != nil {
			panic(err)
		}
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

// resign makes the sums of m right again, as somebody can who has the relay's key.
func resign(m map[string][]byte, key ed25519.PrivateKey) {
	var sums []byte
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if !strings.HasPrefix(name, "SHA256SUMS") {
			sums = fmt.Appendf(sums, "%x  %s\n", sha256.Sum256(m[name]), name)
		}
	}
	m["SHA256SUMS"], m["SHA256SUMS.sig"] = sums, ed25519.Sign(key, append([]byte("cliplease-bundle-v1\x00"), sums...))
}

// TestConsentOfflineVerify proves consent offline: two verifiers that share no code take the bundle, and
// refuse it with any byte of any member changed, also where the relay itself signs the change.
func TestConsentOfflineVerify(t *testing.T) {
	second := buildVerifier(t)
	forEachDB(t, func(t *testing.T, h *home) {
		rel, s := h.leases()
		h.leases() // so that the log goes on, and the proof has more than one side
		good := h.evidence(rel.ID, nil)
		rep, err := relay.VerifyBundle(bytes.NewReader(good), int64(len(good)))
		h.ok(err)
		if rep.GrantHash != relay.GrantHash(s.Canonical) || rep.Agency != h.agency.ID || rep.Member != h.member.ID || rep.AgencyKID != h.kid ||
			rep.RelayKID != h.Identity.RelayKID || len(rep.Manifests) != 2 || rep.Access.MaxViews != 5 || len(rep.Files) != 2 || rep.LogSize != h.logSize() {
			t.Errorf("the report says %+v", rep)
		}
		if again := h.evidence(rel.ID, nil); !bytes.Equal(again, good) {
			t.Error("the same evidence makes other bytes")
		}
		c := corpus{t: t, dir: t.TempDir(), second: second}
		c.add("good", true, good)
		members := unzip(t, good)
		if !bytes.Equal(rezip(members), good) {
			t.Error("the standard library packs the same members in another way")
		}
		backwards := slices.Sorted(maps.Keys(members))
		slices.Reverse(backwards)
		c.add("members in another order", false, repack(members, backwards...))
		c.add("something behind", false, append(bytes.Clone(good), 0))
		c.add("something before", false, append([]byte{0}, good...))
		for i := 0; i < len(good); i += 11 { // any byte of the file, be it of a member or not
			raw := bytes.Clone(good)
			raw[i] ^= 1 << (i % 8)
			c.add(fmt.Sprintf("file byte %d", i), false, raw)
		}
		c.add("without manifests", true, h.evidence(rel.ID, func(b *relay.Bundle) { b.Manifests = nil }))
		c.add("without the manifest of the second file", false, h.evidence(rel.ID, func(b *relay.Bundle) { b.Manifests = b.Manifests[:1] }))
		c.add("with a manifest of no file", false, h.evidence(rel.ID, func(b *relay.Bundle) { b.Manifests = append(b.Manifests, b.Manifests[0]) }))
		c.add("with the manifests the other way round", false, h.evidence(rel.ID, func(b *relay.Bundle) { slices.Reverse(b.Manifests) }))
		h.lyingManifests(&c, rel.ID, rep)
		c.add("empty", false, nil)
		c.add("cut off", false, good[:len(good)/2])
		step := 7 // every byte takes minutes; a prime step meets every kind of byte
		if h.DB.pool != nil {
			step = 101 // the bundle is the same, whatever it was read from
		}
		for _, name := range slices.Sorted(maps.Keys(members)) {
			for i := 0; i < len(members[name]); i++ {
				if i%step != 0 && len(members[name]) > 100 {
					continue
				}
				m := maps.Clone(members)
				m[name] = bytes.Clone(m[name])
				m[name][i] ^= 1 << (i % 7)
				c.add(fmt.Sprintf("%s byte %d", name, i), false, rezip(m))
				if strings.HasPrefix(name, "SHA256SUMS") || name == "README.txt" {
					continue
				}
				resign(m, h.Identity.Relay)
				c.add(fmt.Sprintf("%s byte %d, signed anew", name, i), false, rezip(m))
			}
			m := maps.Clone(members)
			delete(m, name)
			c.add("without "+name, false, rezip(m))
			resign(m, h.Identity.Relay)
			c.add("without "+name+", signed anew", strings.HasPrefix(name, "SHA256SUMS"), rezip(m))
			for _, tail := range []string{"\n", " ", "{}", "\x00"} {
				m := maps.Clone(members)
				m[name] = append(bytes.Clone(m[name]), tail...)
				c.add(fmt.Sprintf("%s and %q", name, tail), false, rezip(m))
				if resign(m, h.Identity.Relay); !strings.HasPrefix(name, "SHA256SUMS") && name != "README.txt" {
					c.either(fmt.Sprintf("%s and %q, signed anew", name, tail), rezip(m))
				}
			}
		}
		m := maps.Clone(members)
		m["more.txt"] = []byte("more")
		resign(m, h.Identity.Relay)
		c.add("a member too much", false, rezip(m))
		names := slices.Sorted(maps.Keys(members))
		c.add("a member twice", false, repack(members, append(names, "grant.json")...))
		// The relay lies about one thing and signs everything again; the parties' keys do not.
		other, _ := h.leases()
		foreign := unzip(t, h.evidence(other.ID, nil))
		for name := range foreign {
			m := maps.Clone(members)
			m[name] = foreign[name]
			resign(m, h.Identity.Relay)
			same := bytes.Equal(foreign[name], members[name]) || name == "README.txt" || strings.HasPrefix(name, "SHA256SUMS")
			c.add("with "+name+" of another grant", same, rezip(m))
		}
		for from, to := range map[string]string{
			`"max_views":5`: `"max_views":6`, `"download":false`: `"download":true`, `"basis":"consent"`: `"basis":"compel!"`,
			relay.Stamp(rel.Draft.Expires): "2027-01-01T00:00:00Z", `"onward":""`: `"onward":"any"`,
		} {
			m := maps.Clone(members)
			m["grant.json"] = bytes.Replace(m["grant.json"], []byte(from), []byte(to), 1)
			if bytes.Equal(m["grant.json"], members["grant.json"]) {
				t.Errorf("the grant has no %s", from)
			}
			resign(m, h.Identity.Relay)
			c.add("grant with "+to, false, rezip(m))
		}
		c.run()
	})
}

// lyingManifests adds bundles in which the relay states of one file what its grant does not say,
// and signs it.
func (h *home) lyingManifests(c *corpus, releaseID string, rep relay.BundleReport) {
	h.t.Helper()
	for name, lie := range map[string]func(m *relay.Manifest){
		"nothing":         func(*relay.Manifest) {},
		"version":         func(m *relay.Manifest) { m.V = 2 },
		"relay":           func(m *relay.Manifest) { m.Relay = "other.example" },
		"release":         func(m *relay.Manifest) { m.ReleaseID += "x" },
		"request":         func(m *relay.Manifest) { m.RequestSHA256 = hexSum("x") },
		"grant":           func(m *relay.Manifest) { m.GrantSHA256 = hexSum("x") },
		"grant's name":    func(m *relay.Manifest) { m.GrantID = "x" },
		"recipient":       func(m *relay.Manifest) { m.Recipient.ID = "x" },
		"recipient's way": func(m *relay.Manifest) { m.Recipient.Kind = "fax" },
		"address":         func(m *relay.Manifest) { m.Recipient.Display = "x…@x" },
		"file":            func(m *relay.Manifest) { m.Output.SHA256 = hexSum("x") },
		"length":          func(m *relay.Manifest) { m.Output.Bytes++ },
		"original":        func(m *relay.Manifest) { m.Source.Commit = hexSum("x") },
		"camera":          func(m *relay.Manifest) { m.Source.Camera = "back-door" },
		"window approved": func(m *relay.Manifest) { m.Window.Approved.To = "2030-01-01T00:00:00Z" },
		"window asked":    func(m *relay.Manifest) { m.Window.Asked.From = "2020-01-01T00:00:00Z" },
		"recipe":          func(m *relay.Manifest) { m.Redaction.Profile = "nothing-v1" },
		"masks":           func(m *relay.Manifest) { m.Redaction.StaticMasks = "x" },
		"boxes":           func(m *relay.Manifest) { m.Redaction.ManualBoxes = "x" },
		"exceptions": func(m *relay.Manifest) {
			m.Redaction.Exceptions = []relay.Exception{{Kind: "face", ToMS: 1, Reason: "a poster on the wall", By: "m"}}
		},
		"check":           func(m *relay.Manifest) { m.Gates = []relay.Gate{{Name: "frames"}} },
		"log":             func(m *relay.Manifest) { m.Log.Origin = "other.example/audit" },
		"place":           func(m *relay.Manifest) { m.Log.Index++ },
		"size of the log": func(m *relay.Manifest) { m.Log.Size++ },
	} {
		c.add("a manifest that lies about its "+name, name == "nothing", h.evidence(releaseID, func(b *relay.Bundle) {
			m := rep.Manifests[1]
			lie(&m)
			token, err := m.Sign(h.Identity.Relay)
			h.ok(err)
			b.Manifests[1] = token
		}))
	}
	m := rep.Manifests[0]
	token, err := m.Sign(ed25519.NewKeyFromSeed(make([]byte, 32)))
	h.ok(err)
	c.add("a manifest of another relay's key", false, h.evidence(releaseID, func(b *relay.Bundle) { b.Manifests[0] = token }))
	receipt := h.signedAs("cliplease-receipt+jwt", m)
	c.add("a manifest that is a receipt", false, h.evidence(releaseID, func(b *relay.Bundle) { b.Manifests[0] = receipt }))
}

// signedAs is v as a token of another type that the relay's key signs.
func (h *home) signedAs(typ string, v any) string {
	raw, err := json.Marshal(v)
	h.ok(err)
	b64 := base64.RawURLEncoding.EncodeToString
	signed := b64([]byte(`{"alg":"EdDSA","kid":"`+h.Identity.RelayKID+`","typ":"`+typ+`"}`)) + "." + b64(raw)
	return signed + "." + b64(ed25519.Sign(h.Identity.Relay, []byte(signed)))
}

// corpus is many bundles that both verifiers judge.
type corpus struct {
	t      *testing.T
	dir    string
	second string
	cases  []bundleCase
}

type bundleCase struct {
	name       string
	want, free bool
	first      error
}

func (c *corpus) add(name string, want bool, raw []byte) {
	_, err := relay.VerifyBundle(bytes.NewReader(raw), int64(len(raw)))
	if err := os.WriteFile(filepath.Join(c.dir, fmt.Sprint(len(c.cases))), raw, 0o600); err != nil {
		c.t.Fatal(err)
	}
	c.cases = append(c.cases, bundleCase{name: name, want: want, first: err})
}

// either adds a bundle that may hold or not, if only both verifiers say the same.
func (c *corpus) either(name string, raw []byte) {
	c.add(name, false, raw)
	c.cases[len(c.cases)-1].free = true
}

func (c *corpus) run() {
	c.t.Helper()
	wrong := 0
	for start := 0; start < len(c.cases); start += 1000 {
		part := c.cases[start:min(start+1000, len(c.cases))]
		cmd := exec.Command(c.second)
		for i := range part {
			cmd.Args = append(cmd.Args, filepath.Join(c.dir, fmt.Sprint(start+i)))
		}
		out, _ := cmd.Output() // exits with 1, since some do not hold
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		if len(lines) != len(part) {
			c.t.Fatalf("%d bundles got %d answers; the last: %s", len(part), len(lines), lines[len(lines)-1])
		}
		for i, b := range part {
			_, said, _ := strings.Cut(lines[i], ": ")
			second := strings.HasPrefix(said, "ok")
			if (b.first == nil) != second || !b.free && second != b.want {
				if wrong++; wrong < 20 {
					c.t.Errorf("%s: the first verifier says %v, the second %q, want it to hold: %t", b.name, b.first, said, b.want)
				}
			}
		}
	}
	c.t.Logf("%d bundles judged", len(c.cases))
}

// TestBundleKeys holds both verifiers to every kind of key that an agency or a passkey may have.
func TestBundleKeys(t *testing.T) {
	second := buildVerifier(t)
	h := newHome(t, Config{Dir: filepath.Join(t.TempDir(), "data")})
	rel, _ := h.leases()
	_, foreign, err := ed25519.GenerateKey(rand.Reader)
	h.ok(err)
	c := corpus{t: t, dir: t.TempDir(), second: second}
	b, err := h.Bundle(h.ctx(), h.site, rel.ID, h.now)
	h.ok(err)
	var out bytes.Buffer
	h.ok(relay.WriteBundle(&out, b, foreign))
	c.add("signed by another key than the manifests", false, out.Bytes())
	bare := b
	bare.Manifests = nil
	out.Reset()
	h.ok(relay.WriteBundle(&out, bare, foreign))
	c.add("signed by another key, which it brings", true, out.Bytes())

	// The passkey signs this very grant, but somewhere else or with nobody verified.
	home, host := h.site.Home, h.site.HomeHost()
	for name, how := range map[string]prompt{
		"as it should":        {"webauthn.get", home, host, false, 0x05},
		"backed up":           {"webauthn.get", home, host, false, 0x1d},
		"nobody verified":     {"webauthn.get", home, host, false, 0x01},
		"nobody present":      {"webauthn.get", home, host, false, 0x04},
		"at a registration":   {"webauthn.create", home, host, false, 0x05},
		"in a frame":          {"webauthn.get", home, host, true, 0x05},
		"for another site":    {"webauthn.get", home, "relay.example", false, 0x05},
		"at another site":     {"webauthn.get", "https://home.evil.example", host, false, 0x05},
		"all at another site": {"webauthn.get", "https://home.evil.example", "home.evil.example", false, 0x05},
		"without TLS":         {"webauthn.get", "http://" + host, host, false, 0x05},
	} {
		good := name == "as it should" || name == "backed up"
		b := b
		b.Assertion = h.pass.answer(how, relay.GrantChallenge(b.Grant)).assertion()
		var out bytes.Buffer
		h.ok(relay.WriteBundle(&out, b, h.Identity.Relay))
		c.add("signed "+name, good, out.Bytes())
	}

	// An agency with a P-256 key asks; a member with an Ed25519 or an RSA passkey signs.
	agency, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	h.ok(err)
	public, err := relay.NewPublicKey(&agency.PublicKey)
	h.ok(err)
	h.ok(h.DB.AddAgencyKey(h.ctx(), public.Pin(h.agency.ID, h.now, h.now.AddDate(1, 0, 0)), "command line", h.now))
	for name, alg := range map[string]string{"ES256": "ES256", "algorithm of another key": "EdDSA"} {
		for kind, pass := range map[string]passkey{"ES256": newPasskey(t), "EdDSA": newPasskey25519(t), "RS256": newPasskeyRSA(t)} {
			claims := h.claims()
			q, e := relay.ReceiveRequest(relay.NewID(), public.KID, h.tokenBy(claims, alg, public.KID, func(signed []byte) []byte {
				sum := sha256.Sum256(signed)
				r, s, err := ecdsa.Sign(rand.Reader, agency, sum[:])
				h.ok(err)
				return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
			}), claims, nil, h.now)
			_, _, err = h.DB.ReceiveRequest(h.ctx(), q, e, h.now, nil)
			h.ok(err)
			h.ok(h.DB.AddCredential(h.ctx(), Credential{ID: pass.id, MemberID: h.member.ID, Name: kind, Record: "{}"}, h.now))
			h.pass = pass
			rel, _ := h.signs(q, h.prepares(q))
			raw := h.evidence(rel.ID, nil)
			c.add(name+" and "+kind, name == "ES256", raw)
			m := unzip(t, raw)
			m["signature"][len(m["signature"])/2] ^= 1
			resign(m, h.Identity.Relay)
			c.add(name+" and spoilt "+kind, false, rezip(m))
		}
	}
	c.run()
	invariants(t, h.Store)
}
