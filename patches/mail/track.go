// SPDX-License-Identifier: Apache-2.0

package mail

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/bluekeyes/go-gitdiff/gitdiff"
)

// toEnd is the length of a run of base lines whose end no patch has shown.
const toEnd = math.MaxInt32

// A track is what is known of one file from the patches alone: which lines of the base are still there, and what stands
// between them. Line numbers are the base's and start at 1.
type track struct {
	base           string // its path in the base; "" where it is not there
	baseMode, mode int
	segs           []seg            // what it is now
	deleted        map[int]deletion // lines of the base that are gone
	known          map[int]string   // text of lines of the base, where a patch shows it
	touches        int              // patches that changed it
	score          int              // of its latest rename
}

// A seg is a run of lines of the base, or one line that a patch added.
type seg struct {
	first, n int // lines first to first+n-1 of the base; first is 0 for an added line
	text     string
	patch    int // that added it
}

// A deletion is a line of the base that a patch took away.
type deletion struct {
	text  string
	patch int
}

func newTrack(base string, mode int) *track {
	return &track{base: base, baseMode: mode, mode: mode, segs: []seg{{first: 1, n: toEnd}},
		deleted: make(map[int]deletion), known: make(map[int]string)}
}

// changed notes what a diff says beside its lines.
func (t *track) changed(f *gitdiff.File) {
	t.touches++
	if f.IsRename {
		t.score = f.Score
	}
	if t.base != "" && t.baseMode == 0 {
		t.baseMode = int(f.OldMode)
	}
	if mode := int(f.NewMode); mode != 0 {
		t.mode = mode
	} else if t.mode == 0 {
		t.mode = int(f.OldMode)
	}
	if f.IsDelete {
		// Whatever the hunk did not show was not there.
		t.segs = nil
	}
}

var errPlace = errors.New("the hunk does not follow from the patches before it")

// apply changes the track as the hunks of one patch say.
func (t *track) apply(patch int, hunks []*gitdiff.TextFragment) error {
	offset := 0
	for i, h := range hunks {
		at := int(h.OldPosition) + offset
		if h.OldLines == 0 {
			at++ // such a hunk names the line before it
		}
		// The hunks before have changed the length.
		for _, before := range hunks[:i] {
			at += int(before.NewLines - before.OldLines)
		}
		moved, err := t.place(patch, h, at)
		if err != nil {
			return fmt.Errorf("hunk %d: %w", i+1, err)
		}
		offset += moved
	}
	return nil
}

// maxOffset is how far from its line a hunk is looked for, where what is known of that line is something else.
const maxOffset = 5000

// place applies a hunk where its line number says, or at the nearest place where all known lines agree.
func (t *track) place(patch int, h *gitdiff.TextFragment, at int) (moved int, err error) {
	for d := 0; d <= maxOffset; d++ {
		for _, off := range []int{d, -d} {
			if at+off >= 1 && t.hunk(patch, h, at+off, off != 0) {
				return off, nil
			}
			if d == 0 {
				break
			}
		}
	}
	return 0, errPlace
}

// hunk applies a hunk at a line, or does nothing and returns false where known lines are others. With strict at least
// one line has to be known.
func (t *track) hunk(patch int, h *gitdiff.TextFragment, at int, strict bool) bool {
	head, rest, ok := split(t.segs, at-1)
	if !ok {
		return false
	}
	out := slices.Clone(head)
	learn := make(map[int]string)
	gone := make(map[int]deletion)
	agreed := 0
	for _, l := range h.Lines {
		if l.Op == gitdiff.OpAdd {
			out = append(out, seg{text: l.Line, patch: patch})
			continue
		}
		one, tail, ok := split(rest, 1)
		if !ok || len(one) != 1 {
			return false
		}
		rest = tail
		s := one[0]
		text, known := s.text, s.first == 0
		if !known {
			text, known = t.known[s.first]
		}
		if known && text != l.Line {
			return false
		}
		if known {
			agreed++
		}
		if s.first > 0 {
			learn[s.first] = l.Line
		}
		if l.Op == gitdiff.OpContext {
			out = append(out, s)
		} else if s.first > 0 {
			gone[s.first] = deletion{l.Line, patch}
		}
	}
	if strict && agreed == 0 {
		return false
	}
	t.segs = append(out, rest...)
	for k, v := range learn {
		t.known[k] = v
	}
	for k, v := range gone {
		t.deleted[k] = v
	}
	return true
}

// split cuts segs after n lines; ok is false where there are fewer.
func split(segs []seg, n int) (head, tail []seg, ok bool) {
	for i, s := range segs {
		if n == 0 {
			return segs[:i:i], segs[i:], true
		}
		if s.first == 0 {
			n--
			continue
		}
		if s.n > n {
			head = append(slices.Clone(segs[:i]), seg{first: s.first, n: n})
			rest := seg{first: s.first + n, n: s.n}
			if s.n != toEnd {
				rest.n = s.n - n
			}
			return head, append([]seg{rest}, segs[i+1:]...), true
		}
		n -= s.n
	}
	return slices.Clip(segs), nil, n == 0
}

// count adds up the lines that differ from the base. Lines in the same place that one patch took away and another put
// back are no change, and git, which looks only at the ends, does not see them.
func (t *track) count() (added, deleted int) {
	next := 1 // first line of the base that is not yet accounted for
	var gap []seg
	flush := func(until int) {
		a, d := t.gap(next, until, gap)
		added, deleted = added+a, deleted+d
		gap = nil
	}
	for _, s := range t.segs {
		if s.first == 0 {
			gap = append(gap, s)
			continue
		}
		if s.first > next || len(gap) > 0 {
			flush(s.first)
		}
		next = s.first + s.n
	}
	flush(toEnd)
	return added, deleted
}

// gap counts one place: deleted lines of the base from first to before until, and what stands there now.
func (t *track) gap(first, until int, now []seg) (added, deleted int) {
	var before, after []string
	makers := make(map[int]bool)
	for _, line := range t.deletedIn(first, until) {
		before = append(before, t.deleted[line].text)
		makers[t.deleted[line].patch] = true
	}
	for _, s := range now {
		after = append(after, s.text)
		makers[s.patch] = true
	}
	if len(makers) < 2 {
		// One patch made it, and its diff was made by git: that is the count.
		return len(after), len(before)
	}
	return diffCount(before, after)
}

// deletedIn lists the deleted lines in a range, in order.
func (t *track) deletedIn(first, until int) []int {
	var lines []int
	if until == toEnd {
		for line := range t.deleted {
			if line >= first {
				lines = append(lines, line)
			}
		}
		slices.Sort(lines)
		return lines
	}
	for line := first; line < until; line++ {
		if _, ok := t.deleted[line]; ok {
			lines = append(lines, line)
		}
	}
	return lines
}

// baseText is the whole text that a deleted file had in the base.
func (t *track) baseText() []string {
	text := []string{}
	for _, line := range t.deletedIn(1, toEnd) {
		text = append(text, t.deleted[line].text)
	}
	return text
}
