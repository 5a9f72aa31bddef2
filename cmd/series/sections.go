// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/seriesrig/series/internal/cache"
	"github.com/seriesrig/series/linker"
	"github.com/seriesrig/series/patches"
)

// sectionsFormat is raised when an explanation says something else of the same files.
const sectionsFormat = "sections 2"

// targets is what make has to build beside vmlinux: modules, where a cell's proofs look at one or its guests load them.
func (s *session) targets(c *cell) []string {
	if s.series.Guest.Modules && c.loads() {
		return []string{"modules"}
	}
	for _, sec := range s.series.Sections {
		if sec.Module != "" && c.patch >= sec.From && sec.On(c.arch.Name, c.rec.Config) {
			return []string{"modules"}
		}
	}
	return nil
}

// loads tells whether the cell's kernel can load modules at all.
func (c *cell) loads() bool { return c.variant == nil || !slices.Contains(c.variant.Off, "MODULES") }

// prove looks at the sections that the series promises to be read-only. It is called when the cell has just been built:
// the object files of the build, which say where each entry comes from, are overwritten by the next one in the same
// folder. What they said is kept with the build's id.
func (s *session) prove(ctx context.Context, c *cell) error {
	for _, sec := range s.series.Sections {
		if c.patch < sec.From || !sec.On(c.arch.Name, c.rec.Config) {
			continue
		}
		image := c.build.Image
		if sec.Module != "" {
			image = filepath.Join(filepath.Dir(image), "modules", sec.Module)
		}
		if _, err := os.Stat(image); err != nil { // a module that the configuration does not build
			c.sections = append(c.sections, linker.Proof{Name: "section " + sec.Name + ": flags", Detail: err.Error()})
			continue
		}
		x, err := s.explain(ctx, c, sec, image)
		var none *linker.NoSectionError
		switch {
		case errors.As(err, &none):
			c.sections = append(c.sections, linker.Proof{Name: "section " + sec.Name + ": flags", Detail: err.Error()})
		case err != nil:
			return err
		case sec.Writable:
			c.sections = append(c.sections, x.Control())
			c.explained = append(c.explained, x)
		default:
			c.sections = append(c.sections, x.Proofs()...)
			c.explained = append(c.explained, x)
		}
	}
	return nil
}

// explain explains a section, from what is known of the build or else from its files. What has been said without the
// object files is not kept.
func (s *session) explain(ctx context.Context, c *cell, sec patches.Section, image string) (*linker.Explanation, error) {
	const name = "explanation.json"
	key := cache.KeyOf(sectionsFormat, c.build.ID, sec.Module, sec.Name)
	if dir, ok := s.store.Cache.Get("sections", key); ok {
		b, err := os.ReadFile(filepath.Join(dir, name))
		var x linker.Explanation
		if err == nil && json.Unmarshal(b, &x) == nil && strconv.Quote(x.Section.Name) == strconv.Quote(sec.Name) {
			x.File = image
			return &x, nil
		}
	}
	objects := filepath.Join(s.store.Dir, "obj", c.arch.Name+"-"+c.objects())
	x, err := linker.Explain(ctx, image, sec.Name, linker.Inputs{Dir: objects})
	if err != nil || x.InputsAbsent != "" {
		return x, err
	}
	b, err := json.Marshal(x)
	if err != nil {
		return nil, err
	}
	_, _, err = s.store.Cache.Fill(ctx, "sections", key, func(_ context.Context, dir string) error {
		return os.WriteFile(filepath.Join(dir, name), b, 0o644)
	})
	return x, err
}
