package home_test

import (
	"net/url"
	"testing"

	"cliplease/relay"
)

// TestHistory: the page of an agency shows all that it asked and what became of it, that of a case the
// requests of the case alone, whatever the letters of its number.
func TestHistory(t *testing.T) {
	h, p, clip, q := furnished(t)
	at := "/history?agency=" + url.QueryEscape(h.Agency.ID)
	p.page(at).says("Nothing was made from it.", "EPD-2026-0417").silent("By case")
	rel := reviewed(t, h, p, clip, q)
	p.approve(rel.ID)
	other := h.Request(start(h), func(c *relay.Claims) { c.Case.Ref = "EPD-2026-0999" })
	p.post("/requests/"+other.ID+"/decline", struct{}{}).want(200)
	p.page(at).says("Asked", "2 times", "Shared", "1 time", "Det. J. Miller", "Not watched yet; 5 times allowed", "Declined", "By case", "Case EPD-2026-0999")
	p.page(at+"&case=epd-2026-0999").says("Asked", "1 time", "Declined", "Nothing was made from it.").silent("Det. J. Miller")
	p.do("GET", at+"&case=none", nil, nil).want(404)
	p.do("GET", "/history?agency=none", nil, nil).want(404)
	p.do("GET", "/history", nil, nil).want(404)
	p.page("/agencies").says("What it asked for, and what became of it")
	p.page("/requests/"+q.ID).says("the agency", "the case")
}
