// SPDX-License-Identifier: Apache-2.0

//go:build guest

package taskwatchers

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/seriesrig/series/vmtest/guesttests/internal/mark"
	"github.com/seriesrig/series/vmtest/guesttests/internal/tiny"
)

const (
	batch    = 50 // children
	warmings = 20 // batches more than what is asked for, half of them at most to settle
	settled  = 0.02
)

// unit is what the guest's clock counts.
func unit() string {
	if os.Getenv("SERIES_MODE") == "icount" {
		return "insns/op"
	}
	return "ns/op"
}

func BenchmarkFork(b *testing.B) { benchmark(b, uint64(syscall.SIGCHLD), false) }

func BenchmarkClone(b *testing.B) {
	benchmark(b, syscall.CLONE_VM|syscall.CLONE_FS|syscall.CLONE_FILES|syscall.CLONE_SIGHAND|syscall.CLONE_SYSVSEM|uint64(syscall.SIGCHLD), false)
}

func BenchmarkExec(b *testing.B) {
	benchmark(b, syscall.CLONE_VM|syscall.CLONE_VFORK|uint64(syscall.SIGCHLD), true)
}

func benchmark(b *testing.B, flags uint64, execs bool) {
	loop := tiny.Loop{Batches: warmings + (b.N+batch-1)/batch, Ops: batch, Flags: flags}
	if execs {
		quit, err := tiny.Quit()
		loop.Exec = program(b, "quit", quit, err)
	}
	elf, err := loop.ELF()
	path := program(b, "loop", elf, err)
	b.ResetTimer()
	out, err := exec.Command(path).Output()
	b.StopTimer()
	if err != nil {
		b.Fatalf("the program that makes children: %v", err)
	}
	times, err := loop.Times(out)
	if err != nil {
		b.Fatal(err)
	}
	first := mark.Others(len(times) + 1)
	from, err := warm(times)
	if err != nil {
		b.Fatal(err)
	}
	var sum time.Duration
	for _, t := range times[from:] {
		sum += t
	}
	b.ReportMetric(0, "ns/op") // what testing would say, with the warming and the start of the program in it
	b.ReportMetric(float64(sum.Nanoseconds())/float64(batch*(len(times)-from)), unit())
	b.ReportMetric(float64(from*batch), "warm-up-ops")
	mark.Report(b, first+from, first+len(times), batch*(len(times)-from))
}

// warm returns from which batch on things have settled.
func warm(times []time.Duration) (int, error) {
	half := slices.Clone(times[len(times)/2:])
	slices.Sort(half)
	median := half[len(half)/2]
	for i, t := range times[:len(times)/2] {
		if t <= median+time.Duration(settled*float64(median)) {
			return i, nil
		}
	}
	return 0, fmt.Errorf("no batch of the first half of %d is within %.0f %% of the median of the second half, %v: %v",
		len(times), 100*settled, median, times)
}

func TestWarm(t *testing.T) {
	for _, c := range []struct {
		times []time.Duration
		want  int
	}{
		{[]time.Duration{100, 100, 100, 100}, 0},
		{[]time.Duration{200, 103, 102, 100, 100, 100, 100, 150}, 2},
	} {
		if got, err := warm(c.times); got != c.want || err != nil {
			t.Errorf("warm(%v) = %d, %v, want %d", c.times, got, err, c.want)
		}
	}
	if got, err := warm([]time.Duration{400, 300, 200, 100}); err == nil {
		t.Errorf("warm of what never settles = %d, want an error", got)
	}
}

// program writes a file that everybody may execute.
func program(t testing.TB, name string, b []byte, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "program")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, name)
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(path, b, 0o755)); err != nil {
		t.Fatal(err)
	}
	return path
}
