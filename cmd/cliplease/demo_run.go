package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"cliplease/relay"
	"cliplease/storage"
	"cliplease/test/driver"
	"cliplease/test/footage"
)

// The window that the homeowner narrows the release to, in seconds of the clip.
const demoFrom, demoTo = 3, 13

// What a revocation promises.
const (
	cutWithin = time.Second
	cutBytes  = 512 << 10
)

// sharpAtLeast is how much of the picture away from faces and plates must be as sharp as before: a
// release that hides everything is of use to nobody. The notice takes some of it.
const sharpAtLeast = 0.7

// stepTime bounds every step that waits for something.
const stepTime = 3 * time.Minute

// demoRun is what the steps of the job learn from one another.
type demoRun struct {
	*demo
	to string // folder of what is left behind

	home     *driver.Home
	agency   *driver.Agency
	receipt  driver.Receipt
	release  string
	has      storage.Leftover // keys and objects of the release
	granted  relay.Grant
	approval driver.Approval
	link     string
	codes    []string // used up
	viewer   *driver.Recipient
	before   string // file of the footage as the homeowner compared it
	released string // file of the release copy as the recipient got it
	measured footage.Measured
	cut      driver.Cut
	tap      time.Duration // from the tap on revoke to the answer
	sheet    []byte        // contact sheet, JPEG
}

// run does the whole job and leaves its results in the folder to.
func (d *demo) run(ctx context.Context, to, store string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	r := &demoRun{demo: d, to: to, before: filepath.Join(d.folder, "before.mp4"), released: filepath.Join(to, "released.mp4")}
	err := r.job(ctx, store)
	err = errors.Join(err, r.report(err == nil))
	if err != nil {
		return fmt.Errorf("a promise was broken: %w", err)
	}
	fmt.Fprintf(d.out, "\nAll promises kept, in %.0f s. Look at %s and %s.\n", time.Since(d.began).Seconds(),
		filepath.Join(to, "contact-sheet.png"), filepath.Join(to, "report.html"))
	return nil
}

func (r *demoRun) job(ctx context.Context, store string) error {
	for _, s := range []struct {
		name string
		do   func(context.Context) (string, error)
	}{
		{"Footage of faces and plates is made", r.makeFootage},
		{"The relay runs", func(ctx context.Context) (string, error) { return r.startRelay(ctx, store) }},
		{"The home is set up with a passkey", r.setUp},
		{"A clip comes in", r.bringClip},
		{"An agency is registered", r.registerAgency},
		{"The agency files a signed request", r.fileRequest},
		{"The homeowner prepares a release", r.prepare},
		{"The homeowner looks at the exact copy", r.review},
		{"The homeowner approves with the passkey", r.approve},
		{"The recipient opens the mailed link with the mailed code", r.open},
		{"The recipient streams the clip", r.stream},
		{"The copy holds the window and nothing else", r.inspect},
		{"Every face and plate is hidden in every frame", r.measure},
		{"The homeowner revokes during a playback", r.revoke},
		{"Nothing opens any more", r.closed},
		{"Keys and objects are destroyed", r.destroyed},
		{"The evidence and the log verify", r.verify},
		{"The relay's records are in order", r.records},
	} {
		bounded, cancel := context.WithTimeout(ctx, stepTime)
		err := r.step(bounded, s.name, s.do)
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *demoRun) setUp(ctx context.Context) (string, error) {
	if r.relay.SetUpLink == "" {
		return "", errors.New("the relay printed no set-up link")
	}
	var err error
	if r.home, err = r.relay.Join(ctx, r.relay.SetUpLink, demoMember, demoMailbox); err != nil {
		return "", err
	}
	if _, err := r.relay.Join(ctx, r.relay.SetUpLink, "Somebody Else", "x@home.example"); err == nil {
		return "", errors.New("the set-up link worked twice")
	}
	return "the link that the relay printed works once", r.home.SignIn(ctx)
}

func (r *demoRun) bringClip(ctx context.Context) (string, error) {
	if err := r.home.SaveCamera(ctx, demoCamera, "Front door"); err != nil {
		return "", err
	}
	if _, err := r.relay.Must(ctx, "clip", "add", r.clip, "--camera", demoCamera, "--start", relay.Stamp(r.start)); err != nil {
		return "", err
	}
	clip, err := r.relay.Clip(ctx, demoClip)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s, %.1f s, %s %d×%d, sealed at rest", demoClip, clip.Duration.Seconds(), clip.Codec, clip.Width, clip.Height), nil
}

func (r *demoRun) registerAgency(ctx context.Context) (string, error) {
	var err error
	if r.agency, err = r.relay.NewAgency(ctx, r.folder, demoAgency, demoAgencyName, demoDomain); err != nil {
		return "", err
	}
	return "its eight words are “" + r.agency.Words + "”", r.agency.Register(ctx)
}

// ask is what the agency asks for: more than the homeowner gives.
func (d *demo) ask() driver.Ask {
	return driver.Ask{
		Camera: demoCamera, From: d.start.Add(-5 * time.Minute), To: d.start.Add(5 * time.Minute), Case: demoCase, Purpose: relay.PurposeHitAndRun,
		Text:       "A car hit a cyclist in front of the house and drove away. We look for its make, colour and direction.",
		Recipients: []relay.RecipientAsk{{Kind: relay.RecipientEmail, Addr: demoDetective, Name: "Det. Rivera"}},
	}
}

func (r *demoRun) fileRequest(ctx context.Context) (string, error) {
	var err error
	if r.receipt, err = r.agency.File(ctx, r.ask()); err != nil {
		return "", err
	}
	view, _, err := r.agency.Poll(ctx, r.receipt.RequestID)
	if err != nil {
		return "", err
	}
	if view != (relay.AgencyView{State: "pending"}) {
		return "", fmt.Errorf("a poll says %+v, not pending", view)
	}
	return "ten minutes of footage, for a detective by name; a poll says pending", nil
}

func (r *demoRun) prepare(ctx context.Context) (string, error) {
	if _, err := r.relay.AwaitMail(ctx, demoMailbox, func(l driver.Letter) bool { return l.TLS }); err != nil {
		return "", err
	}
	if _, err := r.home.Get(ctx, "/requests/"+r.receipt.RequestID); err != nil {
		return "", err
	}
	clip, err := r.relay.Clip(ctx, demoClip)
	if err != nil {
		return "", err
	}
	draft := driver.NewDraft(clip.ID, r.start.Add(demoFrom*time.Second), r.start.Add(demoTo*time.Second))
	draft.MaxViews = 2
	if r.release, err = r.home.Prepare(ctx, r.receipt.RequestID, draft); err != nil {
		return "", err
	}
	show, done := r.progress("preparing")
	err = r.home.AwaitReview(ctx, r.release, func(percent int) { show(float64(percent) / 100) })
	done()
	return fmt.Sprintf("narrowed to %d s, one copy for one recipient", demoTo-demoFrom), err
}

func (r *demoRun) review(ctx context.Context) (string, error) {
	copies, err := r.home.Copies(ctx, r.release)
	if err != nil {
		return "", err
	}
	if len(copies) != 1 {
		return "", fmt.Errorf("%d copies were made for one recipient", len(copies))
	}
	rel, has, err := r.relay.Release(ctx, r.release)
	if err != nil {
		return "", err
	}
	r.has = has
	shown, err := r.home.Play(ctx, copies[0], io.Discard)
	if err != nil {
		return "", err
	}
	if shown.SHA256 != rel.Copies[0].SHA256 {
		return "", errors.New("what the page shows is not the copy that will be released")
	}
	f, err := os.Create(r.before)
	if err != nil {
		return "", err
	}
	_, err = r.home.Play(ctx, driver.Original(r.release), f)
	if err := errors.Join(err, f.Close()); err != nil {
		return "", err
	}
	looks := "the redactor was sure of all of it"
	if rel.NeedsLook {
		looks = "the redactor was unsure at some moments and asked for a look"
	}
	return "beside the original; " + looks, nil
}

func (r *demoRun) approve(ctx context.Context) (string, error) {
	var err error
	if r.approval, err = r.home.Approve(ctx, r.release); err != nil {
		return "", err
	}
	rel, _, err := r.relay.Release(ctx, r.release)
	if err != nil {
		return "", err
	}
	if err := json.Unmarshal(rel.Grant, &r.granted); err != nil {
		return "", err
	}
	if relay.GrantHash(rel.Grant) != r.approval.SHA256 {
		return "", errors.New("the stored grant is not the one that was signed")
	}
	view, _, err := r.agency.Poll(ctx, r.receipt.RequestID)
	if err != nil {
		return "", err
	}
	if view.State != "released" || view.ReleaseID != r.release {
		return "", fmt.Errorf("a poll says %+v, not released", view)
	}
	return "a grant over the hash of the finished file, check words “" + r.approval.CheckWords + "”; a poll says released", nil
}

// watch opens the link with a fresh code.
func (r *demoRun) watch(ctx context.Context) (*driver.Recipient, error) {
	v, err := r.relay.Open(ctx, r.link)
	if err != nil {
		return nil, err
	}
	if err := v.AskCode(ctx); err != nil {
		return nil, err
	}
	code, err := r.relay.AwaitCode(ctx, demoDetective, r.codes...)
	if err != nil {
		return nil, err
	}
	r.codes = append(r.codes, code)
	return v, v.Verify(ctx, code)
}

func (r *demoRun) open(ctx context.Context) (string, error) {
	var err error
	if r.link, err = r.relay.AwaitLink(ctx, demoDetective); err != nil {
		return "", err
	}
	stranger, err := r.relay.Open(ctx, r.link)
	if err != nil {
		return "", err
	}
	if err := stranger.Verify(ctx, "AAAAAAAA"); err == nil {
		return "", errors.New("a guessed code opened the clip")
	}
	if r.viewer, err = r.watch(ctx); err != nil {
		return "", err
	}
	for _, m := range r.mail.Mails() {
		if !m.TLS {
			return "", errors.New("a mail was sent without encryption")
		}
	}
	return "to " + r.viewer.Masked + "; a guessed code opens nothing", nil
}

func (r *demoRun) stream(ctx context.Context) (string, error) {
	f, err := os.Create(r.released)
	if err != nil {
		return "", err
	}
	began := time.Now()
	got, err := r.viewer.Play(ctx, f)
	if err := errors.Join(err, f.Close()); err != nil {
		return "", err
	}
	if len(r.granted.Outputs) != 1 || got.SHA256 != r.granted.Outputs[0].FileSHA256 {
		return "", fmt.Errorf("the SHA-256 of the saved clip is %s, which the grant does not name", got.SHA256)
	}
	return fmt.Sprintf("%.1f MB in %d ranges, %.0f MB/s; its SHA-256 is the one in the signed grant", float64(got.Bytes)/1e6, got.Ranges,
		float64(got.Bytes)/1e6/time.Since(began).Seconds()), nil
}

func (r *demoRun) inspect(ctx context.Context) (string, error) {
	p, err := footage.Probe(ctx, r.released)
	if err != nil {
		return "", err
	}
	if len(p.Streams) != 1 || p.Streams[0].Type != "video" || p.Streams[0].Codec != "h264" {
		return "", fmt.Errorf("the copy holds other streams than one of H.264 video: %+v", p.Streams)
	}
	raw, err := os.ReadFile(r.released)
	if err != nil {
		return "", err
	}
	for _, secret := range []string{footage.Canary, footage.Place, "44.9778", demoClip} {
		if bytes.Contains(raw, []byte(secret)) {
			return "", fmt.Errorf("the copy still holds %q of the original's metadata", secret)
		}
	}
	return "one H.264 stream, no sound; place, serial number and titles are gone", nil
}

func (r *demoRun) measure(ctx context.Context) (string, error) {
	var err error
	if r.measured, err = footage.Measure(footage.Demo, footage.Frames(ctx, r.clip), footage.Frames(ctx, r.released)); err != nil {
		return "", err
	}
	m, fps := r.measured, footage.Demo.FPS
	if m.First != demoFrom*fps || m.Last != demoTo*fps-1 {
		return "", fmt.Errorf("the copy holds frames %d to %d, the window is frames %d to %d", m.First, m.Last, demoFrom*fps, demoTo*fps-1)
	}
	if r.sheet, err = r.contactSheet(ctx); err != nil {
		return "", err
	}
	if m.Shown > 0 {
		return "", fmt.Errorf("%d of %d faces and plates can still be seen, for example a %s in frame %d of the clip; look at %s", m.Shown, m.Targets, m.WorstKind, m.WorstFrame,
			filepath.Join(r.to, "contact-sheet.png"))
	}
	if m.Sharp < sharpAtLeast {
		return "", fmt.Errorf("only %.0f %% of the picture away from faces and plates is as sharp as before; look at %s", 100*m.Sharp, filepath.Join(r.to, "contact-sheet.png"))
	}
	return fmt.Sprintf("%d looks at faces and plates in %d frames, at most %.0f %% of their detail is left; %.0f %% of the rest is as sharp as before; exactly frames %d to %d",
		m.Targets, m.Frames, 100*m.WorstSeen, 100*m.Sharp, m.First, m.Last), nil
}

func (r *demoRun) revoke(ctx context.Context) (string, error) {
	v, err := r.watch(ctx)
	if err != nil {
		return "", err
	}
	r.viewer = v
	play := v.StartPlayback(ctx)
	if err := play.Await(ctx, 1<<20); err != nil {
		return "", err
	}
	began := time.Now()
	if err := r.home.Revoke(ctx, r.release, "case solved"); err != nil {
		return "", err
	}
	play.Mark()
	r.tap = time.Since(began)
	bounded, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if r.cut, err = play.Wait(bounded); err != nil {
		return "", err
	}
	if r.cut.After > cutBytes || r.cut.Last > cutWithin || r.cut.End > cutWithin {
		return "", fmt.Errorf("after the revoke %d bytes more came, for %d ms; the player knew after %d ms", r.cut.After, r.cut.Last.Milliseconds(), r.cut.End.Milliseconds())
	}
	return fmt.Sprintf("%d KiB were played; revoked in %d ms, %d bytes came after it, the player knew %d ms later", r.cut.Before>>10, r.tap.Milliseconds(), r.cut.After,
		r.cut.End.Milliseconds()), nil
}

func (r *demoRun) closed(ctx context.Context) (string, error) {
	if _, err := r.viewer.Play(ctx, io.Discard); !refusedAs(err, http.StatusNotFound) {
		return "", errors.New("the watching browser asked for a range and got: " + fmt.Sprint(err))
	}
	if _, err := r.relay.Open(ctx, r.link); !refusedAs(err, http.StatusNotFound) {
		return "", errors.New("the link was opened and answered: " + fmt.Sprint(err))
	}
	view, _, err := r.agency.Poll(ctx, r.receipt.RequestID)
	if err != nil {
		return "", err
	}
	if view != (relay.AgencyView{State: "closed", Ended: true}) {
		return "", fmt.Errorf("a poll says %+v, not closed and ended", view)
	}
	return "neither the running view nor the link; a poll says closed, ended", nil
}

func refusedAs(err error, code int) bool {
	var status *driver.StatusError
	return errors.As(err, &status) && status.Code == code
}

func (r *demoRun) destroyed(ctx context.Context) (string, error) {
	if len(r.has.Keys) < 2 || len(r.has.Objects) < 2 {
		return "", fmt.Errorf("the release was made of too little to be destroyed: %+v", r.has)
	}
	if err := r.relay.AwaitGone(ctx, r.has); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d keys and %d objects of the release", len(r.has.Keys), len(r.has.Objects)), nil
}

func (r *demoRun) verify(ctx context.Context) (string, error) {
	bundle, log := filepath.Join(r.to, "evidence.zip"), filepath.Join(r.to, "log.jsonl")
	page := "/releases/" + r.release
	for path, from := range map[string]string{bundle: page + "/evidence.zip", log: "/log.jsonl", filepath.Join(r.to, "custody.pdf"): page + "/custody.pdf"} {
		body, err := r.home.Get(ctx, from)
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(path, body, 0o644); err != nil {
			return "", err
		}
	}
	said, err := r.relay.Must(ctx, "bundle", "verify", bundle)
	if err != nil {
		return "", err
	}
	if _, err := r.relay.Must(ctx, "log", "verify"); err != nil {
		return "", err
	}
	if err := r.tamper(ctx, bundle); err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(strings.TrimSpace(said), "\n")
	return line, nil
}

// tamper changes one byte in the middle of the evidence and sees that it is found out.
func (r *demoRun) tamper(ctx context.Context, bundle string) error {
	raw, err := os.ReadFile(bundle)
	if err != nil {
		return err
	}
	raw[len(raw)/2] ^= 1
	forged := filepath.Join(r.folder, "forged.zip")
	if err := os.WriteFile(forged, raw, 0o600); err != nil {
		return err
	}
	res, err := r.relay.Command(ctx, "bundle", "verify", forged)
	if err == nil && res.Code == 0 {
		err = errors.New("evidence that was changed verifies")
	}
	return err
}

func (r *demoRun) records(ctx context.Context) (string, error) {
	out, err := r.relay.Must(ctx, "doctor")
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	memory, err := r.relay.Memory()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("doctor finds nothing missing; the relay uses %d MB", memory>>20), nil
}
