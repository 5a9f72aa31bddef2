// SPDX-License-Identifier: Apache-2.0

package results

import (
	"fmt"
	"math"
	"slices"
)

const (
	functionRows = 8   // of each kernel, so that a reader comes to the end
	leastChange  = 0.5 // instructions: what changed by less is in the rest
)

// functionTable tells for each patch where its cost is.
func functionTable(r *Run) (*Table, error) {
	t := &Table{Name: "functions", Title: "Where the cost of each patch is, in " + Instructions}
	var names, configs []string
	type row struct {
		c *Cell
		b *Benchmark
	}
	var rows []row
	for i := range r.Cells {
		c := &r.Cells[i]
		for k := range c.Benchmarks {
			b := &c.Benchmarks[k]
			if IsControl(c.Config) || len(b.Functions) == 0 || b.Functions[0].Delta == nil {
				continue
			}
			rows = append(rows, row{c, b})
			if !slices.Contains(names, b.Name) {
				names = append(names, b.Name)
			}
			if !slices.Contains(configs, c.Config) {
				configs = append(configs, c.Config)
			}
		}
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("table functions: %w in this run of %s", ErrNotMeasured, r.Series)
	}
	t.Columns = []Column{{Head: "arch", Label: true}}
	if len(configs) > 1 {
		t.Columns = append(t.Columns, Column{Head: "config", Label: true})
	}
	if len(names) > 1 {
		t.Columns = append(t.Columns, Column{Head: "benchmark", Label: true})
	}
	t.Columns = append(t.Columns, Column{Head: "patch", Label: true}, Column{Head: "function", Label: true},
		Column{Head: "cost", Right: true}, Column{Head: "cost", Unit: "err", Right: true})
	for _, x := range rows {
		labels := []string{x.c.Arch}
		if len(configs) > 1 {
			labels = append(labels, x.c.Config)
		}
		if len(names) > 1 {
			labels = append(labels, benchLabel(x.b.Name, names))
		}
		labels = append(labels, patchName(x.c.Patch))
		for _, cells := range functionCells(x.b) {
			t.Rows = append(t.Rows, append(slices.Clone(labels), cells...))
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
		if f.Name == RestOfFunctions || len(shown) == functionRows || math.Abs(*f.Delta) < leastChange {
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
