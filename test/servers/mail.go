package servers

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// Mail is one message that the sink took.
type Mail struct {
	From string   // of the envelope
	To   []string // of the envelope
	Data []byte   // header and body as sent
	TLS  bool     // it came over an encrypted connection
	User string   // who signed in; empty when nobody did
}

// Answer is what the sink does with a message.
type Answer int

// The answers. The codes are SMTP's.
const (
	Accept Answer = 0   // keep it
	Later  Answer = 451 // a fault that may pass
	Never  Answer = 550 // no such mailbox
	Refuse Answer = -1  // end the connection without a word
)

// MailSink is an SMTP server that keeps what it is sent. It offers STARTTLS under a
// certificate for "localhost" and 127.0.0.1 from an authority of its own, and takes mail
// with and without it and with and without signing in; [Mail] says which it was.
type MailSink struct {
	Addr     string // "127.0.0.1:port"
	CA       []byte // the authority's certificate, PEM
	User     string // signing in needs TLS and these two
	Password string

	server *smtp.Server

	mu      sync.Mutex
	mails   []Mail
	answer  Answer
	arrived chan struct{} // closed and replaced with every mail
}

// StartMailSink starts a mail sink that accepts everything.
func StartMailSink() (*MailSink, error) {
	authority, cert, err := selfMade()
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &MailSink{Addr: listener.Addr().String(), CA: authority, User: "relay", Password: rand.Text(), arrived: make(chan struct{})}
	s.server = smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		if s.current() == Refuse {
			c.Conn().Close()
			return nil, errors.New("refused")
		}
		return &mailSession{sink: s, conn: c}, nil
	}))
	s.server.Domain = "localhost"
	s.server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	s.server.MaxMessageBytes = 16 << 20
	s.server.EnableSMTPUTF8 = true
	s.server.ReadTimeout, s.server.WriteTimeout = time.Minute, time.Minute
	s.server.ErrorLog = quiet{}
	go s.server.Serve(listener)
	return s, nil
}

// Answer sets what the sink does with messages from now on.
func (s *MailSink) Answer(a Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = a
}

// Mails returns all mail so far, in the order of arrival.
func (s *MailSink) Mails() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mails)
}

// Wait returns the first mail for which match says yes, as soon as there is one.
func (s *MailSink) Wait(ctx context.Context, match func(Mail) bool) (Mail, error) {
	for seen := 0; ; {
		s.mu.Lock()
		mails, arrived := s.mails, s.arrived
		s.mu.Unlock()
		for ; seen < len(mails); seen++ {
			if match(mails[seen]) {
				return mails[seen], nil
			}
		}
		select {
		case <-arrived:
		case <-ctx.Done():
			return Mail{}, ctx.Err()
		}
	}
}

// Stop ends the sink and its connections.
func (s *MailSink) Stop() { s.server.Close() }

func (s *MailSink) current() Answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.answer
}

// mailSession is one connection.
type mailSession struct {
	sink *MailSink
	conn *smtp.Conn
	mail Mail
}

func (m *mailSession) AuthMechanisms() []string { return []string{sasl.Plain} }

func (m *mailSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != m.sink.User || password != m.sink.Password {
			return smtp.ErrAuthFailed
		}
		m.mail.User = user
		return nil
	}), nil
}

func (m *mailSession) Mail(from string, _ *smtp.MailOptions) error {
	m.mail.From = from
	return nil
}

func (m *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	switch m.sink.current() {
	case Accept:
	case Later:
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "Try again later"}
	case Never:
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "No such mailbox"}
	case Refuse:
		m.conn.Conn().Close()
		return errors.New("refused")
	}
	m.mail.To = append(m.mail.To, to)
	return nil
}

func (m *mailSession) Data(r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	m.mail.Data = data
	_, m.mail.TLS = m.conn.TLSConnectionState()
	s := m.sink
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mails = append(s.mails, m.mail)
	close(s.arrived)
	s.arrived = make(chan struct{})
	return nil
}

func (m *mailSession) Reset()        { m.mail = Mail{User: m.mail.User} }
func (m *mailSession) Logout() error { return nil }

// quiet drops what the SMTP server says of broken connections, which tests cause on purpose.
type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

// selfMade makes a certificate authority and a certificate of it for this machine.
func selfMade() (authority []byte, _ tls.Certificate, err error) {
	var none tls.Certificate
	now := time.Now()
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, none, err
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "cliplease test authority"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return nil, none, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, none, err
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"},
		NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey)
	if err != nil {
		return nil, none, err
	}
	var b bytes.Buffer
	if err := pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: caDER}); err != nil {
		return nil, none, err
	}
	return b.Bytes(), tls.Certificate{Certificate: [][]byte{leafDER}, PrivateKey: key}, nil
}
