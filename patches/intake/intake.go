// SPDX-License-Identifier: Apache-2.0

// Package intake makes a series of what others have: a thread in an mbox, a maildir or single mails, with the replies to
// it, or commits of a git repository. Everything is read and checked before anything is written.
//
// Unlike the series of this project, one that comes from elsewhere keeps its authors and trailers: they are statements
// that those persons made. Trailers from replies are taken where the reply's own sender makes them, and nowhere else.
//
// Mail is hostile until checked. What is no patch of the chosen version may be broken in any way and is passed over with a
// note; what is one has to be whole: text/plain, UTF-8, plain line ends, every hunk as long as its header says.
package intake

import (
	"fmt"

	"github.com/seriesrig/series/patches"
)

// Options says what to take. The zero value takes the latest version that is complete.
type Options struct {
	// Version is the n of [PATCH vn]; 0 means the latest version of which all patches are there.
	Version int
	// MessageID, where not empty, keeps to the thread that has this message. Angle brackets around it do not count.
	MessageID string
}

// A Series is what was found, checked, and not yet written.
type Series struct {
	ID            string // as its own Message-Ids say, or made of the title
	Title         string
	Revision      int
	Prefix        string // "PATCH net-next"
	To, Cc        []string
	ChangeID      string   // "" where the thread names none
	BaseCommit    string   // 40 hex digits; "" where the thread names none
	Base          string   // the base: line of a thread of ours, or git:REPO#COMMIT of a range; "" where there is neither
	Prerequisites []string // patch ids
	Cover         string   // the cover letter's prose, without what is made afresh; places in it are escaped
	Patches       []*patches.Patch

	// Notes are remarks for the person who imports, in order; each is one printable line.
	Notes []string
	// Gathered are the trailers that were taken from replies, "patch 2: Acked-by: ...".
	Gathered []string
	trailers map[int][]string // by patch
}

func (s *Series) note(format string, args ...any) {
	s.Notes = append(s.Notes, fmt.Sprintf(format, args...))
}

// An Error says which message of a source cannot be used, and why.
type Error struct {
	File    string
	Message int // from 1
	Line    int // of the file; 0 where the file is the message
	Msg     string
	Err     error
}

func (e *Error) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("%s: message %d (line %d): %s", e.File, e.Message, e.Line, e.Msg)
	}
	return fmt.Sprintf("%s: message %d: %s", e.File, e.Message, e.Msg)
}

func (e *Error) Unwrap() error { return e.Err }
