// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package failnth lets one allocation of a thread fail, by the kernel's fault injection: see
// Documentation/fault-injection/fault-injection.rst of a kernel that has it, which is the configuration debug here.
package failnth

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Path is the file of the thread that opens it. Kernels without fault injection have none.
const Path = "/proc/thread-self/fail-nth"

const debugfs = "/sys/kernel/debug"

// Prepare has all allocations counted, of which by default those that may wait are left out, and none of them told on the
// console. It mounts debugfs where it is not mounted.
func Prepare() error {
	if err := unix.Mount("debugfs", debugfs, "debugfs", 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("mount %s: %w", debugfs, err)
	}
	for _, what := range []string{"failslab", "fail_page_alloc"} {
		for name, value := range map[string]string{"ignore-gfp-wait": "N", "verbose": "0"} {
			if err := os.WriteFile(filepath.Join(debugfs, what, name), []byte(value), 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// A Thread is one whose allocations can fail.
type Thread struct {
	fd int
}

// Open opens the calling thread's file; the goroutine has to be locked to it (runtime.LockOSThread) until Close.
func Open() (Thread, error) {
	fd, err := unix.Open(Path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return Thread{}, fmt.Errorf("open %s: %w", Path, err)
	}
	return Thread{fd}, nil
}

// Arm has the nth allocation from now on fail, where 1 is the next.
func (t Thread) Arm(n int) error {
	if n < 1 {
		return fmt.Errorf("arm %s: allocation %d: want 1 or more", Path, n)
	}
	return t.write(n)
}

// Disarm tells whether the allocation that Arm named has been asked for, and so has failed; from here on none fails.
func (t Thread) Disarm() (failed bool, err error) {
	var left [32]byte
	size, err := unix.Pread(t.fd, left[:], 0)
	if err := errors.Join(err, t.write(0)); err != nil {
		return false, fmt.Errorf("disarm %s: %w", Path, err)
	}
	return parse(string(left[:size]))
}

// parse reads what the file says: how many allocations are left until the one that fails, and 0 when it has failed.
func parse(s string) (failed bool, err error) {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 32)
	if err != nil {
		return false, fmt.Errorf("read %s: %w", Path, err)
	}
	return n == 0, nil
}

func (t Thread) write(n int) error {
	_, err := unix.Pwrite(t.fd, strconv.AppendInt(nil, int64(n), 10), 0)
	return err
}

// Close closes the file.
func (t Thread) Close() error { return unix.Close(t.fd) }
