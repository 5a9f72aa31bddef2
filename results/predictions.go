// SPDX-License-Identifier: Apache-2.0

package results

import (
	"fmt"
	"slices"
	"strings"
)

// What was predicted of a cost.
const (
	Loss = "loss" // it grows
	Tie  = "tie"  // it stays
	Gain = "gain" // it shrinks
)

// A Prediction is what was said in advance about a series, in words.
type Prediction struct {
	Series string   `toml:"series"`
	What   string   `toml:"what"`
	Change string   `toml:"change"` // Loss, Tie or Gain
	Audit  []string `toml:"audit"`  // the states of audit that it is about
}

// PredictionsFor returns what was predicted of a series, and by whom.
func PredictionsFor(seriesID string) (source string, of []Prediction, err error) {
	f, err := anchors()
	if err != nil {
		return "", nil, err
	}
	for _, p := range f.AuditMarkers.Prediction {
		if p.Series == seriesID {
			of = append(of, p)
		}
	}
	return f.AuditMarkers.Source, of, nil
}

// about tells whether a benchmark measures what the prediction is about: audit in one of its states, and nobody who traces.
func (p Prediction) about(benchmark string) bool {
	parts := strings.Split(withoutCPUs(benchmark), "/")
	return len(parts) == 3 && parts[2] == "trace=no" && slices.Contains(p.Audit, strings.TrimPrefix(parts[1], "audit="))
}

// Held tells whether a comparison is as predicted. A difference that is not to be believed is none.
func (p Prediction) Held(c *Comparison) bool {
	changed := c.Believed() && c.Delta != 0
	switch p.Change {
	case Loss:
		return changed && c.Delta > 0
	case Gain:
		return changed && c.Delta < 0
	}
	return !changed
}

// predictionTable sets each prediction beside what was measured, of all benchmarks or of one of that base name: stock against the last
// patch of the run.
func predictionTable(name, of string, r *Run) (*Table, error) {
	source, predictions, err := PredictionsFor(r.Series)
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", name, err)
	}
	unit := costUnit(r, func(b Benchmark) bool {
		return (of == "" || of == strings.ToLower(baseName(b.Name))) && slices.ContainsFunc(predictions, func(p Prediction) bool { return p.about(b.Name) })
	})
	patches := patchesOf(r)
	if unit == "" || len(patches) < 2 || patches[0] != 0 {
		return nil, fmt.Errorf("table %s: %w in this run of %s", name, ErrNotMeasured, r.Series)
	}
	t := &Table{Name: name, Title: fmt.Sprintf("Predictions (%s), and %s measured", source, unit), Columns: []Column{
		{Head: "arch", Label: true}, {Head: "call/audit", Label: true}, {Head: "said"},
		{Head: "stock", Right: true}, {Head: "patched", Right: true}, {Head: "change", Right: true}, {Head: "so it"}}}
	patch := patches[len(patches)-1]
	n, noise := 0, false
	for _, row := range metricRows(r, releaseConfigs(r), benchmarksOf(r, layout{columns: []layoutColumn{{unit: unit}}}, of), []int{patch}, true) {
		for _, p := range predictions {
			if !p.about(row.bench) {
				continue
			}
			cmp, err := CompareCosts(r, r.CellAt(row.arch, 0, row.config), r, r.CellAt(row.arch, patch, row.config), row.bench, unit)
			if err != nil {
				return nil, fmt.Errorf("table %s: %w", name, err)
			}
			if cmp == nil {
				continue
			}
			n, noise = max(n, cmp.New.N), noise || !cmp.Believed()
			t.Rows = append(t.Rows, p.row(row, cmp, unit))
		}
	}
	if len(t.Rows) == 0 {
		return nil, fmt.Errorf("table %s: %w in this run of %s", name, ErrNotMeasured, r.Series)
	}
	for _, p := range predictions {
		t.Notes = append(t.Notes, fmt.Sprintf("Predicted: %s (%s).", p.What, strings.Join(p.Audit, ", ")))
	}
	t.Notes = append(t.Notes, "A loss is a change for the worse, a gain one for the better, that can be believed; a tie is any other.",
		fmt.Sprintf("Medians of at most n=%d; patched: with patch %d, the last of this run.", n, patch))
	if noise {
		t.Notes = append(t.Notes, "~: no significant change ("+Paired.test()+").")
	}
	return t, nil
}

// row is a line of the table. Of one seed nothing is concluded.
func (p Prediction) row(row metricRow, cmp *Comparison, unit string) []string {
	parts := strings.Split(withoutCPUs(row.bench), "/")
	cells := []string{row.arch, strings.ToLower(parts[0]) + "/" + strings.TrimPrefix(parts[1], "audit="), p.Change,
		FormatValue(cmp.Old.Median, unit), FormatValue(cmp.New.Median, unit), FormatChange(cmp, unit)}
	switch {
	case cmp.Confidence == 0:
		return append(cells, "")
	case p.Held(cmp):
		return append(cells, "held")
	}
	return append(cells, "did not")
}
