// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/seriesrig/series/internal/cache"
)

// A firstKernel is the build that was the first to have some vmlinux and modules. A patch to documentation or selftests has
// a build of its own, with an id of its own, and the kernel that comes of it is the one before: what its guests would do is
// known.
type firstKernel struct {
	ID     string `json:"id"` // of the build
	Series string `json:"series"`
	Cell   string `json:"cell"` // name
}

// firstKernel returns the first build that has the cell's kernel, byte for byte; that may be the cell's own.
func (s *session) firstKernel(ctx context.Context, c *cell) (first firstKernel, err error) {
	var sum string
	err = s.recall(ctx, "linked", cache.KeyOf("kernel 1", c.build.ID), &sum, func() (err error) {
		sum, err = hashKernel(filepath.Dir(c.build.Image))
		return err
	})
	if err != nil {
		return first, err
	}
	err = s.recall(ctx, "linked", cache.KeyOf("first kernel 1", c.arch.Name, sum), &first, func() error {
		first = firstKernel{c.build.ID, s.series.ID, c.name}
		return nil
	})
	return first, err
}

// instead says in whose place a cell's guest did not run, "" where it is the cell's own.
func (f firstKernel) instead(s *session, c *cell) string {
	switch {
	case f.ID == c.build.ID:
		return ""
	case f.Series == s.series.ID:
		return f.Cell
	}
	return f.Series + " " + f.Cell
}

// hashKernel hashes what a guest gets of a build: vmlinux, and the modules with their names.
func hashKernel(dir string) (string, error) {
	h := sha256.New()
	add := func(name string) error {
		sum, err := cache.HashFile(filepath.Join(dir, name))
		if err == nil {
			h.Write([]byte(sum + " " + name + "\n"))
		}
		return err
	}
	if err := add("vmlinux"); err != nil {
		return "", err
	}
	err := fs.WalkDir(os.DirFS(dir), "modules", func(name string, d fs.DirEntry, err error) error {
		if name == "modules" && errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		return add(name)
	})
	return hex.EncodeToString(h.Sum(nil)), err
}
