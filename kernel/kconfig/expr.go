// SPDX-License-Identifier: Apache-2.0

package kconfig

import (
	"slices"
	"strconv"
	"strings"
)

// An expr is a Kconfig expression (Documentation/kbuild/kconfig-language.rst, "Menu dependencies").
type expr interface {
	String() string
	// eval gives the expression's value under a configuration: 0, 1 and 2 for n, m and y, and unknown where it depends on
	// what a macro says about the compiler.
	eval(c *Config) tristate
}

type tristate int

const (
	no tristate = iota
	mod
	yes
	unknown tristate = -1
)

type (
	symExpr   string // a symbol
	constExpr string // "y", "n", "m" in quotes or not, numbers, strings
	macroExpr string // $(…): only make and the compiler know
	notExpr   struct{ x expr }
	andExpr   struct{ x, y expr }
	orExpr    struct{ x, y expr }
	cmpExpr   struct {
		op   string
		x, y expr
	}
)

func (e symExpr) String() string   { return string(e) }
func (e constExpr) String() string { return string(e) }
func (e macroExpr) String() string { return string(e) }
func (e notExpr) String() string   { return "!" + paren(e.x, 3) }
func (e andExpr) String() string   { return paren(e.x, 2) + " && " + paren(e.y, 2) }
func (e orExpr) String() string    { return paren(e.x, 1) + " || " + paren(e.y, 1) }
func (e cmpExpr) String() string   { return e.x.String() + e.op + e.y.String() }

func paren(e expr, outer int) string {
	inner := 3
	switch e.(type) {
	case orExpr:
		inner = 1
	case andExpr:
		inner = 2
	}
	if inner < outer {
		return "(" + e.String() + ")"
	}
	return e.String()
}

func (e symExpr) eval(c *Config) tristate {
	switch c.values[string(e)] {
	case "y":
		return yes
	case "m":
		return mod
	}
	return no
}

func (e constExpr) eval(*Config) tristate {
	switch e {
	case "y":
		return yes
	case "m":
		return mod
	}
	return no
}

func (e macroExpr) eval(*Config) tristate { return unknown }

func (e notExpr) eval(c *Config) tristate {
	v := e.x.eval(c)
	if v == unknown {
		return unknown
	}
	return yes - v
}

func (e andExpr) eval(c *Config) tristate {
	a, b := e.x.eval(c), e.y.eval(c)
	if a == no || b == no {
		return no
	}
	return min(a, b) // unknown is the least
}

func (e orExpr) eval(c *Config) tristate {
	a, b := e.x.eval(c), e.y.eval(c)
	if a == yes || b == yes {
		return yes
	}
	if a == unknown || b == unknown {
		return unknown
	}
	return max(a, b)
}

func (e cmpExpr) eval(c *Config) tristate {
	a, ok1 := text(e.x, c)
	b, ok2 := text(e.y, c)
	if !ok1 || !ok2 {
		return unknown
	}
	d := strings.Compare(a, b)
	x, err1 := strconv.ParseInt(a, 0, 64)
	y, err2 := strconv.ParseInt(b, 0, 64)
	if err1 == nil && err2 == nil {
		d = int(min(1, max(-1, x-y)))
		if x > y { // the difference may not fit
			d = 1
		} else if x < y {
			d = -1
		}
	}
	is := false
	switch e.op {
	case "=":
		is = d == 0
	case "!=":
		is = d != 0
	case "<":
		is = d < 0
	case "<=":
		is = d <= 0
	case ">":
		is = d > 0
	case ">=":
		is = d >= 0
	}
	if is {
		return yes
	}
	return no
}

// text is an operand's value as text. A symbol that is not set is n.
func text(e expr, c *Config) (string, bool) {
	switch e := e.(type) {
	case symExpr:
		v := c.values[string(e)]
		if v == "" {
			v = "n"
		}
		return strings.Trim(v, `"`), true
	case constExpr:
		return strings.Trim(string(e), `"`), true
	}
	return "", false
}

// and joins conditions; nil is no condition.
func and(x, y expr) expr {
	switch {
	case x == nil:
		return y
	case y == nil:
		return x
	}
	return andExpr{x, y}
}

func or(x, y expr) expr {
	switch {
	case x == nil || y == nil: // no condition: always
		return nil
	}
	return orExpr{x, y}
}

// conjuncts splits a && b && c.
func conjuncts(e expr) []expr {
	if a, ok := e.(andExpr); ok {
		return append(conjuncts(a.x), conjuncts(a.y)...)
	}
	return []expr{e}
}

func disjuncts(e expr) []expr {
	if o, ok := e.(orExpr); ok {
		return append(disjuncts(o.x), disjuncts(o.y)...)
	}
	return []expr{e}
}

// simplify drops conjuncts that stand there twice: the conditions of menus and ifs around an entry repeat themselves.
func simplify(e expr) expr {
	if e == nil {
		return nil
	}
	var all expr
	var seen []string
	for _, c := range conjuncts(e) {
		if s := c.String(); !slices.Contains(seen, s) && s != "y" {
			seen = append(seen, s)
			all = and(all, c)
		}
	}
	return all
}
