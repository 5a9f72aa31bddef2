// SPDX-License-Identifier: Apache-2.0

//go:build linux

package gobuild

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

const (
	opsInBuild = 200  // of b.N: --benchtime is told for operations that are short, 200x where nothing is said
	settled    = 0.01 // of its time is how much a build may differ from the one before it
	maxWarming = 6    // builds
)

// Benchmark measures builds: one for each 200 of b.N, and at least one. What comes before two in a row that take the same time, within
// 1 %, is left out; a benchmark that does not get there fails. It reports the elapsed time (insns/op where the guest's
// clock counts instructions, which SERIES_MODE=icount says, else ns/op), that in user mode and in the kernel, the share of
// a CPU, and how many builds were left out.
//
// How a tick-based kernel divides CPU time into that of user and kernel is a sample: it looks where the CPU is, some hundred
// times a second. Their sum is exact.
func Benchmark(b *testing.B) {
	t, err := Open(Path)
	if err != nil {
		b.Fatal(err)
	}
	w := warming{build: func() (Times, error) { return t.Build(Work()) }}
	if Probe(b.N) {
		// The figures of this call are not used by package testing, but for a check of its flags.
		if _, err := w.build(); err != nil {
			b.Fatal(err)
		}
		return
	}
	skipped, err := w.settle()
	if err != nil {
		b.Fatal(err)
	}
	sum := w.last
	n := max(1, b.N/opsInBuild)
	for range n - 1 {
		times, err := w.build()
		if err != nil {
			b.Fatal(err)
		}
		sum.Elapsed, sum.User, sum.System = sum.Elapsed+times.Elapsed, sum.User+times.User, sum.System+times.System
	}
	report(b, sum, n)
	b.ReportMetric(float64(skipped), "warm-up-builds")
}

// Work is the folder for builds where none of them is left.
func Work() string { return filepath.Join(os.TempDir(), "gobuild") }

// Probe tells the call of a benchmark, with N of n, by which testing only sees whether it works.
func Probe(n int) bool {
	f := flag.Lookup("test.benchtime")
	return n == 1 && (f == nil || f.Value.String() != "1x")
}

func report(b *testing.B, sum Times, n int) {
	per := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / float64(n) }
	Elapsed(b, per(sum.Elapsed))
	if icount() {
		b.ReportMetric(per(sum.User), "user-insns/op")
		b.ReportMetric(per(sum.System), "sys-insns/op")
	} else {
		b.ReportMetric(per(sum.User)/1e9, "user-sec/op")
		b.ReportMetric(per(sum.System)/1e9, "sys-sec/op")
	}
	b.ReportMetric(sum.CPU(), "cpu-%")
}

// Elapsed reports what a build took, in ns of the guest's clock, and nothing else.
func Elapsed(b *testing.B, ns float64) {
	b.ReportMetric(0, "ns/op") // what testing would say, with the warming in it
	if icount() {
		b.ReportMetric(ns, "insns/op")
	} else {
		b.ReportMetric(ns, "ns/op")
	}
}

// icount tells whether the guest's clock counts instructions.
func icount() bool { return os.Getenv("SERIES_MODE") == "icount" }

// warming builds until the time of a build has settled.
type warming struct {
	build func() (Times, error)
	last  Times
}

// settle returns how many builds came before the last one, which took as long as the one before it.
func (w *warming) settle() (skipped int, err error) {
	var all []time.Duration
	for range maxWarming + 1 {
		before := w.last.Elapsed
		if w.last, err = w.build(); err != nil {
			return 0, err
		}
		all = append(all, w.last.Elapsed)
		if diff := w.last.Elapsed - before; len(all) > 1 && diff.Abs() <= time.Duration(settled*float64(before)) {
			return len(all) - 1, nil
		}
	}
	return 0, fmt.Errorf("no two builds in a row took the same time, within %.1f %%: %v", 100*settled, all)
}
