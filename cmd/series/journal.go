// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seriesrig/series/internal/cache"
	"github.com/seriesrig/series/results"
)

// A journal says what a run has done, in a file of its own that is only ever appended to: a line of JSON for each thing that
// is finished, on disk before the next one begins. What was done is in the cache, under the ids that the journal names; a run
// that was killed goes on with what is there, and the journal shows that it does.
//
//	{"event": "begin", "work": "…", "cells": 8, "command": […], "pid": 1, "time": "…"}
//	{"event": "continue", …}                                              the run was killed, and this is the next one
//	{"event": "guest", "cell": "amd64 1/3", "id": "…", "verdict": "pass"}  one guest, by its key in the cache
//	{"event": "done", "stage": "build", "cell": "amd64 1/3", "id": "…"}    a stage of a cell, by the id of its kernel
//	{"event": "end", "verdict": "pass", "record": "v1-….json"}
//
// A last line that is torn is what somebody was killed over, and counts for nothing.
type journal struct {
	name   string // of the run
	before int    // cells that were done when it was continued

	mu     sync.Mutex
	file   *os.File
	guests map[string]string            // keys, and the cells that they were run for
	done   map[string]map[string]string // cells, their finished stages, and the ids of the kernels
}

// A journalLine is one line of a journal.
type journalLine struct {
	Event   string    `json:"event"`
	Work    string    `json:"work,omitempty"` // begin: hash of what the run is to do
	Cells   int       `json:"cells,omitempty"`
	Command []string  `json:"command,omitempty"`
	PID     int       `json:"pid,omitempty"`
	Stage   string    `json:"stage,omitempty"`
	Cell    string    `json:"cell,omitempty"`
	ID      string    `json:"id,omitempty"`
	Verdict string    `json:"verdict,omitempty"`
	Record  string    `json:"record,omitempty"`
	Time    time.Time `json:"time"`
}

// maxJournal bounds what is read of a journal, in bytes: a run of a hundred kernels writes some 100 KB.
const maxJournal = 16 << 20

// readJournal reads a journal and returns its lines, and how many bytes of the file they are: what follows is torn.
func readJournal(path string) (lines []journalLine, whole int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxJournal+1))
	if err != nil {
		return nil, 0, err
	}
	if len(data) > maxJournal {
		return nil, 0, fmt.Errorf("%s: larger than %d bytes: no journal", path, maxJournal)
	}
	for n := 1; len(data) > 0; n++ {
		text, rest, ended := bytes.Cut(data, []byte("\n"))
		if !ended {
			break
		}
		var l journalLine
		if err := json.Unmarshal(text, &l); err != nil {
			if len(rest) == 0 { // a machine that lost power may have left the length, and not the text
				break
			}
			return nil, 0, fmt.Errorf("%s:%d: no line of a journal: %w", path, n, err)
		}
		lines, data, whole = append(lines, l), rest, whole+int64(len(text))+1
	}
	return lines, whole, nil
}

// workID names what a run is to do: another series, base, toolchain or choice of cells is another run.
func (s *session) workID(cells []*cell, options string) string {
	parts := []string{"run 1", s.source.Hash, options}
	for _, p := range s.series.Patches {
		parts = append(parts, string(p.Raw))
	}
	for _, c := range cells {
		parts = append(parts, c.name)
	}
	return cache.KeyOf(parts...)
}

// openJournal begins a run's journal in dir, or goes on with that of a run with the same work that has not come to its end.
func openJournal(dir, work string, revision, cells int, command []string, now time.Time) (*journal, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	j := &journal{guests: map[string]string{}, done: map[string]map[string]string{}}
	line := journalLine{Event: "begin", Work: work, Cells: cells, Command: command, PID: os.Getpid()}
	path, whole, err := j.find(dir, work)
	switch {
	case err != nil:
		return nil, fmt.Errorf("journal: %w", err)
	case path != "":
		line.Event = "continue"
		if j.file, err = os.OpenFile(path, os.O_WRONLY, 0o644); err == nil {
			_, err = j.file.Seek(whole, io.SeekStart)
		}
		if err == nil {
			err = j.file.Truncate(whole)
		}
	default:
		path = filepath.Join(dir, fmt.Sprintf("v%d-%s-%d%s", revision, now.UTC().Format("20060102T150405.000Z"), os.Getpid(), journalExt))
		j.file, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	}
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	j.name = strings.TrimSuffix(filepath.Base(path), journalExt)
	if err := j.append(line, true); err != nil {
		j.file.Close()
		return nil, err
	}
	return j, nil
}

const journalExt = ".jsonl"

// find looks for the newest journal of that work, and takes in what it says if it has no end.
func (j *journal) find(dir, work string) (path string, whole int64, err error) {
	names, err := filepath.Glob(filepath.Join(dir, "v*"+journalExt))
	if err != nil {
		return "", 0, err
	}
	// By when they were written last, and not by their names: a clock may have been set back.
	slices.SortFunc(names, func(a, b string) int { return modTime(b).Compare(modTime(a)) })
	for _, name := range names {
		lines, whole, err := readJournal(name)
		if err == nil && len(lines) == 0 { // killed before its first line was whole
			if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return "", 0, err
			}
			continue
		}
		if err != nil || lines[0].Event != "begin" || lines[0].Work != work {
			continue // whatever it is, it is not ours to go on with
		}
		if lines[len(lines)-1].Event == "end" {
			return "", 0, nil
		}
		for _, l := range lines {
			j.learn(l)
		}
		return name, whole, nil
	}
	return "", 0, nil
}

func modTime(path string) time.Time {
	fi, err := os.Stat(path)
	if err != nil {
		return time.Time{}
	}
	return fi.ModTime()
}

func (j *journal) learn(l journalLine) {
	switch l.Event {
	case "guest":
		j.guests[l.ID] = l.Cell
	case "done":
		if j.done[l.Cell] == nil {
			j.done[l.Cell] = map[string]string{}
		}
		j.done[l.Cell][l.Stage] = l.ID
	}
}

// append writes a line. It returns when that is on disk, unless that can wait: what was known before need not be.
func (j *journal) append(l journalLine, sync bool) error {
	l.Time = time.Now().UTC().Truncate(time.Millisecond)
	b, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, err = j.file.Write(append(b, '\n')); err == nil && sync {
		err = j.file.Sync()
	}
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	j.learn(l)
	return nil
}

// finished writes that a cell has a stage behind it. A nil journal is that of a verb that keeps none.
func (j *journal) finished(stage string, c *cell, known bool) error {
	if j == nil || c.unkept || j.has(stage, c) {
		return nil
	}
	return j.append(journalLine{Event: "done", Stage: stage, Cell: c.name, ID: c.build.ID}, !known)
}

// guest writes that a guest has run, and what it came to.
func (j *journal) guest(c *cell, key string, verdict string, known bool) error {
	if j == nil || j.ran(key) {
		return nil
	}
	return j.append(journalLine{Event: "guest", Cell: c.name, ID: key, Verdict: verdict}, !known)
}

// ran tells whether this run has had the guest already, before it was killed.
func (j *journal) ran(key string) bool {
	if j == nil {
		return false
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	_, ok := j.guests[key]
	return ok
}

func (j *journal) has(stage string, c *cell) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	_, ok := j.done[c.name][stage]
	return ok
}

// end writes that the run has come to its end, with this record.
func (j *journal) end(r *results.Run) error {
	if j == nil {
		return nil
	}
	return j.append(journalLine{Event: "end", Verdict: string(r.Verdict), Record: results.Name(r) + ".json"}, true)
}

func (j *journal) close() {
	if j != nil {
		j.file.Close()
	}
}

// beginRun opens the journal of a run. Where it continues one that was killed it says so, and how much of it is done.
func (s *session) beginRun(cells []*cell, options string) error {
	dir := filepath.Join(s.store.Dir, "runs", s.series.ID)
	if err := sweepHalves(dir); err != nil {
		return err
	}
	j, err := openJournal(dir, s.workID(cells, options), s.series.Revision, len(cells), append([]string{"series"}, s.app.args...), time.Now())
	if err != nil {
		return err
	}
	s.journal = j
	for _, c := range cells {
		if s.isDone(c) {
			j.before++
		}
	}
	if len(j.done) > 0 {
		s.show.note("continues run %s: %d of %d cells done", j.name, j.before, len(cells))
	}
	return nil
}

// isDone tells whether the journal has all stages of a cell, and the cache still has what came of them.
func (s *session) isDone(c *cell) bool {
	for _, stage := range s.stagesOf(c) {
		id, ok := s.journal.done[c.name][stage]
		if !ok {
			return false
		}
		if _, ok := s.store.Cache.Get("build", id); !ok {
			return false
		}
	}
	for key, name := range s.journal.guests {
		if name == c.name {
			if _, ok := s.store.Cache.Get("guestrun", key); !ok {
				return false
			}
		}
	}
	return true
}

// stagesOf are the stages that a run has for a cell.
func (s *session) stagesOf(c *cell) []string {
	stages := []string{"build"}
	if len(s.series.Tests) > 0 && c.tested() {
		stages = append(stages, "test")
	}
	if len(s.series.Benchmarks) > 0 && c.variant == nil {
		stages = append(stages, "bench")
	}
	return stages
}

// sweepHalves removes what a killed process left half-written: all that is renamed when it is whole. The work folder's lock
// is held, so nobody else is about to.
func sweepHalves(dir string) error {
	var errs []error
	for _, pattern := range []string{".tmp-*", ".mbox-*"} {
		names, _ := filepath.Glob(filepath.Join(dir, pattern))
		for _, name := range names {
			errs = append(errs, os.Remove(name))
		}
	}
	return errors.Join(errs...)
}
