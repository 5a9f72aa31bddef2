// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/memory"
)

// The committer of what is made here. Name and time are fixed, so that the same patches on the same base are the same
// commits, whoever makes them.
const (
	committerName  = "Series Rig"
	committerEmail = "series@seriesrig.invalid"
)

// A builder makes commits in memory. Of the base it holds the folders that the patches touch, and of these it writes
// only those anew that a patch changed; everything else is referred to by its hash.
type builder struct {
	store *memory.Storage
	order []plumbing.Hash // objects in the order in which they were made, each once
	dirs  map[string]tree
	dirty map[string]bool
}

func newBuilder(dirs map[string]tree) *builder {
	return &builder{store: memory.NewStorage(), dirs: dirs, dirty: map[string]bool{}}
}

// put stores an object.
func (b *builder) put(kind plumbing.ObjectType, encode func(plumbing.EncodedObject) error) (plumbing.Hash, error) {
	o := b.store.NewEncodedObject()
	o.SetType(kind)
	if err := encode(o); err != nil {
		return plumbing.ZeroHash, err
	}
	h := o.Hash()
	if b.store.HasEncodedObject(h) == nil {
		return h, nil
	}
	b.order = append(b.order, h)
	return b.store.SetEncodedObject(o)
}

// set puts a file in its place, or removes it where f is nil.
func (b *builder) set(name string, f *File) error {
	dir, base := path.Dir(name), path.Base(name)
	for d := dir; ; d = path.Dir(d) {
		b.dirty[d] = true
		if b.dirs[d] == nil {
			b.dirs[d] = tree{}
		}
		if d == "." {
			break
		}
	}
	if f == nil {
		delete(b.dirs[dir], base)
		return nil
	}
	mode := filemode.Regular
	switch {
	case f.Mode&fs.ModeSymlink != 0:
		mode = filemode.Symlink
	case f.Mode&0o100 != 0:
		mode = filemode.Executable
	}
	h, err := b.put(plumbing.BlobObject, func(o plumbing.EncodedObject) error { return write(o, f.Data) })
	if err != nil {
		return err
	}
	b.dirs[dir][base] = object.TreeEntry{Name: base, Mode: mode, Hash: h}
	return nil
}

func write(o plumbing.EncodedObject, data []byte) error {
	w, err := o.Writer()
	if err != nil {
		return err
	}
	defer w.Close()
	_, err = w.Write(data)
	return err
}

// tree writes the folders that have changed, the deepest first, and returns the top's hash.
func (b *builder) tree() (plumbing.Hash, error) {
	dirs := make([]string, 0, len(b.dirty))
	for d := range b.dirty {
		dirs = append(dirs, d)
	}
	depth := func(d string) int {
		if d == "." {
			return -1
		}
		return strings.Count(d, "/")
	}
	slices.SortFunc(dirs, func(x, y string) int {
		if d := depth(y) - depth(x); d != 0 {
			return d
		}
		return strings.Compare(x, y)
	})
	var top plumbing.Hash
	for _, d := range dirs {
		if len(b.dirs[d]) == 0 && d != "." { // git knows no empty folders
			delete(b.dirs, d)
			// A file may have taken the folder's name meanwhile.
			if parent := b.dirs[path.Dir(d)]; parent[path.Base(d)].Mode == filemode.Dir {
				delete(parent, path.Base(d))
			}
			continue
		}
		t := object.Tree{Entries: make([]object.TreeEntry, 0, len(b.dirs[d]))}
		for _, e := range b.dirs[d] {
			t.Entries = append(t.Entries, e)
		}
		slices.SortFunc(t.Entries, func(x, y object.TreeEntry) int { return strings.Compare(sortName(x), sortName(y)) })
		h, err := b.put(plumbing.TreeObject, t.Encode)
		if err != nil {
			return h, fmt.Errorf("write tree %s: %w", d, err)
		}
		if d == "." {
			top = h
			continue
		}
		b.dirs[path.Dir(d)][path.Base(d)] = object.TreeEntry{Name: path.Base(d), Mode: filemode.Dir, Hash: h}
	}
	clear(b.dirty)
	return top, nil
}

// sortName is what git sorts the entries of a tree by: a folder's name counts with a slash at its end.
func sortName(e object.TreeEntry) string {
	if e.Mode == filemode.Dir {
		return e.Name + "/"
	}
	return e.Name
}

// commits makes one commit per patch on top of the base.
func (b *builder) commits(base plumbing.Hash, after time.Time, ps []*Patch, res *Result) ([]plumbing.Hash, error) {
	var ids []plumbing.Hash
	parent := base
	for i, p := range ps {
		changed := res.Patches[i].Changed
		for _, name := range sortedKeys(changed) {
			if changed[name] == nil { // first what goes, since a folder may come where a file was
				if err := b.set(name, nil); err != nil {
					return nil, err
				}
			}
		}
		for _, name := range sortedKeys(changed) {
			if f := changed[name]; f != nil {
				if err := b.set(name, f); err != nil {
					return nil, err
				}
			}
		}
		top, err := b.tree()
		if err != nil {
			return nil, err
		}
		// Not before the commit below it: git takes the order of dates for a hint at the order of commits.
		when := p.Date
		if after.After(when) {
			when = after
		}
		after = when
		c := object.Commit{
			Author:       object.Signature{Name: p.Author.Name, Email: p.Author.Email, When: p.Date},
			Committer:    object.Signature{Name: committerName, Email: committerEmail, When: when.UTC()},
			Message:      p.Message(),
			TreeHash:     top,
			ParentHashes: []plumbing.Hash{parent},
		}
		if parent, err = b.put(plumbing.CommitObject, c.Encode); err != nil {
			return nil, fmt.Errorf("write commit of %s: %w", p.File, err)
		}
		ids = append(ids, parent)
	}
	return ids, nil
}

func sortedKeys(m map[string]*File) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// commitOn makes the commits of a series on a base commit.
func commitOn(ctx context.Context, base Commit, ps []*Patch, res *Result) (*builder, plumbing.Hash, []plumbing.Hash, error) {
	id, err := base.resolve(ctx)
	if err != nil {
		return nil, id, nil, err
	}
	paths := sortedKeys(res.base)
	dirs, err := readTrees(ctx, base.Repo, id, paths)
	if err != nil {
		return nil, id, nil, err
	}
	for _, name := range paths {
		if err := checkBase(dirs, name, res.base[name]); err != nil {
			return nil, id, nil, fmt.Errorf("commit %s of %s is not what the patches were applied to: %w", id, base.Repo, err)
		}
	}
	objs, err := readObjects(ctx, base.Repo, []string{id.String()})
	if err != nil {
		return nil, id, nil, err
	}
	after, err := committed(objs[id.String()])
	if err != nil {
		return nil, id, nil, fmt.Errorf("read commit %s of %s: %w", id, base.Repo, err)
	}
	b := newBuilder(dirs)
	ids, err := b.commits(id, after, ps, res)
	return b, id, ids, err
}

// checkBase makes sure that a file of the commit is the one that was patched. Whole files are committed, so without this
// a branch on the wrong base would silently take back whatever the base has more.
func checkBase(dirs map[string]tree, name string, f *File) error {
	e, err := entry(dirs, name)
	if err != nil && f != nil {
		return err
	}
	switch {
	case e == nil && f == nil:
		return nil
	case e == nil:
		return fmt.Errorf("it has no %s", name)
	case f == nil:
		return fmt.Errorf("it has %s, too", name)
	}
	same := plumbing.ComputeHash(plumbing.BlobObject, f.Data) == e.Hash
	link := f.Mode&fs.ModeSymlink != 0
	if !same || link != (e.Mode == filemode.Symlink) || !link && (f.Mode&0o100 != 0) != (e.Mode == filemode.Executable) {
		return fmt.Errorf("its %s differs", name)
	}
	return nil
}

// committed returns the time of a commit object.
func committed(o obj) (time.Time, error) {
	m := &plumbing.MemoryObject{}
	m.SetType(plumbing.CommitObject)
	if _, err := m.Write(o.data); err != nil {
		return time.Time{}, err
	}
	var c object.Commit
	if err := c.Decode(m); err != nil {
		return time.Time{}, err
	}
	return c.Committer.When, nil
}
