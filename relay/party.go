package relay

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Role is what a member of the home may do. Giving away needs more than taking back:
// every role that can sign in may decline and revoke.
type Role string

// The roles, from the widest to the narrowest.
const (
	RoleHomeowner Role = "homeowner" // everything, and the only one who changes agencies, cameras and members
	RoleApprover  Role = "approver"  // prepares, reviews and signs
	RoleMember    Role = "member"    // sees, declines, revokes
	RoleOperator  Role = "operator"  // keeps the machine running; sees no footage, signs nothing
)

// Roles lists every [Role].
func Roles() []Role { return []Role{RoleHomeowner, RoleApprover, RoleMember, RoleOperator} }

// CanSign reports whether r may prepare, review and sign a release.
func (r Role) CanSign() bool { return r == RoleHomeowner || r == RoleApprover }

// CanSee reports whether r may see requests, clips and releases.
func (r Role) CanSee() bool { return r.CanSign() || r == RoleMember }

// CanRevoke reports whether r may end a release. Every member of the home may.
func (r Role) CanRevoke() bool { return r.CanSee() }

// CanManage reports whether r may change agencies, cameras, members and settings.
func (r Role) CanManage() bool { return r == RoleHomeowner }

// Member is a person of the home who can sign in.
type Member struct {
	ID        string
	Name      string
	Email     string // where notices go; never a way to sign in
	Role      Role
	CreatedAt time.Time
	RemovedAt time.Time // zero while the member belongs to the home
	Language  string    // of pages and mails, such as "nl"; empty: as the browser asks
	Zone      string    // time zone of pages (IANA); empty: the home's
}

// Level is the level of government an agency belongs to.
type Level string

// The levels.
const (
	LevelLocal   Level = "local"
	LevelCounty  Level = "county"
	LevelState   Level = "state"
	LevelFederal Level = "federal"
	LevelOther   Level = "other"
)

// Levels lists every [Level].
func Levels() []Level {
	return []Level{LevelLocal, LevelCounty, LevelState, LevelFederal, LevelOther}
}

// AgencyStatus says whether an agency may file requests.
type AgencyStatus string

// The statuses of an agency.
const (
	AgencyActive    AgencyStatus = "active"
	AgencySuspended AgencyStatus = "suspended"
)

// Agency is an organisation that the homeowner registered after checking who it is.
type Agency struct {
	ID            string // "urn:cliplease:agency:…"
	Name          string
	Level         Level
	Jurisdiction  string
	Domains       []string // mail domains its recipients may have, lower case
	Phone         string   // records office, found independently of what the agency sent
	Complaints    string   // where a person complains about it
	Status        AgencyStatus
	VerifiedBy    string // member who checked, or "command line"
	VerifiedHow   string // "called +1… found on the city's site and compared the eight words"
	VerifiedAt    time.Time
	VerifiedUntil time.Time
	CreatedAt     time.Time
}

// MayReceive reports whether addr is in one of the agency's mail domains.
func (a Agency) MayReceive(addr string) bool {
	at := strings.LastIndexByte(addr, '@')
	return at > 0 && slices.Contains(a.Domains, strings.ToLower(addr[at+1:]))
}

// CheckAgencyID says what is wrong with an agency's id, or nil.
func CheckAgencyID(id string) error {
	if !strings.HasPrefix(id, "urn:cliplease:agency:") || len(id) < 24 || len(id) > 120 || strings.ContainsFunc(id, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == ':' || r == '-' || r == '.')
	}) {
		return Invalid("id", "An agency's id is urn:cliplease:agency: and a name in small letters, digits, dots and dashes, such as urn:cliplease:agency:us-mn-exampleville-pd.")
	}
	return nil
}

// Validate checks what a person typed about an agency.
func (a Agency) Validate() error {
	if err := CheckAgencyID(a.ID); err != nil {
		return err
	}
	switch {
	case strings.TrimSpace(a.Name) == "" || len(a.Name) > 200:
		return Invalid("name", "Give the agency's full name (up to 200 characters).")
	case !slices.Contains(Levels(), a.Level):
		return Invalid("level", "The level is one of %v.", Levels())
	case len(a.Domains) == 0:
		return Invalid("domains", "Name at least one mail domain that its recipients have, such as police.example.")
	}
	for _, d := range a.Domains {
		if d != strings.ToLower(d) || !strings.Contains(d, ".") || strings.ContainsAny(d, "@ /\r\n\t") {
			return Invalid("domains", "%q is not a mail domain; write it like police.example.", d)
		}
	}
	return nil
}

// KeyStatus says what a signature by an agency's key is worth.
type KeyStatus string

// The statuses of a key. Keys are never deleted, since old signatures must stay checkable.
const (
	KeyActive      KeyStatus = "active"
	KeyRetired     KeyStatus = "retired"
	KeyCompromised KeyStatus = "compromised"
)

// AgencyKey is one public key pinned to one agency and one algorithm.
type AgencyKey struct {
	KID       string // RFC 7638 thumbprint, base64url, 43 characters
	AgencyID  string
	Alg       string // "EdDSA" or "ES256"
	JWK       string // the public key as JSON (RFC 7517), required members only
	NotBefore time.Time
	NotAfter  time.Time
	Status    KeyStatus
	Since     time.Time // when Status last changed
}

// Usable says why k may not sign at now, or nil.
func (k AgencyKey) Usable(now time.Time) error {
	switch {
	case k.Status != KeyActive:
		return fmt.Errorf("key is %s: %w", k.Status, ErrPolicy)
	case now.Before(k.NotBefore), !now.Before(k.NotAfter):
		return fmt.Errorf("key is outside its time: %w", ErrPolicy)
	}
	return nil
}

// Camera is one device of the home.
type Camera struct {
	ID          string
	Handle      string        // what agencies name in a request, such as "front-door"
	Name        string        // what the home calls it
	Zone        string        // IANA time zone of its clock, such as "Europe/Amsterdam"
	ClockOffset time.Duration // how far its clock is ahead; taken off when a clip arrives
	Interior    bool          // looks into the home
	Masks       []Mask
	MaskVersion int // counts the changes of Masks; see [Camera.SetMasks]
	RetainDays  int // that a clip is kept after it arrived; 0: until a member deletes it
	CreatedAt   time.Time
}

// ClipState is where a clip is between arrival and disposal.
type ClipState string

// The states of a clip.
const (
	ClipReceived ClipState = "received" // sealed, not yet looked at
	ClipReady    ClipState = "ready"    // probed, thumbnails made
	ClipRefused  ClipState = "refused"  // cannot be read; Reason says why
	ClipDisposed ClipState = "disposed" // bytes gone, the record stays
)

// Clip is one span of time from one camera. The original is sealed in the object store.
type Clip struct {
	ID        string
	CameraID  string
	Name      string // file name as uploaded, for the home's eyes only
	Start     time.Time
	Duration  time.Duration // zero until probed
	State     ClipState
	Reason    string // why it was refused
	Object    string // sealed original
	Bytes     int64
	SHA256    string // hex digest of the original
	Salt      string // hex, 32 bytes; Commit hides SHA256 with it
	Width     int
	Height    int
	FPS       float64
	Codec     string
	Audio     bool
	Stills    []string // object names of thumbnails, sealed to the vault, in time order
	CreatedAt time.Time
}

// End is when the clip's last frame was taken.
func (c Clip) End() time.Time { return c.Start.Add(c.Duration) }
