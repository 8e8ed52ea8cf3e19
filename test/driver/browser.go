package driver

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"time"
)

// Browser speaks to one host of a relay as a person's browser does: it keeps cookies, those too
// that are only for secure origins, since browsers count localhost among them; and it says of
// every request that it comes from a page of the same origin.
type Browser struct {
	origin string
	client *http.Client

	mu      sync.Mutex
	cookies map[string]string
}

// Browser returns a browser without cookies on one of the relay's origins.
func (r *Relay) Browser(origin string) *Browser {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	return &Browser{origin: origin, cookies: map[string]string{}, client: &http.Client{
		Transport: spied{r, &http.Transport{
			// Not every resolver knows the names below localhost.
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, network, r.addr)
			},
		}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// spied shows every answer to the relay's spy.
type spied struct {
	relay *Relay
	http.RoundTripper
}

// RoundTrip sends a request.
func (s spied) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := s.RoundTripper.RoundTrip(r)
	if err != nil || s.relay.Spy == nil {
		return resp, err
	}
	raw, err := httputil.DumpResponse(resp, true)
	if err == nil {
		_, err = s.relay.Spy.Write(raw)
	}
	if err != nil {
		resp.Body.Close()
	}
	return resp, err
}

// StatusError is an answer that says no.
type StatusError struct {
	Code  int    // HTTP status
	Field string // of the form, when one is to blame
	Text  string
}

func (e *StatusError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("%d %s %s", e.Code, e.Field, e.Text))
}

// Do sends a request to a path of the browser's origin. The caller closes the answer's body.
func (b *Browser) Do(ctx context.Context, method, path string, body io.Reader, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, b.origin+path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) Chrome/156.0")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	req.Header.Set("Sec-Fetch-Mode", "cors")
	req.Header.Set("Sec-Fetch-Dest", "empty")
	if method != http.MethodGet && method != http.MethodHead {
		req.Header.Set("Origin", b.origin)
	}
	for k, v := range header {
		req.Header[k] = v
	}
	b.mu.Lock()
	for name, value := range b.cookies {
		req.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	b.mu.Unlock()
	resp, err := b.client.Do(req)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range resp.Cookies() {
		if c.MaxAge < 0 || c.Value == "" {
			delete(b.cookies, c.Name)
		} else {
			b.cookies[c.Name] = c.Value
		}
	}
	return resp, nil
}

// read reads an answer to its end; one that says no is a [StatusError].
func read(resp *http.Response) ([]byte, error) {
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= 400 {
		var said struct{ Error, Field string }
		if json.Unmarshal(body, &said) != nil || said.Error == "" {
			said.Error = strings.TrimSpace(string(body[:min(len(body), 300)]))
		}
		return body, &StatusError{resp.StatusCode, said.Field, said.Error}
	}
	return body, nil
}

// Get fetches a path. A redirect is an error: who is asked to sign in did not get the page.
func (b *Browser) Get(ctx context.Context, path string) ([]byte, error) {
	resp, err := b.Do(ctx, http.MethodGet, path, nil, nil)
	if err != nil {
		return nil, err
	}
	body, err := read(resp)
	if err == nil && resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusPartialContent {
		err = &StatusError{Code: resp.StatusCode, Text: resp.Header.Get("Location")}
	}
	return body, err
}

// Post sends in as JSON and reads the answer into out, which may be nil.
func (b *Browser) Post(ctx context.Context, path string, in, out any) error {
	raw, err := json.Marshal(in)
	if err != nil {
		return err
	}
	resp, err := b.Do(ctx, http.MethodPost, path, bytes.NewReader(raw), http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json"}})
	if err != nil {
		return err
	}
	body, err := read(resp)
	if err != nil || out == nil {
		return err
	}
	return json.Unmarshal(body, out)
}

// went is the answer to most forms: where the page goes next.
type went struct {
	Location string `json:"location"`
}
