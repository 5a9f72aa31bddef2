// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/seriesrig/series/patches"
)

// exportCmd writes a series in the forms that git and quilt work with.
type exportCmd struct {
	ID     string `arg:"" help:"The series."`
	Output string `short:"o" required:"" placeholder:"DIR" help:"Folder that is made: DIR/git is a bare repository with the branch series/ID, DIR/patches a quilt series."`
	Only   string `enum:"git,quilt,both" default:"both" placeholder:"git|quilt|both" help:"What to write: git, quilt or both (default: ${default}). For quilt alone the base is not needed."`
}

// exportOutput is what export --json prints.
type exportOutput struct {
	Repo    string   `json:"repo,omitempty"`
	Branch  string   `json:"branch,omitempty"`
	Commits []string `json:"commits,omitempty"`
	Quilt   string   `json:"quilt,omitempty"`
}

func (c *exportCmd) Run(ctx context.Context, a *app) error {
	s, err := a.load(c.ID)
	if err != nil {
		return err
	}
	target := filepath.Clean(c.Output)
	if entries, err := os.ReadDir(target); err == nil && len(entries) > 0 || err != nil && !os.IsNotExist(err) {
		return usage("%s: is there already and not an empty folder; name another with -o", target)
	}
	parent := filepath.Dir(target)
	if _, err := os.Stat(parent); err != nil {
		return usage("%s: no such folder", parent)
	}
	// Everything is made beside its place and renamed when it is complete.
	tmp, err := os.MkdirTemp(parent, ".export-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	made := filepath.Join(tmp, "made")
	if err := os.Mkdir(made, 0o755); err != nil {
		return err
	}
	var out exportOutput
	if c.Only != "git" {
		if err := patches.WriteQuilt(filepath.Join(made, "patches"), s.Patches); err != nil {
			return err
		}
		out.Quilt = filepath.Join(target, "patches")
	}
	if c.Only != "quilt" {
		applied := applyOutput{Branch: "series/" + s.ID}
		if err := (&applyCmd{Out: filepath.Join(made, "git")}).apply(ctx, a, s, &applied); err != nil {
			return err
		}
		out.Repo, out.Branch = filepath.Join(target, "git"), applied.Branch
		for _, p := range applied.Patches {
			out.Commits = append(out.Commits, p.Commit)
		}
	}
	if err := os.Rename(made, target); err != nil {
		return err
	}
	if a.cli.JSON {
		return a.printJSON(out)
	}
	if out.Repo != "" {
		fmt.Fprintf(a.stdout, "%s: branch %s, %d commits\n", out.Repo, out.Branch, len(out.Commits))
	}
	if out.Quilt != "" {
		abs, err := filepath.Abs(out.Quilt)
		if err != nil {
			return err
		}
		fmt.Fprintf(a.stdout, "%s: %d patches; in a source tree: QUILT_PATCHES=%s quilt push -a\n", out.Quilt, len(s.Patches), abs)
	}
	return nil
}
