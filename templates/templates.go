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

//go:embed layout.html parts.html pages/*.html static/*
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

// Render writes page, the name of a file of pages/ without its ending, filled with data, a
// struct that embeds [Layout]. Nothing is written unless the whole page could be made.
func Render(w io.Writer, page string, data any) error {
	set, err := parsed()
	if err != nil {
		return err
	}
	t, ok := set[page]
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

// Digest is the hex SHA-256 of the sources of a page, its layout and its styles and scripts:
// what a grant says about the page on which it was signed.
func Digest(page string) (string, error) {
	h := sha256.New()
	for _, name := range []string{"layout.html", "parts.html", "pages/" + page + ".html", "static/app.css", "static/app.js", "static/home.js", "static/draw.js", "static/editor.js", "static/compare.js"} {
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
	set, err := parsed()
	if err != nil {
		return nil
	}
	var names []string
	for name := range set {
		names = append(names, name)
	}
	return names
}

var parsed = sync.OnceValues(func() (map[string]*template.Template, error) {
	base, err := template.New("layout").Funcs(functions).ParseFS(files, "layout.html", "parts.html")
	if err != nil {
		return nil, err
	}
	pages, err := fs.Glob(files, "pages/*.html")
	if err != nil {
		return nil, err
	}
	set := make(map[string]*template.Template, len(pages))
	for _, p := range pages {
		t, err := base.Clone()
		if err != nil {
			return nil, err
		}
		if t, err = t.ParseFS(files, p); err != nil {
			return nil, err
		}
		set[strings.TrimSuffix(path.Base(p), ".html")] = t
	}
	return set, nil
})

// functions are what pages may call. Times are shown in the zone that they carry.
var functions = template.FuncMap{
	"asset":    assetURL,
	"when":     When,
	"day":      func(t time.Time) string { return t.Format("Monday 2 January 2006") },
	"clock":    func(t time.Time) string { return t.Format("15:04:05") },
	"utc":      func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
	"iso":      func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"input":    func(t time.Time) string { return t.Format("2006-01-02T15:04:05") },
	"size":     Size,
	"span":     Span,
	"plural":   Plural,
	"seconds":  func(s float64) string { return fmt.Sprintf("%d:%04.1f", int(s)/60, s-float64(int(s)/60*60)) },
	"words":    strings.Fields,
	"contains": strings.Contains,
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

// When writes a moment for a person, in the zone that t carries, with the zone named.
func When(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Format("Mon 2 Jan 2006, 15:04 MST")
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

// Span writes a length of time for a person, in its two largest units.
func Span(d time.Duration) string {
	d = d.Round(time.Second)
	type unit struct {
		length time.Duration
		name   string
	}
	var parts []string
	for _, u := range []unit{{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}, {time.Second, "second"}} {
		if n := int(d / u.length); n > 0 && len(parts) < 2 {
			parts = append(parts, Plural(n, u.name))
			d -= time.Duration(n) * u.length
		} else if len(parts) > 0 {
			break
		}
	}
	if len(parts) == 0 {
		return "0 seconds"
	}
	return strings.Join(parts, " ")
}

// Plural writes a count with its noun: "1 view", "3 views".
func Plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
