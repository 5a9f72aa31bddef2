// SPDX-License-Identifier: Apache-2.0

//go:build linux

package tracefs

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// A Format is what an event's format file says: where its fields are in a raw event.
type Format struct {
	ID     uint64 // for perf_event_open(2)
	Fields []Field
	Print  string // how tracefs prints it: the format and its arguments
}

// A Field is a number in a raw event, in the byte order of the machine.
type Field struct {
	Name         string
	Type         string // as in C
	Offset, Size int    // bytes
	Signed       bool
}

// Load reads an event's format.
func Load(event string) (*Format, error) {
	b, err := readFormat(event)
	if err != nil {
		return nil, err
	}
	f, err := parseFormat(string(b))
	if err != nil {
		return nil, fmt.Errorf("format of %s: %w", event, err)
	}
	return f, nil
}

func parseFormat(text string) (*Format, error) {
	f := &Format{}
	id := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "ID: "):
			if _, err := fmt.Sscanf(line, "ID: %d", &f.ID); err != nil {
				return nil, fmt.Errorf("%q: %w", line, err)
			}
			id = true
		case strings.HasPrefix(line, "print fmt: "):
			f.Print = strings.TrimPrefix(line, "print fmt: ")
		case strings.HasPrefix(line, "field:"):
			field, err := parseField(strings.TrimPrefix(line, "field:"))
			if err != nil {
				return nil, fmt.Errorf("%q: %w", line, err)
			}
			f.Fields = append(f.Fields, field)
		}
	}
	if !id || len(f.Fields) == 0 {
		return nil, fmt.Errorf("no id, or no fields")
	}
	return f, nil
}

// parseField reads "u32 arch;	offset:8;	size:4;	signed:0;".
func parseField(text string) (Field, error) {
	parts := strings.Split(text, ";")
	if len(parts) < 4 {
		return Field{}, fmt.Errorf("%d parts, want 4", len(parts))
	}
	at := strings.LastIndexByte(parts[0], ' ')
	if at < 0 {
		return Field{}, fmt.Errorf("no type")
	}
	f := Field{Type: parts[0][:at], Name: parts[0][at+1:]}
	signed := 0
	for i, v := range []struct {
		key string
		to  *int
	}{{"offset", &f.Offset}, {"size", &f.Size}, {"signed", &signed}} {
		if _, err := fmt.Sscanf(strings.TrimSpace(parts[i+1]), v.key+":%d", v.to); err != nil {
			return Field{}, fmt.Errorf("%s: %w", v.key, err)
		}
	}
	if f.Offset < 0 || f.Size < 0 {
		return Field{}, fmt.Errorf("offset %d, size %d", f.Offset, f.Size)
	}
	f.Signed = signed != 0
	return f, nil
}

// Field returns a field, or an error that names those that there are.
func (f *Format) Field(name string) (Field, error) {
	var names []string
	for _, field := range f.Fields {
		if field.Name == name {
			return field, nil
		}
		names = append(names, field.Name)
	}
	return Field{}, fmt.Errorf("no field %s; there are %s", name, strings.Join(names, ", "))
}

// Int returns a field of a raw event; what is unsigned and has 64 bits keeps its bits.
func (f *Format) Int(raw []byte, name string) (int64, error) {
	field, err := f.Field(name)
	if err != nil {
		return 0, err
	}
	return field.Int(raw)
}

// Int returns the field of a raw event.
func (f Field) Int(raw []byte) (int64, error) {
	if f.Offset+f.Size > len(raw) {
		return 0, fmt.Errorf("field %s ends at %d of %d bytes", f.Name, f.Offset+f.Size, len(raw))
	}
	b, order := raw[f.Offset:], binary.NativeEndian
	switch {
	case f.Size == 1 && f.Signed:
		return int64(int8(b[0])), nil
	case f.Size == 1:
		return int64(b[0]), nil
	case f.Size == 2 && f.Signed:
		return int64(int16(order.Uint16(b))), nil
	case f.Size == 2:
		return int64(order.Uint16(b)), nil
	case f.Size == 4 && f.Signed:
		return int64(int32(order.Uint32(b))), nil
	case f.Size == 4:
		return int64(order.Uint32(b)), nil
	case f.Size == 8:
		return int64(order.Uint64(b)), nil
	}
	return 0, fmt.Errorf("field %s of %d bytes is no number", f.Name, f.Size)
}
