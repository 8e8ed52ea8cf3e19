// Package tree tests the tree itself: which package imports which, and what may stand in no file.
package tree

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	module = "cliplease"
	root   = "../.." // of the tree, from here
)

// mayImport says which of our own folders a folder may import; its own packages it always may.
// A folder that is not named here may not exist.
var mayImport = map[string][]string{
	"relay":     {},
	"templates": {},
	"redact":    {},
	"source":    {"relay"},
	"storage":   {"relay"},
	"worker":    {"relay", "storage", "source", "redact", "templates"},
	"server":    {"relay", "storage", "source", "templates"},
	"cmd":       {"relay", "storage", "source", "redact", "templates", "worker", "server", "test"}, // test: the demo's servers
	// Not part of the running product.
	"bench":  {"relay", "storage", "source", "redact", "templates", "worker", "server"},
	"test":   {"relay", "storage", "source", "redact", "templates", "worker", "server"},
	"deploy": {"redact"},
}

// onlyIn says where alone a library may be imported: in packages at or below these paths.
var onlyIn = map[string][]string{
	"github.com/gin-gonic/gin":           {"server"},
	"github.com/golang-jwt/jwt":          {"server", "cmd/cliplease"}, // cmd: the agency's reference client signs
	"github.com/minio/minio-go":          {"storage"},
	"github.com/tus/tusd":                {"server"},
	"github.com/nicholas-fedor/shoutrrr": {"worker"},
	"modernc.org/sqlite":                 {"storage"},
	"github.com/jackc/pgx":               {"storage"},
	"github.com/u2takey/ffmpeg-go":       {"redact"},
	"github.com/yalue/onnxruntime_go":    {"redact"},
	"github.com/spf13/cobra":             {"cmd"},
	"github.com/spf13/pflag":             {"cmd"},
	"github.com/schollz/progressbar/v3":  {"cmd"},
}

// pureLibraries are all that relay may import besides the standard library: they compute, and do
// no input or output.
var pureLibraries = []string{
	"cel.dev/cel-go",
	"cel.dev/expr",
	"github.com/fxamacker/cbor/v2",
	"github.com/go-json-experiment/json",
	"github.com/gowebpki/jcs",
	"golang.org/x/mod/sumdb/note",
	"golang.org/x/mod/sumdb/tlog",
	"golang.org/x/text",
	"google.golang.org/protobuf",
}

// impure are packages of the standard library that relay may not import, since it has no input or
// output, no clock and no goroutines.
var impure = []string{
	"database/sql", "flag", "io/ioutil", "log", "net/http", "net/smtp", "os", "plugin",
	"runtime", "syscall", "testing",
}

// goPackage is what `go list -json` says of a package.
type goPackage struct {
	ImportPath string
	Name       string
	Dir        string
	GoFiles    []string
	CgoFiles   []string
	Imports    []string
	Standard   bool
}

// folder returns the top folder of one of our packages, or "" for a foreign one.
func folder(importPath string) string {
	rest, ours := strings.CutPrefix(importPath, module+"/")
	if !ours {
		return ""
	}
	top, _, _ := strings.Cut(rest, "/")
	return top
}

// within reports whether path is root or below it.
func within(path, root string) bool {
	return path == root || strings.HasPrefix(path, root+"/")
}

// violation returns what is wrong with package p importing path, or "".
func violation(p, path string, standard bool) string {
	broken := func(rule string) string { return fmt.Sprintf("%s imports %s, but %s", p, path, rule) }
	from := strings.TrimPrefix(p, module+"/")
	top, to := folder(p), folder(path)

	if to != "" && to != top {
		switch allowed := mayImport[top]; {
		case len(allowed) == 0:
			return broken(top + " may import no package of ours")
		case !slices.Contains(allowed, to):
			return broken(top + " may import only " + strings.Join(allowed, ", "))
		}
	}
	if top == "redact" && to == "redact" && within(from, "redact/detect") && !within(path, module+"/redact/detect") {
		return broken("redact imports redact/detect, never the other way")
	}
	if top == "cmd" && to == "cmd" {
		return broken("commands do not import each other")
	}
	if within(from, "cmd/bundle-verify") && !standard {
		return broken("cmd/bundle-verify is a second, independent verifier: standard library alone")
	}
	for library, homes := range onlyIn {
		if (within(path, library) || strings.HasPrefix(path, library+"/")) &&
			!slices.ContainsFunc(homes, func(home string) bool { return within(from, home) }) {
			return broken(library + " is imported only in " + strings.Join(homes, ", "))
		}
	}
	if top == "relay" {
		if standard && (slices.Contains(impure, path) || strings.HasPrefix(path, "os/") || strings.HasPrefix(path, "net/http/")) {
			return broken("relay has no input or output, no clock and no goroutines")
		}
		pure := func(library string) bool { return within(path, library) }
		if !standard && to == "" && !slices.ContainsFunc(pureLibraries, pure) {
			return broken("relay uses the standard library and pure libraries alone: " + strings.Join(pureLibraries, ", "))
		}
	}
	return ""
}

// goList returns our packages and all that they are built from.
func goList(t *testing.T) map[string]goPackage {
	t.Helper()
	list := exec.Command("go", "list", "-e", "-deps", "-json=ImportPath,Name,Dir,GoFiles,CgoFiles,Imports,Standard", "./...")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			t.Fatalf("go list: %v\n%s", err, failed.Stderr)
		}
		t.Fatal(err)
	}
	packages := map[string]goPackage{}
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatalf("go list printed no JSON: %v", err)
		}
		packages[p.ImportPath] = p
	}
}

// TestImportsPointOneWay fails on every import that goes against the table above.
func TestImportsPointOneWay(t *testing.T) {
	packages := goList(t)
	ours := 0
	for _, p := range packages {
		top := folder(p.ImportPath)
		if top == "" {
			continue
		}
		ours++
		if _, known := mayImport[top]; !known {
			t.Errorf("package %s is in folder %s, which is not part of the layout (CONTRIBUTING.md)", p.ImportPath, top)
			continue
		}
		for _, path := range p.Imports {
			if wrong := violation(p.ImportPath, path, packages[path].Standard || path == "C"); wrong != "" {
				t.Error(wrong)
			}
		}
	}
	if ours < 2 {
		t.Fatalf("go list found %d packages of ours; is this run in the module?", ours)
	}
}

// TestViolation proves that the test above can fail.
func TestViolation(t *testing.T) {
	for _, tt := range []struct {
		from, path string
		standard   bool
		broken     bool
	}{
		{"cliplease/server/home", "cliplease/relay", false, false},
		{"cliplease/server/home", "cliplease/redact", false, true},
		{"cliplease/server", "cliplease/worker", false, true},
		{"cliplease/server", "cliplease/server/api", false, false},
		{"cliplease/storage", "cliplease/source", false, true},
		{"cliplease/redact", "cliplease/redact/detect", false, false},
		{"cliplease/redact/detect", "cliplease/redact", false, true},
		{"cliplease/redact", "cliplease/relay", false, true},
		{"cliplease/templates", "cliplease/relay", false, true},
		{"cliplease/worker", "cliplease/templates", false, false},
		{"cliplease/worker", "cliplease/server", false, true},
		{"cliplease/cmd/cliplease", "cliplease/server", false, false},
		{"cliplease/server/api", "github.com/golang-jwt/jwt/v5", false, false},
		{"cliplease/worker", "github.com/golang-jwt/jwt/v5", false, true},
		{"cliplease/storage", "github.com/gin-gonic/gin", false, true},
		{"cliplease/storage", "github.com/jackc/pgx/v5/stdlib", false, false},
		{"cliplease/worker", "github.com/jackc/pgx/v5", false, true},
		{"cliplease/worker", "github.com/jackc/pgxlisten", false, false},
		{"cliplease/server/view", "github.com/minio/minio-go/v7", false, true},
		{"cliplease/worker", "github.com/yalue/onnxruntime_go", false, true},
		{"cliplease/redact/detect", "github.com/yalue/onnxruntime_go", false, false},
		{"cliplease/relay", "golang.org/x/mod/sumdb/tlog", false, false},
		{"cliplease/relay", "github.com/google/uuid", false, true},
		{"cliplease/relay", "crypto/sha256", true, false},
		{"cliplease/relay", "os", true, true},
		{"cliplease/relay", "os/exec", true, true},
		{"cliplease/cmd/bundle-verify", "crypto/ecdsa", true, false},
		{"cliplease/cmd/bundle-verify", "cliplease/relay", false, true},
		{"cliplease/cmd/bundle-verify", "golang.org/x/mod/sumdb/note", false, true},
	} {
		if got := violation(tt.from, tt.path, tt.standard); (got != "") != tt.broken {
			t.Errorf("%s imports %s: got %q, want a violation: %t", tt.from, tt.path, got, tt.broken)
		}
	}
}

// TestFFmpegGoInOneFile holds ffmpeg-go to redact/ffmpeg.go: it only builds arguments there.
func TestFFmpegGoInOneFile(t *testing.T) {
	for _, file := range goFiles(t) {
		imports := slices.ContainsFunc(file.syntax.Imports, func(s *ast.ImportSpec) bool {
			return strings.Contains(s.Path.Value, "u2takey/ffmpeg-go")
		})
		if imports && file.path != filepath.FromSlash("redact/ffmpeg.go") {
			t.Errorf("%s imports ffmpeg-go, but redact/ffmpeg.go is the only file that may", file.path)
		}
	}
}
