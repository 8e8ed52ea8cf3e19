package view_test

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/test/lease"
)

// TestViewRace brings good codes a hundred times at once: exactly as many views start as the
// home allowed.
func TestViewRace(t *testing.T) {
	const allowed = 2
	p := newPlace(t, lease.Terms{MaxViews: allowed})
	type try struct {
		b    *browser
		code string
	}
	var tries []try
	for range relay.CodesPerHour {
		b := p.browser()
		b.open().want(t, 200)
		tries = append(tries, try{b, b.code()})
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	status := map[int]int{}
	start := make(chan struct{})
	for i := range 100 {
		x := tries[i%len(tries)]
		c := &browser{p, map[string]*http.Cookie{"x": x.b.cookies["__Host-cliplease_pre"]}}
		all.Go(func() {
			<-start
			a := c.verify(x.code)
			mu.Lock()
			defer mu.Unlock()
			status[a.StatusCode]++
		})
	}
	close(start)
	all.Wait()
	views, err := p.DB.Views(t.Context(), p.lease.Release.ID)
	p.ok(err)
	if status[200] != allowed || p.viewsUsed() != allowed || len(views) != allowed || status[500] != 0 {
		t.Errorf("answers %v, %d views used, %d views", status, p.viewsUsed(), len(views))
	}
}

// TestViewEnds lets time pass, and takes access away in every way.
func TestViewEnds(t *testing.T) {
	for _, tt := range []struct {
		name  string
		terms lease.Terms
		end   func(p *place, b *browser, media string)
	}{
		{"idle", lease.Terms{}, func(p *place, b *browser, media string) {
			p.wait(relay.ViewIdle - time.Second)
			b.do("GET", media+"/state", "").want(t, 200) // no range: does not count as watching
			p.wait(time.Second)
		}},
		{"an hour", lease.Terms{}, func(p *place, b *browser, media string) {
			for range 5 {
				p.wait(relay.ViewIdle - 3*time.Minute)
				b.do("GET", media, "", "Range: bytes=0-9")
			}
		}},
		{"the lease", lease.Terms{For: 20 * time.Minute}, func(p *place, b *browser, media string) {
			p.wait(10 * time.Minute)
			b.do("GET", media, "", "Range: bytes=0-9").want(p.t, 206)
			p.wait(10 * time.Minute)
		}},
		{"release revoked", lease.Terms{}, func(p *place, b *browser, media string) {
			views, err := p.DB.Views(p.t.Context(), p.lease.Release.ID)
			p.ok(err)
			p.ok(p.DB.RevokeRelease(p.t.Context(), p.lease.Release.ID, p.Member, "", p.clock()))
			// A range that was allowed just before counts its bytes just after, and is denied.
			if err := p.DB.Watched(p.t.Context(), views[0].Session.TokenHash, 1, p.clock()); !errors.Is(err, relay.ErrNotFound) {
				p.t.Errorf("bytes were given out after the revocation: %v", err)
			}
		}},
		{"link revoked", lease.Terms{}, func(p *place, b *browser, media string) {
			p.ok(p.DB.RevokeLink(p.t.Context(), p.lease.Link.ID, p.Member, p.clock()))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlace(t, tt.terms)
			b := p.browser()
			media := b.watch()
			b.do("GET", media, "", "Range: bytes=0-9").want(t, 206)
			tt.end(p, b, media)
			b.do("GET", media, "", "Range: bytes=0-9").want(t, 404)
			b.do("GET", media+"/state", "").want(t, 404)
			b.do("GET", "/watch", "").want(t, 404)
		})
	}
}

// TestDamagedCopy changes the stored copy: no view is used up, the home is told, and a view
// that runs is ended.
func TestDamagedCopy(t *testing.T) {
	p := newPlace(t, lease.Terms{})
	b := p.browser()
	media := b.watch()
	object := p.objectFile()
	raw, err := os.ReadFile(object)
	p.ok(err)
	changed := bytes.Clone(raw)
	changed[len(changed)/2] ^= 1
	p.ok(os.WriteFile(object, changed, 0o600))

	b.do("GET", media, "").want(t, 404)
	b.do("GET", media+"/state", "").want(t, 404)
	again := p.browser()
	again.open().want(t, 200)
	again.verify(again.code()).want(t, 404)
	if n := p.viewsUsed(); n != 1 {
		t.Errorf("%d views are used", n)
	}
	if p.events(relay.CopyDamaged) != 2 || p.events(relay.ViewEnded) != 1 || p.mails("damaged") != 2 {
		t.Errorf("%d events, %d mails", p.events(relay.CopyDamaged), p.mails("damaged"))
	}
}

// objectFile is the file that holds the release copy.
func (p *place) objectFile() (path string) {
	p.t.Helper()
	p.ok(filepath.WalkDir(filepath.Join(p.dir, "objects"), func(name string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasPrefix(filepath.Base(name), p.lease.Copy.Object) {
			path = name
		}
		return err
	}))
	if path == "" {
		p.t.Fatal("the object is in no file")
	}
	return path
}

// TestStoreAway takes the object store away: the answer says to come back, and no view is
// used up.
func TestStoreAway(t *testing.T) {
	p := newPlace(t, lease.Terms{})
	b := p.browser()
	media := b.watch()
	object := p.objectFile()
	p.ok(os.Rename(object, object+".away"))
	p.ok(os.Mkdir(object, 0o700)) // opens, and cannot be read
	b.do("GET", media, "", "Range: bytes=0-9").want(t, 503)
	again := p.browser()
	again.open().want(t, 200)
	again.verify(again.code()).want(t, 503)
	if n := p.viewsUsed(); n != 1 {
		t.Errorf("%d views are used", n)
	}
	// Taking back works without the store.
	p.ok(p.DB.RevokeRelease(t.Context(), p.lease.Release.ID, p.Member, "", p.clock()))
	b.do("GET", media, "", "Range: bytes=0-9").want(t, 404)
	if err := p.relay.HTTP().Close(); err != nil && !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
}
