// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || ppc64 || ppc64le)

// Package mark marks what a benchmark measures, for `series bench --functions`: QEMU then tells what was executed from one
// mark to another, function by function. A mark is one instruction that does nothing, and costs nothing else where nobody
// counts.
//
// Marks are counted in a guest from 1. So a guest must have one test binary that marks, and that no marks in parallel; what
// other programs mark is told by Others.
package mark

import "testing"

// The units of what Report says. They are no figures, and series takes them out of its records. Those of a figure in another unit
// than insns/op have that behind them, after Of.
const (
	First = "first-mark"
	Last  = "last-mark"
	Ops   = "marked-ops"
	Low   = "calm-from"
	High  = "calm-to"
	Step  = "mark-step"
	Of    = "@"
)

var made int

// Here makes a mark, and returns its number.
func Here() int {
	Make()
	made++
	return made
}

// Others says that other programs have made n marks, and returns the number of the first of them.
func Others(n int) int {
	first := made + 1
	made += n
	return first
}

// Make is the instruction alone, for the child of a fork in which no other Go may run. Whoever has it made says so to Others.
func Make()

// A Region is what a figure is of: all that is executed from one mark to another, or some of the spans between marks.
type Region struct {
	First, Last int // marks
	Ops         int // operations in what is chosen of them; at least 1

	Unit string // of the figure, an exact number of instructions; "" means insns/op

	// Step chooses the first span of each so many: of 2, those that begin at marks First, First+2 and so on. 0 means all.
	Step int

	// Low and High choose, of all spans, the shortest one first, those from the place Low up to the place High, both from 0 and High
	// not included. Both 0 means all.
	Low, High int
}

// Report says what of a guest's run the benchmark's figure is of.
func (r Region) Report(b *testing.B) {
	b.Helper()
	for unit, n := range r.metrics() {
		b.ReportMetric(float64(n), unit)
	}
}

func (r Region) metrics() map[string]int {
	m := map[string]int{First: r.First, Last: r.Last, Ops: r.Ops}
	if r.Step > 0 {
		m[Step] = r.Step
	}
	if r.High > 0 {
		m[Low], m[High] = r.Low, r.High
	}
	if r.Unit == "" {
		return m
	}
	of := map[string]int{}
	for unit, n := range m {
		of[unit+Of+r.Unit] = n
	}
	return of
}
