// SPDX-License-Identifier: Apache-2.0

package results

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// symbolRows is how many symbols of a patch a table shows.
const symbolRows = 20

// nameWidth is how much of a symbol's name a table shows: two architectures fit beside it in a mail.
const nameWidth = 36

// symbolTable has a row for each symbol that a patch changed, and a column for each architecture.
func symbolTable(r *Run) (*Table, error) {
	cells := deltaCells(r)
	if len(cells) == 0 {
		return nil, fmt.Errorf("table symbols: %w in this run of %s", ErrNotMeasured, r.Series)
	}
	arches := distinct(r, func(c *Cell) string { return c.Arch })
	configs := deltaConfigs(r)
	t := &Table{Name: "symbols", Title: "What each patch did to functions and variables", Columns: []Column{
		{Head: "patch", Label: true}, {Head: "symbol", Label: true}}}
	if len(configs) > 1 {
		t.Columns = slices.Insert(t.Columns, 1, Column{Head: "config", Label: true})
	}
	for _, arch := range arches {
		t.Columns = append(t.Columns, Column{Head: arch, Unit: "B", Right: true, Blank: true})
	}
	t.Rows = [][]string{}
	for _, config := range configs {
		for _, patch := range patchesOf(r) {
			names, left := symbolsOf(cells, config, patch)
			for _, name := range names {
				row := []string{patchName(patch), shorten(name)}
				if len(configs) > 1 {
					row = slices.Insert(row, 1, config)
				}
				for _, arch := range arches {
					row = append(row, symbolText(r.CellAt(arch, patch, config), name))
				}
				t.Rows = append(t.Rows, row)
			}
			if left > 0 {
				t.Notes = append(t.Notes, fmt.Sprintf("Patch %s: %d more, which changed less.", patchName(patch), left))
			}
		}
	}
	if len(t.Rows) == 0 {
		t.Notes = append(t.Notes, "No patch changed any.")
	}
	return t, nil
}

// symbolsOf lists what a patch changed on any architecture, what changed most first, and how many are left out.
func symbolsOf(cells []*Cell, config string, patch int) (names []string, left int) {
	most := map[string]int64{}
	for _, c := range cells {
		if c.Config != config || c.Patch != patch {
			continue
		}
		for _, s := range c.Delta.Symbols {
			if _, ok := most[s.Name]; !ok {
				names = append(names, s.Name)
			}
			most[s.Name] = max(most[s.Name], s.By(), -s.By())
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		if most[a] != most[b] {
			return int(min(max(most[b]-most[a], -1), 1))
		}
		return strings.Compare(a, b)
	})
	n := min(len(names), symbolRows)
	return names[:n], len(names) - n
}

func symbolText(c *Cell, name string) string {
	if c == nil || c.Delta == nil {
		return ""
	}
	i := slices.IndexFunc(c.Delta.Symbols, func(s SymbolDelta) bool { return s.Name == name })
	if i < 0 {
		return ""
	}
	s := c.Delta.Symbols[i]
	switch {
	case s.New && s.After == 0:
		return "new"
	case s.New:
		return fmt.Sprintf("new %d", s.After)
	case s.Gone && s.Before == 0:
		return "gone"
	case s.Gone:
		return fmt.Sprintf("gone %d", s.Before)
	case s.By() == 0:
		return "moved to " + s.Kind
	}
	return fmt.Sprintf("%+d", s.By())
}

// shorten takes the middle out of a name that is too long.
func shorten(name string) string {
	name = clean(name)
	if utf8.RuneCountInString(name) <= nameWidth {
		return name
	}
	r := []rune(name)
	tail := nameWidth / 3
	return string(r[:nameWidth-tail-1]) + "…" + string(r[len(r)-tail:])
}

// newWarnings are what the build of a cell says that the one before it did not.
func (c *Cell) newWarnings() []string {
	var all []string
	if c.Build != nil {
		all = append(all, c.Build.WarningsNew...)
	}
	if c.Delta != nil && c.Delta.Extra != nil {
		for _, w := range c.Delta.Extra.Warnings {
			if !slices.Contains(all, w) {
				all = append(all, w)
			}
		}
	}
	return all
}

// A News is a line that the builds of one patch say for the first time, and on which architectures.
type News struct {
	Patch  int
	Config string
	Arches []string
	Text   string // FILE:LINE: warning: ...
	Asked  string // "W=1" where a plain build does not say it; "" where it does
	Error  bool
}

func (n News) String() string {
	s := strings.Join(n.Arches, ", ") + ": " + clean(n.Text)
	if n.Asked != "" {
		s += " (" + n.Asked + ")"
	}
	return s
}

// NewsOf lists the warnings and errors that a patch brought, each once: what several architectures say alike is one. They
// are ordered by patch, and then as the first architecture has them.
func NewsOf(r *Run) []News {
	var all []News
	add := func(c *Cell, text, asked string, isError bool) {
		for i := range all {
			n := &all[i]
			if n.Patch == c.Patch && n.Config == c.Config && n.Text == text && n.Error == isError {
				if !slices.Contains(n.Arches, c.Arch) {
					n.Arches = append(n.Arches, c.Arch)
				}
				return
			}
		}
		all = append(all, News{Patch: c.Patch, Config: c.Config, Arches: []string{c.Arch}, Text: text, Asked: asked, Error: isError})
	}
	for i := range r.Cells {
		c := &r.Cells[i]
		if c.Build != nil {
			for _, e := range c.Build.Errors {
				add(c, e, "", true)
			}
			for _, w := range c.Build.WarningsNew {
				add(c, w, "", false)
			}
		}
		if c.Delta != nil && c.Delta.Extra != nil {
			for _, w := range c.newWarnings() {
				if c.Build != nil && slices.Contains(c.Build.WarningsNew, w) {
					continue
				}
				add(c, w, c.Delta.Extra.Asked, false)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b News) int { return a.Patch - b.Patch })
	return all
}

// BuildNews says, a line each, how the resolved configuration changed, and which sections patches made, removed, or changed in
// type or flags. That a section has another size is no news: the symbols in it say more.
func BuildNews(r *Run) []string {
	type news struct {
		patch  int
		text   string
		arches []string
	}
	var all []*news
	for _, c := range deltaCells(r) {
		add := func(text string) {
			i := slices.IndexFunc(all, func(n *news) bool { return n.patch == c.Patch && n.text == text })
			if i < 0 {
				all = append(all, &news{patch: c.Patch, text: text})
				i = len(all) - 1
			}
			if !slices.Contains(all[i].arches, c.Arch) {
				all[i].arches = append(all[i].arches, c.Arch)
			}
		}
		for _, line := range c.Delta.Config {
			add("configuration: " + line)
		}
		for _, s := range c.Delta.Sections {
			var text string
			switch {
			case s.FlagsBefore == s.FlagsAfter:
				continue
			case s.FlagsBefore == "":
				text = fmt.Sprintf("section %s is new: %s, %d bytes", s.Name, s.FlagsAfter, s.After)
			case s.FlagsAfter == "":
				text = fmt.Sprintf("section %s is gone: it was %s, %d bytes", s.Name, s.FlagsBefore, s.Before)
			default:
				text = fmt.Sprintf("section %s: %s, was %s", s.Name, s.FlagsAfter, s.FlagsBefore)
			}
			add(text)
		}
	}
	slices.SortStableFunc(all, func(a, b *news) int { return a.patch - b.patch })
	var lines []string
	for _, n := range all {
		lines = append(lines, fmt.Sprintf("patch %d: %s: %s", n.patch, strings.Join(n.arches, ", "), clean(n.text)))
	}
	return lines
}
