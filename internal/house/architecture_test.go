// SPDX-License-Identifier: Apache-2.0

package house

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// picture reads the table of packages in ARCHITECTURE.md: what each may import of ours, in the form of mayImport. Folders
// that are no Go packages have nothing in that column.
func picture(text string) map[string][]string {
	rows := map[string][]string{}
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		name, ok := strings.CutPrefix(cells[0], "| `")
		if len(cells) != 3 || !ok {
			continue
		}
		name = dots(strings.TrimSuffix(name, "`"))
		switch imports := strings.TrimSpace(strings.TrimSuffix(cells[2], "|")); imports {
		case "":
		case "–":
			rows[name] = nil
		case "all":
			rows[name] = []string{"..."}
		default:
			for _, i := range strings.Split(imports, ", ") {
				rows[name] = append(rows[name], dots(i))
			}
		}
	}
	return rows
}

func dots(pattern string) string {
	if base, ok := strings.CutSuffix(pattern, "/*"); ok {
		return base + "/..."
	}
	return pattern
}

// differences tells where the picture and the rules disagree.
func differences(rows, rules map[string][]string) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(rules)) {
		row, ok := rows[name]
		switch {
		case !ok:
			out = append(out, fmt.Sprintf("ARCHITECTURE.md has no row for %s", name))
		case !slices.Equal(slices.Sorted(slices.Values(row)), slices.Sorted(slices.Values(rules[name]))):
			out = append(out, fmt.Sprintf("ARCHITECTURE.md says that %s imports %q, mayImport %q", name, row, rules[name]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		if _, ok := rules[name]; !ok {
			out = append(out, fmt.Sprintf("ARCHITECTURE.md has %s, which mayImport has not", name))
		}
	}
	return out
}

func TestArchitecture(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(root(t), "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(b), "\n## Packages\n")
	text, _, more := strings.Cut(text, "\n## ")
	if !found || !more {
		t.Fatal("ARCHITECTURE.md has no section Packages")
	}
	for _, d := range differences(picture(text), mayImport) {
		t.Error(d)
	}
}

func TestArchitectureDiffers(t *testing.T) {
	rules := map[string][]string{"a": {}, "a/b/...": {"a", "c/..."}, "d": {"..."}}
	const text = "| folder | purpose | imports of ours |\n|---|---|---|\n| `a` | one | – |\n| `a/b/*` | two | c/*, a |\n| `d` | three | all |\n| `docs` | none | |\n"
	if d := differences(picture(text), rules); len(d) != 0 {
		t.Errorf("of equal ones differ %q", d)
	}
	for was, now := range map[string]string{"| `a` | one | – |": "", "c/*, a": "c/*", "all |": "– |", "| `docs` | none | |": "| `docs` | none | – |"} {
		if d := differences(picture(strings.Replace(text, was, now, 1)), rules); len(d) != 1 {
			t.Errorf("with %q for %q differ %q, want one", now, was, d)
		}
	}
}
