package view

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"cliplease/relay"
	"cliplease/server/custody"
	"cliplease/server/media"
	"cliplease/storage"
	"cliplease/templates"

	"github.com/gin-gonic/gin"
)

// until is when the recipient's access ends by itself.
func until(o storage.Opened) time.Time {
	if o.Release.ExpiresAt.Before(o.Link.ExpiresAt) {
		return o.Release.ExpiresAt
	}
	return o.Link.ExpiresAt
}

// Watch handles GET /watch: the player, and what the recipient must know.
func (s *Server) Watch(c *gin.Context) error {
	ctx := c.Request.Context()
	o, err := s.session(ctx, c.Request, "view", s.now())
	if errors.Is(err, relay.ErrNotFound) {
		return page(c, http.StatusNotFound, "view_gone", templates.NewViewGone())
	}
	if err != nil {
		return err
	}
	rel, err := s.store.DB.Release(ctx, o.Release.ID) // with what the redaction came to
	if err != nil {
		return err
	}
	q, err := s.store.DB.Request(ctx, rel.RequestID)
	if err != nil {
		return err
	}
	a, err := s.store.DB.Agency(ctx, q.AgencyID)
	if err != nil {
		return err
	}
	var g relay.Grant
	if err := json.Unmarshal(o.Release.Grant, &g); err != nil {
		return err
	}
	var sum relay.Summary
	if len(rel.Summary) > 0 {
		if err := json.Unmarshal(rel.Summary, &sum); err != nil {
			return err
		}
	}
	return page(c, http.StatusOK, "view_watch", templates.NewViewWatch(templates.ViewWatch{
		Recipient: relay.MaskAddr(o.Copy.Recipient.Addr), Agency: a.Name, Case: q.Claims.Case.Ref, Purpose: q.Claims.Purpose.Text,
		Camera: g.Scope.Camera, From: o.Release.Draft.From, To: o.Release.Draft.To, Hidden: hidden(o.Release.Draft.Targets),
		Until: until(o), Closes: o.Session.ExpiresAt, ViewsLeft: o.Link.MaxViews - o.Link.ViewsUsed,
		Asked: !o.Link.AskedAt.IsZero() && s.now().Before(o.Link.AskedAt.Add(relay.AskAgainAfter)), MediaPath: o.Session.MediaPath,
		Download: g.Access.Download, Bytes: o.Copy.Bytes, SHA256: o.Copy.SHA256, FPS: sum.FPS, Width: sum.Width, Height: sum.Height,
		Use: g.Conditions.Use, Onward: onward(g.Conditions.Onward), RetainDays: g.Conditions.RetainDays, Attest: g.Conditions.DestroyAttest,
	}))
}

func hidden(targets []string) string {
	if slices.Contains(targets, "faces") && slices.Contains(targets, "plates") {
		return "Faces and number plates"
	}
	return "Parts of the picture"
}

// onward puts a condition of the grant in words.
func onward(code string) string {
	switch code {
	case "":
		return ""
	case "none":
		return "Pass it on to nobody."
	case "listed":
		return "Pass it on only to those whom the request names."
	case "law_only":
		return "Pass it on only where the law obliges you to."
	}
	return "Passing on: " + code + "."
}

// file is the release copy that o opens.
func (s *Server) file(o storage.Opened) media.File {
	return media.File{
		Object: o.Copy.Object, KeyID: o.Copy.ID, Context: o.Release.ID, Size: o.Copy.Bytes, SHA256: o.Copy.SHA256,
		ReleaseID: o.Release.ID, LinkID: o.Link.ID,
		Damaged: func(ctx context.Context) {
			s.log.Error("a release copy is not what was sealed", "release", o.Release.ID, "copy", o.Copy.ID)
			if err := s.store.DB.Damaged(context.WithoutCancel(ctx), o, s.now()); err != nil {
				s.log.Error("a damaged copy could not be recorded", "release", o.Release.ID, "error", err)
			}
		},
	}
}

// Media handles GET and HEAD /m/:path: the footage, for the player.
func (s *Server) Media(c *gin.Context) error { return s.serve(c, false) }

// Download handles GET /m/:path/file: the footage as a file to keep, where the grant offers it.
func (s *Server) Download(c *gin.Context) error { return s.serve(c, true) }

func (s *Server) serve(c *gin.Context, download bool) error {
	if !ownPage(c.Request.Header, download) {
		return relay.ErrPolicy
	}
	r, path := c.Request, c.Param("path")
	o, err := s.watching(r, path)
	if err != nil {
		return answer(c, err)
	}
	if download && !o.Release.Draft.Download {
		return notAvailable(c)
	}
	f := s.file(o)
	f.Download = download
	f.Allowed = func(context.Context) error {
		_, err := s.watching(r, path)
		return err
	}
	f.Count = func(ctx context.Context, n int64) error {
		return s.store.DB.Watched(ctx, o.Session.TokenHash, n, s.now())
	}
	if err := s.media.Serve(c.Writer, r, f); err != nil {
		return answer(c, err)
	}
	return nil
}

// watching returns the view of the browser if path is the one of its footage. It reads the
// session, the link and the release anew.
func (s *Server) watching(r *http.Request, path string) (storage.Opened, error) {
	o, err := s.session(r.Context(), r, "view", s.now())
	if err == nil && subtle.ConstantTimeCompare([]byte(o.Session.MediaPath), []byte(path)) != 1 {
		err = relay.ErrNotFound
	}
	return o, err
}

// ownPage reports whether the request can come from our own page, by what the browser says
// of it. Old browsers and programs say nothing.
func ownPage(h http.Header, download bool) bool {
	if site := h.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" {
		return false
	}
	dest := h.Get("Sec-Fetch-Dest")
	return dest == "" || dest == "empty" || dest == "video" && !download || dest == "document" && download
}

// CustodyPDF handles GET /m/:path/custody.pdf: what the log says of the recipient's own copy, to
// file or print.
func (s *Server) CustodyPDF(c *gin.Context) error { return s.custody(c, "pdf") }

// CustodyJSON handles GET /m/:path/custody.json: the same for programs.
func (s *Server) CustodyJSON(c *gin.Context) error { return s.custody(c, "json") }

func (s *Server) custody(c *gin.Context, kind string) error {
	if !ownPage(c.Request.Header, true) {
		return relay.ErrPolicy
	}
	o, err := s.watching(c.Request, c.Param("path"))
	if err != nil {
		return answer(c, err)
	}
	r, err := custody.For(c.Request.Context(), s.store, s.site, o.Release.ID, o.Copy.ID)
	if err != nil {
		return answer(c, err)
	}
	return r.Serve(c.Writer, kind)
}

// State handles GET /m/:path/state: whether the view still stands. Asking does not keep it
// from closing when nobody watches.
func (s *Server) State(c *gin.Context) error {
	o, err := s.watching(c.Request, c.Param("path"))
	if err != nil {
		return answer(c, err)
	}
	c.JSON(http.StatusOK, gin.H{"until": relay.Stamp(o.Session.ExpiresAt)})
	return nil
}

// More handles POST /r/more: the recipient asks the home for a lease that ends later.
func (s *Server) More(c *gin.Context) error {
	now := s.now()
	o, err := s.session(c.Request.Context(), c.Request, "view", now)
	if err != nil {
		return answer(c, err)
	}
	switch err := s.store.DB.AskMore(c.Request.Context(), o, now); {
	case errors.Is(err, relay.ErrPolicy):
		c.JSON(http.StatusTooManyRequests, gin.H{"error": templates.Spoken(c.Request.Context()).T("The home was asked within the last day. You can ask again after that.")})
		return nil
	case errors.Is(err, relay.ErrConflict), errors.Is(err, relay.ErrNotFound): // it ended in the meantime
		return notAvailable(c)
	case err != nil:
		return err
	}
	c.JSON(http.StatusOK, gin.H{"asked": relay.Stamp(now)})
	return nil
}

// End handles POST /r/end: the recipient closes the view.
func (s *Server) End(c *gin.Context) error {
	if cookie, err := c.Request.Cookie(viewCookie); err == nil {
		if err := s.store.DB.EndView(c.Request.Context(), hashOf(cookie.Value), s.now()); err != nil {
			return err
		}
	}
	setCookie(c, viewCookie, "", 0)
	c.Header("Clear-Site-Data", `"cache", "storage"`)
	c.JSON(http.StatusOK, gin.H{"location": "/r"})
	return nil
}
