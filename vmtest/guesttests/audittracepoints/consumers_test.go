// SPDX-License-Identifier: Apache-2.0

//go:build guest

package audittracepoints

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seriesrig/series/vmtest/guesttests/internal/auditor"
	"github.com/seriesrig/series/vmtest/guesttests/internal/fork"
	"github.com/seriesrig/series/vmtest/guesttests/internal/tracefs"
)

// someCalls is a child that makes marked calls, of which each other one has another number.
func someCalls(t testing.TB, n int) (pid int) {
	t.Helper()
	var calls []fork.Call
	for i := range n {
		c := marked(i)
		if i%2 == 1 {
			c.Nr = unix.SYS_GETPID
		}
		calls = append(calls, c)
	}
	c, err := fork.Start(fork.Options{}, calls...)
	must(t, err)
	_, err = c.Wait()
	must(t, err)
	return c.PID
}

// A filter of tracefs lets through what it says, by the names that a SYSCALL record has, and the trace shows the fields.
func TestFilter(t *testing.T) {
	wants(t, entryEvent)
	auditor.New(t)
	i := instance(t)
	want := marked(4)
	must(t, i.Set(entryEvent, "filter", fmt.Sprintf("arch == %d && syscall == %d && a0 == %#x", archNumber(), want.Nr, want.Args[0])))
	must(t, i.Enable(entryEvent, true))
	pid := someCalls(t, 20)
	lines, _, err := i.Lines()
	must(t, err)
	text := regexp.MustCompile(fmt.Sprintf(`-%d +.* audit_syscall_entry: arch=%x syscall=%d a0=%x a1=%x a2=%x a3=%x$`,
		pid, archNumber(), want.Nr, want.Args[0], want.Args[1], want.Args[2], want.Args[3]))
	if len(lines) != 1 || !text.MatchString(lines[0]) {
		t.Errorf("the trace behind a filter has %d lines, want 1 like %s:\n%s", len(lines), text, strings.Join(lines, "\n"))
	}
	must(t, i.Set(entryEvent, "filter", "0"))
	must(t, i.Clear())
	pid = someCalls(t, 20)
	if lines, _, err = i.Lines(); err != nil || linesOf(lines, pid) != 20+1 { // exit_group
		t.Errorf("the trace without a filter has %d lines of the process, %v, want 21", linesOf(lines, pid), err)
	}
}

// A filter on what the exit event has: the calls that failed.
func TestExitFilter(t *testing.T) {
	wants(t, exitEvent)
	auditor.New(t)
	i := instance(t)
	must(t, i.Set(exitEvent, "filter", fmt.Sprintf("success == 0 && exit == %d", -int(unix.EBADF))))
	must(t, i.Enable(exitEvent, true))
	c, err := fork.Start(fork.Options{}, marked(0), fork.Call{Nr: unix.SYS_CLOSE, Args: [6]uintptr{1 << 20}}, marked(1))
	must(t, err)
	_, err = c.Wait()
	must(t, err)
	lines, _, err := i.Lines()
	must(t, err)
	lines = slices.DeleteFunc(lines, func(line string) bool { return linesOf([]string{line}, c.PID) == 0 })
	text := regexp.MustCompile(fmt.Sprintf(`audit_syscall_exit: arch=%x syscall=%d success=no exit=%d$`, archNumber(), unix.SYS_CLOSE, -int(unix.EBADF)))
	if len(lines) != 1 || !text.MatchString(lines[0]) {
		t.Errorf("the trace behind a filter has %d lines of the process, want 1 like %s:\n%s", len(lines), text, strings.Join(lines, "\n"))
	}
}

// A trigger of tracefs counts the syscalls of each task and number.
func TestHistogram(t *testing.T) {
	const calls = 40
	wants(t, entryEvent)
	auditor.New(t)
	i := instance(t)
	must(t, i.Set(entryEvent, "trigger", "hist:keys=common_pid,syscall:size=4096"))
	pid := someCalls(t, calls)
	text, err := i.Get(entryEvent, "hist")
	must(t, err)
	for _, nr := range []int{unix.SYS_GETPPID, unix.SYS_GETPID} {
		row := regexp.MustCompile(fmt.Sprintf(`(?m)^\{ common_pid: +%d, syscall: +%d *\} hitcount: +%d$`, pid, nr, calls/2))
		if !row.MatchString(text) {
			t.Errorf("the histogram has no row like %s:\n%s", row, text)
		}
	}
}

// A BPF program on the raw tracepoint has the arguments as they are.
func TestBPF(t *testing.T) {
	const calls = 40
	wants(t, entryEvent)
	auditor.New(t)
	var list []fork.Call
	want := uint64(0)
	for n := range calls {
		c := marked(n)
		list = append(list, c)
		want += uint64(c.Args[2])
	}
	k := startTask(t, fork.Options{}, list...)
	entries := attach(t, entryEvent, k.PID, unix.SYS_GETPPID, 2+2) // arch, syscall, a0, a1, a2
	var exits *counter
	if tracefs.Exists(exitEvent) {
		exits = attach(t, exitEvent, k.PID, unix.SYS_GETPPID, 3) // arch, syscall, success, what it returned
	}
	k.goOn()
	done := k.end()
	if n, sum := entries.read(); n != calls || sum != want {
		t.Errorf("a BPF program saw %d entries with a2 of %#x in sum, want %d with %#x", n, sum, calls, want)
	}
	entries.detach()
	if exits == nil {
		return
	}
	want = calls * uint64(done[1].Result)
	if n, sum := exits.read(); n != calls || sum != want {
		t.Errorf("a BPF program saw %d exits that returned %d in sum, want %d with %d", n, sum, calls, want)
	}
	exits.detach()
}
