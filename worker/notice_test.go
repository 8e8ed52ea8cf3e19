package worker

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"testing"

	"cliplease/relay"
	"cliplease/templates"
)

// phone is a server that takes notices as ntfy does.
type phone struct {
	*httptest.Server
	mu     sync.Mutex
	got    []string // headers and bodies
	answer int      // status; 0: 200
	sendTo string   // where it redirects to
}

func newPhone(t *testing.T) *phone {
	p := &phone{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		var all strings.Builder
		all.WriteString(r.Method + " " + r.URL.String() + "\n")
		r.Header.Write(&all)
		body, _ := io.ReadAll(r.Body)
		p.got = append(p.got, all.String()+"\n"+string(body))
		if p.sendTo != "" {
			http.Redirect(w, r, p.sendTo, http.StatusTemporaryRedirect)
			return
		}
		if p.answer != 0 {
			w.WriteHeader(p.answer)
		}
		io.WriteString(w, `{"id":"1","event":"message"}`)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *phone) host() string { return strings.TrimPrefix(p.URL, "http://") }

func (p *phone) address() string {
	return "ntfy://tester:s3cret@" + p.host() + "/s3cret-topic?scheme=http"
}

func (p *phone) taken() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.got...)
}

func (p *phone) says(status int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = status
}

// sets gives the member a service, as the page does.
func (h *home) sets(address string, hosts ...string) {
	h.t.Helper()
	scheme, host, err := relay.ParseService(address, hosts)
	h.ok(err)
	h.ok(h.DB.SetNoticeService(h.t.Context(), h.member.ID, address, scheme, host, h.watch.now()))
}

func (h *home) notices() relay.Notices {
	h.t.Helper()
	n, err := h.DB.Notices(h.t.Context(), h.member.ID)
	h.ok(err)
	return n
}

// words returns every text of a value that is longer than a few letters.
func words(v reflect.Value) (out []string) {
	switch v.Kind() {
	case reflect.String:
		if len(v.String()) > 3 {
			out = append(out, v.String())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				out = append(out, words(v.Field(i))...)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			out = append(out, words(v.Index(i))...)
		}
	case reflect.Pointer:
		if !v.IsNil() {
			out = words(v.Elem())
		}
	default:
	}
	return out
}

// TestNotices: what happens reaches a member's phone, as chosen, and says nothing of the request, the
// release, the agency, the camera or the members.
func TestNotices(t *testing.T) {
	h, p := newHome(t), newPhone(t)
	h.sets(p.address(), p.host())
	h.ok(h.DB.ChooseNotices(t.Context(), h.member.ID, nil, relay.NoticeKinds(), h.watch.now()))
	cfg := h.config()
	cfg.NoticeHosts = []string{p.host()}
	rel, q := h.leases()
	h.works(cfg)
	h.await("the notices of a request and of a release", func() bool {
		all := strings.Join(p.taken(), "\n")
		return strings.Contains(all, "A new request waits.") && strings.Contains(all, "Something was released.") && strings.Contains(all, "ready to look at.")
	})
	mails, err := h.DB.MailAbout(t.Context(), q.ID)
	h.ok(err)
	for _, m := range mails {
		if m.Address == h.member.Email {
			t.Errorf("the mail %s was not chosen and is sent", m.Kind)
		}
	}
	secret := append(words(reflect.ValueOf(q)), words(reflect.ValueOf(rel))...)
	secret = append(secret, words(reflect.ValueOf(h.agency))...)
	secret = append(secret, h.camera.Name, h.camera.Handle, h.member.Name, h.member.Email)
	for _, got := range p.taken() {
		for _, s := range secret {
			if s != string(q.State) && s != "video" && strings.Contains(strings.ToLower(got), strings.ToLower(s)) && !strings.Contains("active released release pending live local", s) {
				t.Errorf("a notice says %q: %s", s, got)
			}
		}
		if !strings.Contains(got, "\nTitle: cliplease\r\n") || !strings.HasSuffix(got, "\n"+site.Home+"/") {
			t.Errorf("a notice is %s", got)
		}
	}
	if n := h.notices(); n.State != "sent" || n.Result != "" {
		t.Errorf("the page says %+v", n)
	}
}

// TestNoticeTest: the button's test reports what really came of it.
func TestNoticeTest(t *testing.T) {
	h, p, other := newHome(t), newPhone(t), newPhone(t)
	cfg := h.config()
	cfg.NoticeHosts = []string{p.host()}
	h.works(cfg)
	try := func() relay.Notices {
		h.t.Helper()
		h.ok(h.DB.TryNotice(t.Context(), h.member.ID, h.watch.now()))
		h.await("the test has an end", func() bool { return h.notices().State != "trying" })
		return h.notices()
	}
	wants := func(n relay.Notices, state, result string) {
		h.t.Helper()
		if n.State != state || !strings.Contains(n.Result, result) || strings.Contains(n.Result, "s3cret") || n.TriedAt.IsZero() {
			t.Errorf("it is %s: %q; want %s: %q", n.State, n.Result, state, result)
		}
	}
	if err := h.DB.TryNotice(t.Context(), h.member.ID, h.watch.now()); err == nil {
		t.Error("a test without a service was begun")
	}
	h.sets(p.address(), p.host())
	wants(try(), "sent", "")
	if got := p.taken(); len(got) != 1 || !strings.Contains(got[0], "This is a test.") || !strings.Contains(got[0], "/s3cret-topic") {
		t.Errorf("the phone got %q", got)
	}
	p.says(http.StatusForbidden)
	wants(try(), "failed", "answered 403 Forbidden")
	p.says(http.StatusBadGateway)
	wants(try(), "failed", "answered 502 Bad Gateway")
	p.says(0)

	// Neither a private host nor a redirect to one is reached unless the operator named it.
	h.sets("ntfy://" + other.host() + "/s3cret")
	wants(try(), "failed", "on a private network")
	h.sets("ntfy://"+other.host()+"/s3cret?scheme=http", other.host()) // was named once, and is not any more
	wants(try(), "failed", "without TLS")
	p.mu.Lock()
	p.sendTo = other.URL + "/s3cret"
	p.mu.Unlock()
	h.sets(p.address(), p.host())
	wants(try(), "failed", "on a private network")
	h.sets("gotify://"+other.host()+"/AzyoeNS.D4iJLVa", other.host())
	wants(try(), "failed", "on a private network")
	if got := other.taken(); len(got) != 0 {
		t.Errorf("a host that nobody named got %q", got)
	}
	h.sets("ntfy://nowhere.invalid/s3cret")
	wants(try(), "failed", "not known")
	h.sets("telegram://s3cret@telegram?chats=1")
	wants(try(), "failed", "not complete")

	h.stopsLogging("s3cret")
}

// stopsLogging fails when the worker's log holds a secret.
func (h *home) stopsLogging(secret string) {
	h.t.Helper()
	h.logMu.Lock()
	defer h.logMu.Unlock()
	if strings.Contains(h.log.String(), secret) {
		h.t.Errorf("the log holds %q: %s", secret, h.log)
	}
}

// TestNoticeRetried: a notice that a service does not take is tried again; one whose service was
// taken away is forgotten, and its address with it.
func TestNoticeRetried(t *testing.T) {
	h, p := newHome(t), newPhone(t)
	h.sets(p.address(), p.host())
	p.says(http.StatusServiceUnavailable)
	cfg := h.config()
	cfg.NoticeHosts = []string{p.host()}
	h.works(cfg)
	h.ok(h.DB.TellMembers(t.Context(), relay.NoticeMore, "q1", h.watch.now()))
	h.await("the first try", func() bool { return strings.Contains(h.notices().Result, "503") })
	if n := h.notices(); n.State != "trying" {
		t.Errorf("it is %s", n.State)
	}
	p.says(0)
	h.await("another try", func() bool { return h.notices().State == "sent" })
	if got := p.taken(); len(got) < 2 || !strings.Contains(got[len(got)-1], "asks for more time") {
		t.Errorf("the phone got %q", got)
	}
	before := len(h.keys())
	h.ok(h.DB.SetNoticeService(t.Context(), h.member.ID, "", "", "", h.watch.now()))
	if after := len(h.keys()); after != before-1 {
		t.Errorf("%d keys were there, %d are", before, after)
	}
	if _, err := h.DB.NoticeAddress(t.Context(), h.member.ID); err == nil {
		t.Error("the address is still there")
	}
}

// TestNoticeWords: every kind has words, which hold no value.
func TestNoticeWords(t *testing.T) {
	for _, kind := range append(relay.NoticeKinds(), relay.NoticeTest) {
		title, text, ok := templates.Notice(templates.English, kind, "https://home.relay.example/")
		if !ok || title != "cliplease" || !strings.HasSuffix(text, ".\nhttps://home.relay.example/") || strings.ContainsAny(text, "{}%") {
			t.Errorf("%s: %q, %q, %t", kind, title, text, ok)
		}
	}
	if _, _, ok := templates.Notice(templates.English, "weather", ""); ok {
		t.Error("there are words for nothing")
	}
}

func TestIsPublic(t *testing.T) {
	for address, want := range map[string]bool{
		"93.184.216.34": true, "2606:2800:220:1::1": true, "127.0.0.1": false, "::1": false, "10.1.2.3": false, "172.16.0.1": false, "192.168.1.1": false,
		"169.254.169.254": false, "100.64.0.1": false, "0.0.0.0": false, "::": false, "224.0.0.1": false, "255.255.255.255": false, "fe80::1": false, "fd00::1": false,
		"::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "64:ff9b::7f00:1": false, "2002:7f00:1::": false, "198.18.0.1": false,
	} {
		if got := isPublic(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s is public: %t", address, got)
		}
	}
}
