// SPDX-License-Identifier: Apache-2.0

//go:build linux

package taskdiag

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// tasksOf reads an answer to its end, in pieces of at most n bytes, with a buffer of that size.
func tasksOf(b []byte, n, buffer int) ([]string, error) {
	var out []string
	r := NewReader(&reads{b, n}, testSeq, Options{Buffer: buffer})
	for t, err := range r.Tasks() {
		if err != nil {
			return out, err
		}
		out = append(out, describe(t))
	}
	return out, nil
}

// divided is an answer with tasks of one message and of several, with a large one, one that is gone, one without anything and
// an attribute that nobody knows yet.
func divided() []byte {
	var many []byte
	for i := range uint64(50) {
		many = append(many, vmaRecord(0x1000*(i+1), fmt.Sprintf("/lib/part %d", i), nil)...)
	}
	st := &VMAStat{Resident: 4096, PSS: 1365, Locked: 12}
	last := join(vmaRecord(0x7000, "", nil), vmaRecord(0x8000, "[stack]", st))
	return join(
		taskMessage(0, 1, 1, groups(1, ShowBase|ShowCred|ShowStat)...),
		taskMessage(flagCont, 2, 2, groups(2, ShowBase)...),
		taskMessage(flagCont, 2, 2, groups(2, ShowCred)...),
		taskMessage(flagCont, 2, 2, append(groups(2, ShowStat), attr{attrVMA, many})...),
		taskMessage(flagCont, 2, 2, attr{attrVMA, many}),
		taskMessage(0, 2, 2, attr{attrVMA, last}),
		taskMessage(flagCont, 2, 3, groups(3, ShowBase)...),
		taskMessage(flagGone, 2, 3),
		taskMessage(0, 4, 4),
		taskMessage(0, 5, 5, attr{77, []byte("12345678")}, groups(5, ShowBase)[0], attr{attrVMA, nil}),
		taskMessage(1<<31, 6, 6, attr{attrStat, append(bytesOf(someStat(6)), make([]byte, 16)...)}),
		doneMessage(0),
	)
}

func TestTasks(t *testing.T) {
	got, err := tasksOf(divided(), 1<<20, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 6 {
		t.Fatalf("%d tasks, want 6: %q", len(got), got)
	}
	for i, want := range [][]string{
		{"1/1 gone=false", `"task 1"`, "PPID:1 TPID:7 SID:2 PGID:3 State:83", "CapBounding:1099511627776", "UTime:1.23456789s", "TTYPgrp:-1", "Nice:-20"},
		{"2/2 gone=false", `"/lib/part 0"`, `"/lib/part 49"`, "Start:32768 End:36864", `"[stack]" {Resident:4096 PSS:1365`, "Locked:12}"},
		{"2/3 gone=true", `"task 3"`},
		{"4/4 gone=false"},
		{"5/5 gone=false", `"task 5"`},
		{"6/6 gone=false", "stat {MinFlt:6"},
	} {
		for _, w := range want {
			if !strings.Contains(got[i], w) {
				t.Errorf("task %d has no %s:\n%s", i, w, got[i])
			}
		}
	}
	if n := strings.Count(got[1], "vma "); n != 102 {
		t.Errorf("task 2 has %d mappings, want 102", n)
	}
}

// However an answer is divided into reads, and whatever the buffer, it is the same one.
func TestTasksInPieces(t *testing.T) {
	b := divided()
	want, err := tasksOf(b, 1<<20, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for _, buffer := range []int{1, 256, 1024, 5000, 1 << 16} {
		for n := 1; n < 600; n = n*5/4 + 1 {
			got, err := tasksOf(b, n, buffer)
			if err != nil {
				t.Errorf("pieces of %d bytes, buffer of %d: %v", n, buffer, err)
			} else if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("pieces of %d bytes, buffer of %d (-want +got):\n%s", n, buffer, diff)
			}
		}
	}
}

func TestMessages(t *testing.T) {
	r := NewReader(&reads{divided(), 700}, testSeq, Options{Buffer: 1})
	var got []string
	var all []byte
	for m, err := range r.Messages() {
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for range m.VMAs {
			n++
		}
		got = append(got, fmt.Sprintf("%d/%d cont=%v gone=%v %v%v%v %d", m.TGID, m.PID, m.Cont, m.Gone, m.Base != nil, m.Cred != nil, m.Stat != nil, n))
		all = append(all, m.Bytes()...)
	}
	want := []string{
		"1/1 cont=false gone=false truetruetrue 0",
		"2/2 cont=true gone=false truefalsefalse 0", "2/2 cont=true gone=false falsetruefalse 0",
		"2/2 cont=true gone=false falsefalsetrue 50", "2/2 cont=true gone=false falsefalsefalse 50", "2/2 cont=false gone=false falsefalsefalse 2",
		"2/3 cont=true gone=false truefalsefalse 0", "2/3 cont=false gone=true falsefalsefalse 0",
		"4/4 cont=false gone=false falsefalsefalse 0", "5/5 cont=false gone=false truefalsefalse 0", "6/6 cont=false gone=false falsefalsetrue 0",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
	if !bytes.Equal(append(all, doneMessage(0)...), divided()) {
		t.Error("the bytes of the messages are not those of the answer")
	}
}

func TestClone(t *testing.T) {
	var clones []*Task
	b := divided()
	r := NewReader(&reads{b, 300}, testSeq, Options{Buffer: 1})
	var want []string
	for task, err := range r.Tasks() {
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, describe(task))
		clones = append(clones, task.Clone())
	}
	clear(r.buf)
	clear(r.kept[:cap(r.kept)])
	r.fixed.base, r.fixed.cred, r.fixed.stat = Base{}, Cred{}, Stat{}
	for i, c := range clones {
		if diff := cmp.Diff(want[i], describe(c)); diff != "" {
			t.Errorf("clone %d, when the buffers are gone (-want +got):\n%s", i, diff)
		}
	}
}

func TestAnswerError(t *testing.T) {
	_, err := tasksOf(join(taskMessage(0, 1, 1), doneMessage(-int32(syscall.ESRCH))), 1<<20, 0)
	if !errors.Is(err, syscall.ESRCH) {
		t.Errorf("answer that ends with an error: %v, want %v", err, syscall.ESRCH)
	}
	boom := errors.New("boom")
	for _, src := range []io.Reader{iotest.ErrReader(boom), io.MultiReader(bytes.NewReader(taskMessage(0, 1, 1)), iotest.ErrReader(boom))} {
		r := NewReader(src, testSeq, Options{})
		var err error
		for _, err = range r.Tasks() {
		}
		if !errors.Is(err, boom) {
			t.Errorf("read that fails: %v, want %v", err, boom)
		}
	}
	r := NewReader(readFunc(func([]byte) (int, error) { return 0, nil }), testSeq, Options{})
	for _, err := range r.Tasks() {
		if !errors.Is(err, io.ErrNoProgress) {
			t.Errorf("reads of nothing: %v, want %v", err, io.ErrNoProgress)
		}
	}
	r = NewReader(readFunc(func(p []byte) (int, error) { return len(p) + 1, nil }), testSeq, Options{})
	for _, err := range r.Tasks() {
		if err == nil {
			t.Error("a read of more than there is room for is no error")
		}
	}
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// A kernel that has no room for a message says so, and gets more.
func TestBufferGrows(t *testing.T) {
	b := divided()
	sizes := []int{}
	r := NewReader(readFunc(func(p []byte) (int, error) {
		if len(b) == 0 {
			return 0, io.EOF
		}
		n := int(parseHeader(b).len)
		if len(p) < n {
			sizes = append(sizes, len(p))
			return 0, syscall.EMSGSIZE
		}
		copy(p, b[:n])
		b = b[n:]
		return n, nil
	}), testSeq, Options{Buffer: 1})
	n := 0
	for _, err := range r.Tasks() {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 6 || len(sizes) == 0 {
		t.Errorf("%d tasks, and room was lacking with %d, want 6 and some", n, sizes)
	}
	r = NewReader(iotest.ErrReader(syscall.EMSGSIZE), testSeq, Options{})
	for _, err := range r.Tasks() {
		if !errors.Is(err, syscall.EMSGSIZE) {
			t.Errorf("a message that never fits: %v, want %v", err, syscall.EMSGSIZE)
		}
	}
	if len(r.buf) != maxMessage {
		t.Errorf("buffer grew to %d bytes, want %d", len(r.buf), maxMessage)
	}
}

func TestTooLarge(t *testing.T) {
	part := taskMessage(flagCont, 1, 1, attr{attrVMA, vmaRecord(0x1000, strings.Repeat("x", 900), nil)})
	b := join(bytes.Repeat(part, 100), taskMessage(0, 1, 1), doneMessage(0))
	r := NewReader(&reads{b, 1 << 20}, testSeq, Options{Buffer: 4096, MaxTask: 50_000})
	var err error
	for _, err = range r.Tasks() {
	}
	if !errors.Is(err, ErrTooLarge) || cap(r.kept) > 50_000 {
		t.Errorf("100 mappings of 972 bytes with a limit of 50,000: %v, %d bytes kept, want %v", err, cap(r.kept), ErrTooLarge)
	}
	r = NewReader(&reads{b, 1 << 20}, testSeq, Options{Buffer: 4096, MaxTask: 50_000})
	n := 0
	for _, err := range r.Messages() {
		if err != nil {
			t.Fatalf("messages: %v", err)
		}
		n++
	}
	if n != 101 {
		t.Errorf("%d messages, want 101", n)
	}
}

// A loop that is left and a Reader that is reset leave nothing behind.
func TestReset(t *testing.T) {
	b := divided()
	r := NewReader(&reads{b, 900}, testSeq, Options{Buffer: 1024})
	for range r.Tasks() {
		break
	}
	for range r.Tasks() {
		break // task 2, which was kept
	}
	r.Reset(&reads{b, 900}, testSeq)
	var got []string
	for task, err := range r.Tasks() {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, describe(task))
	}
	want, _ := tasksOf(b, 1<<20, 1<<20)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("after Reset (-want +got):\n%s", diff)
	}
}
