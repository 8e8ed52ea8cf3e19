package tree

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
	"strings"
	"testing"
)

// source is one Go file of the tree, its path from the root.
type source struct {
	path   string
	syntax *ast.File
	fset   *token.FileSet
}

func (s source) test() bool { return strings.HasSuffix(s.path, "_test.go") }

// walk calls visit with every file of the tree, by its path from the root, but not with what
// building and running leave there.
func walk(t *testing.T, visit func(path string)) {
	t.Helper()
	leave := []string{".git", "bin", "demo-out", "data", "node_modules"}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && slices.Contains(leave, entry.Name()) {
			return filepath.SkipDir
		}
		if entry.Type().IsRegular() {
			path, err = filepath.Rel(root, path)
			if err != nil {
				return err
			}
			visit(path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// goFiles returns every Go file of the tree, whatever its build constraints.
func goFiles(t *testing.T) []source {
	t.Helper()
	var files []source
	walk(t, func(path string) {
		if filepath.Ext(path) != ".go" {
			return
		}
		fset := token.NewFileSet()
		syntax, err := parser.ParseFile(fset, filepath.Join(root, path), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Error(err)
			return
		}
		files = append(files, source{path, syntax, fset})
	})
	if len(files) < 2 {
		t.Fatalf("found %d Go files; is this run in the tree?", len(files))
	}
	return files
}

// selectors calls visit with each package.Name (or value.Name) of a file.
func (s source) selectors(visit func(of, name, position string)) {
	ast.Inspect(s.syntax, func(n ast.Node) bool {
		if selector, ok := n.(*ast.SelectorExpr); ok {
			of := ""
			if x, ok := selector.X.(*ast.Ident); ok {
				of = x.Name
			}
			visit(of, selector.Sel.Name, s.position(n))
		}
		return true
	})
}

func (s source) position(n ast.Node) string {
	return strings.TrimPrefix(s.fset.Position(n.Pos()).String(), "../../")
}

// TestNoPresignedURL: bytes pass through the server, since a pre-signed URL outlives a revocation.
func TestNoPresignedURL(t *testing.T) {
	for _, file := range goFiles(t) {
		if file.test() {
			continue
		}
		ast.Inspect(file.syntax, func(n ast.Node) bool {
			if name, ok := n.(*ast.Ident); ok && strings.Contains(strings.ToLower(name.Name), "presign") {
				t.Errorf("%s: %s: no pre-signed URLs, they outlive a revocation", file.position(n), name.Name)
			}
			return true
		})
	}
}

// TestRelayIsPure: the rules read no clock and start no goroutine; callers pass the time. Of package net
// they use what computes.
func TestRelayIsPure(t *testing.T) {
	clock := []string{"Now", "Since", "Until", "After", "AfterFunc", "Sleep", "Tick", "NewTicker", "NewTimer"}
	computes := []string{"SplitHostPort", "JoinHostPort", "ParseIP", "ParseCIDR", "IP", "IPNet", "IPMask"}
	for _, file := range goFiles(t) {
		if file.test() || !strings.HasPrefix(filepath.ToSlash(file.path), "relay/") {
			continue
		}
		file.selectors(func(of, name, position string) {
			if of == "time" && slices.Contains(clock, name) {
				t.Errorf("%s: time.%s: relay reads no clock, pass it now", position, name)
			}
			if of == "net" && !slices.Contains(computes, name) {
				t.Errorf("%s: net.%s: relay has no input or output", position, name)
			}
		})
		ast.Inspect(file.syntax, func(n ast.Node) bool {
			if _, ok := n.(*ast.GoStmt); ok {
				t.Errorf("%s: relay starts no goroutines", file.position(n))
			}
			return true
		})
	}
}

// TestOnlyCommandsReadTheEnvironment: flags, environment and os.Exit belong to package main, so
// that every other package does what its arguments say.
func TestOnlyCommandsReadTheEnvironment(t *testing.T) {
	commands := []string{"Getenv", "LookupEnv", "Environ", "ExpandEnv", "Exit", "Args"}
	// Exempt: helpers of tests; the child that the engine starts, which is a small program of its own; and
	// the folder of models, which every program with an engine looks for in the same places.
	exempt := regexp.MustCompile(`^(test|bench)/|^redact/(confine|engine)\.go$`)
	for _, file := range goFiles(t) {
		if file.test() || file.syntax.Name.Name == "main" || exempt.MatchString(filepath.ToSlash(file.path)) {
			continue
		}
		file.selectors(func(of, name, position string) {
			if of == "os" && slices.Contains(commands, name) {
				t.Errorf("%s: os.%s: only commands read the environment or exit; take it as an argument", position, name)
			}
		})
		for _, spec := range file.syntax.Imports {
			if spec.Path.Value == `"flag"` {
				t.Errorf("%s imports flag, but only commands read flags", file.path)
			}
		}
	}
}

// TestNoRegistryHost: lock files and scripts leave the choice of registry to whoever builds.
func TestNoRegistryHost(t *testing.T) {
	var hosts [][]byte
	for _, host := range []string{"proxy.golang|org", "sum.golang|org", "deb.debian|org", "security.debian|org", "registry.npmjs|org"} {
		hosts = append(hosts, []byte(strings.ReplaceAll(host, "|", ".")))
	}
	walk(t, func(path string) {
		content, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Error(err)
			return
		}
		for _, host := range hosts {
			if at := bytes.Index(content, host); at >= 0 {
				t.Errorf("%s:%d names the registry host %s; leave the registry to the client's configuration (npm: omit-lockfile-registry-resolved)",
					path, 1+bytes.Count(content[:at], []byte("\n")), host)
			}
		}
	})
}
