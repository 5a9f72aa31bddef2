// SPDX-License-Identifier: Apache-2.0

package delta

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// A Change is a number of bytes before and after.
type Change struct {
	Before, After int64
}

// By is how many bytes more there are now.
func (c Change) By() int64 { return c.After - c.Before }

// A SymbolChange is a symbol whose size is another, or that came or went.
type SymbolChange struct {
	Name      string
	Kind      Kind
	Size      Change
	New, Gone bool
}

// A SectionChange is a section that changed. A type or a flag that did not exist is "".
type SectionChange struct {
	Name   string
	Size   Change
	Before string // type and flags: "PROGBITS WA"; "" for a new section
	After  string // "" for one that is gone
}

// A Delta is what differs between two files.
type Delta struct {
	Text, Data, BSS  Change // of sections, as size(1) counts
	Code, Vars, Zero Change // the sums of all symbols of the kinds Func, Data and BSS
	Symbols          []SymbolChange
	Sections         []SectionChange // that are new or gone, or have other flags or another size
}

// Compare compares two files. What changed most comes first.
func Compare(before, after *Image) *Delta {
	d := &Delta{
		Text: Change{before.Text, after.Text},
		Data: Change{before.Data, after.Data},
		BSS:  Change{before.BSS, after.BSS},
	}
	for _, sum := range []struct {
		kind Kind
		to   *Change
	}{{Func, &d.Code}, {Data, &d.Vars}, {BSS, &d.Zero}} {
		*sum.to = Change{before.sum(sum.kind), after.sum(sum.kind)}
	}
	d.Symbols = compareSymbols(before.Symbols, after.Symbols)
	d.Sections = compareSections(before.Sections, after.Sections)
	return d
}

func (im *Image) sum(k Kind) (n int64) {
	for _, s := range im.Symbols {
		if s.Kind == k {
			n += s.Size
		}
	}
	return n
}

func compareSymbols(before, after map[string]Symbol) []SymbolChange {
	var all []SymbolChange
	for name, a := range after {
		b, had := before[name]
		if had && b == a {
			continue
		}
		all = append(all, SymbolChange{Name: name, Kind: a.Kind, Size: Change{b.Size, a.Size}, New: !had})
	}
	for name, b := range before {
		if _, has := after[name]; !has {
			all = append(all, SymbolChange{Name: name, Kind: b.Kind, Size: Change{Before: b.Size}, Gone: true})
		}
	}
	slices.SortFunc(all, func(a, b SymbolChange) int {
		return cmp.Or(cmp.Compare(abs(b.Size.By()), abs(a.Size.By())), strings.Compare(a.Name, b.Name))
	})
	return all
}

func abs(n int64) int64 { return max(n, -n) }

func compareSections(before, after map[string]Section) []SectionChange {
	var all []SectionChange
	names := maps.Clone(before)
	maps.Copy(names, after)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		b, had := before[name]
		a, has := after[name]
		if b == a && had == has {
			continue
		}
		c := SectionChange{Name: name, Size: Change{b.Size, a.Size}}
		if had {
			c.Before = strings.TrimSpace(b.Type + " " + b.Flags)
		}
		if has {
			c.After = strings.TrimSpace(a.Type + " " + a.Flags)
		}
		all = append(all, c)
	}
	return all
}
