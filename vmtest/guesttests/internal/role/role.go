// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package role makes other processes out of a test binary: each runs one function of it instead of the tests.
package role

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// Var is the variable of the environment that names a process's role.
const Var = "SERIES_ROLE"

// Roles are functions by name. What one prints is for the test; an error goes to standard error, and the status is 1.
type Roles map[string]func() error

// Main is for TestMain: it runs the tests, or plays a role, and exits.
func (r Roles) Main(m *testing.M) {
	name := os.Getenv(Var)
	if name == "" {
		os.Exit(m.Run())
	}
	os.Exit(r.play(name))
}

func (r Roles) play(name string) int {
	play, ok := r[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "no role %q\n", name)
		return 1
	}
	if err := play(); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		return 1
	}
	return 0
}

// Command is this binary in a process of its own; what the role needs to know is in env. Its standard error is this process's,
// and it has two threads for Go code at the most, so that what it costs depends little on the guest's CPUs.
func Command(name string, env ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(append(os.Environ(), Var+"="+name, "GOMAXPROCS=2"), env...)
	cmd.Stderr = os.Stderr
	return cmd
}
