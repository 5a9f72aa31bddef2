// SPDX-License-Identifier: Apache-2.0

//go:build guest

package audittracepoints

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seriesrig/series/vmtest/guesttests/internal/perftrace"
	"github.com/seriesrig/series/vmtest/guesttests/internal/tracefs"
)

// An entry is what both audit_syscall_entry and raw_syscalls:sys_enter say.
type entry struct {
	Syscall int64
	Args    [4]uint64
}

// An exit is what both audit_syscall_exit and raw_syscalls:sys_exit say.
type exit struct {
	Syscall, Exit int64
}

// A stream is what a kind of event says about each task, in the order of time.
type stream[T any] map[int][]T

// A capture is what perf_event_open(2) saw of four events.
type capture struct {
	RawEntries, Entries stream[entry]
	RawExits, Exits     stream[exit]
	Arches              map[int64]bool // of all events of audit
	Success             map[int]map[exit]int64
}

// record reads events of all tasks while do runs, those of audit for a moment longer than the others. The exit event may be
// missing.
func record(t testing.TB, do func()) *capture {
	t.Helper()
	names := append(events(t), rawEnter, rawExit)
	formats := make([]*tracefs.Format, len(names))
	ids := make([]uint64, len(names))
	for i, name := range names {
		f, err := tracefs.Load(name)
		must(t, err)
		formats[i], ids[i] = f, f.ID
	}
	r, err := perftrace.Open(1<<20, ids...)
	must(t, err)
	defer func() { must(t, r.Close()) }()
	must(t, r.Enable())
	do()
	must(t, r.Disable())
	samples, err := r.Read()
	must(t, err)
	c := &capture{RawEntries: stream[entry]{}, Entries: stream[entry]{}, RawExits: stream[exit]{}, Exits: stream[exit]{},
		Arches: map[int64]bool{}, Success: map[int]map[exit]int64{}}
	of := make([]int, len(names))
	for _, s := range samples {
		of[s.Event]++
		number := func(name string) int64 {
			n, err := formats[s.Event].Int(s.Raw, name)
			must(t, err)
			return n
		}
		switch names[s.Event] {
		case rawEnter:
			c.RawEntries[s.TID] = append(c.RawEntries[s.TID], entry{number("id"), rawArgs(t, formats[s.Event], s.Raw)})
		case rawExit:
			c.RawExits[s.TID] = append(c.RawExits[s.TID], exit{number("id"), number("ret")})
		case entryEvent:
			e := entry{Syscall: number("syscall")}
			for i, name := range []string{"a0", "a1", "a2", "a3"} {
				e.Args[i] = uint64(number(name))
			}
			c.Entries[s.TID] = append(c.Entries[s.TID], e)
			c.Arches[number("arch")] = true
		case exitEvent:
			e := exit{number("syscall"), number("exit")}
			c.Exits[s.TID] = append(c.Exits[s.TID], e)
			c.Arches[number("arch")] = true
			if c.Success[s.TID] == nil {
				c.Success[s.TID] = map[exit]int64{}
			}
			c.Success[s.TID][e] = number("success")
		}
	}
	for i, n := range of {
		if n == 0 {
			t.Fatalf("%s is enabled, and there is none of any task; how many there are of %v: %v", names[i], names, of)
		}
	}
	return c
}

// Events that are lost, as nobody reads them, are an error: else, an event that is missing would be the kernel's fault.
func TestFullRing(t *testing.T) {
	f, err := tracefs.Load(rawExit)
	must(t, err)
	r, err := perftrace.Open(unix.Getpagesize(), f.ID)
	must(t, err)
	defer func() { must(t, r.Close()) }()
	must(t, r.Enable())
	for range unix.Getpagesize() / 16 { // no event is as small
		unix.Getppid()
	}
	must(t, r.Disable())
	if got, err := r.Read(); err == nil {
		t.Errorf("Read of a ring that was full = %d events, want an error", len(got))
	}
}

// rawArgs are the first four arguments of a raw_syscalls:sys_enter, which has them as an array.
func rawArgs(t testing.TB, f *tracefs.Format, raw []byte) (args [4]uint64) {
	t.Helper()
	field, err := f.Field("args[6]")
	must(t, err)
	if field.Offset+field.Size > len(raw) || field.Size < 8*len(args) {
		t.Fatalf("field args[6] has %d bytes at %d of %d", field.Size, field.Offset, len(raw))
	}
	for i := range args {
		args[i] = binary.NativeEndian.Uint64(raw[field.Offset+8*i:])
	}
	return args
}
