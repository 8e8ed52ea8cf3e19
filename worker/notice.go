package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"cliplease/relay"
	"cliplease/storage"
	"cliplease/templates"

	"github.com/nicholas-fedor/shoutrrr/pkg/services/chat/matrix"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/chat/telegram"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/push/gotify"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/push/ntfy"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/push/pushover"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"
	"github.com/riverqueue/river"
)

// noticeWorker brings notices to the push and chat services of members.
type noticeWorker struct {
	river.WorkerDefaults[storage.NoticeJob]
	*Worker
}

// Timeout bounds one attempt.
func (*noticeWorker) Timeout(*river.Job[storage.NoticeJob]) time.Duration { return officeFor }

// Work sends the notice, or says when to try again: soon at first, then every quarter of an hour,
// for a day. A test is tried once, since somebody waits for its result. A crash between the
// service's yes and the record of it sends the notice twice.
func (w *noticeWorker) Work(ctx context.Context, job *river.Job[storage.NoticeJob]) error {
	to, kind, age := job.Args.MemberID, job.Args.Notice, w.Now().Sub(job.Args.Since)
	m, err := w.Store.DB.Member(ctx, to)
	if errors.Is(err, relay.ErrNotFound) {
		return nil // the member is gone
	}
	if err != nil {
		return err
	}
	title, text, ok := templates.Notice(templates.Lang(m.Language), kind, w.Site.Home)
	address, err := w.Store.DB.NoticeAddress(ctx, to)
	if errors.Is(err, relay.ErrNotFound) || !ok {
		return nil // the service was taken away, or the member is gone
	}
	if err != nil {
		return err
	}
	if kind != relay.NoticeTest && age > relay.NoticeLife {
		return w.Store.DB.NoticeTried(ctx, to, "failed", "It could not be sent within a day.", w.Now())
	}
	err = notify(ctx, address, w.NoticeHosts, title, text)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil {
		return w.Store.DB.NoticeTried(ctx, to, "sent", "", w.Now())
	}
	w.Log.Warn("a notice could not be sent", "notice", kind, "error", err)
	if kind == relay.NoticeTest || errors.Is(err, errForGood) {
		return w.Store.DB.NoticeTried(ctx, to, "failed", capital(err), w.Now())
	}
	if err := w.Store.DB.NoticeTried(ctx, to, "trying", capital(err), w.Now()); err != nil {
		return err
	}
	return river.JobSnooze(min(max(age/4, 2*time.Second), 15*time.Minute))
}

// errForGood marks what trying again cannot mend.
var errForGood = errors.New("it cannot be sent to this address")

// errPrivate is why a connection was not made.
var errPrivate = errors.New("the host is on a private network; the relay's operator can allow it with notify.hosts")

func capital(err error) string {
	text := err.Error()
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// service is what the library's services do.
type service interface {
	Initialize(address *url.URL, logger types.StdLogger) error
	Send(message string, params *types.Params) error
}

// notify sends a notice to the service of an address, which may lead to a private network only where
// hosts, which the operator named, say so. No error holds the address or what a server wrote.
func notify(ctx context.Context, address string, hosts []string, title, text string) error {
	scheme, host, err := relay.ParseService(address, hosts)
	if err != nil { // it was right once: the operator's list is another by now
		return fmt.Errorf("%w: %w", errForGood, err)
	}
	u, err := url.Parse(address)
	if err != nil {
		return errForGood
	}
	// Every connection is looked at again when it is made, so that neither a redirect nor a name that
	// changes leads elsewhere. Where the library lets nobody give it a client, the host is a fixed one
	// or one that the operator vouches for.
	watched := &guarded{hosts: hosts}
	client := &http.Client{Transport: watched, Timeout: 20 * time.Second}
	var to service
	switch scheme {
	case "ntfy":
		s := &ntfy.Service{}
		to, err = s, s.Initialize(u, quietLog)
		s.SetHTTPClient(client)
	case "gotify":
		s := &gotify.Service{}
		if to, err = s, s.Initialize(u, quietLog); err == nil {
			s.GetHTTPClient().Transport = watched
		}
	case "pushover":
		s := &pushover.Service{}
		to, err = s, s.Initialize(u, quietLog)
		s.Client = client
	case "matrix":
		s := &matrix.Service{}
		to, err = s, s.Initialize(u, quietLog)
	case "telegram":
		s := &telegram.Service{}
		to, err = s, s.Initialize(u, quietLog)
	}
	if err != nil {
		return fmt.Errorf("%w: it is not complete; compare it with the example", errForGood)
	}
	if !relay.Vouched(host, hosts) {
		if err := public(ctx, host); err != nil {
			return err
		}
	}
	done := make(chan error, 1)
	go func() { done <- to.Send(text, &types.Params{"title": title}) }()
	select {
	case err = <-done:
	case <-ctx.Done():
		return ctx.Err()
	}
	return watched.why(err)
}

var quietLog = log.New(io.Discard, "", 0) // the library's log would hold the address

// why says in words without the address what went wrong, or nil.
func (g *guarded) why(err error) error {
	var dns *net.DNSError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errPrivate):
		return errPrivate
	case g.status == http.StatusUnauthorized || g.status == http.StatusForbidden:
		return fmt.Errorf("the service answered %d %s: look at the token or password in the address", g.status, http.StatusText(g.status))
	case g.status >= 400:
		return fmt.Errorf("the service answered %d %s", g.status, http.StatusText(g.status))
	case errors.As(err, &dns):
		return errors.New("the name of the service's host is not known")
	}
	return errors.New("the service could not be reached, or did not take it")
}

// guarded is a transport that reaches public hosts, and private ones that hosts names. It notes the
// status of the last answer.
type guarded struct {
	hosts  []string
	status int
}

func (g *guarded) RoundTrip(r *http.Request) (*http.Response, error) {
	transport := &http.Transport{DialContext: g.dial, TLSHandshakeTimeout: 10 * time.Second, DisableKeepAlives: true}
	resp, err := transport.RoundTrip(r)
	if err == nil {
		g.status = resp.StatusCode
	}
	return resp, err
}

func (g *guarded) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: 10 * time.Second}
	if !relay.Vouched(address, g.hosts) {
		d.Control = func(_, address string, _ syscall.RawConn) error {
			at, err := netip.ParseAddrPort(address)
			if err != nil || !isPublic(at.Addr()) {
				return errPrivate
			}
			return nil
		}
	}
	return d.DialContext(ctx, network, address)
}

// public fails unless every address of a service's host is a public one.
func public(ctx context.Context, host string) error {
	name := (&url.URL{Host: host}).Hostname()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	if err != nil {
		return errors.New("the name of the service's host is not known")
	}
	for _, ip := range found {
		if !isPublic(ip) {
			return errPrivate
		}
	}
	return nil
}

// special are ranges that lead to no stranger's public server, besides those that netip knows.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("fec0::/10"),
}

// isPublic reports whether an address is one of the public Internet.
func isPublic(ip netip.Addr) bool {
	ip = ip.Unmap()
	if !ip.IsGlobalUnicast() || ip.IsPrivate() {
		return false
	}
	for _, p := range special {
		if p.Contains(ip) {
			return false
		}
	}
	return true
}
