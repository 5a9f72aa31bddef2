// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"
)

// A File is one file of a tree. It must not be changed once it has been handed on.
type File struct {
	Data []byte      // a symbolic link's is where it leads
	Mode fs.FileMode // 0644, 0755 or fs.ModeSymlink
}

// A Source is a tree to apply patches to.
type Source interface {
	// ReadFile returns the file at a slash-separated path relative to the tree's top. For one that is not there the
	// error is fs.ErrNotExist; a folder, or a path that leads through something that is no folder, is another error.
	// A symbolic link is returned as one and never followed, neither at the end of the path nor on the way.
	ReadFile(path string) (*File, error)
}

// maxFileSize bounds what is read of one file of a tree; the largest in Linux 6.12 has 23 MiB.
const maxFileSize = 256 << 20

// A Folder is a Source that reads from a folder on disk.
type Folder struct {
	root *os.Root
}

// Dir opens the folder at path as a Source. Close it when it is no longer needed.
func Dir(path string) (*Folder, error) {
	r, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("open tree: %w", err)
	}
	return &Folder{r}, nil
}

// Close closes the folder.
func (f *Folder) Close() error { return f.root.Close() }

// ReadFile implements Source. os.Root keeps a path inside of the tree whatever happens meanwhile; the walk before it is
// for links that stay inside, where a patch would change another file than it names.
func (f *Folder) ReadFile(name string) (*File, error) {
	if !fs.ValidPath(name) || name == "." {
		return nil, &fs.PathError{Op: "read", Path: name, Err: fs.ErrInvalid}
	}
	for i, c := range []byte(name) {
		if c != '/' {
			continue
		}
		fi, err := f.root.Lstat(name[:i])
		if err != nil {
			return nil, err
		}
		if fi.Mode()&fs.ModeSymlink != 0 {
			return nil, &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("%s is a symbolic link", name[:i])}
		}
		if !fi.IsDir() {
			return nil, &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("%s: %w", name[:i], syscall.ENOTDIR)}
		}
	}
	fi, err := f.root.Lstat(name)
	switch {
	case err != nil:
		return nil, err
	case fi.Mode()&fs.ModeSymlink != 0:
		to, err := f.root.Readlink(name)
		if err != nil {
			return nil, err
		}
		return &File{Data: []byte(to), Mode: fs.ModeSymlink}, nil
	case fi.IsDir():
		return nil, &fs.PathError{Op: "read", Path: name, Err: syscall.EISDIR}
	case !fi.Mode().IsRegular():
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("not a regular file")}
	case fi.Size() > maxFileSize:
		return nil, &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("larger than %d MiB", maxFileSize>>20)}
	}
	// O_NOFOLLOW and O_NONBLOCK: should a link or a pipe have taken the name's place since, it is not followed or waited for.
	h, err := f.root.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	if now, err := h.Stat(); err != nil || !os.SameFile(fi, now) {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("changed while it was read")}
	}
	data := make([]byte, fi.Size())
	if _, err := io.ReadFull(h, data); err != nil {
		return nil, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	return &File{Data: data, Mode: fileMode(fi.Mode())}, nil
}

// fileMode keeps of a regular file's mode what git does: whether the owner may execute it.
func fileMode(m fs.FileMode) fs.FileMode {
	if m&0o100 != 0 {
		return 0o755
	}
	return 0o644
}

// Map is a Source in memory.
type Map map[string]*File

// ReadFile implements Source.
func (m Map) ReadFile(name string) (*File, error) {
	if f := m[name]; f != nil {
		return f, nil
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if m[dir] != nil {
			return nil, &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("%s: %w", dir, syscall.ENOTDIR)}
		}
	}
	for other, f := range m {
		if f != nil && len(other) > len(name) && other[:len(name)] == name && other[len(name)] == '/' {
			return nil, &fs.PathError{Op: "read", Path: name, Err: syscall.EISDIR}
		}
	}
	return nil, &fs.PathError{Op: "read", Path: name, Err: fs.ErrNotExist}
}
