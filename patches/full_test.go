// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/seriesrig/series/internal/cache"
	"github.com/seriesrig/series/internal/need"
)

// A smallDisk is a file system of 1 MiB. What is not to be used of it, a file takes.
type smallDisk struct {
	testing.TB
	dir string
}

func newSmallDisk(t testing.TB) smallDisk {
	t.Helper()
	need.Root(t) // mounts it
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return smallDisk{t, dir}
}

func (d smallDisk) ballast() string { return filepath.Join(d.dir, "ballast") }

// leave has the disk full but for some blocks.
func (d smallDisk) leave(blocks int64) {
	d.Helper()
	os.Remove(d.ballast())
	var s unix.Statfs_t
	if err := unix.Statfs(d.dir, &s); err != nil {
		d.Fatal(err)
	}
	if int64(s.Bavail) < blocks {
		d.Fatalf("%d blocks are free, and %d are to be left", s.Bavail, blocks)
	}
	f, err := os.Create(d.ballast())
	if err != nil {
		d.Fatal(err)
	}
	defer f.Close()
	if n := int64(s.Bavail) - blocks; n > 0 {
		if err := unix.Fallocate(int(f.Fd()), 0, 0, n*s.Bsize); err != nil {
			d.Fatal(err)
		}
	}
}

// fails has try run with more and more of the disk until it ends well. Each time before it has to say that the disk is full and
// where, and nothing may be left behind.
func (d smallDisk) fails(where string, try func() error) {
	d.Helper()
	times := 0
	for blocks := int64(0); ; blocks++ {
		d.leave(blocks)
		before := tracks(d, d.dir)
		err := try()
		if err == nil {
			break
		}
		times++
		if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "no space left for "+where) || strings.Contains(err.Error(), "\n") {
			d.Errorf("%d blocks free: %v, want one line that says that there is no space left for %s", blocks, err, where)
		}
		if diff := cmp.Diff(before, tracks(d, d.dir)); diff != "" {
			d.Errorf("%d blocks free: left behind (-before +after)\n%s", blocks, diff)
		}
		if d.Failed() {
			d.FailNow()
		}
	}
	if times == 0 {
		d.Error("it ends well on a full disk")
	}
	d.Logf("failed %d times", times)
}

func TestWriteBranchFullDisk(t *testing.T) {
	r := aHistory(t)
	res := applyTo(t, commitSource(t, r), r.ps)
	base := Commit{r.dir, r.base}
	t.Run("new repository", func(t *testing.T) {
		d := newSmallDisk(t)
		out := filepath.Join(d.dir, "out.git")
		d.fails(out, func() error {
			_, err := WriteBranch(t.Context(), Branch{Base: base, Repo: out, Name: "b"}, r.ps, res)
			return err
		})
		sameAsAm(t, r, out, "b")
	})
	t.Run("into a repository", func(t *testing.T) {
		d := newSmallDisk(t)
		out := filepath.Join(d.dir, "out.git")
		runGit(t, d.dir, "clone", "--quiet", "--bare", "--template=", r.dir, out)
		d.fails(out, func() error {
			_, err := WriteBranch(t.Context(), Branch{Base: base, Repo: out, Name: "b"}, r.ps, res)
			return err
		})
		sameAsAm(t, r, out, "b")
	})
}

func TestImportDirFullDisk(t *testing.T) {
	dir := t.TempDir()
	files := map[string]*File{}
	for i := range 10 {
		files[fmt.Sprintf("f%d.c", i)] = text1(strings.Repeat(fmt.Sprintln("line", i), 100))
	}
	writeTree(t, dir, files)
	d := newSmallDisk(t)
	c, err := cache.Open(filepath.Join(d.dir, "cache"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(c.Dir, importKind), 0o755); err != nil { // which an entry that fails leaves
		t.Fatal(err)
	}
	d.fails(c.Dir, func() error {
		_, err := ImportDir(t.Context(), c, dir, "sha256:1", "trial 1.0")
		return err
	})
}
