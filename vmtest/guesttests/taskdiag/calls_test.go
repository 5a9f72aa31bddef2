// SPDX-License-Identifier: Apache-2.0

//go:build guest

package taskdiag

import (
	"bytes"
	"fmt"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// callInfo is the start of struct ptrace_syscall_info.
type callInfo struct {
	Op     uint8
	_      [3]byte
	Arch   uint32
	IP, SP uint64
	Nr     uint64
}

const (
	ptraceGetSyscallInfo = 0x420e
	opEntry              = 1
)

// countCalls runs a program and counts the system calls of all of its threads, by number: those of Go's runtime, too. It
// is their tracer, and so it sees them all.
func countCalls(t *testing.T, stdout, stderr *bytes.Buffer, argv ...string) map[uint64]int {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true, Setpgid: true} // a group of its own: no other child is waited for
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	var ws unix.WaitStatus
	if _, err := unix.Wait4(pid, &ws, unix.WALL, nil); err != nil || !ws.Stopped() {
		t.Fatalf("start %s: %v, wait status %#x", argv[0], err, uint32(ws))
	}
	if err := unix.PtraceSetOptions(pid, unix.PTRACE_O_TRACESYSGOOD|unix.PTRACE_O_TRACECLONE|unix.PTRACE_O_EXITKILL); err != nil {
		t.Fatal(err)
	}
	calls, known := map[uint64]int{}, map[int]bool{pid: true}
	tid, sig := pid, 0
	for {
		// ESRCH, here and below, is of a thread that another one has ended meanwhile.
		if err := unix.PtraceSyscall(tid, sig); err != nil && err != unix.ESRCH {
			t.Fatal(err)
		}
		var err error
		for tid, err = unix.Wait4(-pid, &ws, unix.WALL, nil); err == unix.EINTR; {
			tid, err = unix.Wait4(-pid, &ws, unix.WALL, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		sig = 0
		switch {
		case ws.Exited() || ws.Signaled():
			if tid != pid {
				continue
			}
			if ws.ExitStatus() != 0 {
				t.Fatalf("%q: wait status %#x: %s", argv, uint32(ws), stderr)
			}
			cmd.Wait() // there is nothing to wait for but what copies its output
			return calls
		case ws.StopSignal() == unix.SIGTRAP|0x80:
			var info callInfo
			_, _, errno := unix.Syscall6(unix.SYS_PTRACE, ptraceGetSyscallInfo, uintptr(tid), unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0)
			if errno != 0 && errno != unix.ESRCH {
				t.Fatal(errno)
			}
			if errno == 0 && info.Op == opEntry {
				calls[info.Nr]++
			}
		case ws.TrapCause() > 0:
		case ws.StopSignal() == unix.SIGSTOP && !known[tid]: // a thread's first one
		default:
			sig = int(ws.StopSignal())
		}
		known[tid] = true
	}
}

// What ps does with /proc is three system calls a process, and with task_diag a few for all of them. What its -count says,
// and with it the benchmarks, is what a tracer sees.
func TestCalls(t *testing.T) {
	const processes = 150
	crowd(t, processes, 1)
	type run struct {
		calls     map[uint64]int
		listed    int // processes
		said, all int
	}
	list := func(from string) run {
		var stdout, stderr bytes.Buffer
		r := run{calls: countCalls(t, &stdout, &stderr, psProgram, from, "-count", "-o", "pid,ppid")}
		r.listed = bytes.Count(stdout.Bytes(), []byte("\n")) - 1
		if _, err := fmt.Sscanf(stderr.String(), "ps: %d system calls", &r.said); err != nil {
			t.Fatalf("ps said %q: %v", stderr.String(), err)
		}
		for _, n := range r.calls {
			r.all += n
		}
		return r
	}
	text, diag := list("-proc"), list("-task-diag")
	t.Logf("/proc: %d processes, %d system calls, of them %d to read; task_diag: %d processes, %d and %d",
		text.listed, text.all, text.said, diag.listed, diag.all, diag.said)
	if text.listed < processes || diag.listed < processes {
		t.Fatalf("%d and %d processes, want %d at least", text.listed, diag.listed, processes)
	}
	// What both do is the start of a Go program, which reads files as well.
	more := func(nr uint64) int { return text.calls[nr] - diag.calls[nr] }
	dents := text.calls[unix.SYS_GETDENTS64]
	for name, c := range map[string]struct{ got, want int }{
		"open":     {more(unix.SYS_OPENAT), text.listed},
		"read":     {more(unix.SYS_READ), text.listed - (diag.said - 1)},
		"close":    {more(unix.SYS_CLOSE), text.listed},
		"getdents": {diag.calls[unix.SYS_GETDENTS64], 0},
		"count":    {text.said, 1 + 1 + dents + 3*text.listed}, // open and lseek of /proc
	} {
		if c.got != c.want {
			t.Errorf("%s: %d, want %d", name, c.got, c.want)
		}
	}
	// The request and one read, or more where a signal, as those of Go's own, ended one early.
	if diag.said < 2 || diag.said > 10 {
		t.Errorf("task_diag: %d system calls to read, want 2 to 10", diag.said)
	}
	if diag.all > text.all {
		t.Errorf("task_diag: %d system calls in all, and /proc %d: want fewer", diag.all, text.all)
	}
}
