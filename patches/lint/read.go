// SPDX-License-Identifier: Apache-2.0

package lint

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"regexp"
	"unicode/utf8"

	"github.com/seriesrig/series/patches"
)

// Limits on what is read. They are far above what lists let through.
const (
	maxInput    = 64 << 20 // bytes of a file
	maxLine     = 1 << 20  // bytes of a line
	maxText     = 1 << 20  // bytes of a message without its diff
	maxTags     = 2_000
	maxFiles    = 100_000 // of a diff; the whole kernel has some 86,000
	maxMessages = 20_000
	maxFields   = 2_000 // of a header
	maxDepth    = 8     // of parts within parts
	maxParts    = 200   // of one message
	mailLine    = 998   // bytes of a line, RFC 5322, section 2.1.1
)

// A ReadError says what cannot be read, and where.
type ReadError struct {
	File    string
	Line    int // of the file; 1 is the first; 0 where the whole file is meant
	Message int // 1 is the first; 0 where the whole file is meant
	Msg     string
}

func (e *ReadError) Error() string {
	s := e.File
	if e.Line > 0 {
		s += fmt.Sprintf(":%d", e.Line)
	}
	if e.Message > 0 {
		s += fmt.Sprintf(": message %d", e.Message)
	}
	return s + ": " + e.Msg
}

// Read reads an mbox, a mail or a file of git format-patch; file is its name for findings. What can be read but must not
// be sent is a matter of the rules; what cannot be read is a *ReadError.
func Read(file string, r io.Reader) ([]*Message, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxInput+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	if data, err = unpack(data); err != nil {
		return nil, &ReadError{File: file, Msg: "is packed by gzip, and broken: " + err.Error()}
	}
	if len(data) > maxInput {
		return nil, &ReadError{File: file, Msg: fmt.Sprintf("is larger than %d MiB, which is the limit", maxInput>>20)}
	}
	parts := patches.SplitMbox(data)
	if len(parts) > maxMessages {
		return nil, &ReadError{File: file, Line: parts[maxMessages].Line, Msg: fmt.Sprintf("more than %d messages, which is the limit", maxMessages)}
	}
	var out []*Message
	for i, part := range parts {
		m, err := readMessage(file, i+1, part)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	if len(out) == 0 {
		return nil, &ReadError{File: file, Msg: "is empty"}
	}
	return out, nil
}

// unpack undoes gzip, which archives pack their threads by; of more than maxInput bytes it returns one byte more.
func unpack(data []byte) ([]byte, error) {
	if !bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		return data, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(z, maxInput+1))
}

// A reader reads one message.
type reader struct {
	m     *Message
	parts int
}

func (r *reader) errorf(line int, format string, args ...any) error {
	return &ReadError{File: r.m.File, Line: line, Message: r.m.Number, Msg: fmt.Sprintf(format, args...)}
}

func (r *reader) flaw(line int, format string, args ...any) {
	r.m.Flaws = append(r.m.Flaws, Flaw{line, fmt.Sprintf(format, args...)})
}

func readMessage(file string, number int, part patches.MboxPart) (*Message, error) {
	r := &reader{m: &Message{File: file, Number: number, Line: part.Line}}
	err := r.read(part)
	if err != nil && replyForm.Match(headerOf(part.Raw)) {
		// A reply is not judged, so it may be broken in any way; who sent it counts where that could be read.
		m := r.m
		m.Kind, m.Subject.Reply, m.Text, m.Notes, m.Diff, m.Tags, m.Files = Other, true, nil, nil, nil, nil, nil
		err = nil
	}
	return r.m, err
}

var replyForm = regexp.MustCompile(`(?mi)^subject:[ \t]*re:`)

// headerOf is the beginning of a message up to its first empty line.
func headerOf(raw []byte) []byte {
	raw = raw[:min(len(raw), maxLine)]
	for _, end := range []string{"\n\n", "\n\r\n"} {
		if i := bytes.Index(raw, []byte(end)); i >= 0 {
			raw = raw[:i]
		}
	}
	return raw
}

func (r *reader) read(part patches.MboxPart) error {
	lines, err := r.lines(part)
	if err != nil {
		return err
	}
	rest, err := r.header(lines)
	if err != nil {
		return err
	}
	body, err := r.body(r.m.Fields, rest, 0)
	if err != nil {
		return err
	}
	return r.split(body)
}

// lines cuts a message into lines, and refuses those that no mail has.
func (r *reader) lines(part patches.MboxPart) ([]Line, error) {
	data := part.Raw
	lines := make([]Line, 0, 1+bytes.Count(data, []byte("\n")))
	crlf, first := 0, 0
	for no := part.Line; len(data) > 0; no++ {
		b, rest, _ := bytes.Cut(data, []byte("\n"))
		data = rest
		if len(b) > maxLine {
			return nil, r.errorf(no, "the line has %d bytes, the limit is %d MiB", len(b), maxLine>>20)
		}
		if i := bytes.IndexByte(b, 0); i >= 0 {
			return nil, r.errorf(no, "NUL byte at column %d: this is not text", i+1)
		}
		if n := len(b); n > 0 && b[n-1] == '\r' {
			if crlf++; first == 0 {
				first = no
			}
			b = b[:n-1]
		}
		if len(b) > mailLine {
			r.m.Long = append(r.m.Long, no)
		}
		lines = append(lines, Line{no, string(b)})
	}
	switch {
	case crlf > 0 && crlf == len(lines):
		r.flaw(first, "lines end in CR LF; save the message with plain line ends (git mailsplit would keep the CR, and git am not find the context)")
	case crlf > 0:
		r.flaw(first, "%d of %d lines end in CR LF, such as this; a patch for a file with such lines must be sent quoted-printable or base64", crlf, len(lines))
	}
	return lines, nil
}

// text turns bytes that are already decoded into lines of one charset.
func (r *reader) checkUTF8(charset string, lines []Line) ([]Line, error) {
	for _, l := range lines {
		if !utf8.ValidString(l.Text) {
			return nil, r.errorf(l.No, "the text is said to be %s and is not UTF-8", charset)
		}
	}
	return lines, nil
}
