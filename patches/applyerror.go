// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/bluekeyes/go-gitdiff/gitdiff"
)

// An ApplyError says which hunk of which patch does not fit, and what stands there. In JSON it is
// {"patch", "path", "hunk", "message", ...}.
type ApplyError struct {
	Patch   string   // the patch's file
	Line    int      // in that file: the hunk's header, or the file's
	Path    string   // the file that was to be changed
	Hunk    int      // 1 is the first of the file; 0 where the file as a whole is meant
	At      int      // the line where the hunk should fit; 1 is the first
	Want    []string // the lines that it expects, with their newlines
	Got     []string // the lines of the nearest match, or those at At if nothing is like it
	Nearest int      // the line of the nearest match; 0 where nothing is like it
	Same    int      // how many lines fit there
	Places  []int    // the lines where the hunk fits, where they are several
	Already bool     // the patch's result is there already
	Msg     string   // without the place
	Err     error    // the cause, if another package told it
}

func (e *ApplyError) Error() string {
	msg := e.Msg
	if e.Already {
		msg += ": already applied?"
	}
	return fmt.Sprintf("%s:%d: %s", e.Patch, e.Line, msg)
}

func (e *ApplyError) Unwrap() error { return e.Err }

func (e *ApplyError) because(err error) *ApplyError {
	e.Err = err
	return e
}

// MarshalJSON gives the object that `series apply --json` prints.
func (e *ApplyError) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Patch   string   `json:"patch"`
		Path    string   `json:"path"`
		Hunk    int      `json:"hunk"`
		Message string   `json:"message"`
		Line    int      `json:"line,omitempty"`
		At      int      `json:"at,omitempty"`
		Nearest int      `json:"nearest,omitempty"`
		Places  []int    `json:"places,omitempty"`
		Already bool     `json:"already,omitempty"`
		Want    []string `json:"want,omitempty"`
		Got     []string `json:"got,omitempty"`
	}{e.Patch, e.Path, e.Hunk, e.Error(), e.Line, e.At, e.Nearest, e.Places, e.Already, e.Want, e.Got})
}

// Format adds the detail to the error for %+v.
func (e *ApplyError) Format(s fmt.State, verb rune) {
	io.WriteString(s, e.Error())
	if d := e.Detail(); verb == 'v' && s.Flag('+') && d != "" {
		io.WriteString(s, "\n"+strings.TrimSuffix(d, "\n"))
	}
}

func newApplyError(p *Patch, i int, format string, args ...any) *ApplyError {
	d := p.Diff[i]
	e := &ApplyError{Patch: p.File, Line: p.Lines.Files[i], Path: d.NewName, Msg: fmt.Sprintf(format, args...)}
	if d.IsDelete {
		e.Path = d.OldName
	}
	return e
}

// hunkError explains why hunk k of file i found no place, or too many.
func hunkError(p *Patch, i, k int, f *finder, places []int) *ApplyError {
	t := p.Diff[i].TextFragments[k]
	e := newApplyError(p, i, "")
	e.Line, e.Hunk = p.Lines.Hunks[i][k], k+1
	e.Want = sideOf(t, gitdiff.Line.Old)
	expected := stated(t) + f.by
	e.At = expected + 1
	hunk := fmt.Sprintf("hunk %d of %s", k+1, e.Path)
	if len(places) > 1 {
		for _, at := range places {
			e.Places = append(e.Places, at+1)
		}
		e.Msg = fmt.Sprintf("%s fits at %s, and nothing tells which is meant (its header says line %d", hunk, lineList(e.Places), stated(t)+1)
		if f.by != 0 {
			e.Msg += fmt.Sprintf(", and the hunk before it has moved by %+d", f.by)
		}
		e.Msg += "); make the patch with more context, or from this base"
		return e
	}
	if at, ok := f.applied(t); ok {
		e.Nearest, e.Already = at+1, true
		e.Msg = fmt.Sprintf("%s does not fit at line %d: its result stands at line %d", hunk, e.At, at+1)
		e.Got = f.window(at, len(e.Want))
		return e
	}
	from, to, ok := f.nearest(t)
	if !ok {
		e.Got = f.window(expected, len(e.Want))
		e.Msg = fmt.Sprintf("%s does not fit at line %d, and nothing in the file is like it", hunk, e.At)
		return e
	}
	e.Nearest, e.Got = from+1, f.window(from, to-from)
	pairs := align(e.Want, e.Got)
	for _, p := range pairs {
		if !e.differs(p) {
			e.Same++
		}
	}
	why := ""
	switch old := oldSide(t); {
	case e.Same < len(e.Want) || len(e.Got) != len(e.Want):
		why = e.firstDifference(pairs)
	case old.begin && from > 0:
		why = "; it begins at line 1 in the patch and so must in the file"
	case old.end && to < len(f.lines):
		why = "; it ends the file in the patch, and the file goes on"
	default:
		why = "; that is within the hunk before it"
	}
	e.Msg = fmt.Sprintf("%s does not fit at line %d; nearest match is line %d, %d of %d lines%s", hunk, e.At, e.Nearest, e.Same, len(e.Want), why)
	return e
}

func (f *finder) window(at, n int) []string {
	at = max(0, min(at, len(f.lines)))
	var out []string
	for _, l := range f.lines[at:min(at+n, len(f.lines))] {
		out = append(out, string(l))
	}
	return out
}

func lineList(lines []int) string {
	var w []string
	for _, l := range lines[:min(len(lines), 8)] {
		w = append(w, strconv.Itoa(l))
	}
	if len(lines) > 8 {
		return fmt.Sprintf("lines %s and %d more", strings.Join(w, ", "), len(lines)-8)
	}
	return "lines " + strings.Join(w[:len(w)-1], ", ") + " and " + w[len(w)-1]
}

// differs tells whether a pair of lines, of Want and of Got, is not the same.
func (e *ApplyError) differs(p [2]int) bool {
	return p[0] < 0 || p[1] < 0 || e.Want[p[0]] != e.Got[p[1]]
}

// firstDifference quotes the first line that is not as expected.
func (e *ApplyError) firstDifference(pairs [][2]int) string {
	line := e.Nearest
	for _, p := range pairs {
		switch {
		case !e.differs(p):
		case p[1] < 0:
			return fmt.Sprintf("; line %d: %q is missing", line, show(e.Want[p[0]]))
		case p[0] < 0:
			return fmt.Sprintf("; line %d: %q is not in the patch", line, show(e.Got[p[1]]))
		default:
			return fmt.Sprintf("; line %d: expected %q, found %q", line, show(e.Want[p[0]]), show(e.Got[p[1]]))
		}
		if p[1] >= 0 {
			line++
		}
	}
	return ""
}

// show is a line as an error quotes it.
func show(l string) string {
	if t, ok := strings.CutSuffix(l, "\n"); ok {
		return shorten(t)
	}
	return shorten(l) + " (no newline)"
}

// Detail shows the expected lines and those of the nearest match side by side, a line each, those that differ marked
// with "!". It is empty where no lines are to be compared.
func (e *ApplyError) Detail() string {
	if e.Hunk == 0 || len(e.Places) > 0 || e.Already {
		return ""
	}
	const width = 60
	cell := func(s string) string {
		s = strings.ReplaceAll(show(s), "\t", "    ")
		if r := []rune(s); len(r) > width {
			s = string(r[:width-3]) + "..."
		}
		return s
	}
	pad := func(s string) string { return s + strings.Repeat(" ", max(0, width-len([]rune(s)))) }
	from := e.Nearest
	if from == 0 {
		from = e.At
	}
	var b strings.Builder
	pairs := align(e.Want, e.Got)
	if !slices.ContainsFunc(pairs, e.differs) {
		return ""
	}
	fmt.Fprintf(&b, "          %s | found\n", pad("expected"))
	line, gap, shown := from, false, 0
	for i, p := range pairs {
		// Of a long hunk only what differs is shown, with some lines around it.
		near := slices.ContainsFunc(pairs[max(0, i-detailContext):min(len(pairs), i+detailContext+1)], e.differs)
		if !near || shown >= maxDetail {
			if !gap {
				b.WriteString("  ...\n")
			}
			gap = true
			if p[1] >= 0 {
				line++
			}
			continue
		}
		gap = false
		shown++
		mark, num, w, g := "!", "", "", ""
		if p[0] >= 0 {
			w = cell(e.Want[p[0]])
		}
		if p[1] >= 0 {
			g, num = cell(e.Got[p[1]]), strconv.Itoa(line)
			line++
		}
		if !e.differs(p) {
			mark = " "
		}
		b.WriteString(strings.TrimRight(fmt.Sprintf("%s %7s %s | %s", mark, num, pad(w), g), " ") + "\n")
	}
	return b.String()
}

// detailContext is how many equal lines Detail shows around one that differs; maxDetail is how many lines in all.
const (
	detailContext = 8
	maxDetail     = 50
)

// maxAlign bounds the table that align fills; longer hunks are shown line against line.
const maxAlign = 2000

// align pairs equal lines (a longest common subsequence); what is left between two pairs is put side by side as far as
// it goes. -1 stands for nothing on that side.
func align(a, b []string) [][2]int {
	var out [][2]int
	i, j := 0, 0
	upto := func(x, y int) {
		for i < x || j < y {
			p := [2]int{-1, -1}
			if i < x {
				p[0] = i
				i++
			}
			if j < y {
				p[1] = j
				j++
			}
			out = append(out, p)
		}
	}
	if len(a) <= maxAlign && len(b) <= maxAlign {
		for _, p := range common(a, b) {
			upto(p[0], p[1])
			out = append(out, p)
			i, j = p[0]+1, p[1]+1
		}
	}
	upto(len(a), len(b))
	return out
}

// common returns the pairs of a longest common subsequence.
func common(a, b []string) [][2]int {
	n := make([][]int16, len(a)+1)
	for i := range n {
		n[i] = make([]int16, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				n[i][j] = n[i+1][j+1] + 1
			} else {
				n[i][j] = max(n[i+1][j], n[i][j+1])
			}
		}
	}
	var out [][2]int
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch {
		case a[i] == b[j]:
			out = append(out, [2]int{i, j})
			i, j = i+1, j+1
		case n[i+1][j] >= n[i][j+1]:
			i++
		default:
			j++
		}
	}
	return out
}
