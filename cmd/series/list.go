// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/seriesrig/series/patches"
)

// listCmd lists the series in the patches folder.
type listCmd struct{}

func (c *listCmd) Run(a *app) error {
	all, err := a.loader().List(a.cli.Patches)
	if _, missing := os.Stat(a.cli.Patches); missing != nil {
		return usage("--patches: %v", missing)
	}
	if a.cli.JSON {
		if all == nil {
			all = []*patches.Series{}
		}
		if err := a.printJSON(map[string]any{"series": all}); err != nil {
			return err
		}
		return err
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, s := range all {
		fmt.Fprintf(w, "%s\tv%d\t%d patches\t%s\t%s\n", s.ID, s.Revision, len(s.Patches), s.Base, s.Title)
	}
	w.Flush()
	return err // what could not be read, after what could
}
