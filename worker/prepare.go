package worker

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"cliplease/redact"
	"cliplease/relay"
	"cliplease/storage"
	"cliplease/storage/fault"

	"github.com/riverqueue/river"
)

// prepareWorker makes the release copies of one round of a release.
type prepareWorker struct {
	river.WorkerDefaults[storage.PrepareJob]
	*Worker
}

// Timeout bounds one attempt.
func (*prepareWorker) Timeout(*river.Job[storage.PrepareJob]) time.Duration { return prepareFor }

// errStale ends a preparation that nobody waits for any more: the release was edited,
// discarded or prepared by another attempt.
var errStale = errors.New("the round is over")

// Work makes the copies, or records for the home why it could not. What the home or the
// footage is to blame for is recorded at once; a fault that may pass is tried again.
func (w *prepareWorker) Work(ctx context.Context, job *river.Job[storage.PrepareJob]) error {
	id, round := job.Args.ReleaseID, job.Args.Round
	rel, err := w.Store.DB.Release(ctx, id)
	if errors.Is(err, relay.ErrNotFound) || err == nil && (rel.State != relay.ReleaseIsPreparing || rel.Round != round) {
		return nil
	}
	if err != nil {
		return err
	}
	if job.Attempt <= job.MaxAttempts {
		err = w.prepare(ctx, rel)
	} else { // cut off each time before: whatever it is, it must not take the relay down for ever
		err = fmt.Errorf("preparing was cut off %d times", job.MaxAttempts)
	}
	var reason string
	switch {
	case err == nil || errors.Is(err, errStale):
		return nil
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err() // the relay stops; the job runs again
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		reason = fmt.Sprintf("Preparing took longer than %d hours and was ended. Choose a shorter window.", int(prepareFor.Hours()))
	case errors.Is(err, redact.ErrRefused):
		reason = sentence(err.Error())
	case errors.Is(err, redact.ErrNotReady):
		reason = sentence(err.Error()) + " Prepare again when that is put right."
	case errors.Is(err, errGates), errors.Is(err, errPlan):
		reason = sentence(err.Error())
	case errors.Is(err, storage.ErrTampered):
		reason = "The sealed original was changed or damaged in the object store, so no release can be made from it. Find out who can write there."
	case errors.Is(err, relay.ErrNotFound):
		reason = "The original is no longer in the object store, so no release can be made from it."
	case fullDisk(err):
		reason = "The disk of this relay is full. Make room, then prepare again."
	case job.Attempt >= job.MaxAttempts:
		reason = "This relay could not prepare the release, because of a fault of its own. Its log says more. Prepare again, or choose another clip."
	default:
		return fmt.Errorf("prepare release %s: %w", id, err)
	}
	w.Log.Error("a release could not be prepared", "release", id, "error", err)
	stop, cancel := aside(ctx)
	defer cancel()
	err = w.Store.DB.PrepareFailed(stop, id, round, reason, w.Now())
	if errors.Is(err, relay.ErrState) || errors.Is(err, relay.ErrConflict) { // given up or edited in the meantime
		return nil
	}
	return err
}

// errGates means that a copy was made and is not fit to leave; errPlan that the draft cannot
// be carried out.
var (
	errGates = errors.New("the release copies did not pass the relay's own checks, so they were destroyed and nothing left this relay")
	errPlan  = errors.New("this draft cannot be prepared")
)

// prepare redacts the footage once for all recipients, seals each copy under a key of its
// own, and moves the release to review.
//
// Bytes come first, then the row. A crash before the row leaves keys and objects of copies
// that were never under review: the next attempt destroys the keys, and the sweep of orphans
// deletes the objects.
func (w *Worker) prepare(ctx context.Context, rel relay.Release) (err error) {
	q, err := w.Store.DB.Request(ctx, rel.RequestID)
	if err != nil {
		return err
	}
	agency, err := w.Store.DB.Agency(ctx, q.AgencyID)
	if err != nil {
		return err
	}
	clip, err := w.Store.DB.Clip(ctx, rel.ClipID)
	if err != nil {
		return err
	}
	camera, err := w.Store.DB.Camera(ctx, clip.CameraID)
	if err != nil {
		return err
	}
	plan, err := planOf(rel.Draft, clip, camera)
	if err != nil {
		return err
	}
	dir, original, clear, err := w.workshop(ctx, clip)
	if err != nil {
		return err
	}
	defer clear()
	job := redact.Job{In: original, Plan: plan, Proxy: filepath.Join(dir, "proxy.mp4"), Found: filepath.Join(dir, "found"), WorkDir: filepath.Join(dir, "work")}
	if err := os.Mkdir(job.WorkDir, 0o700); err != nil {
		return err
	}
	if job.Earlier, err = w.earlier(ctx, rel.ID, filepath.Join(dir, "earlier")); err != nil {
		return err
	}
	for i, c := range rel.Copies {
		job.Copies = append(job.Copies, redact.CopyOut{
			Path:   filepath.Join(dir, fmt.Sprintf("copy-%d.mp4", i)),
			Notice: noticeFor(c.Recipient, agency, q, rel),
		})
	}
	report, err := w.redact(ctx, rel, job)
	if err != nil {
		return err
	}
	if !report.Passed() {
		for _, g := range report.Gates {
			if !g.OK {
				w.Log.Error("a release copy did not pass a check", "release", rel.ID, "check", g.Name, "detail", g.Detail)
			}
		}
		return fmt.Errorf("%w (%s)", errGates, failedGates(report))
	}
	summary, err := summaryOf(report, rel, camera, w.Version)
	if err != nil {
		return err
	}
	fault.Point("copies made")

	made := made{worker: w, rel: rel}
	defer func() {
		if err != nil {
			made.destroy(ctx)
		}
	}()
	copies := slices.Clone(rel.Copies)
	for i := range copies {
		if err := made.sealCopy(ctx, &copies[i], report.Copies[i]); err != nil {
			return err
		}
	}
	proxy, proxyBytes, err := made.sealProxy(ctx, job.Proxy)
	if err != nil {
		return err
	}
	var search *storage.Search
	if !report.Reused {
		if search, err = made.sealSearch(ctx, job.Found); err != nil {
			return err
		}
	}
	err = w.Store.DB.Prepared(ctx, rel.ID, rel.Round, copies, proxy, proxyBytes, summary, search, w.Now())
	if errors.Is(err, relay.ErrState) || errors.Is(err, relay.ErrConflict) {
		return errStale
	}
	return err
}

// redact runs the engine. It notes the progress for the home, and ends early once the round
// is over.
func (w *Worker) redact(ctx context.Context, rel relay.Release, job redact.Job) (redact.Report, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var percent atomic.Int32
	job.Progress = func(p redact.Progress) { percent.Store(int32(min(max(p.Done, 0), 1) * 99)) } // 100 is: under review
	done := make(chan struct{})
	defer func() { cancel(nil); <-done }()
	go func() {
		defer close(done)
		tick := time.NewTicker(w.every.progress)
		defer tick.Stop()
		for last := int32(0); ; {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			now, err := w.Store.DB.Release(ctx, rel.ID)
			if err == nil && (now.State != relay.ReleaseIsPreparing || now.Round != rel.Round) {
				cancel(errStale)
				return
			}
			if p := percent.Load(); p != last {
				if err := w.Store.DB.SetProgress(ctx, rel.ID, rel.Round, int(p)); err == nil {
					last = p
				}
			}
		}
	}()
	report, err := w.Engine.Redact(ctx, job)
	if errors.Is(context.Cause(ctx), errStale) {
		return report, errStale
	}
	if err == nil && len(report.Copies) != len(job.Copies) {
		err = fmt.Errorf("the engine made %d copies, not %d", len(report.Copies), len(job.Copies))
	}
	return report, err
}

// planOf turns a draft into a plan of the redactor.
func planOf(d relay.Draft, clip relay.Clip, camera relay.Camera) (redact.Plan, error) {
	p := redact.Plan{From: d.From.Sub(clip.Start), To: d.To.Sub(clip.Start), Style: redact.Style(d.Style)}
	for _, t := range d.Targets {
		p.Targets = append(p.Targets, redact.Target(t))
	}
	for _, m := range camera.Masks {
		p.Masks = append(p.Masks, redact.Mask{Points: []redact.Point{{X: m.X, Y: m.Y}, {X: m.X + m.W, Y: m.Y}, {X: m.X + m.W, Y: m.Y + m.H}, {X: m.X, Y: m.Y + m.H}}})
	}
	edits, err := relay.ParseEdits(d.Edits, d.To.Sub(d.From))
	if err != nil {
		return p, fmt.Errorf("%w: its edits cannot be read: %w", errPlan, err)
	}
	for _, e := range edits {
		v := redact.Edit{Kind: redact.EditKind(e.Kind), Follow: e.Follow, Of: e.Of, Reason: e.Reason}
		for _, k := range e.Keys {
			v.Keys = append(v.Keys, redact.Key(k))
		}
		for _, x := range e.Points {
			v.Points = append(v.Points, redact.Point(x))
		}
		p.Edits = append(p.Edits, v)
	}
	if err := p.Validate(); err != nil {
		return p, fmt.Errorf("%w: %w", errPlan, err)
	}
	return p, nil
}

// noticeFor is what is burned into every frame of the copy for one recipient.
func noticeFor(r relay.Recipient, a relay.Agency, q relay.Request, rel relay.Release) string {
	who := r.Name
	if who == "" {
		who = r.Display()
	}
	return fmt.Sprintf("For %s, %s. Case %s. Not for onward sharing. Release %s, leased until %s.",
		who, a.Name, q.Claims.Case.Ref, rel.ID[:min(8, len(rel.ID))], rel.Draft.Expires.UTC().Format("2006-01-02 15:04 UTC"))
}

// failedGates names the checks that failed.
func failedGates(r redact.Report) string {
	var failed []string
	for _, g := range r.Gates {
		if !g.OK {
			failed = append(failed, g.Name)
		}
	}
	if len(failed) == 0 {
		return "there were none"
	}
	return strings.Join(failed, ", ")
}

// summaryOf is what the record keeps of a report.
func summaryOf(r redact.Report, rel relay.Release, camera relay.Camera, version string) (relay.Summary, error) {
	const stamp = "2006-01-02T15:04:05.000Z"
	s := relay.Summary{
		Frames: r.Frames, FPS: r.FPS, Width: r.Width, Height: r.Height, Tracks: map[string]int{}, SourceSHA: r.Mezzanine,
		Findings: []relay.Doubt{}, Gates: []relay.Gate{}, Detectors: []relay.Tool{}, Seconds: r.Seconds,
		SourceFrom: rel.Draft.From.UTC().Format(stamp), SourceTo: rel.Draft.To.UTC().Format(stamp),
	}
	if r.FPS > 0 {
		s.SourceTo = rel.Draft.From.Add(time.Duration(float64(r.Frames) / r.FPS * float64(time.Second))).UTC().Format(stamp)
	}
	for _, t := range r.Tracks {
		if t.Exception != "" {
			s.Tracks["uncovered"]++
			continue
		}
		s.Tracks[t.Kind]++
	}
	edits, err := relay.ParseEdits(rel.Draft.Edits, rel.Draft.To.Sub(rel.Draft.From))
	if err != nil {
		return s, err
	}
	for _, x := range r.Exceptions {
		if x.Edit < 0 || x.Edit >= len(edits) || edits[x.Edit].Kind != relay.EditException {
			return s, fmt.Errorf("the engine left %s visible, which nobody asked for", x.Track)
		}
		s.Exceptions = append(s.Exceptions, relay.Exception{
			Kind: x.Kind, FromMS: int64(math.Round(x.From * 1000)), ToMS: int64(math.Round(x.To * 1000)), Reason: edits[x.Edit].Reason, By: edits[x.Edit].By,
		})
	}
	if n := len(camera.Masks); n > 0 {
		s.Tracks["mask"] = n
	}
	s.Masks, s.MaskSet = camera.Masks, camera.MaskVersion
	for _, f := range r.Findings {
		why := f.Detail
		if why == "" {
			why = f.Why
		}
		s.Findings = append(s.Findings, relay.Doubt{At: f.At, Until: f.Until, Kind: f.Kind, Why: why})
	}
	s.Spans = spansOf(r)
	for _, g := range r.Gates {
		s.Gates = append(s.Gates, relay.Gate(g))
	}
	for _, d := range r.Detectors {
		s.Detectors = append(s.Detectors, relay.Tool{Name: d.Name, Version: d.Model, SHA256: d.SHA256})
	}
	sum := sha256.Sum256(r.Plan)
	s.Tools = []relay.Tool{{Name: "cliplease", Version: version}, {Name: "engine", Version: r.Version}, {Name: "plan", SHA256: hex.EncodeToString(sum[:])}}
	for _, name := range slices.Sorted(maps.Keys(r.Tools)) {
		s.Tools = append(s.Tools, relay.Tool{Name: name, Version: r.Tools[name]})
	}
	return s, nil
}

// spansOf says when each track is hidden. Of more tracks than a summary holds, those that most
// need a person's look stay.
func spansOf(r redact.Report) []relay.TrackSpan {
	var spans []relay.TrackSpan
	for _, t := range r.Tracks {
		if len(t.Frames) == 0 || r.FPS <= 0 {
			continue
		}
		at := func(frame int) float64 { return math.Round(float64(frame)/r.FPS*1000) / 1000 }
		s := relay.TrackSpan{Kind: t.Kind, From: at(t.Frames[0].I), To: at(t.Frames[len(t.Frames)-1].I + 1)}
		if t.Kind != "edit" {
			best := 0.0
			for _, b := range t.Frames {
				best = max(best, b.Score)
			}
			switch {
			case best >= 0.8:
				s.Sure = "clear"
			case best >= 0.5:
				s.Sure = "fair"
			default:
				s.Sure = "faint"
			}
			s.ID, s.Open, s.Keys = t.ID, t.Exception != "", placesOf(t, r)
		}
		spans = append(spans, s)
	}
	rank := map[string]int{"": 0, "faint": 1, "fair": 2, "clear": 3}
	slices.SortStableFunc(spans, func(a, b relay.TrackSpan) int { return cmp.Compare(rank[a.Sure], rank[b.Sure]) })
	spans = spans[:min(len(spans), relay.MaxSpans)]
	slices.SortStableFunc(spans, func(a, b relay.TrackSpan) int { return cmp.Compare(a.From, b.From) })
	return spans
}

// places is how many places of a track a summary has.
const places = 6

// placesOf are some places of a track, from the first to the last picture in which it can be seen. Each
// moment is the middle of its picture, so that rounding never means the one before.
func placesOf(t redact.Track, r redact.Report) (keys []relay.EditKey) {
	var seen []relay.EditKey
	w, h := float64(r.Width), float64(r.Height)
	share := func(v float64) float64 { return math.Round(v*1e5) / 1e5 }
	for _, b := range t.Frames {
		x0, y0, x1, y1 := max(0, b.X/w), max(0, b.Y/h), min(1, (b.X+b.W)/w), min(1, (b.Y+b.H)/h)
		if !(x1-x0 >= 0.0021 && y1-y0 >= 0.0021) { // outside the picture, where nothing shows
			continue
		}
		seen = append(seen, relay.EditKey{At: time.Duration((float64(b.I) + 0.5) / r.FPS * 1e9), X: share(x0), Y: share(y0), W: share(x1 - x0), H: share(y1 - y0)})
	}
	for i := range places {
		if len(seen) > 0 {
			keys = append(keys, seen[i*(len(seen)-1)/(places-1)])
		}
	}
	return slices.CompactFunc(keys, func(a, b relay.EditKey) bool { return a.At == b.At })
}

// made is what one attempt put into the stores.
type made struct {
	worker  *Worker
	rel     relay.Release
	keys    []string // that no other attempt can have
	objects []string
}

// sealCopy seals one copy and fills in c.
func (m *made) sealCopy(ctx context.Context, c *relay.Copy, file redact.Copy) error {
	sealed, name, err := m.seal(ctx, c.ID, file.Path)
	if err != nil {
		return err
	}
	sum := hex.EncodeToString(sealed.SHA256[:])
	if sum != file.SHA256 {
		return fmt.Errorf("copy %s was changed between the engine and the seal", c.ID)
	}
	c.Object, c.Bytes, c.SHA256 = name, sealed.Bytes, sum
	return nil
}

func (m *made) sealProxy(ctx context.Context, path string) (name string, size int64, err error) {
	sealed, name, err := m.seal(ctx, storage.ProxyKey(m.rel.ID, m.rel.Round), path)
	return name, sealed.Bytes, err
}

// seal seals a file under a new key, and opens it again with the key as it was stored: no
// copy comes under review that could not be opened, or is not what was made.
func (m *made) seal(ctx context.Context, keyID, path string) (sealed storage.Sealed, name string, err error) {
	store := m.worker.Store
	key, err := store.Keys.New(ctx, keyID, m.rel.ID)
	if errors.Is(err, relay.ErrConflict) { // of an attempt that was cut off
		if err := store.Keys.Destroy(ctx, keyID); err != nil {
			return sealed, "", err
		}
		key, err = store.Keys.New(ctx, keyID, m.rel.ID)
	}
	if err != nil {
		return sealed, "", err
	}
	f, err := os.Open(path)
	if err != nil {
		return sealed, "", err
	}
	defer f.Close()
	name = "o" + relay.NewID()
	m.objects = append(m.objects, name) // before: a lost answer may hide an object
	if sealed, err = storage.SealTo(ctx, store.Objects, name, key, f); err != nil {
		return sealed, "", err
	}
	if key, err = store.Keys.Get(ctx, keyID, m.rel.ID); err != nil {
		return sealed, "", err
	}
	body, err := storage.OpenRange(ctx, store.Objects, name, key, sealed.Bytes, 0, -1)
	if err != nil {
		return sealed, "", err
	}
	defer body.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, body); err != nil {
		return sealed, "", fmt.Errorf("read back what was sealed: %w", err)
	}
	if !bytes.Equal(sum.Sum(nil), sealed.SHA256[:]) {
		return sealed, "", fmt.Errorf("read back what was sealed: it is something else")
	}
	return sealed, name, nil
}

// destroy removes what the attempt made. The keys stay when the release went on with another
// attempt of the same round, since they are that one's.
func (m *made) destroy(ctx context.Context) {
	ctx, cancel := aside(ctx)
	defer cancel()
	keys := m.keys
	now, err := m.worker.Store.DB.Release(ctx, m.rel.ID)
	if err == nil && (now.Round != m.rel.Round || now.State == relay.ReleaseIsPreparing || now.State.Ended()) {
		keys = append(keys, storage.Remains(m.rel).Keys...)
	}
	if err := errors.Join(err, m.worker.dispose(ctx, keys, m.objects)); err != nil {
		m.worker.Log.Warn("leftovers of a preparation stay for the sweep of orphans", "release", m.rel.ID, "error", err)
	}
}
