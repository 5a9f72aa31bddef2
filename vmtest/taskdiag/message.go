// SPDX-License-Identifier: Apache-2.0

//go:build linux

package taskdiag

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"unsafe"
)

// A FormatError says where an answer is not as the kernel's documentation says it is.
type FormatError struct {
	Offset int64 // bytes from the start of the answer
	Reason string
	err    error
}

// Error is such as "byte 128: message of 7 bytes: want 16 to 1048576, and a multiple of 8".
func (e *FormatError) Error() string { return fmt.Sprintf("byte %d: %s", e.Offset, e.Reason) }

// Unwrap is io.ErrUnexpectedEOF of an answer that ends too soon, or nil.
func (e *FormatError) Unwrap() error { return e.err }

func malformed(offset int64, format string, args ...any) error {
	return &FormatError{Offset: offset, Reason: fmt.Sprintf(format, args...)}
}

// A Message is about one task: all that was asked for, or a part where Cont or Gone say so. It is a view of the buffer
// that it was read into.
type Message struct {
	TGID uint32 // process
	PID  uint32 // thread
	Cont bool   // the next message has more of the task
	Gone bool   // the task exited, or executed another program, before all was shown; what came before is not complete
	Base *Base  // nil where the message has none; so are the next two
	Cred *Cred
	Stat *Stat

	raw  []byte
	vmas []byte // records, which have been checked
}

// Bytes is the message as it came, with its headers.
func (m *Message) Bytes() []byte { return m.raw }

// VMAs is an iterator over the mappings that the message has: for v := range m.VMAs.
func (m *Message) VMAs(yield func(VMA) bool) { eachVMA(m.vmas, yield) }

// A header is a struct nlmsghdr.
type header struct {
	len  uint32
	kind uint16
	seq  uint32
}

func parseHeader(b []byte) header {
	return header{
		len:  binary.NativeEndian.Uint32(b),
		kind: binary.NativeEndian.Uint16(b[4:]),
		seq:  binary.NativeEndian.Uint32(b[8:]),
	}
}

// parse reads a whole message about a task, which is at that offset of the answer and at an address that is a multiple
// of 8. Attributes and flags that are not known are skipped, as the kernel may get more of them.
func (m *Message) parse(b []byte, at int64) error {
	if len(b) < taskHeader {
		return malformed(at, "message about a task of %d bytes: want at least %d", len(b), taskHeader)
	}
	flags := binary.NativeEndian.Uint32(b[16:])
	m.Cont, m.Gone = flags&flagCont != 0, flags&flagGone != 0
	m.TGID, m.PID = binary.NativeEndian.Uint32(b[20:]), binary.NativeEndian.Uint32(b[24:])
	m.Base, m.Cred, m.Stat, m.vmas, m.raw = nil, nil, nil, nil, b
	if m.Cont && m.Gone {
		return malformed(at+16, "message is marked as one that goes on and as one that does not")
	}
	for off := taskHeader; off < len(b); {
		rest := b[off:]
		if len(rest) < attrHeader {
			return malformed(at+int64(off), "%d bytes behind the last attribute", len(rest))
		}
		n, kind := int(binary.NativeEndian.Uint16(rest)), binary.NativeEndian.Uint16(rest[2:])
		if n < attrHeader || n > len(rest) {
			return badLength(n, len(rest), at+int64(off))
		}
		// What is nearly always all that a message has, and what is between others.
		switch {
		case kind == attrPad && n == attrHeader:
		case kind == attrBase && n >= attrHeader+baseSize && m.Base == nil && !m.Gone && (off+attrHeader)%8 == 0:
			m.Base = (*Base)(unsafe.Pointer(unsafe.SliceData(rest[attrHeader:])))
		default:
			if err := m.attribute(kind, rest[attrHeader:n:n], at+int64(off)); err != nil {
				return err
			}
		}
		off += (n + 3) &^ 3
	}
	return nil
}

func badLength(n, left int, at int64) error {
	if n < attrHeader {
		return malformed(at, "attribute of %d bytes: want at least %d", n, attrHeader)
	}
	return malformed(at, "attribute of %d bytes: the message has %d left", n, left)
}

func (m *Message) attribute(kind uint16, p []byte, at int64) error {
	known := kind >= attrBase && kind <= attrVMA
	switch {
	case kind == attrPad && len(p) > 0:
		return malformed(at, "attribute that aligns the next one has %d bytes in it", len(p))
	case known && (at+attrHeader)%8 != 0:
		return malformed(at, "attribute %d is not aligned to 8 bytes", kind)
	case known && m.Gone:
		return malformed(at, "attribute %d of a task that is gone", kind)
	}
	ok := true
	switch kind {
	case attrBase:
		m.Base, ok = view[Base](p, m.Base)
	case attrCred:
		m.Cred, ok = view[Cred](p, m.Cred)
	case attrStat:
		m.Stat, ok = view[Stat](p, m.Stat)
	case attrVMA:
		if ok = m.vmas == nil; ok {
			m.vmas = p
			return checkVMAs(p, at+attrHeader)
		}
	}
	if !ok {
		return malformed(at, "attribute %d of %d bytes is too short, or the second one", kind, attrHeader+len(p))
	}
	return nil
}

// view is the T at the start of b, which may have more behind it. There must not have been another one.
func view[T Base | Cred | Stat](b []byte, before *T) (*T, bool) {
	if before != nil || len(b) < int(unsafe.Sizeof(*before)) {
		return before, false
	}
	return (*T)(unsafe.Pointer(unsafe.SliceData(b))), true
}

// checkVMAs looks at every record, so that eachVMA need not.
func checkVMAs(b []byte, at int64) error {
	for off := 0; off < len(b); {
		left, at := len(b)-off, at+int64(off)
		if left < vmaSize {
			return malformed(at, "mapping has %d bytes left: want at least %d", left, vmaSize)
		}
		h := head(b[off:])
		if h.len < uint32(vmaSize) || uint64(h.len) > uint64(left) || h.len%8 != 0 {
			return malformed(at, "mapping of %d bytes: want %d to %d, and a multiple of 8", h.len, vmaSize, left)
		}
		if h.Start >= h.End {
			return malformed(at, "mapping from %#x to %#x", h.Start, h.End)
		}
		rec := b[off : off+int(h.len)]
		if n := h.nameOff; n != 0 && (n < uint32(vmaSize) || n >= h.len || bytes.IndexByte(rec[n:], 0) < 0) {
			return malformed(at, "mapping of %d bytes: name at %d, which has to end in it", h.len, n)
		}
		if n := h.statOff; n != 0 && (n < uint32(vmaSize) || n%8 != 0 || uint64(n)+uint64(vmaStatSize) > uint64(h.len)) {
			return malformed(at, "mapping of %d bytes: statistics at %d, %d bytes of them", h.len, n, vmaStatSize)
		}
		off += int(h.len)
	}
	return nil
}

// eachVMA goes over records that checkVMAs has looked at.
func eachVMA(b []byte, yield func(VMA) bool) bool {
	for len(b) > 0 {
		h := head(b)
		v := VMA{VMAHead: h}
		if h.nameOff != 0 {
			name := b[h.nameOff:h.len]
			v.Name = name[:bytes.IndexByte(name, 0)]
		}
		if h.statOff != 0 {
			v.Stat = (*VMAStat)(unsafe.Pointer(&b[h.statOff]))
		}
		if !yield(v) {
			return false
		}
		b = b[h.len:]
	}
	return true
}

func head(b []byte) *VMAHead { return (*VMAHead)(unsafe.Pointer(&b[0])) }
