// SPDX-License-Identifier: Apache-2.0

package lint

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/seriesrig/series/patches"
)

// FromSeries makes messages of a series' files, as they are stored. Brackets, numbers, recipients and the base are those
// that its thread will have; rules about the mails themselves need the rendered thread.
func FromSeries(s *patches.Series) ([]*Message, error) {
	total := len(s.Patches)
	numbered := total > 1 || s.Cover.Body != ""
	var out []*Message
	if numbered {
		m, err := storedCover(s)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	for _, p := range s.Patches {
		ms, err := Read(p.File, bytes.NewReader(p.Raw))
		if err != nil {
			return nil, err
		}
		if len(ms) != 1 {
			return nil, &ReadError{File: p.File, Msg: fmt.Sprintf("has %d messages, want one", len(ms))}
		}
		m := ms[0]
		for _, c := range s.Changes {
			if c.Revision == s.Revision {
				m.log = strings.Join(append(slices.Clone(c.Series), c.Patches[p.Number]...), "\n")
			}
		}
		m.Subject = storedSubject(s, p.Number, numbered, m.Subject.Line, m.Subject.Summary)
		out = append(out, m)
	}
	to, cc := addresses(s.Mail.To), addresses(s.Mail.Cc)
	for _, m := range out {
		m.Stored, m.To, m.Cc = true, to, cc
	}
	return out, nil
}

func addresses(list []string) []Person {
	var out []Person
	for _, a := range list {
		out = append(out, people([]Field{{Name: "to", Value: a}}, "to")...)
	}
	return out
}

func storedSubject(s *patches.Series, n int, numbered bool, line int, summary string) Subject {
	bracket := s.Prefix
	if s.Revision > 1 {
		bracket += fmt.Sprintf(" v%d", s.Revision)
	}
	if numbered {
		total := strconv.Itoa(len(s.Patches))
		bracket += fmt.Sprintf(" %0*d/%s", len(total), n, total)
	}
	return parseSubject(Field{Line: line, Value: "[" + bracket + "] " + summary})
}

// storedCover reads cover.md, whose first line may be "# subject".
func storedCover(s *patches.Series) (*Message, error) {
	m := &Message{File: filepath.Join(s.Dir, "cover.md"), Number: 1, Line: 1, Kind: Cover}
	raw, err := os.ReadFile(m.File)
	if errors.Is(err, fs.ErrNotExist) {
		m.File = filepath.Join(s.Dir, "series.toml")
		m.Subject = storedSubject(s, 0, true, 1, s.Cover.Subject)
		return m, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read cover letter: %w", err)
	}
	r := &reader{m: m}
	lines, err := r.lines(patches.MboxPart{Line: 1, Raw: raw})
	if err != nil {
		return nil, err
	}
	for len(lines) > 0 && strings.TrimSpace(lines[0].Text) == "" {
		lines = lines[1:]
	}
	at := 1
	if len(lines) > 0 && strings.HasPrefix(lines[0].Text, "# ") {
		at, lines = lines[0].No, lines[1:]
	}
	m.Subject = storedSubject(s, 0, true, at, s.Cover.Subject)
	m.Text = lines
	m.readTags()
	return m, nil
}
