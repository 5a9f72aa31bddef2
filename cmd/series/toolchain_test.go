// SPDX-License-Identifier: Apache-2.0

package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seriesrig/series/internal/need"
	"github.com/seriesrig/series/kernel"
	"github.com/seriesrig/series/patches"
	"github.com/seriesrig/series/results"
	"github.com/seriesrig/series/vmtest"
)

const buildPackage = "./vmtest/guesttests/build"

// TestRealBuild builds a program in a guest whose clock counts instructions, twice: with Go's compiler, assembler and linker as
// programs of the guest's architecture. It is the same figure to the last digit.
func TestRealBuild(t *testing.T) {
	need.Long(t)
	for _, name := range []string{"amd64", "ppc64"} {
		t.Run(name, func(t *testing.T) {
			kernelPath := need.Kernel(t, name)
			arch, err := kernel.FindArch(name)
			if err != nil {
				t.Fatal(err)
			}
			store, err := kernel.OpenStore(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			a := &app{cli: &cli{Root: "../.."}}
			s := &session{app: a, store: store, series: &patches.Series{ID: "build", Guest: patches.Guest{Toolchain: []string{buildPackage}}}}
			bin, err := s.testBinary(t.Context(), arch, buildPackage)
			if err != nil {
				t.Fatal(err)
			}
			var figures [2]string
			for i := range figures {
				m := vmtest.Machine{Arch: vmtest.Arch(name), Kernel: kernelPath, Icount: &vmtest.Icount{Seed: 3}, Dir: filepath.Join(t.TempDir(), "logs")}
				r, err := vmtest.Test(t.Context(), m, vmtest.Job{Binary: bin.path, Files: bin.files, PerTest: 4 * time.Minute,
					Args: []string{"-test.run=^$", "-test.bench=.", "-test.benchtime=200x"}, Env: []string{"SERIES_MODE=icount"}})
				if err != nil {
					t.Fatal(err)
				}
				if r.Verdict.Kind != vmtest.Pass || len(r.Benchmarks) == 0 {
					t.Fatalf("%v (%s)", r.Verdict, r.Dir)
				}
				figures[i] = strings.Join(r.Benchmarks, "\n")
				t.Logf("%v: %s", r.Times.Total, figures[i])
			}
			if figures[0] != figures[1] {
				t.Errorf("two guests with one seed differ:\n%s\n%s", figures[0], figures[1])
			}
			bs, err := results.ParseBenchmarks(strings.NewReader(figures[0]+"\n"), "guest")
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range bs {
				if b.Unit == "cpu-%" && (b.Values[0] < 50 || b.Values[0] > 100.5) {
					t.Errorf("on one CPU that had nothing else to do, the build had %.1f %% of it", b.Values[0])
				}
			}
		})
	}
}
