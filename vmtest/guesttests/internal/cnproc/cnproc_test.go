// SPDX-License-Identifier: Apache-2.0

//go:build linux

package cnproc

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"
)

func message(words ...uint32) []byte {
	b := make([]byte, unix.SizeofNlMsghdr+headerSize)
	for _, w := range words {
		b = binary.NativeEndian.AppendUint32(b, w)
	}
	return b
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		b    []byte
		want Event
	}{
		{message(1, 0, 0, 0, 10, 11, 12, 13, 0, 0), Event{Kind: Fork, Parent: 11, PID: 12, TGID: 13}},
		{message(4, 0, 0, 0, 10, 11, 1000, 1001, 0, 0), Event{Kind: UID, PID: 10, TGID: 11, Real: 1000, Eff: 1001}},
		{message(0x80000000, 0, 0, 0, 10, 11, 0x700, 17, 0, 0), Event{Kind: Exit, PID: 10, TGID: 11, ExitCode: 0x700}},
	} {
		if got, err := parse(c.b); got != c.want || err != nil {
			t.Errorf("parse(%x) = %+v, %v, want %+v", c.b, got, err, c.want)
		}
		if got, err := parse(c.b[:len(c.b)-1]); err == nil {
			t.Errorf("parse of an event that is cut off = %+v, want an error", got)
		}
	}
}
