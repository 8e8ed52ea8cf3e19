package custody

import (
	"fmt"
	"strings"

	"cliplease/relay"
)

// what puts an event into words for somebody who has never seen a relay.
func what(e relay.Event) string {
	text := func(key string) string { v, _ := e.Data[key].(string); return v }
	number := func(key string) float64 { v, _ := e.Data[key].(float64); return v }
	switch e.Kind {
	case relay.ClipReceivedEv:
		return "The original came in and was sealed"
	case relay.ClipReadyEv:
		return "The original was examined"
	case relay.ClipRefusedEv:
		return "The original could not be read"
	case relay.ClipDisposedEv:
		return "The original was deleted"
	case relay.RequestReceived:
		return "The agency's signed request came in"
	case relay.RequestSeen:
		return "A member of the home opened the request"
	case relay.RequestReconsidered:
		return "Declining was undone"
	case relay.RequestDeclined:
		return "The request was declined"
	case relay.RequestWithdrawn:
		return "The agency took its request back"
	case relay.RequestLapsed:
		return "The request passed its deadline"
	case relay.RequestJudged:
		return "The home's rules looked at the request"
	case relay.RequestStopped:
		return "A rule of the home stopped the request"
	case relay.RequestCalledBack:
		return "The agency was called back about the emergency"
	case relay.RequestKeyStolen:
		return "The request was closed, since the key that signed it was stolen"
	case relay.RequestGagged:
		return "It was noted that a court forbade to speak of the request until " + text("until")
	case relay.ReleasePreparing:
		return "A release was begun"
	case relay.ReleasePrepared:
		return fmt.Sprintf("The footage was redacted, and the release copies were made and sealed (%.0f pictures)", number("frames")) + uncovered(number("uncovered"))
	case relay.ReleaseFailed:
		return "The release copies could not be made"
	case relay.ReleaseEdited:
		return "The release was changed, to be made anew; the copies of before were destroyed" + asked(number("to_uncover"))
	case relay.ReleaseDiscarded:
		return "The release was given up before it was signed"
	case relay.ReleaseApproved:
		return "A passkey signed the grant; others had to sign it as well" + uncovered(number("uncovered"))
	case relay.ReleaseGranted:
		return "A passkey signed the grant, and access began" + uncovered(number("uncovered"))
	case relay.ReleaseRevoked:
		return "Access was revoked"
	case relay.ReleaseExpired:
		if text("reason") == relay.EndedByRestore {
			return "Access ended, since the relay was restored from a backup"
		}
		return "Access ended by time"
	case relay.ReleaseShredded:
		return "The keys and the stored release copies were destroyed"
	case relay.LinkRevoked:
		return "The access of one recipient was revoked"
	case relay.LinkOpened:
		return "The link was opened, and a code was sent to the recipient's mailbox"
	case relay.LinkAsked:
		return "The recipient asked for more time"
	case relay.CodeAccepted:
		return "The code was right, and viewing began"
	case relay.CodeRefused:
		return "A wrong code was entered"
	case relay.ViewEnded:
		return fmt.Sprintf("Viewing ended; %.0f bytes had been given out", number("bytes"))
	case relay.KeyOpened:
		return "A system of the agency proved its key and was given the release copy"
	case relay.CopyDamaged:
		return "A stored copy was not what had been sealed; viewing was ended"
	case relay.CopyDestroyed:
		return "The agency stated that its copies are destroyed"
	case relay.ReleaseAcknowledged:
		return "The agency acknowledged that access is over"
	case relay.MailSent:
		return "A mail was handed to the mail server: " + mail(text("kind"))
	case relay.MailFailed:
		return "A mail could not be delivered: " + mail(text("kind"))
	default:
		return strings.ReplaceAll(string(e.Kind), ".", " ")
	}
}

// uncovered says how many things are left visible that would be hidden else, or nothing.
func uncovered(n float64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("; left visible on purpose: %.0f", n)
}

// asked says how many things were to be left visible, or nothing.
func asked(n float64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("; to be left visible: %.0f", n)
}

// exception puts what is left visible into words.
func exception(x relay.Exception) string {
	return fmt.Sprintf("a %s from %.1f to %.1f seconds: %s (member %s)", x.Kind, float64(x.FromMS)/1000, float64(x.ToMS)/1000, x.Reason, x.By)
}

// mail says what a mail was about.
func mail(kind string) string {
	switch kind {
	case "request":
		return "a request waits, to the home"
	case "ready":
		return "a release copy is ready, to the home"
	case "cosign":
		return "another signature is needed, to the home"
	case "released":
		return "footage was released, to the home"
	case "ended":
		return "access has ended, to the home"
	case "codes":
		return "many codes were asked for, to the home"
	case "damaged":
		return "a stored copy was changed, to the home"
	case "link":
		return "the link, to a recipient"
	case "code":
		return "a code, to a recipient"
	case "more":
		return "a recipient asks for more time, to the home"
	case "soon":
		return "access ends soon, to a recipient"
	case "over":
		return "access has ended, to a recipient"
	}
	return kind
}

// edit puts one kind of edit into words.
func edit(e relay.ManifestEdit) string {
	hidden := func(noun string) string {
		if e.Count == 1 {
			return "1 " + noun + " hidden"
		}
		return fmt.Sprintf("%d %ss hidden", e.Count, noun)
	}
	switch e.Kind {
	case "trim":
		return "cut to the window"
	case "notice":
		return "a notice burned into every picture"
	case "audio_removed":
		return "sound removed"
	case "metadata_removed":
		return "metadata removed"
	case "mask":
		return hidden("fixed area")
	case "manual", "edit":
		return hidden("region marked by hand")
	case "uncovered":
		return fmt.Sprintf("left visible: %d", e.Count)
	case "face", "plate":
		return hidden(e.Kind)
	}
	return hidden(e.Kind)
}

// gap says why a part of what was asked for is not there.
func gap(why string) string {
	if why == "not_recorded" {
		return "granted, but not in the footage"
	}
	return "not part of the grant"
}
