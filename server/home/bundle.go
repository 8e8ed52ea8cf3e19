package home

import (
	"net/http"

	"cliplease/relay"

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
