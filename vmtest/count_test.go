// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seriesrig/series/vmtest/counts"
)

// counted runs a benchmark of guesttests/counting with a seed, and returns its figures by their units, and the guest's run up to
// its last instruction: how long the program ran, to the nanosecond, and what the console said before it.
func counted(t *testing.T, m Machine, bin, bench string, seed uint64, count bool, ops int) (map[string]float64, string, Machine) {
	t.Helper()
	m.Dir, m.Icount = t.TempDir(), &Icount{Seed: seed, Count: count}
	res, err := Test(t.Context(), m, Job{Binary: bin, Args: []string{"-test.run=^$", "-test.bench=" + bench, fmt.Sprintf("-test.benchtime=%dx", ops)}})
	if err != nil || res.Verdict.Kind != Pass || len(res.Benchmarks) == 0 {
		t.Errorf("%+v, %v", res, err)
		return nil, "", m
	}
	figures := map[string]float64{}
	words := strings.Fields(res.Benchmarks[len(res.Benchmarks)-1])
	for i := 2; i+1 < len(words); i += 2 {
		if figures[words[i+1]], err = strconv.ParseFloat(words[i], 64); err != nil {
			t.Errorf("%q: %v", words, err)
		}
	}
	text, err := os.ReadFile(filepath.Join(m.Dir, "console.log"))
	if err != nil {
		t.Error(err)
	}
	before, _, _ := strings.Cut(string(text), "Run /series/agent")
	return figures, fmt.Sprintf("%.9f s\n%s\n%s", res.Elapsed, strings.Join(words, " "), before), m
}

const getppid = "^BenchmarkGetppid$"

func countingBinary(t *testing.T, a Arch) string {
	return build(t, a, "counting.test", "test", "-c", "-tags", "guest", "./guesttests/counting")
}

// Guests that count instructions show the same figures alone and beside others, more of them than the host has cores: of each
// seed the figure of the benchmark and every line of the console, with its time.
func TestRealIcountSideBySide(t *testing.T) {
	onReal(t, func(t *testing.T, m Machine) {
		const guests = 3 // more than the cores of the machines that CI has
		bin := countingBinary(t, m.Arch)
		run := func(seed uint64) string {
			_, run, _ := counted(t, m, bin, getppid, seed, false, 1000)
			return run
		}
		var alone, beside [guests]string
		for i := range alone {
			alone[i] = run(uint64(i + 1))
		}
		var all sync.WaitGroup
		for i := range beside {
			all.Go(func() { beside[i] = run(uint64(i + 1)) })
		}
		all.Wait()
		for i := range alone {
			if alone[i] != beside[i] {
				t.Errorf("seed %d (-alone +side by side)\n%s", i+1, cmp.Diff(strings.Split(alone[i], "\n"), strings.Split(beside[i], "\n")))
			}
		}
		if len(slices.Compact(slices.Sorted(slices.Values(alone[:])))) == 1 {
			t.Error("all seeds give the same run: this test cannot fail")
		}
	})
}

// What is counted by function is all that was executed, and where: the guest's own clock says how much, and twice the
// operations are twice the instructions of the functions on their way. That it is counted changes no figure.
func TestRealCounts(t *testing.T) {
	onReal(t, func(t *testing.T, m Machine) {
		bin := countingBinary(t, m.Arch)
		perOp := map[int]map[string]float64{}
		for _, ops := range []int{1000, 2000} {
			figures, _, m := counted(t, m, bin, getppid, 1, true, ops)
			if plain, _, _ := counted(t, m, bin, getppid, 1, false, ops); plain["insns/op"] != figures["insns/op"] {
				t.Errorf("%d operations: %v insns/op, and %v where they are counted", ops, plain["insns/op"], figures["insns/op"])
			}
			c, err := m.Counts()
			if err != nil {
				t.Fatal(err)
			}
			functions, err := c.Between(int(figures["first-mark"]), int(figures["last-mark"]))
			if err != nil {
				t.Fatal(err)
			}
			clock, sum := figures["insns/op"]*float64(ops), float64(functions.Sum())
			if len(functions) < 5 {
				t.Errorf("%d operations: only %v", ops, functions)
			}
			t.Logf("%d operations: the clock says %.0f instructions, %.0f are counted", ops, clock, sum)
			// To read the clock twice is between the marks as well.
			if math.Abs(sum-clock) > 0.01*clock {
				t.Errorf("%d operations: %.0f instructions are counted, and the clock says %.0f", ops, sum, clock)
			}
			perOp[ops] = map[string]float64{}
			for name, n := range functions {
				perOp[ops][name] = float64(n) / float64(ops)
			}
		}
		function := map[Arch]string{AMD64: "__x64_sys_getppid", PPC64: "sys_getppid"}[m.Arch]
		for _, name := range []string{function, "__task_pid_nr_ns"} {
			a, b := perOp[1000][name], perOp[2000][name]
			if a < 1 || math.Abs(a-b) > 0.05*a {
				t.Errorf("%s has %v instructions an operation of 1000, and %v of 2000\n%v", name, a, b, perOp[1000])
			}
		}
		if n := perOp[2000][counts.Program]; n < 20 || n > 500 { // a loop around a system call, and what Go does beside it
			t.Errorf("the program itself has %v instructions an operation\n%v", n, perOp[2000])
		}
	})
}

// Beside its figure a benchmark may have what the kernel's tracepoints and scheduler say: a fork is one fork and one exit, and
// takes schedule() to get to the child.
func TestRealColumns(t *testing.T) {
	onReal(t, func(t *testing.T, m Machine) {
		figures, _, _ := counted(t, m, countingBinary(t, m.Arch), "^BenchmarkFork$", 1, false, 50)
		t.Log(figures)
		if figures["sched:sched_process_fork/op"] != 1 || figures["sched:sched_process_exit/op"] != 1 {
			t.Errorf("%v forks and %v exits an operation, want 1", figures["sched:sched_process_fork/op"], figures["sched:sched_process_exit/op"])
		}
		if figures["schedstat:schedules/op"] < 1 || figures["schedstat:wakeups/op"] <= 0 {
			t.Errorf("the scheduler says %v", figures)
		}
	})
}

// A child of a fork makes marks as well, in which nothing of Go runs: its batches with system calls are told from those without, by
// every second span as by the shortest ones.
func TestRealChildCounts(t *testing.T) {
	onReal(t, func(t *testing.T, m Machine) {
		const ops = 200
		figures, _, m := counted(t, m, countingBinary(t, m.Arch), "^BenchmarkChild$", 1, true, ops)
		c, err := m.Counts()
		if err != nil {
			t.Fatal(err)
		}
		const batches = 6
		first, last := int(figures["first-mark"]), int(figures["last-mark"])
		if first != 3*(batches+1)+1 || last != first+batches || c.Marks() != last {
			t.Errorf("marks %d to %d of %d, want the last of two rounds of two calls, of %d batches each", first, last, c.Marks(), batches)
		}
		const unit = "@getppid-insns/op"
		with, err := c.Steps(int(figures["first-mark"+unit]), int(figures["last-mark"+unit]), int(figures["mark-step"+unit]))
		if err != nil {
			t.Fatal(err)
		}
		without, err := c.Calm(first, last, int(figures["calm-from"]), int(figures["calm-to"]))
		if err != nil {
			t.Fatal(err)
		}
		function := map[Arch]string{AMD64: "__x64_sys_getppid", PPC64: "sys_getppid"}[m.Arch]
		if n := with[function]; n < batches/2*ops || n%(batches/2*ops) != 0 {
			t.Errorf("%s has %d instructions in %d batches of %d calls", function, n, batches/2, ops)
		}
		if n := without[function]; n != 0 {
			t.Errorf("%s has %d instructions in batches without calls", function, n)
		}
	})
}
