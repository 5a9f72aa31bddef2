// SPDX-License-Identifier: Apache-2.0

package kconfig

import (
	"fmt"
	"strings"
)

// A token is a word, an operator, or a string with its quotes.
type token struct {
	text   string
	quoted bool
}

// lex splits a line of a Kconfig file. A comment ends it.
func lex(line string) []token {
	var out []token
	for i := 0; i < len(line); {
		c := line[i]
		switch {
		case c == ' ' || c == '\t':
			i++
		case c == '#':
			return out
		case c == '"' || c == '\'':
			s, n := quoted(line[i:])
			out = append(out, token{s, true})
			i += n
		case strings.HasPrefix(line[i:], "&&") || strings.HasPrefix(line[i:], "||") || strings.HasPrefix(line[i:], "!=") ||
			strings.HasPrefix(line[i:], "<=") || strings.HasPrefix(line[i:], ">=") || strings.HasPrefix(line[i:], ":=") || strings.HasPrefix(line[i:], "+="):
			out = append(out, token{line[i : i+2], false})
			i += 2
		case strings.IndexByte("!=<>()", c) >= 0:
			out = append(out, token{line[i : i+1], false})
			i++
		default:
			n := word(line[i:])
			out = append(out, token{line[i : i+n], false})
			i += n
		}
	}
	return out
}

// quoted reads a string up to its closing quote, or to the end.
func quoted(s string) (text string, n int) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			if i++; i < len(s) {
				b.WriteByte(s[i])
			}
		case s[0]:
			return b.String(), i + 1
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), len(s)
}

// word is the length of a word, in which $(…) with all that is in it counts as one character.
func word(s string) int {
	i := 0
	for i < len(s) {
		if strings.HasPrefix(s[i:], "$(") {
			depth := 0
			for ; i < len(s); i++ {
				if s[i] == '(' {
					depth++
				} else if s[i] == ')' {
					if depth--; depth == 0 {
						break
					}
				}
			}
			if i < len(s) {
				i++
			}
			continue
		}
		if strings.IndexByte(" \t#\"'!=<>()&|", s[i]) >= 0 {
			break
		}
		i++
	}
	return max(i, 1)
}

// An exprParser parses expressions by recursive descent: or, and, not, comparison.
type exprParser struct {
	toks  []token
	depth int
}

const maxDepth = 200

func (p *exprParser) peek() string {
	if len(p.toks) == 0 || p.toks[0].quoted {
		return ""
	}
	return p.toks[0].text
}

func (p *exprParser) parse() (expr, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, fmt.Errorf("expression nested deeper than %d", maxDepth)
	}
	defer func() { p.depth-- }()
	x, err := p.and()
	for err == nil && p.peek() == "||" {
		p.toks = p.toks[1:]
		var y expr
		if y, err = p.and(); err == nil {
			x = orExpr{x, y}
		}
	}
	return x, err
}

func (p *exprParser) and() (expr, error) {
	x, err := p.not()
	for err == nil && p.peek() == "&&" {
		p.toks = p.toks[1:]
		var y expr
		if y, err = p.not(); err == nil {
			x = andExpr{x, y}
		}
	}
	return x, err
}

func (p *exprParser) not() (expr, error) {
	if p.peek() == "!" {
		if p.depth++; p.depth > maxDepth {
			return nil, fmt.Errorf("expression nested deeper than %d", maxDepth)
		}
		defer func() { p.depth-- }()
		p.toks = p.toks[1:]
		x, err := p.not()
		return notExpr{x}, err
	}
	if p.peek() == "(" {
		p.toks = p.toks[1:]
		x, err := p.parse()
		if err == nil && p.peek() != ")" {
			return nil, fmt.Errorf("no closing parenthesis")
		}
		if err == nil {
			p.toks = p.toks[1:]
		}
		return x, err
	}
	x, err := p.operand()
	if err != nil {
		return nil, err
	}
	switch op := p.peek(); op {
	case "=", "!=", "<", "<=", ">", ">=":
		p.toks = p.toks[1:]
		y, err := p.operand()
		return cmpExpr{op, x, y}, err
	}
	return x, nil
}

func (p *exprParser) operand() (expr, error) {
	if len(p.toks) == 0 {
		return nil, fmt.Errorf("expression ends early")
	}
	t := p.toks[0]
	p.toks = p.toks[1:]
	switch {
	case strings.Contains(t.text, "$("):
		return macroExpr(t.text), nil
	case t.quoted && (t.text == "y" || t.text == "m" || t.text == "n"):
		return constExpr(t.text), nil
	case t.quoted:
		return constExpr(`"` + t.text + `"`), nil
	case t.text == "y" || t.text == "m" || t.text == "n" || numeric(t.text):
		return constExpr(t.text), nil
	case isName(t.text):
		return symExpr(t.text), nil
	}
	return nil, fmt.Errorf("%q is not expected here", t.text)
}

func numeric(s string) bool {
	return s[0] == '-' && len(s) > 1 || s[0] >= '0' && s[0] <= '9' && strings.Trim(s, "0123456789abcdefABCDEFxX") == ""
}

func isName(s string) bool {
	for _, c := range []byte(s) {
		if !(c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_') {
			return false
		}
	}
	return s != ""
}
