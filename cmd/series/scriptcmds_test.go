// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdToolchain puts stand-ins for a compiler and its helpers into PATH, and nothing else that could take their place.
func cmdToolchain(ts *testscript.TestScript, neg bool, args []string) {
	bin := ts.MkAbs("bin")
	for _, name := range []string{"gcc", "ld", "as", "nm", "objcopy", "ar", "strip", "flex", "bison", "bc"} {
		ts.Check(os.Link(filepath.Join(bin, "tool"), filepath.Join(bin, name)))
	}
	for _, name := range []string{"sh", "cat", "ls", "mkdir", "sleep", "basename", "git", "rm", "env"} {
		path, err := exec.LookPath(name)
		ts.Check(err)
		ts.Check(os.Symlink(path, filepath.Join(bin, name)))
	}
	series, err := exec.LookPath("series")
	ts.Check(err)
	ts.Setenv("PATH", bin+":"+filepath.Dir(series))
}

// cmdAppears waits for a file that a process writes.
func cmdAppears(ts *testscript.TestScript, neg bool, args []string) {
	for range 200 {
		if b, err := os.ReadFile(ts.MkAbs(args[0])); err == nil && strings.HasSuffix(string(b), "\n") {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	ts.Fatalf("%s did not appear in 10s", args[0])
}

// cmdGone checks that the process whose id is in a file has ended.
func cmdGone(ts *testscript.TestScript, neg bool, args []string) {
	pid, err := strconv.Atoi(strings.TrimSpace(ts.ReadFile(args[0])))
	ts.Check(err)
	for range 100 {
		if !alive(pid) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	ts.Fatalf("process %d of %s is still there after 5s", pid, args[0])
}

// alive tells whether a process runs; one that only waits to be reaped does not.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	_, state, _ := strings.Cut(string(b), ") ")
	return !strings.HasPrefix(state, "Z")
}
