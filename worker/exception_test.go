package worker

import (
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"cliplease/redact"
	"cliplease/relay"
	"cliplease/storage"
)

// portrait is footage of five seconds that shows the faces of a photograph.
func portrait(t *testing.T) []byte {
	t.Helper()
	folder := os.Getenv("CLIPLEASE_FOOTAGE")
	if folder == "" {
		folder = "../bin/footage"
	}
	path := filepath.Join(t.TempDir(), "clip.mp4")
	out, err := exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-loop", "1", "-framerate", "5", "-t", "6", "-i", filepath.Join(folder, "sample6.jpg"),
		"-vf", "scale=640:-2", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", path).CombinedOutput()
	if err != nil {
		t.Fatalf("ffmpeg: %v: %s (run make test, which sets it up)", err, out)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestException: a face that a member's page names is found again by where it was, in a round that takes
// over what was found and in one that searches anew; where it is not, it stays hidden.
func TestException(t *testing.T) {
	h := newHome(t)
	ctx := t.Context()
	now := h.watch.now()
	token := hash(relay.NewID())
	h.ok(h.DB.Invite(ctx, storage.Invitation{TokenHash: token, Role: relay.RoleApprover, InvitedBy: h.member.ID, ExpiresAt: now.Add(time.Hour)}, now))
	bo := relay.NewID()
	h.ok(h.DB.Join(ctx, token, relay.Member{ID: bo, Name: "Bo", Email: "bo@home.example", Role: relay.RoleApprover, CreatedAt: now}, storage.Credential{ID: "other", MemberID: bo, Name: "Phone", Record: "{}"}, now))
	h.works(h.config())
	clip := h.looked(h.receives(portrait(t)).ID)
	q := h.asks(clip)
	d := h.draft(clip, q)
	rel, err := h.DB.PrepareRelease(ctx, q.ID, clip.ID, d, h.member.ID, now)
	h.ok(err)
	summary := func() (rel_ relay.Release, s relay.Summary) {
		t.Helper()
		rel_ = h.prepared(rel.ID)
		if rel_.State != relay.ReleaseInReview {
			t.Fatalf("round %d is %s: %s", rel_.Round, rel_.State, rel_.Failure)
		}
		h.ok(json.Unmarshal(rel_.Summary, &s))
		return rel_, s
	}
	first, s := summary()
	i := slices.IndexFunc(s.Spans, func(t relay.TrackSpan) bool { return t.Kind == "face" && len(t.Keys) > 1 })
	if i < 0 {
		t.Fatalf("no face to uncover: %+v", s.Spans)
	}
	again := func(raw string) (relay.Release, relay.Summary) {
		t.Helper()
		d.Edits, err = h.release(rel.ID).Except(json.RawMessage(raw), h.member.ID)
		h.ok(err)
		h.ok(h.DB.EditRelease(ctx, rel.ID, d, h.member.ID, h.watch.now()))
		return summary()
	}
	const reason = "A poster on the wall"
	search, err := h.DB.SearchOf(ctx, rel.ID)
	h.ok(err)
	second, s := again(`[{"kind":"exception","track":"` + s.Spans[i].ID + `","reason":"` + reason + `"}]`)
	open, err := second.Exceptions()
	h.ok(err)
	if len(open) != 1 || open[0].Reason != reason || open[0].By != h.member.ID || open[0].Kind != "face" || !s.Spans[i].Open || s.Tracks["uncovered"] != 1 || !second.NeedsLook {
		t.Fatalf("uncovered %+v of %+v", open, s.Spans)
	}
	if kept, err := h.DB.SearchOf(ctx, rel.ID); err != nil || kept != search {
		t.Errorf("it was searched again: %+v, %v", kept, err)
	}
	if second.Copies[0].SHA256 == first.Copies[0].SHA256 {
		t.Error("the copy shows no more than before")
	}
	h.ok(h.Objects.Delete(ctx, search.Object)) // now all is searched anew
	third, _ := again(string(second.Draft.Edits))
	if kept, err := h.DB.SearchOf(ctx, rel.ID); err != nil || kept == search {
		t.Errorf("it was not searched anew: %+v, %v", kept, err)
	}
	if third.Copies[0].SHA256 != second.Copies[0].SHA256 {
		t.Error("a whole search uncovers something else than one that was taken over")
	}

	// In another window, what was there no longer is where it was, at the first moment of it.
	d.From = d.From.Add(-time.Second)
	h.ok(d.Redraw(third.Draft.Edits, third.Draft.From))
	edits, err := relay.ParseEdits(d.Edits, d.To.Sub(d.From))
	h.ok(err)
	for k := range edits[0].Keys {
		edits[0].Keys[k].X = math.Mod(edits[0].Keys[k].X+0.4, 0.7)
	}
	d.Edits, err = json.Marshal(edits)
	h.ok(err)
	h.ok(h.DB.EditRelease(ctx, rel.ID, d, h.member.ID, h.watch.now()))
	fourth, s := summary()
	if open, err := fourth.Exceptions(); err != nil || len(open) != 0 || s.Tracks["uncovered"] != 0 ||
		!slices.ContainsFunc(s.Findings, func(f relay.Doubt) bool { return f.Kind == "face" && f.At > 0.9 && f.At < 1.2 }) {
		t.Errorf("uncovered %+v, %v, with findings %+v", open, err, s.Findings)
	}
}

// TestPlaces: of a track the places that a page can name lie in the picture, from the first to the last.
func TestPlaces(t *testing.T) {
	r := redact.Report{Width: 100, Height: 100, FPS: 10}
	var track redact.Track
	for i := range 21 {
		track.Frames = append(track.Frames, redact.Box{I: 3 + i, X: float64(-60 + 10*i), Y: 10, W: 30, H: 30})
	}
	keys := placesOf(track, r) // in the picture from frame 3 + 4 to 3 + 15
	if len(keys) != places || keys[0] != (relay.EditKey{At: 750 * time.Millisecond, X: 0, Y: 0.1, W: 0.1, H: 0.3}) ||
		keys[places-1] != (relay.EditKey{At: 1850 * time.Millisecond, X: 0.9, Y: 0.1, W: 0.1, H: 0.3}) {
		t.Errorf("places %+v", keys)
	}
	if keys := placesOf(redact.Track{Frames: track.Frames[8:9]}, r); len(keys) != 1 {
		t.Errorf("one picture has the places %+v", keys)
	}
	if keys := placesOf(redact.Track{Frames: track.Frames[:2]}, r); len(keys) != 0 {
		t.Errorf("what never shows has the places %+v", keys)
	}
}

// TestExceptionsOf: what the engine leaves visible is what somebody asked for, or there is no release.
func TestExceptionsOf(t *testing.T) {
	const held = `[{"kind":"area","points":[{"x":0,"y":0},{"x":1,"y":0},{"x":1,"y":1}]},{"kind":"exception","keys":[{"at_ns":1000000000,"x":0.1,"y":0.1,"w":0.2,"h":0.2}],"of":"face","reason":"A poster on the wall","by":"m1"}]`
	start := time.Date(2026, 11, 2, 20, 0, 0, 0, time.UTC)
	rel := relay.Release{Draft: relay.Draft{From: start, To: start.Add(5 * time.Second), Style: relay.StyleBlur, Targets: []string{"faces", "plates"}, Edits: json.RawMessage(held)}}
	p, err := planOf(rel.Draft, relay.Clip{Start: start}, relay.Camera{})
	if want := (redact.Edit{Kind: redact.EditException, Of: "face", Reason: "A poster on the wall", Keys: []redact.Key{{At: time.Second, X: 0.1, Y: 0.1, W: 0.2, H: 0.2}}}); err != nil || !reflect.DeepEqual(p.Edits[1], want) {
		t.Errorf("the plan has %+v, %v", p.Edits, err)
	}
	r := redact.Report{Tracks: []redact.Track{{Kind: "face"}, {Kind: "face", Exception: "A poster on the wall"}}, Exceptions: []redact.Exception{{Edit: 1, Kind: "face", From: 0.4, To: 3.2}}}
	s, err := summaryOf(r, rel, relay.Camera{}, "test")
	if want := []relay.Exception{{Kind: "face", FromMS: 400, ToMS: 3200, Reason: "A poster on the wall", By: "m1"}}; err != nil || !slices.Equal(s.Exceptions, want) || s.Tracks["face"] != 1 || s.Tracks["uncovered"] != 1 {
		t.Errorf("%+v, %v", s, err)
	}
	for _, edit := range []int{-1, 0, 2} {
		r.Exceptions[0].Edit = edit
		if _, err := summaryOf(r, rel, relay.Camera{}, "test"); err == nil {
			t.Errorf("edit %d left something visible", edit)
		}
	}
}
