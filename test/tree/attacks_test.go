package tree

import (
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestAttacksAreThere: every test that docs/attack-tests.md names exists, in the files that it says.
func TestAttacksAreThere(t *testing.T) {
	in := map[string][]string{} // files by test
	for _, file := range goFiles(t) {
		if !file.test() {
			continue
		}
		for _, d := range file.syntax.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") {
				in[f.Name.Name] = append(in[f.Name.Name], filepath.ToSlash(file.path))
			}
		}
	}
	page, err := os.ReadFile(filepath.Join(root, "docs", "attack-tests.md"))
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| `(Test[A-Za-z0-9]+)` \\| ([^|]+) \\|")
	rows := row.FindAllStringSubmatch(string(page), -1)
	if len(rows) < 20 {
		t.Fatalf("the page lists %d tests; is its table written in another way now?", len(rows))
	}
	for _, r := range rows {
		for _, path := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(r[2], -1) {
			if !strings.Contains(strings.Join(in[r[1]], "\n")+"\n", path[1]+"\n") {
				t.Errorf("%s is not in %s, but in %q", r[1], path[1], in[r[1]])
			}
		}
	}
	for _, name := range regexp.MustCompile("`(Test[A-Za-z0-9]+)`").FindAllStringSubmatch(string(page), -1) {
		if len(in[name[1]]) == 0 {
			t.Errorf("there is no %s", name[1])
		}
	}
}
