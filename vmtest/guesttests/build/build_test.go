// SPDX-License-Identifier: Apache-2.0

//go:build guest

// Package build has nothing but the benchmark of a real build, for any series: series.toml names this package in benchmarks and in
// toolchain, in [guest].
package build

import (
	"testing"

	"github.com/seriesrig/series/vmtest/guesttests/internal/gobuild"
)

func BenchmarkBuild(b *testing.B) { gobuild.Benchmark(b) }
