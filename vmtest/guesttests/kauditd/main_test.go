// SPDX-License-Identifier: Apache-2.0

//go:build guest

package kauditd

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seriesrig/series/vmtest/guesttests/internal/audit"
)

// hz is how many jiffies the kernel has to a second; times in an audit status are in jiffies.
var hz int

// TestMain runs the tests, or, in a child process of a test, plays the role that the test wants played.
func TestMain(m *testing.M) {
	if role := os.Getenv(roleVar); role != "" {
		if err := play(role, os.Args[1:]); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", role, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if err := prepare(); err != nil {
		fmt.Fprintf(os.Stderr, "kauditd tests: %v\n", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// prepare looks whether this is a place to run in, and keeps the kernel from printing records that have no reader: a
// serial console is slow. What is printed at warning level and above is still printed.
func prepare() error {
	cmdline, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	if !slices.Contains(strings.Fields(string(cmdline)), "audit=1") {
		return fmt.Errorf("no audit=1 on the kernel's command line: the hold queue would drop records")
	}
	if runtime.NumCPU() < 2 {
		return fmt.Errorf("%d CPU: with one, kauditd cannot run while a syscall does, and there is nothing to see", runtime.NumCPU())
	}
	ctl, err := audit.NewControl()
	if err != nil {
		return err
	}
	defer ctl.Close()
	status, err := ctl.GetStatus()
	if err != nil {
		return err
	}
	if status.PID != 0 {
		return fmt.Errorf("process %d is auditd: these tests are for a guest of their own", status.PID)
	}
	hz = int(status.BacklogWaitTime) / 60 // AUDIT_BACKLOG_WAIT_TIME is 60 * HZ
	if !slices.Contains([]int{100, 250, 300, 1000}, hz) {
		return fmt.Errorf("backlog wait time %d is not 60 s at any HZ: somebody has changed it", status.BacklogWaitTime)
	}
	return os.WriteFile("/proc/sys/kernel/printk", []byte("5"), 0)
}

// jiffies converts a time to what an audit status has.
func jiffies(d time.Duration) int { return int(d * time.Duration(hz) / time.Second) }

// duration converts jiffies of an audit status.
func duration(n uint32) time.Duration { return time.Duration(n) * time.Second / time.Duration(hz) }
