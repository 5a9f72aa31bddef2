// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/seriesrig/series/kernel"
	"github.com/seriesrig/series/results"
	"github.com/seriesrig/series/vmtest"
)

// A bisection judges the prefixes of a series, one architecture and configuration at a time.
type bisection struct {
	s       *session
	cmd     *bisectCmd
	bench   measureOptions
	builder *kernel.Builder
	cells   []*cell // one a prefix
	stage   *stage

	pkg           string // that has the test, once it has been found
	built, guests int
}

func (c *bisectCmd) bisection(s *session, opts measureOptions) (*bisection, error) {
	var arch []string
	if c.Arch != "" {
		arch = []string{c.Arch}
	} else {
		arch = s.series.Arches[:1]
	}
	all, err := choosePatches(s.series, true, nil)
	if err != nil {
		return nil, err
	}
	if c.Config == "all" {
		return nil, usage("--config all: a bisection looks at one configuration")
	}
	cells, err := s.choose(arch, []string{c.Config}, all)
	if err != nil {
		return nil, err
	}
	b := &bisection{s: s, cmd: c, bench: opts, cells: cells}
	if err := s.mode(&b.bench); c.Benchmark != "" && err != nil {
		return nil, err
	}
	if c.Test != "" && len(s.series.Tests) == 0 || c.Benchmark != "" && len(s.series.Benchmarks) == 0 {
		return nil, usage("bisect: %s names no packages; name them with --package", s.series.ID)
	}
	return b, nil
}

// errNotKnown says that something has yet to be built or booted.
var errNotKnown = errors.New("not known")

// probe judges a prefix. It is a search's way to learn.
func (b *bisection) probe(ctx context.Context, patch int, known bool) (probed, bool, error) {
	c := b.cells[patch]
	if known {
		job, err := b.s.job(c)
		if err != nil {
			return probed{}, false, err
		}
		if ok, err := b.builder.Known(ctx, job); err != nil || !ok {
			return probed{}, false, err
		}
		b.s.onlyKnown = true
		defer func() { b.s.onlyKnown = false }()
	}
	p := probed{Patch: patch, Known: known}
	end := func(string, ...any) {}
	if !known {
		end = b.stage.begin(c.name)
	}
	err := b.build(ctx, c)
	var bad *kernel.BuildError
	switch {
	case errors.As(err, &bad):
		p.Outcome, p.Detail = skipped, "does not build: "+bad.Error()
	case err != nil:
		return p, false, fmt.Errorf("%s: %w", c.name, err)
	default:
		p.Outcome, p.Detail, err = b.judge(ctx, c)
		if known && errors.Is(err, errNotKnown) {
			return p, false, nil
		}
		if err != nil {
			return p, false, fmt.Errorf("%s: %w", c.name, err)
		}
	}
	end("%s: %s", p.Outcome, p.Detail)
	if known {
		b.stage.begin(c.name)("%s, known: %s", p.Outcome, p.Detail)
	}
	return p, true, nil
}

func (b *bisection) build(ctx context.Context, c *cell) error {
	if c.build != nil {
		return nil
	}
	if err := b.s.buildOne(ctx, b.builder, c); err != nil {
		return err
	}
	if !c.build.Cached {
		b.built++
	}
	return nil
}

// judge looks at a built kernel.
func (b *bisection) judge(ctx context.Context, c *cell) (outcome, string, error) {
	switch {
	case b.cmd.Warning != "":
		return b.judgeWarning(c)
	case b.cmd.Benchmark != "":
		return b.judgeBenchmark(ctx, c)
	}
	return b.judgeTest(ctx, c)
}

func (b *bisection) judgeWarning(c *cell) (outcome, string, error) {
	for _, d := range c.build.Warnings {
		if strings.Contains(d.String(), b.cmd.Warning) {
			return bad, d.String(), nil
		}
	}
	return good, fmt.Sprintf("no such one of %d warnings", len(c.build.Warnings)), nil
}

// judgeTest runs the test as often as was asked for, until it fails.
func (b *bisection) judgeTest(ctx context.Context, c *cell) (outcome, string, error) {
	if b.cmd.Repeat == 1 && b.s.onlyKnown {
		o, detail, err := b.wholeRun(ctx, c)
		if !errors.Is(err, errNotKnown) {
			return o, detail, err
		}
	}
	for i := 1; i <= b.cmd.Repeat; i++ {
		job := vmtest.Job{Args: []string{"-test.run=" + exactly(b.cmd.Test, "")}, PerTest: b.cmd.PerTest}
		if i > 1 { // another run, and not the one that is known
			job.Env = []string{fmt.Sprintf("SERIES_REPEAT=%d", i)}
		}
		o, detail, err := b.runTest(ctx, c, job, inOneGuest)
		if err != nil {
			return o, detail, err
		}
		if o != good {
			if b.cmd.Repeat > 1 {
				detail = fmt.Sprintf("run %d of %d: %s", i, b.cmd.Repeat, detail)
			}
			return o, detail, nil
		}
	}
	if b.cmd.Repeat > 1 {
		return good, fmt.Sprintf("passed %d times", b.cmd.Repeat), nil
	}
	return good, "passed", nil
}

// wholeRun looks into what is known of a run of all tests, which series test and series run leave.
func (b *bisection) wholeRun(ctx context.Context, c *cell) (outcome, string, error) {
	for _, how := range []runTests{inGuests, inOneGuest} {
		o, detail, err := b.runTest(ctx, c, vmtest.Job{PerTest: b.cmd.PerTest}, how)
		if !errors.Is(err, errNotKnown) {
			return o, detail, err
		}
	}
	return "", "", errNotKnown
}

// runTest looks for the test in the series' packages, and says how it went.
func (b *bisection) runTest(ctx context.Context, c *cell, job vmtest.Job, how runTests) (outcome, string, error) {
	pkgs := b.s.series.Tests
	if b.pkg != "" {
		pkgs = []string{b.pkg}
	}
	for _, pkg := range pkgs {
		bin, err := b.s.testBinary(ctx, c.arch, pkg)
		if err != nil {
			return "", "", err
		}
		r, err := b.s.runGuest(ctx, c, b.s.machine(c), job, bin, how, false)
		if err != nil {
			return "", "", err
		}
		if !r.Cached {
			b.guests++
		}
		if r.Verdict.Kind == vmtest.Rig {
			return "", "", fmt.Errorf("guest: %s (logs in %s)", r.Verdict, r.Dir)
		}
		i := slices.IndexFunc(r.Tests, func(t vmtest.TestCase) bool { return t.Name == b.cmd.Test })
		if i >= 0 {
			b.pkg = pkg
			return outcomeOf(r, r.Tests[i])
		}
		if r.Verdict.Kind != vmtest.Pass && r.Verdict.Kind != vmtest.Fail {
			return bad, r.Verdict.String(), nil // the guest did not even get to it
		}
	}
	return "", "", usage("--test %s: no such test in %s", b.cmd.Test, strings.Join(pkgs, ", "))
}

func outcomeOf(r *guestRun, t vmtest.TestCase) (outcome, string, error) {
	switch t.Action {
	case "pass":
		if r.Verdict.Kind != vmtest.Pass && r.Verdict.Kind != vmtest.Fail && len(r.Tests) == 1 {
			return bad, r.Verdict.String(), nil // a splat, say
		}
		return good, "passed", nil
	case "skip":
		return skipped, "the test was skipped", nil
	}
	if t.Reason != "" {
		return bad, "failed: " + t.Reason, nil
	}
	return bad, "failed", nil
}

// exactly makes a -test.run or -test.bench pattern of a name, level by level.
func exactly(name, prefix string) string {
	if name == "" {
		return ""
	}
	if !strings.HasPrefix(name, prefix) {
		name = prefix + name
	}
	levels := strings.Split(name, "/")
	for i, l := range levels {
		levels[i] = "^" + regexp.QuoteMeta(l) + "$"
	}
	return strings.Join(levels, "/")
}

// judgeBenchmark measures, and compares with the base.
func (b *bisection) judgeBenchmark(ctx context.Context, c *cell) (outcome, string, error) {
	base, unit, err := b.figure(ctx, b.cells[0])
	if err != nil {
		return "", "", err
	}
	if c.patch == 0 {
		return good, results.FormatValue(base, unit) + " " + unit, nil
	}
	v, _, err := b.figure(ctx, c)
	if err != nil {
		return "", "", err
	}
	moved := 100 * (v - base) / math.Abs(base)
	if base == 0 {
		moved = math.Copysign(math.Inf(1), v)
		if v == 0 {
			moved = 0
		}
	}
	detail := fmt.Sprintf("%s %s, %+.2f %% of the base", results.FormatValue(v, unit), unit, moved)
	if math.Abs(moved) > b.cmd.Threshold {
		return bad, detail, nil
	}
	return good, detail, nil
}

// figure is the median of the benchmark on a cell.
func (b *bisection) figure(ctx context.Context, c *cell) (float64, string, error) {
	if len(c.rec.Benchmarks) == 0 {
		if err := b.build(ctx, c); err != nil {
			return 0, "", err
		}
		if err := b.s.measureCell(ctx, c, b.bench); err != nil {
			return 0, "", err
		}
		if !b.s.onlyKnown {
			b.guests += max(1, len(c.rec.QEMU.Seeds))
		}
	}
	m, err := b.metric(c)
	if err != nil {
		return 0, "", err
	}
	sum, ok := results.Summarize(m.Values)
	if !ok {
		return 0, "", fmt.Errorf("benchmark %s: no figures", m.Name)
	}
	return sum.Median, m.Unit, nil
}

// metric is the one figure that the bisection is about.
func (b *bisection) metric(c *cell) (*results.Benchmark, error) {
	var units []string
	for i := range c.rec.Benchmarks {
		units = append(units, c.rec.Benchmarks[i].Unit)
	}
	unit := b.cmd.Unit
	if unit == "" && slices.Contains(units, b.s.series.Headline.Unit) {
		unit = b.s.series.Headline.Unit
	}
	if unit == "" && len(units) == 1 {
		unit = units[0]
	}
	i := slices.Index(units, unit)
	if i < 0 {
		slices.Sort(units)
		return nil, usage("--unit %s: --benchmark %s has figures in %s", unit, b.cmd.Benchmark, strings.Join(slices.Compact(units), ", "))
	}
	return &c.rec.Benchmarks[i], nil
}
