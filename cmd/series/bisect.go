// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/seriesrig/series/kernel"
	"github.com/seriesrig/series/patches"
)

// bisectCmd finds the patch at which something changes. Its exit status is 1 where a patch breaks what it was asked about, or
// where that is broken at the last patch anyway; 0 where nothing is broken in the end; 3 where the base or the last patch
// cannot be judged.
type bisectCmd struct {
	ID        string        `arg:"" help:"The series."`
	Test      string        `placeholder:"NAME" help:"A test of the series' packages, or a subtest: TestA/b. Which patch first makes it fail?"`
	Warning   string        `placeholder:"TEXT" help:"A text in a compiler's warning. Which patch first brings one?"`
	Benchmark string        `placeholder:"NAME" help:"A benchmark. Which patch first moves its figure off the base's?"`
	Unit      string        `placeholder:"UNIT" help:"Of the benchmark's figure: insns/op, sec/op (default: the only one it has, or the series' headline's)."`
	Threshold float64       `default:"2" placeholder:"PERCENT" help:"How far off the base a benchmark's median has to be (default: ${default})."`
	Mended    bool          `help:"Ask the opposite: which patch first makes the test pass, or the warning go."`
	Arch      string        `placeholder:"A" help:"Architecture (default: the first of the series')."`
	Config    string        `default:"release" help:"Configuration: release, or a variant that the series names (default: ${default})."`
	Repeat    int           `default:"1" placeholder:"N" help:"Guests that a test has to pass in; one failure is enough. For a test that fails sometimes."`
	Package   []string      `placeholder:"PKG" help:"Go packages to look for the test in instead of the ones that the series names."`
	PerTest   time.Duration `default:"60s" help:"Limit for each top-level test, in the guest's time (default: ${default})."`
	benchFlags
}

func (c *bisectCmd) check() error {
	asked := 0
	for _, s := range []string{c.Test, c.Warning, c.Benchmark} {
		if s != "" {
			asked++
		}
	}
	switch {
	case asked != 1:
		return usage("bisect: one of --test, --warning and --benchmark says what to look for")
	case c.Repeat < 1 || c.Repeat > 1000:
		return usage("--repeat %d: want 1 to 1000", c.Repeat)
	case c.Repeat > 1 && c.Test == "":
		return usage("--repeat is for --test; a benchmark has --seeds and --count")
	case c.Mended && c.Benchmark != "":
		return usage("--mended: a benchmark is not broken; --benchmark finds the first patch that moves it either way")
	case !(c.Threshold > 0): // not a number, too
		return usage("--threshold %v: want more than 0 %%", c.Threshold)
	}
	return nil
}

func (c *bisectCmd) Run(ctx context.Context, a *app) error {
	if err := c.check(); err != nil {
		return err
	}
	opts, err := c.options(guestOptions{run: exactly(c.Benchmark, "Benchmark"), perTest: max(c.PerTest, 10*time.Minute)})
	if err != nil {
		return err
	}
	var b *bisection
	s, err := a.open(ctx, c.ID, "bisect", func(s *session) (err error) {
		if len(c.Package) > 0 {
			s.series.Tests, s.series.Benchmarks = c.Package, c.Package
		}
		b, err = c.bisection(s, opts)
		return err
	})
	if err != nil {
		return err
	}
	defer s.Close()
	b.builder = &kernel.Builder{Store: s.store}
	b.stage = s.show.stage("bisect", len(b.cells))
	look := &search{last: len(s.series.Patches), from: good, probe: b.probe}
	if c.Mended {
		look.from = bad
	}
	r, err := look.run(ctx)
	if err != nil {
		b.stage.abort()
		return err
	}
	b.stage.end("%d kernels built, %d guests", b.built, b.guests)
	s.show.wait()
	rep := b.report(c, r)
	if a.cli.JSON {
		err = a.printJSON(rep)
	} else {
		err = rep.print(a.stdout)
	}
	if err != nil {
		return err
	}
	return rep.status()
}

// A bisectReport is what bisect prints.
type bisectReport struct {
	Series    string  `json:"series"`
	Revision  int     `json:"revision"`
	Arch      string  `json:"arch"`
	Config    string  `json:"config"`
	Test      string  `json:"test,omitempty"`
	Warning   string  `json:"warning,omitempty"`
	Benchmark string  `json:"benchmark,omitempty"`
	Threshold float64 `json:"threshold_percent,omitempty"`
	Mended    bool    `json:"mended"` // what was sought is the patch that mends
	searchResult
	Patches []bisectPatch `json:"patches"` // that it is: one, or the range
	Builds  int           `json:"builds"`  // kernels that were built for it
	Guests  int           `json:"guests"`  // that were booted for it

	tip outcome
}

type bisectPatch struct {
	N       int    `json:"n"`
	File    string `json:"file"`
	Subject string `json:"subject"`
}

func (b *bisection) report(c *bisectCmd, r *searchResult) *bisectReport {
	rep := &bisectReport{Series: b.s.series.ID, Revision: b.s.series.Revision, Arch: b.cells[0].arch.Name, Config: b.cells[0].rec.Config,
		Test: c.Test, Warning: c.Warning, Benchmark: c.Benchmark, Mended: c.Mended, searchResult: *r, Patches: []bisectPatch{},
		Builds: b.built, Guests: b.guests}
	if c.Benchmark != "" {
		rep.Threshold = c.Threshold
	}
	for _, p := range r.Probes {
		if p.Patch == len(b.cells)-1 {
			rep.tip = p.Outcome
		}
	}
	last := max(r.First, r.Last)
	if r.First > 0 {
		for _, p := range b.s.series.Patches[r.First-1 : last] {
			rep.Patches = append(rep.Patches, named(p))
		}
	}
	return rep
}

func named(p *patches.Patch) bisectPatch {
	return bisectPatch{N: p.Number, File: filepath.Base(p.File), Subject: p.Subject}
}

// status is the exit status that goes with the report.
func (r *bisectReport) status() error {
	switch {
	case r.Result == resultUnknown:
		return said{exitRig}
	case r.tip == bad:
		return said{exitFinding}
	}
	return nil
}

func (r *bisectReport) print(out io.Writer) error {
	for _, p := range r.Probes {
		known := ""
		if p.Known {
			known = ", known"
		}
		if _, err := fmt.Fprintf(out, "patch %-3d %-8s %s%s\n", p.Patch, p.Outcome, p.Detail, known); err != nil {
			return err
		}
	}
	for _, n := range r.Notes {
		fmt.Fprintln(out, n)
	}
	_, err := fmt.Fprintln(out, r.verdict())
	for _, p := range r.Patches {
		fmt.Fprintf(out, "  %s  %s\n", p.File, p.Subject)
	}
	return err
}

// verdict is the answer in a sentence.
func (r *bisectReport) verdict() string {
	what, breaks, mends := r.Test, "breaks", "mends"
	switch {
	case r.Warning != "":
		what, breaks, mends = fmt.Sprintf("a warning with %q", r.Warning), "brings", "takes away"
	case r.Benchmark != "":
		what, breaks, mends = r.Benchmark, "moves", "moves"
	}
	does := breaks
	if r.Mended {
		does = mends
	}
	where := fmt.Sprintf("on %s", r.Arch)
	if r.Config != patches.Release {
		where += " " + r.Config
	}
	switch r.Result {
	case resultFound:
		return fmt.Sprintf("patch %d %s %s %s", r.First, does, what, where)
	case resultRange:
		return fmt.Sprintf("one of the patches %d to %d %s %s %s; the kernels between cannot be judged", r.First, r.Last, does, what, where)
	case resultNothing:
		return fmt.Sprintf("%s: the base and the last patch are both %s %s; no patch of the series is to be found", what, r.tip, where)
	case resultOther:
		if r.Mended {
			return fmt.Sprintf("%s: good on the base and bad at the last patch %s; leave --mended out to find the patch that %s it", what, where, breaks)
		}
		return fmt.Sprintf("%s: bad on the base and good at the last patch %s; --mended finds the patch that %s it", what, where, mends)
	}
	return fmt.Sprintf("%s: the base or the last patch cannot be judged %s", what, where)
}
