// SPDX-License-Identifier: Apache-2.0

package results_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/seriesrig/series/results"
)

// markers is a record of guests that counted instructions: a series of two patches, getpid in all states of audit, with and
// without a trace, eight seeds. delta is what the patches add to a call in a state.
func markers(series string, delta map[string]float64) *results.Run {
	r := trial()
	r.Series, r.Title = series, "audit: trace events"
	r.Cells = nil
	for _, patch := range []int{0, 2} {
		c := counted("amd64", patch, "")
		c.Benchmarks = nil
		for _, state := range []string{"off", "seccomp", "norules", "nomatch", "match", "never"} {
			for k, trace := range []string{"no", "raw", "audit"} {
				if trace == "audit" && patch == 0 {
					continue // stock has no such event
				}
				b := results.Benchmark{Name: "Getpid/audit=" + state + "/trace=" + trace, Unit: results.Instructions}
				for seed := range uint64(8) {
					v := 400 + float64(1000*k) + float64(seed*seed%7)
					if patch > 0 {
						v += delta[state]
					}
					b.Values, b.Iters, b.Seeds = append(b.Values, v), append(b.Iters, 2000), append(b.Seeds, seed+1)
				}
				c.Benchmarks = append(c.Benchmarks, b)
			}
		}
		r.Cells = append(r.Cells, c)
	}
	return r
}

// What was foretold stands beside what was measured, and the table says whether it held.
func TestPredictions(t *testing.T) {
	for _, c := range []struct {
		series string
		delta  map[string]float64
	}{
		{"audit-tracepoints-inside", map[string]float64{"norules": 2, "nomatch": 2, "match": -5, "seccomp": 1}},
		{"audit-tracepoints-outside", map[string]float64{"seccomp": -3, "norules": 90, "nomatch": 90, "match": 91}},
	} {
		r := markers(c.series, c.delta)
		encode(t, r)
		table, err := results.TableFor("predictions", r)
		if err != nil {
			t.Fatal(err)
		}
		text, err := table.Text(0)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "table-"+c.series+".golden", text)
		_, predictions, err := results.PredictionsFor(c.series)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range predictions {
			for _, state := range p.Audit {
				d := c.delta[state]
				want := "did not"
				if p.Change == results.Loss && d > 0 || p.Change == results.Gain && d < 0 || p.Change == results.Tie && d == 0 {
					want = "held"
				}
				if !strings.Contains(text, "getpid/"+state) || !rowHas(text, "getpid/"+state, want) {
					t.Errorf("%s: getpid with audit %s and a change of %v: want %q in\n%s", c.series, state, d, want, text)
				}
			}
		}
	}
}

// A table may be of one benchmark, where a cover letter has each in its place.
func TestPredictionsOfOne(t *testing.T) {
	r := markers("audit-tracepoints-inside", map[string]float64{"norules": 2})
	for i := range r.Cells {
		for _, b := range slices.Clone(r.Cells[i].Benchmarks) {
			b.Name = strings.Replace(b.Name, "Getpid", "Build", 1)
			r.Cells[i].Benchmarks = append(r.Cells[i].Benchmarks, b)
		}
	}
	all, err := results.TableFor("predictions", r)
	if err != nil {
		t.Fatal(err)
	}
	one, err := results.TableFor("predictions-build", r)
	if err != nil {
		t.Fatal(err)
	}
	if len(all.Rows) != 2*len(one.Rows) {
		t.Errorf("%d rows of both benchmarks, and %d of one", len(all.Rows), len(one.Rows))
	}
	for _, row := range one.Rows {
		if !strings.HasPrefix(row[1], "build/") {
			t.Errorf("predictions-build has a row %q", row)
		}
	}
	if _, err := results.TableFor("predictions-openat", r); !errors.Is(err, results.ErrNotMeasured) {
		t.Errorf("of a benchmark that was not run: %v, want ErrNotMeasured", err)
	}
}

func rowHas(text, row, word string) bool {
	for line := range strings.Lines(text) {
		if strings.Contains(line, " "+row+" ") && strings.HasSuffix(strings.TrimSpace(line), word) {
			return true
		}
	}
	return false
}

// What was not measured neither held nor did not; one seed says nothing about either.
func TestPredictionsMissing(t *testing.T) {
	r := markers("audit-tracepoints-inside", nil)
	r.Cells = r.Cells[1:] // no stock
	if _, err := results.TableFor("predictions", r); !errors.Is(err, results.ErrNotMeasured) {
		t.Errorf("without stock: %v, want ErrNotMeasured", err)
	}
	if _, err := results.TableFor("predictions", watchers()); !errors.Is(err, results.ErrNotMeasured) {
		t.Errorf("of a series without predictions: %v, want ErrNotMeasured", err)
	}
	r = markers("audit-tracepoints-inside", nil)
	for i := range r.Cells {
		for k := range r.Cells[i].Benchmarks {
			b := &r.Cells[i].Benchmarks[k]
			b.Values, b.Iters, b.Seeds = b.Values[:1], b.Iters[:1], b.Seeds[:1]
		}
		r.Cells[i].QEMU.Seeds = []uint64{1}
	}
	table, err := results.TableFor("predictions", r)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range table.Rows {
		if last := row[len(row)-1]; last != "" {
			t.Errorf("one seed: %q, want nothing", last)
		}
	}
}

// A benchmark of many sub-benchmarks has a row for each of them, and not for each patch as well.
func TestManyBenchmarks(t *testing.T) {
	r := markers("audit-tracepoints-outside", map[string]float64{"never": 70})
	encode(t, r)
	table, err := results.TableFor("getpid", r)
	if err != nil {
		t.Fatal(err)
	}
	text, err := table.Text(0)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "table-many.golden", text)
	if len(table.Rows) != 18 {
		t.Errorf("%d rows, want one for each of 18 sub-benchmarks", len(table.Rows))
	}
}
