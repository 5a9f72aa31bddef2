// SPDX-License-Identifier: Apache-2.0

package results_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seriesrig/series/results"
)

const benchOutput = `goos: linux
goarch: ppc64
pkg: github.com/seriesrig/series/vmtest/guesttests/kauditd
BenchmarkOpenat
    bench_test.go:12: a log line
BenchmarkOpenat/records=4
BenchmarkOpenat/records=4-2         	    1000	         0 ns/op	         4.02 wakeups/event
BenchmarkOpenat/records=4-2         	    2000	       512 ns/op	         4.00 wakeups/event
BenchmarkSkipped
--- SKIP: BenchmarkSkipped
    bench_test.go:20: no io_uring
BenchmarkRead-2	 10	 1.5 MB/s
PASS
ok  	github.com/seriesrig/series/vmtest/guesttests/kauditd	1.234s
`

func TestParseBenchmarks(t *testing.T) {
	got, err := results.ParseBenchmarks(strings.NewReader(benchOutput), "out")
	if err != nil {
		t.Fatal(err)
	}
	want := []results.Benchmark{
		// A zero is tidied like any other value: benchfmt itself would leave it in ns.
		{Name: "Openat/records=4-2", Unit: "sec/op", Values: []float64{0, 512e-9}, Iters: []int{1000, 2000}},
		{Name: "Openat/records=4-2", Unit: "wakeups/event", Values: []float64{4.02, 4}, Iters: []int{1000, 2000}},
		{Name: "Read-2", Unit: "B/s", Values: []float64{1.5e6}, Iters: []int{10}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("ParseBenchmarks (-want +got):\n%s", d)
	}
	results.SetSeed(got, 7)
	merged := results.Merge(nil, got)
	more, err := results.ParseBenchmarks(strings.NewReader("BenchmarkRead-2 11 2 MB/s 3 widgets\n"), "out")
	if err != nil {
		t.Fatal(err)
	}
	results.SetSeed(more, 8)
	merged = results.Merge(merged, more)
	wantLast := []results.Benchmark{
		{Name: "Read-2", Unit: "B/s", Values: []float64{1.5e6, 2e6}, Iters: []int{10, 11}, Seeds: []uint64{7, 8}},
		{Name: "Read-2", Unit: "widgets", Values: []float64{3}, Iters: []int{11}, Seeds: []uint64{8}},
	}
	if d := cmp.Diff(wantLast, merged[2:]); d != "" {
		t.Errorf("Merge (-want +got):\n%s", d)
	}
}

func TestParseBenchmarksBad(t *testing.T) {
	const good = "BenchmarkA-2 10 5 ns/op\n"
	for name, c := range map[string]struct {
		text string
		line int // 0: ErrNoBenchmarks
	}{
		"no count":           {good + "BenchmarkB-2 \t\n", 2},
		"text in the middle": {good + "BenchmarkB-2 \thello world\n", 2},
		"no number":          {good + "BenchmarkB-2 10 x ns/op\n", 2},
		"no unit":            {good + "BenchmarkB-2 10 5\n", 2},
		"no measurement":     {good + "BenchmarkB-2 10\n", 2},
		"NaN":                {good + "\nBenchmarkB-2 10 NaN ns/op\n", 3},
		"infinite":           {good + "BenchmarkB-2 10 +Inf ns/op\n", 2},
		"zero iterations":    {good + "BenchmarkB-2 0 1 ns/op\n", 2},
		"negative count":     {good + "BenchmarkB-2 -1 1 ns/op\n", 2},
		"unit twice":         {good + "BenchmarkB-2 1 1 ns/op 2 ns/op\n", 2},
		"same unit twice":    {good + "BenchmarkB-2 1 1 ns/op 2 sec/op\n", 2},
		"garbage":            {good + "\x00\xff\x01\n", 2},
		"prose":              {"hello\n" + good, 1},
		"kernel log":         {good + "audit: backlog limit exceeded\n", 2},
		"unit no text":       {good + "BenchmarkB-2 1 1 \x00s/op\n", 2},
		"name no text":       {good + "BenchmarkB\xff-2 1 1 ns/op\n", 2},
		"skipped, no name":   {"--- SKIP: Benchmark\n", 0},
		"failed":             {good + "--- FAIL: BenchmarkB\n", 2},
		"FAIL":               {good + "FAIL\n", 2},
		"crash":              {good + "panic: oh\n", 2},
		"long line":          {good + strings.Repeat("x", 200<<10) + "\n", 2},
		"long benchmark":     {good + "BenchmarkB-2 10 " + strings.Repeat("1", 200<<10) + " ns/op\n", 2},
		"cut off":            {good + "BenchmarkB-2 10 5", 2},
		"nothing":            {"", 0},
		"only headings":      {"goos: linux\nPASS\n", 0},
		"only skipped":       {"BenchmarkA\n--- SKIP: BenchmarkA\nPASS\n", 0},
		"started, no line":   {good + "BenchmarkB\nPASS\n", 0},
		"name is a prefix":   {"BenchmarkAB-2 10 5 ns/op\nBenchmarkA\n", 0},
	} {
		_, err := results.ParseBenchmarks(strings.NewReader(c.text), "out")
		var syntax *results.SyntaxError
		switch {
		case c.line == 0 && !errors.Is(err, results.ErrNoBenchmarks):
			t.Errorf("%s: %v, want ErrNoBenchmarks", name, err)
		case c.line > 0 && (!errors.As(err, &syntax) || syntax.Line != c.line || syntax.File != "out"):
			t.Errorf("%s: %v, want an error in out:%d", name, err, c.line)
		case err != nil && len(err.Error()) > 400:
			t.Errorf("%s: the error has %d bytes", name, len(err.Error()))
		}
	}
}

func FuzzParseBenchmarks(f *testing.F) {
	f.Add(benchOutput)
	f.Add("BenchmarkA-2 10 5 ns/op\n")
	f.Add("Unit ns/op better=lower\nBenchmarkX 1 1 a 2 b\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		bs, err := results.ParseBenchmarks(strings.NewReader(text), "out")
		if err != nil {
			return
		}
		r := trial()
		r.Cells = r.Cells[:1]
		r.Cells[0].Benchmarks = bs
		if _, err := results.Encode(r); err != nil {
			t.Fatalf("what was parsed makes no record: %v", err)
		}
		var txt bytes.Buffer
		if err := results.WriteBenchmarks(&txt, r); err != nil {
			t.Fatal(err)
		}
		// What was written is read back: the same metrics, with as many values.
		back, err := results.ParseBenchmarks(strings.NewReader(onlyLines(txt.String())), "txt")
		if err != nil {
			t.Fatalf("%v\n%s", err, txt.String())
		}
		for _, b := range bs {
			got := slices.IndexFunc(back, func(c results.Benchmark) bool { return c.Name == b.Name && c.Unit == b.Unit })
			if got < 0 || !slices.Equal(back[got].Values, b.Values) {
				t.Fatalf("%s %s came back as %v", b.Name, b.Unit, back)
			}
		}
	})
}

// onlyLines drops the configuration, which ParseBenchmarks refuses: a guest has none to say.
func onlyLines(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "Benchmark") {
			b.WriteString(line)
		}
	}
	return b.String()
}

func TestWriteBenchmarks(t *testing.T) {
	r := trial()
	encode(t, r)
	var b bytes.Buffer
	if err := results.WriteBenchmarks(&b, r); err != nil {
		t.Fatal(err)
	}
	golden(t, "bench.txt", b.String())
}

// benchstat itself reads the file and compares the patches, and never takes a control's figures for stock's.
func TestBenchstat(t *testing.T) {
	golden(t, "benchstat.csv", benchstat(t, trial()))
	golden(t, "benchstat-control.csv", benchstat(t, watchers()))
}

func benchstat(t *testing.T, r *results.Run) string {
	t.Helper()
	encode(t, r)
	path := filepath.Join(t.TempDir(), "bench.txt")
	var b bytes.Buffer
	if err := results.WriteBenchmarks(&b, r); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	args := append([]string{"run", "golang.org/x/perf/cmd/benchstat", "-format", "csv"}, results.BenchstatArgs...)
	cmd := exec.CommandContext(ctx, "go", append(args, path)...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("benchstat: %v\n%s", err, errs.String())
	}
	if strings.Contains(errs.String(), "vary") {
		t.Errorf("benchstat warns: %s", errs.String())
	}
	return strings.ReplaceAll(string(out), path, "FILE")
}
