// SPDX-License-Identifier: Apache-2.0

//go:build linux

package taskdiag

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// with is b with a number of 2 or 4 bytes at an offset.
func with[T uint16 | uint32](b []byte, off int, v T) []byte {
	b = append([]byte(nil), b...)
	switch v := any(v).(type) {
	case uint16:
		binary.NativeEndian.PutUint16(b[off:], v)
	case uint32:
		binary.NativeEndian.PutUint32(b[off:], v)
	}
	return b
}

var (
	oneBase = taskMessage(0, 1, 1, groups(1, ShowBase)...)
	oneVMA  = taskMessage(0, 1, 1, attr{attrVMA, vmaRecord(0x1000, "/bin/x", &VMAStat{})})
	end     = doneMessage(0)
)

// hostile are answers that are not in the format, with the offset of what is wrong.
var hostile = map[string]struct {
	answer []byte
	offset int64
	reason string
}{
	"nothing":               {nil, 0, "ends without"},
	"no end":                {oneBase, 128, "ends without"},
	"half a header":         {join(oneBase, end[:15]), 143, "ends without"},
	"half a message":        {oneBase[:127], 127, "ends without"},
	"length 0":              {with(oneBase, 0, uint32(0)), 0, "message of 0 bytes"},
	"length 15":             {with(oneBase, 0, uint32(15)), 0, "message of 15 bytes"},
	"length 20":             {with(oneBase, 0, uint32(20)), 0, "message of 20 bytes"},
	"length 24":             {with(oneBase, 0, uint32(24)), 0, "message about a task of 24 bytes"},
	"length 3 GiB":          {with(oneBase, 0, uint32(3<<30)), 0, "message of 3221225472 bytes"},
	"length 4 GiB - 1":      {with(oneBase, 0, ^uint32(0)), 0, "message of 4294967295 bytes"},
	"longer than it is":     {join(with(oneBase, 0, uint32(136)), end), 128, "attribute of 24 bytes: the message has 8 left"},
	"type":                  {with(oneBase, 4, uint16(2)), 0, "message of type 2"},
	"number":                {join(oneBase, with(oneBase, 8, uint32(43))), 128, "answers request 43, not 42"},
	"on and gone":           {with(oneBase, 16, uint32(3)), 16, "goes on and as one that does not"},
	"gone alone":            {join(taskMessage(flagGone, 1, 1), end), 0, "task 1 is gone, of which nothing was shown"},
	"gone with more":        {join(taskMessage(flagCont, 1, 1), with(oneBase, 16, uint32(flagGone))), 32 + 28, "of a task that is gone"},
	"on as another":         {join(taskMessage(flagCont, 1, 1), taskMessage(0, 1, 2)), 32, "task 1 goes on as task 2"},
	"on as another process": {join(taskMessage(flagCont, 1, 1), taskMessage(0, 2, 1)), 32, "task 1 goes on as task 1"},
	"on and ends":           {join(taskMessage(flagCont, 1, 1), end), 32, "task 1 was to go on"},
	"attribute 3":           {with(oneBase, 28, uint16(3)), 28, "attribute of 3 bytes: want at least 4"},
	"attribute too long":    {with(oneBase, 28, uint16(101)), 28, "attribute of 101 bytes: the message has 100 left"},
	"attribute too short":   {with(oneBase, 28, uint16(96)), 28, "attribute 1 of 96 bytes is too short"},
	"rest of 2":             {with(with(oneBase, 28, uint16(96)), 30, uint16(99)), 124, "attribute of 0 bytes"},
	"padding":               {with(taskMessage(0, 1, 1, attr{attrPad, make([]byte, 8)}, attr{99, nil}), 16, uint32(0)), 28, "aligns the next one has 8 bytes"},
	"not aligned":           {taskMessage(0, 1, 1, attr{99, make([]byte, 4)}, attr{attrBase, make([]byte, 100)}), 40, "not aligned"},
	"base twice":            {taskMessage(0, 1, 1, append(groups(1, ShowBase), groups(1, ShowBase)...)...), 132, "second one"},
	"base again":            {join(with(oneBase, 16, uint32(flagCont)), oneBase, end), 128, "group for the second time"},
	"mappings twice":        {taskMessage(0, 1, 1, attr{attrVMA, nil}, attr{attrVMA, nil}), 36, "second one"},
	"mapping 56":            {taskMessage(0, 1, 1, attr{attrVMA, make([]byte, 56)}), 32, "mapping has 56 bytes left"},
	"mapping 0":             {with(oneVMA, 32+40, uint32(0)), 32, "mapping of 0 bytes"},
	"mapping 4 GiB":         {with(oneVMA, 32+40, ^uint32(7)), 32, "mapping of 4294967288 bytes"},
	"mapping 65":            {with(oneVMA, 32+40, uint32(65)), 32, "mapping of 65 bytes"},
	"mapping upside down":   {with(with(oneVMA, 32+8, uint32(0)), 32+12, uint32(0)), 32, "mapping from 0x1000 to 0x0"},
	"name in the head":      {with(oneVMA, 32+56, uint32(8)), 32, "name at 8"},
	"name behind":           {with(oneVMA, 32+56, uint32(224)), 32, "name at 224"},
	"name without end":      {with(oneVMA, 32+220, uint32(0x78787878)), 32, "name at 216, which has to end in it"},
	"statistics in head":    {with(oneVMA, 32+60, uint32(56)), 32, "statistics at 56"},
	"statistics odd":        {with(oneVMA, 32+60, uint32(68)), 32, "statistics at 68"},
	"statistics behind":     {with(oneVMA, 32+60, uint32(80)), 32, "statistics at 80"},
	"statistics 4 GiB":      {with(oneVMA, 32+60, ^uint32(7)), 32, "statistics at 4294967288"},
	"end of 16":             {with(end, 0, uint32(16))[:16], 0, "last message of 16 bytes"},
	"end with an error":     {join(oneBase, doneMessage(3)), 144, "error 3 is none"},
	"end with -4096":        {doneMessage(-4096), 16, "error -4096 is none"},
	"more behind the end":   {join(oneBase, end, oneBase), 152, "128 bytes behind the last message"},
}

func TestHostile(t *testing.T) {
	for name, c := range hostile {
		for _, n := range []int{1 << 20, 8} {
			if n == 8 && strings.Contains(name, "behind the end") {
				continue // nobody looks
			}
			_, err := tasksOf(c.answer, n, 0)
			var f *FormatError
			if !errors.As(err, &f) || f.Offset != c.offset || !strings.Contains(f.Reason, c.reason) {
				t.Errorf("%s, in pieces of %d bytes: %v, want byte %d: %s", name, n, err, c.offset, c.reason)
			} else if want := fmt.Sprintf("byte %d: %s", f.Offset, f.Reason); err.Error() != want {
				t.Errorf("%s: error %q, want %q", name, err, want)
			}
			if strings.Contains(c.reason, "ends without") != errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s: %v, and %v only of what ends too soon", name, err, io.ErrUnexpectedEOF)
			}
		}
	}
}

// FuzzReader reads any bytes: in any pieces, they have the same tasks and the same error.
func FuzzReader(f *testing.F) {
	for _, c := range hostile {
		f.Add(c.answer, uint16(100))
	}
	f.Add(divided(), uint16(1000))
	f.Fuzz(func(t *testing.T, b []byte, n uint16) {
		tasks, err := tasksOf(b, 1<<20, 1<<20)
		pieces, perr := tasksOf(b, int(n)+1, int(n))
		var format *FormatError
		if errors.As(err, &format) && (format.Offset < 0 || format.Offset > int64(len(b))) {
			t.Errorf("%v, of %d bytes", err, len(b))
		}
		if strings.Join(tasks, "") != strings.Join(pieces, "") {
			t.Errorf("in pieces of %d bytes: tasks %q, want %q", n, pieces, tasks)
		}
		if errors.As(err, &format) && strings.Contains(format.Reason, "behind the last message") {
			return
		}
		if (err == nil) != (perr == nil) || err != nil && err.Error() != perr.Error() {
			t.Errorf("in pieces of %d bytes: %v, want %v", n, perr, err)
		}
		r := NewReader(&reads{b, int(n) + 1}, testSeq, Options{Buffer: int(n)})
		kept, names := 0, 0
		for m, err := range r.Messages() {
			if err != nil {
				break
			}
			kept += len(m.Bytes())
			for v := range m.VMAs {
				names += len(v.Name)
			}
		}
		if kept > len(b) || names > kept {
			t.Errorf("messages of %d bytes, of %d", kept, len(b))
		}
		if len(r.buf) > max(maxMessage, 1<<16+8) || cap(r.kept) > len(b)*2 {
			t.Errorf("%d bytes make for a buffer of %d and %d kept", len(b), len(r.buf), cap(r.kept))
		}
	})
}
