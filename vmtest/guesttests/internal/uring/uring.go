// SPDX-License-Identifier: Apache-2.0

// Package uring is as much of io_uring as it takes to open files with it.
package uring

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// OpOpenat is IORING_OP_OPENAT.
const OpOpenat = 18

const (
	sqeAsync       = 1 << 4 // IOSQE_ASYNC
	enterGetEvents = 1 << 0 // IORING_ENTER_GETEVENTS
	featSingleMmap = 1 << 0 // IORING_FEAT_SINGLE_MMAP, in every kernel since 5.4
	offSqes        = 0x10000000
)

type sqOffsets struct {
	Head, Tail, Mask, Entries, Flags, Dropped, Array, Resv uint32
	UserAddr                                               uint64
}

type cqOffsets struct {
	Head, Tail, Mask, Entries, Overflow, Cqes, Flags, Resv uint32
	UserAddr                                               uint64
}

// params is struct io_uring_params.
type params struct {
	SqEntries, CqEntries, Flags, ThreadCPU, ThreadIdle, Features, WqFd uint32
	Resv                                                               [3]uint32
	Sq                                                                 sqOffsets
	Cq                                                                 cqOffsets
}

// sqe is struct io_uring_sqe as an open uses it.
type sqe struct {
	Opcode, Flags uint8
	Ioprio        uint16
	Fd            int32
	Off, Addr     uint64
	Len, OpFlags  uint32
	UserData      uint64
	_             [3]uint64
}

type cqe struct {
	UserData uint64
	Res      int32
	Flags    uint32
}

// A Ring is for one goroutine at a time.
type Ring struct {
	fd         int
	ring, sqes []byte
	p          params
	paths      [][]byte // of requests under way, which the kernel reads
}

// New makes a ring for n requests under way.
func New(n int) (*Ring, error) {
	r := &Ring{}
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, uintptr(n), uintptr(unsafe.Pointer(&r.p)), 0)
	if errno != 0 {
		return nil, fmt.Errorf("io_uring_setup: %w", errno)
	}
	r.fd = int(fd)
	if r.p.Features&featSingleMmap == 0 {
		unix.Close(r.fd)
		return nil, fmt.Errorf("io_uring: features %#x lack the single mapping", r.p.Features)
	}
	size := max(int(r.p.Sq.Array)+int(r.p.SqEntries)*4, int(r.p.Cq.Cqes)+int(r.p.CqEntries)*int(unsafe.Sizeof(cqe{})))
	var err error
	if r.ring, err = unix.Mmap(r.fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE); err == nil {
		r.sqes, err = unix.Mmap(r.fd, offSqes, int(r.p.SqEntries)*int(unsafe.Sizeof(sqe{})), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	}
	if err != nil {
		unix.Close(r.fd)
		return nil, fmt.Errorf("map io_uring: %w", err)
	}
	return r, nil
}

func (r *Ring) word(off uint32) *atomic.Uint32 {
	return (*atomic.Uint32)(unsafe.Pointer(&r.ring[off]))
}

// Open queues the opening of a file for reading; async sends it to a worker thread of the kernel from the start.
func (r *Ring) Open(path string, async bool) error {
	name, err := unix.ByteSliceFromString(path)
	if err != nil {
		return err
	}
	r.paths = append(r.paths, name)
	tail := r.word(r.p.Sq.Tail)
	i := tail.Load() & r.word(r.p.Sq.Mask).Load()
	e := (*sqe)(unsafe.Pointer(&r.sqes[uintptr(i)*unsafe.Sizeof(sqe{})]))
	*e = sqe{Opcode: OpOpenat, Fd: unix.AT_FDCWD, Addr: uint64(uintptr(unsafe.Pointer(&name[0]))), OpFlags: unix.O_RDONLY | unix.O_CLOEXEC}
	if async {
		e.Flags = sqeAsync
	}
	r.word(r.p.Sq.Array + 4*i).Store(i)
	tail.Add(1)
	return nil
}

// Enter submits n requests and waits until wait results are there to be taken. A signal ends the system call earlier,
// and Go's scheduler sends signals.
func (r *Ring) Enter(n, wait int) error {
	for {
		_, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), uintptr(n), uintptr(wait), enterGetEvents, 0, 0)
		if errno != 0 && errno != unix.EINTR {
			return fmt.Errorf("io_uring_enter: %w", errno)
		}
		n = int(r.word(r.p.Sq.Tail).Load() - r.word(r.p.Sq.Head).Load())
		if n == 0 && int(r.word(r.p.Cq.Tail).Load()-r.word(r.p.Cq.Head).Load()) >= wait {
			return nil
		}
	}
}

// Result takes the result of a request that has ended: a descriptor, or a negative errno.
func (r *Ring) Result() (int, bool) {
	head := r.word(r.p.Cq.Head)
	if head.Load() == r.word(r.p.Cq.Tail).Load() {
		return 0, false
	}
	i := head.Load() & r.word(r.p.Cq.Mask).Load()
	res := (*cqe)(unsafe.Pointer(&r.ring[uintptr(r.p.Cq.Cqes)+uintptr(i)*unsafe.Sizeof(cqe{})])).Res
	head.Add(1)
	return int(res), true
}

// Forget lets go of the paths of requests that have ended; none may be under way.
func (r *Ring) Forget() { r.paths = nil }
