package driver

import (
	"context"
	"fmt"
	"io"
	"strings"
)

// Recipient is who was sent a link, in a browser of their own.
type Recipient struct {
	*Browser
	Masked string // the mailbox that a code would go to, as the page shows it
	Media  string // path of the clip, once the code was right
}

// Open opens a link as it came by mail.
func (r *Relay) Open(ctx context.Context, link string) (*Recipient, error) {
	page, token, ok := strings.Cut(link, "#")
	if !ok || page != r.Site.View+"/r" {
		return nil, fmt.Errorf("%q is no link of this relay", page)
	}
	v := &Recipient{Browser: r.Browser(r.Site.View)}
	if _, err := v.Get(ctx, "/r"); err != nil {
		return nil, err
	}
	var out struct {
		Masked string `json:"masked"`
	}
	err := v.Post(ctx, "/r/open", map[string]string{"t": token}, &out)
	v.Masked = out.Masked
	return v, err
}

// AskCode has a code mailed to the recipient.
func (v *Recipient) AskCode(ctx context.Context) error {
	return v.Post(ctx, "/r/code", struct{}{}, nil)
}

// Verify proves that the mailed code arrived, and uses one view.
func (v *Recipient) Verify(ctx context.Context, code string) error {
	var out struct {
		Media string `json:"media"`
	}
	if err := v.Post(ctx, "/r/verify", map[string]string{"code": code}, &out); err != nil {
		return err
	}
	v.Media = out.Media
	return nil
}

// Play fetches the clip as [Browser.Play] does.
func (v *Recipient) Play(ctx context.Context, w io.Writer) (Played, error) {
	return v.Browser.Play(ctx, v.Media, w)
}
