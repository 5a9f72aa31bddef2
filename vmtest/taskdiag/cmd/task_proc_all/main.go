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
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/seriesrig/series/vmtest/taskdiag/procfs"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := realMain(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

var files = []string{"", procfs.Stat, procfs.Status, procfs.Maps, procfs.Smaps}

func realMain(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("task_proc_all", flag.ContinueOnError)
	flags.SetOutput(stderr)
	file := flags.String("f", procfs.Stat, "`file` of each process: stat, status, maps, smaps; none if empty, which is readdir alone")
	verbose := flags.Bool("v", false, "print the files")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	if flags.NArg() > 0 || !slices.Contains(files, *file) {
		fmt.Fprintf(stderr, "task_proc_all: unexpected argument or file %q\n", append(flags.Args(), *file))
		return 2
	}
	out := bufio.NewWriter(stdout)
	var print io.Writer
	if *verbose {
		print = out
	}
	if err := errors.Join(all(ctx, *file, print, out), out.Flush()); err != nil {
		fmt.Fprintf(stderr, "task_proc_all: %v\n", err)
		return 1
	}
	return 0
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
