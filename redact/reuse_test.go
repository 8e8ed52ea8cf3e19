package redact

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

// TestReuse: a job that takes over what an earlier one found gives the bytes and the report that a whole
// one gives, also with a box that is followed; and it takes over nothing that does not fit.
func TestReuse(t *testing.T) {
	e := testEngine(t, Config{})
	dir := t.TempDir()
	in, known := filepath.Join(dir, "in.mp4"), filepath.Join(dir, "found")
	doorbell(t, in, 2)
	redo := func(plan Plan, earlier, write string) Report {
		t.Helper()
		r, err := e.Redact(context.Background(), Job{In: in, Plan: plan, Earlier: earlier, Found: write, WorkDir: dir,
			Copies: []CopyOut{{Path: filepath.Join(dir, "out.mp4"), Notice: "to A"}}})
		if err != nil {
			t.Fatal(err)
		}
		if !r.Passed() {
			t.Errorf("gates %+v", r.Gates)
		}
		return r
	}
	first := redo(Plan{}, "", known)
	edited := Plan{Style: StyleSolid, Edits: []Edit{
		{Kind: EditBox, Follow: true, Keys: []Key{{At: time.Second, X: 0.25, Y: 0.5, W: 0.1, H: 0.2}}},
		{Kind: EditArea, Points: []Point{{0, 0.8}, {0.2, 0.8}, {0.2, 1}, {0, 1}}},
	}}
	whole, again := redo(edited, "", ""), redo(edited, known, "")
	if first.Reused || whole.Reused || !again.Reused {
		t.Fatalf("reused: %v, %v, %v; want only the last", first.Reused, whole.Reused, again.Reused)
	}
	t.Logf("searching took %.1f s, and %.1f s with what was known", whole.Seconds["searching"], again.Seconds["searching"])
	if whole.Output == first.Output || len(whole.Tracks) <= len(first.Tracks) {
		t.Error("the edits changed nothing")
	}
	again.Reused, again.Seconds = false, whole.Seconds
	if !reflect.DeepEqual(again, whole) {
		t.Errorf("with what was known:\n%+v\nwithout:\n%+v", again, whole)
	}

	for _, tt := range []struct {
		name  string
		plan  Plan
		alter func([]byte) []byte
	}{
		{"another window", Plan{From: 500 * time.Millisecond}, nil},
		{"fewer targets", Plan{Targets: []Target{Faces}}, nil},
		{"cut off", Plan{}, func(b []byte) []byte { return b[:len(b)/2] }},
		{"altered", Plan{}, func(b []byte) []byte { b[len(b)/2] ^= 0xff; return b }},
		{"not there", Plan{}, func([]byte) []byte { return nil }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, err := os.ReadFile(known)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "found")
			if tt.alter != nil {
				b = tt.alter(b)
			}
			if b != nil {
				if err := os.WriteFile(path, b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if r := redo(tt.plan, path, ""); r.Reused {
				t.Error("it was taken over")
			}
		})
	}
	// Wherever it is damaged, nothing of it is believed.
	w := &workState{e: e, job: Job{Plan: Plan{}.withDefaults()}, in: in}
	if err := w.read(context.Background()); err != nil {
		t.Fatal(err)
	}
	sound, err := os.ReadFile(known)
	if err != nil {
		t.Fatal(err)
	}
	if f, err := readFound(known, w.findsOf()); f == nil || err != nil {
		t.Fatalf("the sound one: %v", err)
	}
	for at := 10; at < len(sound); at += max(1, len(sound)/100) { // after the header, whose time and name mean nothing
		path := filepath.Join(dir, "damaged")
		b := bytes.Clone(sound)
		b[at] ^= 0x10
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if f, err := readFound(path, w.findsOf()); f != nil || err == nil {
			t.Errorf("damaged at byte %d of %d it is believed", at, len(sound))
		}
	}
	f, err := readFound(known, "")
	if f != nil || err != nil {
		t.Errorf("what was found of something else: %v, %v", f, err)
	}
}

// TestReuseOtherPictures: what was found in pictures that are not these, although all else is the same,
// is not believed.
func TestReuseOtherPictures(t *testing.T) {
	e := testEngine(t, Config{})
	dir := t.TempDir()
	in, known := filepath.Join(dir, "in.mp4"), filepath.Join(dir, "found")
	plain(t, in, 640, 360, 15, 20, h264...)
	job := Job{In: in, WorkDir: dir, Found: known, Copies: []CopyOut{{Path: filepath.Join(dir, "out.mp4")}}}
	r, err := e.Redact(context.Background(), job)
	if err != nil {
		t.Fatal(err)
	}
	w := &workState{e: e, job: Job{Plan: Plan{}.withDefaults()}, in: in}
	if err := w.read(context.Background()); err != nil {
		t.Fatal(err)
	}
	f, err := readFound(known, w.findsOf())
	if err != nil || f == nil || f.Mezzanine != r.Mezzanine {
		t.Fatalf("%+v, %v", f, err)
	}
	f.Mezzanine = r.Input.SHA256
	if err := f.write(known); err != nil {
		t.Fatal(err)
	}
	job.Earlier, job.Found = known, ""
	if got, err := e.Redact(context.Background(), job); err != nil || got.Reused || got.Output != r.Output {
		t.Errorf("reused %v, %v, output %v, want %v", got.Reused, err, got.Output, r.Output)
	}
}

// BenchmarkReuse prepares 15 s of 720p, and then again with a box that a person drew. It prints how
// long each took, and where the time went.
func BenchmarkReuse(b *testing.B) {
	e := testEngine(b, Config{})
	dir := b.TempDir()
	in, known := filepath.Join(dir, "in.mp4"), filepath.Join(dir, "found")
	doorbell(b, in, 15)
	box := Plan{Edits: []Edit{{Kind: EditBox, Follow: true, Keys: []Key{{At: 5 * time.Second, X: 0.6, Y: 0.4, W: 0.1, H: 0.2}}}}}
	for b.Loop() {
		for _, round := range []struct {
			name string
			job  Job
		}{{"first", Job{Found: known}}, {"again", Job{Plan: box, Earlier: known}}} {
			round.job.In, round.job.WorkDir, round.job.Copies, round.job.Proxy = in, dir, []CopyOut{{Path: filepath.Join(dir, "out.mp4"), Notice: "to A"}}, filepath.Join(dir, "proxy.mp4")
			began := time.Now()
			r, err := e.Redact(context.Background(), round.job)
			if err != nil {
				b.Fatal(err)
			}
			if r.Reused != (round.name == "again") {
				b.Fatalf("%s: reused %t", round.name, r.Reused)
			}
			b.ReportMetric(time.Since(began).Seconds(), "s-"+round.name)
			b.Logf("%s: %.1f s: %v", round.name, time.Since(began).Seconds(), r.Seconds)
		}
	}
}
