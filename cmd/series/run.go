// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/seriesrig/series/internal/run"
)

// runCmd walks the whole way.
type runCmd struct {
	ID      string        `arg:"" help:"The series."`
	Arch    []string      `placeholder:"A" help:"Architectures (default: the series')."`
	Config  []string      `default:"release" placeholder:"NAME" help:"Configurations: release, variants that the series names, or all (default: ${default})."`
	Each    bool          `negatable:"" default:"true" help:"Every prefix of the series, as a posting claims it; --no-each takes the base and the last patch."`
	Quick   bool          `help:"A single repetition of each benchmark: to see that it works, not to be quoted."`
	Again   bool          `help:"Boot even where the outcome is known from an earlier run."`
	Fresh   *bool         `negatable:"" help:"Boot a guest for all tests of a package; --no-fresh restores one from a snapshot for each test (default: what the series says, else --no-fresh)."`
	Extra   bool          `help:"Also compile the files that patches touch with W=1, and sparse where it is installed, and tell what is new."`
	Require bool          `env:"SERIES_REQUIRE" help:"A test that skips itself is a finding, but where a [[skip]] of series.toml says that it may."`
	Package []string      `placeholder:"PKG" help:"Go packages to measure instead of the ones that the series names. All tests are run; no thread is written, as it would lack the rest."`
	PerTest time.Duration `default:"60s" help:"Limit for each top-level test, in the guest's time (default: ${default})."`
	benchFlags
	junitFlag
	Record string `placeholder:"DIR" help:"Also write the record and the figures in Go's benchmark format there."`
	Output string `short:"o" placeholder:"MBOX" help:"Where the thread goes (default: beside the record in the work folder)."`
}

func (c *runCmd) Run(ctx context.Context, a *app) error {
	started := time.Now()
	tests := guestOptions{again: c.Again, perTest: c.PerTest, require: c.Require}
	bench := c.benchFlags
	if c.Quick {
		bench.Count, bench.Seeds = 1, 1
	}
	opts, err := bench.options(guestOptions{again: c.Again, perTest: max(c.PerTest, 10*time.Minute), require: c.Require})
	if err != nil {
		return err
	}
	var cells []*cell
	s, err := a.open(ctx, c.ID, "run", func(s *session) (err error) {
		if cells, err = s.chooseEnds(c.Arch, c.Config, c.Each); err != nil {
			return err
		}
		thread := output{}
		if c.Output != "" {
			thread = output{"--output", filepath.Dir(c.Output)}
		}
		return haveRoom(c.junitFlag.output(), output{"--record", c.Record}, thread)
	})
	if err != nil {
		return err
	}
	defer s.Close()
	s.extra = c.Extra
	if len(c.Package) > 0 {
		s.series.Benchmarks = c.Package
	}
	if bench.Control {
		controls, err := s.controls(cells)
		if err != nil {
			return err
		}
		cells = append(cells, controls...)
	}
	tests.fresh = s.fresh(c.Fresh)
	if err := s.beginRun(cells, fmt.Sprintf("%+v %+v %q", tests, opts, s.series.Benchmarks)); err != nil {
		return err
	}
	if err := s.compile(ctx, cells, slices.Concat(s.series.Tests, s.series.Benchmarks)...); err != nil {
		return err
	}
	buildErr := s.build(ctx, cells)
	if buildErr != nil && !isFinding(buildErr) {
		return buildErr
	}
	if _, err := s.verify(ctx, cells); err != nil {
		return err
	}
	findings, err := s.test(ctx, cells, tests)
	if err != nil {
		return err
	}
	// A kernel with a finding is not worth measuring, and a thread that would claim otherwise is not worth writing.
	if buildErr == nil && findings == 0 {
		if cells, err = s.addControls(cells, opts); err != nil {
			return err
		}
		if err := s.measure(ctx, cells, opts); err != nil {
			return err
		}
	}
	r, err := s.record(started, cells)
	if err != nil {
		return err
	}
	if err := c.junitFlag.write(r); err != nil {
		return err
	}
	if err := s.save(r, c.Record); err != nil {
		return err
	}
	if buildErr == nil && r.Verdict == "pass" && len(c.Package) == 0 {
		if err := s.writeThread(ctx, r, c.Output); err != nil {
			return err
		}
	}
	if err := s.journal.end(r); err != nil {
		return err
	}
	if err := s.finish(r, buildErr, append(append([]string{"verdicts"}, s.benchmarkTables(r)...), "stages")...); err != nil {
		return err
	}
	if !a.cli.JSON {
		if r.Mail != nil {
			fmt.Fprintf(a.stdout, "\nthread   %s (%d messages)\n", r.Mail.Path, r.Mail.Messages)
		}
		for _, path := range r.Results {
			fmt.Fprintf(a.stdout, "results  %s\n", path)
		}
		fmt.Fprintf(a.stdout, "took     %s\n", ownShare(time.Since(started)))
	}
	return nil
}

// ownShare tells how long a run took, and how much of that was the program's own work: the time in which nothing that it
// had started was running, and the CPU time of its own process, part of which is spent beside its children.
func ownShare(took time.Duration) string {
	own := took - run.Busy()
	var self syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &self)
	cpu := time.Duration(self.Utime.Nano() + self.Stime.Nano())
	return fmt.Sprintf("%s; %s (%.1f %%) of it with no make, gcc or QEMU running; %s of CPU time (%.1f %%) in series itself",
		short(took), short(own), 100*own.Seconds()/took.Seconds(), short(cpu), 100*cpu.Seconds()/took.Seconds())
}
