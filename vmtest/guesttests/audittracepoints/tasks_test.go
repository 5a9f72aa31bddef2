// SPDX-License-Identifier: Apache-2.0

//go:build guest

package audittracepoints

import (
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seriesrig/series/vmtest/guesttests/internal/fork"
)

// A task is a child that waits until it is told to go, makes its calls and exits.
type task struct {
	*fork.Child
	t    testing.TB
	gate [2]*os.File // what it reads from, and what the test writes to
	buf  *[8]byte
}

// newTask is a task that has not been forked, and whose descriptors are open.
func newTask(t testing.TB) *task {
	t.Helper()
	k := &task{t: t, buf: new([8]byte)}
	var err error
	k.gate[0], k.gate[1], err = os.Pipe()
	must(t, err)
	t.Cleanup(func() {
		k.gate[0].Close()
		k.gate[1].Close()
	})
	return k
}

// fork forks the task. It waits at the beginning of each round.
func (k *task) fork(o fork.Options, calls ...fork.Call) (err error) {
	wait := fork.Call{Nr: unix.SYS_READ, Args: [6]uintptr{k.gate[0].Fd(), pointer(&k.buf[0]), 1}}
	k.Child, err = fork.Start(o, append([]fork.Call{wait}, calls...)...)
	return err
}

// startTask is both.
func startTask(t testing.TB, o fork.Options, calls ...fork.Call) *task {
	t.Helper()
	k := newTask(t)
	must(t, k.fork(o, calls...))
	return k
}

// free is the lowest descriptor that is free, and the next one is free as well: what a child gets that opens something.
func free(t testing.TB) int {
	t.Helper()
	one, err := unix.Dup(0)
	must(t, err)
	two, err := unix.Dup(0)
	must(t, err)
	must(t, unix.Close(one))
	must(t, unix.Close(two))
	if two != one+1 {
		t.Fatalf("the lowest free descriptors are %d and %d, want two in a row", one, two)
	}
	return one
}

// goOn lets the task begin a round.
func (k *task) goOn() {
	k.t.Helper()
	_, err := k.gate[1].Write([]byte{1})
	must(k.t, err)
}

// end waits for the task, and returns its calls.
func (k *task) end() []fork.Call {
	k.t.Helper()
	calls, err := k.Wait()
	must(k.t, err)
	return calls
}

// marked is a getppid with arguments that the kernel does not look at.
func marked(n int) fork.Call {
	return fork.Call{Nr: unix.SYS_GETPPID, Args: [6]uintptr{tag + uintptr(n), ^uintptr(n), 1<<63 | uintptr(n), uintptr(n) << 32, 5, 6}}
}

const tag = 0x5e71e5000000

// kept are what addresses in calls are of, so that they are not freed before a child has its copy.
var kept []any

// pointer is an address for a call.
func pointer[T any](p *T) uintptr {
	kept = append(kept, p)
	return uintptr(unsafe.Pointer(p))
}
