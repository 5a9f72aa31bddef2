// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/seriesrig/series/internal/flock"
)

// Limits on what is unpacked. A kernel source has about 90,000 files and 1.7 GB, and its largest file 25 MB.
const (
	maxFiles    = 2_000_000
	maxFileSize = 512 << 20
)

// An unpacker writes the files of a source into a new folder and hashes them as it does. Its methods are called by one
// goroutine; the hashing and writing is done by others.
type unpacker struct {
	ctx  context.Context
	root string // not there before, so what is in it we made
	what string // for progress
	emit func(Event)

	files map[string]int    // path to its place in entries
	links map[string]string // path to target
	dirs  map[string]bool
	list  []*entry

	work chan unpackJob
	wg   sync.WaitGroup
	mu   sync.Mutex
	err  error
}

type unpackJob struct {
	e    *entry
	data []byte
}

// hostile is an error about an archive that tries to reach out of its folder, or is no kernel source at all.
func hostile(name, format string, args ...any) error {
	return fmt.Errorf("%q: "+format, append([]any{name}, args...)...)
}

func newUnpacker(ctx context.Context, root, what string, emit func(Event)) *unpacker {
	u := &unpacker{ctx: ctx, root: root, what: what, emit: emit, files: map[string]int{}, links: map[string]string{},
		dirs: map[string]bool{".": true}}
	u.start()
	return u
}

func (u *unpacker) start() {
	work := make(chan unpackJob, 64)
	u.work = work
	for range runtime.GOMAXPROCS(0) {
		u.wg.Go(func() {
			for j := range work {
				if err := u.store(j); err != nil {
					u.fail(err)
				}
			}
		})
	}
}

func (u *unpacker) fail(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.err == nil {
		u.err = err
	}
}

func (u *unpacker) failed() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return errors.Join(u.err, u.ctx.Err())
}

func (u *unpacker) store(j unpackJob) error {
	j.e.sum = sha256.Sum256(j.data)
	return writeNew(filepath.Join(u.root, j.e.path), j.e, j.data)
}

// writeNew makes a file or link where nothing is.
func writeNew(name string, e *entry, data []byte) error {
	if e.mode == modeLink {
		return os.Symlink(string(data), name)
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, e.fileMode())
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// add registers a path and makes its folders.
func (u *unpacker) add(name string, mode uint32, size int64) (*entry, error) {
	if err := u.failed(); err != nil {
		return nil, err
	}
	if !fs.ValidPath(name) || name == "." || strings.ContainsRune(name, 0) {
		return nil, hostile(name, "not a path within the source")
	}
	if _, twice := u.files[name]; twice || u.dirs[name] {
		return nil, hostile(name, "there twice")
	}
	if len(u.list) >= maxFiles {
		return nil, hostile(name, "more than %d files: not a kernel source", maxFiles)
	}
	if err := u.mkdir(path.Dir(name)); err != nil {
		return nil, err
	}
	e := &entry{path: name, mode: mode, size: size}
	u.files[name] = len(u.list)
	u.list = append(u.list, e)
	if len(u.list)%500 == 0 && u.emit != nil {
		u.emit(Event{Stage: "unpack", Object: u.what, Done: int64(len(u.list)), Detail: name})
	}
	return e, nil
}

func (u *unpacker) mkdir(dir string) error {
	if u.dirs[dir] {
		return nil
	}
	if _, file := u.files[dir]; file {
		return hostile(dir, "a file or link, and a folder too")
	}
	if err := u.mkdir(path.Dir(dir)); err != nil {
		return err
	}
	u.dirs[dir] = true
	return os.Mkdir(filepath.Join(u.root, dir), 0o755)
}

// file takes one file; it reads size bytes from r.
func (u *unpacker) file(name string, exec bool, size int64, r io.Reader) error {
	if size < 0 || size > maxFileSize {
		return hostile(name, "%d bytes: not a kernel source", size)
	}
	mode := uint32(modeFile)
	if exec {
		mode = modeExec
	}
	e, err := u.add(name, mode, size)
	if err != nil {
		return err
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(r, data); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	u.work <- unpackJob{e, data}
	return nil
}

// symlink takes one symbolic link. Whether it leads out is looked at in finish, when all links are known.
func (u *unpacker) symlink(name, target string) error {
	e, err := u.add(name, modeLink, int64(len(target)))
	if err != nil {
		return err
	}
	u.links[name] = target
	u.work <- unpackJob{e, []byte(target)}
	return nil
}

// reuse takes a file that an older source of ours has.
func (u *unpacker) reuse(old entry, from string) error {
	e, err := u.add(old.path, old.mode, old.size)
	if err != nil {
		return err
	}
	*e = old
	if old.mode == modeLink {
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		u.links[old.path] = target
		return os.Symlink(target, filepath.Join(u.root, old.path))
	}
	return os.Link(from, filepath.Join(u.root, old.path))
}

// reread returns the content of a file that was taken earlier, and may not have been written yet.
func (u *unpacker) reread(e *entry) ([]byte, error) {
	close(u.work)
	u.wg.Wait()
	u.start()
	if err := u.failed(); err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(u.root, e.path))
}

// wait ends the writing; no file may be taken after it.
func (u *unpacker) wait() error {
	if u.work != nil {
		close(u.work)
		u.work = nil
	}
	u.wg.Wait()
	return u.failed()
}

// finish returns the manifest. Where strip is set and all is in one top folder, that folder is the source.
func (u *unpacker) finish(strip bool) (root string, m *manifest, err error) {
	if err := u.wait(); err != nil {
		return "", nil, err
	}
	root = u.root
	prefix := ""
	if strip && len(u.list) > 0 {
		top, _, _ := strings.Cut(u.list[0].path, "/")
		if !slices.ContainsFunc(u.list, func(e *entry) bool { return !strings.HasPrefix(e.path, top+"/") }) {
			prefix, root = top+"/", filepath.Join(u.root, top)
		}
	}
	entries := make([]entry, len(u.list))
	links := make(map[string]string, len(u.links))
	for i, e := range u.list {
		entries[i] = *e
		entries[i].path = strings.TrimPrefix(e.path, prefix)
	}
	for name, target := range u.links {
		links[strings.TrimPrefix(name, prefix)] = target
	}
	if bad := checkLinks(links); bad != "" {
		return "", nil, hostile(bad, "symbolic link to %q, which is outside of the source", links[bad])
	}
	return root, newManifest(entries), nil
}

// unpack fills a new source through fill and remembers it as k. One unpacks at a time, and who has waited for another
// with the same key takes what that one made. What a killed process left is removed. The folder gets its name only when
// everything is on disk.
func (s *Store) unpack(ctx context.Context, b Base, k known, strip bool, fill func(u *unpacker) error) (known, error) {
	lock, err := flock.Acquire(ctx, s.src(".lock"))
	if err != nil {
		return known{}, fmt.Errorf("unpack %s: %w", b, err)
	}
	defer lock.Release()
	if there, ok := s.recall(k.Key); ok && there.Tag == k.Tag {
		return there, nil
	}
	if k.Hash, err = s.unpackLocked(ctx, b, strip, fill); err != nil {
		return known{}, err
	}
	if err := s.remember(k); err != nil {
		return known{}, s.unpackError(b, err)
	}
	return k, nil
}

func (s *Store) unpackLocked(ctx context.Context, b Base, strip bool, fill func(u *unpacker) error) (hash string, err error) {
	stale, _ := filepath.Glob(s.src(".tmp-*"))
	for _, dir := range stale {
		os.RemoveAll(dir)
	}
	tmp, err := os.MkdirTemp(s.src(), ".tmp-")
	if err != nil {
		return "", s.unpackError(b, err)
	}
	defer os.RemoveAll(tmp)
	top := filepath.Join(tmp, "new")
	if err := os.Mkdir(top, 0o755); err != nil {
		return "", s.unpackError(b, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	u := newUnpacker(ctx, top, b.String(), s.event)
	err = fill(u)
	if err2 := u.wait(); err2 != nil {
		// A failed write is the cause, and that the reader then stopped is not.
		err = err2
	}
	if err != nil {
		return "", s.unpackError(b, err)
	}
	root, m, err := u.finish(strip)
	if err != nil {
		return "", s.unpackError(b, err)
	}
	if _, err := kernelVersion(root); err != nil {
		return "", b.errorf(err, "not a kernel source")
	}
	hash = m.hash()
	if s.has(hash) {
		return hash, nil
	}
	if err := m.write(s.src(hash + ".manifest")); err != nil {
		return "", s.unpackError(b, err)
	}
	if err := syncFS(root); err != nil {
		return "", s.unpackError(b, err)
	}
	if exists(s.src(hash)) { // without its manifest, so it is not to be trusted
		if err := os.Rename(s.src(hash), filepath.Join(tmp, "old")); err != nil {
			return "", s.unpackError(b, err)
		}
	}
	if err := os.Rename(root, s.src(hash)); err != nil {
		return "", s.unpackError(b, err)
	}
	s.event(Event{Stage: "unpack", Object: b.String(), Done: int64(len(m.entries)), Total: int64(len(m.entries))})
	return hash, nil
}

func (s *Store) unpackError(b Base, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("unpack %s: no space left in %s; an unpacked kernel needs 2 GB there (nothing was left behind): %w", b, s.Dir, err)
	}
	var be *BaseError
	if errors.As(err, &be) || errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("unpack %s: %w", b, err)
}

// has tells whether a source is there; one that is there is complete.
func (s *Store) has(hash string) bool {
	fi, err := os.Stat(s.src(hash))
	if err != nil || !fi.IsDir() {
		return false
	}
	_, err = os.Stat(s.src(hash + ".manifest"))
	return err == nil
}

func syncFS(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return unix.Syncfs(int(d.Fd()))
}
