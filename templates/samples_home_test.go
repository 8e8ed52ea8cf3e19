package templates

import (
	"fmt"
	"strings"
	"time"
)

// homeSamples fills the pages of the homeowner.
func homeSamples() map[string][]any {
	l := Layout{Title: "Title", Member: "Ada", Role: "homeowner", Section: "inbox", Waiting: 1, Manage: true, See: true, Scripts: []string{"home.js"}}
	guest := l
	guest.Manage, guest.See, guest.Waiting = false, false, 0
	at := time.Date(2026, 11, 3, 14, 5, 0, 0, time.FixedZone("CET", 3600))
	card := RequestCard{
		ID: "q1", Agency: "Exampleville <Police>", Verified: "Verified", VerifiedTone: "good", Purpose: "a burglary", Case: "C-1", Labels: []string{"The reason is vague"}, Lane: "Voluntary",
		Camera: "Front door", CameraKnown: true, From: at, To: at.Add(time.Minute), Received: at, Deadline: at.Add(24 * time.Hour), Left: 3 * time.Hour, Open: true, State: "Waits", StateTone: "info",
	}
	over := card
	over.Open, over.Urgent, over.CameraKnown, over.To = false, true, false, at.Add(24*time.Hour)
	row := ReleaseRow{ID: "r1", Agency: "Exampleville", Case: "C-1", Purpose: "a burglary", Camera: "Front door", From: at, To: at.Add(time.Minute), State: "Live", StateTone: "good", Expires: at.Add(48 * time.Hour), Left: time.Hour, Views: 2}
	ended := row
	ended.Ended = at
	form := &DraftForm{
		Action: "/requests/q1/prepare", Camera: "Front door", Zone: "Europe/Amsterdam", Any: true, From: at, To: at, Min: at, Max: at, MaxLength: time.Minute,
		Hours: 24, MaxViews: 5, Download: true, Style: "solid", Hold: []string{"Only <local>: holds it"}, Views: 100, MaxHours: 720, Recipients: []Recipient{{Value: "0", Name: "Det. Miller", Address: "m@pd.example", Kind: "email", Known: true, Chosen: true}, {Value: "1", Address: "key abc", Kind: "key"}},
		Clips: []ClipChoice{{ID: "c1", Ready: true, Chosen: true, Start: at, End: at, Stills: []string{"/clips/c1/stills/0"}}, {ID: "c2", State: "being looked at", Start: at, End: at}},
	}
	leases := []Lease{
		{LinkID: "l1", Recipient: "Det. Miller", Address: "m@pd.example", Kind: "email", ViewsUsed: 1, MaxViews: 5, Expires: at, Live: true, Mail: "failed", MailFailure: "550 no such user", Views: []Viewing{{Start: at, Last: at, Bytes: 5}, {Start: at, End: at}}},
		{LinkID: "l2", Recipient: "Lab", Kind: "key", MaxViews: 5, Revoked: at, Mail: "waiting"},
	}
	request := Request{
		Layout: l, RequestCard: card, AgencyID: "urn:x", Level: "local agency", Jurisdiction: "Exampleville", Phone: "+1 555 0100", Complaints: "the board", Officer: "Det. Miller", Contact: "Sgt. Ortiz",
		PurposeText: "A car.", Basis: "They ask.", Citation: "none", Document: "ab", Served: "2026-11-01", CaseOpened: "2026-11-01", MaxLength: time.Minute, Keeps: "30 days", KeepsText: "kept",
		Onward: []string{"To nobody."}, OnwardText: "nobody", Attests: true, AttestText: "true", SHA256: "ab", Recipients: form.Recipients, Releases: []ReleaseRow{row}, Hold: &Hold{Placed: at},
		Ledger: []LedgerLine{{RequestCard: over, Relations: []string{"The same case."}}}, LedgerWords: []string{"Three times."}, Widens: true,
		Findings: []Finding{{"Only <local>", "holds it", true}}, Terms: []string{"At most 5 minutes."}, Held: true, CallBack: true, ExigentMinutes: 15, ExigentHours: 72, FollowUp: &FollowUp{Due: at, Breached: true},
		ClockOffset: time.Hour, ClockAhead: true, Form: form, CanPrepare: true, CanDecline: true, WantsFaces: true, WantsSound: true,
	}
	compelled, none, unknown := request, request, request
	compelled.Compulsory, compelled.RequestCard = true, over
	none.Form, none.Widens, none.CalledAt, none.CallNote = &DraftForm{Camera: "Front door"}, false, at, "Spoke to <Sgt. Ortiz>."
	none.FollowUp, none.Hold = &FollowUp{Due: at, Link: "/requests/q2"}, &Hold{Placed: at, Lifted: at, LiftedBy: "Ada", Reason: "The order was withdrawn."}
	unknown.Form, unknown.Seen = nil, true
	review := Release{
		Layout: l, ReleaseRow: row, Request: card, Phase: "review", Zone: "UTC", Style: "blur", MaxViews: 5, LeaseEnds: at, Keeps: "30 days", Onward: []string{"To nobody."}, Form: form, NeedsLook: true,
		Copies:   []CopyView{{ID: "x1", Recipient: "Det. Miller", Address: "m@pd.example", Size: 5, SHA256: "ab", Video: "/v1"}, {ID: "x2", Recipient: "Lab", Video: "/v2"}},
		Original: "/original", Summary: &Summary{Frames: 200, FPS: 25, Faces: 1, Plates: 2, Areas: 1, Masks: []string{"the window", "a <b>"}, Passed: 3, Doubts: []Moment{{At: 62.04, Kind: "A face", Why: "unsure"}}, Lanes: []Lane{{Name: "Face", Number: 1, Sure: "seen clearly", From: 0.5, To: 3, Doubts: []float64{1}, Track: "face-1", Places: "[]"}, {Name: "Face", Number: 2, Track: "face-2", Open: true}, {Name: "Drawn by you", Number: 1, Sure: "as you drew it", To: 8}}, MoreLanes: 2, Uncovered: 1},
		Able: 2, Uncovered: []Uncovered{{"Face", 0.5, 3, "A poster on <the> wall.", "Ada"}},
		Edits:   `[{"kind":"area","points":[]}]`,
		CanSign: true, CanEdit: true, CanDiscard: true, CanPreview: true, Compulsory: true, Log: []LogLine{{At: at, Words: "Something.", Link: "/clips"}, {At: at, Words: "More."}},
	}
	failing := review
	failing.Able, failing.Uncovered = 1, nil
	failing.CanSign, failing.Summary = false, &Summary{Failed: []FailedCheck{{"metadata", "names a device"}}}
	closed := review
	closed.CanSign, closed.Closed, closed.Form = false, true, nil
	masked := review
	masked.CanSign, masked.Masked, masked.CameraID = false, true, "c1"
	live := review
	live.Phase, live.Form, live.CanSign, live.CanEdit, live.CanDiscard, live.CanRevoke, live.Original = "live", nil, false, false, false, true, ""
	live.Words, live.GrantID, live.GrantHash, live.Granted, live.SignedBy, live.Leases, live.EvidenceName = "a b c d", "g1", "ab", at, "Ada", leases, "e.zip"
	revoked := live
	revoked.Phase, revoked.CanRevoke, revoked.ReleaseRow, revoked.EndedBy, revoked.EndReason, revoked.Shredded = "revoked", false, ended, "Ada", "asked", at
	discarded := Release{Layout: l, ReleaseRow: ended, Request: card, Phase: "discarded"}
	return map[string][]any{
		"join":     {Join{Layout{Title: "Join", Scripts: []string{"home.js"}}}},
		"sign_in":  {SignIn{Layout: Layout{Title: "Sign in"}}, SignIn{New: true}},
		"inbox":    {Inbox{Layout: l}, Inbox{Layout: guest, Open: []RequestCard{card, over}, UnderWay: []ReleaseRow{row}, Live: []ReleaseRow{row}, NewHome: NewHome{Camera: true}}},
		"requests": {Requests{Layout: l}, Requests{Layout: l, Requests: []RequestCard{card, over}}},
		"request":  {request, compelled, none, unknown},
		"history": {History{Layout: l, Agency: "Exampleville"}, History{Layout: l, Agency: "Exampleville <Police>", AgencyID: "urn:x", Verified: "Verified", Tone: "good", Cases: []string{"C-1", "C-2"}, Released: 1, Watched: 2, Stopped: 1,
			Asked: []Asked{{RequestCard: card, Findings: []Finding{{"Only <local>", "holds it", true}}, Made: []Made{{row, leases}, {ReleaseRow: ended}}}, {RequestCard: over}}}, History{Layout: l, Agency: "Exampleville", Case: "C <1>", Asked: []Asked{{RequestCard: card}}}},
		"releases": {Releases{Layout: l}, Releases{Layout: l, CanRevoke: true, NotBefore: "Nothing can be approved until then.", Live: []LiveRelease{{row, leases, true}}, UnderWay: []ReleaseRow{row}, Over: []ReleaseRow{ended}}},
		"release": {
			review, failing, closed, masked, live, revoked, discarded, Release{Layout: l, ReleaseRow: row, Request: card, Phase: "preparing", CanDiscard: true},
			Release{Layout: l, ReleaseRow: row, Request: card, Phase: "failed", Failure: "The clip is damaged.", Form: form, CanEdit: true},
		},
		"receipt": {
			Receipt{Layout: l, ReleaseRow: row, Copies: review.Copies, Granted: at, Until: at, MaxViews: 1, Use: "case 1 only", Keeps: "30 days", SignedBy: "Ada", Words: "a b c d", GrantID: "g1", GrantHash: "ab", LogIndex: 7, EvidenceName: "e.zip"},
			Receipt{Layout: l, ReleaseRow: row, Compelled: true, Download: true, Style: "solid", Drawn: 2, Uncovered: review.Uncovered, Granted: at, Until: at, Onward: []string{"To nobody."}},
		},
		"clips": {Clips{Layout: l}, Clips{
			Layout: l, Cameras: []CameraChoice{{"c1", "Front door", "UTC", true}}, Day: "2026-11-03", CanUpload: true, MaxUpload: 500 << 20,
			Refused: []RefusedFile{{"x.txt", "Front door", "This is text.", 12, at}}, RefusedUnknown: true,
			Unfinished: []Unfinished{{"u1", "night \"1\" <b>.mp4", "Front door", 400 << 20, 1795363200123, 43, at, at}},
			Days:       []ClipDay{{"2026-11-03", at, []ClipRow{{ID: "a", Name: "x.mp4", Camera: "Front door", Start: at, Length: time.Minute, Stills: []string{"/s"}, State: "ready", Ready: true, Audio: true, Width: 640, Height: 360, CanDispose: true, KeptUntil: at, Held: true, Releases: 2}, {ID: "b", State: "cannot be used", Reason: "No video."}}}},
		}},
		"cameras": {Cameras{Layout: l, Zone: "UTC"}, Cameras{Layout: l, Cameras: []CameraForm{{ID: "c1", Handle: "front-door", Name: "Front door", Zone: "UTC", OffsetSeconds: 3, Interior: true, Masks: 2, Hidden: "4.0 %", Folder: "/srv/front-door", RetainDays: 30, Now: at}, {ID: "c2"}}}, Cameras{Layout: guest}},
		"masks": {Masks{Layout: l, ID: "c1", Camera: "Front door", Masks: "[]", Hidden: "0.0 %", CanDraw: true}, Masks{Layout: guest, Names: []string{"the neighbours' <window>"}, Hidden: "3.0 %"}, Masks{
			Layout: l, ID: "c1", Camera: "Front door", Masks: `[{"name":"a "b"","x":0,"y":0,"w":1,"h":1}]`, Names: []string{"a"}, Hidden: "100.0 %", Version: 2, Stills: []MaskStill{{"/s", at}, {"/t", at}}, Shapes: true, CanDraw: true,
			Affected: []MaskedRelease{{"r1", "Exampleville", "C-1", "Live", "good", "It hides all."}}, History: []MaskSet{{2, at, "Ada", "100.0 %", []string{"a", "b"}}, {1, at, "Ada", "0.0 %", nil}},
		}},
		"rules": {Rules{Layout: l}, Rules{Layout: guest, Rules: []RuleRow{{ID: "r1", Name: "Mine", Does: "Stops it.", When: "a < b", ByHand: true, On: true, Hits: 3}}}, Rules{
			Layout: l, Rules: []RuleRow{{ID: "r1", Name: "Mine", Does: "Stops it.", When: "true"}}, Agencies: []Option{{"urn:x", "X"}}, Hours: []Option{{"22", "22:00"}}, Fields: []Option{{"req.lane", "the lane"}},
			Presets: []PresetForm{{ID: "p", Name: "P", About: "About.", Choose: true, Fields: []PresetField{{"a", "A", "lines", "x"}, {"b", "B", "agency", ""}, {"c", "C", "hour", "22"}, {"d", "D", "number", "1"}, {"e", "E", "text", "x"}}}}}},
		"agencies":  {Agencies{Layout: l, Levels: []string{"local"}}, Agencies{Layout: l, Agencies: []AgencyRow{{ID: "urn:x", Name: "Exampleville", Domains: []string{"a.example", "b.example"}, Phone: "1", Complaints: "x", VerifiedBy: "Ada", VerifiedHow: "called", Until: at, Suspended: true, Keys: []AgencyKey{{KID: "k", Alg: "EdDSA", Words: "a b c", Status: "in use", From: at, Until: at, Active: true, Waits: true}, {KID: "l", Words: "d e f", Status: "retired"}}}, {ID: "urn:y"}}, Invitations: []AgencyInvitation{{ID: "1", Name: "County", By: "Ada", Until: at}, {ID: "2", Name: "County", Offered: at, Agency: "Sheriff <b>"}}, Form: AgencyForm{From: "2", Name: "Sheriff", Level: "local", JWKS: "{}"}}},
		"household": {Household{Layout: l, Members: []MemberRow{{ID: "m1", Name: "Ada", Me: true}, {ID: "m2", Name: "Grace", CanRemove: true}}, Roles: []RoleChoice{{"member", "sees"}}, Passkeys: []PasskeyRow{{"k1", "Phone", at, time.Time{}}, {"k2", "Tablet", at, at}}, Codes: 9, Frozen: "Nothing can be approved until then.", Sessions: []SessionRow{{ID: "s1", This: true}, {ID: "s2"}}}, Household{Layout: guest}},
		"notices": {
			Notices{Layout: l, Examples: []string{"ntfy://ntfy.sh/topic"}, Home: "home.localhost", Kinds: []NoticeChoice{{"request", "A new request has come", true, false, false}}},
			Notices{Layout: guest, Email: "ada@home.example", Scheme: "ntfy", Host: "ntfy.sh", State: "failed", Result: "The service answered 403 Forbidden.", Tried: at, Kinds: []NoticeChoice{{"recovered", "A member came back", true, true, true}}},
			Notices{Layout: l, Scheme: "ntfy", State: "trying"}, Notices{Layout: l, Scheme: "ntfy", State: "trying", Result: "No."}, Notices{Layout: l, Scheme: "ntfy", State: "sent", Tried: at}, Notices{Layout: l, Scheme: "ntfy"},
		},
		"recovery_codes": {RecoveryCodes{Layout: l, Name: "Ada", Address: "http://localhost/recover"}, RecoveryCodes{Layout: l, Left: 3, Name: "Ada"}},
		"recover":        {Recover{}},
		"activity":       {Activity{Layout: l}, Activity{Layout: l, Lines: review.Log, Older: 7, Frozen: true, Machine: at}},
	}
}

// largest is what a page of many entries may weigh, in bytes.
const largest = 150 << 10

func manyLines() []LogLine {
	var out []LogLine
	for i := range 100 {
		out = append(out, LogLine{Index: int64(i), At: time.Unix(int64(i), 0), Words: strings.Repeat(fmt.Sprintf("event %d ", i), 10), Link: "/releases/" + strings.Repeat("r", 26)})
	}
	return out
}
