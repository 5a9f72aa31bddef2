// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"context"
	"io"
	"sync"
	"time"
)

// A feeder sends a command's standard input, as far as the guest has room for it.
type feeder struct {
	c      *Conn
	in     io.Reader
	r      *running
	ctx    context.Context
	cancel context.CancelFunc

	mu      sync.Mutex // held while a frame is sent
	stopped bool
}

func (c *Conn) feed(in io.Reader, r *running) *feeder {
	f := &feeder{c: c, in: in, r: r}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	go f.loop()
	return f
}

// stop returns when no frame of this feeder can be sent any more, so that none becomes the input of the next command.
// The goroutine may be left in Read: what is read then is lost, as with os/exec.
func (f *feeder) stop() {
	f.cancel()
	f.mu.Lock()
	f.stopped = true
	f.mu.Unlock()
	if d, ok := f.in.(interface{ SetReadDeadline(time.Time) error }); ok {
		d.SetReadDeadline(time.Now())
	}
}

func (f *feeder) send(b []byte) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopped {
		return false
	}
	_, err := f.c.send(f.ctx, TypeStdin, b)
	return err == nil
}

func (f *feeder) loop() {
	room := StdinWindow
	for {
		for room == 0 {
			select {
			case n := <-f.r.credits:
				room += n
			case <-f.c.dead:
				return
			case <-f.ctx.Done():
				return
			}
		}
		b := make([]byte, min(room, 16<<10))
		n, err := f.in.Read(b)
		room -= n
		if n > 0 && !f.send(b[:n]) {
			return
		}
		if err != nil {
			// An error ends the input as a broken pipe would: the program sees the end.
			f.send(nil)
			return
		}
	}
}
