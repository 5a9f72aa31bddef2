// SPDX-License-Identifier: Apache-2.0

package results_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/seriesrig/series/results"
)

// besides gives the benchmarks of watchers what else was counted: patch 2 takes an allocation more for a fork, and so does patch 3 on
// ppc64, where patch 2 was not measured; what others do differs from seed to seed.
func besides(t *testing.T) *results.Run {
	t.Helper()
	r := watchers()
	for i := range r.Cells {
		c := &r.Cells[i]
		for _, name := range []string{"Clone", "Fork"} {
			like := *c.Metric(name, results.Instructions)
			for unit, count := range map[string]float64{"sched:sched_process_fork/op": 1, "sched:sched_process_exec/op": 0, "kmem:kmalloc/op": 4, "schedstat:wakeups/op": 2} {
				b := results.Benchmark{Name: name, Unit: unit, Iters: like.Iters, Seeds: like.Seeds}
				for k, seed := range like.Seeds {
					v := count
					switch {
					case unit == "kmem:kmalloc/op" && name == "Fork" && c.Patch >= 2:
						v++
					case unit == "schedstat:wakeups/op": // seldom much, and so no change of the patch
						v += float64((int(seed)*7+k+3*c.Patch)%5) / 2
					}
					b.Values = append(b.Values, v)
				}
				c.Benchmarks = append(c.Benchmarks, b)
			}
		}
		slices.SortStableFunc(c.Benchmarks, func(a, b results.Benchmark) int { return strings.Compare(a.Name, b.Name) })
	}
	return r
}

func TestCountTable(t *testing.T) {
	r := besides(t)
	encode(t, r)
	text := tableText(t, "counts", r)
	golden(t, "table-counts.golden", text)
	checkWidth(t, text, results.Width)
	for _, missing := range []string{"sched_process_exec", "control", "wakeups +", "wakeups -"} {
		if strings.Contains(text, missing) {
			t.Errorf("%q is in the table:\n%s", missing, text)
		}
	}
	if _, err := results.TableFor("counts", watchers()); !errors.Is(err, results.ErrNotMeasured) {
		t.Errorf("a record without counts: %v, want that it was not measured", err)
	}
	one := besides(t)
	one.Cells = one.Cells[:1]
	if text := tableText(t, "counts", one); strings.Contains(text, "patch") || !strings.Contains(text, "stock") {
		t.Errorf("of one kernel there is no change to be told:\n%s", text)
	}
}

// The counts are in a table of their own: where a benchmark's cost cannot be told, that of all its metrics is without them.
func TestCountsApart(t *testing.T) {
	r := besides(t)
	for i := range r.Cells {
		for k := range r.Cells[i].Benchmarks {
			if b := &r.Cells[i].Benchmarks[k]; b.Unit == results.Instructions {
				b.Unit = "sec/op"
			}
		}
	}
	if text := tableText(t, "fork", r); strings.Contains(text, "kmalloc") || !strings.Contains(text, "sec") {
		t.Errorf("the table of all metrics is\n%s", text)
	}
}

// Of two records all counts are compared, and those of which a change can be told are shown.
func TestCompareCounts(t *testing.T) {
	before, after := besides(t), besides(t)
	encode(t, before)
	c := after.CellAt("amd64", 2, "release")
	c.Build.ID = "another"
	b := c.Metric("Fork", "kmem:kmalloc/op")
	for k := range b.Values {
		b.Values[k]--
	}
	encode(t, after)
	runs, err := results.CompareRuns(before, after)
	if err != nil {
		t.Fatal(err)
	}
	text := textOf(t, runs.Table())
	if !strings.Contains(text, "kmem:kmalloc/op  -20.0%") || strings.Contains(text, "wakeups") || !strings.Contains(text, "Left out: 71 counts") {
		t.Errorf("want one count, and that 71 of the 72 are left out:\n%s", text)
	}
	if n := len(slices.DeleteFunc(runs.Figures, func(f results.RunFigure) bool { return !results.IsCount(f.Unit) })); n != 72 {
		t.Errorf("%d counts in the comparison, want all 72", n)
	}
}
