// SPDX-License-Identifier: Apache-2.0

//go:build linux

package taskdiag

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"syscall"
	"unsafe"
)

// Limits of what an answer may make a Reader keep.
const (
	// DefaultBuffer is the size, in bytes, of a Reader's buffer where Options.Buffer is 0.
	DefaultBuffer = 256 << 10
	// DefaultMaxTask is what a task's mappings may have, in bytes, where Options.MaxTask is 0: about 300,000 of them.
	DefaultMaxTask = 64 << 20

	minBuffer  = 256
	maxMessage = 1 << 20 // the kernel's are at most 64 KiB
)

// ErrTooLarge says that a task has more mappings than Options.MaxTask allows. Messages has no such limit.
var ErrTooLarge = errors.New("mappings of a task exceed the limit")

// Options are for Open, New and NewReader. The zero value is good.
type Options struct {
	// Path of the file; "" means Path. Each proc mount has one, with the pid namespace of the mount.
	Path string
	// Buffer is the size, in bytes, of what one read(2) may fill; 0 means DefaultBuffer, and less than 256 means 256.
	// It grows where a message does not fit.
	Buffer int
	// MaxTask limits the mappings of one task, in bytes; 0 means DefaultMaxTask. What exceeds it is ErrTooLarge.
	MaxTask int
}

// A Reader divides an answer into tasks or messages. It is what a Client reads with; on its own it is for answers that come
// from elsewhere. It is for one goroutine at a time, and for one loop: either over Tasks or over Messages.
type Reader struct {
	src     io.Reader
	seq     uint32
	maxTask int

	buf  []byte
	r, w int   // what is there and was not looked at
	at   int64 // offset of buf[r] in the answer

	msg  Message // the last one
	open bool    // which goes on
	end  bool    // the answer has ended

	gather bool // tasks are put together
	task   Task
	kept   []byte // mappings of the task that are no longer in buf
	held   int    // parts of the task that are in kept
	fixed  struct {
		base Base
		cred Cred
		stat Stat
	}
}

// NewReader makes a Reader for the answer to the request with that number.
func NewReader(src io.Reader, seq uint32, o Options) *Reader {
	r := &Reader{maxTask: o.MaxTask}
	if r.maxTask <= 0 {
		r.maxTask = DefaultMaxTask
	}
	size := o.Buffer
	if size <= 0 {
		size = DefaultBuffer
	}
	r.buf = aligned((max(size, minBuffer) + 7) &^ 7)
	r.Reset(src, seq)
	return r
}

// Reset makes the Reader start again, with another answer. Whatever it gave before is no longer valid.
func (r *Reader) Reset(src io.Reader, seq uint32) {
	r.src, r.seq = src, seq
	r.r, r.w, r.at = 0, 0, 0
	r.open, r.end = false, false
	r.begin()
}

// Messages goes over the rest of the answer as it came: a task may have several messages, of which all but the last are
// marked Cont. What it needs is the buffer and nothing else, however much there is about a task. After an error the loop
// ends; an error that the kernel ended the answer with is a syscall.Errno.
func (r *Reader) Messages() iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		for {
			m, err := r.next()
			if m == nil && err == nil || !yield(m, err) || err != nil {
				return
			}
		}
	}
}

// Tasks goes over the rest of the answer, task by task. After an error the loop ends, as with Messages.
func (r *Reader) Tasks() iter.Seq2[*Task, error] {
	return func(yield func(*Task, error) bool) {
		r.gather = true
		defer func() { r.gather = false }()
		for {
			t, err := r.nextTask()
			if t == nil && err == nil || !yield(t, err) || err != nil {
				return
			}
		}
	}
}

// nextTask is nil at the end of the answer. Nearly every task is a message that is in the buffer as a whole, and where there
// are many of them, it has Base and nothing else.
func (r *Reader) nextTask() (*Task, error) {
	if !r.end && !r.open && len(r.kept) == 0 {
		if b := r.buf[r.r:r.w]; len(b) >= taskHeader && binary.NativeEndian.Uint16(b[4:]) == msgTask && binary.NativeEndian.Uint32(b[8:]) == r.seq {
			n := uint(binary.NativeEndian.Uint32(b))
			if n >= taskHeader && n%8 == 0 && n <= uint(len(b)) && n <= maxMessage && binary.NativeEndian.Uint32(b[16:])&(flagCont|flagGone) == 0 {
				if n != baseMessage || !r.task.onlyBase(b[:baseMessage]) {
					if err := r.msg.parse(b[:n:n], r.at); err != nil {
						r.end = true
						return nil, err
					}
					r.task.whole(&r.msg)
				}
				r.r += int(n)
				r.at += int64(n)
				return &r.task, nil
			}
		}
	}
	return r.partedTask()
}

const baseMessage = taskHeader + attrHeader + baseSize

// onlyBase makes the task that of a message that has one attribute, which is Base. It says false where that is not so.
func (t *Task) onlyBase(b []byte) bool {
	_ = b[baseMessage-1]
	if binary.NativeEndian.Uint16(b[taskHeader:]) != attrHeader+baseSize || binary.NativeEndian.Uint16(b[taskHeader+2:]) != attrBase {
		return false
	}
	t.TGID, t.PID, t.Gone = binary.NativeEndian.Uint32(b[20:]), binary.NativeEndian.Uint32(b[24:]), false
	t.Base, t.Cred, t.Stat, t.parts = (*Base)(unsafe.Pointer(&b[taskHeader+attrHeader])), nil, nil, t.parts[:0]
	return true
}

// whole makes the task one of a single message.
func (t *Task) whole(m *Message) {
	t.TGID, t.PID, t.Gone, t.Base, t.Cred, t.Stat = m.TGID, m.PID, false, m.Base, m.Cred, m.Stat
	t.parts = t.parts[:0]
	if len(m.vmas) > 0 {
		t.parts = append(t.parts, m.vmas)
	}
}

// partedTask puts a task together, of however many messages.
func (r *Reader) partedTask() (*Task, error) {
	r.begin()
	for {
		m, err := r.next()
		if m == nil || err != nil {
			return nil, err
		}
		if err := r.add(m); err != nil {
			return nil, err
		}
		if !m.Cont {
			return &r.task, nil
		}
	}
}

// begin forgets the task.
func (r *Reader) begin() {
	r.task = Task{parts: r.task.parts[:0]}
	r.kept, r.held = r.kept[:0], 0
}

func (r *Reader) add(m *Message) error {
	t := &r.task
	t.TGID, t.PID, t.Gone = m.TGID, m.PID, m.Gone
	if m.Base != nil && t.Base != nil || m.Cred != nil && t.Cred != nil || m.Stat != nil && t.Stat != nil {
		return malformed(r.at-int64(len(m.raw)), "task %d has a group for the second time", m.PID)
	}
	if m.Base != nil {
		t.Base = m.Base
	}
	if m.Cred != nil {
		t.Cred = m.Cred
	}
	if m.Stat != nil {
		t.Stat = m.Stat
	}
	if len(m.vmas) > 0 {
		t.parts = append(t.parts, m.vmas)
	}
	return nil
}

// keep copies what there is of a task out of the buffer, which is about to be filled again. Mappings that follow one
// another become one part.
func (r *Reader) keep() error {
	t := &r.task
	if t.Base != nil {
		r.fixed.base = *t.Base
		t.Base = &r.fixed.base
	}
	if t.Cred != nil {
		r.fixed.cred = *t.Cred
		t.Cred = &r.fixed.cred
	}
	if t.Stat != nil {
		r.fixed.stat = *t.Stat
		t.Stat = &r.fixed.stat
	}
	n := len(r.kept)
	for _, p := range t.parts[r.held:] {
		n += len(p)
	}
	if n > r.maxTask {
		return fmt.Errorf("task %d, more than %d bytes: %w", t.PID, r.maxTask, ErrTooLarge)
	}
	if n > cap(r.kept) {
		grown := aligned(min(max(n, 2*cap(r.kept)), r.maxTask))
		r.kept = grown[:copy(grown, r.kept)]
	}
	for _, p := range t.parts[r.held:] {
		r.kept = append(r.kept, p...)
	}
	if len(r.kept) > 0 {
		t.parts = append(t.parts[:0], r.kept)
		r.held = 1
	}
	return nil
}

// next is the next message about a task, or nil at the end of the answer.
func (r *Reader) next() (*Message, error) {
	if r.end {
		return nil, nil
	}
	b, h, err := r.message()
	if err != nil {
		r.end = true
		return nil, err
	}
	at := r.at
	r.r += len(b)
	r.at += int64(len(b))
	if h.kind == msgDone {
		r.end = true
		return nil, r.done(b, at)
	}
	tgid, pid := r.msg.TGID, r.msg.PID
	err = r.msg.parse(b, at)
	switch {
	case err != nil:
	case r.open && (tgid != r.msg.TGID || pid != r.msg.PID):
		err = malformed(at, "task %d goes on as task %d", pid, r.msg.PID)
	case !r.open && r.msg.Gone:
		err = malformed(at, "task %d is gone, of which nothing was shown", r.msg.PID)
	}
	if err != nil {
		r.end = true
		return nil, err
	}
	r.open = r.msg.Cont
	return &r.msg, nil
}

// done looks at what ends an answer.
func (r *Reader) done(b []byte, at int64) error {
	switch {
	case len(b) < doneSize:
		return malformed(at, "last message of %d bytes: want at least %d", len(b), doneSize)
	case r.w > r.r:
		return malformed(r.at, "%d bytes behind the last message", r.w-r.r)
	}
	errno := int32(binary.NativeEndian.Uint32(b[nlmsgHeader:]))
	switch {
	case errno > 0 || errno < -4095:
		return malformed(at+nlmsgHeader, "error %d is none", errno)
	case r.open:
		return malformed(at, "answer ends, and task %d was to go on", r.msg.PID)
	case errno != 0:
		return syscall.Errno(-errno)
	}
	return nil
}

// message is the next one that is complete, with its header looked at.
func (r *Reader) message() ([]byte, header, error) {
	b, err := r.ahead(nlmsgHeader)
	if err != nil {
		return nil, header{}, err
	}
	h := parseHeader(b)
	switch {
	case h.kind != msgTask && h.kind != msgDone:
		return nil, h, malformed(r.at, "message of type %d: want %d or %d", h.kind, msgTask, msgDone)
	case h.seq != r.seq:
		return nil, h, malformed(r.at, "message answers request %d, not %d", h.seq, r.seq)
	case h.len < nlmsgHeader || h.len > maxMessage || h.len%8 != 0:
		return nil, h, malformed(r.at, "message of %d bytes: want %d to %d, and a multiple of 8", h.len, nlmsgHeader, maxMessage)
	}
	b, err = r.ahead(int(h.len))
	return b, h, err
}

// ahead is the next n bytes, which it reads if need be.
func (r *Reader) ahead(n int) ([]byte, error) {
	for r.w-r.r < n {
		if err := r.fill(n); err != nil {
			return nil, err
		}
	}
	return r.buf[r.r : r.r+n : r.r+n], nil
}

// fill reads once, so that there is more, and makes room for n bytes.
func (r *Reader) fill(n int) error {
	if r.gather && r.open {
		if err := r.keep(); err != nil {
			return err
		}
	}
	copy(r.buf, r.buf[r.r:r.w])
	r.r, r.w = 0, r.w-r.r
	if n > len(r.buf) {
		r.grow(n)
	}
	for range 100 {
		got, err := r.src.Read(r.buf[r.w:])
		if got < 0 || got > len(r.buf)-r.w {
			return fmt.Errorf("read of %d bytes gave %d", len(r.buf)-r.w, got)
		}
		r.w += got
		switch {
		case got > 0:
			return nil // an error comes again
		case errors.Is(err, syscall.EMSGSIZE) && r.w == 0 && len(r.buf) < maxMessage:
			r.grow(2 * len(r.buf))
		case errors.Is(err, io.EOF):
			return &FormatError{Offset: r.at + int64(r.w), Reason: "answer ends without its last message", err: io.ErrUnexpectedEOF}
		case err != nil:
			return err
		}
	}
	return io.ErrNoProgress
}

func (r *Reader) grow(n int) {
	b := aligned(min(max(n, 2*len(r.buf)), maxMessage))
	copy(b, r.buf[:r.w])
	r.buf = b
}
