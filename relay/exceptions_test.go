package relay

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

const whyVisible = "a poster on the wall"

// found is the summary of a round that found two things and was to draw a third.
func found(exceptions ...Exception) Summary {
	at := []EditKey{{At: 1e9, X: 0.1, Y: 0.1, W: 0.2, H: 0.2}}
	return Summary{Exceptions: exceptions, Findings: []Doubt{{Why: "uncovered"}},
		Spans: []TrackSpan{{Kind: "face", ID: "face-1", Keys: at}, {Kind: "plate", ID: "plate-1", Keys: at}, {Kind: "edit", ID: "edit-1", Keys: at}, {Kind: "face", ID: "face-2"}}}
}

// TestExcept: a page names a track, and the draft gets where that was, and who asked; what the page claims
// itself is never believed.
func TestExcept(t *testing.T) {
	q, clip, d := asked()
	rel := releaseIn(t, ReleaseIsPreparing, q, clip, d)
	if _, err := rel.Prepared(1, rel.Copies, "p", 1, found(), start); err != nil {
		t.Fatal(err)
	}
	const held = `{"kind":"exception","keys":[{"at_ns":1000000000,"x":0.1,"y":0.1,"w":0.2,"h":0.2}],"of":"face","reason":"a poster on the wall","by":"m1"}`
	const area = `{"kind":"area","points":[{"x":0,"y":0},{"x":1,"y":0},{"x":1,"y":1}]}`
	for _, tt := range []struct{ name, before, raw, want string }{
		{"nothing", "", "", ""},
		{"only what hides", "", `[` + area + `]`, `[` + area + `]`},
		{"a new one", "", `[` + area + `,{"kind":"exception","track":"face-1","reason":"  a poster \n on the wall"}]`, `[` + area + `,` + held + `]`},
		{"a plate", "", `[{"kind":"exception","track":"plate-1","reason":"a poster on the wall"}]`, `[` + strings.Replace(held, "face", "plate", 1) + `]`},
		{"with claims of its own", "", `[{"kind":"exception","track":"face-1","by":"m9","of":"plate","keys":[],"reason":"a poster on the wall"}]`, `[` + held + `]`},
		{"one of before", `[` + held + `]`, `[` + held + `]`, `[` + held + `]`},
		{"one of before in another place", `[` + held + `]`, `[` + strings.Replace(held, "0.2", "0.9", 1) + `]`, ""},
		{"one of before with another reason", `[` + held + `]`, `[` + strings.Replace(held, "poster", "friend", 1) + `]`, ""},
		{"one of before by another", `[` + held + `]`, `[` + strings.Replace(held, "m1", "m2", 1) + `]`, ""},
		{"one that was not there", "", `[` + held + `]`, ""},
		{"an unknown track", "", `[{"kind":"exception","track":"face-3","reason":"a poster on the wall"}]`, ""},
		{"a track that never showed", "", `[{"kind":"exception","track":"face-2","reason":"a poster on the wall"}]`, ""},
		{"a track that was drawn", "", `[{"kind":"exception","track":"edit-1","reason":"a poster on the wall"}]`, ""},
		{"nonsense", "", `[{"kind":"exception","star":1}]`, ""},
	} {
		rel.Draft.Edits = json.RawMessage(tt.before)
		got, err := rel.Except(json.RawMessage(tt.raw), "m1")
		var invalid *InvalidError
		if tt.want == "" && tt.raw != "" {
			if !errors.As(err, &invalid) || invalid.Field != "edits" {
				t.Errorf("%s: %s, %v", tt.name, got, err)
			}
		} else if err != nil || string(got) != tt.want {
			t.Errorf("%s: %v\n%s, want\n%s", tt.name, err, got, tt.want)
		}
	}
	rel.Summary = json.RawMessage("?")
	if _, err := rel.Except(json.RawMessage(`[{"kind":"exception","track":"face-1"}]`), "m1"); err == nil {
		t.Error("a damaged summary was read")
	}
	if _, err := rel.Exceptions(); err == nil {
		t.Error("a damaged summary says what is visible")
	}

	d.Edits = json.RawMessage(`[` + held + `]`)
	var invalid *InvalidError
	for able, ok := range map[int]bool{0: false, 1: false, 2: true, 3: true} {
		if err := d.Approvers(able); (err == nil) != ok || !ok && !errors.As(err, &invalid) {
			t.Errorf("in a home of %d: %v", able, err)
		}
	}
	if _, _, err := PrepareRelease("r2", q, clip, d, "m1", start); !errors.As(err, &invalid) {
		t.Errorf("an exception before anybody looked: %v", err)
	}
	d.Edits = nil
	for raw, want := range map[string]string{"": "", `[` + area + `]`: `[` + area + `]`, `[` + held + `,` + area + `]`: `[` + area + `]`, `[` + held + `]`: ""} {
		live := releaseIn(t, ReleaseIsLive, q, clip, d)
		live.Draft.Edits = json.RawMessage(raw)
		if longer, err := live.Extension(nil, 24*time.Hour, start); err != nil || string(longer.Edits) != want {
			t.Errorf("more time for %s leaves %s, %v", raw, longer.Edits, err)
		}
	}
	d.Edits = json.RawMessage(`[` + area + `]`)
	if err := d.Approvers(1); err != nil {
		t.Errorf("a home of one may not hide: %v", err)
	}
}

// TestExceptionNeedsTwo: a release that leaves something visible takes a grant that says so, word for
// word, and two members.
func TestExceptionNeedsTwo(t *testing.T) {
	q, clip, d := asked()
	x := Exception{Kind: "face", FromMS: 400, ToMS: 3200, Reason: whyVisible, By: "m1"}
	two := []Signer{{Member: "m1", Role: RoleHomeowner, Key: "k1", Looked: true}, {Member: "m2", Role: RoleApprover, Key: "k2", Looked: true}}
	other := func(change func(*Exception)) []Exception {
		y := x
		change(&y)
		return []Exception{y}
	}
	for _, tt := range []struct {
		name    string
		visible []Exception // in the copies
		said    []Exception // by the grant
		quorum  int         // that the grant names
		by      []Signer
		want    ReleaseState
		err     error
	}{
		{"two members", []Exception{x}, []Exception{x}, 2, two, ReleaseIsLive, nil},
		{"the first of two", []Exception{x}, []Exception{x}, 2, two[:1], ReleaseInReview, nil},
		{"one is enough, it says", []Exception{x}, []Exception{x}, 0, two[:1], ReleaseInReview, ErrPolicy},
		{"it says nothing of it", []Exception{x}, nil, 2, two, ReleaseInReview, ErrPolicy},
		{"nor of two", []Exception{x}, nil, 0, two[:1], ReleaseInReview, ErrPolicy},
		{"another reason", []Exception{x}, other(func(y *Exception) { y.Reason = "a friend of the family" }), 2, two, ReleaseInReview, ErrPolicy},
		{"by another", []Exception{x}, other(func(y *Exception) { y.By = "m2" }), 2, two, ReleaseInReview, ErrPolicy},
		{"for longer", []Exception{x}, other(func(y *Exception) { y.ToMS = 9000 }), 2, two, ReleaseInReview, ErrPolicy},
		{"more than there is", []Exception{x}, []Exception{x, x}, 2, two, ReleaseInReview, ErrPolicy},
		{"something that is hidden", nil, []Exception{x}, 2, two, ReleaseInReview, ErrPolicy},
		{"without a reason", other(func(y *Exception) { y.Reason = "" }), other(func(y *Exception) { y.Reason = "" }), 2, two, ReleaseInReview, ErrPolicy},
		{"by nobody", other(func(y *Exception) { y.By = "" }), other(func(y *Exception) { y.By = "" }), 2, two, ReleaseInReview, ErrPolicy},
		{"after the window", other(func(y *Exception) { y.FromMS, y.ToMS = 1e9, 2e9 }), other(func(y *Exception) { y.FromMS, y.ToMS = 1e9, 2e9 }), 2, two, ReleaseInReview, ErrPolicy},
		{"what a person drew", other(func(y *Exception) { y.Kind = "edit" }), other(func(y *Exception) { y.Kind = "edit" }), 2, two, ReleaseInReview, ErrPolicy},
	} {
		rel := releaseIn(t, ReleaseIsPreparing, q, clip, d)
		copies := rel.Copies
		for i := range copies {
			copies[i].SHA256 = "ab"
		}
		e, err := rel.Prepared(1, copies, "p", 1, found(tt.visible...), start)
		if err != nil {
			t.Fatal(err)
		}
		if n, _ := e.Data["uncovered"].(int); n != len(tt.visible) {
			t.Errorf("%s: the log says that %d are visible", tt.name, n)
		}
		g := grantOf(q, rel)
		g.Redaction.Exceptions = tt.said
		if tt.quorum > 0 {
			g.Quorum = &GrantQuorum{tt.quorum, []Sensitivity{SensitiveUnredacted}}
		}
		canonical, err := g.Canonical()
		if err != nil {
			t.Fatal(err)
		}
		if e, err = rel.Sign(q, g, canonical, QuorumOf(q, d, Camera{}, len(tt.visible)), tt.by, nil, start); !errors.Is(err, tt.err) || rel.State != tt.want {
			t.Errorf("%s: %s, %v; want %s, %v", tt.name, rel.State, err, tt.want, tt.err)
		}
		if err == nil && e.Data["uncovered"] != len(tt.visible) {
			t.Errorf("%s: the log says %v", tt.name, e.Data)
		}
	}
}
