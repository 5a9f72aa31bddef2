// SPDX-License-Identifier: Apache-2.0

//go:build guest

// Package counting has a benchmark that is easy to foretell, to see that what is counted by function is what was executed.
package counting

import (
	"syscall"
	"testing"
	"time"

	"github.com/seriesrig/series/vmtest/guesttests/internal/columns"
	"github.com/seriesrig/series/vmtest/guesttests/internal/fork"
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

// BenchmarkFork has further columns: of each child the kernel says that it was made, and that it ended.
func BenchmarkFork(b *testing.B) {
	children := func() error {
		for range b.N {
			if _, err := fork.Run(fork.Options{}, fork.Call{Nr: syscall.SYS_GETPPID}); err != nil {
				return err
			}
		}
		return nil
	}
	if err := children(); err != nil {
		b.Fatal(err)
	}
	columns.Report(b, b.N, []string{"sched:sched_process_fork", "sched:sched_process_exit"}, children)
}
