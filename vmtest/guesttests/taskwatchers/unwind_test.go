// SPDX-License-Identifier: Apache-2.0

//go:build guest

package taskwatchers

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seriesrig/series/internal/need"
	"github.com/seriesrig/series/vmtest/guesttests/internal/failnth"
	"github.com/seriesrig/series/vmtest/guesttests/internal/fork"
)

// A parent has one of everything that a child gets a copy of, or a reference to.
func parent(t testing.TB) (*worker, semaphore) {
	t.Helper()
	first, _, _ := nodes(t)
	s, w, bind := newSemaphore(t), startWorker(t), newPolicy(t)
	bind.Mode, bind.Nodes[0] = mpolBind, 1<<first
	w.do(s.change(takeTwo), bind.set(), keyctl(unix.KEYCTL_JOIN_SESSION_KEYRING), keyring(unix.KEY_SPEC_THREAD_KEYRING, 1))
	return w, s
}

// flags of forks that are to fail: the list of semaphore operations is copied with one and not with the other.
var flags = []uint64{0, unix.CLONE_SYSVSEM, unix.CLONE_FS | unix.CLONE_FILES, unix.CLONE_NEWNS | unix.CLONE_NEWIPC}

// A fork that fails near its end, as the cgroup is full, leaves nothing behind, and its parent as it was.
func TestFailedForksLeaveNothing(t *testing.T) {
	forks := fewer(1000)
	full := newCgroup(t)
	full.set("pids.max", "0")
	w, s := parent(t)
	fail := func(n int) {
		w.run(func() error {
			for i := range n {
				o := fork.Options{Flags: flags[i%len(flags)] | unix.CLONE_INTO_CGROUP, Cgroup: full.fd}
				if err := fails(unix.EAGAIN, o); err != nil {
					return err
				}
			}
			return nil
		})
	}
	fail(forks / 4)
	count := slabCount{t, slabs(t), forks / len(flags) / 5} // what only some of them leave has to be seen
	fail(forks)
	count.settled(fmt.Sprintf("%d forks that fail", forks))
	s.is("after forks that failed", semValue-2)
	w.end()
	s.is("after the exit of their parent", semValue)
	lockdep(t)
}

// Each allocation of a fork fails in its turn, twice or as often as SERIES_ROUNDS says; whether the fork does or not, nothing is left behind.
func TestFailNth(t *testing.T) {
	need.File(t, failnth.Path, "fault injection")
	if err := failnth.Prepare(); err != nil {
		t.Fatal(err)
	}
	w, s := parent(t)
	// A round lets the first allocation fail, the second and so on, until a fork gets through without.
	round := func(o fork.Options) (injected, failed int) {
		w.run(func() error {
			thread, err := failnth.Open()
			if err != nil {
				return err
			}
			defer thread.Close()
			for n := 1; n < 1000; n++ {
				if err := thread.Arm(n); err != nil {
					return err
				}
				c, forkErr := fork.Start(o)
				hit, err := thread.Disarm()
				if err != nil {
					return err
				}
				if forkErr == nil {
					if _, err := c.Wait(); err != nil {
						return err
					}
				} else if failed++; !errors.Is(forkErr, unix.ENOMEM) && !errors.Is(forkErr, unix.EAGAIN) {
					return fmt.Errorf("allocation %d fails: %w", n, forkErr)
				}
				if !hit {
					return nil
				}
				injected++
			}
			return errors.New("a fork allocates 1000 times, and still more")
		})
		return injected, failed
	}
	all := func(rounds int) (injected, failed int) {
		for range rounds {
			for _, f := range flags {
				i, e := round(fork.Options{Flags: f})
				t.Logf("clone flags %#x: %d allocations failed, and %d forks of them", f, i, e)
				injected, failed = injected+i, failed+e
			}
		}
		return injected, failed
	}
	all(1)
	rounds := 2
	if s := os.Getenv("SERIES_ROUNDS"); s != "" {
		var err error
		if rounds, err = strconv.Atoi(s); err != nil || rounds < 1 {
			t.Fatalf("SERIES_ROUNDS=%s: want a number from 1 on", s)
		}
	}
	count := slabCount{t, slabs(t), rounds * 2}
	injected, failed := all(rounds)
	count.settled(fmt.Sprintf("%d forks that fail", failed))
	t.Logf("%d allocations failed, and %d forks of them", injected, failed)
	if failed < 10*rounds {
		t.Errorf("%d forks failed for want of memory, want at least %d", failed, 10*rounds)
	}
	s.is("after forks that failed", semValue-2)
	w.end()
	s.is("after the exit of their parent", semValue)
	lockdep(t)
}
