// SPDX-License-Identifier: Apache-2.0

//go:build guest

package audittracepoints

import (
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/seriesrig/series/vmtest/guesttests/internal/failnth"
)

// attached says that audit is a probe of the entry event.
func attached() bool {
	symbols, err := os.ReadFile("/proc/kallsyms")
	return err == nil && strings.Contains(string(symbols), " audit_syscall_attach\n")
}

// injectHere is the thread of the calling test, for as long as that runs, with allocations that can fail.
func injectHere(t testing.TB) failnth.Thread {
	t.Helper()
	must(t, failnth.Prepare())
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	thread, err := failnth.Open()
	must(t, err)
	t.Cleanup(func() { must(t, thread.Close()) })
	return thread
}
