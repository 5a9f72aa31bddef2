// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/seriesrig/series/results"
	"github.com/seriesrig/series/vmtest"
)

// A seeded is a kernel that is measured in guests that count instructions: one for each seed and package of benchmarks.
// What they come to is put together in the order of seeds, whichever ended first.
type seeded struct {
	*cell
	guests []sample
	left   atomic.Int32
	begun  atomic.Bool
	end    func(format string, args ...any)
}

// A sample is what one guest measured.
type sample struct {
	seed      uint64
	bin       testBinary
	bs        []results.Benchmark
	qemu      *results.QEMU
	dir       string                        // of the guest's logs
	functions map[string]map[string]float64 // of benchmarks; nil where they were not counted
}

// measureSeeds boots each kernel with each seed, as many guests at a time as the host has cores. Each of them counts its own
// instructions, on one CPU, so that it shows the same figures beside others as it does alone (TestRealIcountSideBySide).
func (s *session) measureSeeds(ctx context.Context, st *stage, cells []*cell, opts measureOptions) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.NumCPU())
	for _, c := range cells {
		if c.build == nil {
			continue
		}
		k, err := s.seeded(ctx, c, opts)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		for i := range k.guests {
			g.Go(func() error {
				if err := ctx.Err(); err != nil {
					return err
				}
				if !k.begun.Swap(true) && st != nil {
					k.end = st.begin(c.name)
				}
				if err := s.sample(ctx, c, &k.guests[i], opts); err != nil {
					return fmt.Errorf("%s: seed %d: %w", c.name, k.guests[i].seed, err)
				}
				if k.left.Add(-1) > 0 {
					return nil
				}
				k.gather()
				if err := c.anyFigures(opts); err != nil {
					return fmt.Errorf("%s: %w", c.name, err)
				}
				if st == nil {
					return nil
				}
				k.end("%d figures", figures(c.rec.Benchmarks))
				return s.journal.finished("bench", c, !c.worked)
			})
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return attribute(cells)
}

// seeded lists the guests of a kernel.
func (s *session) seeded(ctx context.Context, c *cell, opts measureOptions) (*seeded, error) {
	k := &seeded{cell: c}
	for _, pkg := range s.series.Benchmarks {
		bin, err := s.testBinary(ctx, c.arch, pkg)
		if err != nil {
			return nil, err
		}
		for seed := range uint64(opts.seeds) {
			k.guests = append(k.guests, sample{seed: seed + 1, bin: bin})
		}
	}
	k.left.Store(int32(len(k.guests)))
	return k, nil
}

// sample measures in one guest.
func (s *session) sample(ctx context.Context, c *cell, g *sample, opts measureOptions) error {
	m := s.machine(c)
	m.Icount = &vmtest.Icount{Seed: g.seed, Count: opts.functions}
	m.CPUs = 1
	b, err := s.boot(ctx, c, m, opts.job(), g.bin, opts)
	if err != nil {
		return err
	}
	g.bs, g.qemu, g.dir = results.CountInstructions(b.bs), b.qemu, b.dir
	results.SetSeed(g.bs, g.seed)
	if opts.functions {
		g.functions, err = readFunctions(b.dir)
	}
	return err
}

// gather makes the kernel's figures of its guests'.
func (k *seeded) gather() {
	k.rec.Benchmarks, k.rec.Guests, k.functions = nil, nil, map[string]results.FunctionCounts{}
	var seeds []uint64
	for _, g := range k.guests {
		k.rec.Benchmarks = results.Merge(k.rec.Benchmarks, g.bs)
		k.rec.QEMU = g.qemu
		k.rec.Guests = append(k.rec.Guests, g.dir)
		for name, functions := range g.functions {
			k.functions[name] = append(k.functions[name], functions)
		}
		if !slices.Contains(seeds, g.seed) {
			seeds = append(seeds, g.seed)
		}
	}
	if k.rec.QEMU != nil {
		k.rec.QEMU.Seeds = seeds
	}
}
