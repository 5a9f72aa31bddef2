// SPDX-License-Identifier: Apache-2.0

//go:build guest

package taskwatchers

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seriesrig/series/vmtest/guesttests/internal/fork"
)

// A worker is a thread with credentials, keyrings, memory policy and a list of semaphore operations to undo of its own. It
// works until it is told to end, and then the thread exits.
type worker struct {
	testing.TB
	tid  int
	jobs chan func() error
	errs chan error
}

func startWorker(t testing.TB) *worker {
	t.Helper()
	w := &worker{TB: t, jobs: make(chan func() error), errs: make(chan error)}
	// The first thread of a process outlives its goroutine, so it cannot be a worker. It is held until another is found.
	hold := make(chan struct{})
	defer close(hold)
	for w.tid == 0 {
		go w.work(hold)
		if err := <-w.errs; err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(w.end)
	return w
}

func (w *worker) work(hold chan struct{}) {
	runtime.LockOSThread() // and never unlocked, so that the thread ends with the goroutine
	if unix.Gettid() == os.Getpid() {
		w.errs <- nil
		<-hold
		runtime.UnlockOSThread()
		return
	}
	w.tid = unix.Gettid()
	w.errs <- unix.Unshare(unix.CLONE_SYSVSEM)
	for job := range w.jobs {
		w.errs <- job()
	}
}

// run has the thread do something.
func (w *worker) run(job func() error) {
	w.Helper()
	w.jobs <- job
	if err := <-w.errs; err != nil {
		w.Fatal(err)
	}
}

// do has the thread make system calls.
func (w *worker) do(calls ...fork.Call) (results []uintptr) {
	w.Helper()
	w.run(func() error {
		for _, c := range calls {
			r, _, errno := unix.RawSyscall6(c.Nr, c.Args[0], c.Args[1], c.Args[2], c.Args[3], c.Args[4], c.Args[5])
			if errno != 0 {
				return fmt.Errorf("system call %d: %w", c.Nr, errno)
			}
			results = append(results, r)
		}
		return nil
	})
	return results
}

// fork has the thread fork a child that makes system calls, and waits for the end of that.
func (w *worker) fork(o fork.Options, calls ...fork.Call) (done []fork.Call) {
	w.Helper()
	w.run(func() (err error) {
		done, err = fork.Run(o, calls...)
		return err
	})
	return done
}

// fails has the thread fork, which has to fail.
func (w *worker) fails(want unix.Errno, o fork.Options) {
	w.Helper()
	w.run(func() error { return fails(want, o) })
}

func fails(want unix.Errno, o fork.Options) error {
	c, err := fork.Start(o)
	if err == nil {
		c.Wait()
	}
	if !errors.Is(err, want) {
		return fmt.Errorf("fork: %v, want %v", err, want)
	}
	return nil
}

// end ends the thread, and returns when it is gone.
func (w *worker) end() {
	if w.jobs == nil {
		return
	}
	close(w.jobs)
	w.jobs = nil
	eventually(w, "a thread ends", func() bool {
		_, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", w.tid))
		return errors.Is(err, os.ErrNotExist)
	})
}

// patience is how long something may take that takes no time but on a busy host.
const patience = 10 * time.Second

// eventually waits until ok, and says what it waits for when that does not come.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for start := time.Now(); !ok(); time.Sleep(time.Millisecond) {
		if time.Since(start) > patience {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}
