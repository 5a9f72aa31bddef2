// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seriesrig/series/vmtest/guest"
)

// TestEach is Test with a guest of its own for each top-level test of the binary, so that none of them sees what another
// left behind. The machine boots once, with the binary in it; from there on each guest is restored from a snapshot, which
// takes a fraction of a boot. As many run side by side as the host has CPUs for, each with the CPUs of the
// Machine (of which some run in turn, see MultiThread).
//
// The guests' logs are in folders of the tests' names below the result's; its test.log and test.json have all of them, one
// after the other. What must not be restored (ErrNoSnapshot) is run by Test. Benchmarks do not run.
func TestEach(ctx context.Context, m Machine, j Job) (*TestResult, error) {
	go test2json()
	e := &each{job: j, start: time.Now()}
	if err := e.open(ctx, &m); err != nil {
		if errors.Is(err, ErrNoSnapshot) {
			return Test(ctx, m, j)
		}
		return failedTest(ctx, nil, m, err)
	}
	e.dir = m.Dir
	names, ok, err := e.names()
	if err != nil {
		return failedTest(ctx, nil, m, err)
	}
	if !ok {
		return Test(ctx, m, j)
	}
	parts := make([]*TestResult, len(names))
	g, run := errgroup.WithContext(ctx)
	atOnce := max(1, runtime.NumCPU()/m.HostCPUs())
	e.turns = make(chan struct{}, atOnce)
	g.SetLimit(atOnce + loadedAhead)
	for i, name := range names {
		g.Go(func() (err error) {
			parts[i], err = e.one(run, name)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return failedTest(ctx, nil, m, err)
	}
	return e.join(names, parts)
}

// loadedAhead is how many guests are being loaded, or have been, while others run.
const loadedAhead = 1

// An each is a binary whose tests run apart.
type each struct {
	job     Job
	snap    *Snapshot
	dir     string // of the logs
	start   time.Time
	prepare time.Duration
	boot    time.Duration
	pattern string   // of -test.run, for the top level
	below   string   // and for the levels below it, with its slash
	args    []string // without -test.run
	turns   chan struct{}
}

// turn waits until a guest may run, and returns what lets the next one.
func (e *each) turn(ctx context.Context) (end func(), err error) {
	select {
	case e.turns <- struct{}{}:
		return sync.OnceFunc(func() { <-e.turns }), nil
	case <-ctx.Done():
		return nil, rig("wait for other guests", context.Cause(ctx))
	}
}

// open makes the snapshot that the guests start from.
func (e *each) open(ctx context.Context, m *Machine) error {
	if m.Icount != nil {
		return fmt.Errorf("%w: with icount every boot counts", ErrNoSnapshot)
	}
	s := newSession(e.job)
	err := s.prepare(ctx, m)
	if err != nil {
		return err
	}
	defer os.Remove(m.Initrd) // the snapshot has its own
	e.job, e.prepare = s.job, s.took
	e.splitRun()
	var g *Guest
	if e.snap, g, err = m.snapshot(ctx, e.list); err != nil {
		return err
	}
	if g != nil {
		e.boot = g.Times().Boot
	}
	return nil
}

// splitRun takes -test.run out of the arguments: each guest gets one of its own.
func (e *each) splitRun() {
	for i := 0; i < len(e.job.Args); i++ {
		a := e.job.Args[i]
		name, value, ok := strings.Cut(strings.TrimLeft(a, "-"), "=")
		if !strings.HasPrefix(a, "-") || name != "test.run" && name != "run" {
			e.args = append(e.args, a)
			continue
		}
		if !ok && i+1 < len(e.job.Args) {
			i++
			value = e.job.Args[i]
		}
		e.pattern, e.below = value, ""
		if top, _, ok := strings.Cut(value, "/"); ok {
			e.pattern, e.below = top, value[len(top):]
		}
	}
}

var topLevel = regexp.MustCompile(`^(Test|Example|Fuzz)[^\s/]*$`)

// testsFile is in a snapshot's folder, where the binary could list its tests: a name a line.
const testsFile = "tests"

// list asks the binary for the names of its tests, in the guest that shows that the snapshot is good.
func (e *each) list(ctx context.Context, g *Guest, dir string) error {
	job := e.job
	job.Args, job.Collect = []string{"-test.list=."}, nil
	var out bytes.Buffer
	left := int64(mib)
	exit, err := g.Run(ctx, job.command(), guest.Stdio{Stdout: meter{&out, &left}})
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil || !exit.Success() || g.End(ctx).Kind != Pass:
		return nil // it has something to say, and Test is the one to listen
	}
	var names strings.Builder
	for line := range strings.Lines(out.String()) {
		if name := strings.TrimSpace(line); topLevel.MatchString(name) {
			names.WriteString(name + "\n")
		}
	}
	if err := os.WriteFile(filepath.Join(dir, testsFile), []byte(names.String()), 0o644); err != nil {
		return rig("list tests", err)
	}
	return nil
}

// names returns the tests that are to run; ok tells whether the binary could list them.
func (e *each) names() (names []string, ok bool, err error) {
	b, err := os.ReadFile(filepath.Join(e.snap.dir, testsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, rig("list tests", err)
	}
	pattern, err := regexp.Compile(e.pattern)
	if err != nil {
		return nil, false, nil // as the binary will say
	}
	for name := range strings.Lines(string(b)) {
		if name = strings.TrimSpace(name); pattern.MatchString(name) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names, true, nil
}

// one runs a test in a guest of its own. What a restored guest says against its kernel, one that is booted for the test
// has to say as well: a restore is not something that kernels are made for. A restored guest that was never heard of again
// says nothing at all.
func (e *each) one(ctx context.Context, name string) (*TestResult, error) {
	dir := filepath.Join(e.dir, name)
	g, err := e.snap.load(ctx, dir)
	end, late := e.turn(ctx)
	if late != nil {
		if g != nil {
			g.Close()
		}
		return nil, late
	}
	defer end()
	if err == nil {
		err = g.goOn(ctx)
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		e.snap.m.Log.Warn("a guest did not come back from its snapshot; booting one", "test", name, "error", err)
		return e.booted(ctx, name, dir)
	}
	go func() { // taking it down need not be waited for
		select {
		case <-g.stopping:
		case <-g.ended:
		}
		end()
	}()
	s := e.session(name)
	s.Guest = g
	first, err := s.test(ctx)
	if err != nil || first.Verdict.Kind == Pass {
		return first, err
	}
	if end, late = e.turn(ctx); late != nil {
		return nil, late
	}
	defer end()
	again, err := e.booted(ctx, name, filepath.Join(dir, "booted"))
	if err == nil && again.Verdict.Kind == Pass {
		first.doubt()
		return first, nil
	}
	return again, err
}

// session is one that runs a single test.
func (e *each) session(name string) *session {
	job := e.job
	job.Args = append(slices.Clone(e.args), "-test.run=^"+regexp.QuoteMeta(name)+"$"+e.below)
	return &session{job: job, start: time.Now()}
}

// booted runs a test in a guest that is booted for it.
func (e *each) booted(ctx context.Context, name, dir string) (*TestResult, error) {
	s, m := e.session(name), e.snap.m
	m.Dir = dir
	g, err := m.Boot(ctx)
	if err != nil {
		return failedTest(ctx, s, m, err)
	}
	s.Guest = g
	return s.test(ctx)
}

// doubt says in a result that another guest did not confirm it.
func (r *TestResult) doubt() {
	const but = "not so in a guest that was booted for the test"
	r.Unconfirmed = true
	r.Verdict.Reason += "; " + but
	for i := range r.Tests {
		if x := &r.Tests[i]; x.Action == "fail" {
			x.Reason = strings.TrimPrefix(x.Reason+"; "+but, "; ")
		}
	}
}

// join puts the results together. The verdict is that of the first test with a finding; without one, of the first that the
// rig failed.
func (e *each) join(names []string, parts []*TestResult) (*TestResult, error) {
	all := &TestResult{Verdict: Verdict{Kind: Pass}, Dir: e.dir, Log: filepath.Join(e.dir, "test.log"), JSON: filepath.Join(e.dir, "test.json"),
		Times: Times{Prepare: e.prepare, Boot: e.boot}}
	var logs, events []string
	for i, p := range parts {
		all.Tests = append(all.Tests, p.Tests...)
		all.Passed += p.Passed
		all.Failed += p.Failed
		all.Skipped += p.Skipped
		all.Unconfirmed = all.Unconfirmed || p.Unconfirmed
		all.Elapsed += p.Elapsed
		all.Times.Run += p.Times.Run
		all.Times.End += p.Times.End
		if p.Status != 0 && all.Status == 0 {
			all.Status = p.Status
		}
		if p.Verdict.Kind != Pass && (all.Verdict.Kind == Pass || all.Verdict.Kind == Rig && p.Verdict.Kind != Rig) {
			all.Verdict = p.Verdict
			if len(p.Tests) == 0 {
				all.Verdict.Reason += " (during " + names[i] + ")"
			}
		}
		if len(p.Tests) == 0 && p.Verdict.Kind != Pass {
			// It ended before the test could be heard of; it is none that was not run.
			all.Tests = append(all.Tests, TestCase{Name: names[i], Action: "fail", Reason: p.Verdict.String()})
			all.Failed++
		}
		logs, events = append(logs, p.Log), append(events, p.JSON)
	}
	for to, from := range map[string][]string{all.Log: logs, all.JSON: events} {
		if err := concat(to, from); err != nil {
			return nil, rig("join logs", err)
		}
	}
	all.Times.Total = time.Since(e.start)
	if all.Verdict.Kind == Rig {
		return all, &EndError{Verdict: all.Verdict}
	}
	return all, nil
}

func concat(to string, from []string) error {
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	for _, path := range from {
		if path == "" {
			continue
		}
		in, err := os.Open(path)
		if err == nil {
			_, err = io.Copy(out, in)
			in.Close()
		}
		if err != nil {
			out.Close()
			return err
		}
	}
	return out.Close()
}
