// SPDX-License-Identifier: Apache-2.0

package lint

import (
	"encoding/base64"
	"io"
	"mime"
	"mime/quotedprintable"
	"strings"
)

// body returns the lines of the text in a message or a part of one, with the line of the file that each comes from.
func (r *reader) body(fields []Field, lines []Line, depth int) ([]Line, error) {
	at := r.m.Line
	if len(lines) > 0 {
		at = lines[0].No
	}
	kind, params, err := contentType(fields)
	if err.Line > 0 {
		return nil, r.errorf(err.Line, "%s", err.Msg)
	}
	switch {
	case strings.HasPrefix(kind, "multipart/"):
		return r.multipart(kind, params["boundary"], lines, depth, at)
	case kind != "text/plain":
		r.flaw(at, "the message is %s; send it as text/plain", quote(kind))
		if !strings.HasPrefix(kind, "text/") {
			return nil, nil
		}
	}
	if strings.EqualFold(params["format"], "flowed") {
		r.flaw(lineOf(fields, "content-type"), "format=flowed: receivers join and wrap its lines, which breaks patches; turn it off, or use git send-email")
	}
	if lines, err := r.decode(fields, lines); err != nil {
		return nil, err
	} else {
		return r.charset(params["charset"], lines, lineOf(fields, "content-type"))
	}
}

func contentType(fields []Field) (kind string, params map[string]string, bad Flaw) {
	for _, f := range fields {
		if f.Name == "content-type" {
			kind, params, err := mime.ParseMediaType(f.Value)
			if err != nil && kind == "" {
				return "", nil, Flaw{f.Line, "broken Content-Type " + quote(f.Value) + ": " + err.Error()}
			}
			return kind, params, Flaw{}
		}
	}
	return "text/plain", nil, Flaw{}
}

func lineOf(fields []Field, name string) int {
	for _, f := range fields {
		if f.Name == name {
			return f.Line
		}
	}
	return 0
}

// charset makes UTF-8 of a text. One that has to be recoded is read, where that is simple, and is a flaw.
func (r *reader) charset(name string, lines []Line, at int) ([]Line, error) {
	switch strings.ToLower(name) {
	case "", "us-ascii", "utf-8", "utf8":
		if name == "" {
			name = "plain text"
		}
		return r.checkUTF8(name, lines)
	case "iso-8859-1", "iso-8859-15", "windows-1252", "latin1":
		r.flaw(at, "the charset is %s; send UTF-8", quote(name))
		for i, l := range lines {
			lines[i].Text = latin1(l.Text)
		}
		return lines, nil
	}
	return nil, r.errorf(at, "the charset %s cannot be read; send UTF-8", quote(name))
}

func latin1(s string) string {
	ascii := true
	for i := range len(s) {
		ascii = ascii && s[i] < 0x80
	}
	if ascii {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		b.WriteRune(rune(s[i]))
	}
	return b.String()
}

// decode undoes the transfer encoding.
func (r *reader) decode(fields []Field, lines []Line) ([]Line, error) {
	for _, f := range fields {
		if f.Name != "content-transfer-encoding" {
			continue
		}
		switch strings.ToLower(strings.TrimSpace(f.Value)) {
		case "7bit", "8bit", "binary", "":
		case "quoted-printable":
			return r.quotedPrintable(lines)
		case "base64":
			return r.base64(lines)
		default:
			return nil, r.errorf(f.Line, "unknown Content-Transfer-Encoding %s", quote(f.Value))
		}
	}
	return lines, nil
}

// quotedPrintable decodes lines that belong together because of soft line breaks at a time, so that a decoded line is
// known to come from the first of them.
func (r *reader) quotedPrintable(lines []Line) ([]Line, error) {
	var out []Line
	for len(lines) > 0 {
		n, size := 1, len(lines[0].Text)
		for n < len(lines) && strings.HasSuffix(strings.TrimRight(lines[n-1].Text, " \t"), "=") {
			size += len(lines[n].Text)
			if n++; size > maxLine {
				return nil, r.errorf(lines[0].No, "the line is longer than %d MiB when it is decoded", maxLine>>20)
			}
		}
		var raw strings.Builder
		for _, l := range lines[:n] {
			raw.WriteString(l.Text + "\n")
		}
		b, err := io.ReadAll(quotedprintable.NewReader(strings.NewReader(raw.String())))
		if err != nil {
			return nil, r.errorf(lines[0].No, "broken quoted-printable: %s", quote(lines[0].Text))
		}
		var more bool
		if out, more = appendText(out, lines[0].No, strings.TrimSuffix(string(b), "\n")); more {
			return nil, r.errorf(lines[0].No, "NUL byte in the encoded text")
		}
		lines = lines[n:]
	}
	return out, nil
}

// base64 decodes a text; its lines are numbered by the encoded line that they begin in.
func (r *reader) base64(lines []Line) ([]Line, error) {
	type piece struct{ start, no int }
	var all strings.Builder
	var pieces []piece
	for _, l := range lines {
		pieces = append(pieces, piece{all.Len() / 4 * 3, l.No})
		all.WriteString(strings.TrimSpace(l.Text))
	}
	b, err := base64.StdEncoding.DecodeString(all.String())
	if err != nil {
		at := r.m.Line
		if e, ok := err.(base64.CorruptInputError); ok {
			for _, p := range pieces {
				if p.start <= int(e)/4*3 {
					at = p.no
				}
			}
		}
		return nil, r.errorf(at, "broken base64: truncated?")
	}
	var out []Line
	start, k := 0, 0
	for line := range strings.SplitSeq(strings.TrimSuffix(string(b), "\n"), "\n") {
		for k+1 < len(pieces) && pieces[k+1].start <= start {
			k++
		}
		if len(pieces) == 0 {
			break
		}
		if len(line) > maxLine || strings.IndexByte(line, 0) >= 0 {
			return nil, r.errorf(pieces[k].no, "the encoded text has a NUL byte, or a line of more than %d MiB", maxLine>>20)
		}
		out = append(out, Line{pieces[k].no, strings.TrimSuffix(line, "\r")})
		start += len(line) + 1
	}
	return out, nil
}

// appendText appends the lines of a decoded text.
func appendText(out []Line, no int, text string) (_ []Line, nul bool) {
	if strings.IndexByte(text, 0) >= 0 {
		return out, true
	}
	for l := range strings.SplitSeq(text, "\n") {
		out = append(out, Line{no, strings.TrimSuffix(l, "\r")})
	}
	return out, false
}

// multipart returns the text of the first part that has one. That there are parts is a flaw in any case, but for the
// single part that some list software makes of a plain mail.
func (r *reader) multipart(kind, boundary string, lines []Line, depth, at int) ([]Line, error) {
	if boundary == "" {
		return nil, r.errorf(at, "%s without a boundary", quote(kind))
	}
	if depth == maxDepth {
		return nil, r.errorf(at, "parts within parts are more than %d deep", maxDepth)
	}
	parts, closed := cutParts(lines, "--"+boundary)
	if len(parts) == 0 {
		return nil, r.errorf(at, "%s without any part: the boundary %s is not in it", quote(kind), quote(boundary))
	}
	if !closed {
		return nil, r.errorf(at, "%s is cut short: the boundary %s does not close it", quote(kind), quote(boundary))
	}
	r.flaw(at, "the message is %s, of %d parts; send one text/plain with the patch inline and nothing attached", quote(kind), len(parts))
	var text []Line
	for _, p := range parts {
		if r.parts++; r.parts > maxParts {
			return nil, r.errorf(at, "more than %d parts", maxParts)
		}
		rest, fields, err := r.fields(p)
		if err != nil {
			return nil, err
		}
		if kind, _, _ := contentType(fields); text != nil || kind != "text/plain" && !strings.HasPrefix(kind, "multipart/") {
			continue
		}
		if text, err = r.body(fields, rest, depth+1); err != nil {
			return nil, err
		}
	}
	return text, nil
}

// cutParts cuts at the boundary; what stands before the first one and after the closing one is nobody's.
func cutParts(lines []Line, boundary string) (parts [][]Line, closed bool) {
	start := -1
	for i, l := range lines {
		rest, ok := strings.CutPrefix(l.Text, boundary)
		if !ok {
			continue
		}
		rest = strings.TrimRight(rest, " \t")
		if rest != "" && rest != "--" {
			continue
		}
		if start >= 0 {
			parts = append(parts, lines[start:i])
		}
		if rest == "--" {
			return parts, true
		}
		start = i + 1
	}
	if start >= 0 {
		parts = append(parts, lines[start:])
	}
	return parts, false
}
