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
	var out []templates.LogLine
	for _, entry := range entries {
		line := templates.LogLine{Index: entry.Index, Words: "This entry was forgotten; its place in the log stands."}
		if entry.Event != nil {
			var e event
			if err := json.Unmarshal(entry.Event, &e); err != nil {
				return nil, fmt.Errorf("log entry %d: %w", entry.Index, err)
			}
			line.At, line.Kind = e.At.In(zone), string(e.Kind)
			line.Words, line.Link = say(e, names)
		}
		out = append(out, line)
	}
	return out, nil
}

// names are what ids stand for on the pages of members: people, agencies and cameras.
func (s *Server) names(ctx context.Context) (map[string]string, error) {
	out := map[string]string{"relay": "The relay", "command line": "The command line", source.FolderActor: "A watched folder"}
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
func say(e event, names map[string]string) (words, link string) {
	name := func(id, other string) string {
		if n, ok := names[id]; ok {
			return n
		}
		return other
	}
	who, about := name(e.Actor, "Someone"), name(e.Subject, "")
	text := func(key string) string { v, _ := e.Data[key].(string); return v }
	request, release := "/requests/"+e.Subject, "/releases/"+e.Subject
	switch e.Kind {
	case relay.RequestReceived:
		return fmt.Sprintf("%s asked for footage, case %s.", who, text("case")), request
	case relay.RequestSeen:
		return who + " opened a request for the first time.", request
	case relay.RequestReconsidered:
		return who + " took declining back.", "/requests/" + e.Subject
	case relay.RequestDeclined:
		return who + " declined a request.", request
	case relay.RequestWithdrawn:
		return who + " took its request back.", request
	case relay.RequestLapsed:
		return "A request passed its deadline.", request
	case relay.RequestJudged:
		return "The rules looked at a request.", request
	case relay.RequestStopped:
		return "A rule stopped a request.", request
	case relay.RequestCalledBack:
		return who + " called the agency back about an emergency.", request
	case relay.RequestKeyStolen:
		return "A request was closed, since the key that signed it was stolen.", request
	case relay.RequestGagged:
		return fmt.Sprintf("%s noted that a court forbade to speak of a request until %s.", who, text("until")), request
	case relay.RuleAdded:
		return who + " added a rule.", "/rules"
	case relay.RuleChanged:
		if on, _ := e.Data["on"].(bool); on {
			return who + " switched a rule on.", "/rules"
		}
		return who + " switched a rule off.", "/rules"
	case relay.RuleRemoved:
		return who + " removed a rule.", "/rules"
	case relay.HoldPlaced:
		return "An order put footage under a legal hold.", "/requests/" + text("request")
	case relay.HoldLifted:
		return who + " lifted a legal hold.", "/requests/" + text("request")
	case relay.ReleasePreparing:
		return who + " began to prepare a release.", release
	case relay.ReleasePrepared:
		return "A release copy is ready to be looked at" + leaving(e) + ".", release
	case relay.ReleaseFailed:
		return "A release copy could not be made.", release
	case relay.ReleaseEdited:
		return who + " changed a release" + toLeave(e) + "; it is prepared anew.", release
	case relay.ReleaseDiscarded:
		return who + " discarded a release.", release
	case relay.ReleaseApproved:
		return who + " signed a release" + leaving(e) + " that other members have to sign as well.", release
	case relay.ReleaseGranted:
		return who + " approved a release" + leaving(e) + " with a passkey.", release
	case relay.ReleaseRevoked:
		return who + " revoked a release.", release
	case relay.ReleaseExpired:
		if text("reason") == relay.EndedByRestore {
			return "A lease ended because the relay was restored from a backup.", release
		}
		return "A lease ran out.", release
	case relay.ReleaseShredded:
		return "The keys and copies of an ended release were destroyed.", release
	case relay.LinkRevoked:
		return who + " ended one recipient's access.", release
	case relay.LinkOpened:
		return "A recipient opened the link and asked for a code.", release
	case relay.LinkAsked:
		return "A recipient asked for more time.", release
	case relay.CodeAccepted:
		return "A recipient entered the code and can watch.", release
	case relay.CodeRefused:
		return "A wrong code was entered.", release
	case relay.ViewStarted:
		return "A recipient began to watch.", release
	case relay.ViewEnded:
		return "A viewing ended.", release
	case relay.KeyOpened:
		return "A system of the agency fetched the release copy.", release
	case relay.CopyDamaged:
		return "A stored release copy is not what was sealed. Its views were ended; end the release and look at your storage.", release
	case relay.CopyDestroyed:
		return who + " states that its copies are destroyed.", release
	case relay.ReleaseAcknowledged:
		return who + " acknowledges that its access is over.", release
	case relay.MailSent:
		return "A mail was sent (" + mailWords(text("kind")) + ").", ""
	case relay.MailFailed:
		return "A mail could not be delivered (" + mailWords(text("kind")) + ").", ""
	case relay.NoticesChanged:
		return who + " changed their notices.", "/notices"
	case relay.UploadBegun:
		return who + " began to upload a clip.", "/clips"
	case relay.UploadDropped:
		switch text("why") {
		case "expired":
			return "An upload was not finished within a day. What had come of it was destroyed.", "/clips"
		case "refused":
			return "An uploaded file could not be taken in. It was destroyed.", "/clips"
		}
		return who + " gave an upload up. What had come of it was destroyed.", "/clips"
	case relay.ClipReceivedEv:
		return who + " added a clip.", "/clips"
	case relay.ClipReadyEv:
		return "A clip is ready.", "/clips"
	case relay.ClipRefusedEv:
		return "A clip could not be read.", "/clips"
	case relay.ClipDisposedEv:
		if e.Actor == "relay" {
			return "A clip was over the time that its camera's clips are kept, and was deleted.", "/clips"
		}
		return who + " deleted a clip.", "/clips"
	case relay.AgencyRegistered:
		return fmt.Sprintf("%s registered %s.", who, name(e.Subject, "an agency")), "/agencies"
	case relay.AgencyInvited:
		return who + " invited an agency to hand over its name and keys.", "/agencies"
	case relay.AgencyOffered:
		return "An agency that was invited handed over its name and keys.", "/agencies"
	case relay.AgencyUninvited:
		return who + " gave the invitation of an agency up.", "/agencies"
	case relay.AgencyChanged:
		if text("status") == "checked" {
			return fmt.Sprintf("%s checked %s again.", who, name(e.Subject, "an agency")), "/agencies"
		}
		return fmt.Sprintf("%s set %s to %s.", who, name(e.Subject, "an agency"), text("status")), "/agencies"
	case relay.KeyAdded:
		return fmt.Sprintf("A key of %s was pinned.", name(text("agency"), "an agency")), "/agencies"
	case relay.KeyChanged:
		return "A key of an agency is now " + text("status") + ".", "/agencies"
	case relay.CameraChanged:
		return fmt.Sprintf("%s changed the camera %s.", who, about), "/cameras"
	case relay.CameraMasked:
		return fmt.Sprintf("%s changed the masks of the camera %s.", who, about), "/cameras/" + e.Subject
	case relay.MemberInvited:
		return fmt.Sprintf("%s invited someone as %s.", name(e.Actor, "The relay"), text("role")), "/household"
	case relay.MemberJoined:
		return name(e.Subject, "Someone who has left since") + " joined the home.", "/household"
	case relay.MemberRemoved:
		return who + " removed a member.", "/household"
	case relay.MemberSignedIn:
		return who + " signed in.", ""
	case relay.PasskeyAdded:
		return who + " added a passkey.", "/household"
	case relay.PasskeyRevoked:
		return who + " revoked a passkey.", "/household"
	case relay.MemberRecovered:
		return about + " came back without a passkey, by " + text("how") + ".", "/household"
	case relay.CodesMade:
		return who + " made recovery codes.", "/household"
	case relay.ApprovalsFrozen:
		return fmt.Sprintf("Nothing could be approved from here until %s.", text("until")), ""
	case relay.Started:
		return "The relay started.", ""
	case relay.RelayRestored:
		return "The relay was restored from a backup. All leases are over, and agencies were refused for ten minutes.", ""
	case relay.ClockFrozen:
		return "The machine's clock went back. Nobody from outside was let in until a person looked at it.", ""
	case relay.ClockAcknowledged:
		return who + " confirmed that the machine's clock is right.", ""
	case relay.LogForgotten:
		return who + " deleted what some entries of the log said. Their places stand.", ""
	case relay.StorageAlarm:
		return "The object store may keep what is deleted. Look at its settings.", ""
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
