// SPDX-License-Identifier: Apache-2.0

package results

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/aclements/go-moremath/stats"
)

// A Function is the part of a metric that is executed in one function of the kernel, as the compiler has it: what is inlined
// belongs to the function that it is inlined into.
type Function struct {
	Name     string   `json:"name"`
	Mean     float64  `json:"mean"`      // of the metric's unit, over the seeds
	Delta    *float64 `json:"delta"`     // mean of the differences from the kernel before, seed by seed; nil where it was not counted
	DeltaErr *float64 `json:"delta_err"` // half of the 95 % interval of that; 0 where each seed says the same, nil of one seed
}

// Exact tells whether the function's instructions differ from those in the kernel before, and with each seed by the same number.
// That is what a patch does to the path itself. What only happens to be different, such as where a timer interrupt or a grace period
// of RCU fell, differs from seed to seed.
func (f Function) Exact() bool {
	return f.Delta != nil && *f.Delta != 0 && f.DeltaErr != nil && *f.DeltaErr == 0
}

// RestOfFunctions is the name under which a record has together what it does not have function by function.
const RestOfFunctions = "[rest]"

// maxFunctions is how many functions of a metric a record has one by one: those that changed by the same with each seed, then those
// that changed most; or where nothing can have changed, those with most instructions.
const maxFunctions = 60

// FunctionCounts are a metric's parts, function by function, of each seed in turn.
type FunctionCounts []map[string]float64

// FunctionsOf makes a metric's parts of what was counted in each guest. before is the kernel before, with the same seeds, or
// nil. The sum of all parts is the sum of what was counted.
func FunctionsOf(before, after FunctionCounts) ([]Function, error) {
	if before != nil && len(before) != len(after) {
		return nil, &MismatchError{What: "seeds behind the functions", Old: fmt.Sprint(len(before)), New: fmt.Sprint(len(after))}
	}
	var all []Function
	for _, name := range functionNames(before, after) {
		all = append(all, functionOf(name, before, after, func(counts map[string]float64) float64 { return counts[name] }))
	}
	weight := func(f Function) float64 {
		if f.Delta != nil {
			return math.Abs(*f.Delta)
		}
		return f.Mean
	}
	rank := func(f Function) int {
		if f.Exact() {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(all, func(a, b Function) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(weight(b), weight(a)), cmp.Compare(b.Mean, a.Mean), strings.Compare(a.Name, b.Name))
	})
	kept := all[:min(len(all), maxFunctions)]
	if before != nil { // what did not change is in the rest
		if n := slices.IndexFunc(kept, func(f Function) bool { return *f.Delta == 0 && *cmp.Or(f.DeltaErr, new(float64)) == 0 }); n >= 0 {
			kept = kept[:n]
		}
	}
	kept = slices.Clone(kept)
	if len(kept) < len(all) {
		var rest []string
		for _, f := range all[len(kept):] {
			rest = append(rest, f.Name)
		}
		kept = append(kept, functionOf(RestOfFunctions, before, after, func(counts map[string]float64) float64 {
			sum := 0.0
			for _, name := range rest {
				sum += counts[name]
			}
			return sum
		}))
	}
	return kept, nil
}

func functionNames(lists ...FunctionCounts) []string {
	seen := map[string]bool{}
	var names []string
	for _, list := range lists {
		for _, counts := range list {
			for name := range counts {
				if !seen[name] {
					seen[name] = true
					names = append(names, name)
				}
			}
		}
	}
	slices.Sort(names)
	return names
}

// functionOf is a part of a metric, which of takes out of the counts of a seed.
func functionOf(name string, before, after FunctionCounts, of func(map[string]float64) float64) Function {
	f := Function{Name: name}
	var values, diffs []float64
	for i, counts := range after {
		v := of(counts)
		values = append(values, v)
		if before != nil {
			diffs = append(diffs, v-of(before[i]))
		}
	}
	f.Mean = stats.Mean(values)
	if before == nil {
		return f
	}
	delta := stats.Mean(diffs)
	if len(diffs) > 1 {
		half := 0.0
		if slices.Max(diffs)-slices.Min(diffs) > rounding*max(math.Abs(f.Mean), 1) {
			_, lo, hi := stats.MeanCI(diffs, Confidence)
			half = (hi - lo) / 2
		} else {
			delta = diffs[0]
		}
		f.DeltaErr = &half
	}
	f.Delta = &delta
	return f
}

// checkFunctions says what of a metric's parts cannot be true: they are the whole, but for what it takes to look at the clock.
func checkFunctions(fs []Function, values []float64) error {
	if len(fs) == 0 {
		return nil
	}
	if len(fs) > maxFunctions+1 {
		return fmt.Errorf("%d functions, more than %d", len(fs), maxFunctions+1)
	}
	sum, seen := 0.0, map[string]bool{}
	for _, f := range fs {
		bad := math.IsNaN(f.Mean) || math.IsInf(f.Mean, 0) || f.Mean < 0 || f.Delta == nil && f.DeltaErr != nil
		if f.Name == "" || !isPrintable(f.Name) || strings.ContainsAny(f.Name, " \t") || seen[f.Name] || bad {
			return fmt.Errorf("function %q: mean %v", f.Name, f.Mean)
		}
		seen[f.Name] = true
		sum += f.Mean
	}
	if mean := stats.Mean(values); math.Abs(sum-mean) > FunctionTolerance*math.Abs(mean) {
		return fmt.Errorf("the functions are %v together, and the mean is %v", sum, mean)
	}
	return nil
}

// FunctionTolerance is how far the sum of all functions may be from the metric, as a part of it: the clock is read a little after
// the mark, and on ppc64 it goes by steps of two instructions.
const FunctionTolerance = 0.002
