// SPDX-License-Identifier: Apache-2.0

//go:build guest

package audittracepoints

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/seriesrig/series/vmtest/guesttests/internal/audit"
	"github.com/seriesrig/series/vmtest/guesttests/internal/auditor"
	"github.com/seriesrig/series/vmtest/guesttests/internal/fork"
	"github.com/seriesrig/series/vmtest/guesttests/internal/perftrace"
	"github.com/seriesrig/series/vmtest/guesttests/internal/tracefs"
)

// bytesOf is a string for the kernel, with the 0 at its end.
func bytesOf(s string) *byte { return &append([]byte(s), 0)[0] }

// manyRecords are syscalls whose events have records of many types, and leave all as it was. The child has to have the
// descriptors that are open now.
func manyRecords(t testing.TB) (calls []fork.Call, names []string) {
	t.Helper()
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o755))
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	must(t, os.WriteFile(one, []byte("text"), 0o600))
	free := free(t)
	cwd := uintptr(unix.AT_FDCWD & (1<<64 - 1))
	path, other := pointer(bytesOf(one)), pointer(bytesOf(two))
	nowhere := &unix.RawSockaddrUnix{Family: unix.AF_UNIX}
	copyPath(nowhere, filepath.Join(dir, "no-socket"))
	pipe := new([2]int32)
	add := func(name string, nr uintptr, args ...uintptr) {
		c := fork.Call{Nr: nr}
		copy(c.Args[:], args)
		calls, names = append(calls, c), append(names, name)
	}
	closeOne := func(fd int) { add("close", unix.SYS_CLOSE, uintptr(fd)) }
	add("getppid", unix.SYS_GETPPID, tag, 2, 3, 4)
	add("openat", unix.SYS_OPENAT, cwd, path, unix.O_RDONLY)
	closeOne(free)
	add("openat", unix.SYS_OPENAT, cwd, other, unix.O_RDONLY) // ENOENT
	add("renameat2", unix.SYS_RENAMEAT2, cwd, path, cwd, other, 0)
	add("renameat2", unix.SYS_RENAMEAT2, cwd, other, cwd, path, 0)
	add("fchmodat", unix.SYS_FCHMODAT, cwd, path, 0o600)
	add("socket", unix.SYS_SOCKET, unix.AF_UNIX, unix.SOCK_STREAM)
	add("connect", unix.SYS_CONNECT, uintptr(free), pointer(nowhere), unix.SizeofSockaddrUnix) // ENOENT
	closeOne(free)
	add("pipe2", unix.SYS_PIPE2, pointer(&pipe[0]), 0)
	closeOne(free)
	closeOne(free + 1)
	add("execve", unix.SYS_EXECVE, other, 0, 0) // ENOENT
	return calls, names
}

func copyPath(a *unix.RawSockaddrUnix, path string) {
	for i := range path {
		a.Path[i] = int8(path[i])
	}
}

// A consumer is somebody who looks at the events while a task is audited; the function ends it.
type consumer struct {
	name  string
	begin func(t *testing.T, pid int) (end func())
}

var consumers = []consumer{
	{"nobody", func(*testing.T, int) func() { return func() {} }},
	{"tracefs", func(t *testing.T, pid int) func() {
		i, err := tracefs.New("records", 512)
		must(t, err)
		for _, e := range events(t) {
			must(t, i.Enable(e, true))
		}
		return func() {
			lines, _, err := i.Lines()
			must(t, err)
			if n := linesOf(lines, pid); n == 0 {
				t.Errorf("tracefs: no event of process %d among %d", pid, len(lines))
			}
			must(t, i.Close())
		}
	}},
	{"perf", func(t *testing.T, pid int) func() {
		var ids []uint64
		for _, e := range events(t) {
			f, err := tracefs.Load(e)
			must(t, err)
			ids = append(ids, f.ID)
		}
		r, err := perftrace.Open(1<<18, ids...)
		must(t, err)
		must(t, r.Enable())
		return func() {
			samples, err := r.Read()
			must(t, err)
			n := 0
			for _, s := range samples {
				if s.PID == pid {
					n++
				}
			}
			if n == 0 {
				t.Errorf("perf: no event of process %d among %d", pid, len(samples))
			}
			must(t, r.Close())
		}
	}},
	{"bpf", func(t *testing.T, pid int) func() {
		c := attach(t, entryEvent, pid, unix.SYS_GETPPID, 2)
		return func() {
			if n, _ := c.read(); n != 1 {
				t.Errorf("bpf: %d events of getppid of process %d, want 1", n, pid)
			}
			c.detach()
		}
	}},
	{"nobody any more", func(*testing.T, int) func() { return func() {} }},
}

// linesOf counts the lines of a trace that are about a process.
func linesOf(lines []string, pid int) (n int) {
	for _, line := range lines {
		if strings.Contains(line, fmt.Sprintf("-%d ", pid)) {
			n++
		}
	}
	return n
}

// of are the events of a process and some calls. There may be others: a BPF program that is unloaded has the kernel log whatever
// syscall it interrupts.
func of(events [][]audit.Record, pid int, calls []fork.Call) [][]audit.Record {
	return slices.DeleteFunc(events, func(e []audit.Record) bool {
		return e[0].Field("pid") != strconv.Itoa(pid) ||
			!slices.ContainsFunc(calls, func(c fork.Call) bool { return e[0].Field("syscall") == strconv.Itoa(int(c.Nr)) })
	})
}

// Whoever looks at the events, the records of audit are those that there are when nobody does, in each field but for time and
// serial: the same process makes the same calls again and again. The last time, all others have gone, and audit is still there.
func TestRecordsAreTheSame(t *testing.T) {
	wants(t, entryEvent)
	a := auditor.New(t)
	k := newTask(t)
	answer, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	must(t, err)
	defer unix.Close(answer)
	calls, names := manyRecords(t)
	one := uint64(1)
	calls = append(calls, fork.Call{Nr: unix.SYS_WRITE, Args: [6]uintptr{uintptr(answer), pointer(&one), 8}})
	must(t, k.fork(fork.Options{Rounds: len(consumers)}, calls...))
	seen := map[string]bool{}
	for _, name := range names {
		if !seen[name] {
			a.Rule(audit.Rule{List: "exit", Action: "always", Syscalls: []string{name}, Filters: []string{fmt.Sprintf("pid=%d", k.PID)}})
		}
		seen[name] = true
	}
	var first []string
	for _, who := range consumers {
		var got []string
		events := a.Events(func() {
			end := who.begin(t, k.PID)
			k.goOn()
			_, err := unix.Read(answer, make([]byte, 8))
			must(t, err)
			end()
		})
		events = of(events, k.PID, calls[:len(names)])
		if len(events) != len(names) {
			t.Errorf("%s: %d events, want %d", who.name, len(events), len(names))
		}
		for _, e := range events {
			for _, r := range e {
				got = append(got, fmt.Sprintf("type=%d %s", r.Type, r.Text))
			}
		}
		if first == nil {
			first = got
		}
		if diff := cmp.Diff(first, got); diff != "" {
			t.Errorf("records with %s: -without +with\n%s", who.name, diff)
		}
	}
	k.end()
	if len(first) < 3*len(names) {
		t.Errorf("%d records of %d events: %s", len(first), len(names), strings.Join(first, "\n"))
	}
}
