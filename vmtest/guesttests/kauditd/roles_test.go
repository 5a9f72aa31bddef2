// SPDX-License-Identifier: Apache-2.0

//go:build guest

package kauditd

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seriesrig/series/vmtest/guesttests/internal/audit"
	"github.com/seriesrig/series/vmtest/guesttests/internal/slowfile"
	"github.com/seriesrig/series/vmtest/guesttests/internal/uring"
)

var stdin = bufio.NewReader(os.Stdin)

// ready tells the test that the role is prepared, and waits until it may begin.
func ready() error {
	fmt.Println("ready")
	_, err := stdin.ReadString('\n')
	return err
}

// play plays a role in a child process.
func play(role string, args []string) error {
	switch role {
	case "load":
		return playLoad(args)
	case "user":
		return playUser(args)
	case "exec":
		return playExec(args)
	case "exit":
		fmt.Println("done")
		return nil
	case "auditd":
		return playAuditd(args)
	case "slowfile":
		return playSlowfile(args)
	case "title":
		return playTitle(args)
	case "spin":
		return playSpin()
	case "listener":
		return playListener()
	case "seccomp":
		return playSeccomp()
	case "uring":
		return playUring(args)
	}
	return fmt.Errorf("no such role")
}

// playUser becomes user UID and makes all kinds of syscalls until it is killed, printing a line ten times a second.
func playUser(args []string) error {
	uid, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	if err := ready(); err != nil {
		return err
	}
	if err := syscall.Setuid(uid); err != nil {
		return err
	}
	for next := time.Now(); ; {
		unix.Getpriority(unix.PRIO_PROCESS, 0)
		if fd, err := unix.Open("/proc/self/stat", unix.O_RDONLY, 0); err == nil {
			unix.Read(fd, make([]byte, 64))
			unix.Close(fd)
		}
		if time.Now().After(next) {
			fmt.Println("alive")
			next = time.Now().Add(100 * time.Millisecond)
		}
	}
}

// playExec runs this binary again, with BYTES of arguments, in the role that only says "done".
func playExec(args []string) error {
	size, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	argv := []string{"again"}
	for ; size > 0; size -= 4096 {
		argv = append(argv, strings.Repeat("x", 4095))
	}
	if err := ready(); err != nil {
		return err
	}
	return syscall.Exec("/proc/self/exe", argv, []string{roleVar + "=exit"})
}

// playAuditd is auditd, with a receive buffer of BYTES, until it is killed. It prints the number of records that it has
// got when asked to.
func playAuditd(args []string) error {
	size, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	ctl, err := audit.NewControl()
	if err != nil {
		return err
	}
	reader, err := ctl.AuditdBuffer(size)
	if err != nil {
		return err
	}
	for {
		if err := ready(); err != nil {
			return err
		}
		fmt.Println(reader.Len())
	}
}

// playSlowfile serves a slow file in DIR, which can be read once it is told to go.
func playSlowfile(args []string) error {
	s, err := slowfile.Mount(args[0])
	if err != nil {
		return err
	}
	told := make(chan error)
	go func() { told <- ready() }()
	return s.Serve(func() {
		fmt.Println("asked")
		if err := <-told; err != nil {
			os.Exit(1)
		}
		close(told)
	})
}

// playTitle takes the slow file SLOW for its command line, which the kernel logs, and opens PATH.
func playTitle(args []string) error {
	runtime.LockOSThread()
	slow, path := args[0], args[1]
	fd, err := unix.Open(slow, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	b, err := unix.Mmap(fd, 0, slowfile.Size, unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return fmt.Errorf("map %s: %w", slow, err)
	}
	start := uintptr(unsafe.Pointer(&b[0]))
	for _, set := range [][2]uintptr{{unix.PR_SET_MM_ARG_START, start}, {unix.PR_SET_MM_ARG_END, start + slowfile.Size}} {
		if err := unix.Prctl(unix.PR_SET_MM, set[0], set[1], 0, 0); err != nil {
			return fmt.Errorf("set the command line: %w", err)
		}
	}
	if err := ready(); err != nil {
		return err
	}
	fmt.Println(time.Now().UnixNano())
	if err := calls["openat"](path); err != nil {
		return err
	}
	fmt.Println("done")
	return nil
}

// playSpin keeps every CPU from being idle until it is killed, at a priority that gives way to everything else.
func playSpin() error {
	var spins atomic.Uint64
	for range runtime.NumCPU() {
		started := make(chan error)
		go func() {
			runtime.LockOSThread()
			started <- unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE}, 0)
			for spins.Add(1) > 0 { // never stops within anybody's patience
			}
		}()
		if err := <-started; err != nil {
			return err
		}
	}
	return ready()
}

// playListener opens a multicast socket, and closes it the next time it is told to go, and so on.
func playListener() error {
	if err := ready(); err != nil {
		return err
	}
	for {
		fmt.Println(time.Now().UnixNano())
		l, err := audit.Dial(true, 0)
		if err != nil {
			return err
		}
		if _, err := stdin.ReadString('\n'); err != nil {
			return err
		}
		fmt.Println(time.Now().UnixNano())
		if err := l.Close(); err != nil {
			return err
		}
		if _, err := stdin.ReadString('\n'); err != nil {
			return err
		}
	}
}

// playSeccomp has the kernel log each clock_nanosleep, and then calls it for longer than anyone waits.
func playSeccomp() error {
	runtime.LockOSThread()
	if err := ready(); err != nil {
		return err
	}
	if err := logSyscall(unix.SYS_CLOCK_NANOSLEEP); err != nil {
		return err
	}
	for {
		fmt.Println(time.Now().UnixNano())
		unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &unix.Timespec{Sec: 3600}, nil)
	}
}

// logSyscall installs a seccomp filter for this thread that logs one syscall and allows it and all others.
func logSyscall(nr uint32) error {
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // struct seccomp_data begins with the number
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 0, Jf: 1, K: nr},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_LOG},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	return seccomp(&prog)
}

func seccomp(prog *unix.SockFprog) error {
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(prog)))
	if errno != 0 {
		return errno
	}
	return nil
}

// playUring opens PATH COUNT times through io_uring. In MODE async a worker thread does it, one after another. In MODE
// inline io_uring_enter does it itself and then waits for a second result, which never comes.
func playUring(args []string) error {
	path, mode := args[0], args[2]
	count, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	ring, err := uring.New(8)
	if err != nil {
		return err
	}
	if err := ready(); err != nil {
		return err
	}
	if mode == "inline" {
		if err := ring.Open(path, false); err != nil {
			return err
		}
		fmt.Println(time.Now().UnixNano())
		return ring.Enter(1, 2)
	}
	for range count {
		if err := ring.Open(path, true); err != nil {
			return err
		}
		if err := ring.Enter(1, 1); err != nil {
			return err
		}
		fd, ok := ring.Result()
		if !ok || fd < 0 {
			return fmt.Errorf("open %s: result %d, there: %v", path, fd, ok)
		}
		ring.Forget()
		unix.Close(fd)
	}
	fmt.Println(time.Now().UnixNano())
	// A worker's exit is not what the last record may wait for.
	_, err = stdin.ReadString('\n')
	return err
}
