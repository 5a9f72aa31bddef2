// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || ppc64 || ppc64le)

package tiny

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func write(t *testing.T, name string, b []byte, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoop(t *testing.T) {
	b, err := Quit()
	quit := write(t, "quit", b, err)
	if out, err := exec.Command(quit).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("quit: %v, output %q, want nothing", err, out)
	}
	for name, l := range map[string]Loop{
		"fork":   {Batches: 3, Ops: 5, Flags: uint64(syscall.SIGCHLD)},
		"clone":  {Batches: 511, Ops: 1, Flags: syscall.CLONE_VM | syscall.CLONE_FS | uint64(syscall.SIGCHLD)},
		"full":   {Batches: 512, Ops: 1, Flags: syscall.CLONE_VM | syscall.CLONE_FS | uint64(syscall.SIGCHLD)},
		"silent": {Batches: 1, Ops: 2},
		"exec":   {Batches: 2, Ops: 2, Flags: syscall.CLONE_VM | syscall.CLONE_VFORK | uint64(syscall.SIGCHLD), Exec: quit},
	} {
		b, err := l.ELF()
		out, err := exec.Command(write(t, name, b, err)).Output()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if times, err := l.Times(out); err != nil || len(times) != l.Batches {
			t.Errorf("%s: %d times, %v, want %d", name, len(times), err, l.Batches)
		}
		if _, err := l.Times(out[1:]); err == nil {
			t.Errorf("%s: times that are cut off are no error", name)
		}
	}
}

func TestLoopFails(t *testing.T) {
	for name, l := range map[string]Loop{
		"child": {Batches: 1, Ops: 1, Flags: uint64(syscall.SIGCHLD), Exec: "/nonexistent"},
		"clone": {Batches: 1, Ops: 1, Flags: syscall.CLONE_SIGHAND}, // not without CLONE_VM
	} {
		b, err := l.ELF()
		_, err = exec.Command(write(t, name, b, err)).Output()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 {
			t.Errorf("%s: %v, want exit status 1", name, err)
		}
	}
	for _, l := range []Loop{{Ops: 1}, {Batches: 1}, {Batches: 1 << 20, Ops: 1}, {Batches: 1, Ops: 1, Exec: strings.Repeat("x", 5000)}} {
		if b, err := l.ELF(); err == nil {
			t.Errorf("program of %d batches of %d: %d bytes, want an error", l.Batches, l.Ops, len(b))
		}
	}
	if _, err := (Loop{Batches: 1}).Times(make([]byte, 2*timespec)); err == nil {
		t.Error("a batch that took no time is no error")
	}
}

func TestCrowd(t *testing.T) {
	const processes, threads = 3, 4
	b, err := Crowd{processes, threads}.ELF()
	cmd := exec.Command(write(t, "crowd", b, err))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	said := make([]byte, processes)
	if _, err := io.ReadFull(out, said); err != nil || string(said) != "yyy" {
		t.Fatalf("crowd: said %q, %v, want %d processes that are ready", said, err, processes)
	}
	main := fmt.Sprintf("/proc/%d/task/%[1]d", cmd.Process.Pid)
	children, err := os.ReadFile(main + "/children")
	if err != nil {
		t.Fatal(err)
	}
	pids := strings.Fields(string(children))
	if len(pids) != processes {
		t.Errorf("crowd: children %q, want %d", children, processes)
	}
	for _, pid := range pids {
		if tasks, err := os.ReadDir("/proc/" + pid + "/task"); err != nil || len(tasks) != threads {
			t.Errorf("crowd: process %s has %d threads, %v, want %d", pid, len(tasks), err, threads)
		}
	}
}

func TestCrowdRejects(t *testing.T) {
	for _, c := range []Crowd{{Processes: 1}, {Threads: 1}, {-1, 1}} {
		if b, err := c.ELF(); err == nil {
			t.Errorf("%+v: a program of %d bytes, want an error", c, len(b))
		}
	}
}
