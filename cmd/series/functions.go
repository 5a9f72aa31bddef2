// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seriesrig/series/results"
	"github.com/seriesrig/series/vmtest"
	"github.com/seriesrig/series/vmtest/counts"
)

// The units by which a benchmark says where its marks are, as vmtest/guesttests/internal/mark has them.
const (
	firstMark = "first-mark"
	lastMark  = "last-mark"
	markedOps = "marked-ops"
	calmFrom  = "calm-from"
	calmTo    = "calm-to"
	markStep  = "mark-step"

	markedUnit = "@" // before the unit of the figure that the marks are of, where that is not insns/op
)

var markUnits = []string{firstMark, lastMark, markedOps, calmFrom, calmTo, markStep}

// A figure names one of a benchmark's figures.
type figure struct{ name, unit string }

// key is a figure's name in the functions file, where neither name nor unit has a blank in it.
func (f figure) key() string { return f.name + " " + f.unit }

// functionsFile has in a guest's folder what was counted in it, by figure and function.
const functionsFile = "functions.json"

// takeMarks takes out of a guest's figures what is none: where the marks of its benchmarks are.
func takeMarks(bs []results.Benchmark) (figures []results.Benchmark, marks map[figure]map[string]int) {
	marks = map[figure]map[string]int{}
	for _, b := range bs {
		what, unit, of := strings.Cut(b.Unit, markedUnit)
		if !slices.Contains(markUnits, what) {
			figures = append(figures, b)
			continue
		}
		if !of {
			unit = results.Instructions
		}
		f := figure{b.Name, unit}
		if marks[f] == nil {
			marks[f] = map[string]int{}
		}
		marks[f][what] = int(b.Values[len(b.Values)-1])
	}
	return figures, marks
}

// reduceCounts makes the functions file of a guest that has ended of what QEMU wrote, which is much larger, and removes that.
func reduceCounts(m vmtest.Machine, res *vmtest.TestResult) error {
	if m.Icount == nil || !m.Icount.Count || res.Verdict.Kind != vmtest.Pass {
		return nil
	}
	c, err := m.Counts()
	if err != nil {
		return err
	}
	bs, err := results.ParseBenchmarks(strings.NewReader(strings.Join(res.Benchmarks, "\n")+"\n"), res.Log)
	if err != nil {
		return nil // whoever wants the figures says what is wrong with them
	}
	bs, marks := takeMarks(bs)
	byFigure := map[string]map[string]float64{}
	for f, at := range marks {
		functions, err := marked(c, at)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		ops := float64(at[markedOps])
		if ops < 1 {
			return fmt.Errorf("%s: %v operations between its marks", f.name, ops)
		}
		each := map[string]float64{}
		for function, n := range functions {
			each[function] = float64(n) / ops
		}
		if err := sameAsClock(f, results.CountInstructions(bs), float64(functions.Sum())/ops); err != nil {
			return err
		}
		byFigure[f.key()] = each
	}
	data, err := json.Marshal(byFigure)
	if err == nil {
		err = os.WriteFile(filepath.Join(m.Dir, functionsFile), data, 0o644)
	}
	return errors.Join(err, m.RemoveCounts())
}

// marked is what was executed between a benchmark's marks, or in those of the spans between them that it has chosen.
func marked(c *counts.Counts, at map[string]int) (counts.Functions, error) {
	if high, ok := at[calmTo]; ok {
		return c.Calm(at[firstMark], at[lastMark], at[calmFrom], high)
	}
	if step, ok := at[markStep]; ok {
		return c.Steps(at[firstMark], at[lastMark], step)
	}
	return c.Between(at[firstMark], at[lastMark])
}

// sameAsClock refuses counts that are not what the guest's own clock says.
func sameAsClock(f figure, bs []results.Benchmark, counted float64) error {
	i := slices.IndexFunc(bs, func(b results.Benchmark) bool { return b.Name == f.name && b.Unit == f.unit })
	if i < 0 {
		return fmt.Errorf("%s: it has marks, and no figure in %s", f.name, f.unit)
	}
	if v := bs[i].Values[len(bs[i].Values)-1]; math.Abs(counted-v) > results.FunctionTolerance*v {
		return fmt.Errorf("%s: QEMU has counted %.1f %s between the marks, and the guest's clock says %.1f", f.name, counted, f.unit, v)
	}
	return nil
}

// readFunctions reads the functions file of a guest; one without has counted nothing.
func readFunctions(dir string) (map[string]map[string]float64, error) {
	data, err := os.ReadFile(filepath.Join(dir, functionsFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var byFigure map[string]map[string]float64
	if err := json.Unmarshal(data, &byFigure); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, functionsFile), err)
	}
	return byFigure, nil
}

// attribute gives the figures of kernels their parts by function, each with its change from the kernel before of the same
// architecture and configuration.
func attribute(cells []*cell) error {
	type column struct{ arch, config string }
	last := map[column]*cell{}
	for _, c := range alternate(cells) {
		if c.build == nil || len(c.functions) == 0 {
			continue
		}
		key := column{c.rec.Arch, c.rec.Config}
		before := last[key]
		last[key] = c
		for i := range c.rec.Benchmarks {
			b := &c.rec.Benchmarks[i]
			key := figure{b.Name, b.Unit}.key()
			if c.functions[key] == nil {
				continue
			}
			var old results.FunctionCounts
			if before != nil {
				old = before.functions[key]
			}
			var err error
			if b.Functions, err = results.FunctionsOf(old, c.functions[key]); err != nil {
				return fmt.Errorf("%s: %s: %w", c.name, b.Name, err)
			}
		}
	}
	return nil
}

// countKey is what the outcome of a guest depends on besides its command line where its instructions are counted.
func countKey(m vmtest.Machine) string {
	if m.Icount == nil || !m.Icount.Count {
		return ""
	}
	return counts.ID()
}
