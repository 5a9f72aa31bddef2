// SPDX-License-Identifier: Apache-2.0

package results

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrNotMeasured says that a record has nothing that a table could show.
var ErrNotMeasured = errors.New("not measured")

// An UnknownTableError lists the names that the record has tables for.
type UnknownTableError struct {
	Name  string
	Known []string
}

func (e *UnknownTableError) Error() string {
	return fmt.Sprintf("no table %q; there are %s", e.Name, strings.Join(e.Known, ", "))
}

// A layout chooses the metrics of a table. With it a table is an entry below and no code. It shows the benchmarks that
// have the unit of its first column.
type layout struct {
	title   string
	columns []layoutColumn // for a row of each architecture and patch
	// ends are the columns where there are several benchmarks, each of which then has one row an architecture: with a row
	// a patch as well nobody would read it to its end. Empty means that there is a row a patch nevertheless.
	ends []layoutColumn
}

// A layoutColumn shows one unit: the figure itself, or its change.
type layoutColumn struct {
	unit  string
	show  show
	at    at
	head  string // what the column is called; "" makes it of the unit
	under string // the second line of that
}

type show int

const (
	value         show = iota // median and interval
	againstStock              // change from patch 0
	againstBefore             // change from the previous patch
)

// at says of which kernel a figure is.
type at int

const (
	theRow at = iota // the patch that the row is about
	stock            // patch 0
	last             // the record's last patch
)

// layouts are the tables that want other columns than all their metrics in turn.
var layouts = map[string]layout{
	"wakeups": {
		title: "Wakeups of kauditd, and audit records lost",
		columns: []layoutColumn{
			{unit: "wakeups/event"},
			{unit: "wakeups/record"},
			{unit: "lost", head: "records", under: "lost"},
			{unit: "wakeups/event", show: againstStock, under: "per event"},
		},
		ends: []layoutColumn{
			{unit: "wakeups/event", at: stock, head: "stock", under: "per event"},
			{unit: "wakeups/event", at: last, head: "patched", under: "per event"},
			{unit: "wakeups/event", at: last, show: againstStock},
			{unit: "lost", at: last, head: "lost"},
			{unit: "wakeups/record", at: stock, head: "stock", under: "per record"},
			{unit: "wakeups/record", at: last, head: "patched", under: "per record"},
			{unit: "wakeups/record", at: last, show: againstStock},
			{unit: "lost", at: stock, head: "lost", under: "stock"},
		},
	},
}

// builtin are the tables that are no benchmark's.
var builtin = map[string]func(*Run) (*Table, error){
	"verdicts":    VerdictTable,
	"stages":      StageTable,
	"size":        sizeTable,
	"symbols":     symbolTable,
	"predictions": func(r *Run) (*Table, error) { return predictionTable("predictions", "", r) },
	"functions":   functionTable,
	"counts":      countTable,
	// What two interfaces say of tasks: all readings, or those of ps.
	"interfaces": func(r *Run) (*Table, error) { return interfaceTable("interfaces", "", r) },
	"ps":         func(r *Run) (*Table, error) { return interfaceTable("ps", "ps", r) },
	"cost":       func(r *Run) (*Table, error) { return costTable("cost", r, "") },
}

// TableNames lists the tables that the record has, sorted.
func TableNames(r *Run) []string {
	var names []string
	for name := range builtin {
		names = append(names, name)
	}
	for name := range layouts {
		names = append(names, name)
	}
	for i := range r.Cells {
		for _, b := range r.Cells[i].Benchmarks {
			names = append(names, strings.ToLower(baseName(b.Name)))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// fewBenchmarks are so many that a table has a row for each patch and each of them.
const fewBenchmarks = 4

// endsFor shows a benchmark of many sub-benchmarks: what all patches together cost.
func endsFor(key, unit string) layout {
	return layout{
		title:   fmt.Sprintf("%s%s: %s", strings.ToUpper(key[:1]), key[1:], unit),
		columns: []layoutColumn{{unit: unit}},
		ends: []layoutColumn{
			{unit: unit, at: stock, head: "stock"},
			{unit: unit, at: last, head: "patched"},
			{unit: unit, at: last, show: againstStock, head: "change"},
		},
	}
}

// TableFor makes the table of that name from the record: "verdicts", "stages", "size", "symbols", "cost" for what each patch
// costs, "functions" for where, "counts" for what else the kernel does, "predictions" for what was once foretold of the series
// ("predictions-build": of benchmark Build), a named choice of metrics such as "wakeups", or the base name of a benchmark, in lower case or not: what each patch costs where
// that was measured so that it can be told, or all of them together where it has many sub-benchmarks, kernbench's columns where it
// times a build, or else all of its metrics. An unknown name is an *UnknownTableError; a table for which the record has no figures
// is ErrNotMeasured.
func TableFor(name string, r *Run) (*Table, error) {
	key := strings.ToLower(name)
	if f, ok := builtin[key]; ok {
		return f(r)
	}
	if of, ok := strings.CutPrefix(key, "predictions-"); ok {
		return predictionTable(key, of, r)
	}
	if l, ok := layouts[key]; ok {
		return metricTable(key, r, l, "")
	}
	if !slices.Contains(TableNames(r), key) {
		return nil, &UnknownTableError{Name: name, Known: TableNames(r)}
	}
	if isKernbench(r, key) {
		return kernbenchTable(key, r, key)
	}
	if unit := costUnit(r, func(b Benchmark) bool { return strings.ToLower(baseName(b.Name)) == key }); unit != "" {
		if l := endsFor(key, unit); len(patchesOf(r)) > 1 && len(benchmarksOf(r, l, key)) > fewBenchmarks {
			return metricTable(key, r, l, key)
		}
		return costTable(key, r, key)
	}
	return metricTable(key, r, layoutFor(key, r), key)
}
