// SPDX-License-Identifier: Apache-2.0

// Package console reads a kernel's console: it keeps a bounded log of it without control characters, and finds what the
// kernel has to complain about.
package console

import (
	"bytes"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

const (
	maxLine    = 8 << 10 // bytes of one line; the rest of a longer one counts as a line of its own
	maxExcerpt = 60      // lines
)

// A Finding is the first complaint of its class on the console.
type Finding struct {
	Title   string   // the line that says what it is, without time stamps
	Line    int      // of the log, from 1
	Excerpt []string // from that line to the end of the trace
	Count   int      // how many complaints of the class there were
}

// A State is what the console has told.
type State struct {
	Splat Finding // Count is 0 where there was none
	Panic Finding
	// Root is the first complaint about a missing root file system, initramfs or init.
	Root Finding
	// RootPanic tells that the kernel panicked because of it.
	RootPanic bool
	Kernel    bool     // the kernel has said its first line
	Init      bool     // the kernel has started, or tried to start, a program as init
	Lines     int      // written to the log
	Bytes     int64    // taken, the discarded ones included
	Flooded   bool     // there was more than the log may take
	Last      string   // the last line that was not empty
	Tail      []string // the last 20 of them, with their time stamps
}

// A Log takes what comes from a console. Write never fails because of what it is given; an error is the log file's.
type Log struct {
	limit int64
	out   io.Writer

	mu      sync.Mutex
	partial []byte
	state   State
	open    []*Finding // whose traces are not over
	err     error
}

// New returns a Log that writes to out, as much as comes of limit bytes.
func New(out io.Writer, limit int64) *Log { return &Log{out: out, limit: limit} }

// Write takes bytes of the console, of any number of lines.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state.Bytes += int64(len(p))
	if l.state.Bytes > l.limit {
		l.state.Flooded = true
		return len(p), l.err
	}
	l.partial = append(l.partial, p...)
	rest := l.partial
	for {
		i := bytes.IndexByte(rest, '\n')
		n := i + 1
		if i < 0 || i > maxLine {
			if len(rest) < maxLine {
				break
			}
			i, n = maxLine, maxLine
		}
		l.line(rest[:i])
		rest = rest[n:]
	}
	l.partial = append(l.partial[:0], rest...)
	return len(p), l.err
}

// Flush ends a last line that has no newline.
func (l *Log) Flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.partial) > 0 {
		l.line(l.partial)
		l.partial = nil
	}
	return l.err
}

// State returns what the console has told so far.
func (l *Log) State() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.state
	for _, f := range []*Finding{&s.Splat, &s.Panic, &s.Root} {
		f.Excerpt = slices.Clone(f.Excerpt)
	}
	s.Tail = slices.Clone(s.Tail)
	return s
}

// Open tells that a complaint's trace is not over.
func (l *Log) Open() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.open) > 0
}

func (l *Log) line(raw []byte) {
	text := Clean(raw)
	if _, err := io.WriteString(l.out, text+"\n"); err != nil && l.err == nil {
		l.err = err
	}
	s := &l.state
	s.Lines++
	body := stripPrefix(text)
	if strings.TrimSpace(body) == "" {
		return
	}
	s.Last = body
	s.Tail = append(s.Tail, text)
	if len(s.Tail) > 20 {
		s.Tail = slices.Delete(s.Tail, 0, 1)
	}
	l.open = slices.DeleteFunc(l.open, func(f *Finding) bool {
		f.Excerpt = append(f.Excerpt, text)
		return len(f.Excerpt) >= maxExcerpt || traceEnd.MatchString(body)
	})
	switch class, title := classify(body); class {
	case kernelLine:
		s.Kernel = true
	case initLine:
		s.Init = true
	case splat:
		l.found(&s.Splat, title, text)
	case kernelPanic:
		l.found(&s.Panic, title, text)
		if noRoot.MatchString(title) {
			s.RootPanic = true
			l.found(&s.Root, title, text)
		}
	case rootLine:
		l.found(&s.Root, title, text)
	}
}

func (l *Log) found(f *Finding, title, text string) {
	f.Count++
	if f.Count > 1 {
		return
	}
	f.Title, f.Line, f.Excerpt = title, l.state.Lines, []string{text}
	l.open = append(l.open, f)
}

// escape is a terminal's escape sequence: CSI, OSC and the other strings, and the short ones.
var escape = regexp.MustCompile(`\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])`)

// Clean makes a line of a guest safe to show: escape sequences are gone, and so are control characters but the tab;
// what is not UTF-8 becomes U+FFFD, and so does what changes the direction of writing.
func Clean(line []byte) string {
	plain := true
	for _, b := range line {
		if b < ' ' && b != '\t' || b >= 0x7f {
			plain = false
			break
		}
	}
	if plain {
		return string(line)
	}
	line = escape.ReplaceAll(line, nil)
	var b strings.Builder
	for len(line) > 0 {
		r, n := utf8.DecodeRune(line)
		line = line[n:]
		switch {
		case r == '\t':
			b.WriteByte('\t')
		case r < ' ' || r >= 0x7f && r < 0xa0:
		case r >= 0x200b && r <= 0x200f, r >= 0x2028 && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0xfeff:
			b.WriteRune(utf8.RuneError)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
