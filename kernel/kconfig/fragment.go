// SPDX-License-Identifier: Apache-2.0

// Package kconfig reads configuration fragments and resolved configurations in the kernel's .config syntax, and Kconfig
// files well enough to say why a symbol that was asked for is not there.
package kconfig

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A Setting is one symbol with the value that it is to have, and where it says so.
type Setting struct {
	Symbol string // without CONFIG_
	Value  string // y, m, n, a number, or a string in quotes as it stands in the file
	File   string
	Line   int
}

// String is the line of a .config.
func (s Setting) String() string {
	if s.Value == "n" {
		return "# CONFIG_" + s.Symbol + " is not set"
	}
	return "CONFIG_" + s.Symbol + "=" + s.Value
}

// Pos is FILE:LINE.
func (s Setting) Pos() string { return s.File + ":" + strconv.Itoa(s.Line) }

// A Fragment is a part of a configuration: one concern, one file.
type Fragment struct {
	Name     string
	Settings []Setting // no symbol twice
}

// maxFragment bounds a file, in bytes. A whole .config of a distribution has 300 kB.
const maxFragment = 8 << 20

// A SyntaxError is a line that is not .config syntax, or that contradicts another of the same file.
type SyntaxError struct {
	File string
	Line int
	Msg  string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Msg) }

var (
	setForm   = regexp.MustCompile(`^CONFIG_([A-Za-z0-9_]+)=(.*)$`)
	unsetForm = regexp.MustCompile(`^# CONFIG_([A-Za-z0-9_]+) is not set$`)
	nearUnset = regexp.MustCompile(`(?i)^#\s*CONFIG_([A-Za-z0-9_]+) +(is +)?not +set`)
	valueForm = regexp.MustCompile(`^(?:[ymn]|-?[0-9]+|0[xX][0-9a-fA-F]+|"(?:[^"\\]|\\.)*")$`)
)

// Parse reads a fragment; name is the file's, for errors. Its grammar is that of .config: CONFIG_X=VALUE,
// "# CONFIG_X is not set", and comments.
func Parse(r io.Reader, name string) (*Fragment, error) {
	f := &Fragment{Name: name}
	at := map[string]int{}
	data, err := io.ReadAll(io.LimitReader(r, maxFragment+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(data) > maxFragment {
		return nil, &SyntaxError{name, 1, fmt.Sprintf("more than %d bytes", maxFragment)}
	}
	n := 0
	for line := range strings.SplitSeq(string(data), "\n") {
		n++
		s, ok, err := parseLine(line, name, n)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		i, twice := at[s.Symbol]
		if !twice {
			at[s.Symbol] = len(f.Settings)
			f.Settings = append(f.Settings, s)
			continue
		}
		if was := f.Settings[i]; was.Value != s.Value {
			return nil, &SyntaxError{name, n, fmt.Sprintf("%q, but line %d has %q", s, was.Line, was)}
		}
	}
	return f, nil
}

func parseLine(line, name string, n int) (Setting, bool, error) {
	bad := func(format string, args ...any) (Setting, bool, error) {
		return Setting{}, false, &SyntaxError{name, n, fmt.Sprintf(format, args...)}
	}
	if strings.HasSuffix(line, "\r") {
		return bad("line ends in CR LF")
	}
	line = strings.TrimRight(line, " \t")
	if line == "" {
		return Setting{}, false, nil
	}
	if m := unsetForm.FindStringSubmatch(line); m != nil {
		return Setting{m[1], "n", name, n}, true, nil
	}
	if m := nearUnset.FindStringSubmatch(line); m != nil {
		return bad("%q would be taken for a comment; write \"# CONFIG_%s is not set\"", line, m[1])
	}
	if strings.HasPrefix(line, "#") {
		return Setting{}, false, nil
	}
	m := setForm.FindStringSubmatch(line)
	if m == nil {
		return bad("%q is neither CONFIG_X=VALUE nor a comment", line)
	}
	if !valueForm.MatchString(m[2]) {
		return bad("CONFIG_%s: %q is neither y, m, n, a number nor a string in quotes", m[1], m[2])
	}
	return Setting{m[1], m[2], name, n}, true, nil
}

// ParseFile reads a fragment from a file.
func ParseFile(name string) (*Fragment, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read configuration fragment: %w", err)
	}
	return Parse(bytes.NewReader(data), name)
}

// Merge lays fragments over each other: where two set a symbol, the later one counts.
func Merge(frags ...*Fragment) *Fragment {
	all := &Fragment{}
	at := map[string]int{}
	var names []string
	for _, f := range frags {
		names = append(names, f.Name)
		for _, s := range f.Settings {
			if i, ok := at[s.Symbol]; ok {
				all.Settings[i] = s
				continue
			}
			at[s.Symbol] = len(all.Settings)
			all.Settings = append(all.Settings, s)
		}
	}
	all.Name = strings.Join(names, " + ")
	return all
}

// Bytes is the fragment in .config syntax, sorted by symbol, so that two that ask for the same are alike.
func (f *Fragment) Bytes() []byte {
	lines := make([]string, len(f.Settings))
	for i, s := range f.Settings {
		lines[i] = s.String() + "\n"
	}
	slices.SortFunc(lines, func(a, b string) int {
		return strings.Compare(strings.TrimPrefix(a, "# "), strings.TrimPrefix(b, "# "))
	})
	return []byte(strings.Join(lines, ""))
}

// A Config is a resolved configuration.
type Config struct {
	values map[string]string
}

// ParseConfig reads a .config that kbuild wrote.
func ParseConfig(r io.Reader, name string) (*Config, error) {
	f, err := Parse(r, name)
	if err != nil {
		return nil, err
	}
	c := &Config{values: make(map[string]string, len(f.Settings))}
	for _, s := range f.Settings {
		c.values[s.Symbol] = s.Value
	}
	return c, nil
}

// Get returns a symbol's value. It is "n" for one that is not set, and "" for one that is not there at all.
func (c *Config) Get(symbol string) string { return c.values[symbol] }

// Set tells whether a symbol is y or m.
func (c *Config) Set(symbol string) bool { v := c.values[symbol]; return v == "y" || v == "m" }

// has tells whether the configuration gives a setting what it asks for.
func (c *Config) has(s Setting) bool {
	got := c.values[s.Symbol]
	if got == s.Value || s.Value == "n" && got == "" {
		return true
	}
	a, err1 := strconv.ParseInt(got, 0, 64)
	b, err2 := strconv.ParseInt(s.Value, 0, 64)
	return err1 == nil && err2 == nil && a == b
}
