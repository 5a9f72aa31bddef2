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
	// Parts are the places for what is made of the patches: {{diffstat}}, {{shortlog}} and {{changes}}, without brackets.
	// What has no place is put at the end of the letter.
	Parts []string `json:"parts,omitempty"`
}

// Limits on a cover letter, in bytes: mailing lists refuse far less.
const maxCoverSize = 1 << 20

var (
	placeForm = regexp.MustCompile(`\{\{.*?\}\}|\{\{`)
	tableForm = regexp.MustCompile(`^\{\{\s*table\s+"([a-z0-9][a-z0-9-]*)"\s*\}\}$`)
	partForm  = regexp.MustCompile(`^\{\{\s*(diffstat|shortlog|changes)\s*\}\}$`)
	wordsForm = regexp.MustCompile(`^\{\{\s*verdicts\s*\}\}$`)
)

// bracePlace is how a cover letter says "{{".
const bracePlace = `{{"{{"}}`

// EscapePlaces returns a text in which "{{" is no place: Fill gives the text back.
func EscapePlaces(text string) string { return strings.ReplaceAll(text, "{{", bracePlace) }

// readPlace tells what a place is for: a table's name, a part's, or the two brackets themselves.
func readPlace(place string) (table, part string, ok bool) {
	if m := tableForm.FindStringSubmatch(place); m != nil {
		return m[1], "", true
	}
	if m := partForm.FindStringSubmatch(place); m != nil {
		return "", m[1], true
	}
	if wordsForm.MatchString(place) {
		return "verdicts", "", true
	}
	return "", "", place == bracePlace
}

// Fill returns the body with each place {{table "name"}} replaced by what table returns for the name ({{verdicts}} is
// short for the table of that name), and each of the other parts by what part returns; part may be nil where there are
// none.
func (c Cover) Fill(table func(name string) (string, error), part func(name string) string) (string, error) {
	var b strings.Builder
	last := 0
	for _, at := range placeForm.FindAllStringIndex(c.Body, -1) {
		place := c.Body[at[0]:at[1]]
		name, kind, ok := readPlace(place)
		if !ok || kind != "" && part == nil {
			return "", fmt.Errorf("cover letter: bad place %s", place)
		}
		text := "{{"
		switch {
		case name != "":
			var err error
			if text, err = table(name); err != nil {
				return "", fmt.Errorf("cover letter: table %q: %w", name, err)
			}
		case kind != "":
			text = part(kind)
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
		name, part, ok := readPlace(place)
		if !ok || at[0] < start {
			return Cover{}, &InputError{File: path, Line: lineAt(raw, at[0]), Msg: fmt.Sprintf(
				"%s: the places that can be filled are {{table \"name\"}}, {{verdicts}}, {{diffstat}}, {{shortlog}} and {{changes}}, in the body; %s stands for {{", place, bracePlace)}
		}
		if name != "" {
			c.Tables = append(c.Tables, name)
		}
		if part != "" {
			c.Parts = append(c.Parts, part)
		}
	}
	return c, nil
}
