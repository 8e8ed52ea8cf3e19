package media

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/storage"
	"cliplease/test/lease"
)

// house is a relay with one live release and a real HTTP server that gives out its copy, to
// whom the database allows it.
type house struct {
	t testing.TB
	*lease.Home
	lease   lease.Lease
	content []byte
	media   *Server
	file    File
	server  *httptest.Server
	served  func(error) // told what each Serve returned
}

func newHouse(t testing.TB, size int) *house {
	t.Helper()
	site := relay.NewSite("relay.example", "", true)
	store, err := storage.Open(t.Context(), storage.Config{Dir: filepath.Join(t.TempDir(), "data"), Site: site})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	h := &house{t: t, content: make([]byte, size)}
	rand.NewChaCha8([32]byte{1}).Read(h.content)
	if h.Home, err = lease.New(t.Context(), store, site, time.Now); err != nil {
		t.Fatal(err)
	}
	if h.lease, err = h.Sign(t.Context(), h.content, lease.Terms{Download: true}); err != nil {
		t.Fatal(err)
	}
	h.media = New(Config{Store: store, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	c := h.lease.Copy
	h.file = File{Object: c.Object, KeyID: c.ID, Context: h.lease.Release.ID, Size: c.Bytes, SHA256: c.SHA256, ReleaseID: h.lease.Release.ID, LinkID: h.lease.Link.ID,
		Allowed: func(ctx context.Context) error {
			rel, err := store.DB.Release(ctx, h.lease.Release.ID)
			if err != nil {
				return err
			}
			return rel.Accessible(time.Now())
		}}
	h.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f := h.file
		f.Download = r.URL.Path == "/file"
		err := h.media.Serve(w, r, f)
		if h.served != nil {
			h.served(err)
		}
		if err != nil {
			switch {
			case errors.Is(err, relay.ErrNotFound):
				w.WriteHeader(http.StatusNotFound)
			case errors.Is(err, ErrUnavailable):
				w.WriteHeader(http.StatusServiceUnavailable)
			default:
				w.WriteHeader(http.StatusInternalServerError)
			}
		}
	}))
	h.server.Config.ConnContext = ConnContext
	h.server.Start()
	t.Cleanup(h.server.Close)
	return h
}

// answer is a response whose body was read.
type answer struct {
	StatusCode    int
	Header        http.Header
	ContentLength int64
}

// get asks with headers given as "Name: value".
func (h *house) get(method string, headers ...string) (answer, []byte) {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), method, h.server.URL, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, x := range headers {
		name, value, _ := strings.Cut(x, ": ")
		req.Header.Add(name, value)
	}
	resp, err := h.server.Client().Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, resp.ContentLength}, body
}

func (h *house) revoke() {
	h.t.Helper()
	if err := h.DB.RevokeRelease(h.t.Context(), h.lease.Release.ID, h.Member, "", time.Now()); err != nil {
		h.t.Fatal(err)
	}
}

// TestRanges is the table of what a player may ask for.
func TestRanges(t *testing.T) {
	const size = 1<<20 + 17
	h := newHouse(t, size)
	for _, tt := range []struct {
		name     string
		headers  []string
		status   int
		from, to int64 // of the bytes that come
	}{
		{"no range", nil, 200, 0, size},
		{"two first bytes", []string{"Range: bytes=0-1"}, 206, 0, 2},
		{"one byte", []string{"Range: bytes=70000-70000"}, 206, 70000, 70001},
		{"across packages", []string{"Range: bytes=65535-131073"}, 206, 65535, 131074},
		{"from the start", []string{"Range: bytes=0-"}, 206, 0, relay.RangeMax},
		{"from the middle", []string{"Range: bytes=524289-"}, 206, 524289, 524289 + relay.RangeMax},
		{"to the end", []string{"Range: bytes=1048570-"}, 206, 1048570, size},
		{"longer than allowed", []string{"Range: bytes=10-999999"}, 206, 10, 10 + relay.RangeMax},
		{"past the end", []string{"Range: bytes=1048570-99999999"}, 206, 1048570, size},
		{"last byte", []string{"Range: bytes=1048592-1048592"}, 206, size - 1, size},
		{"suffix", []string{"Range: bytes=-5"}, 206, size - 5, size},
		{"suffix longer than allowed", []string{"Range: bytes=-600000"}, 206, size - 600000, size - 600000 + relay.RangeMax},
		{"suffix longer than the file", []string{"Range: bytes=-99999999"}, 206, 0, relay.RangeMax},
		{"several ranges", []string{"Range: bytes=5-9,20-29"}, 206, 0, relay.RangeMax},
		{"several headers", []string{"Range: bytes=5-9", "Range: bytes=20-29"}, 206, 0, relay.RangeMax},
		{"two hundred ranges", []string{"Range: bytes=0-0" + strings.Repeat(",0-0", 200)}, 206, 0, relay.RangeMax},
		{"start after the end", []string{"Range: bytes=1048593-"}, 416, 0, 0},
		{"far after the end", []string{"Range: bytes=99999999999999999999999-"}, 416, 0, 0},
		{"empty suffix", []string{"Range: bytes=-0"}, 416, 0, 0},
		{"backwards", []string{"Range: bytes=9-5"}, 200, 0, size},
		{"another unit", []string{"Range: frames=0-1"}, 200, 0, size},
		{"no number", []string{"Range: bytes=a-b"}, 200, 0, size},
		{"a sign", []string{"Range: bytes=+1-5"}, 200, 0, size},
		{"no dash", []string{"Range: bytes=5"}, 200, 0, size},
		{"nothing", []string{"Range: bytes=-"}, 200, 0, size},
		{"if a tag that was never sent", []string{"Range: bytes=0-1", `If-Range: "x"`}, 200, 0, size},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp, body := h.get("GET", tt.headers...)
			if resp.StatusCode != tt.status || !bytes.Equal(body, h.content[tt.from:tt.to]) {
				t.Fatalf("status %d with %d bytes, want %d with bytes %d to %d", resp.StatusCode, len(body), tt.status, tt.from, tt.to)
			}
			want := ""
			switch tt.status {
			case 206:
				want = fmt.Sprintf("bytes %d-%d/%d", tt.from, tt.to-1, size)
			case 416:
				want = fmt.Sprintf("bytes */%d", size)
			}
			if got := resp.Header.Get("Content-Range"); got != want {
				t.Errorf("Content-Range %q, want %q", got, want)
			}
		})
	}
	t.Run("HEAD", func(t *testing.T) {
		resp, body := h.get("HEAD", "Range: bytes=0-9")
		if resp.StatusCode != 206 || resp.ContentLength != 10 || len(body) != 0 {
			t.Errorf("status %d, length %d, %d bytes", resp.StatusCode, resp.ContentLength, len(body))
		}
	})
}

func TestHeaders(t *testing.T) {
	h := newHouse(t, 1000)
	for _, ask := range [][]string{nil, {"Range: bytes=0-9"}, {"Range: bytes=5000-"}} {
		resp, _ := h.get("GET", ask...)
		for name, want := range map[string]string{
			"Cache-Control": "no-store, private", "Content-Type": "video/mp4", "Content-Disposition": "inline; filename=clip.mp4", "Accept-Ranges": "bytes",
			"ETag": "", "Last-Modified": "", "X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin",
			"Content-Security-Policy": "default-src 'none'; sandbox", "Referrer-Policy": "no-referrer", "Content-Encoding": "",
		} {
			if got := resp.Header.Get(name); got != want {
				t.Errorf("%v: %s is %q, want %q", ask, name, got, want)
			}
		}
	}
	resp, err := h.server.Client().Get(h.server.URL + "/file")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Content-Disposition"); got != "attachment; filename=clip.mp4" {
		t.Errorf("a file to keep comes as %q", got)
	}
}

// slow is a client that speaks HTTP by hand over TCP and takes what it wants when it wants.
type slow struct {
	net.Conn
	got int
}

func (h *house) connect() *slow {
	h.t.Helper()
	c, err := net.Dial("tcp", h.server.Listener.Addr().String())
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { c.Close() })
	return &slow{Conn: c}
}

func (s *slow) ask(path, header string) error {
	_, err := fmt.Fprintf(s, "GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n", path, header)
	return err
}

// take reads n bytes.
func (s *slow) take(n int) error {
	m, err := io.CopyN(io.Discard, s, int64(n))
	s.got += int(m)
	return err
}

// rest reads until the connection ends and returns how much came and how long it took.
func (s *slow) rest() (n int64, after time.Duration, err error) {
	start := time.Now()
	s.SetReadDeadline(start.Add(10 * time.Second))
	n, err = io.Copy(io.Discard, s)
	return n, time.Since(start), err
}

// The promise of a revocation.
const (
	cutBytes = 512 << 10
	cutTime  = time.Second
)

// TestRevokeCut revokes while clients are in the middle of a file: at most 512 KiB and one
// second later nothing comes any more. The clients' own machines buffer little, so that what
// is counted left the relay after the revocation and did not merely wait to be read.
func TestRevokeCut(t *testing.T) {
	for _, tt := range []struct {
		name  string
		cut   bool // the process that revokes is ours, so that it also cuts
		store bool // the object store has gone away
		play  func(t *testing.T, h *house, c *slow)
	}{
		{"paused in a download", true, false, func(t *testing.T, h *house, c *slow) { c.ask("/file", ""); c.take(300 << 10) }},
		{"paused, revoked by another process", false, false, func(t *testing.T, h *house, c *slow) { c.ask("/file", ""); c.take(300 << 10) }},
		{"paused in a range", true, false, func(t *testing.T, h *house, c *slow) { c.ask("/", "Range: bytes=0-\r\n"); c.take(4 << 10) }},
		{"seeking", true, false, func(t *testing.T, h *house, c *slow) {
			for at := 0; at < 20; at++ {
				c.ask("/", fmt.Sprintf("Range: bytes=%d-\r\n", at*150_000))
			}
			c.take(500 << 10)
		}},
		{"has taken nothing", true, false, func(t *testing.T, h *house, c *slow) { c.ask("/file", ""); c.take(1) }},
		{"object store stopped", true, true, func(t *testing.T, h *house, c *slow) { c.ask("/file", ""); c.take(300 << 10) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t, 4<<20)
			c := h.connect()
			c.Conn.(*net.TCPConn).SetReadBuffer(64 << 10)
			tt.play(t, h, c)
			if tt.store {
				for o, err := range h.Objects.List(t.Context(), "") {
					if err != nil {
						t.Fatal(err)
					}
					if err := h.Objects.Delete(t.Context(), o.Name); err != nil {
						t.Fatal(err)
					}
				}
			}
			h.revoke()
			if tt.cut {
				h.media.Cut(h.lease.Release.ID)
			}
			n, after, err := c.rest()
			t.Logf("%d KiB in %v after the revocation, then %v", n>>10, after.Round(time.Millisecond), err)
			if n > cutBytes || after > cutTime {
				t.Errorf("%d bytes came in %v after the revocation", n, after)
			}
			if tt.cut && err == nil {
				t.Error("the connection was closed without a reset: what lay in its send buffer still left")
			}
			if resp, _ := h.get("GET", "Range: bytes=0-"); resp.StatusCode != http.StatusNotFound {
				t.Errorf("a new range is answered with %d", resp.StatusCode)
			}
		})
	}
}

// TestCutTrickle revokes under a client that takes a little all the time.
func TestCutTrickle(t *testing.T) {
	h := newHouse(t, 4<<20)
	c := h.connect()
	c.Conn.(*net.TCPConn).SetReadBuffer(32 << 10)
	c.ask("/file", "")
	if err := c.take(64 << 10); err != nil {
		t.Fatal(err)
	}
	var after, gone = 0, make(chan time.Duration)
	revoked := make(chan time.Time, 1)
	go func() { // 200 reads a second of 1 KiB
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		var at time.Time
		for range tick.C {
			n, err := c.Read(make([]byte, 1<<10))
			select {
			case at = <-revoked:
			default:
			}
			if !at.IsZero() {
				after += n
			}
			if err != nil {
				gone <- time.Since(at)
				return
			}
		}
	}()
	h.revoke()
	revoked <- time.Now()
	h.media.Cut(h.lease.Release.ID)
	if d := <-gone; d > cutTime || after > cutBytes {
		t.Errorf("%d bytes in %v", after, d)
	}
}

// TestRevokeCutTLS cuts below the encryption.
func TestRevokeCutTLS(t *testing.T) {
	h := newHouse(t, 4<<20)
	secure := httptest.NewUnstartedServer(h.server.Config.Handler)
	secure.Config.ConnContext = ConnContext
	secure.StartTLS()
	t.Cleanup(secure.Close)
	secure.Client().Transport.(*http.Transport).DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return c, c.(*net.TCPConn).SetReadBuffer(64 << 10)
	}
	resp, err := secure.Client().Get(secure.URL + "/file")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.CopyN(io.Discard, resp.Body, 300<<10); err != nil {
		t.Fatal(err)
	}
	h.revoke()
	start := time.Now()
	h.media.Cut(h.lease.Release.ID)
	n, err := io.Copy(io.Discard, resp.Body)
	if err == nil || n > cutBytes || time.Since(start) > cutTime {
		t.Errorf("%d bytes came in %v after the revocation, then %v", n, time.Since(start), err)
	}
}

func TestCutLinkSparesOthers(t *testing.T) {
	h := newHouse(t, 4<<20)
	mine, other := h.connect(), h.connect()
	mine.ask("/file", "")
	mine.take(100 << 10)
	h.file.LinkID = "another"
	other.ask("/file", "Connection: close\r\n")
	other.take(100 << 10)
	h.media.CutLink(h.lease.Link.ID)
	if n, _, _ := mine.rest(); n > cutBytes {
		t.Errorf("%d bytes came after the link was cut", n)
	}
	if n, _, err := other.rest(); err != nil || int(n)+other.got < 4<<20 {
		t.Errorf("another link's download ended after %d bytes: %v", int(n)+other.got, err)
	}
}

// TestExpiryEndsARunningResponse moves the end of the lease before now, as time does.
func TestExpiryEndsARunningResponse(t *testing.T) {
	h := newHouse(t, 4<<20)
	var mu sync.Mutex
	over := false
	h.file.Allowed = func(context.Context) error {
		mu.Lock()
		defer mu.Unlock()
		if over {
			return relay.ErrNotFound
		}
		return nil
	}
	c := h.connect()
	c.Conn.(*net.TCPConn).SetReadBuffer(64 << 10)
	c.ask("/file", "")
	c.take(300 << 10)
	mu.Lock()
	over = true
	mu.Unlock()
	if n, after, _ := c.rest(); n > cutBytes || after > cutTime {
		t.Errorf("%d bytes in %v after the end of the lease", n, after)
	}
}

// TestNothingStaysRegistered looks for responses that nobody would ever remove.
func TestNothingStaysRegistered(t *testing.T) {
	h := newHouse(t, 400<<10)
	var done sync.WaitGroup
	for i := range 20 {
		done.Go(func() {
			c := h.connect()
			c.ask("/file", "Connection: close\r\n")
			if i%2 == 0 {
				c.Close()
				return
			}
			c.rest()
		})
	}
	done.Wait()
	h.server.Close() // waits for every response
	if n := len(h.media.running.by); n != 0 {
		t.Errorf("%d keys are still registered", n)
	}
}

// TestClientGoes hangs up while the database is asked, as a player does that seeks.
func TestClientGoes(t *testing.T) {
	h := newHouse(t, 1000)
	asked, served := make(chan bool, 1), make(chan error, 1)
	h.served = func(err error) { served <- err }
	h.file.Allowed = func(ctx context.Context) error {
		asked <- true
		<-ctx.Done()
		return ctx.Err()
	}
	c := h.connect()
	c.ask("/", "Range: bytes=0-\r\n")
	<-asked
	c.Close()
	if err := <-served; err != nil {
		t.Errorf("a client that hangs up is called a fault: %v", err)
	}
}

func TestCountBeforeBytes(t *testing.T) {
	h := newHouse(t, 600<<10)
	var pieces []int64
	h.file.Count = func(_ context.Context, n int64) error {
		pieces = append(pieces, n)
		return nil
	}
	h.get("GET")
	if fmt.Sprint(pieces) != "[262144 262144 90112]" {
		t.Errorf("counted %v", pieces)
	}
	h.file.Count = func(context.Context, int64) error { return errors.New("the database is locked") }
	if resp, body := h.get("GET", "Range: bytes=0-"); resp.StatusCode != 500 || len(body) != 0 {
		t.Errorf("status %d with %d bytes although nothing could be counted", resp.StatusCode, len(body))
	}
}

// TestDamaged swaps and cuts stored bytes: none of them are given out.
func TestDamaged(t *testing.T) {
	h := newHouse(t, 600<<10)
	damaged := 0
	h.file.Damaged = func(context.Context) { damaged++ }
	if err := h.media.Verify(t.Context(), h.file); err != nil {
		t.Fatal(err)
	}
	other := h.file
	other.SHA256 = strings.Repeat("0", 64)
	if err := h.media.Verify(t.Context(), other); !errors.Is(err, storage.ErrTampered) || damaged != 1 {
		t.Errorf("another digest: %v, told %d times", err, damaged)
	}
	raw := func() []byte {
		r, err := h.Objects.Get(t.Context(), h.file.Object, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}()
	store := func(b []byte) {
		if err := h.Objects.Delete(t.Context(), h.file.Object); err != nil {
			t.Fatal(err)
		}
		if err := h.Objects.Put(t.Context(), h.file.Object, bytes.NewReader(b), int64(len(b))); err != nil {
			t.Fatal(err)
		}
	}
	flipped := bytes.Clone(raw)
	flipped[300<<10] ^= 1
	store(flipped)
	if err := h.media.Verify(t.Context(), h.file); !errors.Is(err, storage.ErrTampered) {
		t.Errorf("a flipped bit: %v", err)
	}
	if resp, body := h.get("GET", "Range: bytes=262144-"); resp.StatusCode != 500 || len(body) > 0 {
		t.Errorf("a piece with a flipped bit: %d with %d bytes", resp.StatusCode, len(body))
	}
	if resp, body := h.get("GET", "Range: bytes=0-9"); resp.StatusCode != 206 || !bytes.Equal(body, h.content[:10]) {
		t.Errorf("a sound piece: %d with %d bytes", resp.StatusCode, len(body))
	}
	store(raw[:len(raw)-1000])
	if err := h.media.Verify(t.Context(), h.file); !errors.Is(err, storage.ErrTampered) {
		t.Errorf("cut short: %v", err)
	}
	if err := h.Keys.Destroy(t.Context(), h.file.KeyID); err != nil {
		t.Fatal(err)
	}
	if resp, _ := h.get("GET"); resp.StatusCode != http.StatusNotFound {
		t.Errorf("without its key: %d", resp.StatusCode)
	}
}
