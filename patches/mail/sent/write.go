// SPDX-License-Identifier: Apache-2.0

package sent

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"

	"github.com/seriesrig/series/patches"
	"github.com/seriesrig/series/patches/mail"
)

// A writer puts objects into a repository.
type writer struct{ st storer.EncodedObjectStorer }

func (w *writer) put(kind plumbing.ObjectType, encode func(plumbing.EncodedObject) error) (plumbing.Hash, error) {
	o := w.st.NewEncodedObject()
	o.SetType(kind)
	if err := encode(o); err != nil {
		return plumbing.ZeroHash, err
	}
	if h := o.Hash(); w.st.HasEncodedObject(h) == nil {
		return h, nil
	}
	return w.st.SetEncodedObject(o)
}

// tree writes files, and the folders that they are in.
func (w *writer) tree(files patches.Map) (plumbing.Hash, error) {
	var entries []object.TreeEntry
	folders := map[string]patches.Map{}
	for name, f := range files {
		if dir, rest, ok := strings.Cut(name, "/"); ok {
			if folders[dir] == nil {
				folders[dir] = patches.Map{}
			}
			folders[dir][rest] = f
			continue
		}
		mode := filemode.Regular
		switch {
		case f.Mode&fs.ModeSymlink != 0:
			mode = filemode.Symlink
		case f.Mode&0o100 != 0:
			mode = filemode.Executable
		}
		h, err := w.put(plumbing.BlobObject, func(o plumbing.EncodedObject) error {
			b, err := o.Writer()
			if err != nil {
				return err
			}
			defer b.Close()
			_, err = b.Write(f.Data)
			return err
		})
		if err != nil {
			return h, err
		}
		entries = append(entries, object.TreeEntry{Name: name, Mode: mode, Hash: h})
	}
	for name, sub := range folders {
		h, err := w.tree(sub)
		if err != nil {
			return h, err
		}
		entries = append(entries, object.TreeEntry{Name: name, Mode: filemode.Dir, Hash: h})
	}
	slices.SortFunc(entries, func(a, b object.TreeEntry) int { return strings.Compare(sortName(a), sortName(b)) })
	return w.put(plumbing.TreeObject, (&object.Tree{Entries: entries}).Encode)
}

// sortName is what git sorts the entries of a tree by.
func sortName(e object.TreeEntry) string {
	if e.Mode == filemode.Dir {
		return e.Name + "/"
	}
	return e.Name
}

// withoutCopies returns patches in which a copied file is one that was there before, as nothing but the patch shows what is in
// it. What was copied is told instead, for each patch.
func withoutCopies(ps []*patches.Patch) (out []*patches.Patch, told []string) {
	out, told = slices.Clone(ps), make([]string, len(ps))
	for i, p := range ps {
		q := *p
		q.Diff = slices.Clone(p.Diff)
		for k, f := range p.Diff {
			if f.IsCopy {
				told[i] += fmt.Sprintf("\n[copies %s to %s]\n", f.OldName, f.NewName)
				g := *f
				g.IsCopy, g.OldName, g.Score = false, f.NewName, 0
				q.Diff[k] = &g
				out[i] = &q
			}
		}
	}
	return out, told
}

// commits writes the patches as commits on a base that is made of them. The same patches make the same commits.
func (w *writer) commits(ps []*patches.Patch) (base plumbing.Hash, ids []plumbing.Hash, err error) {
	ps, copies := withoutCopies(ps)
	files, err := mail.Skeleton(ps)
	if err != nil {
		return base, nil, err
	}
	res, err := patches.Apply(files, ps)
	if err != nil {
		return base, nil, err
	}
	tree, err := w.tree(files)
	if err != nil {
		return base, nil, err
	}
	nobody := object.Signature{Name: "Series Rig", Email: "series@seriesrig.invalid", When: time.Unix(1_000_684_800, 0).UTC()}
	base, err = w.put(plumbing.CommitObject, (&object.Commit{Author: nobody, Committer: nobody, TreeHash: tree,
		Message: "what the patches show of their base\n"}).Encode)
	if err != nil {
		return base, nil, err
	}
	parent := base
	for i, p := range ps {
		for name, f := range res.Patches[i].Changed {
			if delete(files, name); f != nil {
				files[name] = f
			}
		}
		if tree, err = w.tree(files); err != nil {
			return base, nil, err
		}
		c := object.Commit{Author: object.Signature{Name: p.Author.Name, Email: p.Author.Email, When: p.Date}, Committer: nobody,
			Message: mail.CommitMessage(p) + copies[i], TreeHash: tree, ParentHashes: []plumbing.Hash{parent}}
		if parent, err = w.put(plumbing.CommitObject, c.Encode); err != nil {
			return base, nil, fmt.Errorf("commit of patch %d: %w", i+1, err)
		}
		ids = append(ids, parent)
	}
	return base, ids, nil
}
