// SPDX-License-Identifier: Apache-2.0

package results

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// VerdictTable has a row for each kernel of the record: what was built, proved, tested and measured. Controls are in it only where
// there is nothing else.
func VerdictTable(r *Run) (*Table, error) {
	if len(r.Cells) == 0 {
		return nil, fmt.Errorf("table verdicts: %w in this run of %s", ErrNotMeasured, r.Series)
	}
	t := &Table{Name: "verdicts", Columns: []Column{
		{Head: "arch", Label: true}, {Head: "patch", Label: true}, {Head: "build", Right: true},
		{Head: "proofs", Right: true}, {Head: "tests"}, {Head: "benchmark", Right: true},
	}}
	configs := releaseConfigs(r)
	if len(configs) == 0 {
		configs = distinct(r, func(c *Cell) string { return c.Config })
	}
	if len(configs) > 1 {
		t.Columns = slices.Insert(t.Columns, 2, Column{Head: "config", Label: true})
	}
	unit, oneUnit := headlineUnit(r)
	if oneUnit {
		t.Columns[len(t.Columns)-1].Unit = unit
	}
	if h := r.Headline; h != nil {
		t.Notes = append(t.Notes, fmt.Sprintf("Benchmark: %s, %s.", h.Benchmark, h.Unit))
	}
	missing, expected := false, false
	for _, arch := range distinct(r, func(c *Cell) string { return c.Arch }) {
		for _, config := range configs {
			if !slices.ContainsFunc(r.Cells, func(c Cell) bool { return c.Arch == arch && c.Config == config }) {
				continue // a variant that is not for this architecture
			}
			for _, patch := range patchesOf(r) {
				c := r.CellAt(arch, patch, config)
				row := []string{arch, patchName(patch), buildText(c), proofText(c), testText(c), benchText(c, r.Headline, oneUnit)}
				if len(configs) > 1 {
					row = slices.Insert(row, 2, config)
				}
				missing = missing || slices.Contains(row, "")
				expected = expected || c != nil && c.Tests != nil && c.Tests.Expected > 0
				t.Rows = append(t.Rows, row)
			}
		}
	}
	if expected {
		t.Notes = append(t.Notes, "Expected: fails before the patch that mends it, and is known to.")
	}
	if missing {
		t.Notes = append(t.Notes, Missing+": not done in this run.")
	}
	return t, nil
}

// headlineUnit is the unit of the figures in the benchmark column, where all of them have one unit.
func headlineUnit(r *Run) (unit string, one bool) {
	if r.Headline != nil {
		return r.Headline.Unit, true
	}
	for i := range r.Cells {
		if bs := r.Cells[i].Benchmarks; len(bs) > 0 {
			if unit != "" && unit != bs[0].Unit {
				return "", false
			}
			unit = bs[0].Unit
		}
	}
	return unit, unit != ""
}

func buildText(c *Cell) string {
	switch {
	case c == nil || c.Build == nil:
		return ""
	case len(c.Build.Errors) > 0:
		return count(len(c.Build.Errors), "error")
	case c.Build.Cached:
		return "cached"
	}
	s := FormatSeconds(c.Build.Seconds)
	if n := len(c.Build.WarningsNew); n > 0 {
		s += ", " + count(n, "warning")
	}
	return s
}

func proofText(c *Cell) string {
	if c == nil || len(c.Proofs) == 0 {
		return ""
	}
	held := 0
	for _, p := range c.Proofs {
		if p.Pass {
			held++
		}
	}
	return fmt.Sprintf("%d/%d", held, len(c.Proofs))
}

func testText(c *Cell) string {
	if c == nil || c.Tests == nil {
		return ""
	}
	t := c.Tests
	var parts []string
	// A guest that ended badly says so first: its counts are of what it got to.
	if t.Verdict != Pass && t.Verdict != Fail {
		parts = append(parts, string(t.Verdict))
	}
	parts = append(parts, fmt.Sprintf("%d passed", t.Passed))
	for _, n := range []struct {
		count int
		what  string
	}{{t.Failed, "failed"}, {t.Expected, "expected"}, {t.Skipped, "skipped"}} {
		if n.count > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n.count, n.what))
		}
	}
	return strings.Join(parts, ", ")
}

// benchText is the headline's figure, or the first one where the series names none.
func benchText(c *Cell, h *Headline, oneUnit bool) string {
	if c == nil || len(c.Benchmarks) == 0 {
		return ""
	}
	b := c.Benchmarks[0]
	if h != nil {
		i := slices.IndexFunc(c.Benchmarks, func(b Benchmark) bool { return h.Is(b.Name, b.Unit) })
		if i < 0 {
			return ""
		}
		b = c.Benchmarks[i]
	}
	s, ok := Summarize(b.Values)
	if !ok {
		return ""
	}
	if oneUnit {
		return FormatSummary(s, b.Unit)
	}
	return FormatSummary(s, b.Unit) + " " + b.Unit
}

// StageTable shows where the time of a run went.
func StageTable(r *Run) (*Table, error) {
	if len(r.Stages) == 0 {
		return nil, fmt.Errorf("table stages: %w in this run of %s", ErrNotMeasured, r.Series)
	}
	t := &Table{Name: "stages", Columns: []Column{{Head: "stage", Label: true}, {Head: "time", Right: true}}}
	details := slices.ContainsFunc(r.Stages, func(s Stage) bool { return s.Detail != "" })
	if details {
		t.Columns = append(t.Columns, Column{Head: "detail", Blank: true})
	}
	for _, s := range append(slices.Clone(r.Stages), Stage{Name: "total", Seconds: r.Duration().Seconds()}) {
		row := []string{s.Name, FormatSeconds(s.Seconds)}
		if details {
			row = append(row, s.Detail)
		}
		t.Rows = append(t.Rows, row)
	}
	return t, nil
}

// FormatSeconds renders a time as 0.31s, 31.2s or 5m12s.
func FormatSeconds(s float64) string {
	switch {
	case s < 1:
		return strconv.FormatFloat(s, 'f', 2, 64) + "s"
	case s < 99.95:
		return strconv.FormatFloat(s, 'f', 1, 64) + "s"
	}
	return time.Duration(s * float64(time.Second)).Round(time.Second).String()
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
