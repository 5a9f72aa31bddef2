// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/seriesrig/series/internal/cache"
	"github.com/seriesrig/series/internal/flock"
)

// A snapshot is what is remembered of a user's folder: where each file of ours came from, so that only files that have
// changed since are read again.
type snapshot struct {
	Path  string
	Hash  string // of the source that it gave
	Older string // of the one before, which a caller may still work with
	Files map[string]snapFile
}

type snapFile struct {
	Stamp stamp
	Mode  uint32
	Sum   digest
}

func (s *Store) snapshotPath(dir string) string {
	return s.src(".known", cache.KeyOf("dir "+dir)+".dir")
}

// resolveDir copies a user's folder, which is never written to. A git work tree gives its tracked and its untracked files
// without the ignored ones, and any other folder all that is in it.
func (s *Store) resolveDir(ctx context.Context, b Base) (*Source, error) {
	dir, err := b.path()
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return nil, b.errorf(underlying(err), "cannot be read")
	}
	if fi, err := os.Stat(dir); err != nil || !fi.IsDir() {
		return nil, b.errorf(err, "not a folder")
	}
	if dir == s.Dir || strings.HasPrefix(dir, s.Dir+"/") {
		return nil, b.errorf(nil, "it is within the work folder %s", s.Dir)
	}
	if _, err := kernelVersion(dir); err != nil {
		return nil, b.errorf(err, "not a kernel source")
	}
	lock, err := flock.Acquire(ctx, s.src(".lock"))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", b, err)
	}
	defer lock.Release()
	names, err := s.listDir(ctx, b, dir)
	if err != nil {
		return nil, err
	}
	started := time.Now()
	old := s.readSnapshot(dir)
	now, changed, err := stampAll(ctx, dir, names, old)
	if err != nil {
		return nil, b.errorf(err, "cannot be read")
	}
	switch {
	case !changed && old.Hash != "":
		now = old
	case sameContent(dir, old, now):
		err = s.keepSnapshot(b, old, now, old.Hash, started)
	default:
		err = s.copyDir(ctx, b, dir, old, now)
	}
	if err != nil {
		return nil, err
	}
	return newSource(b, s.src(now.Hash), now.Hash)
}

func (s *Store) readSnapshot(dir string) *snapshot {
	f, err := os.Open(s.snapshotPath(dir))
	if err != nil {
		return &snapshot{}
	}
	defer f.Close()
	var old snapshot
	if gob.NewDecoder(f).Decode(&old) != nil || old.Path != dir || !s.has(old.Hash) {
		return &snapshot{}
	}
	return &old
}

// listDir lists the files of a folder that count, by paths from it.
func (s *Store) listDir(ctx context.Context, b Base, dir string) ([]string, error) {
	if exists(filepath.Join(dir, ".git")) {
		out, err := git(dir, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate").Output(ctx)
		if err != nil {
			return nil, gitError(b, err, "cannot list the work tree")
		}
		var names []string
		for name := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
			if name != "" && !strings.HasSuffix(name, "/") { // a repository below this one ends in a slash
				names = append(names, name)
			}
		}
		return names, nil
	}
	for _, made := range []string{".config", "include/config", "include/generated"} {
		if exists(filepath.Join(dir, made)) {
			return nil, b.errorf(nil, "a kernel was built in it (there is %s); run make mrproper there, or name a git work tree, whose ignored files are left out", made)
		}
	}
	var names []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		if d.Name() == ".git" && d.IsDir() {
			return fs.SkipDir
		}
		if !d.IsDir() && d.Name() != ".git" {
			names = append(names, p[len(dir)+1:])
		}
		return nil
	})
	if err != nil {
		return nil, b.errorf(err, "cannot be read")
	}
	return names, nil
}

// stampAll looks at all files and tells whether any differs from the old snapshot. Digests of files that do not are
// carried over; the others have none yet.
func stampAll(ctx context.Context, dir string, names []string, old *snapshot) (*snapshot, bool, error) {
	now := &snapshot{Path: dir, Files: make(map[string]snapFile, len(names))}
	changed := false
	for _, name := range names {
		if ctx.Err() != nil {
			return nil, false, ctx.Err()
		}
		fi, err := os.Lstat(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) || err == nil && fi.IsDir() {
			continue // tracked and deleted, or a submodule
		}
		if err != nil {
			return nil, false, err
		}
		if !fi.Mode().IsRegular() && fi.Mode()&fs.ModeSymlink == 0 {
			continue // a socket or pipe that some program left there
		}
		f := snapFile{Stamp: stampOf(fi), Mode: manifestMode(fi.Mode())}
		if was, ok := old.Files[name]; ok && was.Stamp == f.Stamp && was.Mode == f.Mode {
			f.Sum = was.Sum
		} else {
			changed = true
		}
		now.Files[name] = f
	}
	return now, changed || len(now.Files) != len(old.Files), nil
}

// sameContent tells whether the files whose stamps have changed still are what they were: they were touched, or written
// again, or had been changed too shortly before the last look for their stamps to prove anything.
func sameContent(dir string, old, now *snapshot) bool {
	if old.Hash == "" || len(old.Files) != len(now.Files) {
		return false
	}
	for name, f := range now.Files {
		if f.Sum != (digest{}) {
			continue
		}
		was, ok := old.Files[name]
		if !ok || was.Mode != f.Mode || f.Mode == modeLink {
			return false
		}
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || sha256.Sum256(data) != was.Sum {
			return false
		}
	}
	return true
}

// copyDir makes a source of the folder as it is. Files that the last one has are linked from there.
func (s *Store) copyDir(ctx context.Context, b Base, dir string, old, now *snapshot) error {
	started := time.Now()
	names := make([]string, 0, len(now.Files))
	links := map[string]string{}
	for name, f := range now.Files {
		names = append(names, name)
		if f.Mode == modeLink {
			links[name], _ = os.Readlink(filepath.Join(dir, name))
		}
	}
	slices.Sort(names)
	for name := range links {
		if escapes(links, name) { // such as a link to an object folder elsewhere
			s.warn("symbolic link left out, it leads out of the source", "base", b.String(), "path", name)
			delete(now.Files, name)
		}
	}
	hash, err := s.unpackLocked(ctx, b, false, func(u *unpacker) error {
		for _, name := range names {
			f, ok := now.Files[name]
			if !ok {
				continue
			}
			if was, ok := old.Files[name]; ok && was.Sum == f.Sum && f.Sum != (digest{}) {
				if err := u.reuse(entry{name, f.Mode, f.Sum, f.Stamp.Size}, s.src(old.Hash, name)); err != nil {
					return err
				}
				continue
			}
			st, err := takeFile(u, dir, name)
			if err != nil {
				return err
			}
			f.Stamp = st
			now.Files[name] = f
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.keepSnapshot(b, old, now, hash, started)
}

// takeFile copies one of a user's files, and its stamp as it was before it was read: one that changes meanwhile has
// another stamp the next time.
func takeFile(u *unpacker, dir, name string) (stamp, error) {
	full := filepath.Join(dir, name)
	fi, err := os.Lstat(full)
	if err != nil {
		return stamp{}, err
	}
	if fi.Mode()&fs.ModeSymlink != 0 {
		target, err := os.Readlink(full)
		if err != nil {
			return stamp{}, err
		}
		return stampOf(fi), u.symlink(name, target)
	}
	f, err := os.Open(full)
	if err != nil {
		return stamp{}, err
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		return stamp{}, err
	}
	return stampOf(fi), u.file(name, fi.Mode()&0o100 != 0, int64(len(data)), bytes.NewReader(data))
}

// keepSnapshot remembers what was copied, and removes the source before the last one of the same folder: whoever is
// working with the last may go on.
func (s *Store) keepSnapshot(b Base, old, now *snapshot, hash string, started time.Time) error {
	m, err := readManifest(s.src(hash + ".manifest"))
	if err != nil {
		return s.unpackError(b, err)
	}
	for _, e := range m.entries {
		f := now.Files[e.path]
		f.Mode, f.Sum = e.mode, e.sum
		if f.Stamp.fresh(started) { // it may change again without a trace, so it is to be read the next time
			f.Stamp = stamp{}
		}
		now.Files[e.path] = f
	}
	now.Hash = hash
	if old.Hash != hash {
		now.Older = old.Hash
	} else {
		now.Older = old.Older
	}
	var buf bytes.Buffer
	if err := gob.NewEncoder(&buf).Encode(now); err != nil {
		return s.unpackError(b, err)
	}
	if err := writeFile(s.snapshotPath(now.Path), buf.Bytes()); err != nil {
		return s.unpackError(b, err)
	}
	if old.Older != "" && old.Older != hash && old.Older != now.Older {
		s.forget(old.Older)
	}
	return nil
}

// forget removes a source, unless some other record leads to it.
func (s *Store) forget(hash string) {
	records, _ := filepath.Glob(s.src(".known", "*"))
	for _, name := range records {
		if data, err := os.ReadFile(name); err != nil || bytes.Contains(data, []byte(hash)) {
			return
		}
	}
	// The folder goes by another name first: a half-removed one must not be taken for a source.
	tmp := s.src(".tmp-" + path.Base(hash))
	if os.Rename(s.src(hash), tmp) == nil {
		os.RemoveAll(tmp)
	}
}
