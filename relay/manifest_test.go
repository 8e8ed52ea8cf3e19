package relay

import (
	"crypto/ed25519"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestManifests makes the manifests of a release and reads them back.
func TestManifests(t *testing.T) {
	q, clip, d := asked()
	rel, _, err := PrepareRelease("r1", q, clip, d, "m1", start)
	if err != nil {
		t.Fatal(err)
	}
	for i := range rel.Copies {
		rel.Copies[i].SHA256, rel.Copies[i].Bytes = "ab", 7
	}
	const stamp = "2006-01-02T15:04:05.000Z"
	summary := Summary{
		Frames: 10, FPS: 5, Width: 64, Height: 48, SourceSHA: "cd", SourceFrom: d.From.Format(stamp), SourceTo: d.To.Add(-3 * time.Second).Format(stamp),
		Tracks: map[string]int{"plate": 1, "face": 3}, Gates: []Gate{{Name: "frames", OK: true}},
		Detectors: []Tool{{Name: "faces", SHA256: "ef"}}, Tools: []Tool{{Name: "plan", SHA256: "12"}, {Name: "ffmpeg", Version: "5.1"}},
	}
	if _, err := rel.Prepared(1, rel.Copies, "p", 1, summary, start); err != nil {
		t.Fatal(err)
	}
	g := grantOf(q, rel)
	if rel.Grant, err = g.Canonical(); err != nil {
		t.Fatal(err)
	}
	all, err := Manifests(rel, q, g, Camera{ClockOffset: 1500 * time.Millisecond}, 41, start)
	if err != nil || len(all) != len(g.Outputs) {
		t.Fatalf("%d manifests for %d files: %v", len(all), len(g.Outputs), err)
	}
	m := all[0]
	if m.Source.ClockOffsetMS != 1500 || m.Source.NormalisedSHA256 != "cd" || m.Redaction.PlanSHA256 != "12" || m.Log != (ManifestLog{g.Relay + "/audit", 41, 42}) {
		t.Errorf("%+v", m)
	}
	want := []ManifestEdit{{"trim", 1}, {"face", 3}, {"plate", 1}, {"notice", 1}, {"audio_removed", 1}, {"metadata_removed", 1}}
	if diff := cmp.Diff(want, m.Edits); diff != "" {
		t.Error(diff)
	}
	last := m.Window.Gaps[len(m.Window.Gaps)-1]
	if d.To.Before(q.Claims.Scope.To) {
		last = m.Window.Gaps[len(m.Window.Gaps)-2]
	}
	if last.Why != "not_recorded" || last.To != Stamp(d.To) {
		t.Errorf("three seconds are missing at the end, and the gaps are %+v", m.Window.Gaps)
	}

	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	token, err := m.Sign(key)
	if err != nil {
		t.Fatal(err)
	}
	public, err := NewPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	back, err := OpenManifest(token, public)
	if err != nil {
		t.Fatal(err)
	}
	if err := back.Matches(g, GrantHash(rel.Grant), g.Outputs[0], q.Claims, 41, "r1"); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(m, back); diff != "" {
		t.Error(diff)
	}
	if _, err := OpenManifest(token[:len(token)-4]+"AAAA", public); err == nil {
		t.Error("a manifest with another signature was read")
	}
	rel.Summary = json.RawMessage("{")
	if _, err := Manifests(rel, q, g, Camera{}, 41, start); err == nil {
		t.Error("a summary that cannot be read made a manifest")
	}
}

// TestGaps: what was asked for and is not in the file is declared.
func TestGaps(t *testing.T) {
	at := func(s string) string { return "2026-11-21T22:" + s + "Z" }
	for _, tt := range []struct {
		name                    string
		asked, approved, actual Span
		want                    []Gap
	}{
		{"all of it", Span{at("00:00"), at("10:00")}, Span{at("00:00"), at("10:00")}, Span{at("00:00.000"), at("10:00.000")}, []Gap{}},
		{"one picture too few", Span{at("00:00"), at("10:00")}, Span{at("00:00"), at("10:00")}, Span{at("00:00.000"), at("09:59.960")}, []Gap{}},
		{"narrowed", Span{at("00:00"), at("10:00")}, Span{at("02:00"), at("03:00")}, Span{at("02:00.000"), at("03:00.000")},
			[]Gap{{Span{at("00:00"), at("02:00")}, "not_given"}, {Span{at("03:00"), at("10:00")}, "not_given"}}},
		{"ends early", Span{at("00:00"), at("10:00")}, Span{at("00:00"), at("10:00")}, Span{at("00:00.000"), at("08:00.000")},
			[]Gap{{Span{at("08:00.000"), at("10:00")}, "not_recorded"}}},
		{"starts late", Span{at("00:00"), at("10:00")}, Span{at("00:00"), at("10:00")}, Span{at("01:00.000"), at("10:00.000")},
			[]Gap{{Span{at("00:00"), at("01:00.000")}, "not_recorded"}}},
		{"not known", Span{at("00:00"), at("10:00")}, Span{at("00:00"), at("10:00")}, Span{}, []Gap{}},
	} {
		w := ManifestWindow{Asked: tt.asked, Approved: tt.approved, Actual: tt.actual}
		if diff := cmp.Diff(tt.want, w.gaps(25)); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}
