// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Stdio is where a command's input comes from and where its events go. Every field may be nil. The handlers are called
// one at a time, never after Run returned, and must not call the Conn's Run, Put or SetHeartbeat.
type Stdio struct {
	Stdin  io.Reader // nil: /dev/null
	Stdout io.Writer
	Stderr io.Writer

	Started func(Start)
	Test    func(Test)  // see Command.Marks
	Bench   func(Bench) // see Command.Marks
	// File says where the data of a file go that the guest brings back; Close tells that it is complete. A nil writer
	// drops the file. Abort is called instead of Close, where the writer has such a method, when the file is not
	// complete.
	File func(File) (io.WriteCloser, error)
}

// running is the command under way.
type running struct {
	cmd     Command
	credits chan int
	exited  chan struct{} // closed by the reader after exit
	exit    *Exit
	dropped atomic.Bool // Run returns: call no handler any more. Set with mu held.

	mu        sync.Mutex // held while a handler is called
	stdio     Stdio
	err       error
	started   bool
	file      *File
	w         io.WriteCloser
	collected int64
}

func (c *Conn) running() *running {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.run
}

// Run runs a command in the guest and waits until it has ended and its files are here. A command that ran gives an Exit
// and no error, whatever its status. Errors: *StartError where it could not be started, ErrBusy where another command is
// under way, what ended the connection, or a handler's own error (the command is then killed).
//
// When ctx ends, the command's group is sent SIGKILL and Run returns ctx's cause; the next Run waits for the exit.
func (c *Conn) Run(ctx context.Context, cmd Command, stdio Stdio) (*Exit, error) {
	if len(cmd.Argv) == 0 {
		return nil, errors.New("guest: run: no command")
	}
	cmd.Stdin = stdio.Stdin != nil
	if stdio.File == nil {
		cmd.Collect = nil
	}
	for _, p := range cmd.Collect {
		if !path.IsAbs(p) || path.Clean(p) != p {
			return nil, fmt.Errorf("guest: run: collect %q: not a clean absolute path", p)
		}
	}
	if cmd.CollectLimit == 0 {
		cmd.CollectLimit = DefaultCollectLimit
	}
	if _, err := c.Hello(ctx); err != nil {
		return nil, err
	}
	r := &running{cmd: cmd, stdio: stdio, credits: make(chan int, 1), exited: make(chan struct{})}
	if err := c.claim(ctx, r); err != nil {
		return nil, err
	}
	if sent, err := c.sendJSON(ctx, TypeRun, r.cmd); !sent {
		c.release(r)
		return nil, err
	}
	if stdio.Stdin != nil {
		feed := c.feed(stdio.Stdin, r)
		defer feed.stop()
	}
	select {
	case <-r.exited:
	case <-c.dead:
		select {
		case <-r.exited:
		default:
			r.drop()
			return nil, c.reason()
		}
	case <-ctx.Done():
		r.drop()
		// Not with ctx, which is over; and not for long, as the guest may be what hangs.
		kill, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		c.signal(kill, r, syscall.SIGKILL)
		return nil, context.Cause(ctx)
	}
	r.drop()
	if r.err != nil {
		return r.exit, r.err
	}
	if r.exit.Error != "" {
		return nil, &StartError{Name: cmd.Argv[0], Why: r.exit.Error}
	}
	return r.exit, nil
}

// claim makes r the command under way, after the exit of one whose Run was given up.
func (c *Conn) claim(ctx context.Context, r *running) error {
	for {
		c.mu.Lock()
		before := c.run
		if before == nil {
			c.runs++
			r.cmd.ID = c.runs
			c.run = r
			c.mu.Unlock()
			return nil
		}
		c.mu.Unlock()
		if !before.dropped.Load() { // and its mutex is not waited for: this may be one of its handlers
			return ErrBusy
		}
		if err := c.wait(ctx, before.exited); err != nil {
			return err
		}
	}
}

func (c *Conn) release(r *running) {
	c.mu.Lock()
	if c.run == r {
		c.run = nil
	}
	c.mu.Unlock()
}

// drop waits for a handler that is being called, and has no other called after it.
func (r *running) drop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dropped.Store(true)
	r.abandonFile()
}

// event handles what the guest says of the running command. It is called by the reader goroutine alone.
func (c *Conn) event(r *running, f Frame) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f.Type != TypeStart && f.Type != TypeExit && !r.started {
		return fmt.Errorf("%w: %v before start", ErrState, f.Type)
	}
	failed := r.err
	switch f.Type {
	case TypeStart:
		var v Start
		if err := decode(f, &v); err != nil {
			return err
		}
		if r.started {
			return fmt.Errorf("%w: second start", ErrState)
		}
		r.started = true
		if r.stdio.Started != nil && !r.dropped.Load() {
			r.stdio.Started(v)
		}
	case TypeStdout:
		r.write(r.stdio.Stdout, f.Payload)
	case TypeStderr:
		r.write(r.stdio.Stderr, f.Payload)
	case TypeTest:
		var v Test
		if err := decode(f, &v); err != nil {
			return err
		}
		if r.stdio.Test != nil && !r.dropped.Load() {
			r.stdio.Test(v)
		}
	case TypeBench:
		var v Bench
		if err := decode(f, &v); err != nil {
			return err
		}
		if r.stdio.Bench != nil && !r.dropped.Load() {
			r.stdio.Bench(v)
		}
	case TypeFile:
		return r.openFile(f)
	case TypeFileData:
		return r.fileData(f.Payload)
	case TypeCredit:
		var v Credit
		if err := decode(f, &v); err != nil {
			return err
		}
		if v.Bytes <= 0 || v.Bytes > StdinWindow {
			return fmt.Errorf("%w: credit of %d bytes", ErrPayload, v.Bytes)
		}
		select {
		case n := <-r.credits:
			v.Bytes += n
		default:
		}
		if v.Bytes > StdinWindow {
			return fmt.Errorf("%w: more credit than there is window", ErrState)
		}
		r.credits <- v.Bytes
	case TypeExit:
		var v Exit
		if err := decode(f, &v); err != nil {
			return err
		}
		if !r.started && v.Error == "" {
			return fmt.Errorf("%w: exit before start", ErrState)
		}
		if r.file != nil {
			return fmt.Errorf("%w: exit inside file %s", ErrState, r.file.Path)
		}
		r.exit = &v
		c.release(r)
		close(r.exited)
	}
	if failed == nil && r.err != nil && !r.dropped.Load() {
		// Nobody takes the output any more. The reader must not wait for the writer.
		go c.signal(context.Background(), r, syscall.SIGKILL)
	}
	return nil
}

func (r *running) write(w io.Writer, b []byte) {
	if w == nil || r.dropped.Load() || r.err != nil {
		return
	}
	if _, err := w.Write(b); err != nil {
		r.err = fmt.Errorf("write output: %w", err)
	}
}

func (r *running) openFile(f Frame) error {
	var v File
	if err := decode(f, &v); err != nil {
		return err
	}
	if r.file != nil {
		return fmt.Errorf("%w: file %q inside file %s", ErrState, v.Path, r.file.Path)
	}
	if !r.asked(v.Path) {
		return fmt.Errorf("%w: %q", ErrPath, v.Path)
	}
	v.Mode &= 0o777
	r.file = &v
	if r.dropped.Load() || r.err != nil {
		return nil
	}
	w, err := r.stdio.File(v)
	if err != nil {
		r.err = fmt.Errorf("take file %s: %w", v.Path, err)
		return nil
	}
	r.w = w
	return nil
}

// asked tells that a path is one of those to collect, or below one.
func (r *running) asked(p string) bool {
	if !path.IsAbs(p) || path.Clean(p) != p || strings.ContainsRune(p, 0) {
		return false
	}
	for _, c := range r.cmd.Collect {
		if p == c || strings.HasPrefix(p, strings.TrimSuffix(c, "/")+"/") {
			return true
		}
	}
	return false
}

func (r *running) fileData(b []byte) error {
	if r.file == nil {
		return fmt.Errorf("%w: filedata without file", ErrState)
	}
	if r.collected += int64(len(b)); r.collected > r.cmd.CollectLimit {
		return fmt.Errorf("%w: limit %d bytes, in %s", ErrTooMuch, r.cmd.CollectLimit, r.file.Path)
	}
	var err error
	switch {
	case len(b) > 0 && r.w != nil:
		_, err = r.w.Write(b)
	case len(b) == 0 && r.w != nil:
		err, r.w = r.w.Close(), nil
	}
	if err != nil {
		r.err = errors.Join(r.err, fmt.Errorf("take file %s: %w", r.file.Path, err))
		r.abandonFile()
	}
	if len(b) == 0 {
		r.file = nil
	}
	return nil
}

func (r *running) abandonFile() {
	if r.w == nil {
		return
	}
	if a, ok := r.w.(interface{ Abort() }); ok {
		a.Abort()
	} else {
		r.w.Close()
	}
	r.w = nil
}

func decode(f Frame, v any) error {
	if err := json.Unmarshal(f.Payload, v); err != nil {
		return fmt.Errorf("%w: %v: %w", ErrPayload, f.Type, err)
	}
	return nil
}
