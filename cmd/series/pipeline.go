// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/seriesrig/series/kernel"
	"github.com/seriesrig/series/kernel/kconfig"
	"github.com/seriesrig/series/linker"
	"github.com/seriesrig/series/patches"
	"github.com/seriesrig/series/results"
)

// releaseConfig is the name of the one configuration there is so far.
const releaseConfig = "release"

// A cell is one kernel on its way: an architecture, and a prefix of the series. What has been learned about it is in its
// record.
type cell struct {
	arch  kernel.Arch
	patch int
	name  string // "ppc64 2/3"
	build *kernel.Build
	rec   *results.Cell
}

// cells makes the cells of a run, ordered by architecture and patch.
func (s *session) cells(arches []kernel.Arch, prefixes []int) []*cell {
	var cells []*cell
	for _, arch := range arches {
		for _, n := range prefixes {
			cells = append(cells, &cell{arch: arch, patch: n, name: s.name(arch, n),
				rec: &results.Cell{Arch: arch.Name, Patch: n, Config: releaseConfig}})
		}
	}
	return cells
}

// fragments reads the configuration of an architecture: base, the architecture's own, and the series' concerns.
func (s *session) fragments(arch kernel.Arch) ([]*kconfig.Fragment, error) {
	var all []*kconfig.Fragment
	for _, name := range append([]string{"base", arch.Name}, s.series.Config...) {
		f, err := kconfig.ParseFile(filepath.Join(s.app.configs(), name+".config"))
		if err != nil {
			return nil, &coded{exitUsage, err}
		}
		all = append(all, f)
	}
	return all, nil
}

// build builds the cells: the architectures side by side, each one patch after the other through one tree, so that kbuild
// compiles only what a patch changed. A kernel that does not build ends its architecture: later patches are not judged.
func (s *session) build(ctx context.Context, cells []*cell) error {
	st := s.show.stage("build", len(cells))
	builder := &kernel.Builder{Store: s.store}
	byArch := map[string][]*cell{}
	for _, c := range cells {
		byArch[c.arch.Name] = append(byArch[c.arch.Name], c)
	}
	var (
		mu     sync.Mutex
		broken []error
		built  int
	)
	g, ctx := errgroup.WithContext(ctx)
	for _, walk := range byArch {
		g.Go(func() error {
			fragments, err := s.fragments(walk[0].arch)
			if err != nil {
				return err
			}
			for i, c := range walk {
				end := st.begin(c.name)
				err := s.buildOne(ctx, builder, c, fragments)
				var bad *kernel.BuildError
				if errors.As(err, &bad) {
					end("does not build: %v", err)
					mu.Lock()
					broken = append(broken, fmt.Errorf("%s: %w", c.name, err))
					mu.Unlock()
					for _, later := range walk[i+1:] {
						st.begin(later.name)("not judged: %s does not build", c.name)
					}
					return nil
				}
				if err != nil {
					return fmt.Errorf("%s: %w", c.name, err)
				}
				if i > 0 && walk[i-1].build != nil {
					for _, w := range kernel.NewWarnings(walk[i-1].build.Warnings, c.build.Warnings) {
						c.rec.Build.WarningsNew = append(c.rec.Build.WarningsNew, w.String())
					}
				}
				if c.build.Cached {
					end("known: %.12s", c.build.ID)
				} else {
					mu.Lock()
					built++
					mu.Unlock()
					end("%.12s, %d warnings", c.build.ID, len(c.build.Warnings))
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		st.abort()
		return err
	}
	st.end("%d built, %d known", built, len(cells)-built-len(broken))
	return errors.Join(broken...)
}

func (s *session) buildOne(ctx context.Context, builder *kernel.Builder, c *cell, fragments []*kconfig.Fragment) error {
	b, err := builder.Build(ctx, kernel.Job{
		Source:    s.source,
		Files:     s.applied.Files(c.patch),
		Arch:      c.arch,
		Config:    releaseConfig,
		Fragments: fragments,
	})
	var bad *kernel.BuildError
	if errors.As(err, &bad) {
		c.rec.Build = &results.Build{Log: bad.Log, WarningsNew: []string{}, Errors: []string{}}
		for _, e := range bad.Errors {
			c.rec.Build.Errors = append(c.rec.Build.Errors, e.String())
		}
		return err
	}
	if err != nil {
		return err
	}
	c.build = b
	c.rec.Build = &results.Build{ID: b.ID, Image: b.Image, Log: b.Log, Cached: b.Cached, Seconds: b.Seconds,
		Warnings: len(b.Warnings), WarningsNew: []string{}, Errors: []string{}}
	return nil
}

// verify proves what can be read off the built kernels, and returns how many proofs failed.
func (s *session) verify(ctx context.Context, cells []*cell) (failed int, err error) {
	st := s.show.stage("verify", len(cells))
	total := 0
	for _, c := range cells {
		if err := ctx.Err(); err != nil {
			st.abort()
			return 0, err
		}
		if c.build == nil {
			continue
		}
		end := st.begin(c.name)
		proofs, err := linker.Prove(c.build.Image, s.want(c))
		if err != nil {
			st.abort()
			return 0, err
		}
		bad := ""
		c.rec.Proofs = nil
		for _, p := range proofs {
			total++
			c.rec.Proofs = append(c.rec.Proofs, results.Proof(p))
			if !p.Pass {
				failed++
				bad = p.Name + ": " + p.Detail
			}
		}
		if bad != "" {
			end("failed: %s", bad)
		} else {
			end("%d proofs", len(proofs))
		}
	}
	st.end("%d of %d proofs hold", total-failed, total)
	return failed, nil
}

// want is what a cell's vmlinux has to be.
func (s *session) want(c *cell) linker.Want {
	w := linker.Want{Machine: c.arch.Machine, ByteOrder: elf.ELFDATA2LSB}
	if c.arch.Order == binary.BigEndian {
		w.ByteOrder = elf.ELFDATA2MSB
	}
	for _, sym := range s.series.Symbols {
		if len(sym.Arches) > 0 && !slices.Contains(sym.Arches, c.arch.Name) {
			continue
		}
		if c.patch >= sym.From {
			w.Present = append(w.Present, sym.Name)
		} else {
			w.Absent = append(w.Absent, sym.Name)
		}
	}
	return w
}

// expected tells whether a test's failure on a kernel is known beforehand.
func expected(s *patches.Series, test string, patch int) bool {
	return slices.ContainsFunc(s.Expect, func(e patches.Expect) bool {
		return patch < e.Mended && (test == e.Test || len(test) > len(e.Test) && test[:len(e.Test)+1] == e.Test+"/")
	})
}
