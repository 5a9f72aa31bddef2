// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"
	"time"
)

// A Conn is the host's end. All methods may be called from several goroutines; one command runs at a time.
type Conn struct {
	rw  io.ReadWriteCloser
	dec *Decoder // of the reader goroutine
	out chan outgoing
	// resumes: what comes before hello was said to another Conn.
	resumes bool
	wg      sync.WaitGroup
	hello   chan struct{} // closed at the first hello
	done    chan struct{} // closed at done
	dead    chan struct{} // closed when nothing more can be read

	mu        sync.Mutex
	err       error // why dead
	first     *Hello
	last      Done
	run       *running
	runs      uint32
	acks      chan Ack // of the request under way
	ackOf     Type
	asking    sync.Mutex // held during a request that is answered by an ack
	beat      Heartbeat
	beatAt    time.Time
	lastFrame time.Time
}

type outgoing struct {
	t       Type
	payload []byte
	done    chan error // has room for one
}

// NewConn starts to read from rw, which it owns from now on. Close must be called.
//
// A caller that gives a Conn a handler which blocks (see Stdio) stops it from reading: what the guest goes on to say
// fills the socket and then stops the guest. So a flood costs the host no memory.
func NewConn(rw io.ReadWriteCloser) *Conn { return newConn(rw, false) }

// ResumeConn is NewConn for a guest that said its hello to another Conn, such as one restored from a snapshot: Resume
// asks it for a new one, and what the guest says before is dropped.
func ResumeConn(rw io.ReadWriteCloser) *Conn { return newConn(rw, true) }

// Resume asks for a hello and waits for it. The guest must be running: QEMU loses an interrupt that a device raises while
// a snapshot is being read, and a frame in the socket makes it raise one.
func (c *Conn) Resume(ctx context.Context) (*Hello, error) {
	if _, err := c.send(ctx, TypeResume, nil); err != nil {
		return nil, err
	}
	return c.Hello(ctx)
}

func newConn(rw io.ReadWriteCloser, resumes bool) *Conn {
	c := &Conn{
		rw: rw, dec: NewGuestDecoder(bufio.NewReaderSize(rw, 64<<10)), out: make(chan outgoing), resumes: resumes,
		hello: make(chan struct{}), done: make(chan struct{}), dead: make(chan struct{}),
	}
	if resumes {
		c.dec.Resync()
	}
	c.wg.Add(2)
	go c.read()
	go c.write()
	return c
}

// Close ends the connection and waits for its goroutines. A command that runs goes on in the guest.
func (c *Conn) Close() error {
	c.fail(ErrClosed)
	c.wg.Wait()
	return nil
}

// Hello waits for the guest's first event.
func (c *Conn) Hello(ctx context.Context) (*Hello, error) {
	if err := c.wait(ctx, c.hello); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.first, nil
}

// Done waits for the guest's last event. It returns nil only if the guest said done.
func (c *Conn) Done(ctx context.Context) (Done, error) {
	if err := c.wait(ctx, c.done); err != nil {
		return Done{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last, nil
}

// Poweroff asks the guest to power off and waits for its done. Whether the machine then ends, QMP tells.
func (c *Conn) Poweroff(ctx context.Context) (Done, error) { return c.end(ctx, TypePoweroff) }

// Reboot asks the guest to restart and waits for its done. With QEMU's -no-reboot it is how a guest without power
// management, such as an amd64 microvm, ends.
func (c *Conn) Reboot(ctx context.Context) (Done, error) { return c.end(ctx, TypeReboot) }

func (c *Conn) end(ctx context.Context, t Type) (Done, error) {
	if sent, err := c.send(ctx, t, nil); !sent {
		return Done{}, err
	}
	return c.Done(ctx) // the guest may be gone before the writer knows that it has written
}

// Signal sends a signal to the process group of the running command.
func (c *Conn) Signal(ctx context.Context, sig syscall.Signal) error {
	r := c.running()
	if r == nil {
		return ErrNotRunning
	}
	return c.signal(ctx, r, sig)
}

func (c *Conn) signal(ctx context.Context, r *running, sig syscall.Signal) error {
	_, err := c.sendJSON(ctx, TypeSignal, SignalRequest{ID: r.cmd.ID, Signal: int(sig)})
	return err
}

// Resize tells the running command's terminal its new size.
func (c *Conn) Resize(ctx context.Context, t Terminal) error {
	if c.running() == nil {
		return ErrNotRunning
	}
	_, err := c.sendJSON(ctx, TypeWindow, t)
	return err
}

// SetHeartbeat sets the interval between heartbeats, at least MinHeartbeat, or switches them off with NoHeartbeat.
// When it returns the guest has done so: with heartbeats off and no command under way the guest says nothing more, as
// is needed before a snapshot.
func (c *Conn) SetHeartbeat(ctx context.Context, d time.Duration) error {
	if d != NoHeartbeat && d < MinHeartbeat {
		return fmt.Errorf("heartbeat every %v: want at least %v, or NoHeartbeat", d, MinHeartbeat)
	}
	c.asking.Lock()
	defer c.asking.Unlock()
	answer := c.expectAck(TypeInterval)
	if _, err := c.sendJSON(ctx, TypeInterval, IntervalRequest{Interval: int64(d)}); err != nil {
		return err
	}
	return c.ack(ctx, answer, TypeInterval)
}

// Put has the guest unpack a cpio archive (newc, not compressed) at /. No command may be under way.
func (c *Conn) Put(ctx context.Context, archive io.Reader) error {
	if c.running() != nil {
		return ErrBusy
	}
	c.asking.Lock()
	defer c.asking.Unlock()
	answer := c.expectAck(TypePut)
	for {
		b := make([]byte, 64<<10)
		n, err := io.ReadFull(archive, b)
		if n > 0 {
			if _, err := c.send(ctx, TypePut, b[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			// The guest is in the middle of an archive and there is no way to take it back.
			c.fail(fmt.Errorf("put: %w", err))
			return c.reason()
		}
	}
	if _, err := c.send(ctx, TypePut, nil); err != nil {
		return err
	}
	return c.ack(ctx, answer, TypePut)
}

func (c *Conn) expectAck(of Type) chan Ack {
	answer := make(chan Ack, 1)
	c.mu.Lock()
	c.acks, c.ackOf = answer, of
	c.mu.Unlock()
	return answer
}

func (c *Conn) ack(ctx context.Context, answer chan Ack, of Type) error {
	select {
	case a := <-answer:
		if a.Error != "" {
			return fmt.Errorf("guest: %v: %s", of, a.Error)
		}
		return nil
	case <-c.dead:
		return c.reason()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// LastHeartbeat returns the newest heartbeat and when it came; the time is zero before the first. Hello counts as one.
func (c *Conn) LastHeartbeat() (Heartbeat, time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.beat, c.beatAt
}

// LastFrame returns when the guest last said anything; zero before hello.
func (c *Conn) LastFrame() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lastFrame
}

// Ended is closed when nothing more can be read: after done and the end of the stream, or after an error.
func (c *Conn) Ended() <-chan struct{} { return c.dead }

// Err tells why the connection ended: nil while it lives, and where it ended as it should, after done; otherwise a
// *ProtocolError, an *AgentError, ErrEarlyEnd, ErrClosed, or the transport's error.
func (c *Conn) Err() error {
	if err := c.reason(); !errors.Is(err, ErrDone) {
		return err
	}
	return nil
}

// reason is Err for those who cannot go on without the connection: it has an error for the good end too, ErrDone.
func (c *Conn) reason() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// fail ends the connection; the first reason stays.
func (c *Conn) fail(err error) {
	c.mu.Lock()
	first := c.err == nil
	if first {
		c.err = err
		close(c.dead)
	}
	c.mu.Unlock()
	if first {
		c.rw.Close()
	}
}

// wait waits for an event that the reader announces, and prefers it to the end of the connection.
func (c *Conn) wait(ctx context.Context, event <-chan struct{}) error {
	select {
	case <-event:
		return nil
	case <-c.dead:
		select {
		case <-event:
			return nil
		default:
			return c.reason()
		}
	case <-ctx.Done():
		select { // what has happened is told even to one who does not wait
		case <-event:
			return nil
		default:
			return context.Cause(ctx)
		}
	}
}

func (c *Conn) sendJSON(ctx context.Context, t Type, v any) (sent bool, err error) {
	b, err := json.Marshal(v)
	if err != nil {
		return false, fmt.Errorf("encode %v: %w", t, err)
	}
	return c.send(ctx, t, b)
}

// send hands a frame to the writer and waits until it is written; sent tells whether it was handed over, so that the
// guest may have it whatever err says. The payload must not be changed afterwards.
func (c *Conn) send(ctx context.Context, t Type, payload []byte) (sent bool, err error) {
	if c.isDone() {
		return false, ErrDone
	}
	o := outgoing{t: t, payload: payload, done: make(chan error, 1)}
	select {
	case c.out <- o:
	case <-c.dead:
		return false, c.reason()
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
	select {
	case err := <-o.done:
		return !errors.Is(err, ErrOversize), err
	case <-c.dead:
		return true, c.reason()
	case <-ctx.Done():
		return true, context.Cause(ctx)
	}
}

// write is the only goroutine that writes: a write into a guest that does not read blocks until Close.
func (c *Conn) write() {
	defer c.wg.Done()
	enc := NewEncoder(c.rw)
	for {
		select {
		case o := <-c.out:
			err := enc.Encode(o.t, o.payload)
			o.done <- err
			if err != nil && !errors.Is(err, ErrOversize) {
				// The reader has the better reason where there is one: it sees what the guest said last.
				select {
				case <-c.dead:
				case <-time.After(100 * time.Millisecond):
					c.fail(fmt.Errorf("write to guest: %w", err))
				}
				return
			}
		case <-c.dead:
			return
		}
	}
}
