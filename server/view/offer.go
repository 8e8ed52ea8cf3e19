package view

import (
	"errors"
	"net/http"

	"cliplease/relay"
	"cliplease/templates"

	"github.com/gin-gonic/gin"
)

// OfferPage handles GET /offer: an agency that the homeowner invited hands over its name and keys.
// The page is the same for every invitation, and for none.
func (s *Server) OfferPage(c *gin.Context) error {
	var levels []string
	for _, l := range relay.Levels() {
		levels = append(levels, string(l))
	}
	return page(c, http.StatusOK, "view_offer", templates.NewViewOffer(levels))
}

// Offer handles POST /offer. It registers nothing; the homeowner compares the words of the keys
// first. An invitation answers once.
func (s *Server) Offer(c *gin.Context) error {
	var form struct {
		Token string `json:"t"`
		relay.AgencyOffer
	}
	if err := read(c, &form); err != nil {
		return err
	}
	offer, err := form.Clean()
	if err != nil {
		return err
	}
	switch err := s.store.DB.OfferAgency(c.Request.Context(), hashOf(form.Token), offer, s.now()); {
	case errors.Is(err, relay.ErrNotFound):
		return relay.Invalid("", "This invitation cannot be used: it may be incomplete, answered, taken back, or older than two weeks. Ask the home for another.")
	case err != nil:
		return err
	}
	keys, err := relay.ParseJWKS([]byte(offer.JWKS))
	if err != nil {
		return err
	}
	var words []string
	for _, k := range keys {
		words = append(words, k.Words())
	}
	c.JSON(http.StatusOK, gin.H{"words": words})
	return nil
}
