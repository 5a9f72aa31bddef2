// SPDX-License-Identifier: Apache-2.0

package initramfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// An Archive is a set of files for a guest, written as a cpio archive that the kernel unpacks over the base image. The
// zero value is empty and ready for use. What is added at a path replaces what was added there before. Folders above a
// path are made, with mode 0755, where they were not added themselves. The same content gives the same bytes, whatever
// the order of the calls: entries are sorted, owned by root, and dated 0.
//
// Paths are the guest's, absolute, as on a host: "/series/test".
type Archive struct {
	// Limit is the most that is written, in bytes; 0 means DefaultLimit. The guest holds it all in memory, at first
	// twice.
	Limit int64

	entries map[string]entry
}

// DefaultLimit is the size, in bytes, that an archive may have where Archive.Limit is 0.
const DefaultLimit = 128 << 20

type entry struct {
	mode fs.FileMode // type and permissions
	data []byte      // of a file in memory, or a symlink's target
	disk string      // the file to read the data from; "" for one in memory
	size int64
}

// A SizeError says that an archive is larger than it may be.
type SizeError struct {
	Size, Limit int64  // bytes
	Largest     string // the largest file in it
	LargestSize int64
}

func (e *SizeError) Error() string {
	return fmt.Sprintf("initramfs archive of %d bytes: the limit is %d; the largest file is %s with %d",
		e.Size, e.Limit, e.Largest, e.LargestSize)
}

// Add adds a file with the given content.
func (a *Archive) Add(guest string, data []byte, perm fs.FileMode) error {
	return a.put("add", guest, entry{mode: perm.Perm(), data: data, size: int64(len(data))})
}

// AddDir adds an empty folder, or gives one that is made anyway its permissions.
func (a *Archive) AddDir(guest string, perm fs.FileMode) error {
	return a.put("add folder", guest, entry{mode: fs.ModeDir | perm&(fs.ModePerm|fs.ModeSticky)})
}

// AddSymlink adds a symbolic link.
func (a *Archive) AddSymlink(guest, target string) error {
	if target == "" {
		return fmt.Errorf("add symlink %s: no target", guest)
	}
	return a.put("add symlink", guest, entry{mode: fs.ModeSymlink | 0o777, data: []byte(target), size: int64(len(target))})
}

// AddFile adds a file of the host's disk, with its permissions. It is read when the archive is written, and must not
// change until then.
func (a *Archive) AddFile(guest, disk string) error {
	fi, err := os.Stat(disk)
	if err != nil {
		return err
	}
	if !fi.Mode().IsRegular() {
		return fmt.Errorf("add %s: not a regular file", disk)
	}
	return a.put("add", guest, entry{mode: fi.Mode().Perm(), disk: disk, size: fi.Size()})
}

// AddTree adds a folder of the host's disk with what is below it: folders, regular files and symbolic links, which are
// not followed. Sockets, pipes and devices are left out, and so is that for which skip, given a path relative to the
// folder, says true; skip may be nil.
func (a *Archive) AddTree(guest, disk string, skip func(rel string, d fs.DirEntry) bool) error {
	return filepath.WalkDir(disk, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(disk, p)
		if err != nil {
			return err
		}
		if rel != "." && skip != nil && skip(rel, d) {
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		to := path.Join(guest, filepath.ToSlash(rel))
		switch {
		case d.IsDir():
			fi, err := d.Info()
			if err != nil {
				return err
			}
			if to == "/" {
				return nil
			}
			return a.AddDir(to, fi.Mode())
		case d.Type() == fs.ModeSymlink:
			target, err := os.Readlink(p)
			if err != nil {
				return err
			}
			return a.AddSymlink(to, target)
		case d.Type().IsRegular():
			return a.AddFile(to, p)
		}
		return nil
	})
}

func (a *Archive) put(op, guest string, e entry) error {
	switch {
	case !path.IsAbs(guest) || path.Clean(guest) != guest || guest == "/":
		return fmt.Errorf("%s %q: not a clean absolute path", op, guest)
	case strings.ContainsRune(guest, 0):
		return fmt.Errorf("%s %q: zero byte in path", op, guest)
	case len(guest) > 4000: // the kernel's PATH_MAX, with room
		return fmt.Errorf("%s %.40s…: path of %d bytes", op, guest, len(guest))
	case e.size > 1<<32-1:
		return fmt.Errorf("%s %s: %d bytes do not fit in a cpio archive", op, guest, e.size)
	}
	if a.entries == nil {
		a.entries = make(map[string]entry)
	}
	a.entries[guest] = e
	return nil
}

// sorted returns the paths in order, with the folders above each, so that each follows the folder that it is in.
func (a *Archive) sorted() ([]string, map[string]entry, error) {
	all := make(map[string]entry, 2*len(a.entries))
	for p, e := range a.entries {
		all[p] = e
		for dir := path.Dir(p); dir != "/"; dir = path.Dir(dir) {
			if parent, ok := a.entries[dir]; ok {
				if !parent.mode.IsDir() {
					return nil, nil, fmt.Errorf("initramfs archive: %s is below %s, which is no folder", p, dir)
				}
				continue
			}
			all[dir] = entry{mode: fs.ModeDir | 0o755}
		}
	}
	paths := make([]string, 0, len(all))
	for p := range all {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	return paths, all, nil
}

// Size returns how many bytes WriteTo writes, or a *SizeError.
func (a *Archive) Size() (int64, error) {
	paths, all, err := a.sorted()
	if err != nil {
		return 0, err
	}
	e := &SizeError{Limit: a.Limit, Size: recordSize(trailer, 0)}
	if e.Limit == 0 {
		e.Limit = DefaultLimit
	}
	for _, p := range paths {
		n := all[p].size
		e.Size += recordSize(p[1:], n)
		if n > e.LargestSize {
			e.Largest, e.LargestSize = p, n
		}
	}
	if e.Size > e.Limit {
		return e.Size, e
	}
	return e.Size, nil
}

// WriteTo writes the archive; its size is a multiple of 4. It writes nothing where it is larger than the limit. A file
// that has changed its size is an error, and what was written is then of no use.
func (a *Archive) WriteTo(w io.Writer) (int64, error) {
	if _, err := a.Size(); err != nil {
		return 0, err
	}
	paths, all, err := a.sorted()
	if err != nil {
		return 0, err
	}
	c := &writer{w: w}
	for _, p := range paths {
		if err := c.entry(p[1:], all[p]); err != nil {
			return c.n, fmt.Errorf("write initramfs archive: %s: %w", p, err)
		}
	}
	if err := c.record(trailer, 0, 0, nil); err != nil {
		return c.n, fmt.Errorf("write initramfs archive: %w", err)
	}
	return c.n, nil
}

// A writer writes the newc format: Documentation/driver-api/early-userspace/buffer-format.rst in the kernel. mkuimage has a
// writer too, but that one copies through a buffer and finds out about sizes on the way; here they are known before, and
// a file's data go from file to file inside the kernel.
type writer struct {
	w   io.Writer
	n   int64
	ino uint32
}

const (
	headerSize = 110
	trailer    = "TRAILER!!!"
)

func align(n int64) int64 { return (n + 3) &^ 3 }

func recordSize(name string, size int64) int64 {
	return align(headerSize+int64(len(name))+1) + align(size)
}

// File types, as in stat(2).
const (
	typeFile    = 0o100000
	typeDir     = 0o040000
	typeSymlink = 0o120000
)

func (c *writer) entry(name string, e entry) error {
	mode := uint32(e.mode.Perm())
	if e.mode&fs.ModeSticky != 0 {
		mode |= 0o1000
	}
	switch e.mode.Type() {
	case fs.ModeDir:
		return c.record(name, typeDir|mode, 0, nil)
	case fs.ModeSymlink:
		return c.record(name, typeSymlink|mode, e.size, func() (int64, error) { return c.bytes(e.data) })
	}
	if e.disk == "" {
		return c.record(name, typeFile|mode, e.size, func() (int64, error) { return c.bytes(e.data) })
	}
	f, err := os.Open(e.disk)
	if err != nil {
		return err
	}
	defer f.Close()
	return c.record(name, typeFile|mode, e.size, func() (int64, error) {
		return io.Copy(c.w, io.LimitReader(f, e.size+1))
	})
}

func (c *writer) bytes(b []byte) (int64, error) {
	n, err := c.w.Write(b)
	return int64(n), err
}

var errChanged = errors.New("file changed while it was read")

func (c *writer) record(name string, mode uint32, size int64, data func() (int64, error)) error {
	c.ino++
	links := 1
	if mode&typeDir != 0 && mode&typeFile == 0 {
		links = 2
	}
	if name == trailer {
		c.ino = 0
	}
	// magic, inode, mode, uid, gid, links, mtime, size, device, device of a node, size of the name, check
	h := fmt.Sprintf("070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00",
		c.ino, mode, 0, 0, links, 0, size, 0, 0, 0, 0, len(name)+1, 0, name)
	n, err := c.bytes(pad([]byte(h)))
	c.n += n
	if err != nil || size == 0 {
		return err
	}
	n, err = data()
	c.n += n
	if err != nil {
		return err
	}
	if n != size {
		return errChanged
	}
	n, err = c.bytes(make([]byte, align(size)-size))
	c.n += n
	return err
}

func pad(b []byte) []byte {
	return append(b, make([]byte, align(int64(len(b)))-int64(len(b)))...)
}
