package worker

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/storage"
	"cliplease/test/servers"
)

// sink starts a mail server and says how to reach it: STARTTLS, signed in.
func sink(t *testing.T) (*servers.MailSink, SMTPConfig) {
	t.Helper()
	s, err := servers.StartMailSink()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	host, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, s.CA, 0o600); err != nil {
		t.Fatal(err)
	}
	return s, SMTPConfig{Host: host, Port: n, Security: "starttls", Username: s.User, Password: s.Password, From: "Relay <relay@home.example>", CA: ca}
}

// wait returns the first mail to address that the sink took.
func wait(t *testing.T, s *servers.MailSink, address string) servers.Mail {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	m, err := s.Wait(ctx, func(m servers.Mail) bool { return len(m.To) == 1 && m.To[0] == address })
	if err != nil {
		t.Fatalf("no mail to %s: %v", address, err)
	}
	return m
}

// text undoes the line ends of quoted-printable.
func text(m servers.Mail) string {
	return strings.NewReplacer("=\r\n", "", "=3D", "=").Replace(string(m.Data))
}

func TestMail(t *testing.T) {
	h := newHome(t)
	s, smtp := sink(t)
	rel, q := h.leases()
	cfg := h.config()
	cfg.SMTP = smtp
	w := h.works(cfg)
	m := wait(t, s, "det@pd.example")
	if !m.TLS || m.User != s.User || m.From != "relay@home.example" {
		t.Errorf("from %s by %q over TLS: %t", m.From, m.User, m.TLS)
	}
	for _, part := range []string{"Subject: ", "Auto-Submitted: auto-generated", "multipart/alternative", "text/html", site.View + "/r#token-" + rel.Copies[0].ID} {
		if !strings.Contains(text(m), part) {
			t.Errorf("the mail lacks %q:\n%s", part, m.Data)
		}
	}
	wait(t, s, "sgt@pd.example")
	wait(t, s, h.member.Email)
	h.await("all mail is recorded as sent", func() bool {
		return h.mail(rel.ID, "link", "det@pd.example").State == "sent" && h.mail(rel.ID, "link", "sgt@pd.example").State == "sent" && h.mail(q.ID, "released", h.member.Email).State == "sent"
	})
	h.stops(w)
	for _, id := range h.keys() {
		if strings.HasPrefix(id, "m") {
			t.Errorf("the key of a sent mail's secret is still there: %s", id)
		}
	}
	if b := h.log.Bytes(); bytes.Contains(b, []byte("pd.example")) || bytes.Contains(b, []byte("token-")) {
		t.Errorf("the log holds an address or a token:\n%s", b)
	}
}

// TestMailLater: what the server may take later is tried again, what it never takes is not.
func TestMailLater(t *testing.T) {
	h := newHome(t)
	s, smtp := sink(t)
	s.Answer(servers.Later)
	rel, _ := h.leases()
	cfg := h.config()
	cfg.SMTP = smtp
	w := h.works(cfg)
	h.await("the answer is kept", func() bool {
		m := h.mail(rel.ID, "link", "det@pd.example")
		return m.State == "waiting" && strings.Contains(m.Failure, "Try again later")
	})
	s.Answer(servers.Refuse)
	h.await("a server that hangs up is a fault that may pass", func() bool {
		m := h.mail(rel.ID, "link", "det@pd.example")
		return m.State == "waiting" && strings.Contains(m.Failure, "the mail server cannot be used")
	})
	s.Answer(servers.Accept)
	wait(t, s, "det@pd.example")
	wait(t, s, "sgt@pd.example")
	h.await("it is recorded", func() bool { return h.mail(rel.ID, "link", "det@pd.example").State == "sent" })

	s.Answer(servers.Never)
	rel, _ = h.leases()
	h.await("a mailbox that does not exist is recorded", func() bool {
		m := h.mail(rel.ID, "link", "det@pd.example")
		return m.State == "failed" && strings.Contains(m.Failure, "No such mailbox")
	})
	if n := len(s.Mails()); n < 3 {
		t.Errorf("the sink has %d mails", n)
	}
	h.stops(w)
	if b := h.log.Bytes(); bytes.Contains(b, []byte("pd.example")) {
		t.Errorf("the log holds an address:\n%s", b)
	}
}

// TestMailWaits: without a mail server, and with one that is not who it says it is, mail waits;
// it leaves as soon as that is put right.
func TestMailWaits(t *testing.T) {
	h := newHome(t)
	rel, _ := h.leases()
	w := h.works(h.config())
	waits := func(why string) func() bool {
		return func() bool {
			m := h.mail(rel.ID, "link", "det@pd.example")
			return m.State == "waiting" && strings.Contains(m.Failure, why)
		}
	}
	h.await("the mail waits for a server", waits(noServer))
	h.stops(w)

	s, smtp := sink(t)
	cfg := h.config()
	cfg.SMTP = smtp
	cfg.SMTP.CA = ""
	w = h.works(cfg)
	h.await("a certificate of nobody is refused", waits("certificate"))
	h.stops(w)
	cfg.SMTP = smtp
	cfg.SMTP.Password = "wrong"
	w = h.works(cfg)
	h.await("a wrong password is no reason to give up", waits("535"))
	h.stops(w)
	if n := len(s.Mails()); n != 0 {
		t.Fatalf("%d mails left in the meantime", n)
	}
	cfg.SMTP = smtp
	h.works(cfg)
	wait(t, s, "det@pd.example")
}

// TestMailPointless: no link is sent to what is over.
func TestMailPointless(t *testing.T) {
	h := newHome(t)
	s, smtp := sink(t)
	ended, _ := h.leases()
	h.ok(h.DB.RevokeRelease(t.Context(), ended.ID, h.member.ID, "", h.watch.now()))
	half, _ := h.leases()
	links, err := h.DB.LinksOf(t.Context(), half.ID)
	h.ok(err)
	for _, l := range links {
		if l.CopyID == half.Copies[0].ID {
			h.ok(h.DB.RevokeLink(t.Context(), l.ID, h.member.ID, h.watch.now()))
		}
	}
	late := "late@home.example"
	h.ok(h.DB.QueueMail(t.Context(), storage.Mail{Kind: "invitation", Address: late, Secret: site.Home + "/join#x", Subject: "late", ExpiresAt: h.watch.now().Add(-time.Second)}, h.watch.now()))
	cfg := h.config()
	cfg.SMTP = smtp
	h.works(cfg)
	h.await("all is recorded", func() bool {
		for _, id := range []string{ended.ID, half.ID, "late"} {
			mails, err := h.DB.MailAbout(t.Context(), id)
			h.ok(err)
			for _, m := range mails {
				if m.State == "waiting" {
					return false
				}
			}
		}
		return true
	})
	for _, m := range []storage.Mail{h.mail(ended.ID, "link", "det@pd.example"), h.mail(ended.ID, "link", "sgt@pd.example"), h.mail(half.ID, "link", "det@pd.example")} {
		if m.State != "failed" || !strings.Contains(m.Failure, "access had ended") {
			t.Errorf("mail %+v", m)
		}
	}
	if m := h.mail(half.ID, "link", "sgt@pd.example"); m.State != "sent" {
		t.Errorf("the other recipient's mail: %+v", m)
	}
	if m := h.mail("late", "invitation", late); m.State != "failed" || !strings.Contains(m.Failure, "in time") {
		t.Errorf("the late mail: %+v", m)
	}
	if m := h.mail(ended.ID, "over", "det@pd.example"); m.State != "sent" {
		t.Errorf("the notice of the end: %+v", m)
	}
	for _, m := range s.Mails() {
		if strings.Contains(text(m), "token-"+ended.Copies[0].ID) || strings.Contains(text(m), "token-"+half.Copies[0].ID) {
			t.Error("a link to what is over was sent")
		}
	}
}

func TestNotify(t *testing.T) {
	h := newHome(t)
	s, smtp := sink(t)
	q := h.asks(relay.Clip{Start: h.watch.now().Add(-time.Hour), Duration: time.Minute})
	cfg := h.config()
	cfg.SMTP = smtp
	h.works(cfg)
	m := wait(t, s, h.member.Email)
	for _, secret := range []string{"EPD-2026-1", "Exampleville", "det@pd.example"} {
		if strings.Contains(text(m), secret) {
			t.Errorf("the notice gives away %q", secret)
		}
	}
	// The job again, as after a crash, tells nobody twice.
	h.ok(h.DB.Enqueue(t.Context(), storage.NotifyJob{RequestID: q.ID}))
	h.ok(h.DB.Enqueue(t.Context(), storage.NotifyJob{RequestID: "none"}))
	other := h.asks(relay.Clip{Start: h.watch.now().Add(-time.Hour), Duration: time.Minute})
	h.await("the next request is told", func() bool { mails, err := h.DB.MailAbout(t.Context(), other.ID); return err == nil && len(mails) == 1 })
	if mails, err := h.DB.MailAbout(t.Context(), q.ID); err != nil || len(mails) != 1 {
		t.Errorf("%d notices of one request, %v", len(mails), err)
	}
}

func TestSMTPConfig(t *testing.T) {
	good := SMTPConfig{Host: "mail.example", From: "relay@home.example"}
	for name, change := range map[string]func(*SMTPConfig){
		"no sender":            func(c *SMTPConfig) { c.From = "" },
		"unencrypted, far":     func(c *SMTPConfig) { c.Security = "none" },
		"unknown security":     func(c *SMTPConfig) { c.Security = "ssl" },
		"authority is missing": func(c *SMTPConfig) { c.CA = "/nowhere" },
	} {
		c := good
		change(&c)
		if c.check() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, c := range []SMTPConfig{{}, good, {Host: "127.0.0.1", Port: 25, Security: "none", From: "relay@localhost"}, {Host: "mail.example", Port: 465, Security: "tls", From: "a@b.example"}} {
		if err := c.check(); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
