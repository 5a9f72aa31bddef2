// SPDX-License-Identifier: Apache-2.0

//go:build guest

package taskdiag

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seriesrig/series/vmtest/guesttests/internal/fork"
	"github.com/seriesrig/series/vmtest/guesttests/internal/tiny"
)

// Tasks to be looked at. A child makes its calls, and then pauses and does nothing any more.

func call(nr uintptr, args ...uintptr) fork.Call {
	c := fork.Call{Nr: nr}
	copy(c.Args[:], args)
	return c
}

// child starts a process with these calls, waits until it has made all but the last one, which it does not come back
// from, and kills it at the end of the test. A call that fails is the test's failure.
func child(t testing.TB, flags uint64, calls ...fork.Call) int {
	t.Helper()
	return childThatMay(t, flags, nil, calls...)
}

// childThatMay lets those calls fail that may says, by number of the call.
func childThatMay(t testing.TB, flags uint64, may map[int]bool, calls ...fork.Call) int {
	t.Helper()
	c, err := fork.Start(fork.Options{Flags: flags}, append(calls, call(unix.SYS_PPOLL))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(t, c.PID) })
	last := len(calls) - 1
	eventually(t, "a child makes its calls", func() bool {
		return last < 0 || *(*bool)(unsafe.Pointer(&c.Calls[last].Done))
	})
	for i := range calls {
		if err := c.Calls[i].Err(); err != nil && !may[i] {
			t.Fatalf("child %d: call %d, number %d: %v", c.PID, i, c.Calls[i].Nr, err)
		}
	}
	eventually(t, "a child sleeps", func() bool {
		f, err := procFields(fmt.Sprintf("/proc/%d", c.PID))
		return err == nil && strings.Contains("StT", f["state"])
	})
	return c.PID
}

// kill ends a child and waits for it.
func kill(t testing.TB, pid int) {
	t.Helper()
	unix.Kill(pid, unix.SIGKILL)
	for {
		_, err := unix.Wait4(pid, nil, unix.WALL, nil)
		if err == nil || err == unix.ECHILD {
			return
		}
		if err != unix.EINTR {
			t.Errorf("wait for child %d: %v", pid, err)
			return
		}
	}
}

// patience is how long anything may take.
const patience = 20 * time.Second

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for start := time.Now(); !ok(); time.Sleep(time.Millisecond) {
		if time.Since(start) > patience {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// pin returns the address of a copy of v that stays where it is, as long as the process.
func pin[T any](v T) uintptr {
	p := &v
	pinned.Pin(p)
	return uintptr(unsafe.Pointer(p))
}

// pinText is pin for text, with a zero byte at its end.
func pinText(s string) uintptr {
	b := append([]byte(s), 0)
	pinned.Pin(&b[0])
	return uintptr(unsafe.Pointer(&b[0]))
}

var pinned runtime.Pinner

// credentials are calls that make all of a task's IDs and sets of capabilities different from each other, where they can
// be.
func credentials() []fork.Call {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	sets := [2]unix.CapUserData{{
		Effective:   1 << unix.CAP_CHOWN,
		Permitted:   1<<unix.CAP_CHOWN | 1<<unix.CAP_KILL | 1<<unix.CAP_SETUID,
		Inheritable: 1<<unix.CAP_KILL | 1<<unix.CAP_SETUID,
	}, {
		Permitted: 1 << (unix.CAP_SYSLOG - 32),
	}}
	return []fork.Call{
		call(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, unix.CAP_SYS_TIME),
		call(unix.SYS_PRCTL, unix.PR_SET_KEEPCAPS, 1),
		call(unix.SYS_SETRESGID, 1001, 1002, 1003),
		call(unix.SYS_SETFSGID, 1003),
		call(unix.SYS_SETRESUID, 2001, 2002, 2003),
		call(unix.SYS_SETFSUID, 2003),
		call(unix.SYS_CAPSET, pin(header), pin(sets)),
		call(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, unix.CAP_KILL),
	}
}

// forever is a test whose processes and files stay, for others.
type forever struct{ testing.TB }

func (forever) Cleanup(func()) {}

func (f forever) TempDir() string {
	dir, err := os.MkdirTemp("", "taskdiag")
	if err != nil {
		f.Fatal(err)
	}
	return dir
}

var shared map[int]string

// targets are processes that have something special each: what, by pid. All tests share them.
func targets(t testing.TB) map[int]string {
	t.Helper()
	if shared == nil {
		shared = startTargets(forever{t})
	}
	return maps.Clone(shared)
}

// target is the one of them that has this.
func target(t testing.TB, what string) int {
	t.Helper()
	for pid, w := range targets(t) {
		if w == what {
			return pid
		}
	}
	t.Fatalf("no target %q", what)
	return 0
}

func startTargets(t testing.TB) map[int]string {
	t.Helper()
	// The thread that forks is the tracer of a child; Go keeps it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	fifo, other := pin(struct{ Priority int32 }{7}), pin(struct{ Priority int32 }{})
	mask := pin(uint64(1<<(unix.SIGUSR1-1) | 1<<39 | 1<<63))
	ignore := pin([8]uintptr{1}) // struct sigaction with SIG_IGN
	all := map[int]string{
		child(t, 0):                               "plain",
		child(t, 0, credentials()...):             "credentials",
		child(t, 0, call(unix.SYS_SETSID)):        "session",
		child(t, 0, call(unix.SYS_SETPGID, 0, 0)): "process group",
		child(t, 0, call(unix.SYS_SCHED_SETSCHEDULER, 0, unix.SCHED_FIFO, fifo)):                                                        "real time",
		child(t, 0, call(unix.SYS_SETPRIORITY, unix.PRIO_PROCESS, 0, 5), call(unix.SYS_SCHED_SETSCHEDULER, 0, unix.SCHED_BATCH, other)): "batch",
		child(t, 0, call(unix.SYS_PRCTL, unix.PR_SET_NAME, pinText("a) b\n(\\ c d e f"))):                                               "name",
	}
	signals := child(t, 0, call(unix.SYS_RT_SIGPROCMASK, 0, mask, 0, 8), call(unix.SYS_RT_SIGACTION, uintptr(unix.SIGHUP), ignore, 0, 8))
	all[signals] = "signals"
	if err := unix.Tgkill(signals, signals, unix.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	stopped := child(t, 0)
	all[stopped] = "stopped"
	traced := child(t, 0, call(unix.SYS_PTRACE, uintptr(unix.PTRACE_TRACEME)))
	all[traced] = "traced"
	zombie := child(t, 0)
	all[zombie] = "zombie"
	for pid, sig := range map[int]syscall.Signal{stopped: unix.SIGSTOP, traced: unix.SIGSTOP, zombie: unix.SIGKILL} {
		if err := unix.Kill(pid, sig); err != nil {
			t.Fatal(err)
		}
	}
	for pid, state := range map[int]string{stopped: "T", traced: "t", zombie: "Z"} {
		eventually(t, all[pid], func() bool {
			f, err := procFields(fmt.Sprintf("/proc/%d", pid))
			return err == nil && f["state"] == state
		})
	}
	all[terminal(t)] = "terminal"
	all[mapped(t)] = "mappings"
	return all
}

// terminal starts a child that leads a session with a terminal.
func terminal(t testing.TB) int {
	t.Helper()
	os.MkdirAll("/dev/pts", 0o755)
	unix.Mount("devpts", "/dev/pts", "devpts", 0, "") // it may be there already: opening tells
	ptmx, err := unix.Open("/dev/pts/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatalf("open /dev/pts/ptmx: %v", err)
	}
	t.Cleanup(func() { unix.Close(ptmx) })
	n, err := unix.IoctlGetInt(ptmx, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(ptmx, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatalf("pseudo terminal: %v", err)
	}
	tty, err := unix.Open(fmt.Sprintf("/dev/pts/%d", n), unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(tty) })
	return child(t, 0, call(unix.SYS_SETSID), call(unix.SYS_IOCTL, uintptr(tty), unix.TIOCSCTTY, 0))
}

// mapped starts a child with mappings of all kinds, which are the places of the map.
func mapped(t testing.TB) int {
	t.Helper()
	page := uintptr(os.Getpagesize())
	const room = 64 << 20
	hole, err := unix.MmapPtr(-1, 0, nil, room, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.MunmapPtr(hole, room) })
	file := func(name string, remove bool) uintptr {
		t.Helper()
		path := filepath.Join(t.TempDir(), name)
		fd, err := unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600) // no os.File: that would be closed when it is garbage
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		if _, err := unix.Write(fd, make([]byte, 16*page)); err != nil {
			t.Fatal(err)
		}
		if remove {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
		return uintptr(fd)
	}
	const (
		rw     = unix.PROT_READ | unix.PROT_WRITE
		anon   = unix.MAP_ANONYMOUS | unix.MAP_FIXED
		write  = unix.MADV_POPULATE_WRITE
		nofile = ^uintptr(0)
		huge   = 4 << 20
	)
	at := (uintptr(hole) + huge - 1) &^ (huge - 1)
	var calls []fork.Call
	piece := func(prot, flags, fd, offset, pages uintptr, then ...fork.Call) {
		calls = append(calls, call(unix.SYS_MMAP, at, pages*page, prot, flags|unix.MAP_FIXED, fd, offset))
		for _, c := range then {
			c.Args[0] += at // advice and locking say where behind it
			calls = append(calls, c)
		}
		at += (pages + 1) * page
	}
	naming := call(unix.SYS_PRCTL, unix.PR_SET_VMA, unix.PR_SET_VMA_ANON_NAME, at, 4*page, pinText("some name"))
	piece(rw, unix.MAP_PRIVATE|anon, nofile, 0, 4, call(unix.SYS_MADVISE, page, 2*page, write))
	calls = append(calls, naming)
	piece(rw, unix.MAP_SHARED|anon, nofile, 0, 8, call(unix.SYS_MADVISE, 0, 3*page, write))
	piece(unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE, file("plain", false), 2*page, 5, call(unix.SYS_MADVISE, 0, 2*page, unix.MADV_POPULATE_READ))
	piece(rw, unix.MAP_SHARED, file("with\nnewline and space", true), 0, 5, call(unix.SYS_MADVISE, 0, 2*page, write))
	piece(rw, unix.MAP_PRIVATE, file(`with\backslash`, true), 0, 3, call(unix.SYS_MADVISE, 0, 2*page, write))
	piece(unix.PROT_READ, unix.MAP_PRIVATE, deep(t), 0, 1)
	piece(rw, unix.MAP_PRIVATE|anon, nofile, 0, 6, call(unix.SYS_MLOCK, 0, 3*page))
	piece(rw, unix.MAP_PRIVATE|anon, nofile, 0, 6, call(unix.SYS_MADVISE, 0, 4*page, write), call(unix.SYS_MADVISE, 0, 2*page, unix.MADV_FREE))
	piece(unix.PROT_NONE, unix.MAP_PRIVATE|anon, nofile, 0, 2)
	at = (at + huge - 1) &^ (huge - 1)
	may := map[int]bool{len(calls) + 1: true} // a kernel without huge pages
	piece(rw, unix.MAP_PRIVATE|anon, nofile, 0, huge/page, call(unix.SYS_MADVISE, 0, huge, unix.MADV_HUGEPAGE), call(unix.SYS_MADVISE, 0, huge/2, write))
	if at > uintptr(hole)+room {
		t.Fatalf("mappings take more than %d bytes", room)
	}
	return childThatMay(t, 0, may, calls...)
}

// deep returns a file with a path that is longer than PATH_MAX.
func deep(t testing.TB) uintptr {
	t.Helper()
	fd, err := unix.Open(t.TempDir(), unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.Repeat("d", 250)
	for range 17 {
		err := unix.Mkdirat(fd, name, 0o700)
		if err != nil {
			t.Fatal(err)
		}
		next, err := unix.Openat(fd, name, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		unix.Close(fd)
		if err != nil {
			t.Fatal(err)
		}
		fd = next
	}
	file, err := unix.Openat(fd, "file", unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	unix.Close(fd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(file) })
	if err := unix.Ftruncate(file, 1<<20); err != nil {
		t.Fatal(err)
	}
	return uintptr(file)
}

// crowd starts processes that have so many threads each, and returns the pid of their parent.
func crowd(t testing.TB, processes, threads int) int {
	t.Helper()
	for name, n := range map[string]int{"threads-max": 2, "pid_max": 3} {
		if err := os.WriteFile("/proc/sys/kernel/"+name, fmt.Appendln(nil, n*(processes*threads+10000)), 0); err != nil {
			t.Fatal(err)
		}
	}
	b, err := tiny.Crowd{Processes: processes, Threads: threads}.ELF()
	if err != nil {
		t.Fatal(err)
	}
	pid, out := start(t, b)
	said := make([]byte, processes)
	if _, err := io.ReadFull(out, said); err != nil || bytes.IndexByte(said, tiny.Failed) >= 0 {
		t.Fatalf("a crowd of %d processes with %d threads: %v, %d failed", processes, threads, err, bytes.Count(said, []byte{tiny.Failed}))
	}
	return pid
}

// start starts a program, and kills it and what it started at the end of the test.
func start(t testing.TB, elf []byte) (pid int, out io.Reader) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, elf, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid = cmd.Process.Pid
	t.Cleanup(func() {
		unix.Kill(-pid, unix.SIGKILL)
		cmd.Wait()
		eventually(t, "a program and its children are gone", func() bool { return unix.Kill(-pid, 0) == unix.ESRCH })
	})
	return pid, out
}
