// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seriesrig/series/patches"
	"github.com/seriesrig/series/vmtest"
)

func TestFilesBelow(t *testing.T) {
	build := t.TempDir()
	if got, err := filesBelow(filepath.Join(build, "modules"), "/lib/modules"); len(got) != 0 || err != nil {
		t.Errorf("modules of a build without: %v, %v", got, err)
	}
	ko := filepath.Join(build, "modules/samples/x/y.ko")
	if err := os.MkdirAll(filepath.Dir(ko), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ko, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := filesBelow(filepath.Join(build, "modules"), "/lib/modules")
	if want := []vmtest.File{{Path: "/lib/modules/samples/x/y.ko", From: ko}}; err != nil || !cmp.Equal(got, want) {
		t.Errorf("modules of a build: %v, %v, want %v", got, err, want)
	}
}

// Modules are made for guests that want them, but by no kernel that cannot load any.
func TestModulesAreBuilt(t *testing.T) {
	for _, c := range []struct {
		wants bool
		off   []string
		want  []string
	}{{true, nil, []string{"modules"}}, {true, []string{"AUDIT", "MODULES"}, nil}, {false, nil, nil}} {
		s := &session{series: &patches.Series{Guest: patches.Guest{Modules: c.wants}}}
		if got := s.targets(&cell{variant: &patches.Variant{Off: c.off}}); !slices.Equal(got, c.want) {
			t.Errorf("guests want modules %v, off %v: targets %v, want %v", c.wants, c.off, got, c.want)
		}
	}
}

// A series whose tests want several CPUs may have its benchmarks counted on one all the same.
func TestModeOfBenchmarks(t *testing.T) {
	for _, c := range []struct {
		guest patches.Guest
		asked string
		want  string // "": an error
	}{
		{patches.Guest{}, "", modeIcount},
		{patches.Guest{CPUs: 2}, "", modeWall},
		{patches.Guest{CPUs: 2}, modeIcount, ""},
		{patches.Guest{CPUs: 2, Icount: true}, "", modeIcount},
		{patches.Guest{CPUs: 2, Icount: true}, modeWall, modeWall},
	} {
		s := &session{series: &patches.Series{Guest: c.guest}}
		opts := measureOptions{mode: c.asked}
		err := s.mode(&opts)
		if (err != nil) != (c.want == "") || err == nil && opts.mode != c.want {
			t.Errorf("guest %+v, asked for %q: mode %q, %v, want %q", c.guest, c.asked, opts.mode, err, c.want)
		}
	}
}
