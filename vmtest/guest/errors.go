// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"errors"
	"fmt"
)

// A ProtocolError says that the peer broke the rules of the wire. The connection is of no more use.
type ProtocolError struct {
	Frame  uint64 // how many frames were read before
	Reason error  // one of the sentinels below, or it wraps one
}

func (e *ProtocolError) Error() string {
	return fmt.Sprintf("guest protocol: frame %d: %v", e.Frame, e.Reason)
}

func (e *ProtocolError) Unwrap() error { return e.Reason }

// Reasons of a ProtocolError.
var (
	ErrMagic     = errors.New("bad magic")
	ErrChecksum  = errors.New("bad checksum")
	ErrOversize  = errors.New("frame too large")
	ErrSequence  = errors.New("lost sequence")
	ErrType      = errors.New("unknown frame type")
	ErrPayload   = errors.New("malformed payload")
	ErrTruncated = errors.New("stream ends inside a frame")
	ErrState     = errors.New("frame out of turn")
	ErrVersion   = errors.New("other protocol version")
	ErrPath      = errors.New("file that was not asked for")
	ErrTooMuch   = errors.New("more file data than was allowed")
)

var (
	// ErrEarlyEnd says that the stream ended without the agent's done: the guest never passed.
	ErrEarlyEnd = errors.New("guest: stream ended without done")
	// ErrClosed says that Close was called.
	ErrClosed = errors.New("guest: connection closed")
	// ErrDone says that the guest has said done, so that it takes no more requests.
	ErrDone = errors.New("guest: already done")
	// ErrNotRunning says that there is no command to signal.
	ErrNotRunning = errors.New("guest: no command is running")
	// ErrBusy says that a command is under way.
	ErrBusy = errors.New("guest: a command is running")
)

// An AgentError is the agent's own report that it failed. It tells nothing about the kernel under test.
type AgentError struct{ Failure }

func (e *AgentError) Error() string { return "guest agent: " + e.Message }

// A StartError says that the agent could not start a command.
type StartError struct {
	Name string
	Why  string
}

func (e *StartError) Error() string { return fmt.Sprintf("start %s in guest: %s", e.Name, e.Why) }
