// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"bytes"
	"strings"

	"github.com/seriesrig/series/vmtest/guest"
)

// maxMark is the length of a line, in bytes, above which it is no mark.
const maxMark = 4 << 10

// marks reads a Go test binary's output and tells the host where it is, on this guest's clock.
type marks struct {
	a    *agent
	line []byte
	long bool // the line is too long; skip to its end
}

func (m *marks) write(b []byte) {
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		part := b
		if i >= 0 {
			part = b[:i]
		}
		if len(m.line)+len(part) > maxMark {
			m.long = true
		}
		if !m.long {
			m.line = append(m.line, part...)
		}
		if i < 0 {
			return
		}
		if !m.long {
			m.mark(string(m.line))
		}
		m.line, m.long, b = m.line[:0], false, b[i+1:]
	}
}

func (m *marks) mark(line string) {
	if action, name := testMark(line); action != "" {
		m.a.sendJSON(guest.TypeTest, guest.Test{Action: action, Name: name, Now: now()})
	} else if isBench(line) {
		m.a.sendJSON(guest.TypeBench, guest.Bench{Line: line, Now: now()})
	}
}

// actions are the words that package testing writes after "===" and "---".
var actions = map[string]string{
	"=== RUN": "run", "=== PAUSE": "pause", "=== CONT": "cont",
	"--- PASS:": "pass", "--- FAIL:": "fail", "--- SKIP:": "skip",
}

// testMark takes a line apart that package testing writes with -test.v; with -test.v=test2json it begins with ^V.
func testMark(line string) (action, name string) {
	line = strings.TrimLeft(strings.TrimPrefix(line, "\x16"), " ")
	if !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- ") {
		return "", ""
	}
	f := strings.Fields(line)
	if len(f) < 3 {
		return "", ""
	}
	action = actions[f[0]+" "+f[1]]
	if action == "" {
		return "", ""
	}
	return action, f[2]
}

// isBench tells that a line is a result in Go's benchmark format: name, iterations, and pairs of value and unit.
func isBench(line string) bool {
	if !strings.HasPrefix(line, "Benchmark") {
		return false
	}
	f := strings.Fields(line)
	return len(f) >= 4 && len(f)%2 == 0 && f[1][0] >= '0' && f[1][0] <= '9'
}
