// SPDX-License-Identifier: Apache-2.0

package initramfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/u-root/mkuimage/cpio"
)

// list reads an archive with mkuimage's reader, which is not ours, and returns a line for each entry.
func list(t *testing.T, b []byte) []string {
	t.Helper()
	var lines []string
	r := cpio.Newc.Reader(bytes.NewReader(b))
	inodes := make(map[uint64]bool)
	for {
		rec, err := r.ReadRecord()
		if errors.Is(err, io.EOF) {
			return lines
		}
		if err != nil {
			t.Fatalf("mkuimage reads: %v", err)
		}
		if rec.Name == trailer {
			continue
		}
		if inodes[rec.Ino] {
			t.Errorf("inode %d twice: the kernel would take %s for a hard link", rec.Ino, rec.Name)
		}
		inodes[rec.Ino] = true
		if rec.UID|rec.GID|rec.MTime != 0 {
			t.Errorf("%s: uid %d, gid %d, mtime %d, want 0", rec.Name, rec.UID, rec.GID, rec.MTime)
		}
		data, err := io.ReadAll(io.NewSectionReader(rec.ReaderAt, 0, int64(rec.FileSize)))
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, fmt.Sprintf("%o %s %s", rec.Mode, rec.Name, data))
	}
}

func bytesOf(t *testing.T, a *Archive) []byte {
	t.Helper()
	var b bytes.Buffer
	n, err := a.WriteTo(&b)
	if err != nil {
		t.Fatal(err)
	}
	size, err := a.Size()
	if err != nil || n != size || int64(b.Len()) != n || n%4 != 0 {
		t.Errorf("WriteTo wrote %d bytes and says %d; Size says %d, %v", b.Len(), n, size, err)
	}
	return b.Bytes()
}

func check(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestArchive(t *testing.T) {
	disk := filepath.Join(t.TempDir(), "file")
	check(t, os.WriteFile(disk, []byte("from disk"), 0o600), os.Chmod(disk, 0o750))
	var a, b Archive
	adds := []func(*Archive) error{
		func(a *Archive) error { return a.Add("/series/test/data", []byte("x"), 0o644) },
		func(a *Archive) error { return a.Add("/series/empty", nil, 0o444) },
		func(a *Archive) error { return a.AddFile("/series/prog", disk) },
		func(a *Archive) error { return a.AddSymlink("/series/link", "../etc/x") },
		func(a *Archive) error { return a.AddDir("/series/test", 0o700) },
		func(a *Archive) error { return a.AddDir("/wide", 0o777|fs.ModeSticky) },
		func(a *Archive) error { return a.Add("/etc/x", []byte("hello"), 0o644) },
	}
	for i := range adds {
		check(t, adds[i](&a), adds[len(adds)-1-i](&b))
	}
	got := bytesOf(t, &a)
	want := []string{
		"40755 etc ", "100644 etc/x hello", "40755 series ", "100444 series/empty ", "120777 series/link ../etc/x",
		"100750 series/prog from disk", "40700 series/test ", "100644 series/test/data x", "41777 wide ",
	}
	if diff := cmp.Diff(want, list(t, got)); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	if !bytes.Equal(got, bytesOf(t, &b)) {
		t.Error("the order of the calls shows in the bytes")
	}
	check(t, a.Add("/etc/x", []byte("later"), 0o600))
	if l := list(t, bytesOf(t, &a)); l[1] != "100600 etc/x later" {
		t.Errorf("replaced entry = %q", l[1])
	}
}

func TestArchiveTree(t *testing.T) {
	dir := t.TempDir()
	check(t, os.MkdirAll(filepath.Join(dir, "testdata", "empty"), 0o755), os.Mkdir(filepath.Join(dir, ".git"), 0o755),
		os.WriteFile(filepath.Join(dir, ".git", "big"), []byte("no"), 0o644),
		os.WriteFile(filepath.Join(dir, "testdata", "in"), []byte("input"), 0o640),
		os.Symlink("in", filepath.Join(dir, "testdata", "link")),
		syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o644), os.Chmod(dir, 0o755))
	var a Archive
	check(t, a.AddTree("/home/me/pkg", dir, func(rel string, d fs.DirEntry) bool { return rel == ".git" }))
	want := []string{
		"40755 home ", "40755 home/me ", "40755 home/me/pkg ", "40755 home/me/pkg/testdata ",
		"40755 home/me/pkg/testdata/empty ", "100640 home/me/pkg/testdata/in input", "120777 home/me/pkg/testdata/link in",
	}
	if diff := cmp.Diff(want, list(t, bytesOf(t, &a))); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

func TestArchiveRefuses(t *testing.T) {
	dir := t.TempDir()
	var a Archive
	for _, c := range []struct {
		err  error
		want string
	}{
		{a.Add("relative", nil, 0o644), "not a clean absolute path"},
		{a.Add("/a/../b", nil, 0o644), "not a clean absolute path"},
		{a.Add("/", nil, 0o644), "not a clean absolute path"},
		{a.Add("/a\x00b", nil, 0o644), "zero byte"},
		{a.Add("/"+strings.Repeat("a/", 2500)+"b", nil, 0o644), "path of 5002 bytes"},
		{a.AddSymlink("/l", ""), "no target"},
		{a.AddFile("/f", dir), "not a regular file"},
		{a.AddFile("/f", filepath.Join(dir, "none")), "no such file"},
		{a.AddTree("/f", filepath.Join(dir, "none"), nil), "no such file"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("error = %v, want %q", c.err, c.want)
		}
	}
	check(t, a.Add("/file", nil, 0o644), a.Add("/file/below", nil, 0o644))
	if _, err := a.WriteTo(io.Discard); err == nil || !strings.Contains(err.Error(), "/file/below is below /file") {
		t.Errorf("WriteTo of a file below a file = %v", err)
	}
}

func TestArchiveLimit(t *testing.T) {
	a := Archive{Limit: 1000}
	check(t, a.Add("/small", make([]byte, 10), 0o644), a.Add("/large", make([]byte, 900), 0o644))
	var b bytes.Buffer
	n, err := a.WriteTo(&b)
	var size *SizeError
	if !errors.As(err, &size) || size.Largest != "/large" || size.Limit != 1000 || size.Size <= 1000 || n != 0 || b.Len() != 0 {
		t.Errorf("WriteTo = %d, %v; wrote %d", n, err, b.Len())
	}
	dst := filepath.Join(t.TempDir(), "out")
	if _, err := Concat(dst, &a); !errors.As(err, &size) {
		t.Errorf("Concat = %v", err)
	}
	if _, err := os.Stat(dst); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Concat left its file: %v", err)
	}
	a.Limit = 2000
	check(t, func() error { _, err := a.WriteTo(io.Discard); return err }())
}

// A file that changes between Add and Write must not give an archive that is out of step.
func TestArchiveFileChanges(t *testing.T) {
	for name, text := range map[string]string{"longer": "0123456789", "shorter": "0"} {
		disk := filepath.Join(t.TempDir(), "f")
		check(t, os.WriteFile(disk, []byte("01234"), 0o644))
		var a Archive
		check(t, a.AddFile("/f", disk), os.WriteFile(disk, []byte(text), 0o644))
		if _, err := a.WriteTo(io.Discard); !errors.Is(err, errChanged) {
			t.Errorf("%s: WriteTo = %v, want errChanged", name, err)
		}
	}
}

func TestConcat(t *testing.T) {
	dir := t.TempDir()
	first, second := filepath.Join(dir, "1"), filepath.Join(dir, "2")
	check(t, os.WriteFile(first, []byte("12345"), 0o644), os.WriteFile(second, []byte("abcd"), 0o644))
	var a Archive
	check(t, a.Add("/f", []byte("data"), 0o644))
	dst := filepath.Join(dir, "out")
	n, err := Concat(dst, &a, first, second)
	check(t, err)
	got, err := os.ReadFile(dst)
	check(t, err)
	want := append([]byte("12345\x00\x00\x00abcd"), bytesOf(t, &a)...)
	if !bytes.Equal(got, want) || n != int64(len(want)) {
		t.Errorf("Concat wrote %d bytes and says %d, want %d", len(got), n, len(want))
	}
	if _, err := Concat(dst, nil, filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Concat of nothing = %v", err)
	}
	if _, err := os.Stat(dst); !errors.Is(err, fs.ErrNotExist) {
		t.Error("Concat left a broken file")
	}
}

func BenchmarkConcat(b *testing.B) {
	dir := b.TempDir()
	base := filepath.Join(dir, "base")
	test := filepath.Join(dir, "test")
	for path, size := range map[string]int{base: 8 << 20, test: 4 << 20} {
		if err := os.WriteFile(path, make([]byte, size), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(12 << 20)
	for b.Loop() {
		var a Archive
		if err := a.AddFile("/series/test", test); err != nil {
			b.Fatal(err)
		}
		if _, err := Concat(filepath.Join(dir, "out"), &a, base); err != nil {
			b.Fatal(err)
		}
	}
}
