// SPDX-License-Identifier: Apache-2.0

//go:build guest

package kauditd

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/elastic/go-libaudit/v2"
	"golang.org/x/sys/unix"

	"github.com/seriesrig/series/vmtest/guesttests/internal/audit"
	"github.com/seriesrig/series/vmtest/guesttests/internal/trace"
)

// defaultLimit is the backlog limit of a kernel that was told nothing.
const defaultLimit = 64

// plentyLimit is one that a test does not reach.
const plentyLimit = 1 << 16

// forgotten is when a task that waits for the backlog, and that nobody wakes, is let go: so late that a test has seen it,
// and not so late that the test takes a minute for each, as it would by default.
const forgotten = 6 * time.Second

// A rig is the audit subsystem in a known state, for one test.
type rig struct {
	testing.TB
	ctl    *audit.Control
	max    int // backlog limit
	before *libaudit.AuditStatus
	marks  int // messages sent by settle
}

// newRig starts from no rules, no auditd and empty queues. Whatever the test does to the audit subsystem is undone.
func newRig(t testing.TB, limit int) *rig {
	t.Helper()
	ctl, err := audit.NewControl()
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{TB: t, ctl: ctl, max: limit}
	r.clear()
	old := r.status()
	if old.PID == uint32(os.Getpid()) { // a test before this one broke off
		if err := ctl.Unregister(); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		r.clear()
		r.limit(int(old.BacklogLimit))
		r.waitTime(duration(old.BacklogWaitTime))
		if err := ctl.Close(); err != nil {
			t.Error(err)
		}
	})
	r.limit(plentyLimit)
	r.drain()
	r.limit(limit)
	r.waitTime(forgotten)
	r.before = r.status()
	return r
}

// clear deletes all rules.
func (r *rig) clear() {
	r.Helper()
	if _, err := r.ctl.DeleteRules(); err != nil {
		r.Fatalf("delete rules: %v", err)
	}
}

// drain takes the place of auditd until nothing comes any more, so that what earlier tests left in the hold queue is gone.
func (r *rig) drain() {
	r.Helper()
	reader, end := r.connect()
	r.settle(reader)
	end()
}

// auditd makes this process auditd for the rest of the test. The records about that are not the test's.
func (r *rig) auditd() *audit.Reader {
	r.Helper()
	r.limit(plentyLimit)
	reader, end := r.connect()
	r.Cleanup(func() {
		r.limit(plentyLimit)
		end()
	})
	r.settle(reader)
	r.limit(r.max)
	r.settle(reader)
	r.before = r.status()
	return reader
}

// connect makes this process auditd until the returned function is called.
func (r *rig) connect() (*audit.Reader, func()) {
	r.Helper()
	reader, err := r.ctl.Auditd()
	if err != nil {
		r.Fatalf("become auditd: %v", err)
	}
	return reader, func() {
		r.Helper()
		if err := r.ctl.Unregister(); err != nil {
			r.Errorf("stop being auditd: %v", err)
		}
		if err := reader.Close(); err != nil {
			r.Error(err)
		}
	}
}

// listen opens a multicast reader for the rest of the test.
func (r *rig) listen() *audit.Reader {
	r.Helper()
	reader, err := audit.Listen()
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() {
		if err := reader.Close(); err != nil {
			r.Error(err)
		}
	})
	return reader
}

func (r *rig) status() *libaudit.AuditStatus {
	r.Helper()
	s, err := r.ctl.GetStatus()
	if err != nil {
		r.Fatalf("audit status: %v", err)
	}
	return s
}

func (r *rig) limit(n int) {
	r.Helper()
	if err := r.ctl.SetBacklogLimit(uint32(n), libaudit.WaitForReply); err != nil {
		r.Fatalf("set backlog limit %d: %v", n, err)
	}
}

// waitTime sets how long a task waits for the backlog before its record is dropped.
func (r *rig) waitTime(d time.Duration) {
	r.Helper()
	if err := r.ctl.SetBacklogWaitTime(int32(jiffies(d)), libaudit.WaitForReply); err != nil {
		r.Fatalf("set backlog wait time %v: %v", d, err)
	}
}

// rule adds a rule for the syscalls of this process's children, unless filters says for what else.
func (r *rig) rule(action, list string, syscalls []string, filters ...string) {
	r.Helper()
	if len(filters) == 0 {
		filters = []string{fmt.Sprintf("ppid=%d", os.Getpid())}
	}
	if err := r.ctl.Add(audit.Rule{Action: action, List: list, Syscalls: syscalls, Filters: filters}); err != nil {
		r.Fatal(err)
	}
}

// lost fails the test if the kernel lost records since the rig was made.
func (r *rig) lost() {
	r.Helper()
	if now := r.status(); now.Lost != r.before.Lost {
		r.Errorf("%d records lost, want 0", now.Lost-r.before.Lost)
	}
}

// waited is how long tasks waited for the backlog since the rig was made, as the kernel tells it.
func (r *rig) waited() time.Duration {
	r.Helper()
	return duration(r.status().BacklogWaitTimeActual - r.before.BacklogWaitTimeActual)
}

// settle waits until a reader has all that was logged before: it logs a message, and kauditd keeps the order.
func (r *rig) settle(reader *audit.Reader) {
	r.Helper()
	r.marks++
	mark := fmt.Sprintf("settle=%d;", r.marks)
	from := reader.Len()
	if _, err := r.ctl.Message(mark); err != nil {
		r.Fatal(err)
	}
	if _, ok := reader.Find(from, patience, func(rec audit.Record) bool {
		return rec.Type == audit.TypeTrustedApp && strings.Contains(rec.Text, mark)
	}); !ok {
		r.Fatalf("a message did not come within %v, nor, maybe, what was logged before it", patience)
	}
}

// records returns what a reader has got from place from on, without messages from user space.
func (r *rig) records(reader *audit.Reader, from int) []audit.Record {
	r.Helper()
	all, err := reader.Records()
	if err != nil {
		r.Errorf("read records: %v", err)
	}
	return slices.DeleteFunc(slices.Clone(all[from:]), func(rec audit.Record) bool { return rec.Type == audit.TypeTrustedApp })
}

// wakeups traces kauditd for the rest of the test.
func (r *rig) wakeups() *trace.Wakeups {
	r.Helper()
	w, err := trace.Open("kauditd")
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() {
		if err := w.Close(); err != nil {
			r.Error(err)
		}
	})
	return w
}

// pinKauditd keeps kauditd on a CPU for the rest of the test; the first is 1.
func (r *rig) pinKauditd(w *trace.Wakeups, cpu int) {
	r.Helper()
	var old unix.CPUSet
	if err := unix.SchedGetaffinity(w.TID(), &old); err != nil {
		r.Fatal(err)
	}
	if err := pin(w.TID(), cpu); err != nil {
		r.Fatalf("keep kauditd on CPU %d: %v", cpu, err)
	}
	r.Cleanup(func() {
		if err := unix.SchedSetaffinity(w.TID(), &old); err != nil {
			r.Error(err)
		}
	})
}

// firstKauditd has kauditd run as soon as it is woken, before any ordinary task, for the rest of the test.
func (r *rig) firstKauditd(w *trace.Wakeups) {
	r.Helper()
	set := func(policy, priority uint32) error {
		return unix.SchedSetAttr(w.TID(), &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: policy, Priority: priority}, 0)
	}
	if err := set(unix.SCHED_FIFO, 1); err != nil {
		r.Fatalf("kauditd first: %v", err)
	}
	r.Cleanup(func() {
		if err := set(unix.SCHED_NORMAL, 0); err != nil {
			r.Error(err)
		}
	})
}

func (r *rig) reset(w *trace.Wakeups) {
	r.Helper()
	if err := w.Reset(); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) count(w *trace.Wakeups) int {
	r.Helper()
	n, err := w.Count()
	if err != nil {
		r.Fatal(err)
	}
	return n
}

// A stall in the kernel makes a record late for as long as a task is forgotten, or for ever; so hard is a limit for each
// time, below that and above what a busy host does to a guest. The soft one is for a median, and tells of a kernel that
// waits for a timer.
const (
	hard = 4 * time.Second
	soft = 100 * time.Millisecond
)

// prompt checks times between the cause of a record and the record.
func (r *rig) prompt(what string, times []time.Duration) {
	r.Helper()
	slices.Sort(times)
	if median := times[len(times)/2]; median > soft {
		r.Errorf("%s: median of %d times %v, want at most %v", what, len(times), median, soft)
	}
	if worst := times[len(times)-1]; worst > hard {
		r.Errorf("%s: worst of %d times %v, want at most %v", what, len(times), worst, hard)
	}
	r.Logf("%s: median %v, worst %v", what, times[len(times)/2], times[len(times)-1])
}
