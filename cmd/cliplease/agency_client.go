package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"cliplease/relay"
	"cliplease/server/token"
)

// privateJWK is an agency's signing key as JSON (RFC 7517).
type privateJWK struct {
	KTY string `json:"kty"`
	CRV string `json:"crv"`
	X   string `json:"x"`
	Y   string `json:"y,omitempty"`
	D   string `json:"d"`
}

// agencyKey is the file of an agency's signing key.
type agencyKey struct {
	Agency string     `json:"agency"`
	KID    string     `json:"kid"`
	JWK    privateJWK `json:"jwk"`

	signer crypto.Signer
	public relay.PublicKey
}

// newAgencyKey makes a key for an agency: "EdDSA" (Ed25519) or "ES256" (P-256).
func newAgencyKey(agency, alg string) (k agencyKey, err error) {
	b64 := base64.RawURLEncoding.EncodeToString
	switch alg {
	case relay.AlgEdDSA, "Ed25519":
		public, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return k, err
		}
		k.signer, k.JWK = private, privateJWK{KTY: "OKP", CRV: "Ed25519", X: b64(public), D: b64(private.Seed())}
	case relay.AlgES256:
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return k, err
		}
		point, err := private.PublicKey.Bytes()
		if err != nil {
			return k, err
		}
		d, err := private.Bytes()
		if err != nil {
			return k, err
		}
		k.signer, k.JWK = private, privateJWK{KTY: "EC", CRV: "P-256", X: b64(point[1:33]), Y: b64(point[33:]), D: b64(d)}
	default:
		return k, exitWith(exitUsage, fmt.Errorf("%q is no kind of key: write EdDSA or ES256", alg))
	}
	k.Agency = agency
	if k.public, err = relay.NewPublicKey(k.signer.Public()); err != nil {
		return k, err
	}
	k.KID = k.public.KID
	return k, nil
}

// readAgencyKey reads the file that keygen wrote.
func readAgencyKey(path string) (k agencyKey, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return k, exitWith(exitUsage, fmt.Errorf("key file: %w; make one with \"cliplease agency keygen\"", err))
	}
	if info.Mode().Perm()&0o077 != 0 {
		return k, exitWith(exitUsage, fmt.Errorf("others can read the key file: run chmod 600 %s", path))
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return k, exitWith(exitUsage, fmt.Errorf("key file: %w", err))
	}
	wrong := func(why error) (agencyKey, error) {
		return k, exitWith(exitUsage, fmt.Errorf("%s is no key file of \"cliplease agency keygen\": %w", path, why))
	}
	if err := json.Unmarshal(raw, &k); err != nil {
		return wrong(err)
	}
	d, err := base64.RawURLEncoding.DecodeString(k.JWK.D)
	if err != nil {
		return wrong(err)
	}
	switch {
	case k.JWK.CRV == "Ed25519" && len(d) == ed25519.SeedSize:
		k.signer = ed25519.NewKeyFromSeed(d)
	case k.JWK.CRV == "P-256":
		if k.signer, err = ecdsa.ParseRawPrivateKey(elliptic.P256(), d); err != nil {
			return wrong(err)
		}
	default:
		return wrong(errors.New("the key is neither Ed25519 nor P-256"))
	}
	if k.public, err = relay.NewPublicKey(k.signer.Public()); err != nil {
		return wrong(err)
	}
	if k.public.KID != k.KID {
		return wrong(errors.New("kid does not belong to the key"))
	}
	return k, nil
}

// agencyClient speaks for an agency to one relay.
type agencyClient struct {
	key  agencyKey
	api  string // the relay's API, as the audience of every token
	http *http.Client
	now  func() time.Time
}

// newAgencyClient returns a client of the relay at address: its API, or any of its pages.
func newAgencyClient(key agencyKey, address string) (*agencyClient, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, exitWith(exitUsage, fmt.Errorf("%q is no address of a relay: write it like https://api.relay.example or http://api.localhost:8080", address))
	}
	host := strings.ToLower(u.Host)
	for _, other := range []string{"home.", "view."} {
		host = strings.TrimPrefix(host, other)
	}
	if !strings.HasPrefix(host, "api.") {
		host = "api." + host
	}
	if u.Scheme == "http" && !isLoopbackName(strings.Split(host, ":")[0]) {
		return nil, exitWith(exitUsage, fmt.Errorf("%s is not on this machine: speak to it over https", address))
	}
	return &agencyClient{key: key, api: u.Scheme + "://" + host, http: &http.Client{Timeout: 2 * time.Minute, Transport: loopbackNames()}, now: time.Now}, nil
}

func isLoopbackName(host string) bool {
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// loopbackNames reaches every name below localhost on this machine, which not all resolvers
// do (RFC 6761 says that they should).
func loopbackNames() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	var dial net.Dialer
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if host, port, err := net.SplitHostPort(address); err == nil && isLoopbackName(host) {
			address = net.JoinHostPort("localhost", port)
		}
		return dial.DialContext(ctx, network, address)
	}
	return t
}

// call returns what every token says, with a life of seconds.
func (a *agencyClient) call(seconds int64) relay.Call {
	id := make([]byte, 24)
	rand.Read(id) // never fails
	now := a.now().Unix()
	return relay.Call{Issuer: a.key.Agency, Audience: a.api, IssuedAt: now, Expires: now + seconds,
		TokenID: base64.RawURLEncoding.EncodeToString(id), Version: "1"}
}

// sign makes a token of the agency.
func (a *agencyClient) sign(typ string, claims any) (string, error) {
	return token.Sign(a.key.signer, typ, claims)
}

// refused is the relay's answer to a call that it did not accept.
type refused struct {
	Code   int    `json:"-"`
	Name   string `json:"error"`
	Claim  string `json:"claim"`
	Reason string `json:"reason"`
}

func (r *refused) Error() string {
	switch {
	case r.Name == "invalid_request":
		return "the relay does not know this call's key, or not in this form: is the key registered there and in its time, and is --relay the right address?"
	case r.Claim != "" || r.Reason != "":
		return strings.TrimPrefix(r.Claim+": "+r.Reason, ": ")
	case r.Name == "too_many_requests":
		return "the agency has reached a limit of this relay, or may not ask there now; try again after a day"
	case r.Name == "not_available":
		return "there is none, or it is not available to this key"
	}
	return fmt.Sprintf("the relay answered %d %s", r.Code, http.StatusText(r.Code))
}

// post sends a token and returns the body of the answer.
func (a *agencyClient) post(ctx context.Context, path, raw string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.api+path, strings.NewReader(raw))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/jwt")
	return a.do(req, 1<<20)
}

// do sends a request and returns at most limit bytes of the answer. What the relay refuses
// ends the program with [exitRefused], a relay that cannot be reached with [exitUnreachable].
func (a *agencyClient) do(req *http.Request, limit int64) ([]byte, error) {
	res, err := a.http.Do(req)
	if err != nil {
		return nil, exitWith(exitUnreachable, fmt.Errorf("the relay cannot be reached: %w", err))
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, limit))
	if err != nil {
		return nil, exitWith(exitUnreachable, fmt.Errorf("the relay's answer broke off: %w", err))
	}
	if res.StatusCode/100 == 2 {
		return body, nil
	}
	r := &refused{Code: res.StatusCode}
	if err := json.Unmarshal(body, r); err != nil {
		r.Name = "" // no answer of the API: its code is all there is
	}
	if res.StatusCode >= 502 {
		return nil, exitWith(exitUnreachable, r)
	}
	return nil, exitWith(exitRefused, r)
}

// filed is a relay's receipt, read and raw.
type filed struct {
	token.ReceiptClaims
	Receipt string `json:"receipt"` // as the relay signed it
	Request string `json:"request"` // the token that was sent
}

// file signs the claims and files them. Where no answer comes, the same token is sent again:
// the relay stores it once.
func (a *agencyClient) file(ctx context.Context, claims any) (f filed, err error) {
	if f.Request, err = a.sign(token.Request, claims); err != nil {
		return f, err
	}
	var answer []byte
	for try := 0; ; try++ {
		answer, err = a.post(ctx, "/a/v1/requests", f.Request)
		var exit *exitError
		if try >= 2 || !errors.As(err, &exit) || exit.code != exitUnreachable || ctx.Err() != nil {
			break
		}
		wait := time.NewTimer(time.Duration(try+1) * 500 * time.Millisecond)
		select {
		case <-ctx.Done():
		case <-wait.C:
		}
		wait.Stop()
	}
	if err != nil {
		return f, err
	}
	f.Receipt = string(answer)
	if f.ReceiptClaims, err = token.ParseReceipt(f.Receipt, relay.PublicKey{}); err != nil {
		return f, exitWith(exitRefused, errors.New("the relay's answer is no receipt"))
	}
	if sum := sha256Hex([]byte(f.Request)); f.RequestSHA256 != sum {
		return f, exitWith(exitRefused, fmt.Errorf("the receipt is for another request (%s) than the one that was sent (%s)", f.RequestSHA256, sum))
	}
	return f, nil
}

// stands is how a request stands, as the relay says.
type stands struct {
	State     string `json:"state"`
	ReleaseID string `json:"release_id,omitempty"`
	Ended     bool   `json:"ended,omitempty"`
	Notice    string `json:"notice,omitempty"` // signed by the relay, once a release is over
}

// poll asks how a request stands.
func (a *agencyClient) poll(ctx context.Context, requestID string) (stands, error) {
	return a.ask(ctx, "/a/v1/requests/poll", token.Poll, relay.PollClaims{Call: a.call(60), RequestIDs: []string{requestID}})
}

// withdraw takes a request back.
func (a *agencyClient) withdraw(ctx context.Context, requestID string) (stands, error) {
	return a.ask(ctx, "/a/v1/requests/withdraw", token.Withdraw, relay.WithdrawClaims{Call: a.call(300), RequestID: requestID})
}

// acknowledgedEnd is the relay's answer to an acknowledgement.
type acknowledgedEnd struct {
	ReleaseID  string `json:"release_id"`
	RecordedAt string `json:"recorded_at"`
}

// acknowledge tells the relay that the agency has the notice of the end of the release to a request.
func (a *agencyClient) acknowledge(ctx context.Context, requestID string) (out acknowledgedEnd, err error) {
	s, err := a.poll(ctx, requestID)
	if err != nil {
		return out, err
	}
	if s.Notice == "" {
		return out, exitWith(exitRefused, errors.New("nothing has ended that was released to this request, so there is nothing to acknowledge"))
	}
	notice, err := token.ParseEnded(s.Notice, relay.PublicKey{})
	if err != nil || notice.RequestID != requestID || notice.Audience != a.key.Agency {
		return out, exitWith(exitRefused, errors.New("the relay's notice is not about this request"))
	}
	err = a.send(ctx, "/a/v1/releases/acknowledge", token.Acknowledge, relay.AcknowledgeClaims{Call: a.call(300), ReleaseID: notice.ReleaseID,
		NoticeSHA256: sha256Hex([]byte(s.Notice))}, &out)
	return out, err
}

func (a *agencyClient) ask(ctx context.Context, path, typ string, claims any) (stands, error) {
	var out struct {
		Requests []stands `json:"requests"`
	}
	if err := a.send(ctx, path, typ, claims, &out); err != nil {
		return stands{}, err
	}
	if len(out.Requests) != 1 {
		return stands{}, exitWith(exitRefused, errors.New("the relay's answer is not about this request"))
	}
	return out.Requests[0], nil
}

// send signs the claims, posts them and reads the answer into out.
func (a *agencyClient) send(ctx context.Context, path, typ string, claims, out any) error {
	raw, err := a.sign(typ, claims)
	if err != nil {
		return err
	}
	answer, err := a.post(ctx, path, raw)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(bytes.TrimSpace(answer), out); err != nil {
		return exitWith(exitRefused, fmt.Errorf("the relay's answer cannot be read: %w", err))
	}
	return nil
}
