package relay

import (
	"fmt"
	"time"
)

// What happens to the relay as a whole.
const (
	RelayRestored     EventKind = "relay.restored" // from a backup, which ended every lease
	ClockFrozen       EventKind = "clock.frozen"   // the machine's clock went back
	ClockAcknowledged EventKind = "clock.acknowledged"
	LogForgotten      EventKind = "log.forgotten" // the content of entries was deleted
	StorageAlarm      EventKind = "storage.alarm" // the object store would keep what is deleted
)

// EndedByRestore is why a release ended that was live in a backup.
const EndedByRestore = "restored"

// Restore ends a release that came back from a backup. Its keys are in no backup, and it may
// have been revoked since: what was live has expired, what was not signed is given up.
func (rel *Release) Restore(now time.Time) (Event, error) {
	switch rel.State {
	case ReleaseIsLive:
		rel.end(ReleaseIsExpired, "relay", EndedByRestore, now)
		return Event{Kind: ReleaseExpired, Subject: rel.ID, Actor: "relay", At: now, Data: Data{"reason": EndedByRestore}}, nil
	case ReleaseIsPreparing, ReleaseIsFailed, ReleaseInReview:
		rel.end(ReleaseIsDiscarded, "relay", EndedByRestore, now)
		return Event{Kind: ReleaseDiscarded, Subject: rel.ID, Actor: "relay", At: now, Data: Data{"reason": EndedByRestore}}, nil
	case ReleaseIsRevoked, ReleaseIsExpired, ReleaseIsDiscarded:
	}
	return Event{}, fmt.Errorf("the release is %s: %w", rel.State, ErrState)
}
