// SPDX-License-Identifier: Apache-2.0

package results

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/perf/benchfmt"
	"golang.org/x/perf/benchunit"
)

// ErrNoBenchmarks says that a benchmark ran and printed no valid line.
var ErrNoBenchmarks = errors.New("no benchmark line")

// A SyntaxError is a line of benchmark output that is not what it should be.
type SyntaxError struct {
	File string // the name given to ParseBenchmarks
	Line int    // from 1
	Text string // the line, cut to 80 bytes
	Msg  string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%s:%d: %s: %q", e.File, e.Line, e.Msg, e.Text)
}

// ParseBenchmarks reads what a test binary printed under -test.bench and returns one Benchmark per name and unit, in
// the order of their first appearance, units in base form (ns become sec). The file name is for errors only.
//
// The reader is strict where benchfmt is lenient, because what it passes over would be missing from a table later: a
// line that is neither a benchmark's nor the testing package's own is a *SyntaxError, and so is a measurement that is
// no number. A benchmark that was started and gave no line, or no benchmark at all, is ErrNoBenchmarks.
func ParseBenchmarks(r io.Reader, file string) ([]Benchmark, error) {
	p := &benchParser{file: file, index: make(map[metricKey]int)}
	br := bufio.NewReader(r)
	for {
		line, err := br.ReadString('\n')
		if line != "" {
			p.line++
			if err := p.parse(strings.TrimRight(line, "\r\n")); err != nil {
				return nil, err
			}
		}
		if err == io.EOF {
			return p.finish()
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, p.line, err)
		}
	}
}

type metricKey struct{ name, unit string }

type benchParser struct {
	file    string
	line    int
	rd      benchfmt.Reader
	out     []Benchmark
	index   map[metricKey]int
	started []string // names that -test.v announced
	ended   []string // names with a result, or skipped
}

func (p *benchParser) errorf(text, format string, args ...any) error {
	if len(text) > 80 {
		text = strings.ToValidUTF8(text[:80], "") + "…"
	}
	return &SyntaxError{File: p.file, Line: p.line, Text: text, Msg: fmt.Sprintf(format, args...)}
}

// parse takes one line without its newline.
func (p *benchParser) parse(line string) error {
	if strings.HasPrefix(line, "Benchmark") {
		if !strings.ContainsAny(line, " \t") {
			p.started = append(p.started, strings.TrimPrefix(line, "Benchmark"))
			return nil
		}
		return p.result(line)
	}
	if name, ok := strings.CutPrefix(line, "--- SKIP: Benchmark"); ok {
		name, _, _ = strings.Cut(name, " ")
		p.ended = append(p.ended, name)
		return nil
	}
	if strings.HasPrefix(line, "Unit ") {
		return p.unit(line)
	}
	if strings.HasPrefix(line, "FAIL") || strings.HasPrefix(strings.TrimSpace(line), "--- FAIL: ") {
		return p.errorf(line, "the benchmark failed")
	}
	if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") {
		return p.errorf(line, "the benchmark crashed")
	}
	if !isTestingLine(line) {
		return p.errorf(line, "neither a benchmark line nor one of the testing package's")
	}
	return nil
}

// isTestingLine tells the lines that package testing prints around results. Logs of t.Log and b.Log are indented.
func isTestingLine(line string) bool {
	if line == "" || line == "PASS" || strings.HasPrefix(line, "    ") {
		return true
	}
	for _, prefix := range []string{"goos: ", "goarch: ", "pkg: ", "cpu: ", "testing: ", "ok  \t", "coverage: ",
		"=== RUN ", "=== PAUSE ", "=== CONT ", "=== NAME ", "--- PASS: ", "--- SKIP: ", "--- BENCH: "} {
		if strings.HasPrefix(line, prefix) {
			return true
		}
	}
	return false
}

func (p *benchParser) result(line string) error {
	p.rd.Reset(strings.NewReader(line), p.file)
	if !p.rd.Scan() {
		return p.errorf(line, "not a benchmark line")
	}
	res, ok := p.rd.Result().(*benchfmt.Result)
	if !ok {
		if syntax, ok := p.rd.Result().(*benchfmt.SyntaxError); ok {
			return p.errorf(line, "%s", syntax.Msg)
		}
		return p.errorf(line, "not a benchmark line")
	}
	name := res.Name.String()
	if name == "" || res.Iters <= 0 {
		return p.errorf(line, "a benchmark line needs a name and a positive iteration count")
	}
	if !isPrintable(name) {
		return p.errorf(line, "the name is no text")
	}
	p.ended = append(p.ended, name)
	seen := make(map[string]bool)
	for _, v := range res.Values {
		// benchfmt leaves the unit of an exact 0 untidied, so that 0 ns and 5 ns would be two metrics.
		_, unit := benchunit.Tidy(1, v.Unit)
		if math.IsNaN(v.Value) || math.IsInf(v.Value, 0) {
			return p.errorf(line, "%s is %v, no measurement", unit, v.Value)
		}
		if !isPrintable(unit) {
			return p.errorf(line, "a unit is no text")
		}
		if seen[unit] {
			return p.errorf(line, "%s is given twice", unit)
		}
		seen[unit] = true
		b := p.metric(name, unit)
		b.Values = append(b.Values, v.Value)
		b.Iters = append(b.Iters, res.Iters)
	}
	return nil
}

func isPrintable(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}

func (p *benchParser) metric(name, unit string) *Benchmark {
	key := metricKey{name, unit}
	i, ok := p.index[key]
	if !ok {
		i = len(p.out)
		p.index[key] = i
		p.out = append(p.out, Benchmark{Name: name, Unit: unit})
	}
	return &p.out[i]
}

// unit checks a Unit line. What such a line says is a convenience for benchstat; WriteBenchmarks writes its own.
func (p *benchParser) unit(line string) error {
	p.rd.Reset(strings.NewReader(line), p.file)
	for p.rd.Scan() {
		if syntax, ok := p.rd.Result().(*benchfmt.SyntaxError); ok {
			return p.errorf(line, "%s", syntax.Msg)
		}
	}
	return p.rd.Err()
}

func (p *benchParser) finish() ([]Benchmark, error) {
	for _, name := range p.started {
		// A parent of sub-benchmarks prints no line of its own, and a line has the number of CPUs at its end.
		done := slices.ContainsFunc(p.ended, func(end string) bool {
			rest, ok := strings.CutPrefix(end, name)
			return ok && (rest == "" || rest[0] == '/' || rest[0] == '-')
		})
		if !done {
			return nil, fmt.Errorf("%s: Benchmark%s: %w", p.file, name, ErrNoBenchmarks)
		}
	}
	if len(p.out) == 0 {
		return nil, fmt.Errorf("%s: %w", p.file, ErrNoBenchmarks)
	}
	return p.out, nil
}

// SetSeed notes the guest seed that all values of bs were measured with.
func SetSeed(bs []Benchmark, seed uint64) {
	for i := range bs {
		bs[i].Seeds = slices.Repeat([]uint64{seed}, len(bs[i].Values))
	}
}

// SetBoot notes the round of interleaved boots, from 1, that all values of bs were measured in.
func SetBoot(bs []Benchmark, round int) {
	for i := range bs {
		bs[i].Boots = slices.Repeat([]int{round}, len(bs[i].Values))
	}
}

// CountInstructions gives figures of a guest whose clock counts instructions (one a nanosecond) the unit that they have:
// sec/op becomes insns/op. The testing package rounds what takes 1000 of them or more to whole ones. A benchmark that
// reports insns/op by itself keeps its own.
func CountInstructions(bs []Benchmark) []Benchmark {
	out := slices.Clone(bs)
	for i, b := range bs {
		own := slices.ContainsFunc(bs, func(o Benchmark) bool { return o.Name == b.Name && o.Unit == Instructions })
		if b.Unit != "sec/op" || own {
			continue
		}
		out[i].Unit = Instructions
		out[i].Values = make([]float64, len(b.Values))
		for k, v := range b.Values {
			// Without the rounding, 470083 ns/op would come back from seconds as 470082.99999999994.
			out[i].Values[k] = math.Round(v*1e13) / 1e4
		}
	}
	return out
}

// Instructions is the unit of what a guest executes for an operation, kernel and user together.
const Instructions = "insns/op"

// Merge appends the values of more, from a further boot, to the metrics of bs and returns them.
func Merge(bs, more []Benchmark) []Benchmark {
	for _, m := range more {
		i := slices.IndexFunc(bs, func(b Benchmark) bool { return b.Name == m.Name && b.Unit == m.Unit })
		if i < 0 {
			bs = append(bs, m)
			continue
		}
		bs[i].Values = append(bs[i].Values, m.Values...)
		bs[i].Iters = append(bs[i].Iters, m.Iters...)
		bs[i].Seeds = append(bs[i].Seeds, m.Seeds...)
		bs[i].Boots = append(bs[i].Boots, m.Boots...)
	}
	return bs
}
