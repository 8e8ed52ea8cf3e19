package server

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"cliplease/relay"
	"cliplease/server/home"
	"cliplease/templates"

	"github.com/gin-gonic/gin"
)

// A handler answers a request, or returns an error that this file turns into an answer. An
// answer never holds the text of an error that was not meant for the person who asked.
type handler func(*gin.Context) error

// errSignedOut is the answer to a request that needs a signed-in member.
var errSignedOut = errors.New("signed out")

// status picks the status and the sentence in l for err. The sentences of [relay.InvalidError]
// are written for the person who asked; all others are chosen here.
func status(l templates.Lang, err error) (code int, field, sentence string) {
	var invalid *relay.InvalidError
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &invalid):
		return http.StatusUnprocessableEntity, invalid.Field, invalid.Say(l.Sentence)
	case errors.As(err, &large):
		return http.StatusRequestEntityTooLarge, "", l.T("This is larger than the relay takes.")
	case errors.Is(err, errSignedOut):
		return http.StatusUnauthorized, "", l.T("Sign in first.")
	case errors.Is(err, relay.ErrNotFound):
		return http.StatusNotFound, "", l.T("There is nothing here, or it is no longer available.")
	case errors.Is(err, relay.ErrConflict):
		return http.StatusConflict, "", l.T("Someone else changed this in the meantime. Load the page again and look.")
	case errors.Is(err, relay.ErrState):
		return http.StatusConflict, "", l.T("This is not possible any more. Load the page again to see how things stand.")
	case errors.Is(err, relay.ErrPolicy):
		return http.StatusForbidden, "", l.T("You may not do this.")
	}
	return http.StatusInternalServerError, "", l.T("Something went wrong on the relay. Nothing was changed. Try again, and look at the relay's log if it stays.")
}

// answer runs h and turns its error into a page or a document of JSON.
func (s *Server) answer(h handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		err := h(c)
		if err == nil {
			return
		}
		l := templates.Spoken(c.Request.Context())
		code, field, sentence := status(l, err)
		if code == http.StatusInternalServerError {
			s.log.Error("request failed", "route", c.FullPath(), "method", c.Request.Method, "error", err)
		}
		if c.Writer.Written() {
			return // a stream that broke; there is no way to take it back
		}
		if code == http.StatusUnauthorized && c.Request.Method == http.MethodGet && wantsPage(c.Request) {
			c.Redirect(http.StatusSeeOther, home.SignInFor(c.Request.URL.Path))
			return
		}
		if wantsPage(c.Request) {
			c.Header("Content-Type", "text/html; charset=utf-8")
			c.Status(code)
			if err := templates.Render(c.Writer, l, "error", templates.ErrorPage{Code: code, Sentence: sentence}); err != nil {
				s.log.Error("error page failed", "error", err)
			}
			return
		}
		c.JSON(code, gin.H{"error": sentence, "field": field})
	}
}

// wantsPage reports whether a person's browser asks for a page, and not a script for data.
func wantsPage(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/html")
}

// requestLog logs every request by its route. Never the address itself: a path can be a secret.
func requestLog(log *slog.Logger, host string, now clock) gin.HandlerFunc {
	return func(c *gin.Context) {
		start := now()
		c.Next()
		log.Debug("request", "host", host, "method", c.Request.Method, "route", c.FullPath(), "status", c.Writer.Status(),
			"bytes", c.Writer.Size(), "ms", now().Sub(start).Milliseconds())
	}
}
