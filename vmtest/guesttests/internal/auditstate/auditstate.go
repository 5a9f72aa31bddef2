// SPDX-License-Identifier: Apache-2.0

// Package auditstate puts the audit subsystem into the states that something is measured in, with or without somebody who traces,
// for benchmarks that run inside a guest.
package auditstate

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/elastic/go-libaudit/v2"

	"github.com/seriesrig/series/vmtest/guesttests/internal/audit"
	"github.com/seriesrig/series/vmtest/guesttests/internal/auditor"
	"github.com/seriesrig/series/vmtest/guesttests/internal/tracefs"
)

// A State is one of audit and of a child that is forked in it. Where audit is on, there is an auditd.
type State struct {
	Name    string
	Seccomp bool // the child has to have a seccomp filter; see to that
	Hits    bool // there is a rule, which matches what the child does

	on      bool   // audit is enabled
	context bool   // the child has an audit context
	filter  string // of the rule; "" means that there is no rule
}

// All are the states. A rule that matches is for children of this process.
func All() []State {
	children := fmt.Sprintf("ppid=%d", os.Getpid())
	return []State{
		{Name: "off"},                                                          // disabled, and the child has no context, as if audit had never been enabled
		{Name: "seccomp", Seccomp: true},                                       // the same, and the child's syscalls take the slow path for another reason
		{Name: "norules", on: true, context: true},                             // enabled, without rules
		{Name: "nomatch", on: true, context: true, filter: "uid=4242"},         // a rule for the syscall, which does not match
		{Name: "match", on: true, context: true, filter: children, Hits: true}, // one that does
		{Name: "never", on: true},                                              // enabled, and a rule task,never
	}
}

// Run runs something in the state, and returns how many events audit has of it. Rules are for a syscall.
func (s State) Run(t testing.TB, syscall string, do func()) (events int) {
	t.Helper()
	if !s.on {
		off(t, do)
		return 0
	}
	a := auditor.New(t)
	if s.filter != "" {
		a.Rule(audit.Rule{List: "exit", Action: "always", Syscalls: []string{syscall}, Filters: []string{s.filter}})
	}
	if !s.context {
		defer a.Never()()
	}
	return len(a.Events(do))
}

// off runs something while audit is disabled and new tasks have no context.
func off(t testing.TB, do func()) {
	t.Helper()
	ctl, err := audit.NewControl()
	must(t, err)
	defer ctl.Close()
	must(t, ctl.Add(audit.Rule{List: "task", Action: "never"}))
	must(t, ctl.SetEnabled(false, libaudit.WaitForReply))
	do()
	must(t, ctl.SetEnabled(true, libaudit.WaitForReply))
	_, err = ctl.DeleteRules()
	must(t, err)
}

// A Looker is who looks at trace events.
type Looker struct {
	Name   string
	events []string
}

// Lookers are nobody; a trace of raw_syscalls, which all kernels have; and a trace of the entry and exit events of audit.
func Lookers(entry, exit string) []Looker {
	return []Looker{{"no", nil}, {"raw", []string{"raw_syscalls/sys_enter", "raw_syscalls/sys_exit"}}, {"audit", []string{entry, exit}}}
}

// Files are what a kernel has that has the events, each in the folder before it; tracefs has to be mounted.
func (l Looker) Files() []string {
	if len(l.events) == 0 {
		return nil
	}
	last := tracefs.Folder(l.events[len(l.events)-1])
	return []string{filepath.Dir(last), last}
}

// Look traces until the end of the benchmark.
func (l Looker) Look(b *testing.B) {
	b.Helper()
	if len(l.events) == 0 {
		return
	}
	i, err := tracefs.New("bench", 512)
	must(b, err)
	b.Cleanup(func() { must(b, i.Close()) })
	must(b, i.Fill(os.Getpagesize())) // an event in the first page of a buffer takes less than those after it, and it is large on ppc64
	for _, e := range l.events {
		must(b, i.Enable(e, true))
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
