// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"
	"syscall"

	"github.com/bluekeyes/go-gitdiff/gitdiff"
)

// Apply applies patches in order, in memory: all or none. Only the files that they touch are read. A patch that does not
// fit is an *ApplyError.
func Apply(base Source, ps []*Patch) (*Result, error) {
	a := &applier{source: base, base: map[string]*File{}, now: map[string]*File{}, drift: map[string]int{}}
	res := &Result{Patches: make([]Applied, 0, len(ps)), base: a.base}
	for _, p := range ps {
		done, err := a.patch(p)
		if err != nil {
			return nil, err
		}
		res.Patches = append(res.Patches, done)
	}
	return res, nil
}

type applier struct {
	source Source
	base   map[string]*File // what the source has; nil for nothing
	now    map[string]*File // what is there after the patches so far
	drift  map[string]int   // by how much the last hunk of a file has moved
}

// get returns the file at a path as it is now, nil for none.
func (a *applier) get(name string) (*File, error) {
	if f, ok := a.now[name]; ok {
		return f, nil
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if f, ok := a.now[dir]; ok && f == nil && a.base[dir] != nil { // gone now, and the base has nothing below a file
			a.base[name], a.now[name] = nil, nil
			return nil, nil
		}
	}
	f, err := a.source.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err != nil {
		f = nil
	}
	a.base[name], a.now[name] = f, f
	return f, nil
}

// patch applies one patch. All files of it are read as they were before it, as git apply does, so that two files may
// swap their names.
func (a *applier) patch(p *Patch) (Applied, error) {
	out := Applied{File: p.File, Hunks: []Hunk{}, Changed: map[string]*File{}}
	written := make([]*File, len(p.Diff))
	drifts := make([]int, len(p.Diff))
	for i, d := range p.Diff {
		if !d.IsNew {
			drifts[i] = a.drift[d.OldName]
		}
		f, hunks, err := a.file(p, i, &drifts[i])
		if err != nil {
			return out, err
		}
		written[i] = f
		out.Hunks = append(out.Hunks, hunks...)
	}
	for _, d := range p.Diff {
		if d.IsDelete || d.IsRename {
			out.Changed[d.OldName], a.now[d.OldName] = nil, nil
		}
	}
	for i, d := range p.Diff {
		if d.IsNew || d.IsRename || d.IsCopy {
			if err := a.checkFree(p, i, written[i]); err != nil {
				return out, err
			}
		}
	}
	for i, d := range p.Diff {
		if !d.IsDelete {
			out.Changed[d.NewName], a.now[d.NewName] = written[i], written[i]
			a.drift[d.NewName] = drifts[i]
		}
	}
	return out, a.checkFolders(p)
}

// file makes the new content of one file of a patch; it is nil for one that is deleted.
func (a *applier) file(p *Patch, i int, by *int) (*File, []Hunk, error) {
	d := p.Diff[i]
	e := func(format string, args ...any) *ApplyError { return newApplyError(p, i, format, args...) }
	if d.IsNew {
		data, hunks, err := placeAndApply(p, i, nil, by)
		return &File{Data: data, Mode: fs.FileMode(d.NewMode & 0o777)}, hunks, err
	}
	old, err := a.get(d.OldName)
	switch {
	case err != nil:
		return nil, nil, e("%v", err).because(err)
	case old == nil:
		err := e("%s is not there", d.OldName).because(fs.ErrNotExist)
		err.Already = d.IsDelete
		if d.IsRename {
			to, terr := a.get(d.NewName)
			err.Already = terr == nil && to != nil
		}
		return nil, nil, err
	case old.Mode&fs.ModeSymlink != 0:
		return nil, nil, e("%s is a symbolic link, refused", d.OldName)
	}
	mode := old.Mode
	if p.changesMode(i) {
		if want := fs.FileMode(d.OldMode & 0o777); mode != want {
			err := e("%s has mode %o, and the patch changes it from %o to %o", d.OldName, mode, want, d.NewMode&0o777)
			err.Already = mode == fs.FileMode(d.NewMode&0o777)
			return nil, nil, err
		}
		mode = fs.FileMode(d.NewMode & 0o777)
	}
	data, hunks, err := placeAndApply(p, i, old.Data, by)
	if err != nil {
		return nil, nil, err
	}
	if d.IsDelete {
		if len(data) > 0 {
			return nil, nil, e("%s is deleted, but the patch does not name its lines (made with --irreversible-delete?)", d.OldName)
		}
		return nil, hunks, nil
	}
	return &File{Data: data, Mode: mode}, hunks, nil
}

// changesMode tells whether a file's diff has "old mode" and "new mode"; an index line alone sets OldMode, too.
func (p *Patch) changesMode(i int) bool {
	d := p.Diff[i]
	return !d.IsNew && !d.IsDelete && d.NewMode != 0 && d.OldMode != d.NewMode
}

// placeAndApply places the hunks of a file and has gitdiff apply them there; it checks every line again. by is what is
// known of how lines have moved, before and after it.
func placeAndApply(p *Patch, i int, data []byte, by *int) ([]byte, []Hunk, error) {
	d := p.Diff[i]
	if len(d.TextFragments) == 0 {
		return data, nil, nil
	}
	name := d.NewName
	if d.IsDelete {
		name = d.OldName
	}
	f := &finder{lines: splitLines(data), by: *by}
	src := &lineSource{bytes.NewReader(data), f.lines}
	var dst bytes.Buffer
	dst.Grow(len(data) + 4096)
	apply := gitdiff.NewTextApplier(&dst, src)
	var hunks []Hunk
	for k, t := range d.TextFragments {
		at, ok, places := f.find(t)
		if !ok {
			return nil, nil, hunkError(p, i, k, f, places)
		}
		hunks = append(hunks, Hunk{Path: name, Line: at + 1, Offset: at - stated(t)})
		if err := apply.ApplyFragment(at1(t, at)); err != nil {
			return nil, nil, newApplyError(p, i, "hunk %d of %s: %v", k+1, name, err).because(err)
		}
	}
	if err := apply.Close(); err != nil {
		return nil, nil, newApplyError(p, i, "%s: %v", name, err).because(err)
	}
	*by = f.by
	return dst.Bytes(), hunks, nil
}

// at1 returns the hunk with the line where it goes in its header; gitdiff looks nowhere else.
func at1(t *gitdiff.TextFragment, at int) *gitdiff.TextFragment {
	c := *t
	if c.OldPosition > 0 {
		c.OldPosition = int64(at) + 1
	}
	return &c
}

// A lineSource gives gitdiff the lines that have been split already.
type lineSource struct {
	*bytes.Reader
	lines [][]byte
}

// ReadLinesAt implements gitdiff.LineReaderAt.
func (s *lineSource) ReadLinesAt(lines [][]byte, offset int64) (int, error) {
	n := copy(lines, s.lines[min(offset, int64(len(s.lines))):])
	if n < len(lines) {
		return n, io.EOF
	}
	return n, nil
}

// checkFree makes sure that nothing stands where a file is to be made.
func (a *applier) checkFree(p *Patch, i int, f *File) error {
	name := p.Diff[i].NewName
	have, err := a.get(name)
	switch {
	case errors.Is(err, syscall.EISDIR):
		return newApplyError(p, i, "%s is to be made, but there is a folder of that name", name).because(err)
	case err != nil:
		return newApplyError(p, i, "%s is to be made: %v", name, err).because(err)
	case have != nil:
		e := newApplyError(p, i, "%s is to be made, but is there", name).because(fs.ErrExist)
		e.Already = f.same(have)
		return e
	}
	return nil
}

// checkFolders makes sure that no file that the patch wrote stands where others have their folder, or under a file.
func (a *applier) checkFolders(p *Patch) error {
	for i, d := range p.Diff {
		if !d.IsNew && !d.IsRename && !d.IsCopy {
			continue
		}
		for dir := path.Dir(d.NewName); dir != "."; dir = path.Dir(dir) {
			if a.now[dir] != nil {
				return newApplyError(p, i, "%s is to be made, but %s is a file", d.NewName, dir)
			}
		}
		for other, f := range a.now {
			if f != nil && strings.HasPrefix(other, d.NewName+"/") {
				return newApplyError(p, i, "%s is to be made, but %s makes it a folder", d.NewName, other)
			}
		}
	}
	return nil
}
