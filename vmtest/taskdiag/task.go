// SPDX-License-Identifier: Apache-2.0

//go:build linux

package taskdiag

import "unsafe"

// A Task is all that an answer has about one task, put together from as many messages as it took. It is a view of buffers
// that are used again when the loop over tasks goes on; Clone makes one that stays.
type Task struct {
	TGID uint32 // process, in the pid namespace of the proc mount
	PID  uint32 // thread
	// Gone says that the task exited, executed another program or can no longer be looked at, before all was shown.
	// What is there is what was shown until then.
	Gone bool
	Base *Base // nil where it was not asked for, or where the task is gone; so are the next two
	Cred *Cred
	Stat *Stat

	parts [][]byte // of the records of mappings
}

// VMAs is an iterator over the mappings of a task in the order of their addresses: for v := range t.VMAs. Where they change
// while they are read, one may come twice or not at all, as in /proc/PID/maps.
func (t *Task) VMAs(yield func(VMA) bool) {
	for _, p := range t.parts {
		if !eachVMA(p, yield) {
			return
		}
	}
}

// Clone is a copy of the task with memory of its own.
func (t *Task) Clone() *Task {
	c := *t
	c.Base, c.Cred, c.Stat = clone(t.Base), clone(t.Cred), clone(t.Stat)
	n := 0
	for _, p := range t.parts {
		n += len(p)
	}
	c.parts = nil
	if n > 0 {
		all := aligned(n)[:0]
		for _, p := range t.parts {
			all = append(all, p...)
		}
		c.parts = [][]byte{all}
	}
	return &c
}

func clone[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}

// aligned makes n bytes at an address that is a multiple of 8.
func aligned(n int) []byte {
	if n == 0 {
		return nil
	}
	words := make([]uint64, (n+7)/8)
	return unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), n)
}
