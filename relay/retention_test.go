package relay

import (
	"testing"
	"time"
)

func TestOutlived(t *testing.T) {
	camera := Camera{ID: "cam", Handle: "front-door", RetainDays: 30}
	clip := Clip{CameraID: "cam", State: ClipReady, Start: start.Add(-48 * time.Hour), Duration: time.Minute, CreatedAt: start}
	over := start.Add(30 * 24 * time.Hour)
	open := Request{State: RequestPending, Claims: Claims{Scope: Scope{Target: Target{Handle: "front-door"}, From: clip.Start.Add(-time.Hour), To: clip.Start.Add(time.Second)}}}
	other := func(change func(*Request)) []Request {
		r := open
		change(&r)
		return []Request{r}
	}
	for _, tt := range []struct {
		name     string
		days     int
		state    ClipState
		requests []Request
		now      time.Time
		want     bool
	}{
		{"on its last day", 30, ClipReady, nil, over.Add(-time.Millisecond), false},
		{"over", 30, ClipReady, nil, over, true},
		{"refused and over", 30, ClipRefused, nil, over, true},
		{"kept until deleted", 0, ClipReady, nil, over.Add(1e6 * time.Hour), false},
		{"a longer retention", 31, ClipReady, nil, over, false},
		{"not looked at yet", 30, ClipReceived, nil, over, false},
		{"gone already", 30, ClipDisposed, nil, over, false},
		{"asked for", 30, ClipReady, []Request{open}, over, false},
		{"asked for, closed", 30, ClipReady, other(func(r *Request) { r.State = RequestClosed }), over, true},
		{"another camera is asked for", 30, ClipReady, other(func(r *Request) { r.Claims.Scope.Target.Handle = "garage" }), over, true},
		{"the hour before is asked for", 30, ClipReady, other(func(r *Request) { r.Claims.Scope.To = clip.Start }), over, true},
		{"the hour after is asked for", 30, ClipReady, other(func(r *Request) {
			r.Claims.Scope.From, r.Claims.Scope.To = clip.End().Add(time.Second), clip.End().Add(time.Hour)
		}), over, true},
		{"asked for among others", 30, ClipReady, []Request{{}, open}, over, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cam, c := camera, clip
			cam.RetainDays, c.State = tt.days, tt.state
			if got := c.Outlived(cam, tt.requests, tt.now); got != tt.want {
				t.Errorf("outlived: %t, want %t", got, tt.want)
			}
		})
	}
}
