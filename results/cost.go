// SPDX-License-Identifier: Apache-2.0

package results

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aclements/go-moremath/stats"
)

// A Cost is what one patch adds to a metric, over the patch before it.
type Cost struct {
	Arch, Config    string
	Patch           int
	Since           int // the patch before it that this run has kernels of: the cost is that of all after it
	Benchmark, Unit string
	N               int         // values behind Mean and StdDev; 0 where the kernel was not measured
	Mean, StdDev    float64     // of this kernel's values
	Comparison      *Comparison // with the patch before; nil for stock, and where one of the two was not measured
	Floor           *Floor      // what the record's controls say of the metric; nil where there are none
	Old             *Anchor     // what was published about the benchmark
	OldCost, OldErr float64     // of OldPatch, in percent; more than 0 is dearer
	OldPatch        int         // the published patch that did the same; 0: there is none
}

// costUnits are what a cost is told in, the better one first. Of each, less is better.
var costUnits = []string{Instructions, "sec/op"}

// costUnit is the unit that the costs of a benchmark are told in: instructions where they were counted, or else time, but
// only of interleaved boots. "" means that the record has no figures which a cost can be told from.
func costUnit(r *Run, wanted func(Benchmark) bool) string {
	for _, unit := range costUnits {
		for i := range r.Cells {
			for _, b := range r.Cells[i].Benchmarks {
				if b.Unit == unit && wanted(b) && (unit == Instructions || b.Boots != nil) {
					return unit
				}
			}
		}
	}
	return ""
}

// Costs returns what each patch of the record costs: a Cost for each architecture, configuration, benchmark and patch,
// measured or not. base is a benchmark's name without sub-benchmark and CPUs, in lower case; "" takes all.
func Costs(r *Run, base string) ([]Cost, error) {
	wanted := func(b Benchmark) bool { return base == "" || strings.ToLower(baseName(b.Name)) == base }
	unit := costUnit(r, wanted)
	if unit == "" {
		return nil, nil
	}
	names := benchmarksOf(r, layout{columns: []layoutColumn{{unit: unit}}}, "")
	names = slices.DeleteFunc(names, func(name string) bool { return !wanted(Benchmark{Name: name}) })
	var costs []Cost
	patches := patchesOf(r)
	for _, row := range metricRows(r, releaseConfigs(r), names, patches, true) {
		if !measuredThere(r, row, unit) {
			continue
		}
		c := Cost{Arch: row.arch, Config: row.config, Patch: row.patch, Benchmark: row.bench, Unit: unit}
		if i := slices.Index(patches, c.Patch); i > 0 {
			c.Since = patches[i-1]
		}
		if err := c.fill(r); err != nil {
			return nil, fmt.Errorf("%s/%s patch %d: %s: %w", c.Arch, c.Config, c.Patch, c.Benchmark, err)
		}
		costs = append(costs, c)
	}
	return costs, nil
}

// measuredThere tells whether any kernel of the row's architecture and configuration has the metric: a variant that is built
// only has no rows of nothing.
func measuredThere(r *Run, row metricRow, unit string) bool {
	return slices.ContainsFunc(r.Cells, func(c Cell) bool {
		return c.Arch == row.arch && c.Config == row.config && c.Metric(row.bench, unit) != nil
	})
}

// releaseConfigs are the record's configurations but for controls, which are not kernels that anybody asks about.
func releaseConfigs(r *Run) []string {
	return slices.DeleteFunc(distinct(r, func(c *Cell) string { return c.Config }), IsControl)
}

func (c *Cost) fill(r *Run) error {
	cell := r.CellAt(c.Arch, c.Patch, c.Config)
	if b := cell.Metric(c.Benchmark, c.Unit); b != nil {
		c.N, c.Mean = len(b.Values), stats.Mean(b.Values)
		if c.N > 1 {
			c.StdDev = stats.StdDev(b.Values)
		}
	}
	var err error
	if c.Floor, err = FloorOf(r, c.Arch, c.Config, c.Benchmark, c.Unit); err != nil {
		return err
	}
	if c.Patch > c.Since {
		if c.Comparison, err = CompareCosts(r, r.CellAt(c.Arch, c.Since, c.Config), r, cell, c.Benchmark, c.Unit); err != nil {
			return err
		}
	}
	if c.Old, err = AnchorFor(r.Series, baseName(c.Benchmark)); err != nil || c.Old == nil {
		return err
	}
	if c.Patch == c.Since+1 {
		c.OldPatch = c.Old.OldPatch(r, c.Patch)
	}
	if c.OldPatch > 0 {
		c.OldCost, c.OldErr = -c.Old.Cost[c.OldPatch-1], c.Old.CostErr[c.OldPatch-1]
	}
	return nil
}

// costTable is the table of the cover letter of 2006: incremental cost, its error, both in percent, mean and standard
// deviation, with the figures of then where there are any.
func costTable(name string, r *Run, base string) (*Table, error) {
	costs, err := Costs(r, base)
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", name, err)
	}
	if !slices.ContainsFunc(costs, func(c Cost) bool { return c.N > 0 }) {
		return nil, fmt.Errorf("table %s: %w in this run of %s", name, ErrNotMeasured, r.Series)
	}
	var names, configs []string
	old := false
	for _, c := range costs {
		if !slices.Contains(names, c.Benchmark) {
			names = append(names, c.Benchmark)
		}
		if !slices.Contains(configs, c.Config) {
			configs = append(configs, c.Config)
		}
		old = old || c.Old != nil
	}
	t := &Table{Name: name, Title: fmt.Sprintf("Cost of each patch in %s", costs[0].Unit)}
	if base != "" {
		t.Title = fmt.Sprintf("%s: cost of each patch in %s", baseName(names[0]), costs[0].Unit)
	}
	t.Columns = []Column{{Head: "arch", Label: true}}
	if len(configs) > 1 {
		t.Columns = append(t.Columns, Column{Head: "config", Label: true})
	}
	if len(names) > 1 {
		t.Columns = append(t.Columns, Column{Head: "benchmark", Label: true})
	}
	t.Columns = append(t.Columns, Column{Head: "patch", Label: true})
	heads := [][2]string{{"cost", ""}, {"cost", "err"}, {"cost", "%"}, {"cost", "err %"}}
	if old {
		heads = append(heads, [2]string{"2006", "%"})
	}
	for _, head := range heads {
		t.Columns = append(t.Columns, Column{Head: head[0], Unit: head[1], Right: true, Blank: true})
	}
	t.Columns = append(t.Columns, Column{Head: "mean", Right: true}, Column{Head: "stddev", Right: true})
	for _, c := range costs {
		row := []string{c.Arch}
		if len(configs) > 1 {
			row = append(row, c.Config)
		}
		if len(names) > 1 {
			row = append(row, benchLabel(c.Benchmark, names))
		}
		row = append(append(row, c.patchText()), c.cells()...)
		if old {
			row = append(row, c.oldCell())
		}
		t.Rows = append(t.Rows, append(row, c.meanCells()...))
	}
	t.Notes = costNotes(costs)
	return t, nil
}

// patchText names the patches that the cost is of: 3, or 1-3 where the run has no kernels between.
func (c *Cost) patchText() string {
	if c.Patch > c.Since+1 {
		return fmt.Sprintf("%d-%d", c.Since+1, c.Patch)
	}
	return patchName(c.Patch)
}

// cells are cost, its error, and both in percent. Stock has none, and what was not measured says so.
func (c *Cost) cells() []string {
	switch {
	case c.Patch == 0:
		return []string{"", "", "", ""}
	case c.Comparison == nil:
		return []string{Missing, Missing, Missing, Missing}
	}
	cmp := c.Comparison
	out := []string{plus(cmp.Delta, FormatValue(cmp.Delta, c.Unit)), Missing, Missing, Missing}
	if !cmp.Believed() && cmp.Delta != 0 {
		out[0] = "~" + out[0]
	}
	change, half, ok := cmp.Percent()
	if ok {
		out[2] = fmt.Sprintf("%+.3f", change)
	}
	if cmp.Confidence > 0 {
		out[1] = FormatValue(cmp.Half(), c.Unit)
		if ok {
			out[3] = fmt.Sprintf("%.3f", half)
		}
	}
	return out
}

func (c *Cost) oldCell() string {
	switch {
	case c.Patch == 0:
		return ""
	case c.OldPatch == 0:
		return Missing
	}
	return strings.TrimSuffix(signed(c.OldCost), "%") + "±" + strings.TrimSuffix(percent(c.OldErr), "%")
}

func (c *Cost) meanCells() []string {
	if c.N == 0 {
		return []string{"", ""}
	}
	mean := FormatValue(c.Mean, c.Unit)
	if c.N < 2 {
		return []string{mean, ""}
	}
	return []string{mean, FormatValue(c.StdDev, c.Unit)}
}

func plus(v float64, text string) string {
	if v > 0 {
		return "+" + text
	}
	return text
}
