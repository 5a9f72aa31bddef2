// SPDX-License-Identifier: Apache-2.0

package kconfig

import (
	"fmt"
	"slices"
	"strings"
)

// A LostError lists the settings that a resolved configuration does not have.
type LostError struct {
	Lost []Lost
}

// A Lost is one setting that did not survive, and why.
type Lost struct {
	Setting Setting
	Got     string // the value that it has, "" for none
	Reason  string
}

func (l Lost) String() string {
	return fmt.Sprintf("%s (%s) did not survive: %s", l.Setting, l.Setting.Pos(), l.Reason)
}

func (e *LostError) Error() string {
	lines := make([]string, len(e.Lost))
	for i, l := range e.Lost {
		lines[i] = l.String()
	}
	return strings.Join(lines, "\n")
}

// Check compares a resolved configuration with what was requested. The Kconfig files are loaded only if something was
// lost.
func Check(requested *Fragment, resolved *Config, load func() (*Model, error)) error {
	var e LostError
	var model *Model
	var loadErr error
	for _, s := range requested.Settings {
		if resolved.has(s) {
			continue
		}
		if model == nil && loadErr == nil {
			model, loadErr = load()
		}
		l := Lost{Setting: s, Got: resolved.Get(s.Symbol)}
		if loadErr != nil {
			l.Reason = fmt.Sprintf("it is %s; why is unknown: %v", shown(l.Got), loadErr)
		} else {
			x := explainer{m: model, c: resolved, req: requested}
			l.Reason = x.lost(s)
		}
		e.Lost = append(e.Lost, l)
	}
	if len(e.Lost) == 0 {
		return nil
	}
	return &e
}

func shown(v string) string {
	if v == "" || v == "n" {
		return "not set"
	}
	return v
}

// An explainer says why a symbol has the value that it has.
type explainer struct {
	m   *Model
	c   *Config
	req *Fragment
}

func (x *explainer) lost(s Setting) string {
	sym := x.m.defined(s.Symbol)
	if sym == nil {
		return "there is no such symbol for this architecture" + x.similar(s.Symbol)
	}
	if r := wrongType(sym, s); r != "" {
		return r
	}
	if s.Value == "n" {
		return x.on(sym)
	}
	if r := x.outOfRange(sym, s); r != "" {
		return r
	}
	return x.off(sym, s)
}

// wrongType says that a value cannot be the symbol's.
func wrongType(sym *Symbol, s Setting) string {
	is := "an int"
	switch {
	case s.Value == "y" || s.Value == "n":
		is = "a bool"
	case s.Value == "m":
		is = "a tristate"
	case strings.HasPrefix(s.Value, `"`):
		is = "a string"
	case strings.HasPrefix(strings.ToLower(s.Value), "0x"):
		is = "a hex"
	}
	ok := map[string]string{"bool": "a bool", "tristate": "a bool, a tristate", "int": "an int", "hex": "a hex, an int", "string": "a string"}[sym.Type]
	if ok == "" || strings.Contains(ok, is) {
		return ""
	}
	if s.Value == "m" {
		return "it is a bool, which can be built in only"
	}
	return fmt.Sprintf("it is of type %s, and the value is that of %s", sym.Type, is)
}

// on says why a symbol that was not wanted is set.
func (x *explainer) on(sym *Symbol) string {
	var by []string
	for _, r := range sym.by {
		if x.c.Set(r.symbol) && (r.cond == nil || r.cond.eval(x.c) != no) {
			by = append(by, r.symbol)
		}
	}
	if len(by) > 0 {
		slices.Sort(by)
		return "it is selected by " + strings.Join(slices.Compact(by), ", ")
	}
	for _, d := range sym.defs {
		if d.choice != nil {
			return "it is the choice that was made among " + list(d.choice.members)
		}
	}
	return fmt.Sprintf("it is %s by default, and cannot be turned off", x.c.Get(sym.Name))
}

func (x *explainer) outOfRange(sym *Symbol, s Setting) string {
	for _, d := range sym.defs {
		for _, r := range d.ranges {
			if r.cond != nil && r.cond.eval(x.c) == no {
				continue
			}
			v := constExpr(s.Value)
			lo, hi := operandOf(r.lo), operandOf(r.hi)
			if (cmpExpr{"<", v, lo}).eval(x.c) == yes || (cmpExpr{">", v, hi}).eval(x.c) == yes {
				return fmt.Sprintf("its range is %s to %s (%s:%d); it is %s", r.lo, r.hi, d.file, d.line, shown(x.c.Get(sym.Name)))
			}
		}
	}
	return ""
}

func operandOf(s string) expr {
	if numeric(s) {
		return constExpr(s)
	}
	return symExpr(s)
}

// off says why a symbol that was wanted is not what it should be.
func (x *explainer) off(sym *Symbol, s Setting) string {
	deps, prompted := x.visibility(sym)
	if !prompted {
		return x.promptless(sym)
	}
	if deps != nil {
		v := deps.eval(x.c)
		if v == no || v == mod && s.Value == "y" || v == unknown {
			return fmt.Sprintf("it depends on %s; %s", deps, x.why(deps, 0))
		}
	}
	for _, d := range sym.defs {
		if d.choice == nil {
			continue
		}
		for _, other := range d.choice.members {
			if other != sym.Name && x.c.Set(other) {
				return fmt.Sprintf("only one of %s can be set, and %s is", list(d.choice.members), other)
			}
		}
	}
	if s.Value == "m" && x.c.Get(sym.Name) == "y" {
		return "it is y: " + x.on(sym)
	}
	if s.Value == "m" && !x.c.Set("MODULES") {
		return "MODULES is not set"
	}
	return fmt.Sprintf("it is %s, though what it depends on is there", shown(x.c.Get(sym.Name)))
}

// visibility is when the symbol can be set: when one of its places with a prompt is visible.
func (x *explainer) visibility(sym *Symbol) (deps expr, prompted bool) {
	for _, d := range sym.defs {
		if d.prompt == "" {
			continue
		}
		v := simplify(and(and(d.deps, d.hidden), d.visible))
		if prompted {
			v = or(deps, v)
		}
		deps, prompted = v, true
	}
	return deps, prompted
}

// promptless explains a symbol that only others can set.
func (x *explainer) promptless(sym *Symbol) string {
	s := "it has no prompt, so that it cannot be asked for; "
	if deps := x.allDeps(sym); deps != nil && deps.eval(x.c) == no {
		why := fmt.Sprintf("it depends on %s; %s", deps, x.why(deps, 0))
		if slices.ContainsFunc(sym.defs, func(d *def) bool { return d.defaults > 0 }) {
			return why // and would be set by default then
		}
		return s + why
	}
	var by []string
	for _, r := range sym.by {
		if r.cond == nil {
			by = append(by, r.symbol)
		} else {
			by = append(by, r.symbol+" if "+r.cond.String())
		}
	}
	if len(by) == 0 {
		return s + "its default is what it is"
	}
	slices.Sort(by)
	by = slices.Compact(by)
	if n := len(by); n > 5 {
		by = append(by[:5], fmt.Sprintf("%d more", n-5))
	}
	return s + "it is selected by " + list(by)
}

func (x *explainer) allDeps(sym *Symbol) expr {
	var all expr
	for i, d := range sym.defs {
		if i == 0 {
			all = simplify(d.deps)
		} else {
			all = or(all, simplify(d.deps))
		}
	}
	return all
}

// why names the parts of a condition that do not hold.
func (x *explainer) why(e expr, depth int) string {
	var reasons []string
	for _, c := range conjuncts(e) {
		switch v := c.eval(x.c); v {
		case no:
			reasons = append(reasons, x.not(c, depth))
		case mod:
			reasons = append(reasons, c.String()+" is m")
		}
	}
	if len(reasons) == 0 {
		for _, c := range conjuncts(e) {
			if c.eval(x.c) == unknown {
				reasons = append(reasons, c.String()+", which asks the compiler, may not hold")
			}
		}
	}
	return strings.Join(reasons, ", and ")
}

// not says why one condition does not hold.
func (x *explainer) not(e expr, depth int) string {
	switch e := e.(type) {
	case symExpr:
		return x.unset(string(e), depth)
	case notExpr:
		if s, ok := e.x.(symExpr); ok {
			return string(s) + " is set"
		}
		return e.x.String() + " holds"
	case orExpr:
		var names []string
		for _, d := range disjuncts(e) {
			s, ok := d.(symExpr)
			if !ok {
				return "(" + e.String() + ") does not hold"
			}
			names = append(names, string(s))
		}
		return "none of " + list(names) + " is set"
	case cmpExpr:
		if s, ok := e.x.(symExpr); ok {
			return fmt.Sprintf("%s does not hold, %s is %s", e, s, shown(x.c.Get(string(s))))
		}
	}
	return e.String() + " does not hold"
}

// unset says that a symbol is not set, and follows the chain to what the user can do something about.
func (x *explainer) unset(name string, depth int) string {
	s := name + " is not set"
	sym := x.m.defined(name)
	if sym == nil {
		return s + " (this architecture has no such symbol)"
	}
	if slices.ContainsFunc(x.req.Settings, func(q Setting) bool { return q.Symbol == name && q.Value != "n" }) {
		return s + ", though it was asked for"
	}
	deps, prompted := x.visibility(sym)
	if prompted && deps != nil && deps.eval(x.c) == no && depth < 3 {
		return fmt.Sprintf("%s (it depends on %s; %s)", s, deps, x.why(deps, depth+1))
	}
	if !prompted && len(sym.by) > 0 {
		return fmt.Sprintf("%s (%s)", s, x.promptless(sym))
	}
	return s
}

// similar names the symbols that are spelled most like name.
func (x *explainer) similar(name string) string {
	type near struct {
		name string
		d    int
	}
	limit := max(1, len(name)/4)
	var all []near
	for other, s := range x.m.Symbols {
		if len(s.defs) == 0 || len(other)-len(name) > limit || len(name)-len(other) > limit {
			continue
		}
		if d := distance(name, other, limit); d <= limit {
			all = append(all, near{other, d})
		}
	}
	if len(all) == 0 {
		return ""
	}
	slices.SortFunc(all, func(a, b near) int {
		if a.d != b.d {
			return a.d - b.d
		}
		return strings.Compare(a.name, b.name)
	})
	var names []string
	for _, n := range all[:min(3, len(all))] {
		names = append(names, n.name)
	}
	return "; did you mean " + strings.Join(names, " or ") + "?"
}

// distance is the edit distance of a and b, or some number above limit.
func distance(a, b string, limit int) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diag, least := row[0], i
		row[0] = i
		for j := 1; j <= len(b); j++ {
			d := diag
			if a[i-1] != b[j-1] {
				d++
			}
			diag = row[j]
			row[j] = min(d, row[j]+1, row[j-1]+1)
			least = min(least, row[j])
		}
		if least > limit {
			return limit + 1
		}
	}
	return row[len(b)]
}

func list(names []string) string { return strings.Join(names, ", ") }
