// SPDX-License-Identifier: Apache-2.0

//go:build guest

package taskdiag

import (
	"bytes"
	"testing"
)

// What these tests take for right is taken apart here, without a kernel: each byte that has to be zero, and each length, is
// wrong once.
func TestParserRejects(t *testing.T) {
	word := func(b []byte, words ...uint32) []byte {
		for _, w := range words {
			b = native.AppendUint32(b, w)
		}
		return b
	}
	half := func(b []byte, words ...uint16) []byte {
		for _, w := range words {
			b = native.AppendUint16(b, w)
		}
		return b
	}
	const seq = 77
	head := func(n uint32, kind uint16) []byte { return word(half(word(nil, n), kind, nlmFlagMulti), seq, 0) }
	message := func(flags uint32, attrs []byte) []byte {
		return append(word(head(uint32(msgSize+len(attrs)), msgTask), flags, 5, 6), attrs...)
	}
	attr := func(kind uint16, payload []byte) []byte {
		return append(half(nil, uint16(4+len(payload)), kind), payload...)
	}
	base := append(word(nil, 5, 6, 1, 0, 1, 1), 'S', 0, 0, 0, 0, 0, 0, 0)
	base = append(append(base, "name"...), make([]byte, commSize-4)...)
	pad := half(nil, 4, attrPad)
	record := func(name string) []byte {
		b := word(make([]byte, 40), uint32(vmaSize+8), vmaRead, 0, 0, vmaSize, 0)
		native.PutUint64(b, 0x1000)
		native.PutUint64(b[8:], 0x2000)
		return append(append(b, name...), make([]byte, 8-len(name))...)
	}
	done := word(head(headSize+8, nlmsgDone), 0, 0)
	both := message(0, append(append(attr(attrBase, base), pad...), attr(attrVMA, record("file"))...))
	good := append(bytes.Clone(both), done...)
	check := func(b []byte) error {
		a := &answer{seq: seq}
		return a.add(b)
	}
	if err := check(good); err != nil {
		t.Fatalf("a good answer: %v", err)
	}
	baseAt, vmaAt := msgSize+4, msgSize+4+baseSize+8
	zeros := map[string][]int{"nlmsg_pid": {12}, "base.reserved": {}, "comm": {}, "name": {}, "done.reserved": {len(good) - 1}}
	for i := 25; i < 32; i++ {
		zeros["base.reserved"] = append(zeros["base.reserved"], baseAt+i)
	}
	for i := 32 + 5; i < baseSize; i++ { // behind the byte that ends it
		zeros["comm"] = append(zeros["comm"], baseAt+i)
	}
	for i := vmaSize + 5; i < vmaSize+8; i++ {
		zeros["name"] = append(zeros["name"], vmaAt+i)
	}
	for what, at := range zeros {
		for _, i := range at {
			b := bytes.Clone(good)
			b[i] = 1
			if check(b) == nil {
				t.Errorf("%s, byte %d of the answer, is not zero: accepted", what, i)
			}
		}
	}
	for what, b := range map[string][]byte{
		"half a message":           good[:len(both)-8],
		"a message behind DONE":    append(bytes.Clone(good), done...),
		"another seq":              append(bytes.Clone(both), word(half(word(nil, headSize+8), nlmsgDone, nlmFlagMulti), seq+1, 0, 0, 0)...),
		"DONE while CONT":          append(message(flagCont, attr(attrBase, base)), done...),
		"GONE of nothing":          message(flagGone, pad),
		"CONT of nothing":          message(flagCont, pad),
		"a flag":                   message(4, pad),
		"BASE twice":               message(0, append(append(attr(attrBase, base), pad...), attr(attrBase, base)...)),
		"BASE that is not aligned": message(0, append(append(bytes.Clone(pad), attr(attrBase, base)...), pad...)),
		"a short BASE":             message(0, attr(attrBase, base[:88])),
		"an unknown attribute":     message(0, attr(9, make([]byte, 8))),
		"padding with a payload":   message(0, append(attr(attrPad, make([]byte, 8)), pad...)),
		"no record":                message(0, attr(attrVMA, nil)),
		"records out of order":     message(0, attr(attrVMA, append(record("b"), record("a")...))),
		"a record without its end": message(0, attr(attrVMA, record("a")[:vmaSize])),
	} {
		if check(b) == nil {
			t.Errorf("%s: accepted", what)
		}
	}
}
