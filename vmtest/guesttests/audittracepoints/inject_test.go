// SPDX-License-Identifier: Apache-2.0

//go:build guest

package audittracepoints

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// attached says that audit is a probe of the entry event.
func attached() bool {
	symbols, err := os.ReadFile("/proc/kallsyms")
	return err == nil && strings.Contains(string(symbols), " audit_syscall_attach\n")
}

// injectHere has allocations fail that may wait, for as long as the test runs on its thread.
func injectHere(t testing.TB) {
	t.Helper()
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	const debugfs = "/sys/kernel/debug"
	if _, err := os.Stat(filepath.Join(debugfs, "failslab")); err != nil {
		must(t, unix.Mount("debugfs", debugfs, "debugfs", 0, ""))
	}
	for _, what := range []string{"failslab", "fail_page_alloc"} {
		for name, value := range map[string]string{"ignore-gfp-wait": "N", "verbose": "0"} {
			must(t, os.WriteFile(filepath.Join(debugfs, what, name), []byte(value), 0))
		}
	}
}
