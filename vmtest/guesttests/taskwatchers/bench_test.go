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
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seriesrig/series/vmtest/guesttests/internal/bench"
	"github.com/seriesrig/series/vmtest/guesttests/internal/columns"
	"github.com/seriesrig/series/vmtest/guesttests/internal/mark"
	"github.com/seriesrig/series/vmtest/guesttests/internal/tiny"
)

const (
	warming  = 1000 // operations before those that are measured
	measured = 5    // operations for each of b.N
	window   = 100  // operations in which settling shows
	counted  = 200  // operations in which is counted what else the kernel does
)

// events are what is counted besides: that an operation is what it is said to be, and what it asks of scheduler and allocators.
var events = []string{"sched:sched_process_fork", "sched:sched_process_exec", "sched:sched_process_exit", "sched:sched_switch",
	"kmem:kmem_cache_alloc", "kmem:kmalloc", "kmem:mm_page_alloc", "raw_syscalls:sys_enter"}

func BenchmarkFork(b *testing.B) { benchmark(b, uint64(syscall.SIGCHLD), false) }

func BenchmarkClone(b *testing.B) {
	benchmark(b, syscall.CLONE_VM|syscall.CLONE_FS|syscall.CLONE_FILES|syscall.CLONE_SIGHAND|syscall.CLONE_SYSVSEM|uint64(syscall.SIGCHLD), false)
}

func BenchmarkExec(b *testing.B) {
	benchmark(b, syscall.CLONE_VM|syscall.CLONE_VFORK|uint64(syscall.SIGCHLD), true)
}

func benchmark(b *testing.B, flags uint64, execs bool) {
	if bench.Probe(b.N) {
		return
	}
	loop := tiny.Loop{Batches: warming + measured*b.N, Ops: 1, Flags: flags}
	if execs {
		quit, err := tiny.Quit()
		loop.Exec = program(b, "quit", quit, err)
	}
	elf, err := loop.ELF()
	times, err := runLoop(loop, program(b, "loop", elf, err))
	if err != nil {
		b.Fatal(err)
	}
	first := mark.Others(len(times) + 1)
	from, err := warm(times)
	if err != nil {
		b.Fatal(err)
	}
	region := times[warming:]
	b.ReportMetric(0, "ns/op") // what testing would say, with the warming and the start of the program in it
	b.ReportMetric(calm(region), bench.Unit())
	b.ReportMetric(mean(region), "mean-"+bench.Unit())
	b.ReportMetric(float64(from), "warm-up-ops")
	low, high := calmest(len(region))
	mark.Region{First: first + warming, Last: first + len(times), Low: low, High: high, Ops: high - low}.Report(b)
	besides(b, loop)
}

// besides counts what else the kernel does for an operation, in further runs, as that takes instructions.
func besides(b *testing.B, loop tiny.Loop) {
	columns.Report(b, counted, events, func(ops int) error {
		loop.Batches, loop.Ops = 1, ops
		elf, err := loop.ELF()
		_, err = runLoop(loop, program(b, "loop", elf, err))
		mark.Others(loop.Batches + 1)
		return err
	})
}

// runLoop runs a loop. What it writes goes to a file: nobody wakes up to read it.
func runLoop(loop tiny.Loop, path string) ([]time.Duration, error) {
	out, err := os.Create(path + ".out")
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.Command(path)
	cmd.Stdout = out
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("the program that makes children: %w", err)
	}
	b, err := os.ReadFile(out.Name())
	if err != nil {
		return nil, err
	}
	return loop.Times(b)
}

// calm is how many nanoseconds an operation takes in which nothing else happens: the mean of those between the 5th and the 20th
// percentile. A tick, the callbacks of RCU or an empty slab make others longer, by up to ten times.
func calm(times []time.Duration) float64 {
	times = slices.Clone(times)
	slices.Sort(times)
	low, high := calmest(len(times))
	return mean(times[low:high])
}

// calmest are the places of the 5th and the 20th percentile among n.
func calmest(n int) (low, high int) { return n / 20, n / 5 }

func mean(times []time.Duration) float64 {
	var sum time.Duration
	for _, t := range times {
		sum += t
	}
	return float64(sum.Nanoseconds()) / float64(len(times))
}

// warm returns after how many operations things have settled, and an error where that is not before those that are measured.
func warm(times []time.Duration) (int, error) {
	var first []float64
	for i := 0; i+window <= warming; i += window {
		first = append(first, calm(times[i:i+window]))
	}
	n, err := bench.Warm(first, calm(times[warming:]))
	return n * window, err
}

func TestWarm(t *testing.T) {
	t.Setenv("SERIES_MODE", "icount")
	// times are those of operations that take the last of a list for ever, and each of those before it 100 times.
	times := func(each ...time.Duration) []time.Duration {
		all := make([]time.Duration, 2*warming)
		for i := range all {
			all[i] = each[min(i/window, len(each)-1)]
			if i%3 == 0 {
				all[i] *= 5 // what something else does now and then
			}
		}
		return all
	}
	for _, c := range []struct {
		times []time.Duration
		want  int
	}{
		{times(1000), 0},
		{times(2000, 1100, 1009, 1000), 200},
		{times(900, 1000), 100}, // it may get dearer, too
	} {
		if got, err := warm(c.times); got != c.want || err != nil {
			t.Errorf("warm = %d, %v, want %d", got, err, c.want)
		}
		if got := calm(c.times[warming:]); got != 1000 {
			t.Errorf("calm = %v, want 1000: what happens now and then is not in it", got)
		}
	}
	if got, err := warm(times(2000, 1900, 1800, 1700, 1600, 1500, 1400, 1300, 1200, 1100, 1000)); err == nil {
		t.Errorf("warm of what settles too late = %d, want an error", got)
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

// The program that forks is small, or what a patch costs would be lost in the copying of page tables.
func TestMaps(t *testing.T) {
	loop := tiny.Loop{Batches: 1 << 16, Ops: 100, Flags: uint64(syscall.SIGCHLD)}
	elf, err := loop.ELF()
	path := program(t, "loop", elf, err)
	cmd := exec.Command(path)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	// Start returns when exec has closed its files, and the kernel does so before it gives the child memory of its own.
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", cmd.Process.Pid)); err == nil && exe == path {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("the child is %s (%v) and not %s", exe, err, path)
		}
	}
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(maps), "\n"); n > 8 || strings.Contains(string(maps), "heap") {
		t.Errorf("it maps more than its code, two pages of data, a stack and what the kernel adds:\n%s", maps)
	}
	resident, err := statusField(fmt.Sprint(cmd.Process.Pid), "RssAnon")
	if err != nil {
		t.Fatal(err)
	}
	var kib int
	if _, err := fmt.Sscan(resident, &kib); err != nil || kib*1024 > 8*os.Getpagesize() {
		t.Errorf("%s of memory of its own (%v), want at most 8 pages of %d bytes", resident, err, os.Getpagesize())
	}
}
