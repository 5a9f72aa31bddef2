// SPDX-License-Identifier: Apache-2.0

// Package clock measures how much time a virtual machine had, which on a busy host is less than the time that went by.
package clock

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// A Sample is what the host tells about the threads that execute the guest.
type Sample struct {
	Delay   time.Duration // that the thread which waited most has spent runnable, without a processor
	Stopped bool          // by a signal, or a debugger
}

// A Clock adds up the time that a guest had. Advance is to be called every Tick.
type Clock struct {
	Tick  time.Duration
	last  time.Time
	delay time.Duration
	total time.Duration
}

// Advance takes the time and a sample, and returns how much time the guest had since the last call: what went by on the
// host, without what its threads waited for a processor, and nothing while they were stopped. At most two ticks are
// given at a time: when more went by, this process itself had no time, or the host slept, and then the guest is not to
// be charged for it.
func (c *Clock) Advance(now time.Time, s Sample) time.Duration {
	if c.last.IsZero() {
		c.last, c.delay = now, s.Delay
		return 0
	}
	d := min(now.Sub(c.last), 2*c.Tick) - max(s.Delay-c.delay, 0)
	c.last, c.delay = now, s.Delay
	if s.Stopped || d < 0 {
		return 0
	}
	c.total += d
	return d
}

// Total is the time that the guest had so far.
func (c *Clock) Total() time.Duration { return c.total }

// Threads samples a process. Where tids is not empty only these of its threads count.
func Threads(pid int, tids []int) (Sample, error) {
	state, err := state(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Sample{}, err
	}
	s := Sample{Stopped: state == 'T' || state == 't'}
	if len(tids) == 0 {
		entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		if err != nil {
			return Sample{}, err
		}
		for _, e := range entries {
			if tid, err := strconv.Atoi(e.Name()); err == nil {
				tids = append(tids, tid)
			}
		}
	}
	for _, tid := range tids {
		// Time on a processor, time on a run queue, and slices, in nanoseconds: Documentation/scheduler/sched-stats.rst
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/schedstat", pid, tid))
		if err != nil {
			continue // the thread has ended, or the host's kernel keeps no such statistics
		}
		if f := bytes.Fields(b); len(f) == 3 {
			ns, _ := strconv.ParseInt(string(f[1]), 10, 64)
			s.Delay = max(s.Delay, time.Duration(ns))
		}
	}
	return s, nil
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
