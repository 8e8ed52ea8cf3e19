package relay

import (
	"slices"
	"time"
)

// Extension returns the draft of a release that gives what rel gives for longer: the same window of
// the same clip, hidden in the same way, as often, to those of its recipients that to names (all of
// them when it is empty), until more after rel ends. A signed grant is never changed: the extension is
// a release of its own, prepared, looked at and signed like any other, and rel ends when it would have.
// What rel leaves visible is hidden again: it has to be uncovered anew, by two members who look.
// It fails with [ErrState] unless rel is live, and with [ErrPolicy] for one who is no recipient of rel.
func (rel Release) Extension(to []Recipient, more time.Duration, now time.Time) (Draft, error) {
	if err := rel.from(ReleaseIsLive); err != nil {
		return Draft{}, err
	}
	d := rel.Draft
	var err error
	if d.Edits, err = withoutExceptions(d.Edits); err != nil {
		return Draft{}, err
	}
	if len(to) > 0 {
		for _, r := range to {
			if !slices.Contains(rel.Draft.Recipients, r) {
				return Draft{}, Invalid("recipients", "More time goes only to those who have the release now.")
			}
		}
		d.Recipients = slices.Clone(to)
	}
	d.Expires = rel.ExpiresAt.Add(more).UTC().Truncate(time.Second)
	if most := now.Add(MaxLease).UTC().Truncate(time.Second); d.Expires.After(most) {
		return Draft{}, Invalid("hours", "A lease runs for at most %d days from today; choose less.", int(MaxLease.Hours()/24))
	}
	return d, nil
}
