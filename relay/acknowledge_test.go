package relay

import (
	"errors"
	"slices"
	"testing"
)

// TestAcknowledge: only the end of what was live can be acknowledged, by the rules and by the log.
func TestAcknowledge(t *testing.T) {
	for _, state := range releaseStates {
		rel := Release{ID: "r1", State: state}
		e, err := rel.Acknowledge("a1", "00ff", start)
		after, known := state.After(ReleaseAcknowledged)
		if !slices.Contains([]ReleaseState{ReleaseIsRevoked, ReleaseIsExpired}, state) {
			if !errors.Is(err, ErrState) || known || e.Kind != "" {
				t.Errorf("%s: event %q, error %v, in the log %t", state, e.Kind, err, known)
			}
			continue
		}
		if err != nil || !known || after != state || e.Kind != ReleaseAcknowledged || e.Subject != "r1" || e.Actor != "a1" || e.Data["acknowledgement_sha256"] != "00ff" {
			t.Errorf("%s: %+v, error %v, the log says %s", state, e, err, after)
		}
	}
}
