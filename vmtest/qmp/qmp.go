// SPDX-License-Identifier: Apache-2.0

// Package qmp speaks the QEMU Machine Protocol over a connection, behind go-qemu's Monitor interface, so that the typed
// commands of github.com/digitalocean/go-qemu/qmp/raw work with it.
//
// It differs from go-qemu's own SocketMonitor: every wait has a context; commands may be under way at the same time;
// a reply may have any size up to a bound; events are always drained, so that one who does not read them holds up
// nobody; the handshake loses no event; and what the peer does wrong is a typed error. A peer that breaks the protocol
// once is not listened to any further.
//
// The protocol: https://www.qemu.org/docs/master/interop/qmp-spec.html
package qmp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	base "github.com/digitalocean/go-qemu/qmp"
)

// Event and Version are go-qemu's.
type (
	Event   = base.Event
	Version = base.Version
)

const (
	defaultMaxMessage = 64 << 20
	defaultMaxEvents  = 1024
	defaultTimeout    = 30 * time.Second
)

// Options are how a Monitor behaves. The zero value is fine.
type Options struct {
	MaxMessage int64         // bytes of one message of the peer; 0 means 64 MiB
	MaxEvents  int           // events that one subscriber may leave unread before some are dropped; 0 means 1024
	Timeout    time.Duration // for Connect and Run, which have no context; 0 means 30 s
	// Log gets a line for each message, "< " before what came and "> " before what was sent. Writes are not concurrent.
	Log io.Writer
}

// A Monitor is a connection to QEMU's monitor. Its methods may be called concurrently.
type Monitor struct {
	conn net.Conn
	opt  Options

	writing chan struct{} // holds a token while somebody writes
	logging sync.Mutex
	done    chan struct{} // closed when no further message will be read
	running sync.WaitGroup

	mu        sync.Mutex
	started   bool
	greeting  chan struct{} // closed when version is valid
	version   Version
	next      uint64                  // id of the next command
	pending   map[uint64]chan<- reply // commands that wait for their reply
	abandoned map[uint64]bool         // commands that nobody waits for any more, and whose reply may still come
	subs      map[*Subscription]bool
	early     *Subscription // collects events until somebody subscribes
	err       error         // why reading ended
}

var _ base.Monitor = (*Monitor)(nil)

type reply struct {
	message []byte
	err     error
}

// New returns a Monitor for a connection, which is the Monitor's from now on. Nothing is read before Connect.
func New(conn net.Conn, o Options) *Monitor {
	if o.MaxMessage == 0 {
		o.MaxMessage = defaultMaxMessage
	}
	if o.MaxEvents == 0 {
		o.MaxEvents = defaultMaxEvents
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	m := &Monitor{conn: conn, opt: o,
		writing:   make(chan struct{}, 1),
		done:      make(chan struct{}),
		greeting:  make(chan struct{}),
		pending:   map[uint64]chan<- reply{},
		abandoned: map[uint64]bool{},
		subs:      map[*Subscription]bool{},
	}
	m.early = m.subscribe()
	return m
}

// ConnectContext waits for the greeting and leaves the negotiation of capabilities. It is called once.
func (m *Monitor) ConnectContext(ctx context.Context) error {
	m.mu.Lock()
	if m.started || m.err != nil {
		defer m.mu.Unlock()
		return errors.Join(errors.New("qmp: connected before"), m.err)
	}
	m.started = true
	m.running.Add(1)
	m.mu.Unlock()
	go m.read()
	select {
	case <-m.greeting:
	case <-m.done:
		return m.Err()
	case <-ctx.Done():
		err := &NoReplyError{Command: "greeting", Err: context.Cause(ctx)}
		m.fail(err)
		return err
	}
	if err := m.Execute(ctx, "qmp_capabilities", nil, nil); err != nil {
		m.fail(err)
		return err
	}
	return nil
}

// Connect is ConnectContext with the timeout of the options.
func (m *Monitor) Connect() error {
	ctx, cancel := context.WithTimeout(context.Background(), m.opt.Timeout)
	defer cancel()
	return m.ConnectContext(ctx)
}

// Version is QEMU's, from its greeting.
func (m *Monitor) Version() Version {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.version
}

// RunContext sends a command, in the protocol's JSON, and returns the whole reply. An id that the command has is
// replaced. A reply that is an error is a *CommandError.
func (m *Monitor) RunContext(ctx context.Context, command []byte) ([]byte, error) {
	var c map[string]json.RawMessage
	if err := json.Unmarshal(command, &c); err != nil {
		return nil, fmt.Errorf("qmp: command: %w", err)
	}
	var name string
	if err := json.Unmarshal(c["execute"], &name); err != nil || name == "" {
		return nil, fmt.Errorf("qmp: command has no name: %.100s", command)
	}
	id, answer, err := m.register()
	if err != nil {
		return nil, err
	}
	c["id"] = json.RawMessage(fmt.Sprint(id))
	line, err := json.Marshal(c)
	if err != nil {
		m.forget(id)
		return nil, fmt.Errorf("qmp: command %s: %w", name, err)
	}
	if err := m.write(ctx, append(line, '\n')); err != nil {
		m.forget(id)
		return nil, err
	}
	select {
	case r := <-answer:
		if e, ok := r.err.(*CommandError); ok {
			e.Command = name
		}
		return r.message, r.err
	case <-ctx.Done():
		m.forget(id)
		return nil, &NoReplyError{Command: name, Err: context.Cause(ctx)}
	}
}

// Run is RunContext with the timeout of the options.
func (m *Monitor) Run(command []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), m.opt.Timeout)
	defer cancel()
	return m.RunContext(ctx, command)
}

// Execute sends a command and decodes what it returned to ret. Both args and ret may be nil.
func (m *Monitor) Execute(ctx context.Context, name string, args, ret any) error {
	command, err := json.Marshal(base.Command{Execute: name, Args: args})
	if err != nil {
		return fmt.Errorf("qmp: command %s: %w", name, err)
	}
	message, err := m.RunContext(ctx, command)
	if err != nil || ret == nil {
		return err
	}
	r := struct{ Return any }{ret}
	if err := json.Unmarshal(message, &r); err != nil {
		return fmt.Errorf("qmp: reply to %s: %w", name, err)
	}
	return nil
}

// With returns m as go-qemu's interface whose commands all end with ctx.
func (m *Monitor) With(ctx context.Context) base.Monitor { return bound{m, ctx} }

type bound struct {
	*Monitor
	ctx context.Context
}

func (b bound) Connect() error                     { return b.ConnectContext(b.ctx) }
func (b bound) Run(command []byte) ([]byte, error) { return b.RunContext(b.ctx, command) }

// Done is closed when nothing further will come from the peer; Err then says why.
func (m *Monitor) Done() <-chan struct{} { return m.done }

// Err says why the connection is of no more use: ErrEnded, ErrClosed, a *ProtocolError, or a *NoReplyError of the
// handshake; nil while it is.
func (m *Monitor) Err() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

// Close ends the connection and returns when nothing of the Monitor runs any more. Events that were not read are gone.
func (m *Monitor) Close() error {
	m.fail(ErrClosed)
	m.mu.Lock()
	for s := range m.subs {
		s.close()
	}
	clear(m.subs)
	m.mu.Unlock()
	m.running.Wait()
	return nil
}

// Disconnect is Close.
func (m *Monitor) Disconnect() error { return m.Close() }

// fail ends the connection for a reason; the first one stands.
func (m *Monitor) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return
	}
	m.err = err
	m.conn.Close()
	for id, answer := range m.pending {
		answer <- reply{err: err}
		delete(m.pending, id)
	}
	for s := range m.subs {
		s.finish(err)
	}
	close(m.done)
}

// register makes a place for the reply to a new command.
func (m *Monitor) register() (uint64, <-chan reply, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return 0, nil, m.err
	}
	if !m.started {
		return 0, nil, errors.New("qmp: not connected")
	}
	m.next++
	answer := make(chan reply, 1) // so that the reader never waits for the one who asked
	m.pending[m.next] = answer
	return m.next, answer, nil
}

func (m *Monitor) forget(id uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.pending[id]; ok {
		delete(m.pending, id)
		m.abandoned[id] = true
	}
}

// write sends one line. A line that went out in part has broken the stream.
func (m *Monitor) write(ctx context.Context, line []byte) error {
	select {
	case m.writing <- struct{}{}:
	case <-m.done:
		return m.Err()
	case <-ctx.Done():
		return &NoReplyError{Command: "write", Err: context.Cause(ctx)}
	}
	defer func() { <-m.writing }()
	if err := ctx.Err(); err != nil {
		return &NoReplyError{Command: "write", Err: context.Cause(ctx)}
	}
	m.conn.SetWriteDeadline(time.Time{})
	stop := context.AfterFunc(ctx, func() { m.conn.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	m.log("> ", line)
	n, err := m.conn.Write(line)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = &NoReplyError{Command: "write", Err: context.Cause(ctx)}
		if n == 0 {
			return err
		}
	} else {
		err = fmt.Errorf("%w: %w", ErrEnded, err)
	}
	m.fail(err)
	return m.Err()
}

func (m *Monitor) log(direction string, line []byte) {
	if m.opt.Log == nil {
		return
	}
	m.logging.Lock()
	defer m.logging.Unlock()
	b := append([]byte(direction), line...)
	if b[len(b)-1] != '\n' {
		b = append(b, '\n')
	}
	m.opt.Log.Write(b)
}
