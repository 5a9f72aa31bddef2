// SPDX-License-Identifier: Apache-2.0

// Package program is what the programs here have in common: they read flags, end with an interrupt, and say by their exit
// status how it went.
package program

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
)

// A Run is what a program does when its flags are read. Args are the words behind the flags.
type Run func(ctx context.Context, args []string, stdout, stderr io.Writer) error

// A Usage is an error about the command line.
type Usage struct{ Err error }

func (u Usage) Error() string { return u.Err.Error() }

// Unwrap returns what is wrong.
func (u Usage) Unwrap() error { return u.Err }

// Main runs a program and exits: with 0, with 2 where the command line is wrong, and with 1 after any other error, which it
// prints on standard error.
func Main(name string, define func(*flag.FlagSet) Run) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := realMain(ctx, name, define, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func realMain(ctx context.Context, name string, define func(*flag.FlagSet) Run, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(stderr)
	run := define(flags)
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2 // flags has said what
	}
	err := run(ctx, flags.Args(), stdout, stderr)
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "%s: %v\n", name, err)
	if errors.As(err, &Usage{}) {
		return 2
	}
	return 1
}
