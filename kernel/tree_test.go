// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func openTree(t testing.TB, s *Store, src *Source) *Tree {
	t.Helper()
	tree, err := s.Tree(t.Context(), src, "t")
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func set(t testing.TB, tree *Tree, changes ...string) []string {
	t.Helper()
	got, err := tree.Set(t.Context(), overlay(changes...))
	if err != nil {
		t.Fatalf("Set(%q) = %v", changes, err)
	}
	return got
}

// steps are states of a tree, one after the other, with the files that get there rewrites.
var steps = []struct {
	changes   []string
	rewritten []string
}{
	{nil, nil},
	{[]string{"init/main.c", "int new;\n"}, []string{"init/main.c"}},
	{[]string{"init/main.c", "int new;\n"}, nil},
	{[]string{"init/main.c", "int new;\n", "kernel/fork.c", "-", "drivers/a/b/c.c", "c"}, []string{"drivers/a/b/c.c", "kernel/fork.c"}},
	{[]string{"init/main.c*", "int new;\n", "kernel/audit/audit.c", "-", "drivers/a/b/c.c", "c"}, []string{"init/main.c", "kernel/audit/audit.c", "kernel/fork.c"}},
	{[]string{"kernel/fork.c", "-", "kernel/audit/audit.c", "-", "kernel", "a file"}, []string{"drivers/a/b/c.c", "init/main.c", "kernel", "kernel/fork.c"}},
	{[]string{"Makefile/x", "y", "Makefile", "-"}, []string{"Makefile", "Makefile/x", "kernel", "kernel/audit/audit.c", "kernel/fork.c"}},
	{[]string{"scripts/dtc/arm", "->../../kernel", "scripts/run.sh", "-"}, []string{"Makefile", "Makefile/x", "scripts/dtc/arm", "scripts/run.sh"}},
	{[]string{"scripts/dtc/arm", "-", "scripts/dtc/arm/x.c", "x"}, []string{"scripts/dtc/arm", "scripts/dtc/arm/x.c", "scripts/run.sh"}},
	{[]string{"init/main.c", "int main;\n"}, []string{"scripts/dtc/arm", "scripts/dtc/arm/x.c"}},
	{nil, nil},
}

// apply is what a tree must have: the fake kernel with changes.
func apply(changes []string) map[string]string {
	files := maps.Clone(fakeKernel)
	for i := 0; i < len(changes); i += 2 {
		name := strings.TrimSuffix(changes[i], "*")
		delete(files, name)
		delete(files, name+"*")
		if changes[i+1] != "-" {
			files[changes[i]] = changes[i+1]
		}
	}
	return files
}

func TestTreeSet(t *testing.T) {
	s := makeStore(t)
	src := fakeSource(t, s, fakeKernel)
	tree := openTree(t, s, src)
	for i, step := range steps {
		before := time.Now().Add(-20 * time.Millisecond)
		got := set(t, tree, step.changes...)
		if d := cmp.Diff(step.rewritten, got); d != "" {
			t.Errorf("step %d: rewritten: -want +got\n%s", i, d)
		}
		checkContent(t, tree.Dir, apply(step.changes))
		for _, name := range got {
			if fi, err := os.Lstat(filepath.Join(tree.Dir, name)); err == nil && !fi.IsDir() && fi.ModTime().Before(before) {
				t.Errorf("step %d: %s has the time of %v, want a fresh one", i, name, fi.ModTime())
			}
		}
		if i%3 == 2 { // and with a new handle
			tree.Close()
			tree = openTree(t, s, src)
		}
	}
	tree.Close()
	// The source is what it was, and the tree shares its files.
	checkContent(t, src.Dir, fakeKernel)
	a, _ := os.Stat(filepath.Join(src.Dir, "include/linux/a.h"))
	b, _ := os.Stat(filepath.Join(tree.Dir, "include/linux/a.h"))
	if !os.SameFile(a, b) {
		t.Error("an untouched file is not shared with the source")
	}
}

func TestTreeRefuses(t *testing.T) {
	s := makeStore(t)
	tree := openTree(t, s, fakeSource(t, s, fakeKernel))
	defer tree.Close()
	for _, changes := range [][]string{
		{"../x", "y"}, {"/etc/x", "y"}, {"a/../../x", "y"}, {"", "y"}, {".", "y"}, {"a//b", "y"}, {".git/hooks/x", "y"},
		{"scripts/dtc/arm/x.c", "through a link"}, {"Makefile/x", "through a file"}, {"init", "a folder"},
		{"new", "->../../x"}, {"new", "->/etc"}, {"a", "x", "a/b", "y"},
	} {
		if _, err := tree.Set(t.Context(), overlay(changes...)); err == nil {
			t.Errorf("Set(%q) = nil, want an error", changes)
		}
		checkContent(t, tree.Dir, fakeKernel)
	}
	// Deleting through a link deletes nothing.
	set(t, tree, "scripts/dtc/arm/main.c", "-")
	checkContent(t, tree.Dir, fakeKernel)
	if _, err := s.Tree(t.Context(), nil, "../x"); err == nil {
		t.Error(`Tree("../x") = nil, want an error`)
	}
}

func TestTreeEdits(t *testing.T) {
	s := makeStore(t)
	src := fakeSource(t, s, fakeKernel)
	tree := openTree(t, s, src)
	defer tree.Close()
	changes := []string{"init/main.c", "int new;\n", "kernel/fork.c", "-"}
	want := apply(changes)
	set(t, tree, changes...)
	// Somebody edits a file that was set, in place and by replacing it; puts back one that was deleted.
	for _, script := range []string{
		"chmod u+w init/main.c && echo edited > init/main.c",
		"rm -f init/main.c && echo edited > init/main.c",
		"rm -f init/main.c", "echo back > kernel/fork.c",
		"rm -f init/main.c && ln -s ../Makefile init/main.c", "rm -f init/main.c && mkdir -p init/main.c/x",
	} {
		sh(t, tree.Dir, script)
		if got := set(t, tree, changes...); len(got) != 1 {
			t.Errorf("after %q: rewritten %q, want one", script, got)
		}
		checkContent(t, tree.Dir, want)
	}
	// Edits of files that were never set are found by Verify only, and mended by the next Set.
	sh(t, tree.Dir, "rm -f include/linux/a.h Kbuild && echo x > include/linux/a.h && echo stray > stray.c && ln -sfn ../x scripts/dtc/arm")
	diffs, err := tree.Verify(t.Context(), overlay(changes...))
	if err != nil {
		t.Fatal(err)
	}
	wantDiffs := []Difference{{"Kbuild", "missing"}, {"include/linux/a.h", "changed"}, {"scripts/dtc/arm", "changed"}, {"stray.c", "unexpected"}}
	if d := cmp.Diff(wantDiffs, diffs); d != "" {
		t.Errorf("Verify: -want +got\n%s", d)
	}
	set(t, tree, changes...)
	checkContent(t, tree.Dir, want)
	if diffs, err := tree.Verify(t.Context(), overlay(changes...)); err != nil || len(diffs) > 0 {
		t.Errorf("Verify = %v, %v, want nothing", diffs, err)
	}
	// An edit in place of a shared file damages the source too: that is said, and not copied.
	sh(t, tree.Dir, "chmod u+w Kconfig && echo damaged > Kconfig")
	if _, err := tree.Verify(t.Context(), overlay(changes...)); err != nil {
		t.Fatal(err)
	}
	if _, err := tree.Set(t.Context(), overlay(changes...)); err == nil || !strings.Contains(err.Error(), "Kconfig in "+src.Dir+" is not what was unpacked there") {
		t.Errorf("Set = %v, want that the source was damaged", err)
	}
}

func TestTreeMoves(t *testing.T) {
	s := makeStore(t)
	many := map[string]string{}
	for i := range 40 {
		many[fmt.Sprintf("lib/f%d.c", i)] = "x"
	}
	a := maps.Clone(fakeKernel)
	maps.Copy(a, many)
	b := with(a, "init/main.c", "int b;\n", "kernel/fork.c", "-", "lib/new.c", "n")
	c := fakeKernel // too different
	sa, sb, sc := fakeSource(t, s, a), fakeSource(t, s, b), fakeSource(t, s, c)
	tree := openTree(t, s, sa)
	set(t, tree, "lib/f1.c", "y")
	id := tree.state.ID
	tree.Close()

	before := time.Now().Add(-20 * time.Millisecond)
	tree = openTree(t, s, sb)
	if got, want := set(t, tree, "lib/f2.c", "y"), []string{"init/main.c", "kernel/fork.c", "lib/f1.c", "lib/f2.c", "lib/new.c"}; !slices.Equal(got, want) {
		t.Errorf("rewritten %q, want %q", got, want)
	}
	checkContent(t, tree.Dir, with(b, "lib/f2.c", "y"))
	if fi, _ := os.Stat(filepath.Join(tree.Dir, "init/main.c")); fi.ModTime().Before(before) {
		t.Error("a file of the new base has an old time")
	}
	if tree.state.ID != id {
		t.Error("a tree that was moved has another id")
	}
	tree.Close()

	tree = openTree(t, s, sc)
	set(t, tree)
	checkContent(t, tree.Dir, c)
	if tree.state.ID == id {
		t.Error("a tree that was made anew has the same id, so that old object files would be believed")
	}
	tree.Close()
	// Without the old base's manifest nothing is known.
	if err := os.Remove(sc.Dir + ".manifest"); err != nil {
		t.Fatal(err)
	}
	tree = openTree(t, s, sa)
	defer tree.Close()
	set(t, tree)
	checkContent(t, tree.Dir, a)
}

// A process that is killed while it makes a tree anew must not leave the new files under the old id: they are older than
// the objects that were made from the files before them.
func TestTreeRepopulateCrash(t *testing.T) {
	s := makeStore(t)
	many := maps.Clone(fakeKernel)
	for i := range 40 {
		many[fmt.Sprintf("lib/f%d.c", i)] = "x"
	}
	from, to := fakeSource(t, s, many), fakeSource(t, s, fakeKernel)
	for at := 0; at < 6; at++ {
		tree := openTree(t, s, from)
		set(t, tree)
		id := tree.state.ID
		tree.Close()
		tree = openTree(t, s, to)
		n := 0
		tree.step = func() {
			if n++; n > at {
				panic(crash{})
			}
		}
		func() {
			defer func() { recover(); tree.Close() }()
			tree.Set(t.Context(), nil)
		}()
		// Back on the first source, the old journal would find nothing to do in a folder that is not its own.
		tree = openTree(t, s, from)
		set(t, tree)
		checkContent(t, tree.Dir, many)
		if n > 0 && tree.state.ID == id {
			t.Errorf("killed at %d: the tree was made anew and has the old id", at)
		}
		tree.Close()
	}
}

type crash struct{}

// Whatever step a process is killed at, the next Set gives the right tree, whether it is to the same state or another.
func TestTreeCrash(t *testing.T) {
	s := makeStore(t)
	base := fakeSource(t, s, fakeKernel)
	moved := fakeSource(t, s, with(fakeKernel, "init/main.c", "moved\n", "kernel/audit/audit.c", "-", "lib/l.c", "l"))
	points := 0
	for i := 1; i < len(steps); i++ {
		for _, src := range []*Source{base, moved} {
			for at := 0; ; at++ {
				if !crashAt(t, s, base, src, i, at) {
					break
				}
				points++
				then := i
				if at%2 == 1 {
					then = (i + 4) % len(steps)
				}
				tree := openTree(t, s, base)
				set(t, tree, steps[then].changes...)
				checkContent(t, tree.Dir, apply(steps[then].changes))
				if diffs, err := tree.Verify(t.Context(), overlay(steps[then].changes...)); err != nil || len(diffs) > 0 {
					t.Fatalf("step %d killed at %d, then %d: %v, %v", i, at, then, diffs, err)
				}
				tree.Close()
				if t.Failed() {
					t.Fatalf("step %d killed at %d", i, at)
				}
			}
		}
	}
	if points < 100 {
		t.Errorf("%d points were tried, want 100 or more", points)
	}
	t.Logf("%d points", points)
}

// crashAt sets the tree to step i-1 and dies at a point of the way to step i, on another source perhaps. It tells whether
// there was such a point.
func crashAt(t *testing.T, s *Store, base, src *Source, i, at int) (died bool) {
	t.Helper()
	tree := openTree(t, s, base)
	set(t, tree, steps[i-1].changes...)
	tree.Close()
	if i%4 == 0 { // a tree that is not there yet
		if err := os.Remove(tree.statePath()); err != nil {
			t.Fatal(err)
		}
	}
	lock := tree.lock
	defer func() {
		if r := recover(); r != nil {
			if r != (crash{}) {
				panic(r)
			}
			died = true
			lock.Release()
		}
	}()
	n := 0
	step := func() {
		if n++; n > at {
			panic(crash{})
		}
	}
	defer func() { testStep = nil }()
	testStep = func(tr *Tree) { lock, tr.step = tr.lock, step }
	tr, err := s.Tree(t.Context(), src, "t")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tr.Set(t.Context(), overlay(steps[i].changes...)); err != nil && src == base {
		t.Fatal(err)
	}
	tr.Close()
	return false
}

// The same with a real kill -9: a child sets the tree to one state after the other as fast as it can.
func TestTreeKill(t *testing.T) {
	if work := os.Getenv("SERIES_TEST_TREE"); work != "" {
		treeChild(t, work)
		return
	}
	s := makeStore(t)
	src := fakeSource(t, s, fakeKernel)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(4 * time.Second)
	kills := 0
	for kills < 100 && time.Now().Before(deadline) {
		c := exec.Command(exe, "-test.run=^TestTreeKill$")
		c.Env = append(os.Environ(), "SERIES_TEST_TREE="+s.Dir, "SERIES_TEST_HASH="+strings.TrimPrefix(src.Hash, "sha256:"))
		var out bytes.Buffer
		c.Stderr = &out
		ready, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		ready.Read(make([]byte, 1))
		time.Sleep(time.Duration(rand.Intn(12000)) * time.Microsecond)
		c.Process.Signal(syscall.SIGKILL)
		c.Wait()
		kills++
		step := steps[rand.Intn(len(steps))]
		tree := openTree(t, s, src)
		set(t, tree, step.changes...)
		checkContent(t, tree.Dir, apply(step.changes))
		tree.Close()
		if t.Failed() {
			t.Fatalf("after %d kills; the child said %s", kills, out.String())
		}
	}
	t.Logf("%d kills", kills)
}

func treeChild(t *testing.T, work string) {
	s, err := OpenStore(work)
	if err != nil {
		t.Fatal(err)
	}
	hash := os.Getenv("SERIES_TEST_HASH")
	src, err := newSource(Base{Kind: Dir, Name: "x"}, s.src(hash), hash)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("x")
	for {
		tree, err := s.Tree(context.Background(), src, "t")
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if _, err := tree.Set(context.Background(), overlay(steps[rand.Intn(len(steps))].changes...)); err != nil {
				t.Fatal(err)
			}
		}
		tree.Close()
	}
}

func TestTreeLock(t *testing.T) {
	s := makeStore(t)
	src := fakeSource(t, s, fakeKernel)
	tree := openTree(t, s, src)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Tree(ctx, src, "t"); err == nil {
		t.Error("two have the tree open")
	}
	tree.Close()
	openTree(t, s, src).Close()
}
