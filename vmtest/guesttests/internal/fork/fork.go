// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || ppc64 || ppc64le)

// Package fork forks a Go program into children that run no Go: a child makes a list of system calls and exits. It can do
// so at any place in a test, has what the calling thread has and nothing that a new program would have undone.
package fork

import (
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seriesrig/series/vmtest/guesttests/internal/mark"
)

// A Call is a system call of a child. Its arguments may point to memory of the parent, as the child has a copy of that or
// shares it.
type Call struct {
	Nr   uintptr
	Args [6]uintptr
	Mark bool // make a mark before it, for which the parent has to tell mark.Others; one in each round
	// What the kernel returned, to be read when the child has ended.
	Result uintptr
	Errno  syscall.Errno
	Done   bool
}

// Err is the error of a call that has been made, and one that says so where it has not.
func (c *Call) Err() error {
	switch {
	case !c.Done:
		return fmt.Errorf("system call %d was not made", c.Nr)
	case c.Errno != 0:
		return c.Errno
	}
	return nil
}

// Options are those of clone3(2). The zero value is fork(2).
type Options struct {
	Flags   uint64 // without CLONE_VM: the child would write over the return address that its parent comes back to
	NoSigno bool   // no SIGCHLD; who waits then needs __WALL
	Cgroup  int    // descriptor, with CLONE_INTO_CGROUP
	Rounds  int    // how often the child makes its calls, whose results are those of the last round; 0 means once
}

// args is struct clone_args.
type args struct {
	Flags, Pidfd, ChildTID, ParentTID, ExitSignal, Stack, StackSize, TLS, SetTID, SetTIDSize, Cgroup uint64
}

// A Child is a process that was forked.
type Child struct {
	PID   int
	Calls []Call // of the child, in memory that it shares with its parent
	mem   []byte
}

// Start forks the calling thread. The child exits with 0 when it has made its calls, whether they fail or not. Whoever
// wants the state of a certain thread to be inherited has to lock it to the goroutine.
func Start(o Options, calls ...Call) (*Child, error) {
	if o.Flags&unix.CLONE_VM != 0 {
		return nil, fmt.Errorf("fork with flags %#x: a child on the stack of its parent: %w", o.Flags, unix.ENOTSUP)
	}
	a := args{Flags: o.Flags, ExitSignal: uint64(unix.SIGCHLD), Cgroup: uint64(o.Cgroup)}
	if o.NoSigno {
		a.ExitSignal = 0
	}
	c := &Child{}
	if len(calls) > 0 {
		var err error
		c.mem, err = unix.Mmap(-1, 0, len(calls)*int(unsafe.Sizeof(Call{})), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANONYMOUS)
		if err != nil {
			return nil, fmt.Errorf("map memory for a child: %w", err)
		}
		c.Calls = unsafe.Slice((*Call)(unsafe.Pointer(&c.mem[0])), len(calls))
		copy(c.Calls, calls)
	}
	pid, errno := clone(&a, c.Calls, max(o.Rounds, 1))
	if errno != 0 {
		c.free()
		return nil, errno
	}
	c.PID = pid
	return c, nil
}

// clone is all that a child sees of this program: no function that might grow the stack, allocate or be stopped by the
// scheduler, as in package syscall.
//
//go:norace
//go:nosplit
//go:noinline
func clone(a *args, calls []Call, rounds int) (int, syscall.Errno) {
	pid, _, errno := syscall.RawSyscall6(unix.SYS_CLONE3, uintptr(unsafe.Pointer(a)), unsafe.Sizeof(*a), 0, 0, 0, 0)
	if errno != 0 || pid != 0 {
		return int(pid), errno
	}
	for range rounds {
		for i := range calls {
			c := &calls[i]
			if c.Mark {
				live()
				mark.Make()
			}
			c.Result, _, c.Errno = syscall.RawSyscall6(c.Nr, c.Args[0], c.Args[1], c.Args[2], c.Args[3], c.Args[4], c.Args[5])
			c.Done = true
		}
	}
	for {
		syscall.RawSyscall6(unix.SYS_EXIT_GROUP, 0, 0, 0, 0, 0, 0)
	}
}

// Wait waits for the end of the child and returns its calls. A child that did not exit with 0 is an error.
func (c *Child) Wait() ([]Call, error) {
	var ws unix.WaitStatus
	for {
		_, err := unix.Wait4(c.PID, &ws, unix.WALL, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("wait for child %d: %w", c.PID, err)
		}
		break
	}
	calls := append([]Call(nil), c.Calls...)
	c.free()
	if !ws.Exited() || ws.ExitStatus() != 0 {
		return calls, fmt.Errorf("child %d: wait status %#x, want 0", c.PID, uint32(ws))
	}
	return calls, nil
}

func (c *Child) free() {
	c.Calls = nil
	if c.mem != nil {
		unix.Munmap(c.mem)
		c.mem = nil
	}
}

// Run is Start and Wait, and an error where one of the calls fails.
func Run(o Options, calls ...Call) ([]Call, error) {
	c, err := Start(o, calls...)
	if err != nil {
		return nil, err
	}
	done, err := c.Wait()
	for i := range done {
		if e := done[i].Err(); err == nil && e != nil {
			err = fmt.Errorf("call %d of child %d, number %d: %w", i+1, c.PID, done[i].Nr, e)
		}
	}
	return done, err
}
