// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Client asks about one task with package taskdiag and prints all that there is, as JSON: built for 32 bits, it shows whether
// a 32-bit program gets the same answer. With -wait it says "ready" and waits for its standard input to end.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/seriesrig/series/vmtest/taskdiag"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "client: %v\n", err)
		os.Exit(1)
	}
}

func run() error {
	wait := flag.Bool("wait", false, "be a task to be looked at")
	buffer := flag.Int("buffer", 0, "size of the buffer in bytes; 0: the package's default")
	flag.Parse()
	if *wait {
		fmt.Println("ready")
		_, err := io.Copy(io.Discard, os.Stdin)
		return err
	}
	pid, err := strconv.Atoi(flag.Arg(0))
	if err != nil {
		return err
	}
	c, err := taskdiag.Open(taskdiag.Options{Buffer: *buffer})
	if err != nil {
		return err
	}
	defer c.Close()
	task, err := c.One(context.Background(), pid, taskdiag.ShowBase|taskdiag.ShowCred|taskdiag.ShowStat|taskdiag.ShowVMA|taskdiag.ShowVMAStat)
	if err != nil {
		return err
	}
	return Print(os.Stdout, task)
}

// Print writes a task as JSON.
func Print(w io.Writer, t *taskdiag.Task) error {
	out := json.NewEncoder(w)
	if err := out.Encode([]any{t.TGID, t.PID, t.Base, t.Cred, t.Stat}); err != nil {
		return err
	}
	for v := range t.VMAs {
		if err := out.Encode([]any{v.VMAHead, string(v.Name), v.Stat}); err != nil {
			return err
		}
	}
	return nil
}
