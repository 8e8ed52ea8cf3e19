package home

import (
	"net/http"

	"cliplease/relay"
	"cliplease/server/custody"

	"github.com/gin-gonic/gin"
)

// Bundle serves GET /releases/:id/evidence.zip: everything that proves a release, to be
// checked on any machine without the relay.
func (s *Server) Bundle(c *gin.Context) error {
	ctx := c.Request.Context()
	b, err := s.store.Bundle(ctx, s.site, c.Param("id"), s.now())
	if err != nil {
		return err
	}
	rel, err := s.db.Release(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	c.Header("Content-Type", "application/zip")
	c.Header("Content-Disposition", `attachment; filename="`+evidenceName(rel)+`"`)
	c.Status(http.StatusOK)
	return relay.WriteBundle(c.Writer, b, s.store.Identity.Relay)
}

// CustodyPDF serves GET /releases/:id/custody.pdf: who did what with the footage and when, with
// digests, to file or print.
func (s *Server) CustodyPDF(c *gin.Context) error { return s.custody(c, "pdf") }

// CustodyJSON serves GET /releases/:id/custody.json: the same for programs.
func (s *Server) CustodyJSON(c *gin.Context) error { return s.custody(c, "json") }

func (s *Server) custody(c *gin.Context, kind string) error {
	r, err := custody.For(c.Request.Context(), s.store, s.site, c.Param("id"), "")
	if err != nil {
		return err
	}
	return r.Serve(c.Writer, kind)
}
