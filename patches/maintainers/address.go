// SPDX-License-Identifier: Apache-2.0

package maintainers

import (
	"fmt"
	"net/mail"
	"strings"
	"unicode"
	"unicode/utf8"
)

// An addr is a name and an address as the script keeps them: the name in quotes, with its own quotes escaped, where it
// has anything but letters, digits, blanks and hyphens of ASCII.
type addr struct{ name, address string }

// String is the form that the script prints and compares.
func (a addr) String() string {
	if a.name == "" {
		return a.address
	}
	return a.name + " <" + a.address + ">"
}

// mail returns the address with its plain name.
func (a addr) mail() mail.Address {
	name := a.name
	if len(name) >= 2 && name[0] == '"' && name[len(name)-1] == '"' {
		name = strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(name[1 : len(name)-1])
	}
	return mail.Address{Name: strings.Join(strings.Fields(name), " "), Address: a.address}
}

// check refuses what is no address, or could become something else in a header or on a terminal.
func (a addr) check() error {
	local, domain, _ := strings.Cut(a.address, "@")
	switch {
	case local == "" || domain == "" || strings.Contains(domain, "@"):
		return fmt.Errorf("%q is no mail address", a.address)
	case strings.ContainsFunc(a.address, func(c rune) bool {
		return c <= ' ' || c >= 0x7f || strings.ContainsRune("<>,;:\"()[]\\", c)
	}), domain[0] == '.' || domain[0] == '-', strings.Contains(domain, ".."):
		return fmt.Errorf("%q is no mail address", a.address)
	case !utf8.ValidString(a.name) || strings.ContainsFunc(a.name, unprintable):
		return fmt.Errorf("the name %q has a control character", a.name)
	}
	return nil
}

// newAddr makes an addr of a name, quoted or not, and an address.
func newAddr(name, address string) addr {
	name = strings.TrimFunc(name, unicode.IsSpace)
	name = strings.TrimSuffix(strings.TrimPrefix(name, `"`), `"`)
	return addr{quote(name), strings.TrimFunc(address, unicode.IsSpace)}
}

// quote puts a name in quotes where it needs them.
func quote(name string) string {
	plain := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == ' ' || c == '-'
	}
	if !strings.ContainsFunc(name, func(c rune) bool { return !plain(c) }) {
		return name
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(name); i++ {
		if name[i] == '"' && (i == 0 || name[i-1] != '\\') {
			b.WriteByte('\\')
		}
		b.WriteByte(name[i])
	}
	b.WriteByte('"')
	return b.String()
}

// parseEmail reads an address as the script does: `Name <address> whatever`, or an address alone.
func parseEmail(text string) addr {
	name, rest, ok := strings.Cut(text, "<")
	if ok {
		if end := strings.LastIndexByte(rest, '>'); end > 0 && strings.LastIndexByte(rest[:end], '@') > 0 {
			if name == "" || strings.TrimFunc(name, unicode.IsSpace) == "" {
				name = ""
			}
			return newAddr(name, rest[:end])
		}
	}
	// Up to the first blank after the last @.
	at := strings.LastIndexByte(text, '@')
	if at < 1 {
		return addr{}
	}
	end := at + 1
	if n := strings.IndexFunc(text[end:], unicode.IsSpace); n >= 0 {
		end += n
	} else {
		end = len(text)
	}
	return newAddr("", text[:end])
}

// splitAddresses cuts a list of addresses, where the text is one: a comma in a name or a comment is no separator, and what
// is no list of addresses as a whole is taken as one address.
func splitAddresses(text string) []string {
	var parts []string
	quoted, depth, angle, start := false, 0, false, 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\':
			i++
		case c == '"' && depth == 0:
			quoted = !quoted
		case quoted:
		case c == '(':
			depth++
		case c == ')':
			depth = max(0, depth-1)
		case depth > 0:
		case c == '<':
			angle = true
		case c == '>':
			angle = false
		case c == ',' && !angle:
			parts = append(parts, text[start:i])
			start = i + 1
		}
	}
	parts = append(parts, text[start:])
	var out []string
	for _, p := range parts {
		if strings.TrimSpace(p) == "" {
			continue
		}
		if parseEmail(p).check() != nil {
			return []string{text}
		}
		out = append(out, p)
	}
	if len(out) == 0 {
		return []string{text}
	}
	return out
}
