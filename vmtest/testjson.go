// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/seriesrig/series/internal/run"
)

const (
	maxTestOutput = 64 << 10 // bytes kept of what one test printed: half of it from the start, half from the end
	maxLine       = 4 << 10  // bytes that a line of benchmark results may have
)

// test2json is where the Go installation has the converter, which recent releases build when it is first asked for.
var test2json = sync.OnceValues(func() (string, error) {
	out, err := run.Cmd{Name: "go", Args: []string{"tool", "-n", "test2json"}, Dir: "/"}.Output(context.Background())
	if err != nil {
		return "", fmt.Errorf("find test2json: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
})

// An event is one of test2json's: https://pkg.go.dev/cmd/test2json
type event struct {
	Time    time.Time
	Action  string
	Package string
	Test    string
	Elapsed float64
	Output  string
}

// A converter turns the output of a test binary into events, and keeps the score.
type converter struct {
	in   *io.PipeWriter
	proc *run.Process
	log  io.Writer // gets the events

	line  []byte
	tests map[string]*tested
	order []*tested
	bench []string
	part  string // of a line whose end has not come yet
	// result is what the binary said of itself at its very end: pass, fail, skip, or nothing.
	result string
	other  output // what belongs to no test
}

type tested struct {
	TestCase
	out output
}

func newConverter(ctx context.Context, log io.Writer) (*converter, error) {
	path, err := test2json()
	if err != nil {
		return nil, err
	}
	c := &converter{log: log, tests: map[string]*tested{}}
	r, w := io.Pipe()
	c.in = w
	c.proc, err = run.Cmd{Name: path, Args: []string{"-t"}, Stdin: r, Stdout: c}.Start(ctx)
	if err != nil {
		return nil, err
	}
	go func() { // whoever writes must not wait for a converter that is gone
		<-c.proc.Done()
		r.CloseWithError(io.ErrClosedPipe)
	}()
	return c, nil
}

// close ends the input and waits for the last event.
func (c *converter) close() error {
	c.in.Close()
	return c.proc.Wait()
}

// Write takes test2json's output.
func (c *converter) Write(p []byte) (int, error) {
	if _, err := c.log.Write(p); err != nil {
		return 0, err
	}
	c.line = append(c.line, p...)
	rest := c.line
	for {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			break
		}
		var e event
		if err := json.Unmarshal(rest[:i], &e); err != nil {
			return 0, fmt.Errorf("test2json: %w", err)
		}
		c.event(&e)
		rest = rest[i+1:]
	}
	c.line = append(c.line[:0], rest...)
	return len(p), nil
}

func (c *converter) event(e *event) {
	if e.Test == "" {
		switch e.Action {
		case "pass", "fail", "skip":
			c.result = e.Action
		case "output":
			c.other.add(e.Output)
			c.benchLine(e.Output)
		}
		return
	}
	t := c.tests[e.Test]
	if t == nil {
		t = &tested{TestCase: TestCase{Name: e.Test}}
		c.tests[e.Test] = t
		c.order = append(c.order, t)
	}
	switch e.Action {
	case "output":
		t.out.add(e.Output)
		if c.benchLine(e.Output) {
			t.Action = "bench" // there is no event that says so
		}
	case "pass", "fail", "skip", "bench":
		t.Action, t.Elapsed = e.Action, e.Elapsed
	}
}

// benchLine keeps what golang.org/design/14313-benchmark-format calls configuration and benchmark lines, and tells
// whether it was one of the latter.
func (c *converter) benchLine(text string) bool {
	// The name of a benchmark comes before it runs, and its figures after: two pieces of one line.
	c.part += text[:min(len(text), maxLine)]
	if !strings.HasSuffix(c.part, "\n") {
		c.part = c.part[max(0, len(c.part)-maxLine):]
		return false
	}
	line := strings.TrimSuffix(c.part, "\n")
	c.part = ""
	name, rest, ok := strings.Cut(line, ":")
	config := ok && strings.HasPrefix(rest, " ") && (name == "goos" || name == "goarch" || name == "pkg" || name == "cpu")
	fields := strings.Fields(line)
	result := len(fields) >= 4 && strings.HasPrefix(line, "Benchmark") && len(fields)%2 == 0
	if config || result {
		c.bench = append(c.bench, line)
	}
	return result
}

// settleParents ends the benchmarks that only have others below them: package testing prints no line of their own. One
// with a benchmark below that has not ended has not ended either.
func (c *converter) settleParents() {
	for _, t := range slices.Backward(c.order) { // those below come later
		if t.Action != "" || !strings.HasPrefix(t.Name, "Benchmark") {
			continue
		}
		below, open := 0, 0
		for _, sub := range c.order {
			if strings.HasPrefix(sub.Name, t.Name+"/") {
				below++
				if sub.Action == "" {
					open++
				}
			}
		}
		if below > 0 && open == 0 {
			t.Action = "bench"
		}
	}
}

// unfinished names the tests that have started and not ended, the top-level ones where there are such.
func (c *converter) unfinished() []string {
	var names []string
	for _, t := range c.order {
		if t.Action == "" && !strings.Contains(t.Name, "/") {
			names = append(names, t.Name)
		}
	}
	return names
}

// failed names the tests that failed and none of whose subtests did.
func (c *converter) failed() []string {
	var names []string
	for _, t := range c.order {
		if t.Action == "fail" && !c.failedBelow(t.Name) {
			names = append(names, t.Name)
		}
	}
	return names
}

func (c *converter) failedBelow(name string) bool {
	for _, t := range c.order {
		if t.Action == "fail" && strings.HasPrefix(t.Name, name+"/") {
			return true
		}
	}
	return false
}

// An output keeps the start and the end of a text.
type output struct {
	head, tail []byte
	cut        int64
}

func (o *output) add(s string) {
	const half = maxTestOutput / 2
	if room := half - len(o.head); room > 0 {
		n := min(room, len(s))
		o.head = append(o.head, s[:n]...)
		s = s[n:]
	}
	o.tail = append(o.tail, s...)
	if over := len(o.tail) - 2*half; over > 0 { // now and then, so that it costs little
		o.cut += int64(len(o.tail) - half)
		o.tail = append(o.tail[:0], o.tail[len(o.tail)-half:]...)
	}
}

func (o *output) String() string {
	s := string(o.head)
	if o.cut > 0 {
		s += fmt.Sprintf("\n... %d bytes left out ...\n", o.cut)
	}
	s += string(o.tail)
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\ufffd")
	}
	return s
}

// lines returns the last n lines.
func (o *output) lines(n int) []string {
	all := strings.Split(strings.TrimRight(o.String(), "\n"), "\n")
	return all[max(0, len(all)-n):]
}
