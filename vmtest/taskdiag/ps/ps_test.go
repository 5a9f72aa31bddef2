// SPDX-License-Identifier: Apache-2.0

//go:build linux

package ps

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/seriesrig/series/vmtest/taskdiag"
	"github.com/seriesrig/series/vmtest/taskdiag/procfs"
)

// rows is a Source of what it is made of.
type rows []Row

func (s rows) Each(_ context.Context, _ []Column, f func(*Row) error) error {
	for i := range s {
		if err := f(&s[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s rows) SystemCalls() int { return 0 }

func row(pid, ppid uint32, name string) Row {
	b := &taskdiag.Base{TGID: pid, PID: pid, PPID: ppid, State: 'S'}
	copy(b.Comm[:], name)
	return Row{b, &taskdiag.Cred{EUID: 1000, CapBounding: 1<<41 - 1},
		&taskdiag.Stat{VSize: 10 << 20, Nice: -5, UTime: 3 * time.Hour, STime: 59*time.Second + 990*time.Millisecond, SigCaught: 1 << 63}}
}

func TestListing(t *testing.T) {
	src := rows{row(1, 0, "init"), row(20, 1, "a\x1b[31m\nb"), row(1234567, 20, "long enough to be cut if it were")}
	for _, c := range []struct {
		columns, want string
		parent        int
	}{
		{"pid,ppid", "    PID    PPID\n      1       0\n     20       1\n1234567      20\n", 0},
		{"comm,pid", "COMMAND             PID\ninit                  1\na?[31m?b             20\nlong enough to be cut if it were 1234567\n", 0},
		{"pid,comm", "    PID COMMAND\n      1 init\n     20 a?[31m?b\n1234567 long enough to be cut if it were\n", 0},
		{"s,time,ni,uid", "S     TIME  NI   UID\nS 03:00:59  -5  1000\n", 1},
		{"vsz,capbnd,caught", "     VSZ      CAPBND           CAUGHT\n   10240 1ffffffffff 8000000000000000\n", 1},
	} {
		columns, err := ParseColumns(c.columns)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := (Listing{Columns: columns, Parent: c.parent}).Write(t.Context(), &out, src); err != nil || out.String() != c.want {
			t.Errorf("-o %s: %v\n%q, want\n%q", c.columns, err, out.String(), c.want)
		}
	}
	wide := Column{Head: "N", width: 3, num: func(r *Row) int64 { return int64(r.Stat.Nice) * int64(r.Base.PID) }}
	var numbers bytes.Buffer
	if err := (Listing{Columns: []Column{wide, wide}}).Write(t.Context(), &numbers, src); err != nil || numbers.String() != "  N   N\n -5  -5\n-100 -100\n-6172835 -6172835\n" {
		t.Errorf("numbers: %v\n%q", err, numbers.String())
	}
	var some bytes.Buffer
	if err := (Listing{Columns: Columns[:1], PIDs: []int{7, 20}}).Write(t.Context(), &some, src); err != nil || some.String() != "    PID\n     20\n" {
		t.Errorf("-p 7,20: %v\n%q", err, some.String())
	}
	for _, bad := range []string{"", "pid,", "pid,nonsense", "PID"} {
		if _, err := ParseColumns(bad); err == nil {
			t.Errorf("-o %q is no error", bad)
		}
	}
	boom := errors.New("boom")
	if err := (Listing{Columns: Columns}).Write(t.Context(), writeFunc(func([]byte) (int, error) { return 0, boom }), src); !errors.Is(err, boom) {
		t.Errorf("nowhere to write: %v, want %v", err, boom)
	}
}

type writeFunc func([]byte) (int, error)

func (f writeFunc) Write(b []byte) (int, error) { return f(b) }

func TestFiles(t *testing.T) {
	for list, want := range map[string]string{
		"pid,ppid": "true false", "pid,comm,rss": "true false", "pid,uid": "false true", "uid,comm": "true true", "pid,tpid,s": "false true",
	} {
		columns, err := ParseColumns(list)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintln(files(columns)); got != want+"\n" {
			t.Errorf("stat and status for %s: %swant %s", list, got, want)
		}
	}
}

// The list has what the host's own ps says of a child that sleeps.
func TestProc(t *testing.T) {
	child := exec.Command("sleep", "100")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { child.Process.Kill(); child.Wait() }()
	d, err := procfs.Open("/proc")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	columns, err := ParseColumns("pid,ppid,uid,comm")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	want := fmt.Sprintf("%d %d %d sleep", child.Process.Pid, os.Getpid(), os.Geteuid())
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		out.Reset()
		if err := (Listing{Columns: columns, Parent: os.Getpid()}).Write(t.Context(), &out, Proc{d}); err != nil {
			t.Fatal(err)
		}
		_, list, _ := strings.Cut(out.String(), "\n")
		if got := strings.Join(strings.Fields(list), " "); got == want {
			break // it has become sleep
		} else if time.Now().After(end) {
			t.Fatalf("children are %q, want %q", got, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (Listing{Columns: columns}).Write(ctx, &out, Proc{d}); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: %v, want %v", err, context.Canceled)
	}
}
