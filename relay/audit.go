package relay

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/gowebpki/jcs"
	"golang.org/x/mod/sumdb/tlog"
)

// EventKind names what happened.
type EventKind string

// The kinds of event. A kind is never renamed: old logs must stay readable.
const (
	RequestReceived     EventKind = "request.received"
	RequestSeen         EventKind = "request.seen"
	RequestDeclined     EventKind = "request.declined"
	RequestReconsidered EventKind = "request.reconsidered" // declining was undone
	RequestWithdrawn    EventKind = "request.withdrawn"
	RequestLapsed       EventKind = "request.lapsed"
	RequestJudged       EventKind = "request.judged"  // the rules looked at it
	RequestStopped      EventKind = "request.stopped" // and closed it

	ReleasePreparing    EventKind = "release.preparing"
	ReleasePrepared     EventKind = "release.prepared"
	ReleaseFailed       EventKind = "release.failed"
	ReleaseEdited       EventKind = "release.edited"
	ReleaseDiscarded    EventKind = "release.discarded"
	ReleaseApproved     EventKind = "release.approved" // signed, and other signatures are needed as well
	ReleaseGranted      EventKind = "release.granted"
	ReleaseRevoked      EventKind = "release.revoked"
	ReleaseExpired      EventKind = "release.expired"
	ReleaseShredded     EventKind = "release.shredded"
	ReleaseAcknowledged EventKind = "release.acknowledged" // the agency has the notice of its end
	LinkRevoked         EventKind = "link.revoked"

	LinkOpened     EventKind = "link.opened" // a code was asked for
	LinkAsked      EventKind = "link.asked"  // for more time
	CodeAccepted   EventKind = "code.accepted"
	CodeRefused    EventKind = "code.refused"
	ViewStarted    EventKind = "view.started"
	ViewEnded      EventKind = "view.ended"
	KeyOpened      EventKind = "release.opened" // a key recipient opened it
	CopyDamaged    EventKind = "copy.damaged"   // its stored bytes are not what was sealed
	CopyDestroyed  EventKind = "copy.destroyed" // the agency attests that it destroyed its copies
	MailSent       EventKind = "mail.sent"
	MailFailed     EventKind = "mail.failed"
	UploadBegun    EventKind = "upload.begun"
	UploadDropped  EventKind = "upload.dropped" // given up, refused or expired; what had come of it is destroyed
	ClipReceivedEv EventKind = "clip.received"
	ClipReadyEv    EventKind = "clip.ready"
	ClipRefusedEv  EventKind = "clip.refused"
	ClipDisposedEv EventKind = "clip.disposed"

	AgencyRegistered EventKind = "agency.registered"
	AgencyChanged    EventKind = "agency.changed"
	AgencyInvited    EventKind = "agency.invited" // to hand over its name and keys
	AgencyOffered    EventKind = "agency.offered" // and it did
	AgencyUninvited  EventKind = "agency.uninvited"
	KeyAdded         EventKind = "key.added"
	KeyChanged       EventKind = "key.changed"
	CameraChanged    EventKind = "camera.changed"
	CameraMasked     EventKind = "camera.masked" // other areas are hidden in every release from now on
	MemberInvited    EventKind = "member.invited"
	MemberJoined     EventKind = "member.joined"
	MemberRemoved    EventKind = "member.removed"
	MemberSignedIn   EventKind = "member.signed_in"
	MemberRecovered  EventKind = "member.recovered" // came back without a passkey
	PasskeyAdded     EventKind = "passkey.added"
	PasskeyRevoked   EventKind = "passkey.revoked"
	CodesMade        EventKind = "recovery.codes"  // recovery codes of a member; earlier ones are void
	NoticesChanged   EventKind = "notices.changed" // what a member is told of, or the service that it goes to
	ApprovalsFrozen  EventKind = "approvals.frozen"
	Started          EventKind = "relay.started"

	RequestCalledBack EventKind = "request.called_back" // a member called the agency about an emergency
	RuleAdded         EventKind = "rule.added"
	RuleChanged       EventKind = "rule.changed"
	RuleRemoved       EventKind = "rule.removed"
	HoldPlaced        EventKind = "hold.placed"
	HoldLifted        EventKind = "hold.lifted"
	RequestKeyStolen  EventKind = "request.key_compromised" // closed, since the key that signed it was stolen
	RequestGagged     EventKind = "request.gagged"          // a court forbade to speak of it for a while
)

// Data is what an event says besides who, what and when. Values are strings, booleans,
// numbers below 2^53, and lists and maps of those. No name, address, token or code is put in.
type Data map[string]any

// Event is one thing that happened. It is written in the same transaction as the change.
type Event struct {
	Kind    EventKind `json:"kind"`
	Subject string    `json:"subject"` // id of the request, release, clip, member, … it is about
	Actor   string    `json:"actor"`   // member id, agency id, link id, "relay" or "command line"
	At      time.Time `json:"at"`
	Data    Data      `json:"data,omitempty"`
}

// Canonical returns e as canonical JSON (RFC 8785).
func (e Event) Canonical() ([]byte, error) {
	raw, err := json.Marshal(struct {
		V int `json:"v"`
		Event
		At string `json:"at"`
	}{1, e, Stamp(e.At)})
	if err != nil {
		return nil, fmt.Errorf("event %s: %w", e.Kind, err)
	}
	return jcs.Transform(raw)
}

// Entry is one line of the audit log: the public leaf, and, unless it was forgotten, the
// event and the salt that open the leaf's commitment.
type Entry struct {
	Index int64           `json:"index"`           // 0, 1, 2, …
	Leaf  string          `json:"leaf"`            // canonical JSON; what the tree holds
	Event json.RawMessage `json:"event,omitempty"` // canonical JSON of the event
	Salt  string          `json:"salt,omitempty"`  // hex, 32 bytes
}

// leaf is the public form of an entry. It has the same length for every event.
type leaf struct {
	V int    `json:"v"`
	H string `json:"h"` // hour, UTC
	C string `json:"c"` // base64 of HMAC-SHA256(salt, event)
}

// NewEntry makes the entry for canonical event at index, with a fresh 32-byte salt.
func NewEntry(index int64, event, salt []byte, at time.Time) (Entry, error) {
	m := hmac.New(sha256.New, salt)
	m.Write(event)
	raw, err := json.Marshal(leaf{V: 1, H: at.UTC().Format("2006-01-02T15"), C: base64.StdEncoding.EncodeToString(m.Sum(nil))})
	if err != nil {
		return Entry{}, err
	}
	raw, err = jcs.Transform(raw)
	if err != nil {
		return Entry{}, err
	}
	return Entry{Index: index, Leaf: string(raw), Event: event, Salt: hex.EncodeToString(salt)}, nil
}

// LeafHash is the hash of the entry's leaf in the tree (RFC 6962).
func (e Entry) LeafHash() tlog.Hash { return tlog.RecordHash([]byte(e.Leaf)) }

// Check says whether the event that e carries is the one that its leaf commits to. An entry
// whose event was forgotten passes: its leaf still stands in the tree.
func (e Entry) Check() error {
	if e.Event == nil && e.Salt == "" {
		return nil
	}
	salt, err := hex.DecodeString(e.Salt)
	if err != nil || len(salt) != 32 {
		return fmt.Errorf("entry %d: the salt is damaged", e.Index)
	}
	var l leaf
	if err := json.Unmarshal([]byte(e.Leaf), &l); err != nil {
		return fmt.Errorf("entry %d: the leaf is damaged: %w", e.Index, err)
	}
	m := hmac.New(sha256.New, salt)
	m.Write(e.Event)
	if base64.StdEncoding.EncodeToString(m.Sum(nil)) != l.C {
		return fmt.Errorf("entry %d: the event is not the one that was logged", e.Index)
	}
	return nil
}
