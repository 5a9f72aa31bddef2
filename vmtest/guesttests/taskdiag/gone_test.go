// SPDX-License-Identifier: Apache-2.0

//go:build guest

package taskdiag

import (
	"fmt"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seriesrig/series/vmtest/guesttests/internal/fork"
	"github.com/seriesrig/series/vmtest/guesttests/internal/role"
)

// part reads a part of an answer, which ends in the middle of a task.
func part(t *testing.T, d *diag, r request, size int) *answer {
	t.Helper()
	if err := d.write(r.bytes()); err != nil {
		t.Fatal(err)
	}
	a := &answer{seq: r.Seq}
	b, err := d.read(size)
	if err == nil {
		err = a.add(b)
	}
	if err != nil || a.open == nil || len(a.open.VMAs) == 0 {
		t.Fatalf("the first %d bytes: %v, %+v: want a part of the mappings", size, err, a)
	}
	return a
}

// A task that ends, or becomes another program, while it is being shown is closed with GONE. What comes behind is not of
// whoever has its pid then.
func TestGone(t *testing.T) {
	for what, end := range map[string]func(t *testing.T, d *diag) (a *answer, pid int){
		"killed": func(t *testing.T, d *diag) (*answer, int) {
			pid := child(t, 0)
			a := part(t, d, newRequest(dumpOne, showAll, pid), 1024)
			kill(t, pid)
			return a, pid
		},
		"zombie": func(t *testing.T, d *diag) (*answer, int) {
			pid := child(t, 0)
			a := part(t, d, newRequest(dumpOne, showAll, pid), 1024)
			unix.Kill(pid, unix.SIGKILL)
			waitFor(t, pid, "state", "Z")
			return a, pid
		},
		"exec":       goneByExec,
		"pid reused": goneAndBack,
	} {
		t.Run(what, func(t *testing.T) {
			d := open(t)
			a, pid := end(t, d)
			vmas := len(a.open.VMAs)
			if err := d.rest(a, 65536); err != nil {
				t.Fatal(err)
			}
			if got := a.tasks[0]; len(a.tasks) != 1 || !got.Gone || len(got.VMAs) != vmas || a.err != 0 {
				t.Errorf("task %d: answer about %v, gone: %v, %d mappings, error %d; want GONE with %d mappings", pid, a.pids(), got.Gone, len(got.VMAs), a.err, vmas)
			}
		})
	}
}

// waitFor waits until a field of a process has a value.
func waitFor(t testing.TB, pid int, field, value string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s of process %d is %s", field, pid, value), func() bool {
		f, err := procFields(fmt.Sprintf("/proc/%d", pid))
		return err == nil && f[field] == value
	})
}

func goneByExec(t *testing.T, d *diag) (*answer, int) {
	var p [2]int
	if err := unix.Pipe(p[:]); err != nil {
		t.Fatal(err)
	}
	null, err := unix.Open(os.DevNull, unix.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, fd := range []int{p[0], p[1], null} {
			unix.Close(fd)
		}
	})
	argv, env := pin([2]uintptr{pinText("exe")}), pin([2]uintptr{pinText(role.Var + "=wait")})
	c, err := fork.Start(fork.Options{},
		call(unix.SYS_DUP3, uintptr(p[0]), 0, 0), call(unix.SYS_DUP3, uintptr(null), 1, 0),
		call(unix.SYS_READ, 0, pin([8]byte{}), 1), call(unix.SYS_EXECVE, pinText("/proc/self/exe"), argv, env))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(t, c.PID) })
	waitFor(t, c.PID, "state", "S")
	a := part(t, d, newRequest(dumpOne, showAll, c.PID), 1024)
	if _, err := unix.Write(p[1], []byte("x")); err != nil {
		t.Fatal(err)
	}
	waitFor(t, c.PID, "comm", "exe")
	return a, c.PID
}

// goneAndBack has the pid used again by another process, which is the same but for being another.
func goneAndBack(t *testing.T, d *diag) (*answer, int) {
	// The first 300 numbers are given once. With few others, those come again soon.
	t.Run("first numbers", func(t *testing.T) { crowd(t, 300, 1) })
	defer setMax(t, setMax(t, 330))
	pid := child(t, 0)
	a := part(t, d, newRequest(dumpOne, showAll, pid), 1024)
	kill(t, pid)
	for range 400 {
		c, err := fork.Start(fork.Options{}, call(unix.SYS_PPOLL))
		if err != nil {
			t.Fatal(err)
		}
		if c.PID == pid {
			t.Cleanup(func() { kill(t, pid) })
			return a, pid
		}
		kill(t, c.PID)
	}
	t.Fatalf("pid %d does not come again", pid)
	return nil, 0
}

// setMax sets how many pids there are, and returns how many there were.
func setMax(t testing.TB, n int) (before int) {
	t.Helper()
	const file = "/proc/sys/kernel/pid_max"
	b, err := os.ReadFile(file)
	if err == nil {
		_, err = fmt.Sscan(string(b), &before)
	}
	if err == nil {
		err = os.WriteFile(file, fmt.Append(nil, n), 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	return before
}

// A task that may not be looked at any more is gone, too.
func TestGoneByDumpable(t *testing.T) {
	var p [2]int
	if err := unix.Pipe(p[:]); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(p[0])
	defer unix.Close(p[1])
	c, err := fork.Start(fork.Options{},
		call(unix.SYS_SETRESGID, user, user, user), call(unix.SYS_SETRESUID, user, user, user), call(unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 1),
		call(unix.SYS_READ, uintptr(p[0]), pin([8]byte{}), 1), call(unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 0), call(unix.SYS_PPOLL))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(t, c.PID) })
	eventually(t, "a child is dumpable", func() bool { return c.Calls[2].Done })
	d := openAs(t, user, diagPath)
	a := part(t, d, newRequest(dumpOne, showVMA, c.PID), 1024)
	if _, err := unix.Write(p[1], []byte("x")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a child is not dumpable", func() bool { return c.Calls[4].Done })
	if err := d.rest(a, 65536); err != nil {
		t.Fatal(err)
	}
	if !a.tasks[0].Gone || a.err != 0 {
		t.Errorf("gone: %v, error %d; want GONE", a.tasks[0].Gone, a.err)
	}
}

// user is a user other than root.
const user = 1000

// openAs opens the file in a thread that is this user, without capabilities.
func openAs(t testing.TB, uid int, path string) *diag {
	t.Helper()
	type result struct {
		d   *diag
		err error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		id := uintptr(uid)
		for _, nr := range []uintptr{unix.SYS_SETRESGID, unix.SYS_SETRESUID} {
			if _, _, errno := unix.RawSyscall(nr, id, id, id); errno != 0 {
				done <- result{err: errno}
				return
			}
		}
		d, err := openDiag(path, unix.O_RDWR)
		done <- result{d, err}
	}()
	r := <-done
	if r.err != nil {
		t.Fatalf("as user %d: %v", uid, r.err)
	}
	t.Cleanup(r.d.close)
	return r.d
}
