// SPDX-License-Identifier: Apache-2.0

// Package cache is a content-addressed store on disk. An entry is a folder that is either complete or not there: it is
// filled under a temporary name and renamed. Processes may share a cache, and any of them may be killed at any time.
package cache

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/seriesrig/series/internal/flock"
	"golang.org/x/sys/unix"
)

// A Cache is a folder of entries, each named by its kind and its key.
type Cache struct {
	Dir string
}

var (
	kindForm = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)
	keyForm  = regexp.MustCompile(`^[0-9a-f]{16,64}$`)
)

// Open makes the cache's folder if there is none.
func Open(dir string) (*Cache, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("open cache: %w", err)
	}
	return &Cache{Dir: dir}, nil
}

// KeyOf hashes parts to a key. Each part is hashed with its length, so that ("ab", "c") and ("a", "bc") differ.
func KeyOf(parts ...string) string {
	h := sha256.New()
	var n [8]byte
	for _, p := range parts {
		binary.BigEndian.PutUint64(n[:], uint64(len(p)))
		h.Write(n[:])
		h.Write([]byte(p))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Get returns the folder of an entry, and whether it is there.
func (c *Cache) Get(kind, key string) (string, bool) {
	dir := filepath.Join(c.Dir, kind, key)
	fi, err := os.Stat(dir)
	if err != nil || !fi.IsDir() {
		return "", false
	}
	now := time.Now()
	os.Chtimes(dir, now, now) // the time of last use, for eviction
	return dir, true
}

// Fill returns the folder of an entry; where there is none, fill makes it, in the folder that it is given. Of several
// callers with the same key, in this process or in others, one fills and the rest wait. When fill fails, nothing is
// kept.
func (c *Cache) Fill(ctx context.Context, kind, key string, fill func(ctx context.Context, dir string) error) (dir string, cached bool, err error) {
	if !kindForm.MatchString(kind) || !keyForm.MatchString(key) {
		return "", false, fmt.Errorf("cache entry %q/%q: bad name", kind, key)
	}
	if dir, ok := c.Get(kind, key); ok {
		return dir, true, nil
	}
	parent := filepath.Join(c.Dir, kind)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", false, fmt.Errorf("fill cache: %w", err)
	}
	lock, err := flock.AcquireTemp(ctx, filepath.Join(parent, "."+key+".lock"))
	if err != nil {
		return "", false, fmt.Errorf("lock cache entry %s/%s: %w", kind, key[:12], err)
	}
	defer lock.Release()
	if dir, ok := c.Get(kind, key); ok {
		return dir, true, nil
	}
	tmp := filepath.Join(parent, "."+key+".tmp")
	if err := os.RemoveAll(tmp); err != nil { // left by a process that was killed: we hold the lock, so it is gone
		return "", false, fmt.Errorf("fill cache: %w", err)
	}
	if err := os.Mkdir(tmp, 0o755); err != nil {
		return "", false, fmt.Errorf("fill cache: %w", err)
	}
	defer os.RemoveAll(tmp)
	if err := fill(ctx, tmp); err != nil {
		return "", false, err
	}
	if err := syncfs(tmp); err != nil { // a rename that survives a power cut must not outlive the data
		return "", false, fmt.Errorf("fill cache: %w", err)
	}
	dir = filepath.Join(parent, key)
	if err := os.Rename(tmp, dir); err != nil {
		return "", false, fmt.Errorf("fill cache: %w", err)
	}
	return dir, false, nil
}

// Remove deletes an entry.
func (c *Cache) Remove(kind, key string) error {
	return os.RemoveAll(filepath.Join(c.Dir, kind, key))
}

func syncfs(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return unix.Syncfs(int(d.Fd()))
}
