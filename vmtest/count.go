// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/seriesrig/series/vmtest/counts"
)

// Files in Machine.Dir of a guest whose instructions are counted.
const (
	countPlugin = "count.so"
	countPieces = "pieces" // first addresses of the kernel's functions
	countOutput = "counts"
)

// countOption is QEMU's option of the plugin that counts. QEMU wants a comma in a path twice.
func (m Machine) countOption() string {
	file := func(name string) string { return strings.ReplaceAll(filepath.Join(m.Dir, name), ",", ",,") }
	return fmt.Sprintf("file=%s,arch=%s,pieces=%s,out=%s", file(countPlugin), m.Arch, file(countPieces), file(countOutput))
}

// prepareCount puts what QEMU needs to count into the folder of the logs, where counting is asked for.
func (m Machine) prepareCount(ctx context.Context) error {
	if m.Icount == nil || !m.Icount.Count {
		return nil
	}
	c, err := m.cache()
	if err != nil {
		return rig("prepare to count", err)
	}
	plugin, err := counts.Plugin(ctx, c)
	if err != nil {
		return rig("prepare to count", err)
	}
	code, err := os.ReadFile(plugin)
	if err == nil {
		err = os.WriteFile(filepath.Join(m.Dir, countPlugin), code, 0o755)
	}
	if err != nil {
		return rig("prepare to count", err)
	}
	functions, err := counts.ReadMap(m.Kernel)
	if err != nil {
		return fmt.Errorf("machine: %w", err)
	}
	f, err := os.Create(filepath.Join(m.Dir, countPieces))
	if err != nil {
		return rig("prepare to count", err)
	}
	_, err = functions.WriteTo(f)
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return rig("prepare to count", err)
	}
	return nil
}

// Counts reads what QEMU has counted in a guest that has ended, whose logs are in Dir and whose kernel is Kernel. What the
// guest's end has cut off is a counts.ErrTruncated.
func (m Machine) Counts() (*counts.Counts, error) {
	functions, err := counts.ReadMap(m.Kernel)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(filepath.Join(m.Dir, countOutput))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return counts.Read(f, functions)
}

// RemoveCounts removes what QEMU has counted, and what it needed to count, from Dir.
func (m Machine) RemoveCounts() error {
	var errs []error
	for _, name := range []string{countPlugin, countPieces, countOutput} {
		if err := os.Remove(filepath.Join(m.Dir, name)); !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
