package relay

import (
	"fmt"
	"time"
)

// Limits of the lane exigent: what cannot wait for a court is small and short.
const (
	ExigentMaxWindow = 15 * time.Minute // of footage
	ExigentMaxLease  = 72 * time.Hour   // of access
	FollowUpWithin   = 72 * time.Hour   // after the release, for the agency to file the basis that it had no time for
	CallNoteMax      = 500
)

// Terms bound a release to a request: what its lane allows and what the home's rules left.
type Terms struct {
	Length        time.Duration // of footage
	Lease         time.Duration
	Views         int
	Hold          bool // a member confirms that they read why
	Quorum        int  // members that sign by the home's rules; 0: as without
	KeyOnly       bool
	FullRedaction bool
	CallBack      bool // the agency is called on its registered number before anything is prepared
	Compelled     bool // recorded as compelled, never as consent
}

// Terms returns the terms of a release to r.
func (r Request) Terms() Terms {
	v := r.Verdict
	t := Terms{
		Length: MaxWindow, Lease: MaxLease, Views: MaxViews, Hold: v.Hold, Quorum: v.Quorum, KeyOnly: v.KeyOnly, FullRedaction: v.FullRedaction,
		Compelled: r.Compelled(),
	}
	if v.MaxMinutes > 0 {
		t.Length = min(t.Length, time.Duration(v.MaxMinutes)*time.Minute)
	}
	if v.MaxDays > 0 {
		t.Lease = min(t.Lease, time.Duration(v.MaxDays)*24*time.Hour)
	}
	if v.MaxViews > 0 {
		t.Views = min(t.Views, v.MaxViews)
	}
	if r.Claims.Lane == LaneExigent {
		t.Length, t.Lease, t.CallBack = min(t.Length, ExigentMaxWindow), min(t.Lease, ExigentMaxLease), true
	}
	return t
}

// check says why d goes beyond what t allows for r at now, or nil.
func (t Terms) check(d Draft, r Request, now time.Time) error {
	switch {
	case t.CallBack && r.CalledAt.IsZero():
		return Invalid("", "This came as an emergency. Call the agency first, on the number that you registered, and write down whom you spoke to.")
	case d.To.Sub(d.From) > t.Length:
		return Invalid("to", "For this request at most %s of footage can be given. Make the window shorter.", t.Length)
	case d.Expires.Sub(now) > t.Lease:
		return Invalid("hours", "For this request a link works for at most %d hours.", int(t.Lease.Hours()))
	case d.MaxViews > t.Views:
		return Invalid("max_views", "For this request at most %d views can be allowed.", t.Views)
	case t.FullRedaction && d.Style != StyleSolid:
		return Invalid("style", "Your rules ask for solid colour here.")
	case t.Hold && !d.Confirmed:
		return Invalid("confirmed", "Your rules hold this request. Read why, and tick that you did.")
	}
	for _, x := range d.Recipients {
		if t.KeyOnly && x.Kind != RecipientKey {
			return Invalid("recipients", "Your rules allow only recipients that prove a key here, not mailboxes.")
		}
	}
	return nil
}

// Compelled reports whether r says that it compels the home. What is given then is recorded as
// compelled, never as consent.
func (r Request) Compelled() bool { return r.Claims.LegalBasis.Compulsory }

// CallBack records that a member called the agency on its registered number about r, and what
// came of it.
func (r *Request) CallBack(member, note string, now time.Time) (Event, error) {
	switch {
	case r.Claims.Lane != LaneExigent, r.State != RequestPending, !r.CalledAt.IsZero():
		return Event{}, fmt.Errorf("no call is waited for: %w", ErrState)
	case !length(note, 10, CallNoteMax):
		return Event{}, Invalid("note", "Write down in 10 to %d characters whom you spoke to and what they said.", CallNoteMax)
	}
	r.CalledAt, r.CallNote = now, note
	return Event{Kind: RequestCalledBack, Subject: r.ID, Actor: member, At: now}, nil
}

// FollowUp is the legal basis that an agency owes after an emergency.
type FollowUp struct {
	Due      time.Time
	Request  string // id of the request that gives it; "" while there is none
	Breached bool   // it did not come in time
}

// FollowUp says what the agency owes after a release to r, given the requests that came
// since; owed is false when it owes nothing.
func (r Request) FollowUp(later []Request, now time.Time) (f FollowUp, owed bool) {
	if r.Claims.Lane != LaneExigent || r.ReleasedAt.IsZero() {
		return f, false
	}
	f.Due = r.ReleasedAt.Add(FollowUpWithin)
	f.Breached = now.After(f.Due)
	for _, q := range later {
		if q.AgencyID == r.AgencyID && q.Claims.Amends != nil && *q.Claims.Amends == r.SHA256 && q.Claims.Lane == LaneLegalProcess {
			f.Request, f.Breached = q.ID, q.ReceivedAt.After(f.Due)
		}
	}
	return f, true
}

// LegalHold keeps the originals that an order names from being disposed of. It stops no
// revocation and no expiry of a release.
type LegalHold struct {
	ID        string
	RequestID string
	CameraID  string // "" when the home has no camera of the name
	Handle    string // as the agency wrote it
	From, To  time.Time
	PlacedAt  time.Time
	LiftedAt  time.Time // zero while it stands
	LiftedBy  string
	Reason    string // why it was lifted
}

// HoldFor returns the hold that r asks for by compelling, or false.
func HoldFor(id string, r Request, camera *Camera, now time.Time) (LegalHold, Event, bool) {
	if !r.Compelled() {
		return LegalHold{}, Event{}, false
	}
	s := r.Claims.Scope
	h := LegalHold{ID: id, RequestID: r.ID, Handle: s.Target.Handle, From: s.From, To: s.To, PlacedAt: now}
	if camera != nil {
		h.CameraID = camera.ID
	}
	return h, Event{Kind: HoldPlaced, Subject: id, Actor: "relay", At: now, Data: Data{"request": r.ID}}, true
}

// Lift ends h, with a reason for the record.
func (h *LegalHold) Lift(member, reason string, now time.Time) (Event, error) {
	switch {
	case !h.LiftedAt.IsZero():
		return Event{}, fmt.Errorf("the hold was lifted before: %w", ErrState)
	case !length(reason, 10, ReasonMaxBytes):
		return Event{}, Invalid("reason", "Say in 10 to %d characters why the footage need not be kept any more.", ReasonMaxBytes)
	}
	h.LiftedAt, h.LiftedBy, h.Reason = now, member, reason
	return Event{Kind: HoldLifted, Subject: h.ID, Actor: member, At: now, Data: Data{"request": h.RequestID}}, nil
}

// Covers reports whether h keeps clip c of camera from being disposed of.
func (h LegalHold) Covers(c Clip, camera Camera) bool {
	return h.LiftedAt.IsZero() && (h.CameraID == camera.ID || h.Handle == camera.Handle) && c.Start.Before(h.To) && !c.End().Before(h.From)
}
