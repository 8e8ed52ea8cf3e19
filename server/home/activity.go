package home

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"cliplease/relay"
	"cliplease/source"
	"cliplease/templates"

	"github.com/gin-gonic/gin"
)

// activityPage is how many events a page shows.
const activityPage = 100

// Activity serves GET /activity?before=: the log in plain words, newest first.
func (s *Server) Activity(c *gin.Context) error {
	ctx := c.Request.Context()
	before, err := strconv.ParseInt(c.DefaultQuery("before", "0"), 10, 64)
	if err != nil || before < 0 {
		return relay.ErrNotFound
	}
	entries, err := s.db.Recent(ctx, before, activityPage)
	if err != nil {
		return err
	}
	p := templates.Activity{Layout: s.layout(c, "activity", "Activity"), Frozen: s.clock != nil && s.clock.Frozen(ctx) != nil, Machine: s.now().In(s.zone(ctx))}
	if p.Frozen {
		p.Machine = s.clock.Machine().In(s.zone(ctx))
	}
	if p.Lines, err = s.lines(ctx, s.zone(ctx), entries); err != nil {
		return err
	}
	if n := len(entries); n == activityPage && entries[n-1].Index > 0 {
		p.Older = entries[n-1].Index
	}
	return page(c, "activity", p)
}

// ExportLog serves GET /log.jsonl: every entry of the log, to be checked on any machine.
func (s *Server) ExportLog(c *gin.Context) error {
	c.Header("Content-Type", "application/jsonl")
	c.Header("Content-Disposition", `attachment; filename="cliplease-log.jsonl"`)
	return s.db.ExportLog(c.Request.Context(), c.Writer)
}

// AcknowledgeClock serves POST /clock/acknowledge: a person says that the machine's clock is
// right, and the relay lets people in again.
func (s *Server) AcknowledgeClock(c *gin.Context) error {
	if s.clock == nil {
		return relay.ErrState
	}
	if err := s.clock.Acknowledge(c.Request.Context(), member(c).ID); err != nil {
		return err
	}
	return follow(c, "/activity")
}

// history is what happened to one thing, newest first.
func (s *Server) history(ctx context.Context, zone *time.Location, subject string) ([]templates.LogLine, error) {
	entries, err := s.db.History(ctx, subject)
	if err != nil {
		return nil, err
	}
	for i, j := 0, len(entries)-1; i < j; i, j = i+1, j-1 {
		entries[i], entries[j] = entries[j], entries[i]
	}
	return s.lines(ctx, zone, entries)
}

// event is an event as the log holds it.
type event struct {
	Kind    relay.EventKind `json:"kind"`
	Subject string          `json:"subject"`
	Actor   string          `json:"actor"`
	At      time.Time       `json:"at"`
	Data    map[string]any  `json:"data"`
}

func (s *Server) lines(ctx context.Context, zone *time.Location, entries []relay.Entry) ([]templates.LogLine, error) {
	names, err := s.names(ctx)
	if err != nil {
		return nil, err
	}
	l := templates.Spoken(ctx)
	var out []templates.LogLine
	for _, entry := range entries {
		line := templates.LogLine{Index: entry.Index, Words: l.T("This entry was forgotten; its place in the log stands.")}
		if entry.Event != nil {
			var e event
			if err := json.Unmarshal(entry.Event, &e); err != nil {
				return nil, fmt.Errorf("log entry %d: %w", entry.Index, err)
			}
			line.At, line.Kind = e.At.In(zone), string(e.Kind)
			line.Words, line.Link = say(l, e, names)
		}
		out = append(out, line)
	}
	return out, nil
}

// names are what ids stand for on the pages of members: people, agencies and cameras.
func (s *Server) names(ctx context.Context) (map[string]string, error) {
	l := templates.Spoken(ctx)
	out := map[string]string{"relay": l.T("The relay"), "command line": l.T("The command line"), source.FolderActor: l.T("A watched folder")}
	members, err := s.db.Members(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range members {
		out[m.ID] = m.Name
	}
	agencies, err := s.db.Agencies(ctx)
	if err != nil {
		return nil, err
	}
	for _, a := range agencies {
		out[a.ID] = a.Name
	}
	cameras, err := s.db.Cameras(ctx)
	for _, v := range cameras {
		out[v.ID] = v.Name
	}
	return out, err
}

// say puts an event into words, with the page that it is about.
func say(l templates.Lang, e event, names map[string]string) (words, link string) {
	name := func(id, other string) string {
		if n, ok := names[id]; ok {
			return n
		}
		return other
	}
	who, about := name(e.Actor, l.T("Someone")), name(e.Subject, "")
	text := func(key string) string { v, _ := e.Data[key].(string); return v }
	request, release := "/requests/"+e.Subject, "/releases/"+e.Subject
	switch e.Kind {
	case relay.RequestReceived:
		return l.T("%s asked for footage, case %s.", who, text("case")), request
	case relay.RequestSeen:
		return l.T("%s opened a request for the first time.", who), request
	case relay.RequestReconsidered:
		return l.T("%s took declining back.", who), "/requests/" + e.Subject
	case relay.RequestDeclined:
		return l.T("%s declined a request.", who), request
	case relay.RequestWithdrawn:
		return l.T("%s took its request back.", who), request
	case relay.RequestLapsed:
		return l.T("A request passed its deadline."), request
	case relay.RequestJudged:
		return l.T("The rules looked at a request."), request
	case relay.RequestStopped:
		return l.T("A rule stopped a request."), request
	case relay.RequestCalledBack:
		return l.T("%s called the agency back about an emergency.", who), request
	case relay.RequestKeyStolen:
		return l.T("A request was closed, since the key that signed it was stolen."), request
	case relay.RequestGagged:
		return l.T("%s noted that a court forbade to speak of a request until %s.", who, text("until")), request
	case relay.RuleAdded:
		return l.T("%s added a rule.", who), "/rules"
	case relay.RuleChanged:
		if on, _ := e.Data["on"].(bool); on {
			return l.T("%s switched a rule on.", who), "/rules"
		}
		return l.T("%s switched a rule off.", who), "/rules"
	case relay.RuleRemoved:
		return l.T("%s removed a rule.", who), "/rules"
	case relay.HoldPlaced:
		return l.T("An order put footage under a legal hold."), "/requests/" + text("request")
	case relay.HoldLifted:
		return l.T("%s lifted a legal hold.", who), "/requests/" + text("request")
	case relay.ReleasePreparing:
		return l.T("%s began to prepare a release.", who), release
	case relay.ReleasePrepared:
		return l.T("A release copy is ready to be looked at%s.", leaving(l, e)), release
	case relay.ReleaseFailed:
		return l.T("A release copy could not be made."), release
	case relay.ReleaseEdited:
		return l.T("%s changed a release%s; it is prepared anew.", who, toLeave(l, e)), release
	case relay.ReleaseDiscarded:
		return l.T("%s discarded a release.", who), release
	case relay.ReleaseApproved:
		return l.T("%s signed a release%s that other members have to sign as well.", who, leaving(l, e)), release
	case relay.ReleaseGranted:
		return l.T("%s approved a release%s with a passkey.", who, leaving(l, e)), release
	case relay.ReleaseRevoked:
		return l.T("%s revoked a release.", who), release
	case relay.ReleaseExpired:
		if text("reason") == relay.EndedByRestore {
			return l.T("A lease ended because the relay was restored from a backup."), release
		}
		return l.T("A lease ran out."), release
	case relay.ReleaseShredded:
		return l.T("The keys and copies of an ended release were destroyed."), release
	case relay.LinkRevoked:
		return l.T("%s ended one recipient's access.", who), release
	case relay.LinkOpened:
		return l.T("A recipient opened the link and asked for a code."), release
	case relay.LinkAsked:
		return l.T("A recipient asked for more time."), release
	case relay.CodeAccepted:
		return l.T("A recipient entered the code and can watch."), release
	case relay.CodeRefused:
		return l.T("A wrong code was entered."), release
	case relay.ViewStarted:
		return l.T("A recipient began to watch."), release
	case relay.ViewEnded:
		return l.T("A viewing ended."), release
	case relay.KeyOpened:
		return l.T("A system of the agency fetched the release copy."), release
	case relay.CopyDamaged:
		return l.T("A stored release copy is not what was sealed. Its views were ended; end the release and look at your storage."), release
	case relay.CopyDestroyed:
		return l.T("%s states that its copies are destroyed.", who), release
	case relay.ReleaseAcknowledged:
		return l.T("%s acknowledges that its access is over.", who), release
	case relay.MailSent:
		return l.T("A mail was sent (%s).", l.T(mailWords(text("kind")))), ""
	case relay.MailFailed:
		return l.T("A mail could not be delivered (%s).", l.T(mailWords(text("kind")))), ""
	case relay.NoticesChanged:
		return l.T("%s changed their notices.", who), "/notices"
	case relay.UploadBegun:
		return l.T("%s began to upload a clip.", who), "/clips"
	case relay.UploadDropped:
		switch text("why") {
		case "expired":
			return l.T("An upload was not finished within a day. What had come of it was destroyed."), "/clips"
		case "refused":
			return l.T("An uploaded file could not be taken in. It was destroyed."), "/clips"
		}
		return l.T("%s gave an upload up. What had come of it was destroyed.", who), "/clips"
	case relay.ClipReceivedEv:
		return l.T("%s added a clip.", who), "/clips"
	case relay.ClipReadyEv:
		return l.T("A clip is ready."), "/clips"
	case relay.ClipRefusedEv:
		return l.T("A clip could not be read."), "/clips"
	case relay.ClipDisposedEv:
		if e.Actor == "relay" {
			return l.T("A clip was over the time that its camera's clips are kept, and was deleted."), "/clips"
		}
		return l.T("%s deleted a clip.", who), "/clips"
	case relay.AgencyRegistered:
		return l.T("%s registered %s.", who, name(e.Subject, l.T("an agency"))), "/agencies"
	case relay.AgencyInvited:
		return l.T("%s invited an agency to hand over its name and keys.", who), "/agencies"
	case relay.AgencyOffered:
		return l.T("An agency that was invited handed over its name and keys."), "/agencies"
	case relay.AgencyUninvited:
		return l.T("%s gave the invitation of an agency up.", who), "/agencies"
	case relay.AgencyChanged:
		if text("status") == "checked" {
			return l.T("%s checked %s again.", who, name(e.Subject, l.T("an agency"))), "/agencies"
		}
		return l.T("%s set %s to %s.", who, name(e.Subject, l.T("an agency")), l.T(text("status"))), "/agencies"
	case relay.KeyAdded:
		return l.T("A key of %s was pinned.", name(text("agency"), l.T("an agency"))), "/agencies"
	case relay.KeyChanged:
		return l.T("A key of an agency is now %s.", l.T(text("status"))), "/agencies"
	case relay.CameraChanged:
		return l.T("%s changed the camera %s.", who, about), "/cameras"
	case relay.CameraMasked:
		return l.T("%s changed the masks of the camera %s.", who, about), "/cameras/" + e.Subject
	case relay.MemberInvited:
		return l.T("%s invited someone as %s.", name(e.Actor, l.T("The relay")), l.T(text("role"))), "/household"
	case relay.MemberJoined:
		return l.T("%s joined the home.", name(e.Subject, l.T("Someone who has left since"))), "/household"
	case relay.MemberRemoved:
		return l.T("%s removed a member.", who), "/household"
	case relay.MemberSignedIn:
		return l.T("%s signed in.", who), ""
	case relay.PasskeyAdded:
		return l.T("%s added a passkey.", who), "/household"
	case relay.PasskeyRevoked:
		return l.T("%s revoked a passkey.", who), "/household"
	case relay.MemberRecovered:
		return l.T("%s came back without a passkey, by %s.", about, l.T(text("how"))), "/household"
	case relay.CodesMade:
		return l.T("%s made recovery codes.", who), "/household"
	case relay.ApprovalsFrozen:
		return l.T("Nothing could be approved from here until %s.", text("until")), ""
	case relay.Started:
		return l.T("The relay started."), ""
	case relay.RelayRestored:
		return l.T("The relay was restored from a backup. All leases are over, and agencies were refused for ten minutes."), ""
	case relay.ClockFrozen:
		return l.T("The machine's clock went back. Nobody from outside was let in until a person looked at it."), ""
	case relay.ClockAcknowledged:
		return l.T("%s confirmed that the machine's clock is right.", who), ""
	case relay.LogForgotten:
		return l.T("%s deleted what some entries of the log said. Their places stand.", who), ""
	case relay.StorageAlarm:
		return l.T("The object store may keep what is deleted. Look at its settings."), ""
	}
	return string(e.Kind), ""
}

func mailWords(kind string) string {
	switch kind {
	case "request":
		return "a request waits"
	case "ready":
		return "a release copy is ready"
	case "released":
		return "a release went out"
	case "ended":
		return "a release ended"
	case "invitation":
		return "an invitation"
	case "link":
		return "the link to a recipient"
	case "code":
		return "a code to a recipient"
	case "more":
		return "a recipient asks for more time"
	case "soon":
		return "to a recipient: the lease ends soon"
	case "over":
		return "to a recipient: the lease is over"
	case "offer":
		return "an agency answered an invitation"
	case "key":
		return "an agency brought a new key"
	case "codes":
		return "many codes were asked for"
	case "damaged":
		return "a stored release copy was changed"
	case "watched":
		return "somebody watches"
	case "ends":
		return "a lease ends soon"
	}
	return kind
}
