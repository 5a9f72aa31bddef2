// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"bytes"
	"fmt"
	"mime"
	"net/mail"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// The parts of a patch before its diff are read as git mailinfo and git am read them, so that a commit made here has the
// message, author and date of one made by git am. Where git guesses (no From:, a date without a zone, an unknown
// charset), this refuses.

var (
	mboxForm    = regexp.MustCompile(`^From ([0-9a-f]{40}|[0-9a-f]{64}) `)
	fieldForm   = regexp.MustCompile(`^([!-9;-~]+):[ \t]*(.*)$`)
	zoneForm    = regexp.MustCompile(`[+-][0-9]{4}( \([^)]*\))?$`)
	trailerForm = regexp.MustCompile(`^([A-Za-z0-9-]+)[ \t]*:[ \t]*(.*)$`)
)

// A scan goes through a file line by line.
type scan struct {
	rest []byte
	line int // number of the first line of rest
}

// next returns the next line without its newline; ok is false at the end.
func (s *scan) next() (line string, ok bool) {
	if len(s.rest) == 0 {
		return "", false
	}
	b, rest, _ := bytes.Cut(s.rest, []byte("\n"))
	s.rest = rest
	s.line++
	return string(b), true
}

func (s *scan) peek() string {
	b, _, _ := bytes.Cut(s.rest, []byte("\n"))
	return string(b)
}

// A field is one field of a mail header.
type field struct {
	name, value string // name in small letters; value unfolded, still encoded
	line        int
}

func (p *Patch) errorf(line int, format string, args ...any) *InputError {
	return &InputError{File: p.File, Line: line, Msg: fmt.Sprintf(format, args...)}
}

// parseMessage reads everything up to the diff, and returns the diff and the number of its first line.
func (p *Patch) parseMessage() (rest []byte, line int, err error) {
	s := &scan{rest: p.Raw, line: 1}
	if first, _ := s.next(); !mboxForm.MatchString(first) {
		return nil, 0, p.errorf(1, `does not start with "From <commit id> <date>", as git format-patch writes it`)
	}
	fields, err := p.header(s)
	if err != nil {
		return nil, 0, err
	}
	if err := p.fields(fields, true); err != nil {
		return nil, 0, err
	}
	p.Lines.Body = s.line
	body, notes := p.splitBody(s)
	if err := p.inBody(&body); err != nil {
		return nil, 0, err
	}
	p.Body, p.Notes = stripSpace(body.text), notes
	p.parseTrailers(body)
	return s.rest, s.line, nil
}

// header reads the header's fields and the empty line after it.
func (p *Patch) header(s *scan) ([]field, error) {
	var fields []field
	for {
		at := s.line
		l, ok := s.next()
		if !ok {
			return nil, p.errorf(at, "ends within the header: truncated?")
		}
		if l == "" {
			return fields, nil
		}
		if (l[0] == ' ' || l[0] == '\t') && len(fields) > 0 {
			f := &fields[len(fields)-1]
			f.value = strings.TrimRight(f.value, " \t") + " " + strings.TrimSpace(l)
			continue
		}
		m := fieldForm.FindStringSubmatch(l)
		if m == nil {
			return nil, p.errorf(at, "not a header line: %q", shorten(l))
		}
		fields = append(fields, field{strings.ToLower(m[1]), m[2], at})
	}
}

// fields takes author, date and subject from header fields. Those of the mail must all be there; those at the top of the
// body replace them.
func (p *Patch) fields(fields []field, need bool) error {
	seen := map[string]int{}
	for _, f := range fields {
		switch f.name {
		case "from", "date", "subject", "content-type", "content-transfer-encoding":
			if first := seen[f.name]; first > 0 {
				return p.errorf(f.line, "second %s: (the first is in line %d)", f.name, first)
			}
			seen[f.name] = f.line
		}
		var err error
		switch f.name {
		case "from":
			p.Author, err = parsePerson(f.value)
		case "date":
			p.Date, err = parseDate(f.value)
		case "subject":
			p.Lines.Subject = f.line
			p.Prefix, p.Subject, err = parseSubject(f.value)
		case "content-type":
			err = checkContentType(f.value)
		case "content-transfer-encoding":
			switch strings.ToLower(strings.TrimSpace(f.value)) {
			case "7bit", "8bit", "binary":
			default:
				err = fmt.Errorf("body is encoded (%s), refused: save the patch as git format-patch wrote it", f.value)
			}
		}
		if err != nil {
			return p.errorf(f.line, "%v", err)
		}
	}
	for _, name := range []string{"From", "Date", "Subject"} {
		if need && seen[strings.ToLower(name)] == 0 {
			return p.errorf(1, "header without %s:", name)
		}
	}
	return nil
}

var words = mime.WordDecoder{}

func decode(v string) (string, error) {
	s, err := words.DecodeHeader(v)
	if err != nil {
		return "", fmt.Errorf("%q: %v", shorten(v), err)
	}
	if !utf8.ValidString(s) {
		return "", fmt.Errorf("%q is not UTF-8 once decoded", shorten(v))
	}
	// What moves the cursor, or turns the order of the letters around, has no place in a subject or a name.
	if i := strings.IndexFunc(s, func(r rune) bool { return unicode.IsControl(r) && r != '\t' || unicode.Is(unicode.Bidi_Control, r) }); i >= 0 {
		r, _ := utf8.DecodeRuneInString(s[i:])
		return "", fmt.Errorf("%q: control character 0x%02x", shorten(v), r)
	}
	return s, nil
}

// crud removes what git keeps out of the names and addresses of a commit (strbuf_addstr_without_crud in its ident.c).
func crud(s string) string {
	s = strings.TrimFunc(s, func(r rune) bool { return r <= ' ' || strings.ContainsRune(`,:;<>"\'`, r) })
	return strings.Map(func(r rune) rune {
		if r == '<' || r == '>' || r == '\n' {
			return -1
		}
		return r
	}, s)
}

func parseDate(v string) (time.Time, error) {
	v = strings.TrimSpace(v)
	t, err := mail.ParseDate(v)
	if err != nil || !zoneForm.MatchString(v) {
		return t, fmt.Errorf(`%q is not a date such as "Mon, 2 Jan 2006 15:04:05 +0000"`, shorten(v))
	}
	if t.Unix() < 0 {
		return t, fmt.Errorf("%q is before 1970, and git cannot store it", shorten(v))
	}
	return t, nil
}

// parseSubject decodes a subject and takes off what git am takes off: Re:, colons, blanks and [...].
func parseSubject(v string) (prefix, subject string, err error) {
	s, err := decode(v)
	if err != nil {
		return "", "", err
	}
	var prefixes []string
	for {
		s = strings.TrimLeft(s, " \t:")
		if len(s) >= 3 && strings.EqualFold(s[:3], "re:") {
			s = s[3:]
			continue
		}
		end := strings.IndexByte(s, ']')
		if !strings.HasPrefix(s, "[") || end < 0 {
			break
		}
		prefixes = append(prefixes, s[1:end])
		s = s[end+1:]
	}
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == '\t' }), " ")
	if s == "" {
		return "", "", fmt.Errorf("subject is empty")
	}
	return strings.Join(prefixes, " "), s, nil
}

func checkContentType(v string) error {
	t, params, err := mime.ParseMediaType(v)
	if err != nil {
		return fmt.Errorf("content type %q: %v", shorten(v), err)
	}
	if t != "text/plain" {
		return fmt.Errorf("content type %s, refused: a patch is text/plain and not attached", t)
	}
	switch cs := strings.ToLower(params["charset"]); cs {
	case "", "utf-8", "us-ascii":
	default:
		return fmt.Errorf("charset %s, refused: a patch is UTF-8", cs)
	}
	if strings.EqualFold(params["format"], "flowed") {
		return fmt.Errorf("format=flowed, refused: it breaks patches")
	}
	return nil
}

// text is lines with the number of the first.
type text struct {
	text string
	line int
}

// splitBody reads up to the first line of the diff, and returns what is above and what is below the --- line.
func (p *Patch) splitBody(s *scan) (body text, notes string) {
	body.line = s.line
	var above, below strings.Builder
	into := &above
	for len(s.rest) > 0 {
		l := s.peek()
		// git am ends the message at any of these; parseDiff then refuses all but "diff --git".
		if strings.HasPrefix(l, "diff -") || strings.HasPrefix(l, "Index: ") ||
			strings.HasPrefix(l, "--- ") && len(l) > 4 && l[4] != ' ' && l[4] != '\t' {
			break
		}
		at := s.line
		s.next()
		if into == &above && strings.TrimRight(l, " \t") == "---" {
			p.Lines.Notes = at
			into = &below
			continue
		}
		into.WriteString(l + "\n")
	}
	body.text = above.String()
	return body, below.String()
}

// inBody takes From:, Date: and Subject: lines from the top of the body; mails whose sender is not the author have them.
func (p *Patch) inBody(b *text) error {
	s := &scan{rest: []byte(b.text), line: b.line}
	for len(s.rest) > 0 && strings.TrimSpace(s.peek()) == "" {
		s.next()
	}
	var fields []field
	for len(s.rest) > 0 {
		l, at := s.peek(), s.line
		m := fieldForm.FindStringSubmatch(l)
		switch {
		case m != nil && (strings.EqualFold(m[1], "From") || strings.EqualFold(m[1], "Date") || strings.EqualFold(m[1], "Subject")):
			fields = append(fields, field{strings.ToLower(m[1]), m[2], at})
		case len(fields) > 0 && len(l) > 0 && (l[0] == ' ' || l[0] == '\t'):
			f := &fields[len(fields)-1]
			f.value += " " + strings.TrimSpace(l)
		default:
			*b = text{string(s.rest), s.line}
			return p.fields(fields, false)
		}
		s.next()
	}
	*b = text{"", s.line}
	return p.fields(fields, false)
}

// stripSpace does what git am does to a message: no blanks at the end of a line, no two empty lines in a row, none at
// either end, and a newline at the end of what is left.
func stripSpace(s string) string {
	var out []string
	for _, l := range strings.Split(s, "\n") {
		l = strings.TrimRight(l, " \t\r")
		if l == "" && (len(out) == 0 || out[len(out)-1] == "") {
			continue
		}
		out = append(out, l)
	}
	for len(out) > 0 && out[len(out)-1] == "" {
		out = out[:len(out)-1]
	}
	if len(out) == 0 {
		return ""
	}
	return strings.Join(out, "\n") + "\n"
}

// parseTrailers finds the trailers by the rule of git interpret-trailers: the last paragraph, if all its lines are
// trailers, or if one was made by git and at least a quarter are.
func (p *Patch) parseTrailers(b text) {
	lines := strings.Split(strings.TrimRight(b.text, " \t\n"), "\n")
	start := len(lines)
	for start > 0 && strings.TrimSpace(lines[start-1]) != "" {
		start--
	}
	var ts []Trailer
	other, known := 0, false
	for i, l := range lines[start:] {
		m := trailerForm.FindStringSubmatch(l)
		switch {
		case m != nil:
			ts = append(ts, Trailer{Key: m[1], Value: strings.TrimSpace(m[2]), Line: b.line + start + i})
			known = known || m[1] == "Signed-off-by"
		case len(ts) > 0 && (l[0] == ' ' || l[0] == '\t'):
			t := &ts[len(ts)-1]
			t.Value += " " + strings.TrimSpace(l)
		case strings.HasPrefix(l, "(cherry picked from commit "):
			known = true
		default:
			other++
		}
	}
	if other == 0 || known && len(ts)*3 >= other {
		p.Trailers = ts
	}
}

// shorten keeps an error to one line of a sane length, whatever it quotes.
func shorten(s string) string {
	if r := []rune(s); len(r) > 80 {
		return string(r[:77]) + "..."
	}
	return s
}
