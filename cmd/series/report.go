// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seriesrig/series/results"
	"github.com/seriesrig/series/results/report"
)

// reportCmd writes a page of a recorded run.
type reportCmd struct {
	ID     string `arg:"" name:"id|record" help:"The series, whose newest record is taken; or a record: the .json of a run."`
	Output string `short:"o" placeholder:"DIR" help:"Folder for the page, the plots and the tables; it is made (default: beside the record in the work folder)."`
}

func (c *reportCmd) Run(a *app) error {
	work, err := a.work()
	if err != nil {
		return err
	}
	var r *results.Run
	if strings.HasSuffix(c.ID, ".json") {
		if r, err = loadRecord(c.ID); err != nil {
			return err
		}
	} else {
		if _, err := a.load(c.ID); err != nil {
			return err
		}
		if r, err = a.lastRecord(filepath.Join(work, "runs", c.ID)); err != nil {
			return err
		}
		if r == nil {
			return usage("%s: no recorded run; run `series run %s` first, or name a record", c.ID, c.ID)
		}
	}
	dir := c.Output
	if dir == "" {
		dir = filepath.Join(work, "runs", r.Series, results.Name(r)+".report")
	}
	name := results.Name(r)
	if err := anonymize(r, work, a.root()); err != nil { // a page is for others, too
		return err
	}
	files, err := report.Write(dir, report.Options{Run: r, Work: work})
	if err != nil {
		return err
	}
	if a.cli.JSON {
		return a.printJSON(map[string]any{"report": map[string]any{"dir": dir, "files": files, "record": name}})
	}
	_, err = fmt.Fprintln(a.stdout, filepath.Join(dir, "index.html"))
	return err
}

// lastRecord returns the record of the run that was started last, whatever came out of it, or nil. One that is no record any
// more is passed over, and told.
func (a *app) lastRecord(dir string) (*results.Run, error) {
	names, err := filepath.Glob(filepath.Join(dir, "v*.json"))
	if err != nil {
		return nil, err
	}
	var last *results.Run
	for _, name := range slices.Backward(names) {
		r, err := results.Load(name)
		if err != nil {
			a.log.Warn("record passed over", "error", err)
			continue
		}
		if last == nil || r.Started.After(last.Started) {
			last = r
		}
	}
	return last, nil
}
