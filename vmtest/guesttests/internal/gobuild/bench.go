// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || ppc64 || ppc64le)

package gobuild

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/seriesrig/series/vmtest/guesttests/internal/bench"
	"github.com/seriesrig/series/vmtest/guesttests/internal/mark"
)

const (
	opsInBuild = 200 // of b.N: --benchtime is told for operations that are short, 200x where nothing is said
	mostWarm   = 10  // builds until two in a row take the same time
)

// Benchmark measures builds: one for each 200 of b.N, and at least one. What comes before two in a row that take the same time, within
// 1 %, is left out, the first of the two as well; a benchmark that does not get there fails. It reports the elapsed time (insns/op where
// the guest's clock counts instructions, which SERIES_MODE=icount says, else ns/op), that in user mode and in the kernel, the share of
// a CPU, and how many builds were left out.
//
// How a tick-based kernel divides CPU time into that of user and kernel is a sample: it looks where the CPU is, some hundred
// times a second. Their sum is exact.
func Benchmark(b *testing.B) {
	t, err := Open(Path)
	if err != nil {
		b.Fatal(err)
	}
	if bench.Probe(b.N) {
		// The figures of this call are not used by package testing, but for a check of its flags.
		if _, err := t.Build(Work()); err != nil {
			b.Fatal(err)
		}
		return
	}
	last, skipped, err := t.Settle()
	if err != nil {
		b.Fatal(err)
	}
	sum := last
	n := max(1, b.N/opsInBuild)
	for range n - 1 {
		if last, err = t.Build(Work()); err != nil {
			b.Fatal(err)
		}
		sum.Elapsed, sum.User, sum.System, sum.Last = sum.Elapsed+last.Elapsed, sum.User+last.User, sum.System+last.System, last.Last
	}
	report(b, sum, n)
	b.ReportMetric(float64(skipped), WarmUp)
}

// WarmUp is the unit of how many builds are left out.
const WarmUp = "warm-up-builds"

// Work is the folder for builds where none of them is left.
func Work() string { return filepath.Join(os.TempDir(), "gobuild") }

// Settle builds until two builds in a row take the same time, within 1 %, and returns the last one and how many came before it.
func (t *Toolchain) Settle() (last Times, skipped int, err error) {
	return settle(func() (Times, error) { return t.Build(Work()) })
}

func settle(build func() (Times, error)) (last Times, skipped int, err error) {
	all, err := bench.Repeat(mostWarm, build, func(t Times) []float64 { return []float64{float64(t.Elapsed)} })
	if err != nil {
		return Times{}, 0, err
	}
	return all[len(all)-1], len(all) - 1, nil
}

func report(b *testing.B, sum Times, n int) {
	per := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / float64(n) }
	Elapsed(b, sum, n)
	if bench.Icount() {
		b.ReportMetric(per(sum.User), "user-insns/op")
		b.ReportMetric(per(sum.System), "sys-insns/op")
	} else {
		b.ReportMetric(per(sum.User)/1e9, "user-sec/op")
		b.ReportMetric(per(sum.System)/1e9, "sys-sec/op")
	}
	b.ReportMetric(sum.CPU(), "cpu-%")
}

// Elapsed reports what each of n builds took that followed each other, by the guest's clock, and nothing else.
func Elapsed(b *testing.B, sum Times, n int) {
	b.Helper()
	b.ReportMetric(0, "ns/op") // what testing would say, with the warming in it
	b.ReportMetric(float64(sum.Elapsed.Nanoseconds())/float64(n), bench.Unit())
	mark.Region{First: sum.First, Last: sum.Last, Step: 2, Ops: n}.Report(b) // from a build to the next one is the other span
}
