package home_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"cliplease/relay"
	"cliplease/test/house"

	"github.com/descope/virtualwebauthn"
	"golang.org/x/net/html"
)

// person is somebody with a browser and a passkey in software.
type person struct {
	t      testing.TB
	h      *house.House
	cookie string
	party  virtualwebauthn.RelyingParty
	auth   virtualwebauthn.Authenticator
	key    virtualwebauthn.Credential
}

// visitor is somebody who is not signed in.
func visitor(t testing.TB, h *house.House) *person {
	t.Helper()
	p := &person{t: t, h: h, auth: virtualwebauthn.NewAuthenticator(), party: virtualwebauthn.RelyingParty{ID: h.Site.HomeHost(), Name: "cliplease", Origin: h.Site.Home}}
	for {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		p.ok(err)
		// The library writes coordinates without leading zeros, which is no valid key.
		if point, err := key.PublicKey.Bytes(); err != nil || point[1] == 0 || point[33] == 0 {
			continue
		}
		raw, err := x509.MarshalPKCS8PrivateKey(key)
		p.ok(err)
		p.key = virtualwebauthn.NewCredentialWithImportedKey(virtualwebauthn.KeyTypeEC2, raw)
		p.auth.AddCredential(p.key)
		return p
	}
}

// joined is a signed-in member with a role.
func joined(t testing.TB, h *house.House, role relay.Role) *person {
	t.Helper()
	p := visitor(t, h)
	token := h.Invite(role, "Ada", "ada@home.example")
	begun := p.post("/join/begin", map[string]any{"token": token, "name": "", "email": ""}).want(200)
	p.post("/join/finish", map[string]any{"token": token, "ceremony": begun.text("ceremony"), "credential": p.register(begun)}).want(200)
	return p
}

func (p *person) ok(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// register answers the beginning of a registration.
func (p *person) register(begun answer) json.RawMessage {
	p.t.Helper()
	o, err := virtualwebauthn.ParseAttestationOptions(string(begun.raw("publicKey")))
	p.ok(err)
	p.auth.Options.UserHandle = []byte(o.UserID)
	return json.RawMessage(virtualwebauthn.CreateAttestationResponse(p.party, p.auth, p.key, *o))
}

// sign answers the beginning of a sign-in or of a grant.
func (p *person) sign(begun answer) json.RawMessage {
	p.t.Helper()
	o, err := virtualwebauthn.ParseAssertionOptions(string(begun.raw("publicKey")))
	p.ok(err)
	p.key.Counter++
	return json.RawMessage(virtualwebauthn.CreateAssertionResponse(p.party, p.auth, p.key, *o))
}

// answer is what the relay answered.
type answer struct {
	t      testing.TB
	what   string
	code   int
	header http.Header
	body   []byte
}

func (p *person) do(method, path string, body io.Reader, header map[string]string) answer {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), method, "http://"+p.h.Addr+path, body)
	p.ok(err)
	req.Host = strings.TrimPrefix(p.h.Site.Home, "http://")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	req.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0")
	if method == http.MethodPost {
		req.Header.Set("Origin", p.h.Site.Home)
		req.Header.Set("Content-Type", "application/json")
	}
	if method == http.MethodPatch {
		req.Header.Set("Origin", p.h.Site.Home)
		req.Header.Set("Content-Type", "application/offset+octet-stream")
	}
	for k, v := range header {
		req.Header.Set(k, v)
		if k == "Host" {
			req.Host = v
		}
	}
	if p.cookie != "" {
		req.Header.Set("Cookie", "__Host-cliplease_home="+p.cookie)
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	p.ok(err)
	defer resp.Body.Close()
	for _, c := range resp.Cookies() {
		if c.Name == "__Host-cliplease_home" {
			p.cookie = c.Value
		}
	}
	raw, err := io.ReadAll(resp.Body)
	p.ok(err)
	return answer{p.t, method + " " + path, resp.StatusCode, resp.Header, raw}
}

func (p *person) post(path string, in any) answer {
	p.t.Helper()
	raw, err := json.Marshal(in)
	p.ok(err)
	return p.do(http.MethodPost, path, bytes.NewReader(raw), nil)
}

func (p *person) get(path string) answer {
	p.t.Helper()
	return p.do(http.MethodGet, path, nil, map[string]string{"Accept": "text/html"})
}

// page gets a page that must be there.
func (p *person) page(path string) page {
	p.t.Helper()
	a := p.get(path).want(200)
	doc, err := html.Parse(bytes.NewReader(a.body))
	p.ok(err)
	return page{p.t, path, doc}
}

func (a answer) want(code int) answer {
	a.t.Helper()
	if a.code != code {
		a.t.Fatalf("%s: %d, want %d: %.300s", a.what, a.code, code, a.body)
	}
	return a
}

// refused wants an answer that blames a field.
func (a answer) refused(field string) answer {
	a.t.Helper()
	a.want(422)
	if got := a.text("field"); got != field {
		a.t.Fatalf("%s: blames %q, want %q: %s", a.what, got, field, a.body)
	}
	if a.text("error") == "" {
		a.t.Fatalf("%s: says nothing", a.what)
	}
	return a
}

func (a answer) raw(name string) json.RawMessage {
	a.t.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal(a.body, &m); err != nil {
		a.t.Fatalf("%s: %v: %.200s", a.what, err, a.body)
	}
	return m[name]
}

func (a answer) text(name string) string {
	a.t.Helper()
	var s string
	if raw := a.raw(name); raw != nil {
		if err := json.Unmarshal(raw, &s); err != nil {
			a.t.Fatalf("%s: %s is %s", a.what, name, raw)
		}
	}
	return s
}

// page is a parsed page.
type page struct {
	t    testing.TB
	what string
	doc  *html.Node
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

// text is all that a person reads of the main part, with single spaces.
func (p page) text() string {
	var out strings.Builder
	for n := range p.doc.Descendants() {
		inMain := false
		for a := range n.Ancestors() {
			inMain = inMain || a.Data == "main"
		}
		if n.Type == html.TextNode && inMain {
			out.WriteString(n.Data + " ")
		}
	}
	return strings.Join(strings.Fields(out.String()), " ")
}

// says wants every one of the sentences on the page.
func (p page) says(sentences ...string) page {
	p.t.Helper()
	text := p.text()
	for _, s := range sentences {
		if !strings.Contains(text, s) {
			p.t.Errorf("%s does not say %q; it says:\n%s", p.what, s, text)
		}
	}
	return p
}

func (p page) silent(sentences ...string) page {
	p.t.Helper()
	text := p.text()
	for _, s := range sentences {
		if strings.Contains(text, s) {
			p.t.Errorf("%s says %q", p.what, s)
		}
	}
	return p
}

// forms lists where the forms of the page go.
func (p page) forms() []string {
	var out []string
	for n := range p.doc.Descendants() {
		if n.Type == html.ElementNode && n.Data == "form" {
			out = append(out, attr(n, "action"))
		}
	}
	return out
}
