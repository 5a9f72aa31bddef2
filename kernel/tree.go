// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seriesrig/series/internal/flock"
	"github.com/seriesrig/series/patches"
)

// A Tree is a working copy of a source: its files, some of them changed. It is locked while it is open.
type Tree struct {
	Dir  string // the folder
	Name string

	store *Store
	src   *Source
	state *treeState
	lock  *flock.Lock
	step  func() // tests crash here
}

// testStep is called with each tree that is opened.
var testStep func(*Tree)

var treeName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]*$`)

// Tree opens the working tree of that name, and waits for whoever has it open. One that is not there is made from src;
// one that has another base is moved to src by Set.
func (s *Store) Tree(ctx context.Context, src *Source, name string) (*Tree, error) {
	if !treeName.MatchString(name) || strings.HasSuffix(name, ".state") || strings.HasSuffix(name, ".lock") {
		return nil, fmt.Errorf("tree %q: bad name", name)
	}
	lock, err := flock.Acquire(ctx, filepath.Join(s.Dir, "tree", name+".lock"))
	if err != nil {
		return nil, fmt.Errorf("tree %s: %w", name, err)
	}
	t := &Tree{Dir: filepath.Join(s.Dir, "tree", name), Name: name, store: s, src: src, lock: lock, step: func() {}}
	if testStep != nil {
		testStep(t)
	}
	st, ok := readState(t.statePath())
	if fi, err := os.Lstat(t.Dir); ok && err == nil && fi.IsDir() {
		t.state = st
		return t, nil
	}
	if err := t.populate(ctx); err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

// Close gives up the tree's lock.
func (t *Tree) Close() error {
	t.lock.Release()
	return nil
}

func (t *Tree) statePath() string { return t.Dir + ".state" }

// scratch is the folder for files and trees that have no name yet.
func (t *Tree) scratch() string { return filepath.Join(t.store.Dir, "tree", ".new-"+t.Name) }

func (t *Tree) errorf(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("tree %s: no space left in %s: %w", t.Name, t.store.Dir, err)
	}
	return fmt.Errorf("tree %s: %w", t.Name, err)
}

// populate makes the tree anew, all files hard links to the source's.
func (t *Tree) populate(ctx context.Context) error {
	m, err := t.src.manifest()
	if err != nil {
		return t.errorf(err)
	}
	fresh := filepath.Join(t.scratch(), "tree")
	if err := errors.Join(os.RemoveAll(t.scratch()), os.MkdirAll(fresh, 0o755)); err != nil {
		return t.errorf(err)
	}
	defer os.RemoveAll(t.scratch())
	if err := t.linkAll(ctx, m, fresh); err != nil {
		return t.errorf(err)
	}
	// Without a state the folder is not trusted, so it goes first and comes last.
	if err := os.Remove(t.statePath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return t.errorf(err)
	}
	t.step()
	if err := os.Rename(t.Dir, filepath.Join(t.scratch(), "old")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return t.errorf(err)
	}
	t.step()
	if err := os.Rename(fresh, t.Dir); err != nil {
		return t.errorf(err)
	}
	t.step()
	t.state = &treeState{ID: newID(), Base: t.src.Hash, Files: map[string]treeFile{}}
	return t.writeState()
}

func (t *Tree) linkAll(ctx context.Context, m *manifest, to string) error {
	dirs := map[string]bool{".": true}
	var mkdir func(dir string) error
	mkdir = func(dir string) error {
		if dirs[dir] {
			return nil
		}
		if err := mkdir(path.Dir(dir)); err != nil {
			return err
		}
		dirs[dir] = true
		return os.Mkdir(filepath.Join(to, dir), 0o755)
	}
	for _, e := range m.entries {
		if err := mkdir(path.Dir(e.path)); err != nil {
			return err
		}
	}
	t.store.event(Event{Stage: "tree", Object: t.Name, Total: int64(len(m.entries))})
	g, ctx := errgroup.WithContext(ctx)
	workers := runtime.GOMAXPROCS(0)
	for chunk := range slices.Chunk(m.entries, max(1, (len(m.entries)+workers-1)/workers)) {
		g.Go(func() error {
			for _, e := range chunk {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				if err := link(filepath.Join(t.src.Dir, e.path), filepath.Join(to, e.path), e.mode == modeLink); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

func link(from, to string, symbolic bool) error {
	if !symbolic {
		return os.Link(from, to)
	}
	target, err := os.Readlink(from)
	if err != nil {
		return err
	}
	return os.Symlink(target, to)
}

func (t *Tree) writeState() error {
	t.state.Time = time.Now().UTC()
	if err := writeJSON(t.statePath(), t.state); err != nil {
		return t.errorf(err)
	}
	t.step()
	return nil
}

// Set brings the tree to its source plus files: a nil file is one that the source has and the tree has not. Only files
// whose content or mode differ from what is on disk are rewritten, each under a new inode and with the time of now, also
// where one goes back to what the source has: kbuild compares times. The paths of these are returned, sorted.
//
// A Set that was interrupted, by whatever, is mended by the next one; and so is a file among those ever Set that somebody
// else has changed since.
func (t *Tree) Set(ctx context.Context, files map[string]*patches.File) (rewritten []string, err error) {
	m, err := t.src.manifest()
	if err != nil {
		return nil, t.errorf(err)
	}
	if err := checkOverlay(m, files); err != nil {
		return nil, t.errorf(err)
	}
	doubt, ok := t.doubtful(m, files)
	if !ok {
		if err := t.populate(ctx); err != nil {
			return nil, err
		}
		doubt, _ = t.doubtful(m, files)
	}
	next := &treeState{ID: t.state.ID, Base: t.src.Hash, Files: map[string]treeFile{}}
	wanted := map[string]content{}
	for _, name := range doubt {
		want := wantedAt(m, files, name)
		have, known := t.state.recorded(t.Dir, name)
		if !known || slices.Contains(t.state.Pending, name) {
			have, err = onDisk(t.Dir, name)
			if err != nil {
				return nil, t.errorf(err)
			}
		}
		if want.mode == 0 && have.mode == 0 && slices.Contains(t.state.Pending, name) {
			t.prune(name) // whoever was killed may have made folders, or not yet removed them
		}
		if have != want {
			wanted[name] = want
			if have.mode == modeLink || want.mode == modeLink {
				next.ID = newID() // make goes by the times of what a link leads to
			}
			continue
		}
		st, err := stampAt(t.Dir, name)
		if err != nil {
			return nil, t.errorf(err)
		}
		next.record(name, have, st)
	}
	rewritten = slices.Sorted(maps.Keys(wanted))
	if len(rewritten) == 0 && t.state.Base == t.src.Hash && len(t.state.Pending) == 0 && maps.Equal(t.state.Files, next.Files) {
		return nil, nil
	}
	return rewritten, t.rewrite(ctx, next, rewritten, wanted, files)
}

// rewrite changes the files in names to what is wanted, with the journal around it.
func (t *Tree) rewrite(ctx context.Context, next *treeState, names []string, wanted map[string]content, files map[string]*patches.File) error {
	next.Pending = names
	t.state = next
	if len(names) > 0 {
		if err := t.writeState(); err != nil {
			return err
		}
	}
	if err := errors.Join(os.RemoveAll(t.scratch()), os.MkdirAll(t.scratch(), 0o755)); err != nil {
		return t.errorf(err)
	}
	defer os.RemoveAll(t.scratch())
	// Deletions first: a file may have to make room for a folder.
	for _, name := range names {
		if wanted[name].mode == 0 {
			if err := t.remove(name); err != nil {
				return t.errorf(err)
			}
			t.step()
			next.record(name, content{}, stamp{})
		}
	}
	for _, name := range names {
		if wanted[name].mode == 0 {
			continue
		}
		if ctx.Err() != nil {
			return t.errorf(ctx.Err()) // the journal says what is left to do
		}
		st, err := t.put(name, wanted[name], files[name])
		if err != nil {
			return t.errorf(err)
		}
		next.record(name, wanted[name], st)
	}
	next.Pending = nil
	return t.writeState()
}

// put writes one file under a scratch name and renames it to its place.
func (t *Tree) put(name string, want content, f *patches.File) (stamp, error) {
	if f == nil {
		var err error
		if f, err = t.src.ReadFile(name); err != nil {
			return stamp{}, err
		}
		if sha256.Sum256(f.Data) != want.sum {
			return stamp{}, fmt.Errorf("%s in %s is not what was unpacked there: something has written to it; remove that folder and run again", name, t.src.Dir)
		}
	}
	tmp := filepath.Join(t.scratch(), "file")
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return stamp{}, err
	}
	if err := writeNew(tmp, &entry{mode: want.mode}, f.Data); err != nil {
		return stamp{}, err
	}
	t.step()
	if err := t.makeRoom(name); err != nil {
		return stamp{}, err
	}
	t.step()
	if err := os.Rename(tmp, filepath.Join(t.Dir, name)); err != nil {
		return stamp{}, err
	}
	t.step()
	return stampAt(t.Dir, name)
}

// makeRoom makes the folders above a path, and removes what is in the way: checkOverlay has seen to it that nothing of
// the tree is.
func (t *Tree) makeRoom(name string) error {
	for i, c := range []byte(name) {
		if c != '/' {
			continue
		}
		dir := filepath.Join(t.Dir, name[:i])
		fi, err := os.Lstat(dir)
		if err == nil && !fi.IsDir() {
			if err := os.Remove(dir); err != nil {
				return err
			}
			err = fs.ErrNotExist
		}
		if err != nil {
			if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
		}
	}
	if fi, err := os.Lstat(filepath.Join(t.Dir, name)); err == nil && fi.IsDir() {
		return os.RemoveAll(filepath.Join(t.Dir, name))
	}
	return nil
}

// remove deletes a file, and the folders above it that are empty then.
func (t *Tree) remove(name string) error {
	if _, err := lstatIn(t.Dir, name); err == nil {
		if err := os.RemoveAll(filepath.Join(t.Dir, name)); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	t.step()
	t.prune(name)
	return nil
}

// prune removes the folders above a path, as far as they are empty.
func (t *Tree) prune(name string) {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		err := syscall.Rmdir(filepath.Join(t.Dir, dir)) // of a link: ENOTDIR
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return
		}
	}
}
