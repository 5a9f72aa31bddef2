// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/seriesrig/series/patches"
)

// A Source is an unpacked kernel source. Its files never change; two sources with the same hash are the same folder,
// whatever the kind of their bases. It implements [patches.Source].
type Source struct {
	Base    Base   `json:"-"`
	Spec    string `json:"spec"`              // the base, as it was asked for
	Version string `json:"version"`           // the kernel's, from its Makefile: "6.12.117"
	Package string `json:"package,omitempty"` // debian: the package's version
	Commit  string `json:"commit,omitempty"`  // git: the commit's full name
	Hash    string `json:"hash"`              // "sha256:…" over the mode, path and content of every file
	Note    string `json:"note,omitempty"`    // what a reader of the results must know, such as that a server was out of reach
	Dir     string `json:"-"`                 // the folder
	Repo    string `json:"-"`                 // git: the repository that has the commit

	manifest func() (*manifest, error)
}

func newSource(b Base, dir, hash string) (*Source, error) {
	v, err := kernelVersion(dir)
	if err != nil {
		return nil, b.errorf(err, "not a kernel source")
	}
	s := &Source{Base: b, Spec: b.String(), Version: v, Hash: "sha256:" + hash, Dir: dir}
	s.manifest = sync.OnceValues(func() (*manifest, error) { return readManifest(dir + ".manifest") })
	return s, nil
}

// ReadFile returns a file of the source by its path, slashes between its parts. A symbolic link is returned as such,
// with its target as the content. A path that leads out of the source, or through a symbolic link, is an error; one that
// is not there is an error that wraps fs.ErrNotExist.
func (s *Source) ReadFile(name string) (*patches.File, error) { return readFile(s.Dir, name) }

func readFile(dir, name string) (*patches.File, error) {
	bad := func(err error) (*patches.File, error) { return nil, &fs.PathError{Op: "read", Path: name, Err: err} }
	if !fs.ValidPath(name) || name == "." {
		return bad(errors.New("not a path in the source"))
	}
	for p := path.Dir(name); p != "."; p = path.Dir(p) {
		fi, err := os.Lstat(filepath.Join(dir, p))
		if err == nil && fi.Mode()&fs.ModeSymlink != 0 {
			return bad(fmt.Errorf("%s is a symbolic link", p))
		}
		if err == nil && !fi.IsDir() {
			return bad(fmt.Errorf("%s: %w", p, syscall.ENOTDIR))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	full := filepath.Join(dir, name)
	fi, err := os.Lstat(full)
	if err != nil {
		return bad(underlying(err))
	}
	switch {
	case fi.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(full)
		if err != nil {
			return bad(underlying(err))
		}
		return &patches.File{Data: []byte(target), Mode: fs.ModeSymlink}, nil
	case fi.IsDir():
		return bad(syscall.EISDIR)
	case !fi.Mode().IsRegular():
		return bad(errors.New("not a file"))
	}
	data, err := os.ReadFile(full)
	if err != nil {
		return bad(underlying(err))
	}
	return &patches.File{Data: data, Mode: gitMode(fi.Mode())}, nil
}

func underlying(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// gitMode reduces a mode to what git keeps of it, and patches can say: link, executable or not.
func gitMode(m fs.FileMode) fs.FileMode {
	switch {
	case m&fs.ModeSymlink != 0:
		return fs.ModeSymlink
	case m&0o100 != 0:
		return 0o755
	}
	return 0o644
}

// kernelVersion reads the version out of a source's Makefile, in the form of kbuild's KERNELVERSION.
func kernelVersion(dir string) (string, error) {
	for _, need := range []string{"Makefile", "Kbuild", "Kconfig"} {
		if fi, err := os.Stat(filepath.Join(dir, need)); err != nil || !fi.Mode().IsRegular() {
			return "", fmt.Errorf("it has no %s at its top", need)
		}
	}
	f, err := os.Open(filepath.Join(dir, "Makefile"))
	if err != nil {
		return "", err
	}
	defer f.Close()
	v := map[string]string{}
	sc := bufio.NewScanner(f)
	for n := 0; n < 40 && sc.Scan(); n++ {
		name, value, ok := strings.Cut(sc.Text(), "=")
		switch name = strings.TrimSpace(name); name {
		case "VERSION", "PATCHLEVEL", "SUBLEVEL", "EXTRAVERSION":
			if _, twice := v[name]; ok && !twice {
				v[name] = strings.TrimSpace(value)
			}
		}
	}
	if v["VERSION"] == "" || v["PATCHLEVEL"] == "" {
		return "", errors.New("its Makefile has no VERSION and PATCHLEVEL")
	}
	s := v["VERSION"] + "." + v["PATCHLEVEL"]
	if v["SUBLEVEL"] != "" {
		s += "." + v["SUBLEVEL"]
	}
	return s + v["EXTRAVERSION"], nil
}
