package worker

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"cliplease/redact"
	"cliplease/relay"
	"cliplease/storage"
)

func TestPrepare(t *testing.T) {
	h := newHome(t)
	clip := h.ready("6")
	q := h.asks(clip)
	rel, err := h.DB.PrepareRelease(t.Context(), q.ID, clip.ID, h.draft(clip, q), h.member.ID, h.watch.now())
	h.ok(err)
	// What an attempt that was cut off has left: a key without a copy.
	_, err = h.Keys.New(t.Context(), rel.Copies[0].ID, rel.ID)
	h.ok(err)
	h.works(h.config())
	rel = h.prepared(rel.ID)
	if rel.State != relay.ReleaseInReview || len(rel.Copies) != 2 || rel.Progress != 100 {
		t.Fatalf("%s: %s %+v", rel.State, rel.Failure, rel)
	}
	var seen [][]byte
	for _, c := range rel.Copies {
		b, err := h.opens(c)
		h.ok(err)
		if hash(string(b)) != c.SHA256 || int64(len(b)) != c.Bytes {
			t.Errorf("copy %s is not the one of the record", c.ID)
		}
		if frames := countFrames(t, b); frames != 10 {
			t.Errorf("copy %s has %d frames, want the 10 of two seconds", c.ID, frames)
		}
		seen = append(seen, b)
	}
	if bytes.Equal(seen[0], seen[1]) {
		t.Error("two recipients got the same bytes; each copy carries its own notice")
	}
	if key, err := h.Keys.Get(t.Context(), storage.ProxyKey(rel.ID, 1), rel.ID); err != nil {
		t.Error(err)
	} else if body, err := storage.OpenRange(t.Context(), h.Objects, rel.Proxy, key, rel.ProxyBytes, 0, -1); err != nil {
		t.Error(err)
	} else {
		body.Close()
	}
	var s relay.Summary
	h.ok(json.Unmarshal(rel.Summary, &s))
	if s.Frames != 10 || s.Width != 320 || s.Tracks["mask"] != 1 || !slices.Equal(s.Masks, h.camera.Masks) || s.MaskSet != 0 || len(s.Detectors) == 0 || len(s.Gates) == 0 || s.SourceSHA == "" {
		t.Errorf("summary %+v", s)
	}
	if n := len(h.objects()); n != 1+2+1+1 {
		t.Errorf("%d objects, want original, two copies, proxy and what was found", n)
	}
	h.mail(q.ID, "ready", h.member.Email)
}

func countFrames(t *testing.T, film []byte) int {
	t.Helper()
	path := filepath.Join(t.TempDir(), "copy.mp4")
	if err := os.WriteFile(path, film, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "ffprobe", "-v", "error", "-ignore_editlist", "1", "-select_streams", "v", "-show_entries", "frame=pts", "-of", "csv=p=0", path).CombinedOutput()
	if err != nil {
		t.Fatalf("ffprobe: %v: %s", err, out)
	}
	return len(strings.Fields(string(out)))
}

// TestPrepareStale: edited while it is prepared, a release gets the newer round and nothing of
// the older one stays.
func TestPrepareStale(t *testing.T) {
	h := newHome(t)
	clip := h.ready("10")
	q := h.asks(clip)
	d := h.draft(clip, q)
	d.To = clip.Start.Add(9 * time.Second)
	rel, err := h.DB.PrepareRelease(t.Context(), q.ID, clip.ID, d, h.member.ID, h.watch.now())
	h.ok(err)
	h.works(h.config())
	h.await("preparing has begun", func() bool { return h.release(rel.ID).Progress > 0 })
	h.ok(h.DB.PrepareFailed(t.Context(), rel.ID, 1, "a person gave up waiting", h.watch.now()))
	h.ok(h.DB.EditRelease(t.Context(), rel.ID, h.draft(clip, q), h.member.ID, h.watch.now()))
	rel = h.prepared(rel.ID)
	if rel.State != relay.ReleaseInReview || rel.Round != 2 {
		t.Fatalf("round %d is %s: %s", rel.Round, rel.State, rel.Failure)
	}
	search, err := h.DB.SearchOf(t.Context(), rel.ID)
	h.ok(err)
	want := []string{rel.Copies[0].ID, rel.Copies[1].ID, storage.ProxyKey(rel.ID, 2), search.KeyID}
	slices.Sort(want)
	h.await("the first round is gone", func() bool { return slices.Equal(h.keys(), want) && len(h.objects()) == 5 })
}

// TestPrepareDiscarded: given up while it is prepared, a release leaves nothing.
func TestPrepareDiscarded(t *testing.T) {
	h := newHome(t)
	clip := h.ready("10")
	q := h.asks(clip)
	d := h.draft(clip, q)
	d.To = clip.Start.Add(9 * time.Second)
	rel, err := h.DB.PrepareRelease(t.Context(), q.ID, clip.ID, d, h.member.ID, h.watch.now())
	h.ok(err)
	w := h.works(h.config())
	h.await("preparing has begun", func() bool { return h.release(rel.ID).Progress > 0 })
	h.ok(h.DB.DiscardRelease(t.Context(), rel.ID, h.member.ID, h.watch.now()))
	h.await("it is recorded as destroyed", func() bool { return !h.release(rel.ID).ShreddedAt.IsZero() })
	h.stops(w)
	if keys, objects := h.keys(), h.objects(); len(keys) != 0 || len(objects) != 1 {
		t.Errorf("left: keys %v, objects %v; want the original alone", keys, objects)
	}
}

func TestPrepareFails(t *testing.T) {
	for _, tt := range []struct {
		name   string
		engine redact.Config
		break_ func(h *home, clip relay.Clip, d *relay.Draft)
		says   string
	}{
		{"machine not ready", redact.Config{FFmpeg: "/nowhere/ffmpeg", FFprobe: "/nowhere/ffprobe"}, func(*home, relay.Clip, *relay.Draft) {}, "Prepare again"},
		{"original gone", redact.Config{}, func(h *home, clip relay.Clip, _ *relay.Draft) {
			h.ok(h.Objects.Delete(h.t.Context(), clip.Object))
		}, "no longer in the object store"},
		{"original changed", redact.Config{}, func(h *home, clip relay.Clip, _ *relay.Draft) {
			path := findObject(h.t, h, clip.Object)
			b, err := os.ReadFile(path)
			h.ok(err)
			h.ok(os.WriteFile(path, b[:len(b)-1], 0o600))
		}, "changed or damaged"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHome(t)
			clip := h.ready("6")
			q := h.asks(clip)
			d := h.draft(clip, q)
			tt.break_(h, clip, &d)
			rel, err := h.DB.PrepareRelease(t.Context(), q.ID, clip.ID, d, h.member.ID, h.watch.now())
			h.ok(err)
			cfg := h.config()
			cfg.Engine = engine(t, tt.engine)
			h.works(cfg)
			rel = h.prepared(rel.ID)
			if rel.State != relay.ReleaseIsFailed || !strings.Contains(rel.Failure, tt.says) || !strings.HasSuffix(rel.Failure, ".") {
				t.Errorf("%s: %q, want it failed with %q", rel.State, rel.Failure, tt.says)
			}
			if keys := h.keys(); len(keys) != 0 {
				t.Errorf("left: keys %v", keys)
			}
		})
	}
}

func TestNotice(t *testing.T) {
	h := newHome(t)
	q := relay.Request{Claims: relay.Claims{Case: relay.Case{Ref: "EPD-1"}}}
	rel := relay.Release{ID: "abcdefghijkl", Draft: relay.Draft{Expires: h.watch.now()}}
	for _, r := range []relay.Recipient{{Kind: relay.RecipientEmail, Addr: "det@pd.example", Name: "Det. X"}, {Kind: relay.RecipientKey, KID: "0123456789"}} {
		got := noticeFor(r, h.agency, q, rel)
		for _, part := range []string{h.agency.Name, "EPD-1", "Not for onward sharing", "abcdefgh", rel.Draft.Expires.Format("2006-01-02")} {
			if !strings.Contains(got, part) {
				t.Errorf("the notice %q lacks %q", got, part)
			}
		}
		if strings.Contains(got, "det@") {
			t.Errorf("the notice %q spells out the address", got)
		}
	}
}

// TestLeftovers: what an attempt sealed goes when the release was given up in the meantime, but
// the keys stay when another attempt of the same round brought it under review: they are its.
func TestLeftovers(t *testing.T) {
	h := newHome(t)
	ctx := t.Context()
	clip := h.ready("6")
	q := h.asks(clip)
	rel, err := h.DB.PrepareRelease(ctx, q.ID, clip.ID, h.draft(clip, q), h.member.ID, h.watch.now())
	h.ok(err)
	w := &Worker{Config: h.config()}
	file := filepath.Join(t.TempDir(), "copy")
	h.ok(os.WriteFile(file, []byte("a release copy"), 0o600))
	attempt := func() (m made, copies []relay.Copy) {
		m, copies = made{worker: w, rel: rel}, slices.Clone(rel.Copies)
		for i := range copies {
			h.ok(m.sealCopy(ctx, &copies[i], redact.Copy{Path: file, SHA256: hash("a release copy")}))
		}
		return m, copies
	}
	late, _ := attempt()
	_, copies := attempt() // took the keys over
	h.ok(h.DB.Prepared(ctx, rel.ID, 1, copies, "", 0, relay.Summary{}, nil, h.watch.now()))
	late.destroy(ctx)
	for _, c := range h.release(rel.ID).Copies {
		if b, err := h.opens(c); err != nil || string(b) != "a release copy" {
			t.Errorf("a copy under review cannot be opened: %v", err)
		}
	}
	if n := len(h.objects()); n != 1+2 {
		t.Errorf("%d objects, want the original and two copies", n)
	}
	h.ok(h.DB.EditRelease(ctx, rel.ID, h.draft(clip, q), h.member.ID, h.watch.now()))
	rel = h.release(rel.ID)
	before := len(h.objects())
	given, _ := attempt()
	h.ok(h.DB.DiscardRelease(ctx, rel.ID, h.member.ID, h.watch.now()))
	given.destroy(ctx)
	for _, id := range h.keys() {
		if id == rel.Copies[0].ID || id == rel.Copies[1].ID {
			t.Errorf("the key %s of a release that was given up stays", id)
		}
	}
	if n := len(h.objects()); n != before {
		t.Errorf("%d objects stay of a release that was given up", n-before)
	}
}

// TestPlanOf: what a person drew reaches the redactor as it was drawn, and what means nothing is
// refused.
func TestPlanOf(t *testing.T) {
	start := time.Date(2026, 11, 2, 20, 0, 0, 0, time.UTC)
	d := relay.Draft{From: start.Add(time.Second), To: start.Add(5 * time.Second), Style: relay.StyleBlur, Targets: []string{"faces", "plates"},
		Edits: json.RawMessage(`[{"kind":"box","follow":true,"keys":[{"at_ns":1500000000,"x":0.1,"y":0.2,"w":0.3,"h":0.4}]},{"kind":"outside","points":[{"x":0,"y":0},{"x":1,"y":0},{"x":1,"y":1}]}]`)}
	if _, err := relay.ParseEdits(d.Edits, d.To.Sub(d.From)); err != nil {
		t.Fatal(err)
	}
	p, err := planOf(d, relay.Clip{Start: start}, relay.Camera{})
	if err != nil {
		t.Fatal(err)
	}
	want := []redact.Edit{
		{Kind: redact.EditBox, Follow: true, Keys: []redact.Key{{At: 1500 * time.Millisecond, X: 0.1, Y: 0.2, W: 0.3, H: 0.4}}},
		{Kind: redact.EditOutside, Points: []redact.Point{{X: 0, Y: 0}, {X: 1, Y: 0}, {X: 1, Y: 1}}},
	}
	if !reflect.DeepEqual(p.Edits, want) {
		t.Errorf("the plan has %+v, want %+v", p.Edits, want)
	}
	for _, edits := range []string{`[{"kind":"box","nonsense":1}]`, `[{"kind":"box"}]`, `{`} {
		d.Edits = json.RawMessage(edits)
		if _, err := planOf(d, relay.Clip{Start: start}, relay.Camera{}); !errors.Is(err, errPlan) {
			t.Errorf("%s: %v", edits, err)
		}
	}
}

// TestSpans: of more tracks than a summary holds, those stay that most need a look.
func TestSpans(t *testing.T) {
	r := redact.Report{FPS: 10}
	for i := range 200 {
		r.Tracks = append(r.Tracks, redact.Track{Kind: "face", Frames: []redact.Box{{I: i, Score: 0.9}, {I: i + 9, Score: 0.2}}})
	}
	r.Tracks[199].Frames = []redact.Box{{I: 199, Score: 0.3}}
	r.Tracks = append(r.Tracks, redact.Track{Kind: "edit", Frames: []redact.Box{{I: 3}}}, redact.Track{Kind: "plate", Frames: []redact.Box{{I: 5, Score: 0.6}}}, redact.Track{Kind: "face"})
	spans := spansOf(r)
	if len(spans) != relay.MaxSpans {
		t.Fatalf("%d spans", len(spans))
	}
	for _, want := range []relay.TrackSpan{
		{Kind: "face", From: 0, To: 1, Sure: "clear"}, {Kind: "face", From: 19.9, To: 20, Sure: "faint"}, {Kind: "edit", From: 0.3, To: 0.4}, {Kind: "plate", From: 0.5, To: 0.6, Sure: "fair"},
	} {
		if !slices.ContainsFunc(spans, func(s relay.TrackSpan) bool { return reflect.DeepEqual(s, want) }) {
			t.Errorf("%+v is not among the spans", want)
		}
	}
	if !slices.IsSortedFunc(spans, func(a, b relay.TrackSpan) int { return cmp.Compare(a.From, b.From) }) {
		t.Error("the spans are not in the order of time")
	}
}
