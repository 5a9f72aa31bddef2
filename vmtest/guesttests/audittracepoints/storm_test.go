// SPDX-License-Identifier: Apache-2.0

//go:build guest

package audittracepoints

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/elastic/go-libaudit/v2"
	"golang.org/x/sys/unix"

	"github.com/seriesrig/series/internal/need"
	"github.com/seriesrig/series/vmtest/guesttests/internal/audit"
	"github.com/seriesrig/series/vmtest/guesttests/internal/auditor"
	"github.com/seriesrig/series/vmtest/guesttests/internal/failnth"
	"github.com/seriesrig/series/vmtest/guesttests/internal/fork"
	"github.com/seriesrig/series/vmtest/guesttests/internal/tracefs"
)

// A budget is how often something comes and goes: some hundred times, but for no longer than a test may take where the CPUs of
// a guest run in turn, or as often as a soak wants.
type budget struct {
	left int
	end  time.Time
}

func newBudget(t testing.TB) *budget {
	t.Helper()
	b := &budget{left: 200, end: time.Now().Add(15 * time.Second)}
	if s := os.Getenv("SERIES_TOGGLES"); s != "" {
		var err error
		b.left, err = strconv.Atoi(s)
		must(t, err)
		b.end = time.Now().Add(24 * time.Hour)
	}
	return b
}

// more tells whether there is a time to come.
func (b *budget) more() bool { return b.left > 0 && time.Now().Before(b.end) }

// What a child of a storm does: so many calls in a round, and so many rounds.
const (
	stormCalls  = 50
	stormRounds = 5
	stormTasks  = 3 // more than there are CPUs
)

// storm lets children make audited calls until they have made them all, and do run over and over meanwhile, as long as the budget
// lasts. The children have the lowest priority: they keep each CPU in a syscall whenever nobody else wants it, but do, which mostly
// waits for others, does not wait for its turn behind them as well.
func storm(t testing.TB, b *budget, do func()) {
	t.Helper()
	var calls []fork.Call
	for n := range stormCalls {
		calls = append(calls, marked(n))
	}
	var children []*fork.Child
	for range stormTasks {
		c, err := fork.Start(fork.Options{Rounds: stormRounds}, calls...)
		must(t, err)
		must(t, unix.Setpriority(unix.PRIO_PROCESS, c.PID, 19))
		children = append(children, c)
	}
	done := make(chan error)
	go func() {
		var errs []error
		for _, c := range children {
			_, err := c.Wait()
			errs = append(errs, err)
		}
		done <- errors.Join(errs...)
	}()
	for {
		select {
		case err := <-done:
			must(t, err)
			return
		default:
		}
		if !b.more() {
			must(t, <-done)
			return
		}
		do()
		b.left--
	}
}

// getppids are the events of getppid; see of.
func getppids(events [][]audit.Record) [][]audit.Record {
	return slices.DeleteFunc(events, func(e []audit.Record) bool { return e[0].Field("syscall") != strconv.Itoa(unix.SYS_GETPPID) })
}

// gaps tells which calls of the children have no event.
func gaps(events [][]audit.Record) string {
	var out strings.Builder
	next := map[string]int{}
	for _, e := range events {
		pid := e[0].Field("pid")
		a0, err := strconv.ParseUint(e[0].Field("a0"), 16, 64)
		if n := int(a0 - tag); err != nil || n != next[pid]%stormCalls {
			fmt.Fprintf(&out, "\nprocess %s, round %d: call %d, want %d: %s", pid, next[pid]/stormCalls, n, next[pid]%stormCalls, e[0].Text)
			next[pid]++
		}
		next[pid]++
	}
	return out.String()
}

var getppidRecords = []uint16{audit.TypeSyscall, audit.TypeProctitle, audit.TypeEOE}

// whole checks that each event is that of a marked call, with all its records.
func whole(t testing.TB, events [][]audit.Record) {
	t.Helper()
	for _, e := range events {
		var types []uint16
		for _, r := range e {
			types = append(types, r.Type)
		}
		a0, err := strconv.ParseUint(e[0].Field("a0"), 16, 64)
		if !slices.Equal(types, getppidRecords) || err != nil || a0>>16 != tag>>16 || e[0].Field("exit") != strconv.Itoa(os.Getpid()) {
			t.Errorf("event %s is not that of a marked getppid, or has other records than it: %+v", e[0].Event(), e)
			return
		}
	}
}

// storms are storms as long as a budget lasts, while come has something come and go the nth time, from 0; judge gets the
// events of each, and n.
func storms(t testing.TB, a *auditor.Auditor, come func(n int), judge func(events [][]audit.Record, n int)) {
	t.Helper()
	n, budget := 0, newBudget(t)
	begin := time.Now()
	for budget.more() {
		events := a.Events(func() { storm(t, budget, func() { come(n); n++ }) })
		judge(events, n)
	}
	t.Logf("%d times on and off in %.1f s", n, time.Since(begin).Seconds())
}

// getppidAuditor audits the getppid of children.
func getppidAuditor(t testing.TB) *auditor.Auditor {
	t.Helper()
	a := auditor.New(t)
	a.Rule(audit.Rule{List: "exit", Action: "always", Syscalls: []string{"getppid"}})
	return a
}

// Consumers come and go while tasks are in syscalls: audit has each of them, and nothing else happens.
func TestConsumersComeAndGo(t *testing.T) {
	names := events(t)
	a, i := getppidAuditor(t), instance(t)
	storms(t, a, func(n int) {
		e := names[n%len(names)]
		must(t, i.Enable(e, true))
		if n%16 == 0 {
			attach(t, e, 0, 0, 1).detach()
		}
		must(t, i.Enable(e, false))
	}, func(events [][]audit.Record, n int) {
		events = getppids(events)
		if len(events) != stormTasks*stormCalls*stormRounds {
			t.Fatalf("%d events of %d calls, after %d toggles: %s", len(events), stormTasks*stormCalls*stormRounds, n, gaps(events))
		}
		whole(t, events)
	})
}

// Audit comes and goes, while tasks are in syscalls and a consumer comes and goes as well: no syscall gets into the records by
// halves, and when audit is there for good it has all of them.
func TestAuditComesAndGoes(t *testing.T) {
	names := events(t)
	a, i := getppidAuditor(t), instance(t)
	storms(t, a, func(n int) {
		e := names[n%len(names)]
		a.Enable(false)
		must(t, i.Enable(e, n%2 == 0))
		a.Enable(true)
		must(t, i.Enable(e, false))
	}, func(events [][]audit.Record, _ int) { whole(t, events) })
	events := a.Events(func() { storm(t, &budget{}, nil) })
	if len(events) != stormTasks*stormCalls*stormRounds {
		t.Errorf("%d events of %d calls, now that audit stays enabled", len(events), stormTasks*stormCalls*stormRounds)
	}
	whole(t, events)
}

// Audit that is enabled audits, whatever fails while it gets enabled: each allocation in its turn. Where it cannot attach to the
// entry of syscalls, to enable it is an error, and it stays disabled.
func TestAttachFails(t *testing.T) {
	need.File(t, failnth.Path, "fault injection")
	thread, a := injectHere(t), getppidAuditor(t)
	injected, refused := 0, 0
	for failed := true; failed; {
		n := injected + 1
		if n == 1000 {
			t.Fatal("to enable audit allocates 1000 times, and still more")
		}
		a.Enable(false)
		must(t, thread.Arm(n))
		setErr := a.SetEnabled(true, libaudit.WaitForReply)
		var err error
		failed, err = thread.Disarm()
		must(t, err)
		if failed {
			injected++
		}
		enabled := a.Enabled()
		if setErr == nil && !enabled {
			t.Errorf("allocation %d fails: audit was enabled, and is not", n)
		}
		if setErr == error(unix.ENOMEM) { // the kernel's answer; what failed on the way there or back has a text around it
			refused++
			if enabled {
				t.Errorf("allocation %d fails: audit could not be enabled, and is", n)
			}
		}
		if enabled {
			if events := a.Events(func() { someCalls(t, 4) }); len(events) != 2 {
				t.Errorf("allocation %d fails: %v; audit is enabled, and has %d events, want 2", n, setErr, len(events))
			}
		}
	}
	t.Logf("%d allocations failed, and for %d of them audit was not enabled", injected, refused)
	want := 0
	if attached() {
		want = 1
	}
	if refused < want {
		t.Errorf("audit was refused %d times for want of memory, want at least %d", refused, want)
	}
	if injected < 2 {
		t.Errorf("%d allocations failed: the message alone takes more", injected)
	}
	a.Enable(true)
	i := instance(t)
	if tracefs.Exists(entryEvent) {
		must(t, i.Enable(entryEvent, true))
	}
	if events := a.Events(func() { someCalls(t, 4) }); len(events) != 2 {
		t.Errorf("after failures audit has %d events, want 2", len(events))
	}
}
