// SPDX-License-Identifier: Apache-2.0

//go:build guest

package kauditd

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seriesrig/series/vmtest/guesttests/internal/audit"
	"github.com/seriesrig/series/vmtest/guesttests/internal/uring"
)

// opOpenat is the number of io_uring's open, for rules.
var opOpenat = strconv.Itoa(uring.OpOpenat)

// auditd dies under a flood of records, and a new one takes its place: kauditd sees it at once, although its queue is
// hardly ever empty.
func TestNewAuditdUnderFlood(t *testing.T) {
	r := newRig(t, 512)
	path := file(t)
	// Whoever logs goes before kauditd, so that its queue is filled again when it has woken everyone.
	tid := r.wakeups().TID()
	if err := unix.Setpriority(unix.PRIO_PROCESS, tid, 19); err != nil {
		t.Fatal(err)
	}
	defer unix.Setpriority(unix.PRIO_PROCESS, tid, 0)
	r.rule("always", "exit", []string{"openat"})
	var times []time.Duration
	for range 5 {
		old := r.spawn("auditd", 1<<20)
		flood := []*child{r.load(load{Call: "openat", Path: path, Threads: 3}), r.load(load{Call: "openat", Path: path, Threads: 3})}
		for _, c := range flood {
			c.start()
		}
		time.Sleep(200 * time.Millisecond)
		old.kill()

		var reader *audit.Reader
		r.eventually(hard, "the kernel takes a new auditd", func() bool {
			var err error
			if reader, err = r.ctl.Auditd(); err != nil && !errors.Is(err, unix.EEXIST) {
				t.Fatal(err)
			}
			return err == nil
		})
		begin := time.Now()
		rec, ok := reader.Find(0, hard, func(rec audit.Record) bool { return rec.Type == audit.TypeSyscall })
		if ok {
			times = append(times, rec.At.Sub(begin))
		} else {
			t.Errorf("no record within %v of the connection, backlog %d", hard, r.status().Backlog)
		}
		for _, c := range flood {
			c.kill()
		}
		if err := errors.Join(r.ctl.Unregister(), reader.Close()); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			return
		}
	}
	r.prompt("first records of a new auditd", times)
}

// All syscalls of a user are audited, those included that the kernel makes for handing the records on: the user's process
// gets on, and so does everybody else.
func TestAllSyscallsOfAUser(t *testing.T) {
	const (
		uid  = 4242
		long = 5 * time.Second
	)
	r := newRig(t, defaultLimit)
	reader := r.auditd()
	r.rule("always", "exit", nil, "uid="+strconv.Itoa(uid))
	c := r.spawn("user", uid)
	c.start()
	end := time.After(long)
	for alive := 0; ; alive++ {
		select {
		case _, ok := <-c.lines:
			if !ok {
				t.Fatalf("the process ended: %s", c.errs.String())
			}
			continue
		case <-time.After(hard):
			t.Fatalf("no sign of life for %v, after %d", hard, alive)
		case <-end:
			if alive == 0 {
				t.Error("no sign of life")
			}
			t.Logf("%d signs of life, %d records", alive, reader.Len())
		}
		break
	}
	if reader.Len() < 1000 {
		t.Errorf("%d records, want thousands", reader.Len())
	}
	r.lost()
}
