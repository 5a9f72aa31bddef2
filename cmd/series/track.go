// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seriesrig/series/internal/flock"
	"github.com/seriesrig/series/kernel"
)

// A runState says how far a run is. Its JSON form is the file runs/ID/status.json, from which `series status` tells it to
// another shell, and from which the next run knows how long things take.
type runState struct {
	Series   string       `json:"series"`
	Revision int          `json:"revision"`
	Title    string       `json:"title,omitempty"`
	Verb     string       `json:"verb"`
	Command  []string     `json:"command"`
	PID      int          `json:"pid"`
	Started  time.Time    `json:"started"`
	Ended    *time.Time   `json:"ended,omitempty"` // nil: it runs, or was killed
	Exit     int          `json:"exit"`            // status, when it has ended
	Error    string       `json:"error,omitempty"`
	Stages   []stageState `json:"stages"`

	// Times are what cells ("build amd64 1/3") and stages ("build") have taken, in seconds, in this run or an earlier one.
	Times map[string]float64 `json:"times,omitempty"`
	// Plans are the stages of each verb, as its last run that came to its end had them.
	Plans map[string][]string `json:"plans,omitempty"`
}

type stageState struct {
	Name   string      `json:"name"`
	Cells  int         `json:"cells"` // how many it will have
	Began  time.Time   `json:"began"`
	Ended  *time.Time  `json:"ended,omitempty"`
	Result string      `json:"result,omitempty"`
	Seen   []cellState `json:"seen"` // the cells that have begun
}

type cellState struct {
	Name   string     `json:"name"`
	Began  time.Time  `json:"began"`
	Ended  *time.Time `json:"ended,omitempty"`
	Result string     `json:"result,omitempty"`
	Done   int64      `json:"done,omitempty"` // so many
	Unit   string     `json:"unit,omitempty"` // "objects", "files", "bytes"
}

// A tracker keeps a run's state, and the file in which others see it. A nil one keeps nothing.
type tracker struct {
	mu      sync.Mutex
	state   runState
	path    string // "": no file
	events  *eventLog
	lock    *flock.Lock
	written time.Time
	later   *time.Timer
}

const (
	statusFile = "status.json"
	statusLock = ".status.lock"
	// statusEvery is the least time between two writes, so that a run of many known cells does not write for each.
	statusEvery = 200 * time.Millisecond
	// eventEvery is the same where only a count has gone up.
	eventEvery = time.Second
)

// open has the state go to a file. Its lock is held as long as this process lives, which is how others know that it does.
// Where that is not to be had the run goes on without.
func (t *tracker) open(dir string, s runState) {
	t.mu.Lock()
	defer t.mu.Unlock()
	earlier, _ := readState(filepath.Join(dir, statusFile))
	t.state = s
	t.events.write(runEvent{Event: "begin", Series: s.Series, Verb: s.Verb})
	t.state.PID, t.state.Stages = os.Getpid(), []stageState{}
	t.state.Times, t.state.Plans = map[string]float64{}, map[string][]string{}
	if earlier != nil {
		maps.Copy(t.state.Times, earlier.Times)
		maps.Copy(t.state.Plans, earlier.Plans)
	}
	if os.MkdirAll(dir, 0o755) != nil {
		return
	}
	soon, cancel := context.WithTimeout(context.Background(), time.Second) // who asks for the state has it for a moment
	defer cancel()
	lock, err := flock.Acquire(soon, filepath.Join(dir, statusLock))
	if err != nil {
		return
	}
	t.lock, t.path = lock, filepath.Join(dir, statusFile)
	t.write()
}

// close says how the run has ended.
func (t *tracker) close(exit int, err error) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	t.state.Ended, t.state.Exit = &now, exit
	if err != nil && !errors.As(err, new(said)) {
		t.state.Error = err.Error()
	}
	t.events.end(runEvent{Series: t.state.Series, Verb: t.state.Verb, Exit: &exit, Error: t.state.Error}, t.state.Started)
	t.events = nil
	if t.lock == nil {
		return
	}
	if exit == exitOK {
		var plan []string
		for _, s := range t.state.Stages {
			plan = append(plan, s.Name)
		}
		t.state.Plans[t.state.Verb] = plan
	}
	t.write()
	t.lock.Release()
	t.lock, t.path = nil, ""
}

// readState reads a status file, which may be anything.
func readState(path string) (*runState, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var s runState
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &s, nil
}

// write replaces the file. It is not flushed to the disk: after a crash of the machine nobody waits for this run.
func (t *tracker) write() {
	if t.later != nil {
		t.later.Stop()
		t.later = nil
	}
	if t.path == "" {
		return
	}
	t.written = time.Now()
	data, err := json.Marshal(&t.state)
	if err != nil {
		return
	}
	tmp := filepath.Join(filepath.Dir(t.path), "."+filepath.Base(t.path))
	if os.WriteFile(tmp, append(data, '\n'), 0o644) != nil || os.Rename(tmp, t.path) != nil {
		os.Remove(tmp)
	}
}

// changed writes now, or as soon as the last write is long enough ago.
func (t *tracker) changed(every time.Duration) {
	wait := every - time.Since(t.written)
	switch {
	case t.path == "" || t.later != nil:
	case wait <= 0:
		t.write()
	default:
		t.later = time.AfterFunc(wait, func() {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.later = nil
			t.write()
		})
	}
}

func (t *tracker) beginStage(name string, cells int) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.state.Stages = append(t.state.Stages, stageState{Name: name, Cells: cells, Began: time.Now(), Seen: []cellState{}})
	t.events.write(runEvent{Event: "begin", Stage: name, Cells: cells})
	t.changed(statusEvery)
}

func (t *tracker) endStage(name, result string) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.stage(name); s != nil {
		now := time.Now()
		s.Ended, s.Result = &now, result
		t.events.end(runEvent{Stage: name, Result: result}, s.Began)
		t.took(name, now.Sub(s.Began))
		t.changed(statusEvery)
	}
}

func (t *tracker) beginCell(stage, cell string) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.stage(stage); s != nil {
		s.Seen = append(s.Seen, cellState{Name: cell, Began: time.Now()})
		t.events.write(runEvent{Event: "begin", Stage: stage, Cell: cell})
		t.changed(statusEvery)
	}
}

func (t *tracker) endCell(stage, cell, result string) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.stage(stage)
	if s == nil {
		return
	}
	for i := range s.Seen {
		if c := &s.Seen[i]; c.Name == cell && c.Ended == nil {
			now := time.Now()
			c.Ended, c.Result = &now, result
			t.events.end(runEvent{Stage: stage, Cell: cell, Result: result}, c.Began)
			t.took(stage+" "+cell, now.Sub(c.Began))
			t.changed(statusEvery)
			return
		}
	}
}

// stage finds the last stage of that name.
func (t *tracker) stage(name string) *stageState {
	for i := range slices.Backward(t.state.Stages) {
		if t.state.Stages[i].Name == name {
			return &t.state.Stages[i]
		}
	}
	return nil
}

// took notes how long something took. What took much less than ever before was known already, and its time says nothing
// about the work.
func (t *tracker) took(what string, d time.Duration) {
	if t.state.Times != nil && d.Seconds() > t.state.Times[what]/2 {
		t.state.Times[what] = d.Seconds()
	}
}

// event takes the kernel package's word for how far a cell is.
func (t *tracker) event(e kernel.Event) {
	stage, unit, prefix := "base", "files", ""
	switch e.Stage {
	case "build", "configure":
		arch, _, _ := strings.Cut(e.Object, "-")
		stage, unit, prefix = "build", "objects", arch+" "
	case "download":
		unit = "bytes"
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.stage(stage)
	if s == nil || e.Done == 0 {
		return
	}
	for i := range s.Seen {
		if c := &s.Seen[i]; c.Ended == nil && strings.HasPrefix(c.Name, prefix) {
			c.Done, c.Unit = e.Done, unit
			t.changed(eventEvery)
			return
		}
	}
}

// underWay renders what has been under way for at least so long, a line a cell.
func (t *tracker) underWay(now time.Time, atLeast time.Duration) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var lines []string
	for _, s := range t.state.Stages {
		for _, c := range s.Seen {
			if d := now.Sub(c.Began); c.Ended == nil && s.Ended == nil && d >= atLeast {
				lines = append(lines, fmt.Sprintf("%-7s %-16s under way for %s%s", s.Name, c.Name, short(d), c.count(", ")))
			}
		}
	}
	return lines
}

// left renders how long a stage may still take, where that is known.
func (t *tracker) left(stage string, now time.Time) string {
	if t == nil {
		return ""
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.stage(stage)
	if s == nil {
		return ""
	}
	d, ok := t.state.stageRemaining(s, now)
	if !ok || d < time.Second {
		return ""
	}
	return fmt.Sprintf("  (%s left at most)", d.Round(time.Second))
}

// count renders how far a cell is, where that is known.
func (c *cellState) count(before string) string {
	switch {
	case c.Done == 0:
		return ""
	case c.Unit == "bytes":
		return before + formatSize(c.Done)
	}
	return fmt.Sprintf("%s%d %s", before, c.Done, c.Unit)
}
