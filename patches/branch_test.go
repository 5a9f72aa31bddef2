// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A repo is a git repository with a base commit and a history on top, whose patches are in ps.
type repo struct {
	dir  string
	base string
	ps   []*Patch
}

type step struct {
	files   map[string]*File // nil removes
	message string
	author  string
	date    string
}

// history makes a repository by git itself.
func history(t testing.TB, base map[string]*File, steps []step) repo {
	t.Helper()
	r := repo{dir: filepath.Join(t.TempDir(), "repo")}
	if err := os.Mkdir(r.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	runGit(t, r.dir, "init", "-q", "-b", "main")
	writeTree(t, r.dir, base)
	runGit(t, r.dir, "add", "-A", "-f")
	runGit(t, r.dir, "commit", "-q", "--allow-empty", "-m", "base")
	r.base = runGit(t, r.dir, "rev-parse", "HEAD")
	for _, s := range steps {
		for _, name := range sortedKeys(s.files) {
			p := filepath.Join(r.dir, name)
			os.Remove(p)
			if s.files[name] == nil {
				os.Remove(filepath.Dir(p)) // if it is empty now
			}
		}
		writeTree(t, r.dir, s.files)
		runGit(t, r.dir, "add", "-A", "-f")
		runGit(t, r.dir, "commit", "-q", "--allow-empty-message", "--author", s.author, "--date", s.date, "-m", s.message)
	}
	out := t.TempDir()
	runGit(t, r.dir, "format-patch", "-q", "-M", "-C", "-o", out, r.base)
	names, err := filepath.Glob(filepath.Join(out, "*.patch"))
	if err != nil || len(names) != len(steps) {
		t.Fatalf("%d patches, %v; want %d", len(names), err, len(steps))
	}
	for _, name := range names {
		p, err := LoadPatch(name)
		if err != nil {
			t.Fatal(err)
		}
		r.ps = append(r.ps, p)
	}
	runGit(t, r.dir, "checkout", "-q", "-B", "main", r.base)
	return r
}

// aHistory changes files in all the ways that there are, with messages and authors that are hard to keep.
func aHistory(t testing.TB) repo {
	var lines, more strings.Builder
	for i := range 40 {
		lines.WriteString(strings.Repeat("l", i%7) + "ine\n")
		more.WriteString(strings.Repeat("m", i%5) + "ore\n")
	}
	l, m := lines.String(), more.String()
	return history(t, map[string]*File{
		"a.c": text1(l), "sub/b.c": text1(m), "sub/deep/c.c": text1(l + m), "sub.c": text1("between sub and sub/\n"),
		"run.sh": {Data: []byte("#!/bin/sh\n"), Mode: 0o755}, "link": {Data: []byte("a.c"), Mode: os.ModeSymlink},
		"other/d.c": text1("d\n"), "was": text1("a file\n"),
	}, []step{
		{map[string]*File{"a.c": text1("first\n" + l)}, "audit: change a line", "A U Thor <author@example.org>", "Sat, 21 Nov 2026 10:00:00 +0530"},
		{map[string]*File{"sub/deep/c.c": text1(l + "between\n" + m), "new/dir/e.c": text1("new\n"), "empty": text1("")},
			"sub: a subject that is so long that git format-patch has to fold it over two lines of the header, with ümlaut\n\n  indented\nprose.   \n\n\n\nand more\n\nFixes: 0123456789ab (\"x\")\nLink: https://example.org/1\n",
			"Jörg Müller <joerg@example.org>", "Sat, 21 Nov 2026 10:00:01 -0800"},
		{map[string]*File{"sub/b.c": nil, "moved.c": text1(m), "run.sh": {Data: []byte("#!/bin/sh\n"), Mode: 0o644}, "a.c": {Data: []byte("first\n" + l + "last"), Mode: 0o755}},
			"all: rename, and modes\n\nNote: not a [PATCH] \"quoted\" <thing>", "\"Doe, Jane Jr.\" <jane@example.org>", "Sun, 2 Nov 2025 10:00:00 +0000"},
		{map[string]*File{"sub/deep/c.c": nil, "other/d.c": nil, "was": nil}, "sub: gone", "single <s@example.org>", "Sat, 21 Nov 2026 11:00:00 +0000"},
		{map[string]*File{"was/x/y.c": text1("a folder now\n"), "empty": nil, "empty/z": text1("z\n"), "sub-": text1("sorts before sub/\n")}, "other: back", "J. Random \"Hack\" Er <j@example.org>", "Sat, 21 Nov 2026 11:00:00 +0000"},
	})
}

// am is what git am makes of the patches, on the base in a work tree of its own.
func am(t testing.TB, r repo) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "am")
	runGit(t, r.dir, "worktree", "add", "-q", "--detach", dir, r.base)
	t.Cleanup(func() { runGit(t, r.dir, "worktree", "remove", "--force", dir) })
	for _, p := range r.ps {
		runGit(t, dir, "am", "-q", p.File)
	}
	return dir
}

// sameAsAm checks a branch against what git am makes of the patches: the trees, the messages, the authors and the dates.
func sameAsAm(t *testing.T, r repo, repoDir, branch string) {
	t.Helper()
	amDir := am(t, r)
	const form = "--format=%T%n%an%n%ae%n%ad%n%B%x00"
	want := runGit(t, amDir, "log", "--date=raw", form, r.base+"..HEAD")
	got := runGit(t, repoDir, "log", "--date=raw", form, r.base+".."+branch)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("branch differs from what git am makes (-am +ours)\n%s", d)
	}
	if n := strings.Count(want, "\x00"); n != len(r.ps) {
		t.Errorf("git am made %d commits, want %d", n, len(r.ps))
	}
	if out := runGit(t, repoDir, "fsck", "--full", "--strict"); strings.Contains(out, "error") || strings.Contains(out, "missing") {
		t.Errorf("git fsck says %s", out)
	}
}

func applyTo(t testing.TB, src Source, ps []*Patch) *Result {
	t.Helper()
	res, err := Apply(src, ps)
	if err != nil {
		t.Fatalf("Apply: %+v", err)
	}
	return res
}

func commitSource(t testing.TB, r repo) Source {
	t.Helper()
	src, err := GitSource(context.Background(), Commit{r.dir, r.base}, r.ps)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func TestWriteBranchIntoTheBase(t *testing.T) {
	r := aHistory(t)
	res := applyTo(t, commitSource(t, r), r.ps)
	b := Branch{Base: Commit{r.dir, "main"}, Repo: r.dir, Name: "series/trial"}
	ids, err := WriteBranch(context.Background(), b, r.ps, res)
	if err != nil {
		t.Fatal(err)
	}
	sameAsAm(t, r, r.dir, "series/trial")
	if got := runGit(t, r.dir, "rev-list", "--reverse", r.base+"..series/trial"); got != strings.Join(ids, "\n") {
		t.Errorf("commits are\n%s\nand those returned\n%s", got, strings.Join(ids, "\n"))
	}
	// One patch has an older date than the one before it; its commit has not.
	last := 0
	for i, s := range strings.Fields(runGit(t, r.dir, "log", "--reverse", "--format=%ct", "series/trial")) {
		at, err := strconv.Atoi(s)
		if err != nil || at < last {
			t.Errorf("commit %d was committed at %s, before the one below it (%d), %v", i, s, last, err)
		}
		last = at
	}
	for i, p := range res.Patches {
		if p.Commit != ids[i] {
			t.Errorf("result's commit %d is %q, want %q", i, p.Commit, ids[i])
		}
	}
	if out := runGit(t, r.dir, "status", "--porcelain"); out != "" {
		t.Errorf("the work tree changed: %s", out)
	}
	// Again: the same ids, and nothing more in the repository.
	before := tracks(t, r.dir)
	again, err := WriteBranch(context.Background(), b, r.ps, res)
	if d := cmp.Diff(ids, again); d != "" || err != nil {
		t.Errorf("second time: %v (-first +second)\n%s", err, d)
	}
	if d := cmp.Diff(before, tracks(t, r.dir)); d != "" {
		t.Errorf("second time changed the repository\n%s", d)
	}
}

func TestWriteBranchBorrows(t *testing.T) {
	r := aHistory(t)
	before := tracks(t, r.dir)
	res := applyTo(t, commitSource(t, r), r.ps)
	out := filepath.Join(t.TempDir(), "new", "out.git")
	ids, err := WriteBranch(context.Background(), Branch{Base: Commit{r.dir, r.base}, Repo: out, Name: "series/trial"}, r.ps, res)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(before, tracks(t, r.dir)); d != "" {
		t.Errorf("the base's repository changed (-before +after)\n%s", d)
	}
	sameAsAm(t, r, out, "series/trial")
	if got := runGit(t, out, "rev-parse", "HEAD"); got != ids[len(ids)-1] {
		t.Errorf("HEAD is %s, want %s", got, ids[len(ids)-1])
	}
	if got, _ := filepath.Glob(filepath.Join(filepath.Dir(out), ".*")); len(got) > 0 {
		t.Errorf("left behind: %v", got)
	}
	// Upto fewer patches, on another branch of the same repository, gives the same commits.
	two := applyTo(t, commitSource(t, r), r.ps[:2])
	some, err := WriteBranch(context.Background(), Branch{Base: Commit{r.dir, r.base}, Repo: out, Name: "series/two"}, r.ps[:2], two)
	if err != nil || strings.Join(some, " ") != strings.Join(ids[:2], " ") {
		t.Errorf("two of the patches = %v, %v, want %v", some, err, ids[:2])
	}
}

func TestWriteBranchOwn(t *testing.T) {
	r := aHistory(t)
	res := applyTo(t, commitSource(t, r), r.ps)
	out := filepath.Join(t.TempDir(), "out.git")
	if _, err := WriteBranch(context.Background(), Branch{Base: Commit{r.dir, r.base}, Repo: out, Own: true, Name: "series/trial"}, r.ps, res); err != nil {
		t.Fatal(err)
	}
	sameAsAm(t, r, out, "series/trial")
	if err := os.Rename(r.dir, r.dir+".away"); err != nil {
		t.Fatal(err)
	}
	runGit(t, out, "fsck", "--full", "--strict")
	if err := os.Rename(r.dir+".away", r.dir); err != nil { // for the work tree's cleanup
		t.Fatal(err)
	}
}

// TestWriteBranchShallow borrows from a clone without history.
func TestWriteBranchShallow(t *testing.T) {
	r := aHistory(t)
	runGit(t, r.dir, "commit", "-q", "--allow-empty", "-m", "second")
	clone := filepath.Join(t.TempDir(), "clone")
	runGit(t, r.dir, "clone", "-q", "--depth=1", "file://"+r.dir, clone)
	src, err := GitSource(context.Background(), Commit{clone, "HEAD"}, r.ps)
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out.git")
	if _, err := WriteBranch(context.Background(), Branch{Base: Commit{clone, "HEAD"}, Repo: out, Name: "b"}, r.ps, applyTo(t, src, r.ps)); err != nil {
		t.Fatal(err)
	}
	runGit(t, out, "fsck", "--full", "--strict")
	if got := runGit(t, out, "rev-list", "--count", "b"); got != "6" {
		t.Errorf("branch has %s commits, want 5 on a base without history", got)
	}
}

// tracks lists everything in a repository's folder with its size.
func tracks(t testing.TB, dir string) map[string]int64 {
	t.Helper()
	out := map[string]int64{}
	err := filepath.Walk(dir, func(p string, fi os.FileInfo, err error) error {
		if err == nil && !fi.IsDir() {
			out[strings.TrimPrefix(p, dir)] = fi.Size()
		} else if err == nil {
			out[strings.TrimPrefix(p, dir)+"/"] = 0
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestWriteBranchFails makes each step fail and looks for what is left.
func TestWriteBranchFails(t *testing.T) {
	r := aHistory(t)
	res := applyTo(t, commitSource(t, r), r.ps)
	ctx := context.Background()
	runGit(t, r.dir, "branch", "taken", r.base)
	runGit(t, r.dir, "branch", "series/held/below", r.base)
	stranger := filepath.Join(t.TempDir(), "stranger")
	runGit(t, ".", "init", "-q", stranger)
	plain := t.TempDir()
	writeTree(t, plain, map[string]*File{"f": text1("f\n")})
	other := history(t, map[string]*File{"a.c": text1("another\n")}, nil)
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	for name, tc := range map[string]struct {
		ctx  context.Context
		b    Branch
		res  *Result
		want string
	}{
		"branch is taken":       {ctx, Branch{Base: Commit{r.dir, r.base}, Repo: r.dir, Name: "taken"}, res, "holds something else"},
		"branch is checked out": {ctx, Branch{Base: Commit{r.dir, r.base}, Repo: r.dir, Name: "main", Force: true}, res, "is checked out"},
		"folder of that name":   {ctx, Branch{Base: Commit{r.dir, r.base}, Repo: r.dir, Name: "series/held"}, res, "series/held"},
		"bad name":              {ctx, Branch{Base: Commit{r.dir, r.base}, Repo: r.dir, Name: "a..b"}, res, "is not a name for a branch"},
		"name like an option":   {ctx, Branch{Base: Commit{r.dir, r.base}, Repo: r.dir, Name: "-d"}, res, "is not a name for a branch"},
		"no such commit":        {ctx, Branch{Base: Commit{r.dir, "none"}, Repo: r.dir, Name: "b"}, res, `no commit "none"`},
		"revision like option":  {ctx, Branch{Base: Commit{r.dir, "--all"}, Repo: r.dir, Name: "b"}, res, `no commit "--all"`},
		"no base repository":    {ctx, Branch{Base: Commit{plain, "HEAD"}, Repo: r.dir, Name: "b"}, res, "not a git repository"},
		"base of other content": {ctx, Branch{Base: Commit{other.dir, "HEAD"}, Repo: other.dir, Name: "b"}, res, "is not what the patches were applied to: its a.c differs"},
		"into a plain folder":   {ctx, Branch{Base: Commit{r.dir, r.base}, Repo: plain, Name: "b"}, res, "not a git repository"},
		"into a stranger":       {ctx, Branch{Base: Commit{r.dir, r.base}, Repo: stranger, Name: "b"}, res, "lacks the base"},
		"nowhere":               {ctx, Branch{Base: Commit{r.dir, r.base}, Name: "b"}, res, "no repository is named"},
		"into a file":           {ctx, Branch{Base: Commit{r.dir, r.base}, Repo: filepath.Join(plain, "f"), Name: "b"}, res, "not a directory"},
		"cancelled":             {cancelled, Branch{Base: Commit{r.dir, r.base}, Repo: r.dir, Name: "b"}, res, "canceled"},
		"result of fewer":       {ctx, Branch{Base: Commit{r.dir, r.base}, Repo: r.dir, Name: "b"}, &Result{}, "of which 0 were applied"},
	} {
		t.Run(name, func(t *testing.T) {
			watch := []string{r.dir, stranger, plain, other.dir}
			before := map[string]map[string]int64{}
			for _, d := range watch {
				before[d] = tracks(t, d)
			}
			ids, err := WriteBranch(tc.ctx, tc.b, r.ps, tc.res)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("WriteBranch = %v, %v, want an error with %q", ids, err, tc.want)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error has more than one line: %q", err)
			}
			for _, d := range watch {
				if diff := cmp.Diff(before[d], tracks(t, d)); diff != "" {
					t.Errorf("left in %s (-before +after)\n%s", filepath.Base(d), diff)
				}
			}
		})
	}
	_, err := WriteBranch(ctx, Branch{Base: Commit{r.dir, r.base}, Repo: r.dir, Name: "taken"}, r.ps, res)
	if !errors.Is(err, ErrBranchExists) {
		t.Errorf("WriteBranch on a branch that is taken = %v, want ErrBranchExists", err)
	}
	if _, err := WriteBranch(ctx, Branch{Base: Commit{r.dir, r.base}, Repo: r.dir, Name: "taken", Force: true}, r.ps, res); err != nil {
		t.Errorf("by force: %v", err)
	}
	sameAsAm(t, r, r.dir, "taken")
}

// TestWriteBranchNewBase gives a repository that borrows a series on another base.
func TestWriteBranchNewBase(t *testing.T) {
	ctx := context.Background()
	r, s := aHistory(t), aHistory(t)
	runGit(t, s.dir, "commit", "-q", "--allow-empty", "-m", "another base")
	s.base = runGit(t, s.dir, "rev-parse", "HEAD")
	out := filepath.Join(t.TempDir(), "out.git")
	for _, x := range []repo{r, s} {
		if _, err := WriteBranch(ctx, Branch{Base: Commit{x.dir, x.base}, Repo: out, Name: "b", Force: true}, x.ps, applyTo(t, commitSource(t, x), x.ps)); err != nil {
			t.Fatal(err)
		}
		sameAsAm(t, x, out, "b")
	}
}

func TestGitSource(t *testing.T) {
	r := aHistory(t)
	src := commitSource(t, r)
	d, err := Dir(r.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	a, b := applyTo(t, src, r.ps), applyTo(t, d, r.ps)
	if diff := cmp.Diff(treeText(a.Files(len(r.ps))), treeText(b.Files(len(r.ps)))); diff != "" {
		t.Errorf("from the commit and from the folder (-commit +folder)\n%s", diff)
	}
	if _, err := src.ReadFile("link"); err == nil || errors.Is(err, os.ErrNotExist) {
		t.Errorf("ReadFile of what no patch names = %v, want an error", err)
	}
}
