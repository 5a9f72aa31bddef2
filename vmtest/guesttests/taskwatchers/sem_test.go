// SPDX-License-Identifier: Apache-2.0

//go:build guest

package taskwatchers

import (
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seriesrig/series/vmtest/guesttests/internal/fork"
)

const (
	semUndo = 0x1000
	getval  = 12
	setval  = 16
)

// sembuf is struct sembuf.
type sembuf struct {
	num   uint16
	op    int16
	flags int16
}

// take and takeTwo are operations that are undone when a process exits.
var (
	take    = &sembuf{op: -1, flags: semUndo}
	takeTwo = &sembuf{op: -2, flags: semUndo}
)

// A semaphore is a set of one, of System V.
type semaphore struct {
	testing.TB
	id uintptr
}

const semValue = 100

func newSemaphore(t testing.TB) semaphore {
	t.Helper()
	id, _, errno := unix.Syscall(unix.SYS_SEMGET, unix.IPC_PRIVATE, 1, 0o600)
	if errno != 0 {
		t.Fatalf("semget: %v", errno)
	}
	s := semaphore{t, id}
	t.Cleanup(func() {
		if _, _, errno := unix.Syscall(unix.SYS_SEMCTL, id, 0, unix.IPC_RMID); errno != 0 {
			t.Errorf("remove semaphore: %v", errno)
		}
	})
	arg := uintptr(semValue) // union semun, by value: its int is the first half of it
	if runtime.GOARCH == "ppc64" {
		arg <<= 32
	}
	if _, _, errno := unix.Syscall6(unix.SYS_SEMCTL, id, 0, setval, arg, 0, 0); errno != 0 {
		t.Fatalf("set semaphore: %v", errno)
	}
	s.is("set", semValue)
	return s
}

func (s semaphore) change(b *sembuf) fork.Call {
	return fork.Call{Nr: unix.SYS_SEMTIMEDOP, Args: [6]uintptr{s.id, uintptr(unsafe.Pointer(b)), 1}}
}

func (s semaphore) get() fork.Call {
	return fork.Call{Nr: unix.SYS_SEMCTL, Args: [6]uintptr{s.id, 0, getval}}
}

func (s semaphore) is(when string, want int) {
	s.Helper()
	n, _, errno := unix.Syscall(unix.SYS_SEMCTL, s.id, 0, getval)
	if errno != 0 {
		s.Fatalf("semctl: %v", errno)
	}
	if int(n) != want {
		s.Errorf("%s: the semaphore is %d, want %d", when, n, want)
	}
}

func run(t testing.TB, o fork.Options, calls ...fork.Call) []fork.Call {
	t.Helper()
	done, err := fork.Run(o, calls...)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// What a process did with SEM_UNDO is undone when it exits, and not before.
func TestSemUndoAtExit(t *testing.T) {
	s := newSemaphore(t)
	for range 15 {
		calls := run(t, fork.Options{}, s.change(takeTwo), s.change(take), s.get())
		if got := int(calls[2].Result); got != semValue-3 {
			t.Fatalf("in the child, before its exit: the semaphore is %d, want %d", got, semValue-3)
		}
		s.is("after the exit of the child", semValue)
	}
}

// The list of a parent is not that of a child that was forked without CLONE_SYSVSEM.
func TestSemUndoIsNotInherited(t *testing.T) {
	s := newSemaphore(t)
	w := startWorker(t)
	w.do(s.change(takeTwo))
	for range 10 {
		w.fork(fork.Options{})
		s.is("after the exit of a child of who took it", semValue-2)
	}
	w.fork(fork.Options{}, s.change(take))
	s.is("after the exit of a child that took one more", semValue-2)
	w.end()
	s.is("after the exit of who took it", semValue)
}

// With CLONE_SYSVSEM a list is that of a group, and undone at the exit of the last of it.
func TestSemUndoOfGroup(t *testing.T) {
	s := newSemaphore(t)
	w := startWorker(t)
	for i := range 10 {
		w.fork(fork.Options{Flags: unix.CLONE_SYSVSEM}, s.change(take))
		s.is("after the exit of one of a group", semValue-1-i)
	}
	w.end()
	s.is("after the exit of the last of a group", semValue)
}

// A group that one leaves goes on without it.
func TestSemUndoUnshare(t *testing.T) {
	s := newSemaphore(t)
	calls := run(t, fork.Options{}, s.change(take),
		fork.Call{Nr: unix.SYS_UNSHARE, Args: [6]uintptr{unix.CLONE_SYSVSEM}}, s.get(), s.change(takeTwo), s.get())
	if got := int(calls[2].Result); got != semValue {
		t.Errorf("after unshare by the only one of its group: the semaphore is %d, want %d", got, semValue)
	}
	if got := int(calls[4].Result); got != semValue-2 {
		t.Errorf("after that, two less: the semaphore is %d, want %d", got, semValue-2)
	}
	s.is("after the exit", semValue)
}

// A clone that fails neither undoes anything of its parent nor keeps it from being undone at the parent's exit.
func TestSemUndoAfterFailedClones(t *testing.T) {
	s := newSemaphore(t)
	full := newCgroup(t)
	full.set("pids.max", "0")
	w := startWorker(t)
	w.do(s.change(takeTwo))
	for i := range 100 {
		flags := uint64(unix.CLONE_INTO_CGROUP)
		if i%2 == 0 {
			flags |= unix.CLONE_SYSVSEM
		}
		w.fails(unix.EAGAIN, fork.Options{Flags: flags, Cgroup: full.fd})
	}
	s.is("after clones that failed", semValue-2)
	w.do(s.change(take))
	s.is("after one more was taken", semValue-3)
	w.fork(fork.Options{Flags: unix.CLONE_SYSVSEM}, s.change(take))
	s.is("after the exit of one of the group", semValue-4)
	w.end()
	s.is("after the exit of the last", semValue)
	runtime.KeepAlive(take)
}
