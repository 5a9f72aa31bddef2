// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/seriesrig/series/patches"
	"github.com/seriesrig/series/patches/lint"
)

// lintCmd judges series, threads and patch files by the posting rules.
type lintCmd struct {
	What       []string `arg:"" optional:"" name:"id|file" help:"Series of the patches folder, mboxes, or files of git format-patch; - is standard input."`
	Profile    string   `placeholder:"NAME" help:"Rules of a tree: default, tip, kvm, netdev, bpf or audit (default: what MAINTAINERS of the base says of the files)."`
	Checkpatch *bool    `negatable:"" help:"Run the base's scripts/checkpatch.pl, too (default: where a series' base is at hand)."`
	Git        string   `type:"existingdir" placeholder:"REPO" help:"Repository in which commits that messages name are looked up (default: that of a git base)."`
	Previous   string   `type:"existingfile" placeholder:"MBOX" help:"The posting before, with the answers to it where they are in it."`
	Stable     bool     `help:"Allow stable@vger.kernel.org among the recipients."`
	NotJudged  bool     `short:"v" help:"Say which rules were not judged, and what they need."`
	Rules      bool     `help:"List the rules."`
	Explain    string   `placeholder:"RULE" help:"Say what a rule asks for, and what it needs."`
}

// A lintGroup is what is judged together: a series, or all files.
type lintGroup struct {
	messages []*lint.Message
	series   *patches.Series // that the messages are of; nil where none is known
	spec     string          // of the base; "" where none is known
}

func (c *lintCmd) Run(ctx context.Context, a *app) error {
	switch {
	case c.Explain != "":
		return c.explain(a)
	case c.Rules:
		return c.list(a)
	case len(c.What) == 0:
		return usage("name a series or a file to judge, or use --rules or --explain RULE")
	}
	groups, err := c.read(a)
	if err != nil {
		return lintInput(err)
	}
	var previous []*lint.Message
	if c.Previous != "" {
		if previous, err = readMails(c.Previous, a.stdin); err != nil {
			return lintInput(err)
		}
	}
	all := &lint.Report{Findings: []lint.Finding{}}
	var messages []*lint.Message
	var files []string
	for _, g := range groups {
		rep, err := c.judge(ctx, a, g, previous)
		if err != nil {
			return lintInput(err)
		}
		all.Findings = append(all.Findings, rep.Findings...)
		all.Profiles = append(all.Profiles, rep.Profiles...)
		for _, n := range rep.NotJudged {
			if !slices.Contains(all.NotJudged, n) {
				all.NotJudged = append(all.NotJudged, n)
			}
		}
		messages = append(messages, g.messages...)
		for _, m := range g.messages {
			files = append(files, m.File)
		}
	}
	all.Digest = lint.Digest(messages)
	all.Sort(slices.Compact(files))
	return c.print(a, all)
}

// lintInput marks what is wrong with the input as the user's to mend.
func lintInput(err error) error {
	var bad *lint.ReadError
	if errors.As(err, &bad) {
		return &coded{exitUsage, err}
	}
	return err
}

// read reads what the command line names. All files are one group, as git format-patch writes a file for each patch.
func (c *lintCmd) read(a *app) ([]*lintGroup, error) {
	var groups []*lintGroup
	var files *lintGroup
	for _, what := range c.What {
		if dir, ok := c.isSeries(a, what); ok {
			s, err := a.loader().Load(dir)
			if err != nil {
				return nil, err
			}
			ms, err := lint.FromSeries(s)
			if err != nil {
				return nil, err
			}
			groups = append(groups, &lintGroup{messages: ms, series: s, spec: s.Base})
			continue
		}
		ms, err := readMails(what, a.stdin)
		if err != nil {
			return nil, err
		}
		if files == nil {
			files = &lintGroup{}
			groups = append(groups, files)
		}
		files.messages = append(files.messages, ms...)
	}
	if files != nil {
		c.recognise(a, files)
	}
	return groups, nil
}

// isSeries tells a series from a file: by a folder of that name with a series.toml, here or among the patches; and what
// is neither a file nor looks like one is a series that is not there, which Load says best.
func (c *lintCmd) isSeries(a *app, what string) (dir string, ok bool) {
	if _, err := os.Stat(filepath.Join(what, "series.toml")); err == nil {
		return what, true
	}
	dir = filepath.Join(a.cli.Patches, what)
	if strings.ContainsAny(what, "/") || what == "-" || what == "" {
		return "", false
	}
	if _, err := os.Stat(filepath.Join(dir, "series.toml")); err == nil {
		return dir, true
	}
	_, err := os.Stat(what)
	return dir, err != nil && !strings.Contains(what, ".")
}

// recognise finds the stored series that the messages are of, so that its base and its records count for them. A thread
// with other patches is nobody's.
func (c *lintCmd) recognise(a *app, g *lintGroup) {
	if len(lint.Threads(g.messages)) != 1 {
		return
	}
	all, _ := a.loader().List(a.cli.Patches) // a series that cannot be read is not the one
	for _, s := range all {
		if ms, err := lint.FromSeries(s); err == nil && lint.SamePatches(ms, g.messages) {
			g.series, g.spec = s, s.Base
			a.log.Info("the patches are those of a series", "series", s.ID)
			return
		}
	}
}

func readMails(name string, stdin io.Reader) ([]*lint.Message, error) {
	if name == "-" {
		return lint.Read("-", stdin)
	}
	fi, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, usage("%s: no such file, and no series of that name", name)
	case fi.IsDir():
		return nil, usage("%s: is a folder without a series.toml; name the files in it", name)
	case !fi.Mode().IsRegular():
		return nil, usage("%s: is not a regular file", name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, &coded{exitUsage, err}
	}
	defer f.Close()
	return lint.Read(name, f)
}

// judge judges a group, with what is at hand for it.
func (c *lintCmd) judge(ctx context.Context, a *app, g *lintGroup, previous []*lint.Message) (*lint.Report, error) {
	if a.cli.Base != "" {
		g.spec = a.cli.Base
	}
	in := lint.Input{Messages: g.messages, Profile: c.Profile, Previous: previous, Stable: c.Stable}
	base, err := c.base(ctx, a, g.spec)
	if err != nil {
		return nil, err
	}
	if base != nil {
		switch in.Maintainers, err = openMaintainers(base); {
		case errors.Is(err, fs.ErrNotExist):
			a.log.Info("the base has no MAINTAINERS")
		case err != nil:
			a.log.Warn("MAINTAINERS of the base is not used", "error", err)
		}
	}
	if repo, rev := c.repository(g.spec); repo != "" {
		in.Commits = &commitLookup{ctx: ctx, repo: repo, rev: rev}
	}
	if g.series != nil {
		runs, err := recordedRuns(a, g.series)
		if err != nil {
			return nil, err
		}
		if runs != nil {
			in.Runs = runs
		}
	}
	rep, err := lint.Check(in)
	if err != nil {
		var bad *lint.ReadError
		if !errors.As(err, &bad) {
			err = &coded{exitUsage, err}
		}
		return nil, err
	}
	if base == nil || c.Checkpatch != nil && !*c.Checkpatch || c.Checkpatch == nil && g.series == nil {
		return rep, nil
	}
	return rep, c.checkpatch(ctx, a, base.Dir, g.messages, rep)
}

func (c *lintCmd) print(a *app, rep *lint.Report) error {
	if c.NotJudged || a.cli.Verbose {
		for _, n := range rep.NotJudged {
			fmt.Fprintf(a.stderr, "not judged: %s: needs %s\n", n.Rule, n.Needs)
		}
	}
	if a.cli.JSON {
		if err := a.printJSON(rep); err != nil {
			return err
		}
	} else {
		var b bytes.Buffer
		for _, f := range rep.Findings {
			fmt.Fprintln(&b, f)
		}
		if _, err := a.stdout.Write(b.Bytes()); err != nil {
			return err
		}
	}
	if n := rep.Errors(); n > 0 {
		if !a.cli.Quiet && !a.cli.JSON {
			fmt.Fprintf(a.stderr, "%d errors, %d warnings (series lint --explain RULE says more)\n", n, len(rep.Findings)-n)
		}
		return said{exitFinding}
	}
	return nil
}

// ruleJSON is what --rules and --explain print with --json.
type ruleJSON struct {
	Rule     string      `json:"rule"`
	Number   int         `json:"number"`
	Level    lint.Level  `json:"level"`
	Profiles []string    `json:"profiles"`
	Needs    []lint.Need `json:"needs"`
	Title    string      `json:"title"`
	Explain  string      `json:"explain"`
}

func asJSON(r lint.Rule) ruleJSON {
	return ruleJSON{r.ID, r.Note, r.Level, append([]string{}, r.Profiles...), append([]lint.Need{}, r.Needs...), r.Title, r.Explain}
}

func (c *lintCmd) list(a *app) error {
	if a.cli.JSON {
		var all []ruleJSON
		for _, r := range lint.Rules {
			all = append(all, asJSON(r))
		}
		return a.printJSON(map[string]any{"rules": all})
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, r := range lint.Rules {
		where := "all"
		if len(r.Profiles) > 0 {
			where = strings.Join(r.Profiles, ",")
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\n", r.Note, r.ID, r.Level, where, r.Title)
	}
	return w.Flush()
}

func (c *lintCmd) explain(a *app) error {
	r := lint.FindRule(c.Explain)
	if r == nil {
		if strings.HasPrefix(c.Explain, "checkpatch:") {
			return usage("%s is one of checkpatch.pl's; Documentation/dev-tools/checkpatch.rst explains it", c.Explain)
		}
		return usage("there is no rule %q; series lint --rules lists them", c.Explain)
	}
	if a.cli.JSON {
		return a.printJSON(asJSON(*r))
	}
	w := a.stdout
	fmt.Fprintf(w, "%s (%s): %s\n\n  %s\n\n", r.ID, r.Level, r.Title, r.Explain)
	where := "everywhere"
	if len(r.Profiles) > 0 {
		where = "the profiles " + strings.Join(r.Profiles, ", ")
	}
	fmt.Fprintf(w, "  applies to: %s\n", where)
	for _, n := range r.Needs {
		fmt.Fprintf(w, "  needs: %s\n", n)
	}
	return nil
}
