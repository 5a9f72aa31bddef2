// SPDX-License-Identifier: Apache-2.0

package results

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

const (
	shownFunctions = 8   // of each kernel, so that a reader comes to the end
	leastChange    = 0.5 // instructions: what changed by less is in the rest
)

// A functionRow is a figure of a kernel that was counted function by function.
type functionRow struct {
	c *Cell
	b *Benchmark
}

// functionRows are the record's figures with functions, but for those of controls.
func functionRows(r *Run, wanted func(*Benchmark) bool) []functionRow {
	var rows []functionRow
	for i := range r.Cells {
		c := &r.Cells[i]
		for k := range c.Benchmarks {
			if b := &c.Benchmarks[k]; !IsControl(c.Config) && len(b.Functions) > 0 && wanted(b) {
				rows = append(rows, functionRow{c, b})
			}
		}
	}
	return rows
}

// functionLabels makes a table with the columns that say what a row is about, as far as the rows differ in it; the patch is in the title
// where it is the only one. Units that differ before their last hyphen, as of two sides, are told apart by that.
func functionLabels(title string, rows []functionRow) (*Table, func(functionRow) []string) {
	var names, configs, units, ends, patches []string
	add := func(list *[]string, s string) {
		if !slices.Contains(*list, s) {
			*list = append(*list, s)
		}
	}
	for _, row := range rows {
		add(&names, row.b.Name)
		add(&configs, row.c.Config)
		add(&units, row.b.Unit)
		_, end := cutUnit(row.b.Unit)
		add(&ends, end)
		add(&patches, patchName(row.c.Patch))
	}
	labels := []struct {
		head string
		show bool
		text func(functionRow) string
	}{
		{"arch", true, func(row functionRow) string { return row.c.Arch }},
		{"config", len(configs) > 1, func(row functionRow) string { return row.c.Config }},
		{"benchmark", len(names) > 1, func(row functionRow) string { return benchLabel(row.b.Name, names) }},
		{"patch", len(patches) > 1, func(row functionRow) string { return patchName(row.c.Patch) }},
		{"of", len(units) > 1 && len(ends) == 1, func(row functionRow) string { of, _ := cutUnit(row.b.Unit); return of }},
		{"unit", len(units) > 1 && len(ends) > 1, func(row functionRow) string { return row.b.Unit }},
	}
	t := &Table{Name: "functions", Title: title}
	switch {
	case len(units) == 1:
		t.Title += ", in " + units[0]
	case len(ends) == 1:
		t.Title += ", in " + ends[0]
	}
	switch {
	case len(patches) > 1:
	case patches[0] == patchName(0):
		t.Title += ": stock"
	default:
		t.Title += ": patch " + patches[0]
	}
	for _, l := range labels {
		if l.show {
			t.Columns = append(t.Columns, Column{Head: l.head, Label: true})
		}
	}
	return t, func(row functionRow) []string {
		var cells []string
		for _, l := range labels {
			if l.show {
				cells = append(cells, l.text(row))
			}
		}
		return cells
	}
}

// cutUnit cuts a unit such as diag-insns/task.
func cutUnit(unit string) (of, rest string) {
	if i := strings.LastIndexByte(unit, '-'); i > 0 {
		return unit[:i], unit[i+1:]
	}
	return "", unit
}

// functionTable tells for each patch where its cost is, or where the instructions are in a record that has no costs.
func functionTable(r *Run) (*Table, error) {
	rows := functionRows(r, func(b *Benchmark) bool { return b.Functions[0].Delta != nil })
	if len(rows) == 0 {
		return placeTable(r)
	}
	t, label := functionLabels("Where the cost of each patch is", rows)
	t.Columns = append(t.Columns, Column{Head: "function", Label: true},
		Column{Head: "cost", Right: true}, Column{Head: "cost", Unit: "err", Right: true})
	for _, row := range rows {
		for _, cells := range functionCells(row.b) {
			t.Rows = append(t.Rows, append(label(row), cells...))
		}
	}
	t.Notes = []string{
		"Cost: change from the kernel before, counted by QEMU function by function as the compiler has them: what is inlined belongs to the function that it is in. Cost err: half of the 95 % interval over the seeds.",
		"Path: all functions whose change is the same with each seed, to the last instruction: what the patch itself does. The others depend on where timer interrupts, grace periods and full pages fell; a change of theirs smaller than its error is none.",
		fmt.Sprintf("Rest: functions that changed by less than those shown, or by less than %v. [program]: outside of the kernel.", leastChange),
	}
	return t, nil
}

// functionCells are the lines of one kernel: the whole, what is the same with each seed, the functions that changed most, and what the
// others come to.
func functionCells(b *Benchmark) [][]string {
	var shown [][]string
	total, path, rest := 0.0, 0.0, 0.0
	exact := false
	for _, f := range b.Functions {
		total += *f.Delta
		if f.Exact() && f.Name != RestOfFunctions {
			path, exact = path+*f.Delta, true
		}
		if f.Name == RestOfFunctions || len(shown) == shownFunctions || math.Abs(*f.Delta) < leastChange {
			rest += *f.Delta
			continue
		}
		half := ""
		if f.DeltaErr != nil {
			half = FormatValue(*f.DeltaErr, b.Unit)
		}
		shown = append(shown, []string{f.Name, plus(*f.Delta, FormatValue(*f.Delta, b.Unit)), half})
	}
	half := ""
	if b.DeltaErr != nil {
		half = FormatValue(*b.DeltaErr, b.Unit)
	}
	out := [][]string{{"all", plus(total, FormatValue(total, b.Unit)), half}}
	if exact {
		out = append(out, []string{"path", plus(path, FormatValue(path, b.Unit)), "0"})
	}
	out = append(out, shown...)
	if math.Abs(rest) >= 0.05 {
		out = append(out, []string{"rest", plus(rest, FormatValue(rest, b.Unit)), ""})
	}
	return out
}
