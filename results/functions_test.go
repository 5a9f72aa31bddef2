// SPDX-License-Identifier: Apache-2.0

package results_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/seriesrig/series/results"
)

// attributed is the record of watchers with its clone figures counted by function: patch 1 adds a call of a table to
// copy_process, and patch 3 calls more of it, which differs from seed to seed.
func attributed(t *testing.T) *results.Run {
	t.Helper()
	r := watchers()
	for _, arch := range []string{"amd64", "ppc64"} {
		var before results.FunctionCounts
		for patch := range 4 {
			c := r.CellAt(arch, patch, "release")
			if c == nil {
				continue
			}
			b := c.Metric("Clone", results.Instructions)
			var counts results.FunctionCounts
			for i := 0; i < len(b.Values); i += 2 { // two batches a seed
				mean := (b.Values[i] + b.Values[i+1]) / 2
				watch := []float64{0, 96, 97, 2880}[patch]
				if patch == 3 {
					watch += float64(b.Seeds[i] % 3)
				}
				counts = append(counts, map[string]float64{"[program]": 300, "notify_task_watchers": watch,
					"copy_process": mean - 300 - watch - 1000, "a_helper": 600, "b_helper": 400})
			}
			var err error
			if b.Functions, err = results.FunctionsOf(before, counts); err != nil {
				t.Fatal(err)
			}
			before = counts
		}
	}
	return r
}

// A cost has a place: the parts are told with the whole, and what did not change is in the rest.
func TestFunctionTable(t *testing.T) {
	r := attributed(t)
	encode(t, r)
	table, err := results.TableFor("functions", r)
	if err != nil {
		t.Fatal(err)
	}
	text, err := table.Text(0)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "table-functions.golden", text)
	if _, err := results.TableFor("functions", watchers()); !errors.Is(err, results.ErrNotMeasured) {
		t.Errorf("a record without functions: %v, want that it was not measured", err)
	}
}

// Where there is no kernel before, the table says where the instructions are, of whatever figure.
func TestPlaceTable(t *testing.T) {
	r := attributed(t)
	r.Cells = []results.Cell{*r.CellAt("amd64", 0, "release"), *r.CellAt("ppc64", 0, "release")}
	for i := range r.Cells {
		c := &r.Cells[i]
		proc := c.Metric("Clone", results.Instructions)
		diag := *proc
		proc.Unit, diag.Unit = "proc-insns/task", "diag-insns/task"
		c.Benchmarks = append(c.Benchmarks, diag)
	}
	encode(t, r)
	text := tableText(t, "functions", r)
	golden(t, "table-places.golden", text)
	checkWidth(t, text, results.Width)
	for n := range 3 { // of many figures only the functions with most
		for i := range r.Cells {
			c := &r.Cells[i]
			more := *c.Metric("Clone", "diag-insns/task")
			more.Name = fmt.Sprintf("Clone/of=%d", n)
			c.Benchmarks = append(c.Benchmarks, more)
		}
	}
	encode(t, r)
	if text := tableText(t, "functions", r); strings.Contains(text, "[program]  ") || strings.Contains(text, "%") || !strings.Contains(text, "b_helper") {
		t.Errorf("many figures have more than three functions each:\n%s", text)
	}
	few := attributed(t)
	few.Cells = few.Cells[:1]
	few.Cells[0].Benchmarks[0].Functions = nil
	if _, err := results.TableFor("functions", few); !errors.Is(err, results.ErrNotMeasured) {
		t.Errorf("a record without functions: %v, want that it was not measured", err)
	}
}

func TestFunctionsOf(t *testing.T) {
	before := results.FunctionCounts{{"a": 100, "b": 5, "gone": 7}, {"a": 100, "b": 5, "gone": 7}}
	after := results.FunctionCounts{{"a": 112, "b": 5, "new": 10}, {"a": 114, "b": 5, "new": 10}}
	fs, err := results.FunctionsOf(before, after)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range fs {
		got = append(got, fmt.Sprintf("%s %v %+g ±%.3f", f.Name, f.Mean, *f.Delta, *f.DeltaErr))
	}
	// Student's t of two values, 12 and 14: 12.706 times 1.
	want := "new 10 +10 ±0.000; gone 0 -7 ±0.000; a 113 +13 ±12.706; [rest] 5 +0 ±0.000"
	if s := strings.Join(got, "; "); s != want {
		t.Errorf("parts are %s, want %s", s, want)
	}
	if !fs[0].Exact() || fs[2].Exact() || fs[3].Exact() {
		t.Errorf("exact are %v, %v and %v, want only what is the same with each seed, and is not nothing", fs[0], fs[2], fs[3])
	}
	if fs, err = results.FunctionsOf(nil, after); err != nil || fs[0].Name != "a" || fs[0].Delta != nil {
		t.Errorf("without a kernel before: %+v, %v", fs, err)
	}
	if _, err := results.FunctionsOf(before[:1], after); !errors.As(err, new(*results.MismatchError)) {
		t.Errorf("one seed before and two after: %v, want a mismatch", err)
	}
	many := results.FunctionCounts{{}}
	for i := range 1000 {
		many[0][fmt.Sprintf("f%d", i)] = float64(i)
	}
	fs, err = results.FunctionsOf(nil, many)
	sum := 0.0
	for _, f := range fs {
		sum += f.Mean
	}
	if err != nil || len(fs) > 61 || fs[0].Name != "f999" || fs[len(fs)-1].Name != results.RestOfFunctions || sum != 999*1000/2 {
		t.Errorf("of 1000 functions %d are kept, with %v instructions, %v", len(fs), sum, err)
	}
}

// A record whose functions are not the whole of a figure, or are none, is refused.
func TestCheckFunctions(t *testing.T) {
	for name, change := range map[string]func([]results.Function) []results.Function{
		"a function is missing": func(fs []results.Function) []results.Function { return fs[:1] },
		"a name has a blank": func(fs []results.Function) []results.Function {
			fs[0].Name = "a b"
			return fs
		},
		"a name has an escape sequence": func(fs []results.Function) []results.Function {
			fs[0].Name = "a\x1b[2J"
			return fs
		},
		"twice":          func(fs []results.Function) []results.Function { return append(fs, fs[len(fs)-1]) },
		"no number":      func(fs []results.Function) []results.Function { fs[0].Mean = math.NaN(); return fs },
		"less than none": func(fs []results.Function) []results.Function { fs[0].Mean = -1; return fs },
	} {
		r := attributed(t)
		b := r.CellAt("amd64", 1, "release").Metric("Clone", results.Instructions)
		b.Functions = change(b.Functions)
		if _, err := results.Encode(r); !errors.Is(err, results.ErrInvalid) {
			t.Errorf("%s: %v, want an invalid record", name, err)
		}
	}
}

// Records with and without functions are of the same measurement: the plugin changes nothing that a guest sees.
func TestCompareCounted(t *testing.T) {
	plain, counted := watchers(), attributed(t)
	for i := range counted.Cells {
		q := counted.Cells[i].QEMU
		q.Command = append(q.Command, "-plugin", "file=count.so")
	}
	if _, err := results.CompareRuns(plain, counted); err != nil {
		t.Error(err)
	}
	counted.CellAt("amd64", 1, "release").Metric("Clone", results.Instructions).Values[0]++
	if _, err := results.CompareRuns(plain, counted); !errors.As(err, new(*results.RepeatError)) {
		t.Errorf("another figure of the same build and seed: %v, want that it does not repeat", err)
	}
}

// A record of the first kernel only, with its controls, says what the smallest believable difference is, and that the same build
// measured twice shows the same; where it does not, there is no table.
func TestControlsOfStock(t *testing.T) {
	r := watchers()
	var cells []results.Cell
	for _, c := range r.Cells {
		if c.Patch == 0 && c.Arch == "amd64" {
			cells = append(cells, c)
		}
	}
	again := counted("amd64", 0, "")
	again.Config, again.Tests = results.ControlConfig+"-aa", nil
	r.Cells = append(cells, again)
	encode(t, r)
	table, err := results.TableFor("fork", r)
	if err != nil {
		t.Fatal(err)
	}
	notes := strings.Join(table.Notes, "\n")
	for _, want := range []string{"A/A, amd64: the first kernel, measured twice, differs from itself by 0 with each seed.",
		"amd64, Fork: smallest believable difference: 5 insns/op"} {
		if !strings.Contains(notes, want) {
			t.Errorf("the notes have no %q:\n%s", want, notes)
		}
	}
	r.CellAt("amd64", 0, results.ControlConfig+"-aa").Metric("Fork", results.Instructions).Values[3]++
	if _, err := results.TableFor("fork", r); !errors.As(err, new(*results.RepeatError)) {
		t.Errorf("a kernel that does not repeat: %v", err)
	}
}
