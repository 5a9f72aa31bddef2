// SPDX-License-Identifier: Apache-2.0

package results_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/seriesrig/series/results"
)

// pair returns two cells of guests that counted instructions, with one metric: a value for each seed.
func pair(before, after []float64) (*results.Run, *results.Cell, *results.Cell) {
	r := watchers()
	old, fresh := counted("amd64", 0, ""), counted("amd64", 1, "")
	set := func(c *results.Cell, values []float64) {
		b := results.Benchmark{Name: "A", Unit: results.Instructions, Values: values}
		for i := range values {
			b.Seeds = append(b.Seeds, uint64(i+1))
		}
		c.Benchmarks = []results.Benchmark{b}
	}
	set(&old, before)
	set(&fresh, after)
	return r, &old, &fresh
}

func TestComparePaired(t *testing.T) {
	compare := func(before, after []float64) *results.Comparison {
		t.Helper()
		r, old, fresh := pair(before, after)
		c, err := results.Compare(r, old, r, fresh, "A", results.Instructions)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	// Differences 1 to 8: mean 4.5, standard deviation sqrt(6), t(0.975, 7) = 2.364624.
	c := compare([]float64{1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000}, []float64{1001, 2002, 3003, 4004, 5005, 6006, 7007, 8008})
	half := 2.364624 * math.Sqrt(6) / math.Sqrt(8)
	if c.Method != results.Paired || c.Delta != 4.5 || math.Abs(c.Half()-half) > 1e-5 || math.Abs(c.Spread-math.Sqrt(6)) > 1e-12 || !c.Significant || c.Exact {
		t.Errorf("Compare = %+v, want 4.5 ±%v", c, half)
	}
	if math.Abs(c.P-0.0012583) > 1e-6 { // pt(-5.196152, 7)*2
		t.Errorf("p = %v, want 0.0012583", c.P)
	}
	if change, _, ok := c.Percent(); !ok || math.Abs(change-0.1) > 1e-12 {
		t.Errorf("Percent = %v, want 0.1 of the mean of 4500", change)
	}
	// The values of the two kernels overlap so much that a test without pairs sees nothing at all.
	if c = compare([]float64{1000, 2000, 3000}, []float64{1001, 2001, 3001}); !c.Exact || c.Delta != 1 || c.Half() != 0 || !c.Significant {
		t.Errorf("the same difference with each seed: %+v, want 1, exactly", c)
	}
	// A third of an operation more, of figures that are no whole numbers.
	if c = compare([]float64{470083 + 1.0/3, 480000 + 1.0/7, 1.0 / 7}, []float64{470083 + 2.0/3, 480000 + 1.0/7 + 1.0/3, 1.0/7 + 1.0/3}); !c.Exact || c.Half() != 0 {
		t.Errorf("the same difference but for rounding: %+v", c)
	}
	if c = compare([]float64{470083, 480000}, []float64{470084, 480001.001}); c.Exact || c.Half() == 0 {
		t.Errorf("a difference in the thousandth part: %+v, taken for rounding", c)
	}
	if c = compare([]float64{1, 2, 3}, []float64{2, 1, 3}); c.Significant || c.Delta != 0 || c.P < 0.99 {
		t.Errorf("up and down: %+v, want nothing", c)
	}
	if c = compare([]float64{5}, []float64{7}); c.Delta != 2 || c.Confidence != 0 || c.Exact || c.Significant || len(c.Warnings) == 0 {
		t.Errorf("one seed: %+v, want a difference without an interval", c)
	}
}

// The batches of a boot are no sample of their own: twice the batches give the same interval.
func TestPairedBatches(t *testing.T) {
	r, old, fresh := pair([]float64{100, 200, 300}, []float64{101, 203, 308})
	once, err := results.Compare(r, old, r, fresh, "A", results.Instructions)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*results.Cell{old, fresh} {
		b := &c.Benchmarks[0]
		b.Values, b.Seeds = slices.Repeat(b.Values, 2), slices.Repeat(b.Seeds, 2)
	}
	twice, err := results.Compare(r, old, r, fresh, "A", results.Instructions)
	if err != nil || twice.Lo != once.Lo || twice.Hi != once.Hi || len(twice.Diffs) != 3 {
		t.Errorf("with two batches: %+v (%v), want the interval %v to %v of 3 seeds", twice, err, once.Lo, once.Hi)
	}
}

// A/A: the same build differs from itself by exactly 0 with each seed, or it is told that the guest does not repeat.
func TestPairedSameBuild(t *testing.T) {
	r := watchers()
	first, second := counted("ppc64", 1, ""), counted("ppc64", 1, "")
	for _, name := range []string{"Clone", "Fork"} {
		c, err := results.Compare(r, &first, r, &second, name, results.Instructions)
		if err != nil {
			t.Fatal(err)
		}
		if c.Delta != 0 || !c.Exact || c.Significant || c.Lo != 0 || c.Hi != 0 || len(c.Diffs) != 8 || slices.ContainsFunc(c.Diffs, func(d float64) bool { return d != 0 }) {
			t.Errorf("%s: A/A = %+v, want exactly 0 with each seed", name, c)
		}
	}
	// One instruction in one batch of one seed, and one up and one down, which leaves the mean as it was.
	second.Benchmarks[0].Values[5]++
	second.Benchmarks[1].Values[4]++
	second.Benchmarks[1].Values[7]--
	for _, name := range []string{"Clone", "Fork"} {
		_, err := results.Compare(r, &first, r, &second, name, results.Instructions)
		var repeat *results.RepeatError
		if !errors.As(err, &repeat) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: a build that differs from itself: %v, want a RepeatError", name, err)
		}
	}
}

func TestPairedRefuses(t *testing.T) {
	for what, spoil := range map[string]func(*results.Cell){
		"seeds":             func(c *results.Cell) { c.Benchmarks[0].Seeds[0] = 9 },
		"clock":             func(c *results.Cell) { c.QEMU.Command = []string{"qemu-system-x86_64", "-M", "microvm"} },
		"QEMU command line": func(c *results.Cell) { c.QEMU.Command[4] = "shift=1" },
	} {
		r := watchers()
		old, fresh := counted("amd64", 0, ""), counted("amd64", 1, "")
		spoil(&fresh)
		_, err := results.Compare(r, &old, r, &fresh, "Clone", results.Instructions)
		var mismatch *results.MismatchError
		if !errors.As(err, &mismatch) || mismatch.What != what {
			t.Errorf("%s: Compare = %v, want a mismatch of it", what, err)
		}
	}
	// The seed of the last boot stands in the command line, and is no other condition.
	r := watchers()
	old, fresh := counted("amd64", 0, ""), counted("amd64", 1, "")
	fresh.QEMU.Command = append(slices.Clone(fresh.QEMU.Command[:6]), "3")
	if _, err := results.Compare(r, &old, r, &fresh, "Clone", results.Instructions); err != nil {
		t.Errorf("another seed in the command line: %v", err)
	}
	fresh.Benchmarks[0].Iters[0] = 100
	if c, err := results.Compare(r, &old, r, &fresh, "Clone", results.Instructions); err != nil || len(c.Warnings) != 1 {
		t.Errorf("other iterations: %+v, %v, want a warning", c, err)
	}
}

// rounds is a record of interleaved boots: stock, its A/A control, and a patch that costs shift, all with noise.
func rounds(n int, shift, noise float64, seed uint64) *results.Run {
	rnd := rand.New(rand.NewPCG(seed, 7))
	r := trial()
	r.Cells = nil
	cell := func(patch int, config, build string) *results.Cell {
		c := trialCell("amd64", patch)
		c.Config, c.Build.ID = config, build
		c.Benchmarks = []results.Benchmark{{Name: "A", Unit: "sec/op"}}
		r.Cells = append(r.Cells, c)
		return &r.Cells[len(r.Cells)-1]
	}
	cell(0, "release", "a")
	cell(0, results.ControlConfig, "a")
	cell(1, "release", "b")
	for round := 1; round <= n; round++ {
		drift := float64(round) // the host gets slower and slower: it is in each boot of a round
		for i := range r.Cells {
			b := &r.Cells[i].Benchmarks[0]
			for range 3 {
				v := 1000 + drift + noise*rnd.NormFloat64()
				if r.Cells[i].Patch == 1 {
					v += shift
				}
				b.Values, b.Boots = append(b.Values, v), append(b.Boots, round)
			}
		}
	}
	return r
}

func TestInterleaved(t *testing.T) {
	conclude := func(r *results.Run) *results.Comparison {
		t.Helper()
		encode(t, r)
		c, err := results.CompareCosts(r, r.CellAt("amd64", 0, "release"), r, r.CellAt("amd64", 1, "release"), "A", "sec/op")
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := conclude(rounds(12, 50, 2, 1))
	if c.Method != results.Interleaved || !c.Believed() || c.Lo > 50 || c.Hi < 50 || c.Half() > 5 || len(c.Diffs) != 12 {
		t.Errorf("an effect far above the noise: %+v", c)
	}
	again := conclude(rounds(12, 50, 2, 1))
	if again.Lo != c.Lo || again.Hi != c.Hi {
		t.Errorf("the interval of one record is %v to %v, and then %v to %v", c.Lo, c.Hi, again.Lo, again.Hi)
	}
	for name, refused := range map[string]struct {
		r    *results.Run
		says string
	}{
		"effect below A/A": {rounds(12, 1, 20, 2), "A/A control spreads"},
		"too few boots":    {rounds(9, 50, 2, 3), "too few"},
		"no control": {func() *results.Run {
			r := rounds(12, 50, 2, 4)
			r.Cells = slices.Delete(r.Cells, 1, 2)
			return r
		}(), "no A/A control"},
		"control is another build": {func() *results.Run {
			r := rounds(12, 50, 2, 5)
			r.Cells[1].Build.ID = "c"
			return r
		}(), "no A/A control"},
	} {
		c := conclude(refused.r)
		if c.Believed() || c.Significant || !strings.Contains(strings.Join(c.Warnings, "\n"), refused.says) {
			t.Errorf("%s: %+v, want a refusal that says %q", name, c, refused.says)
		}
		table, err := results.TableFor("a", refused.r)
		if err != nil {
			t.Fatal(err)
		}
		if text, err := table.Text(0); err != nil || !strings.Contains(text, "~") || !strings.Contains(strings.Join(strings.Fields(text), " "), refused.says) {
			t.Errorf("%s: the table does not tell (%v):\n%s", name, err, text)
		}
	}
	r := rounds(12, 50, 2, 6)
	b := &r.Cells[2].Benchmarks[0]
	b.Values, b.Boots = b.Values[:30], b.Boots[:30]
	if _, err := results.CompareCosts(r, &r.Cells[0], r, &r.Cells[2], "A", "sec/op"); !errors.As(err, new(*results.MismatchError)) {
		t.Errorf("10 boots against 12: %v, want a mismatch", err)
	}
}

// The bootstrap interval holds the truth about as often as it says; a small sample makes it a little narrow.
func TestInterleavedCoverage(t *testing.T) {
	const n = 120
	held := 0
	for seed := range uint64(n) {
		r := rounds(results.MinRounds, 50, 5, seed)
		c, err := results.Compare(r, &r.Cells[0], r, &r.Cells[2], "A", "sec/op")
		if err != nil {
			t.Fatal(err)
		}
		if c.Lo <= 50 && 50 <= c.Hi {
			held++
		}
	}
	if share := float64(held) / n; share < 0.87 {
		t.Errorf("the interval held the truth in %.1f %% of %d records, want about 95", 100*share, n)
	}
}

func TestCountInstructions(t *testing.T) {
	bs := []results.Benchmark{
		{Name: "Clone", Unit: "sec/op", Values: []float64{470083e-9, 12.34e-9}},
		{Name: "Clone", Unit: "lost", Values: []float64{3}},
		{Name: "Fork", Unit: "sec/op", Values: []float64{1e-9}},
		{Name: "Fork", Unit: results.Instructions, Values: []float64{2}},
	}
	got := results.CountInstructions(bs)
	if got[0].Unit != results.Instructions || !slices.Equal(got[0].Values, []float64{470083, 12.34}) {
		t.Errorf("sec/op became %v %s", got[0].Values, got[0].Unit)
	}
	if got[1].Unit != "lost" || got[2].Unit != "sec/op" || got[3].Values[0] != 2 {
		t.Errorf("others became %+v", got[1:])
	}
	if bs[0].Unit != "sec/op" || bs[0].Values[0] != 470083e-9 {
		t.Error("the argument was changed")
	}
}
