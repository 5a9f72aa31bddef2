// SPDX-License-Identifier: Apache-2.0

//go:build guest

package taskwatchers

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// roleVar is the variable that makes this binary play a role instead of running tests.
const roleVar = "SERIES_TASKWATCHERS_ROLE"

// roles are what this binary does in a process of its own.
var roles = map[string]func() error{
	"ids":     func() error { return errors.Join(syscall.Setgid(1001), syscall.Setuid(1002)) },
	"allowed": allowed,
	"forks":   forks,
	"wait": func() error {
		_, err := io.Copy(io.Discard, os.Stdin)
		return err
	},
}

// TestMain runs the tests, or plays a role.
func TestMain(m *testing.M) {
	name := os.Getenv(roleVar)
	if name == "" {
		os.Exit(m.Run())
	}
	play, ok := roles[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "no role %q\n", name)
		os.Exit(1)
	}
	if err := play(); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func role(name string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), roleVar+"="+name, "GOMAXPROCS=2")
	cmd.Stderr = os.Stderr
	return cmd
}

// statusField returns a line of /proc/WHO/status.
func statusField(who, name string) (string, error) {
	file := "/proc/" + who + "/status"
	b, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(b)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value), nil
		}
	}
	return "", fmt.Errorf("%s: no %s", file, name)
}
