// SPDX-License-Identifier: Apache-2.0

//go:build guest

package taskwatchers

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const cgroups = "/tmp/cgroup"

// A cgroup is one of the second hierarchy, with the controllers pids and cpuset.
type cgroup struct {
	testing.TB
	dir string
	fd  int
}

func newCgroup(t testing.TB) *cgroup {
	t.Helper()
	if err := os.MkdirAll(cgroups, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("cgroup2", cgroups, "cgroup2", 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
		t.Fatalf("mount cgroup2: %v", err)
	}
	if err := os.WriteFile(cgroups+"/cgroup.subtree_control", []byte("+pids +cpuset"), 0); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(cgroups, "test")
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.Close(fd)
		eventually(t, "the cgroup is empty", func() bool { return os.Remove(dir) == nil })
	})
	return &cgroup{t, dir, fd}
}

func (g *cgroup) set(file, value string) {
	g.Helper()
	if err := os.WriteFile(filepath.Join(g.dir, file), []byte(value), 0); err != nil {
		g.Fatal(err)
	}
}

func read(t testing.TB, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}
