// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func message(kind uint16, text string) []byte {
	return append(headerBytes(syscall.NlMsghdr{Len: uint32(len(text)), Type: kind}), text...)
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		text string
		want Record
		bad  bool
	}{
		{text: "audit(1700000000.123:42): item=0 name=\"/tmp/x\"\x00",
			want: Record{Type: TypePath, Serial: 42, Stamp: "1700000000.123", Text: `item=0 name="/tmp/x"`}},
		{text: "audit(1.000:4294967295): ", want: Record{Type: TypePath, Serial: 4294967295, Stamp: "1.000"}},
		{text: "\x01\x02", want: Record{Type: TypePath, Text: "\x01\x02"}},
		{text: "audit(1.000:4294967296): x", bad: true},
		{text: "audit(1.000:-1): x", bad: true},
		{text: "audit(1.000", bad: true},
	} {
		got, err := parse(message(TypePath, c.text))
		if (err != nil) != c.bad {
			t.Errorf("parse(%q): error %v, want an error: %v", c.text, err, c.bad)
		}
		if diff := cmp.Diff(c.want, got); !c.bad && diff != "" {
			t.Errorf("parse(%q): -want +got\n%s", c.text, diff)
		}
	}
	if _, err := parse(make([]byte, 15)); err == nil {
		t.Error("parse(15 bytes) = nil error, want one")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(message(TypeSyscall, "audit(1700000000.123:42): arch=c000003e"))
	f.Add(message(TypeEOE, "audit(1:2):"))
	f.Add([]byte("audit("))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := parse(b); err == nil {
			r.Field("name")
		}
	})
}

func TestField(t *testing.T) {
	r := Record{Text: `arch=c000003e ppid=12 pid=345 comm="a b" exe="/x" key=(null)`}
	for key, want := range map[string]string{"pid": "345", "ppid": "12", "comm": "a b", "arch": "c000003e", "key": "(null)", "id": "", "uid": ""} {
		if got := r.Field(key); got != want {
			t.Errorf("Field(%q) = %q, want %q", key, got, want)
		}
	}
}

func TestEvents(t *testing.T) {
	rec := func(kind uint16, serial uint32, stamp string) Record {
		return Record{Type: kind, Serial: serial, Stamp: stamp}
	}
	in := []Record{rec(1300, 1, "5.1"), rec(1300, 2, "5.1"), rec(1320, 1, "5.1"), rec(1300, 1, "5.2"), rec(1320, 2, "5.1")}
	want := [][]Record{{in[0], in[2]}, {in[1], in[4]}, {in[3]}}
	if diff := cmp.Diff(want, Events(in)); diff != "" {
		t.Errorf("Events: -want +got\n%s", diff)
	}
}
