// SPDX-License-Identifier: Apache-2.0

package maintainers

import (
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode"
)

// A perlRE is the regular expression of an N or K entry, which the script gives to Perl with the flag x.
type perlRE struct {
	source string // as the file has it
	line   int    // of its entry
	index  int    // of that line, counted as the script does

	anywhere *regexp.Regexp
	changed  *regexp.Regexp // in a line that a patch adds or deletes
	// Of each of these sets of words one has to be in a text that can match, with small letters only; without a set
	// nothing is known.
	words, changedWords []string
}

// changedLine is what the script puts before a K pattern once it is past a patch's first "---". It is put there as text,
// so that it belongs to the first alternative of a pattern that has some.
const changedLine = "^[+-].*"

func compilePerl(source string) (*perlRE, error) {
	re := &perlRE{source: source}
	text, err := translate(source, true)
	if err != nil {
		return nil, err
	}
	if re.anywhere, err = regexp.Compile(text); err != nil {
		return nil, plainError(err)
	}
	if re.changed, err = regexp.Compile(changedLine + text); err != nil {
		return nil, plainError(err)
	}
	re.words, re.changedWords = required(text), required(changedLine+text)
	return re, nil
}

// plainError makes one line of what package regexp says.
func plainError(err error) error {
	if e, ok := err.(*syntax.Error); ok {
		return &unsupportedError{string(e.Code) + ": " + e.Expr}
	}
	return err
}

// An unsupportedError says what RE2 does not have.
type unsupportedError struct{ what string }

func (e *unsupportedError) Error() string { return "not supported: " + e.what }

// The classes of Perl, which go by Unicode where those of RE2 do not.
var classes = map[byte]string{
	's': `\s\x0b\x{85}\x{a0}\p{Z}`,
	'd': `\p{Nd}`,
	'w': `\w\pL\pM\p{Nd}\p{Nl}\p{Pc}`,
}

// translate makes RE2 of Perl. With spaced (the flag x) blanks and comments are taken out. What means another thing to
// RE2 than to Perl and is accepted by both is translated; what only Perl has is an error of this function or of the
// compiler.
func translate(source string, spaced bool) (string, error) {
	var b strings.Builder
	class := false
	for i := 0; i < len(source); i++ {
		switch c := source[i]; {
		case c == '\\' && i+1 < len(source):
			i++
			next := source[i]
			switch set, ok := classes[next]; {
			case ok && class:
				b.WriteString(set)
			case ok:
				b.WriteString("[" + set + "]")
			case !class && (next == 'S' || next == 'D' || next == 'W'):
				b.WriteString("[^" + classes[next+'a'-'A'] + "]")
			case next == 'S' || next == 'D' || next == 'W', next == 'Z', next == 'C', next == 'Q', next == 'E', next >= '1' && next <= '9':
				return "", &unsupportedError{`\` + string(next)}
			case next == ' ' || next == '#' || next == '/' || next == '"' || next == '\'' || next == '@' || next == '%' || next == ',' ||
				next == ':' || next == ';' || next == '<' || next == '>' || next == '=' || next == '!' || next == '&' || next == '~' || next == '`':
				b.WriteString(regexp.QuoteMeta(string(next)))
			default:
				b.WriteByte('\\')
				b.WriteByte(next)
			}
		case class:
			class = c != ']'
			b.WriteByte(c)
		case c == '[':
			class = true
			b.WriteByte(c)
			// A bracket that comes first stands for itself.
			if strings.HasPrefix(source[i+1:], "^") {
				b.WriteByte('^')
				i++
			}
			if strings.HasPrefix(source[i+1:], "]") {
				b.WriteString(`\]`)
				i++
			}
		case spaced && (c == ' ' || c >= '\t' && c <= '\r'):
		case spaced && c == '#':
			return b.String(), nil // an entry is one line, and a comment goes to the line's end
		case c == '$':
			b.WriteString(`(?:\n?\z)`) // also before a line's end
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), nil
}

// required returns words, all in small letters, one of which is in every text that the expression matches; none where
// nothing can be said.
func required(expr string) []string {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil
	}
	return requiredOf(re.Simplify())
}

func requiredOf(re *syntax.Regexp) []string {
	switch re.Op {
	case syntax.OpLiteral:
		for _, c := range re.Rune {
			if c > unicode.MaxASCII || c == '\n' {
				return nil // the case of other letters is not worth the trouble
			}
		}
		// With the flag i, k and s also stand for a letter beyond ASCII each.
		if re.Flags&syntax.FoldCase != 0 && strings.ContainsAny(strings.ToLower(string(re.Rune)), "ks") {
			return longestPiece(re.Rune)
		}
		return []string{strings.ToLower(string(re.Rune))}
	case syntax.OpCapture, syntax.OpPlus:
		return requiredOf(re.Sub[0])
	case syntax.OpConcat:
		var best []string
		for _, sub := range re.Sub {
			if words := requiredOf(sub); better(words, best) {
				best = words
			}
		}
		return best
	case syntax.OpAlternate:
		var all []string
		for _, sub := range re.Sub {
			words := requiredOf(sub)
			if words == nil {
				return nil
			}
			all = append(all, words...)
		}
		return all
	}
	return nil
}

// longestPiece is the longest part of a word without k and s.
func longestPiece(word []rune) []string {
	best := ""
	for _, piece := range strings.FieldsFunc(strings.ToLower(string(word)), func(c rune) bool { return c == 'k' || c == 's' }) {
		if len(piece) > len(best) {
			best = piece
		}
	}
	if best == "" {
		return nil
	}
	return []string{best}
}

// better tells whether a set of words tells more than another one: its shortest word is longer.
func better(a, b []string) bool {
	return shortest(a) > shortest(b)
}

func shortest(words []string) int {
	n := 0
	for i, w := range words {
		if i == 0 || len(w) < n {
			n = len(w)
		}
	}
	return n
}

// possible tells whether a text, in small letters, has one of the words.
func possible(lower string, words []string) bool {
	if words == nil {
		return true
	}
	for _, w := range words {
		if strings.Contains(lower, w) {
			return true
		}
	}
	return false
}
