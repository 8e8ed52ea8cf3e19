package home

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"cliplease/relay"
	"cliplease/storage"
	"cliplease/templates"

	"github.com/gin-gonic/gin"
)

// The life of a session.
const (
	sessionIdle = 30 * time.Minute
	sessionLife = 12 * time.Hour
	touchEvery  = time.Minute
)

// Cookie is the name of the session's cookie. The prefix makes browsers hold it to this host,
// to TLS (or localhost) and to the whole path.
const Cookie = "__Host-cliplease_home"

const (
	keyMember  = "home.member"
	keySession = "home.session"
)

// Authenticate returns the member whose session the request carries, or [relay.ErrNotFound].
// A session ends after half an hour without use and after twelve hours in any case.
func (s *Server) Authenticate(c *gin.Context) (relay.Member, error) {
	token, err := c.Cookie(Cookie)
	if err != nil || token == "" {
		return relay.Member{}, relay.ErrNotFound
	}
	now := s.now()
	session, m, err := s.db.SessionMember(c.Request.Context(), digest(token), sessionIdle, now)
	if err != nil {
		return relay.Member{}, err
	}
	// A page that only waits for progress does not keep its session alive.
	if now.Sub(session.SeenAt) >= touchEvery && !strings.HasSuffix(c.FullPath(), "/state") {
		if err := s.db.TouchSession(c.Request.Context(), session.TokenHash, now); err != nil {
			return relay.Member{}, err
		}
	}
	speak(c, m)
	c.Set(keyMember, m)
	c.Set(keySession, session)
	return m, nil
}

// member is who sent the request, as [Server.Authenticate] found; nobody on public pages.
func member(c *gin.Context) relay.Member {
	m, _ := c.Get(keyMember)
	who, _ := m.(relay.Member)
	return who
}

func session(c *gin.Context) storage.Session {
	v, _ := c.Get(keySession)
	s, _ := v.(storage.Session)
	return s
}

// newToken returns 256 random bits as text.
func newToken() string {
	raw := make([]byte, 32)
	rand.Read(raw)
	return base64.RawURLEncoding.EncodeToString(raw)
}

// digest is how tokens are stored.
func digest(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// newSession makes a session for a member and its token, which only the cookie holds.
func (s *Server) newSession(c *gin.Context, memberID string) (storage.Session, string) {
	token, now := newToken(), s.now()
	return storage.Session{
		TokenHash: digest(token), MemberID: memberID, Agent: device(c.Request.UserAgent()),
		CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(sessionLife),
	}, token
}

func setCookie(c *gin.Context, token string) {
	http.SetCookie(c.Writer, &http.Cookie{Name: Cookie, Value: token, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode})
}

// returnTo are the pages that mails link to: whoever signs in for one of them goes on there.
var returnTo = regexp.MustCompile(`^/(requests|releases)/[a-z0-9]{1,64}$`)

// SignInFor is where somebody signs in who asked for a page.
func SignInFor(path string) string {
	if !returnTo.MatchString(path) {
		return "/sign-in"
	}
	return "/sign-in?to=" + url.QueryEscape(path)
}

// SignIn serves GET /sign-in.
func (s *Server) SignIn(c *gin.Context) error {
	n, err := s.db.CountMembers(c.Request.Context())
	if err != nil {
		return err
	}
	return page(c, "sign_in", templates.SignIn{Layout: templates.Layout{Title: "Sign in", Scripts: []string{"home.js"}}, New: n == 0, To: c.Query("to")})
}

// SignOut handles POST /sign-out.
func (s *Server) SignOut(c *gin.Context) error {
	if err := s.db.EndSession(c.Request.Context(), member(c).ID, session(c).TokenHash); err != nil {
		return err
	}
	return signedOut(c)
}

// SignOutEverywhere handles POST /sign-out-everywhere: every browser of the member.
func (s *Server) SignOutEverywhere(c *gin.Context) error {
	if err := s.db.EndSessions(c.Request.Context(), member(c).ID); err != nil {
		return err
	}
	return signedOut(c)
}

// signedOut takes away what the browser keeps of its session.
func signedOut(c *gin.Context) error {
	http.SetCookie(c.Writer, &http.Cookie{Name: Cookie, Path: "/", MaxAge: -1, Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode})
	c.Header("Clear-Site-Data", `"cache", "cookies", "storage"`)
	return follow(c, "/sign-in")
}

// EndSession handles POST /sessions/:id/end: it signs another browser of the same member out.
func (s *Server) EndSession(c *gin.Context) error {
	all, err := s.db.Sessions(c.Request.Context(), member(c).ID)
	if err != nil {
		return err
	}
	for _, v := range all {
		if sessionID(v) == c.Param("id") {
			if err := s.db.EndSession(c.Request.Context(), v.MemberID, v.TokenHash); err != nil {
				return err
			}
			return follow(c, "/household")
		}
	}
	return relay.ErrNotFound
}

// sessionID names a session on a page.
func sessionID(v storage.Session) string { return v.TokenHash[:16] }

// device says in two or three words which browser it is, so that its owner knows it again.
func device(agent string) string {
	find := func(table [][2]string, other string) string {
		for _, row := range table {
			if strings.Contains(agent, row[0]) {
				return row[1]
			}
		}
		return other
	}
	browser := find([][2]string{{"Firefox", "Firefox"}, {"Edg", "Edge"}, {"OPR", "Opera"}, {"SamsungBrowser", "Samsung Internet"}, {"Chrome", "Chrome"}, {"CriOS", "Chrome"}, {"Safari", "Safari"}}, "A browser")
	system := find([][2]string{{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"Windows", "Windows"}, {"Mac OS X", "Mac"}, {"CrOS", "Chromebook"}, {"Linux", "Linux"}}, "an unknown system")
	return browser + " on " + system
}
