// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// maxTOMLSize is the limit on series.toml, in bytes.
const maxTOMLSize = 1 << 20

// The shape of series.toml. It is apart from Series so that what the file may say and what a program works with can
// differ. A key with `need` must be there, in a table that is there.
type seriesTOML struct {
	ID         string        `toml:"id" need:""`
	Title      string        `toml:"title" need:""`
	Revision   int           `toml:"revision" need:""`
	Prefix     string        `toml:"prefix"`
	Base       string        `toml:"base" need:""`
	ChangeID   string        `toml:"change-id"`
	After      []string      `toml:"prerequisites"`
	Arches     []string      `toml:"arches" need:""`
	Config     []string      `toml:"config"`
	Tests      []string      `toml:"tests"`
	Benchmarks []string      `toml:"benchmarks"`
	Mail       mailTOML      `toml:"mail"`
	Guest      guestTOML     `toml:"guest"`
	Expect     []expectTOML  `toml:"expect"`
	Skip       []skipTOML    `toml:"skip"`
	Symbol     []symbolTOML  `toml:"symbol"`
	Section    []sectionTOML `toml:"section"`
	Variant    []variantTOML `toml:"variant"`
	Headline   headlineTOML  `toml:"headline"`
	Changes    []changesTOML `toml:"changes"`
}

type mailTOML struct {
	To []string `toml:"to" need:""`
	Cc []string `toml:"cc"`
}

type guestTOML struct {
	CPUs    int      `toml:"cpus"`
	Memory  string   `toml:"memory"`
	Cmdline []string `toml:"cmdline"`
	Tools   []string `toml:"toolchain"`
	Progs   []string `toml:"programs"`
	Fresh   bool     `toml:"fresh"`
	Modules bool     `toml:"modules"`
	Icount  bool     `toml:"icount"`
	Multi   bool     `toml:"multi-thread"`
}

type expectTOML struct {
	Test   string `toml:"test" need:""`
	Mended int    `toml:"mended" need:""`
	Why    string `toml:"why" need:""`
}

type skipTOML struct {
	Test     string   `toml:"test" need:""`
	Before   int      `toml:"before"`
	Variants []string `toml:"variants"`
	Why      string   `toml:"why" need:""`
}

type sectionTOML struct {
	Name     string   `toml:"name" need:""`
	From     int      `toml:"from" need:""`
	Writable bool     `toml:"writable"`
	Module   string   `toml:"module"`
	Arches   []string `toml:"arches"`
	Variants []string `toml:"variants"`
}

type symbolTOML struct {
	Name     string   `toml:"name" need:""`
	From     int      `toml:"from" need:""`
	Arches   []string `toml:"arches"`
	Variants []string `toml:"variants"`
}

type variantTOML struct {
	Name   string   `toml:"name" need:""`
	Why    string   `toml:"why" need:""`
	Config []string `toml:"config"`
	Off    []string `toml:"off"`
	Patch  string   `toml:"patch"`
	Arches []string `toml:"arches"`
	Test   bool     `toml:"test"`
}

type headlineTOML struct {
	Benchmark string `toml:"benchmark" need:""`
	Unit      string `toml:"unit" need:""`
}

type changesTOML struct {
	Revision int                 `toml:"revision" need:""`
	Series   []string            `toml:"series" need:""`
	Patches  map[string][]string `toml:"patches"`
}

// A document is a series.toml with the lines of its keys.
type document struct {
	file  string
	lines map[string]int // "mail.to", "changes[0].revision", "changes[0].patches.0002" -> line; 1 is the first
	raw   seriesTOML
}

// errorf makes an error about a key, at its line, or at the line of the table that it is missing from.
func (d *document) errorf(key, format string, args ...any) error {
	line := d.lines[key]
	for k := key; line == 0 && strings.Contains(k, "."); {
		k = k[:strings.LastIndexByte(k, '.')]
		line = d.lines[k]
	}
	return &InputError{File: d.file, Line: line, Msg: fmt.Sprintf(format, args...)}
}

// readTOML reads and checks series.toml of a series folder; what depends on the patches is left to checkNumbers.
func (l Loader) readTOML(dir string) (*Series, *document, error) {
	file := filepath.Join(dir, tomlName)
	raw, err := readRegular(file, maxTOMLSize)
	if err != nil {
		return nil, nil, err
	}
	doc, err := parseTOML(file, raw)
	if err != nil {
		return nil, nil, err
	}
	s, err := l.check(doc, dir)
	if err != nil {
		return nil, nil, err
	}
	return s, doc, nil
}

func parseTOML(file string, raw []byte) (*document, error) {
	d := &document{file: file, lines: map[string]int{}}
	if i := bytes.IndexByte(raw, 0); i >= 0 {
		return nil, &InputError{File: file, Line: lineAt(raw, i), Msg: "NUL byte: this is not a text file"}
	}
	dec := toml.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d.raw); err != nil {
		return nil, tomlError(file, err)
	}
	d.index(raw)
	return d, d.need("", reflect.ValueOf(d.raw))
}

// tomlError puts the first of the decoder's complaints into our form.
func tomlError(file string, err error) error {
	var strict *toml.StrictMissingError
	if errors.As(err, &strict) && len(strict.Errors) > 0 {
		e := &strict.Errors[0]
		line, _ := e.Position()
		key := e.Key()
		msg := fmt.Sprintf("unknown key %q", strings.Join(key, "."))
		table, last := key[:len(key)-1], key[len(key)-1]
		names, ok := keysOf(reflect.TypeOf(seriesTOML{}), table)
		for i := 0; !ok && i < len(table); i++ { // the table itself is what is not known
			if names, ok = keysOf(reflect.TypeOf(seriesTOML{}), table[:i]); ok {
				last = key[i]
			}
		}
		if near := nearest(last, names); len(near) > 0 {
			msg += fmt.Sprintf(" (did you mean %q?)", near[0])
		} else if ok {
			msg += fmt.Sprintf(" (known are %s)", strings.Join(names, ", "))
		}
		return &InputError{File: file, Line: line, Msg: msg}
	}
	var dec *toml.DecodeError
	if errors.As(err, &dec) {
		line, _ := dec.Position()
		msg := strings.TrimPrefix(dec.Error(), "toml: ")
		if key := strings.Join(dec.Key(), "."); key != "" {
			want := typeOf(reflect.TypeOf(seriesTOML{}), dec.Key())
			if want != "" && strings.Contains(msg, "cannot ") {
				msg = fmt.Sprintf("%q must be %s", key, want)
			} else {
				msg = fmt.Sprintf("%q: %s", key, msg)
			}
		}
		return &InputError{File: file, Line: line, Msg: strings.ReplaceAll(msg, "\n", " "), Err: err}
	}
	return &InputError{File: file, Msg: strings.ReplaceAll(strings.TrimPrefix(err.Error(), "toml: "), "\n", " "), Err: err}
}

// descend returns the type at a key, going through arrays of tables.
func descend(t reflect.Type, key []string) (reflect.Type, bool) {
	for _, k := range key {
		for t.Kind() == reflect.Slice {
			t = t.Elem()
		}
		switch t.Kind() {
		case reflect.Map:
			t = t.Elem()
			continue
		case reflect.Struct:
		default:
			return nil, false
		}
		found := false
		for f := range fieldsOf(t) {
			if f.Tag.Get("toml") == k {
				t, found = f.Type, true
				break
			}
		}
		if !found {
			return nil, false
		}
	}
	return t, true
}

func fieldsOf(t reflect.Type) func(yield func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			if !yield(t.Field(i)) {
				return
			}
		}
	}
}

// keysOf returns the keys that may stand in the table at key.
func keysOf(t reflect.Type, key []string) ([]string, bool) {
	t, ok := descend(t, key)
	if !ok {
		return nil, false
	}
	for t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil, false
	}
	var names []string
	for f := range fieldsOf(t) {
		names = append(names, f.Tag.Get("toml"))
	}
	return names, true
}

// typeOf says in words what the value of a key must be.
func typeOf(t reflect.Type, key []string) string {
	t, ok := descend(t, key)
	if !ok {
		return ""
	}
	switch t.Kind() {
	case reflect.String:
		return `a string, such as "words"`
	case reflect.Int:
		return "a number, such as 1"
	case reflect.Struct:
		return fmt.Sprintf("a table: [%s]", strings.Join(key, "."))
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Struct {
			return fmt.Sprintf("a list of tables: [[%s]]", strings.Join(key, "."))
		}
		return `a list of strings, such as ["one", "two"]`
	}
	return ""
}

// index notes the line of every key. The document has been decoded before, so it is well formed.
func (d *document) index(raw []byte) {
	var p unstable.Parser
	p.Reset(raw)
	prefix := ""
	counts := map[string]int{}
	for p.NextExpression() {
		e := p.Expression()
		parts, line := keyOf(&p, e)
		switch e.Kind {
		case unstable.Table:
			prefix = d.tableName(parts, counts)
			d.set(prefix, line)
		case unstable.ArrayTable:
			name := strings.Join(parts, ".")
			prefix = fmt.Sprintf("%s[%d]", name, counts[name])
			counts[name]++
			d.set(prefix, line)
		case unstable.KeyValue:
			d.indexValue(&p, join(prefix, strings.Join(parts, ".")), line, e.Value())
		}
	}
}

// tableName names [changes.patches], which belongs to the [[changes]] before it, "changes[0].patches".
func (d *document) tableName(parts []string, counts map[string]int) string {
	name := ""
	for i, part := range parts {
		name = join(name, part)
		if n := counts[strings.Join(parts[:i+1], ".")]; n > 0 {
			name = fmt.Sprintf("%s[%d]", name, n-1)
		}
	}
	return name
}

func (d *document) indexValue(p *unstable.Parser, key string, line int, v *unstable.Node) {
	d.set(key, line)
	switch v.Kind {
	case unstable.InlineTable:
		for it := v.Children(); it.Next(); {
			parts, line := keyOf(p, it.Node())
			d.indexValue(p, join(key, strings.Join(parts, ".")), line, it.Node().Value())
		}
	case unstable.Array:
		i := 0
		for it := v.Children(); it.Next(); i++ {
			n := it.Node()
			at := line
			if r := n.Raw; r.Length > 0 {
				at = p.Shape(r).Start.Line
			}
			d.indexValue(p, fmt.Sprintf("%s[%d]", key, i), at, n)
		}
	}
}

// set notes a key, and the tables that a dotted key makes on the way.
func (d *document) set(key string, line int) {
	for k := key; d.lines[k] == 0; k = k[:strings.LastIndexByte(k, '.')] {
		d.lines[k] = line
		if !strings.Contains(k, ".") {
			return
		}
	}
}

func join(prefix, key string) string {
	if prefix == "" {
		return key
	}
	return prefix + "." + key
}

func keyOf(p *unstable.Parser, n *unstable.Node) (parts []string, line int) {
	switch n.Kind {
	case unstable.KeyValue, unstable.Table, unstable.ArrayTable:
	default:
		return nil, 0
	}
	for it := n.Key(); it.Next(); {
		if line == 0 {
			line = p.Shape(it.Node().Raw).Start.Line
		}
		parts = append(parts, string(it.Node().Data))
	}
	return parts, line
}

// need finds the first required key that is missing, in the tables that are there.
func (d *document) need(prefix string, v reflect.Value) error {
	i := 0
	for f := range fieldsOf(v.Type()) {
		key := join(prefix, f.Tag.Get("toml"))
		_, there := d.lines[key]
		_, list := d.lines[key+"[0]"]
		if _, need := f.Tag.Lookup("need"); need && !there && !list {
			return d.errorf(key, "missing key %q", key)
		}
		val := v.Field(i)
		i++
		if f.Type.Kind() == reflect.Struct && there {
			if err := d.need(key, val); err != nil {
				return err
			}
		}
		if f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct {
			if val.Len() > 0 && !list { // the decoder takes [expect] for a list of one
				return d.errorf(key, "%q must be a list of tables: [[%s]]", key, key)
			}
			for j := range val.Len() {
				if err := d.need(fmt.Sprintf("%s[%d]", key, j), val.Index(j)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
