// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package columns has what the kernel says happened while a benchmark ran, as further columns beside its figure: how often
// tracepoints were hit, and the scheduler's own counters.
//
// To count costs instructions. So what is counted is a run of its own, after the one that is measured.
package columns

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seriesrig/series/vmtest/guesttests/internal/tracefs"
)

// Report reports for each of the events how often it was hit for an operation, by all of the guest, as sched:sched_switch/op and the
// like; and of the scheduler how often it was called, as schedstat:schedules/op, and to wake a task, as schedstat:wakeups/op. How long tasks
// waited for a CPU is not told: of some hundred operations, that says most of all where a tick has come.
//
// It has run make one operation, and ops more than that. What is reported is of the ops that the second time has more, so what it takes
// to begin and to end is not in it.
func Report(b *testing.B, ops int, events []string, run func(ops int) error) {
	b.Helper()
	var got [2]map[string]uint64
	for i, n := range []int{1, 1 + ops} {
		var err error
		if got[i], err = Count(events, func() error { return run(n) }); err != nil {
			b.Fatalf("columns: %v", err)
		}
	}
	for name, n := range got[1] {
		b.ReportMetric((float64(n)-float64(got[0][name]))/float64(ops), name+"/op")
	}
}

// Count runs something and returns what was counted meanwhile, by its name without the "/op".
func Count(events []string, run func() error) (_ map[string]uint64, err error) {
	if err := tracefs.Mount(); err != nil {
		return nil, err
	}
	off, err := schedstats()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, off()) }()
	var all []*counter
	defer func() {
		for _, c := range all {
			c.close()
		}
	}()
	for _, event := range events {
		c, err := open(event)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	before, err := readSched()
	if err != nil {
		return nil, err
	}
	if err := run(); err != nil {
		return nil, err
	}
	after, err := readSched()
	if err != nil {
		return nil, err
	}
	got := map[string]uint64{"schedstat:schedules": after.schedules - before.schedules, "schedstat:wakeups": after.wakeups - before.wakeups}
	for _, c := range all {
		if got[c.event], err = c.read(); err != nil {
			return nil, err
		}
	}
	return got, nil
}

// A counter counts a tracepoint on all CPUs.
type counter struct {
	event string
	fds   []int
}

func open(event string) (*counter, error) {
	system, name, ok := strings.Cut(event, ":")
	if !ok {
		return nil, fmt.Errorf("event %q: want SYSTEM:NAME", event)
	}
	text, err := os.ReadFile(filepath.Join("/sys/kernel/tracing/events", system, name, "id"))
	if err != nil {
		return nil, fmt.Errorf("event %s: %w", event, err)
	}
	id, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("event %s: %w", event, err)
	}
	cpus, err := online()
	if err != nil {
		return nil, err
	}
	c := &counter{event: event}
	attr := unix.PerfEventAttr{Type: unix.PERF_TYPE_TRACEPOINT, Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{})), Config: id}
	for cpu := range cpus {
		fd, err := unix.PerfEventOpen(&attr, -1, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
		if err != nil {
			c.close()
			return nil, fmt.Errorf("event %s: perf_event_open: %w", event, err)
		}
		c.fds = append(c.fds, fd)
	}
	return c, nil
}

func (c *counter) read() (uint64, error) {
	sum := uint64(0)
	for _, fd := range c.fds {
		var b [8]byte
		if n, err := unix.Read(fd, b[:]); err != nil || n != len(b) {
			return 0, fmt.Errorf("event %s: read of %d bytes: %w", c.event, n, err)
		}
		sum += binary.NativeEndian.Uint64(b[:])
	}
	return sum, nil
}

func (c *counter) close() {
	for _, fd := range c.fds {
		unix.Close(fd)
	}
}

// sched are sums over all CPUs of /proc/schedstat.
type sched struct {
	schedules, wakeups uint64
	cpus               int
}

func readSched() (sched, error) {
	b, err := os.ReadFile("/proc/schedstat")
	if err != nil {
		return sched{}, err
	}
	return parseSched(b)
}

// parseSched reads the lines of CPUs, whose third and fifth numbers are how often schedule() and try_to_wake_up() were called
// (Documentation/scheduler/sched-stats.rst, version 16).
func parseSched(b []byte) (s sched, err error) {
	for line := range bytes.Lines(b) {
		words := strings.Fields(string(line))
		if len(words) == 0 || !strings.HasPrefix(words[0], "cpu") {
			continue
		}
		s.cpus++
		for i, to := range map[int]*uint64{3: &s.schedules, 5: &s.wakeups} {
			if i >= len(words) {
				return s, fmt.Errorf("/proc/schedstat: %q has %d numbers", line, len(words)-1)
			}
			n, err := strconv.ParseUint(words[i], 10, 64)
			if err != nil {
				return s, fmt.Errorf("/proc/schedstat: %w", err)
			}
			*to += n
		}
	}
	if s.cpus == 0 {
		return s, errors.New("/proc/schedstat: no CPU")
	}
	return s, nil
}

func online() (int, error) {
	s, err := readSched()
	return s.cpus, err
}

// schedstats has the scheduler count, until off is called.
func schedstats() (off func() error, err error) {
	const path = "/proc/sys/kernel/sched_schedstats"
	before, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, []byte("1"), 0)
	}
	if err != nil {
		return nil, fmt.Errorf("the kernel has no scheduler statistics: %w", err)
	}
	return func() error { return os.WriteFile(path, bytes.TrimSpace(before), 0) }, nil
}
