// SPDX-License-Identifier: Apache-2.0

package cache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seriesrig/series/internal/flock"
)

// An Entry is what is known about an entry without looking into it.
type Entry struct {
	Kind, Key string
	Size      int64     // bytes that it takes on disk
	Used      time.Time // when it was last used
}

// Entries lists the cache, what was not used for the longest time first.
func (c *Cache) Entries(ctx context.Context) ([]Entry, error) {
	var all []Entry
	err := c.each(func(kind, name string) error {
		if !keyForm.MatchString(name) {
			return nil
		}
		dir := filepath.Join(c.Dir, kind, name)
		fi, err := os.Lstat(dir)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		size, err := DiskUsage(ctx, dir, nil)
		if err != nil {
			return err
		}
		all = append(all, Entry{Kind: kind, Key: name, Size: size, Used: fi.ModTime()})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list cache: %w", err)
	}
	slices.SortFunc(all, func(a, b Entry) int {
		return cmp.Or(a.Used.Compare(b.Used), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Key, b.Key))
	})
	return all, nil
}

// each calls f with every name in the folders of the kinds.
func (c *Cache) each(f func(kind, name string) error) error {
	kinds, err := os.ReadDir(c.Dir)
	if err != nil {
		return err
	}
	for _, k := range kinds {
		if !k.IsDir() || !kindForm.MatchString(k.Name()) {
			continue
		}
		names, err := os.ReadDir(filepath.Join(c.Dir, k.Name()))
		if err != nil {
			return err
		}
		for _, n := range names {
			if !n.IsDir() {
				continue
			}
			if err := f(k.Name(), n.Name()); err != nil {
				return err
			}
		}
	}
	return nil
}

// Evict deletes entries, what was not used for the longest time first, until the cache takes no more than limit bytes on
// disk, and returns them. What a process holds stays, and so does what has been used since it began to look: then more is
// left than limit. It first deletes what processes that were killed have left behind.
func (c *Cache) Evict(ctx context.Context, limit int64) (gone []Entry, err error) {
	c.trimming.Lock()
	defer c.trimming.Unlock()
	return c.evict(ctx, limit)
}

func (c *Cache) evict(ctx context.Context, limit int64) (gone []Entry, err error) {
	if err := c.sweep(ctx); err != nil {
		return nil, err
	}
	all, err := c.Entries(ctx)
	if err != nil {
		return nil, err
	}
	total := int64(0)
	for _, e := range all {
		total += e.Size
	}
	defer func() { c.total, c.counted = total, true }()
	for _, e := range all {
		if total <= limit {
			break
		}
		if ctx.Err() != nil {
			return gone, ctx.Err()
		}
		ok, err := c.Drop(e)
		if err != nil {
			return gone, err
		}
		if ok {
			gone = append(gone, e)
			total -= e.Size
		}
	}
	return gone, nil
}

// Drop deletes an entry that Entries has listed, and tells whether it did: not one that a process holds, and not one that
// has been used since.
func (c *Cache) Drop(e Entry) (bool, error) {
	dir := filepath.Join(c.Dir, e.Kind, e.Key)
	f, err := lockDir(dir, unix.LOCK_EX)
	switch {
	case errors.Is(err, errHeld), errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err // where folders cannot be locked nobody can tell what is in use
	}
	fi, err := f.Stat()
	gone := ""
	if err == nil && fi.ModTime().Equal(e.Used) {
		gone, err = moveAway(dir)
	}
	f.Close() // nobody can find the entry any more, and who waits for it may go on
	if err != nil || gone == "" {
		return false, err
	}
	if err := RemoveTree(gone); err != nil {
		return true, fmt.Errorf("evict %s/%.12s: %w", e.Kind, e.Key, err)
	}
	return true, nil
}

// Held tells whether a process holds an entry.
func (c *Cache) Held(e Entry) bool {
	f, err := lockDir(filepath.Join(c.Dir, e.Kind, e.Key), unix.LOCK_EX)
	if err == nil {
		f.Close()
	}
	return errors.Is(err, errHeld)
}

// sweep deletes what processes that were killed have left behind: entries that were being deleted, and entries that were
// being filled and whose lock is free.
func (c *Cache) sweep(ctx context.Context) error {
	err := c.each(func(kind, name string) error {
		path := filepath.Join(c.Dir, kind, name)
		switch {
		case !strings.HasPrefix(name, "."):
		case strings.HasSuffix(name, goneSuffix):
			return RemoveTree(path)
		case strings.HasSuffix(name, tmpSuffix):
			// One that is locked is being filled; it is not waited for.
			soon, cancel := context.WithTimeout(ctx, time.Millisecond)
			defer cancel()
			lock, err := flock.AcquireTemp(soon, strings.TrimSuffix(path, tmpSuffix)+".lock")
			if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
				return nil
			}
			if err != nil {
				return err
			}
			defer lock.Release()
			return RemoveTree(path)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("clean up cache: %w", err)
	}
	return nil
}

// grown is called with each new entry, and evicts others where the cache has become too large.
func (c *Cache) grown(ctx context.Context, dir string) {
	if c.Limit <= 0 {
		return
	}
	c.trimming.Lock()
	defer c.trimming.Unlock()
	if c.counted {
		size, err := DiskUsage(ctx, dir, nil)
		if err != nil {
			return // the context's end; what was filled stays
		}
		if c.total += size; c.total <= c.Limit {
			return
		}
	}
	gone, err := c.evict(ctx, c.Limit)
	if c.Log == nil {
		return
	}
	for _, e := range gone {
		c.Log.Debug("evicted from cache", "kind", e.Kind, "key", e.Key, "bytes", e.Size, "used", e.Used)
	}
	if err != nil && ctx.Err() == nil {
		c.Log.Warn("cache is above its limit", "err", err)
	}
}

// DiskUsage adds up what the files below dir take on disk, in bytes. A file with several links counts once; one that count
// (where it is not nil) is false for does not count. What vanishes meanwhile counts for nothing.
func DiskUsage(ctx context.Context, dir string, count func(fs.FileInfo) bool) (int64, error) {
	var sum int64
	seen := map[[2]uint64]bool{}
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && ctx.Err() != nil {
			return ctx.Err()
		}
		var fi fs.FileInfo
		if err == nil {
			fi, err = d.Info()
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if count != nil && !count(fi) {
			return nil
		}
		st := fi.Sys().(*syscall.Stat_t)
		if !fi.IsDir() && st.Nlink > 1 {
			file := [2]uint64{st.Dev, st.Ino}
			if seen[file] {
				return nil
			}
			seen[file] = true
		}
		sum += st.Blocks * 512
		return nil
	})
	return sum, err
}
