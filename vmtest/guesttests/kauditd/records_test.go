// SPDX-License-Identifier: Apache-2.0

//go:build guest

package kauditd

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/seriesrig/series/vmtest/guesttests/internal/audit"
)

// openatRecords are the types of the records of an openat, in their order.
var openatRecords = []uint16{audit.TypeSyscall, audit.TypeCwd, audit.TypePath, audit.TypeProctitle, audit.TypeEOE}

// ours returns the events of this process's children.
func ours(records []audit.Record) [][]audit.Record {
	ppid := fmt.Sprint(os.Getpid())
	return slices.DeleteFunc(audit.Events(records), func(e []audit.Record) bool {
		return !slices.ContainsFunc(e, func(r audit.Record) bool {
			return (r.Type == audit.TypeSyscall || r.Type == audit.TypeUringop) && r.Field("ppid") == ppid
		})
	})
}

func types(e []audit.Record) []uint16 {
	t := make([]uint16, len(e))
	for i, r := range e {
		t[i] = r.Type
	}
	return t
}

// complete checks that there are so many events of openat, each with all its records in order.
func (r *rig) complete(records []audit.Record, events int) {
	r.Helper()
	got := 0
	for _, e := range ours(records) {
		if !slices.Equal(types(e), openatRecords) {
			r.Errorf("event %s has records of types %v, want %v", e[0].Event(), types(e), openatRecords)
			return
		}
		got++
	}
	if got != events {
		r.Errorf("%d events, want %d", got, events)
	}
}

// kauditd is woken once for an event, not once for a record; and the records are what they were. Here it runs on the CPU
// of the task, and before it: at the first point after a wakeup where the task may be preempted, kauditd hands on what
// there is and sleeps again, however busy the host.
func TestOneWakeupPerEvent(t *testing.T) {
	const events = 400
	r := newRig(t, plentyLimit)
	reader := r.auditd()
	w := r.wakeups()
	r.pinKauditd(w, 1)
	r.firstKauditd(w)
	c := r.load(load{Call: "openat", Path: file(t), Count: events, Pause: time.Millisecond, CPU: 1})
	r.rule("always", "exit", []string{"openat"})
	r.settle(reader)
	from := reader.Len()
	r.reset(w)
	c.start()
	c.toll()
	r.settle(reader)
	n := r.count(w)
	records := r.records(reader, from)
	r.complete(records, events)
	r.lost()
	each := float64(n) / events
	t.Logf("%.2f wakeups per event of %d records", each, len(openatRecords))
	if each > 1.2 {
		t.Errorf("%d wakeups for %d events, %.2f for each, want 1", n, events, each)
	}
}

// An event that is excluded has no records, so there is nothing to wake kauditd for.
func TestExcludedEventsDoNotWake(t *testing.T) {
	const events = 200
	r := newRig(t, plentyLimit)
	reader := r.auditd()
	w := r.wakeups()
	c := r.load(load{Call: "openat", Path: file(t), Count: events})
	r.rule("always", "exclude", nil, "msgtype=SYSCALL")
	r.rule("always", "exit", []string{"openat"})
	r.settle(reader)
	from := reader.Len()
	r.reset(w)
	c.start()
	c.toll()
	r.settle(reader)
	if got := r.records(reader, from); len(got) != 0 {
		t.Errorf("%d records, want none", len(got))
	}
	if n := r.count(w); n > events/20 {
		t.Errorf("%d wakeups for %d events without records, want none", n, events)
	}
}

// A command that logs nothing, as the question for the status, is nothing to wake kauditd for.
func TestCommandsDoNotWake(t *testing.T) {
	const commands = 100
	r := newRig(t, plentyLimit)
	reader := r.auditd()
	w := r.wakeups()
	r.settle(reader)
	r.reset(w)
	for range commands {
		r.status()
	}
	if n := r.count(w); n > commands/20 {
		t.Errorf("%d wakeups for %d commands, want none", n, commands)
	}
}

// Events of tasks that run side by side: each with its SYSCALL record first and its EOE last, under a serial of its own;
// and the multicast group gets what auditd gets.
func TestOrder(t *testing.T) {
	const tasks, each = 8, 100
	r := newRig(t, 256)
	reader := r.auditd()
	multicast := r.listen()
	path := file(t)
	r.rule("always", "exit", []string{"openat"})
	c := r.load(load{Call: "openat", Path: path, Threads: tasks, Count: each})
	r.settle(reader)
	r.settle(multicast)
	from, fromMulticast := reader.Len(), multicast.Len()
	c.start()
	c.toll()
	r.settle(reader)
	r.settle(multicast)

	records, copies := r.records(reader, from), r.records(multicast, fromMulticast)
	r.complete(records, tasks*each)
	serials := map[uint32]string{}
	ended := map[string]bool{}
	for _, rec := range records {
		if ended[rec.Event()] {
			t.Errorf("event %s has a record of type %d after its EOE", rec.Event(), rec.Type)
		}
		ended[rec.Event()] = rec.Type == audit.TypeEOE
		if other, ok := serials[rec.Serial]; ok && other != rec.Event() {
			t.Errorf("events %s and %s have the same serial", other, rec.Event())
		}
		serials[rec.Serial] = rec.Event()
	}
	if len(records) != len(copies) {
		t.Fatalf("auditd got %d records, the multicast group %d", len(records), len(copies))
	}
	for i := range records {
		if a, b := records[i], copies[i]; a.Type != b.Type || a.Event() != b.Event() || a.Text != b.Text {
			t.Fatalf("record %d: auditd got %d %s %q, the multicast group %d %s %q", i,
				a.Type, a.Event(), a.Text, b.Type, b.Event(), b.Text)
		}
	}
	r.lost()
}

// Records that have no auditd are kept, and come in order when there is one.
func TestHoldQueue(t *testing.T) {
	const events = 20
	r := newRig(t, 1024)
	c := r.load(load{Call: "openat", Path: file(t), Count: events})
	r.rule("always", "exit", []string{"openat"})
	c.start()
	c.toll()
	r.eventually(hard, "kauditd moves all records to the hold queue", func() bool { return r.status().Backlog == 0 })
	begin := time.Now()
	reader, end := r.connect()
	defer end()
	held := 0
	_, ok := reader.Find(0, hard, func(rec audit.Record) bool {
		if rec.Type == audit.TypeEOE {
			held++
		}
		return held == events
	})
	if !ok {
		t.Errorf("not all of %d events came within %v of auditd's connection", events, hard)
	}
	t.Logf("%d events came within %v", held, time.Since(begin))
	r.settle(reader)
	records := r.records(reader, 0)
	r.complete(records, events)
	if !slices.IsSortedFunc(ours(records), func(a, b []audit.Record) int { return int(a[0].Serial) - int(b[0].Serial) }) {
		t.Error("events come out of the hold queue in another order than they went in")
	}
	r.lost()
}
