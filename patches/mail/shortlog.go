// SPDX-License-Identifier: Apache-2.0

package mail

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/seriesrig/series/patches"
)

// coverWidth is where git wraps what it writes into a cover letter (MAIL_DEFAULT_WRAP).
const coverWidth = 72

// shortlog lists the subjects by author, as git shortlog does in a cover letter.
func shortlog(ps []*patches.Patch) string {
	subjects := make(map[string][]string)
	var authors []string
	for _, p := range ps {
		if subjects[p.Author.Name] == nil {
			authors = append(authors, p.Author.Name)
		}
		subjects[p.Author.Name] = append(subjects[p.Author.Name], p.Subject)
	}
	slices.Sort(authors)
	var b strings.Builder
	for _, a := range authors {
		fmt.Fprintf(&b, "%s (%d):\n", a, len(subjects[a]))
		for _, s := range subjects[a] {
			b.WriteString(wrap(s, "  ", "    ", coverWidth) + "\n")
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// wrap breaks a text at blanks so that no line has more than width columns, where its words allow that.
func wrap(text, first, rest string, width int) string {
	var b strings.Builder
	line, empty := first, true
	for _, word := range strings.Fields(text) {
		switch {
		case empty:
			line, empty = line+word, false
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width:
			b.WriteString(line + "\n")
			line = rest + word
		default:
			line += " " + word
		}
	}
	return b.String() + line
}
