// SPDX-License-Identifier: Apache-2.0

package results

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Units of a benchmark that reads the same from two interfaces, in turns and in one guest: what a task takes with the one and
// with the other, how many times the one is of the other, and the system calls of each.
const (
	unitRatio     = "ratio"
	unitProcCalls = "proc-calls/task"
	unitDiagCalls = "diag-calls/task"
)

// unitsPerTask are the units of what a task takes, by what the guest's clock counts.
var unitsPerTask = [][2]string{{"proc-insns/task", "diag-insns/task"}, {"proc-sec/task", "diag-sec/task"}}

// readings are the readings of such a benchmark, by the part of=NAME of its name: what of the figures of 2016 is about the same, and
// what of task_diag it is that a file of /proc is compared with.
var readings = []struct{ of, what, groups string }{
	{"none", "", "no group (and readdir of /proc alone)"},
	{"stat", "stat of every task", "BASE"},
	{"stat-all", "", "BASE and STAT (and all of stat)"},
	{"status", "", "BASE and CRED"},
	{"maps", "", "VMA"},
	{"smaps", "", "VMA and VMA_STAT"},
	{"ps", "ps ax -o pid,ppid", "BASE (with -o pid,ppid, list and all)"},
}

// A Point is a figure of the posting of 2016: how long something took for all tasks.
type Point struct {
	What             string  `toml:"what"`
	Tasks            int     `toml:"tasks"`
	Proc             float64 `toml:"proc_s"`
	TaskDiag         float64 `toml:"task_diag_s"`
	ProcSyscalls     int     `toml:"proc_syscalls"`
	TaskDiagSyscalls int     `toml:"task_diag_syscalls"`
}

func (p Point) note() string {
	s := fmt.Sprintf("2016, %s, %d tasks: %v s and %v s", p.What, p.Tasks, p.Proc, p.TaskDiag)
	if p.ProcSyscalls > 0 {
		s += fmt.Sprintf(", with %d and %d system calls", p.ProcSyscalls, p.TaskDiagSyscalls)
	}
	return s + "."
}

// interfaceTable has a row for each architecture, reading and number of tasks, at the last patch of the record. only chooses a
// reading; "" means all.
func interfaceTable(name, only string, r *Run) (*Table, error) {
	f, err := anchors()
	if err != nil {
		return nil, err
	}
	units, ok := unitsOfPair(r)
	if !ok {
		return nil, fmt.Errorf("table %s: %w in this run of %s", name, ErrNotMeasured, r.Series)
	}
	per := strings.TrimPrefix(units[0], "proc-")
	per = "(" + strings.TrimSuffix(per, "/task") + ")"
	right := func(head, unit string) Column { return Column{Head: head, Unit: unit, Right: true} }
	t := &Table{Name: name, Title: "What a task takes, read from files of /proc and from /proc/task_diag", Columns: []Column{
		{Head: "arch", Label: true}, {Head: "what", Label: true}, {Head: "tasks", Label: true},
		right("/proc", per), right("diag", per), right("ratio", ""), right("ratio", "2016"), right("/proc", "(calls)"), right("diag", "(calls)"),
	}}
	t.Columns[6].Blank = true
	patches := patchesOf(r)
	last := patches[len(patches)-1]
	var counts []int
	var notes, groups []string
	for _, arch := range distinct(r, func(c *Cell) string { return c.Arch }) {
		cell := r.CellAt(arch, last, "release")
		for _, reading := range readings {
			if only != "" && only != reading.of {
				continue
			}
			about := reading.of + " with " + reading.groups
			for _, b := range pairsOf(cell, reading.of) {
				if !slices.Contains(groups, about) {
					groups = append(groups, about)
				}
				row := []string{arch, reading.of, b.tasks}
				for _, unit := range []string{units[0], units[1], unitRatio} {
					s, n := figureOf(cell, b.name, unit)
					row = append(row, s)
					counts = append(counts, n)
				}
				old := ""
				for _, p := range f.TaskDiag.Point {
					if p.What == reading.what {
						old = strconv.FormatFloat(p.Proc/p.TaskDiag, 'f', 1, 64)
						if !slices.Contains(notes, p.note()) {
							notes = append(notes, p.note())
						}
					}
				}
				row = append(row, old)
				for _, unit := range []string{unitProcCalls, unitDiagCalls} {
					s, _ := figureOf(cell, b.name, unit)
					row = append(row, s)
				}
				t.Rows = append(t.Rows, row)
			}
		}
	}
	if len(t.Rows) == 0 {
		return nil, fmt.Errorf("table %s: %w in this run of %s", name, ErrNotMeasured, r.Series)
	}
	t.Notes = append(t.Notes, fmt.Sprintf("Medians of n=%d; both interfaces in turns, in the same guest, with what /proc caches in place. Ratios are cut off, not rounded.", slices.Min(counts)))
	t.Notes = append(t.Notes, "What is compared: "+strings.Join(groups, ", ")+".")
	if units == unitsPerTask[0] {
		t.Notes = append(t.Notes, "Instructions, of the reader and of the kernel; they are not time.")
	}
	t.Notes = append(t.Notes, notes...)
	return t, nil
}

// unitsOfPair are those that the record has.
func unitsOfPair(r *Run) (units [2]string, ok bool) {
	for _, units := range unitsPerTask {
		for i := range r.Cells {
			if slices.ContainsFunc(r.Cells[i].Benchmarks, func(b Benchmark) bool { return b.Unit == units[0] }) {
				return units, true
			}
		}
	}
	return units, false
}

// A pairName is the name of a benchmark with its number of tasks.
type pairName struct{ name, tasks string }

// pairsOf are the benchmarks of a reading, in the record's order, which is that of their sizes.
func pairsOf(cell *Cell, of string) []pairName {
	if cell == nil {
		return nil
	}
	var out []pairName
	for _, b := range cell.Benchmarks {
		if b.Unit != unitRatio {
			continue
		}
		p := pairName{name: b.Name}
		match := false
		for part := range strings.SplitSeq(withoutCPUs(b.Name), "/") {
			if n, ok := strings.CutPrefix(part, "tasks="); ok {
				p.tasks = n
			}
			match = match || part == "of="+of
		}
		if match && p.tasks != "" {
			out = append(out, p)
		}
	}
	return out
}

// figureOf is the median of a figure as text, and of how many values it is; "" and 0 where there are none.
func figureOf(cell *Cell, name, unit string) (string, int) {
	b := cell.Metric(name, unit)
	if b == nil {
		return "", 0
	}
	s, _ := Summarize(b.Values)
	switch {
	case unit == unitRatio:
		return atLeast(s.Median, 2), s.N
	case strings.HasSuffix(unit, "-calls/task"):
		return strconv.FormatFloat(s.Median, 'f', 4, 64), s.N
	case strings.HasSuffix(unit, "-sec/task"):
		return FormatValue(s.Median, "sec"), s.N
	}
	return strconv.FormatFloat(s.Median, 'f', 0, 64), s.N
}

// atLeast renders what is not more than v.
func atLeast(v float64, digits int) string {
	scale := math.Pow10(digits)
	return strconv.FormatFloat(math.Floor(v*scale)/scale, 'f', digits, 64)
}
