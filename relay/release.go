package relay

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// ReleaseState is where a release is.
type ReleaseState string

// The states of a release.
const (
	ReleaseIsPreparing ReleaseState = "preparing" // the worker makes the release copies
	ReleaseIsFailed    ReleaseState = "failed"    // it could not; Failure says why
	ReleaseInReview    ReleaseState = "review"    // copies exist; a person looks at them
	ReleaseIsLive      ReleaseState = "live"      // signed; recipients can watch
	ReleaseIsRevoked   ReleaseState = "revoked"
	ReleaseIsExpired   ReleaseState = "expired"
	ReleaseIsDiscarded ReleaseState = "discarded" // given up before it was signed
)

// Ended reports whether s is final: no access, and every byte and key is to be destroyed.
func (s ReleaseState) Ended() bool {
	return s == ReleaseIsRevoked || s == ReleaseIsExpired || s == ReleaseIsDiscarded
}

// Limits of a lease.
const (
	MaxLease       = 30 * 24 * time.Hour
	MaxViews       = 100
	MaxWindow      = 30 * time.Minute
	ReasonMaxBytes = 300
)

// Style is how targets are hidden.
type Style string

// The styles.
const (
	StyleBlur  Style = "blur"  // a few held, quantised cells, smoothed
	StyleSolid Style = "solid" // one constant colour
)

// Recipient is one whom a release is made for, taken from the request that named it.
type Recipient struct {
	Kind RecipientKind `json:"kind"`
	Addr string        `json:"addr,omitempty"`
	Name string        `json:"name,omitempty"`
	KID  string        `json:"kid,omitempty"`
}

// Draft is what the homeowner chose for a release before it is prepared. It can only be
// narrower than the request.
type Draft struct {
	From       time.Time       `json:"from"`
	To         time.Time       `json:"to"`
	Style      Style           `json:"style"`
	Targets    []string        `json:"targets"` // "faces", "plates"
	Recipients []Recipient     `json:"recipients"`
	Expires    time.Time       `json:"expires"`
	MaxViews   int             `json:"max_views"`           // for each recipient
	Download   bool            `json:"download"`            // whether the recipient is offered a file to keep
	Confirmed  bool            `json:"confirmed,omitempty"` // the member read why the rules hold the request
	Edits      json.RawMessage `json:"edits,omitempty"`     // regions that a person added: a list of [Edit]
}

// Check says why d cannot be made from request r and clip c at now, or nil.
func (d Draft) Check(r Request, c Clip, now time.Time) error {
	s := r.Claims.Scope
	switch {
	case c.State != ClipReady:
		return Invalid("clip", "This clip is %s; choose one that is ready.", c.State)
	case !d.From.Before(d.To):
		return Invalid("to", "The window must end after it starts.")
	case d.From.Before(s.From), d.To.After(s.To):
		return Invalid("from", "The window must lie inside what was asked for: %s to %s.", Stamp(s.From), Stamp(s.To))
	case d.From.Before(c.Start), d.To.After(c.End()):
		return Invalid("from", "The window must lie inside the clip: %s to %s.", Stamp(c.Start), Stamp(c.End()))
	case d.To.Sub(d.From) < time.Second:
		return Invalid("to", "The window must be one second or longer.")
	case d.To.Sub(d.From) > time.Duration(s.MaxDuration)*time.Second:
		return Invalid("to", "The agency asked for at most %d seconds; make the window shorter.", s.MaxDuration)
	case d.To.Sub(d.From) > MaxWindow:
		return Invalid("to", "A release holds at most %s of footage.", MaxWindow)
	case d.Style != StyleBlur && d.Style != StyleSolid:
		return Invalid("style", "Choose blur or solid.")
	case len(d.Recipients) == 0:
		return Invalid("recipients", "Choose at least one recipient.")
	case !d.Expires.After(now.Add(10 * time.Minute)):
		return Invalid("expires", "The lease must run for at least ten minutes.")
	case d.Expires.Sub(now) > MaxLease:
		return Invalid("expires", "A lease runs for at most %d days.", int(MaxLease.Hours()/24))
	case d.MaxViews < 1 || d.MaxViews > MaxViews:
		return Invalid("max_views", "Allow 1 to %d views.", MaxViews)
	}
	for _, t := range []string{"faces", "plates"} {
		if !slices.Contains(d.Targets, t) {
			return Invalid("targets", "Faces and plates are always hidden.")
		}
	}
	for i, x := range d.Recipients {
		if !slices.Contains(r.Claims.Recipients, RecipientAsk(x)) {
			return Invalid("recipients", "A release goes only to recipients that the request names.")
		}
		if slices.Contains(d.Recipients[:i], x) {
			return Invalid("recipients", "A recipient is named twice.")
		}
	}
	if _, err := ParseEdits(d.Edits, d.To.Sub(d.From)); err != nil {
		return err
	}
	return r.Terms().check(d, r, now)
}

// Copy is the release copy made for one recipient: its own encode with its own notice,
// sealed under its own key, which is named by ID in the key store.
type Copy struct {
	ID        string // "r" and an id; also the key's name
	ReleaseID string
	Recipient Recipient
	Object    string // name in the object store; empty until prepared
	Bytes     int64  // of the plaintext file
	SHA256    string // hex, of the plaintext file
}

// Release is the act and record of making release copies available.
type Release struct {
	ID         string
	RequestID  string
	ClipID     string
	Draft      Draft
	State      ReleaseState
	Round      int // counts preparations, so that a late worker cannot overwrite a newer one
	Epoch      int // counts endings; a view session of an older epoch is dead
	PreparedBy string
	Failure    string // why preparing failed, for the home
	Progress   int    // 0 to 100 while preparing
	Copies     []Copy
	Proxy      string          // object of the unredacted review proxy, sealed under key "p" and the release id
	ProxyBytes int64           //
	Summary    json.RawMessage // [Summary] of the redaction, set in review and later
	NeedsLook  bool            // the engine was unsure; a person must say that they looked
	Grant      []byte          // canonical grant, set when live
	GrantID    string
	GrantedAt  time.Time
	ExpiresAt  time.Time // when live: the grant's end
	EndedAt    time.Time
	EndReason  string
	EndedBy    string
	ShreddedAt time.Time // keys and objects destroyed
	CreatedAt  time.Time
	UpdatedAt  time.Time
}

// Summary is what the redaction of a release came to, the same for all its copies.
type Summary struct {
	Frames     int                `json:"frames"`
	FPS        float64            `json:"fps"`
	Width      int                `json:"width"`
	Height     int                `json:"height"`
	Tracks     map[string]int     `json:"tracks"`               // by kind: face, plate, edit, mask; uncovered
	Masks      []Mask             `json:"masks,omitempty"`      // of the camera, as they were when the copies were made
	MaskSet    int                `json:"mask_set"`             // [Camera.MaskVersion] at that time
	Spans      []TrackSpan        `json:"spans,omitempty"`      // at most [MaxSpans] of the tracks, those that are least certain
	Exceptions []Exception        `json:"exceptions,omitempty"` // what is left visible
	Findings   []Doubt            `json:"findings"`
	Gates      []Gate             `json:"gates"`
	Detectors  []Tool             `json:"detectors"`
	Tools      []Tool             `json:"tools"`
	SourceSHA  string             `json:"source_sha256"` // of the normalised footage
	SourceFrom string             `json:"from"`          // actual start of the first frame
	SourceTo   string             `json:"to"`
	Seconds    map[string]float64 `json:"seconds"` // by stage
}

// MaxSpans is of how many tracks a summary says when they are seen.
const MaxSpans = 100

// TrackSpan is one thing that is hidden, from when to when.
type TrackSpan struct {
	Kind string  `json:"kind"` // as in [Summary.Tracks]
	From float64 `json:"from"` // seconds from the start of the release copy
	To   float64 `json:"to"`
	Sure string  `json:"sure"` // "clear", "fair" or "faint"; empty where a person drew it
	// Of what the detectors found:
	ID   string    `json:"id,omitempty"`   // in this round
	Keys []EditKey `json:"keys,omitempty"` // some places, from the first to the last; none when it was never in the picture
	Open bool      `json:"open,omitempty"` // it is left visible
}

// Doubt is a moment at which the redactor was unsure.
type Doubt struct {
	At    float64 `json:"at"`              // seconds from the start of the release copy
	Until float64 `json:"until,omitempty"` // seconds; zero where it is one moment
	Kind  string  `json:"kind"`
	Why   string  `json:"why"`
}

// Gate is one check that a release copy had to pass.
type Gate struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

// Tool names a program or model that took part, by version or digest.
type Tool struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	SHA256  string `json:"sha256,omitempty"`
}

// PrepareRelease starts a release of clip c for request r as member chose it.
func PrepareRelease(id string, r Request, c Clip, d Draft, member string, now time.Time) (Release, Event, error) {
	if !r.Open(now) {
		return Release{}, Event{}, fmt.Errorf("the request is closed: %w", ErrState)
	}
	if err := d.Check(r, c, now); err != nil {
		return Release{}, Event{}, err
	}
	if edits, err := decodeEdits(d.Edits); err != nil || slices.ContainsFunc(edits, Edit.excepts) {
		return Release{}, Event{}, errors.Join(err, Invalid("edits", "Nothing can be uncovered before the first copies were made and looked at."))
	}
	rel := Release{ID: id, RequestID: r.ID, ClipID: c.ID, Draft: d, State: ReleaseIsPreparing, Round: 1, PreparedBy: member, CreatedAt: now, UpdatedAt: now}
	for _, x := range d.Recipients {
		rel.Copies = append(rel.Copies, Copy{ID: "r" + NewID(), ReleaseID: id, Recipient: x})
	}
	return rel, Event{Kind: ReleasePreparing, Subject: id, Actor: member, At: now, Data: Data{
		"request": r.ID, "clip": c.ID, "from": Stamp(d.From), "to": Stamp(d.To), "recipients": len(d.Recipients), "round": 1,
	}}, nil
}

func (rel Release) from(states ...ReleaseState) error {
	if !slices.Contains(states, rel.State) {
		return fmt.Errorf("the release is %s: %w", rel.State, ErrState)
	}
	return nil
}

// Prepared moves rel to review with the copies that the worker made in round.
func (rel *Release) Prepared(round int, copies []Copy, proxy string, proxyBytes int64, s Summary, now time.Time) (Event, error) {
	if err := rel.from(ReleaseIsPreparing); err != nil {
		return Event{}, err
	}
	if round != rel.Round {
		return Event{}, fmt.Errorf("round %d is over, this is round %d: %w", round, rel.Round, ErrConflict)
	}
	raw, err := json.Marshal(s)
	if err != nil {
		return Event{}, err
	}
	var sums []any
	for _, c := range copies {
		sums = append(sums, c.SHA256)
	}
	rel.State, rel.Copies, rel.Proxy, rel.ProxyBytes, rel.Summary, rel.Progress, rel.Failure, rel.UpdatedAt =
		ReleaseInReview, copies, proxy, proxyBytes, raw, 100, "", now
	rel.NeedsLook = len(s.Findings) > 0 || slices.ContainsFunc(s.Gates, func(g Gate) bool { return !g.OK })
	e := Event{Kind: ReleasePrepared, Subject: rel.ID, Actor: "relay", At: now, Data: Data{
		"round": round, "outputs": sums, "findings": len(s.Findings), "frames": s.Frames, "source": s.SourceSHA,
	}}
	if n := len(s.Exceptions); n > 0 {
		e.Data["uncovered"] = n
	}
	return e, nil
}

// Fail records that preparing failed, with a reason for the home.
func (rel *Release) Fail(round int, reason string, now time.Time) (Event, error) {
	if err := rel.from(ReleaseIsPreparing); err != nil {
		return Event{}, err
	}
	if round != rel.Round {
		return Event{}, fmt.Errorf("round %d is over, this is round %d: %w", round, rel.Round, ErrConflict)
	}
	rel.State, rel.Failure, rel.UpdatedAt = ReleaseIsFailed, reason, now
	return Event{Kind: ReleaseFailed, Subject: rel.ID, Actor: "relay", At: now, Data: Data{"round": round}}, nil
}

// Edit sends rel back to be prepared with another draft: after a look, or after a failure.
// It keeps the recipients, whose copies get new identifiers and so new keys.
func (rel *Release) Edit(r Request, c Clip, d Draft, member string, now time.Time) (Event, error) {
	if err := rel.from(ReleaseInReview, ReleaseIsFailed); err != nil {
		return Event{}, err
	}
	if !r.Open(now) {
		return Event{}, fmt.Errorf("the request is closed: %w", ErrState)
	}
	if err := d.Check(r, c, now); err != nil {
		return Event{}, err
	}
	rel.State, rel.Draft, rel.Failure, rel.Progress, rel.UpdatedAt = ReleaseIsPreparing, d, "", 0, now
	rel.Round++
	rel.Copies, rel.Proxy, rel.ProxyBytes, rel.Summary, rel.NeedsLook = nil, "", 0, nil, false
	for _, x := range d.Recipients {
		rel.Copies = append(rel.Copies, Copy{ID: "r" + NewID(), ReleaseID: rel.ID, Recipient: x})
	}
	e := Event{Kind: ReleaseEdited, Subject: rel.ID, Actor: member, At: now, Data: Data{
		"round": rel.Round, "from": Stamp(d.From), "to": Stamp(d.To),
	}}
	if edits, err := decodeEdits(d.Edits); err != nil {
		return Event{}, err
	} else if n := len(slices.DeleteFunc(edits, func(x Edit) bool { return !x.excepts() })); n > 0 {
		e.Data["to_uncover"] = n
	}
	return e, nil
}

// Discard gives rel up before it was signed.
func (rel *Release) Discard(member string, now time.Time) (Event, error) {
	if err := rel.from(ReleaseIsPreparing, ReleaseIsFailed, ReleaseInReview); err != nil {
		return Event{}, err
	}
	rel.end(ReleaseIsDiscarded, member, "", now)
	return Event{Kind: ReleaseDiscarded, Subject: rel.ID, Actor: member, At: now}, nil
}

// Sign adds the last of the signatures by to grant g of rel, whose canonical bytes a passkey of
// each of these members signed. With as many as need asks for (one, when it is nil) rel goes
// live; with fewer it stays in review and waits for the others. The caller has checked the
// signatures. g must name exactly the copies under review, and they must have passed every
// check: nobody's word stands in for one that failed. masks are those that the camera has now.
func (rel *Release) Sign(r Request, g Grant, canonical []byte, need *GrantQuorum, by []Signer, masks []Mask, now time.Time) (Event, error) {
	if err := rel.from(ReleaseInReview); err != nil {
		return Event{}, err
	}
	if !r.Open(now) {
		return Event{}, fmt.Errorf("the request is closed: %w", ErrState)
	}
	if err := rel.checkGates(); err != nil {
		return Event{}, err
	}
	if err := rel.CheckMasks(masks); err != nil {
		return Event{}, err
	}
	if err := g.Covers(*rel, r); err != nil {
		return Event{}, err
	}
	if !g.Quorum.same(need) {
		return Event{}, fmt.Errorf("the grant names another number of signatures than the home needs: %w", ErrPolicy)
	}
	if err := rel.checkSigners(g, by); err != nil {
		return Event{}, err
	}
	expires, err := time.Parse(time.RFC3339, g.Access.Expires)
	if err != nil || !now.Before(expires) {
		return Event{}, fmt.Errorf("the grant has expired: %w", ErrState)
	}
	last := by[len(by)-1]
	e := Event{Kind: ReleaseGranted, Subject: rel.ID, Actor: last.Member, At: now, Data: Data{
		"grant": g.GrantID, "grant_sha256": GrantHash(canonical), "request_sha256": r.SHA256, "looked": last.Looked,
	}}
	rel.UpdatedAt = now
	if n := len(g.Redaction.Exceptions); n > 0 {
		e.Data["uncovered"] = n
	}
	if need != nil {
		e.Data["signers"] = signersData(by)
	}
	if len(by) < g.Signatures() {
		e.Kind, e.Data["needed"] = ReleaseApproved, g.Signatures()
		return e, nil
	}
	rel.State, rel.Grant, rel.GrantID, rel.GrantedAt, rel.ExpiresAt = ReleaseIsLive, canonical, g.GrantID, now, expires
	return e, nil
}

// report is what the redactor said of the copies.
func (rel Release) report() (s Summary, err error) {
	if err := json.Unmarshal(rel.Summary, &s); err != nil {
		return s, fmt.Errorf("release %s: what the redactor reported cannot be read: %w", rel.ID, err)
	}
	return s, nil
}

// MadeWith returns the camera's masks that are in the copies, and their hash for a grant.
func (rel Release) MadeWith() ([]Mask, string, error) {
	s, err := rel.report()
	if err != nil {
		return nil, "", err
	}
	hash, err := HashMasks(s.Masks)
	return s.Masks, hash, err
}

// CheckMasks says why the copies of rel may not leave when the camera has the masks now, or nil:
// they show something that the home has hidden since. Masks that hide less are no reason, since the
// copies then hide more than they must.
func (rel Release) CheckMasks(now []Mask) error {
	made, _, err := rel.MadeWith()
	if err != nil {
		return err
	}
	if HideMore(now, made) {
		return Invalid("", "The masks of the camera now hide more than this copy does, so it cannot be approved. Prepare it again and look at the new copy.")
	}
	return nil
}

// checkGates says which check of the copies failed, or nil.
func (rel Release) checkGates() error {
	s, err := rel.report()
	if err != nil {
		return err
	}
	for _, g := range s.Gates {
		if !g.OK {
			return Invalid("", "A check of the release copy failed (%s), so it cannot be released. Change the release and prepare it again.", g.Name)
		}
	}
	return nil
}

// Revoke ends rel early. Access is over when the change commits.
func (rel *Release) Revoke(actor, reason string, now time.Time) (Event, error) {
	if err := rel.from(ReleaseIsLive); err != nil {
		return Event{}, err
	}
	if len(reason) > ReasonMaxBytes {
		return Event{}, Invalid("reason", "Say why in at most %d characters.", ReasonMaxBytes)
	}
	rel.end(ReleaseIsRevoked, actor, reason, now)
	return Event{Kind: ReleaseRevoked, Subject: rel.ID, Actor: actor, At: now}, nil
}

// Expire ends rel once its time has passed.
func (rel *Release) Expire(now time.Time) (Event, error) {
	if err := rel.from(ReleaseIsLive); err != nil {
		return Event{}, err
	}
	if now.Before(rel.ExpiresAt) {
		return Event{}, fmt.Errorf("the lease has not run out: %w", ErrState)
	}
	rel.end(ReleaseIsExpired, "relay", "", now)
	return Event{Kind: ReleaseExpired, Subject: rel.ID, Actor: "relay", At: now}, nil
}

// Acknowledge records that agency, which signed token sha256 for it, has the notice that rel is over.
// It changes nothing. What never was live has no notice, and what is live has none yet: [ErrState].
func (rel Release) Acknowledge(agency, sha256 string, now time.Time) (Event, error) {
	if err := rel.from(ReleaseIsRevoked, ReleaseIsExpired); err != nil {
		return Event{}, err
	}
	return Event{Kind: ReleaseAcknowledged, Subject: rel.ID, Actor: agency, At: now, Data: Data{"acknowledgement_sha256": sha256}}, nil
}

// Shred records that every key and object of an ended release is destroyed.
func (rel *Release) Shred(now time.Time) (Event, error) {
	if !rel.State.Ended() || !rel.ShreddedAt.IsZero() {
		return Event{}, fmt.Errorf("nothing is left to destroy: %w", ErrState)
	}
	rel.ShreddedAt = now
	return Event{Kind: ReleaseShredded, Subject: rel.ID, Actor: "relay", At: now}, nil
}

func (rel *Release) end(s ReleaseState, actor, reason string, now time.Time) {
	rel.State, rel.EndedAt, rel.EndedBy, rel.EndReason, rel.UpdatedAt = s, now, actor, reason, now
	rel.Epoch++
}

// Accessible says why the copies of rel may not be given out at now, or nil. It is asked for
// every range of every playback.
func (rel Release) Accessible(now time.Time) error {
	if rel.State != ReleaseIsLive || !now.Before(rel.ExpiresAt) {
		return fmt.Errorf("not available: %w", ErrNotFound)
	}
	return nil
}

// After returns the state in which event k leaves a release that was in s, and whether the
// rules allow it; "" is a release that is not there yet. An event that moves nothing leaves s.
// The log is checked with it.
func (s ReleaseState) After(k EventKind) (ReleaseState, bool) {
	move := func(to ReleaseState, from ...ReleaseState) (ReleaseState, bool) { return to, slices.Contains(from, s) }
	switch k {
	case ReleasePreparing:
		return move(ReleaseIsPreparing, "")
	case ReleasePrepared:
		return move(ReleaseInReview, ReleaseIsPreparing)
	case ReleaseFailed:
		return move(ReleaseIsFailed, ReleaseIsPreparing)
	case ReleaseEdited:
		return move(ReleaseIsPreparing, ReleaseInReview, ReleaseIsFailed)
	case ReleaseDiscarded:
		return move(ReleaseIsDiscarded, ReleaseIsPreparing, ReleaseIsFailed, ReleaseInReview)
	case ReleaseApproved:
		return move(ReleaseInReview, ReleaseInReview)
	case ReleaseGranted:
		return move(ReleaseIsLive, ReleaseInReview)
	case ReleaseRevoked:
		return move(ReleaseIsRevoked, ReleaseIsLive)
	case ReleaseExpired:
		return move(ReleaseIsExpired, ReleaseIsLive)
	case ReleaseShredded:
		return move(s, ReleaseIsRevoked, ReleaseIsExpired, ReleaseIsDiscarded)
	case ReleaseAcknowledged:
		return move(s, ReleaseIsRevoked, ReleaseIsExpired)
	default:
		return s, s != ""
	}
}
