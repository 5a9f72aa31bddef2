// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seriesrig/series/kernel"
)

func TestRemaining(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	ago := func(sec int) time.Time { return now.Add(-time.Duration(sec) * time.Second) }
	before := ago(1)
	times := map[string]float64{"build a 0/2": 100, "build a 1/2": 20, "build a 2/2": 10, "build": 130, "test": 60, "mail": 1}
	plan := map[string][]string{"run": {"apply", "build", "test", "mail"}}
	for _, x := range []struct {
		name   string
		verb   string
		stages []stageState
		want   time.Duration
		ok     bool
	}{
		{"no stage yet", "run", nil, 0, false},
		{"one under way, two to come, two stages after it", "run", []stageState{{Name: "build", Cells: 3, Began: ago(30),
			Seen: []cellState{{Name: "a 0/2", Began: ago(30)}}}}, (70 + 30 + 61) * time.Second, true},
		{"longer than ever before", "run", []stageState{{Name: "build", Cells: 3, Began: ago(300),
			Seen: []cellState{{Name: "a 0/2", Began: ago(300)}}}}, (30 + 61) * time.Second, true},
		{"between two stages", "run", []stageState{{Name: "build", Cells: 3, Ended: &before}}, 61 * time.Second, true},
		{"two side by side, the longer one counts", "run", []stageState{{Name: "build", Cells: 2, Began: ago(10),
			Seen: []cellState{{Name: "a 0/2", Began: ago(10)}, {Name: "a 1/2", Began: ago(10)}}}}, (90 + 61) * time.Second, true},
		{"a cell that was never done", "run", []stageState{{Name: "build", Cells: 1, Seen: []cellState{{Name: "b 0/2", Began: ago(1)}}}}, 0, false},
		{"a verb that was never done", "build", []stageState{{Name: "build", Cells: 1, Seen: []cellState{{Name: "a 0/2", Began: ago(1)}}}}, 0, false},
	} {
		s := &runState{Verb: x.verb, Stages: x.stages, Times: times, Plans: plan}
		got, ok := s.remaining(now)
		if ok != x.ok || ok && got != x.want {
			t.Errorf("%s: remaining = %v, %v, want %v, %v", x.name, got, ok, x.want, x.ok)
		}
	}
}

func TestTrackerTimes(t *testing.T) {
	dir := t.TempDir()
	var tr tracker
	tr.open(dir, runState{Series: "demo", Verb: "run"})
	tr.took("build a 1/2", 100*time.Second)
	tr.took("build a 1/2", 10*time.Millisecond) // known already
	tr.beginStage("build", 1)
	tr.endStage("build", "fine")
	tr.close(exitOK, nil)

	var next tracker
	next.open(dir, runState{Series: "demo", Verb: "run"})
	defer next.close(exitRig, errors.New("x"))
	if got := next.state.Times["build a 1/2"]; got != 100 {
		t.Errorf("the next run knows that the cell took %v s, want 100", got)
	}
	if got := next.state.Plans["run"]; !slices.Equal(got, []string{"build"}) {
		t.Errorf("the next run knows the stages %q", got)
	}
	s, err := statusOf(dir, time.Now())
	if err != nil || s.State != running || len(s.Stages) != 0 {
		t.Errorf("statusOf a run that has begun = %+v, %v", s, err)
	}
}

func TestTrackerLeft(t *testing.T) {
	tr := tracker{state: runState{Times: map[string]float64{"build a 0/2": 90}}}
	tr.beginStage("build", 1)
	if got := tr.left("build", time.Now()); got != "  (1m30s left at most)" {
		t.Errorf("before the first cell: %q", got)
	}
	tr.beginCell("build", "a 0/2")
	if got := tr.left("build", time.Now().Add(30*time.Second)); got != "  (1m0s left at most)" {
		t.Errorf("after 30 s: %q", got)
	}
	tr.beginCell("build", "b 0/2")
	if got := tr.left("build", time.Now()); got != "" {
		t.Errorf("with a cell that was never done: %q, want nothing", got)
	}
}

// A second run of the same series, such as one in another work folder's link, must not write over the first one's state.
func TestTrackerAlone(t *testing.T) {
	dir := t.TempDir()
	var first, second tracker
	first.open(dir, runState{Series: "first"})
	defer first.close(exitOK, nil)
	second.open(dir, runState{Series: "second"})
	second.beginStage("build", 1)
	second.close(exitOK, nil)
	if s, err := readState(filepath.Join(dir, statusFile)); err != nil || s.Series != "first" {
		t.Errorf("state = %+v, %v, want the first one's", s, err)
	}
}

func TestSaySome(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&out, false)
	st := p.stage("build", 3)
	end := st.begin("amd64 0/2")
	st.begin("ppc64 0/2")("known")
	p.track.event(kernel.Event{Stage: "build", Object: "ppc64-release", Done: 7}) // its cell has ended
	p.track.event(kernel.Event{Stage: "build", Object: "amd64-release", Done: 1234})
	say := func(after time.Duration) []string {
		out.Reset()
		tick, done, over := make(chan time.Time), make(chan struct{}), make(chan struct{})
		go func() { p.saySome(tick, done); close(over) }()
		tick <- time.Now().Add(after)
		close(done)
		<-over
		return strings.Split(strings.TrimSpace(out.String()), "\n")
	}
	cell := &p.track.state.Stages[0].Seen[0]
	cell.Began = time.Now().Add(5 * time.Second)
	if got := say(70 * time.Second); len(got) != 1 || got[0] != "" {
		t.Errorf("lines = %q, want none of a cell that began after the tick before", got)
	}
	cell.Began = time.Now().Add(-time.Minute)
	if got := say(10 * time.Second); len(got) != 1 || got[0] != "build   amd64 0/2        under way for 1m10s, 1234 objects" {
		t.Errorf("lines = %q", got)
	}
	end("built")
	if got := say(10 * time.Second); got[0] != "" {
		t.Errorf("lines = %q, want none of a cell that has ended", got)
	}
}

func BenchmarkTracker(b *testing.B) {
	for b.Loop() {
		var tr tracker
		tr.open(b.TempDir(), runState{Series: "demo"})
		for _, stage := range []string{"build", "verify", "test", "bench"} {
			tr.beginStage(stage, 40)
			for i := range 40 {
				cell := fmt.Sprintf("amd64 %d/40", i)
				tr.beginCell(stage, cell)
				tr.endCell(stage, cell, "known: 0123456789ab")
			}
			tr.endStage(stage, "40 known")
		}
		tr.close(exitOK, nil)
	}
}
