// SPDX-License-Identifier: Apache-2.0

package mail_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seriesrig/series/patches/mail"
	"github.com/seriesrig/series/results"
)

// gitCover is what git format-patch writes below the place for prose in a cover letter, and the part of each patch mail
// between --- and the diff.
func gitCover(r *repo) (cover string, stats []string) {
	r.t.Helper()
	out := r.t.TempDir()
	r.git("format-patch", "-q", "--cover-letter", "--base=base", "-o", out, "base")
	files, err := filepath.Glob(filepath.Join(out, "*.patch"))
	r.must(err)
	for i, name := range files {
		data, err := os.ReadFile(name)
		r.must(err)
		text := string(data)
		if i == 0 {
			_, text, _ = strings.Cut(text, "*** BLURB HERE ***\n\n")
			cover, _, _ = strings.Cut(text, "-- \n")
			continue
		}
		stats = append(stats, between(r, text))
	}
	return cover, stats
}

func between(r *repo, text string) string {
	r.t.Helper()
	_, rest, ok := strings.Cut("\n"+text, "\n---\n")
	stat, _, ok2 := strings.Cut(rest, "\ndiff --git ")
	if !ok || !ok2 {
		r.t.Fatalf("no diffstat in\n%s", text)
	}
	return stat
}

// checkStats compares shortlog, diffstats and base line with what git writes.
func checkStats(t *testing.T, changes []change) {
	t.Helper()
	r, s := history(t, changes)
	commit := strings.TrimSpace(r.git("rev-parse", "base"))
	th, err := mail.Render(mail.Options{Series: s, ReadBase: r.readBase("base"), Base: results.Base{Commit: commit}})
	if err != nil {
		t.Fatal(err)
	}
	want, stats := gitCover(r)
	got, _, _ := strings.Cut(strings.TrimPrefix(th.Messages[0].Body, s.Cover.Body+"\n"), "-- \n")
	if len(s.Patches) > 1 || s.Cover.Body != "" {
		// git has two empty lines before the base where one does.
		want = strings.Replace(want, "\n\n\nbase-commit", "\n\nbase-commit", 1)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("cover letter (-git +series):\n%s\n%s", d, r.git("log", "--stat", "-M", "-p", "base.."))
		}
	}
	for i, want := range stats {
		if d := cmp.Diff(want, between(r, th.Messages[i+1].Body)); d != "" {
			t.Errorf("patch %d (-git +series):\n%s", i+1, d)
		}
	}
}

func TestStat(t *testing.T) {
	more := map[string][]change{
		"add-then-take-back": {
			{write: map[string]string{"a.c": "1\n2\nnew\n3\n"}, subject: "a"},
			{write: map[string]string{"a.c": "1\n2\n3\n", "z": "z\n"}, subject: "b"},
		},
		"change-then-change-back": {
			{write: map[string]string{"a.c": "1\ntwo\n3\n", "b": "1\n"}, subject: "a"},
			{write: map[string]string{"a.c": "1\n2\n3\n4\n"}, subject: "b"},
		},
		"rewrite-twice": {
			{write: map[string]string{"big.c": numbered("line", 1, 50) + numbered("other", 51, 90) + numbered("line", 91, 200)}, subject: "a"},
			{write: map[string]string{"big.c": numbered("line", 1, 60) + numbered("third", 61, 70) + numbered("line", 71, 205)}, subject: "b"},
		},
		"insert-above-then-below": {
			{write: map[string]string{"big.c": numbered("new", 1, 30) + numbered("line", 1, 200)}, subject: "a"},
			{write: map[string]string{"big.c": numbered("new", 1, 30) + numbered("line", 1, 199) + "last\n"}, subject: "b"},
			{write: map[string]string{"big.c": numbered("line", 1, 199) + "last\n"}, subject: "c"},
		},
		"rename-changed-twice": {
			{rename: [][2]string{{"big.c", "dir/small.c"}}, write: map[string]string{"dir/small.c": "top\n" + numbered("line", 1, 200)}, subject: "a"},
			{write: map[string]string{"dir/small.c": "top\n" + numbered("line", 1, 150)}, subject: "b"},
		},
		"rename-long-lines": {
			{rename: [][2]string{{"rows", "longer"}}, write: map[string]string{"longer": longLines("middle", "end")}, subject: "a"},
			{write: map[string]string{"longer": longLines("middle", "finish")}, subject: "b"},
		},
		"rename-and-back": {
			{rename: [][2]string{{"big.c", "c"}}, subject: "a"},
			{rename: [][2]string{{"c", "big.c"}}, write: map[string]string{"x": "x\n"}, subject: "b"},
		},
		"rename-then-rewrite": {
			{rename: [][2]string{{"big.c", "d/c"}}, subject: "a"},
			{write: map[string]string{"d/c": numbered("all new", 1, 150)}, subject: "b"},
		},
		"delete-here-add-there": {
			{remove: []string{"big.c"}, subject: "a"},
			{write: map[string]string{"moved/big.c": numbered("line", 1, 190)}, subject: "b"},
		},
		"delete-and-again": {
			{remove: []string{"big.c"}, subject: "a"},
			{write: map[string]string{"big.c": numbered("line", 5, 190)}, subject: "b"},
		},
		"new-then-renamed": {
			{write: map[string]string{"n1": numbered("n", 1, 20)}, subject: "a"},
			{rename: [][2]string{{"n1", "sub/n2"}}, subject: "b"},
			{chmod: map[string]os.FileMode{"sub/n2": 0o755, "a.c": 0o755}, subject: "c"},
		},
		"new-then-gone": {
			{write: map[string]string{"n1": numbered("n", 1, 20), "n2": "\n"}, subject: "a"},
			{remove: []string{"n1"}, subject: "b"},
		},
		"mode-and-back": {
			{chmod: map[string]os.FileMode{"a.c": 0o755}, subject: "a"},
			{chmod: map[string]os.FileMode{"a.c": 0o644}, write: map[string]string{"z": "z"}, subject: "b"},
		},
		"rename-with-mode": {
			{rename: [][2]string{{"big.c", "lib/big.c"}}, chmod: map[string]os.FileMode{"lib/big.c": 0o755}, subject: "a"},
			{write: map[string]string{"y": "y\n"}, subject: "b"},
		},
		"wide": {
			{write: map[string]string{strings.Repeat("long/", 20) + "name.c": numbered("x", 1, 500), "a.c": "9\n", "big.c": "", "ünï": "1\n"}, subject: "a"},
			{write: map[string]string{strings.Repeat("x", 90): numbered("x", 1, 12345)}, subject: strings.Repeat("a long subject ", 12) + "end"},
		},
		"one": {
			{write: map[string]string{"a.c": "9\n"}, subject: "alone"},
		},
	}
	for name, c := range cases {
		more["am-"+name] = c
	}
	for name, changes := range more {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkStats(t, changes)
		})
	}
}

// Random histories over a few files: what git counts from the two ends has to come out of the patches alone.
func TestStatRandom(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			checkStats(t, randomHistory(rand.New(rand.NewPCG(seed, 1))))
		})
	}
}

func randomHistory(rnd *rand.Rand) []change {
	files := map[string][]string{"big.c": strings.SplitAfter(strings.TrimSuffix(numbered("line", 1, 200), "\n"), "\n")}
	files["big.c"][len(files["big.c"])-1] += "\n"
	var out []change
	for n := range 2 + rnd.IntN(6) {
		c := change{write: map[string]string{}, subject: fmt.Sprintf("change %d", n)}
		if rnd.IntN(3) == 0 {
			name := fmt.Sprintf("dir%d/file%d.c", rnd.IntN(3), rnd.IntN(3))
			files[name] = append(files[name], fmt.Sprintf("made by %d\n", n))
		}
		for name, lines := range files {
			for range rnd.IntN(4) {
				at := rnd.IntN(len(lines) + 1)
				switch rnd.IntN(3) {
				case 0:
					lines = append(lines[:at:at], append([]string{fmt.Sprintf("new %d %d\n", n, rnd.IntN(1000))}, lines[at:]...)...)
				case 1:
					end := min(len(lines), at+rnd.IntN(5))
					lines = append(lines[:at:at], lines[end:]...)
				case 2:
					if at < len(lines) {
						lines = append([]string(nil), lines...)
						lines[at] = fmt.Sprintf("changed %d %d\n", n, rnd.IntN(1000))
					}
				}
			}
			files[name] = lines
			c.write[name] = strings.Join(lines, "")
		}
		c.write["always"] = fmt.Sprint(n, "\n")
		out = append(out, c)
	}
	return out
}
