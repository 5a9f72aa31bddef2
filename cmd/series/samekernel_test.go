// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"testing"
)

// A kernel is another one when vmlinux, a module or a module's name is; the build's log and configuration do not count.
func TestHashKernel(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if sum, err := hashKernel(dir); err == nil {
		t.Errorf("hashKernel without a vmlinux = %s, want an error", sum)
	}
	seen := map[string]string{}
	for _, step := range []struct {
		what string
		do   func()
		same bool
	}{
		{"vmlinux", func() { write("vmlinux", "one") }, false},
		{"log", func() { write("build.log", "other") }, true},
		{"module", func() { write("modules/samples/a.ko", "a") }, false},
		{"content of a module", func() { write("modules/samples/a.ko", "b") }, false},
		{"name of a module", func() {
			os.Rename(filepath.Join(dir, "modules/samples/a.ko"), filepath.Join(dir, "modules/samples/b.ko"))
		}, false},
		{"vmlinux, changed", func() { write("vmlinux", "two") }, false},
	} {
		step.do()
		sum, err := hashKernel(dir)
		if err != nil {
			t.Fatal(err)
		}
		if was, ok := seen[sum]; ok != step.same {
			t.Errorf("%s: hash as after %q: %v, want %v", step.what, was, ok, step.same)
		}
		seen[sum] = step.what
	}
}
