// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"bytes"
	"strconv"
)

// A MboxPart is a message of an mbox, as it stands in the file.
type MboxPart struct {
	Line int    // where it starts in the file; 1 is the first line
	Raw  []byte // without the "From " line before it; shares the memory of the file
}

// SplitMbox cuts a file where git mailsplit does; a file without a separator is one message. The empty line before a
// separator belongs to the separator, and a ">" before "From " stays.
func SplitMbox(data []byte) []MboxPart {
	var parts []MboxPart
	start, begun := 0, false
	add := func(end int) {
		if begun {
			raw := data[start:end]
			if bytes.HasSuffix(raw, []byte("\n\n")) {
				raw = raw[:len(raw)-1]
			}
			parts[len(parts)-1].Raw = raw
		}
	}
	number := 0
	for at := 0; at < len(data); {
		number++
		end := len(data)
		if i := bytes.IndexByte(data[at:], '\n'); i >= 0 {
			end = at + i + 1
		}
		line := data[at:end]
		switch {
		case isSeparator(line):
			add(at)
			parts = append(parts, MboxPart{Line: number + 1})
			start, begun = end, true
		case !begun && len(bytes.TrimSpace(line)) > 0:
			parts = append(parts, MboxPart{Line: number})
			start, begun = at, true
		}
		at = end
	}
	add(len(data))
	return parts
}

// isSeparator tells a "From " line by its date, as git does (is_from_line in its builtin/mailsplit.c), so that a line of
// prose is none.
func isSeparator(line []byte) bool {
	if !bytes.HasPrefix(line, []byte("From ")) {
		return false
	}
	line = bytes.TrimRight(line, "\r\n")
	colon := bytes.LastIndexByte(line, ':')
	if colon < len("From ")+4 || colon+3 > len(line) {
		return false
	}
	for _, i := range []int{-4, -2, -1, 1, 2} {
		if c := line[colon+i]; c < '0' || c > '9' {
			return false
		}
	}
	year := bytes.TrimSpace(line[colon+3:])
	end := 0
	for end < len(year) && year[end] >= '0' && year[end] <= '9' {
		end++
	}
	n, err := strconv.Atoi(string(year[:end]))
	return err == nil && n > 90
}
