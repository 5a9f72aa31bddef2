// SPDX-License-Identifier: Apache-2.0

package maintainers

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seriesrig/series/internal/need"
	"github.com/seriesrig/series/internal/run"
	"github.com/seriesrig/series/patches"
)

// sampled is how many paths of the kernel are compared.
const sampled = 2000

// finder reads the MAINTAINERS and the mailmap of a kernel source.
func finder(t testing.TB, source string) *Finder {
	t.Helper()
	tree, err := patches.Dir(source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tree.Close() })
	f, err := Open(tree)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range f.File.Warnings {
		if w.always {
			t.Errorf("warning: %s", w)
		}
	}
	return f
}

// An answer is what one of the two says: the addresses, and for each its reasons.
type answer map[string]string

func ourAnswer(found []Recipient) answer {
	a := answer{}
	for _, r := range found {
		a[newAddr(r.Address.Name, r.Address.Address).String()] = strings.Join(r.Reasons, "\n")
	}
	return a
}

func theirAnswer(t testing.TB, text string) answer {
	t.Helper()
	a := answer{}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		// A heading may have brackets too.
		who, why, ok := strings.Cut(line, "> (")
		if who += ">"; !ok {
			who, why, ok = strings.Cut(line, " (")
		}
		if !ok || !strings.HasSuffix(why, ")") {
			t.Fatalf("get_maintainer.pl says %q", line)
		}
		if who == "" && strings.HasPrefix(why, "open list:") {
			continue // an L entry with a name before the address, of which the script takes the name; ours is a Warning
		}
		a[who] = strings.TrimSuffix(why, ")")
	}
	return a
}

// compare returns how ours differs from theirs, "" for not at all. Their one reason has to be among ours; what names
// somebody both in a section and in the file they join with a comma.
func compare(ours, theirs answer) string {
	keys := func(a answer) (out []string) {
		for k := range a {
			out = append(out, k)
		}
		slices.Sort(out)
		return out
	}
	if d := cmp.Diff(keys(theirs), keys(ours)); d != "" {
		return "addresses (-get_maintainer.pl +ours):\n" + d
	}
	for who, why := range theirs {
		if !slices.Contains(strings.Split(ours[who], "\n"), strings.TrimSuffix(why, ",in file")) {
			return fmt.Sprintf("%s: get_maintainer.pl says (%s), we say\n%s", who, why, ours[who])
		}
	}
	return ""
}

// perl asks the kernel's script about each of the paths. The seed decides which one of equal sections it takes first.
func perl(t testing.TB, source string, paths []string, seed string) map[string]answer {
	t.Helper()
	driver, err := filepath.Abs("testdata/paths.pl")
	if err != nil {
		t.Fatal(err)
	}
	out, err := run.Cmd{Name: need.Tool(t, "perl"), Args: []string{driver, "scripts/get_maintainer.pl"}, Dir: source,
		Env: run.CleanEnv("PERL_HASH_SEED="+seed, "HOME=/nonexistent"), Stdin: strings.NewReader(strings.Join(paths, "\n") + "\n")}.Output(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]answer{}
	for _, part := range strings.Split("\n"+string(out), "\n== ")[1:] {
		path, text, _ := strings.Cut(part, "\n")
		if text != "" && !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		found[path] = theirAnswer(t, text)
	}
	if len(found) != len(paths) {
		t.Fatalf("get_maintainer.pl answers for %d paths, want %d", len(found), len(paths))
	}
	return found
}

// sample returns paths of the kernel, always the same for the same kernel, and some that it does not have.
func sample(t testing.TB, source string) []string {
	t.Helper()
	var all []string
	err := fs.WalkDir(os.DirFS(source), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10*sampled {
		t.Fatalf("%s has %d files", source, len(all))
	}
	rnd := rand.New(rand.NewPCG(6, 12))
	out := []string{"Makefile", "MAINTAINERS", "kernel/new.c", "drivers/net/ethernet/intel/ice/new/new.c", "no-such-folder/file", "lib/new_kunit.c"}
	seen := map[string]bool{}
	for len(out) < sampled+6 {
		// A third are device-tree bindings, which name people themselves.
		if p := all[rnd.IntN(len(all))]; !seen[p] && (len(out)%3 != 0 || len(out) > sampled/2 || strings.HasSuffix(p, ".yaml")) {
			seen[p] = true
			out = append(out, p)
		}
	}
	return out
}

// Each of 2,000 paths gets the same addresses as from the kernel's own script. Where the script's answer depends on the
// order of its hashes ours has to be one of its answers.
func TestPathsAgainstScript(t *testing.T) {
	source := need.Source(t)
	f := finder(t, source)
	paths := sample(t, source)
	theirs := map[string]answer{}
	half := len(paths) / 2
	second := make(chan map[string]answer, 1)
	go func() { second <- perl(t, source, paths[half:], "0") }()
	for path, a := range perl(t, source, paths[:half], "0") {
		theirs[path] = a
	}
	for path, a := range <-second {
		theirs[path] = a
	}
	differ := map[string]string{}
	people := 0
	for _, path := range paths {
		ours := ourAnswer(f.Paths(path))
		people += len(ours)
		if d := compare(ours, theirs[path]); d != "" {
			differ[path] = d
		}
	}
	first := len(differ)
	for seed := 1; seed <= 12 && len(differ) > 0 && first < sampled/20; seed++ {
		var left []string
		for path := range differ {
			left = append(left, path)
		}
		for path, a := range perl(t, source, left, fmt.Sprint(seed)) {
			if compare(ourAnswer(f.Paths(path)), a) == "" {
				delete(differ, path)
			}
		}
	}
	for path, d := range differ {
		t.Errorf("%s: %s", path, d)
	}
	t.Logf("%d paths, %d addresses; %d paths took another order of the script's hashes", len(paths), people, first)
}

// The series of this repository, each patch for itself, with the script as it is.
func TestSeriesAgainstScript(t *testing.T) {
	source := need.Source(t)
	f := finder(t, source)
	all, err := patches.List("..")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, s := range all {
		for _, p := range s.Patches {
			n++
			againstScript(t, source, f, p)
		}
	}
	if n == 0 {
		t.Fatal("there is no patch")
	}
}

// againstScript compares what a patch gets with what the script says.
func againstScript(t *testing.T, source string, f *Finder, p *patches.Patch) {
	t.Helper()
	file, err := filepath.Abs(p.File)
	if err != nil {
		t.Fatal(err)
	}
	ours := ourAnswer(f.Patch(p))
	last := ""
	for seed := range 6 {
		out, err := run.Cmd{Name: need.Tool(t, "perl"), Args: []string{"scripts/get_maintainer.pl", "--nogit", "--nogit-fallback", file}, Dir: source,
			Env: run.CleanEnv(fmt.Sprintf("PERL_HASH_SEED=%d", seed), "HOME=/nonexistent")}.Output(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if last = compare(ours, theirAnswer(t, string(out))); last == "" {
			return
		}
	}
	t.Errorf("%s: %s", p.File, last)
}

// Patches that show what the script makes of keywords, renames, deleted lines and names.
func TestPatchesAgainstScript(t *testing.T) {
	source := need.Source(t)
	f := finder(t, source)
	dir := t.TempDir()
	for name, lines := range map[string]string{
		"keyword-added":   "+\tstruct bpf_prog *p;\n",
		"keyword-context": " \tstruct bpf_prog *p;\n+x\n",
		"keyword-deleted": "-\tpwm_config(x);\n",
		"first-branch":    "+\tphylink.h\n",
		"second-branch":   " \tstruct phylink x;\n+1\n",
		"case":            "+\tCLONE3 PidFD\n",
		"word":            "+\txbpf_x ebpf bpf\n",
		"class":           "+\t@sifive\n",
		"class-not":       "+\txsifive\n",
		"unicode":         "+\té bpf ünzstd\n",
		"several":         "+\tzstd rust clang landlock macsec\n",
	} {
		for _, message := range []string{"Plain text.", "This is about bpf and CSKY, and mediatek's.\n\nFixes: 0123456789ab (\"riscv: x\")"} {
			text := "From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001\nFrom: A <a@example.org>\n" +
				"Date: Sat, 21 Nov 2026 10:00:00 +0000\nSubject: [PATCH] lib: x\n\n" + message + "\n---\n" +
				"diff --git a/lib/string.c b/lib/string.c\n--- a/lib/string.c\n+++ b/lib/string.c\n@@ -1,1 +1,2 @@ landlock\n" + lines +
				"diff --git a/kernel/fork.c b/net/rust.c\nsimilarity index 90%\nrename from kernel/fork.c\nrename to net/rust.c\n"
			file := filepath.Join(dir, fmt.Sprintf("%s-%d.patch", name, len(message)))
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			againstScript(t, source, f, &patches.Patch{File: file, Raw: []byte(text)})
		}
	}
}

// The comparison notices when somebody is left out or added, or another reason is given.
func TestCompareRejects(t *testing.T) {
	theirs := answer{"A <a@b.c>": "maintainer:X", "l@b.c": "open list"}
	for name, ours := range map[string]answer{
		"less":   {"A <a@b.c>": "maintainer:X"},
		"more":   {"A <a@b.c>": "maintainer:X", "l@b.c": "open list", "m@b.c": "open list"},
		"name":   {"B <a@b.c>": "maintainer:X", "l@b.c": "open list"},
		"reason": {"A <a@b.c>": "maintainer:Y", "l@b.c": "open list"},
	} {
		if compare(ours, theirs) == "" {
			t.Errorf("%s: compare finds no difference", name)
		}
	}
	if d := compare(answer{"A <a@b.c>": "reviewer:Y\nmaintainer:X", "l@b.c": "open list"}, theirs); d != "" {
		t.Error(d)
	}
}

// Recipients of 20 patches with everything that has to be read for them: at most 0.15 s.
func BenchmarkRecipients20(b *testing.B) {
	source := need.Source(b)
	var ps []*patches.Patch
	paths := sample(b, source)
	for n := range 20 {
		var text bytes.Buffer
		fmt.Fprintf(&text, "From: A <a@b.c>\nSubject: [PATCH %d/20] x\n\nWhy.\n---\n", n+1)
		for _, path := range paths[20+n*5 : 25+n*5] {
			fmt.Fprintf(&text, "diff --git a/%s b/%s\n--- a/%s\n+++ b/%s\n@@ -1,100 +1,101 @@\n%s", path, path, path, path, strings.Repeat(" \tif (something_that_is(there))\n+\t\treturn 0;\n", 50))
		}
		ps = append(ps, &patches.Patch{Raw: text.Bytes()})
	}
	tree, err := patches.Dir(source)
	if err != nil {
		b.Fatal(err)
	}
	defer tree.Close()
	for b.Loop() {
		f, err := Open(tree)
		if err != nil {
			b.Fatal(err)
		}
		for _, p := range ps {
			if len(f.Patch(p)) == 0 {
				b.Fatal("nobody")
			}
		}
	}
	if took := b.Elapsed() / time.Duration(b.N); took > 150*time.Millisecond {
		b.Errorf("recipients of 20 patches took %v, want at most 150ms", took)
	}
}
