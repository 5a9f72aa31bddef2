// SPDX-License-Identifier: Apache-2.0

//go:build guest

package taskdiag

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seriesrig/series/vmtest/guesttests/internal/role"
)

var roles = role.Roles{
	"wait": func() error {
		fmt.Println("ready")
		_, err := io.Copy(io.Discard, os.Stdin)
		return err
	},
}

func TestMain(m *testing.M) { roles.Main(m) }

// A diag is /proc/task_diag, opened.
type diag struct {
	fd int
}

func openDiag(path string, flags int) (*diag, error) {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return &diag{fd}, nil
}

// open opens the file for a test, and closes it at its end.
func open(t testing.TB) *diag {
	t.Helper()
	d, err := openDiag(diagPath, unix.O_RDWR)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.close)
	return d
}

func (d *diag) close() { unix.Close(d.fd) }

func (d *diag) write(b []byte) error {
	n, err := unix.Write(d.fd, b)
	if err == nil && n != len(b) {
		return fmt.Errorf("wrote %d bytes of %d", n, len(b))
	}
	return err
}

// untouched is what a buffer is full of before the kernel writes to it.
var untouched = bytes.Repeat([]byte{0xa5}, 1<<20+64)

// read fills a buffer of that size. Behind what the kernel says that it wrote, nothing may have been.
func (d *diag) read(size int) ([]byte, error) {
	b := bytes.Clone(untouched[:size+64])
	for {
		n, err := unix.Read(d.fd, b[:size])
		if err == unix.EINTR { // the Go runtime's own signals
			continue
		}
		n = max(n, 0)
		if !bytes.Equal(b[n:], untouched[n:size+64]) {
			return nil, fmt.Errorf("read of %d bytes returned %d, %v, and more was written", size, n, err)
		}
		return b[:n], err
	}
}

// rest reads to the end of an answer with buffers of that size; where one is too small, larger ones for this once.
func (d *diag) rest(a *answer, size int) error {
	for now := size; ; {
		b, err := d.read(now)
		if err == unix.EMSGSIZE && now < 8192 {
			now = min(2*now, 8192)
			continue
		}
		if err != nil {
			return fmt.Errorf("read %d bytes: %w", now, err)
		}
		if len(b) == 0 {
			if !a.done {
				return fmt.Errorf("end of file without NLMSG_DONE")
			}
			return nil
		}
		if err := a.add(b); err != nil {
			return fmt.Errorf("read %d, of %d bytes: %w", a.reads, len(b), err)
		}
		now = size
	}
}

// ask makes a request and reads the whole answer, with buffers of that size.
func (d *diag) ask(r request, size int) (*answer, error) {
	if err := d.write(r.bytes()); err != nil {
		return nil, fmt.Errorf("write %+v: %w", r, err)
	}
	a := &answer{seq: r.Seq}
	if err := d.rest(a, size); err != nil {
		return nil, fmt.Errorf("answer to %+v: %w", r, err)
	}
	return a, nil
}

const bufSize = 128 << 10

// dump is ask, for a test that wants an answer without an error.
func (d *diag) dump(t testing.TB, strategy, show uint64, pid int) *answer {
	t.Helper()
	a, err := d.ask(newRequest(strategy, show, pid), bufSize)
	if err != nil {
		t.Fatal(err)
	}
	if a.err != 0 {
		t.Fatalf("strategy %d, pid %d: error %d at the end", strategy, pid, a.err)
	}
	return a
}

// startRole starts a role and returns when it has said a line, which it has to begin with "ready". It is killed at the end
// of the test.
func startRole(t testing.TB, name string, env ...string) int {
	t.Helper()
	cmd := role.Command(name, env...)
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if line != "ready\n" {
		t.Fatalf("%s said %q, %v, want ready", name, line, err)
	}
	return cmd.Process.Pid
}

// stop stops a process, and returns when all of its threads are.
func stop(t testing.TB, pid int) {
	t.Helper()
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all threads are stopped", func() bool {
		tids, _ := procPIDs(fmt.Sprintf("/proc/%d/task", pid))
		for _, tid := range tids {
			if f, err := procFields(fmt.Sprintf("/proc/%d/task/%d", pid, tid)); err != nil || f["state"] != "T" {
				return false
			}
		}
		return len(tids) > 0
	})
}
