// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seriesrig/series/internal/cache"
)

// cleanCmd deletes parts of the work folder.
type cleanCmd struct {
	Kind   []string `arg:"" optional:"" help:"What may go (see below); default: trees and obj, or with --all, --older or --size all kinds but runs."`
	All    bool     `help:"All kinds but runs: the next run begins with fetching its base."`
	Older  string   `placeholder:"AGE" help:"Only what was not used for so long: 30d, 12h."`
	Size   string   `placeholder:"SIZE" help:"Only as much as it takes until the kinds have no more than this, what was not used for the longest time first: 5GiB."`
	DryRun bool     `short:"n" help:"Only say what would go."`
}

func (c *cleanCmd) Help() string {
	var b strings.Builder
	b.WriteString("The kinds are:\n\n")
	for _, k := range workKinds {
		fmt.Fprintf(&b, "  %-10s %s\n", k.name, k.about)
	}
	b.WriteString("\nWhat another process uses stays. The cache also keeps to a limit by itself, see --cache-size.")
	return b.String()
}

// cleaned is what --json prints.
type cleaned struct {
	DryRun  bool    `json:"dry_run"`
	Removed []thing `json:"removed"`
	InUse   []thing `json:"in_use"` // would have gone, but somebody uses it
	Freed   int64   `json:"freed"`  // bytes
	Left    int64   `json:"left"`   // bytes that the kinds still have
}

func (c *cleanCmd) Run(ctx context.Context, a *app) error {
	kinds, err := c.kinds()
	if err != nil {
		return err
	}
	before, limit, err := c.limits(time.Now())
	if err != nil {
		return err
	}
	work, err := a.work()
	if err != nil {
		return err
	}
	out := &cleaned{DryRun: c.DryRun, Removed: []thing{}, InUse: []thing{}}
	if _, err := os.Stat(work); errors.Is(err, fs.ErrNotExist) {
		return c.print(a, out)
	}
	lock, err := lockWork(ctx, work, "series clean", a.cli.NoWait, a.stderr)
	if err != nil {
		return err
	}
	defer lock.Close()
	store, err := cache.Open(filepath.Join(work, "cache"))
	if err != nil {
		return err
	}
	if !c.DryRun {
		if err := sweepRemoved(work); err != nil {
			return err
		}
	}
	all, err := things(ctx, work, store)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(t thing) bool { return !slices.Contains(kinds, t.Kind) })
	for _, t := range all {
		out.Left += t.Size
	}
	for _, t := range all {
		if out.Left <= limit || !t.Used.Before(before) {
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var gone bool
		if c.DryRun {
			gone = t.busy == nil || !t.busy()
		} else if gone, err = t.drop(); err != nil {
			return err
		}
		if !gone {
			out.InUse = append(out.InUse, t)
			continue
		}
		out.Removed = append(out.Removed, t)
		out.Left -= t.Size
		out.Freed += t.Size
	}
	return c.print(a, out)
}

// kinds returns the names of the kinds that may go.
func (c *cleanCmd) kinds() ([]string, error) {
	var known, all []string
	for _, k := range workKinds {
		known = append(known, k.name)
		if k.name != "runs" {
			all = append(all, k.name)
		}
	}
	for _, name := range c.Kind {
		if !slices.Contains(known, name) {
			return nil, usage("clean: there is no kind %q; there are %s", name, strings.Join(known, ", "))
		}
	}
	switch {
	case c.All:
		return append(all, c.Kind...), nil
	case len(c.Kind) > 0:
		return c.Kind, nil
	case c.Older != "" || c.Size != "":
		return all, nil
	}
	return []string{"trees", "obj"}, nil
}

// limits returns since when something must not have been used to go, and how many bytes may stay; without a flag all goes.
func (c *cleanCmd) limits(now time.Time) (before time.Time, limit int64, err error) {
	before, limit = now.AddDate(100, 0, 0), -1
	if c.Older != "" {
		age, err := parseAge(c.Older)
		if err != nil {
			return before, limit, usage("--older: %v", err)
		}
		before = now.Add(-age)
	}
	if c.Size != "" {
		if limit, err = parseSize(c.Size); err != nil {
			return before, limit, usage("--size: %v", err)
		}
	}
	return before, limit, nil
}

// parseAge reads a time such as 30d, 12h or 90m.
func parseAge(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 && n <= 36500 {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	} else if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return d, nil
	}
	return 0, fmt.Errorf("%q is no age; write it like 30d or 12h", s)
}

func (c *cleanCmd) print(a *app, out *cleaned) error {
	if a.cli.JSON {
		return a.printJSON(out)
	}
	line := func(t thing, note string) {
		fmt.Fprintf(a.stdout, "%10s  %s  %-9s  %s%s\n", formatSize(t.Size), t.Used.Local().Format("2006-01-02 15:04"), t.Kind, t.Name, note)
	}
	for _, t := range out.Removed {
		line(t, "")
	}
	for _, t := range out.InUse {
		line(t, "  stays: in use")
	}
	verb := "freed"
	if out.DryRun {
		verb = "would be freed"
	}
	_, err := fmt.Fprintf(a.stdout, "%10s  %s, %s left\n", formatSize(out.Freed), verb, formatSize(out.Left))
	return err
}
