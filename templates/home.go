package templates

import (
	"math"
	"time"
)

// Join is the page on which a new member makes a first passkey.
type Join struct{ Layout }

// SignIn is the page on which a member signs in.
type SignIn struct {
	Layout
	New bool   // nobody belongs to the home yet
	To  string // the page that was asked for; empty for the first one
}

// Inbox is what waits for the home and what is out there.
type Inbox struct {
	Layout
	Open     []RequestCard // wait for an answer
	UnderWay []ReleaseRow
	Live     []ReleaseRow
	NewHome  NewHome
}

// NewHome says what a home still lacks.
type NewHome struct{ Camera, Clip, Agency bool }

// Any reports whether something is lacking.
func (n NewHome) Any() bool { return n.Camera || n.Clip || n.Agency }

// Requests is every request with how it ended.
type Requests struct {
	Layout
	Requests []RequestCard
}

// RequestCard is a request in a few lines. Times carry the camera's zone.
type RequestCard struct {
	ID           string
	Agency       string
	Verified     string // in words
	VerifiedTone string // "good", "warn" or "bad"
	Purpose      string // in words, to follow "about"
	Case         string
	Lane         string
	Urgent       bool
	Camera       string
	CameraKnown  bool
	From, To     time.Time
	Received     time.Time
	Deadline     time.Time
	Left         time.Duration // until the deadline; negative after it
	Open         bool          // can still be answered
	Labels       []string      // that the rules gave it
	State        string        // in words
	StateTone    string
}

// SameDay reports whether the window ends on the day it began.
func (r RequestCard) SameDay() bool {
	return r.From.Format(time.DateOnly) == r.To.Format(time.DateOnly)
}

// Recipient is one whom the agency names.
type Recipient struct {
	Value   string // place in the request
	Name    string
	Address string
	Kind    string // "email" or "key"
	Known   bool   // in one of the agency's mail domains
	Chosen  bool
}

// Request is a request in full.
type Request struct {
	Layout
	RequestCard
	AgencyID, Level, Jurisdiction     string
	Phone, Complaints, VerifiedHow    string
	Officer, Contact                  string
	PurposeText                       string
	Basis, Citation, Document, Served string
	Compulsory                        bool
	CaseOpened                        string
	MaxLength                         time.Duration
	WantsFaces, WantsSound            bool
	Keeps, KeepsText                  string
	Onward                            []string
	OnwardText                        string
	Attests                           bool
	AttestText                        string
	SHA256                            string // of the signed request
	Seen                              bool
	Recipients                        []Recipient
	Releases                          []ReleaseRow
	Ledger                            []LedgerLine // earlier requests that bear on it
	LedgerWords                       []string
	Widens                            bool // it repeats or widens an earlier one
	Findings                          []Finding
	Held                              bool     // by the rules
	Terms                             []string // what the rules leave
	CallBack                          bool     // an emergency: the agency is called first
	CalledAt                          time.Time
	CallNote                          string
	ExigentMinutes, ExigentHours      int
	FollowUp                          *FollowUp // nil when none is owed
	Hold                              *Hold     // nil when it placed none
	ClockOffset                       time.Duration
	ClockAhead                        bool
	Form                              *DraftForm // nil when no camera of the home has the name
	CanPrepare, CanDecline            bool
	CanUndo                           bool // it was declined just now
}

// Leases are the choices for how long a lease runs, in hours.
var Leases = []int{1, 24, 72, 168, 336, 720}

// DraftForm is the form of a release that is to be prepared, or prepared anew.
type DraftForm struct {
	Action     string // where the form goes
	Camera     string
	Zone       string
	Clips      []ClipChoice
	Any        bool // whether one of the clips can be released
	From, To   time.Time
	Min, Max   time.Time
	MaxLength  time.Duration
	Recipients []Recipient
	Hours      int
	MaxViews   int
	Download   bool
	Style      string
	Hold       []string // why the rules hold the request, to be confirmed; empty when they do not
	Confirmed  bool     // it was confirmed before
	Views      int      // at most, for each recipient
	MaxHours   int      // of the lease
	Solid      bool     // solid colour alone
	KeyOnly    bool     // no mailboxes
	Narrowed   bool     // MaxLength is less than the agency asked for
}

// Leases are the choices for how long a lease runs.
func (f DraftForm) Leases() []LeaseChoice {
	var out []LeaseChoice
	for _, h := range Leases {
		if h > f.MaxHours {
			continue
		}
		out = append(out, LeaseChoice{h, time.Duration(h) * time.Hour, h == f.Hours})
	}
	return out
}

// LeaseChoice is one choice for how long a lease runs.
type LeaseChoice struct {
	Hours  int
	Length time.Duration
	Chosen bool
}

// ClipChoice is a clip that falls in the window of a request.
type ClipChoice struct {
	ID         string
	Ready      bool
	Chosen     bool
	State      string
	Start, End time.Time
	From, To   time.Time // what is proposed
	Min, Max   time.Time // what is possible
	Stills     []string  // addresses
}

// Releases is every release, live ones first.
type Releases struct {
	Layout
	CanRevoke bool
	NotBefore string // until when and why nothing can be approved; empty otherwise
	Live      []LiveRelease
	UnderWay  []ReleaseRow
	Over      []ReleaseRow
}

// LiveRelease is a live release with who holds it.
type LiveRelease struct {
	ReleaseRow
	Leases    []Lease
	CanExtend bool
}

// ReleaseRow is a release in a line.
type ReleaseRow struct {
	ID        string
	Agency    string
	Case      string
	Purpose   string
	Camera    string
	From, To  time.Time
	State     string // in words
	StateTone string
	Progress  int // percent
	Expires   time.Time
	Left      time.Duration
	Ended     time.Time
	Views     int
}

// Lease is what one recipient holds.
type Lease struct {
	LinkID      string
	Recipient   string
	Address     string
	Kind        string
	ViewsUsed   int
	MaxViews    int
	Expires     time.Time
	Revoked     time.Time
	Asked       time.Time // when its recipient last asked for more time
	Live        bool
	Mail        string // "waiting", "sent" or "failed"; empty for a system
	MailFailure string // the mail server's last answer
	Views       []Viewing
}

// Viewing is one time that a recipient watched.
type Viewing struct {
	Start, Last, End time.Time // End is zero while it may go on
	Bytes            int64
}

// Release is a release in whatever state it is.
type Release struct {
	Layout
	ReleaseRow
	Request      RequestCard
	Phase        string // "preparing", "failed", "review", "live", "revoked", "expired" or "discarded"
	Zone         string
	Failure      string
	Style        string
	Download     bool
	MaxViews     int
	LeaseEnds    time.Time
	PreparedBy   string
	Copies       []CopyView
	Original     string // address of the review proxy; empty when there is none any more
	Summary      *Summary
	NeedsLook    bool
	Compulsory   bool
	Keeps        string // for how long the agency says it keeps the copy
	Onward       []string
	Form         *DraftForm
	Edits        string // what was drawn, as JSON; empty where nothing can be drawn
	CameraID     string
	Masked       bool // the copy shows what a mask of the camera hides by now
	Able         int  // members who may sign; set where something can be drawn
	Uncovered    []Uncovered
	Closed       bool    // the request cannot be answered any more
	Quorum       *Quorum // nil when one signature is enough
	NotBefore    string  // until when and why nothing can be approved; empty otherwise
	CanSign      bool
	CanEdit      bool
	CanDiscard   bool
	CanRevoke    bool
	CanExtend    bool // a release of the same scope can be made that ends later
	CanPreview   bool
	Words        string // check words of the signed grant
	GrantID      string
	GrantHash    string
	Granted      time.Time
	SignedBy     string
	Leases       []Lease
	EvidenceName string
	EndedBy      string
	EndReason    string
	Shredded     time.Time
	Acknowledged time.Time // when the agency said that it has the notice of the end
	Destroyed    time.Time // when the agency first stated that its copies are destroyed
	Log          []LogLine
}

// Receipt is what a signed grant allows, in words, to keep.
type Receipt struct {
	Layout
	ReleaseRow
	Compelled       bool // by an order, and no consent
	Copies          []CopyView
	Granted, Until  time.Time
	MaxViews        int
	Download        bool
	Style           string
	Drawn           int // regions that a person drew
	Uncovered       []Uncovered
	Use, Keeps      string
	Onward          []string
	SignedBy, Words string
	GrantID         string
	GrantHash       string
	LogIndex        int64
	LogAddress      string
	EvidenceAddress string
	EvidenceName    string
}

// Quorum is who has signed a release that several members have to sign.
type Quorum struct {
	Needed int
	Why    []string // to follow "because"
	Signed []Signed // all but the last
	Mine   bool     // the member who looks has signed
	Able   int      // members who may sign
	Words  string   // check words of what was signed; empty before the first signature
}

// Left is how many signatures are missing.
func (q Quorum) Left() int { return q.Needed - len(q.Signed) }

// Signed is one signature of several.
type Signed struct {
	Name string
	At   time.Time
}

// CopyView is one recipient's release copy.
type CopyView struct {
	ID        string
	Recipient string
	Address   string
	Size      int64
	SHA256    string
	Video     string // address
}

// Summary is what the redaction came to.
type Summary struct {
	Frames, Width, Height int
	FPS                   float64
	Length                time.Duration
	Faces, Plates, Areas  int // tracks that are hidden
	Uncovered             int // tracks that are left visible
	Passed                int // checks
	Failed                []FailedCheck
	Doubts                []Moment
	Masks                 []string // names of the camera's masks in the copy
	Lanes                 []Lane   // of the timeline
	MoreLanes             int      // tracks that the timeline leaves out
}

// Seconds is how long the copy runs.
func (s Summary) Seconds() float64 {
	if s.FPS <= 0 {
		return 0
	}
	return math.Round(float64(s.Frames)/s.FPS*1000) / 1000
}

// Length is how long the track is hidden.
func (l Lane) Length() float64 { return math.Round((l.To-l.From)*1000) / 1000 }

// Lane is one track of the timeline. Times are in seconds from the start.
type Lane struct {
	Name, Sure string
	Number     int // among those of its kind
	From, To   float64
	Doubts     []float64
	Track      string // id of what the detectors found; empty for what cannot be uncovered
	Places     string // where it was, as JSON
	Open       bool   // it is left visible
}

// Uncovered is something that was found and is left visible.
type Uncovered struct {
	What       string // "Face", "Plate"
	From, To   float64
	Reason, By string
}

// FailedCheck is a check that a release copy did not pass.
type FailedCheck struct{ Name, Detail string }

// Moment is a moment at which the redactor was unsure.
type Moment struct {
	At   float64 // seconds from the start
	Kind string
	Why  string
}

// LogLine is an event in plain words.
type LogLine struct {
	Index int64
	At    time.Time
	Kind  string
	Words string
	Link  string // the page that it is about
}

// Notices is what a member is told of, and how.
type Notices struct {
	Layout
	Email         string // of the member; empty: none
	Scheme, Host  string // of the member's service; empty: none is set
	State, Result string // of the newest notice: "", "trying", "sent" or "failed", and what went wrong
	Tried         time.Time
	Kinds         []NoticeChoice
	Examples      []string // addresses of services
	Home          string   // host that links lead to
}

// NoticeChoice is one thing to be told of.
type NoticeChoice struct {
	Kind, Words           string
	Mail, Service, Always bool // Always: by mail, whatever is chosen
}

// Clips is the library.
type Clips struct {
	Layout
	Cameras   []CameraChoice
	Camera    string // shown alone when not empty
	Day       string // shown alone when not empty, such as 2026-11-20
	Days      []ClipDay
	CanUpload bool
	MaxUpload int64
	Working   bool // a clip is being looked at

	Unfinished []Unfinished // uploads of the member that can go on

	Refused        []RefusedFile // that cameras dropped and that could not be taken in
	RefusedUnknown bool          // a watched folder cannot be read
}

// Unfinished is an upload that broke off. Name, size and the file's own time tell the file again.
type Unfinished struct {
	ID, Name, Camera string
	Size             int64
	Modified         int64 // when the file was last changed, in milliseconds since 1970
	Percent          int   // of it that is there
	Start, Until     time.Time
}

// RefusedFile is a file in a watched folder that could not be taken in.
type RefusedFile struct {
	Name, Camera, Reason string
	Size                 int64
	At                   time.Time // when it was last written to
}

// CameraChoice is a camera in a list of choices.
type CameraChoice struct {
	ID, Name, Zone string
	Chosen         bool
}

// ClipDay is the clips of one day.
type ClipDay struct {
	Key   string
	Day   time.Time
	Clips []ClipRow
}

// ClipRow is one clip of the library.
type ClipRow struct {
	ID, Name, Camera string
	Start            time.Time
	Length           time.Duration
	Size             int64
	Stills           []string
	State, Reason    string
	Ready, Gone      bool
	Width, Height    int
	Audio            bool
	CanDispose       bool
	Held             bool      // by an order, so that it cannot be deleted
	Releases         int       // made from it that are not over
	KeptUntil        time.Time // by its camera's retention; zero: no end
}

// Cameras is the page of the home's cameras.
type Cameras struct {
	Layout
	Cameras []CameraForm
	Zone    string // proposed for a new camera
}

// CameraForm is a camera with its properties.
type CameraForm struct {
	ID, Handle, Name, Zone string
	OffsetSeconds          int // that the camera's clock is ahead
	Interior               bool
	Masks                  int
	Hidden                 string    // how much of the picture they hide
	Folder                 string    // it drops clips into; empty: none, or nothing for this member
	RetainDays             int       // that its clips are kept; 0: until somebody deletes them
	Now                    time.Time // what its clock should show
}

// Masks is the page on which the masks of a camera are drawn.
type Masks struct {
	Layout
	ID, Camera string
	Masks      string // as JSON
	Names      []string
	Hidden     string // how much of the picture they hide
	Version    int
	Stills     []MaskStill // of the newest clips; the first is shown
	Shapes     bool        // the clips have pictures of different shapes
	CanDraw    bool
	Affected   []MaskedRelease
	History    []MaskSet // newest first
}

// MaskStill is a still of a clip.
type MaskStill struct {
	Address string
	At      time.Time // start of the clip
}

// MaskedRelease is a release from the camera that is not over, and what its masks mean for it.
type MaskedRelease struct {
	ID, Agency, Case, State, Tone, Words string
}

// MaskSet is the masks from one change on.
type MaskSet struct {
	Version    int
	Since      time.Time
	By, Hidden string
	Names      []string
}

// Agencies is the page of the agencies that may ask.
type Agencies struct {
	Layout
	Agencies    []AgencyRow
	Levels      []string
	Invitations []AgencyInvitation // that are open
	Form        AgencyForm         // what the form to register begins with
}

// AgencyInvitation is an agency that was asked to hand over its name and keys.
type AgencyInvitation struct {
	ID, Name, By string
	Until        time.Time
	Offered      time.Time // zero while it has not answered
	Agency       string    // the name that it gave
}

// AgencyForm is what an invited agency handed over. The telephone number is never among it.
type AgencyForm struct {
	From                                                     string // id of the invitation; "" for an empty form
	ID, Name, Level, Jurisdiction, Domains, Complaints, JWKS string
}

// AgencyRow is an agency with its keys.
type AgencyRow struct {
	ID, Name, Level, Jurisdiction string
	Domains                       []string
	Phone, Complaints             string
	Verified, Tone                string
	VerifiedBy, VerifiedHow       string
	Until                         time.Time
	Suspended                     bool
	Keys                          []AgencyKey
}

// AgencyKey is a key that is pinned to an agency.
type AgencyKey struct {
	KID, Alg, Words, Status string
	From, Until             time.Time
	Active                  bool
	Waits                   bool // the agency brought it, and it works from From on unless the home objects
}

// Household is the page of the members, and of one's own passkeys and browsers.
type Household struct {
	Layout
	Zone     string // that the member chose; empty: none
	HomeZone string
	Members  []MemberRow
	Roles    []RoleChoice
	Passkeys []PasskeyRow
	Sessions []SessionRow
	Codes    int    // recovery codes that the member has left
	Frozen   string // until when and why nothing can be approved; empty otherwise
}

// RecoveryCodes is the page on which a member makes recovery codes and prints them.
type RecoveryCodes struct {
	Layout
	Left    int    // unused codes that the member has
	Name    string // of the member
	Address string // where a code is typed
}

// Recover is the page for a member who lost every passkey.
type Recover struct{ Layout }

// RoleChoice is a role with what it may do.
type RoleChoice struct{ Role, Means string }

// MemberRow is a member of the home.
type MemberRow struct {
	ID, Name, Email, Role, Means string
	Joined                       time.Time
	Me, CanRemove                bool
}

// PasskeyRow is one of the member's passkeys.
type PasskeyRow struct {
	ID, Name    string
	Added, Used time.Time
}

// SessionRow is a browser in which the member is signed in.
type SessionRow struct {
	ID, Agent     string
	Started, Seen time.Time
	This          bool
}

// Activity is the log in plain words.
type Activity struct {
	Layout
	Lines   []LogLine
	Older   int64     // index before which older events are; zero at the end
	Frozen  bool      // the machine's clock went back, and nobody has looked at it
	Machine time.Time // what the machine's clock shows
}
