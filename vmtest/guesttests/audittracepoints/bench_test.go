// SPDX-License-Identifier: Apache-2.0

//go:build guest

package audittracepoints

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/elastic/go-libaudit/v2"
	"golang.org/x/sys/unix"

	"github.com/seriesrig/series/internal/need"
	"github.com/seriesrig/series/vmtest/guesttests/internal/audit"
	"github.com/seriesrig/series/vmtest/guesttests/internal/auditor"
	"github.com/seriesrig/series/vmtest/guesttests/internal/fork"
	"github.com/seriesrig/series/vmtest/guesttests/internal/tracefs"
)

// The states of audit that syscalls are measured in. Where audit is on, there is an auditd.
var states = []state{
	{name: "off"},                                                          // disabled, and the task has no context, as if audit had never been enabled
	{name: "seccomp", seccomp: true},                                       // the same, and the task's syscalls take the slow path for another reason
	{name: "norules", on: true, context: true},                             // enabled, without rules
	{name: "nomatch", on: true, context: true, filter: "uid=4242"},         // a rule for the syscall, which does not match
	{name: "match", on: true, context: true, filter: children, hits: true}, // one that does
	{name: "never", on: true},                                              // enabled, and a rule task,never
}

var children = fmt.Sprintf("ppid=%d", os.Getpid())

type state struct {
	name    string
	on      bool   // audit is enabled
	context bool   // the task has an audit context
	seccomp bool   // the task has a seccomp filter
	filter  string // of the rule for the syscall; "" means that there is no rule
	hits    bool   // the rule matches
	syscall string // what is measured
}

// Who looks at the events: nobody; a trace of raw_syscalls, which all kernels have; a trace of audit's own events.
var lookers = []struct {
	name   string
	events []string
}{
	{"no", nil},
	{"raw", []string{rawEnter, rawExit}},
	{"audit", []string{entryEvent, exitEvent}},
}

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
	for _, s := range states {
		s.syscall = syscall
		for _, l := range lookers {
			b.Run("audit="+s.name+"/trace="+l.name, func(b *testing.B) {
				if len(l.events) > 0 {
					last := tracefs.Folder(l.events[len(l.events)-1])
					need.File(b, filepath.Dir(last), "trace events of audit")
					need.File(b, last, "such trace event")
					i, err := tracefs.New("bench", 512)
					must(b, err)
					defer func() { must(b, i.Close()) }()
					for _, e := range l.events {
						must(b, i.Enable(e, true))
					}
				}
				s.measure(b, op)
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
func (s state) measure(b *testing.B, op func(testing.TB) []fork.Call) {
	each := (b.N + batches - 1) / batches
	times, release := shared[[batches + 1]unix.Timespec](b)
	defer release()
	clock := func(n int) fork.Call {
		return fork.Call{Nr: unix.SYS_CLOCK_GETTIME, Args: [6]uintptr{unix.CLOCK_THREAD_CPUTIME_ID, uintptr(unsafe.Pointer(&times[n]))}}
	}
	calls, done := s.run(b, each*batches*passes, func() []fork.Call {
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

// run has a child make the calls while audit is in the state, and looks whether audit did what it should. What is to be called
// is asked for when nothing is opened any more before the fork.
func (s state) run(b *testing.B, ops int, ask func() []fork.Call) (calls, done []fork.Call) {
	child := func() {
		calls = ask()
		end := make(chan error)
		go func() { // on a thread that ends with it, as a seccomp filter is for ever
			runtime.LockOSThread()
			end <- func() error {
				if s.seccomp {
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
	}
	if !s.on {
		off(b, child)
		return calls, done
	}
	a := auditor.New(b)
	if s.filter != "" {
		a.Rule(audit.Rule{List: "exit", Action: "always", Syscalls: []string{s.syscall}, Filters: []string{s.filter}})
	}
	if !s.context {
		defer never(a)()
	}
	want := 0
	if s.hits {
		want = ops
	}
	if events := a.Events(child); len(events) != want {
		b.Fatalf("%d events, want %d", len(events), want)
	}
	return calls, done
}

// off runs something while audit is disabled and new tasks have no context.
func off(b *testing.B, do func()) {
	ctl, err := audit.NewControl()
	must(b, err)
	defer ctl.Close()
	must(b, ctl.Add(audit.Rule{List: "task", Action: "never"}))
	must(b, ctl.SetEnabled(false, libaudit.WaitForReply))
	do()
	must(b, ctl.SetEnabled(true, libaudit.WaitForReply))
	_, err = ctl.DeleteRules()
	must(b, err)
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
