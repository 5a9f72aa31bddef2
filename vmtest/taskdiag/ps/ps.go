// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package ps lists processes from /proc/task_diag, or from /proc as ps does: the same list, to the byte, for processes that
// do not change meanwhile.
package ps

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"syscall"

	"github.com/seriesrig/series/vmtest/taskdiag"
	"github.com/seriesrig/series/vmtest/taskdiag/procfs"
)

// A Row is a process. What was not asked for is of no process, but never nil.
type Row struct {
	Base *taskdiag.Base
	Cred *taskdiag.Cred
	Stat *taskdiag.Stat
}

// A Source has processes, in the order of their pids.
type Source interface {
	// Each calls f for each process with what the columns are made of. An error of f ends it.
	Each(ctx context.Context, columns []Column, f func(*Row) error) error
	// SystemCalls is how many system calls were made so far.
	SystemCalls() int
}

// A Listing says what to list.
type Listing struct {
	Columns []Column
	Parent  int   // only its children; 0 means all processes
	PIDs    []int // only these; nil means all
}

func (l Listing) has(r *Row) bool {
	return (l.Parent == 0 || int(r.Base.PPID) == l.Parent) && (l.PIDs == nil || slices.Contains(l.PIDs, int(r.Base.PID)))
}

// Write lists the processes of the source, with a line above that names the columns.
func (l Listing) Write(ctx context.Context, w io.Writer, src Source) error {
	out := buffer{w: w, b: make([]byte, 0, bufferSize+widest)}
	for i := range l.Columns {
		out.b = l.Columns[i].head(out.b, i == len(l.Columns)-1)
	}
	out.b = append(out.b, '\n')
	all := l.Parent == 0 && l.PIDs == nil
	err := src.Each(ctx, l.Columns, func(r *Row) error {
		if !all && !l.has(r) {
			return nil
		}
		b := out.b
		for i := range l.Columns {
			b = l.Columns[i].append(b, r, i == len(l.Columns)-1)
		}
		out.b = append(b, '\n')
		if len(out.b) >= bufferSize {
			return out.flush()
		}
		return nil
	})
	return errors.Join(err, out.flush())
}

const bufferSize = 64 << 10

type buffer struct {
	w io.Writer
	b []byte
}

// flush writes what there is.
func (b *buffer) flush() error {
	if len(b.b) == 0 {
		return nil
	}
	_, err := b.w.Write(b.b)
	b.b = b.b[:0]
	if err != nil {
		return fmt.Errorf("write list: %w", err)
	}
	return nil
}

var (
	noCred taskdiag.Cred
	noStat taskdiag.Stat
)

// TaskDiag lists from /proc/task_diag.
type TaskDiag struct{ *taskdiag.Client }

// Each makes one request for all processes.
func (s TaskDiag) Each(ctx context.Context, columns []Column, f func(*Row) error) error {
	q := taskdiag.Request{Groups: taskdiag.ShowBase}
	for _, c := range columns {
		q.Groups |= c.groups
	}
	row := &Row{Cred: &noCred, Stat: &noStat}
	for t, err := range s.Tasks(ctx, q) {
		if err != nil {
			return err
		}
		if t.Gone {
			continue
		}
		row.Base = t.Base
		if t.Cred != nil {
			row.Cred = t.Cred
		}
		if t.Stat != nil {
			row.Stat = t.Stat
		}
		if err := f(row); err != nil {
			return err
		}
	}
	return nil
}

// Proc lists from the text files of /proc.
type Proc struct{ *procfs.Dir }

// Each reads stat, or status, or both of every process: as few as have all columns.
func (s Proc) Each(ctx context.Context, columns []Column, f func(*Row) error) error {
	stat, status := files(columns)
	// Whoever wants IDs and names only does not look at the numbers behind them.
	parse := procfs.ParseStat
	if !slices.ContainsFunc(columns, func(c Column) bool { return c.groups != 0 }) {
		parse = func(b []byte, base *taskdiag.Base, _ *taskdiag.Stat) error { return procfs.ParseBase(b, base) }
	}
	var base taskdiag.Base
	var cred taskdiag.Cred
	var st taskdiag.Stat
	row := &Row{&base, &cred, &st}
	var failed error
	err := s.PIDs(func(pid int) bool {
		if failed = context.Cause(ctx); failed != nil {
			return false
		}
		failed = s.one(pid, stat, status, parse, row)
		switch {
		case errors.Is(failed, syscall.ENOENT), errors.Is(failed, syscall.ESRCH):
			failed = nil // it has ended since
		case failed == nil:
			failed = f(row)
		}
		return failed == nil
	})
	return errors.Join(failed, err)
}

func (s Proc) one(pid int, stat, status bool, parse func([]byte, *taskdiag.Base, *taskdiag.Stat) error, r *Row) error {
	if stat {
		b, err := s.Read(pid, procfs.Stat)
		if err != nil {
			return err
		}
		if err := parse(b, r.Base, r.Stat); err != nil {
			return err
		}
	}
	if status {
		b, err := s.Read(pid, procfs.Status)
		if err != nil {
			return err
		}
		return procfs.ParseStatus(b, r.Base, r.Cred, r.Stat)
	}
	return nil
}

// files says which files have all of the columns.
func files(columns []Column) (stat, status bool) {
	inStat, inStatus := true, true
	for _, c := range columns {
		inStat = inStat && c.in&inStatFile != 0
		inStatus = inStatus && c.in&inStatusFile != 0
	}
	switch {
	case inStat:
		return true, false
	case inStatus:
		return false, true
	}
	return true, true
}
