// SPDX-License-Identifier: Apache-2.0

// Package run starts commands and makes sure that they end.
//
// Every child gets a process group of its own, so that a whole build is stopped at once, and a parent-death signal, so
// that it does not outlive a killed parent. A child that is to be stopped gets SIGTERM, a grace period, then SIGKILL,
// each sent to the whole group.
package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// stderrTail is how much of a child's standard error an ExitError keeps, in bytes.
const stderrTail = 8 << 10

// A Cmd describes one command. The zero value plus Name runs.
type Cmd struct {
	Name   string    // a program's name, looked up in PATH, or its path
	Args   []string  // without the name
	Dir    string    // working folder; "" means the caller's
	Env    []string  // the whole environment; nil means CleanEnv()
	Stdin  io.Reader // nil means /dev/null
	Stdout io.Writer // nil means discarded
	Stderr io.Writer // nil means that only its tail is kept, for the error

	// Grace is the time between SIGTERM and SIGKILL when the context ends; 0 means 5s.
	Grace time.Duration
	// Files are inherited by the child as descriptors 3 and up.
	Files []*os.File
	// DeathSignal is sent to the child when this process dies; 0 means SIGTERM.
	DeathSignal syscall.Signal
}

// An ExitError says how a command ended when it did not end well.
type ExitError struct {
	Name   string
	Args   []string
	Code   int            // exit status; -1 when a signal ended it
	Signal syscall.Signal // the signal that ended it, if any
	Stderr string         // the last few KiB of standard error
}

func (e *ExitError) Error() string {
	how := fmt.Sprintf("exit status %d", e.Code)
	if e.Signal != 0 {
		how = "killed by " + e.Signal.String()
	}
	if line := lastLine(e.Stderr); line != "" {
		return fmt.Sprintf("%s: %s: %s", e.Name, how, line)
	}
	return fmt.Sprintf("%s: %s", e.Name, how)
}

// Is has a command that says that the disk is full, or the quota used up, pass for the errors that a system call would
// have given. No exit status tells that; the text is C's strerror's in the locale of CleanEnv, and for short writes git's.
func (e *ExitError) Is(target error) bool {
	return target == syscall.ENOSPC && (strings.Contains(e.Stderr, "No space left on device") || strings.Contains(e.Stderr, "Out of diskspace")) ||
		target == syscall.EDQUOT && strings.Contains(e.Stderr, "Disk quota exceeded")
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}

// A Process is a started command.
type Process struct {
	cmd   Cmd
	x     *exec.Cmd
	tail  *tail
	grace time.Duration
	done  chan struct{} // closed when the child has been reaped
	err   error         // valid once done is closed
	stop  sync.Once
}

// Start starts the command. When ctx ends the child is stopped; Wait then returns an error that wraps ctx's.
func (c Cmd) Start(ctx context.Context) (*Process, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	path, err := Look(c.Name)
	if err != nil {
		return nil, err
	}
	x := exec.Command(path, c.Args...)
	x.Dir, x.Env, x.Stdin, x.Stdout, x.ExtraFiles = c.Dir, c.Env, c.Stdin, c.Stdout, c.Files
	if x.Env == nil {
		x.Env = CleanEnv()
	}
	p := &Process{cmd: c, x: x, tail: &tail{}, grace: c.Grace, done: make(chan struct{})}
	if p.grace == 0 {
		p.grace = 5 * time.Second
	}
	x.Stderr = p.tail
	if c.Stderr != nil {
		x.Stderr = io.MultiWriter(p.tail, c.Stderr)
	}
	if c.Stderr != nil && c.Stderr == c.Stdout {
		// One descriptor for both, so that the lines of a log keep their order.
		x.Stdout, x.Stderr = c.Stdout, c.Stdout
	}
	death := c.DeathSignal
	if death == 0 {
		death = syscall.SIGTERM
	}
	x.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: death}
	// A descendant that left the process group and kept our pipes open must not hold Wait for ever.
	x.WaitDelay = 2 * time.Second

	started := make(chan error, 1)
	go func() {
		// The kernel sends the parent-death signal when the *thread* that forked ends, so the thread has to live as
		// long as the child does.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := x.Start(); err != nil {
			started <- err
			return
		}
		childStarted()
		started <- nil
		p.err = p.result(x.Wait())
		childEnded()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Name, err)
	}
	go func() {
		select {
		case <-ctx.Done():
			p.Stop()
		case <-p.done:
		}
	}()
	return p, nil
}

// Pid returns the child's process id, which is its process group's too.
func (p *Process) Pid() int { return p.x.Process.Pid }

// Done is closed when the child has ended and has been reaped.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits for the child and reports how it ended: nil, or an *ExitError.
func (p *Process) Wait() error {
	<-p.done
	return p.err
}

// Signal sends sig to the child's process group.
func (p *Process) Signal(sig syscall.Signal) error { return syscall.Kill(-p.Pid(), sig) }

// Stop ends the child by the ladder of SIGTERM, grace and SIGKILL, and returns when it is gone. It may be called more
// than once and from several goroutines.
func (p *Process) Stop() {
	p.stop.Do(func() {
		p.Signal(syscall.SIGTERM)
		t := time.NewTimer(p.grace)
		defer t.Stop()
		select {
		case <-p.done:
		case <-t.C:
		}
		// Also when the leader went quietly: what it started may still be there, and nothing else will end it.
		p.Signal(syscall.SIGKILL)
	})
	<-p.done
}

func (p *Process) result(err error) error {
	if err == nil {
		return nil
	}
	var xe *exec.ExitError
	if !errors.As(err, &xe) {
		return fmt.Errorf("%s: %w", p.cmd.Name, err)
	}
	e := &ExitError{Name: p.cmd.Name, Args: p.cmd.Args, Code: xe.ExitCode(), Stderr: p.tail.String()}
	if ws, ok := xe.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		e.Signal = ws.Signal()
	}
	return e
}

// Run runs the command to its end. When ctx ended it, the error wraps ctx's.
func (c Cmd) Run(ctx context.Context) error {
	p, err := c.Start(ctx)
	if err != nil {
		return err
	}
	err = p.Wait()
	if err != nil && ctx.Err() != nil {
		p.Stop() // the group may have members left
		return fmt.Errorf("%s: %w", c.Name, context.Cause(ctx))
	}
	return err
}

// Output runs the command and returns what it printed on standard output.
func (c Cmd) Output(ctx context.Context) ([]byte, error) {
	var b bytes.Buffer
	c.Stdout = &b
	err := c.Run(ctx)
	return b.Bytes(), err
}

// tail keeps the last stderrTail bytes written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if over := len(t.b) - stderrTail; over > 0 {
		t.b = append(t.b[:0], t.b[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.b)
}
