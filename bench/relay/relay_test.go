// Package relay measures what an operator feels: how soon a relay is ready, how much memory
// it takes while nothing happens, and how long the main job takes.
package relay

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/test/driver"
	"cliplease/test/footage"
)

// What is promised on two cores.
const (
	readyWithin    = time.Second
	idleBytes      = 100 << 20
	preparedWithin = 30 * time.Second
)

// BenchmarkStart starts a relay that was set up before, and looks at its memory before the
// first clip.
func BenchmarkStart(b *testing.B) {
	ctx := b.Context()
	data := filepath.Join(b.TempDir(), "data")
	r, err := driver.Start(ctx, driver.Config{Data: data})
	ok(b, err)
	ok(b, r.Stop())
	var slowest time.Duration
	var most int64
	b.ResetTimer()
	for range b.N {
		begun := time.Now()
		ok(b, r.Start(ctx))
		slowest = max(slowest, time.Since(begun))
		b.StopTimer()
		used, err := r.Memory()
		ok(b, err)
		most = max(most, used)
		ok(b, r.Stop())
		b.StartTimer()
	}
	b.ReportMetric(float64(slowest.Milliseconds()), "ms-slowest")
	b.ReportMetric(float64(most)/(1<<20), "MB-resident")
	if slowest > readyWithin {
		b.Errorf("a start took %s, promised are %s", slowest, readyWithin)
	}
	if most > idleBytes {
		b.Errorf("an idle relay takes %d MB, promised are %d", most>>20, idleBytes>>20)
	}
}

// BenchmarkPrepare prepares a release of a whole clip of 15 s at 720p, and transcodes the same
// clip with plain ffmpeg for comparison.
func BenchmarkPrepare(b *testing.B) {
	ctx := b.Context()
	dir := b.TempDir()
	stills, err := footage.Stills()
	ok(b, err)
	clip := filepath.Join(dir, "clip.mp4")
	ok(b, footage.Make(ctx, stills, footage.Demo, clip, nil))

	var plain time.Duration
	for range b.N {
		begun := time.Now()
		ok(b, transcode(ctx, clip, filepath.Join(dir, "plain.mp4")))
		plain += time.Since(begun)
	}

	r, err := driver.Start(ctx, driver.Config{Data: filepath.Join(dir, "data")})
	ok(b, err)
	b.Cleanup(func() { ok(b, r.Stop()) })
	home, err := r.Join(ctx, r.SetUpLink, "Ada", "ada@home.example")
	ok(b, err)
	ok(b, home.SaveCamera(ctx, "front-door", "Front door"))
	start := time.Now().Add(-time.Hour).Truncate(time.Second)
	content, err := os.ReadFile(clip)
	ok(b, err)
	ok(b, home.Upload(ctx, "front-door", "clip.mp4", start, bytes.NewReader(content)))
	agency, err := r.NewAgency(ctx, dir, "urn:cliplease:agency:bench", "Bench Police", "police.example")
	ok(b, err)
	ok(b, agency.Register(ctx))
	receipt, err := agency.File(ctx, driver.Ask{Camera: "front-door", From: start.Add(-time.Minute), To: start.Add(time.Minute), Case: "BENCH-1",
		Purpose: relay.PurposeHitAndRun, Text: "Benchmark of how long preparing a release takes.",
		Recipients: []relay.RecipientAsk{{Kind: relay.RecipientEmail, Addr: "d@police.example", Name: "D"}}})
	ok(b, err)
	footageIn, err := r.Clip(ctx, "clip.mp4")
	ok(b, err)

	var took time.Duration
	b.ResetTimer()
	for range b.N {
		begun := time.Now()
		rel, err := home.Prepare(ctx, receipt.RequestID, driver.NewDraft(footageIn.ID, start, start.Add(15*time.Second)))
		ok(b, err)
		ok(b, home.AwaitReview(ctx, rel, func(int) {}))
		took += time.Since(begun)
	}
	b.StopTimer()
	took /= time.Duration(b.N)
	plain /= time.Duration(b.N)
	b.ReportMetric(took.Seconds(), "s/release")
	b.ReportMetric(plain.Seconds(), "s/plain-transcode")
	b.ReportMetric(took.Seconds()/plain.Seconds(), "times-plain")
	if took > preparedWithin {
		b.Errorf("preparing 15 s at 720p took %s, promised are %s on two cores that do nothing else", took, preparedWithin)
	}
}

func transcode(ctx context.Context, in, out string) error {
	return exec.CommandContext(ctx, "ffmpeg", "-v", "error", "-y", "-i", in, "-an", "-c:v", "libx264", "-preset", "veryfast", "-crf", "23", out).Run()
}

func ok(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}
