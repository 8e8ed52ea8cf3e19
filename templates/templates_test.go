package templates

import (
	"bytes"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// samples holds, for every page, the structs that a test fills it with: at least one, and one
// for each state in which the page reads differently.
func samples() map[string][]any {
	all := map[string][]any{
		"error": {ErrorPage{Code: 404, Sentence: "There is nothing here."}},
	}
	for _, part := range []map[string][]any{homeSamples(), viewSamples()} {
		for name, pages := range part {
			all[name] = pages
		}
	}
	return all
}

// TestPages fills every page with its struct and looks at the markup that comes out.
func TestPages(t *testing.T) {
	all := samples()
	for _, name := range Pages() {
		if len(all[name]) == 0 {
			t.Errorf("page %s has no sample", name)
		}
	}
	for name, pages := range all {
		for _, data := range pages {
			t.Run(name, func(t *testing.T) {
				for _, l := range Languages() {
					var out bytes.Buffer
					if err := Render(&out, l, name, data); err != nil {
						t.Fatal(err)
					}
					checkMarkup(t, out.String())
					if !strings.Contains(out.String(), `<html lang="`+string(l)+`">`) {
						t.Errorf("the page does not say that it is in %s", l)
					}
				}
			})
		}
	}
}

// checkMarkup looks for what the content policy would block and what a screen reader needs.
func checkMarkup(t *testing.T, page string) {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	ids, labels := map[string]bool{}, map[string]bool{}
	h1 := 0
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		at := map[string]string{}
		for _, a := range n.Attr {
			at[a.Key] = a.Val
			if a.Key == "style" || strings.HasPrefix(a.Key, "on") {
				t.Errorf("<%s %s>: the content policy forbids it", n.Data, a.Key)
			}
			if strings.Contains(a.Val, "ZgotmplZ") {
				t.Errorf("<%s %s>: the template's filter took the value away", n.Data, a.Key)
			}
			if (a.Key == "src" || a.Key == "action" || a.Key == "poster") && !strings.HasPrefix(a.Val, "/") {
				t.Errorf("<%s %s=%q>: not of this host", n.Data, a.Key, a.Val)
			}
		}
		if id := at["id"]; id != "" {
			if ids[id] {
				t.Errorf("the id %q stands twice", id)
			}
			ids[id] = true
		}
		switch n.Data {
		case "h1":
			h1++
		case "label":
			labels[at["for"]] = true
		case "script":
			if at["src"] == "" {
				t.Error("a script stands in the page")
			}
		case "style":
			t.Error("a style stands in the page")
		case "img":
			if _, ok := at["alt"]; !ok {
				t.Errorf("<img src=%q> has no alt", at["src"])
			}
		}
	}
	if h1 != 1 {
		t.Errorf("%d first headings, want 1", h1)
	}
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode || n.Data != "input" && n.Data != "select" && n.Data != "textarea" {
			continue
		}
		at := map[string]string{}
		for _, a := range n.Attr {
			at[a.Key] = a.Val
		}
		inLabel := false
		for p := range n.Ancestors() {
			inLabel = inLabel || p.Data == "label"
		}
		if at["type"] != "hidden" && !inLabel && !labels[at["id"]] && at["aria-label"] == "" {
			t.Errorf("<%s name=%q> has no label", n.Data, at["name"])
		}
	}
}

// TestWeight keeps pages light enough for a phone on a bad line.
func TestWeight(t *testing.T) {
	weight := 0
	for _, name := range []string{"app.css", "app.js", "home.js", "icon.svg"} {
		body, _, ok := Asset(name)
		if !ok {
			t.Fatalf("%s is missing", name)
		}
		weight += len(body)
	}
	var page bytes.Buffer
	if err := Render(&page, English, "activity", Activity{Layout: Layout{Title: "Activity"}, Lines: manyLines()}); err != nil {
		t.Fatal(err)
	}
	if got := weight + page.Len(); got > largest {
		t.Errorf("a full page weighs %d bytes, at most %d are allowed", got, largest)
	}
}

// TestNothingHalf: a page that cannot be made writes nothing.
func TestNothingHalf(t *testing.T) {
	var out bytes.Buffer
	if err := Render(&out, English, "inbox", struct{ Layout }{}); err == nil || out.Len() > 0 {
		t.Errorf("error %v, %d bytes written", err, out.Len())
	}
	if err := Render(&out, English, "nothing", nil); err == nil {
		t.Error("a page that is not there was made")
	}
	if _, _, ok := Asset("../layout.html"); ok {
		t.Error("a file outside the folder was given out")
	}
	first, err := Digest(English, "release")
	if err != nil || len(first) != 64 {
		t.Errorf("digest %q: %v", first, err)
	}
	if other, err := Digest(English, "request"); err != nil || other == first {
		t.Errorf("two pages have one digest: %v", err)
	}
	if other, err := Digest(Dutch, "release"); err != nil || other == first {
		t.Errorf("two languages have one digest: %v", err)
	}
}

// TestScriptsSetText holds the scripts to the content policy: text is set as text.
func TestScriptsSetText(t *testing.T) {
	forbidden := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|https?://`)
	entries, err := files.ReadDir("static")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".js" {
			continue
		}
		body, _, _ := Asset(e.Name())
		if e.Name() == "sha256.js" { // a library; its licence names its address
			_, body, _ = bytes.Cut(body, []byte("*/"))
		}
		if m := forbidden.Find(body); m != nil {
			t.Errorf("%s uses %q", e.Name(), m)
		}
		if len(body) > 60<<10 {
			t.Errorf("%s is larger than 60 KB", e.Name())
		}
	}
}

// TestContrast computes the contrast of every pair of colours that text is set in.
func TestContrast(t *testing.T) {
	css, _, _ := Asset("app.css")
	light, dark, ok := strings.Cut(string(css), "@media (prefers-color-scheme: dark)")
	if !ok {
		t.Fatal("no dark colours")
	}
	dark, _, _ = strings.Cut(dark, "*, *::before")
	tokens := func(part string) map[string]string {
		m := map[string]string{}
		for _, x := range regexp.MustCompile(`--([a-z-]+): (#[0-9a-f]{6});`).FindAllStringSubmatch(part, -1) {
			m[x[1]] = x[2]
		}
		return m
	}
	for scheme, c := range map[string]map[string]string{"light": tokens(light), "dark": tokens(dark)} {
		for _, p := range [][2]string{
			{"ink", "ground"}, {"ink", "sheet"}, {"ink", "sunk"}, {"soft", "ground"}, {"soft", "sheet"}, {"soft", "sunk"}, {"brand", "ground"}, {"brand", "sheet"},
			{"brand", "brand-wash"}, {"ink", "brand-wash"}, {"soft", "brand-wash"}, {"brand-ink", "brand"}, {"good", "good-wash"}, {"warn", "warn-wash"}, {"bad", "bad-wash"},
			{"info", "info-wash"}, {"bad", "sheet"}, {"bad-ink", "bad"},
		} {
			if r := contrast(t, c[p[0]], c[p[1]]); r < 4.5 {
				t.Errorf("%s: %s on %s has contrast %.2f, needs 4.5", scheme, p[0], p[1], r)
			}
		}
		for _, p := range [][2]string{{"edge", "sheet"}, {"edge", "ground"}, {"focus", "ground"}, {"focus", "sheet"}} {
			if r := contrast(t, c[p[0]], c[p[1]]); r < 3 {
				t.Errorf("%s: %s on %s has contrast %.2f, needs 3", scheme, p[0], p[1], r)
			}
		}
	}
}

func TestWords(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{English.Span(90 * time.Second), "1 minute 30 seconds"},
		{English.Span(49 * time.Hour), "2 days 1 hour"},
		{English.Span(24*time.Hour + 5*time.Second), "1 day"},
		{English.Span(0), "0 seconds"},
		{Size(999), "999 B"},
		{Size(1_234_567), "1.2 MB"},
		{English.Plural(1, "view"), "1 view"},
		{English.Plural(0, "view"), "0 views"},
		{English.When(time.Time{}), "never"},
		{Dutch.Plural(1, "recovery code"), "1 herstelcode"},
		{Dutch.Plural(2, "recovery code"), "2 herstelcodes"},
		{Dutch.Plural(0, "member"), "0 leden"},
		{Dutch.Span(49 * time.Hour), "2 dagen 1 uur"},
		{Dutch.When(time.Time{}), "nooit"},
		{Dutch.When(time.Date(2026, 3, 3, 14, 5, 0, 0, time.FixedZone("CET", 3600))), "di 3 mrt 2026, 14:05 CET"},
		{Dutch.Time(time.Date(2026, 5, 2, 0, 0, 0, 0, time.UTC), "Monday 2 January 2006"), "zaterdag 2 mei 2026"},
		{Dutch.T("%s signed in.", "Anna"), "Anna meldde zich aan."},
		{string(Accepted("nl-BE,nl;q=0.9,en;q=0.5")), "nl"},
		{string(Accepted("de-DE,nl;q=0.5,en;q=0.4")), "nl"},
		{string(Accepted("en-GB,nl;q=0.9")), "en"},
		{string(Accepted("fr")), "en"},
		{string(Accepted("")), "en"},
		{string(Accepted(";;")), "en"},
		{English.When(time.Date(2026, 11, 3, 14, 5, 0, 0, time.FixedZone("CET", 3600))), "Tue 3 Nov 2026, 14:05 CET"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}
