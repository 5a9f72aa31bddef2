// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/seriesrig/series/results"
)

// release is the configuration that a series is about; others stand behind it.
const release = "release"

// A matrix has a row for each patch and a column for each architecture and configuration.
type matrix struct {
	Heads []string
	Rows  []matrixRow
}

type matrixRow struct {
	Patch, Subject string
	Cells          []matrixCell
}

// A matrixCell says in words how a kernel did; the class only colours it.
type matrixCell struct {
	Class  string // pass, fail or none
	Text   string
	Detail string
}

func matrixOf(r *results.Run) matrix {
	var m matrix
	type column struct{ arch, config string }
	var columns []column
	seen := map[column]bool{}
	last := 0
	// Nobody asks how a control did, but where that is all there is, or it is what failed.
	only := !slices.ContainsFunc(r.Cells, func(c results.Cell) bool { return !results.IsControl(c.Config) })
	for i := range r.Cells {
		cell := &r.Cells[i]
		last = max(last, cell.Patch)
		c := column{cell.Arch, cell.Config}
		if !seen[c] && (!results.IsControl(c.config) || only || judge(cell).Class == "fail") {
			seen[c] = true
			columns = append(columns, c)
		}
	}
	// The release configurations first, so that a phone shows them side by side, and controls last.
	rank := func(c column) int {
		switch {
		case c.config == release:
			return 0
		case results.IsControl(c.config):
			return 2
		}
		return 1
	}
	slices.SortStableFunc(columns, func(a, b column) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a.arch, b.arch))
	})
	for _, c := range columns {
		head := c.arch
		if c.config != release {
			head += " " + c.config
		}
		m.Heads = append(m.Heads, head)
	}
	for n := 0; n <= last; n++ {
		row := matrixRow{Patch: fmt.Sprint(n), Subject: "stock"}
		if n > 0 && n <= len(r.Patches) {
			row.Subject = r.Patches[n-1].Subject
		}
		any := false
		for _, c := range columns {
			cell := r.CellAt(c.arch, n, c.config)
			any = any || cell != nil
			row.Cells = append(row.Cells, judge(cell))
		}
		if any {
			m.Rows = append(m.Rows, row)
		}
	}
	return m
}

// judge sums a kernel up: the worst of its build, its proofs and its tests.
func judge(c *results.Cell) matrixCell {
	if c == nil {
		return matrixCell{Class: "none", Text: results.Missing, Detail: "not in this run"}
	}
	out := matrixCell{Class: "none", Text: "built"}
	if c.Build == nil {
		out.Text, out.Detail = results.Missing, "not built"
		return out
	}
	if n := len(c.Build.Errors); n > 0 || c.Build.ID == "" {
		return matrixCell{Class: "fail", Text: "no build", Detail: fmt.Sprintf("%d errors", n)}
	}
	held := 0
	for _, p := range c.Proofs {
		if p.Pass {
			held++
		}
	}
	var detail []string
	if len(c.Proofs) > 0 {
		detail = append(detail, fmt.Sprintf("%d/%d proofs", held, len(c.Proofs)))
		out.Class, out.Text = "pass", "proved"
	}
	if t := c.Tests; t != nil {
		out.Class, out.Text = "pass", string(t.Verdict)
		if t.Verdict != results.Pass {
			out.Class = "fail"
		}
		counts := fmt.Sprintf("%d passed", t.Passed)
		for _, n := range []struct {
			count int
			what  string
		}{{t.Failed, "failed"}, {t.Expected, "failed as expected"}, {t.Skipped, "skipped"}} {
			if n.count > 0 {
				counts += fmt.Sprintf(", %d %s", n.count, n.what)
			}
		}
		detail = append([]string{counts}, detail...)
	}
	if held < len(c.Proofs) {
		out.Class, out.Text = "fail", "proof fails"
	}
	if n := len(c.Benchmarks); n > 0 {
		detail = append(detail, fmt.Sprintf("%d metrics", n))
	}
	out.Detail = strings.Join(detail, "; ")
	return out
}

// guestLogs are the files of a guest's folder that are worth showing.
var guestLogs = []struct{ file, what string }{{"console.log", "console"}, {"test.log", "output"}}

// logs reads the build and guest logs of all kernels.
func (o Options) logs() []logText {
	var all []logText
	for i := range o.Run.Cells {
		c := &o.Run.Cells[i]
		bad := judge(c).Class == "fail"
		add := func(what, file string) {
			l := o.readLog(fmt.Sprintf("%s: %s", c, what), file)
			l.Bad, l.Cell = bad, c.Arch
			if c.Config != release {
				l.Cell += " " + c.Config
			}
			all = append(all, l)
		}
		if c.Tests != nil && c.Tests.Log != "" {
			for _, g := range guestLogs {
				add(g.what, path.Join(c.Tests.Log, g.file))
			}
		}
		if len(c.Guests) > 0 { // of the others only the figures differ
			for _, g := range guestLogs {
				add(fmt.Sprintf("benchmarks, guest 1 of %d, %s", len(c.Guests), g.what), path.Join(c.Guests[0], g.file))
			}
		}
		if c.Build != nil && c.Build.Log != "" {
			add("build", c.Build.Log)
		}
	}
	return all
}

// commandsOf says how to do it again.
func commandsOf(r *results.Run) []commandData {
	out := []commandData{{"The run", quoted(r.Command)}}
	if len(r.Command) == 0 {
		out = nil
	}
	seen := map[string]bool{}
	for i := range r.Cells {
		c := &r.Cells[i]
		if c.QEMU == nil || len(c.QEMU.Command) == 0 || seen[c.Arch] {
			continue
		}
		seen[c.Arch] = true
		out = append(out, commandData{"A guest of " + c.Arch, quoted(c.QEMU.Command)})
	}
	return append(out, commandData{"This page", quoted([]string{"series", "report", "record.json", "-o", "DIR"})})
}

// A kernelData says what the kernels of an architecture and configuration were made and run with.
type kernelData struct{ Name, Text string }

func kernelsOf(r *results.Run) []kernelData {
	var out []kernelData
	seen := map[string]bool{}
	for i := range r.Cells {
		c := &r.Cells[i]
		name := c.Arch + " " + c.Config
		if seen[name] {
			continue
		}
		seen[name] = true
		var parts []string
		if t := c.Toolchain; t != nil {
			parts = append(parts, t.String())
		}
		if c.ConfigHash != "" {
			parts = append(parts, "configuration "+c.ConfigHash[:min(len(c.ConfigHash), 19)])
		}
		if q := c.QEMU; q != nil {
			parts = append(parts, fmt.Sprintf("QEMU %s, %s, %s, %d CPU", q.Version, q.Machine, q.Accel, q.CPUs))
			if len(q.Seeds) > 0 {
				parts = append(parts, fmt.Sprintf("seeds %v", q.Seeds))
			}
		}
		if len(parts) > 0 {
			out = append(out, kernelData{name, strings.Join(parts, "; ")})
		}
	}
	return out
}

// quoted is a command line for a shell.
func quoted(args []string) string {
	var out []string
	for _, a := range args {
		if a == "" || strings.ContainsFunc(a, func(r rune) bool {
			return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./=,:+@%$", r)
		}) {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		out = append(out, a)
	}
	return strings.Join(out, " ")
}

func marshalTables(list []*results.Table) ([]byte, error) {
	js, err := json.MarshalIndent(list, "", "  ")
	return append(js, '\n'), err
}
