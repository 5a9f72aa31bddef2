// SPDX-License-Identifier: Apache-2.0

//go:build linux

package taskdiag

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Client has the file open. What it may see is what the one who opened the file may look at with ptrace(2), whoever reads
// it: without CAP_SYS_PTRACE, tasks of the same user. It is for one goroutine at a time.
type Client struct {
	f   *os.File
	r   *Reader
	seq uint32
	req []byte
	src source
}

// Open opens the file. It is ENOENT where the kernel has none, or where /proc is mounted with subset=pid.
func Open(o Options) (*Client, error) {
	if o.Path == "" {
		o.Path = Path
	}
	for {
		fd, err := unix.Open(o.Path, unix.O_RDWR|unix.O_CLOEXEC, 0)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return nil, &os.PathError{Op: "open", Path: o.Path, Err: err}
		default:
			// Not os.OpenFile, which would have it polled: there is nothing to wait for.
			return New(os.NewFile(uintptr(fd), o.Path), o), nil
		}
	}
}

// New makes a Client of a file that is open, such as one that was inherited. The file is the Client's from then on.
func New(f *os.File, o Options) *Client {
	c := &Client{f: f, r: NewReader(nil, 0, o)}
	c.src.f = f
	return c
}

// Close closes the file.
func (c *Client) Close() error { return c.f.Close() }

// File is the file, for poll(2) and the like. An answer is ready as soon as the request is written, so there is nothing to
// wait for but others that use the file.
func (c *Client) File() *os.File { return c.f }

// SystemCalls is how many times the Client has called write(2) and read(2).
func (c *Client) SystemCalls() int { return c.src.calls }

// source reads until the context ends.
type source struct {
	ctx   context.Context
	f     *os.File
	calls int
}

func (s *source) Read(p []byte) (int, error) {
	if err := context.Cause(s.ctx); err != nil {
		return 0, err
	}
	s.calls++
	return s.f.Read(p)
}

// ask writes a request, which replaces the one before.
func (c *Client) ask(ctx context.Context, q Request) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	c.seq++
	c.req = q.Append(c.req[:0], c.seq)
	c.src.ctx = ctx
	c.r.Reset(&c.src, c.seq)
	c.src.calls++
	n, err := c.f.Write(c.req)
	if err == nil && n != len(c.req) {
		err = io.ErrShortWrite
	}
	return err
}

// errReplaced is what a loop gets whose body made another request.
var errReplaced = errors.New("another request was made before the answer to this one was read")

// Tasks makes a request and goes over the tasks of the answer. An error ends the loop. A loop may be left at any time, and
// its body must not make another request with the same Client. The end of the context is noticed between two reads.
func (c *Client) Tasks(ctx context.Context, q Request) iter.Seq2[*Task, error] {
	return func(yield func(*Task, error) bool) {
		c.r.gather = true
		defer func() { c.r.gather = false }()
		answer(ctx, c, q, (*Reader).nextTask, yield)
	}
}

// Messages makes a request and goes over the messages of the answer, as Reader.Messages does. What is said of Tasks holds
// for it, too.
func (c *Client) Messages(ctx context.Context, q Request) iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) { answer(ctx, c, q, (*Reader).next, yield) }
}

// answer makes a request and yields what next has until that is nil. It calls both directly and makes no loop over a sequence of
// the Reader's, as a task is not much more than these calls.
func answer[T any](ctx context.Context, c *Client, q Request, next func(*Reader) (*T, error), yield func(*T, error) bool) {
	err := c.ask(ctx, q)
	seq := c.seq
	for err == nil {
		var part *T
		if part, err = next(c.r); err != nil {
			break
		}
		if part == nil || !yield(part, nil) {
			return
		}
		if c.seq != seq {
			err = errReplaced
		}
	}
	yield(nil, fmt.Errorf("task_diag %v: %w", q, err))
}

// One asks about one task, and has a copy of what there is. It is ESRCH where there is no such task, or none that may be
// seen.
func (c *Client) One(ctx context.Context, pid int, groups Groups) (*Task, error) {
	q := Request{Strategy: DumpOne, PID: uint32(pid), Groups: groups}
	var one *Task
	for t, err := range c.Tasks(ctx, q) {
		if err != nil {
			return nil, err
		}
		one = t.Clone()
	}
	if one == nil {
		return nil, fmt.Errorf("task_diag %v: %w", q, syscall.ESRCH)
	}
	return one, nil
}
