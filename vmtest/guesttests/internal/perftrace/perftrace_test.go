// SPDX-License-Identifier: Apache-2.0

//go:build linux

package perftrace

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"
)

func sample(raw string, says int) []byte {
	order := binary.NativeEndian
	b := order.AppendUint32(nil, 11)
	b = order.AppendUint32(b, 12)
	b = order.AppendUint64(b, 13)
	b = order.AppendUint32(b, 1)
	b = order.AppendUint32(b, 0)
	b = order.AppendUint32(b, uint32(says))
	return append(b, raw...)
}

func record(kind uint32, body []byte) []byte {
	b := binary.NativeEndian.AppendUint32(nil, kind)
	b = binary.NativeEndian.AppendUint16(b, 0)
	b = binary.NativeEndian.AppendUint16(b, uint16(headerSize+len(body)))
	return append(b, body...)
}

func TestParseSample(t *testing.T) {
	s, err := parseSample(sample("event", 5))
	if err != nil || s.PID != 11 || s.TID != 12 || s.Time != 13 || s.CPU != 1 || string(s.Raw) != "event" {
		t.Errorf("parseSample = %+v, %v", s, err)
	}
	for name, bad := range map[string][]byte{"nothing": nil, "cut off": sample("event", 5)[:27], "longer than it is": sample("event", 6)} {
		if s, err := parseSample(bad); err == nil {
			t.Errorf("parseSample of %s = %+v, want an error", name, s)
		}
	}
}

func none() (uint64, error) { return 0, nil }

// A record that begins at the end of the ring goes on at its beginning.
func TestRingWraps(t *testing.T) {
	rec := record(unix.PERF_RECORD_SAMPLE, sample("event", 5))
	for start := range uint64(64) {
		data := make([]byte, 64)
		for i, c := range rec {
			data[(start+uint64(i))%64] = c
		}
		r := &Reader{rings: []*ring{{data: data, meta: &unix.PerfEventMmapPage{Data_head: start + uint64(len(rec)), Data_tail: start}, lost: none}}}
		got, err := r.Read()
		if err != nil || len(got) != 1 || string(got[0].Raw) != "event" {
			t.Fatalf("a record at %d: %+v, %v", start, got, err)
		}
		if again, err := r.Read(); err != nil || len(again) != 0 {
			t.Fatalf("read again: %+v, %v", again, err)
		}
	}
}

func TestReadRejects(t *testing.T) {
	ringOf := func(b []byte) *Reader {
		data := make([]byte, 128)
		copy(data, b)
		return &Reader{rings: []*ring{{data: data, meta: &unix.PerfEventMmapPage{Data_head: uint64(len(b))}, lost: none}}}
	}
	full := ringOf(record(unix.PERF_RECORD_SAMPLE, sample("event", 5)))
	full.rings[0].lost = func() (uint64, error) { return 1, nil }
	unasked := ringOf(nil)
	unasked.rings[0].lost = func() (uint64, error) { return 0, unix.EBADF }
	short := record(unix.PERF_RECORD_SAMPLE, sample("event", 5))
	binary.NativeEndian.PutUint16(short[6:], 7)
	long := record(unix.PERF_RECORD_SAMPLE, sample("event", 5))
	binary.NativeEndian.PutUint16(long[6:], uint16(len(long)+1))
	for name, r := range map[string]*Reader{
		"a record shorter than its header":      ringOf(short),
		"a record longer than what was written": ringOf(long),
		"lost events":                           full,
		"a ring that does not say what it lost": unasked,
	} {
		if got, err := r.Read(); err == nil {
			t.Errorf("Read of %s = %+v, want an error", name, got)
		}
	}
}
