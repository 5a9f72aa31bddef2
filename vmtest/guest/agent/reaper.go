// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"sync"
	"syscall"
	"unsafe"
)

// A reaper waits for every child of this process: those that it started, and the orphans that the kernel hands to
// init. There is only one caller of wait4, so nobody's exit status is taken by somebody else; os/exec, which waits for
// its own children, is not used beside it.
type reaper struct {
	mu      sync.Mutex
	started sync.Cond
	waiting map[int]chan ended
	starts  int
}

// ended is how a child ended.
type ended struct {
	status syscall.WaitStatus
	usage  syscall.Rusage
	at     [2]int64 // boottime, monotonic; ns
}

func newReaper() *reaper {
	r := &reaper{waiting: make(map[int]chan ended)}
	r.started.L = &r.mu
	return r
}

// start starts a program. The lock is held over fork and registration: a child that ends at once is waited for only
// when it is known.
func (r *reaper) start(path string, argv []string, attr *syscall.ProcAttr) (int, <-chan ended, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	pid, err := syscall.ForkExec(path, argv, attr)
	if err != nil {
		return 0, nil, err
	}
	end := make(chan ended, 1)
	r.waiting[pid] = end
	r.starts++
	r.started.Broadcast()
	return pid, end, nil
}

// loop reaps for ever. It sleeps in waitid without reaping, so that it can take the lock before a child is gone. Where
// there are no children there can be no orphans either, until the next start.
func (r *reaper) loop() {
	for {
		r.mu.Lock()
		seen := r.starts
		r.mu.Unlock()
		switch err := waitAny(); {
		case errors.Is(err, syscall.ECHILD):
			r.mu.Lock()
			for r.starts == seen {
				r.started.Wait()
			}
			r.mu.Unlock()
		case err == nil:
			r.reap()
		}
	}
}

func (r *reaper) reap() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		var e ended
		pid, err := syscall.Wait4(-1, &e.status, syscall.WNOHANG|syscall.WALL, &e.usage)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		if end, ok := r.waiting[pid]; ok {
			e.at = [2]int64{clock(clockBoottime), clock(clockMonotonic)}
			delete(r.waiting, pid)
			end <- e
		}
	}
}

// waitAny waits until a child has ended, and leaves it to be reaped.
func waitAny() error {
	const pAll = 0
	var info [128]byte // siginfo_t
	_, _, errno := syscall.Syscall6(syscall.SYS_WAITID, pAll, 0, uintptr(unsafe.Pointer(&info)),
		syscall.WEXITED|syscall.WNOWAIT|syscall.WALL, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// becomeSubreaper has orphans below this process come to it, as they come to init by themselves.
func becomeSubreaper() error {
	const prSetChildSubreaper = 36
	if _, _, errno := syscall.Syscall(syscall.SYS_PRCTL, prSetChildSubreaper, 1, 0); errno != 0 {
		return errno
	}
	return nil
}
