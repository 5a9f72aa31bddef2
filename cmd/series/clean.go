// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// cleanCmd deletes parts of the work folder.
type cleanCmd struct {
	All    bool `help:"Also delete the sources and the cache of builds, which take the longest to make again."`
	DryRun bool `short:"n" help:"Only say what would be deleted, and how large it is."`
}

func (c *cleanCmd) Run(ctx context.Context, a *app) error {
	work, err := a.work()
	if err != nil {
		return err
	}
	if _, err := os.Stat(work); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	lock, err := lockWork(ctx, work, "clean", a.cli.NoWait, a.stderr)
	if err != nil {
		return err
	}
	defer lock.Close()
	names := []string{"tree", "obj", "runs"}
	if c.All {
		names = append(names, "src", "cache", "git")
	}
	for _, name := range names {
		dir := filepath.Join(work, name)
		size, err := diskUsage(ctx, dir)
		if err != nil {
			return err
		}
		fmt.Fprintf(a.stdout, "%8s  %s\n", formatSize(size), dir)
		if c.DryRun {
			continue
		}
		if err := removeAll(dir); err != nil {
			return err
		}
	}
	return nil
}

// removeAll is os.RemoveAll for trees that have read-only folders in them.
func removeAll(dir string) error {
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			os.Chmod(path, 0o755)
		}
		return nil
	})
	return os.RemoveAll(dir)
}

// diskUsage adds up what the files below dir take; a file with several links counts in each place.
func diskUsage(ctx context.Context, dir string) (int64, error) {
	var sum int64
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if fi, err := d.Info(); err == nil && fi.Mode().IsRegular() {
			sum += fi.Size()
		}
		return nil
	})
	return sum, err
}
