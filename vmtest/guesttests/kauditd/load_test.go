// SPDX-License-Identifier: Apache-2.0

//go:build guest

package kauditd

import (
	"encoding/json"
	"fmt"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A load is what a child does to be audited: syscalls, one after another, in one or more threads.
type load struct {
	Call    string        // a name from calls
	Path    string        // the file that the syscalls are about
	Threads int           // 0 means 1
	Count   int           // of syscalls, in each thread; 0 means without end
	Pause   time.Duration // after each syscall
	CPU     int           // to run on; the first is 1, and 0 means any
}

// A toll is what the syscalls of a load took.
type toll struct {
	Slowest time.Duration
	Total   time.Duration
}

// load starts a child with a load, which is ready when load returns.
func (r *rig) load(l load) *child {
	r.Helper()
	b, err := json.Marshal(l)
	if err != nil {
		r.Fatal(err)
	}
	return r.spawn("load", string(b))
}

// toll waits for the end of a child's load.
func (c *child) toll() (t toll) {
	c.rig.Helper()
	line := c.line()
	if err := json.Unmarshal([]byte(line), &t); err != nil {
		c.rig.Fatalf("child %d said %q: %v", c.cmd.Process.Pid, line, err)
	}
	c.wait()
	return t
}

// playLoad is the child of a load.
func playLoad(args []string) error {
	var l load
	if err := json.Unmarshal([]byte(args[0]), &l); err != nil {
		return err
	}
	call, ok := calls[l.Call]
	if !ok {
		return fmt.Errorf("no syscall %q", l.Call)
	}
	threads := max(l.Threads, 1)
	var started, ended sync.WaitGroup
	begin := make(chan bool)
	tolls, errs := make([]toll, threads), make([]error, threads)
	for i := range threads {
		started.Add(1)
		ended.Add(1)
		go func() {
			defer ended.Done()
			runtime.LockOSThread() // an audit context belongs to a thread
			if l.CPU > 0 {
				errs[i] = pin(0, l.CPU)
			}
			started.Done()
			<-begin
			if errs[i] == nil {
				tolls[i], errs[i] = l.run(call)
			}
		}()
	}
	started.Wait()
	if err := ready(); err != nil {
		return err
	}
	close(begin)
	ended.Wait()
	var sum toll
	for i := range threads {
		if errs[i] != nil {
			return errs[i]
		}
		sum.Slowest = max(sum.Slowest, tolls[i].Slowest)
		sum.Total += tolls[i].Total
	}
	b, err := json.Marshal(sum)
	fmt.Println(string(b))
	return err
}

func (l load) run(call func(string) error) (t toll, err error) {
	pause := unix.NsecToTimespec(l.Pause.Nanoseconds())
	for n := 0; l.Count == 0 || n < l.Count; n++ {
		start := time.Now()
		err := call(l.Path)
		took := time.Since(start)
		if err != nil {
			return t, err
		}
		t.Total += took
		t.Slowest = max(t.Slowest, took)
		if l.Pause > 0 {
			unix.Nanosleep(&pause, nil)
		}
	}
	return t, nil
}

// pin keeps a thread on a CPU; the first is 1.
func pin(tid, cpu int) error {
	var set unix.CPUSet
	set.Set(cpu - 1)
	return unix.SchedSetaffinity(tid, &set)
}

// calls are the syscalls that playSyscalls can make, by the names that rules have for them.
var calls = map[string]func(path string) error{
	// SYSCALL, CWD, PATH, PROCTITLE, EOE
	"openat": func(path string) error {
		fd, err := unix.Openat(unix.AT_FDCWD, path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		return unix.Close(fd)
	},
	// SYSCALL, PROCTITLE, EOE
	"getppid": func(string) error {
		_, _, errno := unix.RawSyscall(unix.SYS_GETPPID, 0, 0, 0)
		if errno != 0 {
			return errno
		}
		return nil
	},
	// SYSCALL, CWD, three or four PATH, PROCTITLE, EOE
	"linkat": func(path string) error {
		name := fmt.Sprintf("%s.%d", path, unix.Gettid())
		if err := unix.Linkat(unix.AT_FDCWD, path, unix.AT_FDCWD, name, 0); err != nil {
			return err
		}
		return unix.Unlink(name)
	},
}
