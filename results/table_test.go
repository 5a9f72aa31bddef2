// SPDX-License-Identifier: Apache-2.0

package results_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/seriesrig/series/results"
)

// mixed is a record with most of what a table can have to show.
func mixed(t *testing.T) *results.Run {
	t.Helper()
	r := trial()
	r.Cells[0].Tests = &results.Tests{Verdict: results.Panic, Passed: 3, Failed: 1}
	r.Cells[0].Proofs[1].Pass = false
	r.Cells[0].Benchmarks = nil
	r.Cells[3].Build.Errors = []string{"a.c:1: error"}
	r.Cells[3].Tests = nil
	r.Cells[4].Build.WarningsNew = []string{"a.c:1: warning", "a.c:2: warning"}
	encode(t, r)
	return r
}

func TestTables(t *testing.T) {
	for _, name := range []string{"verdicts", "stages", "wakeups", "Openat"} {
		for kind, r := range map[string]*results.Run{"full": trial(), "mixed": mixed(t)} {
			encode(t, r)
			table, err := results.TableFor(name, r)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			text, err := table.Text(0)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			md, err := table.Markdown()
			if err != nil {
				t.Error(err)
			}
			js, err := json.MarshalIndent(table, "", " ")
			if err != nil {
				t.Error(err)
			}
			golden(t, "table-"+strings.ToLower(name)+"-"+kind+".golden", text+"-- markdown --\n"+md+"-- json --\n"+string(js)+"\n")
			checkWidth(t, text, results.Width)
			var back results.Table
			if err := json.Unmarshal(js, &back); err != nil {
				t.Error(err)
			}
			if d := cmp.Diff(table, &back); d != "" {
				t.Errorf("%s through JSON (-want +got):\n%s", name, d)
			}
		}
	}
}

// The series' headline is the figure beside each kernel, whatever was measured first.
func TestHeadline(t *testing.T) {
	r := trial()
	r.Headline = &results.Headline{Benchmark: "Openat", Unit: "wakeups/record"}
	r.Cells = append(r.Cells, trialCell("amd64", 2))
	last := &r.Cells[len(r.Cells)-1]
	last.Config, last.Benchmarks, last.Tests = "no-audit", nil, nil
	encode(t, r)
	table, err := results.TableFor("verdicts", r)
	if err != nil {
		t.Fatal(err)
	}
	text, err := table.Text(0)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"wakeups/record", "0.8010", "0.2020", "Benchmark: Openat, wakeups/record.", "no-audit"} {
		if !strings.Contains(text, want) {
			t.Errorf("table has no %q:\n%s", want, text)
		}
	}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "ppc64") && strings.Contains(line, "no-audit") {
			t.Errorf("a row for a configuration that the architecture has not: %s", line)
		}
	}
	r.Headline.Unit = "insns/op"
	if table, err = results.TableFor("verdicts", r); err != nil {
		t.Fatal(err)
	}
	if text, err = table.Text(0); err != nil || strings.Contains(text, "0.8010") {
		t.Errorf("a figure of another unit stands in for one that was not measured (%v):\n%s", err, text)
	}
}

// A control has no rows; a variant that lacks a kernel says so.
func TestVerdictsOfControls(t *testing.T) {
	rows := func(config string) (n int) {
		r := trial()
		r.Cells = append(r.Cells, trialCell("amd64", 0))
		last := &r.Cells[len(r.Cells)-1]
		last.Config, last.Tests = config, nil
		table, err := results.TableFor("verdicts", r)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range table.Rows {
			if slices.Contains(row, config) {
				n++
			}
		}
		return n
	}
	if got := rows(results.ControlConfig); got != 0 {
		t.Errorf("a control of the base has %d rows, want none", got)
	}
	if got := rows("debug"); got < 2 {
		t.Errorf("a variant of which only the base was built has %d rows, want one for each patch", got)
	}
}

// With several benchmarks the chosen table has a row for each, stock beside patched.
func TestTableEnds(t *testing.T) {
	r := trial()
	for i := range r.Cells {
		c := &r.Cells[i]
		var more []results.Benchmark
		for _, name := range []string{"Wakeups/openat/cpus=same-2", "Wakeups/getppid/cpus=same-2", "Wakeups/openat/cpus=apart-2"} {
			for _, b := range c.Benchmarks {
				b.Name = name
				more = append(more, b)
			}
		}
		c.Benchmarks = append(more, results.Benchmark{Name: "Backlog/tasks=100-2", Unit: "lost", Values: []float64{0}})
	}
	encode(t, r)
	table, err := results.TableFor("wakeups", r)
	if err != nil {
		t.Fatal(err)
	}
	if len(table.Rows) != 6 {
		t.Errorf("%d rows, want one for each of 2 architectures and 3 benchmarks", len(table.Rows))
	}
	text, err := table.Text(0)
	if err != nil {
		t.Fatal(err)
	}
	checkWidth(t, text, results.Width)
	golden(t, "table-ends.golden", text)
}

func checkWidth(t *testing.T, text string, width int) {
	t.Helper()
	for _, line := range strings.Split(text, "\n") {
		if n := utf8.RuneCountInString(line); n > width {
			t.Errorf("a line has %d columns, at most %d may be: %q", n, width, line)
		}
		if strings.TrimRight(line, " ") != line {
			t.Errorf("blanks at the end of %q", line)
		}
	}
}

func TestTableFor(t *testing.T) {
	r := trial()
	encode(t, r)
	_, err := results.TableFor("wakups", r)
	var unknown *results.UnknownTableError
	if !errors.As(err, &unknown) || !slices.Equal(unknown.Known, []string{"cost", "counts", "functions", "interfaces", "openat", "predictions", "ps", "size", "stages", "symbols", "verdicts", "wakeups"}) {
		t.Errorf("an unknown name: %v", err)
	}
	for i := range r.Cells {
		r.Cells[i].Benchmarks = nil
	}
	if _, err := results.TableFor("wakeups", r); !errors.Is(err, results.ErrNotMeasured) {
		t.Errorf("without figures: %v, want ErrNotMeasured", err)
	}
	r.Stages = nil
	if _, err := results.TableFor("stages", r); !errors.Is(err, results.ErrNotMeasured) {
		t.Errorf("without stages: %v, want ErrNotMeasured", err)
	}
	r.Cells = nil
	if _, err := results.TableFor("verdicts", r); !errors.Is(err, results.ErrNotMeasured) {
		t.Errorf("without cells: %v, want ErrNotMeasured", err)
	}
	r = trial()
	r.CellAt("amd64", 2, "release").QEMU.Version = "9"
	if _, err := results.TableFor("wakeups", r); !errors.As(err, new(*results.MismatchError)) {
		t.Errorf("cells of two QEMU versions: %v, want a mismatch", err)
	}
}

// A cell that was not measured is never shown as a figure.
func TestMissingIsNotZero(t *testing.T) {
	r := trial()
	encode(t, r)
	table, err := results.TableFor("wakeups", r)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range table.Rows {
		missing := row[0] == "ppc64" && row[1] == "1"
		for _, cell := range row[2:] {
			if missing != (cell == "") {
				t.Errorf("row %q: cell %q", row[:2], cell)
			}
		}
	}
	if len(table.Rows) != 6 {
		t.Errorf("%d rows, want one for each of 2 architectures and 3 kernels", len(table.Rows))
	}
}

func TestTableSplit(t *testing.T) {
	wide := &results.Table{Name: "wide", Title: strings.Repeat("a long title ", 10), Columns: []results.Column{{Head: "label", Label: true}}, Rows: [][]string{{"first"}, {"second ü"}}}
	for i := range 9 {
		wide.Columns = append(wide.Columns, results.Column{Head: "column " + string(rune('A'+i)), Unit: "unit", Right: true})
		wide.Rows[0] = append(wide.Rows[0], strings.Repeat("9", 5+i))
		wide.Rows[1] = append(wide.Rows[1], []string{"", "±1"}[i%2])
	}
	wide.Notes = []string{strings.Repeat("a note of some length ", 8)}
	for _, width := range []int{0, 30, 40, 200} {
		text, err := wide.Text(width)
		if err != nil {
			t.Fatalf("%d: %v", width, err)
		}
		if width == 0 {
			golden(t, "table-split.golden", text)
			width = results.Width
		}
		checkWidth(t, text, width)
		for i := range 9 {
			if strings.Count(text, "column "+string(rune('A'+i))) != 1 {
				t.Errorf("width %d: column %c is not there once:\n%s", width, 'A'+i, text)
			}
		}
		if blocks := strings.Count(text, "column A"); strings.Count(text, "second ü") < blocks {
			t.Errorf("width %d: a block has no labels", width)
		}
	}
	var tooWide *results.WidthError
	if _, err := wide.Text(20); !errors.As(err, &tooWide) {
		t.Errorf("20 columns: %v, want a WidthError", err)
	}
	wide.Notes = []string{strings.Repeat("x", 76)}
	if _, err := wide.Text(0); !errors.As(err, &tooWide) {
		t.Errorf("a long word: %v, want a WidthError", err)
	}
}

// Labels that leave no room beside them are folded, and nothing of them is lost.
func TestTableLongLabels(t *testing.T) {
	name := "Backlog/limit=64/tasks=100/kauditd=first/records=4/and much more of this and that"
	table := &results.Table{Name: "long", Columns: []results.Column{{Head: "arch", Label: true}, {Head: "benchmark", Label: true}, {Head: "stock", Unit: "ns/op", Right: true}, {Head: "patched", Right: true}},
		Rows: [][]string{{"amd64", name, "123456 ± 12 %", "1 ± 1 %"}, {"ppc64", "Short", "7", ""}}}
	for _, width := range []int{0, 40, 50} {
		text, err := table.Text(width)
		if err != nil {
			t.Fatalf("%d columns: %v", width, err)
		}
		checkWidth(t, text, max(width, map[bool]int{true: results.Width}[width == 0]))
		var got strings.Builder
		for _, line := range strings.Split(text, "\n") {
			if !strings.HasPrefix(line, "amd64") && !strings.HasPrefix(line, "   ") {
				continue
			}
			piece := strings.TrimSpace(strings.TrimPrefix(line, "amd64"))
			got.WriteString(strings.TrimSpace(strings.Split(piece, "  ")[0]))
		}
		if width == 0 && !strings.Contains(strings.ReplaceAll(got.String(), " ", ""), strings.ReplaceAll(name, " ", "")) {
			t.Errorf("%d columns: the label is %q:\n%s", width, got.String(), text)
		}
		if strings.Count(text, "123456 ± 12 %") != 1 {
			t.Errorf("%d columns: the figure is not there once:\n%s", width, text)
		}
	}
}

// What a record says cannot break out of its cell.
func TestTableHostile(t *testing.T) {
	bad := &results.Table{Name: "x", Columns: []results.Column{{Head: "a\nb", Label: true}, {Head: "c"}},
		Rows: [][]string{{"1\n2\r3\x1b[31m", "x|y`<b>"}}, Notes: []string{"n\nFrom: x"}}
	text, err := bad.Text(0)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(text, "\n") != 4 || strings.ContainsAny(text, "\r\x1b") {
		t.Errorf("text: %q", text)
	}
	md, err := bad.Markdown()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(md, "<b>") || strings.Contains(md, "x|y") {
		t.Errorf("markdown: %q", md)
	}
	bad.Rows = append(bad.Rows, []string{"one"})
	if _, err := bad.Text(0); err == nil {
		t.Error("a row with a cell too few was rendered")
	}
}

func TestFormat(t *testing.T) {
	for _, c := range []struct {
		v    float64
		unit string
		want string
	}{
		{0, "x", "0"}, {0, "sec/op", "0"}, {4, "wakeups/event", "4"}, {4.0213, "x", "4.021"}, {0.25, "x", "0.2500"},
		{470080, "insns/op", "470080"}, {470080.4, "insns/op", "470080"}, {12.3456, "x", "12.35"}, {0.00001, "x", "1e-05"},
		{0.0123, "sec/op", "12.30m"}, {2048, "B/op", "2.000Ki"}, {-3.5, "x", "-3.500"}, {999.96, "x", "1000"}, {0.0999999999, "x", "0.1000"}, {-9.99996, "x", "-10.00"},
	} {
		if got := results.FormatValue(c.v, c.unit); got != c.want {
			t.Errorf("FormatValue(%v, %s) = %s, want %s", c.v, c.unit, got, c.want)
		}
	}
	for s, want := range map[float64]string{0: "0.00s", 0.314: "0.31s", 12.34: "12.3s", 99.96: "1m40s", 312: "5m12s"} {
		if got := results.FormatSeconds(s); got != want {
			t.Errorf("FormatSeconds(%v) = %s, want %s", s, got, want)
		}
	}
}
