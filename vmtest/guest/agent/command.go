// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/seriesrig/series/vmtest/guest"
)

const (
	// quitGrace is between SIGQUIT, which has a Go program print its goroutines, and SIGKILL.
	quitGrace = time.Second
	// strayGrace is how long the output is read after the group is dead: something that left the group may hold it open.
	strayGrace = 250 * time.Millisecond
)

// A command is the one under way.
type command struct {
	a     *agent
	spec  guest.Command
	over  chan struct{} // closed when exit was said
	input *input        // nil without standard input

	mu       sync.Mutex
	pid      int // of the group; 0 before the start and after the end
	pending  []syscall.Signal
	timedOut bool
	pty      *os.File
}

// run starts a command and returns; the command tells the rest.
func (a *agent) run(spec guest.Command) error {
	_, err := a.begin(spec)
	return err
}

func (a *agent) begin(spec guest.Command) (*command, error) {
	c := &command{a: a, spec: spec, over: make(chan struct{})}
	if spec.Stdin {
		c.input = newInput(a, spec.Terminal != nil)
	}
	a.mu.Lock()
	busy := a.cur != nil
	if !busy {
		a.cur = c
		a.commands++
	}
	a.mu.Unlock()
	if busy {
		return nil, errors.New("run from host: a command is running")
	}
	a.spawn(func() {
		defer close(c.over)
		beat := guest.NoHeartbeat
		if spec.Heartbeat != 0 {
			beat = a.beat.set(spec.Heartbeat)
		}
		exit := c.run()
		if spec.Heartbeat != 0 {
			a.beat.set(beat)
		}
		a.mu.Lock()
		a.cur = nil // before exit is said: the host may answer with the next command
		a.mu.Unlock()
		a.sendJSON(guest.TypeExit, exit)
	})
	return c, nil
}

// run runs the command to its end and brings its files back.
func (c *command) run() *guest.Exit {
	exit := &guest.Exit{Status: -1}
	before, err := takeStock(c.spec.Collect)
	if err != nil {
		exit.Error = err.Error()
		return exit
	}
	s, err := c.prepare()
	if err != nil {
		exit.Error = err.Error()
		return exit
	}
	exit.Started = now()
	pid, end, err := c.a.reaper.start(s.path, s.argv, s.attr)
	s.closeChild()
	if err != nil {
		s.closeOurs()
		exit.Error = err.Error()
		return exit
	}
	c.a.sendJSON(guest.TypeStart, guest.Start{PID: pid, Now: exit.Started})
	c.running(pid, s.pty)
	var output sync.WaitGroup
	for _, o := range s.outputs {
		output.Add(1)
		c.a.spawn(func() {
			defer output.Done()
			o.pump(c)
		})
	}
	if c.input != nil {
		c.a.spawn(func() { c.input.pump(s.stdin) })
	}
	stopWall := c.limit()
	e := <-end
	stopWall()
	exit.Killed = c.ended()
	for _, o := range s.outputs {
		o.f.SetReadDeadline(time.Now().Add(strayGrace))
	}
	output.Wait()
	s.closeOurs()
	if c.input != nil {
		c.input.stop()
	}
	c.fill(exit, e)
	exit.Warnings = append(exit.Warnings, c.a.collect(c.spec, before)...)
	return exit
}

// fill tells how the command ended.
func (c *command) fill(exit *guest.Exit, e ended) {
	if e.status.Signaled() {
		exit.Signal, exit.Core = e.status.Signal(), e.status.CoreDump()
	} else {
		exit.Status = e.status.ExitStatus()
	}
	c.mu.Lock()
	exit.TimedOut = c.timedOut
	c.mu.Unlock()
	u := &e.usage
	exit.Usage = guest.Usage{
		User: time.Duration(u.Utime.Nano()), System: time.Duration(u.Stime.Nano()), MaxRSS: int64(u.Maxrss) << 10,
		Voluntary: int64(u.Nvcsw), Involuntary: int64(u.Nivcsw),
		MinorFaults: int64(u.Minflt), MajorFaults: int64(u.Majflt),
	}
	exit.Ended = guest.Clock{Boottime: time.Duration(e.at[0]), Monotonic: time.Duration(e.at[1])}
}

// running has signals reach the group, those first that came before there was one.
func (c *command) running(pid int, pty *os.File) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pid, c.pty = pid, pty
	for _, sig := range c.pending {
		syscall.Kill(-pid, sig)
	}
	c.pending = nil
}

// ended kills what is left of the group, and tells whether anything was.
func (c *command) ended() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	left := syscall.Kill(-c.pid, syscall.SIGKILL) == nil
	c.pid, c.pty = -1, nil
	return left
}

func (c *command) signal(sig syscall.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.pid > 0:
		syscall.Kill(-c.pid, sig)
	case c.pid == 0:
		c.pending = append(c.pending, sig)
	}
}

func (c *command) resize(t guest.Terminal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pty != nil {
		setWindow(c.pty, t)
	}
}

// limit starts the clock of the wall limit; the function that it returns stops it.
func (c *command) limit() (stop func()) {
	if c.spec.Wall <= 0 {
		return func() {}
	}
	var mu sync.Mutex
	var t *time.Timer
	stopped := false
	arm := func(d time.Duration, f func()) {
		mu.Lock()
		defer mu.Unlock()
		if !stopped {
			t = time.AfterFunc(d, func() {
				defer c.a.guard()
				f()
			})
		}
	}
	arm(c.spec.Wall, func() {
		c.mu.Lock()
		c.timedOut = c.pid > 0
		c.mu.Unlock()
		c.signal(syscall.SIGQUIT)
		arm(quitGrace, func() { c.signal(syscall.SIGKILL) })
	})
	return func() {
		mu.Lock()
		defer mu.Unlock()
		stopped = true
		t.Stop()
	}
}

// limitName is what the agent is called, in argv[0], when it is to set resource limits and become another program. They
// can be set between fork and exec in no other way, and in the agent itself they would hit the agent.
const limitName = "series-limit"

// limitArgs is argv for limited: how many limits, each as three numbers, the program, and its argv.
func limitArgs(limits []guest.Rlimit, path string, argv []string) []string {
	args := []string{limitName, strconv.Itoa(len(limits))}
	for _, l := range limits {
		args = append(args, strconv.Itoa(l.Resource), strconv.FormatUint(l.Soft, 10), strconv.FormatUint(l.Hard, 10))
	}
	return append(append(args, path), argv...)
}

// limited does what limitArgs asks for. It returns only when it fails, with a shell's status for that.
func limited(args []string) int {
	fail := func(err error) int {
		fmt.Fprintf(os.Stderr, "%s: %v\n", limitName, err)
		return 127
	}
	n, err := strconv.Atoi(args[0])
	if err != nil || len(args) < 1+3*n+2 {
		return fail(errors.New("bad arguments"))
	}
	args = args[1:]
	for ; n > 0; n-- {
		resource, err1 := strconv.Atoi(args[0])
		soft, err2 := strconv.ParseUint(args[1], 10, 64)
		hard, err3 := strconv.ParseUint(args[2], 10, 64)
		err := errors.Join(err1, err2, err3)
		if err == nil {
			err = syscall.Setrlimit(resource, &syscall.Rlimit{Cur: soft, Max: hard})
		}
		if err != nil {
			return fail(fmt.Errorf("set resource limit %s: %w", args[0], err))
		}
		args = args[3:]
	}
	return fail(fmt.Errorf("exec %s: %w", args[0], syscall.Exec(args[0], args[1:], os.Environ())))
}
