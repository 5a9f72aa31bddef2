// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/seriesrig/series/results"
)

// benchFlags say how benchmarks are run.
type benchFlags struct {
	Mode      string `enum:",wall,icount" default:"" placeholder:"wall|icount" help:"wall: the host's clock. icount: instructions, exact, one CPU (default: icount, or wall where the series wants several CPUs)."`
	Seeds     int    `default:"8" placeholder:"K" help:"Boots in icount mode, with seeds 1 to K (default: ${default})."`
	Count     int    `default:"5" placeholder:"N" help:"Repetitions in wall mode (default: ${default})."`
	Control   bool   `help:"Measure the base with everything moved to other addresses, too: what that shows, a patch may show that does nothing. And measure the first kernel twice, to see that it repeats."`
	Boots     int    `placeholder:"N" help:"In wall mode: boot each kernel N times, in turns, with the first kernel once more in each turn as a control; at least 10. Without it nothing is said about costs in time."`
	Functions bool   `help:"In icount mode, also count by kernel function, so that the cost of a patch has a place; takes two to three times as long."`
	Benchtime string `default:"200x" help:"How long each repetition is; the fixed number of iterations keeps patches comparable (default: ${default})."`
}

func (f *benchFlags) options(g guestOptions) (measureOptions, error) {
	if f.Seeds < 1 || f.Seeds > 1000 {
		return measureOptions{}, usage("--seeds %d: want 1 to 1000", f.Seeds)
	}
	if f.Count < 1 || f.Count > 1000 {
		return measureOptions{}, usage("--count %d: want 1 to 1000", f.Count)
	}
	if f.Boots != 0 && (f.Boots < results.MinRounds || f.Boots > 1000) {
		return measureOptions{}, usage("--boots %d: want %d to 1000, or none: from fewer nothing can be concluded", f.Boots, results.MinRounds)
	}
	return measureOptions{guestOptions: g, mode: f.Mode, seeds: f.Seeds, count: f.Count, boots: f.Boots, benchtime: f.Benchtime, functions: f.Functions, control: f.Control}, nil
}

// benchCmd runs the series' benchmarks.
type benchCmd struct {
	cellFlags
	guestFlags
	benchFlags
	Require bool   `env:"SERIES_REQUIRE" help:"A benchmark that skips itself is a finding, but where a [[skip]] of series.toml says that it may."`
	Only    string `name:"run" placeholder:"REGEXP" help:"Only benchmarks whose name matches."`
	Record  string `placeholder:"DIR" help:"Also write the record and the figures in Go's benchmark format there."`
}

func (c *benchCmd) Run(ctx context.Context, a *app) error {
	started := time.Now()
	opts, err := c.options(guestOptions{run: c.Only, again: c.Again, perTest: max(c.PerTest, 10*time.Minute), require: c.Require})
	if err != nil {
		return err
	}
	if err := checkPattern(c.Only); err != nil {
		return err
	}
	s, cells, err := c.open(ctx, a, "bench", output{"--record", c.Record})
	if err != nil {
		return err
	}
	defer s.Close()
	if c.Control {
		controls, err := s.controls(cells)
		if err != nil {
			return err
		}
		cells = append(cells, controls...)
	}
	if len(c.Package) > 0 {
		s.series.Benchmarks = c.Package
	}
	if err := s.compile(ctx, cells, s.series.Benchmarks...); err != nil {
		return err
	}
	buildErr := s.build(ctx, cells)
	if buildErr != nil && !isFinding(buildErr) {
		return buildErr
	}
	if cells, err = s.addControls(cells, opts); err != nil {
		return err
	}
	if err := s.measure(ctx, cells, opts); err != nil {
		return err
	}
	r, err := s.record(started, cells)
	if err != nil {
		return err
	}
	if err := s.save(r, c.Record); err != nil {
		return err
	}
	return s.finish(r, buildErr, append([]string{"verdicts"}, s.benchmarkTables(r)...)...)
}

// save writes the record below the work folder and, where one is named, to a folder of the user's.
func (s *session) save(r *results.Run, record string) error {
	dirs := []string{filepath.Join(s.store.Dir, "runs", s.series.ID)}
	if record != "" {
		dirs = append(dirs, record)
	}
	var written []string
	for i, dir := range dirs {
		out := r
		if i > 0 {
			var err error
			if out, err = s.published(r); err != nil {
				return err
			}
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		jsonPath, txtPath, err := results.Save(dir, out)
		if err != nil {
			return err
		}
		written = append(written, jsonPath)
		if txtPath != "" {
			written = append(written, txtPath)
		}
	}
	r.Results = written
	return nil
}

// published is a copy of a record that does not tell on whose machine it was made.
func (s *session) published(r *results.Run) (*results.Run, error) {
	data, err := results.Encode(r)
	if err != nil {
		return nil, err
	}
	out, err := results.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	if err := anonymize(out, s.store.Dir, s.app.root()); err != nil {
		return nil, err
	}
	return out, nil
}

// anonymize gives the folders of this host other names, for a record that is published: those in the repository are relative
// to it, those of the work folder stay what they are below it, and of all others the last element is left.
func anonymize(r *results.Run, work, root string) error {
	root, err := filepath.Abs(root)
	if err != nil {
		return err
	}
	r.ReplacePaths(map[string]string{work: "$WORK", root: "."})
	r.HidePaths()
	if home, err := os.UserHomeDir(); err == nil { // of what tests print, this may be the host's
		r.ReplacePaths(map[string]string{home: "$HOME"})
	}
	return nil
}

// benchmarkTables names the tables of the record's figures: the ones that the cover letter has places for, or else what
// each patch costs.
func (s *session) benchmarkTables(r *results.Run) []string {
	var names []string
	for _, name := range s.series.Cover.Tables {
		if name != "verdicts" && name != "stages" {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		names = append(names, "cost")
	}
	for _, name := range []string{"functions", "counts"} {
		if !slices.Contains(names, name) {
			names = append(names, name) // finish passes over it where nothing was counted
		}
	}
	return names
}
