// SPDX-License-Identifier: Apache-2.0

package results

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Width is the number of columns that a mail's lines may have.
const Width = 75

// Missing is what a cell without a value shows.
const Missing = "-"

// A Table is text in rows and columns. An empty cell is a missing one: text and Markdown show it as "-", JSON as null.
type Table struct {
	Name    string     `json:"name"`
	Title   string     `json:"title,omitempty"`
	Columns []Column   `json:"columns"`
	Rows    [][]string `json:"-"` // a cell for each column
	Notes   []string   `json:"notes,omitempty"`
}

// A Column has a heading and a second line under it for the unit. Labels are the columns that say what a row is; they
// come first, and again in each block where a table is too wide for one.
type Column struct {
	Head  string `json:"head"`
	Unit  string `json:"unit,omitempty"`
	Right bool   `json:"right,omitempty"` // figures are aligned right, words left
	Label bool   `json:"label,omitempty"`
	Blank bool   `json:"blank,omitempty"` // an empty cell says nothing here, not that something is missing
}

// Filled is how many cells have a value.
func (t *Table) Filled() int {
	n := 0
	for _, row := range t.Rows {
		for _, cell := range row {
			if cell != "" {
				n++
			}
		}
	}
	return n
}

// A WidthError says that a table has a cell, or a note a word, that fits into no line.
type WidthError struct {
	Table, What string
	Width, Max  int
}

func (e *WidthError) Error() string {
	return fmt.Sprintf("table %s: %s needs %d columns, %d are there", e.Table, e.What, e.Width, e.Max)
}

// gap is what stands between two columns.
const gap = "  "

// Text renders the table with lines of at most width columns; 0 means Width. Columns that do not fit beside each other
// go into further blocks below, each with the label columns again.
func (t *Table) Text(width int) (string, error) {
	if width == 0 {
		width = Width
	}
	cells, err := t.clean()
	if err != nil {
		return "", err
	}
	heads := len(cells) - len(t.Rows)
	cells = t.foldLabels(cells, heads, width)
	blocks, err := t.blocks(cells, width)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	if t.Title != "" {
		if err := t.wrap(&b, "the title", clean(t.Title), "", "", width); err != nil {
			return "", err
		}
		b.WriteByte('\n')
	}
	for i, block := range blocks {
		if i > 0 {
			b.WriteByte('\n')
		}
		t.writeBlock(&b, cells, heads, block)
	}
	if len(t.Notes) > 0 {
		b.WriteByte('\n')
	}
	for _, note := range t.Notes {
		if err := t.wrap(&b, "a note", clean(note), "", "  ", width); err != nil {
			return "", err
		}
	}
	return b.String(), nil
}

// clean returns headings, units and rows as they are printed: no control characters, and a sign for what is missing.
func (t *Table) clean() ([][]string, error) {
	head, unit := make([]string, len(t.Columns)), make([]string, len(t.Columns))
	units := false
	for i, c := range t.Columns {
		head[i], unit[i] = clean(c.Head), clean(c.Unit)
		units = units || unit[i] != ""
	}
	cells := [][]string{head}
	if units {
		cells = append(cells, unit)
	}
	for i, row := range t.Rows {
		if len(row) != len(t.Columns) {
			return nil, fmt.Errorf("table %s: row %d has %d cells for %d columns", t.Name, i+1, len(row), len(t.Columns))
		}
		line := make([]string, len(row))
		for k, cell := range row {
			if line[k] = clean(cell); line[k] == "" && !t.Columns[k].Blank {
				line[k] = Missing
			}
		}
		cells = append(cells, line)
	}
	return cells, nil
}

// clean makes a text safe to print: a cell with a newline or an escape sequence would break out of its table.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return ' '
		}
		return r
	}, s)
	return strings.TrimSpace(s)
}

// minLabel is the number of columns below which labels are not folded.
const minLabel = 10

// foldLabels breaks labels that leave no room for the widest column beside them into several lines, at their blanks and
// slashes, the longest column of labels first. heads is the number of lines above the rows.
func (t *Table) foldLabels(cells [][]string, heads, width int) [][]string {
	limits := map[int]int{}
	widest, used := 0, 0
	for i, c := range t.Columns {
		w := columnWidth(cells, i)
		if !c.Label {
			widest = max(widest, w)
			continue
		}
		limits[i] = w
		used += w + len(gap)
	}
	for used+widest > width {
		longest := -1
		for i, w := range limits {
			if w > max(minLabel, columnWidth(cells[:heads], i)) && (longest < 0 || w > limits[longest] || w == limits[longest] && i > longest) {
				longest = i
			}
		}
		if longest < 0 {
			return cells
		}
		limits[longest]--
		used--
	}
	out := cells[:heads:heads]
	for _, row := range cells[heads:] {
		lines := [][]string{row}
		for i, limit := range limits {
			for n, piece := range fold(row[i], limit) {
				if n == len(lines) {
					lines = append(lines, make([]string, len(row)))
				}
				if n == 0 {
					lines[0] = append([]string(nil), lines[0]...)
				}
				lines[n][i] = piece
			}
		}
		out = append(out, lines...)
	}
	return out
}

// fold breaks a text into pieces of at most width characters, after a blank or a slash where there is one.
func fold(s string, width int) []string {
	var out []string
	r := []rune(s)
	for len(r) > width {
		at := width
		for i := width; i > width/3; i-- {
			if r[i-1] == '/' || r[i-1] == ' ' {
				at = i
				break
			}
		}
		out = append(out, strings.TrimRight(string(r[:at]), " "))
		r = r[at:]
	}
	return append(out, string(r))
}

// blocks shares the columns out among blocks that fit.
func (t *Table) blocks(cells [][]string, width int) ([][]int, error) {
	var labels []int
	used := 0
	for i, c := range t.Columns {
		if c.Label {
			labels = append(labels, i)
			used += columnWidth(cells, i) + len(gap)
		}
	}
	var blocks [][]int
	var block []int
	room := 0
	for i, c := range t.Columns {
		if c.Label {
			continue
		}
		w := columnWidth(cells, i)
		if used+w > width {
			return nil, &WidthError{t.Name, fmt.Sprintf("column %q beside the labels", c.Head), used + w, width}
		}
		if block == nil || room < len(gap)+w {
			if block != nil {
				blocks = append(blocks, block)
			}
			block = append([]int(nil), labels...)
			room = width - used + len(gap)
		}
		block = append(block, i)
		room -= len(gap) + w
	}
	if block == nil {
		block = labels
		if used-len(gap) > width {
			return nil, &WidthError{t.Name, "the labels", used - len(gap), width}
		}
	}
	return append(blocks, block), nil
}

func columnWidth(cells [][]string, col int) int {
	w := 0
	for _, row := range cells {
		w = max(w, utf8.RuneCountInString(row[col]))
	}
	return w
}

func (t *Table) writeBlock(b *strings.Builder, cells [][]string, heads int, block []int) {
	units := false // of this block: a table's second heading line may have none here
	for _, col := range block {
		units = units || clean(t.Columns[col].Unit) != ""
	}
	for i, row := range cells {
		if i == 1 && !units && heads > 1 {
			continue
		}
		var line strings.Builder
		for k, col := range block {
			if k > 0 {
				line.WriteString(gap)
			}
			pad := strings.Repeat(" ", columnWidth(cells, col)-utf8.RuneCountInString(row[col]))
			if t.Columns[col].Right {
				line.WriteString(pad + row[col])
			} else {
				line.WriteString(row[col] + pad)
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " "))
		b.WriteByte('\n')
	}
}

// wrap writes a text in lines of at most width columns.
func (t *Table) wrap(b *strings.Builder, what, text, first, rest string, width int) error {
	line, empty := first, true
	for _, word := range strings.Fields(text) {
		switch n := utf8.RuneCountInString(word); {
		case len(rest)+n > width:
			return &WidthError{t.Name, what, len(rest) + n, width}
		case empty:
			line, empty = line+word, false
		case utf8.RuneCountInString(line)+1+n > width:
			b.WriteString(line + "\n")
			line = rest + word
		default:
			line += " " + word
		}
	}
	b.WriteString(line + "\n")
	return nil
}
