// Package templates holds everything that people read and that is not video: the pages, their
// styles and scripts, and the mails. It knows no other package; whoever renders a page fills
// the page's struct with plain values.
package templates

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"mime"
	"path"
	"strings"
	"sync"
	"time"
)

//go:embed layout.html parts.html pages/*.html static/* messages/*.json
var files embed.FS

// Layout is what every page shows around its content. Page structs embed it.
type Layout struct {
	Title   string   // of the page; the browser's tab adds the product's name
	Member  string   // name of the signed-in member; empty where nobody is signed in
	Role    string   // role of that member
	Section string   // entry of the navigation that the page belongs to: "inbox", "clips", …
	Waiting int      // requests that wait for an answer, shown beside the inbox
	Manage  bool     // whether the member may change agencies, cameras and members
	See     bool     // whether the member may see requests, clips and releases
	Scripts []string // files of static/ that the page needs besides app.js
	Public  bool     // a page for strangers: no navigation at all
}

// Render writes page, the name of a file of pages/ without its ending, in a language and filled
// with data, a struct that embeds [Layout]. Nothing is written unless the whole page could be made.
func Render(w io.Writer, l Lang, page string, data any) error {
	sets, err := parsed()
	if err != nil {
		return err
	}
	t, ok := sets[l][page]
	if !ok {
		return fmt.Errorf("there is no page %q", page)
	}
	var out bytes.Buffer
	if err := t.ExecuteTemplate(&out, "layout", data); err != nil {
		return fmt.Errorf("page %s: %w", page, err)
	}
	_, err = out.WriteTo(w)
	return err
}

// Digest is the hex SHA-256 of a language and the sources of a page in it, with its layout, messages,
// styles and scripts: what a grant says about the page on which it was signed.
func Digest(l Lang, page string) (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "language %s\n", l)
	names := []string{"layout.html", "parts.html", "pages/" + page + ".html", "static/app.css", "static/app.js", "static/home.js", "static/draw.js", "static/editor.js", "static/compare.js"}
	if l != English {
		names = append(names, "messages/"+string(l)+".json")
	}
	for _, name := range names {
		b, err := files.ReadFile(name)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %d\n", name, len(b))
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Asset returns a file of static/ and its media type. ok is false when there is none of that
// name.
func Asset(name string) (body []byte, mediaType string, ok bool) {
	if name == "" || path.Base(name) != name {
		return nil, "", false
	}
	if l, ok := strings.CutPrefix(strings.TrimSuffix(name, ".js"), "messages."); ok && Lang(l).Known() {
		body, err := scriptMessages(Lang(l))
		return body, "text/javascript; charset=utf-8", err == nil
	}
	body, err := files.ReadFile("static/" + name)
	if err != nil {
		return nil, "", false
	}
	switch path.Ext(name) {
	case ".js":
		mediaType = "text/javascript; charset=utf-8"
	case ".css":
		mediaType = "text/css; charset=utf-8"
	default:
		mediaType = mime.TypeByExtension(path.Ext(name))
	}
	return body, mediaType, true
}

// Pages lists the names of all pages.
func Pages() []string {
	sets, err := parsed()
	if err != nil {
		return nil
	}
	var names []string
	for name := range sets[English] {
		names = append(names, name)
	}
	return names
}

// parsed holds every page in every language.
var parsed = sync.OnceValues(func() (map[Lang]map[string]*template.Template, error) {
	pages, err := fs.Glob(files, "pages/*.html")
	if err != nil {
		return nil, err
	}
	sets := map[Lang]map[string]*template.Template{}
	for _, l := range Languages() {
		base := template.New("layout").Funcs(functions(l))
		for _, name := range []string{"layout.html", "parts.html"} {
			if err := parse(base, l, name); err != nil {
				return nil, err
			}
		}
		sets[l] = make(map[string]*template.Template, len(pages))
		for _, p := range pages {
			t, err := base.Clone()
			if err != nil {
				return nil, err
			}
			if err := parse(t, l, p); err != nil {
				return nil, err
			}
			sets[l][strings.TrimSuffix(path.Base(p), ".html")] = t
		}
	}
	return sets, nil
})

// parse adds a file to t, its messages in l.
func parse(t *template.Template, l Lang, name string) error {
	raw, err := files.ReadFile(name)
	if err != nil {
		return err
	}
	if _, err := t.New(name).Parse(translate(string(raw), l.look)); err != nil {
		return fmt.Errorf("%s in %s: %w", name, l, err)
	}
	return nil
}

// functions are what pages in l may call. Times are shown in the zone that they carry.
func functions(l Lang) template.FuncMap {
	return template.FuncMap{
		"asset":     assetURL,
		"lang":      func() Lang { return l },
		"languages": Languages,
		"t":         l.look,
		"when":      l.When,
		"date":      l.Time,
		"day":       func(t time.Time) string { return l.Time(t, "Monday 2 January 2006") },
		"clock":     func(t time.Time) string { return t.Format("15:04:05") },
		"utc":       func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
		"iso":       func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"input":     func(t time.Time) string { return t.Format("2006-01-02T15:04:05") },
		"size":      Size,
		"span":      l.Span,
		"plural":    l.Plural,
		"seconds":   func(s float64) string { return fmt.Sprintf("%d:%04.1f", int(s)/60, s-float64(int(s)/60*60)) },
		"words":     strings.Fields,
		"contains":  strings.Contains,
	}
}

// assetURL is where a page finds a file of static/. It changes with the file's content, so
// that a browser never runs an old script on a new page.
func assetURL(name string) (string, error) {
	body, _, ok := Asset(name)
	if !ok {
		return "", fmt.Errorf("there is no file static/%s", name)
	}
	sum := sha256.Sum256(body)
	return "/static/" + name + "?v=" + hex.EncodeToString(sum[:6]), nil
}

// Size writes a number of bytes for a person.
func Size(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1000*1000:
		return fmt.Sprintf("%d kB", n/1000)
	case n < 1000*1000*1000:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/1e9)
}
