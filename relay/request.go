package relay

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"
)

// RequestState is where a request is, as the home sees it.
type RequestState string

// The states of a request.
const (
	RequestPending RequestState = "pending"
	RequestClosed  RequestState = "closed"
)

// CloseReason says why a request is closed. It never reaches the agency.
type CloseReason string

// The reasons.
const (
	ClosedDeclined  CloseReason = "declined"
	ClosedWithdrawn CloseReason = "withdrawn"
	ClosedByRule    CloseReason = "rule"
	ClosedDeadline  CloseReason = "deadline"
	ClosedKey       CloseReason = "key" // the agency's key was found compromised
)

// Request is one signed request as the relay received it.
type Request struct {
	ID         string
	AgencyID   string
	KID        string // the key that signed it
	JTI        string
	JWS        string // the compact token exactly as received: the evidence
	SHA256     string // hex digest of JWS
	Claims     Claims
	ReceivedAt time.Time
	RespondBy  time.Time // Claims.RespondBy and a jitter fixed at intake: when silence becomes "closed"
	State      RequestState
	Reason     CloseReason // set when closed
	ClosedAt   time.Time
	SeenAt     time.Time // when a member first opened it; the agency never learns it
	JudgedAt   time.Time // when the rules looked at it
	Verdict    Verdict   // what they said; fixed at JudgedAt
	CalledAt   time.Time // when a member called the agency back about an emergency
	CallNote   string    // whom they spoke to; for the home alone

	// What the agency may learn, besides the time:
	WithdrawnAt time.Time // it withdrew
	ReleaseID   string    // the release made to it last
	ReleasedAt  time.Time
	EndedAt     time.Time // that release was revoked or expired
}

// ReceiveRequest makes the record of a request whose signature and claims were checked.
// jitterKey is the relay's secret for the jitter of deadlines (SECURITY: silence).
func ReceiveRequest(id, kid, jws string, c Claims, jitterKey []byte, now time.Time) (Request, Event) {
	sum := sha256.Sum256([]byte(jws))
	r := Request{
		ID: id, AgencyID: c.Issuer, KID: kid, JTI: c.TokenID, JWS: jws, SHA256: fmt.Sprintf("%x", sum),
		Claims: c, ReceivedAt: now, RespondBy: c.RespondBy.Add(Jitter(jitterKey, id)).UTC(), State: RequestPending,
	}
	return r, Event{Kind: RequestReceived, Subject: id, Actor: c.Issuer, At: now, Data: Data{
		"request_sha256": r.SHA256, "kid": kid, "case": c.Case.Ref, "purpose": string(c.Purpose.Code), "lane": string(c.Lane),
	}}
}

// Jitter is how long after respond_by a request closes by itself: 0 to 60 minutes, fixed for
// a request and unpredictable without the key.
func Jitter(key []byte, requestID string) time.Duration {
	m := hmac.New(sha256.New, key)
	m.Write([]byte("respond_by jitter\x00" + requestID))
	return time.Duration(binary.BigEndian.Uint64(m.Sum(nil))%3600) * time.Second
}

// AgencyView is all that an agency may know of its request.
type AgencyView struct {
	State     string `json:"state"`                // "pending", "released" or "closed"
	ReleaseID string `json:"release_id,omitempty"` // while released
	Ended     bool   `json:"ended,omitempty"`      // closed after a release
}

// AgencyView is a function of the agency's own request, the time, and whether something was
// released to it, and of nothing else: refusal, silence and "no footage" are the same bytes
// at the same moment.
func (r Request) AgencyView(now time.Time) AgencyView {
	switch {
	case !r.EndedAt.IsZero():
		return AgencyView{State: "closed", Ended: true}
	case !r.ReleasedAt.IsZero():
		return AgencyView{State: "released", ReleaseID: r.ReleaseID}
	case !r.WithdrawnAt.IsZero(), !now.Before(r.RespondBy):
		return AgencyView{State: "closed"}
	}
	return AgencyView{State: "pending"}
}

// Open reports whether the home can still answer.
func (r Request) Open(now time.Time) bool {
	return r.State == RequestPending && now.Before(r.RespondBy)
}

// See records that a member opened the request for the first time.
func (r *Request) See(member string, now time.Time) (Event, error) {
	if !r.SeenAt.IsZero() {
		return Event{}, fmt.Errorf("request was seen before: %w", ErrState)
	}
	r.SeenAt = now
	return Event{Kind: RequestSeen, Subject: r.ID, Actor: member, At: now}, nil
}

// Decline closes r for the home. The agency sees what it would have seen anyway.
func (r *Request) Decline(member string, now time.Time) (Event, error) {
	return r.close(ClosedDeclined, RequestDeclined, member, now)
}

// UndoFor is how long a step can be taken back that asks nobody "are you sure".
const UndoFor = 10 * time.Minute

// Reconsider takes back that r was declined: it waits for an answer again. The agency's view, which did
// not change when r was declined, does not change now. It fails with [ErrState] once [UndoFor] or the
// deadline is over, when the agency withdrew r meanwhile, and for what was closed for another reason.
func (r *Request) Reconsider(member string, now time.Time) (Event, error) {
	if !r.CanReconsider(now) {
		return Event{}, fmt.Errorf("declining cannot be undone any more: %w", ErrState)
	}
	r.State, r.Reason, r.ClosedAt = RequestPending, "", time.Time{}
	return Event{Kind: RequestReconsidered, Subject: r.ID, Actor: member, At: now}, nil
}

// CanReconsider reports whether [Request.Reconsider] is still possible.
func (r Request) CanReconsider(now time.Time) bool {
	return r.Reason == ClosedDeclined && r.WithdrawnAt.IsZero() && now.Before(r.ClosedAt.Add(UndoFor)) && now.Before(r.RespondBy)
}

// Withdraw closes r because the agency takes it back. What was released stays as it is. It
// fails with [ErrState] only where the agency's own view is closed already: a request that the
// home declined is withdrawn like one that nobody has seen.
func (r *Request) Withdraw(now time.Time) (Event, error) {
	if !r.WithdrawnAt.IsZero() || r.AgencyView(now).State == "closed" {
		return Event{}, fmt.Errorf("the request is closed: %w", ErrState)
	}
	r.WithdrawnAt = now
	if r.State == RequestPending {
		r.State, r.Reason, r.ClosedAt = RequestClosed, ClosedWithdrawn, now
	}
	return Event{Kind: RequestWithdrawn, Subject: r.ID, Actor: r.AgencyID, At: now}, nil
}

// KeyStolen closes r because the key that signed it was found compromised: nobody knows who
// asked. The agency sees what it would have seen anyway.
func (r *Request) KeyStolen(actor string, now time.Time) (Event, error) {
	return r.close(ClosedKey, RequestKeyStolen, actor, now)
}

// Lapse closes r once its deadline has passed.
func (r *Request) Lapse(now time.Time) (Event, error) {
	if now.Before(r.RespondBy) {
		return Event{}, fmt.Errorf("the deadline has not passed: %w", ErrState)
	}
	return r.close(ClosedDeadline, RequestLapsed, "relay", now)
}

func (r *Request) close(why CloseReason, kind EventKind, actor string, now time.Time) (Event, error) {
	if r.State != RequestPending {
		return Event{}, fmt.Errorf("the request is %s: %w", r.State, ErrState)
	}
	r.State, r.Reason, r.ClosedAt = RequestClosed, why, now
	return Event{Kind: kind, Subject: r.ID, Actor: actor, At: now}, nil
}
