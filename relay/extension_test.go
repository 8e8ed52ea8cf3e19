package relay

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestExtension: more time is the same scope with a later end, for those who have the release now.
func TestExtension(t *testing.T) {
	ada, lab := Recipient{Kind: RecipientEmail, Addr: "a@pd.example", Name: "A"}, Recipient{Kind: RecipientKey, KID: "k"}
	live := Release{ID: "r1", State: ReleaseIsLive, ExpiresAt: start.Add(24 * time.Hour), Draft: Draft{
		From: start.Add(-time.Hour), To: start.Add(-59 * time.Minute), Style: StyleSolid, Targets: []string{"faces", "plates"}, Recipients: []Recipient{ada, lab},
		Expires: start.Add(24 * time.Hour), MaxViews: 3, Edits: []byte("[]"), Confirmed: true}}
	for _, tt := range []struct {
		name  string
		state ReleaseState
		to    []Recipient
		more  time.Duration
		err   error
		field string
	}{
		{"all of them", ReleaseIsLive, nil, 24 * time.Hour, nil, ""},
		{"one of them", ReleaseIsLive, []Recipient{lab}, time.Hour, nil, ""},
		{"a stranger", ReleaseIsLive, []Recipient{{Kind: RecipientEmail, Addr: "x@pd.example"}}, time.Hour, ErrPolicy, "recipients"},
		{"as long as a lease runs", ReleaseIsLive, nil, MaxLease - 24*time.Hour, nil, ""},
		{"longer", ReleaseIsLive, nil, MaxLease - 23*time.Hour, ErrPolicy, "hours"},
		{"revoked", ReleaseIsRevoked, nil, time.Hour, ErrState, ""},
		{"run out", ReleaseIsExpired, nil, time.Hour, ErrState, ""},
		{"not signed yet", ReleaseInReview, nil, time.Hour, ErrState, ""},
	} {
		rel := live
		rel.State = tt.state
		before := cmp.Diff(live.Draft, rel.Draft)
		d, err := rel.Extension(tt.to, tt.more, start)
		var wrong *InvalidError
		if tt.field != "" {
			if !errors.As(err, &wrong) || wrong.Field != tt.field {
				t.Errorf("%s: %v, want a mistake in %s", tt.name, err, tt.field)
			}
			continue
		}
		if !errors.Is(err, tt.err) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.err)
		}
		if tt.err != nil {
			continue
		}
		want := live.Draft
		want.Expires = live.ExpiresAt.Add(tt.more)
		if tt.to != nil {
			want.Recipients = tt.to
		}
		if diff := cmp.Diff(want, d); diff != "" || before != "" || cmp.Diff(live.Draft, rel.Draft) != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}
