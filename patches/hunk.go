// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"bytes"
	"strings"

	"github.com/bluekeyes/go-gitdiff/gitdiff"
)

// Where a hunk goes.
//
// All its old lines must be there, byte for byte, and as in git a hunk that begins at line 1 fits only at the start of
// the file, and one without context at its end fits only at the file's end.
//
// A hunk goes to the line that it names if it fits there. Otherwise lines have moved, and it goes to the only place
// where it fits after the hunk before it. Several places are an error. Once a hunk of a file has moved, the lines that
// later hunks name are worth nothing, so from then on, in this patch and in later ones, each must fit at one place only,
// even where it fits at its line: repeated code makes that happen. git apply takes the nearest place in all these cases;
// whatever is accepted here is what git apply does.

// A placed hunk covers the lines at to at+old of the file that it was found in, and puts fresh lines there.
type placed struct{ at, old, fresh int }

// A finder places the hunks of one file's diff, in order.
type finder struct {
	lines [][]byte // the file, each line with its newline
	done  []placed
	moved bool // some hunk of this file has moved, in this patch or in an earlier one
	drift int  // by how much the last one did
}

func splitLines(data []byte) [][]byte {
	lines := make([][]byte, 0, bytes.Count(data, []byte("\n"))+1)
	for len(data) > 0 {
		i := bytes.IndexByte(data, '\n') + 1
		if i == 0 {
			i = len(data)
		}
		lines = append(lines, data[:i])
		data = data[i:]
	}
	return lines
}

// A pattern is one side of a hunk.
type pattern struct {
	lines      []string
	begin, end bool // fits only at the file's start, or end
}

func oldSide(t *gitdiff.TextFragment) pattern {
	return pattern{sideOf(t, gitdiff.Line.Old), t.OldPosition <= 1, t.TrailingContext == 0}
}

func newSide(t *gitdiff.TextFragment) pattern {
	return pattern{sideOf(t, gitdiff.Line.New), t.NewPosition <= 1, t.TrailingContext == 0}
}

func sideOf(t *gitdiff.TextFragment, in func(gitdiff.Line) bool) []string {
	var out []string
	for _, l := range t.Lines {
		if in(l) {
			out = append(out, l.Line)
		}
	}
	return out
}

// fits tells whether the pattern stands at a line; 0 is the first.
func (p pattern) fits(lines [][]byte, at int) bool {
	if at < 0 || at+len(p.lines) > len(lines) || p.begin && at != 0 || p.end && at+len(p.lines) != len(lines) {
		return false
	}
	for i, l := range p.lines {
		if string(lines[at+i]) != l {
			return false
		}
	}
	return true
}

// stated is the line that a hunk names; 0 is the first. For a hunk without old lines it is the line before which it goes.
func stated(t *gitdiff.TextFragment) int {
	if t.OldLines == 0 {
		return int(t.OldPosition)
	}
	return int(t.OldPosition) - 1
}

// find returns where the hunk goes, 0 being the first line; or else all places where it could go, which may be none.
func (f *finder) find(t *gitdiff.TextFragment) (at int, ok bool, places []int) {
	old, want := oldSide(t), stated(t)
	from := 0
	if n := len(f.done); n > 0 {
		from = f.done[n-1].at + f.done[n-1].old
	}
	if want >= from && old.fits(f.lines, want) && (!f.moved && f.consistent(t) || len(old.lines) == 0) {
		return f.take(t, want), true, nil
	}
	if len(old.lines) == 0 { // nothing to recognise the place by
		return 0, false, nil
	}
	var earlier []int
	for i := 0; i+len(old.lines) <= len(f.lines); i++ {
		switch {
		case !old.fits(f.lines, i):
		case i >= from:
			places = append(places, i)
		case !f.covered(i, i+len(old.lines)):
			earlier = append(earlier, i)
		}
	}
	if len(places) != 1 {
		return 0, false, places
	}
	// git apply does not keep hunks in order: it would go back to a place before the last hunk if that is nearer.
	for _, e := range earlier {
		if f.distance(t, e) <= f.distance(t, places[0]) {
			return 0, false, append([]int{e}, places...)
		}
	}
	return f.take(t, places[0]), true, nil
}

func (f *finder) take(t *gitdiff.TextFragment, at int) int {
	f.done = append(f.done, placed{at, int(t.OldLines), int(t.NewLines)})
	if d := at - stated(t); d != 0 {
		f.moved, f.drift = true, d
	}
	return at
}

// consistent tells whether the line numbers of the hunk's header agree with the hunks before it; in a patch that was
// edited by hand they may not, and then nobody knows which of them is right.
func (f *finder) consistent(t *gitdiff.TextFragment) bool {
	newStart := int(t.NewPosition) - 1
	if t.NewLines == 0 {
		newStart++
	}
	return newStart == stated(t)+f.shift(len(f.lines))
}

// shift is by how much the hunks placed so far move what stands at a line.
func (f *finder) shift(at int) int {
	d := 0
	for _, p := range f.done {
		if p.at < at {
			d += p.fresh - p.old
		}
	}
	return d
}

// distance is how far from the line in the hunk's header git apply would find it at a place.
func (f *finder) distance(t *gitdiff.TextFragment, at int) int {
	d := at + f.shift(at) - max(int(t.NewPosition)-1, 0)
	return max(d, -d)
}

// covered tells whether a hunk that has been placed covers any of the lines.
func (f *finder) covered(from, to int) bool {
	for _, p := range f.done {
		if from < p.at+p.old && p.at < to {
			return true
		}
	}
	return false
}

// applied tells whether the hunk's result stands in the file, at the expected line or at one place only, and where.
func (f *finder) applied(t *gitdiff.TextFragment) (at int, ok bool) {
	result := newSide(t)
	if len(result.lines) == 0 {
		return 0, false
	}
	for _, want := range []int{stated(t) + f.drift, stated(t)} {
		if result.fits(f.lines, want) {
			return want, true
		}
	}
	n := 0
	for i := 0; i+len(result.lines) <= len(f.lines); i++ {
		if result.fits(f.lines, i) {
			at = i
			n++
		}
	}
	return at, n == 1
}

// nearWork bounds the comparisons that nearest makes; beyond it only the surroundings of the expected line are looked at.
const nearWork = 20_000_000

// nearest returns the place where most of the hunk's old lines stand, the one closest to where they should stand among
// equals, and how many do. Lines with a brace at most tell little and count little.
func (f *finder) nearest(t *gitdiff.TextFragment) (at, same int) {
	old := oldSide(t).lines
	want := stated(t) + f.drift
	from, to := 0, len(f.lines)
	if len(f.lines)*len(old) > nearWork {
		reach := nearWork / (2 * len(old))
		from, to = max(0, want-reach), min(len(f.lines), want+reach)
	}
	weight := make([]int, len(old))
	for j, l := range old {
		weight[j] = 1
		if len(strings.TrimSpace(l)) > 2 {
			weight[j] = 8
		}
	}
	best, bestAway := 0, 0
	for i := from; i < to; i++ {
		score, n := 0, 0
		for j, l := range old[:min(len(old), len(f.lines)-i)] {
			if string(f.lines[i+j]) == l {
				score += weight[j]
				n++
			}
		}
		away := max(i-want, want-i)
		if score > best || score == best && score > 0 && away < bestAway {
			at, same, best, bestAway = i, n, score, away
		}
	}
	return at, same
}
