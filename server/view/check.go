package view

import (
	"net/http"
	"time"

	"cliplease/relay"
	"cliplease/templates"

	"github.com/gin-gonic/gin"
)

// CheckPage handles GET /check: whoever holds a file can ask whether it is one that this relay
// released. The page hashes the file in the browser.
func (s *Server) CheckPage(c *gin.Context) error {
	return page(c, http.StatusOK, "view_check", templates.NewViewCheck())
}

// checked is what anybody learns about a digest. For everything that was not released it is
// the same, whether it is a digest or not.
type checked struct {
	Released bool   `json:"released"`
	Runs     bool   `json:"runs,omitempty"` // the lease still runs
	At       string `json:"at,omitempty"`   // until when, or since when it is over
}

// Check handles POST /check: the digest of a file. To know the digest one must have the file,
// or the record of its release; who has it learns that the file is unchanged and when its lease
// ends or ended, and nothing that the notice burned into the file does not say more of.
func (s *Server) Check(c *gin.Context) error {
	var form struct {
		SHA256 string `json:"sha256"`
	}
	if err := read(c, &form); err != nil {
		form.SHA256 = "" // what is no document is no released file, either
	}
	found, err := s.store.DB.Released(c.Request.Context(), form.SHA256)
	if err != nil {
		return err
	}
	var answer checked
	var best time.Time
	for _, o := range found {
		at, over := o.Link.Ends(o.Release, s.now())
		if runs := !over; !answer.Released || runs && !answer.Runs || runs == answer.Runs && at.After(best) {
			best, answer = at, checked{Released: true, Runs: runs, At: relay.Stamp(at)}
		}
	}
	c.JSON(http.StatusOK, answer)
	return nil
}
