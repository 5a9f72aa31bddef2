// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seriesrig/series/internal/cache"
	"github.com/seriesrig/series/internal/need"
)

// synthetic writes a series of n patches to a tree into a folder: each adds, drops or changes a line at some places of
// one to four files, on top of the patches before it. The diffs are made here, and not by what is measured. With moved,
// the patches are as if made for a tree whose files have some lines less at their top, so that all hunks have moved.
func synthetic(t testing.TB, tree, dir string, n int, moved bool) {
	t.Helper()
	var names []string
	for _, sub := range []string{"kernel", "mm", "fs/ext4", "net/core", "include/linux"} {
		err := filepath.WalkDir(filepath.Join(tree, sub), func(p string, e fs.DirEntry, err error) error {
			if err == nil && e.Type().IsRegular() && (strings.HasSuffix(p, ".c") || strings.HasSuffix(p, ".h")) {
				rel, _ := filepath.Rel(tree, p)
				names = append(names, rel)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	r := rand.New(rand.NewPCG(6, 12))
	now := map[string][]string{}
	for k := 1; k <= n; k++ {
		var diff strings.Builder
		used := map[string]bool{}
		for range 1 + r.IntN(4) {
			name := names[r.IntN(len(names))]
			if used[name] {
				continue
			}
			used[name] = true
			if now[name] == nil {
				b, err := os.ReadFile(filepath.Join(tree, name))
				if err != nil {
					t.Fatal(err)
				}
				now[name] = strings.SplitAfter(strings.TrimSuffix(string(b), "\n")+"\n", "\n")
				now[name] = now[name][:len(now[name])-1]
			}
			d, after := change(r, name, now[name], k, moved)
			diff.WriteString(d)
			now[name] = after
		}
		if diff.Len() == 0 {
			k--
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%04d-synthetic.patch", k)), []byte(mbox(fmt.Sprintf("synthetic: patch %d", k), diff.String())), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	toml := "id = %q\ntitle = \"synthetic\"\nrevision = 1\nbase = \"dir:.\"\narches = [\"amd64\"]\n"
	if err := os.WriteFile(filepath.Join(dir, "series.toml"), fmt.Appendf(nil, toml, filepath.Base(dir)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// change changes a file at one to three places and returns the diff.
func change(r *rand.Rand, name string, lines []string, k int, moved bool) (string, []string) {
	var diff strings.Builder
	var after []string
	last, delta, shift := 0, 0, 0
	if moved {
		shift = -2
	}
	for h := range 3 {
		at := last + 8 + r.IntN(max(1, len(lines)/3))
		if at+8 > len(lines) {
			break
		}
		what := r.IntN(3)
		var old, fresh []string
		if what > 0 {
			old = lines[at : at+1]
		}
		if what < 2 {
			fresh = []string{fmt.Sprintf("/* synthetic %d.%d of %s */\n", k, h, name)}
		}
		if diff.Len() == 0 {
			fmt.Fprintf(&diff, "diff --git a/%[1]s b/%[1]s\nindex 1234567..89abcde 100644\n--- a/%[1]s\n+++ b/%[1]s\n", name)
		}
		end := at + len(old)
		start := at - 3 + 1 + shift
		fmt.Fprintf(&diff, "@@ -%d,%d +%d,%d @@\n", start, 6+len(old), start+delta, 6+len(fresh))
		for _, l := range lines[at-3 : at] {
			diff.WriteString(" " + l)
		}
		for _, l := range old {
			diff.WriteString("-" + l)
		}
		for _, l := range fresh {
			diff.WriteString("+" + l)
		}
		for _, l := range lines[end : end+3] {
			diff.WriteString(" " + l)
		}
		after = append(append(after, lines[last:at]...), fresh...)
		delta += len(fresh) - len(old)
		last = end
		if last+16 > len(lines) {
			break
		}
	}
	return diff.String(), append(after, lines[last:]...)
}

// BenchmarkApply100 loads a series of 100 patches and applies it to the kernel source, reading included.
func BenchmarkApply100(b *testing.B) {
	tree := need.Source(b)
	for name, moved := range map[string]bool{"exact": false, "moved": true} {
		b.Run(name, func(b *testing.B) {
			dir := filepath.Join(b.TempDir(), "synthetic")
			if err := os.Mkdir(dir, 0o755); err != nil {
				b.Fatal(err)
			}
			synthetic(b, tree, dir, 100, moved)
			files, hunks := 0, 0
			for b.Loop() {
				s, err := Load(dir)
				if err != nil {
					b.Fatal(err)
				}
				src, err := Dir(tree)
				if err != nil {
					b.Fatal(err)
				}
				res, err := Apply(src, s.Patches)
				src.Close()
				if err != nil {
					b.Fatalf("%+v", err)
				}
				files, hunks = len(res.Files(len(s.Patches))), 0
				for _, p := range res.Patches {
					hunks += len(p.Hunks)
				}
			}
			b.ReportMetric(float64(files), "files")
			b.ReportMetric(float64(hunks), "hunks")
		})
	}
}

// BenchmarkImportDir makes a commit of the whole kernel source.
func BenchmarkImportDir(b *testing.B) {
	tree := need.Source(b)
	for b.Loop() {
		c, err := cache.Open(filepath.Join(b.TempDir(), "cache"))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := ImportDir(context.Background(), c, tree, "bench", "bench"); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		os.RemoveAll(c.Dir)
		b.StartTimer()
	}
}

// BenchmarkWriteBranch100 makes a branch of 100 patches on the kernel source.
func BenchmarkWriteBranch100(b *testing.B) {
	tree := need.Source(b)
	ctx := context.Background()
	c, err := cache.Open(filepath.Join(b.TempDir(), "cache"))
	if err != nil {
		b.Fatal(err)
	}
	base, err := ImportDir(ctx, c, tree, "bench", "bench")
	if err != nil {
		b.Fatal(err)
	}
	dir := filepath.Join(b.TempDir(), "synthetic")
	if err := os.Mkdir(dir, 0o755); err != nil {
		b.Fatal(err)
	}
	synthetic(b, tree, dir, 100, false)
	s, err := Load(dir)
	if err != nil {
		b.Fatal(err)
	}
	out := filepath.Join(b.TempDir(), "out.git")
	for b.Loop() {
		src, err := GitSource(ctx, base, s.Patches)
		if err != nil {
			b.Fatal(err)
		}
		res, err := Apply(src, s.Patches)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := WriteBranch(ctx, Branch{Base: base, Repo: out, Name: "series/synthetic"}, s.Patches, res); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := os.RemoveAll(out); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
