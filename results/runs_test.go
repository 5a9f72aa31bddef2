// SPDX-License-Identifier: Apache-2.0

package results_test

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seriesrig/series/results"
)

func TestCompareRuns(t *testing.T) {
	before, after := watchers(), watchers()
	encode(t, before)
	// A second revision: another patch 3, of which the kernel costs less, a kernel not measured, and one more.
	after.Revision = 2
	after.Patches[2].Hash, after.Patches[2].Subject = sum("3b"), "audit: use a task watcher, cheaper"
	c := after.CellAt("amd64", 3, "release")
	c.Build.ID = "amd64-3b"
	c.Tests = &results.Tests{Verdict: results.Panic}
	for k := range c.Benchmarks[0].Values {
		c.Benchmarks[0].Values[k] -= 2000
	}
	after.Cells = append(after.Cells, counted("ppc64", 2, ""))
	after.CellAt("amd64", 1, "release").Benchmarks = nil
	encode(t, after)
	runs, err := results.CompareRuns(before, after)
	if err != nil {
		t.Fatal(err)
	}
	text := textOf(t, runs.Table())
	golden(t, "compare.golden", text)
	checkWidth(t, text, results.Width)
	for _, f := range runs.Figures {
		alone := f.Arch == "amd64" && f.Patch == 1 || f.Arch == "ppc64" && f.Patch == 2
		switch {
		case alone != (f.Delta == nil):
			t.Errorf("%+v: compared with what was not measured", f)
		case alone:
		case f.Method != results.Paired || f.DeltaErr == nil:
			t.Errorf("%+v: not compared seed by seed", f)
		case f.Arch == "amd64" && f.Patch == 3 && f.Benchmark == "Clone" && (*f.Delta != -2000 || !f.Believed):
			t.Errorf("%+v, want -2000", f)
		case f.Patch < 3 && *f.Delta != 0:
			t.Errorf("%+v: the same build differs", f)
		}
	}
	for _, want := range []string{"patch 3 differs", "amd64/release patch 3: tests: pass, now panic"} {
		if !slices.ContainsFunc(runs.Changes, func(c string) bool { return strings.HasPrefix(c, want) }) {
			t.Errorf("changes are %q, without %q", runs.Changes, want)
		}
	}
}

// Records that were made under other conditions are refused, and the difference is named.
func TestCompareRunsRefuses(t *testing.T) {
	each := func(f func(*results.Cell)) func(*results.Run) {
		return func(r *results.Run) {
			for i := range r.Cells {
				r.Cells[i].Build.ID += "x"
				f(&r.Cells[i])
			}
		}
	}
	for what, spoil := range map[string]func(*results.Run){
		"series":            func(r *results.Run) { r.Series = "other" },
		"base version":      func(r *results.Run) { r.Base.Version = "6.12.118" },
		"base hash":         func(r *results.Run) { r.Base.Hash = sum("other") },
		"config hash":       each(func(c *results.Cell) { c.ConfigHash = sum("x") }),
		"QEMU version":      each(func(c *results.Cell) { c.QEMU.Version = "9.0" }),
		"QEMU command line": each(func(c *results.Cell) { c.QEMU.Command[2] = "q35" }),
		"clock":             each(func(c *results.Cell) { c.QEMU.Command = []string{"qemu"} }),
		"seeds": each(func(c *results.Cell) {
			for i := range c.Benchmarks {
				c.Benchmarks[i].Seeds[0] = 77
			}
		}),
		"toolchain": each(func(c *results.Cell) { c.Toolchain = nil }),
	} {
		before, after := watchers(), watchers()
		spoil(after)
		_, err := results.CompareRuns(before, after)
		var mismatch *results.MismatchError
		if !errors.As(err, &mismatch) || mismatch.What != what || mismatch.Old == mismatch.New {
			t.Errorf("%s: CompareRuns = %v, want a mismatch of it", what, err)
		}
	}
	before, after := watchers(), watchers()
	after.Cells[0].Toolchain.ID = sum("another gcc 12.2.0")
	_, err := results.CompareRuns(before, after)
	var mismatch *results.MismatchError
	if !errors.As(err, &mismatch) || mismatch.What != "toolchain" || mismatch.Old == mismatch.New {
		t.Errorf("another compiler of the same version: %v", err)
	}
	after = watchers()
	after.Cells[0].Benchmarks[0].Values[3] += 2
	if _, err := results.CompareRuns(before, after); !errors.As(err, new(*results.RepeatError)) {
		t.Errorf("the same build with another figure: %v, want a RepeatError", err)
	}
	// No cell in common is no reason to overlook that the bases differ.
	after = watchers()
	after.Cells, after.Base.Version = nil, "6.13"
	if _, err := results.CompareRuns(before, after); !errors.As(err, &mismatch) {
		t.Errorf("no common cell, other bases: %v", err)
	}
}

// The recorded run against itself: each figure is there, and none has changed.
func TestCompareRunsRecorded(t *testing.T) {
	names, err := filepath.Glob("kauditd-wakeup/*.json")
	if err != nil || len(names) == 0 {
		t.Fatalf("no recorded run: %v", err)
	}
	r, err := results.Load(names[0])
	if err != nil {
		t.Fatal(err)
	}
	runs, err := results.CompareRuns(r, r)
	if err != nil {
		t.Fatal(err)
	}
	if len(runs.Figures) < 100 {
		t.Errorf("%d figures, want at least 100", len(runs.Figures))
	}
	for _, f := range runs.Figures {
		if f.Delta == nil || *f.Delta != 0 || f.Believed {
			t.Errorf("against itself: %+v", f)
		}
	}
	text, err := runs.Table().Text(0)
	if err != nil {
		t.Fatal(err)
	}
	checkWidth(t, text, results.Width)
}
