// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"testing"

	"github.com/seriesrig/series/kernel"
	"github.com/seriesrig/series/patches"
	"github.com/seriesrig/series/results"
)

// A symbol is looked for in the configurations that can have it, and in no other: neither that it is there nor that it is not.
func TestWantSymbols(t *testing.T) {
	arch, err := kernel.FindArch("amd64")
	if err != nil {
		t.Fatal(err)
	}
	s := &session{series: &patches.Series{Symbols: []patches.Symbol{
		{Name: "everywhere", From: 2}, {Name: "audited", From: 2, Variants: []string{"release"}}, {Name: "elsewhere", From: 1, Arches: []string{"ppc64"}},
	}}}
	for _, tt := range []struct {
		patch           int
		config          string
		present, absent []string
	}{
		{1, "release", nil, []string{"everywhere", "audited"}},
		{2, "release", []string{"everywhere", "audited"}, nil},
		{1, "no-audit", nil, []string{"everywhere"}},
		{2, "no-audit", []string{"everywhere"}, nil},
	} {
		w := s.want(&cell{arch: arch, patch: tt.patch, rec: &results.Cell{Config: tt.config}})
		if !slices.Equal(w.Present, tt.present) || !slices.Equal(w.Absent, tt.absent) {
			t.Errorf("patch %d, %s: want(%q present, %q absent), want %q and %q", tt.patch, tt.config, w.Present, w.Absent, tt.present, tt.absent)
		}
	}
}
