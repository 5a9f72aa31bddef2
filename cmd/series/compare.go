// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"

	"github.com/seriesrig/series/results"
)

// compareCmd sets two recorded runs against each other.
type compareCmd struct {
	Old string `arg:"" placeholder:"RECORD" help:"The earlier record: the .json of a run."`
	New string `arg:"" placeholder:"RECORD" help:"The later one."`
}

func (c *compareCmd) Run(a *app) error {
	before, err := loadRecord(c.Old)
	if err != nil {
		return err
	}
	after, err := loadRecord(c.New)
	if err != nil {
		return err
	}
	runs, err := results.CompareRuns(before, after)
	var mismatch *results.MismatchError
	switch {
	case errors.As(err, &mismatch):
		return &coded{exitUsage, fmt.Errorf("%s and %s: %w", c.Old, c.New, err)}
	case err != nil:
		return fmt.Errorf("%s and %s: %w", c.Old, c.New, err)
	}
	if a.cli.JSON {
		return a.printJSON(runs)
	}
	text, err := runs.Table().Text(100)
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(a.stdout, text)
	return err
}

// loadRecord reads a record that the user named. One that is cut off, edited or none at all is the user's to mend.
func loadRecord(path string) (*results.Run, error) {
	r, err := results.Load(path)
	if err != nil {
		return nil, &coded{exitUsage, err}
	}
	return r, nil
}
