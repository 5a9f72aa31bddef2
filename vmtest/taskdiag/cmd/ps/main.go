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
	"os"
	"os/signal"
	"strconv"
	"strings"

	"github.com/seriesrig/series/vmtest/taskdiag"
	"github.com/seriesrig/series/vmtest/taskdiag/procfs"
	"github.com/seriesrig/series/vmtest/taskdiag/ps"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := realMain(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func realMain(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("ps", flag.ContinueOnError)
	flags.SetOutput(stderr)
	list := flags.String("o", "pid,ppid,s,time,comm", "`columns`, separated by commas")
	fromProc := flags.Bool("proc", false, "read the text files of /proc")
	fromDiag := flags.Bool("task-diag", false, "read /proc/task_diag; it is the default")
	parent := flags.Int("ppid", 0, "only the children of this `process`")
	only := flags.String("p", "", "only these `processes`, separated by commas")
	count := flags.Bool("count", false, "say on standard error how many system calls the reading took")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	columns, err := ps.ParseColumns(*list)
	pids, perr := parsePIDs(*only)
	switch {
	case err != nil:
	case perr != nil:
		err = perr
	case flags.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case *fromProc && *fromDiag:
		err = errors.New("-proc and -task-diag exclude each other")
	}
	if err != nil {
		fmt.Fprintf(stderr, "ps: %v\n", err)
		return 2
	}
	src, shut, err := source(*fromProc)
	if err == nil {
		defer shut()
		err = ps.Listing{Columns: columns, Parent: *parent, PIDs: pids}.Write(ctx, stdout, src)
	}
	if err != nil {
		fmt.Fprintf(stderr, "ps: %v\n", err)
		return 1
	}
	if *count {
		fmt.Fprintf(stderr, "ps: %d system calls to read\n", src.SystemCalls())
	}
	return 0
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
