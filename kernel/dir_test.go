// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seriesrig/series/internal/need"
)

// age sets all files of a folder back, so that their times prove something.
func age(t testing.TB, dir string) {
	t.Helper()
	old := time.Now().Add(-time.Hour)
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			err = os.Chtimes(p, old, old)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	// Change times cannot be set; a second has to pass.
	time.Sleep(1100 * time.Millisecond)
}

func TestDirGit(t *testing.T) {
	need.Tool(t, "git")
	s := makeStore(t)
	dir := t.TempDir()
	writeTree(t, dir, fakeKernel)
	sh(t, dir, "git init -q . && git add -A && git commit -qm x")
	writeTree(t, dir, map[string]string{"init/main.o": "ignored", ".config": "CONFIG_X=y\n", "init/new.c": "untracked\n", "out": "->/tmp"})
	sh(t, dir, "echo .config >> .gitignore; rm kernel/fork.c; mkfifo pipe")
	want := with(fakeKernel, ".gitignore", "*.o\n.config\n", "kernel/fork.c", "-", "init/new.c", "untracked\n")
	src := resolve(t, s, "dir:"+dir)
	checkContent(t, src.Dir, want)
	if got := sh(t, dir, "git status --porcelain | sort"); !strings.Contains(got, "?? init/new.c") {
		t.Errorf("the user's folder was changed: %s", got)
	}
}

func TestDirSync(t *testing.T) {
	s := makeStore(t)
	dir := t.TempDir()
	writeTree(t, dir, fakeKernel)
	age(t, dir)
	first := resolve(t, s, "dir:"+dir)
	checkContent(t, first.Dir, fakeKernel)
	inode := func(src *Source, name string) uint64 {
		fi, err := os.Stat(filepath.Join(src.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return fi.Sys().(*syscall.Stat_t).Ino
	}
	if again := resolve(t, s, "dir:"+dir); again.Hash != first.Hash || inode(again, "init/main.c") != inode(first, "init/main.c") {
		t.Errorf("again: %s, want %s", again.Hash, first.Hash)
	}
	// One file changes, keeping its size and, by a program that sets it back, its time.
	full := filepath.Join(dir, "init/main.c")
	fi, err := os.Stat(full)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte("int Main;\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(full, fi.ModTime(), fi.ModTime()); err != nil {
		t.Fatal(err)
	}
	second := resolve(t, s, "dir:"+dir)
	checkContent(t, second.Dir, with(fakeKernel, "init/main.c", "int Main;\n"))
	checkContent(t, first.Dir, fakeKernel)
	if inode(second, "kernel/fork.c") != inode(first, "kernel/fork.c") || inode(second, "init/main.c") == inode(first, "init/main.c") {
		t.Error("an unchanged file was copied, or a changed one was not")
	}
	// A change within the same tick as the last look: times alone would not show it.
	for _, text := range []string{"int A;\n", "int B;\n", "int C;\n"} {
		if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		src := resolve(t, s, "dir:"+dir)
		checkContent(t, src.Dir, with(fakeKernel, "init/main.c", text))
		// Where the clock is fine enough the above says little; what counts is that no trust is put into such a stamp.
		if snap := s.readSnapshot(dir); snap.Files["init/main.c"].Stamp != (stamp{}) || snap.Files["kernel/fork.c"].Stamp == (stamp{}) {
			t.Errorf("stamps that are remembered: %+v of the fresh file, %+v of the old one", snap.Files["init/main.c"].Stamp, snap.Files["kernel/fork.c"].Stamp)
		}
	}
	// Modes, new files, deletions, links.
	if err := os.Chmod(full, 0o755); err != nil {
		t.Fatal(err)
	}
	sh(t, dir, "rm kernel/fork.c scripts/dtc/arm; ln -s ../../kernel scripts/dtc/arm; echo new > kernel/new.c")
	last := resolve(t, s, "dir:"+dir)
	checkContent(t, last.Dir, with(fakeKernel, "init/main.c", "-", "init/main.c*", "int C;\n", "kernel/fork.c", "-", "scripts/dtc/arm", "->../../kernel", "kernel/new.c", "new\n"))
	// Sources of the past are removed, but for the last two.
	if list, _ := filepath.Glob(s.src("*[0-9a-f]")); len(list) > 2 {
		t.Errorf("%d sources are kept, want 2", len(list))
	}
	if exists(first.Dir) {
		t.Error("the first source is still there")
	}
	// Touched only: the same source.
	now := time.Now()
	if err := os.Chtimes(full, now, now); err != nil {
		t.Fatal(err)
	}
	if got := resolve(t, s, "dir:"+dir); got.Hash != last.Hash {
		t.Errorf("after touch: %s, want %s", got.Hash, last.Hash)
	}
}

func TestDirErrors(t *testing.T) {
	s := makeStore(t)
	dir := t.TempDir()
	if err := resolveErr(t, s, "dir:"+dir); !strings.Contains(err.Error(), "not a kernel source: it has no Makefile") {
		t.Error(err)
	}
	writeTree(t, dir, fakeKernel)
	if err := resolveErr(t, s, "dir:"+dir+"/Makefile"); !strings.Contains(err.Error(), "not a folder") {
		t.Error(err)
	}
	if err := resolveErr(t, s, "dir:"+dir+"/gone"); !strings.Contains(err.Error(), "no such file") {
		t.Error(err)
	}
	writeTree(t, dir, map[string]string{".config": "x"})
	if err := resolveErr(t, s, "dir:"+dir); !strings.Contains(err.Error(), "mrproper") {
		t.Error(err)
	}
	src := fakeSource(t, s, fakeKernel)
	if err := resolveErr(t, s, "dir:"+src.Dir); !strings.Contains(err.Error(), "within the work folder") {
		t.Error(err)
	}
}
