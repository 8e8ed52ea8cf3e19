package templates

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// mailValues fills every mail with something.
func mailValues() map[string]string {
	return map[string]string{
		"name": "Dana Ortiz", "agency": "Exampleville Police", "case": "24-001183", "until": "2026-11-30T14:05:00Z", "views": "5",
		"download": "true", "minutes": "10", "state": "revoked", "ended": "2026-11-24T09:00:00Z", "request": "q1", "release": "rel1",
	}
}

func secretOf(kind string) string {
	switch kind {
	case "link":
		return "https://view.relay.example/r#" + strings.Repeat("a", 300)
	case "invitation":
		return "https://home.relay.example/join#secret"
	case "code":
		return "ABCD2345"
	}
	return ""
}

// TestMails writes every mail and holds it to what a mail may say.
func TestMails(t *testing.T) {
	kinds := MailKinds()
	for _, want := range []string{"request", "ready", "released", "ended", "invitation", "link", "code", "over", "codes", "damaged", "cosign", "recovered", "key", "offer", "more", "soon", "watched", "ends"} {
		if !slices.Contains(kinds, want) {
			t.Errorf("there is no mail %q", want)
		}
	}
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			d := MailData{Home: "https://home.relay.example", Values: mailValues(), Secret: secretOf(kind)}
			for _, l := range Languages()[1:] {
				d.Lang = l
				other, _, page, err := Mail(kind, d)
				if err != nil || other == "" || !strings.Contains(page, `<html lang="`+string(l)+`">`) {
					t.Errorf("in %s: subject %q, error %v", l, other, err)
				}
			}
			d.Lang = ""
			subject, text, page, err := Mail(kind, d)
			if err != nil {
				t.Fatal(err)
			}
			if subject == "" || len(subject) > 60 || strings.ContainsAny(subject, "\r\n") {
				t.Errorf("the subject is %q", subject)
			}
			if d.Secret != "" && (!strings.Contains(text, d.Secret) || !strings.Contains(page, d.Secret)) {
				t.Error("the link or code is missing")
			}
			if strings.Contains(text+page, "<no value>") || strings.Contains(text, "{{") {
				t.Error("a value is missing")
			}
			for line := range strings.SplitSeq(text, "\n") {
				if len([]rune(line)) > 72 && !strings.Contains(line, "://") {
					t.Errorf("this line is too long for a plain client: %q", line)
				}
			}
			doc, err := html.Parse(strings.NewReader(page))
			if err != nil {
				t.Fatal(err)
			}
			words := func(s string) []string { return strings.Fields(s) }
			var shown strings.Builder
			for n := range doc.Descendants() {
				switch {
				case n.Type == html.TextNode:
					shown.WriteString(n.Data + " ")
				case slices.Contains([]string{"img", "script", "iframe", "link", "object", "video", "form", "style"}, n.Data):
					t.Errorf("the mail holds <%s>", n.Data)
				}
			}
			inPage := map[string]bool{}
			for _, w := range words(strings.ReplaceAll(shown.String(), ":", " ")) {
				inPage[w] = true
			}
			for _, w := range words(strings.ReplaceAll(text, ":", " ")) {
				if !inPage[w] && !strings.Contains(w, "//") {
					t.Errorf("the text says %q, the HTML does not", w)
				}
			}
			// Whoever reads a member's mailbox learns only that something waits.
			if slices.Contains([]string{"request", "ready", "released", "ended", "codes", "damaged", "key", "offer", "more"}, kind) {
				for _, secret := range []string{"Exampleville", "24-001183"} {
					if strings.Contains(subject+text+page, secret) {
						t.Errorf("a member's notice names %q", secret)
					}
				}
			}
		})
	}
}

// TestMailTakesNothingIn fills mails with values that try to be more than values.
func TestMailTakesNothingIn(t *testing.T) {
	evil := mailValues()
	for k := range maps.Keys(evil) {
		if k != "download" && k != "state" {
			evil[k] = "x\r\nBcc: thief@elsewhere.example\n\n=> https://elsewhere.example Click\u2028<b onclick=go()>\u202e" + strings.Repeat("y", 5000)
		}
	}
	for _, kind := range MailKinds() {
		_, plainText, _, err := Mail(kind, MailData{Home: "https://home.relay.example", Values: mailValues(), Secret: secretOf(kind)})
		if err != nil {
			t.Fatal(err)
		}
		subject, text, page, err := Mail(kind, MailData{Home: "https://home.relay.example", Values: evil, Secret: secretOf(kind)})
		if err != nil {
			continue // a link that is none: nothing is sent
		}
		if strings.ContainsAny(subject, "\r\n") || strings.Contains(subject, "Bcc") {
			t.Errorf("%s: subject %q", kind, subject)
		}
		if strings.Contains(text, "\r") || strings.Contains(text, "\nhttps://elsewhere.example\n") {
			t.Errorf("%s: a value became a line of its own", kind)
		}
		if strings.Contains(page, "<b onclick") || strings.Contains(page, `href="https://elsewhere`) {
			t.Errorf("%s: a value became markup", kind)
		}
		if strings.ContainsRune(text+page, '\u202e') {
			t.Errorf("%s: a value turns the text around", kind)
		}
		if a, b := strings.Count(plainText, "\n\n"), strings.Count(text, "\n\n"); a != b {
			t.Errorf("%s: %d paragraphs instead of %d", kind, b, a)
		}
	}
	for _, secret := range []string{"https://x.example/\r\nBcc: a@b", "javascript:alert(1)", "not a link", ""} {
		if _, _, _, err := Mail("link", MailData{Home: "https://home.relay.example", Values: mailValues(), Secret: secret}); err == nil {
			t.Errorf("a link mail was written with %q as its link", secret)
		}
	}
}
