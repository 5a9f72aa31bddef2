// SPDX-License-Identifier: Apache-2.0

package house

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var ownSkip = regexp.MustCompile(`\b[a-z]+\.Skip(f|Now)?\(`)

// skips returns the lines of a test that skip it past internal/need.
func skips(path, text string) []string {
	if !strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, "internal/need/") || strings.Contains(path, "/testdata/") {
		return nil
	}
	return ownSkip.FindAllString(text, -1)
}

// A test says what it needs to internal/need, which fails where nothing may be missing. Those of the guests do, too.
func TestSkipsGoThroughNeed(t *testing.T) {
	for _, path := range tracked(t) {
		b, err := os.ReadFile(filepath.Join(root(t), path))
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range skips(path, string(b)) {
			t.Errorf("%s: %s…: a test skips through internal/need", path, s)
		}
	}
	const text = "\tb.Skip" + "(\"no such event\")\n"
	for path, want := range map[string]int{"vmtest/x_test.go": 1, "vmtest/guesttests/a/bench_test.go": 1, "vmtest/x.go": 0, "internal/need/need_test.go": 0, "vmtest/testdata/a/a_test.go": 0} {
		if got := skips(path, text); len(got) != want {
			t.Errorf("%s: %q, want %d", path, got, want)
		}
	}
}
