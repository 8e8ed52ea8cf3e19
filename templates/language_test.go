package templates

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// messagesOfPages lists every message of the pages, mails and scripts.
func messagesOfPages(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(name) != ".html" {
			return err
		}
		raw, err := files.ReadFile(name)
		translate(string(raw), func(m string) string { out[m] = name; return m })
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	mails, err := fs.Glob(mailFiles, "mail/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range mails {
		raw, err := mailFiles.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		translateLines(string(raw), func(m string) string { out[m] = name; return m })
	}
	scripts, err := messagesOfScripts()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range scripts {
		out[m] = "a script"
	}
	return out
}

// goWords lists the strings of the Go code, and of them those that are certainly messages: what T is
// called with, and what is wrong with a form.
func goWords(t *testing.T) (all map[string]bool, messages map[string]string) {
	t.Helper()
	all, messages = map[string]bool{}, map[string]string{}
	for _, dir := range []string{"../templates", "../server", "../relay", "../storage", "../source"} {
		err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
				return err
			}
			src, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, src, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
					if s, err := strconv.Unquote(lit.Value); err == nil {
						all[s] = true
					}
				}
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				f, at := "", 0
				switch x := call.Fun.(type) {
				case *ast.SelectorExpr:
					f = x.Sel.Name
				case *ast.Ident:
					f = x.Name
				}
				if f == "Invalid" && !spokenToPrograms(name) {
					at = 1
				} else if f != "T" {
					return true
				}
				if len(call.Args) > at {
					if lit, ok := call.Args[at].(*ast.BasicLit); ok {
						if s, err := strconv.Unquote(lit.Value); err == nil && letters.MatchString(s) {
							messages[s] = name
						}
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all, messages
}

// spokenToPrograms reports whether what a file says about bad input goes to an agency's program or to
// the command line, which stay in English.
func spokenToPrograms(name string) bool {
	return strings.Contains(name, "server/api/") || slices.Contains([]string{"claims_check.go", "claims_parse.go", "quota.go", "transparency.go", "publiclog.go"}, filepath.Base(name))
}

var verb = regexp.MustCompile(`%(?:\[\d\])?[a-z]|\{\d\}`)

// fillings are what stands in a message besides words, in any order.
func fillings(message string) []string {
	out := regexp.MustCompile(`(?s)`+action+`|`+tag).FindAllString(message, -1)
	out = append(out, verb.FindAllString(message, -1)...)
	slices.Sort(out)
	return out
}

// TestMessages: every message stands in every language, none without use, with the same values and
// markup in it.
func TestMessages(t *testing.T) {
	pages := messagesOfPages(t)
	literals, wanted := goWords(t)
	for m, where := range pages {
		wanted[m] = where
	}
	all, err := catalogues()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range Languages()[1:] {
		for m, where := range wanted {
			if all[l].Messages[m] == "" {
				t.Errorf("%s says %q, which messages/%s.json lacks", where, m, l)
			}
		}
		for m, other := range all[l].Messages {
			if wanted[m] == "" && !literals[m] && !composed[m] {
				t.Errorf("messages/%s.json has %q, which nothing says", l, m)
			}
			if a, b := fillings(m), fillings(other); !slices.Equal(a, b) {
				t.Errorf("%q holds %q, and in %s %q", m, a, l, b)
			}
			// fmt fills values by their order
			if a, b := verb.FindAllString(m, -1), verb.FindAllString(other, -1); strings.Contains(m, "%") && !slices.Equal(a, b) {
				t.Errorf("%q has its values in another order in %s", m, l)
			}
			if m == other && !alike[m] {
				t.Errorf("%q is the same in %s; name it among those that are alike", m, l)
			}
		}
	}
}

// composed are messages that code puts together: the purposes in the report on what agencies asked.
var composed = map[string]bool{
	"Burglary": true, "Robbery": true, "Theft": true, "Vehicle theft": true, "Assault": true, "Homicide": true, "Sexual offence": true, "Hit and run": true,
	"Traffic collision": true, "Vandalism": true, "Arson": true, "Missing person": true, "Fraud": true, "Insurance claim": true, "Immigration civil": true, "Other": true,
}

// alike are messages that are the same in both languages.
var alike = map[string]bool{
	"1 week": true, "Label": true, "Code": true, "Id": true, "burglary, assault, immigration_civil, …": true, "Clips": true, "cliplease": true, "Menu": true, "Camera": true,
	"{{size .Size}}, SHA-256 <code>{{.SHA256}}</code>": true, "{{with .Title}}{{t .}} · {{end}}cliplease": true, "SHA-256: <code data-sum></code>": true,
}

// given are values of the samples that a person of the home wrote, or that Go code made in English.
var given = []string{"Front door", "The same case"}

// text is what a person reads or hears of a page, without what other people wrote.
func text(t *testing.T, page string) []string {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for n := range doc.Descendants() {
		if n.Type == html.TextNode && n.Parent.Data != "script" && n.Parent.Data != "style" {
			if s := strings.Join(strings.Fields(n.Data), " "); letters.MatchString(s) {
				out = append(out, s)
			}
		}
		for _, a := range n.Attr {
			if (a.Key == "aria-label" || a.Key == "placeholder" || a.Key == "title" || a.Key == "alt") && letters.MatchString(a.Val) {
				out = append(out, a.Val)
			}
		}
	}
	return out
}

// TestNothingLeftInEnglish walks every page in Dutch: what stands on it is not an English message.
func TestNothingLeftInEnglish(t *testing.T) {
	all, err := catalogues()
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string]bool{} // of English messages, as they would stand in a page
	for m := range all[Dutch].Messages {
		for _, p := range silent.Split(m, -1) {
			if p = strings.Trim(strings.Join(strings.Fields(p), " "), " .,:;·"); len(p) > 3 && strings.Contains(p, " ") {
				parts[p] = true
			}
		}
	}
	for _, m := range all[Dutch].Messages { // what is the same in Dutch is no left-over
		for _, p := range silent.Split(m, -1) {
			delete(parts, strings.Trim(strings.Join(strings.Fields(p), " "), " .,:;·"))
		}
	}
	for _, g := range given {
		delete(parts, g)
	}
	for name, pages := range samples() {
		for _, data := range pages {
			var out bytes.Buffer
			if err := Render(&out, Dutch, name, data); err != nil {
				t.Fatal(err)
			}
			for _, s := range text(t, out.String()) {
				if parts[strings.Trim(s, " .,:;·")] {
					t.Errorf("%s in Dutch says %q", name, s)
				}
			}
		}
	}
}
