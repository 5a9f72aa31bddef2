// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/seriesrig/series/internal/cache"
)

// A Store is a work folder: sources, trees, object folders and what was built.
//
//	src/HASH/           an unpacked source; its files are read-only and never change
//	src/HASH.manifest   mode, digest and size of each of its files
//	src/.known/         which package, commit, archive or folder gave which source
//	tree/NAME/          a working tree
//	tree/NAME.state     what is in it, and what was being changed when a process was killed
//	obj/NAME/           a kbuild output folder
//	cache/              what is kept by the hash of what it was made from
type Store struct {
	Dir   string
	Cache *cache.Cache

	// Log takes what is worth knowing, such as that a server did not answer and an older version is used. nil means
	// nobody wants to.
	Log *slog.Logger
	// Progress is called now and then in long work; it may be called by several goroutines. nil means nobody looks.
	Progress func(Event)
	// Inherit are files that every long-running child keeps open: the lock of the work folder, so that no second
	// process starts while an orphan of a killed one still writes.
	Inherit []*os.File

	clock func() time.Time // tests set it; nil means time.Now
}

// An Event says how far a piece of work has come.
type Event struct {
	Stage  string // "download", "unpack", "tree", "configure", "build"
	Object string // what it is about: a base, the name of a tree or job
	Done   int64  // files or bytes or objects so far
	Total  int64  // 0 means unknown
	Detail string // such as the file that is compiled
}

// OpenStore makes the work folder if there is none.
func OpenStore(dir string) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open work folder: %w", err)
	}
	for _, sub := range []string{"src/.known", "tree", "obj"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, fmt.Errorf("open work folder: %w", err)
		}
	}
	// kbuild and ccache see paths with links resolved; so that a prefix fits both, we do too.
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return nil, fmt.Errorf("open work folder: %w", err)
	}
	c, err := cache.Open(filepath.Join(dir, "cache"))
	if err != nil {
		return nil, err
	}
	return &Store{Dir: dir, Cache: c}, nil
}

func (s *Store) event(e Event) {
	if s.Progress != nil {
		s.Progress(e)
	}
}

func (s *Store) warn(msg string, args ...any) {
	if s.Log != nil {
		s.Log.Warn(msg, args...)
	}
}

func (s *Store) src(elem ...string) string {
	return filepath.Join(append([]string{s.Dir, "src"}, elem...)...)
}

// Resolve finds the source that a base names, and fetches and unpacks it where it is not there yet. When nothing has
// changed since the last time, it takes milliseconds. Where the network does not answer and an older version is at hand,
// that one is used, and Source.Note says so.
func (s *Store) Resolve(ctx context.Context, b Base) (*Source, error) {
	switch b.Kind {
	case Debian:
		return s.resolveDebian(ctx, b)
	case Git:
		return s.resolveGit(ctx, b)
	case Tar:
		return s.resolveTar(ctx, b)
	case Dir:
		return s.resolveDir(ctx, b)
	}
	return nil, fmt.Errorf("base %q: no such kind", b.Kind)
}
