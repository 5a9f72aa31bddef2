// SPDX-License-Identifier: Apache-2.0

package results

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aclements/go-moremath/stats"
)

// kernbenchColumns are the four figures that kernbench prints of a build, by the units that a benchmark reports them with: the
// elapsed time is what the benchmark itself takes, or what its guest counts.
var kernbenchColumns = []struct {
	head, key string
	units     []string
}{
	{"elapsed", "elapsed_s", []string{"sec/op", Instructions}},
	{"user", "user_s", []string{"user-sec/op"}},
	{"system", "system_s", []string{"sys-sec/op"}},
	{"CPU", "cpu_percent", []string{"cpu-%"}},
}

// isKernbench tells a benchmark that reports the time in user mode apart.
func isKernbench(r *Run, base string) bool {
	return slices.ContainsFunc(r.Cells, func(c Cell) bool {
		return slices.ContainsFunc(c.Benchmarks, func(b Benchmark) bool {
			return strings.ToLower(baseName(b.Name)) == base && b.Unit == kernbenchColumns[1].units[0]
		})
	})
}

// kernbenchTable has a row for each kernel with the four columns of kernbench, and those of 2006 beside them.
func kernbenchTable(name string, r *Run, base string) (*Table, error) {
	f, err := anchors()
	if err != nil {
		return nil, err
	}
	old := f.TaskWatchers.Kernbench
	if r.Series != "task-watchers" {
		old = nil
	}
	t := &Table{Name: name, Columns: []Column{{Head: "arch", Label: true}, {Head: "benchmark", Label: true}, {Head: "patch", Label: true}}}
	units := map[string]string{}
	for _, col := range kernbenchColumns {
		unit := unitOf(r, base, col.units)
		units[col.head] = unit
		t.Columns = append(t.Columns, Column{Head: col.head, Unit: plainUnit(unit), Right: true})
	}
	for _, col := range kernbenchColumns {
		if old != nil {
			t.Columns = append(t.Columns, Column{Head: "2006 " + col.head, Unit: map[bool]string{true: "%", false: "s"}[col.head == "CPU"], Right: true})
		}
	}
	names := benchmarksOf(r, layout{columns: []layoutColumn{{unit: units["user"]}}}, "")
	names = slices.DeleteFunc(names, func(n string) bool { return strings.ToLower(baseName(n)) != base })
	t.Title = fmt.Sprintf("%s: means of all runs", baseName(names[0]))
	anchor := Anchor{Patches: f.TaskWatchers.Patches}
	for _, row := range metricRows(r, releaseConfigs(r), names, patchesOf(r), true) {
		if !measuredThere(r, row, units["user"]) {
			continue
		}
		cells := []string{row.arch, benchLabel(row.bench, names), patchName(row.patch)}
		for _, col := range kernbenchColumns {
			cells = append(cells, meanText(r.CellAt(row.arch, row.patch, row.config).Metric(row.bench, units[col.head])))
		}
		for _, col := range kernbenchColumns {
			switch n := anchor.OldPatch(r, row.patch); {
			case old == nil:
			case row.patch > 0 && n == 0:
				cells = append(cells, "")
			default:
				cells = append(cells, fmt.Sprintf("%.1f", old[col.key][n]))
			}
		}
		t.Rows = append(t.Rows, cells)
	}
	if len(names) == 1 {
		t.drop(1)
	}
	t.Notes = append(t.Notes, "As kernbench prints them: elapsed, user and system time of a build, and the share of a CPU that it had.")
	if old != nil {
		t.Notes = append(t.Notes, fmt.Sprintf("2006: %s, on %s: a build of another kernel, of the patch with the same topic.",
			strings.TrimSuffix(f.TaskWatchers.Source, ", 2006"), f.TaskWatchers.System))
	}
	if slices.ContainsFunc(t.Rows, func(row []string) bool { return slices.Contains(row, "") }) {
		t.Notes = append(t.Notes, Missing+": not measured.")
	}
	return t, nil
}

// unitOf is the first of the units that the benchmark has, or the first of all.
func unitOf(r *Run, base string, units []string) string {
	for _, unit := range units {
		for i := range r.Cells {
			if slices.ContainsFunc(r.Cells[i].Benchmarks, func(b Benchmark) bool { return strings.ToLower(baseName(b.Name)) == base && b.Unit == unit }) {
				return unit
			}
		}
	}
	return units[0]
}

// plainUnit is the unit without what the heading says: sys-sec/op is sec below system.
func plainUnit(unit string) string {
	unit = strings.TrimSuffix(unit, "/op")
	if _, rest, ok := strings.Cut(unit, "-"); ok {
		return rest
	}
	return unit
}

func meanText(b *Benchmark) string {
	if b == nil {
		return ""
	}
	return FormatValue(stats.Mean(b.Values), b.Unit)
}

// drop removes a column.
func (t *Table) drop(col int) {
	t.Columns = slices.Delete(t.Columns, col, col+1)
	for i := range t.Rows {
		t.Rows[i] = slices.Delete(t.Rows[i], col, col+1)
	}
}
