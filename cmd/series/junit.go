// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"github.com/seriesrig/series/results"
)

// junitFlag is of the verbs whose outcome a CI service may show in its test tab.
type junitFlag struct {
	JUnit string `name:"junit" placeholder:"FILE" help:"Also write the outcome as a JUnit report there."`
}

// output is where the report goes.
func (f junitFlag) output() output {
	if f.JUnit == "" {
		return output{}
	}
	return output{"--junit", filepath.Dir(f.JUnit)}
}

// write writes the report, where one is asked for.
func (f junitFlag) write(r *results.Run) error {
	if f.JUnit == "" {
		return nil
	}
	var b bytes.Buffer
	err := results.WriteJUnit(&b, r)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(f.JUnit), 0o755)
	}
	if err == nil {
		err = os.WriteFile(f.JUnit, b.Bytes(), 0o644)
	}
	if err != nil {
		return fmt.Errorf("--junit: %w", err)
	}
	return nil
}
