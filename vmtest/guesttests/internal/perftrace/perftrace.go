// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package perftrace reads raw trace events through perf_event_open(2), as perf trace does, for tests that run inside a guest.
package perftrace

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Sample is one event of one task.
type Sample struct {
	Event    int // index of the event among those that the Reader was opened with
	PID, TID int
	CPU      int
	Time     uint64 // ns
	Raw      []byte // as the event's format says
}

// A Reader has a ring for each event and CPU.
type Reader struct {
	rings []*ring
}

type ring struct {
	event int
	fd    int
	mem   []byte
	meta  *unix.PerfEventMmapPage
	data  []byte
	lost  func() (uint64, error) // how many events found no place since it was opened
}

// Open opens rings of so many bytes, a power of two times the size of a page, for events with these ids, on all CPUs, of all
// tasks. Nothing is recorded before Enable.
func Open(size int, ids ...uint64) (*Reader, error) {
	r := &Reader{}
	for event, id := range ids {
		for cpu := range runtime.NumCPU() {
			if err := r.open(event, id, cpu, size); err != nil {
				return nil, errors.Join(fmt.Errorf("open trace event %d on CPU %d: %w", id, cpu, err), r.Close())
			}
		}
	}
	return r, nil
}

func (r *Reader) open(event int, id uint64, cpu, size int) error {
	attr := &unix.PerfEventAttr{
		Type: unix.PERF_TYPE_TRACEPOINT, Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{})), Config: id, Sample: 1,
		Sample_type: unix.PERF_SAMPLE_TID | unix.PERF_SAMPLE_TIME | unix.PERF_SAMPLE_CPU | unix.PERF_SAMPLE_RAW,
		Read_format: unix.PERF_FORMAT_LOST,
		Bits:        unix.PerfBitDisabled | unix.PerfBitUseClockID, Clockid: unix.CLOCK_MONOTONIC,
	}
	fd, err := unix.PerfEventOpen(attr, -1, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return err
	}
	page := unix.Getpagesize()
	mem, err := unix.Mmap(fd, 0, page+size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		unix.Close(fd)
		return fmt.Errorf("map a ring of %d bytes: %w", size, err)
	}
	r.rings = append(r.rings, &ring{event, fd, mem, (*unix.PerfEventMmapPage)(unsafe.Pointer(&mem[0])), mem[page:],
		func() (uint64, error) { return lost(fd) }})
	return nil
}

// lost asks the kernel how many events found no place. PERF_RECORD_LOST would say so as well, but it comes with the next event
// that finds one, and a ring that is not read while it is full has none.
func lost(fd int) (uint64, error) {
	var b [16]byte // how many events there were, and how many of them are lost
	n, err := unix.Read(fd, b[:])
	if err == nil && n != len(b) {
		err = fmt.Errorf("%d bytes, want %d", n, len(b))
	}
	if err != nil {
		return 0, fmt.Errorf("count lost events: %w", err)
	}
	return binary.NativeEndian.Uint64(b[8:]), nil
}

// Enable begins recording, of the first event first.
func (r *Reader) Enable() error { return ioctl(r.rings, unix.PERF_EVENT_IOC_ENABLE) }

// Disable ends it, of the first event last: the first event is recorded whenever the others are.
func (r *Reader) Disable() error {
	rings := slices.Clone(r.rings)
	slices.Reverse(rings)
	return ioctl(rings, unix.PERF_EVENT_IOC_DISABLE)
}

func ioctl(rings []*ring, req uint) error {
	for _, ring := range rings {
		if err := unix.IoctlSetInt(ring.fd, req, 0); err != nil {
			return fmt.Errorf("trace event, ioctl %#x: %w", req, err)
		}
	}
	return nil
}

// Read returns what was recorded since the last Read, in the order of time. That events were lost, as a ring was full, is an
// error.
func (r *Reader) Read() ([]Sample, error) {
	var out []Sample
	var lost uint64
	for _, ring := range r.rings {
		if err := ring.read(func(kind uint32, b []byte) error {
			if kind != unix.PERF_RECORD_SAMPLE {
				return nil
			}
			s, err := parseSample(b)
			s.Event = ring.event
			out = append(out, s)
			return err
		}); err != nil {
			return nil, fmt.Errorf("read trace events: %w", err)
		}
		n, err := ring.lost()
		if err != nil {
			return nil, fmt.Errorf("read trace events: %w", err)
		}
		lost += n
	}
	if lost > 0 {
		return nil, fmt.Errorf("read trace events: %d are lost, as a ring was full", lost)
	}
	slices.SortStableFunc(out, func(a, b Sample) int { return cmp.Compare(a.Time, b.Time) })
	return out, nil
}

const headerSize = 8 // struct perf_event_header

func (g *ring) read(each func(kind uint32, b []byte) error) error {
	head, tail := atomic.LoadUint64(&g.meta.Data_head), g.meta.Data_tail
	size := uint64(len(g.data))
	at := func(from, n uint64) []byte {
		b := make([]byte, n)
		k := copy(b, g.data[from%size:])
		copy(b[k:], g.data)
		return b
	}
	for tail < head {
		h := at(tail, headerSize)
		kind, n := binary.NativeEndian.Uint32(h), uint64(binary.NativeEndian.Uint16(h[6:]))
		if n < headerSize || n > head-tail {
			return fmt.Errorf("record of %d bytes, %d are there", n, head-tail)
		}
		if err := each(kind, at(tail+headerSize, n-headerSize)); err != nil {
			return err
		}
		tail += n
	}
	atomic.StoreUint64(&g.meta.Data_tail, tail)
	return nil
}

// parseSample reads what PERF_SAMPLE_TID, _TIME, _CPU and _RAW put into a sample, in this order.
func parseSample(b []byte) (Sample, error) {
	const fixed = 4 + 4 + 8 + 4 + 4 + 4
	if len(b) < fixed {
		return Sample{}, fmt.Errorf("sample of %d bytes", len(b))
	}
	order := binary.NativeEndian
	s := Sample{PID: int(order.Uint32(b)), TID: int(order.Uint32(b[4:])), Time: order.Uint64(b[8:]), CPU: int(order.Uint32(b[16:]))}
	n := order.Uint32(b[24:])
	if uint64(n) > uint64(len(b)-fixed) {
		return Sample{}, fmt.Errorf("sample with %d bytes of an event, %d are there", n, len(b)-fixed)
	}
	s.Raw = b[fixed : fixed+int(n)]
	return s, nil
}

// Close closes the rings; the events are disabled by it.
func (r *Reader) Close() error {
	var errs []error
	for _, ring := range r.rings {
		errs = append(errs, unix.Munmap(ring.mem), unix.Close(ring.fd))
	}
	r.rings = nil
	return errors.Join(errs...)
}
