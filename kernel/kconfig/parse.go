// SPDX-License-Identifier: Apache-2.0

package kconfig

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// A parser reads Kconfig files into a model. It keeps the blocks that are open, and the entry to which attributes go.
type parser struct {
	m      *Model
	blocks []block

	name  string // of the file
	line  int
	entry entry
	depth int
}

// A block is an if, a menu or a choice.
type block struct {
	kind   string
	cond   expr
	hidden expr // "visible if"
	choice *choice
}

// An entry is what the last config, choice, menu or comment line opened.
type entry struct {
	kind   string
	sym    *Symbol
	def    *def
	choice *choice
}

const (
	maxSources = 200     // files within files
	maxKconfig = 4 << 20 // bytes
)

func (p *parser) problem(format string, args ...any) {
	if len(p.m.Problems) < 1000 {
		p.m.Problems = append(p.m.Problems, fmt.Sprintf("%s:%d: ", p.name, p.line)+fmt.Sprintf(format, args...))
	}
}

// file reads one file and those that it sources.
func (p *parser) file(name string) error {
	if p.m.open[name] || p.depth > maxSources {
		return fmt.Errorf("%s:%d: %s sources itself", p.name, p.line, name)
	}
	data, err := fs.ReadFile(p.m.fsys, name)
	if err != nil {
		return fmt.Errorf("read Kconfig files: %w", err)
	}
	if len(data) > maxKconfig {
		return fmt.Errorf("read Kconfig files: %s has more than %d bytes", name, maxKconfig)
	}
	p.m.Files = append(p.m.Files, name)
	p.m.open[name] = true
	p.depth++
	outer, line := p.name, p.line
	defer func() {
		delete(p.m.open, name)
		p.depth--
		p.name, p.line = outer, line
	}()
	p.name, p.line = name, 0
	return p.lines(bytes.Split(data, []byte{'\n'}))
}

func (p *parser) lines(lines [][]byte) error {
	for i := 0; i < len(lines); i++ {
		p.line = i + 1
		text := string(lines[i])
		for strings.HasSuffix(text, "\\") && i+1 < len(lines) {
			i++
			text = text[:len(text)-1] + " " + string(lines[i])
		}
		toks := lex(text)
		if len(toks) == 0 {
			continue
		}
		if t := toks[0].text; t == "help" || t == "---help---" {
			i = skipHelp(lines, i+1) - 1
			continue
		}
		if err := p.statement(toks, text); err != nil {
			return err
		}
	}
	return nil
}

// skipHelp returns the first line after a help text, which is as far as its lines are indented like the first one.
func skipHelp(lines [][]byte, i int) int {
	depth := 0
	for ; i < len(lines); i++ {
		n := indent(lines[i])
		if n < 0 {
			continue
		}
		if depth == 0 {
			depth = n
		}
		if n < depth || n == 0 {
			break
		}
	}
	return i
}

// indent is the column of a line's first character, -1 for an empty line.
func indent(line []byte) int {
	n := 0
	for _, c := range line {
		switch c {
		case ' ':
			n++
		case '\t':
			n = n&^7 + 8
		case '\r':
		default:
			return n
		}
	}
	return -1
}

func (p *parser) statement(toks []token, text string) error {
	args := toks[1:]
	switch toks[0].text {
	case "config", "menuconfig":
		if len(args) != 1 || !isName(args[0].text) {
			p.problem("config without a name")
			p.entry = entry{}
			return nil
		}
		s := p.m.symbol(args[0].text)
		d := &def{file: p.name, line: p.line}
		d.deps, d.hidden, d.choice = p.around()
		s.defs = append(s.defs, d)
		if d.choice != nil && !slices.Contains(d.choice.members, s.Name) {
			d.choice.members = append(d.choice.members, s.Name)
		}
		p.entry = entry{kind: "config", sym: s, def: d}
	case "choice":
		c := &choice{}
		p.blocks = append(p.blocks, block{kind: "choice", choice: c})
		p.entry = entry{kind: "choice", choice: c}
	case "menu":
		p.blocks = append(p.blocks, block{kind: "menu"})
		p.entry = entry{kind: "menu"}
	case "if":
		p.blocks = append(p.blocks, block{kind: "if", cond: p.expr(args)})
		p.entry = entry{}
	case "endchoice", "endmenu", "endif":
		p.entry = entry{}
		kind := toks[0].text[3:]
		if n := len(p.blocks); n > 0 && p.blocks[n-1].kind == kind {
			p.blocks = p.blocks[:n-1]
		} else {
			p.problem("%s without %s", toks[0].text, kind)
		}
	case "comment":
		p.entry = entry{kind: "comment"}
	case "mainmenu":
		p.entry = entry{}
	case "source", "rsource", "osource", "orsource":
		p.entry = entry{}
		return p.source(toks[0].text, args)
	default:
		if p.assignment(toks, text) || strings.HasPrefix(toks[0].text, "$(") {
			return nil
		}
		p.attribute(toks[0].text, args)
	}
	return nil
}

func (p *parser) source(kind string, args []token) error {
	if len(args) != 1 {
		p.problem("source without a path")
		return nil
	}
	name, ok := p.m.expand(args[0].text)
	if strings.Contains(kind, "rsource") {
		name = path.Join(path.Dir(p.name), name)
	}
	if !ok || !fs.ValidPath(name) {
		p.problem("path %q is not known", args[0].text)
		return nil
	}
	err := p.file(name)
	if errors.Is(err, fs.ErrNotExist) && strings.HasPrefix(kind, "o") {
		return nil
	}
	return err
}

// assignment takes NAME = VALUE of the macro language, as far as the value is plain.
func (p *parser) assignment(toks []token, text string) bool {
	if len(toks) < 2 || toks[1].quoted {
		return false
	}
	switch toks[1].text {
	case "=", ":=", "+=":
	default:
		return false
	}
	_, value, _ := strings.Cut(text, "=")
	if value = strings.TrimSpace(value); !strings.Contains(value, "$(") {
		p.m.vars[toks[0].text] = value
	}
	return true
}

// around is the conditions of all open blocks, and the innermost choice.
func (p *parser) around() (deps, hidden expr, c *choice) {
	for _, b := range p.blocks {
		deps, hidden = and(deps, b.cond), and(hidden, b.hidden)
		if b.kind == "choice" {
			c = b.choice
		}
	}
	return deps, hidden, c
}

func (p *parser) expr(toks []token) expr {
	q := &exprParser{toks: toks}
	x, err := q.parse()
	if err == nil && len(q.toks) > 0 {
		err = fmt.Errorf("%q after the expression", q.toks[0].text)
	}
	if err != nil {
		p.problem("%v", err)
		return macroExpr("(not understood)")
	}
	return x
}

// cond splits "... if EXPR".
func (p *parser) cond(toks []token) ([]token, expr) {
	for i, t := range toks {
		if t.text == "if" && !t.quoted {
			return toks[:i], p.expr(toks[i+1:])
		}
	}
	return toks, nil
}

func (p *parser) attribute(word string, args []token) {
	e := &p.entry
	switch word {
	case "bool", "boolean", "tristate", "int", "hex", "string", "prompt":
		args, cond := p.cond(args)
		if e.kind == "choice" && len(args) > 0 {
			e.choice.prompt = args[0].text
		}
		if e.kind != "config" {
			return
		}
		if word != "prompt" {
			e.sym.Type = strings.TrimSuffix(word, "ean")
		}
		if len(args) > 0 {
			e.def.prompt, e.def.visible = args[0].text, cond
		}
	case "def_bool", "def_tristate":
		if e.kind == "config" {
			e.sym.Type = word[4:]
			e.def.defaults++
		}
	case "default":
		if e.kind == "config" {
			e.def.defaults++
		}
	case "depends":
		if len(args) < 2 || args[0].text != "on" {
			p.problem("depends without on")
			return
		}
		p.depends(p.expr(args[1:]))
	case "visible":
		if len(args) > 1 && e.kind == "menu" && len(p.blocks) > 0 {
			b := &p.blocks[len(p.blocks)-1]
			b.hidden = and(b.hidden, p.expr(args[1:]))
		}
	case "select", "imply":
		args, cond := p.cond(args)
		if len(args) != 1 || e.kind != "config" {
			p.problem("%s without a symbol", word)
			return
		}
		r := reverse{symbol: args[0].text, cond: cond}
		if word == "select" {
			e.def.selects = append(e.def.selects, r)
		} else {
			e.def.implies = append(e.def.implies, r)
		}
	case "range":
		args, cond := p.cond(args)
		if len(args) == 2 && e.kind == "config" {
			e.def.ranges = append(e.def.ranges, bounds{args[0].text, args[1].text, cond})
		}
	case "optional", "modules", "option", "transitional":
	default:
		p.problem("%q is not understood", word)
	}
}

// depends adds a condition to the entry, and to the block that it opened.
func (p *parser) depends(x expr) {
	switch e := &p.entry; e.kind {
	case "config":
		e.def.deps = and(e.def.deps, x)
	case "menu", "choice":
		if n := len(p.blocks); n > 0 {
			p.blocks[n-1].cond = and(p.blocks[n-1].cond, x)
		}
	}
}
