// SPDX-License-Identifier: Apache-2.0

// Package clock measures how much time a virtual machine had, which on a busy host is less than the time that went by.
package clock

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"
)

// A Thread is what the host tells about one thread: how long it has run, how long it has waited for a processor, and
// whether it runs or waits now. What it waits now is in Wait only once it runs.
type Thread struct {
	ID       int
	Run      time.Duration
	Wait     time.Duration
	Runnable bool
}

// A Sample is what the host tells about the threads that execute the guest.
type Sample struct {
	Threads []Thread
	Stopped bool // by a signal, or a debugger
}

// A Clock adds up the time that a guest had. Advance is to be called every Tick.
type Clock struct {
	Tick    time.Duration
	last    time.Time
	threads map[int]Thread
	total   time.Duration
}

// Advance takes the time and a sample, and returns how much time the guest had since the last call: what went by on the
// host, without what its threads waited for a processor, and nothing while they were stopped. At most two ticks are
// given at a time: when more went by, this process itself had no time, or the host slept, and then the guest is not to
// be charged for it. A thread that sleeps of its own accord, as that of an idle CPU does, has all the time it wants.
func (c *Clock) Advance(now time.Time, s Sample) time.Duration {
	first := c.last.IsZero()
	passed := min(now.Sub(c.last), 2*c.Tick)
	var lost time.Duration
	threads := map[int]Thread{}
	for _, t := range s.Threads {
		threads[t.ID] = t
		before, ok := c.threads[t.ID]
		if !ok {
			continue
		}
		lost = max(lost, t.Wait-before.Wait)
		if t.Runnable {
			// It runs, or has waited until now for as long as it did not run.
			lost = max(lost, passed-(t.Run-before.Run))
		}
	}
	c.last, c.threads = now, threads
	if first || s.Stopped || lost >= passed {
		return 0
	}
	c.total += passed - lost
	return passed - lost
}

// Total is the time that the guest had so far.
func (c *Clock) Total() time.Duration { return c.total }

// Look samples a process and all its threads.
func Look(pid int) (Sample, error) {
	state, err := state(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Sample{}, err
	}
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return Sample{}, err
	}
	s := Sample{Stopped: state == 'T' || state == 't'}
	for _, e := range entries {
		tid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if t, err := look(pid, tid); err == nil { // else it has ended, or the host's kernel keeps no such statistics
			s.Threads = append(s.Threads, t)
		}
	}
	return s, nil
}

func look(pid, tid int) (Thread, error) {
	dir := fmt.Sprintf("/proc/%d/task/%d/", pid, tid)
	state, err := state(dir + "stat")
	if err != nil {
		return Thread{}, err
	}
	// Time on a processor, time on a run queue, and slices, in nanoseconds: Documentation/scheduler/sched-stats.rst
	b, err := os.ReadFile(dir + "schedstat")
	if err != nil {
		return Thread{}, err
	}
	f := bytes.Fields(b)
	if len(f) != 3 {
		return Thread{}, fmt.Errorf("%sschedstat: malformed", dir)
	}
	run, err1 := strconv.ParseInt(string(f[0]), 10, 64)
	wait, err2 := strconv.ParseInt(string(f[1]), 10, 64)
	return Thread{ID: tid, Run: time.Duration(run), Wait: time.Duration(wait), Runnable: state == 'R'}, errors.Join(err1, err2)
}

// state returns the letter after the command's name, which is in parentheses and may have any character in it.
func state(path string) (byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	i := bytes.LastIndexByte(b, ')')
	if i < 0 || i+2 >= len(b) {
		return 0, fmt.Errorf("%s: malformed", path)
	}
	return b[i+2], nil
}
