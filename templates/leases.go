package templates

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// Watched says how often the recipient of l watched.
func (l Lease) Watched(in Lang) string {
	if l.ViewsUsed == 0 {
		return in.T("Not watched yet; %s allowed", in.Plural(l.MaxViews, "time"))
	}
	return in.T("Watched %d of %s", l.ViewsUsed, in.Plural(l.MaxViews, "time"))
}

// Words says from when to when somebody watched, and how much was sent.
func (v Viewing) Words(in Lang) string {
	if v.End.IsZero() {
		return in.T("Since %s, %s sent; may be watching now", in.When(v.Start), Size(v.Bytes))
	}
	return in.T("%s to %s, %s sent", in.When(v.Start), v.End.Format("15:04:05"), Size(v.Bytes))
}

// Mark is p's [LiveMark].
func (p Releases) Mark() string { return LiveMark(p.Live) }

// LiveMark changes when the list of live releases has to be drawn anew: with the releases, who of
// their recipients has access, and who asked for more time.
func LiveMark(live []LiveRelease) string {
	h := sha256.New()
	for _, r := range live {
		fmt.Fprintln(h, r.ID)
		for _, l := range r.Leases {
			fmt.Fprintln(h, l.LinkID, l.Live, l.Asked.Unix())
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// LeaseActs is what a member can do about one lease of a live release.
type LeaseActs struct {
	Lease
	Release                    string // id
	CanRevoke, CanExtend, Many bool   // Many: others hold the release as well
}

// Longer is the form that gives this recipient more time.
func (a LeaseActs) Longer() Extend { return Extend{a.Release, a.LinkID, a.Recipient} }

// Extend is the form that prepares a release of the same scope that ends later.
type Extend struct{ Release, Link, Whom string }

// Extend is the form that gives all recipients of r more time.
func (r ReleaseRow) Extend() Extend { return Extend{Release: r.ID} }

func acts(release string, leases []Lease, revoke, extend bool) []LeaseActs {
	var out []LeaseActs
	for _, l := range leases {
		out = append(out, LeaseActs{l, release, revoke, extend, len(leases) > 1})
	}
	return out
}

// Acts are the leases of r, for a member who may revoke or not.
func (r LiveRelease) Acts(revoke bool) []LeaseActs { return acts(r.ID, r.Leases, revoke, r.CanExtend) }

// Acts are the leases of r with what the member can do.
func (r Release) Acts() []LeaseActs {
	live := r.Phase == "live"
	return acts(r.ID, r.Leases, live && r.CanRevoke, live && r.CanExtend)
}
