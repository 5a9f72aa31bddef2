// SPDX-License-Identifier: Apache-2.0

package house

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// mixed returns the lines of a Go file where a group of imports goes on with one of another kind: the standard library, others,
// ours.
func mixed(name string, src []byte) (lines []int, err error) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, name, src, parser.ImportsOnly)
	if err != nil {
		return nil, err
	}
	last, kind := 0, ""
	for _, i := range f.Imports {
		path, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			return nil, err
		}
		k, line := kindOf(path), fset.Position(i.Pos()).Line
		if line == last+1 && k != kind {
			lines = append(lines, line)
		}
		last, kind = line, k
	}
	return lines, nil
}

func kindOf(path string) string {
	first, _, _ := strings.Cut(path, "/")
	switch {
	case strings.HasPrefix(path, module+"/"):
		return "ours"
	case strings.Contains(first, "."):
		return "others"
	}
	return "standard"
}

func TestImportGroups(t *testing.T) {
	n := 0
	for _, path := range tracked(t) {
		// A guest test that changes in any way has all that is known of its series' kernels learned again.
		if filepath.Ext(path) != ".go" || strings.HasPrefix(path, "vmtest/guesttests/") {
			continue
		}
		src, err := os.ReadFile(filepath.Join(root(t), path))
		if os.IsNotExist(err) {
			continue // deleted, and not yet committed
		}
		if err != nil {
			t.Fatal(err)
		}
		n++
		lines, err := mixed(path, src)
		if err != nil {
			t.Error(err)
		}
		for _, line := range lines {
			t.Errorf("%s:%d: imports of the standard library, of others and of ours are three groups", path, line)
		}
	}
	if n < 100 {
		t.Fatalf("%d Go files, want 100 at least", n)
	}
}

func TestImportGroupsRejects(t *testing.T) {
	const src = "package a\n\nimport (\n\t\"os\"\n\n\t\"golang.org/x/sys/unix\"\n\n\t\"github.com/seriesrig/series/patches\"\n)\n"
	for text, want := range map[string]int{src: 0, strings.Replace(src, "\n\n\t\"golang", "\n\t\"golang", 1): 1, strings.ReplaceAll(src, "\n\n\t", "\n\t"): 2} {
		if lines, err := mixed("a.go", []byte(text)); err != nil || len(lines) != want {
			t.Errorf("mixed = %v, %v, want %d lines of\n%s", lines, err, want, text)
		}
	}
}
