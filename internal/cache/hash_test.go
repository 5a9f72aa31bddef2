// SPDX-License-Identifier: Apache-2.0

package cache

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestHashFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("abc"), 0o644); err != nil {
		t.Fatal(err)
	}
	const want = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" // FIPS 180-4's example
	if got, err := HashFile(file); err != nil || got != want {
		t.Errorf("HashFile = %q, %v, want %s", got, err, want)
	}
	for _, bad := range []string{dir, file + "x"} {
		if got, err := HashFile(bad); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("HashFile(%s) = %q, %v, want an error that names it", bad, got, err)
		}
	}
}
