// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/seriesrig/series/results"
	"github.com/seriesrig/series/vmtest"
)

// The modes of measuring.
const (
	modeWall   = "wall"   // the host's clock; several boots would interleave, one boot repeats in itself
	modeIcount = "icount" // the guest's clock counts instructions; one boot a seed, each exact
)

// measureOptions say how benchmarks are run.
type measureOptions struct {
	guestOptions
	mode      string // "": wall where the series wants several CPUs, else icount
	seeds     int    // boots in icount mode, with seeds 1 to K
	count     int    // repetitions within a boot in wall mode
	boots     int    // in wall mode: rounds of interleaved boots; 0: each kernel once
	benchtime string // -test.benchtime
	control   bool   // in icount mode: the first kernel twice
	functions bool   // in icount mode: count by kernel function as well
}

// measure runs the series' benchmarks on each cell.
func (s *session) measure(ctx context.Context, cells []*cell, opts measureOptions) error {
	if len(s.series.Benchmarks) == 0 {
		return nil
	}
	if err := s.mode(&opts); err != nil {
		return err
	}
	cells = slices.DeleteFunc(slices.Clone(cells), func(c *cell) bool { return !c.measured() })
	if opts.boots > 0 && opts.mode == modeWall {
		return s.interleave(ctx, cells, opts)
	}
	st := s.show.stage("bench", len(cells))
	if err := s.measureEach(ctx, st, cells, opts); err != nil {
		st.abort()
		return err
	}
	st.end("%d kernels, %s mode", len(cells), opts.mode)
	return nil
}

// measureEach measures the kernels: what counts instructions side by side, what takes time one after the other.
func (s *session) measureEach(ctx context.Context, st *stage, cells []*cell, opts measureOptions) error {
	if opts.mode == modeIcount {
		return s.measureSeeds(ctx, st, cells, opts)
	}
	for _, c := range cells {
		if c.build == nil {
			continue
		}
		end := st.begin(c.name)
		if err := s.measureCell(ctx, c, opts); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		end("%d figures", figures(c.rec.Benchmarks))
		if err := s.journal.finished("bench", c, !c.worked); err != nil {
			return err
		}
	}
	return nil
}

// mode chooses how to measure where nobody has.
func (s *session) mode(opts *measureOptions) error {
	if opts.mode == "" {
		opts.mode = modeIcount
		if s.series.Guest.CPUs > 1 && !s.series.Guest.Icount {
			opts.mode = modeWall
		}
	}
	if opts.functions && opts.mode == modeWall {
		return usage("--functions is for --mode icount: on several CPUs QEMU does not count exactly")
	}
	if opts.boots > 0 && opts.mode == modeIcount {
		return usage("--boots is for --mode wall: with --mode icount each seed is a boot, and --seeds says how many")
	}
	if opts.mode == modeIcount && s.series.Guest.CPUs > 1 && !s.series.Guest.Icount {
		return usage("--mode icount: %s wants a guest of %d CPUs, and only one CPU can be counted exactly", s.series.ID, s.series.Guest.CPUs)
	}
	return nil
}

func figures(bs []results.Benchmark) int {
	n := 0
	for _, b := range bs {
		n += len(b.Values)
	}
	return n
}

// job is what a guest runs. A benchmark learns from SERIES_MODE what its clock counts.
func (o measureOptions) job() vmtest.Job {
	bench := "."
	if o.run != "" {
		bench = o.run
	}
	args := []string{"-test.run=^$", "-test.bench=" + bench, "-test.benchtime=" + o.benchtime}
	if o.mode == modeWall {
		args = append(args, fmt.Sprintf("-test.count=%d", o.count))
	}
	return vmtest.Job{Args: args, PerTest: o.perTest, Env: []string{"SERIES_MODE=" + o.mode}}
}

// measureCell measures one kernel.
func (s *session) measureCell(ctx context.Context, c *cell, opts measureOptions) error {
	if opts.mode == modeIcount {
		return s.measureSeeds(ctx, nil, []*cell{c}, opts)
	}
	c.rec.Benchmarks, c.rec.Guests = nil, nil
	for _, pkg := range s.series.Benchmarks {
		bin, err := s.testBinary(ctx, c.arch, pkg)
		if err != nil {
			return err
		}
		b, err := s.boot(ctx, c, s.machine(c), opts.job(), bin, opts)
		if err != nil {
			return err
		}
		c.rec.QEMU = b.qemu
		c.rec.Guests = append(c.rec.Guests, b.dir)
		c.rec.Benchmarks = results.Merge(c.rec.Benchmarks, b.bs)
	}
	return c.anyFigures(opts)
}

// anyFigures complains where no package has the benchmark that is asked for.
func (c *cell) anyFigures(opts measureOptions) error {
	if len(c.rec.Benchmarks) == 0 {
		return usage("--run %s: no benchmark of the series matches", opts.run)
	}
	return nil
}

// A booted is what benchmarks showed in one guest.
type booted struct {
	bs   []results.Benchmark
	qemu *results.QEMU
	dir  string // of its logs
}

// boot measures in one guest.
func (s *session) boot(ctx context.Context, c *cell, m vmtest.Machine, job vmtest.Job, bin testBinary, opts measureOptions) (booted, error) {
	how := inOneGuest
	if c.control {
		how.name += " A/A" // kept by itself, though nothing of it differs
	}
	r, err := s.runGuest(ctx, c, m, job, bin, how, opts.again)
	if err != nil {
		return booted{}, err
	}
	if r.Verdict.Kind != vmtest.Pass {
		err := fmt.Errorf("guest: %s (logs in %s)", r.Verdict, r.Dir)
		if r.Verdict.Kind == vmtest.Rig {
			return booted{}, err
		}
		return booted{}, &coded{exitFinding, err}
	}
	for _, t := range r.Tests {
		if opts.require && t.Action == "skip" && !s.series.MaySkip(t.Name, c.patch, c.rec.Config) {
			return booted{}, &coded{exitFinding, fmt.Errorf("%s skipped itself, and no [[skip]] of series.toml says that it may: %s", t.Name, strings.TrimSpace(t.Output))}
		}
	}
	bs, err := results.ParseBenchmarks(strings.NewReader(strings.Join(r.Benchmarks, "\n")+"\n"), r.Log)
	if opts.run != "" && len(r.Benchmarks) == 0 {
		err = nil // what is asked for may be in another package
	}
	bs, _ = takeMarks(bs)
	return booted{bs, &r.QEMU, r.Dir}, err
}
