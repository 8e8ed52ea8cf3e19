package view

import (
	"crypto/hmac"
	"crypto/rand"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"cliplease/relay"
	"cliplease/server/token"
	"cliplease/storage"
	"cliplease/templates"

	"github.com/gin-gonic/gin"
)

// Open handles POST /r/open: the link's token for a session of this browser. It changes
// nothing else, since programs that scan mail come this far.
func (s *Server) Open(c *gin.Context) error {
	var form struct {
		Token string `json:"t"`
	}
	if err := read(c, &form); err != nil {
		return err
	}
	now := s.now()
	// A token that is wrong or too old costs the same look into the database as a good one.
	jti, invalid := token.ParseLink(s.store.Identity, s.site, form.Token, now)
	if invalid != nil {
		jti = form.Token
	}
	o, err := s.store.DB.LinkByToken(c.Request.Context(), token.LinkHash(jti))
	if err != nil && !errors.Is(err, relay.ErrNotFound) {
		return err
	}
	if err != nil || invalid != nil || o.Link.Usable(o.Release, now) != nil || o.Copy.Recipient.Kind != relay.RecipientEmail {
		return notAvailable(c)
	}
	cookie, hash := secret()
	err = s.store.DB.StartPre(c.Request.Context(), storage.ViewSession{
		TokenHash: hash, LinkID: o.Link.ID, Kind: "pre", CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(relay.CodeLife),
	})
	if err != nil {
		return err
	}
	setCookie(c, preCookie, cookie, relay.CodeLife)
	c.JSON(http.StatusOK, gin.H{"masked": relay.MaskAddr(o.Copy.Recipient.Addr), "until": relay.Stamp(until(o))})
	return nil
}

// Code handles POST /r/code: it mails a code to the address of the grant, never to one that
// somebody typed.
func (s *Server) Code(c *gin.Context) error {
	now := s.now()
	o, err := s.session(c.Request.Context(), c.Request, "pre", now)
	if err != nil {
		return answer(c, err)
	}
	code := rand.Text()[:8] // base32, 40 bits
	minutes := strconv.Itoa(int(relay.CodeLife.Minutes()))
	err = s.store.DB.SendCode(c.Request.Context(), o, code, s.mac(o, code), map[string]string{"name": o.Copy.Recipient.Name, "minutes": minutes, "lang": string(templates.Spoken(c.Request.Context()))}, now)
	switch {
	case errors.Is(err, relay.ErrPolicy):
		c.JSON(http.StatusTooManyRequests, gin.H{"error": templates.Spoken(c.Request.Context()).T("Three codes were sent within the hour. Look for them in your mailbox, also among unwanted mail; another can be sent in an hour.")})
		return nil
	case errors.Is(err, relay.ErrConflict), errors.Is(err, relay.ErrNotFound): // it ended in the meantime
		return notAvailable(c)
	case err != nil:
		return err
	}
	cookie, err := c.Request.Cookie(preCookie)
	if err != nil {
		return err
	}
	setCookie(c, preCookie, cookie.Value, relay.CodeLife)
	c.JSON(http.StatusOK, gin.H{"masked": relay.MaskAddr(o.Copy.Recipient.Addr), "minutes": int(relay.CodeLife.Minutes())})
	return nil
}

// Verify handles POST /r/verify: the right code uses up one view and starts it.
func (s *Server) Verify(c *gin.Context) error {
	var form struct {
		Code string `json:"code"`
	}
	if err := read(c, &form); err != nil {
		return err
	}
	ctx, now := c.Request.Context(), s.now()
	o, err := s.session(ctx, c.Request, "pre", now)
	if err != nil {
		return answer(c, err)
	}
	if err := s.store.DB.TryCode(ctx, o.Session.TokenHash, now); errors.Is(err, relay.ErrNotFound) {
		return relay.Invalid("code", "This code is used up or too old. Ask for another one.")
	} else if err != nil {
		return err
	}
	typed := strings.ToUpper(strings.NewReplacer(" ", "", "-", "").Replace(strings.TrimSpace(form.Code)))
	if !hmac.Equal([]byte(s.mac(o, typed)), []byte(o.Session.CodeMAC)) {
		if err := s.store.DB.RefuseCode(ctx, o, now); err != nil {
			return err
		}
		if left := relay.CodeTries - o.Session.CodeTries - 1; left > 0 {
			return relay.Invalid("code", "This is not the code in the newest mail. Tries left: %d.", left)
		}
		return relay.Invalid("code", "This was not the code, and the last try. Ask for another one.")
	}
	// The file is read once from end to end before a view is used up: what is missing,
	// changed or out of reach costs the recipient nothing.
	if err := s.media.Verify(ctx, s.file(o)); err != nil {
		return answer(c, err)
	}
	cookie, hash := secret()
	view := storage.ViewSession{
		TokenHash: hash, LinkID: o.Link.ID, Kind: "view", MediaPath: relay.NewID(), CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(relay.ViewLife),
	}
	if end := until(o); end.Before(view.ExpiresAt) {
		view.ExpiresAt = end
	}
	if err := s.store.DB.StartView(ctx, o, view, now); err != nil {
		return answer(c, err)
	}
	setCookie(c, preCookie, "", 0)
	setCookie(c, viewCookie, cookie, view.ExpiresAt.Sub(now))
	c.JSON(http.StatusOK, gin.H{"location": "/watch", "media": "/m/" + view.MediaPath})
	return nil
}
