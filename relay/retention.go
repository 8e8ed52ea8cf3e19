package relay

import (
	"slices"
	"time"
)

// MaxRetainDays is the longest retention that a camera can be given, in days.
const MaxRetainDays = 3650

// RetainedUntil is when the retention of camera gives up c: so many days after it arrived,
// since footage that is brought late would otherwise be gone as it comes. Zero: never.
func (c Clip) RetainedUntil(camera Camera) time.Time {
	if camera.RetainDays == 0 {
		return time.Time{}
	}
	return c.CreatedAt.Add(time.Duration(camera.RetainDays) * 24 * time.Hour)
}

// Outlived reports whether c, of camera, is over its retention at now, so that nobody has to
// be asked before it is disposed of. It is not while the relay still looks at it, and not
// while one of the requests is open that asks for this footage. A legal hold and a release
// are looked at where c is disposed of.
func (c Clip) Outlived(camera Camera, requests []Request, now time.Time) bool {
	until := c.RetainedUntil(camera)
	if until.IsZero() || now.Before(until) || c.State != ClipReady && c.State != ClipRefused {
		return false
	}
	return !slices.ContainsFunc(requests, func(r Request) bool { return r.asksFor(c, camera) })
}

// asksFor reports whether r is pending and asks for footage of camera that c overlaps.
func (r Request) asksFor(c Clip, camera Camera) bool {
	s := r.Claims.Scope
	return r.State == RequestPending && s.Target.Handle == camera.Handle && c.Start.Before(s.To) && !c.End().Before(s.From)
}
