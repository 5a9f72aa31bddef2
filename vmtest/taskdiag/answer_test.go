// SPDX-License-Identifier: Apache-2.0

//go:build linux

package taskdiag

import (
	"encoding/binary"
	"fmt"
	"io"
	"unsafe"
)

// An attr is an attribute of an answer that is made here.
type attr struct {
	kind    uint16
	payload []byte
}

func bytesOf[T any](p *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(p)), unsafe.Sizeof(*p))
}

const testSeq = 42

func header16(n int, kind uint16) []byte {
	b := binary.NativeEndian.AppendUint32(nil, uint32(n))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, 2) // NLM_F_MULTI
	b = binary.NativeEndian.AppendUint32(b, testSeq)
	return binary.NativeEndian.AppendUint32(b, 0)
}

// taskMessage is a message as the kernel makes it: payloads at multiples of 8.
func taskMessage(flags, tgid, pid uint32, attrs ...attr) []byte {
	b := header16(0, msgTask)
	for _, v := range []uint32{flags, tgid, pid} {
		b = binary.NativeEndian.AppendUint32(b, v)
	}
	pad := func() {
		b = binary.NativeEndian.AppendUint16(b, attrHeader)
		b = binary.NativeEndian.AppendUint16(b, attrPad)
	}
	for i, a := range attrs {
		if i > 0 {
			pad()
		}
		b = binary.NativeEndian.AppendUint16(b, uint16(attrHeader+len(a.payload)))
		b = binary.NativeEndian.AppendUint16(b, a.kind)
		b = append(b, a.payload...)
	}
	if len(attrs) == 0 {
		pad()
	}
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	return b
}

func doneMessage(errno int32) []byte {
	b := header16(doneSize, msgDone)
	b = binary.NativeEndian.AppendUint32(b, uint32(errno))
	return binary.NativeEndian.AppendUint32(b, 0)
}

func join(parts ...[]byte) []byte {
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

func someBase(pid uint32) *Base {
	b := &Base{TGID: pid, PID: pid, PPID: 1, TPID: 7, SID: 2, PGID: 3, State: 'S'}
	copy(b.Comm[:], fmt.Sprintf("task %d", pid))
	return b
}

func someCred(pid uint32) *Cred {
	return &Cred{CapInheritable: 1, CapBounding: 1 << 40, UID: pid, EUID: 1000, FSGID: 4}
}

func someStat(pid uint32) *Stat {
	return &Stat{MinFlt: uint64(pid), UTime: 1234567890, RSS: 4096, TTYPgrp: -1, Nice: -20, WaitChannel: 1}
}

// vmaRecord is a mapping with a name, and statistics where stat is not nil.
func vmaRecord(start uint64, name string, stat *VMAStat) []byte {
	h := VMAHead{Start: start, End: start + 4096, Offset: 8192, Inode: 5, PageSize: 4096, Flags: VMARead | VMAExec, DevMajor: 8, DevMinor: 1}
	h.len = uint32(vmaSize)
	var tail []byte
	if stat != nil {
		h.statOff = h.len
		tail = append(tail, bytesOf(stat)...)
		h.len += uint32(vmaStatSize)
	}
	if name != "" {
		h.nameOff = h.len
		n := (len(name) + 1 + 7) &^ 7
		tail = append(append(tail, name...), make([]byte, n-len(name))...)
		h.len += uint32(n)
	}
	return append(append([]byte(nil), bytesOf(&h)...), tail...)
}

func groups(pid uint32, with Groups) []attr {
	var attrs []attr
	if with&ShowBase != 0 {
		attrs = append(attrs, attr{attrBase, bytesOf(someBase(pid))})
	}
	if with&ShowCred != 0 {
		attrs = append(attrs, attr{attrCred, bytesOf(someCred(pid))})
	}
	if with&ShowStat != 0 {
		attrs = append(attrs, attr{attrStat, bytesOf(someStat(pid))})
	}
	return attrs
}

// reads gives an answer in pieces of at most n bytes.
type reads struct {
	b []byte
	n int
}

func (r *reads) Read(p []byte) (int, error) {
	if len(r.b) == 0 {
		return 0, io.EOF
	}
	n := min(len(p), len(r.b), r.n)
	copy(p, r.b[:n])
	r.b = r.b[n:]
	return n, nil
}

// describe is all that a task says, for comparison.
func describe(t *Task) string {
	s := fmt.Sprintf("%d/%d gone=%v\n", t.TGID, t.PID, t.Gone)
	if t.Base != nil {
		s += fmt.Sprintf("base %+v %q\n", *t.Base, t.Base.Name())
	}
	if t.Cred != nil {
		s += fmt.Sprintf("cred %+v\n", *t.Cred)
	}
	if t.Stat != nil {
		s += fmt.Sprintf("stat %+v\n", *t.Stat)
	}
	for v := range t.VMAs {
		s += fmt.Sprintf("vma %+v %q", *v.VMAHead, v.Name)
		if v.Stat != nil {
			s += fmt.Sprintf(" %+v", *v.Stat)
		}
		s += "\n"
	}
	return s
}
