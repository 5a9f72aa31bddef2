// SPDX-License-Identifier: Apache-2.0

//go:build guest

package taskwatchers

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/elastic/go-libaudit/v2"
	"golang.org/x/sys/unix"

	"github.com/seriesrig/series/vmtest/guesttests/internal/audit"
	"github.com/seriesrig/series/vmtest/guesttests/internal/fork"
	"github.com/seriesrig/series/vmtest/guesttests/internal/role"
)

// An auditor is auditd for a test.
type auditor struct {
	testing.TB
	ctl    *audit.Control
	reader *audit.Reader
	marks  int
}

func newAuditor(t testing.TB) *auditor {
	t.Helper()
	if !slices.Contains(strings.Fields(read(t, "/proc/cmdline")), "audit=1") {
		t.Fatal("no audit=1 on the kernel's command line: tasks have no audit context")
	}
	ctl, err := audit.NewControl()
	if err != nil {
		t.Fatal(err)
	}
	a := &auditor{TB: t, ctl: ctl}
	if err := ctl.SetBacklogLimit(1<<16, libaudit.WaitForReply); err != nil {
		t.Fatal(err)
	}
	if a.reader, err = ctl.Auditd(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := ctl.DeleteRules(); err != nil {
			t.Error(err)
		}
		if err := ctl.Unregister(); err != nil {
			t.Error(err)
		}
		if err := a.reader.Close(); err != nil {
			t.Error(err)
		}
		ctl.Close()
	})
	return a
}

func (a *auditor) rule(r audit.Rule) {
	a.Helper()
	if err := a.ctl.Add(r); err != nil {
		a.Fatal(err)
	}
}

// events returns what is logged while do runs, by event.
func (a *auditor) events(do func()) [][]audit.Record {
	a.Helper()
	a.settle()
	from := a.reader.Len()
	do()
	a.settle()
	all, err := a.reader.Records()
	if err != nil {
		a.Fatal(err)
	}
	return slices.DeleteFunc(audit.Events(all[from:]), func(e []audit.Record) bool { return e[0].Type != audit.TypeSyscall })
}

// settle waits for a message, as kauditd keeps the order.
func (a *auditor) settle() {
	a.Helper()
	a.marks++
	mark := fmt.Sprintf("settle=%d;", a.marks)
	from := a.reader.Len()
	if _, err := a.ctl.Message(mark); err != nil {
		a.Fatal(err)
	}
	if _, ok := a.reader.Find(from, patience, func(r audit.Record) bool { return strings.Contains(r.Text, mark) }); !ok {
		a.Fatalf("a message to auditd did not come within %v", patience)
	}
}

// whole checks that an event says which program it was, and how that was called.
func (a *auditor) whole(e []audit.Record) {
	a.Helper()
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		a.Fatal(err)
	}
	if got := e[0].Field("exe"); got != exe {
		a.Errorf("event %s has exe=%s, want %s: %s", e[0].Event(), got, exe, e[0].Text)
	}
	i := slices.IndexFunc(e, func(r audit.Record) bool { return r.Type == audit.TypeProctitle })
	if i < 0 {
		a.Errorf("event %s has no PROCTITLE record: %+v", e[0].Event(), e)
	} else if title := e[i].Field("proctitle"); title == "" || title == "(null)" {
		a.Errorf("event %s has %q, want a title", e[0].Event(), e[i].Text)
	}
}

var children = []string{fmt.Sprintf("ppid=%d", os.Getpid())}

// exit_group does not return: its event is logged when the task is on its way out, and still has its memory.
func TestAuditExitGroup(t *testing.T) {
	const forks = 20
	a := newAuditor(t)
	a.rule(audit.Rule{Action: "always", List: "exit", Syscalls: []string{"exit_group"}, Filters: children})
	events := a.events(func() {
		for range forks {
			run(t, fork.Options{})
		}
	})
	if len(events) != forks {
		t.Errorf("%d events of exit_group, want %d", len(events), forks)
	}
	for _, e := range events {
		a.whole(e)
	}
}

// forks waits for a word, forks, and says what the system calls returned. Every other fork fails, for the cgroup that is
// descriptor 3.
func forks() error {
	bufio.NewReader(os.Stdin).ReadString('\n')
	for range 10 {
		child, err := fork.Start(fork.Options{})
		if err != nil {
			return err
		}
		if _, err := child.Wait(); err != nil {
			return err
		}
		fmt.Println(child.PID)
		if err := fails(unix.EAGAIN, fork.Options{Flags: unix.CLONE_INTO_CGROUP, Cgroup: 3}); err != nil {
			return err
		}
		fmt.Println(-int(unix.EAGAIN))
	}
	return nil
}

// The event of a fork is the parent's, and there is none of the child, which returns from the same system call. One that
// fails has an event as well. Another process forks, as auditd is not audited.
func TestAuditFork(t *testing.T) {
	a := newAuditor(t)
	full := newCgroup(t)
	full.set("pids.max", "0")
	cmd := role.Command("forks")
	cmd.ExtraFiles = []*os.File{os.NewFile(uintptr(full.fd), full.dir)}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, whose := range []string{"pid", "ppid"} {
		a.rule(audit.Rule{Action: "always", List: "exit", Syscalls: []string{fmt.Sprint(unix.SYS_CLONE3)},
			Filters: []string{fmt.Sprintf("%s=%d", whose, cmd.Process.Pid)}})
	}
	events := a.events(func() {
		fmt.Fprintln(in, "go")
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
	})
	var got []string
	for _, e := range events {
		a.whole(e)
		// A fork that a signal interrupts begins again, and each try has an event.
		if exit := e[0].Field("exit"); exit != fmt.Sprint(-int(unix.EINTR)) {
			got = append(got, exit)
		}
	}
	if want := strings.Fields(out.String()); len(want) != 20 || !slices.Equal(got, want) {
		t.Errorf("events of clone3 have exit=%v, want %v", got, want)
	}
}

// A rule of the list task decides about a child when it is made: task,never leaves it without a context.
func TestAuditTaskNever(t *testing.T) {
	a := newAuditor(t)
	a.rule(audit.Rule{Action: "always", List: "exit", Syscalls: []string{"getpid", "exit_group"}, Filters: children})
	child := func() { run(t, fork.Options{}, fork.Call{Nr: unix.SYS_GETPID}) }
	if events := a.events(child); len(events) != 2 {
		t.Fatalf("%d events of a child without a rule about tasks, want 2", len(events))
	}
	a.rule(audit.Rule{Action: "never", List: "task"})
	if events := a.events(child); len(events) != 0 {
		t.Errorf("%d events of a child under task,never, want none: %+v", len(events), events)
	}
}
