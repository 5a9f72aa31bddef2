// SPDX-License-Identifier: Apache-2.0

package maintainers

import (
	"io/fs"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// perlBlank is a blank of Perl's \s, which goes by Unicode.
const perlBlank = `[\s\x0b\x{85}\x{a0}\p{Z}]`

var (
	inFileForm = regexp.MustCompile(`[\p{L}"' ,.+-]*` + perlBlank + `*,*` + perlBlank + `*[(<{]?[A-Za-z0-9_.+-]+@[A-Za-z0-9.-]+\.[A-Za-z0-9]+[)>}]?`)
	bracketed  = regexp.MustCompile(`[(<{]?([A-Za-z0-9_.+-]+@[A-Za-z0-9.-]+)[)>}]?`)
)

// inFile returns the addresses that a device-tree binding names as its maintainers.
func (f *Finder) inFile(name string) []addr {
	if f.Tree == nil || !strings.HasSuffix(name, ".yaml") || !fs.ValidPath(name) {
		return nil
	}
	file, err := f.Tree.ReadFile(name)
	if err != nil || file.Mode&fs.ModeType != 0 {
		return nil // a new one
	}
	text := string(file.Data)
	if !utf8.ValidString(text) || !strings.Contains(text, "@") {
		return nil
	}
	var out []addr
	for _, found := range inFileForm.FindAllString(text, -1) {
		if a := cleanInFile(found); a.check() == nil {
			out = append(out, a)
		}
	}
	return out
}

// cleanInFile makes an address of text that a file has around one: of the words before it the last two are the name, or
// the last three where one of them is an initial.
func cleanInFile(text string) addr {
	a := parseEmail(bracketed.ReplaceAllString(text, "<$1>"))
	name := a.name
	if len(name) >= 2 && name[0] == '"' && name[len(name)-1] == '"' {
		name = name[1 : len(name)-1]
	}
	var words []string
	for _, w := range splitName(name) {
		if len(w) != 1 || !strings.Contains("',.+-", w) {
			words = append(words, w)
		}
	}
	if n := len(words); n > 2 {
		first, middle, last := words[n-3], words[n-2], words[n-1]
		if isInitial(first, true) || isInitial(middle, false) {
			name = first + " " + middle + " " + last
		} else {
			name = middle + " " + last
		}
	} else {
		name = strings.Join(words, " ")
	}
	name = trimOne(name, strings.HasSuffix, func(s string) string { return s[:len(s)-1] })
	name = trimOne(name, strings.HasPrefix, func(s string) string { return s[1:] })
	return newAddr(name, a.address)
}

// splitName cuts a name at everything that a name does not have. Empty words count, but for those at the end.
func splitName(name string) []string {
	var words []string
	start := 0
	for i, c := range name {
		if !unicode.IsLetter(c) && !strings.ContainsRune("',.+-", c) {
			words = append(words, name[start:i])
			start = i + utf8.RuneLen(c)
		}
	}
	words = append(words, name[start:])
	for len(words) > 0 && words[len(words)-1] == "" {
		words = words[:len(words)-1]
	}
	return words
}

// isInitial tells whether a word is one letter, with a full stop or not; with strict it must be a letter.
func isInitial(word string, strict bool) bool {
	c, size := utf8.DecodeRuneInString(word)
	switch utf8.RuneCountInString(word) {
	case 1:
		return !strict || unicode.IsLetter(c)
	case 2:
		return word[size:] == "."
	}
	return false
}

// trimOne takes a comma or a full stop off one end.
func trimOne(s string, has func(s, part string) bool, cut func(string) string) string {
	if has(s, ",") || has(s, ".") {
		return cut(s)
	}
	return s
}
