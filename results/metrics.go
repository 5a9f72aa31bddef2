// SPDX-License-Identifier: Apache-2.0

package results

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/perf/benchunit"
)

// baseName is a benchmark's name without its sub-benchmark and number of CPUs.
func baseName(name string) string {
	name, _, _ = strings.Cut(name, "/")
	return withoutCPUs(name)
}

// withoutCPUs drops the number of CPUs that the testing package puts behind a benchmark's name.
func withoutCPUs(name string) string {
	if i := strings.LastIndexByte(name, '-'); i > 0 {
		if _, err := strconv.Atoi(name[i+1:]); err == nil {
			name = name[:i]
		}
	}
	return name
}

// layoutFor shows all metrics of a benchmark, each with its change against stock.
func layoutFor(key string, r *Run) layout {
	l := layout{title: "Benchmark " + key}
	for i := range r.Cells {
		for _, b := range r.Cells[i].Benchmarks {
			if strings.ToLower(baseName(b.Name)) != key {
				continue
			}
			l.title = "Benchmark " + baseName(b.Name)
			if IsCount(b.Unit) {
				continue // these have a table of their own
			}
			col := layoutColumn{unit: b.Unit}
			if !slices.Contains(l.columns, col) {
				l.columns = append(l.columns, col, layoutColumn{unit: b.Unit, show: againstStock})
			}
		}
	}
	return l
}

// metrics gathers what the cells of one table say beside its figures.
type metrics struct {
	run      *Run
	counts   []int   // numbers of values behind the medians
	sureness float64 // the lowest confidence of an interval
	warnings []string
	shown    bool // there is at least one figure
	missing  bool
	noise    []Method // of changes that were not significant
}

// A row of a metric table.
type metricRow struct {
	arch, config, bench string
	patch               int
}

// metricTable has a row for each architecture, benchmark and patch, in the columns that the layout chooses. Of the
// benchmarks it takes those with the base name, or with "" all that have the unit of the first column.
func metricTable(name string, r *Run, l layout, base string) (*Table, error) {
	names := benchmarksOf(r, l, base)
	patches := patchesOf(r)
	columns, byPatch := l.columns, true
	if len(names) > 1 && len(l.ends) > 0 && len(patches) > 1 {
		columns, byPatch = l.ends, false
	}
	configs := releaseConfigs(r)
	t := &Table{Name: name, Title: l.title}
	labels := []struct {
		head string
		show bool
		text func(metricRow) string
	}{
		{"arch", true, func(row metricRow) string { return row.arch }},
		{"config", len(configs) > 1, func(row metricRow) string { return row.config }},
		{"benchmark", len(names) > 1, func(row metricRow) string { return benchLabel(row.bench, names) }},
		{"patch", byPatch, func(row metricRow) string { return patchName(row.patch) }},
	}
	for _, label := range labels {
		if label.show {
			t.Columns = append(t.Columns, Column{Head: label.head, Label: true})
		}
	}
	for _, c := range columns {
		t.Columns = append(t.Columns, c.column())
	}
	m := &metrics{run: r, sureness: Confidence}
	for _, row := range metricRows(r, configs, names, patches, byPatch) {
		var cells []string
		for _, label := range labels {
			if label.show {
				cells = append(cells, label.text(row))
			}
		}
		for _, c := range columns {
			cell, err := m.cell(row, c)
			if err != nil {
				return nil, fmt.Errorf("table %s: %w", name, err)
			}
			cells = append(cells, cell)
		}
		t.Rows = append(t.Rows, cells)
	}
	if !m.shown {
		return nil, fmt.Errorf("table %s: %w in this run of %s", name, ErrNotMeasured, r.Series)
	}
	t.Notes = m.notes()
	if !byPatch {
		t.Notes = append(t.Notes, fmt.Sprintf("Patched: with patch %d, the last of this run.", patches[len(patches)-1]))
	}
	return t, nil
}

func metricRows(r *Run, configs, names []string, patches []int, byPatch bool) []metricRow {
	if !byPatch {
		patches = patches[len(patches)-1:]
	}
	var rows []metricRow
	for _, arch := range distinct(r, func(c *Cell) string { return c.Arch }) {
		for _, config := range configs {
			for _, bench := range names {
				for _, patch := range patches {
					rows = append(rows, metricRow{arch, config, bench, patch})
				}
			}
		}
	}
	return rows
}

// benchLabel shortens a benchmark's name to what tells it from the table's others: without the number of CPUs at its end
// where all have the same, and without the base name where all have that in common.
func benchLabel(name string, all []string) string {
	cpus := func(s string) string { return strings.TrimPrefix(s, withoutCPUs(s)) }
	same := func(part func(string) string) bool {
		return !slices.ContainsFunc(all, func(s string) bool { return part(s) != part(name) })
	}
	label := name
	if same(cpus) {
		label = strings.TrimSuffix(label, cpus(name))
	}
	if same(baseName) {
		label = strings.TrimPrefix(strings.TrimPrefix(label, baseName(name)), "/")
	}
	if label == "" {
		return name
	}
	return label
}

func (c layoutColumn) column() Column {
	head, unit, ok := strings.Cut(c.unit, "/")
	col := Column{Head: head, Right: true}
	if ok {
		col.Unit = "per " + unit
	}
	switch c.show {
	case againstStock:
		col.Head, col.Unit = "change", c.unit
	case againstBefore:
		col.Head, col.Unit = "step", c.unit
	}
	if c.head != "" {
		col.Head, col.Unit = c.head, ""
	}
	if c.under != "" {
		col.Unit = c.under
	}
	return col
}

// benchmarksOf lists the full names of the benchmarks a table shows, in the record's order.
func benchmarksOf(r *Run, l layout, base string) []string {
	var names []string
	for i := range r.Cells {
		for _, b := range r.Cells[i].Benchmarks {
			wanted := strings.ToLower(baseName(b.Name)) == base
			if base == "" {
				wanted = b.Unit == l.columns[0].unit
			}
			if wanted && !slices.Contains(names, b.Name) {
				names = append(names, b.Name)
			}
		}
	}
	return names
}

func distinct(r *Run, key func(*Cell) string) []string {
	var out []string
	for i := range r.Cells {
		if k := key(&r.Cells[i]); !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
}

// patchesOf lists the patches that any cell of the record is at: a run of one patch has no rows for the others.
func patchesOf(r *Run) []int {
	var out []int
	for i := range r.Cells {
		if n := r.Cells[i].Patch; !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out
}

func patchName(n int) string {
	if n == 0 {
		return "stock"
	}
	return strconv.Itoa(n)
}

// cell is the text of one cell; "" where the record has no figure for it.
func (m *metrics) cell(row metricRow, c layoutColumn) (string, error) {
	patch := row.patch
	switch patches := patchesOf(m.run); c.at {
	case stock:
		patch = 0
	case last:
		patch = patches[len(patches)-1]
	}
	cell := m.run.CellAt(row.arch, patch, row.config)
	if c.show == value {
		b := cell.Metric(row.bench, c.unit)
		if b == nil {
			m.missing = true
			return "", nil
		}
		s, _ := Summarize(b.Values)
		m.shown = true
		m.counts = append(m.counts, s.N)
		m.sureness = min(m.sureness, s.Confidence)
		m.warn(s.Warnings)
		return FormatSummary(s, c.unit), nil
	}
	reference := 0
	if c.show == againstBefore {
		reference = patch - 1
	}
	if patch == 0 && cell.Metric(row.bench, c.unit) != nil {
		return "(base)", nil
	}
	cmp, err := CompareCosts(m.run, m.run.CellAt(row.arch, reference, row.config), m.run, cell, row.bench, c.unit)
	if err != nil {
		return "", err
	}
	if cmp == nil {
		m.missing = true
		return "", nil
	}
	m.warn(cmp.Warnings)
	if !cmp.Believed() && !slices.Contains(m.noise, cmp.Method) {
		m.noise = append(m.noise, cmp.Method)
	}
	return FormatChange(cmp, c.unit), nil
}

// test says when a method calls a change significant.
func (m Method) test() string {
	switch m {
	case Paired:
		return "paired t test, p > 0.05, or below what a control shows"
	case Interleaved:
		return "95 % bootstrap interval with 0 in it, or below what A/A shows"
	}
	return "Mann-Whitney U test, p > 0.05"
}

func (m *metrics) warn(warnings []string) {
	for _, w := range warnings {
		if !slices.Contains(m.warnings, w) {
			m.warnings = append(m.warnings, w)
		}
	}
}

func (m *metrics) notes() []string {
	lo, hi := slices.Min(m.counts), slices.Max(m.counts)
	n := fmt.Sprintf("n=%d", lo)
	if lo != hi {
		n = fmt.Sprintf("n=%d to %d", lo, hi)
	}
	notes := []string{fmt.Sprintf("Median of %s, with the half width of its %.3g %% interval.", n, 100*m.sureness)}
	for _, method := range m.noise {
		notes = append(notes, "~: no significant change ("+method.test()+").")
	}
	if m.missing {
		notes = append(notes, Missing+": not measured.")
	}
	for _, w := range m.warnings {
		notes = append(notes, "Warning: "+w+".")
	}
	return notes
}

// FormatSummary renders a median and the half width of its interval in percent of it: 4.02 ±0.5%.
func FormatSummary(s Summary, unit string) string {
	out := FormatValue(s.Median, unit)
	half := max(s.Hi-s.Median, s.Median-s.Lo)
	switch {
	case s.N < 2:
		return out + " (n=1)"
	case half == 0 && s.Median == 0:
		return out
	case half == 0:
		return out + " ±0%"
	case s.Median == 0:
		return fmt.Sprintf("%s [%s, %s]", out, FormatValue(s.Lo, unit), FormatValue(s.Hi, unit))
	}
	return out + " ±" + percent(100*half/math.Abs(s.Median))
}

// FormatChange renders a change in percent of the old median with half the width of its interval, or as a plain
// difference where the old median is 0, or as "~" where it is not significant.
func FormatChange(c *Comparison, unit string) string {
	if !c.Believed() {
		return "~"
	}
	change, half, ok := c.Percent()
	if !ok {
		sign := ""
		if c.Delta > 0 {
			sign = "+"
		}
		return fmt.Sprintf("%s%s ±%s", sign, FormatValue(c.Delta, unit), FormatValue(c.Half(), unit))
	}
	return fmt.Sprintf("%s ±%s", signed(change), percent(half))
}

func signed(v float64) string {
	if v > 0 {
		return "+" + percent(v)
	}
	return percent(v)
}

// percent renders with one decimal below 100, none above, and as many as it takes for two figures when it is small.
func percent(v float64) string {
	switch a := math.Abs(v); {
	case a == 0:
		return "0%"
	case a < 0.1:
		return strconv.FormatFloat(v, 'g', 2, 64) + "%"
	case a < 99.95:
		return strconv.FormatFloat(v, 'f', 1, 64) + "%"
	}
	return strconv.FormatFloat(v, 'f', 0, 64) + "%"
}

// FormatValue renders a figure without its unit. Times and sizes get a prefix (12.3m for 0.0123 sec); of others whole
// numbers and those of four digits and more stand as they are, since instruction counts are exact, and the rest with four
// significant digits.
func FormatValue(v float64, unit string) string {
	a := math.Abs(v)
	switch base, _, _ := strings.Cut(unit, "/"); {
	case (base == "sec" || base == "B") && v != 0:
		return benchunit.Scale(v, benchunit.ClassOf(unit))
	case v == math.Trunc(v) && a < 1e15:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 1000 && a < 1e15:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 1e-4 && a < 1000:
		_, exp, _ := strings.Cut(strconv.FormatFloat(a, 'e', 3, 64), "e") // of what it is rounded to: 0.09999999 is 0.1000
		n, _ := strconv.Atoi(exp)
		return strconv.FormatFloat(v, 'f', 3-n, 64)
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}
