// SPDX-License-Identifier: Apache-2.0

package qmp

import (
	"context"
	"slices"
	"sync"
)

// kept are the events that say what became of the machine. They are never dropped.
var kept = map[string]bool{
	"SHUTDOWN": true, "RESET": true, "POWERDOWN": true, "SUSPEND": true, "STOP": true, "RESUME": true,
	"GUEST_PANICKED": true, "GUEST_CRASHLOADED": true, "WATCHDOG": true, "MEMORY_FAILURE": true,
}

// A Subscription is the queue of events of one reader.
type Subscription struct {
	max    int
	closed chan struct{} // closed when nobody will read any more

	mu      sync.Mutex
	queue   []Event
	dropped int
	err     error         // what Next returns when the queue is empty; nil while more may come
	wake    chan struct{} // has a token when something has changed
}

// subscribe is called with m.mu held, or before m is shared.
func (m *Monitor) subscribe() *Subscription {
	s := &Subscription{max: m.opt.MaxEvents, closed: make(chan struct{}), wake: make(chan struct{}, 1), err: m.err}
	m.subs[s] = true
	return s
}

// Subscribe returns a queue of the events from now on; the first one to subscribe also gets all that came before.
func (m *Monitor) Subscribe() *Subscription {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.firstOrNew()
}

// firstOrNew is called with m.mu held.
func (m *Monitor) firstOrNew() *Subscription {
	if s := m.early; s != nil {
		m.early = nil
		return s
	}
	return m.subscribe()
}

// Unsubscribe ends a subscription; its Next then returns ErrClosed.
func (m *Monitor) Unsubscribe(s *Subscription) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.subs, s)
	s.close()
}

// Events returns a channel of events, which is closed when ctx ends, and when the connection has ended and all were
// read. The first caller, or the first of Subscribe, also gets the events that came before.
func (m *Monitor) Events(ctx context.Context) (<-chan Event, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == ErrClosed {
		return nil, ErrClosed
	}
	s := m.firstOrNew()
	ch := make(chan Event)
	m.running.Add(1)
	go func() {
		defer m.running.Done()
		defer close(ch)
		defer m.Unsubscribe(s)
		for {
			e, err := s.Next(ctx)
			if err != nil {
				return
			}
			select {
			case ch <- e:
			case <-ctx.Done():
				return
			case <-s.closed:
				return
			}
		}
	}()
	return ch, nil
}

// Next returns the next event. When the connection has ended and the queue is empty, it returns what Monitor.Err does.
func (s *Subscription) Next(ctx context.Context) (Event, error) {
	for {
		s.mu.Lock()
		if len(s.queue) > 0 {
			e := s.queue[0]
			s.queue = slices.Delete(s.queue, 0, 1)
			s.mu.Unlock()
			return e, nil
		}
		err := s.err
		s.mu.Unlock()
		if err != nil {
			return Event{}, err
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
			return Event{}, context.Cause(ctx)
		}
	}
}

// Dropped is how many events were dropped because they were not read in time.
func (s *Subscription) Dropped() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dropped
}

// push never waits. When the queue is full, the oldest event that may be dropped gives way.
func (s *Subscription) push(e Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil
	}
	if len(s.queue) >= s.max {
		i := slices.IndexFunc(s.queue, func(e Event) bool { return !kept[e.Event] })
		switch {
		case i >= 0:
			s.queue = slices.Delete(s.queue, i, i+1)
			s.dropped++
		case !kept[e.Event]:
			s.dropped++
			return nil
		case len(s.queue) >= 4*s.max:
			return ErrEventFlood
		}
	}
	s.queue = append(s.queue, e)
	s.signal()
	return nil
}

func (s *Subscription) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// finish says that no further event will come.
func (s *Subscription) finish(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
	s.signal()
}

// close is finish for a queue that nobody will read any more.
func (s *Subscription) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.closed:
		return
	default:
	}
	close(s.closed)
	s.queue, s.err = nil, ErrClosed
	s.signal()
}
