// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seriesrig/series/results"
	"github.com/seriesrig/series/vmtest"
)

// test runs the series' tests on each cell and returns the number of cells with a finding. A cell that the rig failed is
// an error: nothing was learned about it.
func (s *session) test(ctx context.Context, cells []*cell, opts guestOptions) (findings int, err error) {
	if len(s.series.Tests) == 0 {
		return 0, nil
	}
	cells = slices.DeleteFunc(slices.Clone(cells), func(c *cell) bool { return !c.tested() })
	st := s.show.stage("test", len(cells))
	var bad atomic.Int32
	built := slices.DeleteFunc(alternate(cells), func(c *cell) bool { return c.build == nil })
	err = sideBySide(ctx, built, runtime.NumCPU(), func(c *cell) int { return s.hostCPUs(c, opts.fresh) }, func(ctx context.Context, c *cell) error {
		end := st.begin(c.name)
		if err := s.testCell(ctx, c, opts); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		if c.rec.Tests.Verdict != results.Pass {
			bad.Add(1)
		}
		end("%s", testSummary(c.rec.Tests))
		return s.journal.finished("test", c, !c.worked)
	})
	findings = int(bad.Load())
	if err != nil {
		st.abort()
		return findings, err
	}
	st.end("%d kernels, %d with findings", len(cells), findings)
	return findings, nil
}

// fresh is what was asked for, or what the series says.
func (s *session) fresh(asked *bool) bool {
	if asked != nil {
		return *asked
	}
	return s.series.Guest.Fresh
}

// hostCPUs is how many of the host's processors a cell's guests keep busy. A cell whose tests have a guest each fills the
// host by itself.
func (s *session) hostCPUs(c *cell, fresh bool) int {
	if !fresh {
		return runtime.NumCPU()
	}
	return s.machine(c).HostCPUs()
}

// sideBySide works on cells in their order, on as many at a time as there is room for. One that has to wait for room lets
// those pass that need less; one that needs more than there is has all of it.
func sideBySide(ctx context.Context, cells []*cell, room int, needs func(*cell) int, work func(context.Context, *cell) error) error {
	g, run := errgroup.WithContext(ctx)
	waiting, free, ended := slices.Clone(cells), room, make(chan int, len(cells))
	for len(waiting) > 0 && run.Err() == nil {
		i := slices.IndexFunc(waiting, func(c *cell) bool { return min(room, needs(c)) <= free })
		if i < 0 {
			free += <-ended
			continue
		}
		c, n := waiting[i], min(room, needs(waiting[i]))
		waiting, free = slices.Delete(waiting, i, i+1), free-n
		g.Go(func() error {
			defer func() { ended <- n }()
			return work(run, c)
		})
	}
	if err := g.Wait(); err != nil || len(waiting) == 0 {
		return err
	}
	return context.Cause(ctx)
}

// alternate orders cells by patch, so that those of different architectures are side by side and what a patch broke is
// seen early.
func alternate(cells []*cell) []*cell {
	cells = slices.Clone(cells)
	slices.SortStableFunc(cells, func(a, b *cell) int { return a.patch - b.patch })
	return cells
}

func testSummary(t *results.Tests) string {
	text := fmt.Sprintf("%s, %d passed", t.Verdict, t.Passed)
	if t.Failed > 0 {
		text += fmt.Sprintf(", %d failed", t.Failed)
	}
	if t.Expected > 0 {
		text += fmt.Sprintf(", %d failed as expected", t.Expected)
	}
	if t.Skipped > 0 {
		text += fmt.Sprintf(", %d skipped", t.Skipped)
	}
	if t.SameAs != "" {
		text += fmt.Sprintf("; not booted, the kernel is that of %s", t.SameAs)
	}
	return text
}

// guestOptions are what the verbs that boot guests have in common.
type guestOptions struct {
	run     string        // -test.run, "" for all
	again   bool          // run even what is known
	fresh   bool          // boot a guest for all tests of a binary, instead of restoring one for each
	perTest time.Duration // 0: vmtest's
	require bool          // a test that skips itself where series.toml does not say that it may is a finding
}

func (s *session) testCell(ctx context.Context, c *cell, opts guestOptions) error {
	sum := &results.Tests{Verdict: results.Pass}
	c.rec.Tests = sum
	first, err := s.firstKernel(ctx, c)
	if err != nil {
		return err
	}
	known := true
	for _, pkg := range s.series.Tests {
		bin, err := s.testBinary(ctx, c.arch, pkg)
		if err != nil {
			return err
		}
		job := vmtest.Job{PerTest: opts.perTest}
		if opts.run != "" {
			job.Args = append(job.Args, "-test.run="+opts.run)
		}
		how := inGuests
		if opts.fresh {
			how = inOneGuest
		}
		how.kernel = first.ID
		r, err := s.runGuest(ctx, c, s.machine(c), job, bin, how, opts.again)
		if err != nil {
			return err
		}
		known = known && r.Cached
		c.rec.QEMU = &r.QEMU
		sum.Log = r.Dir
		if r.Verdict.Kind == vmtest.Rig {
			return fmt.Errorf("guest: %s (logs in %s)", r.Verdict, r.Dir)
		}
		s.judge(sum, c, r, opts.require)
	}
	if known {
		sum.SameAs = first.instead(s, c)
	}
	return nil
}

// judge adds one binary's run to a cell's sum.
func (s *session) judge(sum *results.Tests, c *cell, r *guestRun, require bool) {
	unexpected := 0
	v := r.Verdict
	for _, t := range r.Tests {
		undue := require && t.Action == "skip" && !s.series.MaySkip(t.Name, c.patch, c.rec.Config)
		if strings.ContainsRune(t.Name, '/') && !undue {
			continue // told in its parent's outcome and output
		}
		rec := results.Test{Name: t.Name, Verdict: results.Pass, Seconds: t.Elapsed}
		switch t.Action {
		case "pass":
			sum.Passed++
		case "skip":
			rec.Output = t.Output
			if undue {
				const why = " skipped itself, and no [[skip]] of series.toml says that it may"
				rec.Verdict, rec.Output = results.Fail, t.Name+why+"\n"+t.Output
				sum.Failed++
				unexpected++
				if v.Kind == vmtest.Pass {
					v = vmtest.Verdict{Kind: vmtest.Fail, Reason: t.Name + why}
				}
				break
			}
			sum.Skipped++
			rec.Skipped = true
		default:
			rec.Verdict = results.Fail
			rec.Output = strings.TrimSpace(t.Output + "\n" + t.Reason)
			if expected(s.series, t.Name, c.patch) {
				rec.Expected = true
				sum.Expected++
			} else {
				sum.Failed++
				unexpected++
			}
		}
		sum.Cases = append(sum.Cases, rec)
	}
	verdict := results.Verdict(v.Kind)
	if v.Kind == vmtest.Fail && unexpected == 0 && sum.Expected > 0 && r.Status == 1 {
		verdict = results.Pass // all that failed was known beforehand, and the binary ran to its end
	}
	if verdict != results.Pass && sum.Verdict == results.Pass {
		sum.Verdict = verdict
		s.show.note("  %s: %s", c.name, v)
		for _, line := range v.Excerpt {
			s.show.note("    %s", line)
		}
		for _, t := range sum.Cases {
			if t.Verdict != results.Pass && !t.Expected {
				s.show.note("    --- %s", t.Name)
				for line := range strings.Lines(t.Output) {
					s.show.note("      %s", strings.TrimRight(line, "\n"))
				}
			}
		}
		s.show.note("    logs: %s", r.Dir)
	}
}
