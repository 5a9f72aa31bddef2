// SPDX-License-Identifier: Apache-2.0

package results

import (
	"cmp"
	"fmt"
	"slices"
)

// placeRows is how many functions of a figure the table has where there are many figures.
const placeRows = 3

// placeTable tells of kernels that there is none before in the record where their instructions are.
func placeTable(r *Run) (*Table, error) {
	rows := functionRows(r, func(b *Benchmark) bool { return true })
	if len(rows) == 0 {
		return nil, fmt.Errorf("table functions: %w in this run of %s", ErrNotMeasured, r.Series)
	}
	t, label := functionLabels("Where the instructions are", rows)
	t.Columns = append(t.Columns, Column{Head: "function", Label: true}, Column{Head: "mean", Right: true}, Column{Head: "%", Right: true})
	most := shownFunctions
	if len(rows) > fewBenchmarks {
		most = placeRows
		t.Columns = t.Columns[:len(t.Columns)-1] // such a table is long enough without a second block for the shares
	}
	for _, row := range rows {
		for _, cells := range placeCells(row.b, most) {
			t.Rows = append(t.Rows, append(label(row), cells...)[:len(t.Columns)])
		}
	}
	t.Notes = []string{
		"Counted by QEMU function by function as the compiler has them: what is inlined belongs to the function that it is in. They are not time: caches, TLBs and locks are not in them.",
		fmt.Sprintf("Rest: all but the %d functions with most. [program]: outside of the kernel.", most),
	}
	return t, nil
}

// placeCells are the lines of one figure: the whole, the functions with most, and what the others come to.
func placeCells(b *Benchmark, most int) [][]string {
	total, rest := 0.0, 0.0
	fs := slices.Clone(b.Functions)
	slices.SortStableFunc(fs, func(a, b Function) int { return cmp.Compare(b.Mean, a.Mean) })
	for _, f := range fs {
		total += f.Mean
	}
	line := func(name string, v float64) []string {
		share := ""
		if total > 0 {
			share = fmt.Sprintf("%.1f", 100*v/total)
		}
		return []string{name, FormatValue(v, b.Unit), share}
	}
	out := [][]string{line("all", total)}
	for _, f := range fs {
		if f.Name == RestOfFunctions || len(out) > most || f.Mean == 0 {
			rest += f.Mean
			continue
		}
		out = append(out, line(f.Name, f.Mean))
	}
	if rest > 0 {
		out = append(out, line("rest", rest))
	}
	return out
}
