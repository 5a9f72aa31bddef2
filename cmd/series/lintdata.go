// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seriesrig/series/internal/run"
	"github.com/seriesrig/series/kernel"
	"github.com/seriesrig/series/patches"
	"github.com/seriesrig/series/patches/lint"
	"github.com/seriesrig/series/patches/maintainers"
	"github.com/seriesrig/series/results"
)

// base returns the source of the base where it is at hand, or nil. It is fetched only where --checkpatch asks for it.
func (c *lintCmd) base(ctx context.Context, a *app, spec string) (*kernel.Source, error) {
	asked := c.Checkpatch != nil && *c.Checkpatch
	if spec == "" {
		if asked {
			return nil, usage("--checkpatch needs a kernel source: name one with --base")
		}
		return nil, nil
	}
	if asked {
		return a.source(ctx, spec, "lint")
	}
	store, base, err := a.baseStore(spec)
	if err != nil {
		return nil, err
	}
	if src, ok := store.AtHand(ctx, base); ok {
		return src, nil
	}
	a.log.Info("the base is not at hand; --checkpatch fetches it", "base", spec)
	return nil, ctx.Err()
}

// A lintMaintainers answers the rules' questions from MAINTAINERS of the base.
type lintMaintainers struct{ finder *maintainers.Finder }

func openMaintainers(src *kernel.Source) (lint.Maintainers, error) {
	f, err := maintainers.Open(src)
	if err != nil {
		return nil, err
	}
	return lintMaintainers{f}, nil
}

func (m lintMaintainers) Sections(path string) []lint.Section {
	var out []lint.Section
	for _, s := range m.finder.Sections(path) {
		out = append(out, lint.Section{Docs: s.Values('P'), Trees: s.Values('T'), Lists: s.Values('L')})
	}
	return out
}

func (m lintMaintainers) Covered(path string) bool { return len(m.finder.Sections(path)) > 0 }

func (m lintMaintainers) Recipients(paths []string) []lint.Recipient {
	var out []lint.Recipient
	for _, r := range m.finder.Paths(paths...) {
		out = append(out, lint.Recipient{Person: lint.Person{Name: r.Address.Name, Email: r.Address.Address}, Reason: strings.Join(r.Reasons, ", ")})
	}
	return out
}

// repository returns where commits are looked up, and what the series applies to there.
func (c *lintCmd) repository(spec string) (repo, rev string) {
	base, err := kernel.ParseBase(spec)
	git := err == nil && base.Kind == kernel.Git && !base.Remote()
	switch {
	case c.Git != "" && git:
		return c.Git, base.Rev
	case c.Git != "":
		return c.Git, "HEAD"
	case git:
		return base.Name, base.Rev
	}
	return "", ""
}

// A commitLookup looks commits up with git.
type commitLookup struct {
	ctx       context.Context
	repo, rev string
	seen      map[string]*lint.Commit // nil for one that is not there
}

// Commit returns the commit whose id begins with hex digits; the caller lets nothing else through.
func (l *commitLookup) Commit(id string) (*lint.Commit, error) {
	if c, ok := l.seen[id]; ok {
		if c == nil {
			return nil, lint.ErrNoCommit
		}
		return c, nil
	}
	if l.seen == nil {
		l.seen = map[string]*lint.Commit{}
	}
	git := func(args ...string) (string, error) {
		b, err := run.Cmd{Name: "git", Args: append([]string{"-C", l.repo}, args...), Env: run.CleanEnv("GIT_NO_REPLACE_OBJECTS=1", "GIT_NO_LAZY_FETCH=1")}.Output(l.ctx)
		return strings.TrimRight(string(b), "\n"), err
	}
	if _, err := git("rev-parse", "--git-dir"); err != nil {
		return nil, fmt.Errorf("look up commits: %w", err)
	}
	full, err := git("rev-parse", "--verify", "--quiet", "--end-of-options", id+"^{commit}")
	if err != nil {
		if l.ctx.Err() != nil {
			return nil, l.ctx.Err()
		}
		l.seen[id] = nil
		return nil, lint.ErrNoCommit
	}
	text, err := git("show", "-s", "--format=%an%x00%ae%x00%s", full)
	if err != nil {
		return nil, fmt.Errorf("look up commit %s: %w", id, err)
	}
	part := strings.SplitN(text, "\x00", 3)
	if len(part) != 3 {
		return nil, fmt.Errorf("look up commit %s: git says %q", id, text)
	}
	_, err = git("merge-base", "--is-ancestor", "--end-of-options", full, l.rev)
	c := &lint.Commit{ID: full, Author: lint.Person{Name: part[0], Email: part[1]}, Subject: part[2], Ancestor: err == nil}
	l.seen[id] = c
	return c, l.ctx.Err()
}

// A lintRuns is what the records say of exactly a series' patches: the newest cell of each kernel.
type lintRuns struct {
	arches   []string
	variants []string
	cells    map[lintCell]lint.Run
}

// A lintCell is a kernel.
type lintCell struct {
	arch, config string
	patch        int
}

// Prefix returns what is known of the kernels with patches 1 to n: the release configuration's, run or not, and those
// variants that were.
func (r *lintRuns) Prefix(n int) []lint.Run {
	var out []lint.Run
	for _, arch := range r.arches {
		c, ok := r.cells[lintCell{arch, patches.Release, n}]
		if !ok {
			c = lint.Run{Arch: arch}
		}
		out = append(out, c)
		for _, variant := range r.variants {
			if c, ok := r.cells[lintCell{arch, variant, n}]; ok {
				out = append(out, c)
			}
		}
	}
	return out
}

// records are the files of a series' recorded runs, of the work folder and of those that are published, the oldest first.
func (a *app) records(id string) ([]string, error) {
	work, err := a.work()
	if err != nil {
		return nil, err
	}
	var all []string
	for _, dir := range []string{filepath.Join(a.root(), "results", id), filepath.Join(work, "runs", id)} {
		names, err := filepath.Glob(filepath.Join(dir, "v*.json"))
		if err != nil {
			return nil, err
		}
		all = append(all, names...)
	}
	slices.SortFunc(all, func(a, b string) int {
		return cmp.Or(cmp.Compare(filepath.Base(a), filepath.Base(b)), cmp.Compare(a, b))
	})
	return all, nil
}

// recordedRuns reads the records of a series, those of the work folder and those that are published, and returns nil
// where none is of exactly its patches.
func recordedRuns(a *app, s *patches.Series) (*lintRuns, error) {
	out := &lintRuns{arches: s.Arches, cells: map[lintCell]lint.Run{}}
	tested := map[string]bool{patches.Release: len(s.Tests) > 0}
	for _, v := range s.Variants {
		out.variants = append(out.variants, v.Name)
		tested[v.Name] = v.Test && len(s.Tests) > 0
	}
	newest := map[lintCell]*results.Run{}
	names, err := a.records(s.ID)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		r, err := results.Load(name)
		if err != nil {
			a.log.Warn("record passed over", "error", err)
			continue
		}
		if !samePatches(r, s) {
			continue
		}
		for _, c := range r.Cells {
			key := lintCell{c.Arch, cmp.Or(c.Config, patches.Release), c.Patch}
			if have := newest[key]; have != nil && have.Started.After(r.Started) {
				continue
			}
			if known, ok := cellRun(c, filepath.Base(name), tested[key.config]); ok {
				if key.config != patches.Release {
					known.Arch += " with configuration " + key.config
				}
				newest[key] = r
				out.cells[key] = known
			}
		}
	}
	if len(newest) == 0 {
		return nil, nil
	}
	return out, nil
}

// samePatches tells whether a record is of exactly the series' patches, messages included.
func samePatches(r *results.Run, s *patches.Series) bool {
	if r.Series != s.ID || len(r.Patches) != len(s.Patches) {
		return false
	}
	for i, p := range s.Patches {
		if fmt.Sprintf("sha256:%x", sha256.Sum256(p.Raw)) != r.Patches[i].Hash {
			return false
		}
	}
	return true
}

// cellRun is what a cell says; ok is false where it says nothing, as the rig failed or the run stopped before.
func cellRun(c results.Cell, source string, tests bool) (_ lint.Run, ok bool) {
	r := lint.Run{Arch: c.Arch, Done: true, Source: source}
	switch {
	case c.Build == nil:
		return r, false
	case len(c.Build.Errors) > 0:
		r.Detail = "it does not build: " + c.Build.Errors[0]
		return r, true
	}
	for _, p := range c.Proofs {
		if !p.Pass {
			r.Detail = "proof " + p.Name + " fails"
			return r, true
		}
	}
	switch {
	case c.Tests == nil:
		r.Pass = !tests
		return r, !tests
	case c.Tests.Verdict == results.Rig:
		return r, false
	case c.Tests.Verdict != results.Pass:
		r.Detail = fmt.Sprintf("verdict %s, %d of %d tests failed", c.Tests.Verdict, c.Tests.Failed, c.Tests.Failed+c.Tests.Passed)
		return r, true
	}
	r.Pass = true
	return r, true
}
