// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seriesrig/series/internal/fakeqemu"
)

// leftovers checks, at the end of a test, that no child, descriptor or goroutine of it is left.
func leftovers(t testing.TB) {
	t.Helper()
	gc := debug.SetGCPercent(-1) // it would close the descriptors that were forgotten
	before := inventory()
	t.Cleanup(func() {
		defer debug.SetGCPercent(gc)
		var left []string
		for deadline := time.Now().Add(3 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			if left = missing(inventory(), before); len(left) == 0 {
				return
			}
		}
		t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
	})
}

func missing(now, before []string) (left []string) {
	have := map[string]int{}
	for _, x := range before {
		have[x]++
	}
	for _, x := range now {
		if have[x]--; have[x] < 0 {
			left = append(left, x)
		}
	}
	return left
}

// inventory lists this process's children and theirs, what its descriptors lead to, and the functions that its
// goroutines were started with.
func inventory() (all []string) {
	all = append(all, children(os.Getpid())...)
	cmdlines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range cmdlines {
		// Children of a QEMU that has gone are no longer ours.
		if b, err := os.ReadFile(path); err == nil && bytes.Contains(b, []byte(fakeqemu.OrphanMark(os.Getpid()))) {
			all = append(all, "orphan "+path)
		}
	}
	fds, _ := filepath.Glob("/proc/self/fd/*")
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && !strings.Contains(to, "/proc/") && !strings.HasPrefix(to, "anon_inode:") {
			all = append(all, "descriptor "+to)
		}
	}
	b := make([]byte, 1<<18)
	for _, stack := range bytes.Split(b[:runtime.Stack(b, true)], []byte("\n\n")) {
		lines := strings.Split(string(stack), "\n")
		last := lines[len(lines)-2:][0]
		if i := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "created by ") }); i >= 0 {
			last, _, _ = strings.Cut(lines[i], " in goroutine")
		}
		all = append(all, "goroutine "+last)
	}
	return all
}

func children(pid int) (all []string) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, stat := range stats {
		b, err := os.ReadFile(stat)
		if err != nil {
			continue
		}
		var child, parent int
		var state string
		fmt.Sscan(string(b), &child)
		if i := bytes.LastIndexByte(b, ')'); i >= 0 {
			fmt.Sscan(string(b[i+1:]), &state, &parent)
		}
		if parent == pid {
			all = append(all, fmt.Sprintf("child %d %s", child, state))
			all = append(all, children(child)...)
		}
	}
	return all
}
