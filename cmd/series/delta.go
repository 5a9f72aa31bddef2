// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/seriesrig/series/internal/cache"
	"github.com/seriesrig/series/kernel"
	"github.com/seriesrig/series/kernel/delta"
	"github.com/seriesrig/series/results"
)

// deltaCmd tells what each patch did to the build.
type deltaCmd struct {
	ID      string   `arg:"" help:"The series."`
	Arch    []string `placeholder:"A" help:"Architectures (default: the series')."`
	Config  []string `default:"release" placeholder:"NAME" help:"Configurations: release, variants that the series names, or all (default: ${default})."`
	Whole   bool     `help:"Compare the last patch with the base, instead of each patch with the one before."`
	NoExtra bool     `help:"Only what a plain build says: no W=1 and no sparse for the files that the patches touch."`
}

func (c *deltaCmd) Run(ctx context.Context, a *app) error {
	started := time.Now()
	var cells []*cell
	s, err := a.open(ctx, c.ID, "delta", func(s *session) (err error) {
		cells, err = s.chooseEnds(c.Arch, c.Config, !c.Whole)
		return err
	})
	if err != nil {
		return err
	}
	defer s.Close()
	s.extra = !c.NoExtra
	buildErr := s.build(ctx, cells)
	if buildErr != nil && !isFinding(buildErr) {
		return buildErr
	}
	r, err := s.record(started, cells)
	if err != nil {
		return err
	}
	return s.finish(r, buildErr, "size", "symbols")
}

// printNews prints what builds warn of for the first time, each line once, with the architectures that say it, and how
// configuration and sections changed. Errors have been shown when they came.
func printNews(out io.Writer, r *results.Run) {
	var lines []string
	for _, n := range results.NewsOf(r) {
		if !n.Error {
			lines = append(lines, fmt.Sprintf("patch %d: %s", n.Patch, n))
		}
	}
	if lines = append(lines, results.BuildNews(r)...); len(lines) > 0 {
		fmt.Fprintln(out, "\n"+strings.Join(lines, "\n"))
	}
}

// compare puts down what the patches between a cell and the one before did to the build. It is called when the cell has
// just been built, while its tree is at hand.
func (s *session) compare(ctx context.Context, builder *kernel.Builder, cells []*cell, i int) error {
	c := cells[i]
	if s.extra {
		// Also the files of the next patch, which wants to know what was said before it.
		files, err := s.linked(ctx, c, append(s.touched(cells, i), s.touched(cells, i+1)...))
		if err != nil {
			return err
		}
		job, err := s.job(c)
		if err != nil {
			return err
		}
		if c.extra, err = builder.Extra(ctx, job, files); err != nil {
			return err
		}
	}
	if i == 0 {
		return nil
	}
	before := cells[i-1]
	d, err := s.deltaOf(ctx, before, c)
	if err != nil {
		return err
	}
	d.Since = before.patch
	if d.Config, err = configChange(before.build, c.build); err != nil {
		return err
	}
	if c.extra != nil && before.extra != nil {
		d.Extra = newExtra(s.touched(cells, i), before.extra, c.extra)
	}
	c.rec.Delta = d
	return nil
}

// configChange lists the lines that two resolved configurations do not share.
func configChange(before, after *kernel.Build) ([]string, error) {
	if before.Spec.Config == after.Spec.Config {
		return nil, nil
	}
	a, err := os.ReadFile(before.Config)
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(after.Config)
	if err != nil {
		return nil, err
	}
	var all []string
	missing := func(sign string, from, in []byte) {
		have := map[string]bool{}
		for line := range strings.Lines(string(in)) {
			have[strings.TrimSpace(line)] = true
		}
		for line := range strings.Lines(string(from)) {
			line = strings.TrimSpace(line)
			symbol := strings.HasPrefix(line, "CONFIG_") || strings.HasPrefix(line, "# CONFIG_")
			if symbol && !have[line] {
				all = append(all, sign+line)
			}
		}
	}
	missing("-", a, b)
	missing("+", b, a)
	return all, nil
}

// newExtra keeps what is said of files now and was not before.
func newExtra(files []string, before, after *kernel.Extra) *results.ExtraWarnings {
	x := &results.ExtraWarnings{Asked: after.Asked, Files: []string{}, Warnings: []string{}}
	for _, name := range files {
		if !slices.Contains(after.Files, name) {
			continue
		}
		x.Files = append(x.Files, name)
		for _, d := range kernel.NewWarnings(before.Warnings[name], after.Warnings[name]) {
			if text := d.String(); !slices.Contains(x.Warnings, text) {
				x.Warnings = append(x.Warnings, text)
			}
		}
	}
	return x
}

// touched lists the C files that the patches between a cell and the one before changed.
func (s *session) touched(cells []*cell, i int) []string {
	if i <= 0 || i >= len(cells) {
		return nil
	}
	set := map[string]bool{}
	for _, p := range s.applied.Patches[cells[i-1].patch:cells[i].patch] {
		for name := range p.Changed {
			if path.Ext(name) == ".c" {
				set[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// linked keeps the files that are in the cell's kernel. The others need not compile in its configuration.
func (s *session) linked(ctx context.Context, c *cell, files []string) ([]string, error) {
	if len(files) == 0 {
		return nil, nil
	}
	var names []string
	err := s.recall(ctx, "linked", cache.KeyOf("linked 1", c.build.ID), &names, func() error {
		im, err := delta.Read(c.build.Image)
		if err == nil {
			names = slices.Sorted(maps.Keys(im.Files))
		}
		return err
	})
	return slices.DeleteFunc(files, func(f string) bool {
		_, ok := slices.BinarySearch(names, path.Base(f))
		return !ok
	}), err
}

// deltaOf compares two kernels, of which one may have been compared before.
func (s *session) deltaOf(ctx context.Context, before, after *cell) (*results.Delta, error) {
	d := &results.Delta{}
	err := s.recall(ctx, "delta", cache.KeyOf("delta 1", before.build.ID, after.build.ID), d, func() error {
		a, err := s.image(before)
		if err != nil {
			return err
		}
		b, err := s.image(after)
		if err != nil {
			return err
		}
		*d = recordDelta(delta.Compare(a, b))
		return nil
	})
	return d, err
}

// image reads a cell's kernel. The last one of each architecture is remembered: the next patch's is compared with it.
func (s *session) image(c *cell) (*delta.Image, error) {
	s.reading.Lock()
	last := s.images[c.arch.Name]
	s.reading.Unlock()
	if last.id == c.build.ID {
		return last.image, nil
	}
	im, err := delta.Read(c.build.Image)
	if err != nil {
		return nil, err
	}
	s.reading.Lock()
	defer s.reading.Unlock()
	if s.images == nil {
		s.images = map[string]readImage{}
	}
	s.images[c.arch.Name] = readImage{c.build.ID, im}
	return im, nil
}

// A readImage is a kernel that has been read, by its build's id.
type readImage struct {
	id    string
	image *delta.Image
}

// recall fills v from what is known under a key, or else by work, and keeps that.
func (s *session) recall(ctx context.Context, kind, key string, v any, work func() error) error {
	const name = "data.json"
	dir, cached, err := s.store.Cache.Fill(ctx, kind, key, func(_ context.Context, dir string) error {
		if err := work(); err != nil {
			return err
		}
		b, err := json.Marshal(v)
		return errors.Join(err, os.WriteFile(filepath.Join(dir, name), b, 0o644))
	})
	if err != nil || !cached {
		return err
	}
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		return fmt.Errorf("cache entry %s/%.12s: %w", kind, key, err)
	}
	return nil
}

// recordDelta is the delta as records have it.
func recordDelta(d *delta.Delta) results.Delta {
	r := results.Delta{Text: results.Size(d.Text), Data: results.Size(d.Data), BSS: results.Size(d.BSS),
		Code: results.Size(d.Code), Vars: results.Size(d.Vars), Zero: results.Size(d.Zero),
		Symbols: []results.SymbolDelta{}, Sections: []results.SectionDelta{}}
	for _, s := range d.Symbols {
		r.Symbols = append(r.Symbols, results.SymbolDelta{Name: s.Name, Kind: string(s.Kind), Size: results.Size(s.Size), New: s.New, Gone: s.Gone})
	}
	for _, s := range d.Sections {
		r.Sections = append(r.Sections, results.SectionDelta{Name: s.Name, Size: results.Size(s.Size), FlagsBefore: s.Before, FlagsAfter: s.After})
	}
	return r
}
