// SPDX-License-Identifier: Apache-2.0

package vmtest

import "fmt"

// A Kind says what became of a guest.
type Kind string

const (
	Pass   Kind = "pass"   // the guest said that it was done, the tests passed, the kernel had nothing to complain about
	Fail   Kind = "fail"   // a test failed, or the guest ended without saying that it was done
	Splat  Kind = "splat"  // the kernel complained on the console (WARNING, BUG, KASAN, lockdep, RCU stall, ...) and went on
	Panic  Kind = "panic"  // the kernel panicked
	Hang   Kind = "hang"   // userspace had been started, and then gave no sign of life for too much of the guest's time
	NoBoot Kind = "noboot" // userspace was never reached
	Rig    Kind = "rig"    // nothing was learned about the kernel: QEMU missing or killed, a full disk, whatever is unclassified
)

// A Verdict is what became of one guest.
type Verdict struct {
	Kind    Kind     `json:"kind"`
	Reason  string   `json:"reason,omitempty"`  // one line
	Where   Where    `json:"where,omitzero"`    // the place in the log that shows it
	Excerpt []string `json:"excerpt,omitempty"` // lines of the log, with no control characters in them
}

// A Where is a line of a log.
type Where struct {
	Log  string `json:"log,omitempty"`  // path
	Line int    `json:"line,omitempty"` // from 1; 0 means the whole log
}

func (w Where) String() string {
	if w.Line == 0 {
		return w.Log
	}
	return fmt.Sprintf("%s:%d", w.Log, w.Line)
}

func (v Verdict) String() string {
	if v.Reason == "" {
		return string(v.Kind)
	}
	return fmt.Sprintf("%s: %s", v.Kind, v.Reason)
}

// An EndError says that a guest ended before what was asked of it was done. It carries the verdict.
type EndError struct {
	Verdict Verdict
	Err     error // the cause, where there is one
}

func (e *EndError) Error() string { return "guest: " + e.Verdict.String() }
func (e *EndError) Unwrap() error { return e.Err }
