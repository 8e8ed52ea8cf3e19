package driver

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"cliplease/relay"
)

// Home is a member of the home, with a browser and a passkey.
type Home struct {
	*Browser
	Passkey *Passkey
	relay   *Relay
}

// Join uses a link that sets up the home or invites to it, and makes a passkey.
func (r *Relay) Join(ctx context.Context, link, name, email string) (*Home, error) {
	_, token, ok := strings.Cut(link, "/join#")
	if !ok {
		return nil, fmt.Errorf("%q is no link to join a home", link)
	}
	passkey, err := NewPasskey(r.Site)
	if err != nil {
		return nil, err
	}
	h := &Home{Browser: r.Browser(r.Site.Home), Passkey: passkey, relay: r}
	if _, err := h.Get(ctx, "/join"); err != nil {
		return nil, err
	}
	var begun ceremony
	if err := h.Post(ctx, "/join/begin", map[string]string{"token": token, "name": name, "email": email}, &begun); err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	credential, err := passkey.register(begun)
	if err != nil {
		return nil, err
	}
	err = h.Post(ctx, "/join/finish", map[string]any{"token": token, "name": name, "email": email, "ceremony": begun.Ceremony, "credential": credential}, nil)
	if err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	return h, nil
}

// SignIn signs the member in from a new browser.
func (h *Home) SignIn(ctx context.Context) error {
	h.Browser = h.relay.Browser(h.relay.Site.Home)
	var begun ceremony
	if err := h.Post(ctx, "/sign-in/begin", struct{}{}, &begun); err != nil {
		return fmt.Errorf("sign in: %w", err)
	}
	credential, err := h.Passkey.sign(begun)
	if err != nil {
		return err
	}
	if err := h.Post(ctx, "/sign-in/finish", map[string]any{"ceremony": begun.Ceremony, "credential": credential}, nil); err != nil {
		return fmt.Errorf("sign in: %w", err)
	}
	return nil
}

// SaveCamera adds a camera with a handle that agencies use and a name that the home uses.
func (h *Home) SaveCamera(ctx context.Context, handle, name string) error {
	camera := map[string]any{"id": "", "name": name, "handle": handle, "zone": "America/Chicago", "offset": 0, "interior": false}
	if err := h.Post(ctx, "/cameras", camera, nil); err != nil {
		return fmt.Errorf("camera %s: %w", handle, err)
	}
	return nil
}

// Upload brings a clip through the web app in two pieces, as the page for it does.
func (h *Home) Upload(ctx context.Context, camera, name string, start time.Time, body io.Reader) error {
	all, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	path, err := h.BeginUpload(ctx, camera, name, start, int64(len(all)))
	if err != nil {
		return err
	}
	at, err := h.Uploaded(ctx, path) // it may have been begun before
	if err != nil {
		return err
	}
	for _, end := range []int64{int64(len(all) / 2), int64(len(all))} {
		if at > end {
			continue
		}
		if at, err = h.ContinueUpload(ctx, path, at, bytes.NewReader(all[at:end])); err != nil {
			return err
		}
	}
	return nil
}

// tus is sent with every request of an upload.
func tus(more ...string) http.Header {
	h := http.Header{"Tus-Resumable": {"1.0.0"}}
	for i := 0; i < len(more); i += 2 {
		h.Set(more[i], more[i+1])
	}
	return h
}

// BeginUpload begins to bring a clip of size bytes and returns where its pieces go.
func (h *Home) BeginUpload(ctx context.Context, camera, name string, start time.Time, size int64) (path string, err error) {
	value := base64.StdEncoding.EncodeToString
	told := "camera " + value([]byte(camera)) + ",name " + value([]byte(name)) + ",start " + value([]byte(start.Format(time.RFC3339)))
	resp, err := h.Do(ctx, http.MethodPost, "/uploads", nil, tus("Content-Type", "application/json", "Upload-Length", strconv.FormatInt(size, 10), "Upload-Metadata", told))
	if err != nil {
		return "", err
	}
	if _, err := read(resp); err != nil {
		return "", err
	}
	at, err := url.Parse(resp.Header.Get("Location"))
	return at.Path, err
}

// ContinueUpload sends what body yields of an upload, from offset on, and returns how much of it
// the relay has then.
func (h *Home) ContinueUpload(ctx context.Context, path string, offset int64, body io.Reader) (int64, error) {
	return h.offset(ctx, http.MethodPatch, path, body, tus("Content-Type", "application/offset+octet-stream", "Upload-Offset", strconv.FormatInt(offset, 10)))
}

// Uploaded asks how much of an upload the relay has.
func (h *Home) Uploaded(ctx context.Context, path string) (int64, error) {
	return h.offset(ctx, http.MethodHead, path, nil, tus())
}

func (h *Home) offset(ctx context.Context, method, path string, body io.Reader, header http.Header) (int64, error) {
	resp, err := h.Do(ctx, method, path, body, header)
	if err != nil {
		return 0, err
	}
	if _, err := read(resp); err != nil {
		return 0, err
	}
	return strconv.ParseInt(resp.Header.Get("Upload-Offset"), 10, 64)
}

// Draft is what the homeowner chooses in the form of a release.
type Draft struct {
	Clip       string   `json:"clip"`
	From       string   `json:"from"` // RFC 3339
	To         string   `json:"to"`
	Recipients []string `json:"recipients"` // "0", "1", …: their places in the request
	Hours      int      `json:"hours"`
	MaxViews   int      `json:"max_views"`
	Download   string   `json:"download"` // "yes" or "no"
	Style      string   `json:"style"`    // "blur" or "solid"
}

// NewDraft is a draft for the first recipient with the usual terms.
func NewDraft(clip string, from, to time.Time) Draft {
	return Draft{Clip: clip, From: relay.Stamp(from), To: relay.Stamp(to), Recipients: []string{"0"}, Hours: 24, MaxViews: 5, Download: "no", Style: "blur"}
}

// Prepare starts a release and returns its id.
func (h *Home) Prepare(ctx context.Context, requestID string, d Draft) (string, error) {
	var to went
	if err := h.Post(ctx, "/requests/"+requestID+"/prepare", d, &to); err != nil {
		return "", fmt.Errorf("prepare: %w", err)
	}
	id, ok := strings.CutPrefix(to.Location, "/releases/")
	if !ok {
		return "", fmt.Errorf("prepare: the page goes to %q", to.Location)
	}
	return id, nil
}

// Standing is how a release stands.
type Standing struct {
	State    relay.ReleaseState `json:"state"`
	Progress int                `json:"progress"`
	Round    int                `json:"round"`
	Views    int                `json:"views"`
}

// Standing asks how a release stands.
func (h *Home) Standing(ctx context.Context, releaseID string) (s Standing, err error) {
	body, err := h.Get(ctx, "/releases/"+releaseID+"/state")
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(body, &s)
}

// AwaitReview waits until a release has been prepared, and fails when that failed. progress is
// told how far it is; it may be nil.
func (h *Home) AwaitReview(ctx context.Context, releaseID string, progress func(percent int)) error {
	return Until(ctx, func() (bool, error) {
		s, err := h.Standing(ctx, releaseID)
		if err != nil {
			return false, err
		}
		if progress != nil {
			progress(s.Progress)
		}
		switch s.State {
		case relay.ReleaseIsPreparing:
			return false, nil
		case relay.ReleaseInReview:
			return true, nil
		default:
		}
		return false, fmt.Errorf("the release is %s, not in review: %s", s.State, h.failure(ctx, releaseID))
	})
}

// failure is what the page of a release says of why it failed.
func (h *Home) failure(ctx context.Context, releaseID string) string {
	page, err := h.Get(ctx, "/releases/"+releaseID)
	if err != nil {
		return err.Error()
	}
	text := regexp.MustCompile(`(?s)<(script|style|nav|header).*?</(script|style|nav|header)>|<[^>]*>`).ReplaceAllString(string(page), " ")
	text = strings.Join(strings.Fields(text), " ")
	return text[:min(len(text), 600)]
}

var copyPath = regexp.MustCompile(`/releases/[a-z0-9]+/copies/[a-z0-9]+/video`)

// Copies returns the addresses of the release copies that the page of a release shows.
func (h *Home) Copies(ctx context.Context, releaseID string) ([]string, error) {
	page, err := h.Get(ctx, "/releases/"+releaseID)
	if err != nil {
		return nil, err
	}
	var out []string
	seen := map[string]bool{}
	for _, path := range copyPath.FindAllString(string(page), -1) {
		if !seen[path] {
			seen[path] = true
			out = append(out, path)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("the page of release %s shows no release copy", releaseID)
	}
	return out, nil
}

// Original is the address of the unredacted footage of a release under review.
func Original(releaseID string) string { return "/releases/" + releaseID + "/original/video" }

// Approval is a grant that the homeowner signed.
type Approval struct {
	GrantID    string `json:"grant_id"`
	SHA256     string `json:"grant_sha256"`
	CheckWords string `json:"check_words"`
}

// Approve signs the release with the member's passkey, having looked where the redactor was
// unsure.
func (h *Home) Approve(ctx context.Context, releaseID string) (Approval, error) {
	var begun struct {
		ceremony
		Approval
	}
	path := "/releases/" + releaseID + "/grant/"
	if err := h.Post(ctx, path+"begin", map[string]bool{"looked": true}, &begun); err != nil {
		return Approval{}, fmt.Errorf("approve: %w", err)
	}
	credential, err := h.Passkey.sign(begun.ceremony)
	if err != nil {
		return Approval{}, err
	}
	err = h.Post(ctx, path+"finish", map[string]any{"ceremony": begun.Ceremony, "credential": credential, "looked": true}, nil)
	if err != nil {
		return Approval{}, fmt.Errorf("approve: %w", err)
	}
	return begun.Approval, nil
}

// Revoke ends a live release.
func (h *Home) Revoke(ctx context.Context, releaseID, reason string) error {
	if err := h.Post(ctx, "/releases/"+releaseID+"/revoke", map[string]string{"reason": reason}, nil); err != nil {
		return fmt.Errorf("revoke: %w", err)
	}
	return nil
}

// Decline refuses a request.
func (h *Home) Decline(ctx context.Context, requestID string) error {
	if err := h.Post(ctx, "/requests/"+requestID+"/decline", struct{}{}, nil); err != nil {
		return fmt.Errorf("decline: %w", err)
	}
	return nil
}
