// SPDX-License-Identifier: Apache-2.0

package results_test

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seriesrig/series/results"
)

var update = flag.Bool("update", false, "write the golden files anew")

func sum(s string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(s))) }

// trial is a record of two architectures and a stock and a patched kernel, with everything in it but the cell of
// patch 1 on ppc64, and a spread that makes some changes significant and others not.
func trial() *results.Run {
	r := &results.Run{
		Series: "kauditd-wakeup", Title: "audit: wake kauditd once", Revision: 1, Verdict: results.Pass,
		Base: results.Base{Spec: "debian:linux-source-6.12", Version: "6.12.117-1~deb12u1", Hash: sum("base")},
		Patches: []results.PatchFile{
			{N: 1, File: "0001-a.patch", Subject: "audit: a", Hash: sum("1")},
			{N: 2, File: "0002-b.patch", Subject: "audit: b", Hash: sum("2")},
		},
		Stages: []results.Stage{{Name: "base", Seconds: 0.31, Detail: "cached"}, {Name: "build", Seconds: 312.4, Detail: "3 of 5 built"},
			{Name: "test", Seconds: 12.34}},
		Host:     results.Host{CPU: "A CPU", Cores: 2, Memory: 8 << 30, Kernel: "6.1.0", OS: "Debian GNU/Linux 12 (bookworm)"},
		Tool:     results.Tool{Name: "series", Version: "v0.1.0", Go: "go1.26.8"},
		Command:  []string{"series", "run", "kauditd-wakeup", "--arch", "amd64,ppc64"},
		Started:  time.Date(2026, 11, 21, 10, 15, 0, 0, time.UTC),
		Finished: time.Date(2026, 11, 21, 10, 20, 30, 0, time.UTC),
	}
	// On purpose not in the order that a record has.
	for _, arch := range []string{"ppc64", "amd64"} {
		for _, patch := range []int{2, 0, 1} {
			if arch != "ppc64" || patch != 1 {
				r.Cells = append(r.Cells, trialCell(arch, patch))
			}
		}
	}
	return r
}

func trialCell(arch string, patch int) results.Cell {
	c := results.Cell{
		Arch: arch, Patch: patch, Config: "release", ConfigHash: sum("config " + arch),
		Toolchain: &results.Toolchain{ID: sum("gcc " + arch), Compiler: "gcc 12.2.0", Linker: "ld 2.40"},
		Build: &results.Build{ID: fmt.Sprintf("%s-%d", arch, patch), Image: "vmlinux", Log: "build.log", Cached: patch == 0,
			Seconds: 31.25 * float64(patch+1), WarningsNew: []string{}, Errors: []string{}},
		Proofs: []results.Proof{{Name: "identity", Pass: true}, {Name: "symbols", Pass: true}},
		QEMU: &results.QEMU{Version: "7.2.22", Command: []string{"qemu-system-x86_64", "-M", "microvm"}, Accel: "tcg",
			Machine: "microvm", CPUs: 2, Memory: 512 << 20, Seeds: []uint64{1, 2, 3, 4, 5, 6}},
		Tests: &results.Tests{Verdict: results.Pass, Passed: 12},
	}
	if patch == 0 {
		c.Tests = &results.Tests{Verdict: results.Pass, Passed: 9, Expected: 3}
	}
	wakeups := map[int][]float64{
		0: {4.02, 4.00, 4.01, 3.99, 4.03, 4.00},
		1: {4.01, 4.02, 4.00, 4.00, 3.98, 4.02},
		2: {1.02, 1.01, 1.00, 1.03, 1.01, 1.00},
	}[patch]
	perRecord := make([]float64, len(wakeups))
	iters, seeds := make([]int, len(wakeups)), make([]uint64, len(wakeups))
	for i, w := range wakeups {
		perRecord[i], iters[i], seeds[i] = w/5, 1000, uint64(i+1)
	}
	c.Benchmarks = []results.Benchmark{
		{Name: "Openat-2", Unit: "wakeups/event", Values: wakeups, Iters: iters, Seeds: seeds},
		{Name: "Openat-2", Unit: "wakeups/record", Values: perRecord, Iters: iters, Seeds: seeds},
		{Name: "Openat-2", Unit: "lost", Values: []float64{0, 0, 0, 0, 0, 0}, Iters: iters, Seeds: seeds},
	}
	return c
}

// golden compares a text with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got):\n%s", path, d)
	}
}

func tableText(t *testing.T, name string, r *results.Run) string {
	t.Helper()
	table, err := results.TableFor(name, r)
	if err != nil {
		t.Fatal(err)
	}
	return textOf(t, table)
}

func textOf(t *testing.T, table *results.Table) string {
	t.Helper()
	text, err := table.Text(0)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
