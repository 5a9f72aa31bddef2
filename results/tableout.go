// SPDX-License-Identifier: Apache-2.0

package results

import (
	"encoding/json"
	"strings"
)

// MarshalJSON renders the table as an object with name, title, columns, rows and notes; a missing cell is null.
func (t *Table) MarshalJSON() ([]byte, error) {
	type plain Table // without this method
	rows := make([][]*string, 0, len(t.Rows))
	for _, row := range t.Rows {
		line := make([]*string, len(row))
		for i := range row {
			if row[i] != "" {
				line[i] = &row[i]
			}
		}
		rows = append(rows, line)
	}
	return json.Marshal(struct {
		*plain
		Rows [][]*string `json:"rows"`
	}{(*plain)(t), rows})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (t *Table) UnmarshalJSON(data []byte) error {
	type plain Table
	in := struct {
		*plain
		Rows [][]*string `json:"rows"`
	}{plain: (*plain)(t)}
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	t.Rows = nil
	for _, row := range in.Rows {
		line := make([]string, len(row))
		for i, cell := range row {
			if cell != nil {
				line[i] = *cell
			}
		}
		t.Rows = append(t.Rows, line)
	}
	return nil
}

// Markdown renders the table in the form that GitHub and GitLab show.
func (t *Table) Markdown() (string, error) {
	cells, err := t.clean()
	if err != nil {
		return "", err
	}
	head := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		head[i] = clean(c.Head)
		if unit := clean(c.Unit); unit != "" {
			head[i] += " (" + unit + ")"
		}
	}
	var b strings.Builder
	if t.Title != "" {
		b.WriteString("**" + escapeMarkdown(clean(t.Title)) + "**\n\n")
	}
	writeRow := func(row []string) {
		for _, cell := range row {
			b.WriteString("| " + escapeMarkdown(cell) + " ")
		}
		b.WriteString("|\n")
	}
	writeRow(head)
	for _, c := range t.Columns {
		if c.Right {
			b.WriteString("| ---: ")
		} else {
			b.WriteString("| :--- ")
		}
	}
	b.WriteString("|\n")
	for _, row := range cells[len(cells)-len(t.Rows):] {
		writeRow(row)
	}
	for _, note := range t.Notes {
		b.WriteString("\n" + escapeMarkdown(clean(note)) + "\n")
	}
	return b.String(), nil
}

var markdownEscaper = strings.NewReplacer(`\`, `\\`, "|", `\|`, "*", `\*`, "_", `\_`, "`", "\\`", "<", "&lt;", "[", `\[`)

func escapeMarkdown(s string) string { return markdownEscaper.Replace(s) }
