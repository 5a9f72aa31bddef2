// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/bluekeyes/go-gitdiff/gitdiff"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

// goldenPatches calls f with every patch of the golden files, and with the files of its base.
func goldenPatches(tb testing.TB, f func(patch []byte, base map[string]string)) {
	names, err := filepath.Glob("testdata/apply/*.txtar")
	if err != nil || len(names) == 0 {
		tb.Fatalf("no golden files: %v", err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			tb.Fatal(err)
		}
		base := map[string]string{}
		for _, file := range txtar.Parse(b).Files {
			if tag, name, ok := strings.Cut(file.Name, " "); ok && strings.HasPrefix(tag, "src") {
				base[name] = string(file.Data)
			}
			if strings.HasSuffix(file.Name, ".patch") {
				f(file.Data, base)
			}
		}
	}
}

// oneLine checks an error of foreign input: it has its type, and fits in a line.
func oneLine(t *testing.T, err error) {
	t.Helper()
	var in *InputError
	if !errors.As(err, &in) {
		t.Errorf("error is %T %v, want an *InputError", err, err)
	}
	if strings.ContainsAny(err.Error(), "\n\r\x00") {
		t.Errorf("error has more than one line: %q", err)
	}
}

func FuzzLoadPatch(f *testing.F) {
	f.Add([]byte(fullPatch))
	f.Add([]byte(mbox("words", goodDiff)))
	goldenPatches(f, func(p []byte, _ map[string]string) { f.Add(p) })
	for _, tc := range badPatches {
		f.Add([]byte(strings.Replace(mbox("words", goodDiff), tc.old, tc.new, 1)))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := ParsePatch("x.patch", raw)
		if err != nil {
			oneLine(t, err)
			return
		}
		if p.Subject == "" || p.Author.Email == "" || p.Date.IsZero() || len(p.Diff) == 0 {
			t.Errorf("patch without a part: %+v", p)
		}
		if strings.ContainsFunc(p.Subject+p.Author.Name+p.Author.Email, unicode.IsControl) {
			t.Errorf("control character in %q or %v", p.Subject, p.Author)
		}
		for _, name := range p.Paths() {
			if clean := filepath.Clean(name); clean != name || filepath.IsAbs(name) || !filepath.IsLocal(name) {
				t.Errorf("path %q passes", name)
			}
		}
		// Formatted and parsed again, the diff is the same.
		var b strings.Builder
		for _, d := range p.Diff {
			b.WriteString(d.String())
		}
		again, _, err := gitdiff.Parse(strings.NewReader(b.String()))
		if err != nil {
			t.Fatalf("formatted, the diff no longer parses: %v\n%s", err, b.String())
		}
		if d := cmp.Diff(p.Diff, again); d != "" {
			t.Errorf("formatted and parsed again (-before +after)\n%s\n%s", d, b.String())
		}
	})
}

func FuzzSeriesTOML(f *testing.F) {
	f.Add(goodTOML)
	for _, tc := range bad {
		if tc.file == tomlName {
			f.Add(strings.Replace(goodTOML, tc.old, tc.new, 1))
		}
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := parseTOML("series.toml", []byte(s))
		if err != nil {
			oneLine(t, err)
			return
		}
		series, err := Loader{}.check(d, "trial")
		if err == nil {
			series.Patches = make([]*Patch, 2)
			err = d.checkNumbers(series)
		}
		if err != nil {
			oneLine(t, err)
			return
		}
		if series.ID != "trial" || series.Revision < 1 || series.Base == "" || len(series.Arches) == 0 {
			t.Errorf("series without a part: %+v", series)
		}
	})
}

func FuzzCover(f *testing.F) {
	f.Add(goodCover)
	f.Fuzz(func(t *testing.T, s string) {
		c, err := parseCover("cover.md", []byte(s), "title")
		if err != nil {
			oneLine(t, err)
			return
		}
		n, parts := 0, 0
		if _, err := c.Fill(func(name string) (string, error) {
			if n >= len(c.Tables) || c.Tables[n] != name {
				t.Errorf("Fill asks for %q, tables are %q", name, c.Tables)
			}
			n++
			return "", nil
		}, func(string) string { parts++; return "" }); err != nil || n != len(c.Tables) || parts != len(c.Parts) {
			t.Errorf("Fill = %v after %d of %q and %d of %q", err, n, c.Tables, parts, c.Parts)
		}
		if got, err := (Cover{Body: EscapePlaces(s)}).Fill(nil, nil); got != s || err != nil {
			t.Errorf("Fill(EscapePlaces(%q)) = %q, %v", s, got, err)
		}
	})
}

// FuzzApply applies a diff of one file and checks what is accepted against a second, simple way of doing it: at the lines
// that were reported, old lines are there, and new ones take their place.
func FuzzApply(f *testing.F) {
	goldenPatches(f, func(p []byte, base map[string]string) {
		_, diff, ok := strings.Cut(string(p), "\n\ndiff --git ")
		if !ok {
			return
		}
		for _, text := range base {
			f.Add(text, "diff --git "+diff)
		}
	})
	f.Fuzz(func(t *testing.T, base, diff string) {
		p, err := ParsePatch("x.patch", []byte(mbox("fuzz", diff)))
		if err != nil {
			return
		}
		src := Map{}
		for _, d := range p.Diff {
			if !d.IsNew {
				src[d.OldName] = text1(base)
			}
		}
		res, err := Apply(src, []*Patch{p})
		if err != nil {
			var e *ApplyError
			if !errors.As(err, &e) || strings.ContainsAny(e.Error(), "\n") {
				t.Errorf("Apply: %T %v, want an *ApplyError of one line", err, err)
			} else if e.Detail(); e.Already && len(e.Places) > 0 {
				t.Errorf("both applied already and ambiguous: %v", e)
			}
			return
		}
		hunks := res.Patches[0].Hunks
		for _, d := range p.Diff {
			old := base
			if d.IsNew {
				old = ""
			}
			want := splice(t, splitLines([]byte(old)), d.TextFragments, hunks)
			hunks = hunks[len(d.TextFragments):]
			got := res.Patches[0].Changed[d.NewName]
			switch {
			case d.IsDelete && want == "":
			case got == nil:
				t.Errorf("%s is gone", d.NewName)
			case string(got.Data) != want:
				t.Errorf("%s is\n%s\nwant\n%s", d.NewName, got.Data, want)
			}
		}
	})
}

// splice puts the new lines of hunks in the place of their old ones.
func splice(t *testing.T, lines [][]byte, frags []*gitdiff.TextFragment, hunks []Hunk) string {
	t.Helper()
	var b strings.Builder
	next := 0
	for k, frag := range frags {
		at := hunks[k].Line - 1
		if at < next || at > len(lines) {
			t.Fatalf("hunk %d goes to line %d, after %d of %d", k+1, at+1, next, len(lines))
		}
		for ; next < at; next++ {
			b.Write(lines[next])
		}
		for _, l := range frag.Lines {
			if l.Old() {
				if next >= len(lines) || string(lines[next]) != l.Line {
					t.Fatalf("hunk %d was put where line %d is not as it says", k+1, next+1)
				}
				next++
			}
			if l.New() {
				b.WriteString(l.Line)
			}
		}
	}
	for ; next < len(lines); next++ {
		b.Write(lines[next])
	}
	return b.String()
}
