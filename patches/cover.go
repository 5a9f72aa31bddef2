// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"unicode/utf8"
)

// A Cover is the cover letter of a series, before its tables are filled in.
type Cover struct {
	Subject string `json:"subject"` // without [PATCH 0/n]
	Body    string `json:"-"`       // ends with a newline unless empty
	// Tables are the names of the {{table "name"}} places in the body, in order.
	Tables []string `json:"tables,omitempty"`
}

// Limits on a cover letter, in bytes: mailing lists refuse far less.
const maxCoverSize = 1 << 20

var (
	placeForm = regexp.MustCompile(`\{\{.*?\}\}|\{\{`)
	tableForm = regexp.MustCompile(`^\{\{\s*table\s+"([a-z0-9][a-z0-9-]*)"\s*\}\}$`)
)

// Fill returns the body with each place {{table "name"}} replaced by what table returns for the name.
func (c Cover) Fill(table func(name string) (string, error)) (string, error) {
	var b strings.Builder
	last := 0
	for _, at := range placeForm.FindAllStringIndex(c.Body, -1) {
		m := tableForm.FindStringSubmatch(c.Body[at[0]:at[1]])
		if m == nil {
			return "", fmt.Errorf("cover letter: bad place %s", c.Body[at[0]:at[1]])
		}
		text, err := table(m[1])
		if err != nil {
			return "", fmt.Errorf("cover letter: table %q: %w", m[1], err)
		}
		b.WriteString(c.Body[last:at[0]])
		b.WriteString(text)
		last = at[1]
	}
	b.WriteString(c.Body[last:])
	return b.String(), nil
}

// loadCover reads cover.md. A first line "# subject" is the subject; without one the subject is the series' title. A
// series without the file has a cover letter without a body.
func loadCover(path, title string) (Cover, error) {
	raw, err := readRegular(path, maxCoverSize)
	if errors.Is(err, fs.ErrNotExist) {
		return Cover{Subject: title}, nil
	}
	if err != nil {
		return Cover{}, err
	}
	return parseCover(path, raw, title)
}

func parseCover(path string, raw []byte, title string) (Cover, error) {
	if !utf8.Valid(raw) || strings.IndexByte(string(raw), 0) >= 0 {
		return Cover{}, &InputError{File: path, Msg: "is not UTF-8 text"}
	}
	text := string(raw)
	if i := strings.IndexByte(text, '\r'); i >= 0 {
		return Cover{}, &InputError{File: path, Line: lineAt(raw, i), Msg: "carriage return; cover letters have plain line ends"}
	}
	c := Cover{Subject: title}
	body := strings.TrimLeft(text, "\n")
	if rest, ok := strings.CutPrefix(body, "# "); ok {
		subject, after, _ := strings.Cut(rest, "\n")
		if subject = strings.Join(strings.Fields(subject), " "); subject == "" {
			return Cover{}, &InputError{File: path, Line: 1 + len(text) - len(body), Msg: "empty heading: it is the cover letter's subject"}
		}
		c.Subject, body = subject, strings.TrimLeft(after, "\n")
	}
	if body = strings.TrimRight(body, " \t\n"); body != "" {
		c.Body = body + "\n"
	}
	// The places are searched in the whole file, so that the line is the file's and one in the subject is found.
	start := len(strings.TrimRight(text, " \t\n")) - len(body)
	for _, at := range placeForm.FindAllStringIndex(text, -1) {
		place := text[at[0]:at[1]]
		m := tableForm.FindStringSubmatch(place)
		if m == nil || at[0] < start {
			return Cover{}, &InputError{File: path, Line: lineAt(raw, at[0]), Msg: fmt.Sprintf("%s: the places that can be filled are {{table \"name\"}}, in the body", place)}
		}
		c.Tables = append(c.Tables, m[1])
	}
	return c, nil
}
