// SPDX-License-Identifier: Apache-2.0

//go:build guest

package audittracepoints

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seriesrig/series/internal/need"
	"github.com/seriesrig/series/vmtest/guesttests/internal/auditstate"
	"github.com/seriesrig/series/vmtest/guesttests/internal/bench"
	"github.com/seriesrig/series/vmtest/guesttests/internal/fork"
	"github.com/seriesrig/series/vmtest/guesttests/internal/mark"
)

// BenchmarkGetpid counts a syscall that does nothing.
func BenchmarkGetpid(b *testing.B) {
	benchmark(b, "getpid", func(testing.TB) []fork.Call { return []fork.Call{{Nr: unix.SYS_GETPID}} })
}

// BenchmarkOpenat counts an openat together with the close of what it opened; a rule is for the openat.
func BenchmarkOpenat(b *testing.B) {
	benchmark(b, "openat", func(t testing.TB) []fork.Call {
		path := filepath.Join(t.TempDir(), "file")
		must(t, os.WriteFile(path, nil, 0o600))
		free := free(t)
		return []fork.Call{
			{Nr: unix.SYS_OPENAT, Args: [6]uintptr{uintptr(unix.AT_FDCWD & (1<<64 - 1)), pointer(bytesOf(path)), unix.O_RDONLY}, Result: uintptr(free)},
			{Nr: unix.SYS_CLOSE, Args: [6]uintptr{uintptr(free)}},
		}
	})
}

func benchmark(b *testing.B, syscall string, op func(testing.TB) []fork.Call) {
	for _, s := range auditstate.All() {
		for _, l := range auditstate.Lookers(entryEvent, exitEvent) {
			b.Run("audit="+s.Name+"/trace="+l.Name, func(b *testing.B) {
				for _, file := range l.Files() {
					need.File(b, file, "such trace events")
				}
				l.Look(b)
				if !bench.Probe(b.N) {
					measure(b, s, syscall, op)
				}
			})
		}
	}
}

// A child makes its calls in passes of batches, all passes the same; the last one is measured, in its calm batches: from the third
// up to the fifth, the shortest one first.
const (
	batches  = 10
	passes   = 3
	calmFrom = 2
	calmTo   = 5
	tries    = 4 // children, until one has settled
)

// clocks are what the child's clock says at the begin and the end of each batch of a pass.
type clocks [batches + 1]unix.Timespec

// measure has children make b.N operations in each pass, and reports what one takes of the child's time on a CPU, in its calm batches:
// what is in only some batches, like a tick of the timer or an empty list of free objects, is not in it, and neither is what kauditd
// does. A child in which no batch of the passes before takes as long as that is left out, and the benchmark fails where all are.
func measure(b *testing.B, s auditstate.State, syscall string, op func(testing.TB) []fork.Call) {
	each := (b.N + batches - 1) / batches
	perChild := each * batches * passes
	times, release := shared[clocks](b)
	defer release()
	out, in, err := os.Pipe()
	must(b, err)
	defer out.Close()
	defer in.Close()
	var got took
	first, left := 0, 0
	events := s.Run(b, syscall, func() {
		calls := times.calls(op(b), each, in)
		for n := range tries {
			child(b, s, append([]fork.Call{rest(b)}, calls...))
			var all [passes]clocks
			must(b, binary.Read(out, binary.NativeEndian, &all))
			first = mark.Others(passes*(batches+1)) + (passes-1)*(batches+1) // of the last pass
			left = n * perChild
			if got, err = settled(all, each); err == nil {
				break
			}
		}
	})
	must(b, err)
	want := 0
	if s.Hits {
		want = left + perChild
	}
	if events != want {
		b.Fatalf("%d events, want %d", events, want)
	}
	b.ReportMetric(0, "ns/op") // what testing would say, with everything in it
	b.ReportMetric(got.op, bench.Unit())
	b.ReportMetric(float64(left+got.warmUp), "warm-up-ops")
	// Where there are events, kauditd runs in between: its instructions are no time of the child's, and would be counted.
	if !s.Hits {
		mark.Region{First: first, Last: first + batches, Low: calmFrom, High: calmTo, Ops: each * (calmTo - calmFrom)}.Report(b)
	}
}

// calls are those of a pass: batches of so many operations with the clock before and after each, and what tells the parent these times.
// They are asked for when nothing is opened any more before the fork.
func (c *clocks) calls(one []fork.Call, each int, in *os.File) []fork.Call {
	calls := []fork.Call{c.read(0)}
	for n := range batches {
		for range each {
			calls = append(calls, one...)
		}
		calls = append(calls, c.read(n+1))
	}
	size := unsafe.Sizeof(*c)
	return append(calls, fork.Call{Nr: unix.SYS_WRITE, Args: [6]uintptr{in.Fd(), uintptr(unsafe.Pointer(c)), size}, Result: size})
}

// rest is the call that lets 50 ms pass before the first pass, so that the runtime of the test is at rest as well: until then it looks
// after its threads every 20 µs, by the child's CPU.
func rest(b *testing.B) fork.Call {
	var until unix.Timespec
	must(b, unix.ClockGettime(unix.CLOCK_MONOTONIC, &until))
	until = unix.NsecToTimespec(until.Nano() + (50 * time.Millisecond).Nanoseconds())
	return fork.Call{Nr: unix.SYS_CLOCK_NANOSLEEP, Args: [6]uintptr{unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, pointer(&until)}}
}

// read is the call that reads the child's clock, with a mark.
func (c *clocks) read(n int) fork.Call {
	return fork.Call{Mark: true, Nr: unix.SYS_CLOCK_GETTIME, Args: [6]uintptr{unix.CLOCK_THREAD_CPUTIME_ID, uintptr(unsafe.Pointer(&c[n]))}}
}

// batches are what an operation took in each batch, of that many.
func (c *clocks) batches(each int) []float64 {
	took := make([]float64, batches)
	for n := range took {
		took[n] = float64(c[n+1].Nano()-c[n].Nano()) / float64(each)
	}
	return took
}

// A took is what an operation takes, and how many were left out until they took as long.
type took struct {
	op     float64
	warmUp int
}

// settled is what an operation took in the calm batches of the last pass.
func settled(all [passes]clocks, each int) (took, error) {
	last := all[passes-1].batches(each)
	slices.Sort(last)
	op := 0.0
	for _, t := range last[calmFrom:calmTo] {
		op += t / (calmTo - calmFrom)
	}
	var before []float64
	for _, c := range all[:passes-1] {
		before = append(before, c.batches(each)...)
	}
	n, err := bench.Warm(before, op)
	return took{op, n * each}, err
}

func TestSettled(t *testing.T) {
	t.Setenv("SERIES_MODE", "icount")
	// pass is one whose operations take that in the first batch, that in the second and so on, and in the others as in the last one.
	pass := func(each ...int64) (c clocks) {
		for n := range batches {
			c[n+1] = unix.NsecToTimespec(c[n].Nano() + 20*each[min(n, len(each)-1)])
		}
		return c
	}
	for _, x := range []struct {
		all  [passes]clocks
		want took
		ok   bool
	}{
		{[passes]clocks{pass(1500, 1100, 1005, 1300), pass(1000), pass(900, 950, 5000, 2000, 4000, 1000)}, took{1000, 40}, true},
		{[passes]clocks{pass(1000), pass(1100), pass(1000)}, took{1000, 0}, true},
		{[passes]clocks{pass(1100), pass(1100, 1000), pass(1000)}, took{1000, 220}, true},
		{[passes]clocks{pass(1000), pass(1000), pass(940)}, took{}, false}, // settles too late
		{[passes]clocks{pass(1020), pass(985, 980, 970), pass(1000)}, took{}, false},
	} {
		if got, err := settled(x.all, 20); (err == nil) != x.ok || x.ok && got != x.want {
			t.Errorf("settled = %+v, %v, want %+v", got, err, x.want)
		}
	}
}

// child has a child make the calls in all passes, and fails where one of them does not return what it should.
func child(b *testing.B, s auditstate.State, calls []fork.Call) {
	var done []fork.Call
	end := make(chan error)
	go func() { // on a thread that ends with it, as a seccomp filter is for ever
		runtime.LockOSThread()
		end <- func() error {
			if s.Seccomp {
				if err := allow(); err != nil {
					return err
				}
			}
			c, err := fork.Start(fork.Options{Rounds: passes}, calls...)
			if err != nil {
				return err
			}
			done, err = c.Wait()
			return err
		}()
	}()
	must(b, <-end)
	for i, c := range done {
		if want := calls[i].Result; c.Errno != 0 || want != 0 && c.Result != want {
			b.Fatalf("call %d, number %d, returned %d, %v, want %d", i, c.Nr, c.Result, c.Errno, want)
		}
	}
}

// shared is memory that a child has in common with the test.
func shared[T any](t testing.TB) (*T, func()) {
	t.Helper()
	var zero T
	b, err := unix.Mmap(-1, 0, int(unsafe.Sizeof(zero)), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANONYMOUS)
	must(t, err)
	return (*T)(unsafe.Pointer(&b[0])), func() { must(t, unix.Munmap(b)) }
}

func TestShared(t *testing.T) {
	at, release := shared[unix.Timespec](t)
	defer release()
	begin := time.Now().Unix()
	_, err := fork.Run(fork.Options{}, fork.Call{Nr: unix.SYS_CLOCK_GETTIME, Args: [6]uintptr{unix.CLOCK_REALTIME, uintptr(unsafe.Pointer(at))}})
	if must(t, err); at.Sec < begin || at.Sec > begin+60 {
		t.Errorf("a child's clock says %d, its parent's said %d", at.Sec, begin)
	}
}

// To fill a page of a trace's buffer takes as many notes as do not fit into less.
func TestFill(t *testing.T) {
	i := instance(t)
	must(t, i.Fill(3*512+1))
	lines, overrun, err := i.Lines()
	if must(t, err); len(lines) != 4 || overrun != 0 {
		t.Errorf("%d notes in the trace, %d overwritten, want 4 of 512 bytes", len(lines), overrun)
	}
}
