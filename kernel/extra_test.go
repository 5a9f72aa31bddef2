// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// warnMake is what the fake make does for single objects: it warns of one thing that W=1 asks for, one of a header, and one
// of a file that nobody asked about, which is how scripts' warnings come in.
const warnMake = `case "$what" in *.o*)
	echo "$what" >> ../extra.calls
	if grep -q fail "$tree/kernel/fork.c"; then echo "make: *** [Makefile:1: x] Error 2"; exit 2; fi
	test -e kernel/fork.o && exit 0
	mkdir -p kernel
	echo "  CC      kernel/fork.o"; echo new > kernel/fork.o
	echo "$tree/kernel/fork.c:1:5: warning: $(cat "$tree/kernel/fork.c") [-Wextra]" >&2
	echo "In file included from $tree/kernel/fork.c:3:" >&2
	echo "$tree/include/linux/a.h:7:1: warning: of the header [-Wextra]" >&2
	echo "$tree/scripts/x.c:1: warning: of another file" >&2
	exit 0;;
esac
`

// files lists a folder with what make goes by: names, sizes and times.
func files(t *testing.T, dir string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			fi, err := d.Info()
			if err != nil {
				return err
			}
			all = append(all, p+" "+stampOf(fi).String())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// noSparse takes the host's sparse, where it has one, out of PATH.
func noSparse(t *testing.T) {
	t.Helper()
	dirs := filepath.SplitList(os.Getenv("PATH"))
	for i, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, "sparse")); err != nil {
			continue
		}
		dirs[i] = t.TempDir()
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.Name() == "sparse" {
				continue
			}
			if err := os.Symlink(filepath.Join(dir, e.Name()), filepath.Join(dirs[i], e.Name())); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Setenv("PATH", strings.Join(dirs, string(filepath.ListSeparator)))
}

func TestExtra(t *testing.T) {
	noSparse(t)
	fakeTools(t)
	b, j := fakeBuilder(t)
	j.Files = overlay("fake.sh", warnMake)
	build(t, b, j)
	obj := filepath.Join(b.Store.Dir, "obj", "ppc64-release")
	before := files(t, obj)
	ask := func(files ...string) *Extra {
		t.Helper()
		x, err := b.Extra(t.Context(), j, files)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	x := ask("kernel/fork.c", "Kbuild", "include/linux/a.h", "no/such.c", "kernel/fork.c")
	var got []string
	for _, d := range x.Warnings["kernel/fork.c"] {
		got = append(got, d.String())
	}
	want := []string{"kernel/fork.c:1: warning: int fork; [-Wextra]", "include/linux/a.h:7: warning: of the header [-Wextra]"}
	if !slices.Equal(got, want) || !slices.Equal(x.Files, []string{"kernel/fork.c"}) || len(x.Warnings) != 1 || x.Cached || x.Asked != "W=1" {
		t.Errorf("Extra = %+v with %q, want %q", x, got, want)
	}
	if after := files(t, obj); !slices.Equal(before, after) {
		t.Errorf("the build's folder changed:\n%s\nwas\n%s", strings.Join(after, "\n"), strings.Join(before, "\n"))
	}
	calls := func() string { return readFileT(t, filepath.Join(b.Store.Dir, "obj", "extra.calls")) }
	if calls() != " kernel/fork.o\n" {
		t.Errorf("make was asked for %q", calls())
	}
	// Known.
	if again := ask("kernel/fork.c"); !again.Cached || len(again.Warnings["kernel/fork.c"]) != 2 || calls() != " kernel/fork.o\n" {
		t.Errorf("again: %+v, make was asked for %q", again, calls())
	}
	// Nothing that is C: nothing to do.
	if none := ask("Kbuild"); len(none.Files) != 0 || len(none.Warnings) != 0 {
		t.Errorf("of no C file: %+v", none)
	}
	// The next patch: the object of before is not taken for good.
	j.Files = overlay("fake.sh", warnMake, "kernel/fork.c", "int fork; int more;\n")
	next := ask("kernel/fork.c")
	if n := NewWarnings(x.Warnings["kernel/fork.c"], next.Warnings["kernel/fork.c"]); len(n) != 1 || n[0].Message != "int fork; int more;" {
		t.Errorf("new warnings = %v, want one", n)
	}
	// A make that fails and says nothing: nothing is kept.
	j.Files = overlay("fake.sh", warnMake, "kernel/fork.c", "fail\n")
	if _, err := b.Extra(t.Context(), j, []string{"kernel/fork.c"}); err == nil || !strings.Contains(err.Error(), "-extra.log") {
		t.Errorf("Extra of a make that fails = %v, want an error that names the log", err)
	}
	if list, _ := os.ReadDir(filepath.Join(b.Store.Dir, "cache", "extra")); len(list) != 2 {
		t.Errorf("%d entries in the cache, want 2", len(list))
	}
}

// Sparse is asked too where it is installed; what was said without it is not taken for what it says.
func TestExtraSparse(t *testing.T) {
	noSparse(t)
	dir := fakeTools(t)
	b, j := fakeBuilder(t)
	j.Files = overlay("fake.sh", warnMake)
	for i, want := range []string{"W=1", "W=1 C=1"} {
		x, err := b.Extra(t.Context(), j, []string{"kernel/fork.c"})
		if err != nil || x.Asked != want || x.Cached {
			t.Errorf("Extra = %+v, %v, want %s", x, err, want)
		}
		if i == 0 {
			if err := os.WriteFile(filepath.Join(dir, "sparse"), []byte("#!/bin/sh\n"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
}
