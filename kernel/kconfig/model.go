// SPDX-License-Identifier: Apache-2.0

package kconfig

import (
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// A Model is what the Kconfig files of a tree say, for one architecture.
type Model struct {
	Symbols  map[string]*Symbol
	Problems []string // lines that were not understood, as FILE:LINE: what; they are passed over
	Files    []string // that were read

	fsys fs.FS
	vars map[string]string
	open map[string]bool // files being read, against a file that sources itself
}

// A Symbol is a configuration symbol.
type Symbol struct {
	Name string
	Type string // bool, tristate, int, hex or string
	defs []*def
	by   []reverse // who selects it
	weak []reverse // who implies it
}

// A def is one place where a symbol is defined. A symbol is visible when one of its defs is.
type def struct {
	file     string
	line     int
	prompt   string
	visible  expr // nil means always; of a def without a prompt it means nothing
	deps     expr // what it depends on, with the ifs, menus and choice around it
	hidden   expr // "visible if" of the menus around it
	ranges   []bounds
	choice   *choice
	selects  []reverse
	implies  []reverse
	defaults int
}

type bounds struct {
	lo, hi string
	cond   expr
}

// A reverse is a select or an imply, seen from either end.
type reverse struct {
	symbol string
	cond   expr
	pos    string
}

type choice struct {
	prompt  string
	members []string
}

// Load reads the Kconfig files of a tree, from the one at its top. vars are those of make's that paths in source
// statements have, such as SRCARCH. Calls of macros are not evaluated: what the compiler can do is taken as unknown.
func Load(fsys fs.FS, vars map[string]string) (*Model, error) {
	m := &Model{Symbols: map[string]*Symbol{}, fsys: fsys, vars: map[string]string{}, open: map[string]bool{}}
	for k, v := range vars {
		m.vars[k] = v
	}
	p := &parser{m: m}
	if err := p.file("Kconfig"); err != nil {
		return nil, err
	}
	for _, s := range m.Symbols {
		for _, d := range s.defs {
			for _, r := range d.selects {
				m.reverse(&m.symbol(r.symbol).by, s, d, r)
			}
			for _, r := range d.implies {
				m.reverse(&m.symbol(r.symbol).weak, s, d, r)
			}
		}
	}
	return m, nil
}

func (m *Model) reverse(list *[]reverse, from *Symbol, d *def, r reverse) {
	*list = append(*list, reverse{symbol: from.Name, cond: r.cond, pos: fmt.Sprintf("%s:%d", d.file, d.line)})
}

// symbol returns a symbol, also one that is only mentioned: that one has no defs.
func (m *Model) symbol(name string) *Symbol {
	s := m.Symbols[name]
	if s == nil {
		s = &Symbol{Name: name}
		m.Symbols[name] = s
	}
	return s
}

// defined returns a symbol that some file defines.
func (m *Model) defined(name string) *Symbol {
	if s := m.Symbols[name]; s != nil && len(s.defs) > 0 {
		return s
	}
	return nil
}

// expand replaces $(VAR) by what is known of it.
func (m *Model) expand(s string) (string, bool) {
	for n := 0; n < 10; n++ {
		i := strings.Index(s, "$(")
		if i < 0 {
			return path.Clean(s), true
		}
		j := strings.IndexByte(s[i:], ')')
		if j < 0 {
			return s, false
		}
		v, ok := m.vars[s[i+2:i+j]]
		if !ok {
			return s, false
		}
		s = s[:i] + v + s[i+j+1:]
	}
	return s, false
}
