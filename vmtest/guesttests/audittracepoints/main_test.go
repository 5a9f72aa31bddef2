// SPDX-License-Identifier: Apache-2.0

//go:build guest

package audittracepoints

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/seriesrig/series/vmtest/guesttests/internal/tracefs"
)

// The events of the series, and those of the kernel that they are compared with.
const (
	entryEvent = "audit/audit_syscall_entry"
	exitEvent  = "audit/audit_syscall_exit"
	rawEnter   = "raw_syscalls/sys_enter"
	rawExit    = "raw_syscalls/sys_exit"
)

// outside says that tasks without an audit context have events, too.
var outside bool

func TestMain(m *testing.M) {
	if err := prepare(); err != nil {
		fmt.Fprintf(os.Stderr, "tests of audit's trace events: %v\n", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// prepare keeps the kernel from printing records that have no reader, as a serial console is slow, and finds out what it is.
// What is printed at warning level and above is still printed.
func prepare() error {
	symbols, err := os.ReadFile("/proc/kallsyms")
	if err != nil {
		return err
	}
	outside = strings.Contains(string(symbols), " __audit_trace_syscall_entry\n")
	if err := tracefs.Mount(); err != nil {
		return err
	}
	return os.WriteFile("/proc/sys/kernel/printk", []byte("5"), 0)
}

// events are those of the series that the kernel has. A kernel without any fails the test.
func events(t testing.TB) []string {
	t.Helper()
	wants(t, entryEvent)
	if tracefs.Exists(exitEvent) {
		return []string{entryEvent, exitEvent}
	}
	return []string{entryEvent}
}

func wants(t testing.TB, event string) {
	t.Helper()
	if !tracefs.Exists(event) {
		t.Fatalf("the kernel has no trace event %s", event)
	}
}

// instance is a trace for the rest of the test.
func instance(t testing.TB) *tracefs.Instance {
	t.Helper()
	i, err := tracefs.New(strings.ToLower(t.Name()), 512)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	})
	return i
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
