// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/seriesrig/series/kernel"
	"github.com/seriesrig/series/patches"
)

// A concern whose symbols a patch brings does not count before it.
func TestFragmentsFromPatch(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"base", "amd64", "late"} {
		if err := os.WriteFile(filepath.Join(dir, name+".config"), []byte("CONFIG_X=y\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	a := &app{cli: &cli{}}
	a.cli.Configs = dir
	s := &session{app: a, series: &patches.Series{Config: []string{"late@3"}}}
	for patch, want := range map[int]int{0: 2, 2: 2, 3: 3, 4: 3} {
		all, err := s.fragments(&cell{arch: kernel.Arch{Name: "amd64"}, patch: patch})
		if err != nil || len(all) != want {
			t.Errorf("patch %d: %d fragments, %v, want %d", patch, len(all), err, want)
		}
	}
}

// A concern may have settings for one architecture; they come after its own, and no other architecture has them.
func TestFragmentsOfOneArchitecture(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"base", "amd64", "ppc64", "nodes", "nodes.amd64", "late"} {
		if err := os.WriteFile(filepath.Join(dir, name+".config"), []byte("CONFIG_X=y\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	a := &app{cli: &cli{}}
	a.cli.Configs = dir
	s := &session{app: a, series: &patches.Series{Config: []string{"nodes", "late"}}}
	for arch, want := range map[string]int{"amd64": 5, "ppc64": 4} {
		all, err := s.fragments(&cell{arch: kernel.Arch{Name: arch}})
		if err != nil {
			t.Fatal(err)
		}
		if len(all) != want {
			t.Errorf("%s: %d fragments, want %d", arch, len(all), want)
		}
		if own := filepath.Join(dir, "nodes.amd64.config"); arch == "amd64" && all[3].Name != own {
			t.Errorf("%s: the fragment after nodes is %s, want %s", arch, all[3].Name, own)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "late.ppc64.config"), []byte("nonsense\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if all, err := s.fragments(&cell{arch: kernel.Arch{Name: "ppc64"}}); err == nil {
		t.Errorf("%d fragments, one of them bad, want an error", len(all))
	}
}
