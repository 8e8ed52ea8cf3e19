// Package server is the relay as seen from outside: three hosts on one listener, told apart
// by name. All routes are on this page; what they do is in home, api and view.
package server

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"cliplease/relay"
	"cliplease/server/api"
	"cliplease/server/home"
	"cliplease/server/media"
	"cliplease/server/view"
	"cliplease/storage"

	"github.com/gin-gonic/gin"
)

type clock = func() time.Time

// Config is what a server needs.
type Config struct {
	Store     *storage.Store
	Site      relay.Site
	Version   string
	MaxUpload int64 // bytes of one clip
	// Ready looks at what the relay depends on, each by name.
	Ready func(context.Context) []Check
	Now   func() time.Time
	Log   *slog.Logger
	// Transparency puts the reports on what agencies asked on the recipients' host.
	Transparency bool
	// Clock says when nobody from outside may be let in; nil: never.
	Clock *storage.Clock
	// Watch holds the folders that cameras drop clips into, so that pages tell where and what was refused.
	Watch string
	// NoticeHosts are hosts of push and chat services that the operator vouches for.
	NoticeHosts []string
}

// Check is the state of one thing that the relay depends on.
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"`
}

// Server answers for all three hosts.
type Server struct {
	site  relay.Site
	ready func(context.Context) []Check
	log   *slog.Logger
	now   clock
	store *storage.Store
	clock *storage.Clock
	media *media.Server
	home  *home.Server
	api   *api.Server
	view  *view.Server
	hosts map[string]http.Handler
	// Routes lists every route with who may call it, for the test that walks them.
	Routes []Route
}

// Route is one route and who may call it.
type Route struct {
	Host, Method, Path string
	Who                string // "anyone", "link", "agency", "see", "sign", "revoke" or "manage"
}

// New builds the server. It opens nothing and listens to nothing.
func New(cfg Config) (*Server, error) {
	gin.SetMode(gin.ReleaseMode)
	s := &Server{site: cfg.Site, ready: cfg.Ready, log: cfg.Log, now: cfg.Now, store: cfg.Store, clock: cfg.Clock}
	s.media = media.New(media.Config{Store: cfg.Store, Now: cfg.Now, Log: cfg.Log})
	var err error
	if s.home, err = home.New(home.Config{Store: cfg.Store, Site: cfg.Site, Media: s.media, Version: cfg.Version, Now: cfg.Now, Log: cfg.Log, MaxUpload: cfg.MaxUpload, Clock: cfg.Clock, Watch: cfg.Watch, NoticeHosts: cfg.NoticeHosts}); err != nil {
		return nil, err
	}
	s.api = api.New(api.Config{Store: cfg.Store, Site: cfg.Site, Media: s.media, Now: cfg.Now, Log: cfg.Log})
	s.view = view.New(view.Config{Store: cfg.Store, Site: cfg.Site, Media: s.media, Transparency: cfg.Transparency, Now: cfg.Now, Log: cfg.Log})
	s.hosts = map[string]http.Handler{
		cfg.Site.HomeHost(): s.homeHost(),
		cfg.Site.APIHost():  s.apiHost(),
		cfg.Site.ViewHost(): s.viewHost(),
	}
	return s, nil
}

func (s *Server) homeHost() http.Handler {
	r := s.router("home", homeHeaders)
	h := s.home
	anyone := func(method, path string, f handler) { s.route(r, "home", method, path, "anyone", s.answer(f)) }
	see := s.members(r, "see", relay.Role.CanSee)
	sign := s.members(r, "sign", relay.Role.CanSign)
	revoke := s.members(r, "revoke", relay.Role.CanRevoke)
	manage := s.members(r, "manage", relay.Role.CanManage)
	signedIn := s.members(r, "member", func(relay.Role) bool { return true })

	anyone("POST", "/language", h.SetLanguage)
	anyone("GET", "/join", h.Join)
	anyone("POST", "/join/begin", h.JoinBegin)
	anyone("POST", "/join/finish", h.JoinFinish)
	anyone("GET", "/sign-in", h.SignIn)
	anyone("POST", "/sign-in/begin", h.SignInBegin)
	anyone("POST", "/sign-in/finish", h.SignInFinish)
	anyone("GET", "/recover", h.Recover)
	anyone("POST", "/recover/begin", h.RecoverBegin)
	anyone("POST", "/recover/finish", h.RecoverFinish)
	anyone("GET", "/static/*file", h.Static)
	signedIn("POST", "/sign-out", h.SignOut)

	see("GET", "/", h.Inbox)
	see("GET", "/requests", h.Requests)
	see("GET", "/requests/:id", h.Request)
	sign("POST", "/requests/:id/prepare", h.Prepare)
	see("POST", "/requests/:id/seen", h.Seen)
	see("POST", "/requests/:id/decline", h.Decline)
	see("POST", "/requests/:id/reconsider", h.Reconsider)
	sign("POST", "/requests/:id/called", h.CalledBack)
	manage("POST", "/requests/:id/hold/lift", h.LiftHold)

	see("GET", "/releases", h.Releases)
	see("GET", "/leases", h.Leases)
	see("GET", "/releases/:id", h.Release)
	see("GET", "/releases/:id/state", h.ReleaseState)
	see("GET", "/releases/:id/copies/:copy/video", h.CopyMedia)
	see("GET", "/releases/:id/original/video", h.ProxyMedia)
	see("GET", "/releases/:id/receipt", h.Receipt)
	see("GET", "/releases/:id/evidence.zip", h.Bundle)
	see("GET", "/releases/:id/custody.pdf", h.CustodyPDF)
	see("GET", "/releases/:id/custody.json", h.CustodyJSON)
	sign("POST", "/releases/:id/edit", h.Edit)
	sign("POST", "/releases/:id/discard", h.Discard)
	sign("POST", "/releases/:id/grant/begin", h.GrantBegin)
	sign("POST", "/releases/:id/grant/finish", h.GrantFinish)
	sign("POST", "/releases/:id/extend", h.Extend)
	revoke("POST", "/releases/:id/revoke", h.Revoke)
	revoke("POST", "/links/:id/revoke", h.RevokeLink)
	revoke("POST", "/links/:id/revoke-recipient", h.RevokeRecipient)
	revoke("POST", "/end-everything", h.EndEverything)

	see("GET", "/clips", h.Clips)
	see("GET", "/clips/:id/stills/:n", h.Still)
	sign("POST", "/uploads", h.BeginUpload)
	sign("HEAD", "/uploads/:id", h.UploadState)
	sign("PATCH", "/uploads/:id", h.ContinueUpload)
	sign("POST", "/uploads/:id/drop", h.DropUpload)
	manage("POST", "/clips/:id/dispose", h.DisposeClip)
	see("GET", "/cameras", h.Cameras)
	manage("POST", "/cameras", h.SaveCamera)
	see("GET", "/cameras/:id", h.Masks)
	manage("POST", "/cameras/:id/masks", h.SetMasks)

	see("GET", "/rules", h.Rules)
	manage("POST", "/rules", h.AddRule)
	manage("POST", "/rules/by-hand", h.AddRuleByHand)
	manage("POST", "/rules/try", h.TryRule)
	manage("POST", "/rules/:id/switch", h.SwitchRule)
	manage("POST", "/rules/:id/remove", h.RemoveRule)
	see("GET", "/history", h.History)
	see("GET", "/agencies", h.Agencies)
	manage("POST", "/agencies", h.AddAgency)
	manage("POST", "/agencies/invite", h.InviteAgency)
	manage("POST", "/agency-invitations/:id/close", h.CloseAgencyInvitation)
	manage("POST", "/agencies/:id/status", h.SetAgencyStatus)
	manage("POST", "/agencies/:id/keys/:kid/status", h.SetKeyStatus)
	signedIn("GET", "/household", h.Household)
	signedIn("POST", "/household/words", h.SetWords)
	manage("POST", "/household/invite", h.Invite)
	manage("POST", "/household/:id/remove", h.RemoveMember)
	signedIn("POST", "/passkeys/begin", h.PasskeyBegin)
	signedIn("POST", "/passkeys/finish", h.PasskeyFinish)
	signedIn("POST", "/passkeys/:id/rename", h.RenamePasskey)
	signedIn("POST", "/passkeys/:id/revoke", h.RevokePasskey)
	signedIn("POST", "/sessions/:id/end", h.EndSession)
	signedIn("POST", "/sign-out-everywhere", h.SignOutEverywhere)
	see("GET", "/notices", h.Notices)
	see("POST", "/notices", h.ChooseNotices)
	see("POST", "/notices/service", h.SetNoticeService)
	see("POST", "/notices/test", h.TestNotice)
	see("GET", "/notices/state", h.NoticeState)
	signedIn("GET", "/recovery-codes", h.RecoveryCodes)
	signedIn("POST", "/recovery-codes", h.MakeCodes)
	see("GET", "/activity", h.Activity)
	manage("POST", "/clock/acknowledge", h.AcknowledgeClock)
	see("GET", "/log.jsonl", h.ExportLog)
	return sameOrigin(r)
}

func (s *Server) apiHost() http.Handler {
	r := s.router("api", apiHeaders)
	agency := func(method, path string, f handler) { s.route(r, "api", method, path, "agency", s.answer(f)) }
	a := s.api

	agency("POST", "/a/v1/requests", a.FileRequest)
	agency("POST", "/a/v1/requests/poll", a.Poll)
	agency("POST", "/a/v1/requests/withdraw", a.Withdraw)
	agency("POST", "/a/v1/releases/open", a.OpenRelease)
	agency("GET", "/a/v1/releases/media", a.Media)
	agency("POST", "/a/v1/releases/destroyed", a.Destroyed)
	agency("POST", "/a/v1/releases/acknowledge", a.Acknowledge)
	agency("POST", "/a/v1/keys/rotate", a.RotateKey)
	s.route(r, "api", "GET", "/openapi.json", "anyone", s.answer(a.OpenAPI))
	return perAddress(1200)(r)
}

func (s *Server) viewHost() http.Handler {
	r := s.router("view", viewHeaders)
	v := s.view
	anyone := func(method, path string, f handler) { s.route(r, "view", method, path, "anyone", s.answer(f)) }
	link := func(method, path string, f handler) { s.route(r, "view", method, path, "link", s.answer(f)) }

	anyone("POST", "/language", home.ChooseLanguage)
	anyone("GET", "/r", v.Landing)
	anyone("HEAD", "/r", v.Landing)
	anyone("GET", "/static/*file", v.Static)
	anyone("GET", "/check", v.CheckPage)
	anyone("GET", "/transparency", v.Transparency)
	anyone("GET", "/offer", v.OfferPage)
	link("POST", "/offer", v.Offer)
	anyone("POST", "/check", v.Check)
	link("POST", "/r/open", v.Open)
	link("POST", "/r/code", v.Code)
	link("POST", "/r/verify", v.Verify)
	link("POST", "/r/more", v.More)
	link("POST", "/r/end", v.End)
	link("GET", "/watch", v.Watch)
	link("GET", "/m/:path", v.Media)
	link("GET", "/m/:path/state", v.State)
	link("GET", "/m/:path/file", v.Download)
	link("GET", "/m/:path/custody.pdf", v.CustodyPDF)
	link("GET", "/m/:path/custody.json", v.CustodyJSON)
	open := sameOrigin(r)
	limited, checks := perAddress(120)(open), perAddress(20)(open)
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		switch {
		case q.Method == http.MethodPost && q.URL.Path == "/check":
			checks.ServeHTTP(w, q)
		case q.Method == http.MethodPost:
			limited.ServeHTTP(w, q)
		default:
			open.ServeHTTP(w, q) // each range of a clip is a request
		}
	})
}

// router makes a gin engine that believes no proxy, logs no address and redirects nothing.
func (s *Server) router(host string, headers func(relay.Site) map[string]string) *gin.Engine {
	r := gin.New()
	r.RedirectTrailingSlash = false
	r.RedirectFixedPath = false
	r.HandleMethodNotAllowed = true
	if err := r.SetTrustedProxies(nil); err != nil {
		panic(err) // nil is always accepted
	}
	fixed := headers(s.site)
	r.Use(requestLog(s.log, host, s.now), func(c *gin.Context) {
		for k, v := range fixed {
			c.Header(k, v)
		}
	}, gin.CustomRecoveryWithWriter(nil, func(c *gin.Context, fault any) {
		s.log.Error("handler panicked", "route", c.FullPath(), "fault", fault)
		c.AbortWithStatus(http.StatusInternalServerError)
	}))
	if host != "api" { // what programs read stays in English
		r.Use(home.Language)
	}
	r.Use(s.shut(host))
	nothing := s.answer(func(*gin.Context) error { return relay.ErrNotFound })
	r.NoRoute(nothing)
	r.NoMethod(func(c *gin.Context) { c.AbortWithStatus(http.StatusMethodNotAllowed) })
	return r
}

func (s *Server) route(r *gin.Engine, host, method, path, who string, f gin.HandlerFunc) {
	r.Handle(method, path, f)
	s.Routes = append(s.Routes, Route{host, method, path, who})
}

// members returns a way to add routes that only signed-in members may call whose role may.
func (s *Server) members(r *gin.Engine, who string, may func(relay.Role) bool) func(method, path string, f handler) {
	return func(method, path string, f handler) {
		s.route(r, "home", method, path, who, s.answer(func(c *gin.Context) error {
			m, err := s.home.Authenticate(c)
			if err != nil {
				if isSignedOut(err) {
					return errSignedOut
				}
				return err
			}
			if !may(m.Role) {
				return relay.ErrPolicy
			}
			return f(c)
		}))
	}
}

// ServeHTTP sends a request to its host. Health is answered on every name, since those who
// ask may know only an address.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/healthz":
		w.Header().Set("Cache-Control", "no-store")
		writeJSON(w, http.StatusOK, map[string]string{"status": "live"})
		return
	case "/readyz":
		s.readyz(w, r)
		return
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if h, ok := s.hosts[host]; ok {
		h.ServeHTTP(w, r)
		return
	}
	if ip := net.ParseIP(strings.Trim(host, "[]")); s.site.Name == "localhost" && (ip.IsLoopback() || host == "home.localhost") && r.Method == http.MethodGet {
		http.Redirect(w, r, s.site.Home+"/", http.StatusFound) // passkeys work on the name alone
		return
	}
	http.Error(w, "No such host.", http.StatusMisdirectedRequest)
}

func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	code, checks := http.StatusOK, s.ready(r.Context())
	for _, c := range checks {
		if !c.OK {
			code = http.StatusServiceUnavailable
		}
	}
	writeJSON(w, code, map[string]any{"checks": checks})
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // a client that hung up is no fault
}

// Cut ends every running response of a release at once. Whoever ends a release calls it after
// the change has committed.
func (s *Server) Cut(releaseID string) { s.media.Cut(releaseID) }

// HTTP returns the server to listen with.
func (s *Server) HTTP() *http.Server {
	return &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ConnContext:       media.ConnContext,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}
