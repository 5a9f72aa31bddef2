// SPDX-License-Identifier: Apache-2.0

package main

import (
	_ "embed"

	"github.com/seriesrig/series/patches"
	"github.com/seriesrig/series/results"
)

// controlConfig is the name of the control: the base, moved.
const controlConfig = "control"

//go:embed control.patch
var controlPatch []byte

// controls are cells that show how much of a difference means nothing: for each architecture the base with a patch that
// does nothing but move all code and data. A patch of the series that costs no more than that one may cost nothing.
func (s *session) controls(cells []*cell) ([]*cell, error) {
	p, err := patches.ParsePatch("control.patch", controlPatch)
	if err != nil {
		return nil, err
	}
	p.Number = 1
	v := &patches.Variant{Name: controlConfig, Why: "how much of a difference means nothing", Patch: p}
	var all []*cell
	seen := map[string]bool{}
	for _, c := range cells {
		if seen[c.arch.Name] {
			continue
		}
		seen[c.arch.Name] = true
		all = append(all, &cell{arch: c.arch, variant: v, name: s.name(c.arch, 0) + " " + v.Name,
			rec: &results.Cell{Arch: c.arch.Name, Config: v.Name}})
	}
	return all, nil
}

// measured tells whether the series' benchmarks run on the cell.
func (c *cell) measured() bool { return c.variant == nil || c.variant.Name == controlConfig }
