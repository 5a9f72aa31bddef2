// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Task_proc_all reads a file of every process in /proc and says how many there were, how many system calls it took and how
// long. It is the counterpart of task_diag_all.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"syscall"
	"time"

	"github.com/seriesrig/series/vmtest/taskdiag/cmd/internal/program"
	"github.com/seriesrig/series/vmtest/taskdiag/procfs"
)

func main() { program.Main("task_proc_all", define) }

var files = []string{"", procfs.Stat, procfs.Status, procfs.Maps, procfs.Smaps}

func define(flags *flag.FlagSet) program.Run {
	file := flags.String("f", procfs.Stat, "`file` of each process: stat, status, maps, smaps; none if empty, which is readdir alone")
	verbose := flags.Bool("v", false, "print the files")
	return func(ctx context.Context, args []string, stdout, _ io.Writer) error {
		if len(args) > 0 {
			return program.Usage{Err: fmt.Errorf("unexpected argument %q", args[0])}
		}
		if !slices.Contains(files, *file) {
			return program.Usage{Err: fmt.Errorf("-f: %q is none of the files stat, status, maps, smaps", *file)}
		}
		out := bufio.NewWriter(stdout)
		var print io.Writer
		if *verbose {
			print = out
		}
		return errors.Join(all(ctx, *file, print, out), out.Flush())
	}
}

// left are errors of processes that have ended since, or may not be looked at.
var left = []error{syscall.ENOENT, syscall.ESRCH, syscall.EACCES, syscall.EPERM}

// all reads the files, prints them where print is not nil, and the sum to out.
func all(ctx context.Context, file string, print, out io.Writer) error {
	d, err := procfs.Open("/proc")
	if err != nil {
		return err
	}
	defer d.Close()
	start, before := time.Now(), d.SystemCalls()
	tasks, bytes := 0, 0
	var failed error
	err = d.PIDs(func(pid int) bool {
		if failed = context.Cause(ctx); failed != nil {
			return false
		}
		if file != "" {
			b, err := d.Read(pid, file)
			if slices.ContainsFunc(left, func(e error) bool { return errors.Is(err, e) }) {
				return true
			}
			if err != nil {
				failed = err
				return false
			}
			bytes += len(b)
			if print != nil {
				fmt.Fprintf(print, "task %d\n%s", pid, b)
			}
		}
		tasks++
		return true
	})
	took := time.Since(start)
	if err = errors.Join(failed, err); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d tasks, %d bytes, %d system calls, %v\n", tasks, bytes, d.SystemCalls()-before, took.Round(time.Microsecond))
	return nil
}
