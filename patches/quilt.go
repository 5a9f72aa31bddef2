// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// WriteQuilt writes the patches as quilt keeps them: each as it is stored, and a file "series" with their names in order.
// The folder must not be there yet, and is made whole or not at all. `QUILT_PATCHES=DIR quilt push -a` takes them.
// What GNU patch, which quilt runs, cannot do is to make a folder where the same patch deletes a file of that name.
func WriteQuilt(dir string, ps []*Patch) error {
	if err := writeQuilt(dir, ps); err != nil {
		var bad *InputError
		if errors.As(err, &bad) {
			return err
		}
		return fmt.Errorf("write quilt series %s: %w", dir, err)
	}
	return nil
}

func writeQuilt(dir string, ps []*Patch) error {
	var list strings.Builder
	seen := map[string]bool{}
	for _, p := range ps {
		name := filepath.Base(p.File)
		if seen[name] || strings.ContainsAny(name, " \t\n#") || strings.HasPrefix(name, "-") {
			return p.errorf(0, "%q is no name for a patch in a quilt series, or there twice", name)
		}
		seen[name] = true
		list.WriteString(name + "\n")
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".quilt-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	for _, p := range ps {
		if err := os.WriteFile(filepath.Join(tmp, filepath.Base(p.File)), p.Raw, 0o644); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(tmp, "series"), []byte(list.String()), 0o644); err != nil {
		return err
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	return os.Rename(tmp, dir)
}
