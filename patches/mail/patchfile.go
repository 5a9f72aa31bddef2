// SPDX-License-Identifier: Apache-2.0

package mail

import (
	"bytes"
	"fmt"
	netmail "net/mail"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/seriesrig/series/patches"
)

// Patch returns the patch that a message carries, in the form in which a series keeps it: the author in the header, no
// fields of the mail, and nothing after the diff. The commit that git am makes of it is the one that it makes of the
// message, and the diff is the message's, byte for byte. trailers are added to the end of its commit message, each once.
//
// A message without a diff is ErrNoDiff; one with a diff that is not whole is a *patches.InputError whose File is name and
// whose Line is of the message's body.
func (m *Message) Patch(name string, trailers ...string) (*patches.Patch, error) {
	head, diff, tail, whole, err := cutDiff(m.Body)
	if err != nil {
		return nil, err
	}
	if err := checkTail(tail); err != nil {
		at := 1 + strings.Count(head, "\n") + strings.Count(diff, "\n")
		return nil, &patches.InputError{File: name, Line: at, Msg: err.Error()}
	}
	read, err := m.readPatch(name, head, diff, whole)
	if err != nil {
		return nil, err
	}
	if strings.ContainsFunc(read.Body+read.Notes, isBadControl) {
		return nil, &patches.InputError{File: name, Msg: "the message has a control character"}
	}
	body := read.Body
	for _, t := range trailers {
		body = addTrailer(body, t)
	}
	f := patchFile{m.Number, m.Total, read.Author, read.Date, read.Subject, body, read.Notes, diff}
	p, err := f.parse(name)
	if err != nil {
		return nil, err
	}
	// What was written has to be read as what it was made of; a patch is somebody's words.
	if p.Author != read.Author || !p.Date.Equal(read.Date) || p.Subject != read.Subject || p.Body != body || p.Notes != read.Notes {
		return nil, &patches.InputError{File: name, Msg: "author, date, subject or message would be read back as others from a patch file"}
	}
	p.Number = m.Number
	return p, nil
}

// Store returns a patch as number n of total of a series, in the form of Message.Patch.
func Store(p *patches.Patch, n, total int) (*patches.Patch, error) {
	diff, err := diffText(p)
	if err != nil {
		return nil, err
	}
	f := patchFile{n, total, p.Author, p.Date, p.Subject, p.Body, p.Notes, diff}
	q, err := f.parse(p.File)
	if err != nil {
		return nil, err
	}
	if q.Author != p.Author || !q.Date.Equal(p.Date) || q.Subject != p.Subject || q.Body != p.Body {
		return nil, &patches.InputError{File: p.File, Msg: "author, date, subject or message would be read back as others"}
	}
	q.Number = n
	return q, nil
}

// isBadControl tells the characters that no text of a patch has, but which would move the cursor of who reads it.
func isBadControl(r rune) bool {
	return r < ' ' && r != '\n' && r != '\t' && r != '\f' && r != '\r' || r == 0x7f
}

// ErrNoDiff says that a message has no diff, or one that is only quoted.
var ErrNoDiff = fmt.Errorf("there is no diff in it")

// cutDiff cuts a body into what is above its diff, the diff, and what follows. whole is false where the last hunk is cut
// short.
func cutDiff(body string) (head, diff, tail string, whole bool, err error) {
	at := 0
	if !strings.HasPrefix(body, "diff --git ") {
		if at = 1 + strings.Index(body, "\ndiff --git "); at == 0 {
			return "", "", "", false, ErrNoDiff
		}
	}
	end, whole, err := diffEnd([]byte(body[at:]))
	if err != nil {
		return "", "", "", false, err
	}
	return body[:at], body[at : at+end], body[at+end:], whole, nil
}

var tailForm = regexp.MustCompile(`^(base-commit|base|change-id|prerequisite-[a-z-]+): .|^ sha256:[0-9a-f]+$|^--$|^_{10,}$`)

// checkTail looks at the first line after a diff. One that is neither a signature, nor about the base, nor the foot that a
// mailing list adds, belongs to a hunk whose header does not count it.
func checkTail(tail string) error {
	for line := range strings.Lines(tail) {
		line = strings.TrimRight(line, " \t\n")
		if line == "" {
			continue
		}
		if !tailForm.MatchString(line) {
			return fmt.Errorf("line after the diff belongs to no hunk: %q (does the hunk's header count it?)", shorten(line))
		}
		if line == "--" {
			return nil
		}
	}
	return nil
}

func shorten(s string) string {
	if r := []rune(s); len(r) > 80 {
		return string(r[:77]) + "..."
	}
	return s
}

// readPatch reads the message as git am would. Its lines have the numbers of the body's.
func (m *Message) readPatch(name, head, diff string, whole bool) (*patches.Patch, error) {
	if m.Date.IsZero() {
		return nil, &patches.InputError{File: name, Msg: "the message has no Date:"}
	}
	var b bytes.Buffer
	f := patchFile{author: patches.Person{Name: m.From.Name, Email: m.From.Address}, date: m.Date, subject: m.Subject}
	f.header(&b, m.Subject, !isASCII(head+diff))
	before := bytes.Count(b.Bytes(), []byte("\n"))
	b.WriteString(head + diff)
	if whole {
		b.WriteString(storedSignature)
	}
	p, err := patches.ParsePatch(name, b.Bytes())
	if e, ok := err.(*patches.InputError); ok && e.Line > 0 {
		e.Line = max(e.Line-before, 1)
		e.Msg = lineWord.ReplaceAllStringFunc(e.Msg, func(s string) string {
			n, _ := strconv.Atoi(s[len("of line "):])
			return s[:len("of line ")] + strconv.Itoa(max(n-before, 1))
		})
	}
	return p, err
}

// lineWord is how errors about patches name another line.
var lineWord = regexp.MustCompile(`\b(of|in) line [0-9]{1,9}\b`)

// storedSignature ends a stored patch; without it a patch that was cut short could pass for a whole one.
const storedSignature = "-- \nseries\n"

// A patchFile is what a stored patch says.
type patchFile struct {
	n, total    int
	author      patches.Person
	date        time.Time
	subject     string
	body, notes string
	diff        string
}

// header writes everything up to the empty line after the mail's header.
func (f *patchFile) header(b *bytes.Buffer, subject string, eightBit bool) {
	b.WriteString("From " + strings.Repeat("0", 40) + " Mon Sep 17 00:00:00 2001\n")
	writeHeader(b, "From", formatAddress(netmail.Address{Name: f.author.Name, Address: f.author.Email}), foldWidth)
	writeHeader(b, "Date", []string{f.date.Format("Mon, 2 Jan 2006 15:04:05 -0700")}, foldWidth)
	pieces, width := encodeSubject(subject)
	writeHeader(b, "Subject", pieces, width)
	if eightBit {
		b.WriteString("MIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: 8bit\n")
	}
	b.WriteByte('\n')
}

func (f *patchFile) parse(name string) (*patches.Patch, error) {
	prefix := "[PATCH] "
	if f.total > 1 {
		prefix = fmt.Sprintf("[PATCH %0*d/%d] ", len(fmt.Sprint(f.total)), f.n, f.total)
	}
	text := f.body + "---\n" + f.notes
	if !strings.HasSuffix(text, "\n\n") {
		text += "\n"
	}
	if lostName(f.author.Name) || looksLikeHeader(f.body) {
		text = inBody(f.author) + text
	}
	var b bytes.Buffer
	f.header(&b, prefix+f.subject, !isASCII(text+f.diff))
	b.WriteString(text + f.diff + storedSignature)
	p, err := patches.ParsePatch(name, b.Bytes())
	if err == nil && p.Notes != f.notes && strings.TrimRight(p.Notes, "\n") == strings.TrimRight(f.notes, "\n") {
		p.Notes = f.notes // an empty line between --- and the diff is form
	}
	return p, err
}

// addTrailer adds a line to the trailers of a message, unless it has that line.
func addTrailer(body, line string) string {
	if body == "" {
		return line + "\n"
	}
	for have := range strings.Lines(body) {
		if strings.EqualFold(strings.TrimRight(have, " \t\n"), line) {
			return body
		}
	}
	if !endsInTrailers(body) {
		body += "\n"
	}
	return body + line + "\n"
}

var trailerLine = regexp.MustCompile(`^[A-Za-z0-9-]+[ \t]*:[ \t]*\S`)

// endsInTrailers tells whether the last paragraph of a message is one of trailers, with what maintainers put between them.
func endsInTrailers(body string) bool {
	at := strings.LastIndex(strings.TrimRight(body, "\n"), "\n\n")
	found := false
	for line := range strings.Lines(strings.TrimLeft(body[at+1:], "\n")) {
		line = strings.TrimRight(line, "\n")
		switch {
		case trailerLine.MatchString(line):
			found = true
		case found && line != "" && (line[0] == ' ' || line[0] == '\t'): // goes on from the line before
		case strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]"), strings.HasPrefix(line, "(cherry picked from commit "):
		default:
			return false
		}
	}
	return found
}

// SameDiff tells whether two patches have the same diff, byte for byte.
func SameDiff(a, b *patches.Patch) bool {
	x, err := diffText(a)
	if err != nil {
		return false
	}
	y, err := diffText(b)
	return err == nil && x == y
}

// AddTrailer returns a patch whose message ends in one more trailer, and which is otherwise the same, byte for byte. One that
// has the trailer is returned as it is.
func AddTrailer(p *patches.Patch, line string) (*patches.Patch, error) {
	want := addTrailer(p.Body, line)
	if want == p.Body {
		return p, nil
	}
	at := p.Lines.Notes
	if at == 0 {
		at = p.Lines.Diff
	}
	lines := bytes.SplitAfter(p.Raw, []byte("\n"))
	end := at - 1 // the line that ends the message
	for end > p.Lines.Body-1 && len(bytes.TrimSpace(lines[end-1])) == 0 {
		end--
	}
	text := line + "\n"
	if p.Body != "" && !endsInTrailers(p.Body) {
		text = "\n" + text
	}
	if end == p.Lines.Body-1 && p.Body == "" && end > 0 && len(bytes.TrimSpace(lines[end-1])) > 0 {
		text = "\n" + text
	}
	raw := bytes.Join(lines[:end], nil)
	raw = append(append(raw, text...), bytes.Join(lines[end:], nil)...)
	q, err := patches.ParsePatch(p.File, raw)
	if err != nil {
		return nil, err
	}
	if q.Body != want || q.Author != p.Author || q.Subject != p.Subject || !SameDiff(p, q) {
		return nil, &patches.InputError{File: p.File, Msg: fmt.Sprintf("%q cannot be added to its message", shorten(line))}
	}
	q.Number = p.Number
	return q, nil
}
