package server

import (
	"context"
	"errors"
	"mime"
	"net"
	"net/http"
	"strings"
	"time"

	"cliplease/relay"
	"cliplease/templates"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/httprate"
)

func isSignedOut(err error) bool { return errors.Is(err, relay.ErrNotFound) }

// sameOrigin refuses unsafe requests that do not come from a page of the same host. It is
// stricter than [http.CrossOriginProtection], which it stands behind: a request without
// Sec-Fetch-Site is refused as well, and so is a body that a plain form could send.
func sameOrigin(next http.Handler) http.Handler {
	return http.NewCrossOriginProtection().Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodGet, http.MethodHead, http.MethodOptions:
			next.ServeHTTP(w, r)
			return
		}
		kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if r.Header.Get("Sec-Fetch-Site") != "same-origin" || kind != "application/json" && kind != "application/offset+octet-stream" {
			http.Error(w, "This can only be done from the relay's own pages.", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	}))
}

// shutRetry is what Retry-After says while a host is shut, in seconds.
const shutRetry = "600"

// shut answers 503 to everybody who comes to a host from outside while the relay may let nobody
// in: the machine's clock went back, or the relay was just restored and does not know which
// tokens of agencies it took last. Members still come in, to revoke and to put it right.
func (s *Server) shut(host string) gin.HandlerFunc {
	return func(c *gin.Context) {
		if host == "home" || strings.HasPrefix(c.FullPath(), "/static/") {
			return
		}
		why, err := s.whyShut(c.Request.Context(), host)
		if err != nil {
			s.log.Error("whether the relay may let anybody in is not known", "error", err)
			why = err
		}
		if why == nil {
			return
		}
		c.Header("Retry-After", shutRetry)
		if !wantsPage(c.Request) {
			c.AbortWithStatusJSON(http.StatusServiceUnavailable, gin.H{"error": "unavailable"})
			return
		}
		c.Header("Content-Type", "text/html; charset=utf-8")
		c.Status(http.StatusServiceUnavailable)
		if err := templates.Render(c.Writer, templates.Spoken(c.Request.Context()), "error", templates.ErrorPage{Code: http.StatusServiceUnavailable, Sentence: templates.Spoken(c.Request.Context()).T("The relay lets nobody in at the moment. Try again later.")}); err != nil {
			s.log.Error("error page failed", "error", err)
		}
		c.Abort()
	}
}

// whyShut says why a host lets nobody in, or nil.
func (s *Server) whyShut(ctx context.Context, host string) (why, err error) {
	if s.clock != nil {
		if why := s.clock.Frozen(ctx); why != nil {
			return why, nil
		}
	}
	if host != "api" {
		return nil, nil
	}
	opens, err := s.store.DB.IntakeOpens(ctx)
	if err == nil && s.now().Before(opens) {
		why = errRestored
	}
	return why, err
}

var errRestored = errors.New("the relay was just restored from a backup")

// The headers of each host. A page may load nothing from elsewhere, be framed by nobody, and
// be kept by no cache.
func homeHeaders(site relay.Site) map[string]string {
	return secure(site, map[string]string{
		"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; connect-src 'self'; " +
			"form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
		"Permissions-Policy": "publickey-credentials-get=(self), publickey-credentials-create=(self), camera=(), microphone=(), geolocation=()",
	})
}

func viewHeaders(site relay.Site) map[string]string {
	return secure(site, map[string]string{
		"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self'; " +
			"form-action 'none'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
		"Permissions-Policy": "camera=(), microphone=(), geolocation=()",
		"X-Robots-Tag":       "noindex, nofollow, noarchive, nosnippet",
	})
}

func apiHeaders(site relay.Site) map[string]string {
	return secure(site, map[string]string{"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox"})
}

func secure(site relay.Site, h map[string]string) map[string]string {
	h["Referrer-Policy"] = "no-referrer"
	h["X-Content-Type-Options"] = "nosniff"
	h["Cross-Origin-Opener-Policy"] = "same-origin"
	h["Cross-Origin-Resource-Policy"] = "same-origin"
	h["Cache-Control"] = "no-store"
	if site.Secure() {
		h["Strict-Transport-Security"] = "max-age=63072000; includeSubDomains"
	}
	return h
}

// perAddress limits the requests of one address to n a minute. The address is that of the
// connection: behind a proxy all clients share one limit, since no header is believed.
func perAddress(n int) func(http.Handler) http.Handler {
	return httprate.LimitBy(n, time.Minute, func(r *http.Request) (string, error) {
		host, _, err := net.SplitHostPort(r.RemoteAddr)
		return host, err
	})
}
