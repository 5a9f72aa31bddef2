// SPDX-License-Identifier: Apache-2.0

package clock

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/seriesrig/series/internal/need"
)

func TestAdvance(t *testing.T) {
	const tick = 100 * time.Millisecond
	type step struct {
		passed   time.Duration // on the host since the last step
		ran      time.Duration // of it
		waited   time.Duration // as far as the host has told by now
		runnable bool
		stopped  bool
		want     time.Duration
	}
	for name, steps := range map[string][]step{
		"idle":                     {{tick, 0, 0, false, false, tick}, {tick, 0, 0, false, false, tick}},
		"busy":                     {{tick, tick, 0, true, false, tick}, {tick, tick, 0, true, false, tick}},
		"half of it":               {{tick, tick / 2, tick / 2, false, false, tick / 2}},
		"half of it, and runs":     {{tick, tick / 2, tick / 2, true, false, tick / 2}},
		"waits, and is told later": {{tick, 0, 0, true, false, 0}, {tick, 0, 0, true, false, 0}, {tick, tick / 10, 2 * tick, true, false, 0}, {tick, tick, 0, true, false, tick}},
		"stopped":                  {{tick, 0, 0, false, true, 0}, {time.Hour, 0, 0, false, true, 0}, {tick, 0, 0, false, false, tick}},
		"the host slept":           {{time.Hour, 0, 0, false, false, 2 * tick}, {tick, 0, 0, false, false, tick}},
		"slept, and was busy too":  {{time.Hour, 0, tick, false, false, tick}},
	} {
		c := Clock{Tick: tick}
		now := time.Unix(1000, 0)
		thread := Thread{ID: 7, Run: time.Hour, Wait: 5 * time.Hour}
		if d := c.Advance(now, Sample{Threads: []Thread{thread}}); d != 0 {
			t.Errorf("%s: the first Advance gives %v, want 0", name, d)
		}
		var total time.Duration
		for i, s := range steps {
			now = now.Add(s.passed)
			thread.Run, thread.Wait, thread.Runnable = thread.Run+s.ran, thread.Wait+s.waited, s.runnable
			total += s.want
			// The one that had least counts.
			idle := Thread{ID: 8}
			if got := c.Advance(now, Sample{Threads: []Thread{idle, thread}, Stopped: s.stopped}); got != s.want {
				t.Errorf("%s: step %d gives %v, want %v", name, i, got, s.want)
			}
		}
		if c.Total() != total {
			t.Errorf("%s: total %v, want %v", name, c.Total(), total)
		}
	}
}

func TestLook(t *testing.T) {
	c := exec.Command("sleep", "60")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Wait()
	defer c.Process.Kill()
	stopped := func(want bool) {
		t.Helper()
		var s Sample
		var err error
		for range 100 {
			if s, err = Look(c.Process.Pid); err != nil {
				t.Fatal(err)
			}
			if s.Stopped == want {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Errorf("sample %+v, want stopped %v", s, want)
	}
	stopped(false)
	c.Process.Signal(syscall.SIGSTOP)
	stopped(true)
	c.Process.Signal(syscall.SIGCONT)
	stopped(false)
	if _, err := Look(1<<22 + 1); err == nil {
		t.Error("Look at no process: no error")
	}
	if _, err := os.Stat("/proc/self/schedstat"); err != nil {
		need.Missing(t, "this host's kernel does not tell how long threads wait: "+err.Error())
	}
	// Threads that share processors wait for them.
	var burners []*exec.Cmd
	for range 4 {
		b := exec.Command("sh", "-c", "taskset -p -c 0 $$ >/dev/null; while :; do :; done")
		if err := b.Start(); err != nil {
			t.Fatal(err)
		}
		burners = append(burners, b)
	}
	defer func() {
		for _, b := range burners {
			b.Process.Kill()
			b.Wait()
		}
	}()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		s, err := Look(burners[0].Process.Pid)
		if err != nil || len(s.Threads) != 1 {
			t.Fatalf("Look = %+v, %v; want one thread", s, err)
		}
		x := s.Threads[0]
		if x.Wait > 50*time.Millisecond && x.Run > 0 && x.Runnable {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("four loops on one processor, and this of one of them: %+v", x)
		}
	}
}
