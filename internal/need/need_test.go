// SPDX-License-Identifier: Apache-2.0

package need

import (
	"os"
	"path/filepath"
	"testing"
)

// What is skipped is written down, by the name of the test that go test -run takes.
func TestSkippedIsNoted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "skipped")
	t.Setenv("SERIES_REQUIRE", "")
	t.Setenv("SERIES_SKIPPED", path)
	t.Setenv("SERIES_KERNEL_AMD64", "")
	t.Run("amd64", func(t *testing.T) { Kernel(t, "amd64") })
	t.Run("all", func(t *testing.T) {
		if Everything(t) {
			t.Error("everything is required, and nobody asked for it")
		}
	})
	t.Run("nothing", func(*testing.T) {})
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	line := dir + " TestSkippedIsNoted\n"
	if got, err := os.ReadFile(path); err != nil || string(got) != line+line {
		t.Errorf("noted %q, %v, want %q twice", got, err, line)
	}
	t.Setenv("SERIES_REQUIRE", "1")
	t.Run("required", func(t *testing.T) {
		if !Everything(t) {
			t.Error("everything was asked for")
		}
	})
	if got, err := os.ReadFile(path); err != nil || string(got) != line+line {
		t.Errorf("noted %q, %v where everything is required, want nothing more", got, err)
	}
}
