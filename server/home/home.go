// Package home is the homeowner's web app: what a member of the home sees and does in a
// browser. Pages are rendered on the server; forms are sent as JSON by a small script, and
// answered with {"location": …} or with the field that is wrong.
package home

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"cliplease/relay"
	"cliplease/server/media"
	"cliplease/storage"
	"cliplease/templates"

	"github.com/gin-gonic/gin"
	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/tus/tusd/v2/pkg/handler"
)

// Config is what the web app needs.
type Config struct {
	Store     *storage.Store
	Site      relay.Site
	Media     *media.Server
	Version   string // of the program, written into grants
	Now       func() time.Time
	Log       *slog.Logger
	MaxUpload int64          // bytes of one clip
	Clock     *storage.Clock // nil: the machine's clock is not watched
	Watch     string         // holds the folders that cameras drop into; empty: none are watched

	NoticeHosts []string // of push and chat services, which the operator vouches for; see [relay.ParseService]
}

// Server holds the handlers. They return errors, which the server's router translates.
type Server struct {
	store       *storage.Store
	db          *storage.DB
	site        relay.Site
	media       *media.Server
	version     string
	now         func() time.Time
	log         *slog.Logger
	maxUpload   int64
	clock       *storage.Clock
	watch       string
	passkeys    *webauthn.WebAuthn
	noticeHosts []string
	tus         *handler.UnroutedHandler
}

// New builds the web app for the home host of cfg.Site.
func New(cfg Config) (*Server, error) {
	passkeys, err := webauthn.New(&webauthn.Config{
		RPID:          cfg.Site.HomeHost(),
		RPDisplayName: "cliplease at " + cfg.Site.Name,
		RPOrigins:     []string{cfg.Site.Home},
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey:      protocol.ResidentKeyRequirementRequired,
			UserVerification: protocol.VerificationRequired,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("passkeys for %s: %w", cfg.Site.Home, err)
	}
	s := &Server{
		store: cfg.Store, db: cfg.Store.DB, site: cfg.Site, media: cfg.Media, version: cfg.Version,
		now: cfg.Now, log: cfg.Log, maxUpload: cfg.MaxUpload, clock: cfg.Clock, watch: cfg.Watch, passkeys: passkeys, noticeHosts: cfg.NoticeHosts,
	}
	if s.tus, err = s.newTus(); err != nil {
		return nil, fmt.Errorf("uploads: %w", err)
	}
	return s, nil
}

// Static serves GET /static/*file: styles and scripts. Their addresses change with their
// content, so they may be kept.
func (s *Server) Static(c *gin.Context) error {
	body, mediaType, ok := templates.Asset(strings.TrimPrefix(c.Param("file"), "/"))
	if !ok {
		return relay.ErrNotFound
	}
	if c.Query("v") != "" {
		c.Header("Cache-Control", "public, max-age=31536000, immutable")
	}
	c.Data(http.StatusOK, mediaType, body)
	return nil
}

// maxForm is the most that a form may send, in bytes.
const maxForm = 256 << 10

// form reads the JSON that a page's form sent into v. Members that v does not have are refused.
func form(c *gin.Context, v any) error {
	body, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, maxForm))
	if err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return relay.Invalid("", "The form could not be read. Load the page again and retry.")
	}
	return nil
}

// follow answers a form: the page goes to location.
func follow(c *gin.Context, location string) error {
	c.JSON(http.StatusOK, gin.H{"location": location})
	return nil
}

// page renders a page.
func page(c *gin.Context, name string, data any) error {
	var out bytes.Buffer
	if err := templates.Render(&out, templates.Spoken(c.Request.Context()), name, data); err != nil {
		return err
	}
	c.Data(http.StatusOK, "text/html; charset=utf-8", out.Bytes())
	return nil
}

// layout fills what every page of a signed-in member shows around its content.
func (s *Server) layout(c *gin.Context, section, title string, scripts ...string) templates.Layout {
	m := member(c)
	l := templates.Layout{
		Title: title, Section: section, Member: m.Name, Role: roleWord(m.Role),
		See: m.Role.CanSee(), Manage: m.Role.CanManage(), Scripts: append([]string{"home.js"}, scripts...),
	}
	if l.See {
		waiting, err := s.waiting(c.Request.Context())
		if err != nil {
			s.log.Error("count waiting requests", "error", err) // the page is worth more than the number
		}
		l.Waiting = len(waiting)
	}
	return l
}

// waiting returns the requests that can still be answered and have no release yet, newest first.
func (s *Server) waiting(ctx context.Context) ([]relay.Request, error) {
	pending, err := s.db.Requests(ctx, relay.RequestPending, 500)
	if err != nil {
		return nil, err
	}
	var open []relay.Request
	for _, q := range pending {
		if q.Open(s.now()) && q.ReleasedAt.IsZero() {
			open = append(open, q)
		}
	}
	return open, nil
}

// zone is the zone that the member chose, else the home's.
func (s *Server) zone(ctx context.Context) *time.Location {
	if own, ok := ctx.Value(zoneKey{}).(*time.Location); ok {
		return own
	}
	return s.homeZone(ctx)
}

// homeZone is where the home is: the zone of its first camera, else the relay's own.
func (s *Server) homeZone(ctx context.Context) *time.Location {
	cameras, err := s.db.Cameras(ctx)
	if err != nil || len(cameras) == 0 {
		return time.Local
	}
	return location(cameras[0].Zone)
}

// location is the zone by its IANA name, or UTC when this machine does not know it.
func location(name string) *time.Location {
	l, err := time.LoadLocation(name)
	if err != nil {
		return time.UTC
	}
	return l
}

// in shows t in zone l; the zero time stays zero.
func in(t time.Time, l *time.Location) time.Time {
	if t.IsZero() {
		return t
	}
	return t.In(l)
}
