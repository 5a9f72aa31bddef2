// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seriesrig/series/internal/cache"
)

func TestImportDir(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	files := map[string]*File{
		"a.c": text1("a\n"), "crlf.txt": text1("a\r\nb\r\n"), "bin": {Data: []byte{0, 1, 2, 0xff}, Mode: 0o644}, "empty": text1(""),
		"run.sh": {Data: []byte("#!/bin/sh\n"), Mode: 0o755}, "sub/link": {Data: []byte("../a.c"), Mode: os.ModeSymlink},
		".gitignore": text1("*.o\nignored/\n"), "x.o": text1("o\n"), "ignored/x": text1("x\n"), ".gitattributes": text1("* text=auto eol=crlf\n*.c ident\n"),
		"odd \"name\"\\": text1("x\n"), " ü\t": text1("x\n"), "sub.c": text1("x\n"), "sub-": text1("x\n"), "id.c": text1("$Id$\n"),
	}
	writeTree(t, dir, files)
	writeTree(t, dir, map[string]*File{".git/config": text1("[core]\n"), "sub/.git": text1("gitdir: x\n")})
	c, err := cache.Open(filepath.Join(t.TempDir(), "cache"))
	if err != nil {
		t.Fatal(err)
	}
	commit, err := ImportDir(ctx, c, dir, "sha256:1", "trial 1.0")
	if err != nil {
		t.Fatal(err)
	}
	runGit(t, commit.Repo, "fsck", "--full", "--strict")
	for name, f := range files {
		out, err := tryGit(commit.Repo, "", "cat-file", "blob", commit.Rev+":"+name)
		if err != nil || out != string(f.Data) {
			t.Errorf("%q is %q, %v, want %q", name, out, err, f.Data)
		}
	}
	for name, mode := range map[string]string{"a.c": "100644", "run.sh": "100755", "sub/link": "120000"} {
		if out := runGit(t, commit.Repo, "ls-tree", commit.Rev, name); !strings.HasPrefix(out, mode) {
			t.Errorf("%s is %s, want mode %s", name, out, mode)
		}
	}
	list := runGit(t, commit.Repo, "-c", "core.quotePath=false", "ls-tree", "-r", "--name-only", commit.Rev)
	if n := strings.Count(list, "\n") + 1; n != len(files) {
		t.Errorf("%d files, want %d:\n%s", n, len(files), list)
	}
	// The id depends on the content alone.
	c2, err := cache.Open(filepath.Join(t.TempDir(), "cache"))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(dir, "a.c"), now, now); err != nil {
		t.Fatal(err)
	}
	again, err := ImportDir(ctx, c2, dir, "sha256:1", "trial 1.0")
	if err != nil {
		t.Fatal(err)
	}
	a, b := runGit(t, commit.Repo, "rev-parse", commit.Rev), runGit(t, again.Repo, "rev-parse", again.Rev)
	if a != b {
		t.Errorf("imported twice: %s and %s", a, b)
	}
	// The second time it comes from the cache.
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if hit, err := ImportDir(ctx, c, dir, "sha256:1", "trial 1.0"); err != nil || hit != commit {
		t.Errorf("ImportDir from the cache = %v, %v, want %v", hit, err, commit)
	}
}

func TestImportDirFails(t *testing.T) {
	ctx := context.Background()
	root := t.TempDir()
	c, err := cache.Open(filepath.Join(root, "cache"))
	if err != nil {
		t.Fatal(err)
	}
	empty := t.TempDir()
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	locked := t.TempDir()
	writeTree(t, locked, map[string]*File{"a": text1("a\n"), "b/c": text1("c\n")})
	if err := os.Symlink("nowhere", filepath.Join(locked, "link")); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		ctx  context.Context
		dir  string
		want string
	}{
		"nothing there": {ctx, filepath.Join(root, "none"), "no such file"},
		"no files":      {ctx, empty, "has no files"},
		"cancelled":     {cancelled, locked, "canceled"},
	} {
		if _, err := ImportDir(tc.ctx, c, tc.dir, "x", name); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: ImportDir = %v, want an error with %q", name, err, tc.want)
		}
	}
	left, err := filepath.Glob(filepath.Join(c.Dir, importKind, "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left in the cache: %v, %v", left, err)
	}
	// A link that leads nowhere is no failure.
	if _, err := ImportDir(ctx, c, locked, "y", "y"); err != nil {
		t.Error(err)
	}
}

// TestImportedBase goes the whole way for a base without git: import, apply on the folder, branch with its own objects.
func TestImportedBase(t *testing.T) {
	ctx := context.Background()
	r := aHistory(t)
	dir := t.TempDir()
	writeTree(t, dir, readTree(t, r.dir))
	c, err := cache.Open(filepath.Join(t.TempDir(), "cache"))
	if err != nil {
		t.Fatal(err)
	}
	base, err := ImportDir(ctx, c, dir, "x", "trial 1.0")
	if err != nil {
		t.Fatal(err)
	}
	d, err := Dir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	res := applyTo(t, d, r.ps)
	out := filepath.Join(t.TempDir(), "out.git")
	ids, err := WriteBranch(ctx, Branch{Base: base, Repo: out, Own: true, Name: "series/trial"}, r.ps, res)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(c.Dir); err != nil {
		t.Fatal(err)
	}
	runGit(t, out, "fsck", "--full", "--strict")
	amDir := am(t, r)
	want := runGit(t, amDir, "rev-parse", "HEAD^{tree}")
	if got := runGit(t, out, "rev-parse", ids[len(ids)-1]+"^{tree}"); got != want {
		t.Errorf("tree is %s, git am makes %s", got, want)
	}
}
