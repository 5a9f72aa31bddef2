// SPDX-License-Identifier: Apache-2.0

//go:build guest

package audittracepoints

import (
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
	"github.com/seriesrig/series/vmtest/guesttests/internal/fork"
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
				measure(b, s, syscall, op)
			})
		}
	}
}

// A child makes its calls in batches, all of them twice; the first time is not measured.
const (
	batches = 10
	passes  = 2
)

// measure has a child make b.N operations and reports what one takes of the child's time on a CPU, in its median batch: what
// is in only some batches, like a tick of the timer, is not in it, and neither is what kauditd does.
func measure(b *testing.B, s auditstate.State, syscall string, op func(testing.TB) []fork.Call) {
	each := (b.N + batches - 1) / batches
	times, release := shared[[batches + 1]unix.Timespec](b)
	defer release()
	clock := func(n int) fork.Call {
		return fork.Call{Nr: unix.SYS_CLOCK_GETTIME, Args: [6]uintptr{unix.CLOCK_THREAD_CPUTIME_ID, uintptr(unsafe.Pointer(&times[n]))}}
	}
	calls, done := run(b, s, syscall, each*batches*passes, func() []fork.Call {
		one, calls := op(b), []fork.Call{clock(0)}
		for n := range batches {
			for range each {
				calls = append(calls, one...)
			}
			calls = append(calls, clock(n+1))
		}
		return calls
	})
	for i, c := range done {
		if want := calls[i].Result; c.Errno != 0 || want != 0 && c.Result != want {
			b.Fatalf("call %d, number %d, returned %d, %v, want %d", i, c.Nr, c.Result, c.Errno, want)
		}
	}
	took := make([]float64, batches)
	for n := range took {
		took[n] = float64(times[n+1].Nano()-times[n].Nano()) / float64(each)
	}
	slices.Sort(took)
	b.ReportMetric(0, "ns/op") // what testing would say, with everything in it
	b.ReportMetric((took[batches/2]+took[(batches-1)/2])/2, unit())
}

// unit is what the guest's clock counts.
func unit() string {
	if os.Getenv("SERIES_MODE") == "icount" {
		return "insns/op"
	}
	return "ns/op"
}

// run has a child make the calls while audit is in the state, and looks whether audit did what it should: it has an event of each
// operation, where there is a rule that matches. What is to be called is asked for when nothing is opened any more before the
// fork.
func run(b *testing.B, s auditstate.State, syscall string, ops int, ask func() []fork.Call) (calls, done []fork.Call) {
	events := s.Run(b, syscall, func() {
		calls = ask()
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
	})
	want := 0
	if s.Hits {
		want = ops
	}
	if events != want {
		b.Fatalf("%d events, want %d", events, want)
	}
	return calls, done
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
