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
)

var markUnits = []string{firstMark, lastMark, markedOps, calmFrom, calmTo}

// functionsFile has in a guest's folder what was counted in it, by benchmark and function.
const functionsFile = "functions.json"

// takeMarks takes out of a guest's figures what is none: where the marks of its benchmarks are.
func takeMarks(bs []results.Benchmark) (figures []results.Benchmark, marks map[string]map[string]int) {
	marks = map[string]map[string]int{}
	for _, b := range bs {
		if !slices.Contains(markUnits, b.Unit) {
			figures = append(figures, b)
			continue
		}
		if marks[b.Name] == nil {
			marks[b.Name] = map[string]int{}
		}
		marks[b.Name][b.Unit] = int(b.Values[len(b.Values)-1])
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
	byName := map[string]map[string]float64{}
	for name, at := range marks {
		functions, err := c.Between(at[firstMark], at[lastMark])
		if high, ok := at[calmTo]; ok {
			functions, err = c.Calm(at[firstMark], at[lastMark], at[calmFrom], high)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		ops := float64(at[markedOps])
		if ops < 1 {
			return fmt.Errorf("%s: %v operations between its marks", name, ops)
		}
		byName[name] = map[string]float64{}
		for function, n := range functions {
			byName[name][function] = float64(n) / ops
		}
		if err := sameAsClock(name, results.CountInstructions(bs), float64(functions.Sum())/ops); err != nil {
			return err
		}
	}
	data, err := json.Marshal(byName)
	if err == nil {
		err = os.WriteFile(filepath.Join(m.Dir, functionsFile), data, 0o644)
	}
	return errors.Join(err, m.RemoveCounts())
}

// sameAsClock refuses counts that are not what the guest's own clock says.
func sameAsClock(name string, bs []results.Benchmark, counted float64) error {
	i := slices.IndexFunc(bs, func(b results.Benchmark) bool { return b.Name == name && b.Unit == results.Instructions })
	if i < 0 {
		return fmt.Errorf("%s: it has marks, and no figure in %s", name, results.Instructions)
	}
	if v := bs[i].Values[len(bs[i].Values)-1]; math.Abs(counted-v) > results.FunctionTolerance*v {
		return fmt.Errorf("%s: QEMU has counted %.1f instructions an operation between the marks, and the guest's clock says %.1f", name, counted, v)
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
	var byName map[string]map[string]float64
	if err := json.Unmarshal(data, &byName); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, functionsFile), err)
	}
	return byName, nil
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
			if b.Unit != results.Instructions || c.functions[b.Name] == nil {
				continue
			}
			var old results.FunctionCounts
			if before != nil {
				old = before.functions[b.Name]
			}
			var err error
			if b.Functions, err = results.FunctionsOf(old, c.functions[b.Name]); err != nil {
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
