// SPDX-License-Identifier: Apache-2.0

//go:build guest

package audittracepoints

import (
	"maps"
	"runtime"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/seriesrig/series/vmtest/guesttests/internal/auditor"
	"github.com/seriesrig/series/vmtest/guesttests/internal/fork"
	"github.com/seriesrig/series/vmtest/guesttests/internal/tracefs"
)

// archNumber is the arch of this program's syscalls.
func archNumber() int64 { return auditArch[runtime.GOARCH] }

var auditArch = map[string]int64{"amd64": unix.AUDIT_ARCH_X86_64, "ppc64": unix.AUDIT_ARCH_PPC64, "ppc64le": unix.AUDIT_ARCH_PPC64LE}

// The fields have the names of a SYSCALL record, and types that a filter of tracefs and a BPF program get right.
func TestFormat(t *testing.T) {
	want := map[string][]tracefs.Field{
		entryEvent: {{Name: "arch", Type: "u32", Size: 4}, {Name: "syscall", Type: "int", Size: 4, Signed: true},
			{Name: "a0", Type: "unsigned long", Size: 8}, {Name: "a1", Type: "unsigned long", Size: 8},
			{Name: "a2", Type: "unsigned long", Size: 8}, {Name: "a3", Type: "unsigned long", Size: 8}},
		exitEvent: {{Name: "arch", Type: "u32", Size: 4}, {Name: "syscall", Type: "int", Size: 4, Signed: true},
			{Name: "success", Type: "int", Size: 4, Signed: true}, {Name: "exit", Type: "long", Size: 8, Signed: true}},
	}
	for _, name := range events(t) {
		f, err := tracefs.Load(name)
		must(t, err)
		var got []tracefs.Field
		for _, field := range f.Fields {
			if field.Offset < 8 { // what all events have
				continue
			}
			field.Offset = 0
			got = append(got, field)
		}
		if diff := cmp.Diff(want[name], got); diff != "" {
			t.Errorf("fields of %s: -want +got\n%s", name, diff)
		}
	}
}

// tasks are children of all kinds, of which each makes marked calls and one that fails while their events are recorded.
type tasks struct {
	kinds   map[int]kind // by process
	capture *capture
}

type kind struct {
	context bool // there is an audit context
	before  bool // it was there, and in a system call, before anybody looked
}

const markedCalls = 5

func runTasks(t *testing.T) *tasks {
	a := auditor.New(t)
	var calls []fork.Call
	for n := range markedCalls {
		calls = append(calls, marked(n))
	}
	calls = append(calls, fork.Call{Nr: unix.SYS_CLOSE, Args: [6]uintptr{1 << 20}}) // -EBADF
	started := map[*task]kind{}
	start := func(k kind) {
		if !k.context {
			defer a.Never()()
		}
		started[startTask(t, fork.Options{}, calls...)] = k
	}
	start(kind{context: true, before: true})
	start(kind{context: false, before: true})
	for k := range started {
		asleep(t, k.PID)
	}
	out := &tasks{kinds: map[int]kind{}}
	out.capture = record(t, func() {
		start(kind{context: true})
		start(kind{context: false})
		for k, of := range started {
			out.kinds[k.PID] = of
			k.goOn()
			k.end()
		}
	})
	return out
}

// Each syscall of a task has its entry, with the number and arguments that raw_syscalls:sys_enter has: of all tasks, or of
// those that have an audit context.
func TestEntry(t *testing.T) {
	wants(t, entryEvent)
	run := runTasks(t)
	for pid, k := range run.kinds {
		got, want := run.capture.Entries[pid], run.capture.RawEntries[pid]
		if n := countMarked(want); n != markedCalls {
			t.Errorf("raw_syscalls has %d marked calls of a task with %+v, want %d", n, k, markedCalls)
		}
		if !k.context && !outside {
			want = nil
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("entries of a task with %+v: -raw_syscalls +audit\n%s", k, diff)
		}
	}
	if got, want := slices.Collect(maps.Keys(run.capture.Arches)), []int64{archNumber()}; !slices.Equal(got, want) {
		t.Errorf("arch of all events: %x, want %x", got, want)
	}
	if outside {
		// That includes the tasks that this test does not know of, such as the threads of its own.
		for pid, want := range run.capture.RawEntries {
			if got := run.capture.Entries[pid]; !contains(got, want) {
				t.Errorf("task %d: %d entries, which have not in them all %d that raw_syscalls has", pid, len(got), len(want))
			}
		}
	}
}

// contains tells whether part is in all, in one piece.
func contains[T comparable](all, part []T) bool {
	for ; len(all) >= len(part); all = all[1:] {
		if slices.Equal(all[:len(part)], part) {
			return true
		}
	}
	return false
}

func countMarked(entries []entry) (n int) {
	for _, e := range entries {
		if e.Syscall == unix.SYS_GETPPID && e.Args[0]>>16 == tag>>16 {
			n++
		}
	}
	return n
}

// Each syscall has its exit, with what it returned. Where only audited tasks have events, a syscall that had no entry has no
// exit: a child returns from a system call that its parent made.
func TestExit(t *testing.T) {
	wants(t, exitEvent)
	run := runTasks(t)
	for pid, k := range run.kinds {
		got, want := run.capture.Exits[pid], run.capture.RawExits[pid]
		switch {
		case outside:
		case !k.context:
			want = nil
		default:
			want = slices.DeleteFunc(slices.Clone(want), func(e exit) bool { return e.Syscall == unix.SYS_CLONE3 })
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("exits of a task with %+v: -raw_syscalls +audit\n%s", k, diff)
		}
		failed := 0
		for e, success := range run.capture.Success[pid] {
			if fails := e.Exit < 0 && e.Exit >= -4095; fails == (success != 0) {
				t.Errorf("a syscall that returned %d has success=%d", e.Exit, success)
			} else if fails {
				failed++
			}
		}
		if len(got) > 0 && failed == 0 {
			t.Errorf("task with %+v: no exit of a syscall that failed", k)
		}
	}
}

// What seccomp refuses is not audited: there is no entry. Its exit is seen where all tasks have events, as that of raw_syscalls is.
func TestRefused(t *testing.T) {
	wants(t, exitEvent)
	auditor.New(t)
	const nr = unix.SYS_GETPRIORITY
	k := newTask(t)
	c := record(t, func() {
		forked := make(chan error)
		go func() { // on a thread that ends with it, as a filter is for ever
			runtime.LockOSThread()
			err := refuse(nr)
			if err == nil {
				err = k.fork(fork.Options{}, fork.Call{Nr: nr}, marked(0))
			}
			forked <- err
		}()
		must(t, <-forked)
		k.goOn()
		if calls := k.end(); calls[1].Errno != unix.EPERM {
			t.Errorf("a syscall that seccomp refuses: %v, want %v", calls[1].Errno, unix.EPERM)
		}
	})
	if n := len(slices.DeleteFunc(slices.Clone(c.Entries[k.PID]), func(e entry) bool { return e.Syscall != nr })); n != 0 {
		t.Errorf("%d entries of a syscall that seccomp refused, want none", n)
	}
	refused := func(exits []exit) int {
		return len(slices.DeleteFunc(slices.Clone(exits), func(e exit) bool { return e.Exit != -int64(unix.EPERM) }))
	}
	if n := refused(c.RawExits[k.PID]); n != 1 {
		t.Errorf("raw_syscalls has %d exits of a syscall that seccomp refused, want 1: %+v", n, c.RawExits[k.PID])
	}
	if outside {
		if diff := cmp.Diff(c.RawExits[k.PID], c.Exits[k.PID]); diff != "" {
			t.Errorf("exits of a task that seccomp refused a syscall: -raw_syscalls +audit\n%s", diff)
		}
	} else if n := refused(c.Exits[k.PID]); n != 0 {
		t.Errorf("%d exits of a syscall that seccomp refused, want none: %+v", n, c.Exits[k.PID])
	}
	if n := countMarked(c.Entries[k.PID]); n != 1 {
		t.Errorf("%d entries of the syscall after it, want 1", n)
	}
}
