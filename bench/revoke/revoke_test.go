// Package revoke measures how sharply a revocation ends a playback: how many bytes a client
// still gets, and for how long, once the revocation has committed.
package revoke

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/server"
	"cliplease/storage"
	"cliplease/test/lease"
)

// The promise.
const (
	mostBytes = 512 << 10
	mostTime  = time.Second
)

const (
	fileSize = 6 << 20
	revokes  = 40 // of each kind of client
)

// rig is a relay on a free port of this machine.
type rig struct {
	b *testing.B
	*lease.Home
	server *server.Server
	addr   string
	client *http.Client
}

func newRig(b *testing.B) *rig {
	b.Helper()
	r := &rig{b: b, client: &http.Client{Timeout: 30 * time.Second}}
	site := relay.NewSite("localhost", "", false)
	store, err := storage.Open(b.Context(), storage.Config{Dir: filepath.Join(b.TempDir(), "data"), Site: site})
	r.ok(err)
	r.Home, err = lease.New(b.Context(), store, site, time.Now)
	r.ok(err)
	r.server, err = server.New(server.Config{Store: store, Site: site, Version: "bench", MaxUpload: 1, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Ready: func(context.Context) []server.Check { return nil }})
	r.ok(err)
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	r.ok(err)
	r.addr = listener.Addr().String()
	s := r.server.HTTP()
	go s.Serve(listener)
	b.Cleanup(func() { s.Close(); store.Close() })
	return r
}

func (r *rig) ok(err error) {
	r.b.Helper()
	if err != nil {
		r.b.Fatal(err)
	}
}

// view is a recipient who may watch.
type view struct{ release, media, cookie string }

// start signs a release and goes from its link to a view. The code is read where the mail
// waits to be sent; the session starts as the server starts it.
func (r *rig) start(content []byte) view {
	r.b.Helper()
	l, err := r.Sign(r.b.Context(), content, lease.Terms{Download: true})
	r.ok(err)
	jar := map[string]string{}
	post := func(path string, in any) (out struct{ Media string }) {
		raw, err := json.Marshal(in)
		r.ok(err)
		req, err := http.NewRequestWithContext(r.b.Context(), "POST", "http://"+r.addr+path, bytes.NewReader(raw))
		r.ok(err)
		req.Host = "view.localhost"
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Sec-Fetch-Site", "same-origin")
		for name, value := range jar {
			req.AddCookie(&http.Cookie{Name: name, Value: value})
		}
		resp, err := r.client.Do(req)
		r.ok(err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		r.ok(err)
		if resp.StatusCode == http.StatusTooManyRequests {
			r.b.Fatalf("%s: the relay limits how often it is asked: %s", path, body)
		}
		if resp.StatusCode != http.StatusOK {
			r.b.Fatalf("%s: %d %s", path, resp.StatusCode, body)
		}
		for _, c := range resp.Cookies() {
			jar[c.Name] = c.Value
		}
		r.ok(json.Unmarshal(body, &out))
		return out
	}
	post("/r/open", map[string]string{"t": l.Token})
	post("/r/code", struct{}{})
	mails, err := r.DB.MailAbout(r.b.Context(), l.Release.ID)
	r.ok(err)
	i := slices.IndexFunc(mails, func(m storage.Mail) bool { return m.Kind == "code" })
	if i < 0 {
		r.b.Fatal("no code was mailed")
	}
	m, err := r.DB.WaitingMail(r.b.Context(), mails[i].ID)
	r.ok(err)
	media := post("/r/verify", map[string]string{"code": m.Secret}).Media
	return view{release: l.Release.ID, media: media, cookie: "__Host-cliplease_view=" + jar["__Host-cliplease_view"]}
}

// kind is a way in which a client takes what it gets.
type kind struct {
	name    string
	path    string   // after the media's
	ranges  []string // asked for one after the other; none: the whole
	before  int      // bytes taken before the revocation
	trickle bool     // goes on taking a little until the revocation; the others stop before. Then all take what they can get
	away    bool     // the object store loses what it has before the revocation
}

func seeks() (ranges []string) {
	for i := range 12 {
		ranges = append(ranges, fmt.Sprintf("bytes=%d-", i*470_000))
	}
	return ranges
}

// result is what one client got after the revocation had committed.
type result struct {
	bytes int
	after time.Duration // until the connection was dead
}

// revoke runs one client against one revocation.
func (r *rig) revoke(k kind, content []byte) result {
	r.b.Helper()
	v := r.start(content)
	conn, err := net.Dial("tcp", r.addr)
	r.ok(err)
	defer conn.Close()
	r.ok(conn.(*net.TCPConn).SetReadBuffer(64 << 10))
	ask := bufio.NewWriter(conn)
	ranges := k.ranges
	if len(ranges) == 0 {
		ranges = []string{""}
	}
	for _, x := range ranges {
		fmt.Fprintf(ask, "GET %s%s HTTP/1.1\r\nHost: view.localhost\r\nCookie: %s\r\n", v.media, k.path, v.cookie)
		if x != "" {
			fmt.Fprintf(ask, "Range: %s\r\n", x)
		}
		fmt.Fprint(ask, "\r\n")
	}
	r.ok(ask.Flush())
	head := make([]byte, 12)
	_, err = io.ReadFull(conn, head)
	r.ok(err)
	if !strings.HasPrefix(string(head), "HTTP/1.1 20") {
		r.b.Fatalf("the footage is answered with %q", head)
	}
	_, err = io.CopyN(io.Discard, conn, int64(k.before))
	r.ok(err)

	// The reader notes when each part came; what came after the commit is counted. Part of it
	// lay in the client's own machine by then.
	type part struct {
		at time.Time
		n  int
	}
	parts := make(chan []part, 1)
	release := make(chan struct{})
	go func() {
		var all []part
		defer func() { parts <- all }()
		buffer := make([]byte, 256<<10)
		conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		waiting := release
		for {
			size := len(buffer)
			if waiting != nil {
				if k.trickle {
					size = 1 << 10
				}
				select {
				case <-waiting:
					waiting, size = nil, len(buffer)
				case <-tick.C:
					if !k.trickle {
						continue
					}
				}
			}
			n, err := conn.Read(buffer[:size])
			all = append(all, part{time.Now(), n})
			if err != nil {
				return
			}
		}
	}()
	if k.away {
		for o, err := range r.Objects.List(r.b.Context(), "") {
			r.ok(err)
			r.ok(r.Objects.Delete(r.b.Context(), o.Name))
		}
	}
	r.ok(r.DB.RevokeRelease(r.b.Context(), v.release, r.Member, "", time.Now()))
	committed := time.Now()
	r.server.Cut(v.release)
	close(release)
	var got result
	for _, p := range <-parts {
		if p.at.After(committed) {
			got.bytes += p.n
			got.after = p.at.Sub(committed)
		}
	}
	return got
}

// BenchmarkRevoke revokes under clients that are in the middle of something, and reports how
// the bytes and the time that they still got are spread.
func BenchmarkRevoke(b *testing.B) {
	content := bytes.Repeat([]byte("0123456789abcdef"), fileSize/16)
	for _, k := range []kind{
		{name: "paused", ranges: []string{"bytes=0-"}, before: 8 << 10},
		{name: "seeking", ranges: seeks(), before: 600 << 10},
		{name: "slow", path: "/file", before: 64 << 10, trickle: true},
		{name: "download", path: "/file", before: 300 << 10},
		{name: "store-away", path: "/file", before: 300 << 10, away: true},
	} {
		b.Run(k.name, func(b *testing.B) {
			for range b.N {
				var all []result
				var r *rig
				for i := range revokes {
					if i%20 == 0 { // a relay takes 120 posts a minute from one address
						r = newRig(b)
					}
					all = append(all, r.revoke(k, content))
				}
				report(b, all)
			}
		})
	}
}

func report(b *testing.B, all []result) {
	b.Helper()
	slices.SortFunc(all, func(x, y result) int { return x.bytes - y.bytes })
	at := func(share float64) int { return int(share * float64(len(all)-1)) }
	last := len(all) - 1
	b.ReportMetric(float64(all[0].bytes)/1024, "KiB-min")
	b.ReportMetric(float64(all[at(0.5)].bytes)/1024, "KiB-p50")
	b.ReportMetric(float64(all[at(0.95)].bytes)/1024, "KiB-p95")
	b.ReportMetric(float64(all[last].bytes)/1024, "KiB-max")
	if all[last].bytes > mostBytes {
		b.Errorf("%d bytes came after a revocation, promised are %d", all[last].bytes, mostBytes)
	}
	slices.SortFunc(all, func(x, y result) int { return int(x.after - y.after) })
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	b.ReportMetric(ms(all[0].after), "ms-min")
	b.ReportMetric(ms(all[at(0.5)].after), "ms-p50")
	b.ReportMetric(ms(all[at(0.95)].after), "ms-p95")
	b.ReportMetric(ms(all[last].after), "ms-max")
	b.ReportMetric(float64(len(all)), "revokes")
	b.ReportMetric(0, "ns/op")
	if all[last].after > mostTime {
		b.Errorf("bytes came for %v after a revocation, promised are %v", all[last].after, mostTime)
	}
}
