// SPDX-License-Identifier: Apache-2.0

//go:build linux

package taskdiag

import (
	"fmt"
	"testing"
)

// many is an answer about n tasks.
func many(n int, with Groups) []byte {
	var b, vmas []byte
	if with&ShowVMA != 0 {
		var st *VMAStat
		if with&ShowVMAStat != 0 {
			st = &VMAStat{Resident: 4096}
		}
		for i := range uint64(20) {
			vmas = append(vmas, vmaRecord(0x1000*(i+1), "/usr/lib/x86_64-linux-gnu/libc.so.6", st)...)
		}
	}
	for pid := range uint32(n) {
		attrs := groups(pid+1, with)
		if vmas != nil {
			attrs = append(attrs, attr{attrVMA, vmas})
		}
		b = append(b, taskMessage(0, pid+1, pid+1, attrs...)...)
	}
	return append(b, doneMessage(0)...)
}

// whole gives whole messages, as the kernel does.
type whole struct {
	b []byte
}

func (s *whole) Read(p []byte) (int, error) {
	n := 0
	for n < len(s.b) {
		l := int(parseHeader(s.b[n:]).len)
		if n+l > len(p) {
			break
		}
		n += l
	}
	copy(p, s.b[:n])
	s.b = s.b[n:]
	return n, nil
}

var decoded = []Groups{0, ShowBase, ShowBase | ShowCred, ShowBase | ShowCred | ShowStat, ShowVMA, ShowVMA | ShowVMAStat}

// sum reads all of an answer.
func sum(r *Reader) (tasks int, total uint64, err error) {
	for t, err := range r.Tasks() {
		if err != nil {
			return tasks, total, err
		}
		tasks++
		if t.Base != nil {
			total += uint64(t.Base.PPID) + uint64(len(t.Base.Name()))
		}
		if t.Stat != nil {
			total += uint64(t.Stat.UTime)
		}
		for v := range t.VMAs {
			total += v.End - v.Start + uint64(len(v.Name))
			if v.Stat != nil {
				total += uint64(v.Stat.PSS)
			}
		}
	}
	return tasks, total, nil
}

// passedOn hands on what a Reader gives, as a Client does: what a loop over it has in it cannot be made part of the loop below.
func passedOn(r *Reader) func(func(*Task, error) bool) {
	return func(yield func(*Task, error) bool) {
		for {
			t, err := r.nextTask()
			if t == nil && err == nil || !yield(t, err) {
				return
			}
		}
	}
}

// A task takes no memory, divided or not.
func TestAllocations(t *testing.T) {
	for _, g := range decoded {
		allocs := map[int]float64{}
		for _, n := range []int{100, 2000} {
			b := many(n, g)
			src := &whole{}
			r := NewReader(src, testSeq, Options{Buffer: 64 << 10})
			allocs[n] = testing.AllocsPerRun(5, func() {
				src.b = b
				r.Reset(src, testSeq)
				if got, _, err := sum(r); got != n || err != nil {
					t.Fatalf("%v: %d tasks, %v, want %d", g, got, err, n)
				}
				src.b = b
				r.Reset(src, testSeq)
				total := uint64(0)
				for task := range passedOn(r) {
					for v := range task.VMAs {
						total += v.End
					}
				}
			})
		}
		if allocs[2000] != allocs[100] || allocs[100] > 4 {
			t.Errorf("%v: %.0f allocations for 100 tasks and %.0f for 2000, want the same, and 4 at most", g, allocs[100], allocs[2000])
		}
	}
}

func BenchmarkReader(b *testing.B) {
	const n = 10_000
	for _, g := range decoded {
		b.Run(fmt.Sprintf("groups=%v", g), func(b *testing.B) {
			answer := many(n, g)
			src := &whole{}
			r := NewReader(src, testSeq, Options{})
			b.ReportAllocs()
			b.SetBytes(int64(len(answer)))
			for b.Loop() {
				src.b = answer
				r.Reset(src, testSeq)
				if got, _, err := sum(r); got != n || err != nil {
					b.Fatal(got, err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/task")
		})
	}
}
