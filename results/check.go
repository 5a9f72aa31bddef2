// SPDX-License-Identifier: Apache-2.0

package results

import (
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Check says what in the record cannot be true. It is called before a record is written and after one was read.
func (r *Run) Check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
	}
	switch {
	case r.Format != Format:
		return bad("format is %d, not %d", r.Format, Format)
	case r.Series == "":
		return bad("series is empty")
	case r.Revision < 1:
		return bad("revision is %d", r.Revision)
	case !r.Verdict.valid():
		return bad("verdict is %q", r.Verdict)
	case r.Base.Spec == "" || r.Base.Version == "":
		return bad("base: spec or version is empty")
	case !isHash(r.Base.Hash):
		return bad("base: hash is %q, not sha256:…", r.Base.Hash)
	case r.Started.IsZero() || r.Finished.Before(r.Started):
		return bad("started %v, finished %v", r.Started, r.Finished)
	}
	for i, p := range r.Patches {
		if p.N != i+1 || p.File == "" || !isHash(p.Hash) {
			return bad("patches[%d]: n %d, file %q, sha %q", i, p.N, p.File, p.Hash)
		}
	}
	type cellKey struct {
		arch, config string
		patch        int
	}
	seen := make(map[cellKey]bool)
	for i := range r.Cells {
		c := &r.Cells[i]
		key := cellKey{c.Arch, c.Config, c.Patch}
		if seen[key] {
			return bad("two cells for %s", c)
		}
		seen[key] = true
		if c.Patch < 0 || c.Patch > len(r.Patches) {
			return bad("cell %s: the series has %d patches", c, len(r.Patches))
		}
		if err := c.check(); err != nil {
			return bad("cell %s: %v", c, err)
		}
	}
	return nil
}

// String names the cell: amd64/release patch 2.
func (c *Cell) String() string { return fmt.Sprintf("%s/%s patch %d", c.Arch, c.Config, c.Patch) }

func (c *Cell) check() error {
	if c.Arch == "" || c.Config == "" {
		return fmt.Errorf("arch or config is empty")
	}
	// What does not build has no id.
	if b := c.Build; b != nil && (b.ID == "" && len(b.Errors) == 0 || b.Seconds < 0) {
		return fmt.Errorf("build: id %q, seconds %v", b.ID, b.Seconds)
	}
	if d := c.Delta; d != nil {
		if err := d.check(c.Patch); err != nil {
			return fmt.Errorf("delta: %w", err)
		}
	}
	if t := c.Tests; t != nil {
		if !t.Verdict.valid() {
			return fmt.Errorf("tests: verdict is %q", t.Verdict)
		}
		if t.Passed < 0 || t.Failed < 0 || t.Skipped < 0 || t.Expected < 0 {
			return fmt.Errorf("tests: a count is negative")
		}
		if t.Verdict == Pass && t.Failed > 0 {
			return fmt.Errorf("tests: verdict is pass with %d failed", t.Failed)
		}
	}
	seen := make(map[metricKey]bool)
	for _, b := range c.Benchmarks {
		key := metricKey{b.Name, b.Unit}
		if seen[key] {
			return fmt.Errorf("benchmark %s %s is there twice", b.Name, b.Unit)
		}
		seen[key] = true
		if err := b.check(); err != nil {
			return fmt.Errorf("benchmark %s %s: %w", b.Name, b.Unit, err)
		}
	}
	return nil
}

func (b *Benchmark) check() error {
	switch {
	case b.Name == "" || strings.ContainsAny(b.Name, " \t\r\n"):
		return fmt.Errorf("name is %q", b.Name)
	case b.Unit == "" || strings.ContainsAny(b.Unit, " \t\r\n"):
		return fmt.Errorf("unit is %q", b.Unit)
	case len(b.Values) == 0:
		return fmt.Errorf("it has no values; a metric that was not measured is left out")
	case b.Iters != nil && len(b.Iters) != len(b.Values):
		return fmt.Errorf("%d iteration counts for %d values", len(b.Iters), len(b.Values))
	case b.Seeds != nil && len(b.Seeds) != len(b.Values):
		return fmt.Errorf("%d seeds for %d values", len(b.Seeds), len(b.Values))
	case b.Boots != nil && len(b.Boots) != len(b.Values):
		return fmt.Errorf("%d boots for %d values", len(b.Boots), len(b.Values))
	case b.Boots != nil && slices.Min(b.Boots) < 1:
		return fmt.Errorf("boots are counted from 1")
	case !b.DeltaMethod.valid() || b.DeltaMethod != "" && b.Delta == nil:
		return fmt.Errorf("delta method is %q", b.DeltaMethod)
	case (b.Delta != nil || b.DeltaErr != nil) && len(b.Previous) == 0:
		return fmt.Errorf("a delta without previous values")
	}
	for _, v := range append(append([]float64(nil), b.Values...), b.Previous...) {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("value %v", v)
		}
	}
	return checkFunctions(b.Functions, b.Values)
}

func (v Verdict) valid() bool {
	switch v {
	case Pass, Fail, Splat, Panic, Hang, NoBoot, Rig:
		return true
	}
	return false
}

func (m Method) valid() bool {
	return m == "" || m == Unpaired || m == Paired || m == Interleaved
}

// isHash tells a sha256 in the form that records use.
func isHash(s string) bool {
	s, ok := strings.CutPrefix(s, "sha256:")
	if !ok || len(s) != 64 || strings.ToLower(s) != s {
		return false
	}
	_, err := hex.DecodeString(s)
	return err == nil
}
