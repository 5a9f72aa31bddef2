// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/seriesrig/series/kernel"
)

// cellFlags choose the kernels to work on.
type cellFlags struct {
	ID     string   `arg:"" help:"The series."`
	Arch   []string `placeholder:"A" help:"Architectures (default: the series')."`
	Config []string `default:"release" placeholder:"NAME" help:"Configurations: release, variants that the series names, or all (default: ${default})."`
	Patch  *int     `placeholder:"N" help:"Only the kernel with patches 1 to N; 0 is the base (default: the last)."`
	Each   bool     `help:"Every prefix of the series, the base included."`
}

// open opens the series and makes the cells. The outputs are what the verb writes in the end.
func (c *cellFlags) open(ctx context.Context, a *app, verb string, outputs ...output) (s *session, cells []*cell, err error) {
	s, err = a.open(ctx, c.ID, verb, func(s *session) error {
		prefixes, err := choosePatches(s.series, c.Each, c.Patch)
		if err != nil {
			return err
		}
		if cells, err = s.choose(c.Arch, c.Config, prefixes); err != nil {
			return err
		}
		return haveRoom(outputs...)
	})
	return s, cells, err
}

// An output is a folder that something is written to when all is done, and the flag that names it; "" is none.
type output struct{ flag, dir string }

// haveRoom tries whether the folders can be made and written to, so that hours of guests are not for nothing. It makes none.
func haveRoom(outputs ...output) error {
	for _, o := range outputs {
		if o.dir == "" {
			continue
		}
		if err := writable(o.dir); err != nil {
			return usage("%s: %w", o.flag, err)
		}
	}
	return nil
}

// writable tries to make a file in a folder, or in the nearest one above that is there.
func writable(dir string) error {
	fi, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) && filepath.Dir(dir) != dir {
		return writable(filepath.Dir(dir))
	}
	if err != nil {
		return err
	}
	if !fi.IsDir() {
		return &fs.PathError{Op: "write below", Path: dir, Err: syscall.ENOTDIR}
	}
	f, err := os.CreateTemp(dir, ".series-")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
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
	s, cells, err := c.open(ctx, a, "build", c.output())
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
