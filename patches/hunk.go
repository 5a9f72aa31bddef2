// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"bytes"
	"slices"
	"strings"

	"github.com/bluekeyes/go-gitdiff/gitdiff"
)

// Where a hunk goes.
//
// All its old lines must be there, byte for byte, and as in git a hunk that begins at line 1 fits only at the start of
// the file, and one without context at its end fits only at the file's end.
//
// A hunk goes to the line that it names if it fits there and the hunk before it, in this patch or in an earlier one, has
// not moved. Otherwise it goes to the only place where it fits after the hunk before it. Where it fits at several places,
// two rules must agree on one: it has moved by as much as the hunk before it, which is what patch(1) tries first, and it
// is the nearest to the line that the hunk names, which is what git apply takes. If they disagree it is an error:
// repeated code makes that happen, and a guess would go unseen.
//
// So whatever is accepted here is what git apply and git am do, too.

// A placed hunk covers the lines at to at+old of the file that it was found in, and puts fresh lines there.
type placed struct{ at, old, fresh int }

// A finder places the hunks of one file's diff, in order.
type finder struct {
	lines [][]byte // the file, each line with its newline
	done  []placed
	by    int // by how much the hunk before has moved, which may be one of an earlier patch; 0 if there is none
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
	if want >= from && old.fits(f.lines, want) && (f.by == 0 && f.consistent(t) || len(old.lines) == 0) {
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
	if len(places) == 0 {
		return 0, false, nil
	}
	best := places[0]
	if len(places) > 1 {
		if best = want + f.by; !slices.Contains(places, best) {
			return 0, false, places
		}
	}
	// git apply does not keep hunks in order: it would go back to a place before the last hunk if that is nearer.
	all := append(earlier, places...)
	for _, at := range all {
		if at != best && f.distance(t, at) <= f.distance(t, best) {
			return 0, false, all
		}
	}
	return f.take(t, best), true, nil
}

func (f *finder) take(t *gitdiff.TextFragment, at int) int {
	f.done = append(f.done, placed{at, int(t.OldLines), int(t.NewLines)})
	f.by = at - stated(t)
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
	for _, want := range []int{stated(t) + f.by, stated(t)} {
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

// A score is the best alignment of the first lines of a hunk that ends at a line of the file.
type score struct {
	points int
	start  int // the line of the file where the hunk's first line is, or would be
}

// nearest returns the stretch of the file that is most like the hunk's old lines: a local alignment, in which lines may
// be missing on both sides. Rare lines tell much; those with a brace at most, and those that the file has many of, tell
// little. Among equals it is the one closest to where the hunk should be. ok is false if nothing is like it.
func (f *finder) nearest(t *gitdiff.TextFragment) (from, to int, ok bool) {
	old := oldSide(t).lines
	want := stated(t) + f.by
	first, last := 0, len(f.lines)
	if len(f.lines)*len(old) > nearWork {
		reach := nearWork / (2 * len(old))
		first, last = max(0, min(want, last)-reach), min(last, want+reach)
	}
	worth := f.worth(old)
	prev, cur := make([]score, len(old)+1), make([]score, len(old)+1)
	best, bestAway := 0, 0
	for i := first; i < last; i++ {
		prev[0].start = i
		for j, l := range old {
			c := score{0, i - j}
			take := func(s score, points int) {
				if s.points+points > c.points {
					c = score{s.points + points, s.start}
				}
			}
			if string(f.lines[i]) == l {
				c.points = worth[j] // nothing of the hunk stands above
				if j > 0 && prev[j].points > 0 {
					take(prev[j], worth[j])
				}
			}
			take(prev[j+1], -8) // a line that only the file has
			take(cur[j], -4)    // a line that only the hunk has
			cur[j+1] = c
			away := max(c.start-want, want-c.start)
			if c.points > best || c.points == best && best > 0 && away < bestAway {
				from, to, best, bestAway = max(0, c.start), i+len(old)-j, c.points, away
			}
		}
		prev, cur = cur, prev
	}
	return from, min(max(to, from+len(old)), len(f.lines)), best > 0
}

// worth says how much each of the lines tells about a place: a line that the file has once, most.
func (f *finder) worth(old []string) []int {
	times := map[string]int{}
	for _, l := range old {
		times[l] = 0
	}
	for _, l := range f.lines {
		if n, ok := times[string(l)]; ok {
			times[string(l)] = n + 1
		}
	}
	worth := make([]int, len(old))
	for i, l := range old {
		worth[i] = 3
		if len(strings.TrimSpace(l)) > 2 {
			worth[i] = max(6, 60/max(1, times[l]))
		}
	}
	return worth
}
