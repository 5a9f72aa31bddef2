// SPDX-License-Identifier: Apache-2.0

package results_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/seriesrig/series/results"
)

// watchers is a record of guests that counted instructions: two architectures, stock and three patches, clone and fork,
// eight seeds with two batches each, and a control. Patch 2 on ppc64 was not measured.
func watchers() *results.Run {
	r := trial()
	r.Series, r.Title = "task-watchers", "Task watchers"
	r.Command = []string{"series", "bench", "task-watchers", "--each"}
	r.Patches = []results.PatchFile{
		{N: 1, File: "0001-a.patch", Subject: "task_watchers: call a table of functions", Hash: sum("1")},
		{N: 2, File: "0002-b.patch", Subject: "lockdep: use a task watcher", Hash: sum("2")},
		{N: 3, File: "0003-c.patch", Subject: "audit: use a task watcher", Hash: sum("3")},
	}
	r.Cells = nil
	for _, arch := range []string{"amd64", "ppc64"} {
		for patch := range 4 {
			if arch != "ppc64" || patch != 2 {
				r.Cells = append(r.Cells, counted(arch, patch, ""))
			}
		}
		r.Cells = append(r.Cells, counted(arch, 0, results.ControlConfig))
	}
	return r
}

// counted is a cell whose figures are those of the seed, what the patches cost, and a little that differs from seed to seed.
func counted(arch string, patch int, config string) results.Cell {
	c := trialCell(arch, patch)
	c.QEMU.CPUs = 1
	c.QEMU.Command = []string{"qemu-system-x86_64", "-M", "microvm", "-icount", "shift=0", "-seed", "8"}
	c.QEMU.Seeds = []uint64{1, 2, 3, 4, 5, 6, 7, 8}
	if config != "" {
		c.Config, c.Build.ID, c.Tests = config, "control-"+arch, nil
	}
	cost := []float64{0, 112, 113, 3000}[patch]
	if config != "" {
		cost = 5
	}
	c.Benchmarks = nil
	for k, name := range []string{"Clone", "Fork"} {
		b := results.Benchmark{Name: name, Unit: results.Instructions}
		for seed := uint64(1); seed <= 8; seed++ {
			for batch := range 2 {
				v := 470000 + float64(100000*k) + 317*float64(seed*seed%11) + 41*float64(batch) + cost
				if patch == 3 {
					v += float64(seed % 3)
				}
				b.Values = append(b.Values, v)
				b.Iters, b.Seeds = append(b.Iters, 200), append(b.Seeds, seed)
			}
		}
		c.Benchmarks = append(c.Benchmarks, b)
	}
	return c
}

// The table of 2006, in at most 75 columns, in all its forms.
func TestCostTable(t *testing.T) {
	r := watchers()
	encode(t, r)
	for _, name := range []string{"clone", "cost"} {
		table, err := results.TableFor(name, r)
		if err != nil {
			t.Fatal(err)
		}
		text := textOf(t, table)
		checkWidth(t, text, results.Width)
		js, err := table.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "table-watchers-"+name+".golden", text+"-- json --\n"+string(js)+"\n")
	}
}

// A cost that was not measured is no 0: not of the patch, and not of the one behind it, which has nothing to be compared with.
func TestCostMissing(t *testing.T) {
	costs, err := results.Costs(watchers(), "clone")
	if err != nil {
		t.Fatal(err)
	}
	if len(costs) != 8 {
		t.Fatalf("%d costs, want one for each of 2 architectures and 4 kernels", len(costs))
	}
	for _, c := range costs {
		hole := c.Arch == "ppc64" && c.Patch == 2
		if (c.N == 0) != hole {
			t.Errorf("%s patch %d: n is %d", c.Arch, c.Patch, c.N)
		}
		if alone := c.Patch == 0 || c.Arch == "ppc64" && c.Patch >= 2; (c.Comparison == nil) != alone {
			t.Errorf("%s patch %d: comparison is %+v", c.Arch, c.Patch, c.Comparison)
		}
	}
	table, err := results.TableFor("clone", watchers())
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range table.Rows {
		if row[0] == "ppc64" && (row[1] == "2" || row[1] == "3") && row[2] != results.Missing {
			t.Errorf("cost of %v is shown as %q", row[:2], row[2])
		}
	}
	r := watchers()
	for i := range r.Cells {
		r.Cells[i].Benchmarks = nil
	}
	if _, err := results.TableFor("cost", r); !errors.Is(err, results.ErrNotMeasured) {
		t.Errorf("without figures: %v, want ErrNotMeasured", err)
	}
}

// The figures of 2006 stand beside the patch that does the same, not beside the one with the same number.
func TestAnchor(t *testing.T) {
	r := watchers()
	a, err := results.AnchorFor("task-watchers", "Clone")
	if err != nil || a == nil {
		t.Fatalf("AnchorFor = %v, %v", a, err)
	}
	for patch, want := range map[int]int{0: 0, 1: 1, 2: 7, 3: 2, 4: 0} {
		if got := a.OldPatch(r, patch); got != want {
			t.Errorf("patch %d was %d in 2006, want %d", patch, got, want)
		}
	}
	if a.Cost[4] != -1 || a.CostErr[0] != 0.7 {
		t.Errorf("clone of 2006: %v, %v", a.Cost, a.CostErr)
	}
	r.Patches[1].Subject = "audit: free early"
	if got := a.OldPatch(r, 3); got != 0 {
		t.Errorf("of two audit patches the third is %d of 2006, want none", got)
	}
	r.Patches[2].Subject = "audit, keys: both"
	if got := a.OldPatch(r, 3); got != 0 {
		t.Errorf("a patch of two topics is %d of 2006, want none", got)
	}
	for _, c := range [][2]string{{"kauditd-wakeup", "clone"}, {"task-watchers", "exec"}} {
		if a, err := results.AnchorFor(c[0], c[1]); a != nil || err != nil {
			t.Errorf("AnchorFor(%q) = %v, %v, want nothing", c, a, err)
		}
	}
}

// What a change of layout alone does is the smallest difference that is believed.
func TestFloor(t *testing.T) {
	r := watchers()
	f, err := results.FloorOf(r, "amd64", "release", "Clone", results.Instructions)
	if err != nil || f == nil || f.Smallest != 5 || f.Same != 0 || f.Controls != 1 {
		t.Fatalf("FloorOf = %+v, %v, want 5 of one control", f, err)
	}
	believed := map[int]bool{1: true, 2: false, 3: true} // 112, 1, about 2887
	costs, err := results.Costs(r, "clone")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range costs {
		if c.Arch == "amd64" && c.Patch > 0 && c.Comparison.Believed() != believed[c.Patch] {
			t.Errorf("patch %d: %+v is believed: %v", c.Patch, c.Comparison, !believed[c.Patch])
		}
	}
	r.CellAt("amd64", 0, results.ControlConfig).QEMU.Version = "9"
	if _, err := results.Costs(r, "clone"); !errors.As(err, new(*results.MismatchError)) {
		t.Errorf("a control of another QEMU: %v, want a mismatch", err)
	}
	// A control is no row of any table, nor a kernel whose cost is asked.
	table, err := results.TableFor("cost", watchers())
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range table.Rows {
		if slices.Contains(row, results.ControlConfig) {
			t.Errorf("a row for the control: %q", row)
		}
	}
	none := watchers()
	none.Cells = slices.DeleteFunc(none.Cells, func(c results.Cell) bool { return c.Config == results.ControlConfig })
	if table, err = results.TableFor("clone", none); err != nil || !strings.Contains(strings.Join(table.Notes, "\n"), "No control was measured") {
		t.Errorf("without a control the table says (%v): %q", err, table.Notes)
	}
}

// A benchmark that times a build has the four columns of kernbench, with those of 2006 beside them.
func TestKernbench(t *testing.T) {
	r := watchers()
	for i := range r.Cells {
		r.Cells[i].Benchmarks = []results.Benchmark{
			{Name: "Build", Unit: "sec/op", Values: []float64{12, 13}}, {Name: "Build", Unit: "user-sec/op", Values: []float64{10, 10.5}},
			{Name: "Build", Unit: "sys-sec/op", Values: []float64{2, 2.25}}, {Name: "Build", Unit: "cpu-%", Values: []float64{99, 100}},
		}
	}
	r.Cells[2].Benchmarks = r.Cells[2].Benchmarks[:2]
	encode(t, r)
	table, err := results.TableFor("build", r)
	if err != nil {
		t.Fatal(err)
	}
	text, err := table.Text(0)
	if err != nil {
		t.Fatal(err)
	}
	checkWidth(t, text, results.Width)
	golden(t, "table-kernbench.golden", text)
	for _, row := range table.Rows {
		if row[0] == "amd64" && row[1] == "2" && (row[4] != "" || row[5] != "") {
			t.Errorf("what was not measured is shown: %q", row)
		}
	}
	// Where the clock counted instructions, they are in the place of seconds.
	counted := watchers()
	for i := range counted.Cells {
		counted.Cells[i].Benchmarks = []results.Benchmark{
			{Name: "Build", Unit: results.Instructions, Values: []float64{1575885503, 1575885507}}, {Name: "Build", Unit: "user-insns/op", Values: []float64{1459260000, 1459260000}},
			{Name: "Build", Unit: "sys-insns/op", Values: []float64{115526000, 115526000}}, {Name: "Build", Unit: "cpu-%", Values: []float64{99, 100}},
		}
	}
	encode(t, counted)
	if table, err = results.TableFor("build", counted); err != nil {
		t.Fatal(err)
	}
	if text, err = table.Text(0); err != nil {
		t.Fatal(err)
	}
	checkWidth(t, text, results.Width)
	golden(t, "table-kernbench-counted.golden", text)
	r.Series = "other"
	if table, err = results.TableFor("build", r); err != nil || len(table.Columns) != 6 {
		t.Errorf("another series has the figures of 2006: %v (%v)", table.Columns, err)
	}
}

// Without the kernels between, a cost is that of all patches since the last one that was built, and says so.
func TestCostWhole(t *testing.T) {
	r := watchers()
	r.Cells = slices.DeleteFunc(r.Cells, func(c results.Cell) bool { return c.Patch == 1 || c.Patch == 2 })
	table, err := results.TableFor("clone", r)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range table.Rows {
		if row[1] != "stock" && (row[1] != "1-3" || row[2] != "+3001" || row[6] != results.Missing) {
			t.Errorf("row %q, want the cost of patches 1-3 and no patch of 2006", row)
		}
	}
}

// The record is kept for the tests of the page that is made of it.
func TestWatchersRecord(t *testing.T) {
	golden(t, "watchers.json", string(encode(t, watchers())))
}
