// SPDX-License-Identifier: Apache-2.0

//go:build guest

package taskdiag

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seriesrig/series/internal/need"
	"github.com/seriesrig/series/vmtest/guesttests/internal/failnth"
	"github.com/seriesrig/series/vmtest/guesttests/internal/fork"
)

// slabs are how many objects of each kind the kernel has in use.
func slabs(t testing.TB) map[string]int {
	t.Helper()
	b, err := os.ReadFile("/proc/slabinfo")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]int{}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if n, err := strconv.Atoi(f[min(1, len(f)-1)]); err == nil {
			all[f[0]] = n
		}
	}
	if all["task_struct"] == 0 {
		t.Fatal("/proc/slabinfo: no task_struct in use")
	}
	return all
}

// shrink gives back slabs that are not in use, without which per-CPU lists count as use.
func shrink(t testing.TB) {
	t.Helper()
	caches, err := filepath.Glob("/sys/kernel/slab/*/shrink")
	if err != nil || len(caches) == 0 {
		t.Fatalf("/sys/kernel/slab has %d caches to shrink, %v", len(caches), err)
	}
	for _, file := range caches {
		os.WriteFile(file, []byte("1"), 0) // a cache may go meanwhile
	}
}

// What an answer that is not read to its end holds is let go: by the next request, by the end of the file, by GONE.
func TestNothingIsLeft(t *testing.T) {
	const rounds = 100
	d := open(t)
	parts := func(d *diag, pid int) {
		t.Helper()
		for _, r := range []request{
			newRequest(dumpOne, showAll, pid), newRequest(dumpThread, showAll, pid), newRequest(dumpChildren, showAll, os.Getpid()), newRequest(dumpAll, showAll, 0),
		} {
			if err := d.write(r.bytes()); err != nil {
				t.Fatal(err)
			}
			if _, err := d.read(700); err != nil {
				t.Fatal(err)
			}
		}
	}
	round := func() {
		t.Helper()
		c, err := fork.Start(fork.Options{}, call(unix.SYS_PPOLL))
		if err != nil {
			t.Fatal(err)
		}
		e, err := openDiag(diagPath, unix.O_RDWR)
		if err != nil {
			t.Fatal(err)
		}
		parts(d, c.PID)
		parts(e, c.PID)
		unix.Kill(c.PID, unix.SIGKILL)
		c.Wait() // its memory, too; that it was killed is no news
		if _, err := d.read(4096); err != nil {
			t.Fatal(err)
		}
		e.close()
	}
	for range 20 {
		round()
	}
	// What a CPU has at hand counts as used, which is thousands of small objects where a page has 64 KB: what is left behind
	// is left behind each time.
	var left map[string]string
	for range 3 {
		shrink(t)
		before := slabs(t)
		for range rounds {
			round()
		}
		time.Sleep(50 * time.Millisecond) // RCU takes its time
		shrink(t)
		grown := map[string]string{}
		for name, n := range slabs(t) {
			if _, again := left[name]; n-before[name] > rounds/2 && (left == nil || again) {
				grown[name] = fmt.Sprintf("%d, then %d", before[name], n)
			}
		}
		if left = grown; len(left) == 0 {
			return
		}
	}
	t.Errorf("%d rounds, three times, have left things behind: %v", rounds, left)
}

// Each allocation of open, write and read fails in its turn: that is ENOMEM, and nothing else happens.
func TestAllocationsFail(t *testing.T) {
	need.File(t, failnth.Path, "fault injection")
	if err := failnth.Prepare(); err != nil {
		t.Fatal(err)
	}
	cwd := unix.AT_FDCWD
	at := uintptr(cwd)
	path, err := unix.BytePtrFromString(diagPath)
	if err != nil {
		t.Fatal(err)
	}
	pid := child(t, 0)
	r, buf := newRequest(dumpOne, showAll, pid).bytes(), make([]byte, 1<<20)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	thread, err := failnth.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer thread.Close()
	opened, failed := 0, 0
	for n, injected := 1, true; injected; n++ {
		if n == 300 {
			t.Fatal("300 allocations, and still more")
		}
		if err := thread.Arm(n); err != nil {
			t.Fatal(err)
		}
		// No Go code that may allocate, from here on.
		fd, _, openErr := unix.RawSyscall6(unix.SYS_OPENAT, at, uintptr(unsafe.Pointer(path)), unix.O_RDWR|unix.O_CLOEXEC, 0, 0, 0)
		var writeErr, readErr syscall.Errno
		if openErr == 0 {
			_, _, writeErr = unix.RawSyscall(unix.SYS_WRITE, fd, uintptr(unsafe.Pointer(&r[0])), uintptr(len(r)))
			_, _, readErr = unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)))
			unix.RawSyscall(unix.SYS_CLOSE, fd, 0, 0)
		}
		if injected, err = thread.Disarm(); err != nil {
			t.Fatal(err)
		}
		for call, errno := range map[string]syscall.Errno{"open": openErr, "write": writeErr, "read": readErr} {
			if errno == 0 {
				continue
			}
			if failed++; errno != unix.ENOMEM {
				t.Errorf("allocation %d fails: %s: %v, want ENOMEM", n, call, errno)
			}
		}
		if openErr == 0 {
			opened++
		}
	}
	t.Logf("%d calls failed; the file was opened %d times", failed, opened)
	if failed < 2 || opened < 1 {
		t.Errorf("%d calls failed, the file was opened %d times: want at least 2 and 1", failed, opened)
	}
	if a := open(t).dump(t, dumpOne, showBase, pid); len(a.tasks) != 1 {
		t.Errorf("afterwards, tasks %v", a.pids())
	}
}
