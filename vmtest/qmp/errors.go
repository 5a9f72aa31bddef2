// SPDX-License-Identifier: Apache-2.0

package qmp

import (
	"errors"
	"fmt"
)

var (
	// ErrClosed says that Close was called.
	ErrClosed = errors.New("qmp: monitor closed")
	// ErrEnded says that the peer has closed the connection, between two messages.
	ErrEnded = errors.New("qmp: connection ended")
)

// A ProtocolError says that the peer broke the protocol. The connection is of no more use.
type ProtocolError struct {
	Message int   // how many messages came before
	Reason  error // one of the sentinels below, or it wraps one
}

func (e *ProtocolError) Error() string {
	return fmt.Sprintf("qmp protocol: message %d: %v", e.Message, e.Reason)
}

func (e *ProtocolError) Unwrap() error { return e.Reason }

// Reasons of a ProtocolError.
var (
	ErrMalformed  = errors.New("malformed message")
	ErrTooLarge   = errors.New("message too large")
	ErrTruncated  = errors.New("stream ends inside a message")
	ErrNoGreeting = errors.New("no greeting")
	ErrUnexpected = errors.New("reply to nothing that was asked")
	ErrEventFlood = errors.New("too many events")
)

// A CommandError is QEMU's answer that it did not do what it was asked.
type CommandError struct {
	Command string
	Class   string // GenericError, CommandNotFound, ...
	Desc    string
}

func (e *CommandError) Error() string { return fmt.Sprintf("qmp: %s: %s", e.Command, e.Desc) }

// A NoReplyError says that the context ended before the reply came.
type NoReplyError struct {
	Command string
	Err     error // the context's
}

func (e *NoReplyError) Error() string {
	return fmt.Sprintf("qmp: no reply to %s: %v", e.Command, e.Err)
}
func (e *NoReplyError) Unwrap() error { return e.Err }
