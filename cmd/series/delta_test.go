// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/seriesrig/series/kernel"
)

func TestConfigChange(t *testing.T) {
	dir := t.TempDir()
	built := func(hash, text string) *kernel.Build {
		path := filepath.Join(dir, hash)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return &kernel.Build{Config: path, Spec: kernel.BuildSpec{Config: hash}}
	}
	a := built("a", "# Automatically generated for 6.12.1\nCONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=\"x\"\n")
	b := built("b", "# Automatically generated for 6.12.2\nCONFIG_A=y\nCONFIG_B=m\nCONFIG_C=\"x\"\nCONFIG_D=1\n")
	want := []string{"-# CONFIG_B is not set", "+CONFIG_B=m", "+CONFIG_D=1"}
	if got, err := configChange(a, b); err != nil || !slices.Equal(got, want) {
		t.Errorf("configChange = %q, %v, want %q", got, err, want)
	}
	if got, err := configChange(a, a); err != nil || got != nil {
		t.Errorf("configChange of one configuration = %q, %v", got, err)
	}
	b.Config += ".gone"
	if _, err := configChange(a, b); err == nil {
		t.Error("a configuration that is not there: no error")
	}
}
