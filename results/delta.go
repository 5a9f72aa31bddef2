// SPDX-License-Identifier: Apache-2.0

package results

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A Delta is what the patches between two cells of one architecture and configuration did to the build. The builds are
// reproducible, so what differs is the patches' doing. All sizes are in bytes.
type Delta struct {
	Since    int            `json:"since"`    // patch of the cell that this one is compared with
	Text     Size           `json:"text"`     // of sections, as size(1) counts them, padding included
	Data     Size           `json:"data"`     // likewise
	BSS      Size           `json:"bss"`      // likewise
	Code     Size           `json:"code"`     // sum of all functions, without padding
	Vars     Size           `json:"vars"`     // sum of all variables and constants that are in the file
	Zero     Size           `json:"zero"`     // sum of all variables that begin as zero
	Symbols  []SymbolDelta  `json:"symbols"`  // what changed most first
	Sections []SectionDelta `json:"sections"` // by name
	// Config are the lines in which the resolved configurations differ, with a sign before: "-CONFIG_A=y", "+CONFIG_A=m".
	// Where there are any, not all of the rest is the patches' own doing.
	Config []string       `json:"config,omitempty"`
	Extra  *ExtraWarnings `json:"extra,omitempty"`
}

// A Size is a number of bytes before and after.
type Size struct {
	Before int64 `json:"before"`
	After  int64 `json:"after"`
}

// By is how many bytes more there are now.
func (s Size) By() int64 { return s.After - s.Before }

// A SymbolDelta is a symbol whose size is another, or that came or went.
type SymbolDelta struct {
	Name string `json:"name"`
	Kind string `json:"kind"` // func, data, bss, label
	Size
	New  bool `json:"new,omitempty"`
	Gone bool `json:"gone,omitempty"`
}

// A SectionDelta is a section that came or went, or has another size or other flags.
type SectionDelta struct {
	Name string `json:"name"`
	Size
	FlagsBefore string `json:"flags_before"` // type and flags: "PROGBITS WA"; "" for a new section
	FlagsAfter  string `json:"flags_after"`  // "" for one that is gone
}

// ExtraWarnings are what a build with more warnings asked for, and sparse, say of the files that the patches touch and did
// not say before.
type ExtraWarnings struct {
	Asked    string   `json:"asked"`    // "W=1", "W=1 C=1": with sparse
	Files    []string `json:"files"`    // that were compiled for it
	Warnings []string `json:"warnings"` // new ones only
}

func (d *Delta) check(patch int) error {
	if d.Since < 0 || d.Since >= patch {
		return fmt.Errorf("since patch %d", d.Since)
	}
	for _, s := range []Size{d.Text, d.Data, d.BSS, d.Code, d.Vars, d.Zero} {
		if s.Before < 0 || s.After < 0 {
			return fmt.Errorf("a size is negative")
		}
	}
	for _, s := range d.Symbols {
		if s.Name == "" || s.New && s.Before != 0 || s.Gone && s.After != 0 || s.New && s.Gone {
			return fmt.Errorf("symbol %q: %d to %d bytes, new %v, gone %v", s.Name, s.Before, s.After, s.New, s.Gone)
		}
	}
	return nil
}

// sizeTable has a row for each kernel: the size of the first, and what each patch changed.
func sizeTable(r *Run) (*Table, error) {
	t := &Table{Name: "size", Title: "Size of the kernel, and what each patch changed", Columns: []Column{
		{Head: "arch", Label: true}, {Head: "patch", Label: true},
		{Head: "code", Unit: "B", Right: true}, {Head: "data", Unit: "B", Right: true}, {Head: "bss", Unit: "B", Right: true},
		{Head: "functions", Unit: "changed", Right: true, Blank: true}, {Head: "symbols", Unit: "new/gone", Right: true, Blank: true},
		{Head: "warnings", Unit: "new", Right: true, Blank: true},
	}}
	configs := deltaConfigs(r)
	if len(configs) == 0 {
		return nil, fmt.Errorf("table size: %w in this run of %s", ErrNotMeasured, r.Series)
	}
	if len(configs) > 1 {
		t.Columns = slices.Insert(t.Columns, 1, Column{Head: "config", Label: true})
	}
	add := func(c *Cell, patch string, figures ...string) {
		row := append([]string{c.Arch, patch}, figures...)
		if len(configs) > 1 {
			row = slices.Insert(row, 1, c.Config)
		}
		t.Rows = append(t.Rows, row)
	}
	for _, c := range deltaCells(r) {
		d := c.Delta
		if n := len(t.Rows); n == 0 || !follows(r, c) {
			add(c, patchName(d.Since), bytesOf(d.Code.Before), bytesOf(d.Vars.Before), bytesOf(d.Zero.Before), "", "", "")
		}
		changed, came, went := 0, 0, 0
		for _, s := range d.Symbols {
			switch {
			case s.New:
				came++
			case s.Gone:
				went++
			case s.Kind == "func":
				changed++
			}
		}
		warnings := strconv.Itoa(len(c.newWarnings()))
		add(c, patchName(c.Patch), change(d.Code), change(d.Vars), change(d.Zero), strconv.Itoa(changed), fmt.Sprintf("%d/%d", came, went), warnings)
	}
	t.Notes = append(t.Notes, "Sums of all symbols, without padding; two builds of one source differ in nothing.")
	return t, nil
}

// follows tells whether the cell's delta goes on where that of the cell before it ended.
func follows(r *Run, c *Cell) bool {
	before := r.CellAt(c.Arch, c.Delta.Since, c.Config)
	return before != nil && before.Delta != nil
}

func deltaConfigs(r *Run) (configs []string) {
	for _, c := range deltaCells(r) {
		if !slices.Contains(configs, c.Config) {
			configs = append(configs, c.Config)
		}
	}
	return configs
}

// deltaCells are the cells that have a delta, by architecture, configuration and patch.
func deltaCells(r *Run) []*Cell {
	var all []*Cell
	for i := range r.Cells {
		if r.Cells[i].Delta != nil {
			all = append(all, &r.Cells[i])
		}
	}
	slices.SortStableFunc(all, func(a, b *Cell) int {
		return cmp.Or(strings.Compare(a.Arch, b.Arch), strings.Compare(a.Config, b.Config), a.Patch-b.Patch)
	})
	return all
}

func bytesOf(n int64) string { return strconv.FormatInt(n, 10) }

func change(s Size) string {
	if s.By() == 0 {
		return "0"
	}
	return fmt.Sprintf("%+d", s.By())
}
