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
	mark.Region{First: first, Last: mark.Here(), Ops: b.N}.Report(b)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(took.Nanoseconds())/float64(b.N), "insns/op")
}

// BenchmarkFork has further columns: of each child the kernel says that it was made, and that it ended.
func BenchmarkFork(b *testing.B) {
	children := func(n int) error {
		for range n {
			if _, err := fork.Run(fork.Options{}, fork.Call{Nr: syscall.SYS_GETPPID}); err != nil {
				return err
			}
		}
		return nil
	}
	if err := children(b.N); err != nil {
		b.Fatal(err)
	}
	columns.Report(b, b.N, []string{"sched:sched_process_fork", "sched:sched_process_exit"}, children)
}

// BenchmarkChild has a child make its system calls in batches with a mark before each, and more in the odd ones: its figure is of those,
// in which the first of three calls is the clock's.
func BenchmarkChild(b *testing.B) {
	const batches, rounds = 6, 2
	var calls []fork.Call
	for n := range batches {
		calls = append(calls, fork.Call{Nr: syscall.SYS_GETUID, Mark: true})
		for range (n % 2) * b.N {
			calls = append(calls, fork.Call{Nr: syscall.SYS_GETPPID})
		}
	}
	calls = append(calls, fork.Call{Nr: syscall.SYS_GETUID, Mark: true})
	_, err := fork.Run(fork.Options{Rounds: rounds}, calls...)
	if err != nil {
		b.Fatal(err)
	}
	first := mark.Others(rounds*(batches+1)) + batches + 1 // of the second round
	mark.Region{First: first + 1, Last: first + batches, Step: 2, Ops: batches / 2 * b.N, Unit: "getppid-insns/op"}.Report(b)
	mark.Region{First: first, Last: first + batches, Low: 0, High: batches / 2, Ops: batches / 2}.Report(b)
	b.ReportMetric(0, "ns/op")
}
