// SPDX-License-Identifier: Apache-2.0

// Package bench has what the benchmarks of guests have in common: the unit that a guest's clock counts in, the call of a
// benchmark that does not count, and the end of the warm-up.
//
// The end of a warm-up is found, not guessed: what is repeated is warm when it takes as long as what comes after it. Where time is
// measured, and not instructions, nothing takes as long as anything else on a host that does other work as well; there it is warm
// when it takes no longer than what comes after it, so when it becomes no faster.
package bench

import (
	"flag"
	"fmt"
	"math"
	"os"
)

// Settled is by what part of it a figure may differ from what comes after it once things have settled.
const Settled = 0.01

// Icount tells whether the guest's clock counts instructions, one a nanosecond.
func Icount() bool { return os.Getenv("SERIES_MODE") == "icount" }

// Clock is the unit of what the guest's clock counts.
func Clock() string {
	if Icount() {
		return "insns"
	}
	return "ns"
}

// Unit is that for an operation.
func Unit() string { return Clock() + "/op" }

// Probe tells the call of a benchmark, with N of n, by which testing only sees whether it works. The figures of that call are used for
// nothing.
func Probe(n int) bool {
	f := flag.Lookup("test.benchtime")
	return n == 1 && (f == nil || f.Value.String() != "1x")
}

// Same tells whether a figure is what comes after it, but for a part of Settled; where time is measured, whether it is no more.
func Same(before, after float64) bool {
	diff := before - after
	if Icount() {
		diff = math.Abs(diff)
	}
	return diff <= Settled*math.Abs(after)
}

// Warm returns how many of the first figures have to be left out, before one that is the same as what comes after all of them, and an
// error where there is none.
func Warm(first []float64, after float64) (int, error) {
	for i, f := range first {
		if Same(f, after) {
			return i, nil
		}
	}
	return 0, fmt.Errorf("it does not warm up: none of %.0f is, within %.1f %%, what comes after them: %.0f", first, 100*Settled, after)
}

// Repeat repeats something until all of its figures are the same twice in a row (where time is measured, until their sum is), and
// returns what was done, in turn: the last two are those that were the same. Where that is not so after most repetitions, it is an
// error, and one of what is repeated ends it.
func Repeat[T any](most int, run func() (T, error), figures func(T) []float64) ([]T, error) {
	return repeat(most, run, figures, func(all [][]float64) bool { return same(all[len(all)-2], all[len(all)-1]) })
}

// RepeatPairs is Repeat for who reports the last two together. These may take turns, as where a tick falls into every other one: it is
// enough that they are together what the two before them were.
func RepeatPairs[T any](most int, run func() (T, error), figures func(T) []float64) ([]T, error) {
	return repeat(most, run, figures, func(all [][]float64) bool {
		n := len(all)
		return same(all[n-2], all[n-1]) || n > 3 && same(both(all[n-4], all[n-3]), both(all[n-2], all[n-1]))
	})
}

func repeat[T any](most int, run func() (T, error), figures func(T) []float64, warm func(all [][]float64) bool) ([]T, error) {
	var all []T
	var said [][]float64
	for range most {
		one, err := run()
		if err != nil {
			return nil, err
		}
		all, said = append(all, one), append(said, figures(one))
		if len(said) > 1 && warm(said) {
			return all, nil
		}
	}
	return nil, fmt.Errorf("it does not warm up: of %d in turn no two that follow each other are the same, within %.1f %%: %.0f", most, 100*Settled, said)
}

func same(before, after []float64) bool {
	if !Icount() {
		return Same(sum(before), sum(after))
	}
	for i := range before {
		if !Same(before[i], after[i]) {
			return false
		}
	}
	return true
}

// both adds figures of two up.
func both(a, b []float64) []float64 {
	sums := make([]float64, len(a))
	for i := range a {
		sums[i] = a[i] + b[i]
	}
	return sums
}

func sum(all []float64) (sum float64) {
	for _, f := range all {
		sum += f
	}
	return sum
}
