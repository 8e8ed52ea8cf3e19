package worker

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"os"
	"slices"
	"strings"
	"time"

	"cliplease/relay"
	"cliplease/storage"
	"cliplease/storage/fault"
	"cliplease/templates"

	"github.com/riverqueue/river"
	"github.com/wneessen/go-mail"
)

// SMTPConfig says how mail leaves.
type SMTPConfig struct {
	Host     string // empty: no mail leaves, it waits in the outbox
	Port     int    // default 587
	Security string // "starttls" (default), "tls" or "none"; none only for a server on this machine
	Username string // empty: do not sign in
	Password string
	From     string // address, or a name with an address in angle brackets
	CA       string // PEM file of a certificate authority besides the system's
}

func (c SMTPConfig) check() error {
	if c.Host == "" {
		return nil
	}
	if _, err := netmail.ParseAddress(c.From); err != nil {
		return fmt.Errorf("smtp: %q is no address to send from: %w", c.From, err)
	}
	if c.Security == "none" && c.Host != "localhost" && !net.ParseIP(c.Host).IsLoopback() {
		return fmt.Errorf("smtp: mail to %s would leave this machine unencrypted; use starttls or tls", c.Host)
	}
	_, err := c.client()
	return err
}

// client makes a client for one connection.
func (c SMTPConfig) client() (*mail.Client, error) {
	port := c.Port
	if port == 0 {
		port = mail.DefaultPortTLS
	}
	secure := &tls.Config{ServerName: c.Host, MinVersion: tls.VersionTLS12}
	if c.CA != "" {
		pem, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, fmt.Errorf("smtp: %w", err)
		}
		if secure.RootCAs, err = x509.SystemCertPool(); err != nil {
			secure.RootCAs = x509.NewCertPool()
		}
		if !secure.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("smtp: %s holds no certificate; it must be PEM", c.CA)
		}
	}
	options := []mail.Option{mail.WithPort(port), mail.WithTLSConfig(secure), mail.WithTimeout(30 * time.Second)}
	switch c.Security {
	case "", "starttls":
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	case "tls":
		options = append(options, mail.WithSSL())
	case "none":
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	default:
		return nil, fmt.Errorf("smtp: %q is no kind of security; use starttls, tls or none", c.Security)
	}
	if c.Username != "" {
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(c.Username), mail.WithPassword(c.Password))
	}
	return mail.NewClient(c.Host, options...)
}

// mailWorker sends one mail of the outbox.
type mailWorker struct {
	river.WorkerDefaults[storage.MailJob]
	*Worker
}

// Timeout bounds one attempt.
func (*mailWorker) Timeout(*river.Job[storage.MailJob]) time.Duration { return officeFor }

// noServer is what a mail waits for while no mail server is set.
const noServer = "No mail server is set."

// Work sends the mail, or says when to try again. A mail is tried until its time is over. A
// crash between the server's yes and the record of it sends the mail twice: the same link and
// no further view.
func (w *mailWorker) Work(ctx context.Context, job *river.Job[storage.MailJob]) error {
	m, err := w.Store.DB.WaitingMail(ctx, job.Args.MailID)
	switch {
	case errors.Is(err, relay.ErrNotFound) && m.ID == "": // sent before
		return nil
	case errors.Is(err, relay.ErrNotFound):
		return w.done(ctx, m, "Its link or code was destroyed.")
	case err != nil:
		return err
	}
	now := w.Now()
	if !now.Before(m.ExpiresAt) {
		return w.done(ctx, m, strings.TrimSpace("It could not be sent in time. "+m.Failure))
	}
	if over, err := w.pointless(ctx, m, now); err != nil {
		return err
	} else if over {
		return w.done(ctx, m, "It was not sent, because access had ended.")
	}
	var answer string
	if w.SMTP.Host == "" {
		answer = noServer
	} else {
		fault.Point("mail leaves: " + m.Kind)
		err := w.send(ctx, m)
		fault.Point("mail left: " + m.Kind)
		if err == nil {
			return w.done(ctx, m, "")
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var refused *mail.SendError
		if errors.As(err, &refused) && forGood(refused.ErrorCode()) {
			w.Log.Warn("a mail was refused", "mail", m.ID, "kind", m.Kind, "code", refused.ErrorCode())
			return w.done(ctx, m, err.Error())
		}
		w.Log.Warn("a mail could not be sent; it is tried again", "mail", m.ID, "kind", m.Kind, "error", loggable(err))
		answer = err.Error()
	}
	if answer != m.Failure {
		if err := w.Store.DB.MailTried(ctx, m.ID, answer); err != nil {
			return err
		}
	}
	// Not by attempts, of which there are only so many: by age. Soon at first, then every
	// quarter of an hour.
	return river.JobSnooze(min(max(now.Sub(m.CreatedAt)/4, 2*time.Second), 15*time.Minute))
}

func (w *mailWorker) done(ctx context.Context, m storage.Mail, failure string) error {
	stop, cancel := aside(ctx)
	defer cancel()
	err := w.Store.DB.MailDone(stop, m, failure, w.Now())
	if errors.Is(err, relay.ErrConflict) { // another attempt recorded it
		return nil
	}
	return err
}

// pointless reports whether m brings a link or a code to something that is over.
func (w *mailWorker) pointless(ctx context.Context, m storage.Mail, now time.Time) (bool, error) {
	if m.Kind != "link" && m.Kind != "code" {
		return false, nil
	}
	rel, err := w.Store.DB.Release(ctx, m.Subject)
	if err != nil {
		return false, err
	}
	links, err := w.Store.DB.LinksOf(ctx, rel.ID)
	if err != nil {
		return false, err
	}
	for _, l := range links {
		theirs := slices.ContainsFunc(rel.Copies, func(c relay.Copy) bool { return c.ID == l.CopyID && c.Recipient.Addr == m.Address })
		if theirs && l.Playable(rel, now) == nil {
			return false, nil
		}
	}
	return true, nil
}

// forGood reports whether a mail server's answer stands for ever. That it wants us to sign in,
// or does not believe that we are we, is for the operator to put right.
func forGood(code int) bool {
	return code >= 500 && !slices.Contains([]int{530, 534, 535, 538}, code)
}

// loggable is err without the addresses that a mail server's answer repeats.
func loggable(err error) string {
	var refused *mail.SendError
	if errors.As(err, &refused) {
		return fmt.Sprintf("%v, code %d", refused.Reason, refused.ErrorCode())
	}
	return err.Error()
}

// send hands m to the mail server.
func (w *mailWorker) send(ctx context.Context, m storage.Mail) error {
	subject, text, html, err := templates.Mail(m.Kind, templates.MailData{Lang: templates.Lang(m.Data["lang"]), Home: w.Site.Home, Values: m.Data, Secret: m.Secret})
	if err != nil {
		return err
	}
	msg := mail.NewMsg()
	if err := msg.From(w.SMTP.From); err != nil {
		return err
	}
	// As an address and not as text, so that nothing in it can become a second one.
	msg.ToMailAddress(&netmail.Address{Address: m.Address})
	msg.Subject(subject)
	msg.SetMessageIDWithValue(m.ID + "@" + w.Site.HomeHost()) // the same for every attempt
	msg.SetDateWithValue(w.Now())
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetBodyString(mail.TypeTextPlain, text)
	msg.AddAlternativeString(mail.TypeTextHTML, html)
	client, err := w.SMTP.client()
	if err != nil {
		return err
	}
	conn, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return fmt.Errorf("the mail server cannot be used: %w", err)
	}
	err = client.SendWithSMTPClient(conn, msg)
	if bye := client.CloseWithSMTPClient(conn); bye != nil {
		w.Log.Debug("the mail server did not say goodbye", "error", bye) // it has the mail all the same
	}
	return err
}
