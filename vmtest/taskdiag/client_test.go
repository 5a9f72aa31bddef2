// SPDX-License-Identifier: Apache-2.0

//go:build linux

package taskdiag

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// client is a Client whose file is a socket: what it writes is looked at, and what is to be read is written there beforehand.
// The file itself has its tests in a guest, in vmtest/guesttests/taskdiag.
func client(t *testing.T) (*Client, *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	kernel := os.NewFile(uintptr(fds[1]), "kernel")
	c := New(os.NewFile(uintptr(fds[0]), "client"), Options{})
	t.Cleanup(func() { c.Close(); kernel.Close() })
	return c, kernel
}

// numbered gives the messages of an answer the number of a request.
func numbered(b []byte, seq uint32) []byte {
	b = bytes.Clone(b)
	for p := b; len(p) > 0; p = p[parseHeader(p).len:] {
		binary.NativeEndian.PutUint32(p[8:], seq)
	}
	return b
}

func TestClientTasks(t *testing.T) {
	c, kernel := client(t)
	for seq := range uint32(3) {
		kernel.Write(numbered(divided(), seq+1))
		n := 0
		q := Request{Groups: ShowBase | ShowVMA, Strategy: DumpChildren, PID: 1234}
		for task, err := range c.Tasks(t.Context(), q) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; task.PID == 0 {
				t.Errorf("task %+v", task)
			}
		}
		if n != 6 {
			t.Errorf("request %d: %d tasks, want 6", seq+1, n)
		}
		got := make([]byte, 100)
		if n, err := kernel.Read(got); err != nil || !bytes.Equal(got[:n], q.Append(nil, seq+1)) || n != 40 {
			t.Errorf("request %d is %x, %v, want %x", seq+1, got[:n], err, q.Append(nil, seq+1))
		}
	}
	kernel.Write(numbered(divided(), 4))
	n := 0
	for _, err := range c.Messages(t.Context(), Request{}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 11 {
		t.Errorf("%d messages, want 11", n)
	}
}

func TestRequest(t *testing.T) {
	b := Request{Groups: ShowVMA | ShowVMAStat, Strategy: DumpThread, PID: 77}.Append(nil, 5)
	u32, u64 := binary.NativeEndian.Uint32, binary.NativeEndian.Uint64
	if len(b) != 40 || u32(b) != 40 || binary.NativeEndian.Uint16(b[4:]) != 0x10 || u32(b[8:]) != 5 || u32(b[12:]) != 0 ||
		u64(b[16:]) != 0x30 || u64(b[24:]) != 4 || u32(b[32:]) != 77 || u32(b[36:]) != 0 {
		t.Errorf("request is %x", b)
	}
	for q, want := range map[Request]string{
		{}:                                     "all none",
		{Groups: ShowBase | ShowVMAStat}:       "all base+vma_stat",
		{Groups: 1 << 40, Strategy: 9, PID: 3}: "strategy 9 3 0x10000000000",
		{Groups: ShowCred, Strategy: DumpAllThread}: "all threads cred",
	} {
		if got := q.String(); got != want {
			t.Errorf("%#v is %q, want %q", q, got, want)
		}
	}
}

func TestClientErrors(t *testing.T) {
	c, kernel := client(t)
	kernel.Write(numbered(doneMessage(-int32(syscall.ESRCH)), 1))
	_, err := c.One(t.Context(), 7, ShowBase)
	if !errors.Is(err, syscall.ESRCH) || !strings.Contains(fmt.Sprint(err), "task_diag one 7 base: no such process") {
		t.Errorf("one that is not there: %v, want %v", err, syscall.ESRCH)
	}
	kernel.Write(numbered(end, 2))
	if _, err := c.One(t.Context(), 7, ShowBase); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("one that has gone: %v, want %v", err, syscall.ESRCH)
	}
	kernel.Write(numbered(join(oneBase, end), 3))
	if one, err := c.One(t.Context(), 1, ShowBase); err != nil || one.Base.PPID != 1 {
		t.Errorf("one that is there: %+v, %v", one, err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	boom := errors.New("boom")
	kernel.Write(numbered(oneBase, 4))
	var errs []error
	for _, err := range c.Tasks(ctx, Request{}) {
		cancel(boom)
		errs = append(errs, err)
	}
	if len(errs) != 2 || errs[0] != nil || !errors.Is(errs[1], boom) {
		t.Errorf("a context that ends in the loop: %v, want a task and %v", errs, boom)
	}
	for _, err := range c.Tasks(ctx, Request{}) {
		if !errors.Is(err, boom) {
			t.Errorf("a context that has ended: %v, want %v", err, boom)
		}
	}
	c.Close()
	for _, err := range c.Tasks(t.Context(), Request{}) {
		if !errors.Is(err, os.ErrClosed) {
			t.Errorf("after Close: %v, want %v", err, os.ErrClosed)
		}
	}
}

// A request in a loop over the answer to another one ends that loop, and is not taken for it.
func TestClientReplaced(t *testing.T) {
	c, kernel := client(t)
	kernel.Write(numbered(join(oneBase, oneBase, end), 1))
	kernel.Write(numbered(join(oneBase, end), 2))
	tasks, inner := 0, 0
	var last error
	for task, err := range c.Tasks(t.Context(), Request{}) {
		if last = err; err != nil {
			break
		}
		tasks++
		if _, err := c.One(t.Context(), int(task.PID), ShowBase); err != nil {
			t.Fatal(err)
		}
		inner++
	}
	if tasks != 1 || inner != 1 || !errors.Is(last, errReplaced) {
		t.Errorf("%d tasks, %d requests in the loop, then %v, want 1, 1 and %v", tasks, inner, last, errReplaced)
	}
}

func TestOpen(t *testing.T) {
	if _, err := Open(Options{Path: filepath.Join(t.TempDir(), "none")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("open of what is not there: %v, want %v", err, os.ErrNotExist)
	}
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Open(Options{Path: path})
	if err != nil || c.File().Name() != path {
		t.Fatalf("open %s: %v", path, err)
	}
	defer c.Close()
	for _, err := range c.Tasks(t.Context(), Request{}) {
		var f *FormatError
		if !errors.As(err, &f) {
			t.Errorf("a file that does not answer: %v, want a *FormatError", err)
		}
	}
}
