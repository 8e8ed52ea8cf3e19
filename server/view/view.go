// Package view answers recipients: from the link in a mail to the player.
//
// The way in has four steps, and only a person's acts lead from one to the next. The link
// shows a page that is the same for all (Landing). Its script posts the token (Open), which
// starts a short session of that browser. A code is mailed to the granted address when it is
// asked for (Code), and works in that browser alone. The right code uses up one view and
// starts the session in which the footage can be watched (Verify, Watch, Media).
//
// Whatever is wrong with a link, the answer is the same.
package view

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"cliplease/relay"
	"cliplease/server/media"
	"cliplease/storage"
	"cliplease/templates"

	"github.com/gin-gonic/gin"
)

// The cookies of a recipient's browser: before and after the code.
const (
	preCookie  = "__Host-cliplease_pre"
	viewCookie = "__Host-cliplease_view"
)

// Config is what a [Server] needs.
type Config struct {
	Store *storage.Store
	Site  relay.Site
	Media *media.Server
	// Transparency puts the reports on what agencies asked there for everybody.
	Transparency bool
	Now          func() time.Time
	Log          *slog.Logger
}

// Server answers recipients.
type Server struct {
	store *storage.Store
	site  relay.Site
	media *media.Server
	now   func() time.Time
	log   *slog.Logger
	codes []byte // key of the MACs of codes
	open  bool   // the reports on transparency are
}

// New returns a server of the links in cfg.Store.
func New(cfg Config) *Server {
	return &Server{store: cfg.Store, site: cfg.Site, media: cfg.Media, now: cfg.Now, log: cfg.Log, codes: cfg.Store.Identity.Secret("codes"), open: cfg.Transparency}
}

// notAvailable is the one answer to everything that cannot be opened.
func notAvailable(c *gin.Context) error {
	c.JSON(http.StatusNotFound, gin.H{"error": "not_available"})
	return nil
}

// answer is notAvailable for what is not there or not any more, and a request to come back
// when it only cannot be read now. Faults stay errors.
func answer(c *gin.Context, err error) error {
	switch {
	case errors.Is(err, relay.ErrNotFound), errors.Is(err, storage.ErrTampered):
		return notAvailable(c)
	case errors.Is(err, media.ErrUnavailable):
		c.Header("Retry-After", "10")
		c.JSON(http.StatusServiceUnavailable, gin.H{"error": templates.Spoken(c.Request.Context()).T("The relay cannot read the footage now. Try again in a few minutes; no view was used up.")})
		return nil
	}
	return err
}

// secret returns a new 256-bit token for a cookie, and the hash of it that is stored.
func secret() (token, hash string) {
	b := make([]byte, 32)
	rand.Read(b) // never fails
	token = base64.RawURLEncoding.EncodeToString(b)
	return token, hashOf(token)
}

func hashOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// setCookie stores a cookie that no script reads and no other host gets. An empty value
// removes it.
func setCookie(c *gin.Context, name, value string, life time.Duration) {
	age := int(life.Seconds())
	if value == "" {
		age = -1
	}
	http.SetCookie(c.Writer, &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: age, Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode})
}

// session returns the session of kind that the browser has, if it may go on at now; anything
// else is [relay.ErrNotFound].
func (s *Server) session(ctx context.Context, r *http.Request, kind string, now time.Time) (o storage.Opened, err error) {
	name := preCookie
	if kind == "view" {
		name = viewCookie
	}
	cookie, err := r.Cookie(name)
	if err != nil {
		return o, relay.ErrNotFound
	}
	if o, err = s.store.DB.View(ctx, hashOf(cookie.Value), kind); err != nil {
		return o, err
	}
	if !now.Before(o.Session.ExpiresAt) {
		return o, relay.ErrNotFound
	}
	if kind == "pre" {
		return o, o.Link.Usable(o.Release, now)
	}
	if !now.Before(o.Session.SeenAt.Add(relay.ViewIdle)) {
		return o, relay.ErrNotFound
	}
	return o, o.Link.Playable(o.Release, now)
}

// read decodes a small JSON body into v. A member that v does not have, or more than one
// document, is bad input.
func read(c *gin.Context, v any) error {
	d := json.NewDecoder(http.MaxBytesReader(c.Writer, c.Request.Body, 8<<10))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil && d.More() {
		err = errors.New("more than one document")
	}
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return err
	}
	if err != nil {
		return relay.Invalid("", "Send one JSON document, such as the page sends.")
	}
	return nil
}

// Landing handles GET /r.
func (s *Server) Landing(c *gin.Context) error {
	return page(c, http.StatusOK, "view_landing", templates.NewViewLanding())
}

// Static handles GET /static/*file.
func (s *Server) Static(c *gin.Context) error {
	body, kind, ok := templates.Asset(strings.TrimPrefix(c.Param("file"), "/"))
	if !ok {
		return relay.ErrNotFound
	}
	c.Header("Cache-Control", "public, max-age=31536000, immutable") // the address changes with the content
	c.Data(http.StatusOK, kind, body)
	return nil
}

// page renders to a buffer first, so that a fault becomes an answer of its own.
func page(c *gin.Context, status int, name string, data any) error {
	var out bytes.Buffer
	if err := templates.Render(&out, templates.Spoken(c.Request.Context()), name, data); err != nil {
		return err
	}
	c.Data(status, "text/html; charset=utf-8", out.Bytes())
	return nil
}

// mac binds a code to the browser that asked for it and to its link.
func (s *Server) mac(o storage.Opened, code string) string {
	m := hmac.New(sha256.New, s.codes)
	m.Write([]byte(o.Session.TokenHash + "\x00" + o.Link.ID + "\x00" + code))
	return hex.EncodeToString(m.Sum(nil))
}
