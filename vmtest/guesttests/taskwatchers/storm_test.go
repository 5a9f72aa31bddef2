// SPDX-License-Identifier: Apache-2.0

//go:build guest

package taskwatchers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seriesrig/series/vmtest/guesttests/internal/tiny"
)

// A storm is many small programs that fork, clone and exec side by side, for as long as it is wanted.
type storm struct {
	testing.TB
	cancel context.CancelFunc
	done   []chan error
	count  chan int // children of each program that has come to its end
}

func startStorm(t testing.TB) *storm {
	t.Helper()
	quit, err := tiny.Quit()
	path := program(t, "quit", quit, err)
	ctx, cancel := context.WithCancel(context.Background())
	s := &storm{TB: t, cancel: cancel, count: make(chan int, 1<<16)}
	t.Cleanup(func() { s.end() })
	for i, l := range []tiny.Loop{
		{Flags: uint64(syscall.SIGCHLD)},
		{Flags: uint64(syscall.SIGCHLD)},
		{Flags: syscall.CLONE_VM | syscall.CLONE_FS | syscall.CLONE_FILES | syscall.CLONE_SIGHAND | syscall.CLONE_SYSVSEM | uint64(syscall.SIGCHLD)},
		{Flags: syscall.CLONE_VM | syscall.CLONE_VFORK | uint64(syscall.SIGCHLD), Exec: path},
	} {
		l.Batches, l.Ops = 2, 20
		elf, err := l.ELF()
		file := program(t, fmt.Sprintf("loop%d", i), elf, err)
		done := make(chan error, 1)
		s.done = append(s.done, done)
		go func() {
			for ctx.Err() == nil {
				cmd := exec.CommandContext(ctx, file)
				if err := cmd.Run(); err != nil && ctx.Err() == nil {
					done <- fmt.Errorf("%s: %w", file, err)
					return
				}
				select {
				case s.count <- l.Batches * l.Ops:
				default:
				}
			}
			done <- nil
		}()
	}
	return s
}

// end ends the storm.
func (s *storm) end() {
	s.Helper()
	s.cancel()
	for _, d := range s.done {
		if err := <-d; err != nil {
			s.Error(err)
		}
	}
	s.done = nil
}

// children waits for so many.
func (s *storm) children(n int) {
	for n > 0 {
		n -= <-s.count
	}
}

// Many forks, clones and execs at once. A kernel with lockdep must not have found anything, or it would have turned itself
// off; any other kernel has to get through it.
func TestForkStorm(t *testing.T) {
	lockdep(t)
	s := startStorm(t)
	s.children(fewer(2000))
	s.end()
	lockdep(t)
}

// fewer is n, or a fifth of it on a kernel that looks at each lock, where all takes five times as long and more.
func fewer(n int) int {
	if _, err := os.Stat("/proc/lockdep_stats"); err == nil {
		return n / 5
	}
	return n
}

// lockdep checks that lockdep, where the kernel has it, is on.
func lockdep(t testing.TB) {
	t.Helper()
	b, err := os.ReadFile("/proc/lockdep_stats")
	if errors.Is(err, os.ErrNotExist) {
		t.Log("this kernel has no lockdep")
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := bytes.Cut(b, []byte("debug_locks:"))
	f := bytes.Fields(rest)
	if !ok || len(f) == 0 || string(f[0]) != "1" {
		t.Errorf("/proc/lockdep_stats: debug_locks is %.20q, want 1", bytes.TrimSpace(rest))
	}
}

// A slab is what a cache of the kernel has in use, and how many objects are in each of its slabs.
type slab struct{ objects, each int }

// slabs returns what each cache of the kernel has in use. A slab that belongs to a CPU counts as used up, so these are given
// back first.
func slabs(t testing.TB) map[string]slab {
	t.Helper()
	caches, err := filepath.Glob("/sys/kernel/slab/*/shrink")
	if err != nil || len(caches) == 0 {
		t.Fatalf("/sys/kernel/slab has %d caches to shrink, %v", len(caches), err)
	}
	for _, shrink := range caches {
		// Package os would have each file polled, and that allocates.
		fd, err := unix.Open(shrink, unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			_, err = unix.Write(fd, []byte("1"))
			unix.Close(fd)
		}
		if err != nil && err != unix.ENOENT {
			t.Fatalf("%s: %v", shrink, err)
		}
	}
	all := map[string]slab{}
	for line := range strings.Lines(read(t, "/proc/slabinfo")) {
		f := strings.Fields(line)
		if len(f) < 6 || f[0] == "#" || f[0] == "slabinfo" {
			continue
		}
		n, err1 := strconv.Atoi(f[1])
		each, err2 := strconv.Atoi(f[4])
		if err := errors.Join(err1, err2); err != nil {
			t.Fatalf("/proc/slabinfo: %s: %v", line, err)
		}
		all[f[0]] = slab{n, each}
	}
	if all["task_struct"].objects == 0 {
		t.Fatal("/proc/slabinfo has no task_struct in use")
	}
	return all
}

// grown returns the caches that have so many more objects in use than before, and besides more than what CPUs may have taken
// since they gave theirs back: a slab each. With pages of 64 KiB that is a lot of small objects, which may hide there.
func grown(before, now map[string]slab, by, cpus int) (names []string) {
	for name, n := range now {
		if n.objects-before[name].objects >= by+cpus*n.each {
			names = append(names, fmt.Sprintf("%s: %d, before %d", name, n.objects, before[name].objects))
		}
	}
	return names
}

// toSettle is how long it may take until what is free has been given back: the kernel collects for 5 s what is to be freed
// after a grace period of RCU, and what was freed so may be the last reference to more of the kind.
const toSettle = 30 * time.Second

// settled waits until no cache has grown by so much.
func (s slabCount) settled(what string) {
	s.Helper()
	for start := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		left := grown(s.before, slabs(s), s.by, runtime.NumCPU())
		if len(left) == 0 {
			return
		}
		if time.Since(start) > toSettle {
			s.Fatalf("%s leave something behind, for %v: %s", what, toSettle, strings.Join(left, "; "))
		}
	}
}

// A slabCount is what was in use before something that must not leave anything.
type slabCount struct {
	testing.TB
	before map[string]slab
	by     int
}

func TestGrown(t *testing.T) {
	before := map[string]slab{"a": {10, 5}, "b": {10, 5}}
	if got := grown(before, map[string]slab{"a": {29, 5}, "b": {3, 5}}, 10, 2); got != nil {
		t.Errorf("nothing grew by 10 and two slabs, but %v", got)
	}
	if got := grown(before, map[string]slab{"a": {30, 5}, "c": {20, 5}}, 10, 2); len(got) != 2 {
		t.Errorf("two caches grew by 10 and two slabs: %v", got)
	}
}
