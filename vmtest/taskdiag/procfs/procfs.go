// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package procfs reads what /proc says of tasks as text, into what package taskdiag has: the other side of a comparison. So
// it is as fast as it can be made: a task takes open(2), read(2) and close(2), by raw system calls and relative to the
// folder, and neither allocates.
package procfs

import (
	"fmt"
	"os"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Files of a process that Dir.Read is for.
const (
	Stat   = "stat"
	Status = "status"
	Maps   = "maps"
	Smaps  = "smaps"
)

const (
	direntsSize = 64 << 10
	fileSize    = 64 << 10
)

// A Dir is a /proc that is open. It is for one goroutine at a time.
type Dir struct {
	fd    int
	dents []byte
	file  []byte
	path  []byte
	calls int
}

// Open opens a proc mount, such as "/proc".
func Open(path string) (*Dir, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return &Dir{fd: fd, dents: make([]byte, direntsSize), file: make([]byte, fileSize), calls: 1}, nil
}

// Close closes the folder.
func (d *Dir) Close() error {
	d.calls++
	return unix.Close(d.fd)
}

// SystemCalls is how many system calls were made so far, all of them counted.
func (d *Dir) SystemCalls() int { return d.calls }

// PIDs calls f for every process, in the order of their pids, until f says false.
func (d *Dir) PIDs(f func(pid int) bool) error {
	d.calls++
	if _, err := unix.Seek(d.fd, 0, 0); err != nil {
		return fmt.Errorf("seek in /proc: %w", err)
	}
	for {
		n, errno := d.call(unix.SYS_GETDENTS64, uintptr(d.fd), d.dents)
		if errno != 0 {
			return fmt.Errorf("read folder /proc: %w", errno)
		}
		if n == 0 {
			return nil
		}
		for b := d.dents[:n]; len(b) > 0; {
			e := (*unix.Dirent)(unsafe.Pointer(&b[0]))
			name := b[unsafe.Offsetof(e.Name):e.Reclen]
			b = b[e.Reclen:]
			if pid := number(name); pid > 0 && !f(pid) {
				return nil
			}
		}
	}
}

// number is what a name that ends with a zero byte says, or 0 where it is no number.
func number(name []byte) int {
	n := 0
	for i, c := range name {
		switch {
		case c == 0 && i > 0:
			return n
		case c < '0' || c > '9' || n > 1<<24:
			return 0
		}
		n = 10*n + int(c-'0')
	}
	return 0
}

// Read is what a file of a process says, until the next call. Of stat and status, which one read(2) gives as a whole, it
// does not look for the end, as ps does not. A process that has ended is ENOENT or ESRCH.
func (d *Dir) Read(pid int, file string) ([]byte, error) {
	n, err := d.read(pid, file, file == Stat || file == Status)
	return d.file[:n], err
}

func (d *Dir) read(pid int, file string, once bool) (int, error) {
	d.path = strconv.AppendInt(d.path[:0], int64(pid), 10)
	d.path = append(append(append(d.path, '/'), file...), 0)
	d.calls++
	fd, _, errno := syscall.RawSyscall6(unix.SYS_OPENAT, uintptr(d.fd), uintptr(unsafe.Pointer(&d.path[0])), unix.O_RDONLY|unix.O_CLOEXEC, 0, 0, 0)
	if errno != 0 {
		return 0, d.error("open", pid, file, errno)
	}
	n := 0
	for {
		if n == len(d.file) {
			d.file = append(d.file, make([]byte, len(d.file))...)
		}
		got, errno := d.call(unix.SYS_READ, fd, d.file[n:])
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			d.call(unix.SYS_CLOSE, fd, nil)
			return n, d.error("read", pid, file, errno)
		}
		n += int(got)
		if got == 0 || once && n < len(d.file) {
			break
		}
	}
	d.call(unix.SYS_CLOSE, fd, nil)
	return n, nil
}

func (d *Dir) call(nr, fd uintptr, b []byte) (uintptr, syscall.Errno) {
	d.calls++
	n, _, errno := syscall.RawSyscall(nr, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	return n, errno
}

func (d *Dir) error(op string, pid int, file string, errno syscall.Errno) error {
	return fmt.Errorf("%s /proc/%d/%s: %w", op, pid, file, errno)
}
