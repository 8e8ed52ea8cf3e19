package home

import (
	"encoding/json"
	"fmt"
	"net/http"

	"cliplease/relay"
	"cliplease/server/token"

	"github.com/gin-gonic/gin"
)

// manifestType is the type of the token that a manifest is.
const manifestType = "cliplease-manifest+jwt"

// manifest is what the relay states about the copies of a release: what was hidden, and by
// which version of what.
type manifest struct {
	V            int                 `json:"v"`
	ReleaseID    string              `json:"release_id"`
	Round        int                 `json:"round"`
	GrantSHA256  string              `json:"grant_sha256"`
	SourceCommit string              `json:"source_commit"` // as in the grant: no digest that files could be matched with
	Outputs      []relay.GrantOutput `json:"outputs"`
	Frames       int                 `json:"frames"`
	FPS          float64             `json:"fps"`
	Width        int                 `json:"width"`
	Height       int                 `json:"height"`
	Tracks       map[string]int      `json:"tracks"`
	Findings     []relay.Doubt       `json:"findings"`
	Checks       []relay.Gate        `json:"checks"`
	Detectors    []relay.Tool        `json:"detectors"`
	Tools        []relay.Tool        `json:"tools"`
	Looked       bool                `json:"needed_a_look"`
}

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
	var g relay.Grant
	var v relay.Summary
	if err := json.Unmarshal(b.Grant, &g); err != nil {
		return fmt.Errorf("grant of release %s: %w", rel.ID, err)
	}
	if err := json.Unmarshal(rel.Summary, &v); err != nil {
		return fmt.Errorf("summary of release %s: %w", rel.ID, err)
	}
	signed, err := token.Sign(s.store.Identity.Relay, manifestType, manifest{
		V: 1, ReleaseID: rel.ID, Round: rel.Round, GrantSHA256: relay.GrantHash(b.Grant), SourceCommit: g.Source.Commit, Outputs: g.Outputs,
		Frames: v.Frames, FPS: v.FPS, Width: v.Width, Height: v.Height, Tracks: v.Tracks, Findings: v.Findings, Checks: v.Gates,
		Detectors: v.Detectors, Tools: v.Tools, Looked: rel.NeedsLook,
	})
	if err != nil {
		return err
	}
	b.Manifest = []byte(signed)
	c.Header("Content-Type", "application/zip")
	c.Header("Content-Disposition", `attachment; filename="`+evidenceName(rel)+`"`)
	c.Status(http.StatusOK)
	return relay.WriteBundle(c.Writer, b, s.store.Identity.Relay)
}
