// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Task_diag_all reads attributes of all tasks from /proc/task_diag and says how many there were, how many system calls it
// took and how long. It is the counterpart of task_proc_all.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/seriesrig/series/vmtest/taskdiag"
	"github.com/seriesrig/series/vmtest/taskdiag/cmd/internal/program"
)

func main() { program.Main("task_diag_all", define) }

var (
	groups = map[string]taskdiag.Groups{
		"base": taskdiag.ShowBase, "cred": taskdiag.ShowCred, "stat": taskdiag.ShowStat, "vma": taskdiag.ShowVMA, "vma_stat": taskdiag.ShowVMAStat,
	}
	strategies = map[string]taskdiag.Strategy{
		"all": taskdiag.DumpAll, "one": taskdiag.DumpOne, "all_thread": taskdiag.DumpAllThread,
		"children": taskdiag.DumpChildren, "thread": taskdiag.DumpThread,
	}
)

func define(flags *flag.FlagSet) program.Run {
	show := flags.String("g", "base", "`groups`, separated by commas: base, cred, stat, vma, vma_stat")
	strategy := flags.String("s", "all", "`strategy`: all, one, all_thread, children, thread")
	pid := flags.Uint("p", 0, "the `process` that one, children and thread are about")
	verbose := flags.Bool("v", false, "print what there is about each task")
	return func(ctx context.Context, args []string, stdout, _ io.Writer) error {
		q, err := request(*show, *strategy, *pid, args)
		if err != nil {
			return program.Usage{Err: err}
		}
		out := bufio.NewWriter(stdout)
		var print io.Writer
		if *verbose {
			print = out
		}
		return errors.Join(all(ctx, q, print, out), out.Flush())
	}
}

func request(show, strategy string, pid uint, rest []string) (taskdiag.Request, error) {
	q := taskdiag.Request{PID: uint32(pid)}
	if len(rest) > 0 {
		return q, fmt.Errorf("unexpected argument %q", rest[0])
	}
	for name := range strings.SplitSeq(show, ",") {
		g, ok := groups[name]
		if !ok && name != "" {
			return q, fmt.Errorf("no group %q", name)
		}
		q.Groups |= g
	}
	s, ok := strategies[strategy]
	if !ok {
		return q, fmt.Errorf("no strategy %q", strategy)
	}
	q.Strategy = s
	return q, nil
}

// all makes the request, prints tasks where print is not nil, and the sum to out.
func all(ctx context.Context, q taskdiag.Request, print, out io.Writer) error {
	c, err := taskdiag.Open(taskdiag.Options{})
	if err != nil {
		return err
	}
	defer c.Close()
	start := time.Now()
	tasks, bytes := 0, 0
	for m, err := range c.Messages(ctx, q) {
		if err != nil {
			return err
		}
		bytes += len(m.Bytes())
		if !m.Cont {
			tasks++
		}
		if print != nil {
			describe(print, m)
		}
	}
	took := time.Since(start)
	fmt.Fprintf(out, "%d tasks, %d bytes, %d system calls, %v\n", tasks, bytes, c.SystemCalls(), took.Round(time.Microsecond))
	return nil
}

func describe(w io.Writer, m *taskdiag.Message) {
	fmt.Fprintf(w, "task %d of %d", m.PID, m.TGID)
	if m.Gone {
		fmt.Fprint(w, " is gone")
	}
	fmt.Fprintln(w)
	if b := m.Base; b != nil {
		fmt.Fprintf(w, "  base ppid %d tpid %d sid %d pgid %d state %c comm %q\n", b.PPID, b.TPID, b.SID, b.PGID, b.State, b.Name())
	}
	if m.Cred != nil {
		fmt.Fprintf(w, "  cred %+v\n", *m.Cred)
	}
	if m.Stat != nil {
		fmt.Fprintf(w, "  stat %+v\n", *m.Stat)
	}
	for v := range m.VMAs {
		fmt.Fprintf(w, "  vma %x-%x flags %#x offset %#x dev %x:%x inode %d page size %d name %q\n",
			v.Start, v.End, uint32(v.Flags), v.Offset, v.DevMajor, v.DevMinor, v.Inode, v.PageSize, v.Name)
		if v.Stat != nil {
			fmt.Fprintf(w, "    %+v\n", *v.Stat)
		}
	}
}
