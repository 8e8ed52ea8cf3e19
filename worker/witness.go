package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"cliplease/relay"
	"cliplease/storage"
)

// WitnessConfig says where checkpoints of the public tree go, so that not even the relay's owner
// can rewrite the log unseen. Both, one or none may be set.
type WitnessConfig struct {
	Folder string // outside the data folder, such as one that is synchronised elsewhere
	URL    string // of a C2SP witness's add-checkpoint, or of anything that keeps what is posted
	Rate   int    // leaves of the public tree an hour; 0: [relay.PublicRate]
}

// witnessPatience is how long a witness may be away before it is a fault.
const witnessPatience = 24 * time.Hour

// witnessFor bounds one call to a witness.
const witnessFor = 20 * time.Second

// Check reports what is wrong with the settings.
func (c WitnessConfig) Check() error {
	if c.URL == "" {
		return nil
	}
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return fmt.Errorf("%q is no address; write one such as https://witness.example/add-checkpoint", c.URL)
	}
	if host := u.Hostname(); u.Scheme == "http" && host != "localhost" && host != "127.0.0.1" && host != "::1" {
		return errors.New("a witness on another machine needs https")
	}
	return nil
}

// publish brings the public tree up to the hour and hands its newest checkpoint to the witnesses.
// A witness that is away holds nothing up; after a day it is a fault.
func (w *Worker) publish(ctx context.Context) error {
	if w.Clock.Settled() != nil { // hours that a wrong clock shows are not written for good
		return nil
	}
	rate := w.Witness.Rate
	if rate == 0 {
		rate = relay.PublicRate
	}
	if _, err := w.Store.GrowPublic(ctx, w.Site, rate, w.Now()); err != nil {
		return err
	}
	var errs []error
	if w.Witness.Folder != "" {
		errs = append(errs, w.show(ctx, "folder", w.toFolder))
	}
	if w.Witness.URL != "" {
		errs = append(errs, w.show(ctx, "url", w.toURL))
	}
	return errors.Join(errs...)
}

// show hands the newest checkpoint to one witness, unless it has it.
func (w *Worker) show(ctx context.Context, name string, give func(ctx context.Context, old int64) error) error {
	_, size, err := w.Store.DB.PublicCheckpoint(ctx)
	if errors.Is(err, relay.ErrNotFound) {
		return nil // the first hour is not over
	}
	if err != nil {
		return err
	}
	last, err := w.Store.DB.Witnessed(ctx, name)
	if errors.Is(err, relay.ErrNotFound) {
		last = storage.Witnessed{At: w.Now()}
		err = w.Store.DB.SetWitnessed(ctx, name, last)
	}
	if err != nil || last.Size == size {
		return err
	}
	if err := give(ctx, last.Size); err != nil {
		w.Log.Debug("a witness did not take the checkpoint", "witness", name, "error", err)
		if away := w.Now().Sub(last.At); away >= witnessPatience {
			return fmt.Errorf("the witness (%s) has taken no checkpoint for %s, and until it does the log could be rewritten unseen: %w", name, away.Round(time.Hour), err)
		}
		return nil
	}
	return w.Store.DB.SetWitnessed(ctx, name, storage.Witnessed{Size: size, At: w.Now()})
}

// toFolder writes the checkpoint into a file of its own, with the proof that it continues the
// one before.
func (w *Worker) toFolder(ctx context.Context, old int64) error {
	p, err := w.Store.DB.PublicGrowth(ctx, old)
	if err != nil {
		return err
	}
	_, size, err := w.Store.DB.PublicCheckpoint(ctx)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(w.Witness.Folder, 0o755); err != nil {
		return err
	}
	path := filepath.Join(w.Witness.Folder, fmt.Sprintf("checkpoint-%012d.txt", size))
	f, err := os.CreateTemp(w.Witness.Folder, ".checkpoint-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // it has its name by then
	_, err = f.WriteString(p.ForWitness(old))
	if err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// toURL posts the checkpoint. A witness that knows another size than we thought says so with 409
// and gets the proof from there.
func (w *Worker) toURL(ctx context.Context, old int64) error {
	ctx, cancel := context.WithTimeout(ctx, witnessFor)
	defer cancel()
	known, err := w.post(ctx, old)
	if err == nil || known < 0 {
		return err
	}
	_, err = w.post(ctx, known)
	return err
}

// post makes one call. known is the size that the witness says it knows, or -1.
func (w *Worker) post(ctx context.Context, old int64) (known int64, err error) {
	p, err := w.Store.DB.PublicGrowth(ctx, old)
	if errors.Is(err, relay.ErrNotFound) {
		return -1, fmt.Errorf("the witness knows a log of %d leaves, which is none of this relay's: was the relay restored from a backup, or the log rewritten?", old)
	}
	if err != nil {
		return -1, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.Witness.URL, bytes.NewReader([]byte(p.ForWitness(old))))
	if err != nil {
		return -1, err
	}
	req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		return -1, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 4096))
	switch {
	case err != nil:
		return -1, err
	case res.StatusCode/100 == 2:
		return -1, nil
	case res.StatusCode == http.StatusConflict:
		if n, err := strconv.ParseInt(strings.TrimSpace(string(body)), 10, 64); err == nil && n >= 0 && n != old {
			return n, errors.New("the witness knows another size")
		}
	}
	return -1, fmt.Errorf("the witness answers %s", res.Status)
}

// watchObjects looks once a day whether the object store still forgets what is deleted.
func (w *Worker) watchObjects(ctx context.Context) error {
	now := w.Now()
	last, err := w.Store.DB.Setting(ctx, objectsMark)
	if err != nil && !errors.Is(err, relay.ErrNotFound) {
		return err
	}
	if at, err := time.Parse(time.RFC3339, last); err == nil && now.Sub(at) < objectsAge {
		return nil
	}
	wrong := w.Store.Objects.Check(ctx)
	if errors.Is(wrong, storage.ErrKeeps) {
		if err := w.Store.DB.Record(ctx, relay.Event{Kind: relay.StorageAlarm, Subject: "relay", Actor: "relay", At: now}); err != nil {
			return err
		}
	} else if wrong != nil {
		return wrong // it is away: asked again in the next round
	}
	return errors.Join(wrong, w.Store.DB.Set(ctx, objectsMark, relay.Stamp(now)))
}

const (
	objectsMark = "objects_checked" // setting: when the object store was last looked at
	objectsAge  = 24 * time.Hour
)
