// SPDX-License-Identifier: Apache-2.0

package results

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/aclements/go-moremath/stats"
)

// comparePaired sets the values of one seed against each other, batch by batch. The batches of a boot share its memory
// layout and are no independent sample, so each seed counts once, with the mean of its differences.
func comparePaired(before, after []float64, seeds []uint64) *Comparison {
	c := &Comparison{Method: Paired, Base: stats.Mean(before)}
	c.Old, _ = Summarize(before)
	c.New, _ = Summarize(after)
	c.Diffs = groupDiffs(before, after, seeds, stats.Mean)
	c.Delta = stats.Mean(c.Diffs)
	c.Lo, c.Hi, c.P = c.Delta, c.Delta, 1
	n := len(c.Diffs)
	if n < 2 {
		c.Warnings = append(c.Warnings, "one seed gives a difference, and no interval of it")
		return c
	}
	c.Confidence = Confidence
	if slices.Max(c.Diffs)-slices.Min(c.Diffs) <= rounding*math.Abs(c.Base) {
		// Nothing to estimate: each boot says the same to the last digit.
		c.Exact, c.Delta = true, c.Diffs[0]
		c.Lo, c.Hi = c.Delta, c.Delta
		if c.Delta != 0 {
			c.P, c.Significant = 0, true
		}
		return c
	}
	c.Spread = stats.StdDev(c.Diffs)
	_, c.Lo, c.Hi = stats.MeanCI(c.Diffs, Confidence)
	t := math.Abs(c.Delta) * math.Sqrt(float64(n)) / c.Spread
	c.P = 2 * stats.TDist{V: float64(n - 1)}.CDF(-t)
	c.Significant = c.P <= 1-Confidence
	return c
}

// rounding is how far the differences of equal counts may lie apart, of the figures themselves: a count for one of 200 operations
// is no whole number, and the last bits of a difference then depend on what it is taken of.
const rounding = 1e-12

// groupDiffs is a difference for each group in the order of their first value: what center makes of the differences in
// it. The three lists have one length.
func groupDiffs[K comparable](before, after []float64, groups []K, center func([]float64) float64) []float64 {
	var order []K
	byGroup := make(map[K][]float64)
	for i, g := range groups {
		if _, ok := byGroup[g]; !ok {
			order = append(order, g)
		}
		byGroup[g] = append(byGroup[g], after[i]-before[i])
	}
	out := make([]float64, len(order))
	for i, g := range order {
		out[i] = center(byGroup[g])
	}
	return out
}

// MinRounds is the smallest number of interleaved boots of which a difference is concluded.
const MinRounds = 10

// resamples is how often the bootstrap draws. The ends of the interval then move by less than their own width's hundredth
// part from one seed of the draw to another.
const resamples = 10000

// compareRounds sets the boots of one round against each other: A of round 1 with B of round 1. What drifts on the host
// from round to round is in both. Of a boot's values the median counts, since a host's disturbances go one way.
func compareRounds(a, b *Benchmark) (*Comparison, error) {
	before, after := roundMedians(a), roundMedians(b)
	if len(before) != len(after) {
		return nil, &MismatchError{What: "number of boots", Old: fmt.Sprint(len(before)), New: fmt.Sprint(len(after))}
	}
	c := &Comparison{Method: Interleaved, P: 1}
	c.Old, _ = Summarize(before)
	c.New, _ = Summarize(after)
	c.Base = c.Old.Median
	for i := range before {
		c.Diffs = append(c.Diffs, after[i]-before[i])
	}
	c.Delta = median(slices.Clone(c.Diffs))
	c.Lo, c.Hi = c.Delta, c.Delta
	if len(c.Diffs) < 2 {
		c.Warnings = append(c.Warnings, "one boot gives a difference, and no interval of it")
		return c, nil
	}
	c.Confidence = Confidence
	c.Spread = stats.StdDev(c.Diffs)
	c.Exact = slices.Min(c.Diffs) == slices.Max(c.Diffs)
	c.Lo, c.Hi = bootstrapMedian(c.Diffs)
	if c.Lo > 0 || c.Hi < 0 {
		c.P, c.Significant = 0, true
	}
	if len(c.Diffs) < MinRounds {
		c.Significant = false
		c.Warnings = append(c.Warnings, fmt.Sprintf("%d interleaved boots are too few to conclude anything; %d are needed", len(c.Diffs), MinRounds))
	}
	return c, nil
}

// roundMedians is the median of each boot's values, in the order of the rounds.
func roundMedians(b *Benchmark) []float64 {
	byRound := make(map[int][]float64)
	var rounds []int
	for i, r := range b.Boots {
		if byRound[r] == nil {
			rounds = append(rounds, r)
		}
		byRound[r] = append(byRound[r], b.Values[i])
	}
	slices.Sort(rounds)
	out := make([]float64, len(rounds))
	for i, r := range rounds {
		out[i] = median(byRound[r])
	}
	return out
}

// bootstrapMedian is the percentile interval of the median. The draws have a seed of their own, so that a record always
// gives one interval. See Efron and Tibshirani, An Introduction to the Bootstrap, chapter 13.
func bootstrapMedian(values []float64) (lo, hi float64) {
	rnd := rand.New(rand.NewPCG(2006, 2026))
	medians, draw := make([]float64, resamples), make([]float64, len(values))
	for i := range medians {
		for k := range draw {
			draw[k] = values[rnd.IntN(len(values))]
		}
		medians[i] = median(draw)
	}
	slices.Sort(medians)
	tail := (1 - Confidence) / 2 * resamples
	return medians[int(math.Floor(tail))], medians[resamples-1-int(math.Floor(tail))]
}

// median sorts what it is given.
func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	if n%2 == 1 {
		return values[n/2]
	}
	return (values[n/2-1] + values[n/2]) / 2
}
