// SPDX-License-Identifier: Apache-2.0

package results

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// costNotes say how the figures of a cost table were made, what of them can be believed, and what they do not say.
func costNotes(costs []Cost) []string {
	var notes []string
	if costs[0].Unit == Instructions {
		notes = append(notes, "Instructions that the guest executes for an operation, kernel and user together. They are not time: caches, TLBs and locks are not in them.")
	}
	notes = append(notes, "Cost: change from the patch before; plus is dearer. Mean and stddev: of all values of a kernel.")
	notes = append(notes, methodNotes(costs)...)
	notes = append(notes, floorNotes(costs)...)
	if i := slices.IndexFunc(costs, func(c Cost) bool { return c.Old != nil }); i >= 0 {
		notes = append(notes, fmt.Sprintf("2006: %s, on %s: the patch with the same topic, change of tasks/s with its sign turned, so that plus is dearer.",
			strings.TrimSuffix(costs[i].Old.Source, ", 2006"), costs[i].Old.System))
	}
	missing := func(c Cost) bool {
		return c.N == 0 || c.Patch > 0 && (c.Comparison == nil || c.Comparison.Confidence == 0 || c.Old != nil && c.OldPatch == 0)
	}
	if slices.ContainsFunc(costs, missing) {
		notes = append(notes, Missing+": not measured.")
	}
	var warnings []string
	for _, c := range costs {
		if c.Comparison == nil {
			continue
		}
		for _, w := range c.Comparison.Warnings {
			if !slices.Contains(warnings, w) {
				warnings = append(warnings, w)
				notes = append(notes, "Warning: "+w+".")
			}
		}
	}
	return notes
}

// methodNotes has a sentence for each way in which the costs were compared.
func methodNotes(costs []Cost) []string {
	counts, exact, doubt := map[Method][]int{}, false, false
	for _, c := range costs {
		cmp := c.Comparison
		if cmp == nil {
			continue
		}
		counts[cmp.Method] = append(counts[cmp.Method], len(cmp.Diffs))
		exact = exact || cmp.Exact
		doubt = doubt || !cmp.Believed() && cmp.Delta != 0
	}
	var notes []string
	for _, m := range []struct {
		method Method
		text   string
	}{
		{Paired, "Compared seed by seed: mean of %s differences, cost err is half of its 95 %% interval by Student's t."},
		{Interleaved, "Compared boot by boot, interleaved: median of %s differences, cost err is half of its 95 %% bootstrap interval."},
		{Unpaired, "Compared without pairs: difference of medians, cost err is half of the 95 % interval of the Mann-Whitney U test."},
	} {
		switch n := counts[m.method]; {
		case n == nil:
		case m.method == Unpaired:
			notes = append(notes, m.text)
		default:
			notes = append(notes, fmt.Sprintf(m.text, span(n)))
		}
	}
	if exact {
		notes = append(notes, "Cost err 0: every difference is the same, to the last digit.")
	}
	if doubt {
		notes = append(notes, "~: not to be believed: p > 0.05, or below what a control shows.")
	}
	return notes
}

// floorNotes tell for each architecture the smallest difference that can be believed.
func floorNotes(costs []Cost) []string {
	var notes []string
	type key struct{ arch, bench string }
	seen := map[key]bool{}
	none := false
	var repeat []string
	for _, c := range costs {
		f, base := c.Floor, c.Mean
		if c.Comparison != nil {
			base = c.Comparison.Base
		}
		if f == nil {
			none = none || c.Comparison != nil
			continue
		}
		if f.Same > 0 && c.Unit == Instructions && !slices.Contains(repeat, c.Arch) {
			repeat = append(repeat, c.Arch) // else there would be a RepeatError
		}
		k := key{c.Arch, c.Benchmark}
		if seen[k] {
			continue
		}
		seen[k] = true
		what := "what moving code around does by itself"
		if f.Same == f.Controls {
			what = "what the same build shows against itself"
		}
		of := ""
		if base != 0 {
			of = fmt.Sprintf(" (%s)", percent(100*f.Smallest/math.Abs(base)))
		}
		notes = append(notes, fmt.Sprintf("%s, %s: smallest believable difference: %s %s%s, %s.", c.Arch, withoutCPUs(c.Benchmark),
			FormatValue(f.Smallest, c.Unit), c.Unit, of, what))
	}
	if len(repeat) > 0 {
		notes = append(notes, fmt.Sprintf("A/A, %s: the first kernel, measured twice, differs from itself by 0 with each seed.", strings.Join(repeat, " and ")))
	}
	if none {
		notes = append(notes, "No control was measured, so it is not known how much of a difference is layout only.")
	}
	return notes
}

// span renders the least and greatest of some counts: 8, or 7 to 8.
func span(n []int) string {
	if lo, hi := slices.Min(n), slices.Max(n); lo != hi {
		return fmt.Sprintf("%d to %d", lo, hi)
	}
	return fmt.Sprint(n[0])
}
