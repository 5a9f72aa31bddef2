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

// A layout chooses the metrics of a table. With it a table is an entry below and no code.
type layout struct {
	title   string
	columns []layoutColumn
}

// A layoutColumn shows one unit of whatever benchmark has it: the figure itself, or its change.
type layoutColumn struct {
	unit string
	show show
}

type show int

const (
	value         show = iota // median and interval
	againstStock              // change from patch 0
	againstBefore             // change from the previous patch
)

// layouts are the tables that want other columns than all their metrics in turn.
var layouts = map[string]layout{
	"wakeups": {
		title: "Wakeups of kauditd, and audit records lost",
		columns: []layoutColumn{
			{"wakeups/event", value},
			{"wakeups/record", value},
			{"lost-records", value},
			{"wakeups/event", againstStock},
		},
	},
}

// builtin are the tables that are no benchmark's.
var builtin = map[string]func(*Run) (*Table, error){
	"verdicts": VerdictTable,
	"stages":   StageTable,
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

// TableFor makes the table of that name from the record: "verdicts", "stages", a named choice of metrics such as
// "wakeups", or the base name of a benchmark, in lower case or not, for all of its metrics. An unknown name is an
// *UnknownTableError; a table for which the record has no figures is ErrNotMeasured.
func TableFor(name string, r *Run) (*Table, error) {
	key := strings.ToLower(name)
	if f, ok := builtin[key]; ok {
		return f(r)
	}
	if l, ok := layouts[key]; ok {
		return metricTable(key, r, l, "")
	}
	if !slices.Contains(TableNames(r), key) {
		return nil, &UnknownTableError{Name: name, Known: TableNames(r)}
	}
	return metricTable(key, r, layoutFor(key, r), key)
}
