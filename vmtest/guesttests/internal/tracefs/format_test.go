// SPDX-License-Identifier: Apache-2.0

//go:build linux

package tracefs

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const entryFormat = `name: audit_syscall_entry
ID: 321
format:
	field:unsigned short common_type;	offset:0;	size:2;	signed:0;
	field:int common_pid;	offset:4;	size:4;	signed:1;

	field:u32 arch;	offset:8;	size:4;	signed:0;
	field:int syscall;	offset:12;	size:4;	signed:1;
	field:unsigned long a0;	offset:16;	size:8;	signed:0;

print fmt: "arch=%x", REC->arch
`

func TestParseFormat(t *testing.T) {
	got, err := parseFormat(entryFormat)
	if err != nil {
		t.Fatal(err)
	}
	want := &Format{ID: 321, Print: `"arch=%x", REC->arch`, Fields: []Field{
		{"common_type", "unsigned short", 0, 2, false},
		{"common_pid", "int", 4, 4, true},
		{"arch", "u32", 8, 4, false},
		{"syscall", "int", 12, 4, true},
		{"a0", "unsigned long", 16, 8, false},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("parseFormat: -want +got\n%s", diff)
	}
	for name, bad := range map[string]string{
		"no id":           strings.Replace(entryFormat, "ID: 321\n", "", 1),
		"an id of text":   strings.Replace(entryFormat, "321", "x", 1),
		"no fields":       "ID: 1\n",
		"no offset":       strings.Replace(entryFormat, "offset:8;", "", 1),
		"negative offset": strings.Replace(entryFormat, "offset:8;", "offset:-8;", 1),
		"no type":         strings.Replace(entryFormat, "u32 arch", "arch", 1),
	} {
		if _, err := parseFormat(bad); err == nil {
			t.Errorf("parseFormat with %s = nil error, want one", name)
		}
	}
}

func TestInt(t *testing.T) {
	f, err := parseFormat(entryFormat)
	if err != nil {
		t.Fatal(err)
	}
	raw := make([]byte, 24)
	binary.NativeEndian.PutUint32(raw[8:], 0xc000003e)
	binary.NativeEndian.PutUint32(raw[12:], 0xffffffff)
	binary.NativeEndian.PutUint64(raw[16:], 1<<63)
	for name, want := range map[string]int64{"arch": 0xc000003e, "syscall": -1, "a0": -1 << 63} {
		if got, err := f.Int(raw, name); got != want || err != nil {
			t.Errorf("Int(%s) = %d, %v, want %d", name, got, err, want)
		}
	}
	if _, err := f.Int(raw[:23], "a0"); err == nil {
		t.Error("Int of a field that is cut off = nil error, want one")
	}
	if _, err := f.Int(raw, "a1"); err == nil {
		t.Error("Int of a field that there is not = nil error, want one")
	}
}

func FuzzParseFormat(f *testing.F) {
	f.Add(entryFormat, []byte("0123456789"))
	f.Fuzz(func(t *testing.T, text string, raw []byte) {
		format, err := parseFormat(text)
		if err != nil {
			return
		}
		for _, field := range format.Fields {
			field.Int(raw)
		}
	})
}
