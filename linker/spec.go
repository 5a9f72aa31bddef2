// SPDX-License-Identifier: Apache-2.0

package linker

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// A TableSpec describes a read-only table of function pointers that object files and modules contribute to, one row of
// entries per event. Its file form is TOML; patches/task-watchers/table.toml is one.
type TableSpec struct {
	Name   string    `toml:"name"`   // a C identifier: ".NAME" is the output section, __start_NAME_EVENT a bound
	Title  string    `toml:"title"`  // one line for the comments in the linker scripts
	Events []string  `toml:"events"` // C identifiers, in the order of the rows
	Entry  EntrySpec `toml:"entry"`
}

// An EntrySpec describes the functions that a table points to.
type EntrySpec struct {
	Name   string   `toml:"name"`   // a C identifier: NAME_t is the function's type, NAME(event, fn) makes an entry
	Result string   `toml:"result"` // the C type that the functions return; not void
	Params []string `toml:"params"` // C parameters, each a type and a name, such as "u64 val"
}

// maxSpecSize is the limit on a table spec, in bytes, maxEvents the one on its events.
const (
	maxSpecSize = 1 << 16
	maxEvents   = 64
)

var (
	identForm = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,39}$`)
	typeForm  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_ ]*( \**)?$`)
	paramForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_ ]*[ *]([A-Za-z_][A-Za-z0-9_]*)$`)
)

// ReadTableSpec reads and checks the spec in the file at path. An error about what the file says carries its line where
// one is known.
func ReadTableSpec(path string) (*TableSpec, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("table spec: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSpecSize+1))
	if err != nil {
		return nil, fmt.Errorf("table spec: %w", err)
	}
	if len(b) > maxSpecSize {
		return nil, fmt.Errorf("%s: larger than %d bytes, which no table spec is", path, maxSpecSize)
	}
	return ParseTableSpec(path, b)
}

// ParseTableSpec is ReadTableSpec for bytes; name is what errors call them.
func ParseTableSpec(name string, b []byte) (*TableSpec, error) {
	var s TableSpec
	dec := toml.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil {
		return nil, specError(name, err)
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &s, nil
}

// specError puts the first of the decoder's complaints behind file and line.
func specError(name string, err error) error {
	var strict *toml.StrictMissingError
	var dec *toml.DecodeError
	switch {
	case errors.As(err, &strict) && len(strict.Errors) > 0:
		e := &strict.Errors[0]
		line, _ := e.Position()
		return fmt.Errorf("%s:%d: unknown key %q (known are name, title, events, entry.name, entry.result, entry.params)",
			name, line, strings.Join(e.Key(), "."))
	case errors.As(err, &dec):
		line, _ := dec.Position()
		return fmt.Errorf("%s:%d: %s", name, line, strings.TrimPrefix(dec.Error(), "toml: "))
	}
	return fmt.Errorf("%s: %w", name, err)
}

func (s *TableSpec) check() error {
	for _, n := range []struct{ key, value string }{{"name", s.Name}, {"entry.name", s.Entry.Name}} {
		if !identForm.MatchString(n.value) {
			return fmt.Errorf("%s %q is not a C identifier of small letters", n.key, n.value)
		}
	}
	switch {
	case strings.TrimSpace(s.Title) == "" || len(s.Title) > 70 || strings.ContainsAny(s.Title, "\n\r\\") || strings.Contains(s.Title, "*/"):
		return fmt.Errorf("title %q is not one line of up to 70 characters that can stand in a C comment", s.Title)
	case len(s.Events) == 0 || len(s.Events) > maxEvents:
		return fmt.Errorf("%d events, want 1 to %d", len(s.Events), maxEvents)
	case !typeForm.MatchString(s.Entry.Result) || s.Entry.Result == "void":
		return fmt.Errorf("entry.result %q is not a C type other than void", s.Entry.Result)
	case len(s.Entry.Params) == 0:
		return errors.New("entry.params is empty")
	}
	for i, e := range s.Events {
		if !identForm.MatchString(e) {
			return fmt.Errorf("event %q is not a C identifier of small letters", e)
		}
		if slices.Contains(s.Events[:i], e) {
			return fmt.Errorf("event %q is there twice", e)
		}
	}
	for _, p := range s.Entry.Params {
		if !paramForm.MatchString(p) {
			return fmt.Errorf(`parameter %q is not a C type with a name, such as "u64 val"`, p)
		}
	}
	return nil
}

// Section is the table's output section in vmlinux.
func (s *TableSpec) Section() string { return "." + s.Name }

// RowSection is the section of one event: a module's output section, and what the names of the input sections begin with.
func (s *TableSpec) RowSection(event string) string { return s.Section() + "." + event }

// args are the names of the parameters.
func (s *TableSpec) args() []string {
	var names []string
	for _, p := range s.Entry.Params {
		names = append(names, paramForm.FindStringSubmatch(p)[1])
	}
	return names
}
