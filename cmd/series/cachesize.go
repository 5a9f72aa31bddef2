// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/seriesrig/series/internal/cache"
)

// defaultCacheSize is the largest limit that the cache gets without being told. On a small file system it gets less.
const defaultCacheSize = 20 << 30

// tend gives a cache its limit, and has it hold what this process uses.
func (a *app) tend(c *cache.Cache) error {
	limit, err := a.cacheLimit(c.Dir)
	if err != nil {
		return err
	}
	c.Limit, c.Log = limit, a.log
	c.Hold()
	return nil
}

// cacheLimit is how many bytes a cache in a folder may have: what --cache-size says, or else 20 GiB, but no more than a
// quarter of the file system. The free space would be another measure, and one that makes the cache forget whenever
// something else needs room.
func (a *app) cacheLimit(dir string) (int64, error) {
	if a.cli.CacheSize != "" {
		n, err := parseSize(a.cli.CacheSize)
		if err != nil {
			return 0, usage("--cache-size: %v", err)
		}
		return n, nil
	}
	_, size, err := diskSpace(dir)
	if err != nil {
		return 0, err
	}
	return min(defaultCacheSize, size/4), nil
}

// diskSpace returns what is free on a folder's file system for this user, and its whole size, in bytes.
func diskSpace(dir string) (free, size int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return int64(st.Bavail) * st.Bsize, int64(st.Blocks) * st.Bsize, nil
}
