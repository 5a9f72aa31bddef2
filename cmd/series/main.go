// SPDX-License-Identifier: Apache-2.0

// Series takes a Linux kernel patch series from a directory of patches to a measured mailing-list thread.
//
// Standard output is data, standard error is progress. The exit status is 0 when all is well, 1 for a finding about the
// series (a hunk that does not apply, a build that fails, a failed proof or test), 2 for bad usage or bad input, 3 when
// the rig failed and nothing was learned, and 130 when it was interrupted.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	// A second signal ends the program at once; the children's parent-death signal ends them.
	context.AfterFunc(ctx, stop)
	os.Exit(realMain(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// realMain runs the command line and returns the exit status.
func realMain(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	err := dispatch(ctx, args, stdin, stdout, stderr)
	code := exitCode(ctx, err)
	switch {
	case err == nil:
	case code == exitInterrupted:
		fmt.Fprintln(stderr, "series: interrupted")
	case errors.As(err, new(said)):
	default:
		fmt.Fprintln(stderr, "series: "+printable(err.Error()))
		if errors.Is(err, syscall.ENOSPC) {
			fmt.Fprintln(stderr, "series: where that is the disk of the work folder, series clean -n --older 7d says what can go")
		}
	}
	return code
}

// printable is text without what a terminal would act on: an error may quote a mail, a patch or a program's output.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' || unicode.Is(unicode.Bidi_Control, r) || r == utf8.RuneError {
			return '?'
		}
		return r
	}, s)
}
