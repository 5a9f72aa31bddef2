// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// read is the only goroutine that reads.
func (c *Conn) read() {
	defer c.wg.Done()
	for {
		f, err := c.dec.Decode()
		if err == nil {
			err = c.handle(f)
		}
		if err == nil {
			continue
		}
		var p *ProtocolError
		var a *AgentError
		switch {
		case errors.Is(err, ErrTruncated): // whatever ended the guest did not wait for the end of the frame
			err = fmt.Errorf("%w: %w", ErrEarlyEnd, ErrTruncated)
		case errors.As(err, &p), errors.As(err, &a):
		case c.isDone():
			err = ErrDone // however the transport words its end
		case errors.Is(err, io.EOF):
			err = ErrEarlyEnd
		default:
			err = fmt.Errorf("%w: %w", ErrEarlyEnd, err)
		}
		c.fail(err)
		return
	}
}

func (c *Conn) isDone() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// handle acts on one frame, or says why it may not be.
func (c *Conn) handle(f Frame) error {
	c.mu.Lock()
	if f.Type == TypeHello || c.first != nil { // before it is acted on: who has waited for it finds its time
		c.lastFrame = time.Now()
	}
	c.mu.Unlock()
	if err := c.dispatch(f); err != nil {
		var a *AgentError
		if errors.As(err, &a) {
			return err
		}
		return c.dec.fail(err)
	}
	return nil
}

func (c *Conn) dispatch(f Frame) error {
	c.mu.Lock()
	run, greeted := c.run, c.first != nil
	c.mu.Unlock()
	if c.resumes && !greeted && f.Type != TypeHello {
		return nil // said before the resume reached the guest
	}
	switch {
	case c.isDone():
		return fmt.Errorf("%w: %v after done", ErrState, f.Type)
	case !greeted && f.Type != TypeHello && f.Type != TypeError:
		return fmt.Errorf("%w: %v before hello", ErrState, f.Type)
	}
	switch f.Type {
	case TypeHello:
		return c.greet(f)
	case TypeHeartbeat:
		var v Heartbeat
		if err := decode(f, &v); err != nil {
			return err
		}
		c.setBeat(v)
	case TypeAck:
		var v Ack
		if err := decode(f, &v); err != nil {
			return err
		}
		c.mu.Lock()
		answer, of := c.acks, c.ackOf
		c.acks = nil
		c.mu.Unlock()
		if answer == nil || v.Of != of {
			return fmt.Errorf("%w: ack of %v, which nobody waits for", ErrState, v.Of)
		}
		answer <- v
	case TypeError:
		var v Failure
		if err := decode(f, &v); err != nil {
			return err
		}
		return &AgentError{v}
	case TypeDone:
		var v Done
		if err := decode(f, &v); err != nil {
			return err
		}
		if run != nil {
			return fmt.Errorf("%w: done while a command runs", ErrState)
		}
		c.mu.Lock()
		c.last = v
		c.mu.Unlock()
		close(c.done)
	default:
		if run == nil {
			return fmt.Errorf("%w: %v while no command runs", ErrState, f.Type)
		}
		return c.event(run, f)
	}
	return nil
}

// greet takes the one hello.
func (c *Conn) greet(f Frame) error {
	h := new(Hello)
	if err := decode(f, h); err != nil {
		return err
	}
	if h.Version != Version {
		return fmt.Errorf("%w: guest has %d, host %d", ErrVersion, h.Version, Version)
	}
	c.mu.Lock()
	first := c.first == nil
	if first {
		c.first = h
	}
	c.mu.Unlock()
	if !first {
		return fmt.Errorf("%w: second hello", ErrState)
	}
	c.setBeat(Heartbeat{Clock: h.Now})
	close(c.hello)
	return nil
}

func (c *Conn) setBeat(b Heartbeat) {
	c.mu.Lock()
	c.beat, c.beatAt = b, time.Now()
	c.mu.Unlock()
}
