// SPDX-License-Identifier: Apache-2.0

// Package auditor makes a test auditd, for tests that run inside a guest.
package auditor

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/elastic/go-libaudit/v2"

	"github.com/seriesrig/series/vmtest/guesttests/internal/audit"
)

// patience is how long a record may take.
const patience = 30 * time.Second

// An Auditor is auditd until the end of the test, in a kernel where audit is enabled, without rules and with a backlog that
// no test fills. The kernel does not audit the process that is auditd.
type Auditor struct {
	testing.TB
	*audit.Control
	reader *audit.Reader
	marks  int
	lost   uint32
}

// New makes the calling process auditd.
func New(t testing.TB) *Auditor {
	t.Helper()
	ctl, err := audit.NewControl()
	if err != nil {
		t.Fatal(err)
	}
	a := &Auditor{TB: t, Control: ctl}
	t.Cleanup(func() {
		if err := ctl.Close(); err != nil {
			t.Error(err)
		}
	})
	a.do("set the backlog's limit", ctl.SetBacklogLimit(1<<20, libaudit.WaitForReply))
	a.Enable(true)
	a.Clear()
	if a.reader, err = ctl.Auditd(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		a.Clear()
		a.do("stop being auditd", ctl.Unregister())
		if err := a.reader.Close(); err != nil {
			t.Error(err)
		}
	})
	a.Settle()
	a.lost = a.status().Lost
	return a
}

func (a *Auditor) do(what string, err error) {
	a.Helper()
	if err != nil {
		a.Fatalf("%s: %v", what, err)
	}
}

func (a *Auditor) status() *libaudit.AuditStatus {
	a.Helper()
	s, err := a.GetStatus()
	a.do("audit status", err)
	return s
}

// Enable enables or disables audit.
func (a *Auditor) Enable(on bool) {
	a.Helper()
	a.do(fmt.Sprintf("set audit enabled to %v", on), a.SetEnabled(on, libaudit.WaitForReply))
}

// Enabled tells whether audit is enabled.
func (a *Auditor) Enabled() bool {
	a.Helper()
	return a.status().Enabled != 0
}

// Rule adds a rule; where it has no filters it is for the children of this process.
func (a *Auditor) Rule(r audit.Rule) {
	a.Helper()
	if len(r.Filters) == 0 && r.List == "exit" {
		r.Filters = []string{fmt.Sprintf("ppid=%d", os.Getpid())}
	}
	a.do("add rule", a.Add(r))
}

// Clear deletes all rules.
func (a *Auditor) Clear() {
	a.Helper()
	_, err := a.DeleteRules()
	a.do("delete rules", err)
}

// Never begins a time in which new tasks have no audit context; the returned function ends it, and deletes all rules.
func (a *Auditor) Never() (end func()) {
	a.Helper()
	a.Rule(audit.Rule{List: "task", Action: "never"})
	return a.Clear
}

// Settle waits until all that was logged before has come: it logs a message, and kauditd keeps the order.
func (a *Auditor) Settle() {
	a.Helper()
	a.marks++
	mark := fmt.Sprintf("settle=%d;", a.marks)
	from := a.reader.Len()
	_, err := a.Message(mark)
	a.do("log a message", err)
	if _, ok := a.reader.Find(from, patience, func(r audit.Record) bool { return strings.Contains(r.Text, mark) }); !ok {
		a.Fatalf("a message to auditd did not come within %v", patience)
	}
}

// Events returns the events of syscalls that are logged while do runs, and fails the test where records were lost. Audit has
// to be enabled before and after.
func (a *Auditor) Events(do func()) [][]audit.Record {
	a.Helper()
	a.Settle()
	from := a.reader.Len()
	do()
	a.Settle()
	all, err := a.reader.Records()
	a.do("read records", err)
	a.reader.Forget()
	if lost := a.status().Lost; lost != a.lost {
		a.Errorf("%d records lost, want 0", lost-a.lost)
		a.lost = lost
	}
	// The kernel unloads a BPF program some time after it is closed, in a softirq, and its record gets into the event of whatever
	// task that interrupts, at any place in it.
	all = slices.DeleteFunc(slices.Clone(all[from:]), func(r audit.Record) bool { return r.Type == audit.TypeBPF })
	return slices.DeleteFunc(audit.Events(all), func(e []audit.Record) bool { return e[0].Type != audit.TypeSyscall })
}
