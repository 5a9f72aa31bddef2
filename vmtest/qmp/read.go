// SPDX-License-Identifier: Apache-2.0

package qmp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
)

// A message is any of the four that a peer may send: the greeting, a reply, an error, an event.
type message struct {
	QMP *struct {
		Version Version `json:"version"`
	} `json:"QMP"`
	Return json.RawMessage `json:"return"`
	Error  *struct {
		Class string `json:"class"`
		Desc  string `json:"desc"`
	} `json:"error"`
	Event *string         `json:"event"`
	ID    json.RawMessage `json:"id"`
}

// A meter bounds what one message may take of the stream, since json.Decoder keeps all of it in memory.
type meter struct {
	r    io.Reader
	left int64
}

func (m *meter) Read(p []byte) (int, error) {
	if m.left <= 0 {
		return 0, ErrTooLarge
	}
	n, err := m.r.Read(p[:min(int64(len(p)), m.left)])
	m.left -= int64(n)
	return n, err
}

// read takes messages until the stream ends, and hands them to those who wait.
func (m *Monitor) read() {
	defer m.running.Done()
	in := &meter{r: m.conn}
	dec := json.NewDecoder(in)
	for n := 0; ; n++ {
		// What the decoder has read ahead belongs to this message or to later ones.
		in.left = m.opt.MaxMessage
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			m.fail(ended(err, n))
			return
		}
		m.log("< ", raw)
		if err := m.dispatch(raw, n); err != nil {
			m.fail(&ProtocolError{Message: n, Reason: err})
			return
		}
	}
}

// ended classifies the end of the stream.
func ended(err error, n int) error {
	var syntax *json.SyntaxError
	var network net.Error
	switch {
	case errors.Is(err, ErrTooLarge):
		return &ProtocolError{Message: n, Reason: ErrTooLarge}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &ProtocolError{Message: n, Reason: ErrTruncated}
	case errors.As(err, &syntax):
		return &ProtocolError{Message: n, Reason: fmt.Errorf("%w: %w", ErrMalformed, err)}
	case errors.Is(err, io.EOF) && n == 0:
		return &ProtocolError{Message: n, Reason: ErrNoGreeting}
	case errors.Is(err, io.EOF):
		return ErrEnded
	case errors.As(err, &network):
		return fmt.Errorf("%w: %w", ErrEnded, err)
	}
	return &ProtocolError{Message: n, Reason: fmt.Errorf("%w: %w", ErrMalformed, err)}
}

// dispatch hands a message to whom it is for. An error is a breach of the protocol.
func (m *Monitor) dispatch(raw []byte, n int) error {
	var msg message
	if err := json.Unmarshal(raw, &msg); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	switch {
	case n == 0:
		if msg.QMP == nil {
			return ErrNoGreeting
		}
		m.version = msg.QMP.Version
		close(m.greeting)
		return nil
	case msg.QMP != nil:
		return fmt.Errorf("%w: second greeting", ErrMalformed)
	case msg.Event != nil:
		return m.event(raw)
	case msg.Return == nil && msg.Error == nil:
		return fmt.Errorf("%w: neither reply nor event: %.100q", ErrMalformed, raw)
	}
	id, err := strconv.ParseUint(string(bytes.TrimSpace(msg.ID)), 10, 64)
	if err != nil {
		if msg.Error != nil {
			return fmt.Errorf("%w: %s: %s", ErrUnexpected, msg.Error.Class, msg.Error.Desc)
		}
		return fmt.Errorf("%w: id %.100q", ErrUnexpected, msg.ID)
	}
	answer, ok := m.pending[id]
	if !ok {
		if m.abandoned[id] {
			delete(m.abandoned, id)
			return nil
		}
		return fmt.Errorf("%w: id %d", ErrUnexpected, id)
	}
	delete(m.pending, id)
	r := reply{message: raw}
	if msg.Error != nil {
		r = reply{err: &CommandError{Class: msg.Error.Class, Desc: msg.Error.Desc}}
	}
	answer <- r
	return nil
}

func (m *Monitor) event(raw []byte) error {
	var e Event
	if err := json.Unmarshal(raw, &e); err != nil {
		return fmt.Errorf("%w: event: %w", ErrMalformed, err)
	}
	for s := range m.subs {
		if err := s.push(e); err != nil {
			return err
		}
	}
	return nil
}
