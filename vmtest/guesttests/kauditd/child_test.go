// SPDX-License-Identifier: Apache-2.0

//go:build guest

package kauditd

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// roleVar is the variable that makes this binary play a role instead of running tests.
const roleVar = "SERIES_KAUDITD_ROLE"

// A child is this binary in a process of its own, in a role. It says "ready" and waits to be told "go".
type child struct {
	rig   *rig
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string // closed when the child has nothing more to say
	errs  bytes.Buffer
}

// spawn starts a child and returns when it is ready. It is killed at the end of the test.
func (r *rig) spawn(role string, args ...any) *child {
	r.Helper()
	words := make([]string, len(args))
	for i, a := range args {
		words[i] = fmt.Sprint(a)
	}
	c := &child{rig: r, cmd: exec.Command("/proc/self/exe", words...), lines: make(chan string, 1000)}
	c.cmd.Env = append(os.Environ(), roleVar+"="+role, "GOMAXPROCS=4")
	c.cmd.Stderr = &c.errs
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := c.cmd.StdinPipe()
	if err != nil {
		r.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		r.Fatal(err)
	}
	c.in = in
	if err := c.cmd.Start(); err != nil {
		r.Fatal(err)
	}
	r.Cleanup(c.kill)
	go func() {
		defer close(c.lines)
		for said := bufio.NewScanner(out); said.Scan(); {
			c.lines <- said.Text()
		}
	}()
	if line := c.line(); line != "ready" {
		r.Fatalf("%s said %q, want ready", role, line)
	}
	return c
}

// kill ends the child if it has not ended.
func (c *child) kill() {
	if c.cmd.ProcessState != nil {
		return
	}
	c.cmd.Process.Kill()
	c.cmd.Wait()
}

// patience is how long a child may be silent. A task that waits for the backlog is let go sooner.
const patience = 10 * time.Second

// line returns the next line that the child says.
func (c *child) line() string {
	c.rig.Helper()
	select {
	case line, ok := <-c.lines:
		if !ok {
			c.rig.Fatalf("child %d has ended; %s", c.cmd.Process.Pid, c.errs.String())
		}
		return line
	case <-time.After(patience):
		c.rig.Fatalf("child %d: not a word within %v; %d threads block", c.cmd.Process.Pid, patience, c.blocked())
	}
	return ""
}

// number returns the number that the child says next.
func (c *child) number() (n int) {
	c.rig.Helper()
	line := c.line()
	if _, err := fmt.Sscan(line, &n); err != nil {
		c.rig.Fatalf("child %d said %q, want a number", c.cmd.Process.Pid, line)
	}
	return n
}

func (c *child) start() {
	c.rig.Helper()
	if _, err := io.WriteString(c.in, "go\n"); err != nil {
		c.rig.Fatal(err)
	}
}

// wait waits for the end of the child, which must be a good one.
func (c *child) wait() {
	c.rig.Helper()
	if err := c.cmd.Wait(); err != nil {
		c.rig.Fatalf("child %d: %v; %s", c.cmd.Process.Pid, err, c.errs.String())
	}
}

func (c *child) signal(s syscall.Signal) {
	c.rig.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		c.rig.Fatal(err)
	}
}

// blocked returns how many threads of the child sleep uninterruptibly, as those do that wait for the backlog.
func (c *child) blocked() int {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", c.cmd.Process.Pid))
	n := 0
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // the thread has ended
		}
		if _, rest, ok := bytes.Cut(b, []byte(") ")); ok && rest[0] == 'D' {
			n++
		}
	}
	return n
}

// eventually waits until ok, and says what it waits for when that does not come.
func (r *rig) eventually(limit time.Duration, what string, ok func() bool) {
	r.Helper()
	for start := time.Now(); !ok(); time.Sleep(time.Millisecond) {
		if time.Since(start) > limit {
			r.Fatalf("not within %v: %s", limit, what)
		}
	}
}
