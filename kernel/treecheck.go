// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"sort"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/seriesrig/series/patches"
)

// lstatIn looks at a path below root. Where it leads through a link or a file, there is nothing at it.
func lstatIn(root, name string) (fs.FileInfo, error) {
	for i, c := range []byte(name) {
		if c != '/' {
			continue
		}
		fi, err := os.Lstat(filepath.Join(root, name[:i]))
		if err != nil {
			return nil, err
		}
		if !fi.IsDir() {
			return nil, &fs.PathError{Op: "lstat", Path: name, Err: fs.ErrNotExist}
		}
	}
	return os.Lstat(filepath.Join(root, name))
}

// stampAt returns the stamp of what is at a path, a zero one where nothing is.
func stampAt(root, name string) (stamp, error) {
	fi, err := lstatIn(root, name)
	if errors.Is(err, fs.ErrNotExist) {
		return stamp{}, nil
	}
	if err != nil {
		return stamp{}, err
	}
	return stampOf(fi), nil
}

// wantedAt is what the tree shall have at a path.
func wantedAt(m *manifest, files map[string]*patches.File, name string) content {
	if f, ok := files[name]; ok {
		if f == nil {
			return content{}
		}
		return content{manifestMode(f.Mode), sha256.Sum256(f.Data)}
	}
	e, _ := m.find(name)
	return content{e.mode, e.sum}
}

// doubtful lists the paths that may not be on disk what they shall be, sorted. It is not ok where the tree had better be
// made anew.
func (t *Tree) doubtful(m *manifest, files map[string]*patches.File) (names []string, ok bool) {
	set := map[string]bool{}
	for name := range t.state.Files {
		set[name] = true
	}
	for _, name := range t.state.Pending {
		set[name] = true
	}
	for name := range files {
		set[name] = true
	}
	if t.state.Base != t.src.Hash {
		old, err := readManifest(t.store.src(strings.TrimPrefix(t.state.Base, "sha256:") + ".manifest"))
		if err != nil {
			return nil, false
		}
		differ := 0
		old.diff(m, func(name string) {
			differ++
			set[name] = true
		})
		if differ > len(m.entries)/4 {
			return nil, false
		}
	}
	for name := range set {
		names = append(names, name)
	}
	sort.Strings(names)
	return names, true
}

// checkOverlay refuses paths that lead out of the tree, or through what is no folder.
func checkOverlay(m *manifest, files map[string]*patches.File) error {
	for name, f := range files {
		if !fs.ValidPath(name) || name == "." || strings.ContainsRune(name, 0) || inGit(name) {
			return fmt.Errorf("%q: not a path within the tree", name)
		}
		if f == nil {
			continue
		}
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if c := wantedAt(m, files, dir); c.mode != 0 {
				return fmt.Errorf("%s: %s is a file or a link, not a folder", name, dir)
			}
		}
		i, _ := slices.BinarySearchFunc(m.entries, name+"/", func(e entry, n string) int { return strings.Compare(e.path, n) })
		for ; i < len(m.entries) && strings.HasPrefix(m.entries[i].path, name+"/"); i++ {
			if g, ok := files[m.entries[i].path]; !ok || g != nil {
				return fmt.Errorf("%s: is a folder with files in it", name)
			}
		}
		if f.Mode&fs.ModeSymlink != 0 && escapes(map[string]string{name: string(f.Data)}, name) {
			return fmt.Errorf("%s: symbolic link to %q, which is outside of the tree", name, f.Data)
		}
	}
	return nil
}

// A Difference is a path at which a tree is not what it should be.
type Difference struct {
	Path string
	What string // "changed", "missing" or "unexpected"
}

// Verify reads the whole tree and compares it with its source plus files. What differs is also put down in the journal,
// so that the next Set mends it.
func (t *Tree) Verify(ctx context.Context, files map[string]*patches.File) ([]Difference, error) {
	m, err := t.src.manifest()
	if err != nil {
		return nil, t.errorf(err)
	}
	names := map[string]bool{}
	for _, e := range m.entries {
		names[e.path] = true
	}
	for name := range files {
		names[name] = true
	}
	err = filepath.WalkDir(t.Dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names[p[len(t.Dir)+1:]] = true
		}
		return err
	})
	if err != nil {
		return nil, t.errorf(err)
	}
	list := make([]string, 0, len(names))
	for name := range names {
		list = append(list, name)
	}
	sort.Strings(list)
	diffs, err := t.compare(ctx, m, files, list)
	if err != nil {
		return nil, t.errorf(err)
	}
	for _, d := range diffs {
		t.state.Pending = append(t.state.Pending, d.Path)
	}
	if len(diffs) > 0 {
		return diffs, t.writeState()
	}
	return nil, nil
}

func (t *Tree) compare(ctx context.Context, m *manifest, files map[string]*patches.File, names []string) ([]Difference, error) {
	var mu sync.Mutex
	var diffs []Difference
	g, ctx := errgroup.WithContext(ctx)
	workers := runtime.GOMAXPROCS(0)
	for chunk := range slices.Chunk(names, max(1, (len(names)+workers-1)/workers)) {
		g.Go(func() error {
			for _, name := range chunk {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				want := wantedAt(m, files, name)
				have, err := onDisk(t.Dir, name)
				if err != nil {
					return err
				}
				if have != want {
					d := Difference{name, "changed"}
					if want.mode == 0 {
						d.What = "unexpected"
					} else if have.mode == 0 {
						d.What = "missing"
					}
					mu.Lock()
					diffs = append(diffs, d)
					mu.Unlock()
				}
			}
			return nil
		})
	}
	err := g.Wait()
	slices.SortFunc(diffs, func(a, b Difference) int { return strings.Compare(a.Path, b.Path) })
	return diffs, err
}
