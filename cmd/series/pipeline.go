// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
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

// A cell is one kernel on its way: an architecture, a configuration, and a prefix of the series. What has been learned
// about it is in its record.
type cell struct {
	arch    kernel.Arch
	variant *patches.Variant // nil: the release configuration
	patch   int
	name    string // "ppc64 2/3", "ppc64 2/3 debug"
	build   *kernel.Build
	rec     *results.Cell
	control bool          // the same kernel as another cell, measured once more
	worked  bool          // a guest was booted for it
	unkept  bool          // and what came of it depends on how busy the host was: another run boots again
	extra   *kernel.Extra // what W=1 and sparse say of the files that its patch and the next one touch

	functions map[string]results.FunctionCounts // of benchmarks, where they were counted

	sections  []linker.Proof        // of the sections that the series promises
	explained []*linker.Explanation // what these proofs come from
}

// cells makes the cells of a run, ordered by architecture, configuration and patch.
func (s *session) cells(arches []kernel.Arch, variants []*patches.Variant, prefixes []int) []*cell {
	var cells []*cell
	for _, arch := range arches {
		for _, v := range variants {
			if v != nil && !v.On(arch.Name) {
				continue
			}
			for _, n := range prefixes {
				c := &cell{arch: arch, variant: v, patch: n, name: s.name(arch, n),
					rec: &results.Cell{Arch: arch.Name, Patch: n, Config: patches.Release}}
				if v != nil {
					c.name += " " + v.Name
					c.rec.Config = v.Name
				}
				cells = append(cells, c)
			}
		}
	}
	return cells
}

// tested tells whether the series' tests run on the cell.
func (c *cell) tested() bool { return c.variant == nil || c.variant.Test }

// fragments reads the configuration of a cell: base, the architecture's own, the series' concerns, and what its variant
// puts on top. A concern may have settings for one architecture, in NAME.ARCH.config beside NAME.config; NAME@N is one from
// patch N on, which brings its symbols.
func (s *session) fragments(c *cell) ([]*kconfig.Fragment, error) {
	names := append([]string{"base", c.arch.Name}, s.series.Config...)
	if c.variant != nil {
		names = append(names, c.variant.Config...)
	}
	var all []*kconfig.Fragment
	for _, name := range names {
		name, from := patches.Concern(name)
		if c.patch < from {
			continue
		}
		f, err := kconfig.ParseFile(filepath.Join(s.app.configs(), name+".config"))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, usage("%w (--configs names the folder with the fragments)", err)
		}
		if err != nil {
			return nil, &coded{exitUsage, err}
		}
		all = append(all, f)
		own := filepath.Join(s.app.configs(), name+"."+c.arch.Name+".config")
		switch f, err := kconfig.ParseFile(own); {
		case err == nil:
			all = append(all, f)
		case !errors.Is(err, fs.ErrNotExist):
			return nil, &coded{exitUsage, err}
		}
	}
	if c.variant != nil && len(c.variant.Off) > 0 {
		off := &kconfig.Fragment{Name: "variant " + c.variant.Name}
		for _, symbol := range c.variant.Off {
			off.Settings = append(off.Settings, kconfig.Setting{Symbol: symbol, Value: "n", File: off.Name})
		}
		all = append(all, off)
	}
	return all, nil
}

// objects names the object folder of a cell. A variant that is only built uses the release's: they differ in a few
// symbols, and kbuild compiles again what depends on those.
func (c *cell) objects() string {
	if c.variant != nil && c.variant.Test {
		return c.variant.Name
	}
	return patches.Release
}

// files is what the cell's kernel has changed: the variant's own patch, and below it the series up to the cell's.
func (s *session) files(c *cell) (map[string]*patches.File, error) {
	if c.variant == nil || c.variant.Patch == nil {
		return s.applied.Files(c.patch), nil
	}
	r, err := patches.Apply(s.source, append([]*patches.Patch{c.variant.Patch}, s.series.Patches...))
	if err != nil {
		return nil, fmt.Errorf("variant %s: %w", c.variant.Name, err)
	}
	return r.Files(c.patch + 1), nil
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
	w := &walk{s: s, st: st, builder: builder}
	g, ctx := errgroup.WithContext(ctx)
	for _, cells := range byArch {
		g.Go(func() error {
			for len(cells) > 0 {
				n := 1
				for n < len(cells) && cells[n].variant == cells[0].variant {
					n++
				}
				if err := w.run(ctx, cells[:n]); err != nil {
					return err
				}
				cells = cells[n:]
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		st.abort()
		return err
	}
	st.end("%d built, %d known", w.built, w.known)
	return errors.Join(w.broken...)
}

// A walk builds cells and keeps count; architectures use it side by side.
type walk struct {
	s       *session
	st      *stage
	builder *kernel.Builder

	mu           sync.Mutex
	broken       []error
	built, known int
}

// run builds the cells of one architecture and configuration, one patch after the other.
func (w *walk) run(ctx context.Context, cells []*cell) error {
	for i, c := range cells {
		end := w.st.begin(c.name)
		err := w.s.buildOne(ctx, w.builder, c)
		var bad *kernel.BuildError
		if errors.As(err, &bad) {
			end("does not build: %v", err)
			w.mu.Lock()
			w.broken = append(w.broken, fmt.Errorf("%s: %w", c.name, err))
			w.mu.Unlock()
			for _, later := range cells[i+1:] {
				w.st.begin(later.name)("not judged: %s does not build", c.name)
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		if i > 0 {
			for _, d := range kernel.NewWarnings(cells[i-1].build.Warnings, c.build.Warnings) {
				c.rec.Build.WarningsNew = append(c.rec.Build.WarningsNew, d.String())
			}
		}
		if err := w.s.compare(ctx, w.builder, cells, i); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		if err := w.s.journal.finished("build", c, c.build.Cached); err != nil {
			return err
		}
		w.mu.Lock()
		if c.build.Cached {
			w.known++
		} else {
			w.built++
		}
		w.mu.Unlock()
		if c.build.Cached {
			end("known: %.12s", c.build.ID)
		} else {
			end("%.12s, %d warnings", c.build.ID, len(c.build.Warnings))
		}
	}
	return nil
}

// job is what is built for a cell.
func (s *session) job(c *cell) (kernel.Job, error) {
	fragments, err := s.fragments(c)
	if err != nil {
		return kernel.Job{}, err
	}
	files, err := s.files(c)
	return kernel.Job{
		Source:    s.source,
		Files:     files,
		Arch:      c.arch,
		Config:    c.objects(),
		Fragments: fragments,
		Targets:   s.targets(c),
	}, err
}

func (s *session) buildOne(ctx context.Context, builder *kernel.Builder, c *cell) error {
	job, err := s.job(c)
	if err != nil {
		return err
	}
	b, err := builder.Build(ctx, job)
	var bad *kernel.BuildError
	if errors.As(err, &bad) {
		c.rec.Build = &results.Build{Log: bad.Log, WarningsNew: []string{}, Errors: []string{}}
		for _, e := range bad.Errors {
			c.rec.Build.Errors = append(c.rec.Build.Errors, e.String())
		}
		if len(bad.Errors) == 0 {
			c.rec.Build.Errors = append(c.rec.Build.Errors, bad.Err.Error())
		}
		return err
	}
	if err != nil {
		return err
	}
	c.build = b
	c.rec.ConfigHash, c.rec.ResolvedHash = configHash(c.arch, job.Fragments), sha(b.Spec.Config)
	c.rec.Toolchain = &results.Toolchain{ID: sha(b.Spec.Toolchain), Compiler: b.Toolchain}
	c.rec.Build = &results.Build{ID: b.ID, Image: b.Image, Log: b.Log, Cached: b.Cached, Seconds: b.Seconds,
		Warnings: len(b.Warnings), WarningsNew: []string{}, Errors: []string{}}
	return s.prove(ctx, c)
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
		proofs = append(proofs, c.sections...)
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
		if !sym.On(c.arch.Name, c.rec.Config) {
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
