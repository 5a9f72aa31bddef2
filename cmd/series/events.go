// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"io"
	"os"
	"time"
)

// A runEvent is a line of what --events writes: a stage or a cell of it begins or ends, or the run does. Fields may be
// added, never renamed.
type runEvent struct {
	Time    time.Time `json:"time"`
	Event   string    `json:"event"` // "begin", "end"
	Series  string    `json:"series,omitempty"`
	Verb    string    `json:"verb,omitempty"`  // of the run itself
	Stage   string    `json:"stage,omitempty"` // of a stage, and of its cells
	Cell    string    `json:"cell,omitempty"`
	Cells   int       `json:"cells,omitempty"`   // how many a stage will have, when it begins
	Result  string    `json:"result,omitempty"`  // when something ends
	Seconds *float64  `json:"seconds,omitempty"` // when something ends
	Exit    *int      `json:"exit,omitempty"`    // when the run ends
	Error   string    `json:"error,omitempty"`
}

// An eventLog writes events, a line each, until it cannot: who reads them may go, and the run goes on. A nil one writes
// nothing.
type eventLog struct {
	out    io.WriteCloser
	broken bool
}

// openEvents opens the file, or pipe, that events go to.
func openEvents(path string) (*eventLog, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, usage("--events: %v", err)
	}
	return &eventLog{out: f}, nil
}

func (l *eventLog) write(e runEvent) {
	if l == nil || l.broken {
		return
	}
	e.Time = time.Now()
	data, err := json.Marshal(e)
	if err == nil {
		_, err = l.out.Write(append(data, '\n'))
	}
	l.broken = err != nil
}

func (l *eventLog) end(e runEvent, began time.Time) {
	if l == nil {
		return
	}
	e.Event = "end"
	sec := time.Since(began).Seconds()
	e.Seconds = &sec
	l.write(e)
}
