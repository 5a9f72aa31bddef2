// SPDX-License-Identifier: Apache-2.0

package results

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/perf/benchfmt"
)

// BenchstatArgs are the arguments under which benchstat compares the patches of a file that WriteBenchmarks wrote. Every
// patch has a build of its own and every boot a seed, so benchstat has to be told not to keep those apart.
var BenchstatArgs = []string{"-col", "patch", "-row", ".name,arch,config", "-ignore", "build,qemu,seed,boot"}

// WriteBenchmarks writes the record's figures in Go's benchmark format, each with the configuration it was measured
// under: series, revision, base, arch, patch, config, build, qemu, seed and boot.
// See https://go.dev/design/14313-benchmark-format.
func WriteBenchmarks(w io.Writer, r *Run) error {
	if !slices.ContainsFunc(r.Cells, func(c Cell) bool { return len(c.Benchmarks) > 0 }) {
		return nil
	}
	// A line that is neither a result nor a key is a comment to every reader of the format.
	if _, err := fmt.Fprintf(w, "# benchstat %s FILE\n", strings.Join(BenchstatArgs, " ")); err != nil {
		return err
	}
	bw := benchfmt.NewWriter(w)
	for i := range r.Cells {
		c := &r.Cells[i]
		for _, group := range joinMetrics(c.Benchmarks) {
			for k := range group[0].Values {
				if err := bw.Write(benchResult(r, c, group, k)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// joinMetrics puts the metrics that were measured together, so that they share a line.
func joinMetrics(bs []Benchmark) [][]Benchmark {
	var groups [][]Benchmark
	for _, b := range bs {
		i := slices.IndexFunc(groups, func(g []Benchmark) bool {
			return g[0].Name == b.Name && len(g[0].Values) == len(b.Values) &&
				slices.Equal(g[0].Iters, b.Iters) && slices.Equal(g[0].Seeds, b.Seeds) && slices.Equal(g[0].Boots, b.Boots)
		})
		if i < 0 {
			groups = append(groups, []Benchmark{b})
			continue
		}
		groups[i] = append(groups[i], b)
	}
	return groups
}

func benchResult(r *Run, c *Cell, group []Benchmark, k int) *benchfmt.Result {
	res := &benchfmt.Result{Name: benchfmt.Name(group[0].Name), Iters: 1}
	if k < len(group[0].Iters) {
		res.Iters = group[0].Iters[k]
	}
	set := func(key, value string) {
		if value != "" {
			// A value goes to the end of its line, whatever it holds, but not beyond.
			value = strings.Join(strings.Fields(value), " ")
			res.Config = append(res.Config, benchfmt.Config{Key: key, Value: []byte(value), File: true})
		}
	}
	set("series", r.Series)
	set("revision", strconv.Itoa(r.Revision))
	set("base", r.Base.Spec+"@"+r.Base.Version)
	set("arch", c.Arch)
	set("patch", strconv.Itoa(c.Patch))
	set("config", c.Config)
	if c.Build != nil {
		set("build", c.Build.ID)
	}
	if c.QEMU != nil {
		set("qemu", c.QEMU.Version)
	}
	if k < len(group[0].Seeds) {
		set("seed", strconv.FormatUint(group[0].Seeds[k], 10))
	}
	if k < len(group[0].Boots) {
		set("boot", strconv.Itoa(group[0].Boots[k]))
	}
	for _, b := range group {
		res.Values = append(res.Values, benchfmt.Value{Value: b.Values[k], Unit: b.Unit})
	}
	return res
}
