package e2e

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"cliplease/test/driver"
)

// TestNoPresign drives a release through its life on MinIO and looks at everything that leaves
// the relay: every answer, mail and line of the log. Nothing points into the object store or names
// what lies there, and no link or code is anywhere but in the mail that brings it.
func TestNoPresign(t *testing.T) {
	w := settled(t, large, "CLIPLEASE_LOG_LEVEL=debug")
	var answers bytes.Buffer
	w.relay.Spy = &answers
	d := w.draft()
	d.Download = "yes"
	request, release := w.live(w.ask(), d)
	_, has, err := w.relay.Release(w.ctx, release)
	w.must(err)
	link := w.link()
	v := w.watching(link)
	w.plays(v, release)
	resp, err := v.Do(w.ctx, http.MethodGet, v.Media+"/file", nil, http.Header{"Sec-Fetch-Dest": {"document"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-User": {"?1"}})
	w.must(err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("the download is answered with %s", resp.Status)
	}
	_, err = v.Get(w.ctx, "/watch")
	w.must(err)
	for _, path := range []string{"/", "/requests", "/requests/" + request, "/releases", "/releases/" + release, "/clips", "/cameras", "/agencies", "/household", "/activity", "/log.jsonl", "/releases/" + release + "/evidence.zip", "/releases/" + release + "/custody.json", "/releases/" + release + "/custody.pdf"} {
		_, err := w.home.Get(w.ctx, path)
		w.must(err)
	}
	_, polled, err := w.agency.Poll(w.ctx, request)
	w.must(err)
	w.must(w.home.Revoke(w.ctx, release, ""))
	w.must(w.relay.AwaitGone(w.ctx, has))

	_, token, _ := strings.Cut(link, "#")
	code := strings.ReplaceAll(strings.ReplaceAll(w.codes[0], " ", ""), "-", "")
	store := append([]string{"X-Amz-", "AWSAccessKeyId", "presigned", w.relay.MinIO.Endpoint, w.relay.Bucket, w.relay.MinIO.AccessKey, w.relay.MinIO.SecretKey, w.clip.Object}, has.Objects...)
	var mails strings.Builder
	for _, m := range w.mail.Mails() {
		l, err := driver.ReadMail(m)
		w.must(err)
		text := l.Subject + "\n" + l.Text + "\n" + l.HTML + "\n"
		mails.WriteString(text)
		if strings.Contains(text, token) && (l.To != officer || l.Link() != link) || strings.Contains(text, code) && l.Code() == "" {
			t.Errorf("the mail %q to %s brings a link or a code that is not its own", l.Subject, l.To)
		}
	}
	log := w.relay.Log()
	for _, out := range []struct {
		what, text string
		canaries   []string
	}{
		{"answers", answers.String(), append([]string{token, code, w.codes[0]}, store...)},
		{"the agency's poll", polled, append([]string{token, code, officer, memberMail}, store...)},
		{"mails", mails.String(), store},
		{"the log", log, append([]string{token, code, w.codes[0], officer, memberMail, "__Host-", "X-Amz-"}, has.Objects...)},
	} {
		if len(out.text) < 20 {
			t.Errorf("there are only %d bytes of %s: the test says little", len(out.text), out.what)
		}
		text := strings.ToLower(out.text)
		for _, canary := range out.canaries {
			if i := strings.Index(text, strings.ToLower(canary)); canary != "" && i >= 0 {
				t.Errorf("%q is in %s: …%s…", canary, out.what, text[max(0, i-60):min(len(text), i+len(canary)+60)])
			}
		}
	}
}
