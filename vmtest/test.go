// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/seriesrig/series/vmtest/guest"
	"github.com/seriesrig/series/vmtest/internal/console"
)

const excerptLines = 40

// Test boots a guest, runs the job's Go test binary in it, and ends the guest. Whatever was learned about the kernel is
// in the verdict and is no error, be it that a test failed or that the guest never came up. With a verdict of Rig the
// error is an *EndError, and the result is there all the same. Any other error is about the Machine or the Job itself.
func Test(ctx context.Context, m Machine, j Job) (*TestResult, error) {
	go test2json() // finding it takes a moment, the first time
	s, err := open(ctx, &m, j, (*Job).testCommand)
	if err != nil {
		return failedTest(ctx, s, m, err)
	}
	return s.test(ctx)
}

// test runs the binary in the session's guest, and ends that.
func (s *session) test(ctx context.Context) (*TestResult, error) {
	defer s.Close()
	t, err := s.newTestRun(ctx)
	if err != nil {
		return failedTest(ctx, s, s.m, rig("prepare", err))
	}
	defer t.closeLogs()
	exit, err := t.run(ctx)
	t.conv.settleParents()
	res := t.result(exit)
	res.Verdict = t.verdict(s.close(ctx, exit, err), exit, err)
	res.Times = s.times()
	return res, rigError(ctx, res.Verdict, err)
}

// rigError is the error that goes with a verdict.
func rigError(ctx context.Context, v Verdict, err error) error {
	if v.Kind != Rig {
		return nil
	}
	if err == nil {
		err = context.Cause(ctx)
	}
	var e *EndError
	if errors.As(err, &e) {
		err = e.Err
	}
	return &EndError{Verdict: v, Err: err}
}

func failedTest(ctx context.Context, s *session, m Machine, err error) (*TestResult, error) {
	var e *EndError
	if !errors.As(err, &e) {
		return nil, err
	}
	res := &TestResult{Verdict: e.Verdict, Status: -1, Dir: m.Dir}
	if s != nil {
		res.Times = s.times()
	}
	return res, rigError(ctx, e.Verdict, err)
}

// A testRun is a test binary under way.
type testRun struct {
	s        *session
	conv     *converter
	overtime *overtime
	out      *logFile // what the binary printed
	json     *logFile
	convErr  error
}

func (s *session) newTestRun(ctx context.Context) (_ *testRun, err error) {
	t := &testRun{s: s}
	defer func() {
		if err != nil {
			t.closeLogs()
		}
	}()
	if t.out, err = openLog(filepath.Join(s.Dir(), "test.log"), s.job.Output+mib); err != nil {
		return nil, err
	}
	// An event has the output it tells of, with more or less around it.
	if t.json, err = openLog(filepath.Join(s.Dir(), "test.json"), 8*(s.job.Output+mib)); err != nil {
		return nil, err
	}
	if t.conv, err = newConverter(context.WithoutCancel(ctx), t.json); err != nil {
		return nil, err
	}
	t.overtime = newOvertime(s.job.PerTest)
	return t, nil
}

func (t *testRun) closeLogs() {
	for _, l := range []*logFile{t.out, t.json} {
		if l != nil {
			l.Close()
		}
	}
}

// run runs the binary to its end, or to its being killed.
func (t *testRun) run(ctx context.Context) (*guest.Exit, error) {
	s := t.s
	cmd := s.command((*Job).testCommand)
	writers := []io.Writer{t.out, t.conv.in}
	var out *relay
	if s.job.Stdout != nil {
		out = newRelay(ctx, s.job.Stdout)
		writers = append(writers, out)
	}
	left := s.job.Output
	stdio := guest.Stdio{Stdin: s.job.Stdin, File: s.file, Test: t.overtime.event,
		Stdout: meter{io.MultiWriter(writers...), &left}}

	running, cancel := context.WithCancelCause(ctx)
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		t.overtime.watch(running, s.Guest, cancel)
	}()
	exit, err := s.Run(running, cmd, stdio)
	cancel(nil)
	<-watching
	t.convErr = t.conv.close()
	if out != nil {
		if e := out.Close(); err == nil {
			err = e
		}
	}
	return exit, err
}

// testCommand runs the job's binary as go test does.
func (j *Job) testCommand() guest.Command {
	var args []string
	if !hasFlag(j.Args, "test.v") {
		args = append(args, "-test.v=test2json")
	}
	if !hasFlag(j.Args, "test.paniconexit0") {
		args = append(args, "-test.paniconexit0") // as go test has it
	}
	cmd := j.command(args...)
	cmd.Merge, cmd.Marks = true, true
	return cmd
}

func hasFlag(args []string, name string) bool {
	for _, a := range args {
		a = strings.TrimPrefix(strings.TrimPrefix(a, "-"), "-")
		if a == name || strings.HasPrefix(a, name+"=") {
			return true
		}
	}
	return false
}

func (t *testRun) result(exit *guest.Exit) *TestResult {
	res := &TestResult{Status: -1, Log: t.out.path, JSON: t.json.path, Dir: t.s.Dir(), Benchmarks: t.conv.bench}
	if exit != nil {
		res.Status, res.Elapsed = exit.Status, exit.Wall().Seconds()
	}
	for _, seen := range t.conv.order {
		x := seen.TestCase
		x.Output = seen.out.String()
		switch x.Action {
		case "pass":
			res.Passed++
		case "bench":
		case "skip":
			res.Skipped++
		case "fail":
			res.Failed++
		default: // it has started and nothing was heard of it since
			x.Action, x.Reason = "fail", "did not end"
			if t.overtime.hit(x.Name) {
				x.Reason = fmt.Sprintf("timed out after %v", t.overtime.limit)
			}
			res.Failed++
		}
		res.Tests = append(res.Tests, x)
	}
	return res
}

// verdict adds what the tests did to what the guest did.
func (t *testRun) verdict(v Verdict, exit *guest.Exit, err error) Verdict {
	reason, out := t.failure(exit)
	switch {
	case errors.Is(err, ErrOutput):
		return v // says so
	case exit == nil && reason != "" && v.Kind == Rig:
		return Verdict{Kind: Fail, Reason: reason + ", and could not be killed", Where: Where{Log: t.out.path}}
	case exit == nil:
		// The guest ended before the binary did: say what it was doing.
		if names := t.conv.unfinished(); v.Kind != Pass && len(names) > 0 {
			v.Reason += " (during " + strings.Join(names, ", ") + ")"
		}
		return v
	case t.convErr != nil:
		return v.also(Rig, "test2json: "+t.convErr.Error())
	case reason == "":
		return v
	case v.Kind == Pass || v.Kind == Fail:
		v = Verdict{Kind: Fail, Reason: reason, Where: Where{Log: t.out.path}}
		for _, line := range out.lines(excerptLines) {
			v.Excerpt = append(v.Excerpt, console.Clean([]byte(line)))
		}
		return v
	}
	v.Reason += "; " + reason
	return v
}

// failure tells why the binary did not pass, and the output that shows it; "" where it did. It takes more than a status
// of 0: the binary must have said PASS, and every test that started must have ended.
func (t *testRun) failure(exit *guest.Exit) (string, *output) {
	c := t.conv
	out := &c.other
	named := func(names []string) string {
		if x := c.tests[names[0]]; x != nil {
			out = &x.out
		}
		if len(names) > 3 {
			return fmt.Sprintf("%s and %d more", strings.Join(names[:3], ", "), len(names)-3)
		}
		return strings.Join(names, ", ")
	}
	if name := t.overtime.name(); name != "" {
		return fmt.Sprintf("%s timed out after %v", named([]string{name}), t.overtime.limit), out
	}
	if exit == nil {
		return "", out
	}
	unfinished, failed := c.unfinished(), c.failed()
	switch {
	case !exit.Success() && len(unfinished) > 0:
		return fmt.Sprintf("%v during %s", exit, named(unfinished)), out
	case len(failed) > 0:
		return named(failed) + " failed", out
	case !exit.Success():
		return exit.String(), out
	case len(unfinished) > 0:
		return fmt.Sprintf("exit status 0, but %s did not end", named(unfinished)), out
	case c.result != "pass" && c.result != "skip":
		return "exit status 0, but the binary did not say PASS", out
	}
	return "", out
}
