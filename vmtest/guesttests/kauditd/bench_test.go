// SPDX-License-Identifier: Apache-2.0

//go:build guest

package kauditd

import (
	"testing"
	"time"
)

// pace is the pause between the events of a benchmark: long enough for kauditd to hand on an event and to sleep again, as
// it does on a machine that is not flooded. Without a pause kauditd never sleeps, and is never woken.
const pace = time.Millisecond

// A place is where kauditd runs in a benchmark, in relation to the task whose events are counted.
type place struct {
	name          string
	task, kauditd int  // CPUs; 0 means any
	first         bool // kauditd goes before ordinary tasks
}

var (
	first = place{"first", 1, 1, true}  // on the CPU of the task and before it: the most wakeups there can be
	same  = place{"same", 1, 1, false}  // on the CPU of the task, as a task like any other
	apart = place{"apart", 2, 1, false} // on another CPU
	free  = place{"free", 0, 0, false}  // where the scheduler puts both
)

// BenchmarkWakeups counts how often kauditd is woken for an event, whose number of records depends on the syscall. It
// depends on where kauditd runs, too: on another CPU, kauditd may get to the first record only when all are made, as
// waking an idle CPU, and a virtual one more so, takes longer than that. So no CPU is left idle here. The operation is
// the syscall; ns/op is the time in it, without the pauses.
func BenchmarkWakeups(b *testing.B) {
	for _, c := range []struct {
		call string
		place
	}{
		{"getppid", first},
		{"openat", first},
		{"linkat", first},
		{"openat", same},
		{"openat", apart},
		{"openat", free},
	} {
		b.Run("call="+c.call+"/kauditd="+c.name, func(b *testing.B) { benchmarkWakeups(b, c.call, c.place) })
	}
}

func benchmarkWakeups(b *testing.B, call string, p place) {
	r := newRig(b, plentyLimit)
	reader := r.auditd()
	w := r.wakeups()
	if p.kauditd > 0 {
		r.pinKauditd(w, p.kauditd)
	}
	if p.first {
		r.firstKauditd(w)
	}
	r.spawn("spin")
	c := r.load(load{Call: call, Path: file(b), Count: b.N, Pause: pace, CPU: p.task})
	r.rule("always", "exit", []string{call})
	r.settle(reader)
	from := reader.Len()
	switches, err := w.Switches()
	if err != nil {
		b.Fatal(err)
	}
	r.reset(w)
	b.ResetTimer()
	c.start()
	toll := c.toll()
	b.StopTimer()
	wakeups := r.count(w)
	after, err := w.Switches()
	if err != nil {
		b.Fatal(err)
	}
	r.settle(reader)
	records := len(r.records(reader, from))
	lost := r.status().Lost - r.before.Lost
	if records < 3*b.N {
		b.Fatalf("%d records for %d events", records, b.N)
	}
	if lost != 0 {
		b.Errorf("%d records lost", lost)
	}
	n := float64(b.N)
	b.ReportMetric(float64(toll.Total.Nanoseconds())/n, "ns/op")
	b.ReportMetric(float64(wakeups)/n, "wakeups/event")
	b.ReportMetric(float64(wakeups)/float64(records), "wakeups/record")
	b.ReportMetric(float64(after-switches)/n, "switches/event")
	b.ReportMetric(float64(records)/n, "records/event")
	b.ReportMetric(float64(lost), "lost")
}

// BenchmarkBacklog is the price of waking every task that waits for the backlog: many tasks and little room. The
// operation is an event of one of them.
func BenchmarkBacklog(b *testing.B) {
	for _, c := range []struct {
		name         string
		tasks, limit int
	}{
		{"tasks=100/limit=8", 100, 8},
		{"tasks=100/limit=64", 100, 64},
	} {
		b.Run(c.name, func(b *testing.B) {
			r := newRig(b, c.limit)
			reader := r.auditd()
			each := (b.N + c.tasks - 1) / c.tasks
			child := r.load(load{Call: "openat", Path: file(b), Threads: c.tasks, Count: each})
			r.rule("always", "exit", []string{"openat"})
			b.ResetTimer()
			child.start()
			toll := child.toll()
			b.StopTimer()
			r.settle(reader)
			lost := r.status().Lost - r.before.Lost
			if lost != 0 {
				b.Errorf("%d records lost", lost)
			}
			events := float64(each * c.tasks)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/events, "ns/op")
			b.ReportMetric(float64(toll.Slowest.Milliseconds()), "slowest-ms")
			b.ReportMetric(float64(lost), "lost")
		})
	}
}
