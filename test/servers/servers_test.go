package servers

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

func TestMinIO(t *testing.T) {
	m, err := StartMinIO(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Stop()
	resp, err := http.Get("http://" + m.Endpoint + "/minio/health/live")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	m.Stop()
	if _, err := os.Stat(m.Data()); !os.IsNotExist(err) {
		t.Errorf("data after Stop: %v", err)
	}
	if conn, err := net.Dial("tcp", m.Endpoint); err == nil {
		conn.Close()
		t.Error("it listens after Stop")
	}
}

func TestMissingMinIO(t *testing.T) {
	t.Setenv("CLIPLEASE_TEST_MINIO", "")
	if _, err := StartMinIO(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "CLIPLEASE_TEST_MINIO") {
		t.Errorf("error %v names no variable to set", err)
	}
	if _, err := StartMinIO(t.Context(), "/nowhere/minio"); err == nil || !strings.Contains(err.Error(), "/nowhere/minio") {
		t.Errorf("error %v does not name the program", err)
	}
}

func TestPostgres(t *testing.T) {
	p, err := StartPostgres(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	first, err := p.Database(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	second, err := p.Database(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if first == second {
		t.Error("two calls gave one database")
	}
	for _, address := range []string{first, second} {
		if err := p.run(t.Context(), "psql", "--no-psqlrc", "--command", "CREATE TABLE t (x int)", address); err != nil {
			t.Error(err)
		}
	}
	dir := p.dir
	p.Stop()
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("data after Stop: %v", err)
	}
}

func TestMailSink(t *testing.T) {
	s, err := StartMailSink()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.CA)
	send := func(roots *x509.CertPool, auth sasl.Client) error {
		c, err := smtp.DialStartTLS(s.Addr, &tls.Config{RootCAs: roots, ServerName: "localhost"})
		if err != nil {
			return err
		}
		defer c.Close()
		if auth != nil {
			if err := c.Auth(auth); err != nil {
				return err
			}
		}
		return c.SendMail("relay@home.example", []string{"clerk@agency.example"}, strings.NewReader("Subject: hello\r\n\r\nthe link\r\n"))
	}
	code := func(err error) int {
		var e *smtp.SMTPError
		errors.As(err, &e)
		if e == nil {
			return 0
		}
		return e.Code
	}

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	waited := make(chan Mail, 1)
	go func() {
		m, _ := s.Wait(ctx, func(m Mail) bool { return strings.Contains(string(m.Data), "hello") })
		waited <- m
	}()
	if err := send(roots, sasl.NewPlainClient("", s.User, s.Password)); err != nil {
		t.Fatal(err)
	}
	m := <-waited
	if m.From != "relay@home.example" || len(m.To) != 1 || m.To[0] != "clerk@agency.example" || !m.TLS || m.User != s.User {
		t.Errorf("mail %+v", m)
	}
	if err := send(nil, nil); err == nil {
		t.Error("a client that does not know the authority sent a mail")
	}
	if err := send(roots, sasl.NewPlainClient("", s.User, "wrong")); code(err) != 535 {
		t.Errorf("wrong password: %v", err)
	}
	for _, answer := range []Answer{Later, Never} {
		s.Answer(answer)
		if err := send(roots, nil); code(err) != int(answer) {
			t.Errorf("answer %d: %v", answer, err)
		}
	}
	s.Answer(Refuse)
	if err := send(roots, nil); err == nil || code(err) != 0 {
		t.Errorf("refused: %v", err)
	}
	s.Answer(Accept)
	if err := send(roots, nil); err != nil {
		t.Error(err)
	}
	if got := len(s.Mails()); got != 2 {
		t.Errorf("%d mails kept, want 2", got)
	}
}
