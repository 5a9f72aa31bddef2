// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Ps lists processes from /proc/task_diag, or with -proc from the text files of /proc: the same list. It runs in a guest of
// "series boot task-diag --with ./vmtest/taskdiag/cmd/ps".
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/seriesrig/series/vmtest/taskdiag"
	"github.com/seriesrig/series/vmtest/taskdiag/cmd/internal/program"
	"github.com/seriesrig/series/vmtest/taskdiag/procfs"
	"github.com/seriesrig/series/vmtest/taskdiag/ps"
)

func main() { program.Main("ps", define) }

func define(flags *flag.FlagSet) program.Run {
	list := flags.String("o", "pid,ppid,s,time,comm", "`columns`, separated by commas")
	fromProc := flags.Bool("proc", false, "read the text files of /proc")
	fromDiag := flags.Bool("task-diag", false, "read /proc/task_diag; it is the default")
	parent := flags.Int("ppid", 0, "only the children of this `process`")
	only := flags.String("p", "", "only these `processes`, separated by commas")
	count := flags.Bool("count", false, "say on standard error how many system calls the reading took")
	return func(ctx context.Context, args []string, stdout, stderr io.Writer) error {
		columns, err := ps.ParseColumns(*list)
		pids, perr := parsePIDs(*only)
		switch {
		case err != nil:
		case perr != nil:
			err = perr
		case len(args) > 0:
			err = fmt.Errorf("unexpected argument %q", args[0])
		case *fromProc && *fromDiag:
			err = errors.New("-proc and -task-diag exclude each other")
		}
		if err != nil {
			return program.Usage{Err: err}
		}
		src, shut, err := source(*fromProc)
		if err != nil {
			return err
		}
		defer shut()
		if err := (ps.Listing{Columns: columns, Parent: *parent, PIDs: pids}).Write(ctx, stdout, src); err != nil {
			return err
		}
		if *count {
			fmt.Fprintf(stderr, "ps: %d system calls to read\n", src.SystemCalls())
		}
		return nil
	}
}

func parsePIDs(list string) ([]int, error) {
	if list == "" {
		return nil, nil
	}
	var pids []int
	for s := range strings.SplitSeq(list, ",") {
		pid, err := strconv.Atoi(s)
		if err != nil || pid < 1 {
			return nil, fmt.Errorf("-p: %q is no process", s)
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

func source(fromProc bool) (ps.Source, func() error, error) {
	if fromProc {
		d, err := procfs.Open("/proc")
		return ps.Proc{Dir: d}, d.Close, err
	}
	c, err := taskdiag.Open(taskdiag.Options{})
	if err != nil {
		return nil, nil, fmt.Errorf("%w (use -proc where there is no task_diag)", err)
	}
	return ps.TaskDiag{Client: c}, c.Close, nil
}
