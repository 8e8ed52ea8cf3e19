package view_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/test/lease"
)

// TestCodeBound holds a code to its browser, its five tries, its ten minutes and its one use.
func TestCodeBound(t *testing.T) {
	t.Run("another browser", func(t *testing.T) {
		p := newPlace(t, lease.Terms{})
		a, b := p.browser(), p.browser()
		a.open().want(t, 200)
		b.open().want(t, 200)
		code := a.code()
		b.code()
		b.verify(code).want(t, 422)
		a.verify(code).want(t, 200)
	})
	t.Run("no code was asked for", func(t *testing.T) {
		p := newPlace(t, lease.Terms{})
		b := p.browser()
		b.open().want(t, 200)
		b.verify("").want(t, 422)
	})
	t.Run("used before", func(t *testing.T) {
		p := newPlace(t, lease.Terms{})
		b := p.browser()
		b.open().want(t, 200)
		pre := *b.cookies["__Host-cliplease_pre"]
		code := b.code()
		b.verify(code).want(t, 200)
		b.cookies["__Host-cliplease_pre"] = &pre
		b.verify(code).want(t, 404)
		if n := p.viewsUsed(); n != 1 {
			t.Errorf("%d views are used", n)
		}
	})
	t.Run("replaced by a newer one", func(t *testing.T) {
		p := newPlace(t, lease.Terms{})
		b := p.browser()
		b.open().want(t, 200)
		old := b.code()
		b.code()
		b.verify(old).want(t, 422)
	})
	t.Run("sixth try", func(t *testing.T) {
		p := newPlace(t, lease.Terms{})
		b := p.browser()
		b.open().want(t, 200)
		code := b.code()
		for range relay.CodeTries {
			b.verify("AAAAAAAA").want(t, 422)
		}
		b.verify(code).want(t, 422)
		if n, refused := p.viewsUsed(), p.events(relay.CodeRefused); n != 0 || refused != relay.CodeTries {
			t.Errorf("%d views are used, %d refusals recorded", n, refused)
		}
	})
	t.Run("fifth try", func(t *testing.T) {
		p := newPlace(t, lease.Terms{})
		b := p.browser()
		b.open().want(t, 200)
		code := b.code()
		for range relay.CodeTries - 1 {
			b.verify("AAAAAAAA").want(t, 422)
		}
		b.verify(code).want(t, 200)
	})
	t.Run("many tries at once", func(t *testing.T) {
		p := newPlace(t, lease.Terms{})
		b := p.browser()
		b.open().want(t, 200)
		b.code()
		var all sync.WaitGroup
		for range 40 {
			c := &browser{p, map[string]*http.Cookie{"x": b.cookies["__Host-cliplease_pre"]}}
			all.Go(func() { c.verify("AAAAAAAA") })
		}
		all.Wait()
		if refused := p.events(relay.CodeRefused); refused != relay.CodeTries {
			t.Errorf("%d codes were compared", refused)
		}
	})
	t.Run("eleventh minute", func(t *testing.T) {
		p := newPlace(t, lease.Terms{})
		b := p.browser()
		b.open().want(t, 200)
		p.wait(9 * time.Minute)
		code := b.code()
		p.wait(relay.CodeLife - time.Second) // its tenth minute, and the session's nineteenth
		c := &browser{p, map[string]*http.Cookie{"x": b.cookies["__Host-cliplease_pre"]}}
		p.wait(time.Second)
		c.verify(code).want(t, 404)
		p.wait(-time.Second)
		b.verify(code).want(t, 200)
	})
	t.Run("fourth code in an hour", func(t *testing.T) {
		p := newPlace(t, lease.Terms{})
		for range relay.CodesPerHour {
			b := p.browser()
			b.open().want(t, 200)
			b.code()
		}
		b := p.browser()
		b.open().want(t, 200)
		b.post("/r/code", struct{}{}).want(t, 429)
		if told := p.mails("codes"); told != 1 {
			t.Errorf("the home was told %d times", told)
		}
		p.wait(time.Hour)
		b = p.browser()
		b.open().want(t, 200)
		b.code()
	})
}
