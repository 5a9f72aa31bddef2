// SPDX-License-Identifier: Apache-2.0

package maintainers

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// A pattern is an F or X entry. The script makes a regular expression of it that is bound to the start of a path only: a
// star also stands for slashes, and what follows the pattern in the path does not count, as long as there is no slash in
// it; after a pattern that ends in a slash anything may follow. Few of the eight thousand need a real regular expression,
// whose compilation would take most of the time.
type pattern struct {
	line   int     // of its entry
	prefix string  // what a path has to begin with
	rest   []token // what follows the prefix
	re     *regexp.Regexp
	slash  bool // ends in a slash
	depth  int  // slashes in the pattern
	rank   int  // how exact it is, by the script's measure; higher goes first
	// folder is the folder that is meant where there is such a one, whereupon a slash is added; "" where none can be.
	folder string
}

// A token is one step of a glob.
type token struct {
	kind    tokenKind
	literal string
	class   string // what a path's character may be; ranges as pairs of runes
	not     bool
}

type tokenKind uint8

const (
	tokenLiteral tokenKind = iota
	tokenAny               // ?
	tokenStar              // *
	tokenClass             // [a-z]
)

func compilePattern(text string) (*pattern, error) {
	p := &pattern{slash: strings.HasSuffix(text, "/"), depth: strings.Count(text, "/"), rank: strings.Count(text, "/")}
	if !p.slash {
		p.rank++
	}
	if strings.HasPrefix(text, "*") {
		p.rank = -1
	}
	// The script looks for the folder after it has made the regular expression, in which there are backslashes where the
	// pattern has full stops. The same goes for stars.
	if !p.slash && text != "" && !strings.ContainsAny(text, ".*") {
		p.folder = strings.ReplaceAll(text, "?", ".")
	}
	end := strings.IndexAny(text, `*?[](){}|^$\+`)
	if end < 0 {
		p.prefix = text
		return p, nil
	}
	tokens, ok := tokenize(text)
	if !ok {
		p.rest = nil
		source, err := translate(strings.NewReplacer(".", `\.`, "*", ".*", "?", ".").Replace(text), false)
		if err != nil {
			return nil, err
		}
		p.re, err = regexp.Compile("^" + source)
		return p, err
	}
	if tokens[0].kind == tokenLiteral {
		p.prefix, tokens = tokens[0].literal, tokens[1:]
	}
	p.rest = tokens
	return p, nil
}

// tokenize cuts a pattern into steps; not ok means that it takes a regular expression.
func tokenize(text string) (tokens []token, ok bool) {
	for i := 0; i < len(text); {
		switch c := text[i]; c {
		case '*':
			tokens = append(tokens, token{kind: tokenStar})
			i++
		case '?':
			tokens = append(tokens, token{kind: tokenAny})
			i++
		case '[':
			n := strings.IndexByte(text[i:], ']')
			if n < 2 {
				return nil, false
			}
			t, ok := classToken(text[i+1 : i+n])
			if !ok {
				return nil, false
			}
			tokens = append(tokens, t)
			i += n + 1
		case '(', ')', '{', '}', '|', '^', '$', '\\', '+', ']':
			return nil, false
		default:
			n := strings.IndexAny(text[i:], `*?[](){}|^$\+`)
			if n < 0 {
				n = len(text) - i
			}
			tokens = append(tokens, token{kind: tokenLiteral, literal: text[i : i+n]})
			i += n
		}
	}
	return tokens, true
}

// classToken reads what stands in brackets: letters, digits and ranges of them.
func classToken(in string) (token, bool) {
	t := token{kind: tokenClass}
	if rest, ok := strings.CutPrefix(in, "^"); ok {
		t.not, in = true, rest
	}
	plain := func(c byte) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_'
	}
	for i := 0; i < len(in); i++ {
		switch c := in[i]; {
		case plain(c) && i+2 < len(in) && in[i+1] == '-' && plain(in[i+2]) && c <= in[i+2]:
			t.class += string([]byte{c, in[i+2]})
			i += 2
		case plain(c), c == '-' && (i == 0 || i == len(in)-1):
			t.class += string([]byte{c, c})
		default:
			return token{}, false
		}
	}
	return t, t.class != ""
}

// matches tells whether the pattern matches the path; isFolder tells which folders there are.
func (p *pattern) matches(path string, isFolder func(string) bool) bool {
	if !p.starts(path) {
		return false
	}
	switch {
	case p.slash:
		return true
	case p.folder != "" && isFolder(p.folder):
		with := *p
		with.addSlash()
		return with.starts(path)
	}
	return strings.Count(path, "/") == p.depth
}

// addSlash makes the pattern one that ends in a slash.
func (p *pattern) addSlash() {
	switch {
	case p.re != nil:
		p.re = regexp.MustCompile(p.re.String() + "/")
	case len(p.rest) == 0:
		p.prefix += "/"
	default:
		p.rest = append(append([]token(nil), p.rest...), token{kind: tokenLiteral, literal: "/"})
	}
	p.slash = true
}

// starts tells whether the path begins with something that the pattern matches.
func (p *pattern) starts(path string) bool {
	if p.re != nil {
		return p.re.MatchString(path)
	}
	return strings.HasPrefix(path, p.prefix) && matchTokens(p.rest, path[len(p.prefix):])
}

// matchTokens matches the tokens against the start of s. Only the last star has to be tried again: a later start of what
// follows an earlier one leaves less for the rest.
func matchTokens(tokens []token, s string) bool {
	t, at := 0, 0
	star, from := -1, 0
	for t < len(tokens) {
		if tokens[t].kind == tokenStar {
			t++
			star, from = t, at
			continue
		}
		if n, ok := tokens[t].take(s[at:]); ok {
			t, at = t+1, at+n
			continue
		}
		if star < 0 || from >= len(s) {
			return false
		}
		_, n := utf8.DecodeRuneInString(s[from:])
		from += n
		t, at = star, from
	}
	return true
}

// take matches one token other than a star, and tells how many bytes it took.
func (t token) take(s string) (int, bool) {
	switch t.kind {
	case tokenLiteral:
		return len(t.literal), strings.HasPrefix(s, t.literal)
	case tokenAny:
		_, n := utf8.DecodeRuneInString(s)
		return n, n > 0
	}
	c, n := utf8.DecodeRuneInString(s)
	if n == 0 {
		return 0, false
	}
	in := false
	for i := 0; i < len(t.class); i += 2 {
		in = in || c >= rune(t.class[i]) && c <= rune(t.class[i+1])
	}
	return n, in != t.not
}
