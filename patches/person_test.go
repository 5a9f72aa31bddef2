// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"strings"
	"testing"

	"github.com/seriesrig/series/internal/need"
)

// What parsePerson makes of a From: is what git mailinfo, and with it git am, makes of it, or nothing.
func TestPersonLikeGit(t *testing.T) {
	need.Tool(t, "git")
	for _, tc := range []struct {
		from string
		bad  string // what the error has to say, where this refuses what git takes
	}{
		{from: `Jörg "J" Ö <j@x.y>`},
		{from: `"Jörg \"J\" Ö" <j@x.y>`},
		{from: `=?utf-8?q?J=C3=B6rg_the_first?= <j@x.y>`},
		{from: `Doe, Jane <jane@x.y>`},
		{from: `Jane Doe (at home) <jane@x.y>`},
		{from: `jane@x.y (Jane Doe)`},
		{from: `<jane@x.y>`},
		{from: `J. R. Hacker <jr@x.y>`},
		{from: `O'Neil <o@x.y>`},
		{from: `Jane Doe: the one <o@x.y>`},
		{from: `Jane <j@x.y> Doe`},
		{from: `Jane <j@x.y`},
		{from: `(Jane Doe) <j@x.y>`},
		{from: `"a\\b" <j@x.y>`},
		{from: `"Doe, Jane <x> Jr." <a@example.org>`},
		{from: strings.Repeat("Long Name ", 7) + "<j@x.y>"},
		{from: `Jane Doe j@x.y`},
		{from: `"jane@x.y via list" <l@x.y>`, bad: "git am takes"},
		{from: `Jane @ Home <jane@x.y>`, bad: "is no address"},
		{from: `j@x.y, k@x.y`, bad: "is no address"},
		{from: `Jane "unclosed <j@x.y>`, bad: "not closed"},
		{from: `Jane (unclosed <j@x.y>`, bad: "not closed"},
		{from: `Jane < j@x.y >`, bad: "is no address"},
		{from: `no address`, bad: "is no address"},
		{from: `"ends in \`, bad: "backslash"},
	} {
		got, err := parsePerson(tc.from)
		if tc.bad != "" {
			if err == nil || !strings.Contains(err.Error(), tc.bad) {
				t.Errorf("parsePerson(%q) = %v, %v, want an error with %q", tc.from, got, err, tc.bad)
			}
			continue
		}
		if err != nil {
			t.Errorf("parsePerson(%q): %v", tc.from, err)
			continue
		}
		if want := mailinfo(t, tc.from); got != want {
			t.Errorf("parsePerson(%q) = %q, git mailinfo says %q", tc.from, got, want)
		}
	}
}

func mailinfo(t *testing.T, from string) Person {
	t.Helper()
	dir := t.TempDir()
	text := "From: S <s@x.y>\nDate: Fri, 2 Jan 2026 03:04:05 +0000\nSubject: [PATCH] a: b\nContent-Type: text/plain; charset=UTF-8\n\nFrom: " +
		from + "\n\nbody\n---\ndiff --git a/a b/a\n"
	out, err := tryGit(dir, text, "mailinfo", "msg", "patch")
	if err != nil {
		t.Fatal(err)
	}
	var p Person
	for line := range strings.Lines(out) {
		if v, ok := strings.CutPrefix(line, "Author: "); ok {
			p.Name = strings.TrimSpace(v)
		}
		if v, ok := strings.CutPrefix(line, "Email: "); ok {
			p.Email = strings.TrimSpace(v)
		}
	}
	return p
}
