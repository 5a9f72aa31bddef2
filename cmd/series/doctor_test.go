// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"

	"github.com/seriesrig/series/internal/need"
	"github.com/seriesrig/series/kernel"
)

func TestLeastGo(t *testing.T) {
	data, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	f, err := modfile.ParseLax("go.mod", data, nil)
	if err != nil {
		t.Fatal(err)
	}
	if "go"+f.Go.Version != leastGo {
		t.Errorf("doctor asks for %s, go.mod for go%s", leastGo, f.Go.Version)
	}
}

// What doctor looks for is what scripts/deps installs, as far as it does not go without.
func TestDoctorAndDeps(t *testing.T) {
	deps, err := os.ReadFile("../../scripts/deps")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range needs(kernel.Arches) {
		if n.optional || n.pkg == "" {
			continue
		}
		if !slices.Contains(strings.Fields(string(deps)), n.pkg) {
			t.Errorf("doctor wants %s, and scripts/deps does not install it", n.pkg)
		}
	}
}

func TestConclude(t *testing.T) {
	good := func() *diagnosis {
		return &diagnosis{Tools: []toolReport{{Name: "make", OK: true}, {Name: "b4", Optional: true, Package: "b4"}}}
	}
	d := good()
	d.conclude()
	if !d.OK || !slices.Equal(d.Install, []string{"b4"}) {
		t.Errorf("with something optional missing: ok %v, install %q", d.OK, d.Install)
	}
	for name, spoil := range map[string]func(*diagnosis){
		"tool":     func(d *diagnosis) { d.Tools[0].OK = false },
		"snapshot": func(d *diagnosis) { d.Snapshots = []snapshotReport{{}} },
		"disk":     func(d *diagnosis) { d.Work.Problem = "full" },
	} {
		d := good()
		spoil(d)
		if d.conclude(); d.OK {
			t.Errorf("%s: all is well, want not", name)
		}
	}
}

func TestProbeSnapshot(t *testing.T) {
	if err := probeSnapshot(t.Context(), need.Tool(t, "true"), kernel.Arches[0]); err == nil {
		t.Error("a QEMU that says nothing writes a guest's state")
	}
	for _, arch := range kernel.Arches[:2] { // by path: PATH leads to stand-ins
		if err := probeSnapshot(t.Context(), need.Tool(t, "/usr/bin/"+qemuOf(arch)), arch); err != nil {
			t.Errorf("%s: %v", arch, err)
		}
	}
}
