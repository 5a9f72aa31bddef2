// SPDX-License-Identifier: Apache-2.0

//go:build guest

// Package auditbuild measures a real build in the states of audit that package audittracepoints measures single syscalls in.
// series.toml names it in benchmarks and in toolchain, in [guest].
package auditbuild

import (
	"os"
	"testing"

	"github.com/seriesrig/series/internal/need"
	"github.com/seriesrig/series/vmtest/guesttests/internal/auditstate"
	"github.com/seriesrig/series/vmtest/guesttests/internal/bench"
	"github.com/seriesrig/series/vmtest/guesttests/internal/gobuild"
	"github.com/seriesrig/series/vmtest/guesttests/internal/tracefs"
)

// BenchmarkBuild builds once in each state, after builds in none until two in a row take the same time, within 1 %; a rule is for openat.
func BenchmarkBuild(b *testing.B) {
	must(b, tracefs.Mount())
	must(b, os.WriteFile("/proc/sys/kernel/printk", []byte("5"), 0)) // records without a reader stay off the console
	tools, err := gobuild.Open(gobuild.Path)
	must(b, err)
	_, skipped, err := tools.Settle()
	must(b, err)
	for _, s := range auditstate.All() {
		if s.Seccomp { // a matter of single syscalls
			continue
		}
		lookers := auditstate.Lookers("audit/audit_syscall_entry", "audit/audit_syscall_exit")
		if s.Name == "never" { // what it costs tasks that nobody wants to know about
			lookers = lookers[:1]
		}
		for _, l := range lookers {
			b.Run("audit="+s.Name+"/trace="+l.Name, func(b *testing.B) {
				for _, file := range l.Files() {
					need.File(b, file, "such trace events")
				}
				l.Look(b)
				if !bench.Probe(b.N) {
					measure(b, s, tools)
					b.ReportMetric(float64(skipped+1), gobuild.WarmUp)
				}
			})
		}
	}
}

func measure(b *testing.B, s auditstate.State, tools *gobuild.Toolchain) {
	var took gobuild.Times
	events := s.Run(b, "openat", func() {
		var err error
		took, err = tools.Build(gobuild.Work())
		must(b, err)
	})
	if (events > 0) != s.Hits {
		b.Fatalf("%d events; that there are some: want %v", events, s.Hits)
	}
	gobuild.Elapsed(b, took, 1)
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}
