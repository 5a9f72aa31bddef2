// SPDX-License-Identifier: Apache-2.0

package results

import (
	"fmt"
	"math"
	"slices"

	"github.com/aclements/go-moremath/stats"
	"golang.org/x/perf/benchmath"
)

// Confidence is the level that intervals are asked for.
const Confidence = 0.95

// A Summary is the median of a metric with its interval. Where there are too few values for an interval at Confidence,
// Lo and Hi are the smallest and largest value, Confidence says how sure that interval is, and Warnings says why.
type Summary struct {
	N          int
	Median     float64
	Lo, Hi     float64
	Confidence float64
	Warnings   []string
}

// Summarize returns the summary of the values, which are not changed. Without values there is none.
func Summarize(values []float64) (Summary, bool) {
	if len(values) == 0 {
		return Summary{}, false
	}
	// NewSample sorts what it is given, and the order of a record's values is the order they were measured in.
	sample := benchmath.NewSample(slices.Clone(values), &benchmath.DefaultThresholds)
	sum := benchmath.AssumeNothing.Summary(sample, Confidence)
	s := Summary{N: len(values), Median: sum.Center, Lo: sum.Lo, Hi: sum.Hi, Confidence: sum.Confidence}
	for _, w := range append(sample.Warnings, sum.Warnings...) {
		s.Warnings = append(s.Warnings, w.Error())
	}
	if math.IsInf(s.Lo, 0) || math.IsInf(s.Hi, 0) {
		s.Lo, s.Hi = sample.Values[0], sample.Values[len(values)-1]
		// The median lies outside of the whole range only if all values fell on one side of it.
		s.Confidence = 1 - math.Pow(0.5, float64(len(values)-1))
	}
	return s, true
}

// A Method is how two sets of values were compared.
type Method string

// The methods. Which one is used follows from how the values were measured.
const (
	// Unpaired sets all values against all: Mann-Whitney U test, the interval that belongs to it, difference of medians.
	Unpaired Method = "unpaired"
	// Paired sets values of the same guest seed against each other: mean of the differences, Student's t on them.
	Paired Method = "paired"
	// Interleaved sets boots that followed each other against each other: median of the differences, bootstrap interval.
	Interleaved Method = "interleaved"
)

// A Comparison sets one metric of a cell against the same metric of another, the old one.
type Comparison struct {
	Method      Method
	Old, New    Summary
	Base        float64   // the old figure that Percent is of: its median, of Paired its mean
	Delta       float64   // as Method says
	Lo, Hi      float64   // interval of Delta
	Confidence  float64   // of that interval; 0 where there is none
	P           float64   // that there is no difference; of Interleaved no figure but 0 or 1, by whether 0 is in the interval
	Significant bool      // P is at most 0.05
	Diffs       []float64 // of each seed or boot, in their order; none of Unpaired
	Spread      float64   // standard deviation of Diffs
	Exact       bool      // there are two Diffs or more, and all are equal
	Floor       *Floor    // what the cell's control says; nil where there is none
	Warnings    []string
}

// Percent is the change relative to Base, with half the width of its interval. It has no value where Base is 0.
func (c *Comparison) Percent() (change, half float64, ok bool) {
	if c.Base == 0 {
		return 0, 0, false
	}
	old := math.Abs(c.Base)
	return 100 * c.Delta / old, 100 * c.Half() / old, true
}

// Half is half the width of Delta's interval.
func (c *Comparison) Half() float64 { return (c.Hi - c.Lo) / 2 }

// compareValues compares two samples, neither empty.
func compareValues(before, after []float64) *Comparison {
	a := benchmath.NewSample(slices.Clone(before), &benchmath.DefaultThresholds)
	b := benchmath.NewSample(slices.Clone(after), &benchmath.DefaultThresholds)
	test := benchmath.AssumeNothing.Compare(a, b)
	if a.Values[0] == b.Values[len(b.Values)-1] && b.Values[0] == a.Values[len(a.Values)-1] {
		// All values are one value, of which the test cannot say anything: it is no change, and nothing to warn of.
		test = benchmath.Comparison{P: 1, Alpha: test.Alpha}
	}
	c := &Comparison{Method: Unpaired, P: test.P, Significant: test.P <= test.Alpha}
	c.Old, _ = Summarize(before)
	c.New, _ = Summarize(after)
	c.Base = c.Old.Median
	c.Delta = c.New.Median - c.Old.Median
	c.Lo, c.Hi, c.Confidence = shiftInterval(a.Values, b.Values)
	// The difference of the medians is what a reader works out from the table. It need not be the centre of the
	// interval, and where it lies outside, widening the interval keeps what the interval promises.
	c.Lo, c.Hi = min(c.Lo, c.Delta), max(c.Hi, c.Delta)
	for _, w := range test.Warnings {
		c.Warnings = append(c.Warnings, w.Error())
	}
	if c.Confidence < Confidence {
		c.Warnings = append(c.Warnings, fmt.Sprintf("n=%d+%d gives the difference an interval of %.1f %% confidence only",
			len(before), len(after), 100*c.Confidence))
	}
	return c
}

// shiftInterval is the interval for the shift between two distributions that belongs to the U test: of all differences
// between a new and an old value it leaves out the k smallest and the k largest. See Hodges and Lehmann, 1963.
func shiftInterval(before, after []float64) (lo, hi, confidence float64) {
	diffs := make([]float64, 0, len(before)*len(after))
	for _, n := range after {
		for _, o := range before {
			diffs = append(diffs, n-o)
		}
	}
	slices.Sort(diffs)
	dist := stats.UDist{N1: len(before), N2: len(after)}
	k := 0
	for k+1 < (len(diffs)+1)/2 && dist.CDF(float64(k)) <= (1-Confidence)/2 {
		k++
	}
	confidence = 1 - 2*dist.CDF(float64(k-1))
	if k == 0 {
		// Nothing can be left out, so what is promised is what the whole range gives.
		return diffs[0], diffs[len(diffs)-1], 1 - 2*dist.CDF(0)
	}
	return diffs[k-1], diffs[len(diffs)-k], confidence
}

// Link fills Previous, Delta and DeltaErr of each benchmark from the cell of the patch before, within the record. A
// cell without a predecessor, or whose predecessor has no such metric, keeps them nil.
func Link(r *Run) error {
	for i := range r.Cells {
		c := &r.Cells[i]
		prev := r.CellAt(c.Arch, c.Patch-1, c.Config)
		for k := range c.Benchmarks {
			b := &c.Benchmarks[k]
			b.Previous, b.Delta, b.DeltaErr, b.DeltaMethod = nil, nil, nil, ""
			cmp, err := Compare(r, prev, r, c, b.Name, b.Unit)
			if err != nil {
				return fmt.Errorf("%s: %s %s: %w", c, b.Name, b.Unit, err)
			}
			if cmp == nil {
				continue
			}
			b.Previous = slices.Clone(prev.Metric(b.Name, b.Unit).Values)
			b.Delta, b.DeltaMethod = &cmp.Delta, cmp.Method
			if half := cmp.Half(); cmp.Confidence > 0 {
				b.DeltaErr = &half
			}
		}
	}
	return nil
}
