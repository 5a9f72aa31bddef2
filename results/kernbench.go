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
	{"elapsed", "elapsed_s", []string{Instructions, "sec/op"}},
	{"user", "user_s", []string{"user-sec/op", "user-insns/op"}},
	{"system", "system_s", []string{"sys-sec/op", "sys-insns/op"}},
	{"CPU", "cpu_percent", []string{"cpu-%"}},
}

// isKernbench tells a benchmark that reports the time in user mode apart.
func isKernbench(r *Run, base string) bool {
	return slices.ContainsFunc(r.Cells, func(c Cell) bool {
		return slices.ContainsFunc(c.Benchmarks, func(b Benchmark) bool {
			return strings.ToLower(baseName(b.Name)) == base && slices.Contains(kernbenchColumns[1].units, b.Unit)
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
	if units["elapsed"] == Instructions {
		t.Notes = append(t.Notes, "As kernbench prints them, but in 10^9 instructions that the guest executes in the place of seconds: elapsed, in user mode and in the kernel, and the share of the CPU that the build had. They are not time: caches, TLBs and locks are not in them.")
	} else {
		t.Notes = append(t.Notes, "As kernbench prints them: elapsed, user and system time of a build, and the share of a CPU that it had.")
	}
	if n := spread(r, names, units["elapsed"]); n != "" {
		t.Notes = append(t.Notes, n)
	}
	if old != nil {
		t.Notes = append(t.Notes, fmt.Sprintf("2006: %s, on %s: a build of another kernel, of the patch with the same topic.",
			strings.TrimSuffix(f.TaskWatchers.Source, ", 2006"), f.TaskWatchers.System))
	}
	if slices.ContainsFunc(t.Rows, func(row []string) bool { return slices.Contains(row, "") }) {
		t.Notes = append(t.Notes, Missing+": not measured.")
	}
	return t, nil
}

// spread says how far the elapsed times of a kernel lie apart: what a patch changes by less is not told by such a table.
func spread(r *Run, names []string, unit string) string {
	worst := 0.0
	for i := range r.Cells {
		if IsControl(r.Cells[i].Config) {
			continue
		}
		for _, name := range names {
			if b := r.Cells[i].Metric(name, unit); b != nil && len(b.Values) > 1 {
				worst = max(worst, stats.StdDev(b.Values)/stats.Mean(b.Values))
			}
		}
	}
	if worst == 0 {
		return ""
	}
	return fmt.Sprintf("Standard deviation of elapsed: at most %.2g %% of a kernel's mean.", 100*worst)
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

// plainUnit is the unit without what the heading says: sys-sec/op is sec below system. A build has so many instructions that
// they are told in 10^9, which are a second of the clock that counts them.
func plainUnit(unit string) string {
	unit = strings.TrimSuffix(unit, "/op")
	if _, rest, ok := strings.Cut(unit, "-"); ok {
		unit = rest
	}
	if unit == "insns" {
		return "10^9"
	}
	return unit
}

func meanText(b *Benchmark) string {
	if b == nil {
		return ""
	}
	mean := stats.Mean(b.Values)
	if plainUnit(b.Unit) == "10^9" {
		return fmt.Sprintf("%.4f", mean/1e9)
	}
	return FormatValue(mean, b.Unit)
}

// drop removes a column.
func (t *Table) drop(col int) {
	t.Columns = slices.Delete(t.Columns, col, col+1)
	for i := range t.Rows {
		t.Rows[i] = slices.Delete(t.Rows[i], col, col+1)
	}
}
