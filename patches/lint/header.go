// SPDX-License-Identifier: Apache-2.0

package lint

import (
	"mime"
	"net/mail"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

var (
	fieldForm = regexp.MustCompile(`^([!-9;-~]+):[ \t]*(.*)$`)
	words     = mime.WordDecoder{}
)

// header reads the header's fields, and returns what follows the empty line after them.
func (r *reader) header(lines []Line) ([]Line, error) {
	rest, fields, err := r.fields(lines)
	if err != nil {
		return nil, err
	}
	m := r.m
	m.Fields = fields
	seen := map[string]int{}
	for _, f := range fields {
		switch f.Name {
		case "from", "subject", "date", "message-id", "in-reply-to", "references", "content-type", "content-transfer-encoding":
			if at := seen[f.Name]; at > 0 {
				return nil, r.errorf(f.Line, "a second field %s: (the first is in line %d)", f.Name, at)
			}
			seen[f.Name] = f.Line
		}
	}
	if seen["from"] == 0 && seen["subject"] == 0 {
		return nil, r.errorf(m.Line, "no From: and no Subject:; lint judges mails and the files of git format-patch")
	}
	m.Subject = parseSubject(m.field("subject"))
	if m.Subject.Line == 0 {
		m.Subject.Line = m.Line
	}
	if from := m.field("from"); from.Line > 0 {
		m.From = person(from.Value)
	}
	m.Author = m.From
	m.To, m.Cc = people(fields, "to"), people(fields, "cc")
	m.ID = bare(m.field("message-id").Value)
	m.InReplyTo = bare(m.field("in-reply-to").Value)
	if m.InReplyTo != "" {
		m.Parents = append(m.Parents, m.InReplyTo)
	}
	for ref := range strings.FieldsSeq(m.field("references").Value) {
		m.Parents = append(m.Parents, bare(ref))
	}
	return rest, nil
}

// fields reads fields up to an empty line.
func (r *reader) fields(lines []Line) (rest []Line, fields []Field, err error) {
	for i, l := range lines {
		if l.Text == "" {
			return lines[i+1:], r.decodeFields(fields), nil
		}
		if (l.Text[0] == ' ' || l.Text[0] == '\t') && len(fields) > 0 {
			f := &fields[len(fields)-1]
			if len(f.Value) > maxLine {
				return nil, nil, r.errorf(l.No, "the field %s is longer than %d MiB", f.Name, maxLine>>20)
			}
			f.Value += " " + strings.TrimSpace(l.Text)
			continue
		}
		m := fieldForm.FindStringSubmatch(l.Text)
		switch {
		case m == nil && i == 0 && isDiffStart(l.Text):
			return nil, nil, r.errorf(l.No, "begins with a diff; lint judges messages: put a mail's header and the commit message before it, as git format-patch does")
		case m == nil:
			return nil, nil, r.errorf(l.No, "not a line of a mail's header: %s", quote(l.Text))
		case len(fields) == maxFields:
			return nil, nil, r.errorf(l.No, "more than %d fields in the header", maxFields)
		}
		fields = append(fields, Field{Name: strings.ToLower(m[1]), Value: strings.TrimSpace(m[2]), Line: l.No})
	}
	return nil, r.decodeFields(fields), nil // a header without a body
}

func (r *reader) decodeFields(fields []Field) []Field {
	for i, f := range fields {
		switch f.Name {
		case "subject", "from", "to", "cc", "reply-to":
		default:
			continue
		}
		if !utf8.ValidString(f.Value) {
			r.flaw(f.Line, "the field %s is not UTF-8", f.Name)
			fields[i].Value = strings.ToValidUTF8(f.Value, "\uFFFD")
			continue
		}
		if f.Name != "subject" || !strings.Contains(f.Value, "=?") {
			continue // addresses are decoded when they are parsed
		}
		v, err := words.DecodeHeader(f.Value)
		if err != nil || !utf8.ValidString(v) {
			r.flaw(f.Line, "the encoding of the field %s cannot be read; encode it as UTF-8", f.Name)
			continue
		}
		fields[i].Value = v
	}
	for _, f := range fields {
		if strings.ContainsFunc(f.Value, hidden) {
			r.flaw(f.Line, "the field %s has a character that is not shown, or changes how others are: %s", f.Name, quote(f.Value))
		}
	}
	return fields
}

// hidden tells the characters that a terminal acts on instead of showing them. In a message of a patch they have no place; in
// a diff they may be what a file has.
func hidden(c rune) bool {
	return unicode.IsControl(c) && c != '\t' && c != '\n' || unicode.Is(unicode.Bidi_Control, c) || c == '\u2028' || c == '\u2029'
}

// bare takes the angle brackets off a Message-Id.
func bare(s string) string {
	if i := strings.IndexByte(s, '<'); i >= 0 {
		s = s[i+1:]
		if j := strings.IndexByte(s, '>'); j >= 0 {
			s = s[:j]
		}
	}
	return strings.TrimSpace(s)
}

// people returns the addresses of the fields of a name. What is no address list is read as far as it goes.
func people(fields []Field, name string) []Person {
	var out []Person
	for _, f := range fields {
		if f.Name != name {
			continue
		}
		if list, err := mail.ParseAddressList(f.Value); err == nil {
			for _, a := range list {
				out = append(out, Person{a.Name, a.Address})
			}
			continue
		}
		for part := range strings.SplitSeq(f.Value, ",") {
			if p := person(part); p.Email != "" {
				out = append(out, p)
			}
		}
	}
	return out
}

var addressForm = regexp.MustCompile(`^\s*"?([^"<>]*?)"?\s*<([^<>\s]+@[^<>\s]+|[^<>\s]+)>`)

// person reads a name and an address as forgivingly as git does.
func person(s string) Person {
	if a, err := mail.ParseAddress(s); err == nil {
		return Person{a.Name, a.Address}
	}
	if m := addressForm.FindStringSubmatch(s); m != nil {
		name := m[1]
		if v, err := words.DecodeHeader(name); err == nil {
			name = v
		}
		return Person{strings.TrimSpace(name), m[2]}
	}
	s = strings.TrimSpace(s)
	if strings.Contains(s, "@") && !strings.ContainsAny(s, " \t") {
		return Person{Email: s}
	}
	return Person{Name: s}
}
