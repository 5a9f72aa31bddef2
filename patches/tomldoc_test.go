// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tomlKeys are the keys of series.toml, and whether each has to be there: "mail.to".
func tomlKeys(t reflect.Type, table string) map[string]bool {
	keys := map[string]bool{}
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get("toml")
		inner := f.Type
		if inner.Kind() == reflect.Slice {
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Struct {
			for k, need := range tomlKeys(inner, name+".") {
				keys[k] = need
			}
			continue
		}
		_, need := f.Tag.Lookup("need")
		keys[table+name] = need
	}
	return keys
}

// documented are the keys that a page has rows for, below the headings of their tables.
func documented(page string) map[string]bool {
	keys, table := map[string]bool{}, ""
	heading, row := regexp.MustCompile(`^## \[+([a-z]+)\]+$`), regexp.MustCompile("^\\| `([a-z-]+)` \\| (yes )?\\|")
	for line := range strings.Lines(page) {
		line = strings.TrimSpace(line)
		if m := heading.FindStringSubmatch(line); m != nil {
			table = m[1] + "."
		}
		if m := row.FindStringSubmatch(line); m != nil {
			keys[table+m[1]] = m[2] != ""
		}
	}
	return keys
}

func TestTOMLDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/series-toml.md")
	if err != nil {
		t.Fatal(err)
	}
	want := tomlKeys(reflect.TypeFor[seriesTOML](), "")
	if d := cmp.Diff(want, documented(string(page))); d != "" {
		t.Errorf("docs/series-toml.md (-what series.toml may have, and has to +what the page says)\n%s", d)
	}
	for was, now := range map[string]string{"| `id` | yes |": "| `id` | |", "| `cc` |": "| `copy` |", "## [mail]": "## [post]"} {
		if cmp.Equal(want, documented(strings.Replace(string(page), was, now, 1))) {
			t.Errorf("a page with %q for %q passes", now, was)
		}
	}
}
