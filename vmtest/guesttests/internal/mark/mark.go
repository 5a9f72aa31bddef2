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

// The units of what Report says. They are no figures, and series takes them out of its records.
const (
	First = "first-mark"
	Last  = "last-mark"
	Ops   = "marked-ops"
	Low   = "calm-from"
	High  = "calm-to"
)

var made int

// Here makes a mark, and returns its number.
func Here() int {
	here()
	made++
	return made
}

// Others says that other programs have made n marks, and returns the number of the first of them.
func Others(n int) int {
	first := made + 1
	made += n
	return first
}

// Report says that a benchmark has measured what is between two marks, and that this was so many operations.
func Report(b *testing.B, first, last, ops int) {
	b.ReportMetric(float64(first), First)
	b.ReportMetric(float64(last), Last)
	b.ReportMetric(float64(ops), Ops)
}

// ReportCalm says that a benchmark has marked each operation between two marks, and that its figure is of some of them: of all, the
// shortest one first, those from the place low up to the place high, both from 0 and high not included.
func ReportCalm(b *testing.B, first, last, low, high int) {
	Report(b, first, last, high-low)
	b.ReportMetric(float64(low), Low)
	b.ReportMetric(float64(high), High)
}

func here()
