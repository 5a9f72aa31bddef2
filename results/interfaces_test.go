// SPDX-License-Identifier: Apache-2.0

package results_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/seriesrig/series/results"
)

// pairRun is a record of benchmarks that read the same from two interfaces.
func pairRun(unit string) *results.Run {
	r := trial()
	r.Series = "task-diag"
	for i := range r.Cells {
		c := &r.Cells[i]
		c.Benchmarks = nil
		for _, tasks := range []int{1000, 50000} {
			for _, of := range []string{"none", "stat", "stat-all", "status", "maps", "smaps", "ps"} {
				name := fmt.Sprintf("Tasks/tasks=%d/of=%s-2", tasks, of)
				add := func(unit string, v float64) {
					c.Benchmarks = append(c.Benchmarks, results.Benchmark{Name: name, Unit: unit, Values: []float64{v, v * 1.01, v * 0.99}})
				}
				scale := 1.0
				if strings.Contains(unit, "sec") {
					scale = 1e-9
				}
				add("proc-"+unit, 15996*scale)
				add("diag-"+unit, 1000*scale)
				add("ratio", 15.996)
				add("proc-calls/task", 3.003)
				add("diag-calls/task", 0.0005)
			}
		}
	}
	return r
}

func TestInterfaces(t *testing.T) {
	for _, unit := range []string{"insns/task", "sec/task"} {
		for _, name := range []string{"interfaces", "ps"} {
			table, err := results.TableFor(name, pairRun(unit))
			if err != nil {
				t.Fatal(err)
			}
			text, err := table.Text(0)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "table-"+name+"-"+strings.Replace(unit, "/", "-", 1)+".golden", text)
			checkWidth(t, text, results.Width)
			if strings.Count(text, "15.99") != len(table.Rows) {
				t.Errorf("%s: a ratio of 15.996 is not cut off:\n%s", name, text)
			}
		}
	}
	for _, name := range []string{"interfaces", "ps"} {
		if _, err := results.TableFor(name, trial()); !errors.Is(err, results.ErrNotMeasured) {
			t.Errorf("%s of a record without such benchmarks: %v, want %v", name, err, results.ErrNotMeasured)
		}
	}
}
