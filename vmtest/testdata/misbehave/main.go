// SPDX-License-Identifier: Apache-2.0

// Command misbehave does to a guest what the tests of package vmtest need done.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

func main() {
	if os.Getpid() == 1 {
		spin(time.Hour) // as init
	}
	switch os.Args[1] {
	case "crash":
		write("/proc/sysrq-trigger", "c")
	case "freeze":
		freeze(1)
	case "forge":
		// A program of the guest that writes to the agent's port speaks in its name.
		write("/dev/vport0p1", "SRG1 done, all passed, honest")
	case "sleep":
		signal.Ignore(syscall.SIGQUIT)
		time.Sleep(time.Hour)
	case "nothing":
	case "patch-code":
		d, err := time.ParseDuration(os.Args[2])
		if err == nil {
			err = patchCode(d)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case "print":
		n, _ := strconv.Atoi(os.Args[2])
		line := make([]byte, 1000)
		for i := range line {
			line[i] = 0xfe // not UTF-8
		}
		line[999] = '\n'
		for range n {
			os.Stdout.Write(line)
		}
	}
}

func write(path, text string) {
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func spin(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
	}
}

// freeze stops all threads of a process, and waits.
func freeze(pid int) {
	runtime.LockOSThread() // who traces is a thread
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for _, t := range tasks {
		tid, _ := strconv.Atoi(t.Name())
		if err := syscall.PtraceAttach(tid); err != nil {
			fmt.Fprintln(os.Stderr, "ptrace:", err)
			os.Exit(1)
		}
	}
	time.Sleep(time.Hour)
}
