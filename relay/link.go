package relay

import (
	"fmt"
	"strings"
	"time"
)

// Link is one recipient's time-limited way to one release copy. The token that opens it is
// stored only as a hash; the row, not the token's signature, is the authorisation.
type Link struct {
	ID        string
	TokenHash string // hex SHA-256 of the token's jti
	ReleaseID string
	CopyID    string
	ExpiresAt time.Time
	MaxViews  int
	ViewsUsed int
	RevokedAt time.Time
	Epoch     int // of the release when the link was made
	CreatedAt time.Time
	AskedAt   time.Time // when its recipient last asked for more time
}

// Usable says why l opens nothing at now, or nil. Every answer is the same error: a caller
// must not tell a stranger which it was.
func (l Link) Usable(rel Release, now time.Time) error {
	if err := l.Playable(rel, now); err != nil {
		return err
	}
	if l.ViewsUsed >= l.MaxViews {
		return fmt.Errorf("not available: %w", ErrNotFound)
	}
	return nil
}

// Playable is [Link.Usable] for a view that was already counted.
func (l Link) Playable(rel Release, now time.Time) error {
	if rel.ID != l.ReleaseID || rel.Epoch != l.Epoch || !l.RevokedAt.IsZero() || !now.Before(l.ExpiresAt) {
		return fmt.Errorf("not available: %w", ErrNotFound)
	}
	return rel.Accessible(now)
}

// Ends says until when l lets its recipient in, and whether that is over at now: by time, by a
// revocation of the link, or by the end of its release. Which of these it was it does not say.
func (l Link) Ends(rel Release, now time.Time) (at time.Time, over bool) {
	at = rel.ExpiresAt
	if l.ExpiresAt.Before(at) {
		at = l.ExpiresAt
	}
	for _, end := range []time.Time{l.RevokedAt, rel.EndedAt} {
		if !end.IsZero() && end.Before(at) {
			at = end
		}
	}
	return at, l.Playable(rel, now) != nil
}

// AskAgainAfter is how long a recipient who asked for more time has to wait before asking again.
const AskAgainAfter = 24 * time.Hour

// AskMore notes that the recipient of l asks for a lease that ends later, and returns the event to
// store with it. It changes nothing else: a longer lease is a new grant, which the home signs or not.
// Whoever asked within the last [AskAgainAfter] is refused with [ErrPolicy]; a link that opens nothing
// is [ErrNotFound].
func (l *Link) AskMore(rel Release, now time.Time) (Event, error) {
	if err := l.Playable(rel, now); err != nil {
		return Event{}, err
	}
	if !l.AskedAt.IsZero() && now.Before(l.AskedAt.Add(AskAgainAfter)) {
		return Event{}, fmt.Errorf("more time was asked for within the last day: %w", ErrPolicy)
	}
	l.AskedAt = now
	return Event{Kind: LinkAsked, Subject: l.ReleaseID, Actor: l.ID, At: now}, nil
}

// RemindAt is when the recipient of l is told that it ends soon: a day before. It is the zero time for
// a lease of less than two days, whose end was in sight from its beginning.
func (l Link) RemindAt() time.Time {
	if l.ExpiresAt.Sub(l.CreatedAt) < 48*time.Hour {
		return time.Time{}
	}
	return l.ExpiresAt.Add(-24 * time.Hour)
}

// Limits of opening a link.
const (
	CodeLife     = 10 * time.Minute // a mailed code
	CodeTries    = 5                // wrong codes before a new one is needed
	CodesPerHour = 3                // codes mailed for one link
	ViewIdle     = 15 * time.Minute // a view without a range
	ViewLife     = time.Hour        // a view at most
	RangeMax     = 256 << 10        // bytes in one response
)

// MaskAddr shortens a mail address so that its holder knows it and a stranger does not:
// "d…@police.example".
func MaskAddr(addr string) string {
	at := strings.LastIndexByte(addr, '@')
	if at < 1 {
		return "…"
	}
	for i := range addr { // after the first rune
		if i > 0 {
			return addr[:i] + "…" + addr[at:]
		}
	}
	return "…"
}

// Display is how r is shown to others and in a grant.
func (r Recipient) Display() string {
	if r.Kind == RecipientEmail {
		return MaskAddr(r.Addr)
	}
	return "key " + r.KID[:min(8, len(r.KID))]
}
