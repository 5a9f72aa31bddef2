// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/seriesrig/series/patches/intake"
)

// importCmd makes a series folder of mail, or of commits.
type importCmd struct {
	Source    string   `arg:"" help:"An mbox (packed by gzip or not), a saved mail, a maildir, a folder of *.patch or *.eml files, - for standard input, or a range of commits REV..REV."`
	ID        string   `placeholder:"NAME" help:"The series' id, and its folder (default: made of the title)."`
	Take      int      `name:"revision" short:"v" placeholder:"N" help:"Take [PATCH vN] (default: the latest version that is complete)."`
	MessageID string   `placeholder:"ID" help:"Keep to the thread that has this message."`
	Repo      string   `placeholder:"DIR" help:"Repository of the commits, and where the base-commit of a thread is looked for (default: the current folder's)."`
	Into      string   `placeholder:"ID" help:"Make no series: add the trailers that were answered to the patches of this one, as far as their diffs are those of the thread."`
	Arch      []string `default:"amd64" placeholder:"A" help:"What the series is built for (default: ${default})."`
	DryRun    bool     `short:"n" help:"Read and check, and write nothing."`
}

// importOutput is what import --json prints.
type importOutput struct {
	ID       string   `json:"id"`
	Dir      string   `json:"dir,omitempty"` // "" with -n
	Title    string   `json:"title"`
	Revision int      `json:"revision"`
	Base     string   `json:"base"`
	Patches  []string `json:"patches,omitempty"`
	Gathered []string `json:"gathered,omitempty"` // trailers from replies
	Notes    []string `json:"notes,omitempty"`
}

// defaultBase is what a series is put on whose own base is not to be had.
const defaultBase = "debian:linux-source-6.12"

func (c *importCmd) Run(ctx context.Context, a *app) error {
	s, err := c.read(ctx, a)
	if err != nil {
		var bad *intake.Error
		if errors.As(err, &bad) {
			return &coded{exitUsage, err}
		}
		return err
	}
	if c.Into != "" {
		return c.update(a, s)
	}
	base, note := c.base(ctx, a, s)
	if note != "" {
		s.Notes = append(s.Notes, note)
	}
	out := importOutput{ID: c.ID, Title: s.Title, Revision: s.Revision, Base: base, Gathered: s.Gathered, Notes: s.Notes}
	if out.ID == "" {
		out.ID = s.ID
	}
	for _, p := range s.Patches {
		out.Patches = append(out.Patches, p.Subject)
	}
	if !c.DryRun {
		out.Dir, err = s.Write(intake.Target{Root: a.cli.Patches, ID: out.ID, Base: base, Arches: c.Arch, Loader: a.loader()})
		if err != nil {
			return err
		}
	}
	if a.cli.JSON {
		return a.printJSON(out)
	}
	for _, n := range out.Notes {
		fmt.Fprintln(a.stderr, "series: "+n)
	}
	for _, g := range out.Gathered {
		fmt.Fprintln(a.stderr, "taken for "+g)
	}
	fmt.Fprintf(a.stdout, "%s: v%d, %d patches: %s\n", out.ID, out.Revision, len(out.Patches), out.Title)
	return nil
}

// update adds the trailers of a thread to a series that is there.
func (c *importCmd) update(a *app, s *intake.Series) error {
	to, err := a.load(c.Into)
	if err != nil {
		return err
	}
	added, err := s.Update(to, c.DryRun)
	if err != nil {
		return err
	}
	if a.cli.JSON {
		return a.printJSON(importOutput{ID: to.ID, Dir: to.Dir, Title: to.Title, Revision: to.Revision, Base: to.Base, Gathered: added, Notes: s.Notes})
	}
	for _, n := range s.Notes {
		fmt.Fprintln(a.stderr, "series: "+n)
	}
	for _, t := range added {
		fmt.Fprintln(a.stdout, t)
	}
	return nil
}

func (c *importCmd) read(ctx context.Context, a *app) (*intake.Series, error) {
	o := intake.Options{Version: c.Take, MessageID: c.MessageID}
	switch {
	case c.Take < 0:
		return nil, usage("-v %d: versions are counted from 1", c.Take)
	case c.Source == "-":
		return intake.ReadFrom("standard input", a.stdin, o)
	case intake.IsRange(c.Source):
		if o != (intake.Options{}) {
			return nil, usage("--revision and --message-id are for mail, not for commits")
		}
		return intake.GitRange(ctx, c.repo(), c.Source)
	}
	return intake.Read(c.Source, o)
}

func (c *importCmd) repo() string {
	if c.Repo == "" {
		return "."
	}
	return c.Repo
}

// base chooses the base: the one that is asked for, the one that the thread names, where it is at hand, or the default.
func (c *importCmd) base(ctx context.Context, a *app, s *intake.Series) (spec, note string) {
	switch {
	case a.cli.Base != "":
		return a.cli.Base, ""
	case s.Base != "":
		return s.Base, ""
	case s.BaseCommit == "":
		return defaultBase, "the thread names no base that can be taken: it is " + defaultBase + "; name another with --base"
	}
	repo, err := filepath.Abs(c.repo())
	if err == nil && intake.HasCommit(ctx, repo, s.BaseCommit) {
		return "git:" + repo + "#" + s.BaseCommit, ""
	}
	return defaultBase, fmt.Sprintf("%s lacks the base-commit %.12s: taken is %s; name a repository that has it with --repo, or another base with --base", c.repo(), s.BaseCommit, defaultBase)
}
