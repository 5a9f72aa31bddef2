// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seriesrig/series/kernel"
	"github.com/seriesrig/series/patches"
	"github.com/seriesrig/series/results"
)

// Where the marks are is no figure: it is not in a record, and whoever counts knows it.
func TestTakeMarks(t *testing.T) {
	const text = "BenchmarkFork \t 200\t 70000 insns/op\t 11 first-mark\t 15 last-mark\t 200 marked-ops\t 3 warm-up-ops\n" +
		"BenchmarkBuild \t 1\t 5 insns/op\t 7 diag-insns/task\t 2 mark-step\t 4 mark-step@diag-insns/task\t 6 last-mark@diag-insns/task\n"
	bs, err := results.ParseBenchmarks(strings.NewReader(text), "test.log")
	if err != nil {
		t.Fatal(err)
	}
	figures, marks := takeMarks(bs)
	var got []string
	for _, b := range figures {
		got = append(got, fmt.Sprintf("%s %v %s", b.Name, b.Values, b.Unit))
	}
	want := "Fork [70000] insns/op; Fork [3] warm-up-ops; Build [5] insns/op; Build [7] diag-insns/task"
	if s := strings.Join(got, "; "); s != want {
		t.Errorf("figures are %s, want %s", s, want)
	}
	if d := cmp.Diff(map[figure]map[string]int{{"Fork", results.Instructions}: {firstMark: 11, lastMark: 15, markedOps: 200},
		{"Build", results.Instructions}: {markStep: 2}, {"Build", "diag-insns/task"}: {markStep: 4, lastMark: 6}}, marks, cmp.AllowUnexported(figure{})); d != "" {
		t.Errorf("marks (-want +got):\n%s", d)
	}
}

// Counts that are not what the guest's clock says are refused.
func TestSameAsClock(t *testing.T) {
	bs := []results.Benchmark{{Name: "Fork", Unit: results.Instructions, Values: []float64{70000}}, {Name: "Log", Unit: "sec/op", Values: []float64{1}}}
	for _, x := range []struct {
		name    string
		counted float64
		ok      bool
	}{{"Fork", 70000, true}, {"Fork", 70100, true}, {"Fork", 70200, false}, {"Fork", 69800, false}, {"Log", 1, false}, {"None", 1, false}} {
		if err := sameAsClock(figure{x.name, results.Instructions}, bs, x.counted); (err == nil) != x.ok {
			t.Errorf("%s, %v counted: %v", x.name, x.counted, err)
		}
	}
}

// Each kernel is compared with the one before it of its own architecture, in whatever order they were measured.
func TestAttribute(t *testing.T) {
	kernelOf := func(arch string, patch int, watch float64) *cell {
		a, err := kernel.FindArch(arch)
		if err != nil {
			t.Fatal(err)
		}
		return &cell{arch: a, patch: patch, name: fmt.Sprintf("%s %d", arch, patch), build: &kernel.Build{},
			rec: &results.Cell{Arch: arch, Patch: patch, Config: "release", Benchmarks: []results.Benchmark{
				{Name: "Fork", Unit: results.Instructions, Values: []float64{1000 + watch, 1000 + watch}},
				{Name: "Fork", Unit: "warm-up-ops", Values: []float64{3, 3}}, {Name: "Build", Unit: results.Instructions, Values: []float64{5, 5}}}},
			functions: map[string]results.FunctionCounts{"Fork insns/op": {{"copy_process": 1000, "watch": watch}, {"copy_process": 1000, "watch": watch}}}}
	}
	cells := []*cell{kernelOf("ppc64", 2, 30), kernelOf("amd64", 0, 0), kernelOf("amd64", 1, 96), kernelOf("ppc64", 0, 10)}
	if err := attribute(cells); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"watch +20", "", "watch +96", ""} {
		got := ""
		for _, b := range cells[i].rec.Benchmarks {
			for _, f := range b.Functions {
				if b.Unit != results.Instructions || b.Name != "Fork" {
					t.Errorf("%s %s has functions", b.Name, b.Unit)
				}
				if f.Delta != nil && *f.Delta != 0 {
					got += fmt.Sprintf("%s %+g", f.Name, *f.Delta)
				}
			}
		}
		if got != want {
			t.Errorf("%s: what differs is %q, want %q", cells[i].name, got, want)
		}
	}
	cells[0].functions["Fork insns/op"] = cells[0].functions["Fork insns/op"][:1]
	if err := attribute(cells); err == nil {
		t.Error("one seed is compared with two")
	}
}

func TestReadFunctions(t *testing.T) {
	dir := t.TempDir()
	if got, err := readFunctions(dir); got != nil || err != nil {
		t.Errorf("a guest in which nothing was counted: %v, %v", got, err)
	}
	if err := os.WriteFile(filepath.Join(dir, functionsFile), []byte(`{"Fork": {"a": `), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := readFunctions(dir); err == nil {
		t.Errorf("half a file is read: %v", got)
	}
}

// Figures are in the order of seeds, whichever guest ended first, and the marks of a record are those of all of them.
func TestGather(t *testing.T) {
	k := &seeded{cell: &cell{rec: &results.Cell{Benchmarks: []results.Benchmark{{Name: "old"}}}}}
	for seed := uint64(1); seed <= 3; seed++ {
		bs := []results.Benchmark{{Name: "Fork", Unit: results.Instructions, Values: []float64{float64(100 * seed)}, Iters: []int{200}}}
		results.SetSeed(bs, seed)
		k.guests = append(k.guests, sample{seed: seed, bs: bs, qemu: &results.QEMU{}, dir: fmt.Sprint("guest", seed),
			functions: map[string]map[string]float64{"Fork": {"a": float64(seed)}}})
	}
	k.gather()
	want := &results.Cell{QEMU: &results.QEMU{Seeds: []uint64{1, 2, 3}}, Guests: []string{"guest1", "guest2", "guest3"}, Benchmarks: []results.Benchmark{
		{Name: "Fork", Unit: results.Instructions, Values: []float64{100, 200, 300}, Iters: []int{200, 200, 200}, Seeds: []uint64{1, 2, 3}}}}
	if d := cmp.Diff(want, k.rec); d != "" {
		t.Errorf("the record (-want +got):\n%s", d)
	}
	if d := cmp.Diff(results.FunctionCounts{{"a": 1}, {"a": 2}, {"a": 3}}, k.functions["Fork"]); d != "" {
		t.Errorf("the functions (-want +got):\n%s", d)
	}
}

// The A/A control is the first kernel of each architecture, where it is asked for; in the guest nothing of it differs.
func TestAddControls(t *testing.T) {
	s := &session{series: &patches.Series{Benchmarks: []string{"./bench"}}}
	amd64, err := kernel.FindArch("amd64")
	if err != nil {
		t.Fatal(err)
	}
	var cells []*cell
	for n := range 2 {
		cells = append(cells, &cell{arch: amd64, patch: n, name: fmt.Sprint(n), build: &kernel.Build{ID: fmt.Sprint(n)}, rec: &results.Cell{Arch: "amd64", Patch: n, Config: "release"}})
	}
	for _, x := range []struct {
		opts measureOptions
		want int
	}{
		{measureOptions{mode: modeIcount}, 0}, {measureOptions{mode: modeIcount, control: true}, 1},
		{measureOptions{mode: modeWall, control: true}, 0}, {measureOptions{mode: modeWall, boots: 10}, 1},
	} {
		all, err := s.addControls(cells, x.opts)
		if err != nil || len(all) != len(cells)+x.want {
			t.Errorf("%+v: %d cells, %v, want %d more than %d", x.opts, len(all), err, x.want, len(cells))
			continue
		}
		for _, c := range all[len(cells):] {
			if !c.control || c.patch != 0 || c.build != cells[0].build || !results.IsControl(c.rec.Config) || !c.measured() {
				t.Errorf("the control is %+v, %+v", c, c.rec)
			}
		}
	}
}
