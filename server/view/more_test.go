package view_test

import (
	"strings"
	"testing"

	"cliplease/relay"
	"cliplease/test/lease"
)

// TestMore asks the home for more time from the page on which one watches, and from elsewhere.
func TestMore(t *testing.T) {
	p := newPlace(t, lease.Terms{})
	p.browser().post("/r/more", struct{}{}).want(t, 404) // no view
	b := p.browser()
	b.open().want(t, 200)
	b.post("/r/more", struct{}{}).want(t, 404) // a code is still to come
	b = p.browser()
	b.watch()
	if page := b.do("GET", "/watch", "").want(t, 200).body; !strings.Contains(page, "Ask the home for more time") {
		t.Error("the page does not offer it")
	}
	b.post("/r/more", struct{}{}).want(t, 200)
	if p.events(relay.LinkAsked) != 1 || p.mails("more") != 1 {
		t.Errorf("%d events, %d mails", p.events(relay.LinkAsked), p.mails("more"))
	}
	b.post("/r/more", struct{}{}).want(t, 429)
	if page := b.do("GET", "/watch", "").want(t, 200).body; strings.Contains(page, "Ask the home for more time") {
		t.Error("the page offers it again")
	}
	p.wait(relay.AskAgainAfter)
	b.post("/r/more", struct{}{}).want(t, 404) // the view is over by then
	c := p.browser()
	c.watch()
	c.post("/r/more", struct{}{}).want(t, 200)
	if p.mails("more") != 2 {
		t.Errorf("%d mails", p.mails("more"))
	}
}
