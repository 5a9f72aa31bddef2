// SPDX-License-Identifier: Apache-2.0

//go:build guest

package kauditd

import (
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seriesrig/series/vmtest/guesttests/internal/audit"
)

// file makes a file for syscalls to be about.
func file(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "watched")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// An event with more records than the backlog may hold: the task that makes it has to wait for kauditd in the middle of
// it, and somebody has to have woken kauditd.
func TestEventLargerThanBacklog(t *testing.T) {
	const size = 600 << 10 // EXECVE records hold 7500 bytes each at most
	r := newRig(t, defaultLimit)
	reader := r.auditd()
	c := r.spawn("exec", size)
	r.rule("always", "exit", []string{"execve"})
	begin := time.Now()
	c.start()
	if line := c.line(); line != "done" {
		t.Fatalf("child said %q, want done", line)
	}
	took := time.Since(begin)
	c.wait()
	r.settle(reader)

	events := audit.Events(r.records(reader, 0))
	found := 0
	for _, e := range events {
		bytes := 0
		for _, rec := range e {
			if rec.Type == audit.TypeExecve {
				bytes += len(rec.Text)
			}
		}
		if bytes == 0 {
			continue // a signal makes the kernel start execve again, which is an event of its own
		}
		found++
		if bytes < size {
			t.Errorf("EXECVE records have %d bytes, want at least the %d of the arguments", bytes, size)
		}
		if last := e[len(e)-1]; last.Type != audit.TypeEOE {
			t.Errorf("last of %d records has type %d, want EOE", len(e), last.Type)
		}
		if len(e) <= defaultLimit {
			t.Errorf("event of %d records, want more than the limit of %d", len(e), defaultLimit)
		}
		t.Logf("%d records in %v, %v of waiting", len(e), took, r.waited())
	}
	if found != 1 {
		t.Errorf("%d exec events, want 1", found)
	}
	if took > hard {
		t.Errorf("exec took %v, want at most %v", took, hard)
	}
	if waited := r.waited(); waited > hard {
		t.Errorf("tasks waited %v for the backlog, want at most %v", waited, hard)
	}
	r.lost()
}

// auditd stops reading, tasks block, auditd dies: all tasks go on.
func TestAuditdStopsAndDies(t *testing.T) {
	const producers = 12
	r := newRig(t, 8)
	auditd := r.spawn("auditd", 4096)
	path := file(t)
	children := make([]*child, producers)
	for i := range children {
		children[i] = r.load(load{Call: "openat", Path: path, Count: 10})
	}
	auditd.signal(syscall.SIGSTOP)
	r.rule("always", "exit", []string{"openat"})
	for _, c := range children {
		c.start()
	}
	r.eventually(5*time.Second, "half of the tasks block", func() bool {
		n := 0
		for _, c := range children {
			n += c.blocked()
		}
		return n >= producers/2
	})
	auditd.signal(syscall.SIGKILL)
	begin := time.Now()
	for _, c := range children {
		c.toll()
	}
	if took := time.Since(begin); took > hard {
		t.Errorf("tasks went on for %v after auditd died, want at most %v", took, hard)
	}
}

// Many tasks, and room for the records of one or two: all get their turn.
func TestManyTasksLowLimit(t *testing.T) {
	const (
		tasks, each = 100, 5
		limit       = 5 * time.Second
	)
	r := newRig(t, 8)
	r.waitTime(limit + time.Second)
	reader := r.auditd()
	c := r.load(load{Call: "openat", Path: file(t), Threads: tasks, Count: each})
	r.rule("always", "exit", []string{"openat"})
	c.start()
	slowest := c.toll().Slowest
	r.settle(reader)
	if slowest > limit {
		t.Errorf("the slowest syscall took %v, want at most %v", slowest, limit)
	}
	t.Logf("the slowest syscall took %v", slowest)
	r.complete(r.records(reader, 0), tasks*each)
	r.lost()
}

// senders has many tasks log a message at once while kauditd is busy, so that some are kept until there is room. It
// returns how long each was kept. On a busy host the tasks may come too late to find kauditd busy, so it may take some
// attempts.
func senders(t *testing.T) (*rig, []time.Duration) {
	const tasks = 16
	r := newRig(t, 4)
	controls := make([]*audit.Control, tasks)
	for i := range controls {
		ctl, err := audit.NewControl()
		if err != nil {
			t.Fatal(err)
		}
		defer ctl.Close()
		controls[i] = ctl
	}
	for range 8 {
		kept := r.burst(controls)
		waits := 0
		for _, d := range kept {
			if d > wait {
				waits++
			}
		}
		if waits >= tasks/4 {
			return r, kept
		}
	}
	t.Fatal("no attempt made senders wait for the backlog: the test has tested nothing")
	return nil, nil
}

// wait is how long a sender is kept at least if it has to wait for the backlog. Less is the time of the syscall, or of a
// busy host.
const wait = 50 * time.Millisecond

// burst logs a message from each control at once, when kauditd is busy with an auditd that does not read: it waits for
// that a tenth of a second, for the first of the main queue, and five times as long for what it has to retry.
func (r *rig) burst(controls []*audit.Control) []time.Duration {
	r.Helper()
	auditd := r.spawn("auditd", 4096)
	defer auditd.kill()
	auditd.signal(syscall.SIGSTOP)
	r.eventually(hard, "kauditd is busy", func() bool {
		if _, err := controls[0].Message("op=fill"); err != nil {
			r.Fatal(err)
		}
		return r.status().Backlog > 0
	})
	r.before = r.status()
	var wg sync.WaitGroup
	kept, errs := make([]time.Duration, len(controls)), make([]error, len(controls))
	begin := make(chan bool)
	for i, ctl := range controls {
		wg.Add(1)
		go func() {
			defer wg.Done()
			<-begin
			kept[i], errs[i] = ctl.Message("op=test")
		}()
	}
	close(begin)
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			r.Error(err)
		}
	}
	return kept
}

// A sender of a message waits for the backlog too, but has nothing to log when it is woken: kauditd has to wake all, as
// nobody comes along to wake the next.
func TestAllSendersAreWoken(t *testing.T) {
	_, kept := senders(t)
	late := 0
	for _, d := range kept {
		if d > hard {
			late++
		}
	}
	if late > 0 {
		t.Errorf("%d of %d senders were kept for more than %v: %v", late, len(kept), hard, kept)
	}
}

// What a sender waits is a part of the time that the kernel says tasks have waited.
func TestSendersWaitIsCounted(t *testing.T) {
	r, kept := senders(t)
	var sum time.Duration
	for _, d := range kept {
		if d > wait {
			sum += d
		}
	}
	if waited := r.waited(); waited < sum/2 || waited > 2*sum {
		t.Errorf("the kernel says that tasks waited %v, want about the %v that senders were kept", waited, sum)
	}
}
