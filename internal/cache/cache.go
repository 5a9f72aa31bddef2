// SPDX-License-Identifier: Apache-2.0

// Package cache is a content-addressed store on disk. An entry is a folder that is either complete or not there: it is
// filled under a temporary name and renamed, and it is renamed again before it is deleted. Processes may share a cache, and
// any of them may be killed at any time.
//
// A cache may have a limit. What was not used for the longest time goes first, and nothing goes that a process holds: see
// [Cache.Hold].
package cache

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seriesrig/series/internal/flock"
)

// A Cache is a folder of entries, each named by its kind and its key.
type Cache struct {
	Dir string

	// Limit is how many bytes on disk the cache may have: when Fill has made an entry, it evicts until the rest fits. It is
	// not kept to where more than that is held. 0 means no limit.
	Limit int64
	// Log takes what was evicted, and why something could not be: that is no reason for Fill to fail. nil means nobody
	// wants to know.
	Log *slog.Logger

	mu      sync.Mutex
	holding bool
	held    map[string]*os.File // by the entry's folder

	trimming sync.Mutex
	total    int64 // bytes in the cache, as far as this process knows; valid when counted
	counted  bool
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

// HashFile hashes a file's content to a key.
func HashFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("hash %s: %w", name, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Get returns the folder of an entry, and whether it is there.
func (c *Cache) Get(kind, key string) (string, bool) {
	dir := filepath.Join(c.Dir, kind, key)
	if !c.hold(dir) {
		return "", false
	}
	touch(dir)
	return dir, true
}

// touch notes the time of last use, for eviction.
func touch(dir string) {
	now := time.Now()
	os.Chtimes(dir, now, now)
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
	if err := RemoveTree(tmp); err != nil { // left by a process that was killed: we hold the lock, so it is gone
		return "", false, fmt.Errorf("fill cache: %w", err)
	}
	if err := os.Mkdir(tmp, 0o755); err != nil {
		return "", false, fmt.Errorf("fill cache: %w", err)
	}
	defer RemoveTree(tmp)
	if err := fill(ctx, tmp); err != nil {
		return "", false, err
	}
	if err := syncfs(tmp); err != nil { // a rename that survives a power cut must not outlive the data
		return "", false, fmt.Errorf("fill cache: %w", err)
	}
	dir = filepath.Join(parent, key)
	if err := c.rename(tmp, dir); err != nil {
		return "", false, fmt.Errorf("fill cache: %w", err)
	}
	touch(dir)
	c.grown(ctx, dir)
	return dir, false, nil
}

// Remove deletes an entry, also one that is held. Half of an entry is never seen.
func (c *Cache) Remove(kind, key string) error {
	gone, err := moveAway(filepath.Join(c.Dir, kind, key))
	if err != nil || gone == "" {
		return err
	}
	return RemoveTree(gone)
}

func syncfs(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return unix.Syncfs(int(d.Fd()))
}
