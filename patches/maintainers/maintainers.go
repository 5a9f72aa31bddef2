// SPDX-License-Identifier: Apache-2.0

// Package maintainers reads the kernel's MAINTAINERS file and says who gets which mail, and why.
//
// It answers as scripts/get_maintainer.pl --nogit --nogit-fallback of Linux 6.12 does, quirks included, because that is
// what maintainers expect to have been asked; the differences are these:
//
//   - Where two sections match a path equally well, they are taken in the order of the file. The script takes them in the
//     order of a Perl hash, which is another one in each run, and so chooses at random between two addresses of a person.
//   - Every reason for an address is kept, not only the first one.
//   - An address that no mail could be sent to, and a regular expression that RE2 does not have, is a Warning with its line.
//   - \b in a pattern of K: or N: takes letters beyond ASCII for no part of a word.
package maintainers

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/seriesrig/series/patches"
)

// maxFile bounds what is read of a MAINTAINERS file or a mailmap, in bytes; that of Linux 6.12 has 0.8 MB.
const maxFile = 16 << 20

// A File is a MAINTAINERS file.
type File struct {
	Sections []*Section
	// Warnings say what of the file is not used, because it cannot be understood.
	Warnings []Warning
}

// A Warning is about a line of the file.
type Warning struct {
	File string `json:"file"`
	Line int    `json:"line"` // 1 is the first
	Msg  string `json:"message"`

	section *Section
	always  bool // it may be about any path, not only about those of the section
}

func (w Warning) String() string { return fmt.Sprintf("%s:%d: %s", w.File, w.Line, w.Msg) }

// A Section is one entry of the file.
type Section struct {
	Name    string // its heading: "AUDIT SUBSYSTEM"
	Line    int    // of the heading; 1 is the first
	Entries []Entry

	people   []person // M and R, in the order of the file
	lists    []list
	files    []*pattern // F
	excludes []*pattern // X
	names    []*perlRE  // N
	keywords []*perlRE  // K
}

// An Entry is one line of a section.
type Entry struct {
	Type  byte   // the letter before the colon
	Value string // what follows the colon and the blanks after it
	Line  int
}

// A person is one address of an M or R entry.
type person struct {
	addr     addr
	reviewer bool
}

// A list is an L entry.
type list struct {
	addr    addr
	kind    string // "open", "moderated" or "subscriber"
	section string
}

// Values returns what the section says under a letter, such as 'T' for its trees or 'P' for its profile, in the order of
// the file.
func (s *Section) Values(letter byte) []string {
	var out []string
	for _, e := range s.Entries {
		if e.Type == letter {
			out = append(out, e.Value)
		}
	}
	return out
}

// Status is the section's last S entry: "Supported", "Maintained", "Odd Fixes", "Orphan", "Obsolete" or another; "" where it has none.
func (s *Section) Status() string {
	all := s.Values('S')
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1]
}

// Parse reads a MAINTAINERS file; name is its name for errors. What is no text at all (control characters, another
// encoding than UTF-8) is a *patches.InputError; a single entry that cannot be used is a Warning.
func Parse(name string, r io.Reader) (*File, error) {
	text, err := readText(name, r)
	if err != nil {
		return nil, err
	}
	p := &parser{name: name, file: &File{}}
	number := 0
	for len(text) > 0 {
		number++
		line, rest, _ := strings.Cut(text, "\n")
		text = rest
		p.line(number, line)
	}
	p.end()
	return p.file, nil
}

// readText reads a file of plain lines. Nothing in it can reach a terminal or a mail header as a control character.
func readText(name string, r io.Reader) (string, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return "", fmt.Errorf("read %s: %w", name, err)
	}
	if len(data) > maxFile {
		return "", &patches.InputError{File: name, Msg: fmt.Sprintf("is larger than %d MiB, which is the limit", maxFile>>20)}
	}
	for i := 0; i < len(data); {
		c, n := rune(data[i]), 1
		if c >= utf8.RuneSelf {
			if c, n = utf8.DecodeRune(data[i:]); c == utf8.RuneError && n == 1 {
				return "", &patches.InputError{File: name, Line: lineAt(data, i), Msg: fmt.Sprintf("byte 0x%02x is not UTF-8", data[i])}
			}
		}
		if c != '\n' && c != '\t' && (c < ' ' || c == 0x7f || c >= utf8.RuneSelf && unprintable(c)) {
			return "", &patches.InputError{File: name, Line: lineAt(data, i), Msg: fmt.Sprintf("control character %#U", c)}
		}
		i += n
	}
	return string(data), nil
}

// unprintable tells control characters, and those that change the direction of what is shown.
func unprintable(c rune) bool {
	return unicode.IsControl(c) || c == '\u2028' || c == '\u2029' || c >= '\u202a' && c <= '\u202e' || c >= '\u2066' && c <= '\u2069'
}

func lineAt(b []byte, i int) int { return 1 + bytes.Count(b[:i], []byte("\n")) }

// A parser builds sections as get_maintainer.pl sees them: a section is a run of entries, empty lines and comments do not
// end it, and the last other line before it is its heading.
type parser struct {
	name    string
	file    *File
	heading Section // the last line that is no entry
	index   int     // of the line among those that are neither empty nor comments
	section *Section
}

func (p *parser) warn(line int, always bool, format string, args ...any) {
	p.file.Warnings = append(p.file.Warnings, Warning{File: p.name, Line: line, Msg: fmt.Sprintf(format, args...), section: p.section, always: always})
}

func (p *parser) line(number int, line string) {
	letter, value, ok := cutEntry(line)
	if !ok {
		if text := strings.TrimLeftFunc(line, unicode.IsSpace); text != "" && text[0] != '#' {
			p.end()
			p.heading = Section{Name: line, Line: number}
			p.index++
		}
		return
	}
	if p.section == nil {
		if p.heading.Line == 0 {
			p.warn(number, true, "entry before any heading, not used")
			p.index++
			return
		}
		s := p.heading
		p.section = &s
	}
	p.section.Entries = append(p.section.Entries, Entry{letter, value, number})
	p.entry(p.section, p.section.Entries[len(p.section.Entries)-1])
	p.index++
}

// end ends a section.
func (p *parser) end() {
	if p.section != nil {
		p.file.Sections = append(p.file.Sections, p.section)
		p.section = nil
	}
}

// cutEntry takes an entry's line apart; blanks at its end belong to the value.
func cutEntry(line string) (letter byte, value string, ok bool) {
	if len(line) < 2 || line[0] < 'A' || line[0] > 'Z' || line[1] != ':' {
		return 0, "", false
	}
	return line[0], strings.TrimLeftFunc(line[2:], unicode.IsSpace), true
}

func (p *parser) entry(s *Section, e Entry) {
	switch e.Type {
	case 'M', 'R':
		found := splitAddresses(e.Value)
		for _, text := range found {
			a := parseEmail(text)
			if err := a.check(); err != nil {
				p.warn(e.Line, false, "%c: %v; nobody gets mail for it", e.Type, err)
				continue
			}
			s.people = append(s.people, person{a, e.Type == 'R'})
		}
	case 'L':
		address, more := e.Value, ""
		if i := strings.IndexFunc(e.Value, unicode.IsSpace); i > 0 {
			address, more = e.Value[:i], strings.TrimLeftFunc(e.Value[i:], unicode.IsSpace)
		}
		a := parseEmail(address)
		if err := a.check(); err != nil {
			p.warn(e.Line, false, "L: %q does not begin with a mail address; the list gets no mail", e.Value)
			return
		}
		l := list{addr: a, kind: "open", section: s.Name}
		switch {
		case strings.Contains(more, "subscribers-only"):
			l.kind = "subscriber"
		case strings.Contains(more, "moderated"):
			l.kind = "moderated"
		}
		s.lists = append(s.lists, l)
	case 'F', 'X':
		f, err := compilePattern(e.Value)
		if err != nil {
			p.warn(e.Line, true, "%c: pattern %q cannot be used: %v", e.Type, e.Value, err)
			return
		}
		if f.line = e.Line; e.Type == 'F' {
			s.files = append(s.files, f)
		} else {
			s.excludes = append(s.excludes, f)
		}
	case 'N', 'K':
		re, err := compilePerl(e.Value)
		if err != nil {
			p.warn(e.Line, true, "%c: regular expression %q cannot be used: %v", e.Type, e.Value, err)
			return
		}
		if re.line, re.index = e.Line, p.index; e.Type == 'N' {
			s.names = append(s.names, re)
		} else {
			s.keywords = append(s.keywords, re)
		}
	}
}

// maxHeading is the length in characters from which the script shortens a heading.
const maxHeading = 50

// short is the heading as the script's reasons have it.
func (s *Section) short() string {
	if utf8.RuneCountInString(s.Name) <= maxHeading {
		return s.Name
	}
	return strings.TrimRightFunc(string([]rune(s.Name)[:maxHeading-3]), unicode.IsSpace) + "..."
}

// role is what the script calls the people of the section's M entries, by its status.
func (s *Section) role() string {
	switch status := strings.ToLower(s.Status()); status {
	case "":
		return "unknown"
	case "supported":
		return "supporter"
	case "maintained":
		return "maintainer"
	case "odd fixes":
		return "odd fixer"
	case "orphan":
		return "orphan minder"
	case "obsolete":
		return "obsolete minder"
	case "buried alive in reporters":
		return "chief penguin"
	default:
		return status
	}
}
