// SPDX-License-Identifier: Apache-2.0

package results

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// IsCount tells the units of what a benchmark counts beside its figure: hits of a tracepoint for an operation (SYSTEM:EVENT/op) and what
// the scheduler counts (schedstat:NAME/op). They are of a run of their own.
func IsCount(unit string) bool { return strings.Contains(unit, ":") }

// leastCount is by how much a count has to change for the table to say so: half of an event for an operation. What other tasks do
// meanwhile is in the counts as well, and mostly changes them by less.
const leastCount = 0.5

// mostCountNotes bounds the notes of a table that compares kernels of which much differs.
const mostCountNotes = 12

// countTable has a row for each count of each benchmark, and columns for the first and the last kernel of each architecture; which
// patches changed a count is in its notes.
func countTable(r *Run) (*Table, error) {
	t := &Table{Name: "counts", Title: "What else the kernel does for an operation"}
	rows := countRows(r)
	if len(rows) == 0 {
		return nil, fmt.Errorf("table counts: %w in this run of %s", ErrNotMeasured, r.Series)
	}
	var names []string
	for _, row := range rows {
		if !slices.Contains(names, row.name) {
			names = append(names, row.name)
		}
	}
	columns := countColumns(r)
	if len(names) > 1 {
		t.Columns = append(t.Columns, Column{Head: "benchmark", Label: true})
	}
	t.Columns = append(t.Columns, Column{Head: "count", Label: true})
	for _, c := range columns {
		head := c.arch
		if c.config != "release" {
			head += " " + c.config
		}
		t.Columns = append(t.Columns, Column{Head: head, Unit: c.what(), Right: true})
	}
	for _, row := range rows {
		var cells []string
		if len(names) > 1 {
			cells = append(cells, benchLabel(row.name, names))
		}
		cells = append(cells, strings.TrimSuffix(row.unit, "/op"))
		for _, c := range columns {
			text := ""
			if s, ok := summaryOf(r.CellAt(c.arch, c.patch, c.config), row); ok {
				text = FormatValue(s.Median, row.unit)
			}
			cells = append(cells, text)
		}
		t.Rows = append(t.Rows, cells)
	}
	t.Notes = []string{"Medians. Counted in a run of its own, in all of the guest: how often tracepoints were hit, and what the scheduler says in /proc/schedstat. What is 0 in all kernels is left out."}
	changes, err := countNotes(r, rows, names)
	if err != nil {
		return nil, fmt.Errorf("table counts: %w", err)
	}
	t.Notes = append(t.Notes, changes...)
	if slices.ContainsFunc(t.Rows, func(row []string) bool { return slices.Contains(row, "") }) {
		t.Notes = append(t.Notes, Missing+": not measured.")
	}
	return t, nil
}

// countRows are the counts of the record that are not 0 everywhere, those of a benchmark in the order of their names.
func countRows(r *Run) []metricKey {
	var rows []metricKey
	for i := range r.Cells {
		for _, b := range r.Cells[i].Benchmarks {
			key := metricKey{b.Name, b.Unit}
			some := slices.ContainsFunc(b.Values, func(v float64) bool { return v != 0 })
			if IsCount(b.Unit) && !IsControl(r.Cells[i].Config) && some && !slices.Contains(rows, key) {
				rows = append(rows, key)
			}
		}
	}
	var names []string
	for _, row := range rows {
		if !slices.Contains(names, row.name) {
			names = append(names, row.name)
		}
	}
	slices.SortStableFunc(rows, func(a, b metricKey) int {
		if a.name != b.name {
			return slices.Index(names, a.name) - slices.Index(names, b.name)
		}
		return strings.Compare(a.unit, b.unit)
	})
	return rows
}

// A countColumn is a kernel that the table shows.
type countColumn struct {
	arch, config string
	patch        int
}

func (c countColumn) what() string {
	if c.patch == 0 {
		return patchName(c.patch)
	}
	return fmt.Sprintf("patch %d", c.patch)
}

// countColumns are the first and the last kernel with counts of each architecture and configuration.
func countColumns(r *Run) []countColumn {
	var columns []countColumn
	for _, arch := range distinct(r, func(c *Cell) string { return c.Arch }) {
		for _, config := range releaseConfigs(r) {
			patches := countedPatches(r, arch, config)
			if n := len(patches); n > 0 {
				columns = append(columns, countColumn{arch, config, patches[0]})
				if n > 1 {
					columns = append(columns, countColumn{arch, config, patches[n-1]})
				}
			}
		}
	}
	return columns
}

func countedPatches(r *Run, arch, config string) []int {
	return slices.DeleteFunc(patchesOf(r), func(n int) bool {
		c := r.CellAt(arch, n, config)
		return c == nil || !slices.ContainsFunc(c.Benchmarks, func(b Benchmark) bool { return IsCount(b.Unit) })
	})
}

func summaryOf(c *Cell, row metricKey) (Summary, bool) {
	b := c.Metric(row.name, row.unit)
	if b == nil {
		return Summary{}, false
	}
	return Summarize(b.Values)
}

// countNotes tell which patches changed a count by half of an event or more, from the kernel before that has been counted in.
func countNotes(r *Run, rows []metricKey, names []string) ([]string, error) {
	var notes []string
	several := false
	for _, arch := range distinct(r, func(c *Cell) string { return c.Arch }) {
		for _, config := range releaseConfigs(r) {
			patches := countedPatches(r, arch, config)
			several = several || len(patches) > 1
			for i := 1; i < len(patches); i++ {
				where := []string{arch}
				if config != "release" {
					where = append(where, config)
				}
				c := Cost{Patch: patches[i], Since: patches[i-1]}
				for _, row := range rows {
					change, err := countChange(r, r.CellAt(arch, c.Since, config), r.CellAt(arch, c.Patch, config), row)
					if err != nil {
						return nil, err
					}
					if change == 0 {
						continue
					}
					what := where
					if len(names) > 1 {
						what = append(slices.Clone(where), benchLabel(row.name, names))
					}
					notes = append(notes, fmt.Sprintf("%s: patch %s: %s %s.", strings.Join(what, ", "), c.patchText(),
						strings.TrimSuffix(row.unit, "/op"), plus(change, FormatValue(change, row.unit))))
				}
			}
		}
	}
	switch n := len(notes); {
	case several && n == 0:
		return []string{fmt.Sprintf("No patch changes any of them by %v or more.", leastCount)}, nil
	case n > mostCountNotes:
		return append(notes[:mostCountNotes], fmt.Sprintf("And %d more; the record has all.", n-mostCountNotes)), nil
	}
	return notes, nil
}

// countChange is by how much a count differs between two kernels, and 0 where it does so by less than is worth telling, or by no more
// than its own error.
func countChange(r *Run, before, after *Cell, row metricKey) (float64, error) {
	cmp, err := CompareCosts(r, before, r, after, row.name, row.unit)
	if cmp == nil || err != nil || math.Abs(cmp.Delta) < leastCount || cmp.Confidence > 0 && !cmp.Believed() {
		return 0, err
	}
	return cmp.Delta, nil
}
