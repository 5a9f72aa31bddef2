// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"github.com/seriesrig/series/internal/need"
	"github.com/seriesrig/series/kernel"
	"github.com/seriesrig/series/patches"
	"github.com/seriesrig/series/results"
)

// There is one control for each architecture, of the base and never of a patch, and it is measured and not tested.
func TestControls(t *testing.T) {
	s := &session{series: &patches.Series{Patches: make([]*patches.Patch, 2)}}
	var cells []*cell
	for _, name := range []string{"amd64", "ppc64"} {
		arch, err := kernel.FindArch(name)
		if err != nil {
			t.Fatal(err)
		}
		for n := range 3 {
			cells = append(cells, &cell{arch: arch, patch: n, rec: &results.Cell{}})
		}
	}
	got, err := s.controls(cells)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].arch.Name != "amd64" || got[1].arch.Name != "ppc64" {
		t.Fatalf("controls are %+v", got)
	}
	for _, c := range got {
		if c.patch != 0 || c.rec.Patch != 0 || c.rec.Config != controlConfig || !c.measured() || c.tested() || c.objects() != patches.Release {
			t.Errorf("control %+v, %+v", c, c.rec)
		}
		if paths := c.variant.Patch.Paths(); len(paths) != 2 {
			t.Errorf("the control's patch touches %q", paths)
		}
	}
}

// The control's patch fits the base, where its object is the first one that is linked of init/.
func TestControlApplies(t *testing.T) {
	tree, err := patches.Dir(need.Source(t))
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	p, err := patches.ParsePatch("control.patch", controlPatch)
	if err != nil {
		t.Fatal(err)
	}
	p.Number = 1
	r, err := patches.Apply(tree, []*patches.Patch{p})
	if err != nil {
		t.Fatal(err)
	}
	makefile := string(r.Files(1)["init/Makefile"].Data)
	if !strings.Contains(makefile, "\nobj-y                          := series_control.o main.o") {
		t.Errorf("init/Makefile:\n%s", makefile)
	}
}
