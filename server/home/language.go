package home

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"cliplease/relay"
	"cliplease/templates"

	"github.com/gin-gonic/gin"
)

// langCookie holds the language that was chosen in a browser, for pages that know no member.
const langCookie = "__Host-cliplease_lang"

type zoneKey struct{}

// Language puts the language of a request's pages into its context: the one that was chosen in this
// browser, else what the browser asks for. A member's own setting comes before both; see
// [Server.Authenticate].
func Language(c *gin.Context) {
	chosen, _ := c.Cookie(langCookie)
	l := templates.Lang(chosen)
	if !l.Known() {
		l = templates.Accepted(c.GetHeader("Accept-Language"))
	}
	c.Request = c.Request.WithContext(l.Into(c.Request.Context()))
	c.Writer.Header().Add("Vary", "Accept-Language")
}

// ChooseLanguage serves POST /language {"language"}: this browser's pages come in it, on either host.
func ChooseLanguage(c *gin.Context) error {
	_, err := chosen(c)
	return err
}

// SetLanguage serves POST /language on the members' host: as [ChooseLanguage], and whoever is signed in
// gets pages and mails in it from any browser.
func (s *Server) SetLanguage(c *gin.Context) error {
	l, err := chosen(c)
	if err != nil {
		return err
	}
	m, err := s.Authenticate(c)
	if errors.Is(err, relay.ErrNotFound) {
		return nil // nobody is signed in
	}
	if err != nil {
		return err
	}
	return s.db.SetMemberWords(c.Request.Context(), m.ID, string(l), m.Zone)
}

func chosen(c *gin.Context) (templates.Lang, error) {
	var f struct {
		Language string `json:"language"`
	}
	if err := form(c, &f); err != nil {
		return "", err
	}
	l := templates.Lang(f.Language)
	if !l.Known() {
		return "", relay.Invalid("language", "Choose one of the languages that are offered.")
	}
	http.SetCookie(c.Writer, &http.Cookie{Name: langCookie, Value: string(l), Path: "/", MaxAge: 365 * 24 * 60 * 60, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	return l, nil
}

// SetWords serves POST /household/words {"language", "zone"}: how pages and mails are shown to the member.
func (s *Server) SetWords(c *gin.Context) error {
	var f struct {
		Language string `json:"language"`
		Zone     string `json:"zone"`
	}
	if err := form(c, &f); err != nil {
		return err
	}
	if l := templates.Lang(f.Language); !l.Known() && f.Language != "" {
		return relay.Invalid("language", "Choose one of the languages that are offered.")
	}
	f.Zone = strings.TrimSpace(f.Zone)
	if _, err := time.LoadLocation(f.Zone); err != nil || f.Zone == "Local" {
		return relay.Invalid("zone", "Write the time zone by its name, such as Europe/Amsterdam or America/Chicago.")
	}
	if err := s.db.SetMemberWords(c.Request.Context(), member(c).ID, f.Language, f.Zone); err != nil {
		return err
	}
	return follow(c, "/household")
}

// speak puts a member's own language and zone into the context of a request.
func speak(c *gin.Context, m relay.Member) {
	ctx := c.Request.Context()
	if l := templates.Lang(m.Language); l.Known() {
		ctx = l.Into(ctx)
	}
	if m.Zone != "" {
		ctx = context.WithValue(ctx, zoneKey{}, location(m.Zone))
	}
	c.Request = c.Request.WithContext(ctx)
}
