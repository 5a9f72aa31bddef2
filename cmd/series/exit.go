// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/seriesrig/series/internal/run"
	"github.com/seriesrig/series/kernel"
	"github.com/seriesrig/series/kernel/kconfig"
	"github.com/seriesrig/series/patches"
)

// The exit statuses, which scripts rely on.
const (
	exitOK          = 0
	exitFinding     = 1
	exitUsage       = 2
	exitRig         = 3
	exitInterrupted = 130
)

// coded is an error that knows its exit status.
type coded struct {
	code int
	err  error
}

func (e *coded) Error() string { return e.err.Error() }
func (e *coded) Unwrap() error { return e.err }

// usage makes an error about the command line or another input that the user can mend.
func usage(format string, args ...any) error {
	return &coded{exitUsage, fmt.Errorf(format, args...)}
}

// said is an error whose text has been printed already, as data or as a table; only its exit status is left.
type said struct{ code int }

func (e said) Error() string { return fmt.Sprintf("exit status %d", e.code) }

// exitCode classifies an error. What is not known to be the series' fault or the user's is the rig's.
func exitCode(ctx context.Context, err error) int {
	var (
		c       *coded
		s       said
		apply   *patches.ApplyError
		input   *patches.InputError
		base    *kernel.BaseError
		lost    *kconfig.LostError
		build   *kernel.BuildError
		missing *run.MissingError
	)
	switch {
	case err == nil:
		return exitOK
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &s):
		return s.code
	case errors.As(err, &c):
		return c.code
	case errors.Is(err, syscall.ENOSPC), errors.As(err, &missing):
		return exitRig
	case errors.As(err, &apply), errors.As(err, &build):
		return exitFinding
	case errors.As(err, &input), errors.As(err, &base), errors.As(err, &lost):
		return exitUsage
	}
	return exitRig
}
