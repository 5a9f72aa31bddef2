// SPDX-License-Identifier: Apache-2.0

package linker

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
)

// A script is what a linker script says about where input sections go: its output sections with their input patterns, in
// the order in which ld tries them. Expressions, addresses and program headers' contents are not looked at.
type script struct {
	outputs []scriptOutput
	phdrs   map[string]string // name to the FLAGS(...) that the script gives it, "" when it leaves them to the linker
}

type scriptOutput struct {
	name     string
	typ      string // the text in (...) before the colon, such as READONLY
	patterns []scriptPattern
}

type scriptPattern struct{ file, section string }

// maxScript is the limit on a linker script, in bytes. The kernel's are of some 30 KB.
const maxScript = 4 << 20

// maxDepth is how deep parentheses are followed; KEEP(*(SORT(x))) is 3.
const maxDepth = 8

func readScript(name string) (*script, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxScript+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxScript {
		return nil, fmt.Errorf("%s: larger than %d bytes, which no linker script is", name, maxScript)
	}
	return parseScript(string(b)), nil
}

// output returns the output section that takes an input section in: that of the first pattern that matches, as the
// manual of ld says.
func (s *script) output(file, section string) (string, bool) {
	for _, o := range s.outputs {
		for _, p := range o.patterns {
			if glob(p.file, file) && glob(p.section, section) {
				return o.name, true
			}
		}
	}
	return "", false
}

func (s *script) find(name string) *scriptOutput {
	for i := range s.outputs {
		if s.outputs[i].name == name {
			return &s.outputs[i]
		}
	}
	return nil
}

// forced lists the program headers whose flags the script sets.
func (s *script) forced() string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(s.phdrs)) {
		if s.phdrs[name] != "" {
			all = append(all, fmt.Sprintf("%s FLAGS(%s)", show(name), show(s.phdrs[name])))
		}
	}
	return strings.Join(all, ", ")
}

// glob matches as ld does, for which a slash is a character like others.
func glob(pattern, name string) bool {
	if pattern == "*" || pattern == name {
		return true
	}
	slash := strings.NewReplacer("/", "\x00")
	ok, err := path.Match(slash.Replace(pattern), slash.Replace(name))
	return ok && err == nil
}

// tokens splits a script: names and patterns as ld reads them, and the characters that stand for themselves. Braces,
// parentheses and semicolons are tokens; so are the signs of assignments.
func tokens(text string) []string {
	var out []string
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case strings.HasPrefix(text[i:], "/*"):
			end := strings.Index(text[i+2:], "*/")
			if end < 0 {
				return out
			}
			i += end + 4
		case c == '#': // what the preprocessor left
			for i < len(text) && text[i] != '\n' {
				i++
			}
		case c == '"':
			end := strings.IndexByte(text[i+1:], '"')
			if end < 0 {
				return out
			}
			out = append(out, text[i+1:i+1+end])
			i += end + 2
		case strings.IndexByte("{}();,", c) >= 0:
			out = append(out, text[i:i+1])
			i++
		case c <= ' ':
			i++
		default:
			j := i
			for j < len(text) && text[j] > ' ' && strings.IndexByte("{}();,\"", text[j]) < 0 && !strings.HasPrefix(text[j:], "/*") {
				j++
			}
			out = append(out, text[i:j])
			i = j
		}
	}
	return out
}

// A scanner walks over tokens; at the end it gives "".
type scanner struct {
	t []string
	i int
}

func (s *scanner) peek(ahead int) string {
	if s.i+ahead < len(s.t) {
		return s.t[s.i+ahead]
	}
	return ""
}

func (s *scanner) next() string {
	t := s.peek(0)
	s.i++
	return t
}

// balanced takes the tokens up to the one that closes what has just been opened, without it.
func (s *scanner) balanced(open, closing string) []string {
	from, depth := s.i, 1
	for s.i < len(s.t) {
		switch s.next() {
		case open:
			depth++
		case closing:
			if depth--; depth == 0 {
				return s.t[from : s.i-1]
			}
		}
	}
	return s.t[min(from, len(s.t)):]
}

// assignment skips an assignment such as "x = y;" when one stands here.
func (s *scanner) assignment() bool {
	switch s.peek(1) {
	case "=", "+=", "-=", "*=", "/=", "<<=", ">>=", "&=", "|=":
	default:
		return false
	}
	for t := s.next(); t != ";" && t != ""; t = s.next() {
	}
	return true
}

func parseScript(text string) *script {
	sc := &script{phdrs: map[string]string{}}
	s := &scanner{t: tokens(text)}
	for s.peek(0) != "" {
		switch {
		case s.peek(0) == "SECTIONS" && s.peek(1) == "{":
			s.i += 2
			sc.sections(&scanner{t: s.balanced("{", "}")})
		case s.peek(0) == "PHDRS" && s.peek(1) == "{":
			s.i += 2
			sc.headers(&scanner{t: s.balanced("{", "}")})
		default:
			s.next()
		}
	}
	return sc
}

// headers reads "text PT_LOAD FLAGS(5);".
func (sc *script) headers(s *scanner) {
	for name := s.next(); name != ""; name = s.next() {
		value := ""
		for t := s.next(); t != ";" && t != ""; t = s.next() {
			if t == "FLAGS" && s.peek(0) == "(" {
				s.next()
				value = strings.Join(s.balanced("(", ")"), " ")
			}
		}
		sc.phdrs[name] = value
	}
}

// sections reads the statements in SECTIONS. An output section is a name with a brace behind it before any semicolon.
func (sc *script) sections(s *scanner) {
	for s.peek(0) != "" {
		if s.peek(0) == ";" || s.peek(0) == "}" {
			s.next()
			continue
		}
		if s.assignment() {
			continue
		}
		o := scriptOutput{name: s.next()}
		for done := false; !done; {
			switch t := s.next(); t {
			case "", ";":
				done = true
			case "(":
				o.typ += strings.Join(s.balanced("(", ")"), " ") + " "
			case "{":
				o.patterns = inputs(&scanner{t: s.balanced("{", "}")}, 0)
				sc.outputs = append(sc.outputs, o)
				sc.trailer(s)
				done = true
			}
		}
	}
}

// trailer skips what may stand behind an output section: ":phdr", ">region", "=fill".
func (sc *script) trailer(s *scanner) {
	for {
		t := s.peek(0)
		if t == "" || strings.IndexByte(":>=", t[0]) < 0 && t != "AT>" {
			return
		}
		if s.next(); len(t) == 1 || t == "AT>" {
			s.next()
		}
	}
}

// inputs reads the body of an output section. What has parentheses behind it is an input description when it can be the
// name of a file, and a function or a command otherwise.
func inputs(s *scanner, depth int) []scriptPattern {
	var all []scriptPattern
	for s.peek(0) != "" && depth < maxDepth {
		if s.assignment() {
			continue
		}
		t := s.next()
		if s.peek(0) != "(" || t == "(" || t == ")" || t == ";" {
			continue
		}
		s.next()
		body := s.balanced("(", ")")
		switch {
		case t == "KEEP":
			all = append(all, inputs(&scanner{t: body}, depth+1)...)
		case strings.ContainsAny(t, "*?[./"):
			for _, p := range names(&scanner{t: body}, 0) {
				all = append(all, scriptPattern{t, p})
			}
		}
	}
	return all
}

// names reads section patterns, also those within SORT and the like, and leaves out what EXCLUDE_FILE holds.
func names(s *scanner, depth int) []string {
	var all []string
	for t := s.next(); t != "" && depth < maxDepth; t = s.next() {
		if s.peek(0) == "(" {
			s.next()
			if body := s.balanced("(", ")"); t != "EXCLUDE_FILE" {
				all = append(all, names(&scanner{t: body}, depth+1)...)
			}
			continue
		}
		if t != "," && t != ")" && t != "(" {
			all = append(all, t)
		}
	}
	return all
}
