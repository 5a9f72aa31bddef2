// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// randomLines makes a file's lines of a small vocabulary, so that hunks are often ambiguous.
func randomLines(r *rand.Rand, n, words int) []string {
	lines := make([]string, n)
	for i := range lines {
		lines[i] = fmt.Sprintf("line %d\n", r.IntN(words))
		switch r.IntN(8) {
		case 0:
			lines[i] = "\n"
		case 1:
			lines[i] = "}\n"
		}
	}
	return lines
}

// edit changes some places of a file.
func edit(r *rand.Rand, lines []string, times int) []string {
	out := append([]string(nil), lines...)
	for range times {
		at := r.IntN(len(out) + 1)
		switch n := r.IntN(4); {
		case n < 2 || at == len(out):
			add := randomLines(r, 1+r.IntN(3), 1000)
			out = append(out[:at], append(add, out[at:]...)...)
		case n == 2:
			out = append(out[:at], out[min(at+1+r.IntN(3), len(out)):]...)
		default:
			out[at] = fmt.Sprintf("changed %d\n", r.IntN(1000))
		}
	}
	return out
}

// lookTwice is edit for the base that the patch meets: it adds and drops lines and repeats stretches of the file, which
// makes places look alike.
func lookTwice(r *rand.Rand, lines []string) []string {
	out := edit(r, lines, r.IntN(2))
	if r.IntN(4) == 0 {
		return append(append(randomLines(r, r.IntN(5), 1000), out...), lines...)
	}
	if r.IntN(2) == 0 && len(out) > 12 {
		from := r.IntN(len(out) - 10)
		part := append([]string(nil), out[from:from+10]...)
		at := r.IntN(len(out) + 1)
		out = append(out[:at], append(part, out[at:]...)...)
	}
	return out
}

func fileOf(r *rand.Rand, lines []string) *File {
	s := strings.Join(lines, "")
	if r.IntN(6) == 0 {
		s = strings.TrimSuffix(s, "\n")
	}
	return text1(s)
}

// TestAgainstGitApply makes random files and edits, has git make the patch, moves the lines under it, and applies it here
// and with git apply. What is accepted here must be what git makes of it; what fits at all, and at one place only, must
// not be refused.
func TestAgainstGitApply(t *testing.T) {
	seeds := 300
	if testing.Short() {
		seeds = 40
	}
	accepted, moved, refused, ambiguous := 0, 0, 0, 0
	dir := t.TempDir()
	for seed := range seeds {
		r := rand.New(rand.NewPCG(uint64(seed), 1))
		words := []int{3, 8, 1000}[seed%3]
		old := randomLines(r, 5+r.IntN(80), words)
		before, fresh := fileOf(r, old), fileOf(r, edit(r, old, 1+r.IntN(5)))
		diff := gitDiff(t, dir, before, fresh)
		if diff == "" {
			continue
		}
		ps := []*Patch{parse(t, mbox("random", diff))}
		if seed%5 == 0 { // a second patch on top
			again := text1(strings.Join(edit(r, strings.SplitAfter(string(fresh.Data), "\n"), 1+r.IntN(3)), ""))
			if more := gitDiff(t, dir, fresh, again); more != "" {
				ps = append(ps, parse(t, mbox("random too", more)))
				diff += more
			}
		}
		base := Map{"f": fileOf(r, old)}
		if seed%4 > 0 {
			base["f"] = fileOf(r, lookTwice(r, old))
		}
		want, ok, said := gitApply(t, base, ps...)
		res, err := Apply(base, ps)
		if err != nil {
			refused++
			e, isApply := err.(*ApplyError)
			if !isApply {
				t.Fatalf("seed %d: Apply: %T %v, want *ApplyError", seed, err, err)
			}
			if len(e.Places) > 1 {
				ambiguous++
			}
			// git accepts what is refused here only where it had a choice, or where a line without a newline is context:
			// for that it takes one with a newline, too.
			if ok && len(e.Places) == 0 && !strings.Contains(diff, "No newline") {
				t.Errorf("seed %d: Apply refuses what git apply takes: %v\n%s", seed, err, said)
			}
			continue
		}
		accepted++
		if len(res.Moved()) > 0 {
			moved++
		}
		if !ok {
			t.Errorf("seed %d: Apply accepts what git apply refuses: %s\n%s", seed, said, diff)
			continue
		}
		if d := cmp.Diff(treeText(want), treeText(after(base, res, len(ps)))); d != "" {
			t.Errorf("seed %d: not what git apply makes (-git +ours)\n%s\npatch:\n%s\nbase:\n%s\n%s", seed, d, diff, base["f"].Data, said)
		}
	}
	t.Logf("%d accepted (%d with moved hunks), %d refused (%d of them ambiguous)", accepted, moved, refused, ambiguous)
	for name, n := range map[string]int{"accepted": accepted, "moved": moved, "refused": refused, "ambiguous": ambiguous} {
		if n < seeds/50 {
			t.Errorf("%d %s of %d seeds: the test no longer meets them", n, name, seeds)
		}
	}
}

// gitDiff has git make the diff of a file called f.
func gitDiff(t *testing.T, dir string, before, after *File) string {
	t.Helper()
	for name, f := range map[string]*File{"a": before, "b": after} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "f"), f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, err := tryGit(dir, "", "diff", "--no-index", "--no-prefix", "a/f", "b/f")
	if err != nil && !strings.HasPrefix(out, "diff --git a/f b/f\n") {
		t.Fatalf("git diff: %v\n%s", err, out)
	}
	return out
}
