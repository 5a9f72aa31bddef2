// SPDX-License-Identifier: Apache-2.0

package results

import (
	"fmt"
	"slices"
	"strings"
)

// A Runs is one record set against another, cell by cell. Nothing of the two is ever put together.
type Runs struct {
	Old     string      `json:"old"` // name of the record
	New     string      `json:"new"`
	Figures []RunFigure `json:"figures"`
	Changes []string    `json:"changes"` // what differs beside the figures: patches, verdicts
}

// A RunFigure is one metric of one cell in both records. What was not measured in one of them is nil there.
type RunFigure struct {
	Arch      string   `json:"arch"`
	Patch     int      `json:"patch"`
	Config    string   `json:"config"`
	Benchmark string   `json:"benchmark"`
	Unit      string   `json:"unit"`
	Old       *float64 `json:"old"` // median
	New       *float64 `json:"new"`
	Delta     *float64 `json:"delta"`
	DeltaErr  *float64 `json:"delta_err"` // nil where there is no interval
	Method    Method   `json:"method,omitempty"`
	Believed  bool     `json:"believed"` // significant, and more than a control shows

	oldText, newText, change string
	warnings                 []string
}

// CompareRuns sets two records of a series against each other. What is not comparable is refused with a *MismatchError that
// names the first difference: another base, configuration, toolchain, QEMU or its command line, other seeds, or that one of
// these was not recorded. The same build with other figures where each run has to repeat the one before is a *RepeatError.
func CompareRuns(before, after *Run) (*Runs, error) {
	if before.Series != after.Series {
		return nil, &MismatchError{What: "series", Old: before.Series, New: after.Series}
	}
	c := &Runs{Old: Name(before), New: Name(after), Figures: []RunFigure{}, Changes: patchChanges(before, after)}
	for _, cells := range bothCells(before, after) {
		a, b := cells[0], cells[1]
		if a != nil && b != nil {
			if err := sameConditions(before, a, after, b); err != nil {
				return nil, fmt.Errorf("%s: %w", a, err)
			}
			if err := recorded(a, b); err != nil {
				return nil, fmt.Errorf("%s: %w", a, err)
			}
			if old, fresh := verdictOf(a), verdictOf(b); old != fresh {
				c.Changes = append(c.Changes, fmt.Sprintf("%s: tests: %s, now %s", a, old, fresh))
			}
		}
		figures, err := bothFigures(before, a, after, b)
		if err != nil {
			return nil, err
		}
		c.Figures = append(c.Figures, figures...)
	}
	if err := sameBase(before, after); err != nil {
		return nil, err // also where no cell is in both
	}
	return c, nil
}

func sameBase(before, after *Run) error {
	return sameConditions(&Run{Base: before.Base}, &Cell{}, &Run{Base: after.Base}, &Cell{})
}

// recorded refuses what cannot be told: builds that differ, and at least one record does not say what made them.
func recorded(a, b *Cell) error {
	if sameBuild(a, b) || a.Build == nil || b.Build == nil {
		return nil
	}
	say := func(known bool, text string) string {
		if known {
			return text
		}
		return "not recorded"
	}
	if a.Toolchain == nil || b.Toolchain == nil {
		text := func(c *Cell) string {
			if c.Toolchain == nil {
				return "not recorded"
			}
			return c.Toolchain.String()
		}
		return &MismatchError{What: "toolchain", Old: text(a), New: text(b)}
	}
	if a.ConfigHash == "" || b.ConfigHash == "" {
		return &MismatchError{What: "config hash", Old: say(a.ConfigHash != "", a.ConfigHash), New: say(b.ConfigHash != "", b.ConfigHash)}
	}
	return nil
}

func verdictOf(c *Cell) Verdict {
	if c.Tests == nil {
		return "not tested"
	}
	return c.Tests.Verdict
}

// patchChanges tells of patches that are not the same in both: the kernels of a number are then of other source.
func patchChanges(before, after *Run) []string {
	changes := []string{}
	for i := range max(len(before.Patches), len(after.Patches)) {
		switch {
		case i >= len(before.Patches):
			changes = append(changes, fmt.Sprintf("patch %d is new: %s", i+1, after.Patches[i].Subject))
		case i >= len(after.Patches):
			changes = append(changes, fmt.Sprintf("patch %d is gone: %s", i+1, before.Patches[i].Subject))
		case before.Patches[i].Hash != after.Patches[i].Hash:
			changes = append(changes, fmt.Sprintf("patch %d differs: %s, now %s", i+1, before.Patches[i].Subject, after.Patches[i].Subject))
		}
	}
	return changes
}

// bothCells pairs the cells of two records by architecture, configuration and patch, in that order; nil is what one has not.
func bothCells(before, after *Run) [][2]*Cell {
	var pairs [][2]*Cell
	for i := range before.Cells {
		c := &before.Cells[i]
		pairs = append(pairs, [2]*Cell{c, after.CellAt(c.Arch, c.Patch, c.Config)})
	}
	for i := range after.Cells {
		if c := &after.Cells[i]; before.CellAt(c.Arch, c.Patch, c.Config) == nil {
			pairs = append(pairs, [2]*Cell{nil, c})
		}
	}
	key := func(p [2]*Cell) (string, string, int) {
		c := p[0]
		if c == nil {
			c = p[1]
		}
		return c.Arch, c.Config, c.Patch
	}
	slices.SortStableFunc(pairs, func(x, y [2]*Cell) int {
		xa, xc, xp := key(x)
		ya, yc, yp := key(y)
		if n := strings.Compare(xa, ya); n != 0 {
			return n
		}
		if n := strings.Compare(xc, yc); n != 0 {
			return n
		}
		return xp - yp
	})
	return pairs
}

// bothFigures compares all metrics that at least one of the cells has.
func bothFigures(before *Run, a *Cell, after *Run, b *Cell) ([]RunFigure, error) {
	one := a
	if one == nil {
		one = b
	}
	var keys []metricKey
	for _, c := range []*Cell{a, b} {
		if c == nil {
			continue
		}
		for _, m := range c.Benchmarks {
			if k := (metricKey{m.Name, m.Unit}); !slices.Contains(keys, k) {
				keys = append(keys, k)
			}
		}
	}
	var out []RunFigure
	for _, k := range keys {
		f := RunFigure{Arch: one.Arch, Patch: one.Patch, Config: one.Config, Benchmark: k.name, Unit: k.unit}
		f.Old, f.oldText = medianOf(a.Metric(k.name, k.unit))
		f.New, f.newText = medianOf(b.Metric(k.name, k.unit))
		cmp, err := CompareCosts(before, a, after, b, k.name, k.unit)
		if err != nil {
			return nil, fmt.Errorf("%s: %s %s: %w", one, k.name, k.unit, err)
		}
		if cmp != nil {
			f.Delta, f.Method, f.Believed, f.warnings = &cmp.Delta, cmp.Method, cmp.Believed(), cmp.Warnings
			f.change = FormatChange(cmp, k.unit)
			if cmp.Exact && cmp.Delta == 0 {
				f.change = "same"
			}
			if half := cmp.Half(); cmp.Confidence > 0 {
				f.DeltaErr = &half
			}
		}
		out = append(out, f)
	}
	return out, nil
}

func medianOf(b *Benchmark) (*float64, string) {
	if b == nil {
		return nil, ""
	}
	s, _ := Summarize(b.Values)
	return &s.Median, FormatSummary(s, b.Unit)
}

// Table shows the figures of both records side by side, with the change.
func (c *Runs) Table() *Table {
	t := &Table{Name: "compare", Title: fmt.Sprintf("%s, and now %s", c.Old, c.New), Columns: []Column{
		{Head: "arch", Label: true}, {Head: "patch", Label: true}, {Head: "benchmark", Label: true}, {Head: "unit", Label: true},
		{Head: "old", Right: true}, {Head: "new", Right: true}, {Head: "change", Right: true},
	}}
	configs := slices.ContainsFunc(c.Figures, func(f RunFigure) bool { return f.Config != c.Figures[0].Config })
	if configs {
		t.Columns = slices.Insert(t.Columns, 1, Column{Head: "config", Label: true})
	}
	missing, methods := false, []Method{}
	var warnings []string
	left := 0
	for _, f := range c.Figures {
		if IsCount(f.Unit) && !f.Believed {
			left++
			continue
		}
		row := []string{f.Arch, patchName(f.Patch), f.Benchmark, f.Unit, f.oldText, f.newText, f.change}
		if configs {
			row = slices.Insert(row, 1, f.Config)
		}
		t.Rows = append(t.Rows, row)
		missing = missing || slices.Contains(row, "")
		if f.change == "~" && !slices.Contains(methods, f.Method) {
			methods = append(methods, f.Method)
		}
		for _, w := range f.warnings {
			if !slices.Contains(warnings, w) {
				warnings = append(warnings, w)
			}
		}
	}
	for _, m := range methods {
		t.Notes = append(t.Notes, "~: no significant change ("+m.test()+").")
	}
	if missing {
		t.Notes = append(t.Notes, Missing+": not measured in that record.")
	}
	if left > 0 {
		t.Notes = append(t.Notes, fmt.Sprintf("Left out: %d counts of what else the kernel does, of which no change can be told.", left))
	}
	for _, w := range warnings {
		t.Notes = append(t.Notes, "Warning: "+w+".")
	}
	for _, change := range c.Changes {
		t.Notes = append(t.Notes, change+".")
	}
	return t
}
