// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"path/filepath"

	"github.com/seriesrig/series/internal/cache"
	"github.com/seriesrig/series/kernel"
	"github.com/seriesrig/series/vmtest/initramfs"
)

// addToolchain puts Go's toolchain into the guests of a test binary: what runs in them is then another thing, too.
func (s *session) addToolchain(ctx context.Context, arch kernel.Arch, b *testBinary) error {
	dir, err := initramfs.Toolchain(ctx, s.store.Cache, arch.GoArch)
	if err != nil {
		return err
	}
	if b.files, err = filesBelow(dir, initramfs.ToolchainPath); err != nil {
		return err
	}
	// The folder is a cache entry, so its name is the hash of what it was made from.
	b.hash = cache.KeyOf(b.hash, filepath.Base(dir))
	return nil
}
