package driver

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"regexp"
	"slices"
	"strings"

	"cliplease/test/servers"
)

// Letter is a mail as its reader sees it.
type Letter struct {
	To      string
	Subject string
	Text    string
	HTML    string
	TLS     bool // it came over an encrypted connection
}

// ReadMail takes a mail apart.
func ReadMail(m servers.Mail) (l Letter, err error) {
	msg, err := netmail.ReadMessage(bytes.NewReader(m.Data))
	if err != nil {
		return l, fmt.Errorf("mail: %w", err)
	}
	if l.Subject, err = new(mime.WordDecoder).DecodeHeader(msg.Header.Get("Subject")); err != nil {
		return l, fmt.Errorf("mail: %w", err)
	}
	l.To, l.TLS = strings.Join(m.To, ", "), m.TLS
	return l, l.part(msg.Header.Get("Content-Type"), msg.Header.Get("Content-Transfer-Encoding"), msg.Body)
}

func (l *Letter) part(contentType, encoding string, body io.Reader) error {
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return fmt.Errorf("mail: %w", err)
	}
	if strings.HasPrefix(kind, "multipart/") {
		parts := multipart.NewReader(body, params["boundary"])
		for {
			p, err := parts.NextRawPart()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("mail: %w", err)
			}
			if err := l.part(p.Header.Get("Content-Type"), p.Header.Get("Content-Transfer-Encoding"), p); err != nil {
				return err
			}
		}
	}
	switch strings.ToLower(encoding) {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	text, err := io.ReadAll(body)
	if err != nil {
		return fmt.Errorf("mail: %w", err)
	}
	switch kind {
	case "text/plain":
		l.Text += string(text)
	case "text/html":
		l.HTML += string(text)
	default:
		return fmt.Errorf("mail: a part of kind %s, which no mail of ours has", kind)
	}
	return nil
}

// AwaitMail waits for the first mail to an address that match accepts.
func (r *Relay) AwaitMail(ctx context.Context, to string, match func(Letter) bool) (l Letter, err error) {
	_, err = r.Mail.Wait(ctx, func(m servers.Mail) bool {
		if !slices.Contains(m.To, to) {
			return false
		}
		var broken error
		if l, broken = ReadMail(m); broken != nil {
			return false
		}
		return match(l)
	})
	if err != nil {
		err = fmt.Errorf("no mail came to %s: %w", to, err)
	}
	return l, err
}

var (
	linkPattern = regexp.MustCompile(`https?://[^\s"<>]+#[A-Za-z0-9._-]+`)
	codePattern = regexp.MustCompile(`(?m)\b[A-Z2-7]{4}[ -]?[A-Z2-7]{4}\b`)
)

// Link is the link in a mail, or "".
func (l Letter) Link() string { return linkPattern.FindString(l.Text) }

// Code is the one-time code in a mail, or "".
func (l Letter) Code() string {
	if l.Link() != "" {
		return ""
	}
	return codePattern.FindString(l.Text)
}

// AwaitLink waits for the mail that brings a recipient's link and that is not among the links
// known already.
func (r *Relay) AwaitLink(ctx context.Context, to string, known ...string) (string, error) {
	l, err := r.AwaitMail(ctx, to, func(l Letter) bool {
		return strings.HasPrefix(l.Link(), r.Site.View+"/r#") && !slices.Contains(known, l.Link())
	})
	return l.Link(), err
}

// AwaitCode waits for the mail that brings a code that is not among those known already.
func (r *Relay) AwaitCode(ctx context.Context, to string, known ...string) (string, error) {
	l, err := r.AwaitMail(ctx, to, func(l Letter) bool { return l.Code() != "" && !slices.Contains(known, l.Code()) })
	return l.Code(), err
}

// Watch opens a link, has a code mailed, and enters it: the clip can be played then.
func (r *Relay) Watch(ctx context.Context, link, mailbox string, known ...string) (*Recipient, error) {
	v, err := r.Open(ctx, link)
	if err != nil {
		return nil, err
	}
	if err := v.AskCode(ctx); err != nil {
		return nil, err
	}
	code, err := r.AwaitCode(ctx, mailbox, known...)
	if err != nil {
		return nil, err
	}
	return v, v.Verify(ctx, code)
}
