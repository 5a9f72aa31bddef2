// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/seriesrig/series/kernel"
	"github.com/seriesrig/series/patches"
)

// applyCmd makes a git branch of a series.
type applyCmd struct {
	ID     string `arg:"" help:"The series."`
	Upto   *int   `placeholder:"N" help:"Apply only the first N patches."`
	Out    string `placeholder:"DIR" help:"Repository that gets the branch; one that is not there is made (default: a local git base's own, else one in the work folder)."`
	Branch string `placeholder:"NAME" help:"Name of the branch (default: series/ID)."`
	Force  bool   `help:"Replace a branch of that name which holds something else."`
	DryRun bool   `short:"n" help:"Apply in memory only, and say where the hunks go."`
}

// applyOutput is what apply --json prints.
type applyOutput struct {
	Branch  string              `json:"branch,omitempty"`
	Repo    string              `json:"repo,omitempty"`
	Base    string              `json:"base,omitempty"` // commit that the branch begins on
	Patches []patches.Applied   `json:"patches"`
	Error   *patches.ApplyError `json:"error,omitempty"`
}

func (c *applyCmd) Run(ctx context.Context, a *app) error {
	start := time.Now()
	s, err := a.load(c.ID)
	if err != nil {
		return err
	}
	if c.Upto != nil {
		if s, err = s.Upto(*c.Upto); err != nil {
			return err
		}
	}
	out := applyOutput{Branch: c.Branch, Patches: []patches.Applied{}}
	if out.Branch == "" {
		out.Branch = "series/" + s.ID
	}
	err = c.apply(ctx, a, s, &out)
	var bad *patches.ApplyError
	if errors.As(err, &bad) {
		if a.cli.JSON {
			out.Error, out.Branch, out.Repo = bad, "", ""
			if err := a.printJSON(out); err != nil {
				return err
			}
			return said{exitFinding}
		}
		fmt.Fprintln(a.stderr, "series: "+bad.Error())
		fmt.Fprint(a.stderr, bad.Detail())
		return said{exitFinding}
	}
	if err != nil {
		return err
	}
	if a.cli.JSON {
		return a.printJSON(out)
	}
	for _, p := range out.Patches {
		fmt.Fprintf(a.stdout, "%.12s  %s\n", p.Commit+strings.Repeat("-", 12), filepath.Base(p.File))
		for _, h := range p.Hunks {
			if h.Offset != 0 {
				fmt.Fprintf(a.stdout, "              %s:%d: hunk moved by %+d lines\n", h.Path, h.Line, h.Offset)
			}
		}
	}
	if out.Repo != "" {
		fmt.Fprintf(a.stderr, "branch %s in %s (%s)\n", out.Branch, out.Repo, short(time.Since(start)))
	}
	return nil
}

// apply does the work and fills out.
func (c *applyCmd) apply(ctx context.Context, a *app, s *patches.Series, out *applyOutput) error {
	spec := s.Base
	if a.cli.Base != "" {
		spec = a.cli.Base
	}
	base, err := kernel.ParseBase(spec)
	if err != nil {
		return err
	}
	work, err := a.work()
	if err != nil {
		return err
	}
	store, err := kernel.OpenStore(work)
	if err != nil {
		return err
	}
	store.Log = a.log
	commit, source, err := c.source(ctx, a, store, base, s)
	if err != nil {
		return err
	}
	res, err := patches.Apply(source, s.Patches)
	if err != nil {
		return err
	}
	out.Patches = res.Patches
	if c.DryRun {
		out.Branch = ""
		return nil
	}
	repo := c.Out
	if commit.Repo == "" { // a base without git becomes a commit first, once
		src := source.(*kernel.Source)
		end := newProgress(a.stderr, a.cli.Quiet).stage("import", 1).begin(spec)
		if commit, err = patches.ImportDir(ctx, store.Cache, src.Dir, src.Hash, spec+" "+src.Version); err != nil {
			return err
		}
		end("%s as a commit", src.Version)
		if repo == "" {
			repo = filepath.Join(work, "git", s.ID+".git")
		}
	} else if repo == "" {
		repo = commit.Repo
	}
	out.Repo = repo
	if _, err := patches.WriteBranch(ctx, patches.Branch{Base: commit, Repo: repo, Name: out.Branch, Own: c.Out != "" && base.Kind != kernel.Git, Force: c.Force}, s.Patches, res); err != nil {
		return err
	}
	out.Base = commit.Rev
	return nil
}

// source opens what the patches are applied to. A git base is read out of its repository without unpacking it, and comes
// with its commit.
func (c *applyCmd) source(ctx context.Context, a *app, store *kernel.Store, base kernel.Base, s *patches.Series) (patches.Commit, patches.Source, error) {
	if base.Kind == kernel.Git && !base.Remote() {
		commit := patches.Commit{Repo: base.Name, Rev: base.Rev}
		src, err := patches.GitSource(ctx, commit, s.Patches)
		return commit, src, err
	}
	lock, err := lockWork(ctx, store.Dir, "series apply "+s.ID, a.cli.NoWait, a.stderr)
	if err != nil {
		return patches.Commit{}, nil, err
	}
	defer lock.Close()
	src, err := store.Resolve(ctx, base)
	if err != nil {
		return patches.Commit{}, nil, err
	}
	if src.Repo != "" {
		return patches.Commit{Repo: src.Repo, Rev: src.Commit}, src, nil
	}
	return patches.Commit{}, src, nil
}
