// SPDX-License-Identifier: Apache-2.0

package results_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/seriesrig/series/results"
)

func TestSummarize(t *testing.T) {
	if _, ok := results.Summarize(nil); ok {
		t.Error("there is a summary of nothing")
	}
	values := []float64{5, 1, 4, 2, 3, 6}
	s, _ := results.Summarize(values)
	if s.N != 6 || s.Median != 3.5 || s.Lo != 1 || s.Hi != 6 || s.Confidence < 0.95 || len(s.Warnings) != 0 {
		t.Errorf("Summarize(1..6) = %+v", s)
	}
	if !slices.Equal(values, []float64{5, 1, 4, 2, 3, 6}) {
		t.Errorf("Summarize changed the order of its argument: %v", values)
	}
	s, _ = results.Summarize([]float64{1, 2, 3, 4, 5})
	if s.Median != 3 || s.Lo != 1 || s.Hi != 5 || math.Abs(s.Confidence-0.9375) > 1e-9 || len(s.Warnings) != 1 {
		t.Errorf("Summarize(1..5) = %+v, want 1 to 5 with 93.75 %% and a warning", s)
	}
	if s, _ = results.Summarize([]float64{7}); s.Median != 7 || s.Confidence != 0 {
		t.Errorf("Summarize(7) = %+v, want no confidence", s)
	}
}

// cells returns two comparable cells with one metric each.
func cells(before, after []float64) (*results.Run, *results.Cell, *results.Cell) {
	r := trial()
	old, fresh := trialCell("amd64", 0), trialCell("amd64", 1)
	old.Benchmarks = []results.Benchmark{{Name: "A", Unit: "u", Values: before}}
	fresh.Benchmarks = []results.Benchmark{{Name: "A", Unit: "u", Values: after}}
	return r, &old, &fresh
}

func TestCompare(t *testing.T) {
	r, old, fresh := cells([]float64{10, 11, 12, 13, 14}, []float64{20, 21, 22, 23, 24})
	c, err := results.Compare(r, old, r, fresh, "A", "u")
	if err != nil {
		t.Fatal(err)
	}
	// The interval of n=5+5: of the 25 differences, sorted, the 3rd and the 23rd (Hollander and Wolfe, table A.6: C = 3 at
	// 96.8 %).
	if c.Delta != 10 || c.Lo != 7 || c.Hi != 13 || !c.Significant || math.Abs(c.Confidence-0.968254) > 1e-5 {
		t.Errorf("Compare = %+v, want 10 in 7 to 13 with 96.8 %%", c)
	}
	if change, half, ok := c.Percent(); !ok || math.Abs(change-100*10.0/12) > 1e-9 || math.Abs(half-25) > 1e-9 {
		t.Errorf("Percent = %v, %v, %v", change, half, ok)
	}
	// The same figures are no change, and too few can show none.
	if c, _ = results.Compare(r, old, r, old, "A", "u"); c.Significant || c.Delta != 0 {
		t.Errorf("a cell against itself: %+v", c)
	}
	r, old, fresh = cells([]float64{1, 2, 3}, []float64{11, 12, 13})
	if c, _ = results.Compare(r, old, r, fresh, "A", "u"); c.Significant || len(c.Warnings) != 2 || c.Lo != 8 || c.Hi != 12 {
		t.Errorf("n=3+3: %+v, want no significance, the whole range and two warnings", c)
	}
	r, old, fresh = cells([]float64{0, 0, 0, 0, 0}, []float64{3, 3, 3, 3, 3})
	c, _ = results.Compare(r, old, r, fresh, "A", "u")
	if _, _, ok := c.Percent(); ok || c.Delta != 3 || !c.Significant {
		t.Errorf("from 0: %+v", c)
	}
}

// The interval holds the true shift as often as it says, on data that are anything but normal.
func TestCompareCoverage(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	const shift, rounds = 5.0, 2000
	held := 0
	for range rounds {
		draw := func(by float64) []float64 {
			v := make([]float64, 7)
			for i := range v {
				v[i] = by + rnd.ExpFloat64()
			}
			return v
		}
		r, old, fresh := cells(draw(0), draw(shift))
		c, err := results.Compare(r, old, r, fresh, "A", "u")
		if err != nil {
			t.Fatal(err)
		}
		if c.Lo <= shift && shift <= c.Hi {
			held++
		}
	}
	if share := float64(held) / rounds; share < 0.94 || share > 0.985 {
		t.Errorf("the interval held the truth in %.1f %% of %d rounds, it promises 95 to 97", 100*share, rounds)
	}
}

func TestCompareRefuses(t *testing.T) {
	for what, spoil := range map[string]func(*results.Run, *results.Cell){
		"base spec":      func(r *results.Run, c *results.Cell) { r.Base.Spec = "dir:x" },
		"base version":   func(r *results.Run, c *results.Cell) { r.Base.Version = "6.12.118" },
		"base hash":      func(r *results.Run, c *results.Cell) { r.Base.Hash = sum("other") },
		"architecture":   func(r *results.Run, c *results.Cell) { c.Arch = "ppc64" },
		"config":         func(r *results.Run, c *results.Cell) { c.Config = "debug" },
		"config hash":    func(r *results.Run, c *results.Cell) { c.ConfigHash = sum("x") },
		"toolchain":      func(r *results.Run, c *results.Cell) { c.Toolchain.ID = "x" },
		"QEMU version":   func(r *results.Run, c *results.Cell) { c.QEMU.Version = "9.0" },
		"accelerator":    func(r *results.Run, c *results.Cell) { c.QEMU.Accel = "kvm" },
		"machine":        func(r *results.Run, c *results.Cell) { c.QEMU.Machine = "q35" },
		"number of CPUs": func(r *results.Run, c *results.Cell) { c.QEMU.CPUs = 1 },
		"memory":         func(r *results.Run, c *results.Cell) { c.QEMU.Memory = 1 },
	} {
		oldRun, newRun := trial(), trial()
		old, fresh := trialCell("amd64", 0), trialCell("amd64", 1)
		spoil(newRun, &fresh)
		_, err := results.Compare(oldRun, &old, newRun, &fresh, "Openat-2", "wakeups/event")
		var mismatch *results.MismatchError
		if !errors.As(err, &mismatch) || mismatch.What != what || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: Compare = %v, want a mismatch of it", what, err)
		}
	}
}

// A patch that brings options of the series along is compared with the one before, and that is told.
func TestCompareOwnOptions(t *testing.T) {
	r := trial()
	old, fresh := trialCell("amd64", 0), trialCell("amd64", 1)
	plain, err := results.Compare(r, &old, r, &fresh, "Openat-2", "wakeups/event")
	if err != nil {
		t.Fatal(err)
	}
	fresh.ConfigHash = sum("x")
	c, err := results.Compare(r, &old, r, &fresh, "Openat-2", "wakeups/event")
	if err != nil || c.Delta != plain.Delta || len(c.Warnings) != len(plain.Warnings)+1 || !strings.Contains(c.Warnings[len(plain.Warnings)], "up to patch 1 ") {
		t.Errorf("Compare = %+v, %v, want %+v with a warning", c, err, plain)
	}
}

func TestLink(t *testing.T) {
	r := trial()
	encode(t, r)
	if err := results.Link(r); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		arch    string
		patch   int
		delta   float64
		nothing bool
	}{
		{"amd64", 0, 0, true}, {"amd64", 1, 0, false}, {"amd64", 2, -2.995, false},
		{"ppc64", 0, 0, true}, {"ppc64", 2, 0, true}, // patch 1 is missing there, and 0 is not the previous patch
	} {
		b := r.CellAt(c.arch, c.patch, "release").Metric("Openat-2", "wakeups/event")
		switch {
		case c.nothing && (b.Previous != nil || b.Delta != nil || b.DeltaErr != nil):
			t.Errorf("%s patch %d is compared with %v", c.arch, c.patch, b.Previous)
		case !c.nothing && (b.Delta == nil || b.DeltaErr == nil || math.Abs(*b.Delta-c.delta) > 0.0051 || len(b.Previous) != 6):
			t.Errorf("%s patch %d: delta is %v, want %v", c.arch, c.patch, b.Delta, c.delta)
		}
	}
	r.CellAt("amd64", 1, "release").QEMU.Version = "8"
	if err := results.Link(r); err == nil {
		t.Error("Link compared cells of two QEMU versions")
	}
}
