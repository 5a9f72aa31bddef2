// SPDX-License-Identifier: Apache-2.0

package guest_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seriesrig/series/vmtest/guest"
	"github.com/seriesrig/series/vmtest/guest/agent"
)

// agentVar has the test binary be the agent. The agent starts itself again, under another name, to set limits.
const agentVar = "SERIES_TEST_AGENT"

func TestMain(m *testing.M) {
	if os.Getenv(agentVar) != "" || os.Args[0] == "series-limit" {
		os.Exit(agent.Main())
	}
	os.Exit(m.Run())
}

// A rig is the real agent, as a process of its own, at the other end of a socket.
type rig struct {
	*guest.Conn
	cmd  *exec.Cmd
	wire *wire
	gone chan struct{} // closed when the agent's process has ended
	said *bytes.Buffer // what the agent printed, which would be on the console; look at it when it is gone
}

// A wire is our end of the socket. With keep it outlives the Conn that closes it, as a guest does that is saved.
type wire struct {
	net.Conn
	keep atomic.Bool
}

func (w *wire) Close() error {
	if w.keep.Load() {
		return w.SetReadDeadline(time.Now())
	}
	return w.Conn.Close()
}

// socketpair returns our end, and the other as a file for a child.
func socketpair(t testing.TB) (net.Conn, *os.File) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours := os.NewFile(uintptr(fds[0]), "host")
	conn, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		t.Fatal(err)
	}
	return conn, os.NewFile(uintptr(fds[1]), "guest")
}

func startAgent(t *testing.T, args ...string) *rig {
	t.Helper()
	checkLeaks(t)
	sock, theirs := socketpair(t)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{cmd: exec.Command(exe, append([]string{"-fd", "3"}, args...)...), wire: &wire{Conn: sock}, gone: make(chan struct{}), said: new(bytes.Buffer)}
	r.cmd.ExtraFiles = []*os.File{theirs}
	r.cmd.Env = append(os.Environ(), agentVar+"=1")
	r.cmd.Stderr = r.said
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	go func() {
		r.cmd.Wait()
		close(r.gone)
	}()
	r.Conn = guest.NewConn(r.wire)
	t.Cleanup(func() {
		r.Close()
		select {
		case <-r.gone:
		case <-time.After(10 * time.Second):
			t.Error("the agent did not end when its host was gone")
			r.cmd.Process.Kill()
			<-r.gone
		}
	})
	return r
}

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// checkLeaks has the test fail if, at its end, there are more goroutines, descriptors or children than now.
func checkLeaks(t *testing.T) {
	t.Helper()
	goroutines, files := runtime.NumGoroutine(), descriptors(t)
	t.Cleanup(func() {
		for wait := time.Millisecond; ; wait *= 2 {
			g, f, c := runtime.NumGoroutine(), descriptors(t), children(t, os.Getpid())
			if g <= goroutines && len(f) <= len(files) && len(c) == 0 {
				return
			}
			if wait > time.Second {
				stack := make([]byte, 64<<10)
				t.Errorf("left over: goroutines %d -> %d, descriptors %v -> %v, children %v\n%s",
					goroutines, g, files, f, c, stack[:runtime.Stack(stack, true)])
				return
			}
			time.Sleep(wait)
		}
	})
}

func descriptors(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	var open []string
	for _, n := range names {
		// Glob's own is gone by now. Go's poller keeps what it once made.
		if to, err := os.Readlink(n); err == nil && !strings.HasPrefix(to, "anon_inode:") {
			open = append(open, to)
		}
	}
	return open
}

// children returns the children of a process as "PID STATE".
func children(t *testing.T, pid int) []string {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it has just ended
		}
		// PID (COMMAND) STATE PARENT …, and the command may hold anything
		var state string
		var parent int
		i := bytes.LastIndexByte(b, ')')
		if _, err := fmt.Sscan(string(b[i+1:]), &state, &parent); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if parent == pid {
			found = append(found, strings.Fields(string(b))[0]+" "+state)
		}
	}
	return found
}

// run runs a shell script and fails the test where that cannot be done.
func (r *rig) run(t *testing.T, script string, change ...func(*guest.Command, *guest.Stdio)) (*guest.Exit, string, string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := guest.Command{Argv: []string{"sh", "-c", script}}
	stdio := guest.Stdio{Stdout: &out, Stderr: &errs}
	for _, f := range change {
		f(&cmd, &stdio)
	}
	exit, err := r.Run(testContext(t), cmd, stdio)
	if err != nil {
		t.Fatalf("Run(%q) = %v", script, err)
	}
	return exit, out.String(), errs.String()
}
