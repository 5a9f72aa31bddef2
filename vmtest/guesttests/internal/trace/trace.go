// SPDX-License-Identifier: Apache-2.0

// Package trace counts the wakeups of a thread, for tests that run inside a guest.
package trace

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	root   = "/sys/kernel/tracing"
	waking = root + "/events/sched/sched_waking"
)

// Wakeups counts the wakeups of the threads that have one name: those of sched:sched_waking, which fires when a thread
// that sleeps is made runnable and not when a wakeup finds nobody asleep.
type Wakeups struct {
	tid int
}

// Open finds the thread called comm, and has the kernel trace its wakeups. There is one trace in a kernel, so one Wakeups
// at a time.
func Open(comm string) (*Wakeups, error) {
	tid, err := find(comm)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(waking); errors.Is(err, os.ErrNotExist) {
		if err := unix.Mount("tracefs", root, "tracefs", 0, ""); err != nil {
			return nil, fmt.Errorf("mount tracefs: %w", err)
		}
	}
	w := &Wakeups{tid: tid}
	for _, s := range []struct{ file, value string }{
		{waking + "/filter", fmt.Sprintf("comm == %q", comm)},
		{root + "/tracing_on", "1"},
		{waking + "/enable", "1"},
	} {
		if err := os.WriteFile(s.file, []byte(s.value), 0); err != nil {
			return nil, errors.Join(err, w.Close())
		}
	}
	return w, nil
}

// TID is the id of the thread.
func (w *Wakeups) TID() int { return w.tid }

// Reset forgets what was counted.
func (w *Wakeups) Reset() error {
	// Opening for writing with O_TRUNC is what empties the trace.
	return os.WriteFile(root+"/trace", nil, 0o644)
}

// Count returns the number of wakeups since Reset.
func (w *Wakeups) Count() (int, error) {
	files, err := filepath.Glob(root + "/per_cpu/cpu*/stats")
	if err != nil || len(files) == 0 {
		return 0, fmt.Errorf("%s: no trace statistics (%v)", root, err)
	}
	total := 0
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return 0, err
		}
		// What was overwritten in the ring has happened too.
		for _, key := range []string{"entries", "overrun"} {
			n, err := number(b, key+": ")
			if err != nil {
				return 0, fmt.Errorf("%s: %w", f, err)
			}
			total += n
		}
	}
	return total, nil
}

// Switches returns how often the thread has gone to sleep by itself, since it exists.
func (w *Wakeups) Switches() (int, error) {
	file := fmt.Sprintf("/proc/%d/status", w.tid)
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	n, err := number(b, "\nvoluntary_ctxt_switches:")
	if err != nil {
		return 0, fmt.Errorf("%s: %w", file, err)
	}
	return n, nil
}

// Close ends the tracing.
func (w *Wakeups) Close() error {
	return errors.Join(os.WriteFile(waking+"/enable", []byte("0"), 0), os.WriteFile(waking+"/filter", []byte("0"), 0))
}

// find returns the id of the one thread called comm.
func find(comm string) (int, error) {
	files, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		return 0, err
	}
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && strings.TrimSpace(string(b)) == comm {
			return strconv.Atoi(filepath.Base(filepath.Dir(f)))
		}
	}
	return 0, fmt.Errorf("no process is called %s", comm)
}

// number returns the number that follows key at its first place in b.
func number(b []byte, key string) (int, error) {
	_, rest, ok := bytes.Cut(b, []byte(key))
	if !ok {
		return 0, fmt.Errorf("no %q", strings.TrimSpace(key))
	}
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	return strconv.Atoi(string(bytes.TrimSpace(line)))
}
