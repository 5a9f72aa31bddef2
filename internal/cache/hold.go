// SPDX-License-Identifier: Apache-2.0

package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Hold has the cache hold every entry that Get and Fill return from now on: no process evicts it until Close, or until
// this process has ended, however it ended. Holding an entry takes a descriptor, on whose file a shared flock(2) lies;
// nothing is written, so that it also works where the disk is full, and there is nothing to clean up after a kill -9.
func (c *Cache) Hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.holding = true
	if c.held == nil {
		c.held = map[string]*os.File{}
	}
}

// Close gives up what is held. The cache can be used further; it holds no more.
func (c *Cache) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for _, f := range c.held {
		errs = append(errs, f.Close())
	}
	c.held, c.holding = nil, false
	return errors.Join(errs...)
}

// hold tells whether an entry is there; where the cache is one that holds, it is then held.
func (c *Cache) hold(dir string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.holding {
		fi, err := os.Lstat(dir)
		return err == nil && fi.IsDir()
	}
	if f := c.held[dir]; f != nil {
		if names(dir, f) {
			return true
		}
		f.Close() // somebody has deleted it by hand
		delete(c.held, dir)
	}
	f, err := lockDir(dir, unix.LOCK_SH)
	if err != nil {
		return false
	}
	c.held[dir] = f
	return true
}

// rename gives an entry that was filled its name. It is held before it has one, so that there is no moment in which
// another process could evict it.
func (c *Cache) rename(tmp, dir string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.holding {
		return os.Rename(tmp, dir)
	}
	f, err := lockDir(tmp, unix.LOCK_SH)
	if err != nil {
		return err
	}
	if err := os.Rename(tmp, dir); err != nil {
		f.Close()
		return err
	}
	if old := c.held[dir]; old != nil {
		old.Close()
	}
	c.held[dir] = f
	return nil
}

// lockDir opens a folder and locks it. An exclusive lock is only tried for; errHeld says that somebody holds the folder.
// With a shared one it waits, which takes as long as an evicting process needs for a rename.
func lockDir(dir string, how int) (*os.File, error) {
	if how == unix.LOCK_EX {
		how |= unix.LOCK_NB
	}
	for {
		f, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
		if err != nil {
			return nil, err
		}
		for err = unix.EINTR; errors.Is(err, unix.EINTR); {
			err = unix.Flock(int(f.Fd()), how)
		}
		switch {
		case errors.Is(err, unix.EWOULDBLOCK):
			f.Close()
			return nil, errHeld
		case err != nil:
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", dir, err)
		case names(dir, f):
			return f, nil
		}
		f.Close() // it was moved away while we waited: there is none now, or another one
	}
}

var errHeld = errors.New("in use by another process")

// names tells whether a path still leads to the open file.
func names(path string, f *os.File) bool {
	held, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Lstat(path)
	return err == nil && os.SameFile(held, named)
}

var away atomic.Int64

// moveAway takes an entry's name from it, and returns the one that it has until it is deleted; "" where there was none.
func moveAway(dir string) (string, error) {
	gone := filepath.Join(filepath.Dir(dir), fmt.Sprintf(".%s.%d-%d%s", filepath.Base(dir), os.Getpid(), away.Add(1), goneSuffix))
	switch err := os.Rename(dir, gone); {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("remove cache entry: %w", err)
	}
	return gone, nil
}

const (
	goneSuffix = ".gone"
	tmpSuffix  = ".tmp"
)

// RemoveTree is os.RemoveAll that also gets through folders which are read-only.
func RemoveTree(dir string) error {
	if err := os.RemoveAll(dir); err == nil {
		return nil
	}
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			os.Chmod(path, 0o755)
		}
		return nil
	})
	return os.RemoveAll(dir)
}
