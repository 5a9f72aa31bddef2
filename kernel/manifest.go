// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

// The modes of a manifest are git's: a link, or a file that can or cannot be executed.
const (
	modeFile = 0o100644
	modeExec = 0o100755
	modeLink = 0o120000
)

type digest = [sha256.Size]byte

// An entry is one file of a source.
type entry struct {
	path string
	mode uint32
	sum  digest // of the content, or of a link's target
	size int64
}

func (e entry) same(o entry) bool { return e.mode == o.mode && e.sum == o.sum }

// fileMode is the mode on disk: nobody writes to a file of ours in place.
func (e entry) fileMode() fs.FileMode {
	if e.mode == modeExec {
		return 0o555
	}
	return 0o444
}

func manifestMode(m fs.FileMode) uint32 {
	switch {
	case m&fs.ModeSymlink != 0:
		return modeLink
	case m&0o100 != 0:
		return modeExec
	}
	return modeFile
}

// A manifest lists the files of a source, sorted by path (bytewise).
type manifest struct {
	entries []entry
}

func newManifest(entries []entry) *manifest {
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.path, b.path) })
	return &manifest{entries}
}

// hash is the content hash of a source. It is over what a build can see of it: mode, path and content of each file,
// and neither owners, times nor empty folders, so that an archive and a git tree of the same files have the same one.
func (m *manifest) hash() string {
	h := sha256.New()
	for _, e := range m.entries {
		fmt.Fprintf(h, "%06o %x %s\x00", e.mode, e.sum, e.path)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (m *manifest) find(name string) (entry, bool) {
	i, ok := slices.BinarySearchFunc(m.entries, name, func(e entry, n string) int { return strings.Compare(e.path, n) })
	if !ok {
		return entry{}, false
	}
	return m.entries[i], true
}

// diff calls f for each path that m and o do not have alike.
func (m *manifest) diff(o *manifest, f func(path string)) {
	a, b := m.entries, o.entries
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].path < b[0].path:
			f(a[0].path)
			a = a[1:]
		case len(a) == 0 || b[0].path < a[0].path:
			f(b[0].path)
			b = b[1:]
		default:
			if !a[0].same(b[0]) {
				f(a[0].path)
			}
			a, b = a[1:], b[1:]
		}
	}
}

// write writes the manifest, complete or not at all.
func (m *manifest) write(name string) error {
	tmp, err := os.CreateTemp(path.Dir(name), ".manifest-")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	w := bufio.NewWriterSize(tmp, 1<<20)
	for _, e := range m.entries {
		fmt.Fprintf(w, "%06o %x %d %s\x00", e.mode, e.sum, e.size, e.path)
	}
	if err := errors.Join(w.Flush(), tmp.Chmod(0o444), tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), name)
}

func readManifest(name string) (*manifest, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	m := &manifest{entries: make([]entry, 0, bytes.Count(data, []byte{0}))}
	for n := 1; len(data) > 0; n++ {
		rec, rest, ok := bytes.Cut(data, []byte{0})
		e, err := parseEntry(string(rec))
		if !ok || err != nil || n > 1 && m.entries[n-2].path >= e.path {
			return nil, fmt.Errorf("read manifest %s: record %d is damaged; remove the source's folder and its manifest", name, n)
		}
		m.entries = append(m.entries, e)
		data = rest
	}
	return m, nil
}

func parseEntry(s string) (e entry, err error) {
	mode, s, ok1 := strings.Cut(s, " ")
	sum, s, ok2 := strings.Cut(s, " ")
	size, name, ok3 := strings.Cut(s, " ")
	if !ok1 || !ok2 || !ok3 || name == "" || len(sum) != 2*len(e.sum) {
		return e, errors.New("cut short")
	}
	bits, err1 := strconv.ParseUint(mode, 8, 32)
	_, err2 := hex.Decode(e.sum[:], []byte(sum))
	n, err3 := strconv.ParseInt(size, 10, 64)
	e.path, e.mode, e.size = name, uint32(bits), n
	return e, errors.Join(err1, err2, err3)
}

// checkLinks finds a symbolic link that leads out of the source, through others if need be. Links that lead nowhere are
// fine: the kernel has them.
func checkLinks(links map[string]string) (bad string) {
	for name := range links {
		if escapes(links, name) {
			if bad == "" || name < bad {
				bad = name
			}
		}
	}
	return bad
}

// escapes walks a path as the kernel does (path_resolution(7)): ".." after a link is above where the link leads, so
// that cleaning the path by its text alone would not do.
func escapes(links map[string]string, name string) bool {
	var at []string
	todo := strings.Split(name, "/")
	for hops := 0; len(todo) > 0; {
		part := todo[0]
		todo = todo[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			if len(at) == 0 {
				return true
			}
			at = at[:len(at)-1]
			continue
		}
		at = append(at, part)
		if target, ok := links[strings.Join(at, "/")]; ok {
			if hops++; hops > 40 { // a loop leads nowhere
				return false
			}
			if strings.HasPrefix(target, "/") {
				return true
			}
			at = at[:len(at)-1]
			todo = append(strings.Split(target, "/"), todo...)
		}
	}
	return false
}
