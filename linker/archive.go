// SPDX-License-Identifier: Apache-2.0

package linker

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// An object is an object file that a link takes in: a file of its own, or a part of an archive.
type object struct {
	name   string // as the linker was told it, relative to the output folder: "kernel/fork.o"
	path   string // of the file that holds it
	offset int64  // within that file; 0 with size -1 means all of it
	size   int64
	maybe  bool // from a library, of which the linker takes what is asked for
}

func (o object) open() (*elfFile, error) {
	if o.size < 0 {
		return openELF(o.path)
	}
	f, err := os.Open(o.path)
	if err != nil {
		return nil, err
	}
	e, err := readELF(o.path+"("+show(o.name)+")", io.NewSectionReader(f, o.offset, o.size), o.size)
	if err != nil {
		f.Close()
		return nil, err
	}
	e.closer = f
	return e, nil
}

// Archives are read here and not by ar: kbuild's are thin (they only name their members), and there are some hundred of
// them to look at.
const (
	arMagic     = "!<arch>\n"
	thinMagic   = "!<thin>\n"
	arHeader    = 60
	maxArchive  = 1 << 20 // members, of which a kernel has some thousands
	maxNames    = 64 << 20
	maxNestedAr = 4
)

// members lists the objects of the archive at path, those of archives in it included.
func members(path string, depth int) ([]object, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	a := &archive{path: path, dir: filepath.Dir(path), size: fi.Size(), r: f}
	if err := a.read(depth); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return a.objects, nil
}

type archive struct {
	path, dir string
	size      int64
	r         io.ReaderAt
	thin      bool
	names     []byte // the table of long names
	objects   []object
}

func (a *archive) read(depth int) error {
	var magic [8]byte
	if _, err := a.r.ReadAt(magic[:], 0); err != nil || string(magic[:]) != arMagic && string(magic[:]) != thinMagic {
		return fmt.Errorf("not an archive")
	}
	a.thin = string(magic[:]) == thinMagic
	for at := int64(len(magic)); at < a.size; {
		next, err := a.member(at, depth)
		if err != nil {
			return fmt.Errorf("member at byte %d: %w", at, err)
		}
		if len(a.objects) > maxArchive {
			return fmt.Errorf("more than %d members", maxArchive)
		}
		at = next
	}
	return nil
}

// member reads the header at byte at, and returns where the next one is.
func (a *archive) member(at int64, depth int) (next int64, err error) {
	var h [arHeader]byte
	if n, err := a.r.ReadAt(h[:], at); n < arHeader {
		return 0, fmt.Errorf("truncated header: %w", err)
	}
	if string(h[58:]) != "`\n" {
		return 0, fmt.Errorf("bad header")
	}
	size, err := strconv.ParseInt(strings.TrimRight(string(h[48:58]), " "), 10, 64)
	if err != nil || size < 0 {
		return 0, fmt.Errorf("bad size %q", h[48:58])
	}
	name := strings.TrimRight(string(h[:16]), " ")
	data := at + arHeader
	table := name == "/" || name == "//" || name == "/SYM64/"
	end := data
	if table || !a.thin {
		if end += size; end > a.size {
			return 0, fmt.Errorf("truncated: %d bytes at %d of %d", size, data, a.size)
		}
	}
	next = (end + 1) &^ 1
	switch {
	case name == "//":
		if size > maxNames {
			return 0, fmt.Errorf("table of names of %d bytes", size)
		}
		a.names = make([]byte, size)
		_, err := a.r.ReadAt(a.names, data)
		return next, err
	case table:
		return next, nil
	}
	if name, err = a.name(name); err != nil {
		return 0, err
	}
	return next, a.add(name, data, size, depth)
}

// name resolves "/123", a place in the table of long names, and takes the slash off a short one.
func (a *archive) name(name string) (string, error) {
	ref, long := strings.CutPrefix(name, "/")
	if !long {
		return strings.TrimSuffix(name, "/"), nil
	}
	i, err := strconv.Atoi(strings.TrimRight(ref, " /")) // where ar has moved a member, it leaves a slash at the end
	if err != nil || i < 0 || i >= len(a.names) {
		return "", fmt.Errorf("bad name %q", name)
	}
	n := a.names[i:]
	end := bytes.Index(n, []byte("/\n"))
	if end < 0 {
		return "", fmt.Errorf("bad name %q", name)
	}
	return string(n[:end]), nil
}

func (a *archive) add(name string, data, size int64, depth int) error {
	if !a.thin {
		a.objects = append(a.objects, object{name: name, path: a.path, offset: data, size: size})
		return nil
	}
	path := name
	if !filepath.IsAbs(path) {
		path = filepath.Join(a.dir, name)
	}
	if strings.HasSuffix(name, ".a") {
		if depth >= maxNestedAr {
			return fmt.Errorf("%s: archives nested more than %d deep", show(name), maxNestedAr)
		}
		inner, err := members(path, depth+1)
		if err != nil {
			return err
		}
		for _, o := range inner {
			o.name = filepath.Join(filepath.Dir(name), o.name)
			a.objects = append(a.objects, o)
		}
		return nil
	}
	a.objects = append(a.objects, object{name: name, path: path, size: -1})
	return nil
}
