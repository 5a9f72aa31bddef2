// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seriesrig/series/internal/cache"
	"github.com/seriesrig/series/internal/flock"
)

// A workKind is a sort of thing that the work folder holds, by the name that `series clean` knows it by.
type workKind struct {
	name  string
	about string
	cache []string // the cache's kinds that belong to it
}

// workKinds are in the order in which they are shown; things of the same age go in that order.
var workKinds = []workKind{
	{"trees", "working trees at patch N; their unchanged files are links to the source's", nil},
	{"obj", "kbuild's object folders", nil},
	{"logs", "consoles and events of guests", nil},
	{"snapshots", "guests that have booted", []string{"snapshot"}},
	{"builds", "kernels, and resolved configurations", []string{"build", "config"}},
	{"verdicts", "outcomes of guests, proofs and probes", []string{"guestrun", "sections", "kvm", "tsc", "delta", "linked", "extra"}},
	{"images", "initramfs images and the agent", []string{"initramfs"}},
	{"tests", "test binaries", nil},
	{"sources", "unpacked bases and their repositories", []string{"basegit1"}},
	{"other", "what else the cache holds", nil},
	{"runs", "recorded runs; they go only when they are named", nil},
}

// A thing is the least that can be deleted of the work folder by itself.
type thing struct {
	Kind string    `json:"kind"`
	Name string    `json:"name"` // relative to the work folder
	Size int64     `json:"size"` // bytes on disk that are free when it is gone
	Used time.Time `json:"used"` // when it was last used, as far as that shows

	drop func() (bool, error) // false: it is in use
	busy func() bool          // whether it is; nil: it cannot be
}

// things lists what the work folder holds, what was not used for the longest time first. It takes a look at every file.
func things(ctx context.Context, work string, c *cache.Cache) ([]thing, error) {
	all, err := cacheThings(ctx, c)
	if err != nil {
		return nil, err
	}
	rest := slices.Concat(treeThings(work), folderThings(work), runThings(work))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for i := range rest {
		t := &rest[i]
		g.Go(func() error {
			count := func(fi fs.FileInfo) bool { return true }
			if t.Kind == "trees" { // the rest is the source's, too
				count = func(fi fs.FileInfo) bool { return fi.IsDir() || fi.Sys().(*syscall.Stat_t).Nlink == 1 }
			}
			var err error
			t.Size, err = cache.DiskUsage(ctx, filepath.Join(work, t.Name), count)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	all = append(all, rest...)
	slices.SortStableFunc(all, func(a, b thing) int {
		return cmp.Or(a.Used.Compare(b.Used), kindOrder(a.Kind)-kindOrder(b.Kind), strings.Compare(a.Name, b.Name))
	})
	return all, nil
}

func kindOrder(name string) int {
	return slices.IndexFunc(workKinds, func(k workKind) bool { return k.name == name })
}

func cacheThings(ctx context.Context, c *cache.Cache) ([]thing, error) {
	entries, err := c.Entries(ctx)
	var all []thing
	for _, e := range entries {
		kind := "other"
		for _, k := range workKinds {
			if slices.Contains(k.cache, e.Kind) {
				kind = k.name
			}
		}
		all = append(all, thing{Kind: kind, Name: filepath.Join("cache", e.Kind, e.Key), Size: e.Size, Used: e.Used,
			drop: func() (bool, error) { return c.Drop(e) }, busy: func() bool { return c.Held(e) }})
	}
	return all, err
}

// treeThings are the sources, and what is made from them. A source counts as used when a tree of it was: its files are
// on disk until both are gone.
func treeThings(work string) []thing {
	var all []thing
	used := map[string]time.Time{}
	for _, name := range list(work, "tree") {
		dir := filepath.Join(work, "tree", name)
		fi, err := os.Stat(dir)
		if err != nil || !fi.IsDir() {
			continue
		}
		at := latest(dir, dir+".state", filepath.Join(work, "obj", name+"-release.stamp"))
		var state struct{ Base string }
		if data, err := os.ReadFile(dir + ".state"); err == nil && json.Unmarshal(data, &state) == nil {
			if hash := strings.TrimPrefix(state.Base, "sha256:"); at.After(used[hash]) {
				used[hash] = at
			}
		}
		all = append(all, thing{Kind: "trees", Name: filepath.Join("tree", name), Used: at, drop: func() (bool, error) {
			return unlessOpen(work, name, func() error { return removeInOrder(dir+".state", dir) })
		}, busy: func() bool { return treeOpen(work, name) }})
	}
	for _, name := range list(work, "obj") {
		dir := filepath.Join(work, "obj", name)
		if fi, err := os.Stat(dir); err != nil || !fi.IsDir() {
			continue
		}
		arch, _, _ := strings.Cut(name, "-")
		all = append(all, thing{Kind: "obj", Name: filepath.Join("obj", name), Used: latest(dir, dir+".stamp"), drop: func() (bool, error) {
			return unlessOpen(work, arch, func() error { return removeInOrder(dir+".stamp", dir+".log", dir) })
		}, busy: func() bool { return treeOpen(work, arch) }})
	}
	for _, name := range list(work, "src") {
		dir := filepath.Join(work, "src", name)
		if fi, err := os.Stat(dir); err != nil || !fi.IsDir() {
			continue
		}
		at := latest(dir + ".manifest")
		if used[name].After(at) {
			at = used[name]
		}
		all = append(all, thing{Kind: "sources", Name: filepath.Join("src", name), Used: at, drop: func() (bool, error) {
			return true, removeInOrder(dir+".manifest", dir)
		}})
	}
	return all
}

// folderThings are the folders that go as a whole.
func folderThings(work string) []thing {
	var all []thing
	for _, f := range []struct{ kind, dir, below string }{{"sources", "git", ""}, {"tests", "testbin", ""}, {"logs", "runs", "guests"}} {
		for _, name := range list(work, f.dir) {
			name = filepath.Join(f.dir, name, f.below)
			dir := filepath.Join(work, name)
			if fi, err := os.Stat(dir); err == nil && fi.IsDir() {
				all = append(all, thing{Kind: f.kind, Name: name, Used: latest(dir), drop: func() (bool, error) { return true, removeInOrder(dir) }})
			}
		}
	}
	return all
}

// runThings are the recorded runs: a record and what was written with it.
func runThings(work string) []thing {
	var all []thing
	for _, id := range list(work, "runs") {
		for _, name := range list(work, filepath.Join("runs", id)) {
			if !strings.HasPrefix(name, "v") { // results.Name's form
				continue
			}
			path := filepath.Join(work, "runs", id, name)
			all = append(all, thing{Kind: "runs", Name: filepath.Join("runs", id, name), Used: latest(path), drop: func() (bool, error) { return true, os.Remove(path) }})
		}
	}
	return all
}

// list returns the names in a folder of the work folder that are not hidden.
func list(work, dir string) []string {
	entries, _ := os.ReadDir(filepath.Join(work, dir))
	var names []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names
}

// latest is when the last of some files was changed.
func latest(paths ...string) time.Time {
	var at time.Time
	for _, p := range paths {
		if fi, err := os.Stat(p); err == nil && fi.ModTime().After(at) {
			at = fi.ModTime()
		}
	}
	return at
}

// unlessOpen calls f with the lock of a tree, which whoever builds in it has.
func unlessOpen(work, tree string, f func() error) (bool, error) {
	if err := os.MkdirAll(filepath.Join(work, "tree"), 0o755); err != nil {
		return false, err
	}
	lock, err := flock.Try(filepath.Join(work, "tree", tree+".lock"))
	if errors.Is(err, flock.ErrBusy) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer lock.Release()
	return true, f()
}

func treeOpen(work, tree string) bool {
	open, err := lockedBy(filepath.Join(work, "tree", tree+".lock"))
	return open || err != nil
}

// removeInOrder deletes files, then a folder. The files are what makes others trust the folder, and the folder loses its
// name before its content: whoever is killed in the middle of it leaves nothing that looks whole.
func removeInOrder(paths ...string) error {
	dir := paths[len(paths)-1]
	for _, p := range paths[:len(paths)-1] {
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	gone := filepath.Join(filepath.Dir(dir), removedPrefix+filepath.Base(dir))
	if err := cache.RemoveTree(gone); err != nil {
		return err
	}
	if err := os.Rename(dir, gone); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return cache.RemoveTree(gone)
}

// removedPrefix begins the names of what is being deleted.
const removedPrefix = ".tmp-removed-"

// sweepRemoved deletes what an earlier clean was killed over.
func sweepRemoved(work string) error {
	var errs []error
	for _, pattern := range []string{"*", "runs/*"} {
		left, _ := filepath.Glob(filepath.Join(work, pattern, removedPrefix+"*"))
		for _, path := range left {
			errs = append(errs, cache.RemoveTree(path))
		}
	}
	return errors.Join(errs...)
}
