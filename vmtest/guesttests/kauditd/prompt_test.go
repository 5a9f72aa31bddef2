// SPDX-License-Identifier: Apache-2.0

//go:build guest

package kauditd

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seriesrig/series/vmtest/guesttests/internal/audit"
	"github.com/seriesrig/series/vmtest/guesttests/internal/slowfile"
)

// rounds is how often a time is measured.
const rounds = 9

// listeners has a child open and close multicast sockets, which the kernel logs in the middle of bind and close, and
// measures how soon auditd has each record. Nothing else is logged that could wake kauditd by the way. It takes a child,
// as auditd's own syscalls have no event.
func (r *rig) listeners(reader *audit.Reader) {
	r.Helper()
	c := r.spawn("listener")
	r.settle(reader)
	var times []time.Duration
	for i := range 2 * rounds {
		op := []string{"connect", "disconnect"}[i%2]
		from := reader.Len()
		c.start()
		called := time.Unix(0, int64(c.number()))
		rec, ok := reader.Find(from, hard, func(rec audit.Record) bool {
			return rec.Type == audit.TypeEventListener && rec.Field("op") == op
		})
		if !ok {
			r.Fatalf("no EVENT_LISTENER record with op=%s within %v", op, hard)
		}
		times = append(times, rec.At.Sub(called))
	}
	r.prompt("EVENT_LISTENER records", times)
}

// A syscall that logs something and that a rule keeps from being logged itself: its record has no event to wait for.
func TestNeverRule(t *testing.T) {
	r := newRig(t, defaultLimit)
	reader := r.auditd()
	r.rule("never", "exit", nil, "pid>0")
	r.settle(reader)
	r.listeners(reader)
	r.lost()
}

// The same where the event is dropped at its first record.
func TestExcludedSyscall(t *testing.T) {
	r := newRig(t, defaultLimit)
	reader := r.auditd()
	r.rule("always", "exclude", nil, "msgtype=SYSCALL")
	r.settle(reader)
	r.listeners(reader)
	r.lost()
}

// Seccomp logs before audit learns of the syscall, so its record belongs to no event; the syscall does not end.
func TestRecordBeforeSyscall(t *testing.T) {
	r := newRig(t, defaultLimit)
	reader := r.auditd()
	r.rule("always", "exit", []string{"clock_nanosleep"})
	var times []time.Duration
	for range rounds {
		c := r.spawn("seccomp")
		r.settle(reader)
		from := reader.Len()
		c.start()
		called := time.Unix(0, int64(c.number()))
		rec, ok := reader.Find(from, hard, func(rec audit.Record) bool { return rec.Type == audit.TypeSeccomp })
		if !ok {
			t.Fatalf("no SECCOMP record within %v", hard)
		}
		times = append(times, rec.At.Sub(called))
		c.kill()
	}
	r.prompt("SECCOMP records", times)
	r.lost()
}

// A task's command line is the last but one record of its event, and to read it can take as long as whoever serves the
// file it is in wants it to take: the records before it must not wait for that.
func TestSlowCommandLine(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, defaultLimit)
	reader := r.auditd()
	path := file(t)
	server := r.spawn("slowfile", dir)
	t.Cleanup(func() {
		server.kill() // so that nobody waits for it any more
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	c := r.spawn("title", slowfile.Path(dir), path)
	r.rule("always", "exit", []string{"openat"})
	r.settle(reader)
	from := reader.Len()
	c.start()
	called := time.Unix(0, int64(c.number()))
	if line := server.line(); line != "asked" {
		t.Fatalf("server said %q, want asked", line)
	}
	if rec, ok := reader.Find(from, hard, func(rec audit.Record) bool { return rec.Type == audit.TypePath }); ok {
		t.Logf("PATH record after %v", rec.At.Sub(called))
	} else {
		t.Errorf("no PATH record within %v, while the command line is being read", hard)
	}
	server.start()
	if line := c.line(); line != "done" {
		t.Errorf("child said %q, want done", line)
	}
	c.wait()
	r.settle(reader)
	r.complete(r.records(reader, from), 1)
	r.lost()
}

// A record in the middle of a syscall that does not end: io_uring_enter opens a file itself, and then waits for another.
func TestUringInMidSyscall(t *testing.T) {
	r := newRig(t, defaultLimit)
	reader := r.auditd()
	r.rule("always", "io_uring", []string{opOpenat})
	path := file(t)
	var times []time.Duration
	for range rounds {
		c := r.spawn("uring", path, 1, "inline")
		r.settle(reader)
		from := reader.Len()
		c.start()
		called := time.Unix(0, int64(c.number()))
		rec, ok := reader.Find(from, hard, func(rec audit.Record) bool { return rec.Type == audit.TypeUringop })
		if !ok {
			t.Fatalf("no URINGOP record within %v", hard)
		}
		times = append(times, rec.At.Sub(called))
		c.kill()
	}
	r.prompt("URINGOP records", times)
	r.lost()
}

// An operation of io_uring in a worker thread is an event like a syscall.
func TestUringWorker(t *testing.T) {
	const events = 100
	r := newRig(t, plentyLimit)
	reader := r.auditd()
	w := r.wakeups()
	path := file(t)
	r.rule("always", "io_uring", []string{opOpenat})
	c := r.spawn("uring", path, events, "async")
	r.settle(reader)
	from := reader.Len()
	r.reset(w)
	c.start()
	done := time.Unix(0, int64(c.number()))
	ends := 0
	last, ok := reader.Find(from, hard, func(rec audit.Record) bool {
		if rec.Type == audit.TypeEOE {
			ends++
		}
		return ends == events
	})
	if !ok {
		t.Fatalf("%d EOE records within %v of the last operation, want %d", ends, hard, events)
	}
	t.Logf("the last record came %v after the last operation", last.At.Sub(done))
	n := r.count(w)
	got := 0
	for _, e := range ours(r.records(reader, from)) {
		got++
		if e[0].Type != audit.TypeUringop || e[len(e)-1].Type != audit.TypeEOE {
			t.Fatalf("event %s has records of types %v, want URINGOP first and EOE last", e[0].Event(), types(e))
		}
	}
	if got != events {
		t.Errorf("%d events, want %d", got, events)
	}
	t.Logf("%.2f wakeups per event", float64(n)/events)
	r.lost()
}
