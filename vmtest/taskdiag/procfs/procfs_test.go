// SPDX-License-Identifier: Apache-2.0

//go:build linux

package procfs

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/seriesrig/series/vmtest/taskdiag"
)

func open(t testing.TB) *Dir {
	t.Helper()
	d, err := Open("/proc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func TestSelf(t *testing.T) {
	d := open(t)
	before := d.SystemCalls()
	b, err := d.Read(os.Getpid(), Stat)
	if err != nil {
		t.Fatal(err)
	}
	if n := d.SystemCalls() - before; n != 3 {
		t.Errorf("stat took %d system calls, want 3", n)
	}
	var base, again taskdiag.Base
	var cred taskdiag.Cred
	var stat, masks taskdiag.Stat
	if err := ParseStat(b, &base, &stat); err != nil {
		t.Fatal(err)
	}
	if err := ParseBase(b, &again); err != nil || again != base {
		t.Errorf("ParseBase: %+v, %v, want %+v", again, err, base)
	}
	if int(base.PID) != os.Getpid() || int(base.PPID) != os.Getppid() || int(base.PGID) != syscall.Getpgrp() || !slices.Contains([]byte("RS"), base.State) {
		t.Errorf("stat of %d: %+v", os.Getpid(), base)
	}
	if stat.NumThreads < 1 || stat.VSize < 1<<20 || stat.RSS < 1<<20 || stat.StartCode >= stat.EndCode || stat.EnvEnd <= stat.ArgStart || stat.StartTime <= 0 {
		t.Errorf("stat: %+v", stat)
	}
	if b, err = d.Read(os.Getpid(), Status); err != nil {
		t.Fatal(err)
	}
	if err := ParseStatus(b, &again, &cred, &masks); err != nil {
		t.Fatal(err)
	}
	if int(cred.EUID) != os.Geteuid() || int(cred.SGID) != os.Getgid() || again.PPID != base.PPID || masks.SigCaught == 0 {
		t.Errorf("status: %+v %+v %+v", again, cred, masks)
	}
	for _, file := range []string{Maps, Smaps} {
		b, err := d.Read(os.Getpid(), file)
		if err != nil || !slices.Contains(b, '\n') || b[len(b)-1] != '\n' {
			t.Errorf("%s: %d bytes, %v", file, len(b), err)
		}
	}
	if _, err := d.Read(1<<22+1, Stat); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("stat of a pid that cannot be: %v, want %v", err, syscall.ENOENT)
	}
}

func TestPIDs(t *testing.T) {
	d := open(t)
	for range 2 {
		var pids []int
		if err := d.PIDs(func(pid int) bool { pids = append(pids, pid); return true }); err != nil {
			t.Fatal(err)
		}
		if !slices.IsSorted(pids) || !slices.Contains(pids, os.Getpid()) {
			t.Errorf("pids %v, want them sorted, with %d", pids, os.Getpid())
		}
	}
	n := 0
	if d.PIDs(func(int) bool { n++; return false }); n != 1 {
		t.Errorf("PIDs went on %d times, want 1", n)
	}
}

// A file that is larger than the buffer, as maps of a process with many mappings.
func TestLarge(t *testing.T) {
	d := open(t)
	d.file = make([]byte, 256)
	want, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	got, err := d.Read(os.Getpid(), Maps)
	if err != nil || len(got) < len(want)/2 || len(got) < 257 {
		t.Errorf("maps of %d bytes, %v, want about %d", len(got), err, len(want))
	}
}

const line1 = `12 (a) (b c) S 1 2 3 1025 -1 4194304 10 20 30 40 100 200 300 400 20 -20 5 0 12345 8192 3 18446744073709551615 1 2 3 4 5 0 0 0 0 1 0 0 17 1 99 2 7 6 5 11 12 13 14 15 16 17 256
`

func TestParseStat(t *testing.T) {
	var base taskdiag.Base
	var s taskdiag.Stat
	if err := ParseStat([]byte(line1), &base, &s); err != nil {
		t.Fatal(err)
	}
	if string(base.Name()) != "a) (b c" || base.State != 'S' || base.SID != 3 || base.TGID != 12 {
		t.Errorf("base %+v", base)
	}
	want := taskdiag.Stat{TTY: 1025, TTYPgrp: -1, Flags: 4194304, MinFlt: 10, CMinFlt: 20, MajFlt: 30, CMajFlt: 40,
		UTime: time.Second, STime: 2 * time.Second, CUTime: 3 * time.Second, CSTime: 4 * time.Second, Priority: 20, Nice: -20,
		NumThreads: 5, StartTime: 123450 * time.Millisecond, VSize: 8192, RSS: 3 * pageSize, RSSLimit: 1<<64 - 1, StartCode: 1,
		EndCode: 2, StartStack: 3, ESP: 4, EIP: 5, WaitChannel: 1, ExitSignal: 17, Processor: 1, RTPriority: 99, Policy: 2,
		BlkIODelay: 7, GTime: 60 * time.Millisecond, CGTime: 50 * time.Millisecond, StartData: 11, EndData: 12, StartBrk: 13,
		ArgStart: 14, ArgEnd: 15, EnvStart: 16, EnvEnd: 17, ExitCode: 256}
	if s != want {
		t.Errorf("stat\n%+v, want\n%+v", s, want)
	}
	for _, bad := range []string{"", "12", "12 (x", "12 (x)", ") (", "12 (x) S", "12 (x) S 1 2", "x (x) S 1 2 3",
		"12 (" + fmt.Sprintf("%064d", 0) + ") S 1 2 3", line1[:100], "12 (x) S 1 2 123456789012345678901 4"} {
		if err := ParseStat([]byte(bad), &base, &s); err == nil {
			t.Errorf("ParseStat(%q) is no error", bad)
		}
	}
}

func TestParseStatus(t *testing.T) {
	const good = "Name:\tx\\ny\nState:\tS (sleeping)\nTgid:\t1\nPid:\t2\nPPid:\t3\nTracerPid:\t4\nUid:\t5\t6\t7\t8\nGid:\t9\t10\t11\t12\n" +
		"SigPnd:\t0000000000000001\nSigBlk:\t0000000000000002\nSigIgn:\t0000000000000003\nSigCgt:\tffffffffffffffff\n" +
		"CapInh:\t0000000000000005\nCapPrm:\t0000000000000006\nCapEff:\t0000000000000007\nCapBnd:\t0000000000000008\nCapAmb:\t0000000000000009\n"
	var base taskdiag.Base
	var c taskdiag.Cred
	var s taskdiag.Stat
	if err := ParseStatus([]byte(good), &base, &c, &s); err != nil {
		t.Fatal(err)
	}
	if want := (taskdiag.Cred{CapInheritable: 5, CapPermitted: 6, CapEffective: 7, CapBounding: 8, CapAmbient: 9,
		UID: 5, EUID: 6, SUID: 7, FSUID: 8, GID: 9, EGID: 10, SGID: 11, FSGID: 12}); c != want {
		t.Errorf("cred %+v, want %+v", c, want)
	}
	if want := (taskdiag.Base{TGID: 1, PID: 2, PPID: 3, TPID: 4, State: 'S'}); base != want {
		t.Errorf("base %+v, want %+v", base, want)
	}
	if want := (taskdiag.Stat{SigPending: 1, SigBlocked: 2, SigIgnored: 3, SigCaught: 1<<64 - 1}); s != want {
		t.Errorf("masks %+v, want %+v", s, want)
	}
	// In any order, as other kernels may have another one.
	b := []byte("SigBlk:\t00000000000000ff\n" + good[:len(good)-len("CapAmb:\t0000000000000009\n")])
	if err := ParseStatus(append([]byte("CapAmb:\t000000000000000a\n"), b...), &base, &c, &s); err != nil || c.CapAmbient != 10 {
		t.Errorf("another order: ambient %d, %v, want 10", c.CapAmbient, err)
	}
	for _, bad := range []string{"", "Uid:\t1 2 3", good[:200], good[:len(good)-2] + "x\n"} {
		if err := ParseStatus([]byte(bad), &base, &c, &s); err == nil {
			t.Errorf("ParseStatus(%q) is no error", bad)
		}
	}
}

func TestAllocations(t *testing.T) {
	d := open(t)
	pid := os.Getpid()
	var base taskdiag.Base
	var cred taskdiag.Cred
	var stat taskdiag.Stat
	n := testing.AllocsPerRun(20, func() {
		b, err := d.Read(pid, Stat)
		if err == nil {
			err = ParseStat(b, &base, &stat)
		}
		if err != nil {
			t.Fatal(err)
		}
		if b, err = d.Read(pid, Status); err == nil {
			err = ParseStatus(b, &base, &cred, &stat)
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("stat and status of a task take %.0f allocations, want 0", n)
	}
}
