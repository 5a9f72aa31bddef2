// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"

	"github.com/seriesrig/series/vmtest/guest"
)

// Exec boots a guest, runs the job's program in it as it is, and ends the guest. A program that ends with another status
// than 0 is a verdict of Fail. Errors are as with Test.
func Exec(ctx context.Context, m Machine, j Job) (*ExecResult, error) {
	s, err := open(ctx, &m, j, (*Job).plainCommand)
	if err != nil {
		return failedExec(ctx, s, m, err)
	}
	defer s.Close()
	res := &ExecResult{Status: -1, Dir: m.Dir}
	left := s.job.Output
	stdio := guest.Stdio{Stdin: j.Stdin, File: s.file}
	var relays []*relay
	add := func(w io.Writer) io.Writer {
		if w == nil {
			w = io.Discard
		}
		r := newRelay(ctx, w)
		relays = append(relays, r)
		return meter{r, &left}
	}
	stdio.Stdout, stdio.Stderr = add(j.Stdout), add(j.Stderr)
	exit, err := s.Run(ctx, s.command((*Job).plainCommand), stdio)
	for _, r := range relays {
		if e := r.Close(); err == nil {
			err = e
		}
	}
	res.Verdict = s.close(ctx, exit, err)
	if exit != nil {
		res.Status = status(exit)
	}
	res.Files, res.Times = s.files, s.times()
	return res, rigError(ctx, res.Verdict, err)
}

func failedExec(ctx context.Context, s *session, m Machine, err error) (*ExecResult, error) {
	var e *EndError
	if !errors.As(err, &e) {
		return nil, err
	}
	res := &ExecResult{Verdict: e.Verdict, Status: -1, Dir: m.Dir}
	if s != nil {
		res.Times = s.times()
	}
	return res, rigError(ctx, e.Verdict, err)
}

// status is an exit status as a shell tells it.
func status(e *guest.Exit) int {
	if e.Signal != 0 {
		return 128 + int(e.Signal)
	}
	return e.Status
}

// close ends the guest after its program has, and puts the two verdicts together.
func (s *session) close(ctx context.Context, exit *guest.Exit, err error) Verdict {
	var end *EndError
	if errors.As(err, &end) {
		return end.Verdict
	}
	v := s.End(ctx)
	var start *guest.StartError
	switch {
	case err == nil && exit.Success():
		return v
	case err == nil:
		return v.also(Fail, exit.String())
	case errors.As(err, &start):
		return v.also(Fail, err.Error())
	case errors.Is(err, ErrOutput):
		return v.also(Fail, fmt.Sprintf("the program %v with more than %d MiB", ErrOutput, s.job.Output/mib))
	case errors.Is(err, syscall.EPIPE), errors.Is(err, io.ErrClosedPipe):
		return v.also(Rig, "nobody reads the output: "+err.Error())
	}
	return v.also(Rig, err.Error())
}

// also adds what the program did to what the guest did: it counts where the guest passed, and is told otherwise.
func (v Verdict) also(k Kind, reason string) Verdict {
	if v.Kind == Pass {
		return Verdict{Kind: k, Reason: reason}
	}
	v.Reason += "; " + reason
	return v
}
