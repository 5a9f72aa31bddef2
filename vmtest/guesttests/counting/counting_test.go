// SPDX-License-Identifier: Apache-2.0

//go:build guest

// Package counting has a benchmark that is easy to foretell, to see that what is counted by function is what was executed.
package counting

import (
	"syscall"
	"testing"
	"time"

	"github.com/seriesrig/series/vmtest/guesttests/internal/mark"
)

// BenchmarkGetppid makes one system call an operation, and nothing else.
func BenchmarkGetppid(b *testing.B) {
	syscall.RawSyscall(syscall.SYS_GETPPID, 0, 0, 0)
	first := mark.Here()
	start := time.Now()
	for range b.N {
		syscall.RawSyscall(syscall.SYS_GETPPID, 0, 0, 0)
	}
	took := time.Since(start)
	mark.Report(b, first, mark.Here(), b.N)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(took.Nanoseconds())/float64(b.N), "insns/op")
}
