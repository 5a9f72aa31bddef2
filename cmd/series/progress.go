// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// This is the one file that draws. All of it goes to standard error:
//
//   - On a terminal, a line a stage: its name, how many of its cells are done, how long it has taken, and what is under
//     way in it just now. A finished stage keeps its line.
//   - Elsewhere, a plain line for each cell that ends and one for each stage.
//
// Colours are not used; nothing that a guest or a patch brought is printed without being cleaned.

// A progress shows how far a run is, and keeps the time that each stage took.
type progress struct {
	out    io.Writer
	live   *mpb.Progress // nil: plain lines
	track  *tracker      // for who cannot see it
	mu     sync.Mutex
	stages []stageTime
}

// A stageTime is what one stage took, in the order in which the stages ran.
type stageTime struct {
	Name string
	Took time.Duration
}

// newProgress draws live when out is a terminal, unless quiet.
func newProgress(out io.Writer, quiet bool) *progress {
	p := &progress{out: out, track: &tracker{}}
	if quiet {
		p.out = io.Discard
	}
	if f, ok := out.(*os.File); ok && !quiet && term.IsTerminal(int(f.Fd())) {
		p.live = newLive(f)
	}
	return p
}

func newLive(out io.Writer, more ...mpb.ContainerOption) *mpb.Progress {
	return mpb.New(append([]mpb.ContainerOption{mpb.WithOutput(out), mpb.WithRefreshRate(120 * time.Millisecond), mpb.WithWidth(20)}, more...)...)
}

// wait lets the live view draw its last state. No stage may begin afterwards.
func (p *progress) wait() {
	if p.live != nil {
		p.live.Wait()
	}
}

// note prints a line of its own between the others.
func (p *progress) note(format string, args ...any) {
	line := fmt.Sprintf(format, args...) + "\n"
	if p.live != nil {
		io.WriteString(p.live, line)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	io.WriteString(p.out, line)
}

// A stage is one step of a run, made of cells.
type stage struct {
	p      *progress
	name   string
	began  time.Time
	bar    *mpb.Bar
	cells  int64
	mu     sync.Mutex
	active []string // cells under way, in the order in which they began
	result string
}

// stage begins a stage of so many cells.
func (p *progress) stage(name string, cells int) *stage {
	s := &stage{p: p, name: name, began: time.Now(), cells: int64(max(cells, 1))}
	p.track.beginStage(name, cells)
	if p.live != nil {
		s.bar = p.live.New(s.cells, mpb.BarStyle().Lbound("").Rbound("").Filler("━").Tip("━").Padding("─"),
			mpb.PrependDecorators(
				decor.Name(fmt.Sprintf("%-8s", name)),
				decor.CountersNoUnit("%2d/%-2d "),
			),
			mpb.AppendDecorators(
				decor.Any(func(decor.Statistics) string { return fmt.Sprintf(" %6s  ", short(s.elapsed())) }),
				decor.Any(func(decor.Statistics) string { return s.state() }),
			),
		)
	}
	return s
}

func (s *stage) elapsed() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.result != "" {
		return s.p.took(s.name)
	}
	return time.Since(s.began)
}

func (s *stage) state() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.result != "" {
		return s.result
	}
	return strings.Join(s.active, ", ") + s.p.track.left(s.name, time.Now())
}

// begin says that a cell is under way; the function that it returns says how the cell ended.
func (s *stage) begin(cell string) (end func(format string, args ...any)) {
	start := time.Now()
	s.p.track.beginCell(s.name, cell)
	s.mu.Lock()
	s.active = append(s.active, cell)
	s.mu.Unlock()
	return func(format string, args ...any) {
		s.mu.Lock()
		for i, a := range s.active {
			if a == cell {
				s.active = append(s.active[:i:i], s.active[i+1:]...)
				break
			}
		}
		s.mu.Unlock()
		s.p.track.endCell(s.name, cell, fmt.Sprintf(format, args...))
		if s.bar != nil {
			s.bar.Increment()
			return
		}
		s.p.note("%-7s %-16s %s (%s)", s.name, cell, fmt.Sprintf(format, args...), short(time.Since(start)))
	}
}

// end closes the stage with one line that sums it up.
func (s *stage) end(format string, args ...any) {
	took := time.Since(s.began)
	s.p.mu.Lock()
	s.p.stages = append(s.p.stages, stageTime{s.name, took})
	s.p.mu.Unlock()
	text := fmt.Sprintf(format, args...)
	s.p.track.endStage(s.name, text)
	s.mu.Lock()
	s.result = text
	s.mu.Unlock()
	if s.bar != nil {
		s.bar.SetCurrent(s.cells) // also where not every cell was begun; wait waits for bars that are not full
		return
	}
	s.p.note("%-7s %s (%s)", s.name, text, short(took))
}

// abort leaves the stage as it is when an error ends it.
func (s *stage) abort() {
	if s.bar != nil {
		s.bar.Abort(false)
	}
}

func (p *progress) took(name string) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.stages) - 1; i >= 0; i-- {
		if p.stages[i].Name == name {
			return p.stages[i].Took
		}
	}
	return 0
}

// times returns what the stages took, in the order in which they ended.
func (p *progress) times() []stageTime {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]stageTime(nil), p.stages...)
}

// short renders a duration for a progress line: 0.08s, 12.3s, 4m12s.
func short(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%.2fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	return d.Round(time.Second).String()
}
