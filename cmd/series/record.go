// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/seriesrig/series/kernel"
	"github.com/seriesrig/series/kernel/kconfig"
	"github.com/seriesrig/series/patches"
	"github.com/seriesrig/series/results"
)

// record makes the run's record of what the cells have learned. verdict is the worst of the cells'.
func (s *session) record(started time.Time, cells []*cell) (*results.Run, error) {
	r := &results.Run{
		Series:   s.series.ID,
		Title:    s.series.Title,
		Revision: s.series.Revision,
		Verdict:  results.Pass,
		Base:     s.base(),
		Host:     results.ThisHost(),
		Tool:     results.ThisTool(),
		Command:  append([]string{"series"}, s.app.args...),
		Started:  started,
		Finished: started.Add(time.Since(started)), // a clock that was set meanwhile has no say
	}
	if h := s.series.Headline; h != (patches.Headline{}) {
		r.Headline = &results.Headline{Benchmark: h.Benchmark, Unit: h.Unit}
	}
	for _, p := range s.series.Patches {
		sum := sha256.Sum256(p.Raw)
		r.Patches = append(r.Patches, results.PatchFile{N: p.Number, File: filepath.Base(p.File), Subject: p.Subject,
			Hash: "sha256:" + hex.EncodeToString(sum[:])})
	}
	for _, c := range cells {
		r.Cells = append(r.Cells, *c.rec)
		if v := cellVerdict(c); v != results.Pass && r.Verdict == results.Pass {
			r.Verdict = v
		}
	}
	for _, t := range s.show.times() {
		r.Stages = append(r.Stages, results.Stage{Name: t.Name, Seconds: t.Took.Seconds()})
	}
	if err := results.Link(r); err != nil {
		return nil, err
	}
	return r, nil
}

func (s *session) base() results.Base {
	return results.Base{Spec: s.source.Spec, Version: s.version(), Hash: s.source.Hash, Commit: s.source.Commit}
}

// sha writes a hash as records have it.
func sha(hex string) string { return "sha256:" + hex }

// configHash is of the configuration that was asked for, before kconfig made a .config of it.
func configHash(arch kernel.Arch, fragments []*kconfig.Fragment) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n", arch.Name)
	for _, f := range fragments {
		for _, set := range f.Settings {
			fmt.Fprintf(h, "%s=%s\n", set.Symbol, set.Value)
		}
	}
	return sha(hex.EncodeToString(h.Sum(nil)))
}

func cellVerdict(c *cell) results.Verdict {
	for _, p := range c.rec.Proofs {
		if !p.Pass {
			return results.Fail
		}
	}
	switch {
	case c.build == nil:
		return results.Fail
	case c.rec.Tests != nil:
		return c.rec.Tests.Verdict
	}
	return results.Pass
}

// finish prints what a verb has learned: the record as JSON, or the tables, and turns findings into the exit status.
// buildErr is what the build stage returned; its errors have been shown as they came.
func (s *session) finish(r *results.Run, buildErr error, tables ...string) error {
	s.show.wait()
	a := s.app
	if a.cli.JSON {
		if err := a.printJSON(r); err != nil {
			return err
		}
	} else {
		for i, name := range tables {
			t, err := results.TableFor(name, r)
			if errors.Is(err, results.ErrNotMeasured) || errors.As(err, new(*results.UnknownTableError)) {
				continue // not asked for, of what the cover letter has places for
			}
			if err != nil {
				return err
			}
			text, err := t.Text(100)
			if err != nil {
				return err
			}
			if i > 0 {
				fmt.Fprintln(a.stdout)
			}
			fmt.Fprint(a.stdout, text)
		}
		printNews(a.stdout, r)
	}
	if buildErr != nil {
		var bad *kernel.BuildError
		if !errors.As(buildErr, &bad) {
			return buildErr
		}
		fmt.Fprintln(a.stderr, "series: "+buildErr.Error())
		return said{exitFinding}
	}
	if r.Verdict != results.Pass {
		return said{exitFinding}
	}
	return nil
}
