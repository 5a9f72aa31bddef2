// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/seriesrig/series/results"
)

// addControls adds, for each architecture, the first kernel once more where that is called for: in interleaved boots, and where
// instructions are counted and a control is asked for. What the same build shows against itself is the A/A control. Without it
// nothing is concluded from boots; of instructions it has to be 0 with each seed.
func (s *session) addControls(cells []*cell, opts measureOptions) ([]*cell, error) {
	if len(s.series.Benchmarks) == 0 {
		return cells, nil
	}
	if err := s.mode(&opts); err != nil {
		return cells, err
	}
	if opts.mode == modeWall && opts.boots == 0 || opts.mode == modeIcount && !opts.control {
		return cells, nil
	}
	out := slices.Clone(cells)
	var done []string
	for _, c := range cells {
		if c.build == nil || c.variant != nil || slices.Contains(done, c.arch.Name) {
			continue
		}
		done = append(done, c.arch.Name)
		again := *c
		again.name += " A/A"
		again.control = true
		again.rec = &results.Cell{Arch: c.rec.Arch, Patch: c.rec.Patch, Config: results.ControlConfig + "-aa", ConfigHash: c.rec.ConfigHash,
			ResolvedHash: c.rec.ResolvedHash, Toolchain: c.rec.Toolchain, Build: c.rec.Build}
		out = append(out, &again)
	}
	return out, nil
}

// interleave measures the kernels of each architecture in rounds: each of them is booted once in a round, one after the
// other, so that what drifts on the host is in all of them. The control has the first boot.
func (s *session) interleave(ctx context.Context, cells []*cell, opts measureOptions) error {
	byArch := map[string][]*cell{}
	var order []string
	for _, c := range cells {
		if c.build == nil {
			continue
		}
		c.rec.Benchmarks, c.rec.Guests = nil, nil
		if byArch[c.arch.Name] == nil {
			order = append(order, c.arch.Name)
		}
		byArch[c.arch.Name] = append(byArch[c.arch.Name], c)
	}
	st := s.show.stage("bench", opts.boots*len(cells))
	for _, arch := range order {
		group := byArch[arch]
		slices.SortStableFunc(group, func(a, b *cell) int {
			switch {
			case a.control == b.control:
				return 0
			case a.control:
				return -1
			}
			return 1
		})
		for round := 1; round <= opts.boots; round++ {
			for _, c := range group {
				end := st.begin(c.name)
				if err := s.measureRound(ctx, c, opts, round); err != nil {
					st.abort()
					return fmt.Errorf("%s: boot %d: %w", c.name, round, err)
				}
				end("boot %d of %d", round, opts.boots)
			}
		}
		for _, c := range group {
			if c.control {
				continue
			}
			if err := s.journal.finished("bench", c, !c.worked); err != nil {
				st.abort()
				return err
			}
		}
	}
	st.end("%d kernels, %d interleaved boots each", len(cells), opts.boots)
	return nil
}

// measureRound boots a kernel for the benchmarks of one round.
func (s *session) measureRound(ctx context.Context, c *cell, opts measureOptions, round int) error {
	for _, pkg := range s.series.Benchmarks {
		bin, err := s.testBinary(ctx, c.arch, pkg)
		if err != nil {
			return err
		}
		job := opts.job()
		// Each boot is kept by itself, and so is the control's of the same kernel.
		job.Env = append(job.Env, fmt.Sprintf("SERIES_BOOT=%d", round))
		if c.control {
			job.Env = append(job.Env, "SERIES_CONTROL=1")
		}
		b, err := s.boot(ctx, c, s.machine(c), job, bin, opts)
		if err != nil {
			return err
		}
		c.rec.QEMU = b.qemu
		c.rec.Guests = append(c.rec.Guests, b.dir)
		results.SetBoot(b.bs, round)
		c.rec.Benchmarks = results.Merge(c.rec.Benchmarks, b.bs)
	}
	return nil
}
