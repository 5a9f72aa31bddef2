// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"time"

	"github.com/seriesrig/series/kernel"
)

// cellFlags choose the kernels to work on.
type cellFlags struct {
	ID     string   `arg:"" help:"The series."`
	Arch   []string `placeholder:"A,..." help:"Architectures (default: the series')."`
	Config []string `default:"release" placeholder:"NAME,..." help:"Configurations: release, variants that the series names, or all (default: ${default})."`
	Patch  *int     `placeholder:"N" help:"Only the kernel with patches 1 to N; 0 is the base (default: the last)."`
	Each   bool     `help:"Every prefix of the series, the base included."`
}

// open opens the series and makes the cells.
func (c *cellFlags) open(ctx context.Context, a *app, verb string) (*session, []*cell, error) {
	s, err := a.open(ctx, c.ID, verb)
	if err != nil {
		return nil, nil, err
	}
	prefixes, err := choosePatches(s.series, c.Each, c.Patch)
	var cells []*cell
	if err == nil {
		cells, err = s.choose(c.Arch, c.Config, prefixes)
	}
	if err != nil {
		s.Close()
		return nil, nil, err
	}
	return s, cells, nil
}

// isFinding tells an error about the series, after which the other cells can still be judged, from one that ends a run.
func isFinding(err error) bool {
	var bad *kernel.BuildError
	return errors.As(err, &bad)
}

// buildCmd builds kernels and proves what can be read off them.
type buildCmd struct {
	cellFlags
	junitFlag
}

func (c *buildCmd) Run(ctx context.Context, a *app) error {
	started := time.Now()
	s, cells, err := c.open(ctx, a, "build")
	if err != nil {
		return err
	}
	defer s.Close()
	buildErr := s.build(ctx, cells)
	if buildErr != nil && !isFinding(buildErr) {
		return buildErr
	}
	if _, err := s.verify(ctx, cells); err != nil {
		return err
	}
	r, err := s.record(started, cells)
	if err != nil {
		return err
	}
	if err := c.junitFlag.write(r); err != nil {
		return err
	}
	return s.finish(r, buildErr, "verdicts", "size")
}
