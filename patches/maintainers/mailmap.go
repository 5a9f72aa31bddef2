// SPDX-License-Identifier: Apache-2.0

package maintainers

import (
	"io"
	"strings"
	"unicode"
)

// A Mailmap says which address and name people want to be known by (gitmailmap(5)). The nil Mailmap changes nothing.
type Mailmap struct {
	names     map[string]string // by address, or by "name <address>"
	addresses map[string]string
}

// ParseMailmap reads a .mailmap; name is its name for errors, which are as those of Parse. A line of another form is
// passed over, as the script does.
func ParseMailmap(name string, r io.Reader) (*Mailmap, error) {
	text, err := readText(name, r)
	if err != nil {
		return nil, err
	}
	m := &Mailmap{map[string]string{}, map[string]string{}}
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		m.line(strings.TrimFunc(line, unicode.IsSpace))
	}
	return m, nil
}

func (m *Mailmap) line(line string) {
	before, last, ok := cutLast(line)
	if !ok {
		return
	}
	before = strings.TrimRightFunc(before, unicode.IsSpace)
	if !strings.Contains(before, "<") {
		if before != "" { // name <address>
			a := newAddr(before, last)
			m.names[a.address] = a.name
		}
		return
	}
	if real, middle, ok := cutLast(before); ok {
		real = strings.TrimRightFunc(real, unicode.IsSpace)
		if real == "" { // <address> <wrong>
			if newAddr("", middle).check() == nil {
				m.addresses[last] = middle
			}
			return
		}
		if a := newAddr(real, middle); a.check() == nil { // name <address> <wrong>
			m.names[last], m.addresses[last] = a.name, a.address
		}
		return
	}
	// name <address> wrong name <wrong>
	open := strings.LastIndexByte(before, '<')
	end := strings.IndexByte(before[open:], '>')
	if end < 2 || strings.TrimFunc(before[:open], unicode.IsSpace) == "" {
		return
	}
	a := newAddr(before[:open], before[open+1:open+end])
	if a.check() == nil {
		wrong := newAddr(before[open+end+1:], last).String()
		m.names[wrong], m.addresses[wrong] = a.name, a.address
	}
}

// cutLast cuts `before <inside>` at its last pair of brackets.
func cutLast(s string) (before, inside string, ok bool) {
	if !strings.HasSuffix(s, ">") {
		return "", "", false
	}
	open := strings.LastIndexByte(s, '<')
	if open < 0 || open+2 >= len(s) {
		return "", "", false
	}
	return s[:open], s[open+1 : len(s)-1], true
}

// apply returns the address as it is to be used.
func (m *Mailmap) apply(a addr) addr {
	if m == nil {
		return a
	}
	key := a.String()
	name, byName := m.names[key]
	address, byAddress := m.addresses[key]
	if !byName && !byAddress {
		name, byName = m.names[a.address]
		address, byAddress = m.addresses[a.address]
	}
	if !byName {
		name = a.name
	}
	if !byAddress {
		address = a.address
	}
	return newAddr(name, address)
}
