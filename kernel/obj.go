// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// An objDir is a kbuild output folder. One belongs to one tree and one configuration name, and is used by whoever has
// the tree open.
//
// kbuild believes time stamps: a file that is newer than what it is made from, and whose command has not changed, is
// good. That is not so after a build was killed, when half-written files are the newest of all, nor when the clock was
// set back. The stamp beside the folder says what was going on, and prepare removes what is not to be believed.
type objDir struct {
	dir   string
	stamp objStamp
	now   time.Time // when it was opened
}

// An objStamp is on disk before make starts, and again when everything that make wrote is.
type objStamp struct {
	Running  bool              `json:"running"`
	Setup    string            `json:"setup"` // hash of what makes old objects worthless as a whole
	Files    map[string]string `json:"files"` // what the tree had beside its base: path to mode and digest
	Base     string            `json:"base"`
	Linked   bool              `json:"linked,omitempty"` // a whole vmlinux was made of these files
	Warnings []carried         `json:"warnings,omitempty"`
}

func (s *Store) openObj(name string) *objDir {
	o := &objDir{dir: filepath.Join(s.Dir, "obj", name), now: time.Now()}
	if s.clock != nil {
		o.now = s.clock()
	}
	data, err := os.ReadFile(o.stampPath())
	if err != nil || json.Unmarshal(data, &o.stamp) != nil {
		o.stamp = objStamp{}
		return o
	}
	return o
}

func (o *objDir) stampPath() string { return o.dir + ".stamp" }

// prepare makes the folder fit to build the tree in, as far as a removal of files can: what is left is right by kbuild's
// rules. It says why it removed something.
func (o *objDir) prepare(t *Tree, setup string) (why string, err error) {
	fi, err := os.Stat(o.stampPath())
	last := o.stamp
	switch {
	case err != nil || last.Setup == "":
		why = "it has no stamp"
	case last.Setup != setup:
		why = "tree, toolchain, kernel version or arguments are others"
	case ctime(fi).After(o.now):
		why = "the clock was set back"
	}
	if why == "" {
		shadowed, err := o.shadowed(t)
		if err != nil {
			return "", err
		}
		if shadowed != "" {
			why = shadowed + " came or went, and others have that name"
		}
	}
	if why != "" {
		if err := os.RemoveAll(o.dir); err != nil {
			return "", err
		}
		o.stamp = objStamp{}
		return why, os.MkdirAll(o.dir, 0o755)
	}
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return "", err
	}
	if last.Running {
		why = "the last build in it was interrupted"
		if err := o.dropSince(ctime(fi)); err != nil {
			return "", err
		}
	}
	return why, o.touchChanged(t, ctime(fi))
}

func ctime(fi fs.FileInfo) time.Time {
	return time.Unix(fi.Sys().(*syscall.Stat_t).Ctim.Unix())
}

// dropSince removes all files that were made, changed or renamed since the interrupted build began: some may be cut
// short, and kbuild would take a file with a fresh time for good. Change times are what counts, since no program can set
// them. What is left is as old as the files that it was made from and that are gone now, or older, so that it is made
// again when those are.
//
// What Kconfig writes stays: it writes by rename, auto.conf last, and the empty files in include/config whose times say
// since when a symbol has its value are kbuild's memory of what has yet to be compiled again. A newer .config makes it
// write the others anew.
func (o *objDir) dropSince(start time.Time) error {
	err := filepath.WalkDir(o.dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if rel, _ := filepath.Rel(o.dir, p); d.IsDir() {
			if rel == "include/config" {
				return fs.SkipDir
			}
			return nil
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		if ctime(fi).Before(start) {
			return nil
		}
		return os.Remove(p)
	})
	if err != nil {
		return err
	}
	now := time.Now()
	if err := os.Chtimes(filepath.Join(o.dir, ".config"), now, now); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// treeFiles is what a tree has beside its base, for the stamp.
func treeFiles(t *Tree) map[string]string {
	files := map[string]string{}
	for name, f := range t.state.Files {
		files[name] = fmt.Sprintf("%o %s", f.Mode, f.Sum)
	}
	return files
}

// changed lists the files that the tree has had changed since the last build in this folder. A file that is in only one
// of the two lists may have been the base's own all the time; it is listed nevertheless.
func (o *objDir) changed(t *Tree) map[string]bool {
	now := treeFiles(t)
	set := map[string]bool{}
	for name, what := range now {
		if o.stamp.Files[name] != what {
			set[name] = true
		}
	}
	for name := range o.stamp.Files {
		if _, ok := now[name]; !ok {
			set[name] = true
		}
	}
	return set
}

// shadowed finds a header that came or went since the last build while there are others of its name: which of them an
// #include means may have changed, and no time stamp says so.
func (o *objDir) shadowed(t *Tree) (string, error) {
	var came []string
	for name := range o.changed(t) {
		if path.Ext(name) != ".h" {
			continue
		}
		was, had := o.stamp.Files[name]
		now, has := t.state.Files[name]
		if had && strings.HasPrefix(was, "0 ") || has && now.Mode == 0 || !had && !inBase(t, name) {
			came = append(came, name)
		}
	}
	if len(came) == 0 {
		return "", nil
	}
	m, err := t.src.manifest()
	if err != nil {
		return "", err
	}
	bases := map[string]string{}
	for _, name := range came {
		bases[path.Base(name)] = name
	}
	for _, e := range m.entries {
		if name, ok := bases[path.Base(e.path)]; ok && e.path != name {
			return name, nil
		}
	}
	return "", nil
}

func inBase(t *Tree, name string) bool {
	m, err := t.src.manifest()
	if err != nil {
		return false
	}
	_, ok := m.find(name)
	return ok
}

// touchChanged makes sure that each changed file of the tree is newer than whatever the last build made, also where it
// was written in the same tick of the clock.
func (o *objDir) touchChanged(t *Tree, last time.Time) error {
	for name := range o.changed(t) {
		full := filepath.Join(t.Dir, name)
		for {
			fi, err := lstatIn(t.Dir, name)
			if errors.Is(err, fs.ErrNotExist) {
				break
			}
			if err != nil {
				return err
			}
			if fi.Mode()&fs.ModeSymlink != 0 || fi.IsDir() || fi.ModTime().After(last) {
				break
			}
			if st := t.state.Files[name]; st.Mode == 0 {
				break // a hard link of the base's, whose times are not ours to set
			}
			now := time.Now()
			if err := os.Chtimes(full, now, now); err != nil {
				return err
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	return nil
}

// begin puts down that a build runs; it returns when that is on disk.
func (o *objDir) begin(t *Tree, setup string) error {
	st := objStamp{Running: true, Setup: setup, Files: mergeFiles(o.stamp.Files, treeFiles(t)), Base: t.src.Hash, Warnings: o.stamp.Warnings}
	return writeJSON(o.stampPath(), st)
}

// mergeFiles keeps, while a build runs, each file of the last stamp that the tree no longer differs in.
func mergeFiles(last, now map[string]string) map[string]string {
	all := maps.Clone(now)
	for name := range last {
		if _, ok := all[name]; !ok {
			all[name] = ""
		}
	}
	return all
}

// finish puts down that the build has ended by itself, and that what it wrote is on disk.
func (o *objDir) finish(t *Tree, setup string, warnings []carried, linked bool) error {
	if err := syncFS(o.dir); err != nil {
		return err
	}
	o.stamp = objStamp{Setup: setup, Files: treeFiles(t), Base: t.src.Hash, Linked: linked, Warnings: warnings}
	return writeJSON(o.stampPath(), o.stamp)
}
